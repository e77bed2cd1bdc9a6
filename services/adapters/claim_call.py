"""POST /missions/claim as the claims role answers it and the api role passes it on: what is sent and what comes back."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Header
from pydantic import BaseModel, ConfigDict, Field

from mission_events import Reward
from services.adapters.http import body_schema
from services.adapters.problems import invalid_parameter

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
        json_schema_extra={"pattern": f"^[!-~]{{1,{IDEMPOTENCY_KEY_CHARACTERS_MAX}}}$"},
    ),
]

DESCRIBED: dict[str, Any] = {
    "operation_id": "claimMission",
    "tags": ["missions"],
    "summary": "Claim the reward of a completed mission",
    "openapi_extra": body_schema(ClaimRequest),
    "responses": {200: {"model": GrantAnswer, "description": "The grant: of this claim, or of an earlier one"}},
}
"""What a route's decorator gets."""


def check_key(idempotency_key: str | None) -> None:
    """Raises a 422 problem for a key that is none."""
    if idempotency_key is None:
        return
    visible = idempotency_key.isascii() and idempotency_key.isprintable() and " " not in idempotency_key
    if not 1 <= len(idempotency_key) <= IDEMPOTENCY_KEY_CHARACTERS_MAX or not visible:
        expected = f"must be 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} visible ASCII characters, such as a UUID"
        raise invalid_parameter("Idempotency-Key", expected)
