"""Gives users their missions before the events come, as the scheduler does at midnight and `GET /missions` when the app is opened."""

import random
from collections.abc import Callable, Sequence
from datetime import datetime

from services.adapters.kafka.producer import partition_for
from services.adapters.ledger.users import Users
from services.adapters.projection import Projection
from services.operations.issue import CHUNK_USERS, Issuer
from services.operations.startup import load_catalogue

from .events import user_id
from .world import OUTPUT_PARTITIONS, PROJECTION_TIMEOUT_SECONDS, Side, connected


def known_users(users: int, new_percent: float, seed: int) -> list[int]:
    """The users whom the system knows before the events come: all but about so many percent, by the seed."""
    rng = random.Random(seed)
    return [user for user in range(users) if rng.random() * 100 >= new_percent]


async def issue_to(side: Side, users: Sequence[int], at: datetime, told: Callable[[int], None]) -> None:
    """Issues what is due at `at` to these users of one side."""
    projection = Projection.connect(side.addresses.redis_url, side.prefix, timeout_seconds=PROJECTION_TIMEOUT_SECONDS)
    try:
        async with connected(side.addresses.postgres_dsn) as pool:
            ledger = Users(pool, lambda key: partition_for(key, OUTPUT_PARTITIONS))
            issuer = Issuer(ledger, projection, await load_catalogue(pool))
            for start in range(0, len(users), CHUNK_USERS):
                chunk = users[start : start + CHUNK_USERS]
                await issuer.issue_chunk([user_id(user) for user in chunk], at)
                told(start + len(chunk))
    finally:
        await projection.close()
