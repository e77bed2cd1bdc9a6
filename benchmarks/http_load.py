"""`python -m benchmarks.http_load`: `GET /missions` and `POST /missions/claim` under load, beside a route that does nothing."""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from mission_events import LessonCompleted, encode_event
from services.adapters.kafka.producer import Outgoing, Publisher
from services.adapters.tokens import TokenSettings
from services.cli.console import faults_as_lines
from services.stack.paths import PROJECT
from services.stack.ports import LOOPBACK, free_ports, is_open
from services.stack.processes import BackgroundProcess
from services.stack.roles import READY_SECONDS, STOP_SECONDS

from .callers import development_tokens, running_roles, user_headers
from .chart import OURS, THEIRS, save
from .events import user_id
from .known_users import issue_to
from .load_generator import Seen, install, send
from .report import RESULTS, keep, tell_written
from .rounds import bar
from .sides import Tuning, run_processor
from .sql import queries
from .world import Side, World, begin, connected, create_side, on_fresh_servers

CLAIMED_MISSION = "daily-lesson-1"

NOTHING, READ = "a route that does nothing", "GET /missions"
CLAIM, AGAIN, DIRECT = "POST /missions/claim", "the same claim again", "and again, not through the api"

_SQL = queries("measure")

Requests = list[dict[str, Any]]


@dataclass
class Found:
    """What came of every turn, by what was asked."""

    turns: dict[str, list[Seen]] = field(default_factory=dict)

    def add(self, what: str, seen: Seen) -> None:
        """One turn."""
        self.turns.setdefault(what, []).append(seen)

    def per_second(self, what: str) -> float:
        """Median of the turns."""
        return median(seen.per_second for seen in self.turns[what])

    def ratio(self, what: str) -> float:
        """To the route that does nothing, median over the turns of the ratio within one turn."""
        pairs = zip(self.turns[what], self.turns[NOTHING], strict=True)
        return median(seen.per_second / nothing.per_second for seen, nothing in pairs)

    def refused(self, what: str) -> int:
        """Answers other than 2xx, and none, in all turns."""
        return sum(seen.refused for seen in self.turns[what])


def main() -> int:
    """Measures in turns on the same servers. Exit code 1 when something was refused, 0 whatever the figures are."""
    arguments = _arguments()
    console = Console()
    begin("ERROR")
    load = os.getloadavg()[0]
    with faults_as_lines():
        generator = install()
        found = on_fresh_servers(lambda world: _measure(arguments, world, generator, console), console)
    table = Table("", "requests/s", "of nothing", "p50 ms", "p99 ms", "answered", "refused", box=None)
    for what, turns in found.turns.items():
        p50, p99 = median(seen.p50_ms for seen in turns), median(seen.p99_ms for seen in turns)
        answered = sum(seen.answered for seen in turns)
        table.add_row(
            what, f"{found.per_second(what):,.0f}", f"{found.ratio(what):.2f} x", f"{p50:g}", f"{p99:g}",
            f"{answered:,}", str(found.refused(what)),
        )  # fmt: skip
    console.print(table)
    turns_of = {what: [asdict(seen) for seen in turns] for what, turns in found.turns.items()}
    path = keep(arguments.results / "http_load.json", vars(arguments), load, {"turns": turns_of})
    for written in (path, *draw(found, arguments.results)):
        tell_written(written, console)
    return 1 if any(found.refused(what) for what in found.turns) else 0


async def _measure(arguments: argparse.Namespace, world: World, generator: Path, console: Console) -> Found:
    side = await create_side("processor", world)
    now = datetime.now(UTC)
    claims = arguments.claims * arguments.turns
    with bar(console, "missions issued", arguments.users + claims) as told:
        await issue_to(side, range(arguments.users + claims), now, told)
    tokens = development_tokens(world)
    await _complete(world, side, range(arguments.users, arguments.users + claims), now, console)
    targets = await _claimable(side, claims)
    found = Found()
    async with running_roles(world, side, tokens, "claims", "api"), _nothing(world, tokens) as nothing:
        api = f"http://{LOOPBACK}:{world.ports.api}"
        readers = [user_id(user) for user in range(arguments.users)]
        for turn in range(arguments.turns):
            mine = targets[turn * arguments.claims : (turn + 1) * arguments.claims]
            claim = [_claim(tokens, user, assignment) for user, assignment in mine]
            asked: list[tuple[str, str, Requests, float | None]] = [
                (NOTHING, nothing, [_get(tokens, user, "/nothing") for user in readers], arguments.seconds),
                (READ, api, [_get(tokens, user, "/missions") for user in readers], arguments.seconds),
                (CLAIM, api, claim, None),
                (AGAIN, api, claim, None),
                (DIRECT, f"http://{LOOPBACK}:{world.ports.claims}", claim, None),
            ]
            for what, url, requests, seconds in asked:
                with console.status(f"turn {turn + 1} of {arguments.turns}: {what}"):
                    found.add(what, await send(generator, url, requests, arguments.connections, seconds))
        await _check_grants(side, claims)
    return found


async def _complete(world: World, side: Side, users: range, now: datetime, console: Console) -> None:
    """One lesson for each of these users, which completes `CLAIMED_MISSION`; returns when the processor has applied them."""
    lesson = LessonCompleted(
        lesson_id="lesson-1", chapter_id="chapter-1", unit_id="unit-1", language="python", lesson_type="core",
        hearts_lost=0, duration_seconds=60,
    )  # fmt: skip
    async with Publisher(side.addresses.kafka_bootstrap, client_id="benchmark") as publisher:
        await publisher.publish_all(
            Outgoing(
                f"{side.prefix}learning.lesson-completed",
                user_id(user).encode(),
                encode_event(lesson, event_id=f"lesson-{user}", source="benchmark", subject=user_id(user), time=now),
            )
            for user in users
        )
    with bar(console, "lessons applied", len(users)) as told:
        await run_processor(world, side, len(users), Tuning(), told)


async def _claimable(side: Side, amount: int) -> list[tuple[str, str]]:
    async with connected(side.addresses.postgres_dsn) as pool:
        rows = await pool.fetch(_SQL["claimable"], CLAIMED_MISSION)
    if len(rows) != amount:
        raise RuntimeError(f"{len(rows)} of {amount} lessons completed {CLAIMED_MISSION}")
    return [(row["user_id"], row["assignment_id"]) for row in rows]


async def _check_grants(side: Side, amount: int) -> None:
    async with connected(side.addresses.postgres_dsn) as pool:
        grants = await pool.fetchval(_SQL["grants"])
    if grants != amount:
        raise RuntimeError(f"{amount} assignments were claimed, each three times, and the ledger has {grants} grants")


@asynccontextmanager
async def _nothing(world: World, tokens: TokenSettings) -> AsyncIterator[str]:
    """The address of `benchmarks.nothing`, in a process of its own."""
    (port,) = free_ports(1)
    process = BackgroundProcess("nothing", world.directory)
    command = [
        sys.executable,
        "-m",
        "benchmarks.nothing",
        "--port",
        str(port),
        "--key",
        str(tokens.development_key_file),
    ]
    process.start(command, os.environ, working_directory=PROJECT)
    try:
        await asyncio.to_thread(process.wait_until, lambda: is_open(port), READY_SECONDS, "read the lines above")
        yield f"http://{LOOPBACK}:{port}"
    finally:
        await asyncio.to_thread(process.stop, signal.SIGTERM, STOP_SECONDS)


def _get(tokens: TokenSettings, user: str, path: str) -> dict[str, Any]:
    return {"method": "GET", "path": path, "headers": user_headers(tokens, user)}


def _claim(tokens: TokenSettings, user: str, assignment: str) -> dict[str, Any]:
    headers = {**user_headers(tokens, user), "Content-Type": "application/json"}
    body = json.dumps({"assignment_id": assignment})
    return {"method": "POST", "path": "/missions/claim", "headers": headers, "body": body}


def draw(found: Found, where: Path) -> Iterable[Path]:
    """Requests/s on the left, the time of a request on the right, as PNG and SVG."""
    names = list(found.turns)[::-1]
    places = range(len(names))
    figure = Figure(figsize=(10, 0.55 * len(names) + 1.2), layout="constrained")
    speeds, times = figure.subplots(1, 2, sharey=True)
    speeds.barh(
        places, [found.per_second(name) for name in names], color=[THEIRS if n == NOTHING else OURS for n in names]
    )
    for place, name in zip(places, names, strict=True):
        speeds.text(
            found.per_second(name),
            place,
            f" {found.per_second(name):,.0f}/s, {found.ratio(name):.2f} x",
            va="center",
            fontsize=8,
        )
        p50, p99 = (median(getattr(seen, which) for seen in found.turns[name]) for which in ("p50_ms", "p99_ms"))
        times.plot([p50, p99], [place, place], color=OURS, marker="|", markersize=10)
        times.text(p99, place, f"  {p50:g} to {p99:g} ms", va="center", fontsize=8)
    speeds.set_yticks(places, names)
    speeds.set_xlim(0, max(map(found.per_second, names)) * 1.35)
    times.set_xlim(0, max(median(seen.p99_ms for seen in turns) for turns in found.turns.values()) * 1.4)
    speeds.set_xlabel("requests/s, median of the turns, and beside nothing")
    times.set_xlabel("ms, p50 to p99")
    for axes in (speeds, times):
        axes.spines[["top", "right"]].set_visible(False)
    return save(figure, where / "http_load")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http_load", description=__doc__)
    add = parser.add_argument
    add("--seconds", type=float, default=10, help="of reads in each turn (%(default)s)")
    add("--turns", type=int, default=3, help="of everything, one after the other (%(default)s)")
    add("--users", type=int, default=2000, help="who read, a multiple of the connections (%(default)s)")
    add("--claims", type=int, default=2000, help="in each turn, a multiple of the connections (%(default)s)")
    add("--connections", type=int, default=20, help="that are open at once (%(default)s)")
    add("--results", type=Path, default=RESULTS, help="folder for the figures (%(default)s)")
    arguments = parser.parse_args()
    for name in ("users", "claims"):
        if getattr(arguments, name) % arguments.connections:
            parser.error(f"--{name} must be a multiple of --connections ({arguments.connections})")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
