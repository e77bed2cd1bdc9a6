"""POST /missions/claim: from the request to the claim, and from its result to the answer."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from mission_events import Reward
from services.adapters.http import UserCaller, body_schema, parse_body, read_body
from services.adapters.problems import (
    ASSIGNMENT_NOT_FOUND,
    CLAIM_EXPIRED,
    IDEMPOTENCY_KEY_REUSED,
    NOT_COMPLETED,
    Problem,
    invalid_parameter,
    unavailable,
)

from .claim_reward import ClaimCommand, ClaimReward, LedgerUnavailable, Refusal, Refused

BODY_BYTES_MAX = 16 * 1024
"""A claim has under 100 bytes; more is a mistake or an attack."""

IDEMPOTENCY_KEY_CHARACTERS_MAX = 255
"""As long as the keys of well-known payment interfaces; a UUID has 36."""


class ClaimRequest(BaseModel):
    """Which assignment to claim. Who claims it is the token's user, whatever else the body says."""

    model_config = ConfigDict(strict=True, extra="ignore")

    assignment_id: str = Field(min_length=1, max_length=128, description="`assignment_id` from GET /missions")


class GrantAnswer(BaseModel):
    """What the user is entitled to: the same for every claim of one assignment."""

    grant_id: str
    assignment_id: str
    mission_id: str
    granted_at: datetime
    rewards: list[Reward]


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The caller's name for this one request, up to 255 visible ASCII characters; repeated, it gets the same answer",
    ),
]


def claims_router(claim_reward: ClaimReward, clock: Callable[[], datetime]) -> APIRouter:
    """The claims role's only route."""
    router = APIRouter()

    @router.post(
        "/missions/claim",
        operation_id="claimMission",
        tags=["missions"],
        summary="Claim the reward of a completed mission",
        openapi_extra=body_schema(ClaimRequest),
        responses={200: {"model": GrantAnswer, "description": "The grant: of this claim, or of an earlier one"}},
    )
    async def claim(request: Request, caller: UserCaller, idempotency_key: IdempotencyKey = None) -> Response:
        _check(idempotency_key)
        wanted = parse_body(ClaimRequest, await read_body(request, BODY_BYTES_MAX))
        command = ClaimCommand(caller.subject, wanted.assignment_id, idempotency_key)
        try:
            result = await claim_reward(command, clock())
        except LedgerUnavailable:
            raise unavailable("The ledger") from None
        if isinstance(result, Refused):
            raise _problem(result, command)
        return Response(result.body, headers={"Cache-Control": "no-store"}, media_type="application/json")

    return router


def _check(idempotency_key: str | None) -> None:
    if idempotency_key is None:
        return
    visible = idempotency_key.isascii() and idempotency_key.isprintable() and " " not in idempotency_key
    if not 1 <= len(idempotency_key) <= IDEMPOTENCY_KEY_CHARACTERS_MAX or not visible:
        expected = f"must be 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} visible ASCII characters, such as a UUID"
        raise invalid_parameter("Idempotency-Key", expected)


def _problem(refused: Refused, command: ClaimCommand) -> Problem:
    match refused.why:
        case Refusal.UNKNOWN:
            detail = "No assignment of yours has this id. GET /missions lists those that you can claim."
            return Problem(ASSIGNMENT_NOT_FOUND, detail)
        case Refusal.NOT_COMPLETED:
            detail = f"Assignment {command.assignment_id} is not completed. Claim it once GET /missions says COMPLETED."
            return Problem(NOT_COMPLETED, detail)
        case Refusal.EXPIRED:
            until = f" until {refused.claimable_until:%Y-%m-%dT%H:%M:%SZ}" if refused.claimable_until else ""
            return Problem(CLAIM_EXPIRED, f"The reward of assignment {command.assignment_id} could be claimed{until}.")
        case Refusal.KEY_REUSED:
            detail = "This Idempotency-Key was used for another assignment. Use a new key for each assignment."
            return Problem(IDEMPOTENCY_KEY_REUSED, detail)
