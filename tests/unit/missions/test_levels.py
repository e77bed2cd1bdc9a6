"""Levels: each takes more XP than the one before, and none is skipped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.missions.levels import LEVEL_STEP_XP, Level, level_of


@pytest.mark.parametrize(
    ("xp", "level"),
    [
        (0, Level(1, 0, 50)),
        (49, Level(1, 49, 50)),
        (50, Level(2, 0, 100)),
        (149, Level(2, 99, 100)),
        (150, Level(3, 0, 150)),
        (2250, Level(10, 0, 500)),
        (10**18, Level(200_000_000, 5_000_000_000, 10_000_000_000)),
    ],
)
def test_levels_by_example(xp: int, level: Level) -> None:
    assert level_of(xp) == level


@given(st.integers(0, 10**20))
def test_progress_is_below_the_target_and_one_xp_more_leads_at_most_to_the_next_level(xp: int) -> None:
    level, following = level_of(xp), level_of(xp + 1)
    assert 0 <= level.progress < level.target == LEVEL_STEP_XP * level.level
    done = sum(LEVEL_STEP_XP * n for n in range(1, level.level)) if level.level < 1000 else xp - level.progress
    assert done + level.progress == xp
    assert following == (
        Level(level.level, level.progress + 1, level.target)
        if level.progress + 1 < level.target
        else Level(level.level + 1, 0, level.target + LEVEL_STEP_XP)
    )


def test_less_than_no_xp_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        level_of(-1)
