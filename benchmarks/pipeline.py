"""`python -m benchmarks.pipeline`: events per second through the processor, beside its peers, each in a fresh state, several times."""

import argparse
import asyncio
import signal
import sys
from contextlib import ExitStack
from datetime import UTC, datetime

import uvloop
from rich.console import Console

from services.adapters.logs import configure_logs
from services.cli.console import board, faults_as_lines
from services.stack.paths import PROJECT

from .chart import draw
from .checks import WrongResult
from .machine import description
from .peers.environment import Environment, prepare
from .report import Report, show, write
from .rounds import Plan, Round, measure_round
from .sides import SideFailed
from .world import running


def main() -> int:
    """Measures all sides. Exit code 0 whatever the figures are, 1 when a side failed or counted wrong."""
    arguments = _arguments()
    console = Console()
    configure_logs("benchmark", "WARNING")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: with the servers stopped
    with faults_as_lines():
        environment = Environment(None, None, {})
        if not arguments.without_peers:
            with board(console) as shown:
                environment = prepare(shown.tell)
        plan = Plan(
            **{name: value for name, value in vars(arguments).items() if name in Plan.__annotations__},
            environment=environment,
        )
        rounds = []
        for number in range(1, arguments.runs + 1):
            console.rule(f"run {number} of {arguments.runs}", style="dim")
            try:
                rounds.append(_round(plan, console))
            except (SideFailed, WrongResult) as error:
                Console(stderr=True).print(f"✗ {error}", markup=False, highlight=False, soft_wrap=True)
                return 1
        settings = {**vars(arguments), "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}", **description()}
        report = Report(rounds, settings, environment.missing)
        show(report, console)
        for path in (*write(report), *draw(report)):
            console.print(f"written: {path.relative_to(PROJECT)}", style="dim")
        for line in report.goal_lines():
            console.print(line, highlight=False)
    return 0


def _round(plan: Plan, console: Console) -> Round:
    with ExitStack() as stack:
        with board(console) as shown:
            world = stack.enter_context(running(shown.tell))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(measure_round(plan, world, console))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__)
    add = parser.add_argument
    add("--runs", type=_positive, default=3, help="runs, each with fresh servers; medians are told (%(default)s)")
    add("--events", type=_positive, default=300_000, help="events for the fast sides (%(default)s)")
    add("--users", type=_positive, default=50_000, help="users whom they are about (%(default)s)")
    add(
        "--new-users",
        type=float,
        default=10,
        metavar="PERCENT",
        help="of them are first seen in the events (%(default)s)",
    )
    add("--agent-events", type=_positive, default=12_000, help="about as many for the per-event agent (%(default)s)")
    add("--table-events", type=_positive, default=30_000, help="about as many for the Faust tables (%(default)s)")
    add("--bare-events", type=_positive, default=100_000, help="about as many for the bare writes (%(default)s)")
    add("--seed", type=int, default=1, help="equal seeds give equal events, but for their times (%(default)s)")
    add("--batch-size", type=_positive, default=10_000, help="the processor's MISSIONS_BATCH_SIZE_MAX (%(default)s)")
    add("--lanes", type=_positive, default=4, help="the processor's MISSIONS_LANES_MAX (%(default)s)")
    add("--without-peers", action="store_true", help="only the processor and the per-event agent: two minutes a run")
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
