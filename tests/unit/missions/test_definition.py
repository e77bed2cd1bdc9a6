"""Definitions are checked when they are loaded: each slip is an error that names its place and the nearest right word."""

from typing import Any

import pytest

from services.missions.catalogue import parse_catalogue
from services.missions.definition import Mission
from services.missions.problems import Problem
from tests.support.builders import mission, mission_data, objective

XP = "xp-earned"
QUESTION = "question-answered"


def problems_with(*objectives: dict[str, Any], **fields: Any) -> list[Problem]:
    _, problems = parse_catalogue({"missions": [mission_data(*objectives, **fields)]}, "spring.yaml")
    return problems


SLIPS: dict[str, tuple[dict[str, Any], str, str, str | None]] = {
    "unknown field": (
        {"objectives": [objective(event=XP, where={"xp_sorce": "lesson"})]},
        "objectives[0].where.xp_sorce",
        "no such field",
        "xp_source",
    ),
    "unknown operator": (
        {"objectives": [objective(event=XP, where={"amount": {"gtt": 5}})]},
        "objectives[0].where.amount.gtt",
        "no such key",
        "gt",
    ),
    "unknown event type": (
        {"objectives": [objective(event="xp-erned")]},
        "objectives[0].event",
        "no such event type",
        "learning.xp-earned.v1",
    ),
    "unknown mission type": ({"type": "dayly"}, "type", "Input should be", "daily"),
    "unknown key": ({"rewardz": []}, "rewardz", "no such key", "rewards"),
    "unknown measure": (
        {"objectives": [objective({"summ": "amount"}, event=XP)]},
        "objectives[0].measure",
        "Unknown measure",
        None,
    ),
    "history of an event that has none": (
        {"objectives": [objective(where={"history.open_mistake": True})]},
        "objectives[0].where.history.open_mistake",
        "no such field",
        None,
    ),
    "text for a number": (
        {"objectives": [objective(event=XP, where={"amount": {"gt": "10"}})]},
        "objectives[0].where.amount.gt",
        "does not fit: the field is integer",
        None,
    ),
    "number for a flag": (
        {"objectives": [objective(event=QUESTION, where={"correct": 1})]},
        "objectives[0].where.correct",
        "does not fit: the field is true or false",
        None,
    ),
    "order of texts": (
        {"objectives": [objective(where={"language": {"gt": "c"}})]},
        "objectives[0].where.language.gt",
        "language is text",
        None,
    ),
    "value outside a closed set": (
        {"objectives": [objective(event=QUESTION, where={"difficulty": {"in": ["medum"]}})]},
        "objectives[0].where.difficulty.in[0]",
        "never occurs",
        "medium",
    ),
    "scalar for in": (
        {"objectives": [objective(where={"language": {"in": "python"}})]},
        "objectives[0].where.language.in",
        "takes a list",
        None,
    ),
    "condition that never holds": (
        {"objectives": [objective(where={"accuracy": {"gt": 1}})]},
        "objectives[0].where.accuracy.gt",
        "can never hold: the field goes from 0 to 1",
        None,
    ),
    "sum of a fraction": (
        {"objectives": [objective({"sum": "accuracy"})]},
        "objectives[0].measure.sum",
        "no integer field",
        None,
    ),
    "sum of a misspelt field": (
        {"objectives": [objective({"sum": "amout"}, event=XP)]},
        "objectives[0].measure.sum",
        "no integer field",
        "amount",
    ),
    "target zero": ({"objectives": [objective(target=0)]}, "objectives[0].target", "greater than or equal to 1", None),
    "more needed than there is": ({"require": {"at_least": 2}}, "require.at_least", "asks for 2 of 1", None),
    "season without an end": (
        {"period": "season", "opens_at": "2026-12-01T00:00:00Z"},
        "closes_at",
        "a season needs opens_at and closes_at",
        None,
    ),
    "season that closes first": (
        {"period": "season", "opens_at": "2026-12-01T00:00:00Z", "closes_at": "2026-11-01T00:00:00Z"},
        "closes_at",
        "not after opens_at",
        None,
    ),
    "opening of a daily mission": ({"opens_at": "2026-12-01T00:00:00Z"}, "opens_at", "only a season has it", None),
    "negative reward": ({"rewards": [{"kind": "gems", "amount": -5}]}, "rewards[0].amount", "greater than", None),
    "unknown reward field": (
        {"rewards": [{"kind": "item", "item_id": "heart", "amout": 3}]},
        "rewards[0]",
        "no field amout",
        None,
    ),
    "unknown parameter": (
        {"objectives": [objective(where={"chapter_id": "$current_chaptr"})]},
        "objectives[0].where.chapter_id",
        "no such parameter",
        "current_chapter",
    ),
    "list parameter for equals": (
        {"objectives": [objective(event=QUESTION, where={"topic_id": "$weak_topics"})]},
        "objectives[0].where.topic_id",
        "takes a text",
        None,
    ),
    "parameter in an audience": ({"audience": {"language": "$language"}}, "audience.language", "write a value", None),
    "unknown audience fact": (
        {"audience": {"days_activ": {"gte": 2}}},
        "audience.days_activ",
        "no such field",
        "days_active",
    ),
    "unknown default parameter": ({"parameters": {"languge": "python"}}, "parameters.languge", "no such", "language"),
    "default of the wrong kind": (
        {"parameters": {"weak_topics": "loops"}},
        "parameters.weak_topics",
        "must be a list",
        None,
    ),
    "objective id given twice": (
        {"objectives": [objective(id="a"), objective(id="a")]},
        "objectives[1].id",
        "another objective has the id a",
        None,
    ),
    "more values than there are": (
        {"objectives": [objective({"distinct": "difficulty"}, 4, event=QUESTION)]},
        "objectives[0].target",
        "difficulty has 3 values",
        None,
    ),
    "more values than are let pass": (
        {"objectives": [objective({"distinct": "language"}, 3, where={"language": {"in": ["python", "cpp"]}})]},
        "objectives[0].target",
        "language has 2 values",
        None,
    ),
    "more members than are kept": (
        {"objectives": [objective({"distinct": "lesson_id"}, 201)]},
        "objectives[0].target",
        "at most 200 different values",
        None,
    ),
    "maximum above the bound": (
        {"objectives": [objective({"max": "chapter_progress"}, 2)]},
        "objectives[0].target",
        "chapter_progress is at most 1",
        None,
    ),
    "two days in a day": (
        {"objectives": [objective("consecutive_days", 2)]},
        "objectives[0].target",
        "the daily period has 1 days",
        None,
    ),
    "eight days in a week": (
        {"period": "weekly", "objectives": [objective("consecutive_days", 8)]},
        "objectives[0].target",
        "the weekly period has 7 days",
        None,
    ),
    "unknown field in break_on": (
        {
            "period": "weekly",
            "objectives": [objective({"consecutive_days": {"break_on": {"hearts_lst": {"gt": 0}}}}, 3)],
        },
        "objectives[0].measure.consecutive_days.break_on.hearts_lst",
        "no such field",
        "hearts_lost",
    ),
    "no reward": ({"rewards": []}, "rewards", "at least 1 item", None),
    "unknown required mission": (
        {"requires": ["mission-2"]},
        "requires[0]",
        "there is no mission mission-2",
        "mission-1",
    ),
    "mission that requires itself": ({"requires": ["mission-1"]}, "requires[0]", "neither could ever be issued", None),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_reported_at_its_place(slip: str) -> None:
    fields, path, message, suggestion = SLIPS[slip]
    (problem,) = problems_with(**fields)
    assert problem.path == f"missions[0].{path}"
    assert message in problem.message
    assert problem.suggestion == suggestion


def test_a_problem_reads_as_one_line() -> None:
    (problem,) = problems_with(objective(event=XP, where={"xp_sorce": "lesson"}))
    assert str(problem) == (
        "spring.yaml: missions[0].objectives[0].where.xp_sorce: no such field here; there are amount, xp_source, "
        "language. Did you mean xp_source?"
    )


def test_all_problems_of_all_missions_are_reported_at_once() -> None:
    bad = mission_data(objective(target=0), type="dayly")
    also_bad = mission_data(objective(event="nothing"), id="other")
    missions, problems = parse_catalogue({"missions": [bad, mission_data(id="good"), also_bad]}, "spring.yaml")
    assert [problem.path for problem in problems] == [
        "missions[0].type",
        "missions[0].objectives[0].target",
        "missions[2].objectives[0].event",
    ]
    assert [m.id for m in missions] == ["good"]


def test_one_version_twice_is_a_problem_and_two_versions_are_not() -> None:
    assert not parse_catalogue({"missions": [mission_data(), mission_data(version=2)]}, "f")[1]
    (problem,) = parse_catalogue({"missions": [mission_data(), mission_data()]}, "f")[1]
    assert problem.path == "missions[1].id"


def test_missions_that_require_each_other_are_a_problem() -> None:
    data = {"missions": [mission_data(id="a", requires=["b"]), mission_data(id="b", requires=["a"])]}
    assert [problem.path for problem in parse_catalogue(data, "f")[1]] == [
        "missions[0].requires[0]",
        "missions[1].requires[0]",
    ]


@pytest.mark.parametrize("data", [None, [], {"mission": []}, {"missions": {}}, "missions"])
def test_data_without_missions_is_one_clear_problem(data: object) -> None:
    missions, problems = parse_catalogue(data, "f")
    assert not missions
    assert problems[0].path == "missions"


@pytest.mark.parametrize("entry", [None, 3, "daily", [], {}])
def test_an_entry_of_any_kind_gives_problems_and_no_exception(entry: object) -> None:
    assert parse_catalogue({"missions": [entry]}, "f")[1]


def test_a_definition_survives_the_way_through_json() -> None:
    written = mission(
        objective(where={"language": {"in": ["python"], "exists": True}, "hearts_lost": 0}),
        objective({"consecutive_days": {"break_on": {"hearts_lost": {"gt": 0}}}}, 3, id="days"),
        period="weekly",
        require={"at_least": 1},
        audience={"languages": "python"},
    )
    data = written.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert data["objectives"][0]["where"] == {"language": {"in": ["python"], "exists": True}, "hearts_lost": 0}
    assert Mission.model_validate(data) == written


def test_a_published_definition_can_not_be_changed_in_memory() -> None:
    with pytest.raises(ValueError, match="frozen"):
        mission().id = "other"  # type: ignore[misc]  # the point of the test
