"""What the Kafka adapter and its users say to each other: records, partitions, batches, and how handling one can end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from uuid import UUID

from typing_extensions import override


class Record(Protocol):
    """One record as the client delivers it. The client's own objects are handed on: wrapping each would cost."""

    @property
    def offset(self) -> int:
        """Its place in the partition's log."""

    @property
    def timestamp(self) -> int:
        """Kafka's timestamp, milliseconds since 1970."""

    @property
    def timestamp_type(self) -> int:
        """0: the producer's clock. 1: the broker's."""

    @property
    def key(self) -> bytes | None:
        """What chose the partition, if the producer did it by key."""

    @property
    def value(self) -> bytes | None:
        """None is a tombstone."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """(name, value), in the order of the record; names may repeat."""


class PartitionId(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int

    @override
    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"


def never() -> bool:
    """The answer of whoever is not given up."""
    return False


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition, in offset order, never empty.

    `[start, end)` is the range of offsets that the batch covers, with the offsets that hold no record for a reader
    (transaction markers, aborted and compacted records). The ledger's position goes from `start` to `end` by
    compare-and-set: batches of one partition join without a hole, whatever the offsets of their records are.
    """

    partition: PartitionId
    records: Sequence[Record]
    start: int
    end: int
    generation: int
    given_up: Callable[[], bool] = never
    """Whether the partition is given up: what has not been begun need not be, and may end with `Fenced`."""
    more: Callable[[int], Batch] | None = None
    """The same batch with what has come behind it meanwhile, up to so many records in all. From then on it is the batch that the handler
    has to apply; a handler that begins late has a larger one so."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a partition is: the offset up to which everything is applied, None before its first seek, and whether something
    works on it now: a batch, a seek, or the batches of other partitions, whose records fill the memory."""

    applied_to: int | None
    busy: bool


class Fenced(Exception):
    """Raised by a handler: the ledger's position is not the batch's `start`. The partition is sought again."""


class Halt(Exception):
    """Raised by a handler: hand over no more of this partition. The others go on."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


Handle = Callable[[Batch], Awaitable[None]]
"""Applies one batch. Returns when its effect is durable; retries broken infrastructure itself; raises only `Fenced` and
`Halt`. Anything else ends the process: an unknown state is worse than a restart, which is always safe."""

Positions = Callable[[AbstractSet[PartitionId]], Awaitable[Mapping[PartitionId, int]]]
"""Reads the ledger's positions: the next offset to apply of each partition. A partition that it leaves out has never been
read and starts at the beginning of its log. It may be asked at any time, and retries broken infrastructure itself."""

BatchStarts = Positions
"""Reads where the last batch before each position began. A partition that it leaves out has none."""


async def no_batch_starts(_partitions: AbstractSet[PartitionId]) -> Mapping[PartitionId, int]:
    """Nothing is known of the last batches: a seek goes back by the lookback alone."""
    return {}


Settle = Callable[[Mapping[PartitionId, int]], Awaitable[None]]
"""Hears of partitions that are given up, each with the offset up to which the handler has returned for everything. The group, or the end
of the process, waits for it: it must not take long, and not raise."""


async def settle_nothing(_offsets: Mapping[PartitionId, int]) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class LogState:
    """A partition at a seek: the ledger's position, and then what the broker says about the log.

    `topic_id` tells a topic from one of the same name that was made later; None when the broker does not know it.
    """

    position: int | None
    start: int
    end: int
    topic_id: UUID | None


Review = Callable[[Mapping[PartitionId, LogState]], Awaitable[Mapping[PartitionId, "int | Halt"]]]
"""Judges partitions that are about to be read: from which offset each goes on, or why it is stopped. Retries broken
infrastructure itself."""


async def review_positions(states: Mapping[PartitionId, LogState]) -> Mapping[PartitionId, int | Halt]:
    """Goes on from the ledger's position, from the beginning of a log that was never read; stops what is beyond the end."""
    return {partition: _verdict(state) for partition, state in states.items()}


def _verdict(state: LogState) -> int | Halt:
    position = state.start if state.position is None else state.position
    if position > state.end:
        return Halt("the ledger's position is beyond the end of the log: topic truncated or made anew?")
    return position


def _ignore(*_: object) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Callbacks for metrics and logs. They are called on the event loop, must be quick and must not raise."""

    on_assigned: Callable[[AbstractSet[PartitionId]], None] = _ignore
    on_revoked: Callable[[AbstractSet[PartitionId]], None] = _ignore
    on_gap: Callable[[PartitionId, int, int], None] = _ignore
    """The first record after a seek is later than the place sought: (partition, expected offset, offset found)."""
    on_below_log_start: Callable[[PartitionId, int, int], None] = _ignore
    """Retention has overtaken the ledger's position: records [position, log_start) are lost. An alarm."""
    on_reseek: Callable[[PartitionId, str], None] = _ignore
    """A partition went back to the ledger's position: (partition, "fenced" | "skipped" | "out-of-range" | "resumed" |
    "topic-changed" | "went-back")."""
    on_halt: Callable[[PartitionId, str], None] = _ignore
    """A partition was stopped: (partition, reason). An alarm."""
