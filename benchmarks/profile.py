"""`python -m benchmarks.profile`: where the time of an event goes, by program and by function, on the events of `make bench`."""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import psutil
from rich.console import Console
from rich.table import Table

from services.adapters.ledger.connection import Pool
from services.cli.console import faults_as_lines
from services.stack.roles import Role

from .events import Stream
from .known_users import issue_to, known_users
from .publish import publish
from .rounds import bar
from .sides import POLL_SECONDS, Tuning, add_tuning, all_at_work, batch_counters, positive
from .sql import queries
from .world import Side, World, begin, connected, create_side, on_fresh_servers, processes

SAMPLES_PER_SECOND = 250
"""Of py-spy: a share of a percent within ten seconds, and hardly felt by what it looks at."""

FUNCTIONS_SHOWN = 40

PROGRAMS = {"postgres": "Postgres", "java": "Kafka", "valkey": "Redis"}

_SQL = queries("measure")


@dataclass(frozen=True, slots=True)
class Used:
    """Core time of one run, in seconds, by who used it."""

    seconds: float
    records: int
    by_program: Mapping[str, float]
    records_a_batch: float
    user_rows: int
    """Writes of users' rows."""
    memory: Sequence[int]
    """Bytes that each processor holds at the end."""
    side_by_side: Sequence[float]
    """Core seconds a record of each processor, since all were at work; none where they never were."""


def main() -> int:
    """Profiles one run on fresh servers."""
    arguments = _arguments()
    console = Console()
    begin()
    with faults_as_lines(), tempfile.TemporaryDirectory() as directory:
        samples = Path(directory) / "samples"
        wanted = samples if arguments.functions else None
        used = on_fresh_servers(lambda world: _profile(arguments, world, console, wanted), console)
        _show_programs(used, console)
        if arguments.functions:
            _show_functions(samples.read_text("utf-8").splitlines(), used, console)
    return 0


async def _profile(arguments: argparse.Namespace, world: World, console: Console, samples: Path | None) -> Used:
    side = await create_side("processor", world, partitions=arguments.partitions)
    stream = Stream(arguments.events, arguments.users, arguments.seed, datetime.now(UTC))
    known = known_users(arguments.users, arguments.new_users, arguments.seed)
    with bar(console, "missions issued", len(known)) as told:
        await issue_to(side, known, stream.since, told)
    with bar(console, "events published", arguments.events) as told:
        filled = await publish(stream, side, told=told)
    tuning = Tuning(arguments.batch_size, arguments.lanes, arguments.processors)
    with console.status("the processor runs"):
        return await _run(tuning, dict(arguments.others), world, side, filled.whole.records, samples)


async def _run(
    tuning: Tuning, others: Mapping[str, str], world: World, side: Side, records: int, samples: Path | None
) -> Used:
    roles = world.roles("processor", tuning.processors)
    async with connected(side.addresses.postgres_dsn) as pool:
        await pool.execute(_SQL["checkpoint"])
        rows = await _user_rows(pool)
        async with processes(roles, {**side.environment(), **tuning.environment()}, others):
            first = done = await pool.fetchval(_SQL["positions"])
            while not first:
                await asyncio.sleep(POLL_SECONDS)
                first = await pool.fetchval(_SQL["positions"])
            before, started = _by_program({role.pid for role in roles}), perf_counter()
            at_work: list[_Pace] = []
            async with _sampled(samples, roles[0].pid):
                while done < records:
                    await asyncio.sleep(POLL_SECONDS)
                    done = await pool.fetchval(_SQL["positions"])
                    if not at_work and await asyncio.to_thread(all_at_work, roles):
                        at_work = await asyncio.to_thread(_paces, roles)
            seconds, after = perf_counter() - started, _by_program({role.pid for role in roles})
            memory = [psutil.Process(role.pid).memory_info().rss for role in roles]
            ended = await asyncio.to_thread(_paces, roles)
            rows = await _user_rows(pool) - rows
    by_program = {name: used - before.get(name, 0.0) for name, used in after.items()}
    records_a_batch = sum(pace.records for pace in ended) / sum(pace.batches for pace in ended)
    side_by_side = [now.since(then) for then, now in zip(at_work, ended, strict=False)]
    return Used(seconds, records - first, by_program, records_a_batch, rows, memory, side_by_side)


@dataclass(frozen=True, slots=True)
class _Pace:
    """What one processor has used and applied so far."""

    core_seconds: float
    records: float
    batches: float

    def since(self, before: "_Pace") -> float:
        """Core seconds a record."""
        return (self.core_seconds - before.core_seconds) / max(self.records - before.records, 1)


def _paces(roles: Sequence[Role]) -> list[_Pace]:
    times = [psutil.Process(role.pid).cpu_times() for role in roles]
    return [_Pace(used.user + used.system, *batch_counters(role)) for used, role in zip(times, roles, strict=True)]


async def _user_rows(pool: Pool) -> int:
    """Writes of users' rows so far."""
    row = await pool.fetchrow(_SQL["writes"])
    return int(row["user_state"]) if row is not None else 0


@asynccontextmanager
async def _sampled(samples: Path | None, pid: int | None) -> AsyncIterator[None]:
    if samples is None:
        yield
        return
    command = [str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid), "--nonblocking"]
    command += ["--format", "raw", "--output", str(samples), "--rate", str(SAMPLES_PER_SECOND)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        await process.wait()


def _by_program(processors: Set[int | None]) -> dict[str, float]:
    """Core seconds used so far by the processors and by each server."""
    found: Counter[str] = Counter()
    for process in psutil.Process().children(recursive=True):
        try:
            times, name = process.cpu_times(), process.name()
        except psutil.NoSuchProcess:
            continue
        program = next((shown for part, shown in PROGRAMS.items() if part in name), name)
        found["processor" if process.pid in processors else program] += times.user + times.system  # type: ignore[assignment]
    return dict(found)


def _show_programs(used: Used, console: Console) -> None:
    load = f"{os.getloadavg()[0]:.1f}"
    console.print(f"{used.records / used.seconds:,.0f} events/s; load average {load}", highlight=False)
    events = used.records / max(used.user_rows, 1)
    batches = f"{used.records_a_batch:,.0f} records a batch; a user's row is written once for {events:.2f} events"
    memory = " and ".join(f"{held >> 20:,}" for held in used.memory)
    console.print(f"{batches}; {memory} MiB of memory", highlight=False)
    if len(used.side_by_side) > 1:
        paces = ", ".join(f"{1e6 * pace:.1f}" for pace in used.side_by_side)
        console.print(f"side by side, since all were at work: {paces} core µs a record", highlight=False)
    table = Table("program", "core µs an event", box=None)
    for name, seconds in sorted(used.by_program.items(), key=lambda pair: -pair[1]):
        if seconds > 0.01:
            table.add_row(name, f"{1e6 * seconds / used.records:.1f}")
    table.add_row("all of it", f"{1e6 * sum(used.by_program.values()) / used.records:.1f}")
    console.print(table)


def _show_functions(lines: Iterable[str], used: Used, console: Console) -> None:
    """What functions take of the processor's core time: in themselves, and with all that they call."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    total = 0
    for line in lines:
        stack, _, samples = line.rpartition(" ")
        frames = [frame.rpartition(":")[0] for frame in stack.split(";")]
        total += int(samples)
        own[frames[-1]] += int(samples)
        whole.update(dict.fromkeys(frames, int(samples)))
    micros = 1e6 * used.by_program["processor"] / used.records / max(total, 1)
    for title, counted in (("in itself", own), ("with what it calls", whole)):
        table = Table(f"µs an event, {title}", "function", box=None)
        for name, samples_of in counted.most_common(FUNCTIONS_SHOWN):
            table.add_row(f"{samples_of * micros:.1f}", name)
        console.print(table)


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text} is not NAME=VALUE, such as MISSIONS_LANES_MAX=2")
    return name, value


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    add = parser.add_argument
    add("--events", type=int, default=300_000, help="(%(default)s)")
    add("--users", type=int, default=50_000, help="(%(default)s)")
    add("--new-users", type=float, default=10, metavar="PERCENT", help="of them first seen in the events (%(default)s)")
    add("--seed", type=int, default=1, help="(%(default)s)")
    add_tuning(parser)
    add("--partitions", type=positive, help="of each topic in; without it those of the contract")
    add(
        "--processors",
        type=positive,
        default=1,
        help="that share the partitions (%(default)s); functions are the first one's",
    )
    add(
        "--others",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="environment of all processors but the first, to compare two settings side by side: what disturbs one disturbs both",
    )
    add("--functions", action="store_true", help="also sample the processor's functions, with py-spy")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
