"""How much of an objective must have been counted, and how much can have been: the same number where order decides nothing."""

from bisect import bisect_left
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from tests.reference.rules import BOUND, NEVER, Counted, holds, longest_run, measured

from .definitions import Definition
from .inputs import Place, Seen
from .learner import Learner
from .ledger import Row


class Range(NamedTuple):
    """Least and most."""

    low: float
    high: float


class Given(NamedTuple):
    """An assignment as it was issued: what its progress is worked out from."""

    definition: Definition
    starts_at: datetime
    expires_at: datetime | None
    targets: list[int]
    parameters: Mapping[str, Any] | None
    """None when they are not kept any more."""
    issued_before: Mapping[Place, int] | None
    """From these offsets on its partitions' events were applied after it was issued; None: all of its period's were."""
    is_certain: bool
    """False: it is open when it was issued."""


class Counts(NamedTuple):
    """What follows from a user's events for one assignment."""

    progress: list[Range]
    counted: list[Seen]
    """Events that may have counted."""

    def reached(self, targets: list[int]) -> Range:
        """How many objectives."""
        low = sum(p.low >= target for p, target in zip(self.progress, targets, strict=True))
        return Range(low, sum(p.high >= target for p, target in zip(self.progress, targets, strict=True)))


def given_of(
    learner: Learner, row: Row, definition: Definition, kept: list[Any] | None, fit: Any, *, reopened: bool
) -> Given:
    """`kept` is the assignment in the user's state; `reopened`: a claim of the user has opened missions at any time."""
    targets = [objective["target"] for objective in definition["objectives"]]
    if fit and fit["target"] is not None:
        targets = [fit["target"]]
    parameters: Mapping[str, Any] | None = {} if not definition["names"] else None
    if kept is not None and definition["names"]:
        parameters = kept[7] if len(kept) > 7 else {}
    first: Mapping[Place, int] | None = None
    if definition["period"] in ("once", "season"):
        day = learner.period(row["starts_at"], "daily")
        first = learner.triggers(day) if definition["period"] == "once" else {}
    return Given(
        definition, row["starts_at"], row["expires_at"], targets, parameters, first, not reopened or first is None
    )


def count(learner: Learner, given: Given) -> Counts:
    """Counts all events of a user that may belong to an assignment."""
    progress: list[Range] = []
    counted: list[Seen] = []
    for objective, target in zip(given.definition["objectives"], given.targets, strict=True):
        least: list[Counted] = []
        most: list[Counted] = []
        for seen in _within(learner, objective["event"], given):
            verdict = _judge(learner, given, objective, seen)
            if verdict is None:
                continue
            is_certain, counts, breaks = verdict
            one = (seen.data, learner.day(seen), counts, breaks)
            if is_certain or breaks:
                least.append(one)
            if counts:
                most.append(one)
                counted.append(seen)
        progress.append(Range(min(target, _least(objective, least)), min(target, _most(objective, most))))
    return Counts(progress, counted)


def _within(learner: Learner, kind: str, given: Given) -> list[Seen]:
    """Events of the period that came before its lateness bound."""
    events = learner.by_kind.get(kind, [])
    end = given.expires_at or NEVER
    start, stop = (bisect_left(events, at, key=lambda seen: seen.at) for at in (given.starts_at, end))
    return [seen for seen in events[start:stop] if seen.recorded_at < end + (BOUND if given.expires_at else end - end)]


def _judge(learner: Learner, given: Given, objective: Mapping[str, Any], seen: Seen) -> tuple[bool, bool, bool] | None:
    """(must have counted, may have counted, may have broken the run); None: neither."""
    parameters, is_certain = given.parameters, given.is_certain
    own = objective["own"]
    if parameters is None:
        own = {name: test for name, test in own.items() if "$" not in str(test)}
        is_certain = is_certain and own == objective["own"]
    counts = holds(own, seen.data, parameters or {})
    if counts and objective["history"]:
        facts = learner.facts.get(seen.offset_key)
        known = {
            name: test for name, test in objective["history"].items() if facts is not None and _is_told(name, facts)
        }
        counts = holds(known, facts or {}, parameters or {})
        is_certain = is_certain and known == objective["history"]
    breaks = bool(objective["break_on"]) and holds(objective["break_on"], seen.data, parameters or {})
    if not counts and not breaks:
        return None
    if given.issued_before is not None and not _is_after(seen, given):
        is_certain = False
    return is_certain and counts, counts, breaks


def _is_told(name: str, facts: Mapping[str, Any]) -> bool:
    """Weak topics are left out where they are not certain; the other facts are absent when there is no such past."""
    return name != "history.topic_weak" or name in facts


def _is_after(seen: Seen, given: Given) -> bool:
    first = (given.issued_before or {}).get(seen.place)
    return first is not None and first <= seen.offset


def _least(objective: Mapping[str, Any], events: list[Counted]) -> float:
    if _is_run(objective):
        return longest_run(events)
    return measured(objective["measure"], events)


def _most(objective: Mapping[str, Any], events: list[Counted]) -> float:
    if _is_run(objective):
        return longest_run([(data, day, counts, False) for data, day, counts, _ in events])
    return measured(objective["measure"], events)


def _is_run(objective: Mapping[str, Any]) -> bool:
    return "consecutive_days" in objective["measure"]
