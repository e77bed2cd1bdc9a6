"""One stretch of publishing: from the opening of a writer until the first error, or until the lane is given up."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from enum import Enum
from typing import Final, Literal, get_args

from services.adapters.kafka.transactional import OutgoingMessage, OutputTopics, TransactionalWriter
from services.adapters.ledger.relay_store import LaneLedger, PendingMessage
from services.adapters.logs import get_logger
from services.adapters.metrics import RELAY_PUBLISHED

from .messages import to_publish

_log = get_logger(__name__)

BATCH_MESSAGES = 500
"""In one transaction: enough that its fixed cost (two waits for disks, some 20 ms) is shared by many, and soon read again."""

BATCH_BYTES = 8 * 1024 * 1024
"""In one transaction: what a lane may hold in memory, when dead letters are big."""

Step = Literal["read", "durable", "sent", "published", "marked"]
"""Places in a batch's way: read from the outbox, durable in Postgres, sent to Kafka, committed there, marked in Postgres."""

STEPS: Final = get_args(Step)


class Taken(Enum):
    """What a look into the outbox has brought."""

    NOTHING = "nothing"
    SOME = "some"
    FULL = "full"
    """A full batch: there may be more at once."""


OnStep = Callable[[Step], Awaitable[None]]


async def no_hook(_step: Step) -> None:
    """Does nothing."""


class Publication:
    """Takes messages from one partition of the outbox to Kafka, each once for a `read_committed` reader.

    Kafka and Postgres share no transaction, so Kafka commits first, and Postgres is told after. Whoever starts after a
    crash between the two reads from the checkpoint on what Kafka has, and marks that. Two things make it whole: a writer
    that was stalled is fenced when the next one opens, and nothing is published that Postgres could still lose.
    Any error ends the stretch; the next one starts from what Kafka has.
    """

    def __init__(
        self,
        partition: int,
        topics: OutputTopics,
        ledger: LaneLedger,
        writer: TransactionalWriter,
        limits: Mapping[str, int],
        on_step: OnStep = no_hook,
    ) -> None:
        """`limits` are the largest batches that the topics take, in bytes; `on_step` is called at each `Step`, for tests."""
        self._partition = partition
        self._topics = topics
        self._ledger = ledger
        self._writer = writer
        self._limits = limits
        self._on_step = on_step
        self._checkpoints: dict[str, int] = {}

    async def catch_up(self) -> None:
        """Marks what is published since the checkpoints. Call it once, before anything is published."""
        self._checkpoints = await self._ledger.checkpoints(self._topics.names)
        marked = unknown = 0
        async with aclosing(self._topics.published(self._writer.partitions, self._checkpoints)) as pieces:
            async for piece in pieces:
                before = self._checkpoints[piece.topic]
                if piece.next_offset < before:
                    _log.error(
                        "the log is shorter than it was: the topic was made again or has lost messages; going on from what it has",
                        topic=self._topics.full_name(piece.topic),
                        partition=self._partition,
                        checkpoint=before,
                        end=piece.next_offset,
                    )
                if piece.message_ids or piece.next_offset != before:
                    move = {piece.topic: (before, piece.next_offset)}
                    waited = await self._ledger.mark_found(piece.message_ids, move)
                    self._checkpoints[piece.topic] = piece.next_offset
                    marked, unknown = marked + waited, unknown + len(piece.message_ids) - waited
        if marked or unknown:
            _log.info("found published messages", partition=self._partition, marked=marked, not_in_outbox=unknown)

    async def publish_some(self) -> Taken:
        """Publishes the next messages."""
        # Never "seq above the last one": rows become visible in the order of commits, not of seq.
        # Topics that this version does not know are left to one that does.
        rows = await self._ledger.pending(self._topics.names, BATCH_MESSAGES, BATCH_BYTES)
        if not rows:
            return Taken.NOTHING
        await self._on_step("read")
        messages = [to_publish(row, self._partition, self._limits) for row in rows if not row.is_published]
        ends = await self._publish(messages) if messages else {}
        advance = {topic: (self._checkpoints[topic], end) for topic, end in ends.items()}
        await self._ledger.mark_published([row.seq for row in rows], advance)
        self._checkpoints.update(ends)
        await self._on_step("marked")
        return Taken.FULL if len(rows) == BATCH_MESSAGES or _bytes(rows) >= BATCH_BYTES else Taken.SOME

    async def _publish(self, messages: list[OutgoingMessage]) -> dict[str, int]:
        await self._ledger.make_durable({m.topic: self._checkpoints[m.topic] for m in messages})
        await self._on_step("durable")
        await self._writer.begin()
        ends = await self._writer.send(messages)
        await self._on_step("sent")
        await self._writer.commit()
        for message in messages:
            RELAY_PUBLISHED.labels(message.topic).inc()
        await self._on_step("published")
        return ends


def _bytes(rows: list[PendingMessage]) -> int:
    return sum(len(row.payload or b"") + len(row.key or b"") for row in rows)
