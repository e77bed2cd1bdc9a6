"""The pure core and the independent model of the rules agree on random lives, whatever the order in which topics are read."""

import os
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from mission_events import Event, LessonCompleted, UnknownType, decode
from services.missions.catalogue import Catalogue, parse_catalogue
from services.missions.claiming import AlreadyClaimed, Claimed, ClaimExpired, NotCompleted, claim, claim_by_itself
from services.missions.decide import Decision, Recorded, decide, issue_now
from services.missions.profile import NOTHING_COMPLETED, Completed
from services.missions.state import Assignment, QuestionRecord, Status, UserState, encode_state
from tests.reference.compare import FIELDS, Facts, at_text, differences, expected, profile_of, report, tally
from tests.reference.journal import Claim, Record, Step, Tick
from tests.reference.life import Life, Round, choose_start
from tests.reference.missions import life_definitions, spelt_out
from tests.reference.model import Model
from tests.reference.states import read_state

BOUND = timedelta(hours=24, minutes=5)
ANSWERS = {Claimed: "granted", AlreadyClaimed: "granted", NotCompleted: "not_completed", ClaimExpired: "expired"}


class Core:
    """The pure core, with dictionaries for a ledger."""

    def __init__(self, catalogue: Catalogue, chance: Random) -> None:
        self.catalogue = catalogue
        self.chance = chance
        self.journal: list[Step] = []
        self.states: dict[str, UserState] = {}
        self.questions: dict[str, dict[str, QuestionRecord]] = defaultdict(dict)
        self.assignments: dict[str, tuple[str, Assignment]] = {}
        self.tallies: Counter[tuple[str, str]] = Counter()
        self.seen: set[tuple[str, str]] = set()
        self.finished: set[tuple[str, ...]] = set()

    def play(self, round_: Round) -> None:
        if round_.tick:
            self.tick(round_.now)
        for look in round_.looks:
            self.keep(issue_now(self.state(look.user), look.now, self.catalogue, look.zone))
            self.journal.append(look)
        for wave in (round_.openers, round_.others):
            self.journal += wave
            self.apply(wave)
        self.claim(round_.claims_at)

    def state(self, user: str) -> UserState:
        return self.states.setdefault(user, UserState(user))

    def keep(self, decision: Decision) -> None:
        for assignment in decision.issued:
            self.assignments[assignment.assignment_id] = (decision.state.user_id, assignment)
        self.questions[decision.state.user_id] |= decision.answered

    def tick(self, now: datetime) -> None:
        self.journal.append(Tick(now))
        since = (now - timedelta(days=14)).toordinal()
        for state in self.states.values():
            ends = [period.ends_at for period in state.issued if period.kind == "daily"]
            if ends and max(ends) <= now and state.recent_days and state.recent_days[-1] >= since:
                self.keep(issue_now(state, now, self.catalogue))
            claim_by_itself(state, now, self.catalogue)
        for _, assignment in self.assignments.values():
            ends_at = assignment.expires_at
            if assignment.status is Status.IN_PROGRESS and ends_at and ends_at + BOUND <= now:
                assignment.status = Status.EXPIRED

    def apply(self, wave: list[Record]) -> None:
        """Applies records in batches of one topic; the topics race."""
        waiting: dict[str, list[Record]] = {}
        for record in wave:
            waiting.setdefault(record.topic, []).append(record)
        while waiting:
            topic = self.chance.choice(sorted(waiting))
            size = self.chance.choice((1, 3, 20, 200))
            self.apply_batch(topic, waiting[topic][:size])
            waiting[topic] = waiting[topic][size:]
            if not waiting[topic]:
                del waiting[topic]

    def apply_batch(self, topic: str, batch: list[Record]) -> None:
        by_user: dict[str, list[Recorded]] = {}
        completions = {}
        for record in batch:
            event = decode(record.value, record.headers, record_timestamp=record.at)
            if not isinstance(event, Event):
                self.tallies[topic, "unknown" if isinstance(event, UnknownType) else "dead_letter"] += 1
            elif (event.source, event.id) in self.seen:
                self.tallies[topic, "duplicate"] += 1
            else:
                self.seen.add((event.source, event.id))
                by_user.setdefault(event.subject, []).append(Recorded(event, record.at))
                if (new := self.finish(event)) != NOTHING_COMPLETED:
                    completions[event.source, event.id] = new
        for user, events in by_user.items():
            decision = decide(self.state(user), events, self.questions[user], self.catalogue, completions)
            self.keep(decision)
            self.tallies.update((topic, str(outcome)) for outcome in decision.outcomes)

    def finish(self, event: Event) -> Completed:
        """What a lesson completes for the first time."""
        new = {"chapter": 0, "unit": 0}
        if isinstance(event.data, LessonCompleted):
            for kind in new:
                key = (event.subject, event.data.language, kind, getattr(event.data, f"{kind}_id"))
                if (getattr(event.data, f"{kind}_progress") or 0) >= 1 and key not in self.finished:
                    self.finished.add(key)
                    new[kind] = 1
        return Completed(new["chapter"], new["unit"])

    def claim(self, now: datetime) -> None:
        for owner, assignment in list(self.assignments.values()):
            if self.chance.random() < (0.6 if assignment.status is Status.COMPLETED else 0.02):
                user = owner if self.chance.random() < 0.95 else self.chance.choice(list(self.states))
                answer = "unknown"
                if user == owner:
                    state = self.states[owner]
                    if assignment not in state.assignments:  # as the ledger brings back what the state has forgotten
                        state.assignments.append(assignment)
                    answer = ANSWERS[type(claim(state, assignment.assignment_id, now, self.catalogue))]
                self.journal.append(Claim(user, owner, assignment.mission_id, assignment.starts_at, now, answer))

    def found(self) -> Facts:
        facts = tally(self.tallies)
        for state in self.states.values():
            facts["1 profile", state.user_id] = profile_of(read_state(encode_state(state)))
        for user, assignment in self.assignments.values():
            key = ("2 assignment", user, assignment.mission_id, at_text(assignment.starts_at))
            progress = [objective.progress for objective in assignment.objectives]
            facts[key] = {name: getattr(assignment, name) for name in FIELDS} | {"progress": progress}
        return facts


@pytest.mark.parametrize("number", range(3))
def test_random_lives_end_as_the_model_says_in_whatever_order_topics_are_read(number: int) -> None:
    seed = int(os.environ.get("MISSIONS_LIFE_SEED", "0")) or Random().randrange(2**32)
    print(f"MISSIONS_LIFE_SEED={seed}")
    chance = Random(seed)
    life = Life(seed, choose_start(chance, datetime(2026, 12, 20, tzinfo=UTC), 7), users=12)
    definitions = life_definitions(life.start)
    known, problems = parse_catalogue({"missions": definitions}, "life")
    assert not problems
    core = Core(Catalogue(known, 1), chance)

    for round_ in life.rounds:
        core.play(round_)
    for days in range(9):
        core.tick(life.end + timedelta(days=days))

    reference = Model(map(spelt_out, definitions)).play(core.journal)
    wanted = {key: fact for key, fact in expected(reference).items() if key[0] < "3"}
    wrong = reference.wrong_answers + differences(wanted, core.found())
    assert not wrong, report(wrong)
