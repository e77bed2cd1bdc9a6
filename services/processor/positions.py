"""Whether a part begins where the ledger stands: asked before it is decoded, and again under the lock of its position."""

from collections.abc import Mapping, Sequence

from services.adapters.kafka.records import Fenced, PartitionId
from services.adapters.ledger.batch import BatchLedger, BatchTransaction

from .parts import Part


class AppliedUpTo(Exception):
    """The ledger's position is inside a part or past it: by a commit whose answer was lost, or by another worker a moment ago."""

    def __init__(self, position: int) -> None:
        super().__init__(f"applied up to {position}")
        self.position = position


class KnownPositions:
    """Positions as this process left them: only those of parts that do not follow on have to be looked up.

    A seek delivers again what is applied already, and a crash of Postgres takes back what was. Either is found here before anybody
    has decoded thousands of records for a transaction that can't begin.
    """

    def __init__(self, ledger: BatchLedger) -> None:
        self._ledger = ledger
        self._ends: dict[PartitionId, int] = {}

    def moved(self, parts: Sequence[Part]) -> None:
        """These parts are committed."""
        self._ends.update((part.partition, part.end) for part in parts)

    def forget(self) -> None:
        """The ledger may be behind what it had confirmed."""
        self._ends.clear()

    async def look(self, parts: Sequence[Part]) -> Mapping[PartitionId, int]:
        """Positions of these parts' partitions as the ledger has them now, where they may be others than the parts' beginnings. Those
        of partitions that were never opened are absent."""
        unsure = [part.partition for part in parts if self._ends.get(part.partition) != part.start]
        if not unsure:
            return {}
        return {PartitionId(*key): position for key, position in (await self._ledger.positions(unsure)).items()}


async def lock_beginnings(transaction: BatchTransaction, parts: Sequence[Part]) -> None:
    """Locks the positions, and opens those of new partitions.

    Raises `Fenced` when the ledger is behind a part, and `AppliedUpTo` when it is ahead of one's beginning.
    """
    known = await transaction.lock_positions([part.partition for part in parts])
    for part in parts:
        at = known.get(part.partition)
        if at is None:
            at = await transaction.open_position(part.partition, part.start)
        if at == part.start:
            continue
        if at is None or at < part.start:
            raise behind(part, at)
        raise AppliedUpTo(at)


def behind(part: Part, position: int | None) -> Fenced:
    """The ledger's position is before the part."""
    return Fenced(f"{part.partition} is at {position}, before {part.start}: the ledger went back")
