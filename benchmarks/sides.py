"""Runs each side as a process of its own and measures how fast it works off its topics."""

import argparse
import asyncio
import json
import sys
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

from prometheus_client.parser import text_string_to_metric_families

from services.processor.settings import ProcessorSettings
from services.stack.paths import PROJECT
from services.stack.ports import LOOPBACK
from services.stack.processes import log_tail
from services.stack.roles import Role

from .machine import Load, Meter
from .sql import queries
from .world import Side, World, connected, processes

POLL_SECONDS = 0.1
"""Between two looks at how far a side is: each takes part of a millisecond of it, and its clock is wrong by up to so much at both ends."""

STALL_SECONDS = 60.0
"""Without progress for this long, the run has failed: a start takes a few seconds, a batch well under one."""

LOG_LINE_MAX = 300
"""A traceback in a JSON line fills a screen; its beginning says what it was."""

COUNTERS = (
    "mission_batch_records_count",
    "mission_batch_records_sum",
    "mission_batch_seconds_sum",
    "mission_user_conflicts_total",
    "mission_batch_retries_total",
    "mission_projection_failures_total",
)

_SQL = queries("measure")

Told = Callable[[int], None]


class SideFailed(Exception):
    """A side ended or stood still before its topics were worked off; the message ends with its log's last lines."""


@dataclass(frozen=True, slots=True)
class Measured:
    """`records` were applied within `seconds`: both without what was applied at the first look, when the clock starts."""

    records: int
    seconds: float
    load: Load
    counters: dict[str, float] = field(default_factory=dict)
    """What the side's own metrics say: how its batches were, and what went wrong on the way."""

    @property
    def per_second(self) -> float:
        """The figure."""
        return self.records / self.seconds


@dataclass(frozen=True, slots=True)
class Tuning:
    """Settings of the processor that may be tried; as given, its own defaults."""

    batch_size_max: int = ProcessorSettings.model_fields["batch_size_max"].default
    lanes_max: int = ProcessorSettings.model_fields["lanes_max"].default
    processors: int = 1
    """Processes that share the partitions."""

    def environment(self) -> dict[str, str]:
        """As the role reads them."""
        return {"MISSIONS_BATCH_SIZE_MAX": str(self.batch_size_max), "MISSIONS_LANES_MAX": str(self.lanes_max)}


def positive(text: str) -> int:
    """An argument that is 1 or more. Raises argparse's error for another one."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def add_tuning(parser: argparse.ArgumentParser) -> None:
    """Adds what a command may try of the processor's settings: `batch_size` and `lanes`."""
    usual = Tuning()
    size, lanes = (
        "the processor's MISSIONS_BATCH_SIZE_MAX (%(default)s)",
        "the processor's MISSIONS_LANES_MAX (%(default)s)",
    )
    parser.add_argument("--batch-size", type=positive, default=usual.batch_size_max, help=size)
    parser.add_argument("--lanes", type=positive, default=usual.lanes_max, help=lanes)


async def run_processor(world: World, side: Side, records: int, tuning: Tuning, told: Told) -> Measured:
    """`missions processor` on `records` records, from the first move of a ledger position until all have arrived; with several
    processes from when each of them has applied a batch."""
    roles = world.roles("processor", tuning.processors)
    async with connected(side.addresses.postgres_dsn) as pool:
        await pool.execute(_SQL["checkpoint"])
        async with processes(roles, {**side.environment(), **tuning.environment()}):
            clock = _Clock(records, told)
            at_work = len(roles) == 1
            while not clock.done:
                await asyncio.sleep(POLL_SECONDS)
                clock.look(await pool.fetchval(_SQL["positions"]), gathering=not at_work)
                at_work = at_work or await asyncio.to_thread(all_at_work, roles)
                for role in roles:
                    if role.pid is None or clock.stalled:
                        raise SideFailed(why_failed("the processor", role.pid is None, role.log_path))
            counters = await asyncio.to_thread(_counters, *roles)
    return replace(clock.measured(), counters=counters)


def all_at_work(roles: Sequence[Role]) -> bool:
    """Whether each of them has applied a batch."""
    try:
        return all(batch_counters(role)[1] > 0 for role in roles)
    except OSError:  # one of them is not so far yet
        return False


def _counters(*roles: Role) -> dict[str, float]:
    """Sums over all labels of the series that tell how the run went, of all these processes."""
    found = dict.fromkeys(COUNTERS, 0.0)
    for role in roles:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{role.inside_port}/metrics") as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name in found:
                    found[sample.name] += sample.value
    return found


def batch_counters(role: Role) -> tuple[float, float]:
    """Records in batches, and batches, so far."""
    found = _counters(role)
    return found["mission_batch_records_sum"], found["mission_batch_records_count"]


async def run_per_event_agent(world: World, side: Side, records: int, told: Told) -> Measured:
    """The per-event agent on `records` records, by its own clock: from its first to its last applied event."""
    async with connected(side.addresses.postgres_dsn) as pool:
        await pool.execute(_SQL["checkpoint"])
    addresses = side.addresses
    command = [
        *(sys.executable, "-m", "benchmarks.per_event_agent", "--events", str(records), "--prefix", side.prefix),
        *("--kafka", addresses.kafka_bootstrap, "--dsn", addresses.postgres_dsn, "--redis", addresses.redis_url),
    ]
    log_path = world.directory / "logs" / "per-event-agent.log"
    return await run_program("the per-event agent", command, records, log_path, told)


async def run_program(what: str, command: Sequence[str], records: int, log_path: Path, told: Told) -> Measured:
    """Runs a program that tells on stdout, as JSON lines, how many records it has `applied`, until it has ended.

    Its clock starts at the first line that tells of a record, without what had been applied by then. A line may tell `seconds`
    too: then the program's own clock counts, from its first record to its last. Raises `SideFailed`.
    """
    seconds: float | None = None
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=PROJECT, stdout=asyncio.subprocess.PIPE, stderr=log
        )
        try:
            clock = _Clock(records, told)
            while not clock.done:
                line = await _next_line(process)
                if line:
                    seconds = line.get("seconds")
                    clock.look(int(line["applied"]))
                if not line or clock.stalled:
                    raise SideFailed(why_failed(what, not line, log_path))
            await asyncio.wait_for(process.communicate(), STALL_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    measured = clock.measured()
    return measured if seconds is None else Measured(records - 1, seconds, measured.load)


async def _next_line(process: asyncio.subprocess.Process) -> dict[str, float] | None:
    """What the program tells next; None when it has ended. What is no JSON object is somebody's log line."""
    if process.stdout is None:
        raise RuntimeError("the program's stdout is not a pipe")
    while text := await process.stdout.readline():
        if text.startswith(b"{"):
            told: dict[str, float] = json.loads(text)
            return told
    return None


class _Clock:
    """Starts at the first record that is seen applied, or when all processes have gathered, and stops at the last."""

    def __init__(self, records: int, told: Told) -> None:
        self._records = records
        self._told = told
        self._seen = self._first = 0
        self._moved_at = perf_counter()
        self._started_at = 0.0
        self._meter = Meter()
        self._load: Load | None = None

    def look(self, applied: int, *, gathering: bool = False) -> None:
        """So many are applied now. `gathering`: not all processes are at work yet, so it does not count, unless half of the records are
        applied by then."""
        if applied == self._seen:
            return
        now = perf_counter()
        if self._seen == 0 or (gathering and 2 * applied < self._records):
            self._first, self._started_at = applied, now
            self._meter.start()
        self._seen, self._moved_at = applied, now
        self._told(applied)
        if self.done:
            self._load = self._meter.stop()

    @property
    def done(self) -> bool:
        """Whether all are applied."""
        return self._seen >= self._records

    @property
    def stalled(self) -> bool:
        """Whether nothing has moved for too long."""
        return perf_counter() - self._moved_at > STALL_SECONDS

    def measured(self) -> Measured:
        """The result, once done. Raises RuntimeError before."""
        if self._load is None:
            raise RuntimeError(f"{self._seen} of {self._records} records are applied: there is no result yet")
        return Measured(self._seen - self._first, self._moved_at - self._started_at, self._load)


def why_failed(what: str, ended: bool, log_path: Path) -> str:
    """What to say of a side that did not get through, with the end of its log."""
    fault = "has ended before it was through" if ended else f"made no progress for {STALL_SECONDS:.0f} s"
    return "\n  ".join([f"{what} {fault}; its log ends with", *(line[:LOG_LINE_MAX] for line in log_tail(log_path))])
