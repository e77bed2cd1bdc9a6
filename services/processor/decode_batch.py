"""Turns the records of a batch into events to apply and dead letters to keep."""

import asyncio
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import accumulate

from mission_events import DeadLetter, Event, Rejected, decode
from mission_events.times import record_time
from services.adapters.kafka.records import PartitionId, Record
from services.adapters.ledger.batch import LoggedEvent

RECORDS_AT_A_STRETCH = 2000
"""Records that are decoded before others have a turn: Redis' answer, which is waited for half a second only, or who asks whether the
process is alive. Some 20 ms, for each of the lanes."""


@dataclass(slots=True)
class Decoded:
    """A batch after decoding; every record is in exactly one of `events`, `letters` and `unknown`."""

    events: list[LoggedEvent] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    unknown: int = 0
    erased: int = 0
    """Records of users who were erased: nothing of them is kept."""
    key_mismatches: int = 0

    @property
    def records(self) -> int:
        """How many records were decoded."""
        return len(self.events) + len(self.letters) + self.unknown + self.erased

    def without(self, users: AbstractSet[str]) -> "Decoded":
        """The same without what is of these users: by the event, and of bad records by the key."""
        events = [logged for logged in self.events if logged.event.subject not in users]
        letters = [letter for letter in self.letters if (letter.key or b"").decode("utf-8", "replace") not in users]
        gone = self.records - len(events) - len(letters) - self.unknown
        return Decoded(events, letters, self.unknown, gone, self.key_mismatches)


async def decode_batch(partition: PartitionId, records: Iterable[Record]) -> Decoded:
    """Decodes each record against its own Kafka timestamp, so that a replay decides the same."""
    found = Decoded()
    topic, number = partition
    timestamp, recorded_at = 0, record_time(0)
    for place, record in enumerate(records):
        if place % RECORDS_AT_A_STRETCH == 0:
            await asyncio.sleep(0)
        if record.timestamp != timestamp:  # neighbours often have the same, and then share what it means
            timestamp = record.timestamp
            recorded_at = record_time(timestamp)
        result = decode(record.value, record.headers, record_timestamp=recorded_at)
        if isinstance(result, Event):
            found.events.append(LoggedEvent(result, topic, number, record.offset, recorded_at))
            if record.key != result.subject.encode():
                found.key_mismatches += 1
        elif isinstance(result, Rejected):
            found.letters.append(dead_letter(partition, record, result.reason, result.detail, result.pointer))
        else:
            found.unknown += 1
    return found


def in_order(partitions: Sequence[Sequence[LoggedEvent]]) -> Sequence[LoggedEvent]:
    """The events of several partitions by the timestamps of their records; those of one partition stay in its order."""
    if len(partitions) == 1:
        return partitions[0]
    events = [event for some in partitions for event in some]
    # A producer's clock may run back within a partition: an event is never before its predecessor there.
    times = [at for some in partitions for at in accumulate((event.recorded_at for event in some), max)]
    return [events[place] for place in sorted(range(len(events)), key=times.__getitem__)]


def dead_letter(partition: PartitionId, record: Record, reason: str, detail: str, pointer: str = "") -> DeadLetter:
    """The dead letter of a record, with its original bytes."""
    return DeadLetter(
        value=record.value,
        key=record.key,
        headers=tuple(record.headers),
        reason=str(reason),
        detail=detail,
        pointer=pointer,
        topic=partition.topic,
        partition=partition.partition,
        offset=record.offset,
        timestamp=record.timestamp,
    )
