"""Takes events over HTTP: each is checked as the processor will check it, then goes into its Kafka topic like any other."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from time import monotonic
from typing import Protocol

from mission_events import Event, Rejected, UnknownType, decode, topic_of
from services.adapters.deadline import within
from services.adapters.kafka.errors import KafkaProblem
from services.adapters.kafka.producer import Outgoing, Publisher
from services.adapters.ledger.connection import is_passing
from services.adapters.ledger.users import Users
from services.adapters.logs import get_logger
from services.adapters.metrics import HTTP_EVENTS

EVENTS_MAX = 500
"""Events in one call: a batch that is decoded and written within a fraction of a second."""

PUBLISH_SECONDS = 8.0
"""A broker that has not confirmed by then is away; the caller is told to send again, which counts once."""

WAIT_SECONDS_MAX = 10
"""Longest wait for the effect of events; `Prefer: wait` asks for less or gets this."""

LOOK_SECONDS = 4.0
"""One look into the event log takes milliseconds; a ledger that needs longer can't say what came of an event."""

POLL_SECONDS_FIRST = 0.02
POLL_SECONDS_MAX = 0.25
"""Between two looks into the event log: soon at first, as an event usually takes effect within 50 ms; then seldom."""

_log = get_logger(__name__)


class Fate(StrEnum):
    """What became of one event of a call."""

    ACCEPTED = "accepted"
    INVALID = "invalid"
    UNKNOWN_TYPE = "unknown_type"


@dataclass(frozen=True, slots=True)
class Taken:
    """One event of a call: what became of it, and the event itself if it was accepted."""

    fate: Fate
    event: Event | None = None
    id: str | None = None
    rejected: Rejected | None = None


class EventsUnavailable(Exception):
    """Kafka did not confirm every event. Sending all of them again is safe: each counts once."""


class Events(Protocol):
    """Where events are published."""

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Publishes all records. Raises `EventsUnavailable` when that is not known to have happened."""


class EventPublisher:
    """A publisher that is started when it is first needed and replaced after a failure, so that a role runs on without Kafka."""

    def __init__(self, make: Callable[[], Publisher]) -> None:
        self._make = make
        self._publisher: Publisher | None = None
        self._changing = asyncio.Lock()

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Publishes all records and waits until they are written. Raises `EventsUnavailable`."""
        publisher: Publisher | None = None
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                publisher = await self._started()
                await publisher.publish_all(records)
        except (KafkaProblem, OSError, TimeoutError) as error:
            _log.warning("events_not_published", error=repr(error), events=len(records))
            if publisher is not None:
                await self._drop(publisher)
            raise EventsUnavailable from error

    async def close(self) -> None:
        """Ends the publisher."""
        if self._publisher is not None:
            await self._drop(self._publisher)

    async def _started(self) -> Publisher:
        async with self._changing:
            if self._publisher is None:
                publisher = self._make()
                await publisher.start()
                self._publisher = publisher
            return self._publisher

    async def _drop(self, publisher: Publisher) -> None:
        async with self._changing:
            if self._publisher is publisher:
                self._publisher = None
                try:
                    async with asyncio.timeout(PUBLISH_SECONDS):
                        await publisher.stop()
                except (KafkaProblem, OSError, TimeoutError) as error:
                    _log.warning("publisher_not_stopped", error=repr(error))


class TakeEvents:
    """Checks events and puts the good ones into Kafka."""

    def __init__(self, events: Events, users: Users, topic_prefix: str = "") -> None:
        self._events = events
        self._users = users
        self._prefix = topic_prefix

    async def __call__(self, values: Sequence[bytes], now: datetime) -> list[Taken]:
        """What became of each event, in order. Raises `EventsUnavailable`: then none counts as taken."""
        taken = [_check(value, now) for value in values]
        records = [
            Outgoing(self._prefix + topic_of(t.event.type).name, t.event.subject.encode(), value)
            for t, value in zip(taken, values, strict=True)
            if t.event is not None
        ]
        if records:
            await self._events.publish(records)
        for t in taken:
            HTTP_EVENTS.labels(t.fate).inc()
        return taken

    async def wait(self, events: Collection[Event], seconds: float) -> set[tuple[str, str]]:
        """Waits, at most so long, until these events are in the ledger. Gives the (source, id) of those that are known to be."""
        missing = {(e.source, e.id): (e.source, e.id, e.time.date()) for e in events}
        found: set[tuple[str, str]] = set()
        until = monotonic() + min(seconds, WAIT_SECONDS_MAX)
        pause = POLL_SECONDS_FIRST
        while missing:
            try:
                logged = await within(LOOK_SECONDS, self._users.logged(list(missing.values())))
            except Exception as error:
                if not is_passing(error):
                    raise
                _log.warning("waiting_ended", error=repr(error))
                break
            found |= logged
            missing = {key: event for key, event in missing.items() if key not in logged}
            left = until - monotonic()
            if not missing or left <= 0:
                break
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, POLL_SECONDS_MAX)
        return found


def _check(value: bytes, now: datetime) -> Taken:
    decoded = decode(value, record_timestamp=now)
    match decoded:
        case Event():
            return Taken(Fate.ACCEPTED, event=decoded, id=decoded.id)
        case UnknownType():
            return Taken(Fate.UNKNOWN_TYPE, id=decoded.id)
        case Rejected():
            return Taken(Fate.INVALID, rejected=decoded)
