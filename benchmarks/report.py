"""Shows the figures, with what they were measured beside, and keeps them as JSON."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .checks import Facts
from .sides import Measured

RATIO_GOAL = 10.0
LATEST = Path(__file__).parent / "results" / "latest.json"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    title: str
    keeps: str
    """What a reader must know about its promises to compare the figures."""
    measured: Measured
    facts: Facts
    events: int
    """Events without repeated ones, for the writes per event."""


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that one run found."""

    processor: Row
    per_event_agent: Row
    settings: dict[str, Any]
    """What was asked for and what the servers were set to."""
    users_compared: int

    @property
    def ratio(self) -> float:
        """How many times faster the processor was."""
        return self.processor.measured.per_second / self.per_event_agent.measured.per_second

    @property
    def core_time_ratio(self) -> float:
        """How many times less of the cores the processor took for an event."""
        return _core_microseconds(self.per_event_agent) / _core_microseconds(self.processor)


def show(result: Result, console: Console) -> None:
    """The table, the machine's load, and the goal as the last line."""
    sides = (result.processor, result.per_event_agent)
    table = Table("", *(row.title for row in sides), title="One run, the same servers", title_justify="left")
    lines: list[tuple[str, Callable[[Row], str]]] = [
        ("events/s", lambda row: f"[bold]{row.measured.per_second:,.0f}[/]"),
        ("records", lambda row: f"{row.measured.records:,} in {row.measured.seconds:.1f} s"),
        ("core time per event", lambda row: f"{_core_microseconds(row):,.0f} µs"),
        ("rows written per event", lambda row: f"{row.facts.writes['rows_written'] / row.events:.2f}"),
        ("of them user states", lambda row: f"{row.facts.writes['user_state'] / row.events:.2f}"),
        ("cores: it and the servers", lambda row: f"{row.measured.load.ours:.2f}"),
        ("cores: other programs", lambda row: f"{row.measured.load.others:.2f}"),
        ("load average before", lambda row: f"{row.measured.load.load_average_before:.2f}"),
        ("Redis keys left behind", lambda row: f"{row.facts.stale_keys} of {row.facts.users_checked}"),
        ("keeps", lambda row: row.keeps),
    ]
    for title, value in lines:
        table.add_row(title, *map(value, sides))
    console.print(table)
    console.print(
        f"{result.processor.measured.load.cores} cores for all of it. Checked: every record accounted for, "
        f"{result.processor.facts.users_checked} users counted by hand, {result.users_compared:,} the same on both sides.",
        highlight=False,
    )
    console.print(
        f"By core time, which other programs disturb less, the ratio is {result.core_time_ratio:.1f} x.",
        highlight=False,
    )
    verdict = "met" if result.ratio >= RATIO_GOAL else "not met"
    console.print(f"goal per-event-ratio: {result.ratio:.1f} x (>= {RATIO_GOAL:g} x) {verdict}", highlight=False)


def write(result: Result, path: Path = LATEST) -> None:
    """Keeps the run for whoever quotes it."""
    document = {
        "goal": {"name": "per-event-ratio", "aim": RATIO_GOAL, "reached": round(result.ratio, 2)},
        "core_time_ratio": round(result.core_time_ratio, 2),
        "processor": _as_json(result.processor),
        "per_event_agent": _as_json(result.per_event_agent),
        "users_compared": result.users_compared,
        "settings": result.settings,
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", "utf-8")


def _core_microseconds(row: Row) -> float:
    """Of all cores, by the side and the servers: what a busy machine disturbs least."""
    return 1e6 * row.measured.load.ours / row.measured.per_second


def _as_json(row: Row) -> dict[str, Any]:
    return {
        "events_per_second": round(row.measured.per_second, 1),
        "records": row.measured.records,
        "seconds": round(row.measured.seconds, 2),
        "core_microseconds_per_event": round(_core_microseconds(row), 1),
        "cores": {
            **{name: round(value, 2) for name, value in asdict(row.measured.load).items()},
            "others": round(row.measured.load.others, 2),
        },
        "counters": row.measured.counters,
        "writes": row.facts.writes,
        "outcomes": row.facts.outcomes,
        "stale_keys": row.facts.stale_keys,
    }
