"""The account of one unbroken run of offsets: what the consumer thread has taken from it, and what has been applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .records import PartitionId, Record


class Stretch:
    """A partition's offsets from one seek until the next one. Whatever belongs to an older stretch is stale.

    The consumer thread writes `read_to` and `taken`, the event loop writes everything else. Each only reads what the other
    writes, so no lock is needed.
    """

    __slots__ = ("applied_to", "due", "finished", "read_to", "start", "stopped", "taken")

    def __init__(self, position: int, start: int) -> None:
        """`position` is the ledger's, `start` is where the seek went: later only when the log begins later."""
        self.start = start
        self.read_to = start
        self.taken = 0
        self.due = start
        self.applied_to = position
        self.finished = 0
        self.stopped = False

    @property
    def outstanding(self) -> int:
        """Records taken and not yet applied."""
        return self.taken - self.finished


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records of one partition as the consumer thread hands them over: all of `[start, end)` that a reader may see."""

    partition: PartitionId
    records: Sequence[Record]
    start: int
    end: int
    generation: int
    stretch: Stretch
