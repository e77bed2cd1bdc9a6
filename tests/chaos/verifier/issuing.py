"""Who had to be given which mission, and who can't have been."""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from tests.reference.rules import BOUND, HALF, holds

from .definitions import Definition, Definitions
from .learner import Learner, Period
from .ledger import Ledger
from .report import Report


class Verdict(Enum):
    """Whether a mission is for a user in one period."""

    MUST = "must"
    MAY = "may"
    NOT = "not"


def check_issuing(report: Report, learners: Mapping[str, Learner], definitions: Definitions, ledger: Ledger) -> None:
    """Compares the assignments that there are with those that the users' events call for."""
    have: dict[str, set[tuple[str, datetime]]] = {}
    for row in ledger.tables["assignment"]:
        have.setdefault(row["user_id"], set()).add((row["mission_id"], row["starts_at"]))
    periods = exact = 0
    for name, learner in learners.items():
        check = _Check(report, learner, definitions, have.get(name, set()), ledger.since)
        check.all_periods()
        periods, exact = periods + check.periods, exact + check.exact
    for name in have.keys() - learners.keys():
        for mission, starts_at in have[name]:
            one = definitions.current.get(mission)
            if (
                one
                and one["period"] in HALF
                and Learner(name, (), {}).period(starts_at, one["period"])[1] <= ledger.since
            ):
                report.differ("issuing", f"user {name}, mission {mission} from {starts_at}", "none: no event", "issued")
    report.note(f"issuing: {periods} periods of users; {exact} missions in them were certain either way")


class _Check:
    """One user."""

    def __init__(
        self,
        report: Report,
        learner: Learner,
        definitions: Definitions,
        have: set[tuple[str, datetime]],
        since: datetime,
    ) -> None:
        self.report, self.learner, self.definitions, self.have, self.since = report, learner, definitions, have, since
        self.claimed = set(learner.state.get("claimed_missions", []))
        self.periods = self.exact = 0

    def all_periods(self) -> None:
        """Daily and weekly ones, and the missions that come once."""
        known: dict[str, set[datetime]] = {}
        once: dict[str, set[Verdict]] = {}
        for kind in HALF:
            bounds = {
                period
                for seen in self.learner.events
                if seen.recorded_at < (period := self.learner.period(seen.at, kind))[1] + BOUND
            }
            known[kind] = {start for start, _ in bounds}
            for period in sorted(bounds):
                self.periods += 1
                days = self.learner.days_active(period, self._is_looked_at(period))
                self._period(kind, period, days)
                if kind == "daily":
                    self._gather_once(once, days)
        self._once(once)
        for mission, starts_at in self.have:
            one = self.definitions.current.get(mission)
            if one and one["period"] in HALF and starts_at not in known[one["period"]]:
                period = self.learner.period(starts_at, one["period"])
                if not self._is_looked_at(period):
                    self._differ(mission, starts_at, "none: no event of this period", "issued")

    def _is_looked_at(self, period: Period) -> bool:
        """Whether somebody may have opened the app in it, or the scheduler may have issued it."""
        return period[1] > self.since

    def _differ(self, mission: str, starts_at: datetime, expected: str, found: str) -> None:
        first = self.learner.triggers(self.learner.period(starts_at, "daily"))
        look_at = ", ".join(f"{topic}/{partition}@{offset}" for (topic, partition), offset in first.items())
        place = f"user {self.learner.name}, mission {mission}, period from {starts_at.isoformat()}"
        self.report.differ("issuing", place, expected, found, look_at)

    def _period(self, kind: str, period: Period, days: tuple[int, int]) -> None:
        slots = [one for one in self.definitions.current.values() if one["period"] == kind and not one["stand_in"]]
        for group in _groups(slots, self.definitions):
            verdicts = [self._verdict(one, days) for one in group]
            names = {one["id"] for slot in group for one in self.definitions.chain(slot)}
            found = sorted(name for name in names if (name, period[0]) in self.have)
            certain = [
                slot
                for slot, verdict in zip(group, verdicts, strict=True)
                if verdict is Verdict.MUST and (_is_plain(slot) or self._ends_plain(slot))
            ]
            least, most = len(certain), sum(verdict is not Verdict.NOT for verdict in verdicts)
            self.exact += least == most
            if not least <= len(found) <= most:
                amount = str(least) if least == most else f"{least} to {most}"
                self._differ(
                    " or ".join(sorted(names)), period[0], f"{amount} issued", f"{len(found)} ({', '.join(found)})"
                )

    def _ends_plain(self, slot: Definition) -> bool:
        """Whether the last that stands in for it is for everybody, and for nobody else's place."""
        return _is_plain(self.definitions.chain(slot)[-1])

    def _gather_once(self, once: dict[str, set[Verdict]], days: tuple[int, int]) -> None:
        for one in self.definitions.current.values():
            if one["period"] == "once":
                once.setdefault(one["id"], set()).add(self._verdict(one, days))

    def _once(self, once: dict[str, set[Verdict]]) -> None:
        for name, verdicts in once.items():
            found = [starts_at for mission, starts_at in self.have if mission == name]
            is_certain = Verdict.MUST in verdicts and _is_plain(self.definitions.current[name])
            if len(found) > 1 or (is_certain and not found):
                self._differ(name, min(found, default=self.since), "issued once", f"issued {len(found)} times")
            elif found and verdicts == {Verdict.NOT} and not any(self._is_looked_at((at, at)) for at in found):
                self._differ(name, found[0], "none: not for this user", "issued")

    def _verdict(self, one: Definition, days: tuple[int, int]) -> Verdict:
        """By the audience, as far as it is certain."""
        if not self.claimed >= set(one["requires"]):
            return Verdict.NOT
        audience: Mapping[str, Any] = one["audience"]
        active = {"days_active": audience["days_active"]} if "days_active" in audience else {}
        fitting = {holds(active, {"days_active": amount}, {}) for amount in range(days[0], days[1] + 1)}
        if fitting == {False}:
            return Verdict.NOT
        is_sure = fitting == {True} and audience.keys() <= {"days_active"} and not one["requires"]
        return Verdict.MUST if is_sure else Verdict.MAY


def _is_plain(one: Definition) -> bool:
    """Whether it needs nothing of its user to be issued."""
    return not one["fit"] and not one["names"] and not one["requires"]


def _groups(slots: list[Definition], definitions: Definitions) -> list[list[Definition]]:
    """Missions that share a stand-in are looked at together."""
    groups: list[tuple[set[str], list[Definition]]] = []
    for slot in slots:
        names = {one["id"] for one in definitions.chain(slot)}
        joined = [slot]
        for group in [group for group in groups if group[0] & names]:
            names |= group[0]
            joined = group[1] + joined
            groups.remove(group)
        groups.append((names, joined))
    return [group for _, group in groups]
