"""Wires the claims role: HTTP -> ledger -> projection, until it is told to stop."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from fastapi import FastAPI

from services.adapters.http import create_http_app
from services.adapters.http_server import HttpServer, serve_until_signal
from services.adapters.inside import InsideServer, check
from services.adapters.ledger.users import Users
from services.adapters.rate_limits import RateLimits
from services.adapters.token_keys import TokenKeyError
from services.adapters.tokens import TokenVerifier
from services.operations.refresh import FreshCatalogue
from services.operations.repair import keep_repaired
from services.operations.startup import (
    VERSION,
    StartError,
    background,
    crash_points_of,
    load_catalogue,
    open_ledger,
    open_projection,
    partition_chooser,
    spare_collector,
)

from .claim_reward import STEPS, ClaimReward
from .routes import claims_router
from .settings import ClaimsSettings

DESCRIPTION = "Turns completed missions into rewards, once."


def utc_now() -> datetime:
    """The system's clock."""
    return datetime.now(UTC)


def create_app(
    claim_reward: ClaimReward,
    verifier: TokenVerifier,
    clock: Callable[[], datetime] = utc_now,
    limits: RateLimits | None = None,
) -> FastAPI:
    """The HTTP application of the claims role."""
    app = create_http_app("Missions: claims", DESCRIPTION, verifier, VERSION, limits=limits)
    app.include_router(claims_router(claim_reward, clock))
    return app


async def run(settings: ClaimsSettings) -> None:
    """Runs the claims role until SIGTERM or SIGINT. Raises `StartError` or `PortError` when it can't start."""
    crashes = crash_points_of("claims", STEPS)
    try:
        verifier = TokenVerifier.from_settings(settings)
    except TokenKeyError as error:
        raise StartError(error.problem, error.fix) from error
    ledger_of = open_ledger(settings, "claims", size=settings.postgres_connections, stateless=True)
    async with ledger_of as pool, open_projection(settings) as projection:
        catalogue = await load_catalogue(pool)
        users = Users(pool, partition_chooser(settings))
        claim_reward = ClaimReward(users, projection, FreshCatalogue(catalogue), crashes.at_step)
        limits = RateLimits.connect(settings, projection, "claims", settings.topic_prefix)
        app = create_app(claim_reward, verifier, limits=limits)
        server = HttpServer(
            app, settings.http_host, settings.http_port, variable="MISSIONS_HTTP_PORT", proxies=settings.trusted_proxies
        )
        server.bind()

        async def ready() -> Mapping[str, str | None]:
            return {
                "postgres": await check(users.ping),
                "token_keys": verifier.keys.trouble(),
                "http": server.trouble(),
            }

        inside = InsideServer(settings.inside_port, lambda: None, ready, host=settings.inside_host)
        works = (catalogue.watch(), keep_repaired(projection, users.load), verifier.keys.watch())
        spare_collector()
        async with background(*works), inside.running():
            await serve_until_signal(server)
