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
    """Makes the projection equal to the ledger for the next users above `after`; returns where the next step begins ("" = anew).

    Called again and again it walks the whole ledger: whatever made the projection stale, it does not stay so. Raises
    `ProjectionUnavailable`.
    """
    states = await ledger.all_users(after, RECONCILE_USERS)
    shown = await projection.load([state.user_id for state in states])
    if any(_contradicts(shown, state) for state in states):
        # Read again, after the projection: what is ahead of this was taken back by a crash of Postgres, and was not just committed.
        states = await ledger.all_users(after, RECONCILE_USERS)
        untrue = [state.user_id for state in states if _contradicts(shown, state)]
        await projection.discard([(user_id, shown[user_id].version) for user_id in untrue])
    await projection.store(states)
    return states[-1].user_id if len(states) == RECONCILE_USERS else ""


def _contradicts(shown: Mapping[str, UserState], state: UserState) -> bool:
    """Whether the projection has a state that `state` does not come after."""
    other = shown.get(state.user_id)
    return other is not None and other.version >= state.version and other.stamp != state.stamp
