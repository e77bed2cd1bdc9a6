"""A user's level, from total XP."""

from math import isqrt
from typing import NamedTuple

LEVEL_STEP_XP = 50
"""From level n to n + 1 it takes n times as much: 50 XP, then 100, then 150. So a first day of two or three lessons brings the
first new level, and later ones still come in days and not in months, however much somebody learns."""


class Level(NamedTuple):
    """A level, and how far it is to the next one: `progress` of the `target` XP that this level takes."""

    level: int
    progress: int
    target: int


def level_of(total_xp: int) -> Level:
    """The level of so much XP: the triangular formula, level n begins at `LEVEL_STEP_XP * n * (n - 1) / 2`.

    Raises ValueError for less than no XP.
    """
    if total_xp < 0:
        raise ValueError(f"total XP is {total_xp}; it can't be less than 0")
    steps = total_xp // LEVEL_STEP_XP
    level = (1 + isqrt(1 + 8 * steps)) // 2
    return Level(level, total_xp - LEVEL_STEP_XP * level * (level - 1) // 2, LEVEL_STEP_XP * level)
