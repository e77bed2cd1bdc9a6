"""Seven days of two hundred learners through the real pipeline: everything ends as an independent model of the rules says."""

import os
import secrets
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from services.adapters.ledger.catalogue import CatalogueStore
from services.adapters.ledger.connection import open_pool
from services.missions.catalogue import parse_catalogue
from services.stack.server import Addresses
from tests.reference.compare import Facts, check, differences, found, report
from tests.reference.journal import Record
from tests.reference.life import Life, choose_start
from tests.reference.missions import life_definitions
from tests.reference.play import World, play, running_world
from tests.reference.states import read_state, write_state

SPOILT = {
    "input_position": "update input_position set applied = applied - 1, duplicate = duplicate + 1",
    "assignment": "update assignment set completed_at = now()",
    "user_question": "update user_question set answers = answers + 1",
    "reward_grant": "delete from reward_grant",
    "xp_log": "update xp_log set amount = amount + 1",
    "user_lesson": "update user_lesson set times = times + 1",
    "user_completion": "delete from user_completion",
}


def chosen_life() -> Life:
    """A random one, or the one that the environment names."""
    seed = int(os.environ.get("MISSIONS_LIFE_SEED", "") or secrets.randbelow(2**32))
    days = int(os.environ.get("MISSIONS_LIFE_DAYS", "") or 7)
    users = int(os.environ.get("MISSIONS_LIFE_USERS", "") or 200)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    given = os.environ.get("MISSIONS_LIFE_START")
    start = datetime.fromisoformat(given).replace(tzinfo=UTC) if given else choose_start(Random(seed), today, days)
    print(f"MISSIONS_LIFE_SEED={seed} MISSIONS_LIFE_START={start:%Y-%m-%d}", end=" ")
    print(f"MISSIONS_LIFE_DAYS={days} MISSIONS_LIFE_USERS={users}")
    return Life(seed, start, days, users)


@pytest.mark.timeout(1200)
async def test_seven_days_end_as_the_model_says(addresses: Addresses, ledger_dsn: str) -> None:
    life = chosen_life()
    definitions = life_definitions(life.start)
    await publish(ledger_dsn, definitions)
    async with running_world(addresses, ledger_dsn, f"life-{secrets.token_hex(3)}-", life.start) as world:
        await play(life, world)

        wrong = await check(ledger_dsn, world.journal, definitions, world.prefix)
        assert not wrong, report(wrong)
        have = await found(ledger_dsn, world.prefix)
        assert len(life.users) == len([key for key in have if key[0] == "1 profile"])
        assert sum(amount for key, amount in have.items() if key[0] == "0 records") == len(
            [step for step in world.journal if isinstance(step, Record)]
        )
        await everything_is_told_once(world, have)
        await a_ledger_that_is_wrong_is_found_out(world, have)


async def everything_is_told_once(world: World, have: Facts) -> None:
    """No relay runs here, so all that was ever to be published still waits."""
    assignments = [fact for key, fact in have.items() if key[0] == "2 assignment"]
    wanted = {
        "missions.mission-assigned": len(assignments),
        "missions.mission-completed": sum(a["completed_at"] is not None for a in assignments),
        "missions.mission-expired": sum(a["status"] == "EXPIRED" for a in assignments),
        "missions.reward-granted": len([key for key in have if key[0] == "4 grant"]),
        "missions.dead-letter": sum(amount for key, amount in have.items() if key[-1] == "dead_letter"),
    }
    rows = await world.pool.fetch("select topic, count(*), count(distinct message_id) from outbox group by topic")
    assert {row[0]: (row[1], row[2]) for row in rows} == {topic: (amount, amount) for topic, amount in wanted.items()}


async def a_ledger_that_is_wrong_is_found_out(world: World, right: Facts) -> None:
    """The comparison can fail: one wrong value of each kind is told, and nothing else."""
    for table, change in SPOILT.items():
        await world.pool.execute(f"{change} where ctid = (select ctid from {table} limit 1)")
    row = await world.pool.fetchrow("select user_id, state from user_state limit 1")
    assert row is not None
    user, state = row
    spoilt = write_state({**read_state(state), "streak": 99})
    await world.pool.execute("update user_state set state = $2 where user_id = $1", user, spoilt)
    lines = differences(right, await found(world.dsn, world.prefix))
    assert [line[:1] for line in lines] == ["0", "0", "1", "2", "3", "4", "5", "6", "7"], report(lines)


async def publish(dsn: str, definitions: list[dict[str, Any]]) -> None:
    """Makes the life's missions the ledger's catalogue."""
    missions, problems = parse_catalogue({"missions": definitions}, "life")
    assert not problems, "\n".join(map(str, problems))
    pool = await open_pool(dsn, size=1, application="life")
    await CatalogueStore(pool).publish(missions)
    await pool.close()
