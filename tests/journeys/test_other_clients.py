"""Upstreams use many clients: any compression, any partitioner, both CloudEvents modes."""

import json
import secrets
from datetime import UTC, datetime

import pytest
from confluent_kafka import Producer

from services.adapters.kafka.producer import Compression, Publisher
from tests.support.events import lesson, xp
from tests.support.system import Learner, Running


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_compression_counts(system: Running, compression: Compression) -> None:
    learner = system.learner(f"packed-{compression}")
    await learner.opens_app()
    bootstrap = system.servers.addresses.kafka_bootstrap

    async with Publisher(bootstrap, client_id="test-packed", compression=compression) as publisher:
        for _ in range(15):
            await publisher.publish(*learner.record(xp(1)))

    await learner.until_progress(daily_xp_20=15)


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_another_client_library_with_its_own_partitioner_counts(system: Running, compression: str) -> None:
    learner = system.learner(f"librdkafka-{compression}")
    await learner.opens_app()
    producer = Producer(
        {"bootstrap.servers": system.servers.addresses.kafka_bootstrap, "compression.type": compression}
    )

    for topic, key, value in [*(learner.record(xp(2)) for _ in range(6)), learner.record(lesson())]:
        producer.produce(topic, key=key, value=value)
    producer.flush(30)

    await learner.until_progress(daily_xp_20=12, daily_lesson_1=1)


async def test_binary_mode_counts(system: Running) -> None:
    learner = system.learner("binary")
    await learner.opens_app()

    await publish_binary(system, learner)

    await learner.until_progress(daily_xp_20=9)


async def publish_binary(system: Running, learner: Learner) -> None:
    headers = {
        "ce_specversion": "1.0",
        "ce_id": secrets.token_hex(8),
        "ce_source": "test",
        "ce_type": "learning.xp-earned.v1",
        "ce_subject": learner.user,
        "ce_time": datetime.now(UTC).isoformat(),
        "content-type": "application/json",
    }
    await system.publisher.publish(
        "learning.xp-earned",
        learner.user.encode(),
        json.dumps({"amount": 9, "xp_source": "challenge"}).encode(),
        [(name, value.encode()) for name, value in headers.items()],
    )
