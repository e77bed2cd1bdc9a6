"""A lane: publishes one output partition while it holds that partition's lock, and starts again after every error."""

import asyncio
import random
from time import monotonic
from typing import Final

from services.adapters.kafka.errors import KafkaProblem, PublishFailed, TopicChanged
from services.adapters.kafka.transactional import OutputTopics, TooLarge, TransactionalWriter
from services.adapters.ledger.connection import is_passing
from services.adapters.ledger.relay_store import CheckpointMoved, ConnectionLost, RelayStore
from services.adapters.logs import get_logger
from services.adapters.metrics import RELAY_ERRORS, RELAY_LANES_HELD

from .publication import OnStep, Publication, Taken, no_hook

_log = get_logger(__name__)

POLL_BUSY_SECONDS: Final = 0.02
"""After a batch: what comes within this time shares the next transaction."""

POLL_IDLE_SECONDS: Final = 0.2
"""Each empty look doubles the wait, up to this. Looking costs one index probe. NOTIFY would spare it, but every notifying
transaction takes one lock for all at its commit, a listener needs a connection more, and looking would still be needed
for what is lost while that one is broken."""

LOCK_SECONDS: Final = 1.0
"""Between two tries for a lock that another relay holds: how long a partition stands still, at most, when that one ends."""

RETRY_FIRST_SECONDS: Final = 0.1
RETRY_MAX_SECONDS: Final = 5.0
"""Between two tries after errors: doubles from the first to the last, each time by chance between half and the whole."""

TOPICS_SECONDS: Final = 10.0
"""Between two looks at whether the topics out are still those that the writer was opened for."""

LIMIT_MIN_BYTES: Final = 1024
"""No topic takes less, whatever it says."""


class Lane:
    """Publishes one partition of the outbox, in order, for as long as `run` runs."""

    def __init__(self, partition: int, topics: OutputTopics, store: RelayStore, on_step: OnStep = no_hook) -> None:
        """`on_step` is called at each step of a batch, so that tests can stop there."""
        self.partition = partition
        self.held = False
        """Whether this relay publishes the partition now; if not, another one does, or none can."""
        self.trouble: str | None = None
        """The last error, until a try has gone well again."""
        self._topics = topics
        self._store = store
        self._on_step = on_step
        self._limits: dict[str, int] = {}
        self._ceilings: dict[str, int] = {}
        self._failures = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Publishes until `stopping` is set, and then ends after the batch in hand. Raises only what no retry can mend."""
        while not stopping.is_set():
            try:
                if not await self._publish_while_held(stopping):
                    await pause(stopping, LOCK_SECONDS * random.uniform(0.5, 1))
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # Nobody told this lane to end: the Kafka client has let out a cancellation of a task of its own.
                await self._after(PublishFailed("the Kafka client has cancelled what it was asked"), stopping)
            except Exception as error:
                if not (isinstance(error, KafkaProblem | CheckpointMoved | ConnectionLost) or is_passing(error)):
                    raise
                if isinstance(error, TooLarge):
                    # The topic takes less than it says. Half as much fits, or half of that.
                    self._ceilings[error.topic] = self._limits[error.topic] // 2
                await self._after(error, stopping)

    async def _publish_while_held(self, stopping: asyncio.Event) -> bool:
        """False if another relay holds the lock. Returns True when stopping; any error gives the lock up first."""
        async with self._store.lane(self.partition) as ledger:
            if ledger is None:
                self._recovered()
                return False
            self._hold(True)
            try:
                async with self._topics.writer(self.partition) as writer:
                    self._limits = {topic: self._limit(topic, limit) for topic, limit in writer.limits.items()}
                    if writer.topic_ids and (others := await ledger.other_topics(writer.topic_ids)):
                        raise TopicChanged.made_anew(self._topics.full_name(others[0]))
                    publication = Publication(self.partition, self._topics, ledger, writer, self._limits, self._on_step)
                    await publication.catch_up()
                    await self._publish_on(publication, writer, stopping)
            finally:
                self._hold(False)
        return True

    async def _publish_on(self, publication: Publication, writer: TransactionalWriter, stopping: asyncio.Event) -> None:
        wait = POLL_BUSY_SECONDS
        looked_at = monotonic()
        while not stopping.is_set():
            if monotonic() - looked_at >= TOPICS_SECONDS:
                await writer.require_same_topics()
                looked_at = monotonic()
            taken = await publication.publish_some()
            self._recovered()
            if taken is not Taken.FULL:
                wait = POLL_BUSY_SECONDS if taken is Taken.SOME else min(2 * wait, POLL_IDLE_SECONDS)
                await pause(stopping, wait)

    def _limit(self, topic: str, says: int) -> int:
        return max(LIMIT_MIN_BYTES, min(says, self._ceilings.get(topic, says)))

    def _hold(self, held: bool) -> None:
        if held != self.held:
            self.held = held
            RELAY_LANES_HELD.inc(1 if held else -1)
            _log.info("lane taken" if held else "lane given up", partition=self.partition)

    def _recovered(self) -> None:
        self._failures = 0
        self.trouble = None

    async def _after(self, error: Exception, stopping: asyncio.Event) -> None:
        self.trouble = f"{type(error).__name__}: {error}"
        self._failures += 1
        RELAY_ERRORS.labels(type(error).__name__).inc()
        longest = min(RETRY_FIRST_SECONDS * 2 ** min(self._failures - 1, 10), RETRY_MAX_SECONDS)
        seconds = longest * random.uniform(0.5, 1)
        _log.warning("lane starts again", partition=self.partition, error=self.trouble, seconds=round(seconds, 2))
        await pause(stopping, seconds)


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Waits so long, or until `stopping` is set."""
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return
