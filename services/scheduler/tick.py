"""One look at the clock: issues what begins, claims and ends what is over, keeps the event log's days."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.adapters.ledger.migrate import EVENT_LOG_DAYS_AHEAD
from services.adapters.ledger.sweep import SweepLedger
from services.adapters.logs import get_logger
from services.operations.clockwork import Clockwork

CLAIM_ANSWER_LIFE = timedelta(days=2)
"""Answers under an Idempotency-Key: a client that has not repeated its request by then never will."""

CHUNKS = ("claimed", "ended", "issued")
"""What is done in chunks, a transaction each, in this order."""

logger = get_logger(__name__)


def untold(_chunk: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """What one look did."""

    issued: int
    claimed: int
    expired: int
    dropped_days: int


async def tick(
    ledger: SweepLedger,
    clockwork: Clockwork,
    now: datetime,
    *,
    active_days: int,
    event_log_days: int,
    told: Callable[[str], None] = untold,
) -> Ticked:
    """Does what is due at `now`. Safe to run twice, late, and in several copies at once.

    `told` gets one of `CHUNKS` after each chunk.
    """
    today = now.date()
    ahead = [today + timedelta(days=n) for n in range(EVENT_LOG_DAYS_AHEAD + 1)]
    dropped = await ledger.keep_event_log(ahead, today - timedelta(days=event_log_days + 1))
    await ledger.forget_claim_answers(now - CLAIM_ANSWER_LIFE)
    # What is over first: issuing lets states forget what ended long ago, and its progress with it.
    claimed = await clockwork.claim(now, lambda _: told("claimed"))
    expired = await clockwork.end(now, lambda _: told("ended"))
    issued = await clockwork.begin(now, active_days, lambda _: told("issued"))
    ticked = Ticked(issued, claimed, expired, len(dropped))
    if any((issued, claimed, expired, dropped)):
        logger.info("ticked", issued=issued, claimed=claimed, expired=expired, dropped_days=len(dropped))
    return ticked
