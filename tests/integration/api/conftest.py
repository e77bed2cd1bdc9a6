"""Fixtures of the api role's tests."""

import secrets
from collections.abc import AsyncIterator
from functools import partial

import pytest

from mission_events import TOPICS_IN
from services.adapters.kafka.admin import end_offsets, ensure_topics
from services.adapters.kafka.producer import Publisher
from services.adapters.ledger.catalogue import CatalogueStore
from services.adapters.ledger.connection import Pool
from services.adapters.ledger.dead_letters import DeadLetterStore
from services.adapters.ledger.questions import QuestionHistory
from services.adapters.ledger.sweep import SweepLedger
from services.adapters.ledger.users import Users
from services.adapters.projection import Projection
from services.adapters.question_files import load_questions
from services.adapters.tokens import TokenSettings, TokenVerifier
from services.api.app import Parts, ScheduledReset, create_app
from services.api.manage_missions import ManageMissions
from services.api.read_missions import ReadMissions
from services.api.select_questions import SelectQuestions
from services.api.take_events import EventPublisher, TakeEvents
from services.cli.topics import Wanted, wanted_topics
from services.missions.selection import QuestionCatalogue
from services.operations.catalogue import CatalogueWatcher
from services.operations.clockwork import Clockwork
from services.operations.dead_letters import DeadLetters
from services.operations.issue import Issuer
from services.operations.refresh import FreshCatalogue
from services.stack.server import Addresses
from tests.support.http import Client, Clock, claim_reward, claims, client_of, clock, tokens, upstreams, verifier
from tests.support.ledger import partition_of
from tests.support.roles import http_roles, start
from tests.support.routes import LETTERS

__all__ = ["claim_reward", "claims", "clock", "http_roles", "start", "tokens", "upstreams", "verifier"]


@pytest.fixture(scope="session")
async def topic_prefix(addresses: Addresses) -> str:
    """Topics in of these tests' own."""
    prefix = f"api-{secrets.token_hex(4)}."
    wanted = [*wanted_topics(prefix, 1), Wanted(LETTERS, 1)]
    await ensure_topics(addresses.kafka_bootstrap, wanted)
    return prefix


@pytest.fixture
async def events(addresses: Addresses) -> AsyncIterator[EventPublisher]:
    """The way into Kafka."""
    publisher = EventPublisher(lambda: Publisher(addresses.kafka_bootstrap, client_id="api-test"))
    yield publisher
    await publisher.close()


@pytest.fixture(scope="session")
def course() -> QuestionCatalogue:
    """The sample of questions."""
    return load_questions()


@pytest.fixture
async def parts(
    pool: Pool,
    projection: Projection,
    live_catalogue: CatalogueWatcher,
    verifier: TokenVerifier,
    events: EventPublisher,
    addresses: Addresses,
    topic_prefix: str,
    course: QuestionCatalogue,
) -> Parts:
    """What the api role is made of."""
    users = Users(pool, partition_of)
    issuer = Issuer(Users(pool, partition_of), projection, live_catalogue)
    topics = [topic.with_prefix(topic_prefix).name for topic in TOPICS_IN]
    read = ReadMissions(users, projection, issuer, FreshCatalogue(live_catalogue))
    return Parts(
        verifier=verifier,
        read=read,
        take=TakeEvents(events, users, topic_prefix),
        reset=ScheduledReset(
            Clockwork(
                SweepLedger(pool, partition_of),
                users,
                issuer,
                projection,
                live_catalogue,
                partial(end_offsets, addresses.kafka_bootstrap, topics),
            )
        ),
        questions=SelectQuestions(read, QuestionHistory(pool), course, FreshCatalogue(live_catalogue)),
        missions=ManageMissions(CatalogueStore(pool), live_catalogue),
        dead_letters=DeadLetters(DeadLetterStore(pool), addresses.kafka_bootstrap),
    )


@pytest.fixture
async def api(parts: Parts, tokens: TokenSettings, clock: Clock) -> AsyncIterator[Client]:
    """The api role."""
    client = client_of(create_app(parts, clock), tokens)
    yield client
    await client.http.aclose()
