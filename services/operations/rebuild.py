"""Fills the projection from the ledger: the drill after Redis lost everything, and harmless at any other time."""

from collections.abc import Callable

from services.adapters.ledger.sweep import SweepLedger
from services.adapters.projection import Projection

CHUNK_USERS = 2000


async def rebuild_projection(
    ledger: SweepLedger, projection: Projection, *, progress: Callable[[int], None] = lambda users: None
) -> int:
    """Writes every user's state, forward by version; returns how many. Raises `ProjectionUnavailable` when Redis can't answer."""
    users = 0
    after = ""
    while states := await ledger.all_users(after, CHUNK_USERS):
        await projection.store(states)
        users += len(states)
        after = states[-1].user_id
        progress(users)
    return users
