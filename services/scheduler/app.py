"""Wires the scheduler: a look at the clock every few seconds, until it is told to stop."""

import asyncio
import signal
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from time import monotonic

from mission_events import TOPICS_IN
from services.adapters import metrics
from services.adapters.inside import InsideServer, check
from services.adapters.kafka.access import require_sign_in, security_of
from services.adapters.kafka.admin import end_offsets
from services.adapters.kafka.errors import BrokerUnreachable
from services.adapters.ledger.connection import is_passing
from services.adapters.ledger.sweep import SweepLedger
from services.adapters.ledger.users import Users
from services.adapters.logs import get_logger
from services.adapters.projection import ProjectionUnavailable
from services.operations.clockwork import Clockwork
from services.operations.issue import Issuer
from services.operations.repair import reconcile
from services.operations.startup import (
    background,
    crash_points_of,
    load_catalogue,
    open_ledger,
    open_projection,
    partition_chooser,
)

from .settings import SchedulerSettings
from .tick import CHUNKS, tick

STALLED_SECONDS = 600
"""A look that takes longer has hung: the probe says so and the process is started again."""

logger = get_logger(__name__)


async def run(settings: SchedulerSettings) -> None:
    """Runs the scheduler until SIGTERM or SIGINT. Raises `StartError` when it can't start."""
    crashes = crash_points_of("scheduler", CHUNKS)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    security = security_of(settings)
    await require_sign_in(settings.kafka_bootstrap, security)
    async with open_ledger(settings, "scheduler", size=4) as pool, open_projection(settings) as projection:
        catalogue = await load_catalogue(pool)
        chooser = partition_chooser(settings)
        ledger = SweepLedger(pool, chooser)
        users = Users(pool, chooser)
        issuer = Issuer(users, projection, catalogue, settings.streak_source)
        topics = [topic.with_prefix(settings.topic_prefix).name for topic in TOPICS_IN]
        clockwork = Clockwork(
            ledger,
            users,
            issuer,
            projection,
            catalogue,
            partial(end_offsets, settings.kafka_bootstrap, topics, security=security),
        )
        last_look = monotonic()
        reconciled = ""

        async def ready() -> Mapping[str, str | None]:
            return {"postgres": await check(lambda: pool.fetchval("select 1"))}

        def live() -> str | None:
            silent = monotonic() - last_look
            return None if silent < STALLED_SECONDS else f"the clock was last looked at {silent:.0f} s ago"

        async def look() -> None:
            nonlocal last_look, reconciled
            try:
                now = datetime.now(UTC)
                await tick(
                    ledger,
                    clockwork,
                    now,
                    active_days=settings.active_days,
                    event_log_days=settings.event_log_days,
                    told=crashes.passes,
                )
                metrics.LAST_TICK.set_to_current_time()
                reconciled = await reconcile(ledger, projection, reconciled)
            except (ProjectionUnavailable, BrokerUnreachable) as error:
                logger.warning("tick_failed", error=str(error))
            except Exception as error:
                if not is_passing(error):
                    raise
                logger.warning("tick_failed", error=repr(error))
            last_look = monotonic()

        inside = InsideServer(settings.inside_port, live, ready, host=settings.inside_host)
        async with background(catalogue.watch()), inside.running():
            while not stop.is_set():
                await look()
                await _wait(stop, settings.tick_seconds)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
