"""What operators do with dead letters, in one place for the command line and the api: send through again, purge."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from mission_events import Event, Reason
from mission_events.codec import decode_any_time
from mission_events.dead_letter import PREFIX
from mission_events.topics import LEARNING_RETENTION
from services.adapters.kafka.access import Security
from services.adapters.kafka.admin import partition_counts
from services.adapters.kafka.errors import TopicsMissing
from services.adapters.kafka.producer import Outgoing, Publisher
from services.adapters.ledger.actions import By
from services.adapters.ledger.dead_letters import COPY_OF, DeadLetterStore, LetterFilter, Place, StoredLetter

CHUNK_LETTERS = 50
"""Letters in memory at once: each may have 1 MiB."""

RETENTION_MARGIN = timedelta(days=1)
"""A copy keeps its old timestamp, and Kafka may delete it as soon as that is too old: before the processor has read it."""


OUR_REASONS = (
    (
        "unprocessable",
        "well-formed, but the core or the ledger could not apply it",
        "Mend what the detail says, then replay.",
    ),
    (
        "too_large_to_publish",
        "a message of ours that its own topic does not take; only on the topic",
        "Raise max.message.bytes of the topic out.",
    ),
)
REASONS = (*((str(reason), reason.meaning, reason.fix) for reason in Reason), *OUR_REASONS)
"""Every reason code, what it means, and what to do about it."""


class Timestamp(StrEnum):
    """Which timestamp a copy gets; it decides what is late, too old or in the future."""

    ORIGINAL = "original"
    """The record's own: it is judged as on the day on which it came."""
    NOW = "now"
    """It is judged as if it came now."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A copy that was published."""

    place: Place
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A letter that can't be sent through again, and why."""

    place: Place
    why: str


class NoLetter(Exception):
    """There is no dead letter at a place."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        super().__init__(f"there is no dead letter at {topic} {partition} {offset}")


class DeadLetters:
    """Dead letters of one deployment."""

    def __init__(self, store: DeadLetterStore, bootstrap: str, security: Security | None = None) -> None:
        self.store = store
        self._bootstrap = bootstrap
        self._security = security

    async def find(self, topic: str, partition: int, offset: int, incarnation: int | None = None) -> StoredLetter:
        """The letter of a place. Raises `NoLetter`."""
        letter = await self.store.show(topic, partition, offset, incarnation)
        if letter is None:
            raise NoLetter(topic, partition, offset)
        return letter

    async def replay(self, letter: StoredLetter, timestamp: Timestamp, by: By) -> Sent | Kept:
        """Publishes the original bytes to the letter's topic again. What was counted before is not counted twice.

        Raises `BrokerUnreachable`, `TopicsMissing` and `PublishFailed`; then it may be published or not: repeat it.
        """
        async with self._publisher([letter]) as replay:
            (outcome,) = await replay([letter], timestamp, by)
        if isinstance(outcome, Sent):
            told = {"place": letter.place.text, "partition": outcome.partition, "offset": outcome.offset}
            await self.store.record("replay-dead-letter", told, by)
        return outcome

    async def replay_all(
        self,
        which: LetterFilter,
        timestamp: Timestamp,
        by: By,
        *,
        limit: int | None = None,
        told: Callable[[int], None] = lambda letters: None,
    ) -> tuple[int, list[Kept]]:
        """Replays every letter of a filter, in the order of their places; returns how many, and what was kept.

        `told` is told how many after each chunk. Raises as `replay` does; what was done until then stays done.
        """
        sent, kept, after = 0, list[Kept](), None
        try:
            while limit is None or sent < limit:
                room = CHUNK_LETTERS if limit is None else min(CHUNK_LETTERS, limit - sent)
                letters = await self.store.next_letters(which, room, after)
                if not letters:
                    break
                after = letters[-1].place
                async with self._publisher(letters) as replay:
                    outcomes = await replay(letters, timestamp, by)
                sent += sum(isinstance(outcome, Sent) for outcome in outcomes)
                kept += [outcome for outcome in outcomes if isinstance(outcome, Kept)]
                told(sent)
        finally:
            if sent:
                subject = {"filter": which.told(), "letters": sent, "timestamp": timestamp}
                await self.store.record("replay-dead-letters", subject, by)
        return sent, kept

    @asynccontextmanager
    async def _publisher(self, letters: Sequence[StoredLetter]) -> "AsyncIterator[_Replay]":
        counts = await partition_counts(self._bootstrap, security=self._security)
        if missing := {letter.place.topic for letter in letters} - counts.keys():
            raise TopicsMissing(sorted(missing), self._bootstrap)
        days = await self.store.log_days()
        async with Publisher(self._bootstrap, client_id="missions-replay", security=self._security) as publisher:

            async def replay(letters: Sequence[StoredLetter], timestamp: Timestamp, by: By) -> list[Sent | Kept]:
                refused = {letter.place: why for letter in letters if (why := _refusal(letter, timestamp, days))}
                good = [letter for letter in letters if letter.place not in refused]
                lines = await self.store.begin_replay([letter.place for letter in good], by)
                good = [letter for letter in good if letter.place in lines]
                written = await publisher.publish_all(_copy(each, counts[each.place.topic], timestamp) for each in good)
                found = {each.place: (w.partition, w.offset) for each, w in zip(good, written, strict=True)}
                await self.store.end_replay({lines[place]: at for place, at in found.items()})
                return [
                    Sent(each.place, *found[each.place])
                    if each.place in found
                    else Kept(each.place, refused.get(each.place, "it was purged meanwhile"))
                    for each in letters
                ]

            yield replay


_Replay = Callable[[Sequence[StoredLetter], Timestamp, By], Awaitable[list[Sent | Kept]]]


def _refusal(letter: StoredLetter, timestamp: Timestamp, days: set[date]) -> str | None:
    """Why a letter can't be replayed; None when it can."""
    if letter.key is None and letter.value is None:
        return "the record has neither key nor value: there is nothing to apply"
    if (
        timestamp is Timestamp.ORIGINAL
        and letter.recorded_at < datetime.now(UTC) - LEARNING_RETENTION + RETENTION_MARGIN
    ):
        return (
            f"its timestamp {letter.recorded_at:%Y-%m-%d} is older than its topic keeps records: Kafka could delete the copy "
            "before it is read; replay it with the timestamp `now`"
        )
    event = decode_any_time(letter.value, tuple(letter.headers))
    if isinstance(event, Event) and event.time.astimezone(UTC).date() not in days:
        return (
            f"its event is of {event.time:%Y-%m-%d}, a day that the event log no longer has: it could be counted twice"
        )
    return None


def _copy(letter: StoredLetter, partitions: int, timestamp: Timestamp) -> Outgoing:
    """The record again, marked as a copy, where it lay if the topic still has that partition, else where its key leads."""
    headers = [header for header in letter.headers if not header[0].startswith(PREFIX)]
    return Outgoing(
        letter.place.topic,
        letter.key,
        letter.value,
        [*headers, (COPY_OF, letter.place.text.encode())],
        letter.place.partition if letter.place.partition < partitions else None,
        round(letter.recorded_at.timestamp() * 1000) if timestamp is Timestamp.ORIGINAL else None,
    )
