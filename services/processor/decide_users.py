"""Runs the core's decision for every user of a batch and keeps what came of it, so that single users can be decided again."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from services.adapters.ledger.batch import BatchTransaction, LoggedEvent, PartitionKey
from services.adapters.ledger.writer import UserChange
from services.adapters.projection import EncodedState
from services.missions.announcements import assigned, completed
from services.missions.catalogue import Catalogue, UnknownMission
from services.missions.decide import Decision, decide
from services.missions.fields import QUESTION_ANSWERED
from services.missions.profile import Completed
from services.missions.progress import Outcome
from services.missions.state import QuestionRecord, UserState, encode_state
from services.missions.streaks import StreakSource, streak_updated

USERS_AT_A_STRETCH = 500
"""Users that are decided before others have a turn: some 20 ms, for each of the lanes."""


class DecisionFailed(Exception):
    """The core could not decide on some event of this batch."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the decisions of a batch rest on, beside events and states."""

    catalogue: Catalogue
    completions: Mapping[tuple[str, str], Completed]
    """Lessons, by (source, id), that completed a chapter or a unit for the first time."""
    streak_source: StreakSource


class _User(msgspec.Struct, gc=False):
    events: Sequence[LoggedEvent]
    decision: Decision
    change: UserChange | None
    show: bool


@dataclass(slots=True)
class BatchDecision:
    """What a batch decides, by user."""

    users: dict[str, _User] = field(default_factory=dict)

    @property
    def changes(self) -> list[UserChange]:
        """What must be written to the ledger."""
        return [user.change for user in self.users.values() if user.change is not None]

    @property
    def unchanged(self) -> list[UserState]:
        """States that the events left as they were."""
        return [u.decision.state for u in self.users.values() if not u.decision.changed]

    @property
    def states(self) -> list[UserState]:
        """The states of all users whom the ledger knows, as they are decided."""
        return [user.decision.state for user in self.users.values() if user.decision.state.version > 0]

    def outcomes(self, partitions: Sequence[PartitionKey]) -> Mapping[PartitionKey, list[Outcome]]:
        """What became of the events of each partition, in no order."""
        users = self.users.values()
        if len(partitions) == 1:
            return {partitions[0]: [outcome for user in users for outcome in user.decision.outcomes]}
        found: dict[PartitionKey, list[Outcome]] = {partition: [] for partition in partitions}
        for user in users:
            for logged, outcome in zip(user.events, user.decision.outcomes, strict=True):
                found[logged.topic, logged.partition].append(outcome)
        return found

    @property
    def for_projection(self) -> list[EncodedState]:
        """States that the projection lacks: changed ones, and those that had to be read from the ledger."""
        found = []
        for user in self.users.values():
            state, change = user.decision.state, user.change
            if user.show and state.version > 0:
                encoded = change.encoded if change is not None and change.state_changed else encode_state(state)
                found.append((state.user_id, state.version, encoded))
        return found

    def count_by_type(self, catalogue: Catalogue, what: str) -> Counter[str]:
        """Assignments `issued` or `completed`, by mission type."""
        missions = Counter(
            (assignment.mission_id, assignment.mission_version)
            for user in self.users.values()
            for assignment in getattr(user.decision, what)
        )
        types: Counter[str] = Counter()
        for mission, amount in missions.items():
            types[str(catalogue.get(*mission).mission.type)] += amount
        return types


async def decide_users(
    transaction: BatchTransaction,
    events: Sequence[LoggedEvent],
    known: Mapping[str, UserState],
    given: Given,
    into: BatchDecision,
    only: set[str] | None = None,
) -> None:
    """Decides all events, user by user and each user's in the given order, into `into`: on `known` states, and on the ledger's where
    they lack.

    With `only`, these users alone, on `known` rows of the ledger that the transaction has locked.

    Raises `DecisionFailed` when the core can't decide on some event, and `UnknownMission` when its catalogue is too old to.
    """
    by_user: dict[str, list[LoggedEvent]] = {}
    for event in events:
        user_id = event.event.subject
        if only is None or user_id in only:
            by_user.setdefault(user_id, []).append(event)
    if only is None:
        missing = [user for user in by_user if user not in known]
        loaded: Mapping[str, UserState] = await transaction.load_users(missing) if missing else {}
        states: Mapping[str, UserState] = {**known, **loaded}
    else:
        states = loaded = known
    await asyncio.sleep(0)
    questions = await _load_questions(transaction, by_user.values())
    for number, (user_id, user_events) in enumerate(by_user.items(), 1):
        if number % USERS_AT_A_STRETCH == 0:
            await asyncio.sleep(0)
        state = states.get(user_id) or UserState(user_id)
        into.users[user_id] = _decide_user(state, user_events, questions.get(user_id, {}), given, user_id in loaded)


async def _load_questions(
    transaction: BatchTransaction, groups: Iterable[Sequence[LoggedEvent]]
) -> dict[str, dict[str, QuestionRecord]]:
    keys = sorted(
        {
            (e.event.subject, e.event.fields["question_id"])
            for group in groups
            for e in group
            if e.event.type == QUESTION_ANSWERED
        }
    )
    found: dict[str, dict[str, QuestionRecord]] = {}
    if keys:
        for (user_id, question_id), record in (await transaction.load_questions(keys)).items():
            found.setdefault(user_id, {})[question_id] = record
    return found


def _decide_user(
    state: UserState,
    events: Sequence[LoggedEvent],
    questions: dict[str, QuestionRecord],
    given: Given,
    loaded: bool,
) -> _User:
    version, stamp = state.version, state.stamp
    catalogue = given.catalogue
    try:
        decision = decide(state, events, questions, catalogue, given.completions, given.streak_source)
    except UnknownMission:
        raise
    except Exception as error:
        raise DecisionFailed(f"user {state.user_id}: {type(error).__name__}: {error}") from error
    change = None
    if decision.changed or decision.answered:
        change = UserChange(
            decision.state,
            decision.changed,
            version,
            stamp,
            issued=decision.issued,
            completed=decision.completed,
            forgotten=decision.forgotten,
            answered=[
                (record, decision.answers_before[question_id]) for question_id, record in decision.answered.items()
            ],
        )
        if decision.issued or decision.completed or decision.streak_changes:
            change.announcements = [
                *(assigned(state.user_id, a, catalogue) for a in decision.issued),
                *(completed(state.user_id, a, catalogue) for a in decision.completed),
                *(streak_updated(state.user_id, told) for told in decision.streak_changes),
            ]
    return _User(events, decision, change, decision.changed or loaded)
