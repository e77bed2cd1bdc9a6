"""Every assignment: its bounds, target, progress, status and end, and its one grant."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from tests.reference.rules import BOUND

from .counting import Counts, Given, count, given_of
from .definitions import Definition, Definitions
from .learner import Learner
from .ledger import Ledger, Row, fit_of
from .report import Report

IDS = UUID("d1f6a0f4-5a86-5a39-9c53-2f8f4b8a7e10")
"""Namespace of the ids of assignments and grants: a promise to other systems, so that it stands here too."""

LOOK_AT_MAX = 8


def check_assignments(
    report: Report, learners: Mapping[str, Learner], definitions: Definitions, ledger: Ledger
) -> None:
    """Compares all assignments with what their users' events come to."""
    grants = _grants(ledger)
    kept = {a[0]: a for state in ledger.states.values() for a in state.get("assignments", [])}
    exact = ranges = 0
    statuses: dict[str, int] = {}
    for row in ledger.tables["assignment"]:
        definition = definitions.versions.get((row["mission_id"], row["mission_version"]))
        if definition is None:
            report.differ("assignment", _named(row), "a published mission version", f"version {row['mission_version']}")
            continue
        statuses[row["status"]] = statuses.get(row["status"], 0) + 1
        name = row["user_id"]
        learner = learners.get(name) or Learner(name, (), ledger.states.get(name, {}))
        check = _Check(report, learner, definitions, row, definition, kept.get(str(row["assignment_id"])))
        check.issue()
        sizes = check.progress()
        exact, ranges = exact + sizes[0], ranges + sizes[1]
        check.status(ledger.now)
        check.grant(grants.pop(row["assignment_id"], []))
    for rows in grants.values():
        for row in rows:
            report.differ("grant", f"user {row['user_id']}, mission {row['mission_id']}", "an assignment", "none")
    told = ", ".join(f"{amount} {status}" for status, amount in sorted(statuses.items()))
    report.note(f"assignments: {told or 'none'}; progress of {exact} objectives exact, of {ranges} within bounds")
    report.note(f"grants: {len(ledger.tables['reward_grant'])}, one for each claimed assignment")


def _grants(ledger: Ledger) -> dict[UUID, list[Row]]:
    grants: dict[UUID, list[Row]] = {}
    for row in ledger.tables["reward_grant"]:
        grants.setdefault(row["assignment_id"], []).append(row)
    return grants


def _named(row: Row) -> str:
    return f"user {row['user_id']}, mission {row['mission_id']}, period from {row['starts_at'].isoformat()}"


class _Check:
    """One assignment."""

    def __init__(
        self,
        report: Report,
        learner: Learner,
        definitions: Definitions,
        row: Row,
        definition: Definition,
        kept: list[Any] | None,
    ) -> None:
        self.report, self.learner, self.row, self.definition, self.kept = report, learner, row, definition, kept
        self.where = _named(row)
        self.fit = fit_of(row)
        reopened = bool(definitions.openers & set(learner.state.get("claimed_missions", [])))
        self.given: Given = given_of(learner, row, definition, kept, self.fit, reopened=reopened)
        self.counts: Counts = count(learner, self.given)

    @property
    def look_at(self) -> str:
        """Records that may have counted."""
        places = [str(seen) for seen in self.counts.counted]
        more = f", … {len(places) - LOOK_AT_MAX} more" if len(places) > LOOK_AT_MAX else ""
        return ", ".join(places[:LOOK_AT_MAX]) + more

    def differ(self, what: str, expected: object, found: object) -> None:
        """A difference of this assignment."""
        self.report.differ("assignment", f"{self.where}, {what}", expected, found, self.look_at)

    def issue(self) -> None:
        """Its id, its bounds and its target are what they had to be."""
        row, definition = self.row, self.definition
        name = f"assignment/{row['user_id']}/{row['mission_id']}/{row['starts_at'].astimezone(UTC).isoformat()}"
        if uuid5(IDS, name) != row["assignment_id"]:
            self.differ("id", uuid5(IDS, name), row["assignment_id"])
        kind = definition["period"]
        bounds = (row["starts_at"], row["expires_at"])
        if kind == "season":
            wanted: tuple[datetime, datetime | None] = (definition["opens_at"], definition["closes_at"])
        elif kind == "once":
            wanted = (self.learner.period(row["starts_at"], "daily")[0], None)
        else:
            wanted = self.learner.period(row["starts_at"], kind)
        if bounds != wanted:
            self.differ("bounds", wanted, bounds)
        rule, written = definition["fit"], definition["objectives"][0]["target"]
        if self.fit and self.fit["target"] is not None:
            low = rule["at_least"] if rule else written
            if self.fit["wanted"] != written or not low <= self.fit["target"] < written:
                self.differ("target", f"{low} to {written}", self.fit["target"])

    def progress(self) -> tuple[int, int]:
        """Each objective's progress; how many were exact, and how many within bounds."""
        row, found = self.row, self.row["progress"] and json.loads(self.row["progress"])
        if self.kept is not None:
            in_state = [(objective or [0])[0] for objective in self.kept[6]]
            if found is not None and found != in_state:
                self.differ("progress in the row and in the state", found, in_state)
            found = in_state if found is None else found
        if found is None:
            self.differ("progress", "kept in the state or in the row", "nowhere")
            return 0, 0
        if len(found) != len(self.given.targets):
            self.differ("progress", f"{len(self.given.targets)} objectives", found)
            return 0, 0
        is_done = row["status"] in ("COMPLETED", "CLAIMED")
        exact = 0
        for index, (value, bounds, objective) in enumerate(
            zip(found, self.counts.progress, self.definition["objectives"], strict=True)
        ):
            low, high = bounds
            if is_done and self.definition["needed"] < len(found) and value < self.given.targets[index]:
                low = 0  # what was open when enough others were reached stays as it was
            exact += low == high
            if not low - 1e-9 <= value <= high + 1e-9:
                self.differ(f"objective {objective['id']}", low if low == high else f"{low} to {high}", value)
        return exact, len(found) - exact

    def status(self, now: datetime) -> None:
        """Completed if and only if enough is reached; the times fit."""
        row, status, needed = self.row, self.row["status"], self.definition["needed"]
        reached = self.counts.reached(self.given.targets)
        is_done = status in ("COMPLETED", "CLAIMED")
        if (reached.low >= needed and not is_done) or (reached.high < needed and is_done):
            self.differ("status", "COMPLETED" if reached.low >= needed else "not completed", status)
        if is_done != (row["completed_at"] is not None):
            self.differ("completed_at", "a time" if is_done else None, row["completed_at"])
        elif is_done and row["completed_at"] not in {seen.at for seen in self.counts.counted}:
            self.differ("completed_at", "the time of an event that counted", row["completed_at"])
        grace: timedelta = self.definition["grace"]
        until = row["expires_at"] + grace if is_done and row["expires_at"] else None
        if row["claimable_until"] != until:
            self.differ("claimable_until", until, row["claimable_until"])
        if status == "EXPIRED":
            if row["expires_at"] is None or row["expires_at"] + BOUND > max(now, self._newest()):
                self.differ("status", "not EXPIRED before its lateness bound", status)
            elif row["expired_at"] != row["expires_at"]:
                self.differ("expired_at", row["expires_at"], row["expired_at"])
        self._in_state()

    def _newest(self) -> datetime:
        return max((seen.recorded_at for seen in self.learner.events), default=self.row["starts_at"])

    def _in_state(self) -> None:
        """The state's copy says the same; of what the sweep has ended the state need not know yet."""
        if self.kept is None:
            return
        told = (self.kept[5], *(_instant(self.kept, index) for index in (8, 9, 10)))
        row = self.row
        have = (row["status"], row["completed_at"], row["claimable_until"], row["claimed_at"])
        if told != have and not (row["status"] == "EXPIRED" and told[0] == "IN_PROGRESS"):
            self.differ("in the state", have, told)

    def grant(self, grants: list[Row]) -> None:
        """One grant if it is claimed, with the rewards of its mission version; else none."""
        row = self.row
        wanted = int(row["status"] == "CLAIMED")
        kind = "grant"
        if len(grants) != wanted:
            self.report.differ(kind, self.where, f"{wanted} grants of {row['status']}", f"{len(grants)} grants")
        if wanted != (row["claimed_at"] is not None):
            self.differ("claimed_at", "a time" if wanted else None, row["claimed_at"])
        for grant in grants:
            facts = (grant["grant_id"], grant["user_id"], grant["mission_id"], grant["granted_at"])
            right = (uuid5(IDS, f"grant/{row['assignment_id']}"), row["user_id"], row["mission_id"], row["claimed_at"])
            self.report.same(kind, self.where, right, facts)
            self.report.same(kind, f"{self.where}, rewards", self.definition["rewards"], json.loads(grant["rewards"]))
            until = row["claimable_until"]
            if until and grant["granted_at"] >= until and not self.definition["auto_claim"]:
                self.report.differ(kind, self.where, f"granted before {until}", grant["granted_at"])


def _instant(values: list[Any], index: int) -> datetime | None:
    told = values[index] if len(values) > index else None
    return datetime.fromisoformat(told) if told else None
