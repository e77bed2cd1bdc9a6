"""What the clock asks for, in one place for the scheduler, the reset calls and the command line: begin, claim, end."""

from collections.abc import Callable
from datetime import datetime

from services.adapters.ledger.sweep import SweepLedger
from services.adapters.ledger.users import Users
from services.adapters.projection import Projection

from .auto_claim import auto_claim
from .catalogue import LiveCatalogue
from .expire import EndOffsets, expire_overdue
from .issue import ACTIVE_DAYS, Issuer, issue_all

Told = Callable[[int], None]


def untold(done: int) -> None:
    """Tells nobody how far a long run has come."""


class Clockwork:
    """Issues what begins, claims what is claimed by itself, ends what is over. Each is safe to repeat, late, and in several copies."""

    def __init__(
        self,
        ledger: SweepLedger,
        users: Users,
        issuer: Issuer,
        projection: Projection,
        catalogue: LiveCatalogue,
        end_offsets: EndOffsets,
    ) -> None:
        self._ledger = ledger
        self._users = users
        self._issuer = issuer
        self._projection = projection
        self._catalogue = catalogue
        self._end_offsets = end_offsets

    async def begin(self, now: datetime, active_days: int = ACTIVE_DAYS, told: Told = untold) -> int:
        """Issues for users seen in the last `active_days` days whose day is over; returns how many assignments."""
        return await issue_all(self._ledger, self._issuer, now, active_days=active_days, progress=told)

    async def claim(self, now: datetime, told: Told = untold) -> int:
        """Grants what nobody claimed in its grace and is claimed by itself; returns how many grants."""
        return await auto_claim(self._ledger, self._users, self._projection, self._catalogue, now, progress=told)

    async def end(self, now: datetime, told: Told = untold) -> int:
        """Ends what is over for good; returns how many assignments."""
        return await expire_overdue(self._ledger, self._catalogue, self._end_offsets, now, progress=told)
