"""`python -m benchmarks.catch_up`: how the processor catches up after Postgres was away and on a long backlog: lag, rate and memory."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from time import perf_counter

import asyncpg
import psutil
from matplotlib.figure import Figure
from rich.console import Console

from services.adapters.ledger.connection import is_passing
from services.cli.console import faults_as_lines
from services.stack.roles import Role

from .chart import OURS, THEIRS, save
from .events import Stream
from .known_users import issue_to
from .paced import Paced, publish_at
from .publish import publish
from .report import RESULTS, keep, ratio_goal, tell_failed, tell_written
from .rounds import bar
from .sides import SideFailed, positive, why_failed
from .sql import queries
from .world import Side, World, begin, create_side, on_fresh_servers, processes

LOOK_SECONDS = 0.2
CAUGHT_UP = 0.5
"""Seconds of arrivals that may be under way when the lag counts as gone."""

GIVE_UP_SECONDS = 900.0
FALL_AIM, RATE_AIM, MEMORY_AIM = 2.0, 0.75, 1.25
"""The lag falls by so many arrival rates; the last fifth is so near to the second fifth; memory grows by no more."""

_SQL = queries("measure")


@dataclass(slots=True)
class Look:
    """What was seen at one moment, in seconds since the start."""

    at: float
    published: int
    applied: int
    memory_mib: float

    @property
    def lag(self) -> int:
        """Records that were published and not applied."""
        return self.published - self.applied


@dataclass(slots=True)
class Course:
    """One run. `marks` are moments by name, in seconds since the start."""

    looks: list[Look] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)


def slope(looks: list[Look], value: Callable[[Look], float]) -> float:
    """Least squares: how fast a value rises, by the second. Raises ValueError for fewer than two looks."""
    if len(looks) < 2:
        raise ValueError("a slope needs two looks at least")
    mean_at = sum(look.at for look in looks) / len(looks)
    mean = sum(value(look) for look in looks) / len(looks)
    spread = sum((look.at - mean_at) ** 2 for look in looks)
    return sum((look.at - mean_at) * (value(look) - mean) for look in looks) / spread


def judge_outage(course: Course, rate: float) -> dict[str, float]:
    """How fast the lag fell, in arrival rates, between Postgres' return and the last tenth of the lag."""
    back = course.marks["postgres back"]
    highest = max((look for look in course.looks if look.at >= back), key=lambda look: look.lag)
    falling = [look for look in course.looks if look.at >= highest.at and look.lag > highest.lag / 10]
    return {
        "highest lag": float(highest.lag),
        "lag falls, in arrival rates": -slope(falling, lambda look: look.lag) / rate,
        "seconds until caught up": course.marks["caught up"] - back,
    }


def judge_backlog(course: Course) -> dict[str, float]:
    """The rates of the second and the last fifth (the first warms up), and the memory at both."""
    total = course.looks[-1].applied
    second = [look for look in course.looks if total / 5 <= look.applied <= 2 * total / 5]
    last = [look for look in course.looks if look.applied >= 4 * total / 5]
    rates = [slope(part, lambda look: look.applied) for part in (second, last)]
    begun = next(look for look in course.looks if look.applied)
    whole = (total - begun.applied) / (course.looks[-1].at - begun.at)
    memory = [max(look.memory_mib for look in part) for part in (second, last)]
    return {
        "events/s, all of it": whole,
        "events/s, second fifth": rates[0],
        "events/s, last fifth": rates[1],
        "rate, last to second": rates[1] / rates[0],
        "memory, last to second": memory[1] / memory[0],
        "memory MiB at the end": memory[1],
    }


def goal_lines(name: str, found: dict[str, float]) -> list[str]:
    """Each goal on a line."""
    if name == "outage":
        goals = [("catch-up-after-outage", found["lag falls, in arrival rates"], FALL_AIM, ">=")]
    else:
        goals = [
            ("backlog-constant-rate", found["rate, last to second"], RATE_AIM, ">="),
            ("backlog-constant-memory", found["memory, last to second"], MEMORY_AIM, "<="),
        ]
    return [ratio_goal(*goal) for goal in goals]


class _Watcher:
    """Looks at ledger and processors all the time, also while the ledger does not answer."""

    def __init__(self, side: Side, roles: Sequence[Role], published: Callable[[], int]) -> None:
        self.course = Course()
        self._side, self._roles, self._published = side, roles, published
        self._started = perf_counter()

    def mark(self, name: str) -> None:
        self.course.marks[name] = perf_counter() - self._started

    async def until(self, done: Callable[[Look], bool]) -> None:
        """Looks until `done`. Raises TimeoutError when that takes too long."""
        applied = self.course.looks[-1].applied if self.course.looks else 0
        connection: asyncpg.Connection[asyncpg.Record] | None = None
        async with asyncio.timeout(GIVE_UP_SECONDS):
            while True:
                try:
                    connection = connection or await asyncpg.connect(self._side.addresses.postgres_dsn, timeout=2)
                    applied = int(await connection.fetchval(_SQL["positions"]))
                except Exception as error:
                    if not (isinstance(error, asyncpg.PostgresError) or is_passing(error)):
                        raise
                    connection = None
                look = Look(perf_counter() - self._started, self._published(), applied, self._memory())
                self.course.looks.append(look)
                if done(look):
                    break
                await asyncio.sleep(LOOK_SECONDS)
        if connection is not None:
            await connection.close()

    def _memory(self) -> float:
        """MiB of all processors."""
        found = 0.0
        for role in self._roles:
            if role.pid is None:
                raise SideFailed(why_failed("the processor", True, role.log_path))
            found += float(psutil.Process(role.pid).memory_info().rss) / 2**20
        return found


async def run_outage(arguments: argparse.Namespace, world: World, console: Console) -> Course:
    """Events at a held rate; Postgres stops at once and comes back."""
    side, stream = await _prepare(arguments, world, console, arguments.rate * 600)
    paced, stop = Paced(), asyncio.Event()
    roles = world.roles("processor", arguments.processors)
    async with processes(roles, side.environment()):
        publishing = asyncio.create_task(publish_at(side, iter(stream), arguments.rate, paced, stop, perf_counter()))
        watcher = _Watcher(side, roles, lambda: paced.published)
        try:
            await _live_through_outage(arguments, world, watcher, console)
        finally:
            stop.set()
            await asyncio.gather(publishing, return_exceptions=True)
    if paced.late_seconds > 1:
        console.print(f"[yellow]![/] the publisher was up to {paced.late_seconds:.1f} s behind its schedule")
    return watcher.course


async def _live_through_outage(
    arguments: argparse.Namespace, world: World, watcher: _Watcher, console: Console
) -> None:
    little = CAUGHT_UP * arguments.rate
    with console.status("events at a held rate"):
        await watcher.until(lambda look: look.at > arguments.before and look.lag < little)
    await asyncio.to_thread(world.servers.postgres.kill_hard)
    watcher.mark("postgres away")
    gone_at = watcher.course.marks["postgres away"]
    with console.status(f"Postgres is away for {arguments.away} s"):
        await watcher.until(lambda look: look.at - gone_at > arguments.away)
    await asyncio.to_thread(world.servers.postgres.start)
    watcher.mark("postgres back")
    with console.status("catching up"):
        await watcher.until(lambda look: look.lag < little)
    watcher.mark("caught up")


async def run_backlog(arguments: argparse.Namespace, world: World, console: Console) -> Course:
    """All events are there before the processor starts."""
    side, stream = await _prepare(arguments, world, console, arguments.backlog)
    with bar(console, "events published", arguments.backlog) as told:
        filled = await publish(stream, side, told=told)
    records = filled.whole.records
    roles = world.roles("processor", arguments.processors)
    async with processes(roles, side.environment()):
        watcher = _Watcher(side, roles, lambda: records)
        with bar(console, "events applied", records) as told:

            def done(look: Look) -> bool:
                told(look.applied)
                return look.lag <= 0

            await watcher.until(done)
    return watcher.course


async def _prepare(arguments: argparse.Namespace, world: World, console: Console, events: int) -> tuple[Side, Stream]:
    side = await create_side("processor", world)
    stream = Stream(events, arguments.users, 1, datetime.now(UTC) + timedelta(minutes=2))
    with bar(console, "missions issued", arguments.users) as told:
        await issue_to(side, range(arguments.users), stream.since, told)
    return side, stream


def draw(course: Course, path: Path) -> Iterable[Path]:
    """Lag and memory over time, as PNG and SVG."""
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    lag, memory = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    at = [look.at for look in course.looks]
    lag.plot(at, [look.lag for look in course.looks], color=OURS)
    for title, moment in course.marks.items():
        lag.axvline(moment, color=THEIRS, linewidth=1)
        lag.text(moment, lag.get_ylim()[1], f" {title}", va="top", fontsize=8)
    lag.set_ylabel("records not applied")
    memory.plot(at, [look.memory_mib for look in course.looks], color="#8b5a1f")
    memory.set_ylabel("MiB")
    memory.set_ylim(bottom=0)
    memory.set_xlabel("seconds")
    return save(figure, path)


def main() -> int:
    """Runs what was asked for. Exit code 0 whatever the figures are, 1 when the processor ended."""
    arguments = _arguments()
    console = Console()
    begin("ERROR")
    runs = {"outage": run_outage, "backlog": run_backlog}
    for name in [arguments.only] if arguments.only else list(runs):
        load = os.getloadavg()[0]
        try:
            with faults_as_lines():
                course = on_fresh_servers(partial(runs[name], arguments, console=console), console)
        except SideFailed as error:
            tell_failed(error)
            return 1
        found = judge_outage(course, arguments.rate) if name == "outage" else judge_backlog(course)
        file = f"catch_up_{name}" if arguments.processors == 1 else f"catch_up_{name}_{arguments.processors}_processors"
        path = arguments.results / f"{file}.json"
        keep(path, vars(arguments), load, {"found": found, **asdict(course)})
        for written in (path, *draw(course, arguments.results / file)):
            tell_written(written, console)
        for what, value in found.items():
            console.print(f"{what}: {value:,.2f}", highlight=False)
        for line in goal_lines(name, found):
            console.print(line, highlight=False)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.catch_up", description=__doc__)
    add = parser.add_argument
    add("--only", choices=("outage", "backlog"), help="one of the two; default: both")
    add("--rate", type=int, default=5000, help="events/s that arrive all the time (%(default)s)")
    add("--before", type=float, default=20, help="seconds before Postgres goes away (%(default)s)")
    add("--away", type=float, default=60, help="seconds without Postgres (%(default)s)")
    add("--backlog", type=int, default=5_000_000, help="events that wait (%(default)s)")
    add("--users", type=int, default=50_000, help="users whom the events are about (%(default)s)")
    add("--processors", type=positive, default=1, help="that share the partitions (%(default)s)")
    add("--results", type=Path, default=RESULTS, help="folder for figures and charts (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
