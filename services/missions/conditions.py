"""Turns `where` and `audience` data into predicates, once per mission version, so that matching interprets nothing."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from operator import eq, ge, gt, le, lt
from typing import Any

from .definition import Operators, Where
from .fields import HISTORY_PREFIX

Values = Mapping[str, Any]
Predicate = Callable[[Values, Values, Values], bool]
"""(data of the event or facts of the user, history facts, parameters of the assignment) -> whether all conditions hold."""

Test = Callable[[Any, Any], bool]
"""(value that is there, operand) -> whether the condition holds."""

PARAMETER_SIGN = "$"

NO_VALUES: Values = {}


def _in(value: Any, operand: Any) -> bool:
    return value in operand


def _not_in(value: Any, operand: Any) -> bool:
    return value not in operand


def _contains(value: Any, operand: Any) -> bool:
    return operand in value


def _any_in(value: Any, operand: Any) -> bool:
    return any(member in operand for member in value)


def _none_in(value: Any, operand: Any) -> bool:
    return not _any_in(value, operand)


_TESTS: Mapping[str, Test] = {
    "equals": eq,
    "in": _in,
    "not_in": _not_in,
    "gt": gt,
    "gte": ge,
    "lt": lt,
    "lte": le,
}
_LIST_TESTS: Mapping[str, Test] = {"equals": _contains, "in": _any_in, "not_in": _none_in}


def is_parameter(operand: object) -> bool:
    """Whether an operand names a parameter of the assignment."""
    return isinstance(operand, str) and operand.startswith(PARAMETER_SIGN)


def operators_of(where: Where) -> list[tuple[str, str, Any]]:
    """A `where` as (field, operator, operand) triples; a scalar is the operator `equals`."""
    triples: list[tuple[str, str, Any]] = []
    for name, condition in where.items():
        if isinstance(condition, Operators):
            triples += [(name, operator, operand) for operator, operand in condition.given().items()]
        else:
            triples.append((name, "equals", condition))
    return triples


def parameters_of(where: Where) -> set[str]:
    """Names of the parameters that a `where` needs."""
    return {operand[1:] for _, _, operand in operators_of(where) if is_parameter(operand)}


def compile_where(where: Where, list_fields: Collection[str] = ()) -> Predicate | None:
    """The predicate of a checked `where`; None when it matches everything.

    `list_fields` hold several values: there a scalar asks whether it is among them, `in` whether any of them is in
    the operand, `not_in` whether none is, `exists` whether there is at least one. An absent field fails every
    operator but `exists: false`.
    """
    checks = [_check(name, operator, operand, name in list_fields) for name, operator, operand in operators_of(where)]
    if not checks:
        return None
    if len(checks) == 1:
        return checks[0]
    if len(checks) == 2:
        return partial(_both, checks[0], checks[1])
    return partial(_all, tuple(checks))


def _check(name: str, operator: str, operand: Any, is_list: bool) -> Predicate:
    from_history = name.startswith(HISTORY_PREFIX)
    if operator == "exists":
        return _existence(name, bool(operand), from_history)
    test = (_LIST_TESTS if is_list else _TESTS)[operator]
    if is_parameter(operand):
        return _parameter_check(name, test, operand[1:], from_history)
    if isinstance(operand, list):
        operand = frozenset(operand)
    if from_history:

        def check_history(_data: Values, history: Values, _parameters: Values) -> bool:
            value = history.get(name)
            return value is not None and test(value, operand)

        return check_history

    def check(data: Values, _history: Values, _parameters: Values) -> bool:
        value = data.get(name)
        return value is not None and test(value, operand)

    return check


def _existence(name: str, expected: bool, from_history: bool) -> Predicate:
    def exists(data: Values, history: Values, _parameters: Values) -> bool:
        value = (history if from_history else data).get(name)
        return (value is not None and value != []) is expected

    return exists


def _parameter_check(name: str, test: Test, parameter: str, from_history: bool) -> Predicate:
    def check(data: Values, history: Values, parameters: Values) -> bool:
        value = (history if from_history else data).get(name)
        operand = parameters.get(parameter)
        return value is not None and operand is not None and test(value, operand)

    return check


def _both(first: Predicate, second: Predicate, data: Values, history: Values, parameters: Values) -> bool:
    return first(data, history, parameters) and second(data, history, parameters)


def _all(checks: tuple[Predicate, ...], data: Values, history: Values, parameters: Values) -> bool:
    return all(check(data, history, parameters) for check in checks)
