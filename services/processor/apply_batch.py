"""The one screen that orders every effect of a batch: ledger first, then projection, then the return that acknowledges it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import NoReturn

import structlog

from mission_events.times import record_time
from services.adapters import metrics
from services.adapters.kafka.records import Batch, Fenced, Halt
from services.adapters.kafka.settings import BATCH_RECORDS_MAX
from services.adapters.ledger.batch import (
    Advance,
    BatchLedger,
    BatchTransaction,
    LoggedEvent,
    Tally,
    lacks_event_log_day,
)
from services.adapters.ledger.connection import is_data_error, is_passing
from services.adapters.ledger.stops import StopReason
from services.adapters.projection import EncodedState, Projection, ProjectionUnavailable
from services.missions.catalogue import UnknownMission
from services.missions.progress import Outcome
from services.missions.state import UserState, encode_state
from services.missions.streaks import StreakSource
from services.operations.catalogue import LiveCatalogue

from .brake import Flood, on_probation
from .dead_letters import UNPROCESSABLE, keep_letters
from .decide_users import BatchDecision, DecisionFailed, Given, decide_users
from .decode_batch import Decoded, dead_letter, decode_batch, in_order
from .erased_users import ErasedUsers
from .observe import observe_decision, observe_part, observe_parts
from .parts import Part
from .positions import AppliedUpTo, KnownPositions, behind, lock_beginnings
from .retries import Retries
from .turns import Turns, Waiting, still_wanted
from .users_in_memory import UsersInMemory

USERS_IN_MEMORY_MAX = 50_000
"""Users whose states are kept in memory, unless set otherwise: some 4 KiB each."""

STEPS = ("fetched", "logged", "before_commit", "committed", "projected")
"""Places in a batch's way: taken from Kafka, its events logged, all written, committed in the ledger, told to the projection."""

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part and what its records are."""

    part: Part
    decoded: Decoded


@dataclass(frozen=True, slots=True)
class Applied:
    """What a committed transaction leaves to do: states for the projection, and versions that were no truth of the ledger."""

    store: list[EncodedState]
    discard: list[tuple[str, int]]
    states: Sequence[UserState] = ()
    """All states of the users, as they were committed."""


class ApplyBatch:
    """Applies batches of input partitions. Safe to run in many lanes and processes at once, and to be killed at any point."""

    def __init__(
        self,
        ledger: BatchLedger,
        projection: Projection,
        catalogue: LiveCatalogue,
        *,
        lanes_max: int,
        streak_source: StreakSource = StreakSource.UPSTREAM,
        users_in_memory_max: int = USERS_IN_MEMORY_MAX,
        records_max: int = BATCH_RECORDS_MAX,
        at_step: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """`records_max`: of several partitions in one transaction. `at_step` is called at each of `STEPS`, so that tests can stop or
        end there."""
        self._ledger = ledger
        self._projection = projection
        self._catalogue = catalogue
        self._streak_source = streak_source
        self._turns = Turns(self._apply_parts, records_max, lanes_max)
        self._users = UsersInMemory(users_in_memory_max)
        self._erased = ErasedUsers()
        self._positions = KnownPositions(ledger)
        self.retries = Retries()
        """Of batches that wait for a server, and of whoever else asks it."""
        self._at_step = at_step or _no_step

    async def __call__(self, batch: Batch) -> None:
        """Returns when every record of the batch has had its effect, once. Retries what passes by itself.

        What was applied before is not applied again: it only refreshes the projection, which a worker that was killed after
        its commit has not done. Raises `Fenced` when the ledger is behind the batch: it went back, and must be followed; and
        `Halt` before the first record of a flood of bad ones: what is before it is applied, and the ledger says that the
        partition is stopped.

        What waits meanwhile behind it and in other partitions is applied in one transaction with it, if nothing is wrong with any of it.
        """
        more = batch.more
        await self._turns.take(Part.of(batch), (lambda most: Part.of(more(most))) if more is not None else None)

    def forget_users(self) -> None:
        """Forgets the states that are kept in memory, when others begin to work on these users."""
        self._users.forget()

    async def _apply_parts(self, waiting: Sequence[Waiting]) -> None:
        """Applies parts in one transaction, or one by one."""
        if not (waiting := still_wanted(waiting)):
            return
        await self._at_step("fetched")
        started = monotonic()
        left = await self._leave_out_applied(waiting)
        together = len(left) > 1 and await self._apply_together([part for _, part in left])
        for each, part in left:
            if not together:
                try:
                    await self._apply_before_flood(part)
                except (Fenced, Halt) as error:
                    each.error = error
            each.done = True
        observe_parts([each.part for each in waiting if each.error is None], monotonic() - started)

    async def _leave_out_applied(self, waiting: Sequence[Waiting]) -> list[tuple[Waiting, Part]]:
        """Ends those that are behind what the ledger has lost, and leaves out what it has applied before, as every seek begins some records
        before the ledger's position: of that the projection is told again. Returns what is left to do of each; it may be offsets without a
        record."""
        parts = [each.part for each in waiting]
        positions = await self.retries.until_answered(lambda: self._positions.look(parts), partial(self._failed, parts))
        again: list[Part] = []
        left: list[tuple[Waiting, Part]] = []
        for each in waiting:
            part = each.part
            at = positions.get(part.partition, part.start)
            if at < part.start:
                each.error, each.done = behind(part, at), True
                continue
            if at > part.start:
                before, part = part.split(at)
                again.append(before)
            left.append((each, part))
        if again:
            await self._tell_again(again)
        for each, part in left:
            each.done = part.start == part.end
        return [(each, part) for each, part in left if not each.done]

    async def _tell_again(self, parts: Sequence[Part]) -> None:
        """The ledger has applied these parts, by an earlier delivery or a commit whose answer was lost: only the projection may lack it."""
        decoded = [await decode_batch(part.partition, part.records) for part in parts]
        users = sorted({logged.event.subject for each in decoded for logged in each.events})
        states = await self.retries.until_answered(lambda: self._ledger.load_users(users), partial(self._failed, parts))
        await self._project(Applied([(s.user_id, s.version, encode_state(s)) for s in states.values()], []))

    async def _apply_together(self, parts: Sequence[Part]) -> bool:
        """Applies parts of several partitions in one transaction. False, and nothing is done, when one of them has to go its own way."""
        try:
            await self._commit([await _piece(part) for part in parts])
        except (AppliedUpTo, Fenced, Flood, DecisionFailed, UnfitData):
            return False
        return True

    async def _commit(self, pieces: Sequence[Piece]) -> None:
        """Applies pieces in one transaction, and tells memory and projection."""
        applied = await self._persist(pieces)
        self._positions.moved([piece.part for piece in pieces])
        await self._at_step("committed")
        self._users.keep(applied.states)
        await self._project(applied)
        await self._at_step("projected")

    async def _apply_before_flood(self, part: Part) -> None:
        """Applies a part; where a flood of bad records begins in it, what is before that, and stops the partition there."""
        try:
            await self._apply(part)
        except Flood as flood:
            before, _ = part.split(flood.offset)
            if before.records:
                await self._apply_before_flood(before)
            await self._stop(part, before.end if before.records else part.start, flood)

    async def _stop(self, part: Part, position: int, flood: Flood) -> NoReturn:
        """Says in the ledger that the partition is stopped at this position; only an operator lets it go on."""

        async def stop() -> None:
            async with self._ledger.transaction() as transaction:
                if await transaction.open_position(part.partition, position) != position:
                    raise Fenced(f"{part.partition} moved away from {position}")
                of = transaction.of(part.partition)
                account = await of.letter_account()
                await of.save_brake(on_probation(account.brake, position))
                await of.stop_partition(StopReason.FLOOD, flood.detail, position)

        await self.retries.until_answered(stop, partial(self._failed, [part]))
        raise Halt(StopReason.FLOOD.line(*part.partition, flood.detail))

    async def _apply(self, part: Part) -> None:
        """Applies a part in one transaction; divides it where it was applied already, or can't be applied together."""
        try:
            await self._commit([await _piece(part)])
        except AppliedUpTo as known:
            before, after = part.split(known.position)
            await self._tell_again([before])
            if after.start < after.end:
                await self._apply(after)
        except (DecisionFailed, UnfitData) as error:
            await self._halve(part, error)

    def _failed(self, parts: Sequence[Part], error: Exception, seconds: float) -> None:
        """The ledger did not answer; when it does, it may have lost what it had last confirmed."""
        self._positions.forget()
        metrics.BATCH_RETRIES.labels(type(error).__name__).inc()
        names = ", ".join(str(part.partition) for part in parts)
        logger.warning("batch_retry", partition=names, error=repr(error), wait_seconds=seconds)

    async def _persist(self, pieces: Sequence[Piece]) -> Applied:
        """Tries the transaction until it is committed, whatever passes by itself in between."""
        tries = self.retries.begin()
        mend: Callable[[], Awaitable[None]] | None = None
        while True:
            try:
                if mend is not None:
                    await mend()
                applied = await self._transaction(pieces)
                tries.through()
                return applied
            except Exception as error:
                mend = None
                if is_data_error(error):
                    raise UnfitData(str(error)) from error
                if lacks_event_log_day(error):
                    days = sorted({e.event.time.date() for piece in pieces for e in piece.decoded.events})
                    mend = partial(self._ledger.ensure_days, days)
                elif isinstance(error, UnknownMission) or is_passing(error):
                    mend = self._catalogue.load if isinstance(error, UnknownMission) else None
                    self._failed([piece.part for piece in pieces], error, tries.seconds)
                    await tries.wait()
                else:
                    raise

    async def _halve(self, part: Part, error: Exception) -> None:
        """Finds the record that can't be applied; it alone becomes a dead letter, its neighbours count."""
        if len(part.records) > 1:
            for half in part.split(part.records[len(part.records) // 2].offset):
                await self._apply(half)
            return
        record = part.records[0]
        logger.error("record_unprocessable", partition=str(part.partition), offset=record.offset, exc_info=error)
        detail = f"The record is well-formed but can't be applied: {error}. Replay it when the cause is mended."
        letter = dead_letter(part.partition, record, UNPROCESSABLE, detail)
        with suppress(AppliedUpTo):  # its commit's answer was lost: the letter is kept
            await self._commit([Piece(part, Decoded(letters=[letter]))])

    async def _transaction(self, pieces: Sequence[Piece]) -> Applied:
        async with self._ledger.transaction() as transaction:
            await lock_beginnings(transaction, [piece.part for piece in pieces])
            if erased := await self._erased.look(transaction):
                pieces = [Piece(piece.part, piece.decoded.without(erased)) for piece in pieces]
            for part, decoded in ((piece.part, piece.decoded) for piece in pieces):
                await keep_letters(transaction, part.partition, part.start, part.end, part.records, decoded.letters)
            events = await transaction.log_events(in_order([piece.decoded.events for piece in pieces]))
            await self._at_step("logged")
            # Once for each event: what is decided again below reads the same answer.
            completions = await transaction.write_records(events)
            given = Given(self._catalogue.current(), completions, self._streak_source)
            cached = await self._load_cached({e.event.subject for e in events})
            decision, discard = await _decide_and_save(transaction, events, cached, given)
            outcomes = decision.outcomes([piece.part.partition for piece in pieces])
            advances = [_advance(piece, outcomes[piece.part.partition]) for piece in pieces]
            if not await transaction.advance_positions(advances):
                raise Fenced(f"{', '.join(str(p.part.partition) for p in pieces)} moved away under their locks")
            await self._at_step("before_commit")
        for piece, advance in zip(pieces, advances, strict=True):
            observe_part(piece.part.partition.topic, piece.decoded, advance.tally)
        observe_decision(decision, given.catalogue)
        return Applied(decision.for_projection, discard, decision.states)

    async def _load_cached(self, users: set[str]) -> dict[str, UserState]:
        """What memory knows of these users, and what the projection knows of the others."""
        found = self._users.take(users)
        others = [user for user in users if user not in found]
        if others:
            try:
                found |= await self._projection.load(others)
            except ProjectionUnavailable:
                metrics.PROJECTION_FAILURES.labels("processor").inc()
        return found

    async def _project(self, applied: Applied) -> None:
        try:
            await self._projection.discard(applied.discard)
            await self._projection.store_encoded(applied.store)
        except ProjectionUnavailable:
            self._projection.note_missed([user_id for user_id, _, _ in applied.store])
            metrics.PROJECTION_FAILURES.labels("processor").inc()


class UnfitData(Exception):
    """The ledger can't hold some value of this part."""


class _Contended(Exception):
    """Another lane holds a user that must be decided again."""


async def _decide_and_save(
    transaction: BatchTransaction, events: Sequence[LoggedEvent], cached: Mapping[str, UserState], given: Given
) -> tuple[BatchDecision, list[tuple[str, int]]]:
    """Decides on cached states, and writes. Users whose rows are not what was read are locked, loaded and decided again: also
    those whom the cached state left unchanged, since on the true one they might have changed."""
    versions = {user_id: state.version for user_id, state in cached.items()}
    decision = BatchDecision()
    discard: set[str] = set()
    try:
        async with transaction.savepoint():
            await decide_users(transaction, events, cached, given, decision)
            left = await transaction.moved([state for state in decision.unchanged if state.user_id in versions])
            left |= await transaction.save([c for c in decision.changes if c.state.user_id not in left])
            while left:
                discard |= left
                locked = await transaction.lock_users_at_once(left, datetime.now(UTC))
                if locked is None:
                    raise _Contended
                await decide_users(transaction, events, locked, given, decision, left)
                left = await transaction.save([c for c in decision.changes if c.state.user_id in left])
    except _Contended:
        users = {e.event.subject for e in events}
        discard |= users
        decision = await _decide_on_locked(transaction, events, users, given)
    metrics.CONFLICTS.inc(len(discard))
    return decision, [(user_id, versions[user_id]) for user_id in discard if user_id in versions]


async def _decide_on_locked(
    transaction: BatchTransaction, events: Sequence[LoggedEvent], users: set[str], given: Given
) -> BatchDecision:
    """Locks all users in one order, waits for whoever holds them, and decides: what another lane was first with is seen."""
    decision = BatchDecision()
    left = users
    while left:
        locked = await transaction.lock_users(left, datetime.now(UTC))
        await decide_users(transaction, events, locked, given, decision, left)
        # Left out are users whom another lane has created since: now there is a row to lock.
        left = await transaction.save([c for c in decision.changes if c.state.user_id in left])
    return decision


async def _piece(part: Part) -> Piece:
    return Piece(part, await decode_batch(part.partition, part.records))


async def _no_step(_name: str) -> None: ...


def _advance(piece: Piece, outcomes: Sequence[Outcome]) -> Advance:
    part, decoded = piece.part, piece.decoded
    tally = Tally(
        applied=outcomes.count(Outcome.APPLIED),
        unmatched=outcomes.count(Outcome.UNMATCHED) + decoded.erased,
        late=outcomes.count(Outcome.LATE),
        duplicate=len(decoded.events) - len(outcomes),
        dead_letter=len(decoded.letters),
        unknown=decoded.unknown,
        skipped=part.end - part.start - decoded.records,
    )
    newest = record_time(max((record.timestamp for record in part.records), default=0))
    return Advance(part.partition, part.start, part.end, tally, newest)
