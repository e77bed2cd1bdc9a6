"""Sorts what pip-audit says of the pinned packages: unexplained advisories, explained ones, and packages that nobody looked at."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any


@dataclass(frozen=True, slots=True)
class Explained:
    """An advisory that does not concern us, until the day on which somebody must look again."""

    advisory: str
    until: date
    why: str


@dataclass(frozen=True, slots=True)
class Finding:
    """An advisory about a package in the version that is pinned."""

    package: str
    version: str
    advisory: str
    aliases: Sequence[str]
    fixed_in: Sequence[str]


@dataclass(frozen=True, slots=True)
class Audit:
    """What one look came to."""

    findings: Sequence[Finding]
    not_audited: Mapping[str, str]
    """Package -> why nothing is known of it."""
    packages: int


def read_explained(text: str) -> list[Explained]:
    """Lines of `ID YYYY-MM-DD why`; empty ones and `#` are passed over. Raises ValueError that names the line."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(maxsplit=2)
        if not words or words[0].startswith("#"):
            continue
        try:
            advisory, until, why = words
            found.append(Explained(advisory, date.fromisoformat(until), why))
        except ValueError:
            raise ValueError(f"line {number}: write `ID YYYY-MM-DD why it does not concern us`, not {line!r}") from None
    return found


def read_report(report: Mapping[str, Any]) -> Audit:
    """pip-audit's JSON."""
    findings, skipped = [], {}
    for package in report["dependencies"]:
        if "skip_reason" in package:
            skipped[package["name"]] = package["skip_reason"]
        findings += [
            Finding(package["name"], package["version"], told["id"], told["aliases"], told["fix_versions"])
            for told in package.get("vulns", ())
        ]
    return Audit(findings, skipped, len(report["dependencies"]))


def unexplained(audit: Audit, explained: Iterable[Explained], today: date) -> list[Finding]:
    """Findings that no line explains, or whose line has run out."""
    known = {each.advisory for each in explained if each.until >= today}
    return [finding for finding in audit.findings if known.isdisjoint({finding.advisory, *finding.aliases})]
