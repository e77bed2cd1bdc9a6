"""Judges partitions before they are read, and follows what operators say: a stopped one stays stopped in every process.

The ledger says which partitions are stopped; every process asks it when it seeks, and every second whether they may go on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Protocol, TypeVar
from uuid import UUID

import structlog

from services.adapters import metrics
from services.adapters.kafka.errors import KafkaProblem
from services.adapters.kafka.records import Halt, LogState, PartitionId
from services.adapters.ledger.partitions import Account, PartitionStore, PartitionTransaction
from services.adapters.ledger.stops import StopReason

from .retries import Retries

FOLLOW_SECONDS = 1.0
"""Between two looks at which partitions are stopped: one probe of an index that is empty nearly always."""

TOPIC_IDS_SECONDS = 10.0
"""Between two looks at the topics' ids. A topic that was made anew and is soon longer than the old position would be read on
from there: what was applied until it is noticed counts once all the same, and its restart reads it from the beginning."""

Answer = TypeVar("Answer")
logger = structlog.get_logger(__name__)


class OnLoss(StrEnum):
    """What becomes of a partition whose records retention has deleted before they were applied."""

    CONTINUE = "continue"
    """It goes on with what is left, with an alarm: standing still would lose more."""
    STOP = "stop"
    """It is stopped, with an alarm, until an operator resumes it."""


class Worker(Protocol):
    """What the guard asks of the Kafka worker."""

    def assignment(self) -> set[PartitionId]:
        """The partitions that are ours now."""

    def halted(self) -> dict[PartitionId, str]:
        """The stopped partitions, with the reason."""

    def resume(self, partition: PartitionId) -> None:
        """Hands over a stopped partition again, from the ledger's position."""

    def reseek(self, partition: PartitionId, reason: str) -> None:
        """Sends one partition back to the ledger's position."""

    def topic_ids(self) -> Awaitable[Mapping[str, UUID]]:
        """The ids of the topics that are read."""


class PartitionGuard:
    """Stands between the log and the lanes: nothing is read whose account does not fit it."""

    def __init__(
        self,
        store: PartitionStore,
        on_loss: OnLoss,
        *,
        retries: Retries | None = None,
        follow_seconds: float = FOLLOW_SECONDS,
    ) -> None:
        self._store = store
        self._on_loss = on_loss
        self._follow_seconds = follow_seconds
        self._topic_ids: dict[str, UUID] = {}
        self._retries = retries or Retries()

    async def review(self, states: Mapping[PartitionId, LogState]) -> Mapping[PartitionId, int | Halt]:
        """The worker's `Review`: what does not fit is stopped in the ledger before it is stopped here."""
        return await self.retrying("partitions_not_reviewed", lambda: self._review(states))

    async def _review(self, states: Mapping[PartitionId, LogState]) -> Mapping[PartitionId, int | Halt]:
        accounts = await self._store.accounts(list(states))
        verdicts: dict[PartitionId, int | Halt] = {}
        async with self._store.transaction() as transaction:
            for partition, state in sorted(states.items()):
                if state.topic_id is not None:
                    self._topic_ids[partition.topic] = state.topic_id
                verdicts[partition] = await self._judge(transaction, partition, state, accounts.get(partition))
        return verdicts

    async def _judge(
        self, transaction: PartitionTransaction, partition: PartitionId, state: LogState, account: Account | None
    ) -> int | Halt:
        if account is not None and account.stop is not None:
            return Halt(account.stop.text)
        position = state.start if state.position is None else state.position
        known = None if account is None else account.topic_id
        if known is not None and state.topic_id is not None and known != state.topic_id:
            detail = f"the account is of topic id {known}, Kafka has {state.topic_id}"
            return await self._stop(transaction, partition, position, StopReason.RECREATED, detail)
        if position > state.end:
            detail = f"the position is {position}, the log ends at {state.end}"
            return await self._stop(transaction, partition, position, StopReason.TRUNCATED, detail)
        if position < state.start:
            return await self._lose(transaction, partition, position, state.start)
        if account is None or (known is None and state.topic_id is not None):
            await transaction.open(partition, position, state.topic_id)
        return position

    async def _lose(
        self, transaction: PartitionTransaction, partition: PartitionId, position: int, start: int
    ) -> int | Halt:
        lost = start - position
        await transaction.note_loss(partition, position, start)
        metrics.RECORDS_LOST.labels(partition.topic).inc(lost)
        logger.error("records_lost", partition=str(partition), from_offset=position, to_offset=start, records=lost)
        if self._on_loss is OnLoss.STOP:
            detail = f"records [{position}, {start}) are gone: {lost} that were never applied"
            return await self._stop(transaction, partition, position, StopReason.LOST, detail)
        passed = await transaction.accept_losses(partition)
        return position + passed

    async def _stop(
        self, transaction: PartitionTransaction, partition: PartitionId, position: int, reason: StopReason, detail: str
    ) -> Halt:
        await transaction.stop(partition, position, reason, detail)
        return Halt(reason.line(*partition, detail))

    async def follow(self, worker: Worker) -> None:
        """Lets partitions go on when operators say so, and has those judged again whose topic was made anew. Runs for ever."""
        loop = asyncio.get_running_loop()
        ids_at = loop.time()
        while True:
            await asyncio.sleep(self._follow_seconds)
            if halted := worker.halted():
                stops = await self.retrying("stops_not_read", self._store.stops)
                still = {PartitionId(stop.topic, stop.partition) for stop in stops}
                for partition in halted.keys() - still:
                    worker.resume(partition)
            if loop.time() - ids_at >= TOPIC_IDS_SECONDS:
                await self._look_at_topics(worker)
                ids_at = loop.time()

    async def _look_at_topics(self, worker: Worker) -> None:
        try:
            found = await worker.topic_ids()
        except KafkaProblem as error:
            logger.info("topic_ids_not_read", error=repr(error))
            return
        changed = {topic for topic, known in self._topic_ids.items() if found.get(topic, known) != known}
        for partition in worker.assignment() - worker.halted().keys():
            if partition.topic in changed:
                worker.reseek(partition, "topic-changed")

    async def retrying(self, event: str, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Asks the ledger until it answers."""

        def failed(error: Exception, seconds: float) -> None:
            logger.warning(event, error=repr(error), wait_seconds=seconds)

        return await self._retries.until_answered(ask, failed)
