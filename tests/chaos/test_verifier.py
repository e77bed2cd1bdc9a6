"""The verifier accepts a sound world, and names each single thing that is wrong in one that is not."""

import asyncio
import os
import secrets

import pytest

from services.stack.server import Addresses
from tests.chaos import tampering
from tests.chaos.small_world import small_world
from tests.chaos.verifier import Report, verify
from tests.reference.play import World


async def verified(world: World) -> Report:
    addresses = world.addresses
    return await verify(addresses.kafka_bootstrap, world.dsn, addresses.redis_url, world.prefix, catalogue="default")


@pytest.mark.timeout(600)
async def test_a_sound_world_is_accounted_for_and_each_wrong_thing_is_named(
    addresses: Addresses, ledger_dsn: str
) -> None:
    seed = int(os.environ.get("MISSIONS_WORLD_SEED") or secrets.randbelow(2**32))
    async with small_world(addresses, ledger_dsn, seed) as world:
        report = await verified(world)
        assert report.lines[-1] == "ALL EVENTS ACCOUNTED FOR", "\n".join(report.lines)
        assert report.ok

        await asyncio.to_thread(world.processor.stop)
        wanted: dict[str, str] = {}
        used: set[str] = set()
        for tamper in tampering.ALL:
            wanted |= await tamper(world, used)
        report = await verified(world)

    said = "\n".join(report.lines)
    print(said)
    assert not report.ok
    assert report.lines[-1].endswith(" DIFFERENCES")
    missing = [
        name for name, beginning in wanted.items() if not any(line.startswith(beginning) for line in report.lines)
    ]
    assert not missing, f"{missing} of {wanted} not said in:\n{said}"
