"""The ports of a role: probes and metrics inside, callers outside, and an end that cuts nobody off."""

import asyncio
import os
import signal
import socket

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from services.adapters.http_server import HttpServer, PortError, running, serve_until_signal
from services.adapters.inside import InsideServer, check


def fine() -> None:
    return None


async def all_well() -> dict[str, str | None]:
    return {"postgres": None}


async def test_the_inside_port_tells_probes_and_prometheus() -> None:
    inside = InsideServer(0, fine, all_well)
    async with inside.running(), httpx.AsyncClient(base_url=f"http://127.0.0.1:{inside.port}") as client:
        live, ready, metrics = [await client.get(path) for path in ("/livez", "/readyz", "/metrics")]
        assert (live.status_code, live.json()["status"]) == (200, "ok")
        assert ready.json() == {"status": "ok", "checks": {"postgres": "ok"}}
        assert metrics.headers["content-type"].startswith("text/plain")
        assert "# HELP mission_http_requests_total " in metrics.text
        wanted = {"Accept": "application/openmetrics-text; version=1.0.0"}
        assert (await client.get("/metrics", headers=wanted)).text.rstrip().endswith("# EOF")
        assert (await client.get("/missions")).status_code == 404, "nothing of the outside is in here"
    with pytest.raises(httpx.ConnectError):
        await httpx.AsyncClient().get(f"http://127.0.0.1:{inside.port}/livez")


async def test_a_failing_check_makes_the_role_not_ready_and_says_which() -> None:
    async def broken() -> None:
        raise ConnectionError("no route")

    async def silent() -> None:
        await asyncio.Event().wait()

    async def ready() -> dict[str, str | None]:
        return {"redis": await check(all_well), "kafka": await check(broken), "postgres": await check(silent)}

    inside = InsideServer(0, lambda: "the loop is stuck", ready)
    async with inside.running(), httpx.AsyncClient(base_url=f"http://127.0.0.1:{inside.port}") as client:
        response = await client.get("/readyz")
        assert response.status_code == 503
        assert response.json()["checks"] == {
            "redis": "ok",
            "kafka": "ConnectionError: no route",
            "postgres": "no answer within 1 s",
        }
        assert (await client.get("/livez")).status_code == 503


async def test_checks_that_never_end_make_the_role_not_ready() -> None:
    async def never() -> dict[str, str | None]:
        await asyncio.Event().wait()
        return {}

    inside = InsideServer(0, fine, never)
    async with inside.running(), httpx.AsyncClient(base_url=f"http://127.0.0.1:{inside.port}") as client:
        response = await client.get("/readyz")
        assert response.status_code == 503
        assert "no answer" in response.json()["checks"]["checks"]


async def test_a_port_in_use_is_named_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortError, match=rf"127\.0\.0\.1:{port} .* MISSIONS_INSIDE_PORT"):
            async with InsideServer(port, fine, all_well).running():
                pytest.fail("the port was taken")


class Slow:
    """An app whose answer waits until the test lets it go."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.app = Starlette(routes=[Route("/slow", self.slow)])

    async def slow(self, _request: Request) -> PlainTextResponse:
        self.begun.set()
        await self.go_on.wait()
        return PlainTextResponse("done")


async def test_sigterm_lets_a_request_that_has_begun_finish() -> None:
    slow = Slow()
    server = HttpServer(slow.app, "127.0.0.1", 0, variable="MISSIONS_HTTP_PORT")
    server.bind()
    serving = asyncio.create_task(serve_until_signal(server))
    async with httpx.AsyncClient() as client:
        answer = asyncio.create_task(client.get(f"http://127.0.0.1:{server.port}/slow"))
        await slow.begun.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await server.stopping.wait()
        slow.go_on.set()
        assert (await answer).text == "done"
        await serving
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://127.0.0.1:{server.port}/slow")


async def test_a_request_that_never_ends_does_not_hold_up_the_end() -> None:
    slow = Slow()
    server = HttpServer(slow.app, "127.0.0.1", 0, variable="MISSIONS_HTTP_PORT", drain_seconds=1)
    async with httpx.AsyncClient(timeout=30) as client:
        async with running(server):
            answer = asyncio.create_task(client.get(f"http://127.0.0.1:{server.port}/slow"))
            await slow.begun.wait()
        async with asyncio.timeout(10):
            response = await asyncio.gather(answer, return_exceptions=True)
    assert not slow.go_on.is_set()
    assert not isinstance(response[0], httpx.Response) or response[0].status_code == 500
