"""Wires the processor: Kafka's batches -> `ApplyBatch` -> ledger and projection."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial

from mission_events import TOPICS_IN
from services.adapters import metrics
from services.adapters.huge_pages import keep_in_huge_pages
from services.adapters.inside import InsideServer, check
from services.adapters.kafka.access import require_sign_in, security_of
from services.adapters.kafka.admin import end_offsets
from services.adapters.kafka.records import PartitionId, Watch
from services.adapters.kafka.settings import WorkerSettings
from services.adapters.kafka.worker import Worker, build_worker
from services.adapters.ledger.batch import BatchLedger, PartitionKey
from services.adapters.ledger.connection import BATCH_PLANNER_SETTINGS
from services.adapters.ledger.partitions import PartitionStore
from services.adapters.logs import get_logger
from services.adapters.projection import Projection
from services.operations.repair import keep_repaired
from services.operations.startup import (
    background,
    crash_points_of,
    load_catalogue,
    open_ledger,
    open_projection,
    partition_chooser,
    spare_collector,
)

from .apply_batch import STEPS, ApplyBatch
from .guard import PartitionGuard
from .settings import ProcessorSettings
from .stall import StallWatch

COLLECT_AFTER_OBJECTS = 3_000_000
"""Containers more than were freed: above what the largest usual batch holds at once."""

LOOKBACK = 400
"""Records of a partition that are read again at least when it is sought, to tell Redis of them. What a killed worker had committed and not
told is its last batch; what it could not tell while Redis was away is known to nobody then, and most of it is among these."""

SETTLE_SECONDS = 1.0
"""For one small statement that the group, or the end of the process, waits for."""

GAUGES_SECONDS = 2.0
"""How often lag and assignment are measured: finer than any scrape."""

logger = get_logger(__name__)


async def run(settings: ProcessorSettings) -> None:
    """Runs the processor until SIGTERM or SIGINT. Raises `StartError` and the worker's errors when it can't start."""
    crashes = crash_points_of("processor", STEPS)
    _calm_collector()
    connections = settings.lanes_max + 2
    security, group = security_of(settings), settings.topic_prefix + settings.consumer_group
    await require_sign_in(settings.kafka_bootstrap, security, group=group)
    ledger_of = open_ledger(settings, "processor", size=connections, planner=BATCH_PLANNER_SETTINGS, stateless=True)
    async with ledger_of as pool, open_projection(settings) as projection:
        catalogue = await load_catalogue(pool)
        ledger = BatchLedger(pool, partition_chooser(settings))
        apply_batch = ApplyBatch(
            ledger,
            projection,
            catalogue,
            lanes_max=settings.lanes_max,
            streak_source=settings.streak_source,
            users_in_memory_max=settings.users_in_memory_max,
            records_max=settings.batch_size_max,
            at_step=crashes.at_step if crashes.armed else None,
        )
        guard = PartitionGuard(PartitionStore(pool), settings.on_data_loss, retries=apply_batch.retries)
        topics = [topic.with_prefix(settings.topic_prefix).name for topic in TOPICS_IN]
        worker = build_worker(
            WorkerSettings(
                bootstrap=settings.kafka_bootstrap,
                group=group,
                batch_size_max=settings.batch_size_max,
                security=security,
                lookback=LOOKBACK,
            ),
            topics,
            apply_batch,
            partial(_read_offsets, guard, ledger.positions),
            _watch(apply_batch),
            guard.review,
            partial(_read_offsets, guard, ledger.batch_starts),
            partial(_settle, ledger, projection),
        )

        stall = StallWatch(
            worker,
            partial(end_offsets, settings.kafka_bootstrap, topics, security=security),
            lambda: apply_batch.retries.retried_at,
            settings.stall_seconds,
        )

        async def ready() -> Mapping[str, str | None]:
            return {
                "kafka": None if worker.ready() else "not a member of its group yet",
                "postgres": await check(lambda: pool.fetchval("select 1")),
                "partitions": _halted(worker),
            }

        inside = InsideServer(settings.inside_port, lambda: stall.trouble, ready, host=settings.inside_host)
        side_work = (
            catalogue.watch(),
            guard.follow(worker),
            stall.run(),
            _measure(worker),
            keep_repaired(projection, ledger.load_users),
            *([keep_in_huge_pages()] if settings.huge_pages else []),
        )
        spare_collector()
        async with background(*side_work), inside.running():
            await worker.run()


def _calm_collector() -> None:
    """Lets Python's collector look once a batch or so. A batch makes tens of thousands of objects and keeps none; with the
    defaults the collector walks them again and again, which took a quarter of the time of a batch."""
    gc.set_threshold(COLLECT_AFTER_OBJECTS, 20, 100)


async def _read_offsets(
    guard: PartitionGuard,
    read: Callable[[Sequence[PartitionKey]], Awaitable[Mapping[PartitionKey, int]]],
    partitions: AbstractSet[PartitionId],
) -> Mapping[PartitionId, int]:
    found = await guard.retrying("positions_not_read", lambda: read(list(partitions)))
    return {PartitionId(*key): offset for key, offset in found.items()}


async def _settle(ledger: BatchLedger, projection: Projection, offsets: Mapping[PartitionId, int]) -> None:
    """Saves whoever goes on the reading of the last batches, where nothing is left to tell Redis."""
    if projection.has_missed:
        return
    try:
        async with asyncio.timeout(SETTLE_SECONDS):
            await ledger.settle(offsets.items())
    except Exception as error:  # noqa: BLE001 - then the last batches are read again, as after a kill
        logger.info("positions_not_settled", error=repr(error))


def _watch(apply_batch: ApplyBatch) -> Watch:
    halted: dict[PartitionId, str] = {}

    def halt(partition: PartitionId, reason: str) -> None:
        halted[partition] = reason.partition(":")[0]
        metrics.HALTED.labels(partition.topic, str(partition.partition), halted[partition]).set(1)

    def runs(partitions: AbstractSet[PartitionId]) -> None:
        for partition in partitions & halted.keys():
            metrics.HALTED.remove(partition.topic, str(partition.partition), halted.pop(partition))

    def revoked(partitions: AbstractSet[PartitionId]) -> None:
        runs(partitions)
        apply_batch.forget_users()

    def reseek(partition: PartitionId, reason: str) -> None:
        metrics.RESEEKS.labels(partition.topic, reason).inc()
        if reason == "resumed":
            runs({partition})

    return Watch(
        on_assigned=runs,
        on_revoked=revoked,
        on_gap=lambda partition, expected, got: logger.warning(
            "offsets_without_records", partition=str(partition), from_offset=expected, to_offset=got
        ),
        on_reseek=reseek,
        on_halt=halt,
    )


def _halted(worker: Worker) -> str | None:
    halted = worker.halted()
    return "; ".join(f"{partition} is stopped: {reason}" for partition, reason in halted.items()) or None


async def _measure(worker: Worker) -> None:
    while True:
        assignment = worker.assignment()
        metrics.ASSIGNED.set(len(assignment))
        for partition, lag in worker.lag().items():
            metrics.LAG.labels(partition.topic, str(partition.partition)).set(lag)
        await asyncio.sleep(GAUGES_SECONDS)
