"""Slips in `fit`, `otherwise` and `stand_in` are reported at their place, with what to do."""

from typing import Any

import pytest

from services.missions.catalogue import parse_catalogue
from services.missions.definition import Mission
from services.missions.problems import Problem
from tests.support.builders import mission, mission_data, objective


def problems_of(*missions: dict[str, Any]) -> list[Problem]:
    return parse_catalogue({"missions": list(missions)}, "spring.yaml")[1]


FIT = {"to": "open_mistakes"}
PRACTICE = mission_data(id="practice", stand_in=True)

SLIPS: dict[str, tuple[dict[str, Any], str, str, str | None]] = {
    "unknown fact": ({"fit": {"to": "open_mistake"}}, "fit.to", "no fact that a mission is fitted to", "open_mistakes"),
    "fact that counts nothing to do": ({"fit": {"to": "days_active"}}, "fit.to", "there are open_mistakes", None),
    "unknown key": ({"fit": {"to": "open_mistakes", "atleast": 2}}, "fit.atleast", "no such key", "at_least"),
    "least of nothing": (
        {"fit": {"to": "open_mistakes", "at_least": 0}},
        "fit.at_least",
        "greater than or equal to 1",
        None,
    ),
    "least above the target": (
        {"fit": {"to": "open_mistakes", "at_least": 2}},
        "fit.at_least",
        "is more than the target 1",
        None,
    ),
    "several objectives": (
        {"objectives": [objective(id="a"), objective(id="b")], "fit": FIT},
        "fit",
        "exactly one objective, and there are 2",
        None,
    ),
    "a measure that has no pieces": (
        {"objectives": [objective({"sum": "amount"}, 20, event="xp-earned")], "fit": FIT},
        "fit",
        "counts one by one",
        None,
    ),
    "a target too large to fit": (
        {"objectives": [objective(target=101)], "fit": FIT},
        "objectives[0].target",
        "at most 100",
        None,
    ),
    "a target that is never counted": (
        {"objectives": [objective(target=51)], "fit": {"to": "questions_seen"}},
        "objectives[0].target",
        "questions_seen is counted up to 50",
        None,
    ),
    "a title that would lie": (
        {"title": {"en": "Fix 5 mistakes"}, "objectives": [objective(target=5)], "fit": FIT},
        "title.en",
        "says 5, which is not true where a lower target fits; write {target}",
        None,
    ),
    "the target of several objectives": (
        {"title": {"en": "Do {target}"}, "objectives": [objective(id="a"), objective(id="b")]},
        "title.en",
        "{target} needs one objective",
        None,
    ),
    "otherwise of what always fits": ({"otherwise": "practice"}, "otherwise", "always fits", None),
    "otherwise of a once mission": (
        {"period": "once", "fit": FIT, "otherwise": "practice"},
        "otherwise",
        "the period is once",
        None,
    ),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_reported_at_its_place(slip: str) -> None:
    fields, path, message, suggestion = SLIPS[slip]
    (problem,) = problems_of(mission_data(**fields))
    assert problem.path == f"missions[0].{path}"
    assert message in problem.message
    assert problem.suggestion == suggestion


BETWEEN: dict[str, tuple[list[dict[str, Any]], str, str]] = {
    "an unknown stand-in": (
        [mission_data(fit=FIT, otherwise="practise"), mission_data(id="slot", fit=FIT, otherwise="practice"), PRACTICE],
        "missions[0].otherwise",
        "there is no mission practise. Did you mean practice?",
    ),
    "a mission that is issued by itself": (
        [mission_data(fit=FIT, otherwise="other"), mission_data(id="other")],
        "missions[0].otherwise",
        "other is issued by itself; choose a mission with stand_in: true",
    ),
    "another period": (
        [mission_data(period="weekly", fit=FIT, otherwise="practice"), PRACTICE],
        "missions[0].otherwise",
        "practice is daily, and this one weekly",
    ),
    "a stand-in that nobody names": ([mission_data(), PRACTICE], "missions[1].stand_in", "nobody would ever get it"),
    "a stand-in with an audience": (
        [mission_data(fit=FIT, otherwise="practice"), {**PRACTICE, "audience": {"days_active": {"gte": 2}}}],
        "missions[1].audience",
        "goes to whom the other mission is for",
    ),
    "a stand-in for a season": (
        [
            mission_data(
                period="season", opens_at="2026-12-01T00:00:00Z", closes_at="2026-12-24T00:00:00Z", stand_in=True
            )
        ],
        "missions[0].stand_in",
        "only daily and weekly",
    ),
}


@pytest.mark.parametrize("slip", BETWEEN)
def test_a_slip_between_missions_is_reported_at_its_place(slip: str) -> None:
    missions, path, message = BETWEEN[slip]
    (problem,) = problems_of(*missions)
    assert problem.path == path
    assert message in str(problem)


def test_stand_ins_that_lead_back_to_each_other_are_a_problem() -> None:
    one = {**PRACTICE, "id": "one", "fit": FIT, "otherwise": "two"}
    two = {**PRACTICE, "id": "two", "fit": FIT, "otherwise": "one"}
    assert [problem.path for problem in problems_of(mission_data(fit=FIT, otherwise="one"), one, two)] == [
        "missions[1].otherwise",
        "missions[2].otherwise",
    ]


def test_a_number_within_another_number_is_not_the_target() -> None:
    assert not problems_of(mission_data(objective(target=5), title={"en": "One of 15 for 2050"}, fit=FIT))


def test_a_fitted_definition_survives_the_way_through_json() -> None:
    written = mission(objective(target=5), fit={"to": "open_mistakes", "at_least": 2}, otherwise="practice")
    data = written.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert data["fit"] == {"to": "open_mistakes", "at_least": 2}
    assert Mission.model_validate(data) == written
