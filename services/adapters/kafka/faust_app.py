"""The one Faust application: nothing of it but the stream of batches, its rebalances and its seeks."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol

import faust
from faust.app import BootStrategy

from .settings import (
    FETCH_BYTES_MAX,
    HEARTBEAT_S,
    NO_TIMEOUT_S,
    REBALANCE_TIMEOUT_S,
    SESSION_TIMEOUT_S,
    WorkerSettings,
)
from .stretch import Fetched
from .transport import SCHEME, BatchScheduler, BatchSchema

_log = logging.getLogger(__name__)


class Batches(Protocol):
    """What the application asks of the worker around it."""

    settings: WorkerSettings

    def deliver(self, fetched: Fetched, event: Any) -> None:
        """One Faust event: what was fetched of one partition; `event.ack()` acknowledges it."""

    def seek(self, assigned: AbstractSet[Any]) -> Awaitable[dict[Any, int]]:
        """Seeks the partitions to the ledger's positions and returns where they went."""

    def revoked(self, partitions: AbstractSet[Any]) -> Awaitable[None]:
        """The partitions are no longer ours."""

    def assigned(self, partitions: AbstractSet[Any]) -> None:
        """The partitions are ours from now on."""

    def out_of_range(self, partition: Any) -> None:
        """The broker has no record at the partition's position."""


class _Boot(BootStrategy):  # type: ignore[misc] # Faust's classes are untyped here
    enable_web = False
    # Faust's own producer is not idempotent; nothing is published through it.
    enable_kafka_producer = False


class BatchApp(faust.App):  # type: ignore[misc] # Faust's classes are untyped here
    """A Faust application that knows the worker which it serves."""

    BootStrategy = _Boot

    def __init__(self, batches: Batches, **options: Any) -> None:
        self.batches = batches
        super().__init__(batches.settings.group, **options)

    def _create_directories(self) -> None:
        """Off: there are no tables to keep on disk."""


def create_app(batches: Batches, topics: Sequence[str]) -> BatchApp:
    """An application with one agent that hands every batch of the topics to `batches.deliver`, and never acknowledges itself."""
    hosts = ",".join(f"{SCHEME}://{host.strip()}" for host in batches.settings.bootstrap.split(","))
    app = BatchApp(
        batches,
        broker=hosts,
        env_prefix="MISSIONS_FAUST_",
        autodiscover=False,
        web_enabled=False,
        store="memory://",
        processing_guarantee="at_least_once",
        ConsumerScheduler=BatchScheduler,
        stream_wait_empty=False,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=HEARTBEAT_S,
        broker_rebalance_timeout=REBALANCE_TIMEOUT_S,
        # The consumer has its own. Here it bounds how long a seek may wait for the ledger: Faust would stop for good.
        broker_request_timeout=NO_TIMEOUT_S,
        broker_max_poll_records=batches.settings.batch_size_max,
        consumer_max_fetch_size=FETCH_BYTES_MAX,
        worker_redirect_stdouts=False,
    )

    async def hand_over(stream: Any) -> None:
        async for event in stream.noack().events():
            batches.deliver(event.value, event)

    app.agent(app.topic(*topics, schema=BatchSchema()), name="batches")(hand_over)
    app.finalize()
    return app
