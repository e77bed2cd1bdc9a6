"""The fold that everything meets in: the events of one user, one after the other, onto the user's state."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec

from mission_events import Event

from . import history, profile, streaks, topics
from .catalogue import Catalogue
from .closing import forget_ended
from .conditions import NO_VALUES
from .fields import LESSON_COMPLETED, QUESTION_ANSWERED, SESSION_STARTED, STREAK_UPDATED
from .issuing import is_due, issue_due
from .periods import local_day
from .progress import Outcome, apply
from .state import Assignment, QuestionRecord, UserState
from .streaks import StreakChange, StreakSource

NO_COMPLETIONS: Mapping[tuple[str, str], profile.Completed] = {}


class RecordedEvent(Protocol):
    """An event and the timestamp of the record that brought it, aware and in UTC; whatever has both will do."""

    @property
    def event(self) -> Event:
        """The event, as decoded."""
        ...

    @property
    def recorded_at(self) -> datetime:
        """The record's Kafka timestamp."""
        ...


class Recorded(NamedTuple):
    """The plainest `RecordedEvent`."""

    event: Event
    recorded_at: datetime


class Decision(msgspec.Struct, gc=False):
    """What a batch of one user's events comes to."""

    state: UserState
    """The state that was given, changed in place."""
    changed: bool = False
    """Whether it must be saved."""
    issued: list[Assignment] = []
    completed: list[Assignment] = []
    """The assignments that these events completed."""
    forgotten: list[Assignment] = []
    """Ended assignments that left the state; the ledger's assignment rows still have them."""
    outcomes: list[Outcome] = []
    """One for each event, in order."""
    answered: dict[str, QuestionRecord] = {}
    """New records by question id."""
    answers_before: dict[str, int] = {}
    """`answers` of each record in `answered` before this batch; 0 = there was none."""
    streak_changes: list[StreakChange] = []
    """To be published, in this order; only where the streak is derived."""


def decide(
    state: UserState,
    events: Sequence[RecordedEvent],
    questions: Mapping[str, QuestionRecord],
    catalogue: Catalogue,
    completions: Mapping[tuple[str, str], profile.Completed] = NO_COMPLETIONS,
    streak_source: StreakSource = StreakSource.UPSTREAM,
) -> Decision:
    """Applies the events of one user in the given order; a batch comes to the same as its events one by one.

    Takes over `state` and changes it in place (but never `version` and `stamp`, which belong to the ledger); to decide
    again, decode it again. `questions` holds the records of the questions that the events answer, as far as they exist; it is left
    as it is. `completions` says which lessons, by (source, id) of their events, completed a chapter or a unit for the first
    time. A user who was erased stays so: no event matches. Raises `catalogue.UnknownMission` when the state holds an
    assignment of a version that this catalogue lacks.
    """
    decision = Decision(state)
    if state.erased:
        decision.outcomes = [Outcome.UNMATCHED] * len(events)
        return decision
    is_derived = streak_source is StreakSource.DERIVED
    for recorded in events:
        event = recorded.event
        event_type, at, data = event.type, event.time, event.fields
        if is_derived and streaks.is_foreign(event_type, event.source):
            decision.outcomes.append(Outcome.UNMATCHED)
            continue
        zones = state.zones
        if event_type == SESSION_STARTED and profile.observe_zone(state, data["timezone"], at):
            decision.changed = True
            if state.zones is not zones:
                streaks.observe_zone_change(state, at)
        recorded_at = recorded.recorded_at
        if is_due(state, at, catalogue):
            _issue(decision, at, catalogue, recorded_at)
        day = local_day(state.zones, at)
        if profile.observe(state, event_type, data, at, day):
            decision.changed = True
        if completions and event_type == LESSON_COMPLETED and (event.source, event.id) in completions:
            profile.observe_completed(state, completions[event.source, event.id])
            decision.changed = True
        if is_derived and event_type != STREAK_UPDATED:
            told = streaks.observe(state, event_type, data, day, recorded_at)
            if told is not None:
                decision.changed = True
                decision.streak_changes += told
        facts = _answer(decision, data, at, questions) if event_type == QUESTION_ANSWERED else NO_VALUES
        outcome, changed, completed = apply(state, event_type, data, at, recorded_at, facts, day, catalogue)
        decision.outcomes.append(outcome)
        if changed:
            decision.changed = True
            decision.completed += completed
    return decision


def issue_now(
    state: UserState,
    now: datetime,
    catalogue: Catalogue,
    zone: str | None = None,
    streak_source: StreakSource = StreakSource.UPSTREAM,
) -> Decision:
    """What `GET /missions` and the scheduler do: issues what is due at `now`, and forgets what is over.

    Where streaks are derived, it also tells of days that were missed meanwhile.

    `zone` is a client's word for its time zone, used while no session has told the user's. Takes over `state` like
    `decide`. Raises `periods.UnknownZone` for a name that is no IANA zone.
    """
    decision = Decision(state)
    if state.erased:
        return decision
    if zone is not None and profile.assume_zone(state, zone, now):
        decision.changed = True
        streaks.observe_zone_change(state, now)
    if is_due(state, now, catalogue):
        _issue(decision, now, catalogue, now)
    if streak_source is StreakSource.DERIVED and (told := streaks.pass_time(state, now)):
        decision.changed = True
        decision.streak_changes += told
    return decision


def _issue(decision: Decision, at: datetime, catalogue: Catalogue, recorded_at: datetime) -> None:
    """Issues, and clears the state of what is over: both happen about once a day."""
    issued = issue_due(decision.state, at, catalogue, recorded_at)
    if issued.changed:
        decision.changed = True
        decision.issued += issued.assignments
        decision.forgotten += forget_ended(decision.state, recorded_at, catalogue)


def _answer(
    decision: Decision, data: Mapping[str, Any], at: datetime, questions: Mapping[str, QuestionRecord]
) -> history.HistoryFacts:
    """Adds an answer to its question's record, and to what is known of the user's mistakes and topics."""
    state, question_id = decision.state, data["question_id"]
    before = decision.answered.get(question_id)
    if before is None:
        before = questions.get(question_id)
        decision.answers_before[question_id] = before.answers if before is not None else 0
    after, facts = history.answer(before, state.user_id, data, at, state.zones, state.weak_topics)
    decision.answered[question_id] = after
    if profile.observe_record(state, before, after):
        decision.changed = True
    if topics.observe_answer(state, data["topic_id"], data["correct"], at):
        decision.changed = True
    return facts
