"""`python -m benchmarks.latency`: from an event that is published to its progress in `GET /missions`, at several rates."""

import argparse
import asyncio
import os
import secrets
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles
from time import perf_counter

import aiohttp
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from mission_events import XpEarned, encode_event
from services.adapters.kafka.producer import Publisher
from services.adapters.tokens import TokenSettings
from services.cli.console import faults_as_lines
from services.stack.ports import LOOPBACK
from services.stack.roles import Role

from .callers import development_tokens, running_roles, user_headers
from .chart import OURS, THEIRS, save
from .events import Stream, user_id
from .known_users import issue_to
from .paced import Paced, publish_at
from .report import RESULTS, keep, tell_written
from .rounds import bar
from .sides import batch_counters
from .world import Side, World, begin, create_side, on_fresh_servers

MISSION = "daily-xp-20"
AMOUNT = 5

PROBES_PER_SECOND = 10
"""Few beside the rates, so that looking is not the load."""

LOOK_SECONDS = 0.005
"""Between two looks of one probe: a fiftieth of what is aimed at."""

WARM_UP_SECONDS = 5.0
GIVE_UP_SECONDS = 30.0
GOAL_RATE, GOAL_P50_MS, GOAL_P99_MS = 2000, 50, 250


@dataclass(frozen=True, slots=True)
class AtRate:
    """What was seen at one rate. Milliseconds count from the moment at which a probe was due, whether it was sent in time or not."""

    rate: int
    milliseconds: Sequence[float]
    lost: int
    """Probes that were not visible in time."""
    records_a_batch: float
    publisher_late_seconds: float

    def percentile(self, percent: int) -> float:
        """Of the probes that were visible. Raises ValueError for fewer than two."""
        if len(self.milliseconds) < 2:
            raise ValueError("a percentile needs two probes at least")
        return quantiles(self.milliseconds, n=100, method="inclusive")[percent - 1]


def goal_lines(found: Iterable[AtRate]) -> list[str]:
    """Each goal on a line."""
    lines = []
    for each in found:
        if each.rate == GOAL_RATE:
            for percent, aim in ((50, GOAL_P50_MS), (99, GOAL_P99_MS)):
                value = each.percentile(percent)
                met = "met" if value < aim and not each.lost else "not met"
                lines.append(f"goal visible-p{percent}-at-{each.rate}: {value:.0f} ms (< {aim} ms) {met}")
    return lines


def main() -> int:
    """Measures every rate on the same servers. Exit code 0 whatever the figures are."""
    arguments = _arguments()
    console = Console()
    begin("ERROR")
    load = os.getloadavg()[0]
    with faults_as_lines():
        found = on_fresh_servers(lambda world: _measure(arguments, world, console), console)
    table = Table("events/s", "p50 ms", "p95 ms", "p99 ms", "probes", "not seen", "records a batch", box=None)
    for each in found:
        cells = [f"{each.percentile(percent):.0f}" for percent in (50, 95, 99)]
        table.add_row(
            f"{each.rate:,}", *cells, str(len(each.milliseconds)), str(each.lost), f"{each.records_a_batch:.1f}"
        )
        if each.publisher_late_seconds > 1:
            late = f"{each.publisher_late_seconds:.1f}"
            console.print(
                f"[yellow]![/] at {each.rate:,} events/s the publisher was up to {late} s behind its schedule"
            )
    console.print(table)
    path = keep(arguments.results / "latency.json", vars(arguments), load, {"found": [asdict(each) for each in found]})
    for written in (path, *draw(found, arguments.results)):
        tell_written(written, console)
    for line in goal_lines(found):
        console.print(line, highlight=False)
    return 0


async def _measure(arguments: argparse.Namespace, world: World, console: Console) -> list[AtRate]:
    side = await create_side("processor", world)
    probes = int(arguments.seconds * PROBES_PER_SECOND) * len(arguments.rates)
    everyone = range(arguments.users + probes)
    with bar(console, "missions issued", len(everyone)) as told:
        await issue_to(side, everyone, datetime.now(UTC), told)
    tokens = development_tokens(world)
    async with running_roles(world, side, tokens, "processor", "api") as roles:
        found = []
        first = arguments.users
        for rate in arguments.rates:
            mine = range(first, first + int(arguments.seconds * PROBES_PER_SECOND))
            first = mine.stop
            with console.status(f"{rate:,} events/s"):
                found.append(await _at_rate(rate, arguments, side, roles, tokens, mine))
        return found


async def _at_rate(
    rate: int, arguments: argparse.Namespace, side: Side, roles: Mapping[str, Role], tokens: TokenSettings, mine: range
) -> AtRate:
    stop, paced = asyncio.Event(), Paced()
    events = int(rate * (arguments.seconds + WARM_UP_SECONDS + GIVE_UP_SECONDS))
    stream = Stream(events, arguments.users, rate, datetime.now(UTC), timedelta(minutes=1))
    load = asyncio.create_task(publish_at(side, iter(stream), rate, paced, stop, perf_counter()))
    await asyncio.sleep(WARM_UP_SECONDS)
    before = await asyncio.to_thread(batch_counters, roles["processor"])
    api = f"http://{LOOPBACK}:{roles['api'].http_port}"
    async with (
        Publisher(side.addresses.kafka_bootstrap, client_id="probes") as publisher,
        aiohttp.ClientSession(api) as http,
        asyncio.TaskGroup() as group,
    ):
        started = perf_counter()
        sent = []
        for number, user in enumerate(mine):
            due = started + number / PROBES_PER_SECOND
            await asyncio.sleep(max(0.0, due - perf_counter()))
            headers = user_headers(tokens, user_id(user))
            sent.append(group.create_task(_probe(side, publisher, http, headers, user_id(user), due)))
    after = await asyncio.to_thread(batch_counters, roles["processor"])
    stop.set()
    await load
    seen = [task.result() for task in sent]
    records, batches = (now - then for now, then in zip(after, before, strict=True))
    visible = [seconds * 1000 for seconds in seen if seconds is not None]
    return AtRate(rate, visible, len(seen) - len(visible), records / max(batches, 1), paced.late_seconds)


async def _probe(
    side: Side, publisher: Publisher, http: aiohttp.ClientSession, headers: Mapping[str, str], user: str, due: float
) -> float | None:
    """Seconds from when the probe was due until its XP is in the answer; None when it never was."""
    value = encode_event(
        XpEarned(amount=AMOUNT, xp_source="lesson"),
        event_id=secrets.token_hex(8), source="probe", subject=user, time=datetime.now(UTC),
    )  # fmt: skip
    await publisher.publish(f"{side.prefix}learning.xp-earned", user.encode(), value)
    while perf_counter() - due < GIVE_UP_SECONDS:
        async with http.get("/missions", headers=headers) as answer:
            answer.raise_for_status()
            missions = (await answer.json())["missions"]
        if any(mission["mission_id"] == MISSION and mission["progress"] >= AMOUNT for mission in missions):
            return perf_counter() - due
        await asyncio.sleep(LOOK_SECONDS)
    return None


def draw(found: Sequence[AtRate], where: Path) -> Iterable[Path]:
    """Percentiles by rate, as PNG and SVG."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for offset, (percent, color) in enumerate(((50, THEIRS), (95, "#6b9fb3"), (99, OURS))):
        places = [place + (offset - 1) * 0.25 for place in range(len(found))]
        values = [each.percentile(percent) for each in found]
        axes.bar(places, values, width=0.24, color=color, label=f"p{percent}")
        for place, value in zip(places, values, strict=True):
            axes.text(place, value, f"{value:.0f}", ha="center", va="bottom", fontsize=8)
    axes.set_xticks(range(len(found)), [f"{each.rate:,} events/s" for each in found])
    axes.set_yscale("log")
    axes.set_ylabel("ms from due to visible in GET /missions (log scale)")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return save(figure, where / "latency")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    add = parser.add_argument
    add("--rates", type=int, nargs="+", default=[200, 2000, 10_000], help="events/s (%(default)s)")
    add("--seconds", type=float, default=30, help="of probes at each rate (%(default)s)")
    add("--users", type=int, default=50_000, help="users whom the load is about (%(default)s)")
    add("--results", type=Path, default=RESULTS, help="folder for figures and chart (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
