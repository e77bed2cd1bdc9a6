"""The pure parts of the second reading: periods of local days and weeks, conditions, measures."""

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Values = Mapping[str, Any]
Counted = tuple[Values, date, bool, bool]
"""(data, local day, whether it counts, whether it breaks a run) of an event, as one objective sees it."""

BOUND, DAY = timedelta(hours=24), timedelta(days=1)
EVER, NEVER = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
HALF = {"daily": timedelta(hours=12), "weekly": timedelta(hours=84)}
"""The shortest first period after a change of zone."""


def next_start(zone: str, at: datetime, kind: str) -> datetime:
    """The first local midnight, of a Monday if weekly, at or after an instant."""
    day = at.astimezone(ZoneInfo(zone)).date()
    while True:
        start = datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)
        if start >= at and (kind == "daily" or day.weekday() == 0):
            return start
        day += DAY


def period(plan: list[tuple[datetime, str]], at: datetime, kind: str) -> tuple[datetime, datetime]:
    """The period that holds an instant. `plan` says from when on periods follow which zone; it begins with `EVER`."""
    start, zone = [entry for entry in plan if entry[0] <= at][-1]
    if start == EVER:
        start = next_start(zone, at - 8 * DAY, kind)
    while (end := next_start(zone, start + HALF[kind], kind)) <= at:
        start = end
    return start, end


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "equals": lambda value, operand: operand in value if isinstance(value, list) else value == operand,
    "in": lambda value, operand: any(v in operand for v in (value if isinstance(value, list) else [value])),
    "not_in": lambda value, operand: not OPERATORS["in"](value, operand),
    **{name: getattr(operator, name[:2]) for name in ("gt", "lt")},
    **{name: getattr(operator, name[0] + "e") for name in ("gte", "lte")},
}


def holds(where: Values, values: Values, parameters: Values) -> bool:
    """Whether all conditions hold; an absent value fails every one but `exists: false`."""
    for name, condition in where.items():
        for test, operand in (condition if isinstance(condition, dict) else {"equals": condition}).items():
            value, wanted = values.get(name), parameters.get(operand[1:]) if str(operand)[0] == "$" else operand
            if test == "exists" and (value is not None and value != []) != wanted:
                return False
            if test != "exists" and (value is None or wanted is None or not OPERATORS[test](value, wanted)):
                return False
    return True


def measured(measure: Any, events: list[Counted]) -> float:
    """What the events of an objective come to, given in the order in which they were applied."""
    data = [event[0] for event in events if event[2]]
    if measure == "count":
        return len(data)
    if "consecutive_days" in measure:
        return max((longest_run(events[:applied]) for applied in range(1, len(events) + 1)), default=0)
    ((how, name),) = measure.items()
    values = [d[name] for d in data if d.get(name) is not None]
    return len(set(values)) if how == "distinct" else float(sum(values) if how == "sum" else max([0, *values]))


def longest_run(events: list[Counted]) -> int:
    """Days in a row; a run may end on a broken day, and does not go on past it."""
    days = {day for _, day, counts, _ in events if counts}
    unbroken = days - {day for _, day, _, breaks in events if breaks}
    run = longest = 0
    for day in sorted(days):
        run = run + 1 if day - DAY in unbroken else 1
        longest = max(longest, run)
    return longest
