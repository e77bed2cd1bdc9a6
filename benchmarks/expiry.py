"""`python -m benchmarks.expiry`: a million assignments ended in one run, and what the processor feels of it meanwhile."""

import argparse
import asyncio
import secrets
import statistics
import sys
import tempfile
import time as clock
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec.structs import replace
from rich.console import Console
from rich.progress import Progress

from mission_events import XpEarned, encode_event
from services.adapters.catalogue_files import default_missions
from services.adapters.kafka.producer import partition_for
from services.adapters.kafka.records import Batch, PartitionId
from services.adapters.ledger.batch import BatchLedger
from services.adapters.ledger.catalogue import CatalogueStore
from services.adapters.ledger.connection import BATCH_PLANNER_SETTINGS, Pool, open_pool
from services.adapters.ledger.migrate import migrate
from services.adapters.ledger.sweep import SweepLedger
from services.adapters.logs import configure_logs
from services.adapters.projection import Projection
from services.missions.decide import issue_now
from services.missions.state import UserState, encode_state
from services.operations.catalogue import CatalogueWatcher
from services.operations.expire import expire_overdue
from services.processor.apply_batch import ApplyBatch
from services.stack.ports import Ports
from services.stack.providers import embedded_servers
from services.stack.server import Servers

BATCH_EVENTS = 2000
QUIET_BATCHES = 30
TOPIC = "learning.xp-earned"


@dataclass(frozen=True)
class Record:
    """A record as Kafka's client hands it over."""

    offset: int
    value: bytes | None
    key: bytes | None
    timestamp: int
    timestamp_type: int = 0
    headers: Sequence[tuple[str, bytes | None]] = ()


def main() -> None:
    """Prepares the ledger, measures batches without and with the sweep beside them, prints the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assignments", type=int, default=1_000_000)
    parser.add_argument("--sweep", metavar="DSN", help="only sweep this ledger (used by the benchmark itself)")
    arguments = parser.parse_args()
    if arguments.sweep:
        asyncio.run(_sweep(arguments.sweep))
        return
    with tempfile.TemporaryDirectory(prefix="missions-expiry-") as directory:
        Path(directory).chmod(0o711)
        servers = embedded_servers(Path(directory), Ports.free())
        try:
            servers.postgres.start()
            servers.redis.start()
            asyncio.run(_measure(servers, arguments.assignments))
        finally:
            servers.stop()


async def _measure(servers: Servers, wanted: int) -> None:
    console = Console()
    dsn = servers.addresses.postgres_dsn
    await migrate(dsn, datetime.now(UTC).date())
    pool = await open_pool(dsn, size=6, application="benchmark", planner=BATCH_PLANNER_SETTINGS)
    await CatalogueStore(pool).publish(default_missions())
    catalogue = CatalogueWatcher(CatalogueStore(pool))
    await catalogue.load()
    now = datetime.now(UTC)
    assignments = await _fill(pool, catalogue, wanted, now - timedelta(days=4))
    projection = Projection.connect(servers.addresses.redis_url, timeout_seconds=5)
    apply = ApplyBatch(BatchLedger(pool, _partition_of), projection, catalogue, lanes_max=1)
    stream = Stream(apply, now)
    for _ in range(5):
        await stream.batch()  # warms caches and plans
    quiet = [await stream.batch() for _ in range(QUIET_BATCHES)]

    busy = []
    with Progress(console=console) as progress:
        bar = progress.add_task("assignments ended", total=assignments)
        started = clock.perf_counter()
        sweep = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.expiry", "--sweep", dsn, stdout=asyncio.subprocess.PIPE
        )
        counting = asyncio.create_task(_count(sweep, lambda done: progress.update(bar, completed=done)))
        while sweep.returncode is None:
            busy.append(await stream.batch())
        ended = await counting
    seconds = clock.perf_counter() - started
    left = await pool.fetchval("select count(*) from assignment where status = 'IN_PROGRESS' and expires_at < $1", now)
    console.print(f"{ended:,} assignments ended in {seconds:.0f} s ({ended / seconds:,.0f}/s), {left} left over")
    console.print(f"batches of {BATCH_EVENTS}: median {_ms(quiet)} alone, {_ms(busy)} beside the sweep")
    ratio = statistics.median(busy) / statistics.median(quiet)
    worst = max(busy) / statistics.median(quiet)
    console.print(f"beside the sweep a batch takes {ratio:.2f} x as long, the slowest of {len(busy)} {worst:.1f} x")
    await pool.close()
    await projection.close()


async def _fill(pool: Pool, catalogue: CatalogueWatcher, wanted: int, day: datetime) -> int:
    """Users whose missions were issued some days ago and never completed."""
    template = UserState("template", version=1, stamp=1)
    issued = issue_now(template, day, catalogue.current()).issued
    users = wanted // len(issued) + 1

    def user_rows() -> list[tuple[object, ...]]:
        return [
            (
                f"user-{n}",
                1,
                1,
                encode_state(replace(template, user_id=f"user-{n}")),
                template.issued[0].ends_at,
                day.date(),
            )
            for n in range(users)
        ]

    async with pool.acquire() as connection:
        columns = ["user_id", "version", "stamp", "state", "next_issue_at", "last_active_day"]
        await connection.copy_records_to_table("user_state", records=user_rows(), columns=columns)
        for assignment in issued:
            await connection.copy_records_to_table(
                "assignment",
                records=(
                    (f"user-{n}", assignment.mission_id, assignment.starts_at, _uuid(), 1, assignment.expires_at)
                    for n in range(users)
                ),
                columns=["user_id", "mission_id", "starts_at", "assignment_id", "mission_version", "expires_at"],
            )
        await connection.execute("analyze")
    return users * len(issued)


class Stream:
    """Batches of XP events of users who are active today."""

    def __init__(self, apply: ApplyBatch, now: datetime) -> None:
        self._apply = apply
        self._now = now
        self._offset = 0

    async def batch(self) -> float:
        """Applies one batch; returns how long that took, in seconds."""
        at = int(self._now.timestamp() * 1000)
        records = []
        for _ in range(BATCH_EVENTS):
            user = f"active-{self._offset % 20_000}"
            data = XpEarned(amount=1, xp_source="lesson")
            value = encode_event(data, event_id=secrets.token_hex(8), source="benchmark", subject=user, time=self._now)
            records.append(Record(self._offset, value, user.encode(), at))
            self._offset += 1
        first = records[0].offset
        started = clock.perf_counter()
        await self._apply(Batch(PartitionId(TOPIC, 0), records, first, self._offset, 1))
        return clock.perf_counter() - started


async def _count(sweep: asyncio.subprocess.Process, told: Callable[[int], None]) -> int:
    """Follows the sweep's count to its end."""
    assert sweep.stdout is not None
    ended = 0
    async for line in sweep.stdout:
        ended = int(line)
        told(ended)
    await sweep.wait()
    return ended


async def _sweep(dsn: str) -> None:
    """The sweep, as the scheduler's process does it; prints how many are ended after each chunk."""
    configure_logs("sweep")
    pool = await open_pool(dsn, size=2, application="sweep")
    catalogue = CatalogueWatcher(CatalogueStore(pool))
    await catalogue.load()
    ledger = SweepLedger(pool, _partition_of)
    now = datetime.now(UTC)
    await expire_overdue(ledger, catalogue, _nothing_unread, now, progress=lambda done: print(done, flush=True))
    await pool.close()


async def _nothing_unread() -> Mapping[PartitionId, int]:
    return {}


def _uuid() -> uuid.UUID:
    return uuid.uuid4()


def _partition_of(key: bytes | None) -> int:
    return partition_for(key, 4)


def _ms(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.0f} ms"


if __name__ == "__main__":
    main()
