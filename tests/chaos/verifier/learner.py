"""What is known of one user before their missions are looked at: days, periods, answers, and what must have come before what."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from tests.reference.journal import ANSWER, STREAK
from tests.reference.model import User
from tests.reference.rules import BOUND, EVER, HALF, period

from .inputs import Place, Seen

Plan = tuple[tuple[datetime, str], ...]
Period = tuple[datetime, datetime]

QUARTER = timedelta(minutes=15)


@lru_cache(maxsize=200_000)
def _period_of_quarter(plan: Plan, quarter: datetime, kind: str) -> Period:
    return period(list(plan), quarter, kind)


class Learner:
    """One user's applied events, and the order that can be proven of them: that of the offsets of each partition."""

    def __init__(self, name: str, events: Iterable[Seen], state: Mapping[str, Any]) -> None:
        self.name = name
        self.events = sorted(events, key=lambda seen: seen.at)
        self.by_kind: dict[str, list[Seen]] = {}
        for seen in self.events:
            self.by_kind.setdefault(seen.kind, []).append(seen)
        self.state = state
        self.user = User(name)
        self.plans = {kind: _plan(state.get("zones", []), column) for column, kind in enumerate(HALF, start=1)}
        self.user.plan = {kind: list(plan) for kind, plan in self.plans.items()}
        self.days = {seen.offset_key: self.user.day(seen.at) for seen in self.events}
        self.facts = self._answers()

    def period(self, at: datetime, kind: str) -> Period:
        """The period that holds an instant. Bounds of periods fall on quarters of an hour in every zone."""
        quarter = at - timedelta(minutes=at.minute % 15, seconds=at.second, microseconds=at.microsecond)
        return _period_of_quarter(self.plans[kind], quarter, kind)

    def day(self, seen: Seen) -> date:
        """Local day of an event."""
        return self.days[seen.offset_key]

    @property
    def has_exact_days(self) -> bool:
        """Whether every event found the zone that the state has now: one that issues nothing may have come before any."""
        return all(seen.recorded_at < self.period(seen.at, "daily")[1] + BOUND for seen in self.events)

    def _answers(self) -> dict[tuple[str, int, int], dict[str, Any]]:
        """Facts from history by answer, for questions whose answers all came by one partition; others are left out."""
        places: dict[str, set[Place]] = {}
        answers = self.by_kind.get(ANSWER, [])
        for seen in answers:
            places.setdefault(seen.data["question_id"], set()).add(seen.place)
        self.ordered_questions = {name for name, found in places.items() if len(found) == 1}
        is_one_place = len({seen.place for seen in answers}) <= 1
        facts = {}
        for seen in sorted(answers, key=lambda one: (one.place, one.offset)):
            told = self.user.answer(seen.data, seen.at)
            if seen.data["question_id"] in self.ordered_questions:
                if not is_one_place:
                    del told["history.topic_weak"]
                facts[seen.offset_key] = told
        return facts

    def triggers(self, bounds: Period) -> dict[Place, int]:
        """The events that may have been the first of a period, by partition the first one's offset; one of them, or a look, was."""
        start, end = bounds
        first: dict[Place, int] = {}
        for seen in self.events:
            if start <= seen.at < end and seen.recorded_at < end + BOUND:
                first[seen.place] = min(first.get(seen.place, seen.offset), seen.offset)
        return first

    def days_active(self, bounds: Period, is_looked_at: bool) -> tuple[int, int]:
        """The least and the most active days that can have been known when a period was issued, with its own first one.

        Certain are days with an event before the first trigger of every partition that has one.
        """
        day = self.user.day(bounds[0])
        before = [seen for seen in self.events if seen.kind != STREAK and self.day(seen) < day]
        most = 1 + len({self.day(seen) for seen in before})
        first = self.triggers(bounds)
        if is_looked_at or not first:
            return 1, most
        certain = [
            {self.day(seen) for seen in before if seen.place == place and seen.offset < offset}
            for place, offset in first.items()
        ]
        return 1 + len(set.intersection(*certain)), most


def _plan(zones: list[Any], column: int) -> Plan:
    """From when on periods follow which zone, as `rules.period` reads it."""
    if not zones:
        return ((EVER, "UTC"),)
    later = [(datetime.fromisoformat(zone[column]), zone[0]) for zone in zones[1:]]
    return ((EVER, zones[0][0]), *later)
