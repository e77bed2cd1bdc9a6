"""The HTTP roles in the test's own process, on real servers: their apps, tokens for them, and upstreams that feed the ledger."""

import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from mission_events import LearningData, encode_event, topic_of
from mission_events.learning import LEARNING_TYPES
from services.adapters.kafka.records import Batch, PartitionId
from services.adapters.ledger.batch import BatchLedger
from services.adapters.ledger.connection import Pool
from services.adapters.ledger.users import Users
from services.adapters.projection import Projection
from services.adapters.tokens import TokenKind, TokenSettings, TokenVerifier, mint
from services.claims.app import create_app as create_claims_app
from services.claims.claim_reward import ClaimReward
from services.operations.catalogue import CatalogueWatcher
from services.operations.refresh import FreshCatalogue
from services.processor.apply_batch import ApplyBatch
from tests.support.ledger import partition_of

Json = dict[str, Any]


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True)
class Sent:
    """A record as the processor gets it."""

    offset: int
    timestamp: int
    key: bytes
    value: bytes
    timestamp_type: int = 0
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass
class Upstreams:
    """What learners do, applied by the processor's own use case as if Kafka had delivered it."""

    apply: ApplyBatch
    clock: Clock
    next_offset: dict[str, int] = field(default_factory=dict)

    async def send(self, user: str, *data: LearningData, at: datetime | None = None) -> None:
        """Events of one user, at the clock's time unless said otherwise."""
        for one in data:
            event_type = LEARNING_TYPES[type(one)]
            time = at or self.clock.now
            value = encode_event(one, event_id=secrets.token_hex(8), source="test", subject=user, time=time)
            await self.record(topic_of(event_type).name, user, value, time)

    async def record(self, topic: str, user: str, value: bytes, time: datetime) -> None:
        """One record."""
        offset = self.next_offset.get(topic, 0)
        self.next_offset[topic] = offset + 1
        record = Sent(offset, int(time.timestamp() * 1000), user.encode(), value)
        await self.apply(Batch(PartitionId(topic, 0), [record], offset, offset + 1, 0))


@dataclass
class Client:
    """Calls an app as somebody with a token."""

    http: httpx.AsyncClient
    tokens: TokenSettings

    def headers(self, kind: TokenKind, subject: str | None = None, **more: str) -> dict[str, str]:
        """An Authorization header, and others with `_` for `-`."""
        token = mint(self.tokens, subject, kind, timedelta(hours=1))
        return {"Authorization": f"Bearer {token}", **{name.replace("_", "-"): value for name, value in more.items()}}

    async def get(self, user: str, path: str, **headers: str) -> httpx.Response:
        """A GET of a user."""
        return await self.http.get(path, headers=self.headers(TokenKind.USER, user, **headers))

    async def missions(self, user: str, query: str = "") -> dict[str, Json]:
        """What `GET /missions` shows, by mission id."""
        answer = await self.get(user, f"/missions{query}")
        assert answer.status_code == 200, answer.text
        return {mission["mission_id"]: mission for mission in answer.json()["missions"]}

    async def claim(self, user: str, assignment_id: object, **headers: str) -> httpx.Response:
        """A claim of a user."""
        body = {"assignment_id": assignment_id}
        return await self.http.post("/missions/claim", json=body, headers=self.headers(TokenKind.USER, user, **headers))

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """A POST of a service."""
        return await self.http.post(path, json=body, headers=self.headers(TokenKind.SERVICE, **headers))


def client_of(app: FastAPI, tokens: TokenSettings) -> Client:
    """A client that calls the app without a network between."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    return Client(httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60), tokens)


def problem(response: httpx.Response, status: int, name: str) -> Mapping[str, Any]:
    """Checks that a response is the problem of this name, and gives its document."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["type"] == f"/problems/{name}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> TokenSettings:
    """Tokens of a development key of the session's own."""
    key: Path = tmp_path_factory.mktemp("key") / "key.pem"
    return TokenSettings(environment="development", development_key_file=key)


@pytest.fixture(scope="session")
def verifier(tokens: TokenSettings) -> TokenVerifier:
    """Verifies them."""
    return TokenVerifier.from_settings(tokens)


@pytest.fixture
def clock() -> Clock:
    """Stands at the moment at which the test began."""
    return Clock(datetime.now(UTC))


@pytest.fixture
def upstreams(pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher, clock: Clock) -> Upstreams:
    """The way in for events."""
    return Upstreams(ApplyBatch(BatchLedger(pool, partition_of), projection, live_catalogue, lanes_max=1), clock)


@pytest.fixture
def claim_reward(pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher) -> ClaimReward:
    """The use case of the claims role."""
    return ClaimReward(Users(pool, partition_of), projection, FreshCatalogue(live_catalogue))


@pytest.fixture
async def claims(
    claim_reward: ClaimReward, verifier: TokenVerifier, tokens: TokenSettings, clock: Clock
) -> AsyncIterator[Client]:
    """The claims role."""
    client = client_of(create_claims_app(claim_reward, verifier, clock), tokens)
    yield client
    await client.http.aclose()
