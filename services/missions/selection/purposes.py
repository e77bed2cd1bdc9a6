"""What a client may ask questions for."""

from enum import StrEnum
from typing import NamedTuple

COUNT_MAX = 50
"""Most questions in one answer: two sittings. Whoever wants more asks again, and gets what fits by then."""

_MISSION_PREFIX = "mission:"


class PurposeKind(StrEnum):
    """Which reasons may fill an answer."""

    ANY = "any"
    """All of them: missions, mistakes, reviews, then the current chapter."""
    MISSION = "mission"
    MISTAKES = "mistakes"
    REVIEW = "review"
    CHAPTER = "chapter"


class Purpose(NamedTuple):
    """What the questions are for; with `assignment_id` for one mission alone."""

    kind: PurposeKind = PurposeKind.ANY
    assignment_id: str | None = None


class UnknownPurpose(ValueError):
    """A purpose that there is not, or that names no assignment of the user; the message says what there is."""


def parse_purpose(text: str | None) -> Purpose:
    """`mistakes`, `review`, `chapter`, `mission` or `mission:<assignment_id>`; None = any. Raises `UnknownPurpose`."""
    if text is None:
        return Purpose()
    if text.startswith(_MISSION_PREFIX) and len(text) > len(_MISSION_PREFIX):
        return Purpose(PurposeKind.MISSION, text.removeprefix(_MISSION_PREFIX))
    try:
        return Purpose(PurposeKind(text))
    except ValueError:
        known = ", ".join(kind for kind in PurposeKind)
        raise UnknownPurpose(f"{text!r} is no purpose; there are {known} and mission:<assignment_id>") from None
