"""What a user sees: missions now and in the past, streak and rewards. Redis first, the ledger when Redis can't answer."""

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar

from services.adapters.deadline import within
from services.adapters.ledger.connection import is_passing
from services.adapters.ledger.records import XpTotals
from services.adapters.ledger.users import Grant, Position, RewardTotal, Users
from services.adapters.logs import get_logger
from services.adapters.metrics import PROJECTION_FAILURES
from services.adapters.projection import Projection, ProjectionUnavailable
from services.missions.catalogue import Catalogue
from services.missions.decide import issue_now
from services.missions.state import Assignment, ObjectiveState, Status, UserState
from services.missions.view import MissionView, mission_view, view_of
from services.operations.issue import Issuer
from services.operations.refresh import FreshCatalogue

from .locales import LocaleChooser

LEDGER_SECONDS = 4.0
"""A read of the ledger that takes longer is given up: the app shows what it has and asks again."""

Answer = TypeVar("Answer")
_log = get_logger(__name__)


class LedgerUnavailable(Exception):
    """Neither Redis nor the ledger can answer."""


@dataclass(frozen=True, slots=True)
class Page:
    """Missions of the past, newest first, and where the next page begins; None on the last one."""

    missions: list[MissionView]
    after: Position | None


@dataclass(frozen=True, slots=True)
class Streak:
    """Days in a row as was last told, the local day that it was told for, and what there was before."""

    days: int
    day: date | None
    longest: int
    freezes_used: int


class ReadMissions:
    """The reads of app clients. Every method raises `LedgerUnavailable` when nobody can answer."""

    def __init__(self, users: Users, projection: Projection, issuer: Issuer, catalogue: FreshCatalogue) -> None:
        self._users = users
        self._projection = projection
        self._issuer = issuer
        self._catalogue = catalogue
        self._locales = LocaleChooser()

    async def current(
        self, user_id: str, now: datetime, locales: Sequence[str], zone: str | None = None
    ) -> list[MissionView]:
        """What is open, claimable or ended in the last 24 hours. Issues first what is due and not there yet.

        `zone` is the client's word for its time zone, a known IANA name; it is used while no session has told the user's.
        """

        async def view(catalogue: Catalogue) -> list[MissionView]:
            state = await self.issued(user_id, now, catalogue, zone)
            return mission_view(state, catalogue, now, self._locales.choose(locales, catalogue, now))

        return await self._catalogue.decide(view)

    async def issued(self, user_id: str, now: datetime, catalogue: Catalogue, zone: str | None = None) -> UserState:
        """The user's state with everything issued that is due at `now`."""
        state = await self._state(user_id)
        if state is None or issue_now(state, now, catalogue, zone).changed:
            state = await from_ledger(self._issuer.issue_for(user_id, now, zone))
        return state

    async def past(
        self, user_id: str, now: datetime, locales: Sequence[str], after: Position | None, limit: int
    ) -> Page:
        """A page of all assignments that the user ever had."""

        async def view(catalogue: Catalogue) -> Page:
            rows = await from_ledger(self._users.assignments(user_id, after, limit + 1))
            state = await self._state(user_id)
            live = {a.assignment_id: a for a in state.assignments} if state else {}
            locale = self._locales.choose(locales, catalogue, now)
            missions = []
            for row in rows[:limit]:
                compiled = catalogue.get(row.mission_id, row.mission_version)
                shown = _with_progress(row, live.get(row.assignment_id), len(compiled.objectives))
                missions.append(view_of(shown, compiled, now, locale))
            last = rows[limit - 1] if len(rows) > limit else None
            return Page(missions, (last.starts_at, last.mission_id) if last else None)

        return await self._catalogue.decide(view)

    async def of_users(
        self, user_ids: Sequence[str], now: datetime, locales: Sequence[str]
    ) -> dict[str, list[MissionView]]:
        """Missions of several users as the ledger has them at this moment, without issuing any."""

        async def view(catalogue: Catalogue) -> dict[str, list[MissionView]]:
            states = await from_ledger(self._users.load(user_ids))
            locale = self._locales.choose(locales, catalogue, now)
            return {user_id: mission_view(state, catalogue, now, locale) for user_id, state in states.items()}

        return await self._catalogue.decide(view)

    async def streak(self, user_id: str) -> Streak:
        """The current streak."""
        state = await self._state(user_id)
        if state is None:
            return Streak(0, None, 0, 0)
        return Streak(state.streak, state.streak_day, max(state.streak_longest, state.streak), state.freezes_used)

    async def grants(self, user_id: str, after: Position | None, limit: int) -> tuple[list[Grant], Position | None]:
        """A page of grants, newest first, and where the next one begins."""
        rows = await from_ledger(self._users.grants(user_id, after, limit + 1))
        last = rows[limit - 1] if len(rows) > limit else None
        return rows[:limit], (last.granted_at, last.assignment_id) if last else None

    async def gains(self, user_id: str) -> tuple[list[RewardTotal], XpTotals]:
        """The totals over all of a user's grants, and over all XP, whoever told of it."""
        totals = await from_ledger(self._users.reward_totals(user_id))
        return totals, await from_ledger(self._users.xp_totals(user_id))

    async def _state(self, user_id: str) -> UserState | None:
        """The user's state; None for a user whom nobody knows. After a loss of Redis, reading fills it again."""
        is_there = True
        try:
            found = (await self._projection.load([user_id])).get(user_id)
            if found is not None:
                return found
        except ProjectionUnavailable:
            PROJECTION_FAILURES.labels("api").inc()
            is_there = False
        state = (await from_ledger(self._users.load([user_id]))).get(user_id)
        if state is not None and is_there:
            try:
                await self._projection.store([state])
            except ProjectionUnavailable:
                PROJECTION_FAILURES.labels("api").inc()
        return state


async def from_ledger(call: Coroutine[Any, Any, Answer]) -> Answer:
    """The ledger's answer. Raises `LedgerUnavailable` when it can't give one, or not in time."""
    try:
        return await within(LEDGER_SECONDS, call)
    except Exception as error:
        if not is_passing(error):
            raise
        _log.warning("ledger_unavailable", error=repr(error))
        raise LedgerUnavailable from error


def _with_progress(row: Assignment, live: Assignment | None, objectives: int) -> Assignment:
    """The row with its progress: that of an open assignment is in the user's state, that of an ended one in the row."""
    if live is not None and row.status is Status.IN_PROGRESS:
        return live
    missing = objectives - len(row.objectives)
    row.objectives += [ObjectiveState() for _ in range(missing)]
    return row
