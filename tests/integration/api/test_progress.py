"""POST /missions/progress: events over HTTP go the way of all events, and the caller learns what became of each."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mission_events import LearningData, encode_event
from mission_events.topics import LEARNING_PARTITIONS
from services.adapters.kafka.producer import Publisher, partition_for
from services.adapters.kafka.reader import read_from
from services.adapters.tokens import TokenKind, TokenSettings
from services.api.app import Parts, create_app
from services.api.take_events import EventPublisher, TakeEvents
from services.stack.server import Addresses
from tests.support.events import lesson, xp
from tests.support.http import Client, Clock, Json, Upstreams, client_of, problem
from tests.support.proxy import Proxy, proxy_to


def event(user: str, data: LearningData, clock: Clock, event_id: str | None = None) -> Json:
    """A CloudEvent as an upstream sends it."""
    identity = event_id or secrets.token_hex(8)
    encoded = encode_event(data, event_id=identity, source="upstream", subject=user, time=clock.now)
    decoded: Json = json.loads(encoded)
    return decoded


async def records_of(addresses: Addresses, topic: str, user: str) -> list[tuple[int, bytes | None]]:
    """(partition, value) of a user's records."""
    found = []
    async for partition, record in read_from(addresses.kafka_bootstrap, topic):
        if record.key == user.encode():
            found.append((partition.partition, record.value))
    return found


async def test_one_event_goes_into_its_topic_under_its_users_key(
    api: Client, addresses: Addresses, topic_prefix: str, clock: Clock
) -> None:
    user = f"ada-{secrets.token_hex(4)}"  # others publish to the same topic
    sent = event(user, xp(20), clock)
    body = json.dumps(sent, indent=2).encode()
    headers = api.headers(TokenKind.SERVICE, Content_Type="application/cloudevents+json")

    answer = await api.http.post("/missions/progress", content=body, headers=headers)

    assert answer.status_code == 202
    assert answer.json() == {"outcomes": [{"index": 0, "outcome": "accepted", "id": sent["id"]}]}
    [(partition, value)] = await records_of(addresses, f"{topic_prefix}learning.xp-earned", user)
    assert value == body
    assert partition == partition_for(user.encode(), LEARNING_PARTITIONS)


async def test_each_event_of_a_batch_has_its_own_outcome(
    api: Client, addresses: Addresses, topic_prefix: str, clock: Clock
) -> None:
    good = event("ben", lesson(), clock)
    negative = event("ben", xp(1), clock) | {"data": {"amount": -5, "xp_source": "lesson"}}
    unknown = event("ben", xp(1), clock) | {"type": "learning.coffee-brewed.v1"}
    future = event("ben", xp(1), clock) | {"time": (clock.now + timedelta(hours=1)).isoformat()}
    anonymous = {name: value for name, value in event("ben", xp(1), clock).items() if name != "subject"}

    answer = await api.post("/missions/progress", [good, negative, unknown, future, anonymous, 7])

    assert answer.status_code == 202
    outcomes = answer.json()["outcomes"]
    assert [o["index"] for o in outcomes] == [0, 1, 2, 3, 4, 5]
    assert [(o["outcome"], o.get("reason"), o.get("pointer")) for o in outcomes] == [
        ("accepted", None, None),
        ("invalid", "out_of_range", "/data/amount"),
        ("unknown_type", None, None),
        ("invalid", "time_in_future", "/time"),
        ("invalid", "missing_field", "/subject"),
        ("invalid", "not_an_object", ""),
    ]
    assert all(o.get("detail") for o in outcomes[1:])
    assert len(await records_of(addresses, f"{topic_prefix}learning.lesson-completed", "ben")) == 1
    assert await records_of(addresses, f"{topic_prefix}learning.xp-earned", "ben") == []


async def test_prefer_wait_answers_with_what_came_of_it(
    api: Client, upstreams: Upstreams, addresses: Addresses, topic_prefix: str, clock: Clock
) -> None:
    sent = event("cara", xp(20), clock)
    call = asyncio.create_task(api.post("/missions/progress", sent, Prefer="respond-async, wait=10"))

    topic = f"{topic_prefix}learning.xp-earned"
    while not (records := await records_of(addresses, topic, "cara")):
        assert not call.done()
    assert records[0][1] is not None
    await upstreams.record("learning.xp-earned", "cara", records[0][1], clock.now)
    answer = await call

    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=10"
    assert answer.json()["outcomes"][0]["applied"] is True
    missions = {m["mission_id"]: m for m in answer.json()["missions"]["cara"]}
    assert (missions["daily-xp-20"]["progress"], missions["daily-xp-20"]["status"]) == (20, "COMPLETED")


async def test_waiting_ends_when_nothing_comes(api: Client, clock: Clock) -> None:
    answer = await api.post("/missions/progress", event("dan", xp(5), clock), Prefer="wait=0")
    assert answer.status_code == 202
    assert answer.json()["outcomes"][0]["applied"] is False
    assert answer.json()["missions"] == {}


async def test_an_event_sent_again_has_taken_effect_already(api: Client, upstreams: Upstreams, clock: Clock) -> None:
    sent = event("eve", xp(5), clock)
    await upstreams.record("learning.xp-earned", "eve", json.dumps(sent).encode(), clock.now)
    answer = await api.post("/missions/progress", [sent, sent], Prefer="wait=5")
    assert answer.status_code == 200
    assert [o["applied"] for o in answer.json()["outcomes"]] == [True, True]
    missions = {m["mission_id"]: m["progress"] for m in answer.json()["missions"]["eve"]}
    assert missions["daily-xp-20"] == 5


async def test_bodies_that_are_no_events_are_refused(api: Client, clock: Clock) -> None:
    headers = api.headers(TokenKind.SERVICE, Content_Type="application/json")
    for body in (b"", b"{", b"[1,", b'{"a": 1} {"b": 2}', b"\xef\xbb\xbf{}"):
        problem(await api.http.post("/missions/progress", content=body, headers=headers), 400, "invalid-json")
    problem(await api.post("/missions/progress", []), 422, "invalid-request")
    problem(await api.post("/missions/progress", [{}] * 501), 413, "too-large")
    problem(await api.post("/missions/progress", {"padding": "x" * 1_100_000}), 413, "too-large")
    wrong_type = api.headers(TokenKind.SERVICE, Content_Type="text/plain")
    problem(await api.http.post("/missions/progress", content=b"{}", headers=wrong_type), 415, "unsupported-media-type")
    assert (await api.post("/missions/progress", [{}] * 500)).status_code == 202


async def test_a_large_event_in_a_batch_is_told_apart(api: Client, clock: Clock) -> None:
    large = event("finn", xp(5), clock) | {"padding": "x" * 70_000}
    answer = await api.post("/missions/progress", [large, event("finn", xp(5), clock)])
    assert [o["outcome"] for o in answer.json()["outcomes"]] == ["invalid", "accepted"]
    assert answer.json()["outcomes"][0]["reason"] == "oversize"


@pytest.fixture
async def kafka_network(addresses: Addresses) -> AsyncIterator[Proxy]:
    """A way to Kafka that is cut: nobody answers there."""
    async with proxy_to(addresses.kafka_bootstrap) as proxy:
        proxy.cut()
        yield proxy


async def test_without_kafka_nothing_is_taken_and_the_caller_sends_again(
    parts: Parts,
    kafka_network: Proxy,
    tokens: TokenSettings,
    clock: Clock,
    topic_prefix: str,
    addresses: Addresses,
) -> None:
    where = [f"127.0.0.1:{kafka_network.port}"]
    events = EventPublisher(lambda: Publisher(where[0], client_id="api-test"))
    take = TakeEvents(events, parts.take._users, topic_prefix)
    client = client_of(create_app(replace(parts, take=take), clock), tokens)
    sent = event("gus", xp(5), clock)

    answer = await client.post("/missions/progress", sent)

    problem(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    where[0] = addresses.kafka_bootstrap  # Kafka is back
    assert (await client.post("/missions/progress", sent)).status_code == 202
    assert len(await records_of(addresses, f"{topic_prefix}learning.xp-earned", "gus")) == 1
    await events.close()
    await client.http.aclose()


async def test_a_reset_issues_what_begins_and_ends_what_is_over(
    api: Client, upstreams: Upstreams, clock: Clock
) -> None:
    clock.now = datetime.now(UTC) - timedelta(days=3)
    for user in ("hal", "ida"):
        await upstreams.send(user, xp(1))

    tomorrow = (clock.now + timedelta(days=1)).isoformat()
    first = await api.http.post(
        "/missions/resetDaily", params={"now": tomorrow}, headers=api.headers(TokenKind.SERVICE)
    )
    again = await api.post("/missions/resetDaily", {"now": tomorrow})
    weekly = await api.post("/missions/resetWeekly", {"now": tomorrow})

    assert [answer.status_code for answer in (first, again, weekly)] == [200, 200, 200]
    assert first.json()["counts"]["issued"] >= 2
    assert again.json()["counts"] == {"issued": 0, "claimed": 0, "expired": 0}
    assert weekly.json()["counts"] == {"issued": 0, "claimed": 0, "expired": 0}
    assert datetime.fromisoformat(first.json()["now"]) == clock.now + timedelta(days=1)


async def test_a_reset_without_a_time_acts_now(api: Client, clock: Clock) -> None:
    answer = await api.http.post("/missions/resetDaily", headers=api.headers(TokenKind.SERVICE))
    assert answer.status_code == 200
    assert datetime.fromisoformat(answer.json()["now"]) == clock.now


async def test_a_reset_at_no_time_is_refused(api: Client) -> None:
    problem(await api.post("/missions/resetDaily", {"now": "tomorrow"}), 422, "invalid-request")
    problem(await api.post("/missions/resetDaily?now=2026-11-25T00:00:00", None), 422, "invalid-request")
    for number in ("0", "1764028800"):
        problem(await api.post(f"/missions/resetDaily?now={number}", None), 422, "invalid-request")
    problem(await api.post("/missions/resetDaily", {"now": 0}), 422, "invalid-request")
