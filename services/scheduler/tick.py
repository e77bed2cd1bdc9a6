"""One look at the clock: issues what begins, ends what is over, keeps the event log's days."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.adapters.ledger.migrate import EVENT_LOG_DAYS_AHEAD
from services.adapters.ledger.sweep import SweepLedger
from services.adapters.logs import get_logger
from services.operations.catalogue import LiveCatalogue
from services.operations.expire import EndOffsets, expire_overdue
from services.operations.issue import Issuer, issue_all

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ticked:
    """What one look did."""

    issued: int
    expired: int
    dropped_days: int


async def tick(
    ledger: SweepLedger,
    issuer: Issuer,
    catalogue: LiveCatalogue,
    end_offsets: EndOffsets,
    now: datetime,
    *,
    active_days: int,
    event_log_days: int,
) -> Ticked:
    """Does what is due at `now`. Safe to run twice, late, and in several copies at once."""
    today = now.date()
    ahead = [today + timedelta(days=n) for n in range(EVENT_LOG_DAYS_AHEAD + 1)]
    dropped = await ledger.keep_event_log(ahead, today - timedelta(days=event_log_days + 1))
    issued = await issue_all(ledger, issuer, now, active_days=active_days)
    expired = await expire_overdue(ledger, catalogue, end_offsets, now)
    if issued or expired or dropped:
        logger.info("ticked", issued=issued, expired=expired, dropped_days=len(dropped))
    return Ticked(issued, expired, len(dropped))
