"""Lets the projection converge to the ledger after Redis was away: what could not be stored is stored when it is back."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from services.adapters.ledger.connection import is_passing
from services.adapters.ledger.sweep import SweepLedger
from services.adapters.logs import get_logger
from services.adapters.projection import Projection, ProjectionUnavailable
from services.missions.state import UserState

REPAIR_SECONDS = 1.0
"""How often it is tried: about as often as a broken Redis is asked anything at all."""

REPAIR_USERS = 2000
RECONCILE_USERS = 5000
"""Users in one step of the reconciliation: a few megabytes, whatever the ledger's size."""

LoadUsers = Callable[[Sequence[str]], Awaitable[Mapping[str, UserState]]]

logger = get_logger(__name__)


async def keep_repaired(projection: Projection, load_users: LoadUsers) -> None:
    """Runs until cancelled: stores the ledger's states of users whose own could not be stored."""
    while True:
        await asyncio.sleep(REPAIR_SECONDS)
        try:
            while users := projection.missed(REPAIR_USERS):
                await _store(projection, users, load_users)
        except ProjectionUnavailable:
            continue  # it has noted the users again
        except Exception as error:
            if not is_passing(error):
                raise
            logger.warning("projection_not_repaired", error=repr(error))


async def _store(projection: Projection, users: Sequence[str], load_users: LoadUsers) -> None:
    try:
        states = await load_users(users)
    except BaseException:
        projection.note_missed(users)
        raise
    await projection.store(states.values())
    logger.info("projection_repaired", users=len(users))


async def reconcile(ledger: SweepLedger, projection: Projection, after: str) -> str:
    """Stores the states of the next users above `after`, forward by version; returns where the next step begins ("" = anew).

    Called again and again it walks the whole ledger: whatever made the projection stale, it does not stay so. Raises
    `ProjectionUnavailable`.
    """
    states = await ledger.all_users(after, RECONCILE_USERS)
    await projection.store(states)
    return states[-1].user_id if len(states) == RECONCILE_USERS else ""
