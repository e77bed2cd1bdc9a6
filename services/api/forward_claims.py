"""Passes POST /missions/claim on to the claims role, so that app clients have one address for every call."""

import httpx
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

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 12.0
"""The claims role answers or gives up within 10 s."""

CONNECTIONS_MAX = 200
"""Claims on their way at once; the claims role queues them for its database connections."""

REQUEST_HEADERS = ("authorization", "content-type", "idempotency-key", "accept-language", "traceparent", "tracestate")
RESPONSE_HEADERS = ("content-type", "www-authenticate", "retry-after", "allow", "accept", "cache-control")
"""What is passed on, each way. The rest belongs to one connection or is nobody's business."""


def claims_client(base_url: str) -> httpx.AsyncClient:
    """The client to forward with; whoever makes it closes it."""
    return httpx.AsyncClient(
        base_url=base_url,
        timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
        limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
        trust_env=False,
    )


def claims_router(client: httpx.AsyncClient) -> APIRouter:
    """The forwarding route."""
    router = APIRouter()

    @router.post("/missions/claim", **DESCRIBED)
    async def forward(
        request: Request,
        _caller: UserCaller,
        _idempotency_key: IdempotencyKey = None,  # described here, checked there
    ) -> Response:
        body = await read_body(request, BODY_BYTES_MAX)
        # As bytes: a value need not be ASCII, and what is wrong with one is for the claims role to say.
        headers: dict[bytes, bytes] = {}
        for name, value in request.headers.raw:
            if name.decode("latin-1") in REQUEST_HEADERS:
                headers.setdefault(name, value)
        if request.client is not None:
            headers[b"x-forwarded-for"] = request.client.host.encode()
        message = client.build_request("POST", "/missions/claim", content=body, headers=headers)
        try:
            answer = await client.send(message)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            raise unavailable("The claims service") from None
        except httpx.TimeoutException:
            raise _again(GATEWAY_TIMEOUT, f"The claims service took longer than {ANSWER_SECONDS:g} s") from None
        except httpx.HTTPError:
            raise _again(BAD_GATEWAY, "The claims service broke off its answer") from None
        passed = {name: answer.headers[name] for name in RESPONSE_HEADERS if name in answer.headers}
        return Response(answer.content, answer.status_code, headers=passed)

    return router


def _again(kind: ProblemType, what: str) -> Problem:
    detail = f"{what}. Claim again: it is granted once, and the same grant is answered."
    return Problem(kind, detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
