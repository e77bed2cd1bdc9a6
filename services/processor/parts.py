"""Records of one partition that are applied together, and how they are divided."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.adapters.kafka.records import Batch, PartitionId, Record, never


@dataclass(frozen=True, slots=True)
class Part:
    """Records of one partition that one transaction applies, and the offsets `[start, end)` that it accounts for."""

    partition: PartitionId
    records: Sequence[Record]
    start: int
    end: int
    given_up: Callable[[], bool] = never
    """Whether its partition is given up: then it need not be begun."""

    @classmethod
    def of(cls, batch: Batch) -> "Part":
        """A batch as one part."""
        return cls(batch.partition, batch.records, batch.start, batch.end, batch.given_up)

    def split(self, offset: int) -> tuple["Part", "Part"]:
        """The part before an offset inside it, and the part from there on."""
        before = [record for record in self.records if record.offset < offset]
        after = self.records[len(before) :]
        return Part(self.partition, before, self.start, offset), Part(self.partition, after, offset, self.end)
