"""The processes of the system: each runs a role's own code on the memory servers, as the role's `app.py` does on real ones."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from services.adapters.kafka.errors import BrokerUnreachable
from services.adapters.kafka.producer import partition_for
from services.adapters.kafka.records import PartitionId
from services.adapters.ledger.batch import BatchLedger, PartitionKey
from services.adapters.ledger.catalogue import CatalogueStore
from services.adapters.ledger.connection import Pool, is_passing
from services.adapters.ledger.relay_store import RelayStore
from services.adapters.ledger.sweep import SweepLedger
from services.adapters.ledger.users import Users
from services.adapters.projection import Projection, ProjectionUnavailable
from services.claims.claim_reward import ClaimReward
from services.missions.catalogue import Catalogue
from services.operations.catalogue import CatalogueWatcher
from services.operations.clockwork import Clockwork
from services.operations.issue import Issuer
from services.operations.refresh import FreshCatalogue
from services.operations.repair import keep_repaired, reconcile
from services.processor.apply_batch import ApplyBatch
from services.processor.parts import Part
from services.relay.lane import Lane
from services.scheduler.tick import tick
from tests.support.memory.connection import MemoryPool
from tests.support.memory.kafka import MemoryTopics

from .consumer import SimulatedConsumer
from .faults import Fault
from .loop import Process

if TYPE_CHECKING:
    from .world import World

LANES_MAX = 4


class FixedCatalogue(CatalogueWatcher):
    """A catalogue that never changes."""

    def __init__(self, catalogue: Catalogue) -> None:
        no_pool: Any = None
        super().__init__(CatalogueStore(no_pool))
        self._catalogue = catalogue

    @override
    async def load(self) -> None:
        """There is nothing newer."""


class Role:
    """One process while it lives."""

    def __init__(self, world: "World", name: str, life: int) -> None:
        self.world = world
        self.process = Process(name)
        self.owner = f"{name}#{life}"
        self.catalogue = FixedCatalogue(world.catalogue)

    def start(self) -> None:
        """Starts what the role does by itself."""

    def thawed(self) -> None:
        """The process goes on after having been frozen."""

    def partition_of(self, key: bytes | None) -> int:
        """Output partition of a key."""
        return partition_for(key, self.world.output_partitions)

    @property
    def pool(self) -> Pool:
        """Its connections to the ledger."""
        return MemoryPool(self.world.postgres, self.owner).as_pool()


class _Counted(ApplyBatch):
    """Counts how often several partitions are applied together: what lives must not leave untried."""

    def __init__(
        self, world: "World", ledger: BatchLedger, projection: Projection, catalogue: CatalogueWatcher
    ) -> None:
        super().__init__(ledger, projection, catalogue, lanes_max=LANES_MAX)
        self._world = world

    @override
    async def _apply_together(self, parts: Sequence[Part]) -> bool:
        self._world.faults.count(Fault.TOGETHER, ", ".join(str(part.partition) for part in parts))
        return await super()._apply_together(parts)


class ProcessorRole(Role):
    """A Faust worker without Faust."""

    @override
    def start(self) -> None:
        world = self.world
        ledger, projection = BatchLedger(self.pool, self.partition_of), world.redis.projection()
        apply_batch = _Counted(world, ledger, projection, self.catalogue)

        async def read(
            ask: Callable[[Sequence[PartitionKey]], Awaitable[Mapping[PartitionKey, int]]],
            partitions: AbstractSet[PartitionId],
        ) -> Mapping[PartitionId, int]:
            while True:
                try:
                    found = await ask(sorted(partitions))
                    return {PartitionId(*key): offset for key, offset in found.items()}
                except Exception as error:
                    if not is_passing(error):
                        raise
                    await asyncio.sleep(0.2)

        self.consumer = SimulatedConsumer(
            world, self.process, apply_batch, partial(read, ledger.positions), partial(read, ledger.batch_starts)
        )
        world.start(self.process, self.consumer.run)
        world.start(self.process, keep_repaired, projection, ledger.load_users)
        world.loop.outside(world.rng.random() * 0.3, self._join)

    @override
    def thawed(self) -> None:
        self.world.loop.outside(self.world.rng.random() * 0.5, self._join)

    def _join(self) -> None:
        if self.process.is_alive and not self.process.is_frozen:
            self.world.group.join(self.consumer)


class ClaimsRole(Role):
    """The claims service behind its HTTP server."""

    @override
    def start(self) -> None:
        users = Users(self.pool, self.partition_of)
        self.claim_reward = ClaimReward(users, self.world.redis.projection(), FreshCatalogue(self.catalogue))


class RelayRole(Role):
    """All lanes of a relay."""

    @override
    def start(self) -> None:
        topics, store = MemoryTopics(self.world.kafka, self.world.output_partitions), RelayStore(self.pool)
        stopping = asyncio.Event()
        for partition in range(self.world.output_partitions):
            self.world.start(self.process, Lane(partition, topics, store).run, stopping)


class SchedulerRole(Role):
    """The scheduler's look at the clock, again and again."""

    @override
    def start(self) -> None:
        self.world.start(self.process, self._run)

    async def _run(self) -> None:
        world = self.world
        ledger, users, projection = (
            SweepLedger(self.pool, self.partition_of),
            Users(self.pool, self.partition_of),
            world.redis.projection(),
        )
        issuer = Issuer(users, projection, self.catalogue)
        clockwork = Clockwork(ledger, users, issuer, projection, self.catalogue, world.end_offsets)
        reconciled = ""
        while True:
            await asyncio.sleep(1 + 2 * world.rng.random())
            try:
                await tick(ledger, clockwork, world.wall(self.process), active_days=14, event_log_days=35)
                reconciled = await reconcile(ledger, projection, reconciled)
            except (ProjectionUnavailable, BrokerUnreachable):
                continue
            except Exception as error:
                if not is_passing(error):
                    raise


ROLES: dict[str, type[Role]] = {
    f"{name}-{number}": role
    for name, role in (
        ("processor", ProcessorRole),
        ("claims", ClaimsRole),
        ("relay", RelayRole),
        ("scheduler", SchedulerRole),
    )
    for number in (1, 2)
}
