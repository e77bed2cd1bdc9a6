"""Fits missions to one user when they are issued: a lower target, another mission in the place, or none; always with the reason."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from msgspec.structs import replace

from .audience import AudienceIndex
from .compiled import CompiledMission
from .definition import Mission
from .state import Fit


class Chosen(NamedTuple):
    """A mission to issue, and how it was fitted."""

    compiled: CompiledMission
    fit: Fit | None


class Obstacle(NamedTuple):
    """Why a mission is nothing for a user."""

    reason: str
    """The fact that is too small, or the `$parameter` that is unknown."""
    text: str
    """The same with its numbers."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a user when a period is issued."""

    claimed: Collection[str]
    """Ids of missions that were claimed."""
    facts: Mapping[str, Any]
    parameters: Mapping[str, Any]


def choose(
    missions: AudienceIndex, user: Known, stand_ins: Mapping[str, CompiledMission]
) -> tuple[list[Chosen], dict[str, str]]:
    """The missions that the user gets, in catalogue order; and why those that were meant for the user are left out, by id.

    A stand-in is chosen once at most, by the first mission that needs it.
    """
    chosen: list[Chosen] = []
    left_out: dict[str, str] = {}
    taken: set[str] = set()
    for compiled in missions.fitting(user.facts):
        mission = compiled.mission
        if mission.requires and missing_claim(mission, user) is not None:
            continue
        if mission.fit is None and not compiled.parameters:
            chosen.append(Chosen(compiled, None))
            continue
        found = _fitted(compiled, user, stand_ins, taken)
        if isinstance(found, Obstacle):
            left_out[mission.id] = found.text
        else:
            chosen.append(found)
    return chosen, left_out


def missing_claim(mission: Mission, user: Known) -> str | None:
    """The first mission that must be claimed before and was not."""
    return next((name for name in mission.requires if name not in user.claimed), None)


def obstacle(compiled: CompiledMission, user: Known) -> Obstacle | None:
    """What keeps a mission from being issued to a user whom it is meant for."""
    mission = compiled.mission
    for name in sorted(compiled.parameters):
        if name not in user.parameters and name not in mission.parameters:
            return Obstacle(f"${name}", f"${name} is not known")
    rule = mission.fit
    if rule is not None and user.facts[rule.to] < rule.at_least:
        return Obstacle(rule.to, f"{rule.to} is {user.facts[rule.to]}, and at least {rule.at_least} is needed")
    return None


def _fitted(
    slot: CompiledMission, user: Known, stand_ins: Mapping[str, CompiledMission], taken: set[str]
) -> Chosen | Obstacle:
    """The mission, or the first of its stand-ins that fits and is not taken yet; without any, what keeps the mission itself."""
    why = obstacle(slot, user)
    if why is None:
        return Chosen(slot, _lowered(slot, user))
    for compiled in _in_line(slot.mission, stand_ins):
        name = compiled.mission.id
        if name in taken or missing_claim(compiled.mission, user) is not None or obstacle(compiled, user) is not None:
            continue
        taken.add(name)
        fit = _lowered(compiled, user) or Fit(why.reason)
        return Chosen(compiled, replace(fit, instead_of=slot.mission.id))
    return why


def _in_line(mission: Mission, stand_ins: Mapping[str, CompiledMission]) -> Iterator[CompiledMission]:
    """Its stand-in, the stand-in of that one, and so on, each once."""
    seen: set[str] = set()
    name = mission.otherwise
    while name is not None and name in stand_ins and name not in seen:
        seen.add(name)
        yield stand_ins[name]
        name = stand_ins[name].mission.otherwise


def _lowered(compiled: CompiledMission, user: Known) -> Fit | None:
    """The target that there is something for; None when the one that is written can be reached."""
    rule = compiled.mission.fit
    if rule is None:
        return None
    wanted, there_is = compiled.objectives[0].target, user.facts[rule.to]
    return Fit(rule.to, wanted, there_is) if there_is < wanted else None
