"""How many calls one caller may make: counted in Redis for all processes together, in this process alone while Redis is away."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from math import ceil
from time import monotonic, time

from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.adapters.logs import get_logger
from services.adapters.problems import TOO_MANY_REQUESTS, Problem
from services.adapters.projection import Projection

WINDOW_SECONDS = 60
"""Limits are per minute: short enough that somebody who was stopped soon goes on, long enough for an app's burst at its start."""

LEASES_PER_WINDOW = 10
"""A process takes a tenth of a caller's limit from Redis at a time and then admits calls without asking. A caller who is spread
over n processes may therefore be stopped up to n - 1 tenths early."""

BREAK_SECONDS = 1.0
"""After a failure Redis is not asked for this long, so that a dead one costs its timeout once a second and not once a call."""

CALLERS_MAX = 100_000
"""Callers remembered in one process, some 20 MB; beyond that the ones whose minute is over are forgotten, then all."""

IPV6_PREFIX_BITS = 64
"""One household or server gets at least this much of IPv6, and may change its address within it at will."""

_log = get_logger(__name__)


class RouteClass(StrEnum):
    """Calls that are counted together."""

    READS = "reads"
    CLAIMS = "claims"
    SERVICES = "services"
    OPERATORS = "operators"
    STRANGERS = "strangers"


class LimitSettings(BaseSettings):
    """How much a caller may ask for."""

    model_config = SettingsConfigDict(env_prefix="MISSIONS_", frozen=True, extra="ignore")

    rate_limits: bool = Field(
        default=True, description="Whether calls are counted; the local stack turns it off, as scripts poll it"
    )
    limit_reads_per_minute: int = Field(
        default=300,
        ge=1,
        description="Reads of one user: an app makes about ten when it is opened, and one every few seconds",
    )
    limit_claims_per_minute: int = Field(
        default=60, ge=1, description="Claims of one user: a learner has about ten missions a day, and taps twice"
    )
    limit_services_per_minute: int = Field(
        default=6000, ge=1, description="Calls of one upstream service, of up to 500 events each"
    )
    limit_operators_per_minute: int = Field(
        default=600,
        ge=1,
        description="Calls of one operator: a console makes a few for each page, a script ten a second",
    )
    limit_strangers_per_minute: int = Field(
        default=600,
        ge=1,
        description="Calls without a valid token from one address: a school of pupils whose tokens ran out together, "
        "and a slow way to guess tokens",
    )

    def per_minute(self, which: RouteClass) -> int:
        """The limit of one class."""
        return int(getattr(self, f"limit_{which}_per_minute"))


@dataclass(slots=True)
class _Count:
    """One caller's calls of one class, as this process knows them."""

    until: float
    """End of the minute that is counted."""
    left: int = 0
    """Calls that may be admitted without asking."""
    taken: int = 0
    blocked_until: float = 0.0


class RateLimits:
    """Admits calls, or refuses them with a 429 problem."""

    def __init__(
        self,
        settings: LimitSettings,
        storage: RedisStorage | None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Without `storage` this process counts alone."""
        self._settings = settings
        self._window = FixedWindowRateLimiter(storage) if storage is not None else None
        self._clock = clock
        self._counts: dict[tuple[RouteClass, str], _Count] = {}
        self._broken_until = 0.0

    @classmethod
    def connect(
        cls, settings: LimitSettings, projection: Projection, role: str, prefix: str = ""
    ) -> "RateLimits | None":
        """Limits of a role, on the projection's Redis; None when they are off.

        Roles count apart: a claim that the api passes on is counted by both, once each.
        """
        if not settings.rate_limits:
            return None
        storage = RedisStorage(
            "redis://",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix=f"{prefix}missions-limits:{role}",
            connection_pool=projection.connection_pool,  # type: ignore[arg-type] # documented by limits, its annotation lacks it
        )
        return cls(settings, storage)

    async def admit(self, which: RouteClass, caller: str) -> None:
        """Counts a call. Raises a 429 problem when there have been too many."""
        wait = await self.count(which, caller)
        if wait is not None:
            raise self._too_many(which, wait)

    def refuse_blocked(self, which: RouteClass, caller: str) -> None:
        """Raises a 429 problem when an earlier call was one too many; counts nothing and asks nobody."""
        count = self._counts.get((which, caller))
        wait = count.blocked_until - self._clock() if count is not None else 0
        if wait > 0:
            raise self._too_many(which, wait)

    async def count(self, which: RouteClass, caller: str) -> float | None:
        """Counts a call. Gives the seconds until the next one is admitted, if this one is not."""
        now = self._clock()
        count = self._counts.get((which, caller))
        if count is None or now >= count.until:
            count = self._begin(which, caller, now)
        if count.left > 0:
            count.left -= 1
            return None
        if now < count.blocked_until:
            return count.blocked_until - now
        lease = ceil(self._settings.per_minute(which) / LEASES_PER_WINDOW)
        wait = await self._take(which, caller, lease, count)
        if wait is None:
            count.left += lease - 1
            return None
        count.blocked_until = now + wait
        count.until = max(count.until, count.blocked_until)
        return wait

    def _begin(self, which: RouteClass, caller: str, now: float) -> _Count:
        if len(self._counts) >= CALLERS_MAX:
            self._counts = {key: count for key, count in self._counts.items() if now < count.until}
            if len(self._counts) >= CALLERS_MAX:
                self._counts = {}
        count = self._counts[which, caller] = _Count(now + WINDOW_SECONDS)
        return count

    async def _take(self, which: RouteClass, caller: str, lease: int, count: _Count) -> float | None:
        """Takes calls from what is left of the minute. Gives the seconds to wait when nothing is."""
        now = self._clock()
        most = self._settings.per_minute(which)
        count.taken += lease
        if self._window is not None and now >= self._broken_until:
            item = RateLimitItemPerSecond(most, WINDOW_SECONDS)
            try:
                if await self._window.hit(item, which, caller, cost=lease):
                    return None
                over = (await self._window.get_window_stats(item, which, caller)).reset_time
            except StorageError as error:
                self._broken_until = now + BREAK_SECONDS
                _log.warning("rate_limits_alone", error=repr(error.storage_error))
            else:
                return min(max(over - time(), 1.0), WINDOW_SECONDS)
        return None if count.taken - lease < most else max(count.until - now, 1.0)

    def _too_many(self, which: RouteClass, wait: float) -> Problem:
        seconds = max(1, ceil(wait))
        most = self._settings.per_minute(which)
        what = "calls without a valid token from your address" if which is RouteClass.STRANGERS else f"{which} of yours"
        return Problem(
            TOO_MANY_REQUESTS,
            f"There were more than {most} {what} within a minute. Try again in {seconds} seconds.",
            headers={"Retry-After": str(seconds)},
        )


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """What is counted as one address: an IPv4 address, or the network that an IPv6 one is of."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(IPv6Address(int(parsed) >> IPV6_PREFIX_BITS << IPV6_PREFIX_BITS))
    return str(parsed)
