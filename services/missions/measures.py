"""The five measures, each a fold of events onto the state of one objective. Progress never falls and never passes the target.

The state that a set of events ends in does not depend on their order: whatever a measure remembers is a set, and it is dropped
when the target is reached. With `break_on` the remembered days do not depend on it either; the progress is exactly the longest
unbroken run if each break comes before the events of later days, and otherwise at least that and at most the longest run
without regard to breaks, because progress that was shown is never taken back.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from typing import Any

from mission_events.codec import MAX_BEHIND

from .definition import ConsecutiveDays, Distinct, Max, Measure, Sum
from .state import ObjectiveState

EVENT_AGE_DAYS_MAX = MAX_BEHIND.days
"""Oldest event that is accepted, in days before its record: no earlier day can still join a run."""

Advance = Callable[[ObjectiveState, Mapping[str, Any], int], bool]
"""(objective state, data of the event, ordinal of the local day) -> whether the state changed. It is changed in place."""


def compile_measure(measure: Measure, target: int) -> Advance:
    """The fold of one objective. It may only be called while the progress is below the target."""
    match measure:
        case "count":
            return _count()
        case Sum(sum=name):
            return _sum(name, target)
        case Max(max=name):
            return _max(name, target)
        case Distinct(distinct=name):
            return _distinct(name, target)
        case "consecutive_days" | ConsecutiveDays():
            return _consecutive_days(target)


def compile_break(target: int) -> Advance:
    """What an event that matches `break_on` does: it marks its local day as broken."""

    def mark_broken(objective: ObjectiveState, _data: Mapping[str, Any], day: int) -> bool:
        if not _remember(objective.broken_days, day):
            return False
        _forget_old_days(objective, target)
        return True

    return mark_broken


def _count() -> Advance:
    def advance(objective: ObjectiveState, _data: Mapping[str, Any], _day: int) -> bool:
        objective.progress += 1
        return True

    return advance


def _sum(name: str, target: int) -> Advance:
    def advance(objective: ObjectiveState, data: Mapping[str, Any], _day: int) -> bool:
        amount = data[name]
        if amount is None or amount <= 0:
            return False
        objective.progress = min(objective.progress + amount, target)
        return True

    return advance


def _max(name: str, target: int) -> Advance:
    def advance(objective: ObjectiveState, data: Mapping[str, Any], _day: int) -> bool:
        value = data[name]
        if value is None or value <= objective.progress:
            return False
        objective.progress = min(value, target)
        return True

    return advance


def _distinct(name: str, target: int) -> Advance:
    def advance(objective: ObjectiveState, data: Mapping[str, Any], _day: int) -> bool:
        member = data[name]
        members = objective.members
        if member is None or member in members:
            return False
        insort(members, member)
        objective.progress = len(members)
        if objective.progress >= target:
            objective.members = []
        return True

    return advance


def _consecutive_days(target: int) -> Advance:
    def advance(objective: ObjectiveState, _data: Mapping[str, Any], day: int) -> bool:
        if not _remember(objective.days, day):
            return False
        run = _run_through(objective.days, objective.broken_days, day)
        if run > objective.progress:
            objective.progress = min(run, target)
        if objective.progress >= target:
            objective.days = []
            objective.broken_days = []
        else:
            _forget_old_days(objective, target)
        return True

    return advance


def _remember(days: list[int], day: int) -> bool:
    place = bisect_left(days, day)
    if place < len(days) and days[place] == day:
        return False
    days.insert(place, day)
    return True


def _run_through(days: list[int], broken: list[int], day: int) -> int:
    """Length of the run that `day` is in: each day follows the one before it, and only the last may be broken."""
    place = bisect_left(days, day)
    first = last = place
    while first > 0 and days[first - 1] == days[first] - 1 and days[first - 1] not in broken:
        first -= 1
    while last + 1 < len(days) and days[last + 1] == days[last] + 1 and days[last] not in broken:
        last += 1
    return last - first + 1


def _forget_old_days(objective: ObjectiveState, target: int) -> None:
    """Keeps what a day that may still come can be joined to: that day, and a target's length before it."""
    newest = max(objective.days[-1:] + objective.broken_days[-1:])
    oldest = newest - EVENT_AGE_DAYS_MAX - target
    for days in (objective.days, objective.broken_days):
        if days and days[0] < oldest:
            del days[: bisect_left(days, oldest)]
