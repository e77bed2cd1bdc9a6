"""Finds the missions whose audience a user belongs to without asking every mission, so that issuing stays cheap in a big catalogue."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .compiled import CompiledMission
from .conditions import NO_VALUES, operators_of
from .fields import AUDIENCE_FACTS, Kind

ANSWERS_MAX = 10_000
"""Most answers remembered; a few hundred kinds of users cover almost everybody."""

_OTHER = object()
"""Stands for every value that no audience names."""


class AudienceIndex:
    """Missions by audience. It answers exactly what asking each mission's audience would.

    A mission that wants one of certain texts (a language, a chapter) is looked up by them. The others are asked once for each
    kind of user: two users are of one kind when no condition of any of these audiences can tell them apart.
    """

    def __init__(self, missions: Iterable[CompiledMission]) -> None:
        self.missions = tuple(missions)
        self._by_text: dict[tuple[str, str], list[CompiledMission]] = {}
        self._others: list[CompiledMission] = []
        for compiled in self.missions:
            keys = _text_keys(compiled)
            if not keys:
                self._others.append(compiled)
            for key in keys:
                self._by_text.setdefault(key, []).append(compiled)
        self._text_facts = sorted({fact for fact, _ in self._by_text})
        self._numbers, self._texts = _told_apart_by(self._others)
        self._answers: dict[tuple[object, ...], list[CompiledMission]] = {}

    def fitting(self, facts: Mapping[str, Any]) -> Sequence[CompiledMission]:
        """The missions whose audience fits, in catalogue order."""
        kind = self._kind_of_user(facts)
        fitting = self._answers.get(kind)
        if fitting is None:
            if len(self._answers) >= ANSWERS_MAX:
                self._answers.clear()
            fitting = self._answers[kind] = [compiled for compiled in self._others if _fits(compiled, facts)]
        if not self._text_facts:
            return fitting
        found = {compiled.place: compiled for compiled in fitting}
        for fact in self._text_facts:
            value = facts[fact]
            for text in value if isinstance(value, list) else (value,):
                for compiled in self._by_text.get((fact, text), ()):
                    if _fits(compiled, facts):
                        found[compiled.place] = compiled
        return [found[place] for place in sorted(found)]

    def _kind_of_user(self, facts: Mapping[str, Any]) -> tuple[object, ...]:
        kind: list[object] = [bisect_right(bounds, facts[fact]) for fact, bounds in self._numbers]
        for fact, named in self._texts:
            value = facts[fact]
            if isinstance(value, list):
                kind.append((bool(value), *(text for text in value if text in named)))
                kind.append(any(text not in named for text in value))
            else:
                kind.append(value if value is None or value in named else _OTHER)
        return tuple(kind)


def _fits(compiled: CompiledMission, facts: Mapping[str, Any]) -> bool:
    return compiled.audience is None or compiled.audience(facts, NO_VALUES, NO_VALUES)


def _text_keys(compiled: CompiledMission) -> list[tuple[str, str]]:
    """(fact, text) pairs of which a fitting user has at least one; none when the audience does not say."""
    for fact, operator, operand in operators_of(compiled.mission.audience):
        if AUDIENCE_FACTS[fact].kind in {Kind.TEXT, Kind.LIST} and operator in {"equals", "in"}:
            return [(fact, text) for text in (operand if operator == "in" else (operand,))]
    return []


def _told_apart_by(
    missions: Sequence[CompiledMission],
) -> tuple[list[tuple[str, list[int]]], list[tuple[str, frozenset[str]]]]:
    """For each integer fact the bounds between which no audience sees a difference; for each text fact the named texts."""
    bounds: dict[str, set[int]] = {}
    texts: dict[str, set[str]] = {}
    for compiled in missions:
        for fact, operator, operand in operators_of(compiled.mission.audience):
            operands = operand if isinstance(operand, list) else [] if operator == "exists" else [operand]
            if AUDIENCE_FACTS[fact].kind is Kind.INTEGER:
                bounds.setdefault(fact, set()).update(bound for value in operands for bound in (value, value + 1))
            else:
                texts.setdefault(fact, set()).update(operands)
    return (
        [(fact, sorted(values)) for fact, values in sorted(bounds.items())],
        [(fact, frozenset(values)) for fact, values in sorted(texts.items())],
    )
