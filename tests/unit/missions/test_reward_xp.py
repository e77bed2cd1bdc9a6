"""XP from rewards feeds no mission by itself, only one that speaks of the source."""

import pytest

from tests.support.builders import catalogue, mission, objective, play, recorded, statuses, xp

SUM = {"sum": "amount"}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, 0),
        ({"amount": {"gte": 1}}, 0),
        ({"xp_source": {"not_in": ["mission_reward"]}}, 0),
        ({"xp_source": "mission_reward"}, 7),
        ({"xp_source": {"in": ["lesson", "mission_reward"]}}, 7),
        ({"xp_source": {"exists": True}}, 7),
    ],
)
def test_xp_from_rewards(where: dict[str, object], expected: int) -> None:
    known = catalogue(mission(objective(SUM, 100, event="xp-earned", where=where)))
    decision = play(known, [recorded(xp(7, xp_source="mission_reward"))])
    assert statuses(decision.state) == {"mission-1": ("IN_PROGRESS", [expected])}


@pytest.mark.parametrize("source", ["lesson", "practice", "streak_repair", "challenge", "other"])
def test_all_other_xp_counts(source: str) -> None:
    known = catalogue(mission(objective(SUM, 100, event="xp-earned")))
    decision = play(known, [recorded(xp(7, xp_source=source))])
    assert statuses(decision.state) == {"mission-1": ("IN_PROGRESS", [7])}
