"""Reads and writes users in one transaction: their states, question rows, assignments and the messages that tell of them."""

import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import asyncpg
import msgspec
from msgspec.structs import asdict

from services.missions.announcements import Announcement
from services.missions.periods import DAILY
from services.missions.state import Assignment, QuestionRecord, Status, UserState, encode_state

from .columns import numbers, optional_numbers, optional_texts, texts
from .connection import Connection
from .outbox import OutboxMessage, PartitionOf, insert_outbox, message_of
from .queries import queries
from .states import load_states, states_of

_SQL = queries("batch")

EXPIRED_LOOKBACK = timedelta(days=60)
"""How far back a reload looks for assignments that the sweep has ended; longer than any assignment stays in a state after its end."""


class UserChange(msgspec.Struct, gc=False):
    """What a transaction changes of one user. Saving gives the state its new version and stamp."""

    state: UserState
    state_changed: bool
    version_before: int
    """As it was read; 0 = the user is new to the ledger."""
    stamp_before: int
    issued: list[Assignment] = []
    completed: list[Assignment] = []
    answered: list[tuple[QuestionRecord, int]] = []
    """Question rows with the number of answers that they had when they were read (0 = no row)."""
    forgotten: list[Assignment] = []
    """Ended assignments that left the state; the rows of those still open keep the progress that they had reached."""
    announcements: list[Announcement] = []
    encoded: bytes = b""
    """The state as it was saved, so that the projection need not encode it again."""


class _Unfit(Exception):
    """Rows of these users, other than the state's own, are not as they had been read."""

    def __init__(self, users: set[str]) -> None:
        super().__init__(f"rows of {len(users)} users were changed by another writer")
        self.users = users


class UserWriter:
    """The statements that change users, inside a transaction that the caller holds open.

    Every transaction takes its row locks in one order (users by id, then questions, then assignments), so that writers which meet
    in the same users do not block each other for good.
    """

    def __init__(self, connection: Connection, partition_of: PartitionOf) -> None:
        self._connection = connection
        self._partition_of = partition_of

    async def load_users(self, user_ids: Iterable[str]) -> dict[str, UserState]:
        """States of the users that the ledger knows."""
        return await load_states(self._connection, user_ids)

    async def lock_users(self, user_ids: Iterable[str], now: datetime) -> dict[str, UserState]:
        """As `load_users`, locked, and with the assignments marked that the sweep has expired meanwhile."""
        wanted = texts(sorted(user_ids))
        states = states_of(await self._connection.fetch(_SQL["lock_users"], wanted))
        for row in await self._connection.fetch(_SQL["ended_assignments"], wanted, now - EXPIRED_LOOKBACK):
            if row[0] in states:
                for assignment in states[row[0]].assignments:
                    if assignment.assignment_id == row[1]:
                        assignment.status = Status.EXPIRED
        return states

    async def lock_users_at_once(self, user_ids: Iterable[str], now: datetime) -> dict[str, UserState] | None:
        """As `lock_users`, without waiting; None when another transaction holds one of the rows. For a transaction that holds
        locks already: to wait for more could cross the order in which another one takes them."""
        try:
            async with self.savepoint():
                wanted = sorted(user_ids)
                await self._connection.fetch(_SQL["lock_users_at_once"], texts(wanted))
                return await self.lock_users(wanted, now)
        except asyncpg.LockNotAvailableError:
            return None

    async def moved(self, states: Sequence[UserState]) -> set[str]:
        """Those of these users, by id, whose row is no longer the state that was read."""
        if not states:
            return set()
        columns = (
            texts([s.user_id for s in states]),
            numbers([s.version for s in states]),
            numbers([s.stamp for s in states]),
        )
        return {row[0] for row in await self._connection.fetch(_SQL["moved_users"], *columns)}

    async def load_questions(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], QuestionRecord]:
        """What is known of these (user, question) pairs."""
        if not keys:
            return {}
        rows = await self._connection.fetch(
            _SQL["load_questions"], texts([user for user, _ in keys]), texts([question for _, question in keys])
        )
        return {(row[0], row[1]): QuestionRecord(*row) for row in rows}

    async def save(self, changes: Sequence[UserChange]) -> set[str]:
        """Writes the changes, in the order of user ids. Returns the users that are left out, since their rows are not as they
        had been read: nothing of theirs is written, all of the others' is. Decide them again on locked rows, or take all back."""
        ordered = sorted(changes, key=lambda change: change.state.user_id)
        left_out: set[str] = set()
        while ordered:
            try:
                async with self.savepoint():
                    return left_out | await self._save(ordered)
            except (
                _Unfit
            ) as unfit:  # rows behind the state's own were changed: take back what was written of these users
                left_out |= unfit.users
                ordered = [change for change in ordered if change.state.user_id not in unfit.users]
        return left_out

    async def _save(self, changes: Sequence[UserChange]) -> set[str]:
        left_out = await self._save_users([c for c in changes if c.state_changed])
        if left_out:
            changes = [c for c in changes if c.state.user_id not in left_out]
        unfit = await self._save_questions([pair for c in changes for pair in c.answered])
        unfit |= await self._save_assignments(changes)
        if unfit:
            raise _Unfit(unfit)
        await self.publish([message_of(a) for c in changes for a in c.announcements])
        return left_out

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What happens inside is taken back when it raises; the transaction goes on."""
        async with self._connection.transaction():
            yield

    async def _save_users(self, changes: Sequence[UserChange]) -> set[str]:
        for change in changes:
            change.state.version = change.version_before + 1
            change.state.stamp = random.getrandbits(63)
            change.encoded = encode_state(change.state)
        conflicts: set[str] = set()
        new = [c for c in changes if c.version_before == 0]
        if new:
            rows = await self._connection.fetch(_SQL["insert_users"], *_user_columns(new))
            if len(rows) < len(new):
                conflicts |= {c.state.user_id for c in new} - {row[0] for row in rows}
        known = [c for c in changes if c.version_before > 0]
        if known:
            rows = await self._connection.fetch(
                _SQL["update_users"], *_user_columns(known), numbers([c.stamp_before for c in known])
            )
            if len(rows) < len(known):
                conflicts |= {c.state.user_id for c in known} - {row[0] for row in rows}
        return conflicts

    async def _save_questions(self, answered: Sequence[tuple[QuestionRecord, int]]) -> set[str]:
        conflicts: set[str] = set()
        answered = sorted(answered, key=lambda pair: (pair[0].user_id, pair[0].question_id))
        new = [record for record, before in answered if before == 0]
        known = [(record, before) for record, before in answered if before > 0]
        if new:
            rows = await self._connection.fetch(_SQL["insert_questions"], *_question_columns(new))
            if len(rows) < len(new):
                conflicts |= {user for user, _ in {(r.user_id, r.question_id) for r in new} - {tuple(r) for r in rows}}
        if known:
            records = [record for record, _ in known]
            rows = await self._connection.fetch(
                _SQL["update_questions"], *_question_columns(records), numbers([before for _, before in known])
            )
            if len(rows) < len(known):
                conflicts |= {
                    user for user, _ in {(r.user_id, r.question_id) for r in records} - {tuple(r) for r in rows}
                }
        return conflicts

    async def _save_assignments(self, changes: Sequence[UserChange]) -> set[str]:
        issued = [(c.state.user_id, a) for c in changes for a in c.issued]
        if issued:
            await self._connection.execute(_SQL["insert_assignments"], *_issued_columns(issued))
        forgotten = [(c.state.user_id, a) for c in changes for a in c.forgotten if a.status is Status.IN_PROGRESS]
        if forgotten:
            await self._connection.execute(
                _SQL["keep_progress"],
                texts([user for user, _ in forgotten]),
                texts([a.mission_id for _, a in forgotten]),
                [a.starts_at for _, a in forgotten],
                texts([progress_json(a) for _, a in forgotten]),
            )
        completed = [(c.state.user_id, a) for c in changes for a in c.completed]
        if not completed:
            return set()
        rows = await self._connection.fetch(
            _SQL["complete_assignments"],
            texts([user for user, _ in completed]),
            texts([a.mission_id for _, a in completed]),
            [a.starts_at for _, a in completed],
            [a.completed_at for _, a in completed],
            [a.claimable_until for _, a in completed],
            texts([progress_json(a) for _, a in completed]),
        )
        if len(rows) == len(completed):
            return set()
        done = {tuple(row) for row in rows}
        return {user for user, a in completed if (user, a.mission_id) not in done}

    async def publish(self, messages: Sequence[OutboxMessage]) -> None:
        """Puts messages into the outbox, in this order."""
        await insert_outbox(self._connection, messages, self._partition_of)


def _user_columns(changes: Sequence[UserChange]) -> tuple[object, ...]:
    """Columns of `user_state` for `insert_users` and `update_users`."""
    states = [change.state for change in changes]
    return (
        texts([s.user_id for s in states]),
        numbers([s.version for s in states]),
        numbers([s.stamp for s in states]),
        [change.encoded for change in changes],
        [_next_issue_at(s) for s in states],
        optional_numbers([s.recent_days[-1] if s.recent_days else None for s in states]),
    )


def _next_issue_at(state: UserState) -> datetime | None:
    """The end of the newest day whose missions were issued."""
    newest = None
    for period in state.issued:
        if period.kind == DAILY and (newest is None or period.ends_at > newest):
            newest = period.ends_at
    return newest


def _issued_columns(issued: Sequence[tuple[str, Assignment]]) -> tuple[object, ...]:
    """Columns of `assignment` for `insert_assignments`."""
    return (
        texts([user for user, _ in issued]),
        texts([a.mission_id for _, a in issued]),
        [a.starts_at for _, a in issued],
        texts([a.assignment_id for _, a in issued]),
        numbers([a.mission_version for _, a in issued]),
        [a.expires_at for _, a in issued],
        optional_texts([fit_json(a) for _, a in issued]),
    )


def fit_json(assignment: Assignment) -> str | None:
    """How it was fitted to its user, as `assignment.fit` keeps it."""
    return msgspec.json.encode(asdict(assignment.fit)).decode() if assignment.fit is not None else None


def progress_json(assignment: Assignment) -> str:
    """Progress of each objective, as `assignment.progress` keeps it."""
    return msgspec.json.encode([o.progress for o in assignment.objectives]).decode()


def _question_columns(records: Sequence[QuestionRecord]) -> tuple[object, ...]:
    return (
        texts([r.user_id for r in records]),
        texts([r.question_id for r in records]),
        numbers([r.answers for r in records]),
        numbers([r.correct_answers for r in records]),
        numbers([int(r.last_correct) for r in records]),
        [r.last_answered_at for r in records],
        [r.mistake_since for r in records],
        [r.corrected_at for r in records],
        texts([r.topic_id for r in records]),
        texts([r.chapter_id for r in records]),
        texts([r.language for r in records]),
        texts(["{" + ",".join(map(str, r.recent_answers)) + "}" for r in records]),
    )
