"""Conditions on one field that exclude each other: exactly those that no value of the field meets."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.missions.catalogue import parse_catalogue
from services.missions.conditions import NO_VALUES, compile_where
from services.missions.definition import Mission
from tests.support.builders import mission_data, objective

IMPOSSIBLE: list[tuple[str, str, dict[str, Any]]] = [
    ("lesson-completed", "hearts_lost", {"gt": 2, "lt": 3}),
    ("lesson-completed", "hearts_lost", {"gte": 3, "lte": 2}),
    ("lesson-completed", "hearts_lost", {"in": [1, 2], "gt": 2}),
    ("lesson-completed", "accuracy", {"gt": 0.5, "lte": 0.5}),
    ("lesson-completed", "accuracy", {"exists": False, "gte": 0.5}),
    ("xp-earned", "xp_source", {"in": ["lesson"], "not_in": ["lesson"]}),
    ("question-answered", "difficulty", {"exists": True, "not_in": ["easy", "medium", "hard"]}),
    ("question-answered", "history.mistake_age_days", {"gt": 0, "lt": 1}),
]
POSSIBLE: list[tuple[str, str, dict[str, Any]]] = [
    ("lesson-completed", "hearts_lost", {"gt": 2, "lt": 4}),
    ("lesson-completed", "hearts_lost", {"gte": 2, "lte": 2}),
    ("lesson-completed", "hearts_lost", {"in": [1, 2], "gt": 1}),
    ("lesson-completed", "accuracy", {"gt": 0.5, "lt": 0.51}),
    ("lesson-completed", "lesson_type", {"in": ["core"], "not_in": ["story"]}),
    ("lesson-completed", "lesson_type", {"exists": True, "not_in": ["story"]}),
    ("question-answered", "topic_id", {"in": "$weak_topics", "not_in": ["loops"]}),
]


def problems_of(event: str, name: str, conditions: dict[str, Any]) -> list[str]:
    data = mission_data(objective(event=event, where={name: conditions}))
    return [problem.path for problem in parse_catalogue({"missions": [data]}, "test")[1]]


@pytest.mark.parametrize(("event", "name", "conditions"), IMPOSSIBLE)
def test_conditions_that_exclude_each_other_are_found(event: str, name: str, conditions: dict[str, Any]) -> None:
    assert problems_of(event, name, conditions) == [f"missions[0].objectives[0].where.{name}"]


@pytest.mark.parametrize(("event", "name", "conditions"), POSSIBLE)
def test_conditions_that_some_value_meets_are_let_pass(event: str, name: str, conditions: dict[str, Any]) -> None:
    assert problems_of(event, name, conditions) == []


NUMBERS = st.integers(0, 6)
SOME = st.lists(NUMBERS, min_size=1, max_size=4, unique=True)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "gt": NUMBERS,
            "gte": NUMBERS,
            "lt": NUMBERS,
            "lte": NUMBERS,
            "in": SOME,
            "not_in": SOME,
        },
    )
)
def test_what_is_refused_is_exactly_what_no_value_meets(conditions: dict[str, Any]) -> None:
    assume(len(conditions) > 1)
    data = mission_data(objective(where={"hearts_lost": conditions}))
    predicate = compile_where(Mission.model_validate(data).objectives[0].where)
    assert predicate is not None
    is_possible = any(predicate({"hearts_lost": value}, NO_VALUES, NO_VALUES) for value in range(20))
    missions, _ = parse_catalogue({"missions": [data]}, "test")
    assert bool(missions) is is_possible
