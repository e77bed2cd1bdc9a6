"""Chooses the next questions: what missions need, then mistakes, then due reviews, then the current chapter; each with its reason."""

from collections.abc import Callable, Collection, Mapping
from datetime import date
from functools import partial
from typing import Any, NamedTuple

import msgspec

from mission_events.learning import Difficulty
from services.missions import history
from services.missions.periods import local_day
from services.missions.view import FALLBACK_LOCALE, text_in

from .memory import Recall, recall
from .needs import Need, OpenMission, needs_of, open_missions, questions_for
from .purposes import Purpose, PurposeKind
from .questions import DIFFICULTIES, Question
from .ramp import difficulty_mix, recent_accuracy
from .situation import Situation

CHAPTER_CANDIDATES_MAX = 150
"""Questions of the current and the following chapters that are considered: three times the longest answer, for those already seen."""

CHAPTER_SCAN_MAX = 1_000
"""Questions of one chapter that are looked at."""

_IN_ITS_PLACE: Mapping[Difficulty, tuple[Difficulty, ...]] = {
    "easy": ("easy", "medium", "hard"),
    "medium": ("medium", "easy", "hard"),
    "hard": ("hard", "medium", "easy"),
}
"""What takes the place of a difficulty that a chapter has no more of."""


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a question was chosen."""

    code: str
    """`mission`, `open_mistake`, `due_review`, `chapter`, `other_chapter` or `practice`."""
    text: str
    mission_id: str | None = None
    assignment_id: str | None = None


class Selected(NamedTuple):
    """A question, and why the user gets it."""

    question: Question
    reason: Reason


def candidates(situation: Situation, purpose: Purpose) -> list[str]:
    """Ids of the questions whose records should be looked up before `select`, beside those that are known; a bounded number."""
    found: dict[str, None] = {}
    if purpose.kind in {PurposeKind.ANY, PurposeKind.MISSION}:
        for need in needs_of(_missions(situation, purpose)):
            found.update((q.question_id, None) for q in questions_for(need, situation))
    if purpose.kind in {PurposeKind.ANY, PurposeKind.CHAPTER}:
        found.update((q.question_id, None) for q in _chapter_candidates(situation))
    return [question_id for question_id in found if question_id not in situation.records]


def select(
    situation: Situation, looked_up: Collection[str], count: int, purpose: Purpose, locale: str = FALLBACK_LOCALE
) -> list[Selected]:
    """At most `count` questions, best first, none twice. `looked_up` are the `candidates`, by now with their records, if any.

    The same arguments always lead to the same questions. Raises `catalogue.UnknownMission` like matching does.
    """
    selection = _Selection(situation, looked_up, count, locale)
    for stage in _stages(selection, purpose):
        if selection.room:
            stage()
    return list(selection.chosen.values())


def _stages(selection: "_Selection", purpose: Purpose) -> list[Callable[[], None]]:
    stages: Mapping[PurposeKind, Callable[[], None]] = {
        PurposeKind.MISSION: partial(selection.add_for_missions, purpose),
        PurposeKind.MISTAKES: selection.add_mistakes,
        PurposeKind.REVIEW: selection.add_due_reviews,
        PurposeKind.CHAPTER: selection.add_from_chapters,
    }
    chosen = list(stages.values()) if purpose.kind is PurposeKind.ANY else [stages[purpose.kind]]
    if purpose.kind in {PurposeKind.ANY, PurposeKind.CHAPTER}:
        chosen.append(selection.add_practice)
    return chosen


def _missions(situation: Situation, purpose: Purpose) -> list[OpenMission]:
    return open_missions(situation.state, situation.catalogue, situation.now, situation.day, purpose.assignment_id)


def _chapter_candidates(situation: Situation) -> list[Question]:
    """Questions that are not known to be answered, chapter after chapter from the current one on."""
    found: list[Question] = []
    for chapter in situation.chapters:
        fresh = [
            question
            for question in situation.questions.chapter(situation.language, chapter)[:CHAPTER_SCAN_MAX]
            if question.question_id not in situation.records
        ]
        fresh.sort(key=lambda question: situation.lot(question.question_id))
        found += fresh
        if len(found) >= CHAPTER_CANDIDATES_MAX:
            break
    return found[:CHAPTER_CANDIDATES_MAX]


class _Candidate:
    """A question that may be chosen, with what is known of it."""

    def __init__(self, question: Question, situation: Situation) -> None:
        self.question = question
        self.record = situation.records.get(question.question_id)
        self.data: Mapping[str, Any] = question.answered_right()
        state = situation.state
        _, self.facts = history.answer(
            self.record, state.user_id, self.data, situation.now, state.zones, state.weak_topics
        )


class _Selection:
    """The questions chosen so far, and the stages that choose more."""

    def __init__(self, situation: Situation, looked_up: Collection[str], count: int, locale: str) -> None:
        self.chosen: dict[str, Selected] = {}
        self._situation = situation
        self._count = count
        self._locale = locale
        self._seen: dict[str, Question] = {}
        self._fresh: dict[str, Question] = {}
        for question_id in sorted({*situation.records, *looked_up}):
            question = situation.questions.get(question_id)
            if question is not None:
                known = self._seen if question_id in situation.records else self._fresh
                known[question_id] = question
        self._recalls: dict[str, Recall] = {}

    @property
    def room(self) -> int:
        """How many more may be chosen."""
        return self._count - len(self.chosen)

    def add_for_missions(self, purpose: Purpose) -> None:
        """Questions that bring open missions on, as many as each still needs; one that serves several goes first."""
        missions = _missions(self._situation, purpose)
        needs = needs_of(missions)
        if not needs:
            return
        everything = [_Candidate(q, self._situation) for q in (*self._seen.values(), *self._fresh.values())]
        wanted: list[list[tuple[tuple[int, ...], _Candidate]]] = [[] for _ in needs]
        for candidate in everything:
            matched = [place for place, need in enumerate(needs) if need.matches(candidate.data, candidate.facts)]
            if matched:
                rank = (-len(matched), *self._rank(candidate.question))
                for place in matched:
                    wanted[place].append((rank, candidate))
        for need, ranked in zip(needs, wanted, strict=True):
            ranked.sort(key=lambda pair: pair[0])
            self._add_for_need(need, [candidate for _, candidate in ranked], missions)

    def _add_for_need(self, need: Need, ranked: list[_Candidate], missions: list[OpenMission]) -> None:
        mission = need.mission.compiled.mission
        title = text_in(mission.title, self._locale)
        reason = Reason("mission", f'Counts for "{title}".', mission.id, need.mission.assignment.assignment_id)
        for candidate in ranked:
            if not self.room or need.is_met():
                return
            if candidate.question.question_id in self.chosen:
                continue
            if need.mission.would_move(need.objective, candidate.data):
                self._choose(candidate.question, reason)
                for other in missions:
                    other.answer(candidate.data, candidate.facts)

    def add_mistakes(self) -> None:
        """Open mistakes, the oldest first."""
        records = self._situation.records
        found = []
        for question_id, question in self._seen.items():
            since = records[question_id].mistake_since
            if since is not None:
                found.append((since, question_id, question))
        for since, _, question in sorted(found, key=lambda entry: entry[:2]):
            day = date.fromordinal(local_day(self._situation.state.zones, since))
            self._choose(question, Reason("open_mistake", f"You got this wrong on {day.isoformat()}."))

    def add_due_reviews(self) -> None:
        """Questions that are due for review, the one most likely forgotten first."""
        due = []
        for question_id, question in self._seen.items():
            if self._is_due(question_id):
                due.append((self._recall(question_id).chance, question_id, question))
        for chance, _, question in sorted(due, key=lambda entry: entry[:2]):
            text = f"Due for review: the chance that you still know this is {chance:.0%}."
            self._choose(question, Reason("due_review", text))

    def add_from_chapters(self) -> None:
        """Questions never answered: of the current chapter, as hard as the user's newest answers allow, then of the next ones."""
        situation = self._situation
        accuracy = recent_accuracy(situation.records.values(), situation.language)
        mix = difficulty_mix(accuracy, self.room)
        slots = [difficulty for difficulty in reversed(DIFFICULTIES) for _ in range(mix[difficulty])]
        for chapter in situation.chapters:
            if not slots:
                return
            slots = self._fill(slots, chapter)

    def _fill(self, slots: list[Difficulty], chapter: str) -> list[Difficulty]:
        """Fills slots with questions of a chapter, easy ones first; returns the slots that are left."""
        situation = self._situation
        weak = situation.state.weak_topics
        fresh: dict[Difficulty, list[Question]] = {difficulty: [] for difficulty in DIFFICULTIES}
        for question in self._fresh.values():
            is_here = question.language == situation.language and question.chapter_id == chapter
            if is_here and question.question_id not in self.chosen:
                fresh[question.difficulty].append(question)
        for questions in fresh.values():
            questions.sort(key=lambda q: (q.topic_id not in weak, situation.lot(q.question_id)), reverse=True)
        taken: list[Question] = []
        left: list[Difficulty] = []
        for slot in slots:
            source = next((fresh[difficulty] for difficulty in _IN_ITS_PLACE[slot] if fresh[difficulty]), None)
            if source is None:
                left.append(slot)
            else:
                taken.append(source.pop())
        if chapter == situation.chapter:
            reason = Reason("chapter", f"New in your current chapter, {chapter}.")
        else:
            reason = Reason("other_chapter", f"From chapter {chapter}: the current one has nothing new left.")
        for question in sorted(taken, key=lambda q: DIFFICULTIES.index(q.difficulty)):
            self._choose(question, reason)
        return left

    def add_practice(self) -> None:
        """When nothing new is left: what was answered longest ago, in the current language first."""
        situation = self._situation

        def key(question: Question) -> tuple[bool, int, str]:
            seen = history.attempts(situation.records[question.question_id])
            return question.language != situation.language, seen[-1].at if seen else 0, question.question_id

        for question in sorted(self._seen.values(), key=key):
            self._choose(
                question, Reason("practice", "Practice: of all that you know, you have not seen this for longest.")
            )

    def _choose(self, question: Question, reason: Reason) -> None:
        if self.room and question.question_id not in self.chosen:
            self.chosen[question.question_id] = Selected(question, reason)

    def _rank(self, question: Question) -> tuple[int, int, int]:
        """Between questions that serve a mission alike: mistakes, due reviews, new ones near the current chapter, the others."""
        situation, question_id = self._situation, question.question_id
        chapters = situation.chapters
        is_near = question.language == situation.language and question.chapter_id in chapters
        distance = chapters.index(question.chapter_id) if is_near else len(chapters)
        record = situation.records.get(question_id)
        if record is None:
            worth = 2
        elif record.mistake_since is not None:
            worth = 0
        else:
            worth = 1 if self._is_due(question_id) else 3
        return worth, distance, situation.lot(question_id)

    def _is_due(self, question_id: str) -> bool:
        return self._recall(question_id).due_at <= self._situation.now

    def _recall(self, question_id: str) -> Recall:
        found = self._recalls.get(question_id)
        if found is None:
            situation = self._situation
            found = recall(situation.records[question_id], situation.now) or Recall(situation.now, 0.0)
            self._recalls[question_id] = found
        return found
