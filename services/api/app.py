"""Wires the api role: HTTP -> projection, ledger and Kafka, until it is told to stop."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
from fastapi import FastAPI

from mission_events import TOPICS_IN
from services.adapters.http import create_http_app
from services.adapters.http_server import HttpServer, serve_until_signal
from services.adapters.inside import InsideServer, check
from services.adapters.kafka.admin import end_offsets, missing_topics
from services.adapters.kafka.errors import BrokerUnreachable, TopicsMissing
from services.adapters.kafka.producer import Publisher
from services.adapters.ledger.connection import BATCH_PLANNER_SETTINGS, Pool, is_passing
from services.adapters.ledger.questions import QuestionHistory
from services.adapters.ledger.sweep import SweepLedger
from services.adapters.ledger.users import Users
from services.adapters.ledger.writer import UserLedger
from services.adapters.logs import get_logger
from services.adapters.projection import Projection
from services.adapters.question_files import QuestionFileError, load_questions
from services.adapters.tokens import TokenKeyError, TokenVerifier
from services.missions.selection import QuestionCatalogue
from services.operations.catalogue import CatalogueWatcher
from services.operations.expire import EndOffsets, expire_overdue
from services.operations.issue import Issuer, issue_all
from services.operations.refresh import FreshCatalogue
from services.operations.repair import keep_repaired
from services.operations.startup import VERSION, StartError, background, load_catalogue, open_ledger, partition_chooser

from . import routes_questions, routes_service, routes_user
from .forward_claims import claims_client, claims_router
from .read_missions import LedgerUnavailable, ReadMissions
from .routes_questions import questions_router
from .routes_service import PeriodKind, ResetPeriods, progress_router, reset_router
from .routes_user import gains_router, missions_router
from .select_questions import SelectQuestions
from .settings import ApiSettings
from .take_events import EventPublisher, TakeEvents

DESCRIPTION = "Missions of a learning app: what a user sees, what upstream services tell, and what a cron may ask for."

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
    claims: httpx.AsyncClient | None = None
    """Where POST /missions/claim is passed on to; without it the route is absent."""
    questions: SelectQuestions | None = None
    """The question selector; without it the route is absent."""


def utc_now() -> datetime:
    """The system's clock."""
    return datetime.now(UTC)


def create_app(parts: Parts, clock: Callable[[], datetime] = utc_now) -> FastAPI:
    """The HTTP application of the api role."""
    schemas = {**routes_user.SCHEMAS, **routes_service.SCHEMAS, **routes_questions.SCHEMAS}
    app = create_http_app("Missions", DESCRIPTION, parts.verifier, VERSION, schemas)
    app.include_router(missions_router(parts.read, clock))
    app.include_router(gains_router(parts.read))
    if parts.claims is not None:
        app.include_router(claims_router(parts.claims))
    if parts.questions is not None:
        app.include_router(questions_router(parts.questions, clock))
    app.include_router(progress_router(parts.take, parts.read, clock))
    app.include_router(reset_router(parts.reset, clock))
    return app


class ScheduledReset:
    """Does for a cron what the scheduler does by itself. A week begins with a day, so both kinds look at everything that is due."""

    def __init__(
        self, ledger: SweepLedger, issuer: Issuer, catalogue: CatalogueWatcher, end_offsets: EndOffsets
    ) -> None:
        self._ledger = ledger
        self._issuer = issuer
        self._catalogue = catalogue
        self._end_offsets = end_offsets

    async def __call__(self, kind: PeriodKind, now: datetime) -> Mapping[str, int]:
        """Assignments issued and expired. Raises `LedgerUnavailable`; what was done until then stays done."""
        try:
            issued = await issue_all(self._ledger, self._issuer, now)
            expired = await expire_overdue(self._ledger, self._catalogue, self._end_offsets, now)
        except Exception as error:
            if not isinstance(error, BrokerUnreachable) and not is_passing(error):
                raise
            raise LedgerUnavailable from error
        _log.info("reset", kind=kind, now=now.isoformat(), issued=issued, expired=expired)
        return {"issued": issued, "expired": expired}


async def run(settings: ApiSettings) -> None:
    """Runs the api role until SIGTERM or SIGINT. Raises `StartError`, `PortError` or `TopicsMissing` when it can't start."""
    try:
        verifier = TokenVerifier.from_settings(settings)
    except TokenKeyError as error:
        raise StartError(error.problem, error.fix) from error
    questions = _load_questions(settings)
    topics = [topic.with_prefix(settings.topic_prefix).name for topic in TOPICS_IN]
    await _require_topics(settings.kafka_bootstrap, topics)
    connections = settings.postgres_connections
    async with open_ledger(settings, "api", size=connections, planner=BATCH_PLANNER_SETTINGS) as pool:
        catalogue = await load_catalogue(pool)
        async with _parts(settings, verifier, pool, catalogue, topics, questions) as parts:
            await _serve(settings, create_app(parts), pool)


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
        projection = Projection.connect(
            settings.redis_url.get_secret_value(), settings.topic_prefix, timeout_seconds=PROJECTION_SECONDS
        )
        closing.push_async_callback(projection.close)
        events = EventPublisher(lambda: Publisher(settings.kafka_bootstrap, client_id="missions-api"))
        closing.push_async_callback(events.close)
        claims = claims_client(str(settings.claims_url)) if settings.claims_url else None
        if claims is not None:
            closing.push_async_callback(claims.aclose)
        chooser = partition_chooser(settings)
        users = Users(pool, chooser)
        await closing.enter_async_context(background(catalogue.watch(), keep_repaired(projection, users.load)))
        issuer = Issuer(UserLedger(pool, chooser), projection, catalogue, settings.streak_source)
        read = ReadMissions(users, projection, issuer, FreshCatalogue(catalogue))
        reset = ScheduledReset(
            SweepLedger(pool, chooser), issuer, catalogue, lambda: end_offsets(settings.kafka_bootstrap, topics)
        )
        select = SelectQuestions(read, QuestionHistory(pool), questions, FreshCatalogue(catalogue))
        yield Parts(verifier, read, TakeEvents(events, users, settings.topic_prefix), reset, claims, select)


async def _serve(settings: ApiSettings, app: FastAPI, pool: Pool) -> None:
    server = HttpServer(app, settings.http_host, settings.http_port, variable="MISSIONS_HTTP_PORT")
    server.bind()

    async def ready() -> Mapping[str, str | None]:
        # Redis and Kafka are not in here: without them the role still answers most calls, and restarting it mends nothing.
        return {"postgres": await check(lambda: pool.fetchval("select 1")), "http": server.trouble()}

    async with InsideServer(settings.inside_port, lambda: None, ready, host=settings.inside_host).running():
        await serve_until_signal(server)


async def _require_topics(bootstrap: str, topics: list[str]) -> None:
    """Raises `TopicsMissing`. While Kafka is away the role starts all the same: reading missions needs none."""
    try:
        missing = await missing_topics(bootstrap, topics)
    except BrokerUnreachable as error:
        _log.warning("kafka_unreachable", error=str(error))
        return
    if missing:
        raise TopicsMissing(missing, bootstrap)
