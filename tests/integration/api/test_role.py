"""The api and claims roles as processes: they refuse to start half-ready, and end without cutting anybody off."""

import asyncio
import json
import signal
from datetime import UTC, datetime

import httpx
import pytest

from mission_events import encode_event
from services.adapters.tokens import TokenSettings
from tests.support.events import xp
from tests.support.http import Client, Json
from tests.support.roles import Start
from tests.support.stack import free_port
from tests.support.system import until

END_SECONDS = 10
"""From SIGTERM to the end of a role, at most."""


@pytest.mark.parametrize("role", ["api", "claims"])
async def test_production_without_a_key_refuses_to_start(start: Start, role: str) -> None:
    async with start(role, MISSIONS_ENVIRONMENT="production") as running:
        _, errors = await running.process.communicate()
    assert running.process.returncode == 1
    assert "MISSIONS_JWT_PUBLIC_KEY_FILE" in errors.decode()
    assert "Traceback" not in errors.decode()


async def test_without_topics_the_api_refuses_to_start(start: Start) -> None:
    async with start("api", MISSIONS_TOPIC_PREFIX="nobody-made-these.") as running:
        _, errors = await running.process.communicate()
    assert running.process.returncode == 1
    assert "nobody-made-these.learning.xp-earned" in errors.decode()
    assert "missions topics apply" in errors.decode()


async def test_the_api_serves_reads_while_kafka_is_away(start: Start, tokens: TokenSettings) -> None:
    async with start("api", MISSIONS_KAFKA_BOOTSTRAP=f"127.0.0.1:{free_port()}") as running:
        await running.ready()
        async with httpx.AsyncClient(base_url=running.url, timeout=30) as http:
            client = Client(http, tokens)
            assert "daily-lesson-1" in await client.missions("ada")
            assert (await client.post("/missions/progress", event("ada"))).status_code == 503


@pytest.mark.parametrize("role", ["api", "claims"])
async def test_nothing_inside_is_outside_and_the_end_is_clean(start: Start, role: str) -> None:
    async with start(role) as running:
        await running.ready()
        async with httpx.AsyncClient() as http:
            metrics = (await http.get(f"{running.inside_url}/metrics")).text
            assert f'mission_build_info{{role="{role}"' in metrics
            assert (await http.get(f"{running.url}/metrics")).status_code == 404
            assert (await http.get(f"{running.url}/openapi.json")).status_code == 200
        running.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(END_SECONDS):
            await running.process.communicate()
        assert running.process.returncode == 0


async def test_a_call_that_has_begun_is_answered_before_the_end(start: Start, tokens: TokenSettings) -> None:
    async with start("api") as running:
        await running.ready()
        async with httpx.AsyncClient(base_url=running.url, timeout=30) as http:
            client = Client(http, tokens)
            waiting = asyncio.create_task(client.post("/missions/progress", event("ben"), Prefer="wait=2"))
            async with httpx.AsyncClient() as inside:

                async def is_taken() -> bool:
                    metrics = (await inside.get(f"{running.inside_url}/metrics")).text
                    return 'mission_http_events_total{outcome="accepted"} 1.0' in metrics

                await until(is_taken, "the event to be taken")
            running.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(END_SECONDS):
                answer = await waiting
                await running.process.communicate()
        assert answer.status_code == 202
        assert answer.json()["outcomes"][0] == {"index": 0, "outcome": "accepted", "id": "drain-1", "applied": False}
        assert running.process.returncode == 0


def event(user: str) -> Json:
    value = encode_event(xp(5), event_id="drain-1", source="upstream", subject=user, time=datetime.now(UTC))
    decoded: Json = json.loads(value)
    return decoded
