"""`python -m benchmarks.pipeline`: events per second through the processor, as a ratio to a per-event Faust agent that does the same."""

import argparse
import asyncio
import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.adapters.logs import configure_logs
from services.cli.console import board, faults_as_lines

from .checks import WrongResult, check_per_event_agent, check_processor, check_same, count_writes
from .events import Stream
from .known_users import issue_to
from .publish import publish
from .report import Result, Row, show, write
from .sides import SideFailed, Tuning, run_per_event_agent, run_processor
from .sql import queries
from .world import World, connected, create_side, running

SAMPLE_USERS = 300
"""Users whose progress is counted by hand."""

PROCESSOR_KEEPS = "its position, in the same transaction: each event counts once, whatever fails"
AGENT_KEEPS = "Kafka's offset, on a timer: what fails is acknowledged; duplicates dropped by the log"


def main() -> int:
    """Runs both sides. Exit code 0 whatever the figures are, 1 when a side failed or counted wrong."""
    arguments = _arguments()
    console = Console()
    configure_logs("benchmark", "WARNING")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: with the servers stopped
    with faults_as_lines(), ExitStack() as stack:
        with board(console) as shown:
            world = stack.enter_context(running(shown.tell))
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                result = runner.run(_measure(arguments, world, console))
        except (SideFailed, WrongResult) as error:
            Console(stderr=True).print(f"✗ {error}", markup=False, highlight=False, soft_wrap=True)
            return 1
        show(result, console)
        write(result)
    return 0


async def _measure(arguments: argparse.Namespace, world: World, console: Console) -> Result:
    whole, part = await create_side("processor", world), await create_side("per_event_agent", world)
    stream = Stream(arguments.events, arguments.users, arguments.seed, datetime.now(UTC))
    every = max(round(arguments.events / arguments.peer_events), 1)
    users = range(0, arguments.users, every)
    sample = frozenset(random.Random(arguments.seed).sample(users, min(SAMPLE_USERS, len(users))))
    rng = random.Random(arguments.seed)
    known = [user for user in range(arguments.users) if rng.random() * 100 >= arguments.new_users]
    for side, part_of_known in ((whole, known), (part, [user for user in known if user % every == 0])):
        with _bar(console, "missions issued", len(part_of_known)) as told:
            await issue_to(side, part_of_known, stream.since, told)
    before, part_before = await count_writes(whole), await count_writes(part)
    with _bar(console, "events published", arguments.events) as told:
        filled = await publish(stream, whole, part, every=every, sample=sample, told=told)
    # The smaller run first: what the larger one leaves to the servers' housekeeping would slow it down.
    with _bar(console, "per-event agent", filled.part.records) as told:
        agent = await run_per_event_agent(world, part, filled.part.records, told)
    agent_facts = await check_per_event_agent(part, filled.part, filled, stream, part_before)
    tuning = Tuning(arguments.batch_size, arguments.lanes)
    with _bar(console, "processor", filled.whole.records) as told:
        processor = await run_processor(world, whole, filled.whole.records, tuning, told)
    processor_facts = await check_processor(whole, filled.whole, filled, stream, before)
    return Result(
        Row("missions processor (batches)", PROCESSOR_KEEPS, processor, processor_facts, filled.whole.events),
        Row("Faust agent (event by event)", AGENT_KEEPS, agent, agent_facts, filled.part.events),
        {**vars(arguments), "at": f"{stream.until:%Y-%m-%dT%H:%M:%SZ}", "postgres": await _postgres_settings(world)},
        await check_same(whole, part, users, stream),
    )


async def _postgres_settings(world: World) -> dict[str, Any]:
    async with connected(world.servers.addresses.postgres_dsn) as pool:
        return {row[0]: row[1] for row in await pool.fetch(queries("measure")["settings"])}


@contextmanager
def _bar(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    columns = (
        TextColumn(f"{what:18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:>8}/s"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total, rate="")

        def told(done: int) -> None:
            speed = progress.tasks[task].speed or 0.0
            # A batch may carry the bar a little past a total that counts events, not repeated records.
            progress.update(task, completed=min(done, total), rate=f"{speed:,.0f}")

        yield told


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__)
    add = parser.add_argument
    add("--events", type=_positive, default=300_000, help="events for the processor (%(default)s)")
    add("--users", type=_positive, default=50_000, help="users whom they are about (%(default)s)")
    add(
        "--new-users",
        type=float,
        default=10,
        metavar="PERCENT",
        help="of them are first seen in the events (%(default)s)",
    )
    add("--peer-events", type=_positive, default=12_000, help="about as many of them for the peer (%(default)s)")
    add("--seed", type=int, default=1, help="equal seeds give equal events, but for their times (%(default)s)")
    add("--batch-size", type=_positive, default=4000, help="the processor's MISSIONS_BATCH_SIZE_MAX (%(default)s)")
    add("--lanes", type=_positive, default=3, help="the processor's MISSIONS_LANES_MAX (%(default)s)")
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
