"""Judges every record of the input topics: good, a copy, of an unknown type, or bad."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

from typing_extensions import override

from tests.reference.reading import read

from .log import Log, Raw

TOPICS_IN = (
    "learning.lesson-completed",
    "learning.xp-earned",
    "learning.question-answered",
    "learning.streak-updated",
    "learning.item-used",
    "learning.session-started",
)

Key = tuple[str, str, date]
"""What an event is known by: source, id, UTC day of its time."""

Place = tuple[str, int]
"""Topic without prefix, partition."""


class Seen(NamedTuple):
    """A good record."""

    source: str
    id: str
    user: str
    kind: str
    at: datetime
    recorded_at: datetime
    data: dict[str, Any]
    topic: str
    partition: int
    offset: int

    @property
    def key(self) -> Key:
        """What it is known by."""
        return self.source, self.id, self.at.date()

    @property
    def place(self) -> Place:
        """The partition that it came by."""
        return self.topic, self.partition

    @property
    def offset_key(self) -> tuple[str, int, int]:
        """Where it lies."""
        return self.topic, self.partition, self.offset

    @override
    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}"


@dataclass
class Judged:
    """What lies in one partition."""

    log: Log
    good: int = 0
    unknown: int = 0
    bad: dict[int, Raw] = field(default_factory=dict)
    """By offset."""


@dataclass
class Inputs:
    """All that was published to the system."""

    partitions: dict[Place, Judged] = field(default_factory=dict)
    copies: dict[Key, list[Seen]] = field(default_factory=dict)
    """Of each event the records that brought it, in the order of each log."""


def judge(logs: Iterable[Log]) -> Inputs:
    """Judges whole logs."""
    inputs = Inputs()
    copies = inputs.copies
    for log in logs:
        judged = inputs.partitions[log.topic, log.partition] = Judged(log)
        for raw in log.records:
            event = read(raw.value, raw.headers, raw.at)
            if isinstance(event, str):
                if event == "unknown":
                    judged.unknown += 1
                else:
                    judged.bad[raw.offset] = raw
                continue
            judged.good += 1
            seen = Seen(
                event["source"],
                event["id"],
                event["subject"],
                event["type"],
                event["at"],
                raw.at,
                event["data"],
                log.topic,
                log.partition,
                raw.offset,
            )
            copies.setdefault(seen.key, []).append(seen)
    return inputs
