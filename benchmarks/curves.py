"""`python -m benchmarks.curves`: what an event costs as definitions, users, missions, batches, partitions and processors grow."""

import argparse
import os
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from services.adapters.catalogue_files import default_missions
from services.cli.console import faults_as_lines
from services.missions.definition import Mission

from .chart import OURS, THEIRS, save
from .checks import WrongResult, check_processor, count_writes
from .events import Stream
from .known_users import issue_to
from .machine import Load
from .publish import publish
from .report import RESULTS, keep, ratio_goal, tell_failed, tell_written
from .rounds import bar
from .sides import SideFailed, Tuning, positive, run_processor
from .world import World, begin, create_side, on_fresh_servers

ACTIVE_USERS = 10_000
"""Of whom the events are, on every curve: only what the curve is about differs."""

FLAT = 1.3
"""The dearest point of a flat curve costs at most so many times what the cheapest costs (DESIGN section 11)."""


@dataclass(frozen=True, slots=True)
class Point:
    """What one place of a curve runs with."""

    users: int = ACTIVE_USERS
    missions: Sequence[Mission] | None = None
    """None: the default catalogue."""
    partitions: int | None = None
    tuning: Tuning = field(default_factory=Tuning)


@dataclass(frozen=True, slots=True)
class Curve:
    """One thing that grows."""

    name: str
    title: str
    values: tuple[int, ...]
    point: Callable[[int], Point]
    is_flat: bool = False
    """Whether it must stay within `FLAT`."""
    event_factor: int = 1
    """So many times the events of other curves: where all are applied before a second processor is at work, nothing is told."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One run of one place."""

    value: int
    events_per_second: float
    load: Load

    @property
    def core_microseconds(self) -> float:
        """Of all cores, for one event."""
        return self.load.core_microseconds(self.events_per_second)


def courses(amount: int) -> list[Mission]:
    """So many definitions: those of the default catalogue that need no others, the first day's first, and then some of courses that
    nobody here takes."""
    plain = [m for m in default_missions() if not (m.otherwise or m.stand_in or m.requires)]
    plain.sort(key=lambda mission: "lte" not in str(mission.audience) and bool(mission.audience))
    return [*plain[:amount], *(_of_course(number) for number in range(amount - len(plain)))]


def _of_course(number: int) -> Mission:
    course = f"course-{number}"
    return Mission.model_validate(
        {
            "id": f"{course}-lessons-3",
            "type": "language",
            "title": {"en": f"Complete 3 lessons of course {number}"},
            "period": "weekly",
            "objectives": [
                {
                    "id": "lessons",
                    "event": "learning.lesson-completed.v1",
                    "where": {"language": course},
                    "measure": "count",
                    "target": 3,
                }
            ],
            "audience": {"languages": course},
            "rewards": [{"kind": "gems", "amount": 20}],
        }
    )


_OBJECTIVES: tuple[tuple[str, dict[str, Any], Any, int], ...] = (
    ("learning.question-answered.v1", {"correct": True}, {"distinct": "question_id"}, 200),
    ("learning.xp-earned.v1", {"xp_source": {"not_in": ["mission_reward"]}}, {"sum": "amount"}, 1_000_000),
    ("learning.lesson-completed.v1", {}, "count", 1_000_000),
)


def for_everybody(amount: int) -> list[Mission]:
    """So many missions that everybody has at once, and that none of the events completes."""
    missions = []
    for number in range(amount):
        event, where, measure, target = _OBJECTIVES[number % len(_OBJECTIVES)]
        missions.append(
            Mission.model_validate(
                {
                    "id": f"long-{number}",
                    "type": "special",
                    "title": {"en": f"Long mission {number}"},
                    "period": "once",
                    "objectives": [{"id": "all", "event": event, "where": where, "measure": measure, "target": target}],
                    "rewards": [{"kind": "gems", "amount": 1}],
                }
            )
        )
    return missions


CURVES = (
    Curve("definitions", "definitions", (10, 100, 1000, 10_000), lambda n: Point(missions=courses(n)), is_flat=True),
    Curve("users", "users in the ledger", (10_000, 100_000, 1_000_000), lambda n: Point(users=n), is_flat=True),
    Curve("missions", "open missions a user", (1, 5, 15, 50), lambda n: Point(missions=for_everybody(n))),
    Curve("batch", "records a batch, at most", (100, 1000, 4000, 10_000, 30_000), lambda n: Point(tuning=Tuning(batch_size_max=n))),
    Curve("partitions", "partitions a topic", (1, 4, 12, 24), lambda n: Point(partitions=n)),
    Curve("processors", "processors", (1, 2), lambda n: Point(tuning=Tuning(processors=n)), event_factor=6),
)  # fmt: skip


@dataclass(slots=True)
class Found:
    """All runs of a curve."""

    curve: Curve
    seen: list[Seen]

    def at(self, value: int, what: Callable[[Seen], float]) -> float:
        """Median of the runs at one place."""
        return median(what(seen) for seen in self.seen if seen.value == value)

    @property
    def values(self) -> list[int]:
        """The places that were measured."""
        return [value for value in self.curve.values if any(seen.value == value for seen in self.seen)]

    def goal_line(self) -> str | None:
        """Whether a flat curve is flat."""
        if not self.curve.is_flat:
            return None
        costs = [self.at(value, lambda seen: seen.core_microseconds) for value in self.values]
        return ratio_goal(f"flat-over-{self.curve.name}", max(costs) / min(costs), FLAT, "<=")


def main() -> int:
    """Measures the curves, each run on fresh servers. Exit code 1 when a run failed, 0 whatever the figures are."""
    arguments = _arguments()
    console = Console()
    begin()
    load = os.getloadavg()[0]
    wanted = [curve for curve in CURVES if curve.name in arguments.only and min(curve.values) <= arguments.up_to]
    found = [Found(curve, []) for curve in wanted]
    with faults_as_lines():
        for run in range(1, arguments.runs + 1):
            for one in found:
                console.rule(f"run {run} of {arguments.runs}: {one.curve.title}", style="dim")
                try:
                    one.seen += on_fresh_servers(_measuring(one.curve, arguments, console), console)
                except (SideFailed, WrongResult) as error:
                    tell_failed(error)
                    return 1
    _show(found, console)
    document = {one.curve.name: [asdict(seen) for seen in one.seen] for one in found}
    path = keep(arguments.results / "curves.json", vars(arguments), load, {"curves": document})
    for written in (path, *draw(found, arguments.results)):
        tell_written(written, console)
    for line in filter(None, (one.goal_line() for one in found)):
        console.print(line, highlight=False)
    return 0


def _measuring(
    curve: Curve, arguments: argparse.Namespace, console: Console
) -> Callable[[World], Coroutine[Any, Any, list[Seen]]]:
    async def measure(world: World) -> list[Seen]:
        return [
            await _run(curve, value, world, arguments, console) for value in curve.values if value <= arguments.up_to
        ]

    return measure


async def _run(curve: Curve, value: int, world: World, arguments: argparse.Namespace, console: Console) -> Seen:
    point = curve.point(value)
    side = await create_side(f"{curve.name}_{value}", world, point.missions, point.partitions)
    every = max(point.users // ACTIVE_USERS, 1)
    events = arguments.events * curve.event_factor
    stream = Stream(events, point.users, 1, datetime.now(UTC), active_every=every)
    title = f"{curve.name} {value:,}"
    with bar(console, f"{title}: issued", point.users) as told:
        await issue_to(side, range(point.users), stream.since, told)
    with bar(console, f"{title}: published", events) as told:
        filled = await publish(stream, side, told=told)
    before = await count_writes(side)
    with bar(console, f"{title}: applied", filled.whole.records) as told:
        measured = await run_processor(world, side, filled.whole.records, point.tuning, told)
    await check_processor(side, filled.whole, filled, stream, before)
    return Seen(value, measured.per_second, measured.load)


def _show(found: Sequence[Found], console: Console) -> None:
    table = Table("", "", "events/s", "core µs an event", "other programs", box=None)
    for one in found:
        for value in one.values:
            speed = one.at(value, lambda seen: seen.events_per_second)
            cost = one.at(value, lambda seen: seen.core_microseconds)
            others = one.at(value, lambda seen: seen.load.others)
            table.add_row(one.curve.title, f"{value:,}", f"{speed:,.0f}", f"{cost:,.0f}", f"{others:.2f} cores")
    console.print(table)


def draw(found: Sequence[Found], where: Path) -> Iterable[Path]:
    """A chart a curve, side by side: events/s as a line, each run as a dot, and the core time of an event below it."""
    figure = Figure(figsize=(4 * min(len(found), 3), 3.2 * -(-len(found) // 3)), layout="constrained")
    for place, one in enumerate(found, start=1):
        axes = figure.add_subplot(-(-len(found) // 3), min(len(found), 3), place)
        speeds = [one.at(value, lambda seen: seen.events_per_second) for value in one.values]
        axes.plot(one.values, speeds, color=OURS, marker="o", markersize=3)
        axes.plot([s.value for s in one.seen], [s.events_per_second for s in one.seen], ".", color=THEIRS, zorder=0)
        for value, speed in zip(one.values, speeds, strict=True):
            cost = one.at(value, lambda seen: seen.core_microseconds)
            axes.annotate(f"{cost:.0f} µs", (value, speed), (0, 6), textcoords="offset points", ha="center", fontsize=7)
        axes.set_xscale("log")
        axes.set_xticks(one.values, [f"{value:,}" for value in one.values], fontsize=7)
        axes.set_xticks([], minor=True)
        axes.margins(x=0.15)
        axes.set_ylim(0, max(speeds) * 1.3)
        axes.set_xlabel(one.curve.title)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supylabel("events/s; beside each point the core time of an event", fontsize=9)
    return save(figure, where / "curves")


def _arguments() -> argparse.Namespace:
    names = [curve.name for curve in CURVES]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curves", description=__doc__)
    add = parser.add_argument
    add("--only", nargs="+", choices=names, default=names, metavar="CURVE", help=f"which curves: {', '.join(names)}")
    add("--runs", type=positive, default=3, help="runs of each, on fresh servers; medians are told (%(default)s)")
    add(
        "--events",
        type=positive,
        default=100_000,
        help="events at each place, and six times as many for each number of processors (%(default)s)",
    )
    add("--up-to", type=positive, default=10**9, help="leave out places beyond this: a million users take minutes")
    add("--results", type=Path, default=RESULTS, help="folder for figures and charts (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
