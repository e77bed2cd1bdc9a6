"""A network between a client and a server that a test can cut or slow: at once, or just after the server has done what was asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Proxy:
    """Forwards one port to a server. While `is_cut`, connections are closed as soon as they are made."""

    server_host: str
    server_port: int
    port: int = 0
    is_cut: bool = False
    flows: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared, connections stay open and nothing comes through: a server that hangs, or a network that loses every packet."""
    delay_seconds: float = 0.0
    """How long each piece of what goes through waits, in either direction."""
    swallow_after: bytes | None = None
    """When a client sends this, the server gets it and answers, but the answer is lost with the connection. Happens once."""
    swallowed: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _forwarding: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.flows.set()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._forwarding)

    def through(self, address: str) -> str:
        """The address of the server, but by way of this proxy."""
        parts = urlsplit(address)
        user = f"{parts.username}@" if parts.username else ""
        return parts._replace(netloc=f"{user}127.0.0.1:{self.port}").geturl()

    def cut(self) -> None:
        """Closes every connection, and lets none stay open until `mend`."""
        self.is_cut = True
        for writer in self._open:
            writer.close()

    def mend(self) -> None:
        """Lets connections be made again."""
        self.is_cut = False

    async def end(self) -> None:
        """Closes every connection, and returns when nothing is forwarded any more."""
        self.cut()
        self.flows.set()
        for task in self._forwarding:  # it may still wait for the server to take its connection
            task.cancel()
        await asyncio.gather(*self._forwarding, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Takes a connection. Not a coroutine: a task that is ended before its first step would leave the connection open."""
        if self.is_cut:
            writer.close()
            return
        self._open.add(writer)
        task = asyncio.create_task(self._forward(reader, writer))
        self._forwarding.add(task)
        task.add_done_callback(lambda _: self._closed(task, writer))

    def _closed(self, task: asyncio.Task[None], writer: asyncio.StreamWriter) -> None:
        self._forwarding.discard(task)
        self._open.discard(writer)
        writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(self.server_host, self.server_port)
        except OSError:  # the server is away: the client sees the same as without a proxy, a moment later
            return
        self._open.add(server_writer)
        is_swallowing = asyncio.Event()
        try:
            await asyncio.gather(
                self._to_server(reader, server_writer, is_swallowing),
                self._to_client(server_reader, writer, is_swallowing),
            )
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(server_writer)
            server_writer.close()

    async def _to_server(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_swallowing: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            if self.swallow_after is not None and self.swallow_after in data:
                self.swallow_after = None
                is_swallowing.set()
            await self._passage()
            if writer.is_closing():  # cut meanwhile
                break
            writer.write(data)
            await writer.drain()
        writer.close()

    async def _to_client(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_swallowing: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            if is_swallowing.is_set():
                self.swallowed += 1
                break
            await self._passage()
            if writer.is_closing():
                break
            writer.write(data)
            await writer.drain()
        writer.close()

    async def _passage(self) -> None:
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        await self.flows.wait()


@asynccontextmanager
async def proxy_to(address: str, port: int = 0) -> AsyncIterator[Proxy]:
    """A proxy to the server at this address (a URL or `host:port`), while the block runs; on any free port unless one is given."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    assert parts.hostname
    assert parts.port
    proxy = Proxy(parts.hostname, parts.port)
    listener = await asyncio.start_server(proxy._connected, "127.0.0.1", port)
    proxy.port = listener.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listener.close()
        await proxy.end()
        await listener.wait_closed()
