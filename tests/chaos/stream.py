"""What a chaos run publishes, from a seed: a day of learners, and what real producers do to it: copies, disorder, lateness, rubbish."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

from benchmarks.events import ZONES, Generated, Stream, user_id
from services.adapters.kafka.producer import Outgoing
from tests.reference.noise import unreadable

COPY_SHARE = 0.03
"""Records that their producer sends again, under the same id, up to `COPY_DISTANCE` records later."""
COPY_DISTANCE = 400
WINDOW = 10
"""Records are shuffled within windows of so many, as in Kafka Streams' smoke test: mild disorder."""
OLD_SHARE = 0.01
"""Events that were waiting in an offline phone, by up to `OLD_DAYS` days."""
OLD_DAYS = 20
BAD_SHARE = 0.005
"""Records that nobody can read. A flood would be stopped by the brake, which is not what is tested here."""
BINARY_SHARE = 0.05
"""Events in CloudEvents' binary mode: the envelope in headers."""
EVENTS_PER_USER = 50
COMMUTATIVE = ("learning.xp-earned", "learning.lesson-completed", "learning.item-used")
"""Topics where a copy may go to another partition. Of two answers to a question the log says which came first."""


class Counts(NamedTuple):
    """What a stream holds, by kind of record."""

    records: int
    copies: int
    old: int
    bad: int
    binary: int


@dataclass(frozen=True, slots=True)
class Load:
    """Equal loads give equal records. `until` is when the events end: no later than the first record is published."""

    seed: int
    events: int
    until: datetime
    prefix: str = ""

    @property
    def users(self) -> list[str]:
        """Everybody in it."""
        return [user_id(number) for number in range(max(20, self.events // EVENTS_PER_USER))]

    def openings(self) -> list[Outgoing]:
        """Each user's first session, to be published and applied before anything else: from then on their zones are known."""
        at = self.until - timedelta(minutes=11)
        return [self._opening(number, user, at) for number, user in enumerate(self.users)]

    def records(self) -> Iterator[Outgoing]:
        """Everything else, in the order of publishing."""
        chance = Random(self.seed)
        window: list[Outgoing] = []
        later: dict[int, list[Outgoing]] = {}
        stream = Stream(self.events, len(self.users), self.seed, self.until)
        for number, event in enumerate(stream):
            record = self._record(event, chance)
            window.append(record)
            if chance.random() < COPY_SHARE:
                later.setdefault(number + chance.randrange(COPY_DISTANCE), []).append(self._copy(record, chance))
            if chance.random() < BAD_SHARE:
                window += self._bad(chance)
            window += later.pop(number, [])
            if len(window) >= WINDOW:
                chance.shuffle(window)
                yield from window
                window = []
        yield from window
        for copies in later.values():
            yield from copies

    def _opening(self, number: int, user: str, at: datetime) -> Outgoing:
        event = {
            "specversion": "1.0",
            "id": f"open-{self.seed}-{number}",
            "source": "session-service",
            "type": "learning.session-started.v1",
            "subject": user,
            "time": at.isoformat(timespec="milliseconds"),
            "data": {"timezone": ZONES[number % len(ZONES)]},
        }
        return Outgoing(f"{self.prefix}learning.session-started", user.encode(), json.dumps(event).encode())

    def _record(self, event: Generated, chance: Random) -> Outgoing:
        topic, key, value = self.prefix + event.topic, user_id(event.user).encode(), event.value
        if chance.random() < OLD_SHARE:
            value = _older(value, timedelta(minutes=chance.randrange(60, OLD_DAYS * 24 * 60)))
        if chance.random() < BINARY_SHARE:
            return _binary(topic, key, value)
        return Outgoing(topic, key, value)

    def _copy(self, record: Outgoing, chance: Random) -> Outgoing:
        if record.topic.removeprefix(self.prefix) not in COMMUTATIVE or chance.random() < 0.5:
            return record
        return Outgoing(record.topic, record.key, record.value, record.headers, partition=chance.randrange(4))

    def _bad(self, chance: Random) -> list[Outgoing]:
        record = unreadable(chance, datetime.now(UTC), self.users)[0]
        return [Outgoing(self.prefix + record.topic, record.key.encode(), record.value, record.headers)]


def _older(value: bytes, by: timedelta) -> bytes:
    event = json.loads(value)
    event["time"] = (datetime.fromisoformat(event["time"]) - by).isoformat(timespec="milliseconds")
    return json.dumps(event).encode()


def _binary(topic: str, key: bytes, value: bytes) -> Outgoing:
    event = json.loads(value)
    data = json.dumps(event.pop("data")).encode()
    headers = [(f"ce_{name}", text.encode()) for name, text in event.items()]
    return Outgoing(topic, key, data, [*headers, ("content-type", b"application/json")])
