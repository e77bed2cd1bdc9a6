"""Passes POST /missions/claim on to the claims role, so that app clients have one address for every call."""

import re
from collections.abc import Mapping

import aiohttp
from fastapi import APIRouter, Request
from starlette.responses import Response

from services.adapters.claim_call import BODY_BYTES_MAX, DESCRIBED, IdempotencyKey
from services.adapters.http import UserCaller, read_body
from services.adapters.problems import (
    BAD_GATEWAY,
    GATEWAY_TIMEOUT,
    RETRY_AFTER_SECONDS,
    Problem,
    ProblemType,
    unavailable,
)

CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""What aiohttp sends in no header; a sign that is as little allowed stands for it, so that the claims role refuses the value."""

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 12.0
"""The claims role answers or gives up within 10 s."""

CONNECTIONS_MAX = 200
"""Claims on their way at once; the claims role queues them for its database connections."""

REQUEST_HEADERS = ("authorization", "content-type", "idempotency-key", "accept-language", "traceparent", "tracestate")
RESPONSE_HEADERS = ("content-type", "www-authenticate", "retry-after", "allow", "accept", "cache-control")
"""What is passed on, each way. The rest belongs to one connection or is nobody's business."""


class ClaimsClient:
    """Connections to the claims role. aiohttp's: httpx took four milliseconds of a core for each claim that it passed on."""

    def __init__(
        self, base_url: str, *, connections_max: int = CONNECTIONS_MAX, wait_seconds: float = ANSWER_SECONDS
    ) -> None:
        """`wait_seconds`: for a free connection, of those that may be open at once."""
        self._url = f"{base_url.rstrip('/')}/missions/claim"
        self._connections_max = connections_max
        self._wait_seconds = wait_seconds
        self._session: aiohttp.ClientSession | None = None

    async def send(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of the answer. Raises TimeoutError and aiohttp's ClientError."""
        if self._session is None:  # it belongs to the event loop that runs now
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections_max),
                # `connect` is the wait for a free connection too: nothing was sent yet, so that is a 503.
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=self._wait_seconds, sock_connect=CONNECT_SECONDS, sock_read=ANSWER_SECONDS
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Content-Type"),
            )
        async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
            return answer.status, answer.headers, await answer.read()

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()


def claims_router(client: ClaimsClient) -> APIRouter:
    """The forwarding route."""
    router = APIRouter()

    @router.post("/missions/claim", **DESCRIBED)
    async def forward(
        request: Request,
        _caller: UserCaller,
        _idempotency_key: IdempotencyKey = None,  # described here, checked there
    ) -> Response:
        body = await read_body(request, BODY_BYTES_MAX)
        headers: dict[str, str] = {}
        for raw_name, value in request.headers.raw:
            name = raw_name.decode("latin-1")
            if name in REQUEST_HEADERS:  # what is wrong with a value is for the claims role to say
                headers.setdefault(name, CONTROLS.sub("\ufffd", value.decode("utf-8", "replace")))
        if request.client is not None:
            headers["x-forwarded-for"] = request.client.host
        try:
            status, answered, content = await client.send(body, headers)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise unavailable("The claims service") from None
        except TimeoutError:
            raise _again(GATEWAY_TIMEOUT, f"The claims service took longer than {ANSWER_SECONDS:g} s") from None
        except aiohttp.ClientError:
            raise _again(BAD_GATEWAY, "The claims service broke off its answer") from None
        passed = {name: answered[name] for name in RESPONSE_HEADERS if name in answered}
        return Response(content, status, headers=passed)

    return router


def _again(kind: ProblemType, what: str) -> Problem:
    detail = f"{what}. Claim again: it is granted once, and the same grant is answered."
    return Problem(kind, detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
