"""A mission version made ready to match: predicates, folds and lookups are built once, so an event costs no interpretation."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from .conditions import Predicate, compile_where, parameters_of
from .definition import ConsecutiveDays, Mission, Objective
from .fields import AUDIENCE_FACTS, Kind
from .measures import Advance, compile_break, compile_measure

_LIST_FACTS = frozenset(name for name, field in AUDIENCE_FACTS.items() if field.kind is Kind.LIST)


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


def compile_mission(mission: Mission, place: int) -> CompiledMission:
    """Compiles a mission that `checks` found no problem in."""
    objectives = tuple(_compile_objective(objective, index) for index, objective in enumerate(mission.objectives))
    by_event: dict[str, tuple[CompiledObjective, ...]] = {}
    for objective, compiled in zip(mission.objectives, objectives, strict=True):
        by_event[objective.event] = (*by_event.get(objective.event, ()), compiled)
    parameters = frozenset[str]().union(*(_parameters(objective) for objective in mission.objectives))
    return CompiledMission(
        mission=mission,
        place=place,
        objectives=objectives,
        by_event=by_event,
        needed=mission.needed,
        audience=compile_where(mission.audience, _LIST_FACTS),
        parameters=parameters,
        grace=timedelta(days=mission.claim.grace_days),
        rewards=tuple(reward.model_dump(mode="json") for reward in mission.rewards),
    )


def _compile_objective(objective: Objective, index: int) -> CompiledObjective:
    breaks = None
    if isinstance(objective.measure, ConsecutiveDays):
        breaks = compile_where(objective.measure.consecutive_days.break_on)
    return CompiledObjective(
        index=index,
        target=objective.target,
        matches=compile_where(objective.where),
        advance=compile_measure(objective.measure, objective.target),
        breaks=breaks,
        mark_broken=compile_break(objective.target),
    )


def _parameters(objective: Objective) -> set[str]:
    named = parameters_of(objective.where)
    if isinstance(objective.measure, ConsecutiveDays):
        named |= parameters_of(objective.measure.consecutive_days.break_on)
    return named
