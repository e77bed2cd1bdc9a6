"""Shows the figures of all runs as medians, with what they were measured beside, says which goals are met, and keeps them as JSON."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from services.stack.paths import PROJECT

from .machine import description
from .rounds import Round, Row

RESULTS = Path(__file__).parent / "results"
LATEST = RESULTS / "latest.json"


@dataclass(frozen=True, slots=True)
class Goal:
    """What is aimed at: the processor's events/s, by itself or as a ratio to another side in the same run."""

    name: str
    aim: float
    beside: str | None = None


GOALS = (
    Goal("events-per-second", 30_000),
    Goal("per-event-agent", 30, "per-event-agent"),
    Goal("quix-exactly-once", 1.2, "quix-exactly-once"),
    Goal("kafka-streams-exactly-once", 0.25, "kafka-streams"),
    Goal("bare-postgres-writes", 0.5, "bare-writes"),
)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the runs found."""

    rounds: list[Round]
    settings: dict[str, Any]
    """What was asked for, and the machine."""
    missing: dict[str, str]
    """Peers that could not be measured, with the reason."""

    @property
    def names(self) -> list[str]:
        """The sides, the slowest first."""
        return sorted((row.name for row in self.rounds[0].rows), key=self.per_second)

    def rows(self, name: str) -> list[Row]:
        """A side in all runs."""
        return [row for one in self.rounds if (row := one.of(name)) is not None]

    def per_second(self, name: str) -> float:
        """Median of the runs."""
        return median(row.measured.per_second for row in self.rows(name))

    def ratio(self, beside: str, of: str = "processor") -> float | None:
        """Median over the runs of one side's events/s to another's in the same run; None where that did not run."""
        ratios = [
            ours.measured.per_second / theirs.measured.per_second
            for ours, theirs in zip(self.rows(of), self.rows(beside), strict=False)
        ]
        return median(ratios) if ratios else None

    def goal_lines(self) -> list[str]:
        """One line a goal: what was aimed at, and whether one processor, and two, have reached it."""
        return [
            f"goal {goal.name}: {self._verdict(goal, 'processor')}; with two processors {self._verdict(goal, 'two-processors')}"
            for goal in GOALS
        ]

    def _verdict(self, goal: Goal, side: str) -> str:
        reached = self.per_second(side) if goal.beside is None else self.ratio(goal.beside, side)
        form = "{:,.0f}/s" if goal.beside is None else "{:.3g} x"
        aim = f"(>= {form.format(goal.aim)})"
        if reached is None:
            return f"not measured {aim}"
        return f"{form.format(reached)} {aim} {'met' if reached >= goal.aim else 'not met'}"


def show(report: Report, console: Console) -> None:
    """The table, with the machine's load."""
    runs = len(report.rounds)
    table = Table(
        title=f"Medians of {runs} runs, each on fresh servers (lowest to highest in brackets)", title_justify="left"
    )
    for title in ("", "events/s", "processor is", "core µs an event", "rows an event", "other programs", "keeps"):
        table.add_column(title, justify="left" if title in ("", "keeps") else "right", overflow="fold")
    for name in report.names:
        rows = report.rows(name)
        ratio = report.ratio(name)
        table.add_row(
            rows[0].title,
            _spread(rows, lambda row: row.measured.per_second),
            f"{ratio:.2f} x" if ratio is not None and name != "processor" else "",
            f"{median(row.core_microseconds for row in rows):,.0f}",
            _rows_written(rows),
            f"{median(row.measured.load.others for row in rows):.2f} cores",
            rows[0].keeps,
            style="bold" if name == "processor" else "",
        )
    console.print(table)
    for what, reason in report.missing.items():
        console.print(f"not measured: {what}: {reason}", highlight=False, soft_wrap=True)
    processor = report.rounds[0].of("processor")
    checked = processor.facts.users_checked if processor is not None and processor.facts is not None else 0
    console.print(
        f"Checked in each run: every record accounted for, {checked} users counted by hand, {report.rounds[0].users_compared:,} "
        "the same as the per-event agent's, every peer's completions.",
        highlight=False,
    )


def _spread(rows: list[Row], value: Callable[[Row], float]) -> str:
    values = sorted(map(value, rows))
    return f"{median(values):,.0f}" + (f" ({values[0]:,.0f}-{values[-1]:,.0f})" if len(values) > 1 else "")


def _rows_written(rows: list[Row]) -> str:
    counted = [row.facts.writes["rows_written"] / row.events for row in rows if row.facts is not None and row.events]
    return f"{median(counted):.2f}" if counted else ""


def write(report: Report, path: Path = LATEST) -> Iterable[Path]:
    """Keeps the runs for whoever quotes them."""
    document = {
        "goals": report.goal_lines(),
        "sides": {
            name: {
                "title": report.rows(name)[0].title,
                "keeps": report.rows(name)[0].keeps,
                "events_per_second": round(report.per_second(name), 1),
                "processor_ratio": round(report.ratio(name) or 0, 3),
                "runs": [_as_json(row) for row in report.rows(name)],
            }
            for name in report.names
        },
        "not_measured": report.missing,
        "settings": report.settings,
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    return [path]


def _as_json(row: Row) -> dict[str, Any]:
    load = {name: round(value, 2) for name, value in asdict(row.measured.load).items()}
    document: dict[str, Any] = {
        "events_per_second": round(row.measured.per_second, 1),
        "records": row.measured.records,
        "seconds": round(row.measured.seconds, 2),
        "core_microseconds_per_event": round(row.core_microseconds, 1),
        "cores": {**load, "others": round(row.measured.load.others, 2)},
    }
    if row.measured.counters:
        document["counters"] = row.measured.counters
    if row.facts is not None:
        document |= {"writes": row.facts.writes, "outcomes": row.facts.outcomes, "stale_keys": row.facts.stale_keys}
    return document


def ratio_goal(name: str, ratio: float, aim: float, sign: str) -> str:
    """A goal on a line; `sign` is `>=` or `<=`."""
    met = ratio >= aim if sign == ">=" else ratio <= aim
    return f"goal {name}: {ratio:.2f} x ({sign} {aim:g} x) {'met' if met else 'not met'}"


def tell_failed(error: Exception) -> None:
    """Says on stderr why a run has failed."""
    Console(stderr=True).print(f"✗ {error}", markup=False, highlight=False, soft_wrap=True)


def tell_written(path: Path, console: Console) -> None:
    """Says where something was written, within the project without its own path."""
    shown = path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path
    console.print(f"written: {shown}", style="dim")


def keep(path: Path, asked: Mapping[str, Any], load_before: float, found: Mapping[str, Any]) -> Path:
    """Keeps what one benchmark found as JSON, with what was asked for and the machine; `load_before` is its load average then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {**asked, "results": None, "load average before": load_before, **description()}
    path.write_text(json.dumps({"settings": settings, **found}, indent=1) + "\n", "utf-8")
    return path
