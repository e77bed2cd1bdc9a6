"""Issues the missions that are due: for one user who looks, or for all whose day has begun."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from services.adapters import metrics
from services.adapters.ledger.sweep import SweepLedger
from services.adapters.ledger.users import Users
from services.adapters.ledger.writer import UserChange
from services.adapters.projection import Projection, ProjectionUnavailable
from services.missions.announcements import assigned
from services.missions.catalogue import Catalogue
from services.missions.decide import issue_now
from services.missions.state import UserState
from services.missions.streaks import StreakSource, streak_updated

from .catalogue import LiveCatalogue

CHUNK_USERS = 500
"""Users in one transaction: short enough that the processor never waits long for one of their rows."""

ACTIVE_DAYS = 14
"""Users not seen for longer get their missions when they come back, not at midnight."""


class Issuer:
    """Issues missions. Lazy, deterministic, and safe to run anywhere, twice and at once: the set of a period is decided once."""

    def __init__(
        self,
        users: Users,
        projection: Projection,
        catalogue: LiveCatalogue,
        streak_source: StreakSource = StreakSource.UPSTREAM,
    ) -> None:
        self._users = users
        self._streak_source = streak_source
        self._projection = projection
        self._catalogue = catalogue

    async def issue_for(self, user_id: str, now: datetime, zone: str | None = None) -> UserState:
        """The user's state with everything issued that is due at `now`. `zone` holds while the user's own zone is unknown."""
        changes = await self._issue([user_id], now, zone)
        return changes[0].state

    async def issue_chunk(self, user_ids: Sequence[str], now: datetime) -> int:
        """Issues what is due for these users in one transaction; returns how many assignments were issued."""
        return sum(len(change.issued) for change in await self._issue(user_ids, now, None))

    async def _issue(self, user_ids: Sequence[str], now: datetime, zone: str | None) -> list[UserChange]:
        catalogue = self._catalogue.current()
        changes = await self._commit(user_ids, now, zone, catalogue)
        while changes is None:  # a user was created by somebody else in between; now its row can be locked
            changes = await self._commit(user_ids, now, zone, catalogue)
        for change in changes:
            for assignment in change.issued:
                mission = catalogue.get(assignment.mission_id, assignment.mission_version).mission
                metrics.ISSUED.labels(mission.type).inc()
        try:
            await self._projection.store([change.state for change in changes])
        except ProjectionUnavailable:
            metrics.PROJECTION_FAILURES.labels("issuer").inc()
        return changes

    async def _commit(
        self, user_ids: Sequence[str], now: datetime, zone: str | None, catalogue: Catalogue
    ) -> list[UserChange] | None:
        """One transaction; None when a user that was new to the ledger no longer is."""
        try:
            async with self._users.transaction() as writer:
                states = await writer.lock_users(user_ids, now)
                changes = [
                    _change(states.get(user_id) or UserState(user_id), now, zone, catalogue, self._streak_source)
                    for user_id in user_ids
                ]
                if await writer.save(changes):
                    raise _CreatedMeanwhile
                return changes
        except _CreatedMeanwhile:
            return None


class _CreatedMeanwhile(Exception):
    """Takes the transaction back."""


def _change(
    state: UserState, now: datetime, zone: str | None, catalogue: Catalogue, streak_source: StreakSource
) -> UserChange:
    version, stamp = state.version, state.stamp
    decision = issue_now(state, now, catalogue, zone, streak_source)
    return UserChange(
        decision.state,
        decision.changed,
        version,
        stamp,
        issued=decision.issued,
        forgotten=decision.forgotten,
        announcements=[
            *(assigned(state.user_id, assignment, catalogue) for assignment in decision.issued),
            *(streak_updated(state.user_id, change) for change in decision.streak_changes),
        ],
    )


async def issue_all(
    ledger: SweepLedger,
    issuer: Issuer,
    now: datetime,
    *,
    active_days: int = ACTIVE_DAYS,
    progress: Callable[[int], None] = lambda users: None,
) -> int:
    """Issues for every user seen in the last `active_days` days whose day is over at `now`; returns how many assignments.

    `progress` is told after each chunk how many users were looked at.
    """
    seen_since = (now - timedelta(days=active_days)).date()
    issued = users = 0
    after = ""
    while chunk := await ledger.users_to_issue(now, seen_since, after, CHUNK_USERS):
        issued += await issuer.issue_chunk(chunk, now)
        users += len(chunk)
        after = chunk[-1]
        progress(users)
    return issued
