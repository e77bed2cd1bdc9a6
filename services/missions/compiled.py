"""A mission version made ready to match: predicates, folds and lookups are built once, so an event costs no interpretation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from .conditions import Predicate, compile_where, parameters_of
from .definition import ConsecutiveDays, Mission, Objective, Operators, Text, Where
from .fields import AUDIENCE_FACTS, XP_EARNED, Kind
from .measures import Advance, compile_break, compile_measure
from .state import Assignment

TARGET_MARK = "{target}"
"""Stands in titles and descriptions for the target of the only objective."""

LIST_FACTS = frozenset(name for name, field in AUDIENCE_FACTS.items() if field.kind is Kind.LIST)


@dataclass(frozen=True, slots=True)
class CompiledObjective:
    """One objective; `index` is its place in `Assignment.objectives`."""

    index: int
    target: int
    matches: Predicate | None
    """None: every event of the type counts."""
    advance: Advance
    breaks: Predicate | None
    """Which events break a run of days; None: the measure knows no breaks."""
    mark_broken: Advance


@dataclass(frozen=True, slots=True, eq=False)
class CompiledMission:
    """One mission version. Equal definitions compile to missions that decide the same; only itself is equal to it."""

    mission: Mission
    """With the target written into its texts."""
    written: Mission
    """As it was given."""
    place: int
    """Its place in the catalogue: the last word in sorting."""
    objectives: tuple[CompiledObjective, ...]
    by_event: Mapping[str, tuple[CompiledObjective, ...]]
    needed: int
    """How many reached objectives complete it."""
    audience: Predicate | None
    parameters: frozenset[str]
    """Names of the `$name` operands that it needs."""
    grace: timedelta
    rewards: tuple[Mapping[str, Any], ...]
    """Its rewards as they stand in JSON."""
    _fitted: dict[int, "CompiledMission"] = field(default_factory=dict, repr=False)

    def as_issued(self, assignment: Assignment) -> "CompiledMission":
        """The mission as this assignment has it: with the target that was frozen when it was issued."""
        fit = assignment.fit
        if fit is None or fit.target is None:
            return self
        fitted = self._fitted.get(fit.target)
        if fitted is None:
            fitted = self._fitted[fit.target] = compile_mission(_with_target(self.written, fit.target), self.place)
        return fitted


def compile_mission(mission: Mission, place: int) -> CompiledMission:
    """Compiles a mission that `checks` found no problem in."""
    objectives = tuple(_compile_objective(objective, index) for index, objective in enumerate(mission.objectives))
    by_event: dict[str, tuple[CompiledObjective, ...]] = {}
    for objective, compiled in zip(mission.objectives, objectives, strict=True):
        by_event[objective.event] = (*by_event.get(objective.event, ()), compiled)
    return CompiledMission(
        mission=_with_texts(mission),
        written=mission,
        place=place,
        objectives=objectives,
        by_event=by_event,
        needed=mission.needed,
        audience=compile_where(mission.audience, LIST_FACTS),
        parameters=mission_parameters(mission),
        grace=timedelta(days=mission.claim.grace_days),
        rewards=tuple(reward.model_dump(mode="json") for reward in mission.rewards),
    )


def mission_parameters(mission: Mission) -> frozenset[str]:
    """Names of the `$name` operands of all its objectives."""
    return frozenset[str]().union(*(_parameters(objective) for objective in mission.objectives))


def _compile_objective(objective: Objective, index: int) -> CompiledObjective:
    breaks = None
    if isinstance(objective.measure, ConsecutiveDays):
        breaks = compile_where(objective.measure.consecutive_days.break_on)
    return CompiledObjective(
        index=index,
        target=objective.target,
        matches=compile_where(_where(objective)),
        advance=compile_measure(objective.measure, objective.target),
        breaks=breaks,
        mark_broken=compile_break(objective.target),
    )


def _where(objective: Objective) -> Where:
    """XP from rewards counts only where a mission says something about the source of XP."""
    if objective.event == XP_EARNED and "xp_source" not in objective.where:
        return {**objective.where, "xp_source": Operators(not_in=["mission_reward"])}
    return objective.where


def _parameters(objective: Objective) -> set[str]:
    named = parameters_of(objective.where)
    if isinstance(objective.measure, ConsecutiveDays):
        named |= parameters_of(objective.measure.consecutive_days.break_on)
    return named


def _with_target(mission: Mission, target: int) -> Mission:
    """The same with another target of its only objective."""
    (objective,) = mission.objectives
    return mission.model_copy(update={"objectives": [objective.model_copy(update={"target": target})]})


def _with_texts(mission: Mission) -> Mission:
    """The same with the target in its texts."""
    target = str(mission.objectives[0].target)

    def filled(texts: Text) -> Text:
        return {locale: text.replace(TARGET_MARK, target) for locale, text in texts.items()}

    if not any(TARGET_MARK in text for text in (*mission.title.values(), *mission.description.values())):
        return mission
    return mission.model_copy(update={"title": filled(mission.title), "description": filled(mission.description)})
