"""A scheduler killed between two chunks of a midnight: what was done stays, the next one does the rest, and nothing is done twice."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.adapters.crash_points import EXIT_CRASHED
from services.adapters.kafka.admin import ensure_topics
from services.adapters.ledger.connection import Pool
from services.adapters.ledger.users import Users
from services.adapters.projection import Projection
from services.cli.topics import wanted_topics
from services.operations.catalogue import CatalogueWatcher
from services.operations.issue import CHUNK_USERS, Issuer
from services.stack.ports import Ports
from services.stack.roles import ROLE_PLANS, Role
from services.stack.server import Addresses
from tests.support.ledger import PARTITIONS, partition_of
from tests.support.system import until

PREFIX = "midnight-"
USERS = [f"user-{number:04}" for number in range(2 * CHUNK_USERS + 1)]
ISSUED_TODAY = "select count(distinct user_id) from assignment where starts_at >= date_trunc('day', now(), 'UTC')"
TWICE = "select user_id, mission_id, count(*) from assignment group by 1, 2, starts_at having count(*) > 1"


async def test_a_scheduler_killed_between_chunks(
    addresses: Addresses,
    ledger_dsn: str,
    pool: Pool,
    projection: Projection,
    live_catalogue: CatalogueWatcher,
    stack_directory: Path,
) -> None:
    now = datetime.now(UTC)
    await Issuer(Users(pool, partition_of), projection, live_catalogue).issue_chunk(USERS, now - timedelta(days=1))
    await pool.execute("update user_state set last_active_day = $1", now.date())
    await ensure_topics(addresses.kafka_bootstrap, wanted_topics(PREFIX, PARTITIONS))
    scheduler = Role(next(plan for plan in ROLE_PLANS if plan.name == "scheduler"), stack_directory, Ports.free())
    variables = {
        **addresses.environment(),
        "MISSIONS_POSTGRES_DSN": ledger_dsn,
        "MISSIONS_TOPIC_PREFIX": PREFIX,
        "MISSIONS_ENVIRONMENT": "development",
    }
    try:
        scheduler.start({**variables, "MISSIONS_CRASH_AT": "scheduler.issued:1"})
        await until(lambda: ended(scheduler), "the scheduler to crash")
        assert scheduler.exit_code == EXIT_CRASHED
        assert await pool.fetchval(ISSUED_TODAY) == CHUNK_USERS

        scheduler.start(variables)
        await until(lambda: issued_to_all(pool), "missions for everybody")
    finally:
        scheduler.stop()
    assert await pool.fetch(TWICE) == []


async def ended(role: Role) -> bool:
    return role.pid is None


async def issued_to_all(pool: Pool) -> bool:
    return bool(await pool.fetchval(ISSUED_TODAY) == len(USERS))
