"""The claim of a reward: one transaction turns COMPLETED into CLAIMED, records the grant, and puts the event into the outbox."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from weakref import WeakValueDictionary

import msgspec

from mission_events.times import format_time
from services.adapters.deadline import within
from services.adapters.ledger.connection import is_passing
from services.adapters.ledger.users import Grant, LedgerInconsistent, StoredAnswer, Users, UserTransaction
from services.adapters.ledger.writer import UserChange
from services.adapters.logs import get_logger
from services.adapters.metrics import CLAIMS, PROJECTION_FAILURES
from services.adapters.projection import Projection, ProjectionUnavailable
from services.missions.catalogue import Catalogue
from services.missions.claiming import AlreadyClaimed, Claimed, ClaimExpired, NotCompleted, Unknown, claim
from services.missions.state import UserState
from services.operations.refresh import FreshCatalogue

ATTEMPTS = 2
"""A claim is tried once more when the ledger fails. Also after a commit whose confirmation was lost: then the second attempt
finds the grant."""

ATTEMPT_SECONDS = 4.0
"""A transaction that takes longer is given up: the user has a phone in the hand, and claiming again is safe."""

STEPS = ("before_commit", "committed", "projected")
"""Places in a claim's way: all written, committed in the ledger, told to the projection; then the answer goes out."""

_log = get_logger(__name__)


class Refusal(StrEnum):
    """Why a claim grants nothing."""

    UNKNOWN = "unknown"
    NOT_COMPLETED = "not_completed"
    EXPIRED = "expired"
    KEY_REUSED = "key_reused"


@dataclass(frozen=True, slots=True)
class Refused:
    """No grant, and nothing was changed."""

    why: Refusal
    claimable_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Granted:
    """The grant as the JSON to answer: the same bytes for every claim of one assignment."""

    body: bytes
    is_new: bool


@dataclass(frozen=True, slots=True)
class ClaimCommand:
    """Who claims what. The user is the token's; `idempotency_key` is the caller's name for this one request."""

    user_id: str
    assignment_id: str
    idempotency_key: str | None = None

    @property
    def digest(self) -> str:
        """Tells a repeated request from another one under the same key."""
        return hashlib.sha256(self.assignment_id.encode()).hexdigest()


class LedgerUnavailable(Exception):
    """The ledger could not decide. Claiming again is safe: what was committed is found."""


class ClaimReward:
    """Grants rewards, at most once for each assignment."""

    def __init__(
        self,
        users: Users,
        projection: Projection,
        catalogue: FreshCatalogue,
        at_step: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """`at_step` is called at each of `STEPS`, so that tests can end there."""
        self._at_step = at_step or _no_step
        self._users = users
        self._projection = projection
        self._catalogue = catalogue
        # One claim of a user at a time: else one impatient user's taps would hold every connection, waiting for one row.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, command: ClaimCommand, now: datetime) -> Granted | Refused:
        """Grants the reward, finds the grant that there is, or says why there is none. Raises `LedgerUnavailable`."""
        result, state = await self._with_retry(command, now)
        await self._at_step("committed")
        if isinstance(result, Granted):
            CLAIMS.labels("granted" if result.is_new else "granted_before").inc()
        else:
            CLAIMS.labels(result.why).inc()
        if state is not None:
            try:
                await self._projection.store([state])
            except ProjectionUnavailable:
                PROJECTION_FAILURES.labels("claims").inc()
        await self._at_step("projected")
        return result

    async def _with_retry(self, command: ClaimCommand, now: datetime) -> tuple[Granted | Refused, UserState | None]:
        failure: BaseException | None = None
        turn = self._turns.setdefault(command.user_id, asyncio.Lock())
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await within(ATTEMPT_SECONDS, self._in_turn(turn, command, now))
            except Exception as error:
                if not is_passing(error):
                    raise
                _log.warning("claim_attempt_failed", attempt=attempt, error=repr(error))
                failure = error
        raise LedgerUnavailable from failure

    async def _in_turn(
        self, turn: asyncio.Lock, command: ClaimCommand, now: datetime
    ) -> tuple[Granted | Refused, UserState | None]:
        async with turn:
            return await self._catalogue.decide(lambda catalogue: self._once(command, now, catalogue))

    async def _once(
        self, command: ClaimCommand, now: datetime, catalogue: Catalogue
    ) -> tuple[Granted | Refused, UserState | None]:
        """One transaction. Also gives the user's state if the projection should have it."""
        async with self._users.transaction() as transaction:
            state = (await transaction.lock_users([command.user_id], now)).get(command.user_id)
            if state is None:
                return Refused(Refusal.UNKNOWN), None
            if command.idempotency_key is not None:
                answer = await transaction.answer_of(command.user_id, command.idempotency_key)
                if answer is not None:
                    repeated = answer.request_hash == command.digest
                    return Granted(answer.body, is_new=False) if repeated else Refused(Refusal.KEY_REUSED), None
            is_open = any(a.assignment_id == command.assignment_id for a in state.assignments)
            result = await _decide(transaction, state, command, now, catalogue)
            if isinstance(result, Granted) and command.idempotency_key is not None:
                # Refusals are not kept: they had no effect, and the mission may be completed before the next try.
                answer = StoredAnswer(command.digest, 200, result.body)
                await transaction.keep_answer(command.user_id, command.idempotency_key, answer)
            await self._at_step("before_commit")
        # A claim again is a sign that the projection may have missed the first one.
        return result, state if isinstance(result, Granted) and is_open else None


async def _no_step(_name: str) -> None: ...


async def _decide(
    transaction: UserTransaction, state: UserState, command: ClaimCommand, now: datetime, catalogue: Catalogue
) -> Granted | Refused:
    change = UserChange(state, state_changed=True, version_before=state.version, stamp_before=state.stamp)
    if all(a.assignment_id != command.assignment_id for a in state.assignments):
        ended = await transaction.assignment(command.user_id, command.assignment_id)
        if ended is None:
            return Refused(Refusal.UNKNOWN)
        state.assignments.append(ended)
    match claim(state, command.assignment_id, now, catalogue):
        case Claimed() as claimed:
            [grant] = await transaction.save_claims([(change, [claimed])])
            return Granted(_body(grant), is_new=True)
        case AlreadyClaimed(assignment):
            found = await transaction.grant_of(command.user_id, assignment.assignment_id)
            if found is None:
                raise LedgerInconsistent(f"assignment {assignment.assignment_id} is CLAIMED and has no grant")
            return Granted(_body(found), is_new=False)
        case ClaimExpired(assignment):
            return Refused(Refusal.EXPIRED, assignment.claimable_until)
        case NotCompleted():
            return Refused(Refusal.NOT_COMPLETED)
        case Unknown():
            return Refused(Refusal.UNKNOWN)


def _body(grant: Grant) -> bytes:
    return msgspec.json.encode(
        {
            "grant_id": grant.grant_id,
            "assignment_id": grant.assignment_id,
            "mission_id": grant.mission_id,
            "granted_at": format_time(grant.granted_at),
            "rewards": msgspec.Raw(grant.rewards.encode()),
        }
    )
