"""`make chaos RUNS=20 EVENTS=100000 SEED=…`: runs of the whole system with faults, each verified, and a table of what was found."""

import argparse
import asyncio
import logging
import secrets
import shutil
import sys
import traceback
from datetime import datetime
from pathlib import Path
from time import monotonic

import uvloop
from rich.console import Console

from services.stack.paths import PROJECT

from .plan import long_plan, short_plan
from .report import show_run, show_summary, write
from .run import Result, run

LOAD_SECONDS = 120.0
"""Over which a run's events are spread: about what its faults take."""
SHORT_LOAD_SECONDS = 35.0


def main() -> int:
    """Runs; 0 if every run was as it should be, and within the bound."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=1, help="how many, each with a seed of its own")
    parser.add_argument("--events", type=int, default=100_000, help="events in each run, beside copies and bad records")
    parser.add_argument("--seed", type=int, default=None, help="of the first run; the others follow from it")
    parser.add_argument("--short", action="store_true", help="the faults of `make test` alone")
    parser.add_argument("--directory", type=Path, default=PROJECT / ".local" / "chaos", help="for logs and reports")
    arguments = parser.parse_args()
    first = arguments.seed if arguments.seed is not None else secrets.randbelow(10**6)
    directory = arguments.directory / f"{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # its clients of brokers that we kill
    console = Console()
    results: list[Result] = []
    try:
        for number in range(arguments.runs):
            results.append(_one(console, arguments, first + number, directory, f"{number + 1}/{arguments.runs}"))
            write(directory, results)
    except KeyboardInterrupt:
        console.print("[red]broken off[/]")
    show_summary(console, results)
    console.print(f"report: {directory / 'report.md'}", soft_wrap=True)
    return 0 if len(results) == arguments.runs and all(result.ok and not result.slow for result in results) else 1


def _one(console: Console, arguments: argparse.Namespace, seed: int, directory: Path, number: str) -> Result:
    start = monotonic()

    def told(what: str) -> None:
        console.print(f"[dim]run {number}, seed {seed}, {monotonic() - start:4.0f} s[/] {what}", highlight=False)

    place = directory / f"seed-{seed}"
    place.mkdir(parents=True, mode=0o711)
    work = run(
        place,
        seed,
        arguments.events,
        lambda world: short_plan(seed) if arguments.short else long_plan(seed, world.disks),
        told,
        load_seconds=SHORT_LOAD_SECONDS if arguments.short else LOAD_SECONDS,
    )
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            result = runner.run(work)
    except Exception as error:  # noqa: BLE001 - whatever it is, this run has failed, and the next one may tell more
        console.print(traceback.format_exc(), markup=False, highlight=False)
        result = Result(seed, place, wrong=[f"the run broke off: {error!r}"])
    show_run(console, result)
    if result.ok and not result.slow:  # the logs of a recovery that was only slow are all that can explain it
        shutil.rmtree(place, ignore_errors=True)
    else:
        kind = " ARGS=--short" if arguments.short else ""
        console.print(f"again: make chaos SEED={seed} EVENTS={arguments.events}{kind}", highlight=False)
        console.print(f"logs: {place}", soft_wrap=True, highlight=False)
    return result


if __name__ == "__main__":
    sys.exit(main())
