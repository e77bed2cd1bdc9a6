"""Each service has a database role that may do what the service does, and nothing else."""

import asyncpg
import pytest

from services.adapters.ledger.roles import SERVICES, GrantsIncomplete, apply_roles, grant, read_grants, role_of
from tests.support.stack import DatabaseFactory

USER_COLUMNS = "user_id, version, stamp, state"


@pytest.fixture(scope="module")
async def granted(postgres_dsn_factory: DatabaseFactory, ledger_template: str) -> str:
    """A ledger whose roles are made and have what they need."""
    dsn = await postgres_dsn_factory(template=ledger_template)
    await apply_roles(dsn)
    return dsn


FORBIDDEN = [
    ("relay", "insert into reward_grant values (gen_random_uuid(), gen_random_uuid(), 'u', 'm', now(), '[]')"),
    ("relay", "select * from user_state"),
    ("relay", "insert into outbox (partition, message_id, topic) values (0, gen_random_uuid(), 't')"),
    ("processor", "insert into reward_grant values (gen_random_uuid(), gen_random_uuid(), 'u', 'm', now(), '[]')"),
    ("processor", "select * from reward_grant"),
    ("processor", "delete from user_state"),
    ("processor", "delete from event_log"),
    ("processor", "update assignment set claimed_at = now()"),
    ("processor", "select drop_event_log_days('2000-01-01')"),
    ("claims", f"insert into user_state ({USER_COLUMNS}) values ('u', 1, 1, '{{}}')"),
    ("claims", "update assignment set completed_at = now()"),
    ("claims", "delete from reward_grant"),
    ("claims", "update reward_grant set rewards = '[]'"),
    ("claims", "select * from event_log"),
    ("claims", "update mission_version set state = 'ended'"),
    ("api", "delete from user_state"),
    ("api", "update reward_grant set rewards = '[]'"),
    ("api", "delete from reward_grant"),
    ("api", "update input_position set next_offset = 0"),
    ("api", "insert into event_log values (now(), 's', 'e', 'u', 't', now(), now(), 't', 0, 0, '{}')"),
    ("api", "update mission_version set definition = '{}'"),
    ("scheduler", "update input_position set next_offset = 0"),
    ("scheduler", "delete from outbox"),
    ("scheduler", "select * from dead_letter"),
    ("operator", "update reward_grant set rewards = '[]'"),
    *[(service, "update xp_log set amount = 0") for service in SERVICES],
    *[(service, "create table mine (x int)") for service in SERVICES],
    *[(service, "drop table outbox") for service in SERVICES],
    *[(service, "alter table outbox disable trigger all") for service in SERVICES],
    *[(service, "truncate outbox") for service in SERVICES],
    *[(service, "create role mine") for service in SERVICES],
]


@pytest.mark.parametrize(("service", "statement"), FORBIDDEN)
async def test_what_a_service_does_not_do_is_refused(granted: str, service: str, statement: str) -> None:
    connection = await asyncpg.connect(granted)
    try:
        await connection.execute(f"set role {role_of(service)}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_days_of_the_event_log_are_made_and_dropped_without_owning_it(granted: str) -> None:
    connection = await asyncpg.connect(granted)
    try:
        await connection.execute("set role missions_processor")
        await connection.execute("select make_event_log_day('2001-01-01')")
        await connection.execute("select make_event_log_day('2001-01-01')")
        await connection.execute("reset role; set role missions_scheduler")
        assert await connection.fetchval("select drop_event_log_days('2001-01-02')") == "event_log_20010101"
    finally:
        await connection.close()


async def test_every_table_has_a_line(granted: str) -> None:
    connection = await asyncpg.connect(granted)
    try:
        await connection.execute("create table forgotten (x int)")
        with pytest.raises(GrantsIncomplete, match=r"forgotten: give each a line in .*grants\.yaml"):
            await grant(connection)
        await connection.execute("drop table forgotten")
        await grant(connection)
    finally:
        await connection.close()


async def test_what_was_granted_by_hand_is_taken_back(granted: str) -> None:
    connection = await asyncpg.connect(granted)
    try:
        await connection.execute("grant delete on reward_grant to missions_relay")
        await apply_roles(granted)
        assert not await connection.fetchval("select has_table_privilege('missions_relay', 'reward_grant', 'delete')")
        assert await connection.fetchval("select has_table_privilege('missions_claims', 'reward_grant', 'insert')")
    finally:
        await connection.close()


def test_only_the_roles_that_grant_may_write_grants() -> None:
    writers = {service for service, may in read_grants().tables["reward_grant"].items() if "insert" in may}

    assert writers == {"claims", "api", "scheduler", "operator"}  # the last three by auto-claim
