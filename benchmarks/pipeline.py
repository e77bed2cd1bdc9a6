"""`python -m benchmarks.pipeline`: events per second through the processor, beside its peers, each in a fresh state, several times."""

import argparse
import sys
from datetime import UTC, datetime

from rich.console import Console

from services.cli.console import board, faults_as_lines

from .chart import draw
from .checks import WrongResult
from .machine import description
from .peers.environment import Environment, prepare
from .report import Report, show, tell_failed, tell_written, write
from .rounds import Plan, measure_round
from .sides import SideFailed, add_tuning, positive
from .world import begin, on_fresh_servers


def main() -> int:
    """Measures all sides. Exit code 0 whatever the figures are, 1 when a side failed or counted wrong."""
    arguments = _arguments()
    console = Console()
    begin()
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
                rounds.append(on_fresh_servers(lambda world: measure_round(plan, world, console), console))
            except (SideFailed, WrongResult) as error:
                tell_failed(error)
                return 1
        settings = {**vars(arguments), "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}", **description()}
        report = Report(rounds, settings, environment.missing)
        show(report, console)
        for path in (*write(report), *draw(report)):
            tell_written(path, console)
        for line in report.goal_lines():
            console.print(line, highlight=False)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__)
    add = parser.add_argument
    add("--runs", type=positive, default=3, help="runs, each with fresh servers; medians are told (%(default)s)")
    add("--events", type=positive, default=1_000_000, help="events for the fast sides (%(default)s)")
    add("--users", type=positive, default=50_000, help="users whom they are about (%(default)s)")
    add(
        "--new-users",
        type=float,
        default=10,
        metavar="PERCENT",
        help="of them are first seen in the events (%(default)s)",
    )
    add("--agent-events", type=positive, default=12_000, help="about as many for the per-event agent (%(default)s)")
    add("--table-events", type=positive, default=30_000, help="about as many for the Faust tables (%(default)s)")
    add("--bare-events", type=positive, default=100_000, help="about as many for the bare writes (%(default)s)")
    add("--seed", type=int, default=1, help="equal seeds give equal events, but for their times (%(default)s)")
    add_tuning(parser)
    add("--without-peers", action="store_true", help="only the processor and the per-event agent: two minutes a run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
