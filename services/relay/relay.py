"""All lanes of one relay process, and the watch over the backlog."""

import asyncio
from typing import Final

from services.adapters.kafka.transactional import OutputTopics
from services.adapters.ledger.connection import is_passing
from services.adapters.ledger.relay_store import RelayStore
from services.adapters.logs import get_logger
from services.adapters.metrics import OUTBOX_OLDEST, OUTBOX_PENDING

from .lane import Lane, pause
from .publication import OnStep, no_hook

_log = get_logger(__name__)

BACKLOG_SECONDS: Final = 5.0
"""Between two looks at the backlog: finer than a scrape, and rare beside the lanes' own looks."""

DRAIN_SECONDS: Final = 6.0
"""For the batches in hand at the end; with closing the clients, up to 3 s more, a relay ends within 10 s. What is cut off
is found at the next start."""


class Relay:
    """Publishes all partitions whose locks it gets. Any number of relays may run on one ledger."""

    def __init__(self, topics: OutputTopics, store: RelayStore, partitions: int, on_step: OnStep = no_hook) -> None:
        self.lanes = [Lane(partition, topics, store, on_step) for partition in range(partitions)]
        self._store = store

    async def run(self, stopping: asyncio.Event) -> None:
        """Runs until `stopping` is set and the batches in hand are done. Raises what no retry can mend."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(lane.run(stopping), name=f"relay lane {lane.partition}") for lane in self.lanes]
            tasks.append(group.create_task(self._watch_backlog(stopping), name="relay backlog"))
            await stopping.wait()
            _, late = await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
            for task in late:
                _log.warning("cut off at the end", task=task.get_name())
                task.cancel()

    def trouble(self) -> str | None:
        """What keeps lanes from publishing; None while all go on or leave their partition to another relay."""
        return "; ".join(f"partition {lane.partition}: {lane.trouble}" for lane in self.lanes if lane.trouble) or None

    async def _watch_backlog(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                backlog = await self._store.backlog(len(self.lanes))
            except Exception as error:
                if not is_passing(error):
                    raise
                _log.warning("backlog not read", error=repr(error))
            else:
                OUTBOX_PENDING.set(backlog.pending)
                OUTBOX_OLDEST.set(backlog.oldest.timestamp() if backlog.oldest else 0)
            await pause(stopping, BACKLOG_SECONDS)
