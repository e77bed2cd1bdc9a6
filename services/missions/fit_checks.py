"""What can be wrong with `fit`, `otherwise` and `stand_in`: rules that nobody could meet, and texts that would not tell the truth."""

import re
from collections.abc import Iterator, Mapping, Sequence

from .checks import Place
from .compiled import TARGET_MARK, mission_parameters
from .definition import Distinct, FitRule, Mission
from .fields import AUDIENCE_FACTS, FIT_FACTS
from .problems import Problem, nearest

FIT_TARGET_MAX = 100
"""Greatest target of a mission with `fit`: each lower one is a mission of its own in memory."""

_PERIODS = ("daily", "weekly")


def check_fit(mission: Mission, place: Place) -> Iterator[Problem]:
    """Everything wrong with how one mission is fitted to its user."""
    yield from _check_texts(mission, place)
    if mission.fit is not None:
        yield from _check_rule(mission, mission.fit, place)
    if mission.otherwise is not None or mission.stand_in:
        here = place.at("otherwise" if mission.otherwise is not None else "stand_in")
        if mission.period not in _PERIODS:
            message = f"only daily and weekly missions stand in for each other; the period is {mission.period}"
            yield here.problem(message)
    if mission.otherwise is not None and mission.fit is None and not mission_parameters(mission):
        yield place.at("otherwise").problem("this mission always fits; give it a fit or a $parameter, or remove this")
    if mission.stand_in and mission.audience:
        yield place.at("audience").problem("a stand-in goes to whom the other mission is for; remove this")


def _check_rule(mission: Mission, rule: FitRule, place: Place) -> Iterator[Problem]:
    here = place.at("fit")
    if rule.to not in FIT_FACTS:
        known = ", ".join(FIT_FACTS)
        message = f"no fact that a mission is fitted to; there are {known}."
        yield here.at("to").problem(message, nearest(rule.to, FIT_FACTS))
        return
    if len(mission.objectives) != 1:
        yield here.problem(f"needs exactly one objective, and there are {len(mission.objectives)}")
        return
    (objective,) = mission.objectives
    most = AUDIENCE_FACTS[rule.to].most
    if objective.measure != "count" and not isinstance(objective.measure, Distinct):
        yield here.problem("needs an objective that counts one by one: count or {distinct: field}")
    if objective.target > FIT_TARGET_MAX:
        yield place.at("objectives", 0, "target").problem(f"at most {FIT_TARGET_MAX} for a mission with a fit")
    elif most is not None and objective.target > most:
        yield place.at("objectives", 0, "target").problem(f"can never be met: {rule.to} is counted up to {most:g}")
    if rule.at_least > objective.target:
        message = f"is more than the target {objective.target}, so nothing would ever be lowered; ask for at most that"
        yield here.at("at_least").problem(message)


def _check_texts(mission: Mission, place: Place) -> Iterator[Problem]:
    for name in ("title", "description"):
        for locale, text in getattr(mission, name).items():
            here = place.at(name, locale)
            if TARGET_MARK in text and len(mission.objectives) != 1:
                yield here.problem(f"{TARGET_MARK} needs one objective, and there are {len(mission.objectives)}")
            elif mission.fit is not None and _says(text, mission.objectives[0].target):
                target = mission.objectives[0].target
                yield here.problem(f"says {target}, which is not true where a lower target fits; write {TARGET_MARK}")


def _says(text: str, target: int) -> bool:
    return re.search(rf"(?<!\d){target}(?!\d)", text) is not None


def check_stand_ins(missions: Sequence[tuple[Mission, Place]]) -> Iterator[Problem]:
    """What is wrong between missions and those that stand in for them."""
    known = {mission.id: mission for mission, _ in missions}
    named = {mission.otherwise for mission, _ in missions}
    stand_ins = [name for name, mission in known.items() if mission.stand_in]
    for mission, place in missions:
        if mission.stand_in and mission.id not in named:
            yield place.at("stand_in").problem("no mission names it as otherwise, so nobody would ever get it")
        if mission.otherwise is None:
            continue
        here = place.at("otherwise")
        other = known.get(mission.otherwise)
        if other is None:
            yield here.problem(f"there is no mission {mission.otherwise}.", nearest(mission.otherwise, stand_ins))
        elif not other.stand_in:
            yield here.problem(f"{other.id} is issued by itself; choose a mission with stand_in: true")
        elif other.period != mission.period:
            yield here.problem(f"{other.id} is {other.period}, and this one {mission.period}; they must be the same")
        elif _leads_back(mission, known):
            yield here.problem(f"leads back to {mission.id}, so it would never end")


def _leads_back(mission: Mission, known: Mapping[str, Mission]) -> bool:
    seen = {mission.id}
    following = mission.otherwise
    while following is not None and following in known:
        if following in seen:
            return following == mission.id
        seen.add(following)
        following = known[following].otherwise
    return False
