"""The inside port of a role: /livez, /readyz and /metrics, for orchestrators and Prometheus, never for app clients."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.adapters.deadline import within
from services.adapters.http_server import HttpServer, running

Answer = TypeVar("Answer")

READY_SECONDS_MAX = 2.0
"""A check that takes longer counts as failed: probes have short timeouts themselves."""

DRAIN_SECONDS = 1
"""Probes and scrapes last milliseconds; nobody waits for them at the end."""

Live = Callable[[], str | None]
"""None while the process can go on; else why only a restart helps."""

Ready = Callable[[], Awaitable[Mapping[str, str | None]]]
"""Each check by name: None = passed, else what is wrong."""


class InsideServer:
    """Serves the probes and metrics of one process."""

    def __init__(self, port: int, live: Live, ready: Ready, *, host: str = "127.0.0.1") -> None:
        self._live = live
        self._ready = ready
        routes = [Route("/livez", self._livez), Route("/readyz", self._readyz), Route("/metrics", self._metrics)]
        self._server = HttpServer(
            Starlette(routes=routes), host, port, variable="MISSIONS_INSIDE_PORT", drain_seconds=DRAIN_SECONDS
        )

    @property
    def port(self) -> int:
        """The port in use, once it runs."""
        return self._server.port

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serves while the block runs. Raises `PortError` when the port can't be had."""
        async with running(self._server):
            yield

    async def _livez(self, _request: Request) -> Response:
        trouble = self._live()
        return _answer({"live": trouble})

    async def _readyz(self, _request: Request) -> Response:
        try:
            return _answer(await within(READY_SECONDS_MAX, _answered(self._ready())))
        except TimeoutError as error:
            return _answer({"checks": str(error)})

    async def _metrics(self, request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(REGISTRY), media_type=content_type)


async def check(call: Callable[[], Awaitable[object]]) -> str | None:
    """The outcome of one readiness check: None when the call succeeds in time, else what went wrong."""
    try:
        await within(READY_SECONDS_MAX / 2, _answered(call()))
    except TimeoutError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the answer is "not ready, because"
        return f"{type(error).__name__}: {error}"
    return None


async def _answered(call: Awaitable[Answer]) -> Answer:
    return await call


def _answer(checks: Mapping[str, str | None]) -> Response:
    failed = any(trouble is not None for trouble in checks.values())
    body = {
        "status": "failing" if failed else "ok",
        "checks": {name: trouble or "ok" for name, trouble in checks.items()},
    }
    return Response(
        msgspec.json.encode(body), 503 if failed else 200, {"Cache-Control": "no-store"}, "application/json"
    )
