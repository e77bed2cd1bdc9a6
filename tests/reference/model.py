"""The rules of missions, read a second time: what a ledger must hold after a journal of records, looks, clock ticks and claims.

It shares no code with the system, only the published documents, and takes no thought for speed: the whole history stays in memory,
and progress is counted from its beginning again after each event.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from math import sqrt
from typing import Any
from zoneinfo import ZoneInfo

from .journal import ANSWER, LESSON, SESSION, STREAK, Claim, Look, Record, Step, Tick
from .reading import read
from .rules import BOUND, DAY, EVER, HALF, NEVER, Counted, Values, holds, measured, period

Bounds = tuple[datetime, datetime | None]


@dataclass
class Assignment:
    """One user's copy of a mission; `events` are those of each of its objectives."""

    mission: Values
    starts_at: datetime
    expires_at: datetime | None
    parameters: Values
    targets: list[int]
    events: list[list[Counted]]
    status: str = "IN_PROGRESS"
    completed_at: datetime | None = None
    claimable_until: datetime | None = None
    claimed_at: datetime | None = None

    def wants(self, kind: str, values: Values, day: date, take: bool) -> bool:
        """Whether an event counts for any objective. With `take`, it is counted."""
        wanted = False
        for objective, events in zip(self.mission["objectives"], self.events, strict=True):
            if objective["event"] == kind:
                counts = holds(objective["where"], values, self.parameters)
                breaks = bool(objective["break_on"]) and holds(objective["break_on"], values, self.parameters)
                wanted = wanted or counts
                if take:
                    events.append((values, day, counts, breaks))
        return wanted

    def progress(self) -> list[float]:
        measures = [objective["measure"] for objective in self.mission["objectives"]]
        return [min(t, measured(m, e)) for t, m, e in zip(self.targets, measures, self.events, strict=True)]


@dataclass
class Question:
    """UserQuestionHistory: the answers as applied, and what the newest one of them left behind."""

    answers: list[tuple[datetime, Values]] = field(default_factory=list)
    last: tuple[datetime, Values] | None = None
    mistake_since: datetime | None = None
    corrected_at: datetime | None = None


@dataclass
class User:
    """What is known of one user; `events` are (type, instant, data) of all that were accepted."""

    name: str
    zone: str | None = None
    zone_known_at: datetime = EVER
    plan: dict[str, list[tuple[datetime, str]]] = field(default_factory=lambda: {k: [(EVER, "UTC")] for k in HALF})
    issued: dict[str, list[tuple[datetime, datetime]]] = field(default_factory=lambda: {k: [] for k in HALF})
    claimed: set[str] = field(default_factory=set)
    has_opened: bool = False
    """A claim has opened other missions, and nobody has looked since."""
    assignments: list[Assignment] = field(default_factory=list)
    days: set[date] = field(default_factory=set)
    events: list[tuple[str, datetime, Values]] = field(default_factory=list)
    questions: dict[str, Question] = field(default_factory=dict)
    suspects: dict[str, list[bool]] = field(default_factory=dict)
    """Topics with a mistake, and the newest 20 answers after it; enough right ones among them acquit the topic."""

    def day(self, at: datetime) -> date:
        return at.astimezone(ZoneInfo([zone for start, zone in self.plan["daily"] if start <= at][-1])).date()

    def move(self, zone: str, at: datetime) -> None:
        """From the end of what runs or is issued already, the user's periods follow another zone."""
        for kind, plan in self.plan.items():
            if self.zone is None and not any(self.issued.values()):
                plan[:] = [(EVER, zone)]
            elif zone != plan[-1][1]:
                start = max([period(plan, at, kind)[1], plan[-1][0], *(end for _, end in self.issued[kind])])
                plan[:] = [*(entry for entry in plan if entry[0] < start), (start, zone)]
        self.zone = zone

    def of(self, kind: str) -> list[tuple[datetime, Values]]:
        return [(at, data) for each, at, data in self.events if each == kind]

    def streak(self) -> tuple[str, int]:
        """The newest day's; of several updates about one day the longest: a repair comes after the break."""
        return max(((data["day"], data["days"]) for _, data in self.of(STREAK)), default=("", 0))

    def weak_topics(self) -> list[str]:
        """Topics whose share of right answers is below 0.8, by the upper end of its 80 % Wilson interval; the five weakest."""
        weak = []
        for topic, results in self.suspects.items():
            n, z2 = len(results), 1.2816**2
            if n >= 3:
                share = sum(results) / n
                most = (share + z2 / (2 * n) + sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n)))) / (1 + z2 / n)
                weak += [(most, topic)] if most < 0.8 else []
        return [topic for _, topic in sorted(weak)[:5]]

    def facts(self, day: date) -> dict[str, Any]:
        """What audiences, fits and parameters are taken from when a period is issued that starts on this local day."""
        lessons, parts = self.of(LESSON), ("chapter", "unit")
        done = {(p, d["language"], d[f"{p}_id"]) for _, d in lessons for p in parts if d.get(f"{p}_progress") == 1}
        newest = max(lessons, key=lambda lesson: lesson[0], default=(EVER, {}))[1]
        mistakes = [question.mistake_since for question in self.questions.values() if question.mistake_since]
        return {
            "days_active": len([active for active in self.days if active < day]) + 1,
            "languages": sorted({data["language"] for _, data in lessons + self.of(ANSWER)}),
            "language": newest.get("language"),
            "chapter": newest.get("chapter_id"),
            "open_mistakes": len(mistakes),
            "mistakes_yesterday": len([since for since in mistakes if self.day(since) == day - DAY]),
            "questions_seen": min(50, len(self.questions)),
            "current_streak": self.streak()[1],
            "chapters_completed": len([part for part, *_ in done if part == "chapter"]),
            "units_completed": len([part for part, *_ in done if part == "unit"]),
            "zone": self.plan["daily"][-1][1],
        }

    def parameters(self, mission: Values) -> dict[str, Any] | None:
        """Values of the mission's `$name`s; None if one is not known."""
        facts = self.facts(date.max)
        own = {"current_chapter": facts["chapter"], "language": facts["language"], "weak_topics": self.weak_topics()}
        values = {name: own.get(name) or mission["parameters"].get(name) for name in mission["names"]}
        return values if all(values.values()) else None

    def answer(self, data: Values, at: datetime) -> dict[str, Any]:
        """Adds an answer to the history; gives the facts from before it. An overtaken answer only adds to their number."""
        question, topic = self.questions.setdefault(data["question_id"], Question()), data["topic_id"]
        mistake = question.mistake_since if question.mistake_since and question.mistake_since <= at else None
        facts: dict[str, Any] = {"history.open_mistake": mistake is not None}
        facts["history.topic_weak"] = topic in self.weak_topics()
        if question.last:
            facts["history.days_since_seen"] = max(0, (self.day(at) - self.day(question.last[0])).days)
        if mistake:
            facts["history.mistake_age_days"] = (self.day(at) - self.day(mistake)).days
        question.answers.append((at, data))
        if question.last is None or at >= question.last[0]:
            question.last = (at, data)
            if not data["correct"]:
                question.mistake_since = question.mistake_since or at
            elif question.mistake_since:
                question.mistake_since, question.corrected_at = None, at
        if topic in self.suspects:
            results = self.suspects[topic] = [*self.suspects[topic], data["correct"]][-20:]
            if sum(results) / len(results) >= 0.8:
                del self.suspects[topic]
        elif not data["correct"]:
            self.suspects[topic] = []
        return facts


class Model:
    """Everything that follows from a journal. `tallies` counts records by (topic, what became of them)."""

    def __init__(self, missions: Iterable[Values]) -> None:
        self.missions = list(missions)
        self.users: dict[str, User] = {}
        self.tallies: Counter[tuple[str, str]] = Counter()
        self.seen: set[tuple[str, str]] = set()
        self.wrong_answers: list[str] = []

    def play(self, journal: Iterable[Step]) -> "Model":
        for step in journal:
            match step:
                case Record():
                    self.tallies[step.topic, self.record(step)] += 1
                case Look(name, now, zone):
                    user = self.users.setdefault(name, User(name))
                    if zone and user.zone_known_at == EVER:
                        user.move(zone, now)
                    self.issue(user, now)
                case Tick(now):
                    self.tick(now)
                case Claim() if (answer := self.claim(step)) != step.answer:
                    self.wrong_answers.append(f"{step} should be answered {answer}")
        return self

    def tick(self, now: datetime) -> None:
        """Issues for users of the last 14 days whose day is over; claims and ends what is over."""
        for user in self.users.values():
            ends = [end for _, end in user.issued["daily"]]
            if ends and max(ends) <= now and user.days and max(user.days) >= (now - 14 * DAY).date():
                self.issue(user, now)
            for a in user.assignments:
                if a.status == "COMPLETED" and now >= (a.claimable_until or NEVER) and a.mission["auto_claim"]:
                    self.grant(user, a, now)
                if a.status == "IN_PROGRESS" and (a.expires_at or NEVER) + BOUND + timedelta(minutes=5) <= now:
                    a.status = "EXPIRED"

    def claim(self, claim: Claim) -> str:
        """What a claim is answered; the first one that can be granted has its effect."""
        for a in self.users[claim.owner].assignments if claim.owner == claim.user else []:
            if (a.mission["id"], a.starts_at) == (claim.mission, claim.starts_at):
                if a.status == "COMPLETED" and claim.now >= (a.claimable_until or NEVER):
                    return "expired"
                if a.status == "COMPLETED":
                    self.grant(self.users[claim.user], a, claim.now)
                return "granted" if a.status == "CLAIMED" else "not_completed"
        return "unknown"

    def grant(self, user: User, assignment: Assignment, now: datetime) -> None:
        name = assignment.mission["id"]
        assignment.status, assignment.claimed_at = "CLAIMED", now
        if name not in user.claimed:
            user.claimed.add(name)
            user.has_opened |= any(name in mission["requires"] for mission in self.missions)

    def issue(self, user: User, at: datetime, recorded_at: datetime = EVER) -> None:
        """Issues the periods that hold an instant, each once, unless they are past the bound for the record that asks."""
        for kind in HALF:
            start, end = period(user.plan[kind], at, kind)
            is_new = not any(s < end and start < e for s, e in user.issued[kind])
            is_single = kind == "daily" and (is_new or user.has_opened)
            if recorded_at >= end + BOUND or not (is_new or is_single):
                continue
            facts = user.facts(user.day(start))
            bounds: dict[str, Bounds] = {kind: (start, end)} if is_new else {}
            user.issued[kind] += [(start, end)] if is_new else []
            if is_single:
                user.has_opened, bounds["once"] = False, (start, None)
            taken: set[str] = set()
            for mission in self.missions:
                if mission["period"] == "season" and is_single and mission["opens_at"] <= at < mission["closes_at"]:
                    self.give(user, mission, (mission["opens_at"], mission["closes_at"]), facts, taken)
                elif mission["period"] in bounds:
                    self.give(user, mission, bounds[mission["period"]], facts, taken)

    def give(self, user: User, mission: Values, bounds: Bounds, facts: Values, taken: set[str]) -> None:
        """Gives a user a mission that is meant for them, or the first in its place that fits; those `taken` are not free."""
        single = mission["period"] in ("once", "season")
        if mission["stand_in"] or not holds(mission["audience"], facts, {}):
            return
        if not user.claimed >= set(mission["requires"]) or (
            single and any(a.mission is mission for a in user.assignments)
        ):
            return
        candidates = [mission]
        while not single and (others := [m for m in self.missions if m["id"] == candidates[-1]["otherwise"]]):
            candidates += others
        for candidate in candidates:
            parameters, fit, name = user.parameters(candidate), candidate["fit"], candidate["id"]
            fits = not fit or facts[fit["to"]] >= fit["at_least"]
            if parameters is not None and fits and name not in taken and user.claimed >= set(candidate["requires"]):
                written = [objective["target"] for objective in candidate["objectives"]]
                targets = [min(written[0], facts[fit["to"]])] if fit else written
                user.assignments.append(Assignment(candidate, *bounds, parameters, targets, [[] for _ in targets]))
                taken.add(name)
                return

    def record(self, record: Record) -> str:
        """Applies a record; what became of it."""
        event = read(record.value, record.headers, record.at)
        if isinstance(event, str):
            return event
        if (event["source"], event["id"]) in self.seen:
            return "duplicate"
        self.seen.add((event["source"], event["id"]))
        user = self.users.setdefault(event["subject"], User(event["subject"]))
        kind, at, data = event["type"], event["at"], event["data"]
        if kind == SESSION and at > user.zone_known_at:
            user.move(data["timezone"], at)
            user.zone_known_at = at
        self.issue(user, at, record.at)
        user.events.append((kind, at, data))
        if kind != STREAK:
            user.days.add(user.day(at))
        values = data | user.answer(data, at) if kind == ANSWER else data
        return self.count(user, kind, values, at, record.at)

    def count(self, user: User, kind: str, values: Values, at: datetime, recorded_at: datetime) -> str:
        """Counts an event in the assignments whose period holds it, and completes those that have enough."""
        ends = (period(plan, at, each)[1] for each, plan in user.plan.items())
        outcome = "late" if max(ends) + BOUND <= recorded_at else "unmatched"
        for a in user.assignments:
            if a.status in ("COMPLETED", "CLAIMED") or not a.starts_at <= at < (a.expires_at or NEVER):
                continue
            in_time = recorded_at < (a.expires_at or NEVER) + BOUND
            if a.wants(kind, values, user.day(at), take=in_time):
                outcome = "applied" if in_time else "late" if outcome == "unmatched" else outcome
            reached = sum(progress == target for progress, target in zip(a.progress(), a.targets, strict=True))
            if in_time and reached >= a.mission["needed"]:
                a.status, a.completed_at = "COMPLETED", at
                a.claimable_until = a.expires_at + a.mission["grace"] if a.expires_at else None
        return outcome
