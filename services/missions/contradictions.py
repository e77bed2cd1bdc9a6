"""Finds conditions on one field that no value can meet together: nobody could ever complete, or be given, such a mission."""

from collections.abc import Iterator, Mapping
from math import ceil, floor, inf
from typing import Any

from .checks import Place
from .conditions import is_parameter, operators_of
from .definition import Mission, Where
from .fields import AUDIENCE_FACTS, Field, Kind, fields_of
from .problems import Problem

_NUMBERS = (Kind.INTEGER, Kind.NUMBER)


def check_conditions(mission: Mission, place: Place) -> Iterator[Problem]:
    """Every field of a mission whose conditions exclude each other."""
    yield from _check(mission.audience, AUDIENCE_FACTS, place.at("audience"))
    for index, objective in enumerate(mission.objectives):
        yield from _check(objective.where, fields_of(objective.event), place.at("objectives", index, "where"))


def _check(where: Where, fields: Mapping[str, Field], place: Place) -> Iterator[Problem]:
    for name in where:
        field = fields.get(name)
        conditions = {operator: operand for key, operator, operand in operators_of(where) if key == name}
        if field is None or field.kind is Kind.LIST or len(conditions) < 2:
            continue
        if _excludes_all(conditions, field):
            words = ", ".join(f"{operator} {operand}" for operator, operand in conditions.items())
            yield place.at(name).problem(f"can never hold: no value meets all of {words}")


def _excludes_all(conditions: Mapping[str, Any], field: Field) -> bool:
    if conditions.get("exists") is False:
        return True  # every other operator wants a value
    known = {operator: operand for operator, operand in conditions.items() if not is_parameter(operand)}
    chosen = known.get("in", sorted(field.values) if field.values is not None else None)
    excluded = known.get("not_in", [])
    if isinstance(chosen, list) and isinstance(excluded, list):
        return not any(value not in excluded and _is_inside(value, known, field) for value in chosen)
    return field.kind in _NUMBERS and _is_empty(known, field)


def _is_inside(value: Any, conditions: Mapping[str, Any], field: Field) -> bool:
    if field.kind not in _NUMBERS:
        return True
    least, most = _bounds(conditions, field)
    return bool(least <= value <= most and value != conditions.get("gt") and value != conditions.get("lt"))


def _is_empty(conditions: Mapping[str, Any], field: Field) -> bool:
    least, most = _bounds(conditions, field)
    if least > most:
        return True
    excluded = conditions.get("not_in", [])
    if least == most:
        return least in (conditions.get("gt"), conditions.get("lt"), *excluded)
    if field.kind is not Kind.INTEGER or most - least >= len(excluded):
        return False
    return all(value in excluded for value in range(ceil(least), floor(most) + 1))


def _bounds(conditions: Mapping[str, Any], field: Field) -> tuple[float, float]:
    """The least and the greatest value; for a number that is no integer, `gt` and `lt` leave their own operand in."""
    least = max((conditions[name] for name in ("gt", "gte") if name in conditions), default=-inf)
    most = min((conditions[name] for name in ("lt", "lte") if name in conditions), default=inf)
    if field.kind is Kind.INTEGER:
        if "gt" in conditions:
            least = max(least, floor(conditions["gt"]) + 1)
        if "lt" in conditions:
            most = min(most, ceil(conditions["lt"]) - 1)
    return (
        max(least, -inf if field.least is None else field.least),
        min(most, inf if field.most is None else field.most),
    )
