"""Runs an ASGI app on a port until it is told to stop, and lets requests that have begun finish."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Generator, Sequence
from typing import Annotated

import uvicorn
from pydantic import BeforeValidator, Field, IPvAnyNetwork
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from starlette.types import ASGIApp
from typing_extensions import override

from services.adapters.http_connection import HEAD_BYTES_MAX, GuardedConnection

DRAIN_SECONDS = 8
"""From the signal on, requests that have begun have this long; with closing the pools a role ends within 10 s."""

KEEP_ALIVE_SECONDS = 20
"""An idle connection is kept this long: app clients make a few calls in a row, and then none for minutes."""

CONNECTIONS_WAITING_MAX = 2048
"""Connections that the kernel holds until they are accepted: a burst of app starts."""


def _listed(value: object) -> object:
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


class ProxySettings(BaseSettings):
    """Who may say for whom a call is made."""

    model_config = SettingsConfigDict(env_prefix="MISSIONS_", frozen=True, extra="ignore")

    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_listed)] = Field(
        default=(),
        description="Addresses or networks of the proxies in front, with commas between: their X-Forwarded-For is believed, "
        "nobody else's",
    )


class PortError(Exception):
    """A port can't be listened on; the message says which setting names it."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: they would end the process before its pools are closed."""

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class HttpServer:
    """One app on one port, from `bind` until `stop`."""

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        *,
        variable: str,
        drain_seconds: int = DRAIN_SECONDS,
        proxies: Sequence[IPvAnyNetwork] = (),
        connection: type[GuardedConnection] = GuardedConnection,
    ) -> None:
        """`variable` names the setting that the port came from, for the error message; `proxies` are believed who calls."""
        self.port = port
        """The port in use, once bound."""
        self.stopping = asyncio.Event()
        """Set from `stop` on."""
        self._host = host
        self._variable = variable
        self._socket: socket.socket | None = None
        self._server = _Server(
            uvicorn.Config(
                app,
                http=connection,
                ws="none",
                h11_max_incomplete_event_size=HEAD_BYTES_MAX,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=bool(proxies),
                forwarded_allow_ips=[str(proxy) for proxy in proxies],
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=drain_seconds,
                backlog=CONNECTIONS_WAITING_MAX,
            )
        )

    def bind(self) -> socket.socket:
        """Takes the port, so that a role learns before it starts anything else. Raises `PortError`."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self.port))
        except OSError as error:
            listener.close()
            raise PortError(
                f"{self._host}:{self.port} can't be listened on: {error.strerror}. "
                f"End what uses it, or set {self._variable} to another port."
            ) from error
        self.port = listener.getsockname()[1]
        self._socket = listener
        return listener

    async def serve(self) -> None:
        """Serves until `stop`, then until what has begun is answered, at most the drain time."""
        listener = self._socket or self.bind()
        await self._server.serve(sockets=[listener])

    def trouble(self) -> str | None:
        """Why callers can't connect now; None while they can. For a readiness check."""
        if self.stopping.is_set():
            return "takes no new requests: the role is stopping"
        return None if self._server.started else "does not listen yet"

    def stop(self) -> None:
        """Lets `serve` end: no new requests from now on."""
        self._server.should_exit = True
        self.stopping.set()


@contextlib.asynccontextmanager
async def running(server: HttpServer) -> AsyncIterator[None]:
    """Serves in a task of its own while the block runs; drains when it ends."""
    server.bind()
    task = asyncio.create_task(server.serve())
    try:
        yield
    finally:
        server.stop()
        await task


async def serve_until_signal(server: HttpServer) -> None:
    """Serves until SIGTERM or SIGINT, then drains. Call it in the main thread."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    try:
        await server.serve()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
