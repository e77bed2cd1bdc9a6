"""The verifier accepts a sound world, and names each single thing that is wrong in one that is not."""

import secrets
from collections.abc import AsyncIterator

import pytest

from services.stack.server import Addresses
from tests.chaos.small_world import small_world
from tests.chaos.verifier import Report, verify
from tests.reference.play import World
from tests.support.stack import DatabaseFactory

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
async def world(
    addresses: Addresses, postgres_dsn_factory: DatabaseFactory, ledger_template: str
) -> AsyncIterator[World]:
    """Everything in it is as it should be."""
    dsn = await postgres_dsn_factory(template=ledger_template)
    async with small_world(addresses, dsn, secrets.randbelow(2**32)) as made:
        yield made


async def verified(world: World) -> Report:
    addresses = world.addresses
    return await verify(addresses.kafka_bootstrap, world.dsn, addresses.redis_url, world.prefix, catalogue="default")


async def test_a_sound_world_is_accounted_for(world: World) -> None:
    report = await verified(world)

    print("\n".join(report.lines))
    assert report.ok, "\n".join(report.lines)
    assert report.lines[-1] == "ALL EVENTS ACCOUNTED FOR"
