"""What the user's open missions still need of question answers, asked of their own compiled definitions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.missions.catalogue import Catalogue
from services.missions.compiled import CompiledMission, CompiledObjective
from services.missions.conditions import NO_VALUES, compile_where, is_parameter, operators_of
from services.missions.fields import HISTORY_PREFIX, QUESTION_ANSWERED
from services.missions.state import Assignment, ObjectiveState, Status, UserState

from .questions import INDEXED_FIELDS, Question
from .situation import Situation

NEEDS_MAX = 12
"""Objectives that one answer looks at, the most urgent first: more than a user has open, fewer than would make the answer slow."""

NEED_CANDIDATES_MAX = 60
"""Questions not known from the history that are considered for one objective; an answer has at most 50."""

SCAN_MAX = 2_000
"""Questions looked at to find those, in a catalogue however large."""

_NEVER = datetime.max.replace(tzinfo=UTC)


class OpenMission:
    """An assignment played on: as if the questions chosen so far had been answered right, now."""

    def __init__(self, assignment: Assignment, compiled: CompiledMission, day: int) -> None:
        self.assignment = assignment
        self.compiled = compiled
        self._day = day
        self._reached = [_copy(objective) for objective in assignment.objectives]

    @property
    def is_done(self) -> bool:
        """Whether it would be completed by now."""
        reached = sum(self.is_reached(objective) for objective in self.compiled.objectives)
        return reached >= self.compiled.needed

    def would_move(self, objective: CompiledObjective, data: Mapping[str, Any]) -> bool:
        """Whether a matching answer would bring the objective on."""
        if self.is_reached(objective) or self.is_done:
            return False
        return objective.advance(_copy(self._reached[objective.index]), data, self._day)

    def answer(self, data: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Counts a right answer in every objective that it matches."""
        if self.is_done:
            return
        for objective in self.compiled.by_event[QUESTION_ANSWERED]:
            if not self.is_reached(objective) and self.matches(objective, data, facts):
                objective.advance(self._reached[objective.index], data, self._day)

    def matches(self, objective: CompiledObjective, data: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
        """Whether the objective counts such an answer, by the mission's own definition."""
        return objective.matches is None or objective.matches(data, facts, self.assignment.parameters)

    def is_reached(self, objective: CompiledObjective) -> bool:
        """Whether the objective has its target."""
        return self._reached[objective.index].progress >= objective.target


@dataclass(frozen=True, slots=True)
class Need:
    """One objective of an open mission that question answers bring on."""

    mission: OpenMission
    objective: CompiledObjective

    @property
    def missing(self) -> float:
        """What its progress lacks of its target."""
        return self.objective.target - self.mission.assignment.objectives[self.objective.index].progress

    def is_met(self) -> bool:
        """Whether nothing more is needed."""
        return self.mission.is_done or self.mission.is_reached(self.objective)

    def matches(self, data: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
        """Whether the answer counts."""
        return self.mission.matches(self.objective, data, facts)


def open_missions(
    state: UserState, catalogue: Catalogue, now: datetime, day: int, assignment_id: str | None = None
) -> list[OpenMission]:
    """The missions in progress at `now` that count answers; what ends first comes first. With `assignment_id` that one alone.

    Raises `catalogue.UnknownMission` like matching does.
    """
    found = []
    for assignment in state.assignments:
        if assignment_id is not None and assignment.assignment_id != assignment_id:
            continue
        is_open = assignment.starts_at <= now and (assignment.expires_at is None or now < assignment.expires_at)
        if assignment.status is Status.IN_PROGRESS and is_open:
            compiled = catalogue.get(assignment.mission_id, assignment.mission_version).as_issued(assignment)
            if QUESTION_ANSWERED in compiled.by_event:
                found.append(OpenMission(assignment, compiled, day))
    found.sort(key=lambda m: (m.assignment.expires_at or _NEVER, m.compiled.place, m.assignment.assignment_id))
    return found


def needs_of(missions: Iterable[OpenMission]) -> list[Need]:
    """The objectives of these missions that are not reached, at most `NEEDS_MAX`."""
    needs = [
        Need(mission, objective) for mission in missions for objective in mission.compiled.by_event[QUESTION_ANSWERED]
    ]
    return [need for need in needs if not need.is_met()][:NEEDS_MAX]


def questions_for(need: Need, situation: Situation) -> list[Question]:
    """Questions that the objective may count, as far as that can be seen without the history; near the current chapter first.

    Other languages than the user's are in it only if these have too few.
    """
    parameters = need.mission.assignment.parameters
    where = need.mission.compiled.mission.objectives[need.objective.index].where
    fits = compile_where({name: condition for name, condition in where.items() if not name.startswith(HISTORY_PREFIX)})
    field, values = _narrowest(operators_of(where), parameters, situation)
    found = [
        question
        for question in situation.questions.having(field, values, situation.start, SCAN_MAX)
        if fits is None or fits(question.answered_right(), NO_VALUES, parameters)
    ]
    own = [question for question in found if question.language in situation.languages]
    if len(own) < need.missing:
        own += [question for question in found if question.language not in situation.languages]
    return own[:NEED_CANDIDATES_MAX]


def _narrowest(
    conditions: Iterable[tuple[str, str, Any]], parameters: Mapping[str, Any], situation: Situation
) -> tuple[str, Sequence[str]]:
    """The field and values that the fewest questions have, of all that the conditions ask for; else all languages."""
    best: tuple[str, Sequence[str]] = ("language", situation.questions.languages)
    fewest: int | None = None
    for field, operator, operand in conditions:
        if field not in INDEXED_FIELDS or operator not in {"equals", "in"}:
            continue
        value: object = parameters.get(operand[1:]) if is_parameter(operand) else operand
        values = [str(one) for one in value] if isinstance(value, list) else [] if value is None else [str(value)]
        size = situation.questions.size(field, values)
        if fewest is None or size < fewest:
            best, fewest = (field, values), size
    return best


def _copy(objective: ObjectiveState) -> ObjectiveState:
    return ObjectiveState(objective.progress, [*objective.members], [*objective.days], [*objective.broken_days])
