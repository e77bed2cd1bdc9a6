"""The missions as the ledger has published them, spelt out."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import yaml

from tests.reference.missions import DEFAULT_CATALOGUE, spelt_out

from .ledger import Ledger, Row
from .report import Report

Definition = dict[str, Any]
COMPARED = (
    "type",
    "period",
    "objectives",
    "needed",
    "audience",
    "requires",
    "parameters",
    "fit",
    "otherwise",
    "stand_in",
    "rewards",
)


class Definitions:
    """By (mission, version); `current` are the newest versions by id."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.versions: dict[tuple[str, int], Definition] = {}
        self.current: dict[str, Definition] = {}
        for row in sorted(rows, key=lambda row: row["version"]):
            one = prepared(json.loads(row["definition"]))
            self.versions[row["mission_id"], row["version"]] = one
            self.current[row["mission_id"]] = one
        self.openers = {name for one in self.current.values() for name in one["requires"]}
        """Missions whose claim opens others."""

    def chain(self, definition: Definition) -> list[Definition]:
        """A mission and those that stand in for it, in their order."""
        found = [definition]
        while (following := self.current.get(found[-1]["otherwise"] or "")) is not None and following not in found:
            found.append(following)
        return found


def prepared(definition: dict[str, Any]) -> Definition:
    """A definition spelt out, its conditions divided into those over the events' own fields and those over history."""
    one = spelt_out(definition)
    one["rewards"] = [{**reward, "amount": reward.get("amount", 1)} for reward in one["rewards"]]
    for name in ("opens_at", "closes_at"):
        told = one.get(name)
        one[name] = datetime.fromisoformat(told) if isinstance(told, str) else told
        if one[name] is not None:
            one[name] = one[name].astimezone(UTC)
    for objective in one["objectives"]:
        where = objective["where"]
        objective["own"] = {name: test for name, test in where.items() if not name.startswith("history.")}
        objective["history"] = {name: test for name, test in where.items() if name.startswith("history.")}
    return one


def check_default_catalogue(report: Report, definitions: Definitions) -> None:
    """The ledger's missions are those of the default catalogue, as its files say."""
    wanted = {
        one["id"]: prepared(one)
        for file in sorted(DEFAULT_CATALOGUE.glob("*.yaml"))
        for one in yaml.safe_load(file.read_text("utf-8"))["missions"]
    }
    for name in sorted(wanted.keys() | definitions.current.keys()):
        one, found = wanted.get(name), definitions.current.get(name)
        if one is None or found is None:
            report.differ(
                "catalogue", f"mission {name}", "in both" if one else "not there", "not there" if one else "there"
            )
            continue
        for part in COMPARED:
            report.same("catalogue", f"mission {name}, {part}", one[part], found[part])
    report.note(f"catalogue: {len(definitions.current)} missions, compared with the files of the default catalogue")


def published(ledger: Ledger) -> Definitions:
    """The definitions of a ledger."""
    return Definitions(ledger.tables["mission_version"])
