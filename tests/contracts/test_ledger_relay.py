"""What the relay relies on in the ledger, on Postgres in memory and on a real one."""

import pytest

from services.adapters.ledger.connection import Pool
from services.adapters.ledger.outbox import OutboxMessage
from services.adapters.ledger.relay_store import CheckpointMoved, RelayStore
from services.adapters.ledger.users import Users

COMPLETED, GRANTED = "missions.mission-completed", "missions.reward-granted"
BOTH = [COMPLETED, GRANTED]
MUCH = 1_000_000


@pytest.fixture
def store(ledger_pool: Pool) -> RelayStore:
    return RelayStore(ledger_pool)


def message(number: int, topic: str = COMPLETED) -> OutboxMessage:
    headers = '[["a","\\u00ff"],["b",null]]' if number == 1 else None
    return OutboxMessage(topic, f"00000000-0000-0000-0000-{number:012}", b"key", b"x" * 50, headers)


@pytest.fixture
async def put(ledger_pool: Pool) -> None:
    """Four messages in output partition 1, and one in another."""
    async with Users(ledger_pool, lambda key: 1).transaction() as transaction:
        await transaction.publish([message(1), message(2, GRANTED), message(3), message(4)])
    async with Users(ledger_pool, lambda key: 0).transaction() as transaction:
        await transaction.publish([message(5)])


@pytest.mark.usefixtures("put")
async def test_a_lane_sees_its_partition_in_order_as_much_as_it_wants(store: RelayStore) -> None:
    async with store.lane(1) as lane:
        assert lane is not None
        rows = await lane.pending(BOTH, 10, MUCH)
        assert [(int(row.message_id[-4:]), row.topic) for row in rows] == [
            (1, COMPLETED),
            (2, GRANTED),
            (3, COMPLETED),
            (4, COMPLETED),
        ]
        assert [row.headers for row in rows[:2]] == [(("a", b"\xff"), ("b", None)), None]
        assert len(await lane.pending([GRANTED], 10, MUCH)) == 1
        assert len(await lane.pending(BOTH, 3, MUCH)) == 3
        assert len(await lane.pending(BOTH, 10, 1)) == 1, "at least one, whatever its size"
    backlog = await store.backlog(2)
    assert backlog.pending == 5
    assert backlog.oldest is not None
    assert await store.waits_for(GRANTED)
    assert not await store.waits_for("missions.mission-expired")
    assert await store.highest_partition() == 1


async def test_a_partition_has_one_lane(store: RelayStore) -> None:
    async with store.lane(0) as first, store.lane(1) as other, store.lane(0) as second:
        assert first is not None
        assert other is not None
        assert second is None
    async with store.lane(0) as third:
        assert third is not None


@pytest.mark.usefixtures("put")
async def test_checkpoints_move_by_compare_and_set_with_what_was_published(store: RelayStore) -> None:
    async with store.lane(1) as lane:
        assert lane is not None
        assert await lane.checkpoints(BOTH) == {COMPLETED: 0, GRANTED: 0}
        seqs = [row.seq for row in await lane.pending(BOTH, 10, MUCH)]
        await lane.make_durable({COMPLETED: 0})

        await lane.mark_published(seqs[:2], {COMPLETED: (0, 4), GRANTED: (0, 2)})
        for moved in ({COMPLETED: (0, 9)}, {COMPLETED: (4, 9), GRANTED: (1, 9)}, {"missions.other": (0, 1)}):
            with pytest.raises(CheckpointMoved):
                await lane.mark_published(seqs, moved)
        with pytest.raises(CheckpointMoved):
            await lane.make_durable({COMPLETED: 5})

        assert await lane.checkpoints(BOTH) == {COMPLETED: 4, GRANTED: 2}
        assert [row.seq for row in await lane.pending(BOTH, 10, MUCH)] == seqs[2:]


@pytest.mark.usefixtures("put")
async def test_what_was_found_published_is_marked_and_stays_known(store: RelayStore, ledger_pool: Pool) -> None:
    known = [message(1).message_id, message(8).message_id]
    async with store.lane(1) as lane:
        assert lane is not None
        await lane.checkpoints([COMPLETED])
        assert await lane.mark_found(known, {COMPLETED: (0, 7)}) == 1
        assert await lane.mark_found([message(8).message_id], {COMPLETED: (7, 8)}) == 0

    async with Users(ledger_pool, lambda key: 1).transaction() as transaction:
        await transaction.publish([message(8)])
    async with store.lane(1) as lane:
        assert lane is not None
        assert await lane.checkpoints([COMPLETED]) == {COMPLETED: 8}
        rows = await lane.pending(BOTH, 10, MUCH)
    assert [(int(row.message_id[-4:]), row.is_published) for row in rows] == [
        (2, False),
        (3, False),
        (4, False),
        (8, True),
    ]
