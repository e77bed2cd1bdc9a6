"""What leaves a user's state: assignments that can neither change nor be shown any more, and markers of periods long over."""

from datetime import datetime, timedelta

from .catalogue import Catalogue
from .periods import DAILY, LATENESS_BOUND
from .state import Assignment, Status, UserState

SHOWN_AFTER_END = timedelta(hours=24)
"""How long `GET /missions` shows what has ended."""

KEPT_AFTER_END = LATENESS_BOUND + SHOWN_AFTER_END
"""How long after its end an expired assignment stays in the state."""

OVERTAKEN_MAX = timedelta(days=4)
"""How long after its end an assignment stays that is not completed and that no sweep has expired, and the marker of a period,
without which that period can no longer be issued. One input topic may lag behind another (a stuck partition over a long
weekend); its events are not late, since their own records' timestamps decide."""


def forget_ended(state: UserState, at: datetime, catalogue: Catalogue) -> list[Assignment]:
    """Takes out of the state, in place, what is over at the instant `at`; returns the assignments among it."""
    forgotten = [assignment for assignment in state.assignments if _is_over(assignment, at, catalogue)]
    if forgotten:
        gone = {assignment.assignment_id for assignment in forgotten}
        state.assignments = [kept for kept in state.assignments if kept.assignment_id not in gone]
    for period in [period for period in state.issued if period.ends_at + OVERTAKEN_MAX <= at]:
        state.issued.remove(period)
        # Without its marker the period, and any before it, must stay issued.
        if period.kind == DAILY:
            state.daily_closed_until = _later(state.daily_closed_until, period.ends_at)
        else:
            state.weekly_closed_until = _later(state.weekly_closed_until, period.ends_at)
    return forgotten


def ended_at(assignment: Assignment) -> datetime | None:
    """From when on an assignment counts as ended for its user; None while that is not known.

    A claimed one ends with its period, or when it is claimed if that is later; a completed one when it can't be claimed
    any more; any other one with its period.
    """
    if assignment.status is Status.CLAIMED:
        if assignment.claimed_at is None or assignment.expires_at is None:
            return assignment.claimed_at
        return max(assignment.claimed_at, assignment.expires_at)
    if assignment.status is Status.COMPLETED:
        return assignment.claimable_until
    return assignment.expires_at


def _is_over(assignment: Assignment, at: datetime, catalogue: Catalogue) -> bool:
    end = ended_at(assignment)
    if end is None:
        return False
    match assignment.status:
        case Status.IN_PROGRESS:
            return at >= end + OVERTAKEN_MAX
        case Status.EXPIRED:
            return at >= end + KEPT_AFTER_END
        case Status.COMPLETED:
            return at >= end + SHOWN_AFTER_END and not is_claimed_by_itself(assignment, catalogue)
        case Status.CLAIMED:
            return at >= end + SHOWN_AFTER_END


def is_claimed_by_itself(assignment: Assignment, catalogue: Catalogue) -> bool:
    """Whether the mission's rewards are granted without a claim when the grace is over."""
    compiled = catalogue.find(assignment.mission_id, assignment.mission_version)
    return compiled is None or compiled.mission.claim.then == "auto_claim"


def _later(one: datetime | None, other: datetime) -> datetime:
    return other if one is None or one < other else one
