"""However many clients claim at once, and however often the claims services die: one grant an assignment, one answer for all.

`make claim-storm` runs it at length.
"""

import os
import secrets
from datetime import UTC, datetime

import pytest

from services.stack.server import Addresses
from tests.chaos.claim_storm import Storm, claim_storm
from tests.chaos.small_world import ensure_topics_out
from tests.reference.play import running_world


def chosen(name: str, default: int) -> int:
    """A number that the environment may name."""
    return int(os.environ.get(f"MISSIONS_STORM_{name}", "") or default)


@pytest.mark.timeout(3600)
async def test_a_storm_of_claims_grants_each_reward_once(addresses: Addresses, ledger_dsn: str) -> None:
    storm = Storm(chosen("SEED", secrets.randbelow(2**32)), chosen("ASSIGNMENTS", 100), chosen("CONCURRENCY", 30))
    print(f"MISSIONS_STORM_SEED={storm.seed}")
    prefix = f"storm-{secrets.token_hex(3)}-"
    await ensure_topics_out(addresses, prefix)
    async with running_world(addresses, ledger_dsn, prefix, datetime.now(UTC)) as world:
        await claim_storm(world, storm)

    print(storm.table())
    assert storm.kills.total() > 0, "no service was killed"
    assert storm.grants == storm.published == storm.published_ids == storm.assignments
    assert len(storm.bodies) == storm.assignments
    assert all(len(bodies) == 1 for bodies in storm.bodies.values()), "two clients got different answers"
    assert all(storm.answered[assignment] == storm.concurrency for assignment in storm.bodies)
    assert storm.report.ok, "\n".join(storm.report.lines)
