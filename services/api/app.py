"""Wires the api role: HTTP -> projection, ledger and Kafka, until it is told to stop."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from fastapi import FastAPI

from mission_events import TOPICS_IN
from services.adapters.http import create_http_app
from services.adapters.http_server import HttpServer, serve_until_signal
from services.adapters.inside import InsideServer, check
from services.adapters.kafka.access import security_of
from services.adapters.kafka.admin import end_offsets, missing_topics
from services.adapters.kafka.errors import BrokerRefuses, BrokerUnreachable, TopicsMissing
from services.adapters.kafka.producer import Publisher
from services.adapters.ledger.catalogue import CatalogueStore
from services.adapters.ledger.connection import BATCH_PLANNER_SETTINGS, Pool, is_passing
from services.adapters.ledger.dead_letters import DeadLetterStore
from services.adapters.ledger.questions import QuestionHistory
from services.adapters.ledger.sweep import SweepLedger
from services.adapters.ledger.users import Users
from services.adapters.logs import get_logger
from services.adapters.question_files import QuestionFileError, load_questions
from services.adapters.rate_limits import RateLimits
from services.adapters.token_keys import TokenKeyError
from services.adapters.tokens import TokenVerifier
from services.missions.selection import QuestionCatalogue
from services.operations.catalogue import CatalogueWatcher
from services.operations.clockwork import Clockwork
from services.operations.dead_letters import DeadLetters
from services.operations.issue import Issuer
from services.operations.refresh import FreshCatalogue
from services.operations.repair import keep_repaired
from services.operations.startup import (
    VERSION,
    StartError,
    background,
    load_catalogue,
    open_ledger,
    open_projection,
    partition_chooser,
    spare_collector,
)

from . import routes_admin, routes_dead_letters, routes_questions, routes_service, routes_user
from .forward_claims import ClaimsClient, claims_router
from .manage_missions import ManageMissions
from .read_missions import LedgerUnavailable, ReadMissions
from .routes_admin import drafts_router, publishing_router
from .routes_dead_letters import dead_letters_router
from .routes_questions import questions_router
from .routes_service import PeriodKind, ResetPeriods, progress_router, reset_router
from .routes_user import gains_router, missions_router
from .select_questions import SelectQuestions
from .settings import ApiSettings
from .take_events import EventPublisher, TakeEvents

DESCRIPTION = (
    "Missions of a learning app: what a user sees, what upstream services tell, what a cron may ask for, "
    "and what operators do with missions."
)

PROJECTION_SECONDS = 0.25
"""A read waits so long for Redis before it asks the ledger: well above a busy Redis' answer, well below what a user notices."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes work with."""

    verifier: TokenVerifier
    read: ReadMissions
    take: TakeEvents
    reset: ResetPeriods
    claims: ClaimsClient | None = None
    """Where POST /missions/claim is passed on to; without it the route is absent."""
    questions: SelectQuestions | None = None
    """The question selector; without it the route is absent."""
    missions: ManageMissions | None = None
    """What operators do with missions; without it the routes are absent."""
    limits: RateLimits | None = None
    """How much one caller may ask for; without it, as much as they like."""
    dead_letters: DeadLetters | None = None
    """What operators do with dead letters; without it the routes are absent."""


def utc_now() -> datetime:
    """The system's clock."""
    return datetime.now(UTC)


def create_app(parts: Parts, clock: Callable[[], datetime] = utc_now) -> FastAPI:
    """The HTTP application of the api role."""
    schemas = {**routes_user.SCHEMAS, **routes_service.SCHEMAS, **routes_questions.SCHEMAS}
    schemas |= {**routes_admin.SCHEMAS, **routes_dead_letters.SCHEMAS}
    app = create_http_app("Missions", DESCRIPTION, parts.verifier, VERSION, schemas, parts.limits)
    app.include_router(missions_router(parts.read, clock))
    app.include_router(gains_router(parts.read))
    if parts.claims is not None:
        app.include_router(claims_router(parts.claims))
    if parts.questions is not None:
        app.include_router(questions_router(parts.questions, clock))
    if parts.missions is not None:
        app.include_router(drafts_router(parts.missions))
        app.include_router(publishing_router(parts.missions, clock))
    if parts.dead_letters is not None:
        app.include_router(dead_letters_router(parts.dead_letters))
    app.include_router(progress_router(parts.take, parts.read, clock))
    app.include_router(reset_router(parts.reset, clock))
    return app


class ScheduledReset:
    """Does for a cron what the scheduler does by itself. A week begins with a day, so both kinds look at everything that is due."""

    def __init__(self, clockwork: Clockwork) -> None:
        self._clockwork = clockwork

    async def __call__(self, kind: PeriodKind, now: datetime) -> Mapping[str, int]:
        """Assignments issued, claimed by themselves, and expired. Raises `LedgerUnavailable`; what was done until then stays done."""
        try:
            claimed = await self._clockwork.claim(now)
            expired = await self._clockwork.end(now)
            issued = await self._clockwork.begin(now)
        except Exception as error:
            if not isinstance(error, BrokerUnreachable) and not is_passing(error):
                raise
            raise LedgerUnavailable from error
        _log.info("reset", kind=kind, now=now.isoformat(), issued=issued, claimed=claimed, expired=expired)
        return {"issued": issued, "claimed": claimed, "expired": expired}


async def run(settings: ApiSettings) -> None:
    """Runs the api role until SIGTERM or SIGINT. Raises `StartError`, `PortError` or `TopicsMissing` when it can't start."""
    try:
        verifier = TokenVerifier.from_settings(settings)
    except TokenKeyError as error:
        raise StartError(error.problem, error.fix) from error
    questions = _load_questions(settings)
    topics = [topic.with_prefix(settings.topic_prefix).name for topic in TOPICS_IN]
    await _require_topics(settings, topics)
    connections = settings.postgres_connections
    async with open_ledger(settings, "api", size=connections, planner=BATCH_PLANNER_SETTINGS, stateless=True) as pool:
        catalogue = await load_catalogue(pool)
        async with _parts(settings, verifier, pool, catalogue, topics, questions) as parts:
            await _serve(settings, create_app(parts), pool, verifier)


def _load_questions(settings: ApiSettings) -> QuestionCatalogue:
    try:
        return load_questions(settings.questions)
    except QuestionFileError as error:
        raise StartError(str(error), "mend the files, or point MISSIONS_QUESTIONS at others") from error


@asynccontextmanager
async def _parts(
    settings: ApiSettings,
    verifier: TokenVerifier,
    pool: Pool,
    catalogue: CatalogueWatcher,
    topics: list[str],
    questions: QuestionCatalogue,
) -> AsyncIterator[Parts]:
    async with AsyncExitStack() as closing:
        projection = await closing.enter_async_context(open_projection(settings, timeout_seconds=PROJECTION_SECONDS))
        security = security_of(settings)
        events = EventPublisher(
            lambda: Publisher(settings.kafka_bootstrap, client_id="missions-api", security=security)
        )
        closing.push_async_callback(events.close)
        claims = ClaimsClient(str(settings.claims_url)) if settings.claims_url else None
        if claims is not None:
            closing.push_async_callback(claims.aclose)
        chooser = partition_chooser(settings)
        users = Users(pool, chooser)
        await closing.enter_async_context(
            background(catalogue.watch(), keep_repaired(projection, users.load), verifier.keys.watch())
        )
        issuer = Issuer(users, projection, catalogue, settings.streak_source)
        read = ReadMissions(users, projection, issuer, FreshCatalogue(catalogue))
        sweep = SweepLedger(pool, chooser)
        ends = partial(end_offsets, settings.kafka_bootstrap, topics, security=security)
        reset = ScheduledReset(Clockwork(sweep, users, issuer, projection, catalogue, ends))
        select = SelectQuestions(read, QuestionHistory(pool), questions, FreshCatalogue(catalogue))
        missions = ManageMissions(CatalogueStore(pool), catalogue)
        limits = RateLimits.connect(settings, projection, "api", settings.topic_prefix)
        letters = DeadLetters(DeadLetterStore(pool), settings.kafka_bootstrap, security_of(settings))
        take = TakeEvents(events, users, settings.topic_prefix)
        yield Parts(verifier, read, take, reset, claims, select, missions, limits, letters)


async def _serve(settings: ApiSettings, app: FastAPI, pool: Pool, verifier: TokenVerifier) -> None:
    server = HttpServer(
        app, settings.http_host, settings.http_port, variable="MISSIONS_HTTP_PORT", proxies=settings.trusted_proxies
    )
    server.bind()

    async def ready() -> Mapping[str, str | None]:
        # Redis and Kafka are not in here: without them the role still answers most calls, and restarting it mends nothing.
        return {
            "postgres": await check(lambda: pool.fetchval("select 1")),
            "token_keys": verifier.keys.trouble(),
            "http": server.trouble(),
        }

    spare_collector()
    async with InsideServer(settings.inside_port, lambda: None, ready, host=settings.inside_host).running():
        await serve_until_signal(server)


async def _require_topics(settings: ApiSettings, topics: list[str]) -> None:
    """Raises `TopicsMissing` and `BrokerRefuses`. While Kafka is away the role starts all the same: reading missions needs none."""
    try:
        missing = await missing_topics(settings.kafka_bootstrap, topics, security=security_of(settings))
    except BrokerRefuses:
        raise
    except BrokerUnreachable as error:
        _log.warning("kafka_unreachable", error=str(error))
        return
    if missing:
        raise TopicsMissing(missing, settings.kafka_bootstrap)
