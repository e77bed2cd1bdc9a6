"""`python -m benchmarks.sizes`: bytes of Postgres, WAL and Redis by the row, the event and the user, of the events of `make bench`."""

import argparse
import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from services.cli.console import faults_as_lines

from .events import Stream, user_id
from .known_users import issue_to
from .publish import publish
from .report import RESULTS, tell_written
from .rounds import bar
from .sides import Tuning, run_processor
from .sql import queries
from .world import World, begin, connected, create_side, on_fresh_servers

SAMPLE_KEYS = 500
SHOWN_BYTES = 64 * 1024
"""Tables below this are the deployment's, not the users'."""

_SQL = queries("measure")


@dataclass(frozen=True, slots=True)
class TableSize:
    """One table after the run."""

    name: str
    rows_bytes: int
    index_bytes: int
    rows: int

    @property
    def bytes_a_row(self) -> float:
        """With its part of the indexes and of the room that pages keep free."""
        return (self.rows_bytes + self.index_bytes) / self.rows


@dataclass(frozen=True, slots=True)
class Sizes:
    """What so many events of so many users have left."""

    events: int
    users: int
    tables: Sequence[TableSize]
    wal_bytes: int
    """Written while the events were applied."""
    redis_bytes_a_user: float

    @property
    def wal_bytes_an_event(self) -> float:
        """With the pages that are written whole after a checkpoint."""
        return self.wal_bytes / self.events


@dataclass(frozen=True, slots=True)
class Sizing:
    """What a deployment needs, worked out from measured bytes."""

    users: int
    events_a_user_and_day: float
    days_of_log: int

    def gigabytes(self, sizes: Sizes) -> Mapping[str, float]:
        """By what it is for, in GB of 10^9 bytes. Rows that only grow are counted for `days_of_log` days."""
        a_row = {table.name: table.bytes_a_row for table in sizes.tables}
        an_event = {table.name: table.rows / sizes.events for table in sizes.tables}
        events = self.users * self.events_a_user_and_day * self.days_of_log
        return {
            "users (user_state)": self.users * a_row["user_state"] / 1e9,
            "event log": events * a_row["event_log"] / 1e9,
            "XP log": events * an_event["xp_log"] * a_row["xp_log"] / 1e9,
            "Redis": self.users * sizes.redis_bytes_a_user / 1e9,
        }


def main() -> int:
    """Measures one run."""
    arguments = _arguments()
    console = Console()
    begin()
    with faults_as_lines():
        sizes = on_fresh_servers(lambda world: _measure(arguments, world, console), console)
    _show(sizes, console)
    sizing = Sizing(arguments.for_users, arguments.for_events, arguments.for_days)
    for what, gigabytes in sizing.gigabytes(sizes).items():
        console.print(f"{what}: {gigabytes:,.1f} GB", highlight=False)
    document = {"settings": vars(arguments), "sizes": asdict(sizes), "sizing": dict(sizing.gigabytes(sizes))}
    path = RESULTS / "sizes.json"
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    tell_written(path, console)
    return 0


async def _measure(arguments: argparse.Namespace, world: World, console: Console) -> Sizes:
    side = await create_side("processor", world)
    stream = Stream(arguments.events, arguments.users, 1, datetime.now(UTC))
    with bar(console, "missions issued", arguments.users) as told:
        await issue_to(side, range(arguments.users), stream.since, told)
    with bar(console, "events published", arguments.events) as told:
        filled = await publish(stream, side, told=told)
    async with connected(side.addresses.postgres_dsn) as pool:
        before = await pool.fetchval(_SQL["wal_position"])
        with bar(console, "events applied", filled.whole.records) as told:
            await run_processor(world, side, filled.whole.records, Tuning(), told)
        wal = await pool.fetchval(_SQL["wal_since"], before)
        await pool.execute("vacuum analyze")
        tables = [TableSize(*row) for row in await pool.fetch(_SQL["table_sizes"])]
    redis = Redis.from_url(side.addresses.redis_url)
    try:
        users = random.Random(1).sample(range(arguments.users), min(SAMPLE_KEYS, arguments.users))
        used = [await redis.memory_usage(f"{side.prefix}missions:{{{user_id(user)}}}") or 0 for user in users]
    finally:
        await redis.aclose()
    return Sizes(filled.whole.events, arguments.users, tables, int(wal), sum(used) / len(used))


def _show(sizes: Sizes, console: Console) -> None:
    table = Table("table", "rows", "rows an event", "bytes a row", "of which indexes", box=None)
    for each in sizes.tables:
        if each.rows_bytes > SHOWN_BYTES:
            share = each.index_bytes / (each.rows_bytes + each.index_bytes)
            cells = f"{each.rows:,}", f"{each.rows / sizes.events:.2f}", f"{each.bytes_a_row:.0f}", f"{share:.0%}"
            table.add_row(each.name, *cells)
    console.print(table)
    console.print(
        f"WAL: {sizes.wal_bytes_an_event:,.0f} bytes an event; Redis: {sizes.redis_bytes_a_user:,.0f} bytes a user"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizes", description=__doc__)
    add = parser.add_argument
    add("--events", type=int, default=300_000, help="events that are applied (%(default)s)")
    add("--users", type=int, default=50_000, help="users whom they are about (%(default)s)")
    add("--for-users", type=int, default=1_000_000, help="size a deployment for so many users (%(default)s)")
    add("--for-events", type=float, default=30, help="with so many events a user and day (%(default)s)")
    add("--for-days", type=int, default=30, help="and a log of so many days (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
