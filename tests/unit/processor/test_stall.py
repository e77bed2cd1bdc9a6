"""What counts as a consumer that stands still, and what does not; time is handed in."""

from collections.abc import Mapping

from services.adapters.kafka.errors import BrokerUnreachable
from services.adapters.kafka.records import Mark, PartitionId
from services.processor.stall import BUSY_SHARE, StallWatch

P, Q = PartitionId("t", 0), PartitionId("t", 1)
LIMIT = 45


class World:
    """A worker, a broker and what waits for servers."""

    def __init__(self) -> None:
        self.at: dict[PartitionId, Mark] = {P: Mark(10, busy=False)}
        self.ends: dict[PartitionId, int] = {P: 20, Q: 20}
        self.member = True
        self.thread = True
        self.broker = True
        self.retried = 0.0
        self.asked = 0
        self.ended: list[str] = []
        self.watch = StallWatch(self, self.log_ends, lambda: self.retried, LIMIT, self.ended.append)

    def marks(self) -> Mapping[PartitionId, Mark]:
        return self.at

    def ready(self) -> bool:
        return self.member

    def thread_answers(self) -> bool:
        return self.thread

    async def log_ends(self) -> Mapping[PartitionId, int]:
        self.asked += 1
        if not self.broker:
            raise BrokerUnreachable("nowhere")
        return self.ends

    async def ends_within(self, seconds: int) -> bool:
        for _ in range(seconds):
            if self.ended:
                return True
            await self.watch.look(1.0)
        return bool(self.ended)


async def test_records_wait_and_nothing_moves() -> None:
    world = World()
    assert not await world.ends_within(LIMIT - 2)
    assert await world.ends_within(10)
    assert "t[0] stands still at 10" in world.ended[0]
    assert world.watch.trouble == world.ended[0]


async def test_records_that_come_after_a_long_silence_are_missed_within_a_minute() -> None:
    world = World()
    world.ends = {P: 10}
    assert not await world.ends_within(500)
    world.ends = {P: 11}
    assert await world.ends_within(60)


async def test_a_topic_without_new_records_is_no_stall() -> None:
    world = World()
    world.ends = {P: 10}
    assert not await world.ends_within(1000)
    assert world.asked < 100, "and it costs the broker little"


async def test_a_position_that_moves_is_no_stall_however_far_behind() -> None:
    world = World()
    for at in range(11, 400):
        world.at = {P: Mark(at, busy=False)}
        world.ends = {P: 100_000}
        assert not await world.ends_within(20)
    assert world.asked < 400


async def test_a_broker_that_is_away_is_no_stall() -> None:
    world = World()
    world.broker = False
    assert not await world.ends_within(1000)


async def test_what_waits_for_a_server_is_no_stall() -> None:
    world = World()
    world.at = {P: Mark(10, busy=True)}
    for tries in range(1, 300):
        world.retried = float(tries)
        assert not await world.ends_within(5)


async def test_a_stopped_partition_is_no_stall() -> None:
    world = World()
    world.at = {}
    assert not await world.ends_within(1000)


async def test_a_long_batch_and_a_rebalance_are_no_stall_until_they_are_much_too_long() -> None:
    batch, rebalance = World(), World()
    batch.at = {P: Mark(10, busy=True)}
    rebalance.member = False
    for world in (batch, rebalance):
        assert not await world.ends_within((BUSY_SHARE - 1) * LIMIT)
        assert await world.ends_within(2 * LIMIT)


async def test_a_consumer_thread_that_is_dead_is_seen() -> None:
    world = World()
    world.at, world.thread = {}, False
    assert await world.ends_within(60)
