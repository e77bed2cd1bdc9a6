"""What the tests of the worker share: a ledger in memory, a worker that runs inside the test's event loop, waiting on conditions."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient

from services.adapters.kafka.producer import Outgoing, Publisher
from services.adapters.kafka.records import (
    Batch,
    BatchStarts,
    Fenced,
    PartitionId,
    Settle,
    Watch,
    no_batch_starts,
    settle_nothing,
)
from services.adapters.kafka.settings import WorkerSettings
from services.adapters.kafka.worker import Worker, build_worker

PATIENCE_S = 60.0


class Ledger:
    """Positions and what was applied, moved together as the real ledger does it: by compare-and-set."""

    def __init__(self, positions: Mapping[PartitionId, int] | None = None) -> None:
        self.at: dict[PartitionId, int] = dict(positions or {})
        self.applied: dict[PartitionId, list[int]] = defaultdict(list)
        self.values: list[bytes | None] = []
        self.batches: list[Batch] = []
        self.asked = 0

    async def positions(self, partitions: AbstractSet[PartitionId]) -> Mapping[PartitionId, int]:
        self.asked += 1
        return {partition: self.at[partition] for partition in partitions if partition in self.at}

    async def handle(self, batch: Batch) -> None:
        self.apply(batch)

    def apply(self, batch: Batch) -> None:
        at = self.at.get(batch.partition, batch.start)
        if at != batch.start:
            raise Fenced(f"at {at}, not at {batch.start}")
        self.at[batch.partition] = batch.end
        self.applied[batch.partition].extend(record.offset for record in batch.records)
        self.values.extend(record.value for record in batch.records)
        self.batches.append(batch)

    @property
    def count(self) -> int:
        return sum(len(offsets) for offsets in self.applied.values())


class Seen:
    """What a worker reported."""

    def __init__(self) -> None:
        self.assigned: list[AbstractSet[PartitionId]] = []
        self.revoked: list[AbstractSet[PartitionId]] = []
        self.gaps: list[tuple[PartitionId, int, int]] = []
        self.lost: list[tuple[PartitionId, int, int]] = []
        self.reseeks: list[tuple[PartitionId, str]] = []
        self.halts: list[tuple[PartitionId, str]] = []

    def watch(self) -> Watch:
        return Watch(
            on_assigned=self.assigned.append,
            on_revoked=self.revoked.append,
            on_gap=lambda *what: self.gaps.append(what),
            on_below_log_start=lambda *what: self.lost.append(what),
            on_reseek=lambda *what: self.reseeks.append(what),
            on_halt=lambda *what: self.halts.append(what),
        )


def new_group() -> str:
    return f"g-{uuid.uuid4().hex[:12]}"


@asynccontextmanager
async def running(
    bootstrap: str,
    topics: list[str],
    ledger: Ledger,
    *,
    handle: Callable[[Batch], Awaitable[None]] | None = None,
    group: str | None = None,
    seen: Seen | None = None,
    batch_size_max: int = 4000,
    records_in_memory_max: int = 64_000,
    lookback: int = 0,
    batch_starts: BatchStarts = no_batch_starts,
    settle: Settle = settle_nothing,
    ledger_look_s: float = PATIENCE_S,
    prepare: Callable[[Worker], None] = lambda worker: None,
) -> AsyncIterator[Worker]:
    """A worker that has joined its group, stopped at the end."""
    settings = WorkerSettings(
        bootstrap=bootstrap,
        group=group or new_group(),
        batch_size_max=batch_size_max,
        records_in_memory_max=records_in_memory_max,
        lookback=lookback,
        ledger_look_s=ledger_look_s,
    )
    worker = build_worker(
        settings,
        topics,
        handle or ledger.handle,
        ledger.positions,
        (seen or Seen()).watch(),
        batch_starts=batch_starts,
        settle=settle,
    )
    prepare(worker)
    run = asyncio.create_task(worker.run(own_process=False))
    try:
        await until(lambda: run.done() or worker.ready(), "the worker is ready")
        if not run.done():
            yield worker
    finally:
        worker.stop()
        await run


async def until(condition: Callable[[], object], what: str) -> None:
    """Waits until the condition holds; fails when it does not within `PATIENCE_S`."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - conditions over other people's state
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"waited in vain until {what}") from None


async def fill(publisher: Publisher, topic: str, count: int, partition: int = 0, first: int = 0) -> None:
    """Publishes `count` records with the values `first`, `first` + 1, …"""
    await publisher.publish_all(
        Outgoing(topic, b"user-1", str(number).encode(), partition=partition) for number in range(first, first + count)
    )


async def fill_in_vain(publisher: Publisher, topic: str, count: int, first: int) -> None:
    """Publishes in a transaction that is then taken back."""
    with contextlib.suppress(LookupError):
        async with publisher.transaction():
            await fill(publisher, topic, count, first=first)
            raise LookupError


async def members_of(bootstrap: str, group: str) -> int:
    """How many members the group has, as the broker knows it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        (response,) = await admin.describe_consumer_groups([group])
        return len(response.to_object()["groups"][0]["members"])
    finally:
        await admin.close()
