"""What the HTTP roles ask of the ledger about single users: states, past assignments, grants, and the claim's transaction."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime

import msgspec

from services.missions.announcements import granted
from services.missions.claiming import Claimed
from services.missions.claiming import Grant as MadeGrant
from services.missions.state import Assignment, Fit, ObjectiveState, Status, UserState

from .connection import Pool, Row
from .outbox import PartitionOf
from .queries import queries
from .records import Records, XpTotals
from .states import load_states
from .writer import UserChange, UserWriter

_SQL = queries("users")


@dataclass(frozen=True, slots=True)
class Grant:
    """A row of the grants: what a user is entitled to for one assignment. `rewards` is the JSON text as it was granted."""

    grant_id: str
    assignment_id: str
    mission_id: str
    granted_at: datetime
    rewards: str


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The answer that was given under an Idempotency-Key, and a digest of the request that it answered."""

    request_hash: str
    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class RewardTotal:
    """All that a user was ever granted of one thing. `what` is the item, badge or content; None for xp and gems."""

    kind: str
    what: str | None
    amount: int


Position = tuple[datetime, str]
"""The last row of a page, (instant, id): where the next page begins."""


class LedgerInconsistent(Exception):
    """Rows of one user contradict each other. Nothing that we do leads there: it ends the call, and is looked into."""


def grant_row(grant: MadeGrant) -> Grant:
    """The row of a grant that the core has made."""
    rewards = msgspec.json.encode(grant.rewards).decode()
    return Grant(grant.grant_id, grant.assignment_id, grant.mission_id, grant.granted_at, rewards)


class UserTransaction(UserWriter):
    """The statements of a claim, inside a transaction that the caller holds open. Lock the user first."""

    async def assignment(self, user_id: str, assignment_id: str) -> Assignment | None:
        """An assignment of this user, however old; None for one that is unknown or of somebody else."""
        key = _as_uuid(assignment_id)
        row = key and await self._connection.fetchrow(_SQL["assignment_of_user"], user_id, key)
        return _assignment(row) if row else None

    async def save_claims(self, claims: Sequence[tuple[UserChange, Sequence[Claimed]]]) -> list[Grant]:
        """Writes what the core has claimed: the users' states, the assignments, the grants, and the messages that tell of them.

        Raises `LedgerInconsistent` when a row says otherwise than the state, and then nothing may be kept.
        """
        for change, claimed in claims:
            change.announcements += [granted(change.state.user_id, each.grant) for each in claimed]
        conflicts = await self.save([change for change, _ in claims])
        made = [(change.state.user_id, each) for change, claimed in claims for each in claimed]
        rows = await self._connection.fetch(
            _SQL["claim_assignments"],
            [user_id for user_id, _ in made],
            [each.assignment.mission_id for _, each in made],
            [each.assignment.starts_at for _, each in made],
            [each.assignment.claimed_at for _, each in made],
        )
        if conflicts or len(rows) < len(made):
            raise LedgerInconsistent("an assignment is COMPLETED in its user's state only")
        grants = [grant_row(each.grant) for _, each in made]
        await self._connection.execute(
            _SQL["insert_grants"],
            [grant.assignment_id for grant in grants],
            [grant.grant_id for grant in grants],
            [user_id for user_id, _ in made],
            [grant.mission_id for grant in grants],
            [grant.granted_at for grant in grants],
            [grant.rewards for grant in grants],
        )
        return grants

    async def grant_of(self, user_id: str, assignment_id: str) -> Grant | None:
        """The grant of one of this user's assignments."""
        key = _as_uuid(assignment_id)
        row = key and await self._connection.fetchrow(_SQL["grant_of"], key, user_id)
        return Grant(*row) if row else None

    async def answer_of(self, user_id: str, idempotency_key: str) -> StoredAnswer | None:
        """What was answered under this key of this user."""
        row = await self._connection.fetchrow(_SQL["claim_answer"], user_id, idempotency_key)
        return StoredAnswer(row[0], row[1], row[2].encode()) if row else None

    async def keep_answer(self, user_id: str, idempotency_key: str, answer: StoredAnswer) -> None:
        """Keeps an answer under a key that has none yet."""
        await self._connection.execute(
            _SQL["insert_claim_answer"],
            user_id,
            idempotency_key,
            answer.request_hash,
            answer.status,
            answer.body.decode(),
        )


class Users:
    """Reads about users, and transactions that change one."""

    def __init__(self, pool: Pool, partition_of: PartitionOf) -> None:
        self._pool = pool
        self._records = Records(pool)
        self._partition_of = partition_of

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[UserTransaction]:
        """A transaction whose commit waits for the disk: what an answer tells a user is never taken back."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["commit_on_disk"])
            yield UserTransaction(connection, self._partition_of)

    async def load(self, user_ids: Sequence[str]) -> dict[str, UserState]:
        """States of the users that the ledger knows."""
        return await load_states(self._pool, user_ids)

    async def assignments(self, user_id: str, after: Position | None, limit: int) -> list[Assignment]:
        """A user's assignments, newest first. Progress of those IN_PROGRESS is in the user's state only."""
        starts_at, mission_id = after or (None, None)
        rows = await self._pool.fetch(_SQL["assignments_of_user"], user_id, starts_at, mission_id, limit)
        return [_assignment(row) for row in rows]

    async def grants(self, user_id: str, after: Position | None, limit: int) -> list[Grant]:
        """A user's grants, newest first. Raises ValueError when `after` holds no assignment's id."""
        granted_at, assignment_id = (after[0], uuid.UUID(after[1])) if after else (None, None)
        rows = await self._pool.fetch(_SQL["grants_of_user"], user_id, granted_at, assignment_id, limit)
        return [Grant(*row) for row in rows]

    async def reward_totals(self, user_id: str) -> list[RewardTotal]:
        """The sums over all of a user's grants."""
        return [RewardTotal(*row) for row in await self._pool.fetch(_SQL["reward_totals"], user_id)]

    async def xp_totals(self, user_id: str) -> XpTotals:
        """The sums over a user's XP log."""
        return await self._records.xp_totals(user_id)

    async def logged(self, events: Sequence[tuple[str, str, date]]) -> set[tuple[str, str]]:
        """Which of these events (source, id, UTC day of their time) are in the event log, so that their effect is durable."""
        rows = await self._pool.fetch(
            _SQL["logged_events"], [e[0] for e in events], [e[1] for e in events], [e[2] for e in events]
        )
        return {(row[0], row[1]) for row in rows}

    async def ping(self) -> None:
        """Answers when the ledger does."""
        await self._pool.fetchval(_SQL["ping"])


def _as_uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _assignment(row: Row) -> Assignment:
    progress = msgspec.json.decode(row["progress"]) if row["progress"] else []
    return Assignment(
        assignment_id=row["assignment_id"],
        mission_id=row["mission_id"],
        mission_version=row["mission_version"],
        starts_at=row["starts_at"],
        expires_at=row["expires_at"],
        status=Status(row["status"]),
        objectives=[ObjectiveState(progress=value) for value in progress],
        completed_at=row["completed_at"],
        claimable_until=row["claimable_until"],
        claimed_at=row["claimed_at"],
        fit=Fit(**msgspec.json.decode(row["fit"])) if row["fit"] else None,
    )
