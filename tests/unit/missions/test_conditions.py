"""Conditions: each operator on values that are there, and on values that are not."""

from typing import Any

import pytest

from services.missions.conditions import compile_where
from tests.support.builders import mission, objective

HISTORY = {"history.open_mistake": True, "history.mistake_age_days": 1}


def holds(where: dict[str, Any], data: dict[str, Any], parameters: dict[str, Any] | None = None) -> bool:
    built = mission(objective(event="question-answered", where=where))
    predicate = compile_where(built.objectives[0].where)
    return predicate is None or predicate(data, HISTORY, parameters or {})


@pytest.mark.parametrize(
    ("where", "matching", "other"),
    [
        ({"language": "python"}, "python", "cpp"),
        ({"language": {"in": ["python", "es"]}}, "es", "cpp"),
        ({"language": {"not_in": ["python", "es"]}}, "cpp", "es"),
    ],
)
def test_texts_are_compared_with_scalars_and_lists(where: dict[str, Any], matching: str, other: str) -> None:
    assert holds(where, {"language": matching})
    assert not holds(where, {"language": other})


@pytest.mark.parametrize(
    ("operator", "matching", "other"),
    [("gt", [4, 5], [2, 3]), ("gte", [3, 4], [1, 2]), ("lt", [1, 2], [3, 4]), ("lte", [2, 3], [4, 5])],
)
def test_numbers_are_compared_by_order(operator: str, matching: list[int], other: list[int]) -> None:
    built = mission(objective(where={"hearts_lost": {operator: 3}}))
    predicate = compile_where(built.objectives[0].where)
    assert predicate is not None
    assert all(predicate({"hearts_lost": number}, {}, {}) for number in matching)
    assert not any(predicate({"hearts_lost": number}, {}, {}) for number in other)


@pytest.mark.parametrize("condition", ["keyword", {"in": ["keyword"]}, {"not_in": ["keyword"]}, {"exists": True}])
def test_an_absent_field_fails_every_operator_but_exists_false(condition: Any) -> None:
    assert not holds({"concept_kind": condition}, {"concept_kind": None})
    assert not holds({"concept_kind": condition}, {})
    assert holds({"concept_kind": {"exists": False}}, {})


def test_exists_asks_whether_there_is_a_value() -> None:
    assert holds({"concept_kind": {"exists": True}}, {"concept_kind": "keyword"})
    assert not holds({"concept_kind": {"exists": False}}, {"concept_kind": "keyword"})


def test_all_conditions_must_hold() -> None:
    where = {"language": "python", "correct": True, "difficulty": {"in": ["easy", "medium"], "not_in": ["medium"]}}
    assert holds(where, {"language": "python", "correct": True, "difficulty": "easy"})
    for change in ({"language": "cpp"}, {"correct": False}, {"difficulty": "medium"}):
        assert not holds(where, {"language": "python", "correct": True, "difficulty": "easy", **change})


def test_facts_from_history_are_matched_beside_the_events_own_fields() -> None:
    assert holds({"correct": True, "history.open_mistake": True}, {"correct": True})
    assert not holds({"correct": True, "history.open_mistake": False}, {"correct": True})
    assert holds({"history.mistake_age_days": {"gte": 1, "lt": 2}}, {})
    assert not holds({"history.days_since_seen": {"gte": 0}}, {})


def test_parameters_are_looked_up_in_the_assignment() -> None:
    mine = {"current_chapter": "loops", "weak_topics": ["lists", "loops"]}
    assert holds({"chapter_id": "$current_chapter"}, {"chapter_id": "loops"}, mine)
    assert not holds({"chapter_id": "$current_chapter"}, {"chapter_id": "basics"}, mine)
    assert holds({"topic_id": {"in": "$weak_topics"}}, {"topic_id": "lists"}, mine)
    assert not holds({"topic_id": {"not_in": "$weak_topics"}}, {"topic_id": "lists"}, mine)


def test_a_parameter_without_a_value_matches_nothing() -> None:
    assert not holds({"chapter_id": "$current_chapter"}, {"chapter_id": "loops"}, {})
    assert not holds({"topic_id": {"not_in": "$weak_topics"}}, {"topic_id": "lists"}, {})


def test_no_condition_matches_everything() -> None:
    assert compile_where({}) is None


@pytest.mark.parametrize(
    ("condition", "matching", "other"),
    [
        ("python", ["es", "python"], ["es"]),
        ({"in": ["python", "cpp"]}, ["cpp", "es"], ["es"]),
        ({"not_in": ["python"]}, ["es"], ["es", "python"]),
        ({"not_in": ["python"]}, [], ["python"]),
        ({"exists": True}, ["es"], []),
        ({"exists": False}, [], ["es"]),
    ],
)
def test_a_fact_with_several_values_is_asked_about_its_members(
    condition: Any, matching: list[str], other: list[str]
) -> None:
    predicate = compile_where(mission(audience={"languages": condition}).audience, {"languages"})
    assert predicate is not None
    assert predicate({"languages": matching}, {}, {})
    assert not predicate({"languages": other}, {}, {})
