"""Claims for users who did not: what was completed, not claimed in its grace, and whose mission says `then: auto_claim`."""

from collections.abc import Callable
from datetime import datetime

from services.adapters import metrics
from services.adapters.ledger.sweep import SweepLedger
from services.adapters.ledger.users import Users
from services.adapters.ledger.writer import UserChange
from services.adapters.projection import Projection, ProjectionUnavailable
from services.missions.claiming import claim_by_itself
from services.missions.state import UserState

from .catalogue import LiveCatalogue

CHUNK_USERS = 500
"""Users in one transaction: short enough that nobody waits long for one of their rows."""


async def auto_claim(
    ledger: SweepLedger,
    users: Users,
    projection: Projection,
    catalogue: LiveCatalogue,
    now: datetime,
    *,
    progress: Callable[[int], None] = lambda users: None,
) -> int:
    """Grants what is due by itself at `now`; returns how many grants. Safe to run twice and in several copies.

    `progress` is told after each chunk how many users were looked at.
    """
    granted = looked_at = 0
    after = ""
    missions = catalogue.current().claimed_by_themselves
    while missions and (chunk := await ledger.users_to_claim_for(missions, now, after, CHUNK_USERS)):
        async with users.transaction() as transaction:
            states = await transaction.lock_users(chunk, now)
            claims = []
            for state in states.values():
                change = UserChange(state, True, state.version, state.stamp)
                if claimed := claim_by_itself(state, now, catalogue.current()):
                    claims.append((change, claimed))
            if claims:
                granted += len(await transaction.save_claims(claims))
        await _project(projection, [change.state for change, _ in claims])
        looked_at += len(chunk)
        after = chunk[-1]
        progress(looked_at)
    return granted


async def _project(projection: Projection, states: list[UserState]) -> None:
    try:
        await projection.store(states)
    except ProjectionUnavailable:
        metrics.PROJECTION_FAILURES.labels("scheduler").inc()
