"""What the verifier found: notes of what was compared, differences, and the verdict."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic

ALL_ACCOUNTED = "ALL EVENTS ACCOUNTED FOR"

SHOWN_PER_KIND = 10
"""Differences of one kind that are spelt out: the first ones say what is wrong, and one fault may cause thousands."""

SHOWN_CHARACTERS = 300
"""Of a value: an event, or the beginning of a state."""


@dataclass
class Report:
    """The whole answer: `lines` to print, `ok` to decide by."""

    notes: list[str] = field(default_factory=list)
    differences: dict[str, list[str]] = field(default_factory=dict)
    """By kind, in the order in which they were looked for; at most `SHOWN_PER_KIND` of each."""
    counts: Counter[str] = field(default_factory=Counter)
    progress: Callable[[str], None] = lambda _line: None
    """Is told each note as it is made."""
    started: float = field(default_factory=monotonic)

    def note(self, text: str) -> None:
        """Says what was read or compared."""
        self.notes.append(text)
        self.progress(f"[{monotonic() - self.started:5.1f} s] {text}")

    def differ(self, kind: str, place: str, expected: object, found: object, look_at: str = "") -> None:
        """One difference: where (user, mission, period, or partition), what should be, what is, and the records to look at."""
        self.counts[kind] += 1
        lines = self.differences.setdefault(kind, [])
        if len(lines) < SHOWN_PER_KIND:
            hint = f" (look at {look_at})" if look_at else ""
            lines.append(f"{kind}: {place}: expected {_shown(expected)}, found {_shown(found)}{hint}")

    def same(self, kind: str, place: str, expected: object, found: object, look_at: str = "") -> bool:
        """Whether both are equal; a difference if not."""
        if expected == found:
            return True
        self.differ(kind, place, expected, found, look_at)
        return False

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not self.counts

    @property
    def lines(self) -> list[str]:
        """Notes, then differences, then the verdict."""
        lines = list(self.notes)
        for kind, shown in self.differences.items():
            lines += shown
            if self.counts[kind] > len(shown):
                lines.append(f"{kind}: … and {self.counts[kind] - len(shown)} more")
        return [*lines, self.verdict]

    @property
    def verdict(self) -> str:
        """The last line."""
        return ALL_ACCOUNTED if self.ok else f"{self.counts.total()} DIFFERENCES"


def _shown(value: object) -> str:
    text = _plain(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def _plain(value: object) -> str:
    """As a person writes it: instants in ISO 8601, ids without their type."""
    match value:
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case dict():
            return "{" + ", ".join(f"{name}: {_plain(part)}" for name, part in value.items()) + "}"
        case list() | tuple() | set():
            parts = sorted(map(_plain, value)) if isinstance(value, set) else map(_plain, value)
            return f"({', '.join(parts)})"
        case None:
            return "none"
        case _:
            return str(value)
