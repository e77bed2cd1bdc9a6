"""The tests' proxy leaves nothing open, whatever its connections wait for when it ends."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from tests.support.proxy import Proxy, proxy_to


@pytest.fixture
def deaf_address() -> Iterator[str]:
    """Where a connection is neither taken nor refused: the one place in the listener's queue is taken."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port: int = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            yield f"127.0.0.1:{port}"


async def test_a_proxy_that_ends_closes_a_connection_that_still_waits_for_the_server(deaf_address: str) -> None:
    async with proxy_to(deaf_address) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"hello")
        await _taken(proxy)
    try:
        assert await asyncio.wait_for(_end_of(reader), 10) == b""
    finally:
        writer.close()


async def test_a_proxy_that_is_cut_closes_a_connection_that_still_waits_for_the_server(deaf_address: str) -> None:
    async with proxy_to(deaf_address) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        await _taken(proxy)
        proxy.cut()
        try:
            assert await asyncio.wait_for(_end_of(reader), 10) == b""
        finally:
            writer.close()


async def _taken(proxy: Proxy) -> None:
    """Returns when the proxy has taken the connection."""
    async with asyncio.timeout(10):
        while not proxy.connections:  # noqa: ASYNC110 - a state of somebody else
            await asyncio.sleep(0.01)


async def _end_of(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:  # closed with something unread
        return b""
