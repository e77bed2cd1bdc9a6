"""The transport of the Faust worker: one partition batch becomes one Faust event, and every seek goes to the ledger's positions.

Faust's extension points are its scheduler, schema, consumer and transport classes; what is overridden beyond them is named
in `tests/integration/kafka/test_faust_contract.py`, which fails when a new version of Faust behaves in another way.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final
from uuid import UUID

import faust
import uvloop
from faust.transport import drivers
from faust.transport.drivers import aiokafka as driver
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP, ConsumerMessage

from .consumer_thread import BatchConsumerThread
from .stretch import Fetched

_log = logging.getLogger(__name__)

SCHEME: Final = "missions-batches"


class BatchScheduler(DefaultSchedulingStrategy):  # type: ignore[misc] # Faust's classes are untyped here
    """Yields what was fetched of each partition in one piece."""

    def iterate(self, records: Mapping[Any, Fetched]) -> Iterator[tuple[Any, Fetched]]:
        """(partition, what was fetched of it), once for each partition."""
        return iter(records.items())


class BatchSchema(faust.Schema):  # type: ignore[misc] # Faust's classes are untyped here
    """Decodes nothing: the event's value is the `Fetched` that the message carries."""

    def compile(self, app: Any, **_: Any) -> Callable[..., Awaitable[Any]]:
        """Faust's hook: the function that makes an event of a message."""

        async def decode(message: Any, *, propagate: bool = False) -> Any:  # noqa: ARG001 - Faust's signature
            return app.create_event(None, message.value, None, message)

        return decode


class BatchConsumer(driver.Consumer):  # type: ignore[misc] # Faust's classes are untyped here
    """Faust's consumer, with the ledger's positions in place of Kafka's committed offsets."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._confirmed: dict[Any, int] = {}
        self._committed: dict[Any, int] = {}

    def _new_consumer_thread(self) -> BatchConsumerThread:
        thread = BatchConsumerThread(self, loop=self.loop, beacon=self.beacon, thread_loop=uvloop.new_event_loop())
        thread._close_thread_loop_on_stop = True
        return thread

    def _to_message(self, tp: Any, record: Fetched) -> ConsumerMessage:
        # Faust would drop as old what a seek delivers again, and would keep an account of gaps that costs an entry for each
        # offset. The lanes keep the order themselves.
        self._read_offset[tp] = None
        last = record.records[-1]
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            last.timestamp_type,
            None,
            None,
            record,
            None,
            tp=TP(tp.topic, tp.partition),
            generation_id=record.generation,
        )

    async def seek_to_committed(self) -> dict[Any, int]:
        """Every way of Faust to a position ends here: all assigned partitions go to the ledger's positions."""
        sought: dict[Any, int] = await self.app.batches.seek(self.assignment())
        return sought

    async def seek_from(self, positions: Mapping[Any, tuple[int, int]]) -> None:
        """Seeks as the thread does, and takes the ledger's positions as confirmed."""
        await self._thread.seek_from(positions)
        for tp, (position, _) in positions.items():
            self._confirmed[tp] = position

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, UUID]:
        """The ids of the topics, where the broker knows them."""
        found: Mapping[str, UUID] = await self._thread.topic_ids(topics)
        return found

    def hold(self, partitions: Iterable[Any]) -> None:
        """Hands over nothing more of these partitions until they are sought again."""
        for tp in partitions:
            stretch = self._thread.stretches.get(tp)
            if stretch is not None:
                stretch.stopped = True

    def applied_to(self, tp: Any) -> int | None:
        """The offset up to which everything is applied; past what holds no record for a reader. None before the first seek."""
        stretch = self._thread.stretches.get(tp)
        if stretch is None:
            return None
        if stretch.stopped or stretch.outstanding:
            return int(stretch.applied_to)
        read_to = self._thread.position_of(tp)
        return int(stretch.applied_to) if read_to is None else int(read_to)

    def is_held_back(self, tp: Any) -> bool:
        """Whether nothing is taken from this partition because records of the others fill the memory."""
        return bool(self._thread.is_held_back(tp))

    def confirmed(self) -> dict[Any, int]:
        """The offset up to which the ledger has confirmed each partition that is being read."""
        stretches = list(self._thread.stretches.items())
        return {tp: stretch.applied_to for tp, stretch in stretches if not stretch.stopped}

    def out_of_range(self, tp: Any) -> None:
        """The broker has no record at the position: the thread has ended the stretch."""
        self.app.batches.out_of_range(tp)

    def ack(self, message: Any) -> bool:
        """The ledger has confirmed everything up to the end of what the message carries."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        fetched: Fetched = message.value
        self._confirmed[message.tp] = fetched.end
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[Any]:
        return iter([tp for tp in self._confirmed if topics is None or tp in topics or tp.topic in topics])

    def _new_offset(self, tp: Any) -> int | None:
        return self._confirmed.get(tp)

    def _should_commit(self, tp: Any, offset: int) -> bool:
        return self._committed.get(tp) != offset

    async def _commit(self, offsets: Mapping[Any, int]) -> bool:
        # Whatever Faust believes, Kafka never hears of more than the ledger has confirmed.
        clamped = {tp: min(offset, self._confirmed[tp]) for tp, offset in offsets.items() if tp in self._confirmed}
        done: bool = await super()._commit(clamped)
        if done:
            self._committed.update(clamped)
        return done

    async def commit_and_end_transactions(self) -> None:
        """The last commit before the end. Nothing that it raises may keep the thread from being stopped."""
        try:
            await super().commit_and_end_transactions()
        except Exception as error:  # noqa: BLE001 - offsets in Kafka are for lag tools only
            _log.info("offsets for lag tools were not committed: %r", error)

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        """Forgets what was confirmed of them: another worker moves the ledger's position now."""
        await self.app.batches.revoked(revoked)
        for tp in revoked:
            self._confirmed.pop(tp, None)
            self._committed.pop(tp, None)
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[Any], generation_id: int = 0) -> None:
        """Tells of the new assignment; Faust seeks it afterwards."""
        self.app.batches.assigned(assigned)
        await super().on_partitions_assigned(assigned, generation_id)

    def highwater(self, tp: Any) -> int | None:
        """The end of the partition's log as last heard, None when it is unknown or the partition is not ours."""
        try:
            end = super().highwater(tp)
        except AssertionError:
            return None
        return None if end is None else int(end)

    def verify_event_path(self, now: float, tp: Any) -> None:
        """Off: a stopped partition is no fault of the stream, and the liveness probe watches the ledger's positions."""

    def close(self) -> None:
        """Off: Faust would close the client from the wrong event loop. The thread closes it when it stops."""


class BatchTransport(driver.Transport):  # type: ignore[misc] # Faust's classes are untyped here
    """Faust's aiokafka transport with the batch consumer."""

    Consumer = BatchConsumer


drivers.TRANSPORTS.aliases[SCHEME] = f"{__name__}:BatchTransport"
