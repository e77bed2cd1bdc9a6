"""Percentiles and goals of the time from an event to its progress."""

import pytest

from benchmarks.latency import AtRate, goal_lines


def at_rate(rate: int, *milliseconds: float, lost: int = 0) -> AtRate:
    return AtRate(rate, milliseconds, lost, 1.0, 0.0)


def test_percentiles_are_of_the_probes_that_were_seen() -> None:
    seen = at_rate(200, *map(float, range(1, 102)))

    assert [seen.percentile(percent) for percent in (50, 95, 99)] == pytest.approx([51, 96, 100])
    with pytest.raises(ValueError, match="two probes"):
        at_rate(200, 1.0).percentile(50)


def test_goals_are_asked_at_their_rate_alone() -> None:
    assert goal_lines([at_rate(200, 900, 900), at_rate(2000, 20, 30)]) == [
        "goal visible-p50-at-2000: 25 ms (< 50 ms) met",
        "goal visible-p99-at-2000: 30 ms (< 250 ms) met",
    ]


def test_a_probe_that_was_never_seen_is_no_goal_met() -> None:
    assert all(line.endswith("not met") for line in goal_lines([at_rate(2000, 20, 30, lost=1)]))
