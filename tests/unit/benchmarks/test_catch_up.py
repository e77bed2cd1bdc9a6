"""Lag and memory over time become the figures that the goals ask for."""

import pytest

from benchmarks.catch_up import Course, Look, goal_lines, judge_backlog, judge_outage, slope


def looks(*seen: tuple[float, int, int], memory: float = 100.0) -> list[Look]:
    return [Look(at, published, applied, memory) for at, published, applied in seen]


def test_a_slope_is_how_fast_a_value_rises() -> None:
    assert slope(looks((0, 0, 0), (1, 0, 10), (3, 0, 30)), lambda look: look.applied) == pytest.approx(10)
    with pytest.raises(ValueError, match="two looks"):
        slope(looks((0, 0, 0)), lambda look: look.applied)


def test_a_lag_that_falls_by_two_arrival_rates_meets_the_goal() -> None:
    away = [(float(at), 100 * at, 100 * min(at, 10)) for at in range(21)]
    back = [(20.0 + at, 2000 + 100 * at, 1000 + 300 * at) for at in range(1, 6)]
    course = Course(looks(*away, *back), {"postgres away": 10.0, "postgres back": 20.0, "caught up": 25.0})

    found = judge_outage(course, rate=100)

    assert found["highest lag"] == 1000
    assert found["lag falls, in arrival rates"] == pytest.approx(2)
    assert goal_lines("outage", found) == ["goal catch-up-after-outage: 2.00 x (>= 2 x) met"]


def test_a_backlog_that_slows_down_does_not_meet_the_goal() -> None:
    steady = [(float(at), 1000, 100 * at) for at in range(6)]
    slower = [(5.0 + 2 * at, 1000, 500 + 100 * at) for at in range(1, 6)]
    course = Course(looks(*steady, *slower))

    found = judge_backlog(course)

    assert found["rate, last to second"] == pytest.approx(0.5)
    assert found["events/s, all of it"] == pytest.approx(900 / 14), "from the first look that saw something applied"
    assert goal_lines("backlog", found) == [
        "goal backlog-constant-rate: 0.50 x (>= 0.75 x) not met",
        "goal backlog-constant-memory: 1.00 x (<= 1.25 x) met",
    ]
