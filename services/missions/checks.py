"""What the shape of a definition can't say: that its fields exist, its operands fit, and that somebody could complete it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .conditions import is_parameter, operators_of
from .definition import ConsecutiveDays, Distinct, Max, Mission, Objective, Sum, Where
from .fields import AUDIENCE_FACTS, EVENT_FIELDS, PARAMETERS, Field, Kind, fields_of
from .problems import Problem, nearest, path_of

DISTINCT_TARGET_MAX = 200
"""Members of `distinct` are kept in the user's state until the target is reached: this many ids still fit it."""

DAYS_TARGET_MAX = 366
"""Days of a run are kept in the user's state, for the same reason."""

SEASON_YEARS = (1970, 9000)
"""Grace and lateness are added to a season's bounds, and the calendar ends with the year 9999."""

_ORDERED = {"gt", "gte", "lt", "lte"}
OPERATORS: Mapping[Kind, frozenset[str]] = {
    Kind.TEXT: frozenset({"equals", "in", "not_in", "exists"}),
    Kind.INTEGER: frozenset({"equals", "in", "not_in", "exists"} | _ORDERED),
    Kind.NUMBER: frozenset({"equals", "in", "not_in", "exists"} | _ORDERED),
    Kind.FLAG: frozenset({"equals", "exists"}),
    Kind.DATE: frozenset({"exists"}),
    Kind.LIST: frozenset({"equals", "in", "not_in", "exists"}),
}
_DAYS: Mapping[str, int] = {"daily": 1, "weekly": 7}


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the data that problems are reported for."""

    where: str
    parts: tuple[object, ...]

    def at(self, *parts: object) -> "Place":
        """A place inside this one."""
        return Place(self.where, (*self.parts, *parts))

    def problem(self, message: str, suggestion: str | None = None) -> Problem:
        """Something wrong here."""
        return Problem(self.where, path_of(self.parts), message, suggestion, self.parts)


def check_mission(mission: Mission, place: Place) -> Iterator[Problem]:
    """Everything wrong with one mission of the right shape."""
    yield from _check_period(mission, place)
    yield from _check_parameters(mission, place)
    yield from check_where(mission.audience, AUDIENCE_FACTS, place.at("audience"), allow_parameters=False)
    if mission.needed > len(mission.objectives):
        message = f"asks for {mission.needed} of {len(mission.objectives)} objectives; lower it or add objectives"
        yield place.at("require", "at_least").problem(message)
    seen: set[str] = set()
    for index, objective in enumerate(mission.objectives):
        here = place.at("objectives", index)
        if objective.id in seen:
            yield here.at("id").problem(f"another objective has the id {objective.id} too; give each its own")
        seen.add(objective.id)
        yield from _check_objective(mission, objective, here)


def _check_period(mission: Mission, place: Place) -> Iterator[Problem]:
    if mission.period == "season":
        for name in ("opens_at", "closes_at"):
            instant = getattr(mission, name)
            if instant is None:
                yield place.at(name).problem("is missing; a season needs opens_at and closes_at")
            elif not SEASON_YEARS[0] <= instant.year <= SEASON_YEARS[1]:
                first, last = SEASON_YEARS
                yield place.at(name).problem(f"is in the year {instant.year}; a season lies between {first} and {last}")
        if mission.opens_at and mission.closes_at and mission.opens_at >= mission.closes_at:
            yield place.at("closes_at").problem("is not after opens_at; a season must open before it closes")
        return
    for name in ("opens_at", "closes_at"):
        if getattr(mission, name) is not None:
            yield place.at(name).problem(f"only a season has it, and the period is {mission.period}; remove it")


def _check_parameters(mission: Mission, place: Place) -> Iterator[Problem]:
    for name, value in mission.parameters.items():
        here = place.at("parameters", name)
        parameter = PARAMETERS.get(name)
        if parameter is None:
            yield here.problem(f"no such parameter; there are {_listed(PARAMETERS)}.", nearest(name, PARAMETERS))
        elif isinstance(value, list) != (parameter.kind is Kind.LIST):
            yield here.problem(f"must be a {parameter.kind}")


def check_where(
    where: Where, fields: Mapping[str, Field], place: Place, *, allow_parameters: bool = True
) -> Iterator[Problem]:
    """Everything wrong with conditions over these fields."""
    for name, operator, operand in operators_of(where):
        here = place.at(name)
        field = fields.get(name)
        if field is None:
            yield here.problem(f"no such field here; there are {_listed(fields)}.", nearest(name, fields))
            continue
        if operator != "equals":
            here = here.at(operator)
        if operator not in OPERATORS[field.kind]:
            known = ", ".join(sorted(OPERATORS[field.kind]))
            yield here.problem(f"{name} is {field.kind}, and {operator} does not fit that; there are {known}.")
        elif is_parameter(operand):
            yield from _check_parameter(operand[1:], operator, field, here, allow_parameters)
        elif operator != "exists":
            yield from _check_operand(operator, operand, field, here)


def _check_parameter(name: str, operator: str, field: Field, place: Place, allow_parameters: bool) -> Iterator[Problem]:
    if not allow_parameters:
        yield place.problem("an audience is asked before parameters are fixed; write a value")
        return
    parameter = PARAMETERS.get(name)
    if parameter is None:
        yield place.problem(f"no such parameter; there are ${_listed(PARAMETERS, ', $')}.", nearest(name, PARAMETERS))
        return
    wanted = Kind.LIST if operator in {"in", "not_in"} else Kind.TEXT
    if parameter.kind is not wanted or field.kind is not Kind.TEXT:
        yield place.problem(f"${name} is a {parameter.kind}; {operator} on this field takes a {wanted}")


def _check_operand(operator: str, operand: Any, field: Field, place: Place) -> Iterator[Problem]:
    if operator in {"in", "not_in"}:
        if isinstance(operand, str):
            yield place.problem(f"takes a list of values or a $parameter, not {operand!r}")
            return
        for index, value in enumerate(operand):
            yield from _check_value(value, field, place.at(index))
        return
    before = list(_check_value(operand, field, place))
    yield from before
    if not before and field.kind in {Kind.INTEGER, Kind.NUMBER} and not _can_hold(operator, operand, field):
        bounds = f"{_number(field.least, 'no least')} to {_number(field.most, 'no most')}"
        yield place.problem(f"can never hold: the field goes from {bounds}")


def _check_value(value: Any, field: Field, place: Place) -> Iterator[Problem]:
    fits = {
        Kind.TEXT: isinstance(value, str),
        Kind.LIST: isinstance(value, str),
        Kind.FLAG: isinstance(value, bool),
        Kind.INTEGER: isinstance(value, int) and not isinstance(value, bool),
        Kind.NUMBER: isinstance(value, int | float) and not isinstance(value, bool),
    }[field.kind]
    if not fits:
        yield place.problem(f"{value!r} does not fit: the field is {field.kind}")
    elif field.values is not None and value not in field.values:
        known = ", ".join(sorted(field.values))
        yield place.problem(f"{value!r} never occurs; there are {known}.", nearest(value, field.values))


def _can_hold(operator: str, operand: float, field: Field) -> bool:
    least = float("-inf") if field.least is None else field.least
    most = float("inf") if field.most is None else field.most
    return {
        "equals": least <= operand <= most,
        "gt": most > operand,
        "gte": most >= operand,
        "lt": least < operand,
        "lte": least <= operand,
    }[operator]


def _check_objective(mission: Mission, objective: Objective, place: Place) -> Iterator[Problem]:
    fields = fields_of(objective.event)
    if not fields:
        known = ", ".join(EVENT_FIELDS)
        yield place.at("event").problem(
            f"no such event type; there are {known}.", nearest(objective.event, EVENT_FIELDS)
        )
        return
    yield from check_where(objective.where, fields, place.at("where"))
    measure, here = objective.measure, place.at("measure")
    data_fields = EVENT_FIELDS[objective.event]
    match measure:
        case Sum(sum=name):
            yield from _check_measured(name, data_fields, (Kind.INTEGER,), here.at("sum"))
        case Distinct(distinct=name):
            yield from _check_measured(name, data_fields, (Kind.TEXT,), here.at("distinct"))
        case Max(max=name):
            yield from _check_measured(name, data_fields, (Kind.INTEGER, Kind.NUMBER), here.at("max"))
        case ConsecutiveDays(consecutive_days=rule):
            yield from check_where(rule.break_on, fields, here.at("consecutive_days", "break_on"))
        case _:
            pass
    reachable = reachable_target(mission, objective)
    if reachable is not None and objective.target > reachable[0]:
        yield place.at("target").problem(f"{objective.target} can never be reached: {reachable[1]}")


def _check_measured(name: str, fields: Mapping[str, Field], kinds: Sequence[Kind], place: Place) -> Iterator[Problem]:
    fitting = [known for known, field in fields.items() if field.kind in kinds]
    if name not in fitting:
        wanted = " or ".join(kinds)
        known = ", ".join(fitting) or "none"
        yield place.problem(f"{name} is no {wanted} field of this event; there are {known}.", nearest(name, fitting))


def reachable_target(mission: Mission, objective: Objective) -> tuple[float, str] | None:
    """The greatest target that could ever be reached, and why; None where there is no such bound."""
    fields = EVENT_FIELDS[objective.event]
    match objective.measure:
        case Max(max=name):
            most = fields[name].most if name in fields else None
            return None if most is None else (most, f"{name} is at most {_number(most, '')}")
        case Distinct(distinct=name):
            values = _possible_values(name, objective.where, fields)
            if values is not None:
                return len(values), f"{name} has {len(values)} values"
            return DISTINCT_TARGET_MAX, f"at most {DISTINCT_TARGET_MAX} different values are kept"
        case "consecutive_days" | ConsecutiveDays():
            days = _days_of(mission)
            return (
                days,
                f"the {mission.period} period has {days} days" if days < DAYS_TARGET_MAX else "days are kept so long",
            )
        case _:
            return None


def _possible_values(name: str, where: Where, fields: Mapping[str, Field]) -> set[Any] | None:
    values: set[Any] | None = None
    if name in fields and fields[name].values is not None:
        values = set(fields[name].values or ())
    for field, operator, operand in operators_of(where):
        if field != name or is_parameter(operand):
            continue
        if operator == "equals":
            values = {operand} if values is None else values & {operand}
        elif operator == "in":
            values = set(operand) if values is None else values & set(operand)
        elif operator == "not_in" and values is not None:
            values -= set(operand)
    return values


def _days_of(mission: Mission) -> int:
    if mission.opens_at and mission.closes_at:
        return min((mission.closes_at - mission.opens_at).days + 1, DAYS_TARGET_MAX)
    return _DAYS.get(mission.period, DAYS_TARGET_MAX)


def check_references(missions: Sequence[tuple[Mission, Place]], others: Collection[str] = ()) -> Iterator[Problem]:
    """What is wrong between missions: ids and versions given twice, and `requires` that nobody can ever meet.

    `others` are ids of further missions that may be required.
    """
    seen: set[tuple[str, int]] = set()
    required = {name: set[str]() for name in others}
    required |= {mission.id: set(mission.requires) for mission, _ in missions}
    for mission, place in missions:
        if (mission.id, mission.version) in seen:
            message = f"version {mission.version} of {mission.id} is given twice; raise the version or change the id"
            yield place.at("id").problem(message)
        seen.add((mission.id, mission.version))
        for index, name in enumerate(mission.requires):
            here = place.at("requires", index)
            if name not in required:
                yield here.problem(f"there is no mission {name}.", nearest(name, required))
            elif _leads_to(name, mission.id, required):
                yield here.problem(f"{name} itself requires {mission.id}, so neither could ever be issued")


def _leads_to(start: str, goal: str, required: Mapping[str, set[str]]) -> bool:
    waiting, seen = [start], set[str]()
    while waiting:
        name = waiting.pop()
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            waiting += required.get(name, ())
    return False


def _listed(names: Mapping[str, object], separator: str = ", ") -> str:
    return separator.join(names)


def _number(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:g}"
