"""Shows what chaos runs found: a table of faults for each, one line a run at the end, and both as files."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from .recovery import BOUND_SECONDS
from .run import Injected, Result

COLUMNS = ("seed", "records", "faults", "kills", "p50", "max", "grants", "took", "verifier")
"""`p50` and `max` are of the recoveries of what was killed."""


def _seconds(injected: Injected) -> str:
    if injected.recovered is not None:
        return f"{injected.recovered:.1f} s"
    return "never" if injected.waited else ""


def show_run(console: Console, result: Result) -> None:
    """The faults of one run and what came of them."""
    table = Table("at", "fault", "kills", "goes on after", title=f"seed {result.seed}")
    for each in sorted(result.injected, key=lambda injected: injected.at):
        table.add_row(f"{each.at:.0f} s", each.name, str(each.kills or ""), _seconds(each))
    console.print(table)
    console.print(f"{result.records} records published, {result.repeated} of them sent again; learners: {result.seen}")
    if result.ended:
        console.print(f"ended by themselves and were started again: {', '.join(result.ended)}")
    for line in result.verifier:
        console.print(f"  {line}", highlight=False, markup=False)
    for line in result.slow:
        console.print(f"[yellow]slow:[/] {line}", highlight=False)
    for line in result.wrong:
        console.print(f"[red]✗[/] {line}", highlight=False)


def show_summary(console: Console, results: Sequence[Result]) -> None:
    """One line a run, and the recoveries of all against the bound."""
    table = Table(*COLUMNS, box=None, padding=(0, 1, 0, 0))  # fits eighty columns, the verifier's last line with it
    for each in results:
        table.add_row(*_row(each))
    console.print(table)
    recoveries = [seconds for result in results for seconds in result.recoveries]
    if recoveries:
        console.print(
            f"{sum(result.kills for result in results)} kills; recovery p50 {median(recoveries):.1f} s, "
            f"max {max(recoveries):.1f} s; the bound is {BOUND_SECONDS:.0f} s"
        )


def write(directory: Path, results: Sequence[Result]) -> None:
    """`report.json` with everything, `report.md` with what `show_summary` shows and the faults of each run."""
    data = [asdict(result) | {"directory": str(result.directory.name), "kills": result.kills} for result in results]
    (directory / "report.json").write_text(json.dumps(data, indent=1, default=str) + "\n")
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    lines += [f"| {' | '.join(_row(result))} |" for result in results]
    for result in results:
        lines += ["", f"## Seed {result.seed}", "", "| at | fault | kills | goes on after |", "|---|---|---|---|"]
        lines += [
            f"| {each.at:.0f} s | {each.name} | {each.kills or ''} | {_seconds(each)} |"
            for each in sorted(result.injected, key=lambda injected: injected.at)
        ]
        lines += [
            "",
            "```",
            *result.verifier,
            *(f"slow: {what}" for what in result.slow),
            *(f"wrong: {what}" for what in result.wrong),
            "```",
        ]
    (directory / "report.md").write_text("\n".join(lines) + "\n")


def _row(result: Result) -> list[str]:
    recoveries = result.recoveries
    verdict = result.verifier[-1] if result.verifier else "did not run"
    return [
        str(result.seed),
        str(result.records),
        str(len(result.injected)),
        str(result.kills),
        f"{median(recoveries):.1f} s" if recoveries else "",
        f"{recoveries[-1]:.1f} s" if recoveries else "",
        str(result.seen.get("grants", 0)),
        f"{result.seconds:.0f} s",
        verdict if result.ok or not verdict.startswith("ALL EVENTS") else f"{verdict}; but {result.wrong[0]}",
    ]
