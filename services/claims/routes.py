"""POST /missions/claim: from the request to the claim, and from its result to the answer."""

from collections.abc import Callable
from datetime import datetime

from fastapi import APIRouter, Request, Response

from services.adapters.claim_call import BODY_BYTES_MAX, DESCRIBED, ClaimRequest, IdempotencyKey, check_key
from services.adapters.http import UserCaller, parse_body, read_body
from services.adapters.problems import (
    ASSIGNMENT_NOT_FOUND,
    CLAIM_EXPIRED,
    IDEMPOTENCY_KEY_REUSED,
    NOT_COMPLETED,
    Problem,
    unavailable,
)

from .claim_reward import ClaimCommand, ClaimReward, LedgerUnavailable, Refusal, Refused


def claims_router(claim_reward: ClaimReward, clock: Callable[[], datetime]) -> APIRouter:
    """The claims role's only route."""
    router = APIRouter()

    @router.post("/missions/claim", **DESCRIBED)
    async def claim(request: Request, caller: UserCaller, idempotency_key: IdempotencyKey = None) -> Response:
        check_key(idempotency_key)
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
