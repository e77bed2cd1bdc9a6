"""One HTTP connection: uvicorn's, with an end to waiting for slow senders, and refusals that are problems."""

import asyncio
from typing import Any

import h11
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from services.adapters.problems import BAD_REQUEST, HEAD_TOO_LARGE, REQUEST_TIMEOUT, Problem

HEAD_BYTES_MAX = 16 * 1024
"""The request line and all headers: ours have about 1 KiB, of which the token is half."""

HEADERS_MAX = 100
"""Headers of one request: browsers and proxies together send about thirty."""

HEAD_SECONDS = 10.0
"""From a request's first byte to the end of its headers: one packet, even on a bad line."""

BODY_SECONDS = 30.0
"""For a whole body: a megabyte of events over a slow line. Everything else is far smaller."""

UNREAD_BYTES_MAX = 256 * 1024
"""What is still taken, and thrown away, of a request that was refused: the caller should get to read why."""

LINGER_SECONDS = 2.0
"""So long the caller has to read why, before the connection is closed: closed at once, its answer would be lost to what is still sent."""


class GuardedConnection(H11Protocol):
    """Ends a connection whose sender takes too long or does not stop, and nobody else's."""

    head_seconds = HEAD_SECONDS
    body_seconds = BODY_SECONDS

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._waiting_for: object = None
        self._timer: asyncio.TimerHandle | None = None
        self._unread = 0
        self._refused = False

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        super().connection_made(transport)
        self._watch()

    @override
    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)
        answered = self.cycle is not None and self.cycle.response_complete and self.conn.their_state is h11.SEND_BODY
        if self._refused or answered:
            self._unread += len(data)
            if self._unread > UNREAD_BYTES_MAX:
                self.transport.close()
        if not self._refused:
            self._watch()

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._refused:
            return
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            self._stop_waiting()  # uvicorn's keep-alive timer takes over
        else:
            self._watch()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    @override
    def send_400_response(self, msg: str) -> None:
        if len(self.conn.trailing_data[0]) > HEAD_BYTES_MAX:
            problem = Problem(HEAD_TOO_LARGE, f"The headers have more than {HEAD_BYTES_MAX} bytes. Send fewer.")
        else:
            problem = Problem(BAD_REQUEST, "This is not HTTP/1.1 as RFC 9112 has it.")
        self._refuse(problem)

    def _watch(self) -> None:
        """Times what is awaited of the sender: the same thing is awaited only once, however many bytes come."""
        state = self.conn.their_state
        if state not in (h11.IDLE, h11.SEND_BODY):
            self._stop_waiting()
        elif state is not self._waiting_for:
            self._stop_waiting()
            self._waiting_for = state
            self._unread = 0
            seconds = self.head_seconds if state is h11.IDLE else self.body_seconds
            self._timer = self.loop.call_later(seconds, self._too_slow, seconds)

    def _stop_waiting(self) -> None:
        self._waiting_for = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self, seconds: float) -> None:
        what = "headers" if self._waiting_for is h11.IDLE else "body"
        self._refuse(Problem(REQUEST_TIMEOUT, f"The {what} did not come within {seconds:g} seconds."))

    def _refuse(self, problem: Problem) -> None:
        """Answers, if nobody has begun to, and closes when that was read."""
        if not self.transport.is_closing() and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            response = problem.response()
            headers = [*response.raw_headers, (b"x-content-type-options", b"nosniff"), (b"connection", b"close")]
            for event in (
                h11.Response(status_code=response.status_code, headers=headers),
                h11.Data(data=bytes(response.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._stop_waiting()
        if self.transport.is_closing() or not self.transport.can_write_eof():
            self.transport.close()  # TLS knows no half of an end
            return
        self._refused = True
        self._unread = 0
        self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)
