"""What the system knows of a user beyond missions: zone, active days, languages, chapter, streak. Facts come from events.

Each function returns whether it changed the state, and changes it only when a fact really changed: a change costs a ledger row.
"""

from bisect import insort
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from mission_events.codec import MAX_BEHIND

from .fields import ITEM_USED, LESSON_COMPLETED, QUESTION_ANSWERED, QUESTIONS_SEEN_MAX, STREAK_UPDATED
from .periods import DAILY, UNKNOWN_ZONE, WEEKLY, change_zone, local_day
from .state import QuestionRecord, UserState

RECENT_DAYS_MAX = MAX_BEHIND.days + 2
"""Active days that are remembered one by one: those that an event of the greatest age can still be about, with a
day to each side for zones and clocks."""

LANGUAGES_MAX = 32
"""Most languages remembered of one user; nobody learns more, and a faulty client must not fill the state."""

FRESHNESS = timedelta(hours=1)
"""The time of a fact that stayed the same is renewed when it is older than this, not at each event. So for at most an hour an
overtaken event with an older fact may be taken for news."""

QUARTER_SECONDS = 15 * 60
"""Midnights of all zones fall on quarters of an hour, so mistakes counted by them can be told apart by day in any zone."""

MISTAKE_QUARTERS = 4 * 24 * 4
"""How far back from the newest open mistake they are counted by the quarter: four days, for yesterday's of a period that may still be
issued a day after its end."""

STREAK_FREEZE = "streak_freeze"
"""The `item_type` of what keeps a streak over a missed day."""


class Completed(NamedTuple):
    """How many chapters and units a lesson completed that its user had not completed before."""

    chapters: int
    units: int


NOTHING_COMPLETED = Completed(0, 0)


def observe_zone(state: UserState, zone: str, at: datetime) -> bool:
    """A session told the user's zone; news that is older than what is known is ignored."""
    if state.zone_known_at is not None and at <= state.zone_known_at:
        return False
    if not state.zones or state.zones[-1].zone != zone:
        _move_to(state, zone, at)
    elif state.zone_known_at is not None and at - state.zone_known_at < FRESHNESS:
        return False
    state.zone_known_at = at
    return True


def assume_zone(state: UserState, zone: str, at: datetime) -> bool:
    """Takes a client's word for the zone while no session has told it."""
    if state.zone_known_at is not None or (state.zones and state.zones[-1].zone == zone):
        return False
    return _move_to(state, zone, at)


def _move_to(state: UserState, zone: str, at: datetime) -> bool:
    zones = change_zone(state.zones, zone, at, _issued_until(state, DAILY), _issued_until(state, WEEKLY))
    if zones == state.zones:
        return False
    state.zones = zones
    return True


def _issued_until(state: UserState, kind: str) -> datetime | None:
    return max((period.ends_at for period in state.issued if period.kind == kind), default=None)


def observe(state: UserState, event_type: str, data: Mapping[str, Any], at: datetime, day: int) -> bool:
    """Takes over what an event tells, other than the zone; `day` is its local day."""
    if event_type == STREAK_UPDATED:
        return _observe_streak(state, data)  # published at night too: no sign that the user was active
    changed = _observe_day(state, day)
    if event_type == LESSON_COMPLETED:
        changed = _observe_lesson(state, data, at) or changed
    elif event_type == QUESTION_ANSWERED and data["language"] not in state.languages:
        changed = _observe_language(state, data["language"]) or changed
    elif event_type == ITEM_USED and data["item_type"] == STREAK_FREEZE:
        state.freezes_used += data["quantity"]
        changed = True
    return changed


def observe_completed(state: UserState, completed: Completed) -> None:
    """Counts what a lesson completed; the ledger knows what is new."""
    state.chapters_completed += completed.chapters
    state.units_completed += completed.units


def observe_record(state: UserState, before: QuestionRecord | None, after: QuestionRecord) -> bool:
    """Takes over what an answer made of a question's record."""
    changed = False
    if before is None and state.questions_seen < QUESTIONS_SEEN_MAX:
        state.questions_seen += 1
        changed = True
    was_open_since = before.mistake_since if before is not None else None
    if after.mistake_since != was_open_since:
        if was_open_since is not None:
            state.open_mistakes = max(state.open_mistakes - 1, 0)
            _count_mistake(state.mistake_quarters, was_open_since, -1)
        if after.mistake_since is not None:
            state.open_mistakes += 1
            _count_mistake(state.mistake_quarters, after.mistake_since, 1)
        changed = True
    return changed


def _count_mistake(quarters: dict[int, int], since: datetime, change: int) -> None:
    quarter = int(since.timestamp()) // QUARTER_SECONDS
    if quarter in quarters:
        quarters[quarter] += change
        if not quarters[quarter]:
            del quarters[quarter]
    elif change > 0:
        quarters[quarter] = change
        oldest = max(quarters) - MISTAKE_QUARTERS
        for old in [old for old in quarters if old < oldest]:
            del quarters[old]


def _mistakes_of(state: UserState, day: int) -> int:
    """Open mistakes made on a local day of the last four."""
    return sum(
        count
        for quarter, count in state.mistake_quarters.items()
        if local_day(state.zones, datetime.fromtimestamp(quarter * QUARTER_SECONDS, UTC)) == day
    )


def _observe_day(state: UserState, day: int) -> bool:
    days = state.recent_days
    if days:
        newest = days[-1]
        if day == newest or day in days or day <= newest - RECENT_DAYS_MAX:
            return False
        insort(days, day)
        while days[0] <= days[-1] - RECENT_DAYS_MAX:
            del days[0]
    else:
        state.recent_days = [day]
    state.days_active += 1
    return True


def _observe_language(state: UserState, language: str) -> bool:
    if language in state.languages or len(state.languages) >= LANGUAGES_MAX:
        return False
    insort(state.languages, language)
    return True


def _observe_lesson(state: UserState, data: Mapping[str, Any], at: datetime) -> bool:
    language, chapter = data["language"], data["chapter_id"]
    changed = _observe_language(state, language)
    known_at = state.learned_at
    if known_at is not None:
        if at <= known_at:
            return changed
        if state.language == language and state.chapter == chapter and at - known_at < FRESHNESS:
            return changed
    state.language, state.chapter, state.learned_at = language, chapter, at
    return True


def _observe_streak(state: UserState, data: Mapping[str, Any]) -> bool:
    """The newest day wins; of several updates about one day, the longest streak: a repair comes after the break."""
    day, days = data["day"], data["days"]
    is_longest: bool = days > state.streak_longest
    if is_longest:
        state.streak_longest = days
    if state.streak_day is not None and (day, days) <= (state.streak_day, state.streak):
        return is_longest
    state.streak_day, state.streak = day, days
    return True


def facts(state: UserState, day: int) -> dict[str, Any]:
    """What `audience` may ask, as of the local day that a period starts on; absent facts are None.

    `days_active` counts the active days before that day, and the day itself whether or not an event came yet: so it is
    the same whoever issues.
    """
    return {
        "days_active": state.days_active - sum(1 for recent in state.recent_days if recent >= day) + 1,
        "languages": state.languages,
        "language": state.language,
        "chapter": state.chapter,
        "open_mistakes": state.open_mistakes,
        "mistakes_yesterday": _mistakes_of(state, day - 1),
        "questions_seen": state.questions_seen,
        "current_streak": state.streak,
        "chapters_completed": state.chapters_completed,
        "units_completed": state.units_completed,
        "zone": state.zones[-1].zone if state.zones else UNKNOWN_ZONE,
    }


def parameters(state: UserState) -> dict[str, Any]:
    """Values of the `$name` operands for this user; those that nothing is known of are absent."""
    known = {"current_chapter": state.chapter, "language": state.language, "weak_topics": state.weak_topics}
    return {name: value for name, value in known.items() if value}
