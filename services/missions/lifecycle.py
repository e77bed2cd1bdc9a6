"""The life of a mission version: draft -> published <-> paused -> ended; and what must be right before it goes a step further."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum

from .catalogue import check_between, parse_mission
from .checks import Place
from .definition import Mission
from .problems import Problem

DRAFT_NAME = "draft"
"""What problems of a draft name as their source."""


class MissionState(StrEnum):
    """Where a version stands. Only a published one is issued; assignments that exist go on in every state."""

    DRAFT = "draft"
    PUBLISHED = "published"
    PAUSED = "paused"
    ENDED = "ended"
    REPLACED = "replaced"
    """A newer version was published."""


class Action(StrEnum):
    """What was done to a mission, as its record of changes names it."""

    CREATE_DRAFT = "create_draft"
    CHANGE_DRAFT = "change_draft"
    DISCARD_DRAFT = "discard_draft"
    SCHEDULE = "schedule"
    PUBLISH = "publish"
    REPLACE = "replace"
    PAUSE = "pause"
    RESUME = "resume"
    END = "end"


class MoveRefused(Exception):
    """This step can't be taken from this state; the message says why and what can be done."""


_MOVES = {
    (Action.PAUSE, MissionState.PUBLISHED): MissionState.PAUSED,
    (Action.PAUSE, MissionState.PAUSED): MissionState.PAUSED,
    (Action.RESUME, MissionState.PAUSED): MissionState.PUBLISHED,
    (Action.RESUME, MissionState.PUBLISHED): MissionState.PUBLISHED,
    (Action.END, MissionState.PUBLISHED): MissionState.ENDED,
    (Action.END, MissionState.PAUSED): MissionState.ENDED,
    (Action.END, MissionState.ENDED): MissionState.ENDED,
}


def moved(state: MissionState, action: Action) -> MissionState:
    """The state of a published mission after pausing, resuming or ending it; the same one when it is there already.

    Raises `MoveRefused`.
    """
    after = _MOVES.get((action, state))
    if after is None:
        raise MoveRefused(
            f"the mission is {state}, so it can't {action}; an ended mission begins again with a new version: "
            "make a draft and publish it"
        )
    return after


def state_of_new_version(replaced: MissionState | None) -> MissionState:
    """The state that a version is published in: a pause holds the mission until somebody resumes it, whatever is published."""
    return MissionState.PAUSED if replaced is MissionState.PAUSED else MissionState.PUBLISHED


def check_draft(definition: object, others: Iterable[Mission]) -> tuple[Mission | None, list[Problem]]:
    """The mission of a draft, if it has the shape of one, and everything wrong with it beside `others`.

    `others` are the newest versions of all missions, and drafts of missions that have none. The version of a mission is
    counted when it is published, and the window of a season may still be open: it can be scheduled later.
    """
    place = Place(DRAFT_NAME, ())
    if not isinstance(definition, dict):
        return None, [place.problem("must be a JSON object: the definition of one mission")]
    if "version" in definition:
        return None, [place.at("version").problem("versions are counted when a mission is published; remove it")]
    mission, problems = parse_mission(definition, place)
    if mission is None:
        return None, problems
    if is_unscheduled(mission):
        problems = [problem for problem in problems if problem.parts not in {("opens_at",), ("closes_at",)}]
    if not problems:
        problems = _check_beside(mission, [other for other in others if other.id != mission.id], list(others))
    return mission, problems


def check_publishable(mission: Mission, published: Sequence[Mission], now: datetime) -> list[Problem]:
    """What keeps a draft without problems of its own from being issued at all, or breaks what is published."""
    place = Place(DRAFT_NAME, ())
    if is_unscheduled(mission):
        return [place.at("opens_at").problem("is missing; schedule the season before it is published")]
    if mission.closes_at is not None and mission.closes_at <= now:
        message = "is in the past, so nobody could ever complete this season; schedule it for later"
        return [place.at("closes_at").problem(message)]
    return _check_beside(mission, [other for other in published if other.id != mission.id], published)


def is_unscheduled(mission: Mission) -> bool:
    """Whether it is a season of which neither end is known yet."""
    return mission.period == "season" and mission.opens_at is None and mission.closes_at is None


def _check_beside(mission: Mission, others: Sequence[Mission], before: Sequence[Mission]) -> list[Problem]:
    """What is wrong with a mission beside others, else what it breaks there; `before` is what there is without it."""
    wrong_before = set(check_between([(other, Place(other.id, ())) for other in before]))
    named = [(other, Place(other.id, ())) for other in others]
    found = check_between([*named, (mission, Place(DRAFT_NAME, ()))])
    # A stand-in is published before those that name it.
    own = [problem for problem in found if problem.where == DRAFT_NAME and problem.parts != ("stand_in",)]
    return own or [
        Problem(DRAFT_NAME, "", f"this would break another mission: {problem}")
        for problem in found
        if problem.where != DRAFT_NAME and problem not in wrong_before
    ]
