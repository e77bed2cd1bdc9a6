"""Senders who are slow, endless or not HTTP at all: they get an answer and an end, and nobody else notices them."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import Request

from services.adapters.http import UserCaller, create_http_app, read_body
from services.adapters.http_connection import HEAD_BYTES_MAX, HEADERS_MAX, UNREAD_BYTES_MAX, GuardedConnection
from services.adapters.http_server import HttpServer, running
from services.adapters.tokens import TokenKind, TokenSettings, TokenVerifier, mint
from tests.support.http import problem

BODY_MAX = 1000


class Impatient(GuardedConnection):
    """Does not make a test wait."""

    head_seconds = 0.3
    body_seconds = 0.3


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[HttpServer]:
    tokens = TokenSettings(environment="development", development_key_file=tmp_path / "key.pem")
    app = create_http_app("Test", "A test", TokenVerifier.from_settings(tokens), "1")
    app.state.token = mint(tokens, "ada", TokenKind.USER, timedelta(hours=1))

    @app.post("/orders")
    async def order(request: Request) -> int:
        return len(await read_body(request, BODY_MAX))

    @app.get("/mine")
    async def mine(caller: UserCaller) -> str:
        return caller.subject

    server = HttpServer(app, "127.0.0.1", 0, variable="MISSIONS_HTTP_PORT", connection=Impatient, drain_seconds=1)
    async with running(server):
        yield server


class Raw:
    """A connection whose bytes a test chooses."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, server: HttpServer) -> "Raw":
        return cls(*await asyncio.open_connection("127.0.0.1", server.port))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> bytes:
        """All that comes until the server closes."""
        found = bytearray()
        async with asyncio.timeout(30):
            try:
                while chunk := await self.reader.read(65536):
                    found += chunk
            except ConnectionResetError:
                pass
        self.writer.close()
        return bytes(found)

    async def refused(self, status: int, name: str) -> None:
        """The answer is this problem, and the end."""
        head, _, body = (await self.answer()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status), head
        assert b"content-type: application/problem+json" in head.lower()
        assert json.loads(body)["type"] == f"/problems/{name}"


POST = b"POST /orders HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "begun", [b"", b"GET /mine HT", POST, POST + b"X-A: "], ids=["silent", "line", "head", "header"]
)
async def test_headers_that_do_not_come_end_the_connection(server: HttpServer, begun: bytes) -> None:
    await (slow := await Raw.to(server)).send(begun)
    await slow.refused(408, "request-timeout")


@pytest.mark.parametrize(
    "length", [b"Content-Length: 10\r\n", b"Transfer-Encoding: chunked\r\n"], ids=["length", "chunked"]
)
async def test_a_body_that_does_not_come_ends_the_connection(server: HttpServer, length: bytes) -> None:
    await (slow := await Raw.to(server)).send(POST + length + b"\r\n")
    await slow.refused(408, "request-timeout")


async def test_bytes_that_trickle_gain_no_time(server: HttpServer) -> None:
    slow = await Raw.to(server)
    answer = asyncio.create_task(slow.answer())
    await slow.send(POST)
    while not answer.done():
        slow.writer.write(b"X-A: b\r\n")
        await asyncio.sleep(0.02)
    assert (await answer).startswith(b"HTTP/1.1 408 ")


async def test_many_slow_senders_hold_up_nobody(server: HttpServer) -> None:
    slow = [await Raw.to(server) for _ in range(200)]
    for one in slow:
        await one.send(POST)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
        answer = await http.post("/orders", json={}, headers={"Connection": "keep-alive"})
        assert answer.text == "2"
        for one in slow:
            assert (await one.answer()).startswith(b"HTTP/1.1 408 ")
        assert (await http.post("/orders", json={})).text == "2"


async def test_a_connection_serves_many_requests_however_long_between(server: HttpServer) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
        connection = await Raw.to(server)
        for _ in range(3):
            await connection.send(POST + b"Content-Length: 2\r\n\r\n{}")
            assert (await connection.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            assert await connection.reader.readexactly(1) == b"2"
            await asyncio.sleep(2 * Impatient.head_seconds)
            assert (await http.post("/orders", json={})).text == "2"
        connection.writer.close()


async def test_requests_in_one_packet_are_all_answered(server: HttpServer) -> None:
    connection = await Raw.to(server)
    last = POST.replace(b"Host", b"Connection: close\r\nHost")
    await connection.send((POST + b"Content-Length: 2\r\n\r\n{}") * 3 + last + b"Content-Length: 2\r\n\r\n{}")
    assert (await connection.answer()).count(b"HTTP/1.1 200 ") == 4


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 100):
        yield b" " * 100


async def test_a_body_that_is_too_large_is_refused_however_it_comes(server: HttpServer) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
        headers = {"Content-Type": "application/json"}
        problem(await http.post("/orders", content=b" " * (BODY_MAX + 1), headers=headers), 413, "too-large")
        problem(await http.post("/orders", content=chunks(2 * BODY_MAX), headers=headers), 413, "too-large")
        lying = await Raw.to(server)
        await lying.send(POST + b"Content-Length: 10\r\n\r\n" + b" " * (BODY_MAX + 1))
        assert (await lying.answer()).startswith(b"HTTP/1.1 200 "), "what is beyond the length is no part of the body"


async def test_an_endless_body_is_ended(server: HttpServer) -> None:
    endless = await Raw.to(server)
    answer = asyncio.create_task(endless.answer())
    await endless.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    sent = 0
    try:
        while not answer.done():
            await endless.send(b"2710\r\n" + b" " * 10_000 + b"\r\n")
            sent += 10_000
            await asyncio.sleep(0)
    except ConnectionError:
        pass
    assert b"413 " in (await answer)[:20] or sent > UNREAD_BYTES_MAX
    assert sent < 100 * UNREAD_BYTES_MAX


async def test_heads_that_are_too_large_are_refused(server: HttpServer) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
        many = {f"X-{n}": "a" for n in range(HEADERS_MAX + 1)}
        problem(await http.get("/mine", headers=many), 431, "head-too-large")
        problem(await http.get("/mine", params={"a": "b" * HEAD_BYTES_MAX}), 431, "head-too-large")
    endless = await Raw.to(server)
    await endless.send(POST + b"X-A: " + b"a" * (HEAD_BYTES_MAX + 1))
    await endless.refused(431, "head-too-large")


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls\r\n\r\n",
        b"GET /mine HTTP/1.1\r\nHost: a\r\nBad Header: b\r\n\r\n",
        b"GET /mine HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        b"GET /mine\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        POST + b"Content-Length: -1\r\n\r\n{}",
    ],
)
async def test_what_is_not_http_is_refused(server: HttpServer, nonsense: bytes) -> None:
    await (sender := await Raw.to(server)).send(nonsense)
    await sender.refused(400, "bad-request")


async def test_an_upgrade_is_passed_over(server: HttpServer) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "YQ==",
        "Sec-WebSocket-Version": "13",
    }
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
        problem(await http.get("/mine", headers=headers), 401, "missing-token")
