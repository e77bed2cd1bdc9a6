"""StreakService, derived: a user's streak from lessons and streak freezes, by local days, in whatever order the events arrive.

A streak is a run of study days (local days with a completed lesson). A day without one spends a streak freeze that was used
near it, which keeps the streak and adds nothing; without a freeze it is missed, and the streak breaks. Everything follows from
sets of days, so events come to the same in any order, as long as none is older than the greatest age that is accepted.
What changes is told by `learning.streak-updated` events of our own; missions and facts see those events and nothing else.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from mission_events import StreakUpdated, encode_event, topic_of
from mission_events.codec import MAX_BEHIND
from mission_events.missions import SOURCE

from .announcements import Announcement
from .fields import ITEM_USED, LESSON_COMPLETED, STREAK_UPDATED
from .ids import uuid5_text
from .periods import UNKNOWN_ZONE, daily_period, first_instant, local_day
from .profile import RECENT_DAYS_MAX, STREAK_FREEZE
from .state import StudyDays, UserState, ZoneSegment

REPAIR_DAYS = 2
"""How many days after a missed day a freeze can still repair it: who misses a Saturday has until Monday."""

FREEZE_AHEAD_DAYS = 2
"""How many days before a missed day a freeze can be used for it: on Friday for the weekend."""

FREEZES_PER_DAY_MAX = REPAIR_DAYS + 1 + FREEZE_AHEAD_DAYS
"""More freezes used on one day could cover nothing: these are all the days in their reach."""

MEMORY_DAYS = RECENT_DAYS_MAX + REPAIR_DAYS
"""Days kept one by one: those that an event of the greatest age can be about, and those that a freeze of then can repair."""

CLOCK_GRACE_DAYS = 1
"""The clock alone calls a day missed when the day after it is over too: late events mostly come within 24 hours, and what
is told can't be unsaid. A user's own next event tells it at once."""

TOLD_AGE_MAX = MAX_BEHIND - timedelta(days=1)
"""An event that we publish is dated back at most so far, or it would be refused for its age when it comes in again."""


class StreakSource(StrEnum):
    """Where streaks come from."""

    UPSTREAM = "upstream"
    """Another service publishes `learning.streak-updated`."""
    DERIVED = "derived"
    """We do, from lessons and freezes; those of other services are counted and change nothing."""


class Run(NamedTuple):
    """Study days without a missed day between them. `day` is the last day that it reached, those kept by a freeze included;
    `days` = 0 says that the streak broke on `day`."""

    day: int
    days: int


class StreakChange(NamedTuple):
    """A change of the streak to publish."""

    day: int
    days: int
    change: Literal["extended", "frozen", "repaired", "broken"]
    at: datetime
    """The start of `day`, and of a break its end: the same whichever event made it known."""


def is_foreign(event_type: str, source: str) -> bool:
    """Whether it is a streak event of another service, which moves nothing while streaks are derived."""
    return event_type == STREAK_UPDATED and source != SOURCE


def observe(
    state: UserState, event_type: str, data: Mapping[str, Any], day: int, recorded_at: datetime
) -> list[StreakChange] | None:
    """Takes in an event of the local day `day`, after `profile.observe`. None if the state stays as it is, else what to publish."""
    is_lesson = event_type == LESSON_COMPLETED
    is_freeze = event_type == ITEM_USED and data["item_type"] == STREAK_FREEZE
    if state.study is None and not (is_lesson or is_freeze):
        return None
    study = state.study or _begin(state, day)
    is_lesson = is_lesson and day >= study.settled_until and day not in study.days
    newest = max(day, state.recent_days[-1] if state.recent_days else day)
    if not (is_lesson or is_freeze or newest > study.as_of):
        return None
    told = _pass_days(state.zones, study, newest, recorded_at) if newest > study.as_of else []
    if is_lesson or is_freeze:
        before = runs(study)
        if is_lesson:
            insort(study.days, day)
        else:
            _add_freezes(study, day, data["quantity"])
        told += _changes(state.zones, before, runs(study), "repaired" if is_freeze else "extended", recorded_at)
    _settle(study)
    state.study = study
    return told


def pass_time(state: UserState, now: datetime) -> list[StreakChange]:
    """What the clock makes known to users who do nothing: missed days that are over by more than the grace."""
    study = state.study
    newest = local_day(state.zones, now) - CLOCK_GRACE_DAYS
    if study is None or newest <= study.as_of:
        return []
    as_of = study.as_of
    told = _pass_days(state.zones, study, newest, now)
    if told:
        _settle(study)
    else:
        study.as_of = as_of  # nothing to write down
    return told


def observe_zone_change(state: UserState, at: datetime) -> None:
    """Finds the dates that the newest zone leaves out for this user: nobody can miss a day that has hardly been."""
    study = state.study
    if study is None:
        return
    begins = state.zones[-1].daily_from
    last_before = local_day(state.zones, begins - timedelta(microseconds=1))
    first_whole = local_day(state.zones, daily_period(state.zones, begins).ends_at - timedelta(microseconds=1))
    today = local_day(state.zones, at)
    begun = [day for day in study.lost_days if day <= today]  # later ones were planned by a zone that never began
    study.lost_days = sorted({*begun, *range(last_before + 1, first_whole)})


def streak_updated(user_id: str, change: StreakChange) -> Announcement:
    """The event that tells a change. Its id follows from what it says, so that a replay says it under the same id."""
    day = date.fromordinal(change.day)
    event_id = uuid5_text(f"streak/{user_id}/{day.isoformat()}/{change.days}/{change.change}")
    data = StreakUpdated(days=change.days, day=day, change=change.change)
    payload = encode_event(data, event_id=event_id, source=SOURCE, subject=user_id, time=change.at)
    return Announcement(topic_of(STREAK_UPDATED).name, event_id, user_id, payload)


def runs(study: StudyDays) -> list[Run]:
    """The runs that are remembered, oldest first; if the newest one has broken, the break comes after it."""
    found: list[Run] = []
    last = Run(study.settled_until - 1, study.run)
    for reached in _walk(study, study.as_of + 1, study.freezes.copy()):
        if reached.days == 0:
            found.append(last)
        last = reached
    if last.days or found:
        found.append(last)
    return found


def _walk(study: StudyDays, until: int, unspent: list[int]) -> Iterator[Run]:
    """Goes through the days before `until`, and tells each one that moves the streak: to where, and how long it is then.

    A missed day spends the oldest freeze in whose reach it is, which leaves `unspent`; without one the streak breaks. While
    there is no streak nothing is spent, and the newest day can still be studied on.
    """
    length = study.run
    for day in range(study.settled_until, until):
        if day in study.days:
            length += 1
            yield Run(day, length)
        elif length and day < study.as_of and day not in study.lost_days:
            place = next((p for p, used_on in enumerate(unspent) if _reaches(used_on, day)), None)
            if place is None:
                length = 0
            else:
                del unspent[place]
            yield Run(day, length)


def _reaches(used_on: int, day: int) -> bool:
    return used_on - REPAIR_DAYS <= day <= used_on + FREEZE_AHEAD_DAYS


def _begin(state: UserState, day: int) -> StudyDays:
    """Goes on from what another service told last, if it told a streak; its days are not counted again."""
    if state.streak > 0 and state.streak_day is not None:
        after = state.streak_day.toordinal() + 1
        return StudyDays(settled_until=after, as_of=after, run=state.streak)
    newest = max([day, *state.recent_days[-1:]])
    return StudyDays(settled_until=newest - MEMORY_DAYS, as_of=newest)


def _add_freezes(study: StudyDays, day: int, quantity: int) -> None:
    if day + FREEZE_AHEAD_DAYS >= study.settled_until:
        place = bisect_left(study.freezes, day)
        used = study.freezes.count(day)
        study.freezes[place:place] = [day] * min(quantity, FREEZES_PER_DAY_MAX - used)


def _pass_days(
    zones: Sequence[ZoneSegment], study: StudyDays, newest: int, recorded_at: datetime
) -> list[StreakChange]:
    """The days before `newest` are over: those without a lesson are covered now, or missed."""
    before = runs(study)
    study.as_of = newest
    return _changes(zones, before, runs(study), "frozen", recorded_at)


def _changes(
    zones: Sequence[ZoneSegment],
    before: Sequence[Run],
    after: Sequence[Run],
    change: Literal["extended", "frozen", "repaired"],
    recorded_at: datetime,
) -> list[StreakChange]:
    """What is true after and was not before, oldest first. So a late lesson that lengthens an older run is told too."""
    told = []
    for run in after:
        if run in before:
            continue
        kind: Literal["extended", "frozen", "repaired", "broken"] = change
        if run.days == 0:
            kind = "broken"
        elif change == "repaired" and before and before[-1].days == run.days:
            kind = "frozen"  # it had not broken yet
        told.append(StreakChange(run.day, run.days, kind, _instant_of(zones, run, recorded_at)))
    return told


def _instant_of(zones: Sequence[ZoneSegment], run: Run, recorded_at: datetime) -> datetime:
    zone = zones[0].zone if zones else UNKNOWN_ZONE
    for segment in zones:
        if segment.daily_from <= recorded_at:
            zone = segment.zone
    instant = first_instant(zone, run.day + (run.days == 0))
    return min(max(instant, recorded_at - TOLD_AGE_MAX), recorded_at)


def _settle(study: StudyDays) -> None:
    """Folds days that no event can be about any more into `run`."""
    until = study.as_of - MEMORY_DAYS
    if until <= study.settled_until:
        return
    unspent = study.freezes.copy()
    for reached in _walk(study, until, unspent):
        study.run = reached.days
    study.freezes = [used_on for used_on in unspent if used_on + FREEZE_AHEAD_DAYS >= until]
    study.days = study.days[bisect_left(study.days, until) :]
    study.lost_days = [day for day in study.lost_days if day >= until]
    study.settled_until = until
