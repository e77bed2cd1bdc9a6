"""What a batch relies on in the ledger, on Postgres in memory and on a real one."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from mission_events import Event
from services.adapters.ledger.batch import (
    Advance,
    BatchLedger,
    BatchTransaction,
    LoggedEvent,
    Tally,
    lacks_event_log_day,
)
from services.adapters.ledger.connection import Pool
from services.adapters.ledger.outbox import OutboxMessage
from services.adapters.ledger.relay_store import RelayStore
from services.adapters.ledger.users import Users
from services.adapters.ledger.writer import UserChange
from services.missions.state import Assignment, Status, UserState
from tests.support.builders import assignment
from tests.support.events import xp

NOW = datetime.now(UTC)
XP = "learning.xp-earned"


def one_partition(key: bytes | None) -> int:
    return 0


@pytest.fixture
def ledger(ledger_pool: Pool) -> BatchLedger:
    return BatchLedger(ledger_pool, one_partition)


def logged(offset: int, event_id: str, at: datetime = NOW, partition: int = 0) -> LoggedEvent:
    return LoggedEvent(Event(event_id, "test", f"{XP}.v1", "ann", at, xp(5).__dict__), XP, partition, offset, NOW)


async def log(transaction: BatchTransaction, *events: LoggedEvent) -> list[int]:
    """Logs them; the offsets of those that are new."""
    return [event.offset for event in await transaction.log_events(events)]


def advance(expected: int, to: int, tally: Tally, partition: int = 0) -> Advance:
    return Advance((XP, partition), expected, to, tally, NOW)


def change(
    user: str,
    version: int = 0,
    stamp: int = 0,
    *,
    issued: Assignment | None = None,
    completed: Assignment | None = None,
) -> UserChange:
    made = UserChange(UserState(user, version, stamp), True, version, stamp)
    made.issued, made.completed = [each for each in [issued] if each], [each for each in [completed] if each]
    return made


def message(number: int) -> OutboxMessage:
    message_id = f"00000000-0000-0000-0000-{number:012}"
    return OutboxMessage("missions.mission-completed", message_id, b"ann", b"%d" % number)


async def save(ledger: BatchLedger, *changes: UserChange) -> set[str]:
    async with ledger.transaction() as transaction:
        return await transaction.save(changes)


async def open_at(ledger: BatchLedger, offset: int) -> None:
    async with ledger.transaction() as transaction:
        assert await transaction.lock_positions([(XP, 0)]) == {}
        assert await transaction.open_position((XP, 0), offset) == offset


async def waiting(pool: Pool) -> list[str]:
    async with RelayStore(pool).lane(0) as lane:
        assert lane is not None
        return [row.message_id for row in await lane.pending(["missions.mission-completed"], 100, 1_000_000)]


async def test_a_position_moves_by_compare_and_set_alone(ledger: BatchLedger) -> None:
    await open_at(ledger, 3)
    assert await ledger.positions([(XP, 0), (XP, 1)]) == {(XP, 0): 3}

    async with ledger.transaction() as transaction:
        assert not await transaction.advance_positions([advance(2, 5, Tally(applied=3))])
        assert not await transaction.advance_positions([advance(4, 5, Tally(applied=1))])
        assert await transaction.advance_positions([advance(3, 5, Tally(applied=1, skipped=1))])

    assert await ledger.positions([(XP, 0)]) == {(XP, 0): 5}


async def test_the_ledger_knows_where_the_last_batch_began(ledger: BatchLedger) -> None:
    await open_at(ledger, 3)
    assert await ledger.batch_starts([(XP, 0), (XP, 1)]) == {}

    for start, end in ((3, 5), (5, 9)):
        async with ledger.transaction() as transaction:
            assert await transaction.advance_positions([advance(start, end, Tally(applied=end - start))])

    assert await ledger.batch_starts([(XP, 0), (XP, 1)]) == {(XP, 0): 5}

    await ledger.settle([((XP, 0), 5), ((XP, 1), 5)])
    assert await ledger.batch_starts([(XP, 0), (XP, 1)]) == {(XP, 0): 5}, "it has moved since"
    await ledger.settle([((XP, 0), 9)])
    assert await ledger.batch_starts([(XP, 0), (XP, 1)]) == {(XP, 0): 9}


async def test_positions_move_together_or_not_at_all(ledger: BatchLedger) -> None:
    async with ledger.transaction() as transaction:
        for partition in (0, 1):
            await transaction.open_position((XP, partition), 3)

    async def move(*expected: int) -> bool:
        async with ledger.transaction() as transaction:
            assert set(await transaction.lock_positions([(XP, 1), (XP, 2), (XP, 0)])) == {(XP, 0), (XP, 1)}
            moves = [advance(at, at + 2, Tally(applied=n, late=2 - n), n) for n, at in enumerate(expected)]
            if await transaction.advance_positions(moves):
                return True
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await move(3, 4)
    assert await ledger.positions([(XP, 0), (XP, 1)]) == {(XP, 0): 3, (XP, 1): 3}
    assert await move(3, 3)
    assert await ledger.positions([(XP, 0), (XP, 1)]) == {(XP, 0): 5, (XP, 1): 5}


async def test_two_that_lock_the_same_positions_in_another_order_both_end(ledger: BatchLedger) -> None:
    async with ledger.transaction() as transaction:
        for partition in range(4):
            await transaction.open_position((XP, partition), 0)

    async def lock(*partitions: int) -> int:
        async with ledger.transaction() as transaction:
            return len(await transaction.lock_positions([(XP, partition) for partition in partitions]))

    assert list(await asyncio.gather(lock(0, 1, 2, 3), lock(3, 2, 1, 0), lock(2, 0))) == [4, 4, 2]


async def test_a_position_whose_counts_do_not_add_up_is_refused(ledger: BatchLedger) -> None:
    await open_at(ledger, 0)

    with pytest.raises(Exception, match="check constraint"):
        async with ledger.transaction() as transaction:
            await transaction.advance_positions([advance(0, 5, Tally(applied=4))])

    assert await ledger.positions([(XP, 0)]) == {(XP, 0): 0}


async def test_who_locks_a_position_second_waits_and_sees_where_it_went(ledger: BatchLedger) -> None:
    await open_at(ledger, 0)

    async def second() -> int:
        async with ledger.transaction() as transaction:
            return (await transaction.lock_positions([(XP, 0)]))[XP, 0]

    async with ledger.transaction() as first:
        assert await first.lock_positions([(XP, 0), (XP, 1)]) == {(XP, 0): 0}
        other = asyncio.create_task(second())
        await first.advance_positions([advance(0, 2, Tally(applied=2))])
        assert not other.done()

    assert await other == 2


async def test_what_raises_leaves_nothing(ledger: BatchLedger, ledger_pool: Pool) -> None:
    async def fail() -> None:
        async with ledger.transaction() as transaction:
            await transaction.open_position((XP, 0), 0)
            await log(transaction, logged(0, "e1"))
            await transaction.save([change("ann")])
            await transaction.publish([message(1)])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await ledger.positions([(XP, 0)]) == {}
    assert await ledger.load_users(["ann"]) == {}
    assert await waiting(ledger_pool) == []
    async with ledger.transaction() as transaction:
        assert await log(transaction, logged(0, "e1")) == [0]


async def test_an_event_is_logged_once(ledger: BatchLedger) -> None:
    async with ledger.transaction() as transaction:
        assert await log(transaction, logged(0, "e1"), logged(1, "e2"), logged(2, "e1")) == [0, 1]
    async with ledger.transaction() as transaction:
        assert await log(transaction, logged(7, "e2", partition=1), logged(8, "e3", partition=1)) == [8]


@pytest.mark.parametrize("ends_well", [True, False])
async def test_an_event_that_another_batch_is_logging_is_waited_for(ledger: BatchLedger, ends_well: bool) -> None:
    async def second() -> list[int]:
        async with ledger.transaction() as transaction:
            return await log(transaction, logged(7, "e1", partition=1))

    started: list[asyncio.Task[list[int]]] = []
    with suppress(RuntimeError):
        async with ledger.transaction() as first:
            await log(first, logged(0, "e1"))
            started.append(asyncio.create_task(second()))
            await first.load_users(["ann"])
            assert not started[0].done()
            if not ends_well:
                raise RuntimeError

    assert await started[0] == ([] if ends_well else [7])


async def test_a_day_without_partition_is_told_and_made(ledger: BatchLedger) -> None:
    old = NOW - timedelta(days=300)
    with pytest.raises(Exception, match="partition") as told:
        async with ledger.transaction() as transaction:
            await log(transaction, logged(0, "e1", old))
    assert lacks_event_log_day(told.value)

    await ledger.ensure_days([old.date(), old.date()])

    async with ledger.transaction() as transaction:
        assert await log(transaction, logged(0, "e1", old)) == [0]


async def test_a_user_is_saved_only_on_what_was_read(ledger: BatchLedger) -> None:
    assert await save(ledger, change("ann"), change("bob")) == set()
    assert await save(ledger, change("ann"), change("cleo")) == {"ann"}, "it is not new any more"
    [ann, bob] = (await ledger.load_users(["ann", "bob"])).values()
    assert (ann.version, bob.version) == (1, 1)
    assert ann.stamp not in (0, bob.stamp)

    assert await save(ledger, change("ann", 1, ann.stamp)) == set()
    assert await save(ledger, change("ann", 1, ann.stamp), change("bob", 1, bob.stamp + 1)) == {"ann", "bob"}
    assert await save(ledger, change("nobody", 4, 2)) == {"nobody"}

    found = await ledger.load_users(["ann", "bob", "cleo", "nobody"])
    assert {user: state.version for user, state in found.items()} == {"ann": 2, "bob": 1, "cleo": 1}
    async with ledger.transaction() as transaction:
        assert await transaction.moved([found["ann"], UserState("bob", 1, 5), UserState("dan", 1, 1)]) == {"bob", "dan"}


async def test_a_user_whose_assignment_is_not_open_is_left_out_whole(ledger: BatchLedger) -> None:
    issued = assignment()
    await save(ledger, change("ann", issued=issued))
    [ann] = (await ledger.load_users(["ann"])).values()
    done = assignment(status=Status.COMPLETED, completed_at=NOW, claimable_until=NOW)
    never_issued = assignment(starts_at=NOW, status=Status.COMPLETED, completed_at=NOW)

    left = await save(ledger, change("ann", 1, ann.stamp, completed=done), change("bob", completed=never_issued))

    assert left == {"bob"}
    assert {user: s.version for user, s in (await ledger.load_users(["ann", "bob"])).items()} == {"ann": 2}


async def test_users_held_by_another_are_not_waited_for_at_once(ledger: BatchLedger) -> None:
    await save(ledger, change("ann"), change("bob"))

    async with ledger.transaction() as first, ledger.transaction() as second:
        assert set(await first.lock_users(["ann"], NOW)) == {"ann"}
        assert await second.lock_users_at_once(["bob", "ann"], NOW) is None
        assert set(await second.lock_users_at_once(["bob", "nobody"], NOW) or ()) == {"bob"}


async def test_two_that_meet_in_the_same_users_both_end(ledger: BatchLedger) -> None:
    await save(ledger, *(change(user) for user in "abcdef"))

    async def lock(users: str) -> set[str]:
        async with ledger.transaction() as transaction:
            return set(await transaction.lock_users(users, NOW))

    locked = await asyncio.gather(lock("abcdef"), lock("fedcba"), lock("caf"))

    assert list(locked) == [set("abcdef"), set("abcdef"), set("caf")]


async def test_what_waits_for_a_lock_sees_what_it_waited_for(ledger: BatchLedger, ledger_pool: Pool) -> None:
    await save(ledger, change("ann"))
    [ann] = (await ledger.load_users(["ann"])).values()

    async def second() -> int:
        async with Users(ledger_pool, one_partition).transaction() as transaction:
            return (await transaction.lock_users(["ann"], NOW))["ann"].version

    async with ledger.transaction() as first:
        assert await first.save([change("ann", 1, ann.stamp)]) == set()
        other = asyncio.create_task(second())
        await first.load_users(["ann"])
        assert not other.done()

    assert await other == 2


async def test_messages_wait_in_the_order_in_which_they_were_given_once_committed(
    ledger: BatchLedger, ledger_pool: Pool
) -> None:
    async with ledger.transaction() as transaction:
        await transaction.publish([message(3), message(1)])
        await transaction.publish([message(2)])
        assert await waiting(ledger_pool) == []

    assert [int(each[-4:]) for each in await waiting(ledger_pool)] == [3, 1, 2]


async def test_a_savepoint_takes_back_what_was_done_in_it(ledger: BatchLedger, ledger_pool: Pool) -> None:
    async def fail(transaction: BatchTransaction) -> None:
        async with transaction.savepoint():
            await transaction.save([change("ann")])
            await transaction.publish([message(1)])
            raise RuntimeError

    async with ledger.transaction() as transaction:
        await transaction.save([change("bob")])
        with pytest.raises(RuntimeError):
            await fail(transaction)
        await transaction.publish([message(2)])
        assert set(await transaction.load_users(["ann", "bob"])) == {"bob"}

    assert set(await ledger.load_users(["ann", "bob"])) == {"bob"}
    assert [int(each[-4:]) for each in await waiting(ledger_pool)] == [2]
