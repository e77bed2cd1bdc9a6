"""The Kafka worker: hands over whole batches of each partition in order, from the ledger's positions, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final
from uuid import UUID

from aiokafka.errors import IllegalStateError, KafkaError

from .admin import missing_topics
from .errors import BrokerUnreachable, TopicsMissing, WorkerFailed
from .faust_app import BatchApp, create_app
from .lanes import Lanes
from .records import (
    BatchStarts,
    Handle,
    Mark,
    PartitionId,
    Positions,
    Review,
    Settle,
    Watch,
    no_batch_starts,
    review_positions,
    settle_nothing,
)
from .seeking import Seeker
from .settings import DRAIN_S, HANDLERS_DRAIN_S, LET_GO_S, WorkerSettings
from .stretch import Fetched, Stretch

_log = logging.getLogger(__name__)

EXIT_BROKEN: Final = 70
"""A broken invariant (EX_SOFTWARE). Restart: it is always safe."""

SETBACK_DELAY_FIRST_S: Final = 0.1
SETBACK_DELAY_MAX_S: Final = 5.0
"""Between seeks of a partition that makes no progress: two owners that fence each other must not spin."""

CRASH_POLL_S: Final = 0.5


def build_worker(
    settings: WorkerSettings,
    topics: Sequence[str],
    handle: Handle,
    positions: Positions,
    watch: Watch | None = None,
    review: Review = review_positions,
    batch_starts: BatchStarts = no_batch_starts,
    settle: Settle = settle_nothing,
) -> Worker:
    """A worker that reads all partitions of `topics` that its group gives it. `await worker.run()` runs it."""
    watch = watch or Watch()
    seeker = Seeker(positions, review, watch, settings.lookback, batch_starts)
    return Worker(settings, topics, handle, seeker, watch, settle)


class Worker:
    """One member of the consumer group. Its methods belong to the event loop that runs it."""

    def __init__(
        self,
        settings: WorkerSettings,
        topics: Sequence[str],
        handle: Handle,
        seeker: Seeker,
        watch: Watch,
        settle: Settle,
    ) -> None:
        self.settings = settings
        self._topics = list(topics)
        self._watch = watch
        self._settle = settle
        self._lanes = Lanes(handle, self, settings.batch_size_max)
        self._seeker = seeker
        self._app: BatchApp | None = None
        self._seeks: dict[PartitionId, asyncio.Task[None]] = {}
        self._setbacks: dict[PartitionId, int] = {}
        self._halted: dict[PartitionId, str] = {}
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None
        self._owns_process = True
        self._thread_answered = True

    # For the role that runs it.

    async def run(self, *, own_process: bool = True) -> None:
        """Runs until `stop` is called or SIGTERM or SIGINT comes, then drains within `DRAIN_S` and leaves the group.

        With `own_process`, a broken invariant ends the process with `EXIT_BROKEN`, and a drain that hangs ends it with 0:
        what was not finished is delivered again. Without, signals are left alone and WorkerFailed is raised.
        Raises TopicsMissing and BrokerUnreachable at the start.
        """
        self._owns_process = own_process
        missing = await missing_topics(self.settings.bootstrap, self._topics, security=self.settings.security)
        if missing:
            raise TopicsMissing(missing, self.settings.bootstrap)
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT) if own_process else ()
        for number in signals:
            loop.add_signal_handler(number, self.stop)
        self._app = create_app(self, self._topics)
        side_work = [asyncio.create_task(work) for work in (self._watch_crash(self._app), self._follow_ledger())]
        starting = asyncio.create_task(self._app.start())
        starting.add_done_callback(self._started)
        try:
            await self._stop.wait()
        finally:
            await self._shut_down(self._app, starting)
            for task in side_work:
                task.cancel()
            for number in signals:
                loop.remove_signal_handler(number)
        if self._failure is not None:
            raise WorkerFailed(f"the worker has stopped: {self._failure!r}") from self._failure

    def stop(self) -> None:
        """Asks `run` to drain and return."""
        self._stop.set()

    def resume(self, partition: PartitionId) -> None:
        """Hands over a stopped partition again, from the ledger's position."""
        if self._halted.pop(partition, None) is not None:
            self.reseek(partition, "resumed")

    # For metrics and probes.

    def ready(self) -> bool:
        """Whether the worker is a member of its group and reads (perhaps from no partition)."""
        app = self._app
        return (
            app is not None
            and not self._stop.is_set()
            and app.tables.recovery.completed.is_set()
            and not app.rebalancing
        )

    def assignment(self) -> set[PartitionId]:
        """The partitions that are ours now."""
        if self._app is None or self._app._consumer is None or self._app.consumer._thread._consumer is None:
            return set()
        return {PartitionId(*tp) for tp in self._app.consumer.assignment()}

    def lag(self) -> dict[PartitionId, int]:
        """Records between what has been applied and the end of the log, for each partition whose end is known."""
        lag: dict[PartitionId, int] = {}
        for partition in self.assignment():
            end = self._consumer.highwater(partition)
            applied = self._consumer.applied_to(partition)
            if end is not None and applied is not None:
                lag[partition] = max(0, end - applied)
        return lag

    def marks(self) -> dict[PartitionId, Mark]:
        """How far each partition is that is ours and not stopped."""
        marks = {}
        for partition in self.assignment() - self._halted.keys():
            seek = self._seeks.get(partition)
            busy = (
                self._lanes.is_handling(partition)
                or (seek is not None and not seek.done())
                or self._consumer.is_held_back(partition)
            )
            marks[partition] = Mark(self._consumer.applied_to(partition), busy)
        return marks

    def thread_answers(self) -> bool:
        """Whether the consumer's thread has answered since this was last asked; asks it again."""
        if self._app is None or self._app._consumer is None:
            return True
        answered, self._thread_answered = self._thread_answered, False

        def answer() -> None:
            self._thread_answered = True

        with contextlib.suppress(RuntimeError):  # its loop is closed: that is no answer
            self._consumer._thread.thread_loop.call_soon_threadsafe(answer)
        return answered

    def last_batch_at(self) -> dict[PartitionId, float]:
        """Unix time at which the last batch of each partition was applied by this worker."""
        return dict(self._lanes.last_batch_at)

    def halted(self) -> dict[PartitionId, str]:
        """The stopped partitions, with the reason."""
        return dict(self._halted)

    async def topic_ids(self) -> Mapping[str, UUID]:
        """The ids of the topics, where the broker knows them. Raises BrokerUnreachable."""
        if self._app is None:
            return {}
        try:
            return dict(await self._consumer.topic_ids(self._topics))
        except KafkaError as error:
            raise BrokerUnreachable(self.settings.bootstrap, error) from error

    # For the Faust application.

    def deliver(self, fetched: Fetched, event: Any) -> None:
        """One Faust event."""
        try:
            self._lanes.offer(fetched, event.ack)
        except Exception as error:  # noqa: BLE001 - Faust would restart its agent and go on without the batch
            self.broken(error)

    async def seek(self, assigned: AbstractSet[Any]) -> dict[Any, int]:
        """Throws the lanes away and seeks all assigned partitions to the ledger's positions."""
        partitions = {PartitionId(*tp) for tp in assigned}
        self._cancel_seeks(set(self._seeks))
        self._consumer.hold(partitions)
        await self._lanes.drop()
        self._halted.clear()
        return dict(await self._seek(partitions)) if partitions else {}

    async def revoked(self, partitions: AbstractSet[Any]) -> None:
        """Ends the lanes of partitions that are no longer ours. Nobody else has them before this returns, so what is in work may be
        finished: taken back, it would be made once more by whoever comes."""
        gone = {PartitionId(*tp) for tp in partitions}
        self._cancel_seeks(gone)
        if offsets := await self._lanes.let_go(gone, LET_GO_S):
            await self._settle(offsets)
        for partition in gone:
            self._halted.pop(partition, None)
            self._setbacks.pop(partition, None)
            self._lanes.last_batch_at.pop(partition, None)
        if gone:
            self._watch.on_revoked(gone)

    def assigned(self, partitions: AbstractSet[Any]) -> None:
        """Tells of the new assignment."""
        self._watch.on_assigned({PartitionId(*tp) for tp in partitions})

    def out_of_range(self, partition: Any) -> None:
        """The log has moved away from under a partition."""
        self.reseek(PartitionId(*partition), "out-of-range")

    # For the lanes.

    def applied(self, partition: PartitionId, stretch: Stretch, records: int) -> None:
        """A batch has been applied and acknowledged."""
        self._setbacks.pop(partition, None)
        self._consumer._thread.freed(stretch, records)

    def gap(self, partition: PartitionId, expected: int, got: int) -> None:
        """The log holds nothing for a reader between the place sought and the first record."""
        self._watch.on_gap(partition, expected, got)

    def halt(self, partition: PartitionId, reason: str) -> None:
        """Stops one partition until it is resumed or assigned again."""
        _log.error("%s is stopped: %s", partition, reason)
        self._halted[partition] = reason
        self._watch.on_halt(partition, reason)

    def reseek(self, partition: PartitionId, reason: str) -> None:
        """Sends one partition back to the ledger's position."""
        if self._stop.is_set():
            return
        self._watch.on_reseek(partition, reason)
        self._cancel_seeks({partition})
        task = asyncio.create_task(self._seek_again(partition), name=f"seek {partition}")
        self._seeks[partition] = task

    def broken(self, error: BaseException) -> None:
        """An invariant is broken: ends the process, or `run` when the process is not ours."""
        _log.critical("broken invariant, the worker ends: %r", error, exc_info=error)
        if self._owns_process:
            _end_process(EXIT_BROKEN)
        self._failure = self._failure or error
        self.stop()

    # Its own.

    @property
    def _consumer(self) -> Any:
        assert self._app is not None  # noqa: S101 - only called while it runs
        return self._app.consumer

    async def _seek(self, partitions: set[PartitionId]) -> dict[PartitionId, int]:
        try:
            sought, halted = await self._seeker.seek(self._consumer, partitions)
        except IllegalStateError:
            raise  # no longer ours: a rebalance is under way, which seeks again
        except Exception as error:
            self.broken(error)
            raise WorkerFailed(f"positions could not be read: {error!r}") from error
        for partition, halt in halted.items():
            self.halt(partition, halt.reason)
        return sought

    async def _seek_again(self, partition: PartitionId) -> None:
        setbacks = self._setbacks.get(partition, 0)
        self._setbacks[partition] = setbacks + 1
        self._consumer.hold({partition})
        await self._lanes.drop({partition})
        if setbacks:
            await asyncio.sleep(min(SETBACK_DELAY_FIRST_S * 2**setbacks, SETBACK_DELAY_MAX_S))
        with contextlib.suppress(IllegalStateError, WorkerFailed):
            await self._seek({partition})

    def _cancel_seeks(self, partitions: AbstractSet[PartitionId]) -> None:
        for partition in partitions:
            task = self._seeks.pop(partition, None)
            if task is not None:
                task.cancel()

    def _started(self, starting: asyncio.Task[None]) -> None:
        if not starting.cancelled() and starting.exception() is not None and not self._stop.is_set():
            self._failure = starting.exception()
            self.stop()

    async def _watch_crash(self, app: BatchApp) -> None:
        while not app.crashed:  # noqa: ASYNC110 - Faust's event may be set from another thread, where nothing wakes us
            await asyncio.sleep(CRASH_POLL_S)
        self.broken(app.crash_reason or RuntimeError("Faust has crashed without a reason"))

    async def _follow_ledger(self) -> None:
        """Sends partitions back whose position went back, as Postgres' does when it loses its last commits in a crash. A lane sees
        that at its next record; a partition to which none comes has nobody else to see it."""
        while True:
            await asyncio.sleep(self.settings.ledger_look_s)
            if not self.ready():
                continue
            confirmed = self._confirmed()
            try:
                behind = await self._seeker.behind(confirmed) if confirmed else set()
            except Exception as error:  # noqa: BLE001 - whatever it is, a position that can't be read is no state to go on from
                self.broken(error)
                return
            # What has been sought meanwhile is where the ledger was then.
            for partition in behind & {p for p, offset in self._confirmed().items() if offset >= confirmed.get(p, 0)}:
                _log.warning("%s was confirmed up to %d: the ledger went back", partition, confirmed[partition])
                self.reseek(partition, "went-back")

    def _confirmed(self) -> dict[PartitionId, int]:
        return {PartitionId(*tp): offset for tp, offset in self._consumer.confirmed().items()}

    async def _shut_down(self, app: BatchApp, starting: asyncio.Task[None]) -> None:
        guard = threading.Timer(DRAIN_S, _abandon)
        guard.daemon = True
        if self._owns_process:
            guard.start()
        try:
            self._cancel_seeks(set(self._seeks))
            if offsets := await self._lanes.drain(HANDLERS_DRAIN_S):
                await self._settle(offsets)
            await app.stop()
            starting.cancel()
            await asyncio.wait([starting])
        finally:
            guard.cancel()


def _abandon() -> None:
    _log.warning("the drain takes more than %.0f s: the process ends without leaving its group", DRAIN_S)
    _end_process(0)


def _end_process(code: int) -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
