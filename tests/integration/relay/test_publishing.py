"""What is in the outbox reaches consumers once, in order, byte for byte."""

import asyncio
import hashlib
import json
from dataclasses import replace

from msgspec import structs

from mission_events import TOPICS_OUT, decode_dead_letter
from mission_events.dead_letter import DeadLetter
from services.adapters.kafka.producer import partition_for
from services.adapters.ledger.outbox import OutboxMessage, insert_outbox
from services.adapters.ledger.relay_store import RelayStore
from services.processor.dead_letters import message_of_letter
from tests.integration.relay.world import (
    COMPLETED,
    DEAD_LETTER,
    PARTITIONS,
    World,
    assert_once_and_in_order,
    dead_letter,
    message,
    messages,
    until,
)


async def test_every_message_is_published_once_in_order_with_its_id_and_its_keys_partition(world: World) -> None:
    early, late = messages(users=40, each=30), messages(users=40, each=20, start=30)
    await world.put(early)
    async with world.relay():
        for start in range(0, len(late), 100):
            await world.put(late[start : start + 100])
        await world.drained()
    found = await world.read()
    assert_once_and_in_order(found, early + late)
    for record in found:
        assert record.partition == partition_for(record.key, PARTITIONS)
        assert record.headers == (
            ("id", record.id.encode()),
            ("content-type", b"application/cloudevents+json; charset=UTF-8"),
        )


async def test_a_message_that_is_committed_after_later_ones_is_not_passed_over(world: World) -> None:
    slow, quick = message(1, 0), message(1, 1)
    async with world.relay(), world.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await insert_outbox(connection, [slow], lambda key: partition_for(key, PARTITIONS))
        await world.put([quick])

        async def only_the_slow_one_waits() -> bool:
            return await world.waiting() == 0

        await until(only_the_slow_one_waits)
        await transaction.commit()
        await world.drained()
    assert {record.id for record in await world.read()} == {slow.message_id, quick.message_id}


async def test_an_idle_relay_takes_up_what_comes_later(world: World) -> None:
    async with world.relay():
        for number in range(5):
            await world.put([message(1, number)])
            await world.drained()
    assert_once_and_in_order(await world.read(), [message(1, number) for number in range(5)])


async def test_dead_letters_keep_their_bytes_and_headers(world: World) -> None:
    original = (("id", b"not-ours"), ("trace", b"\x00\xff\xfe"), ("empty", None), ("naïve", b"x"))
    values = [b"\x00\x01\xff not json", b"", None, bytes(range(256)) * 4000]
    letters = [
        DeadLetter(
            value, key, original, "not_json", "said", "/data", "learning.xp-earned", 3, 40 + place, 1_700_000_000_000
        )
        for place, (value, key) in enumerate(zip(values, [b"\xff\x00", b"user-1", None, None], strict=True))
    ]
    await world.put([message_of_letter(letter) for letter in letters])
    async with world.relay():
        await world.drained()
    found = await world.read()
    assert {record.id for record in found} == {message_of_letter(letter).message_id for letter in letters}
    got = [decode_dead_letter(record.value, record.headers, key=record.key) for record in found]
    assert sorted(got, key=repr) == sorted(letters, key=repr)


async def test_a_dead_letter_larger_than_its_topic_takes_is_cut_and_says_so(world: World) -> None:
    limit = next(topic.max_message_bytes for topic in TOPICS_OUT if topic.name == DEAD_LETTER)
    big = bytes(range(256)) * (2 * limit // 256)
    headers = json.dumps([["dead_letter_reason", "oversize"], ["original", "kept"]])
    cut, bare = dead_letter(1, big, headers), dead_letter(2, b"", json.dumps([["huge", "x" * 2 * limit]]))
    key = dead_letter(3, b"value", key=b"k" * 2 * limit)
    after = [message(user, 0) for user in range(40)]
    await world.put([cut, bare, key, *after])
    async with world.relay() as relay:
        await world.drained()
        assert relay.trouble() is None
    found = {record.id: record for record in await world.read()}
    assert found.keys() == {m.message_id for m in [cut, bare, key, *after]}
    got = found[cut.message_id]
    assert got.value is not None
    assert len(got.value) > limit - 1000
    assert big.startswith(got.value)
    assert dict(got.headers) == {
        "dead_letter_id": cut.message_id.encode(),
        "dead_letter_cut": str(len(big)).encode(),
        "dead_letter_sha256": hashlib.sha256(big).hexdigest().encode(),
        "dead_letter_reason": b"oversize",
        "original": b"kept",
    }
    assert dict(found[bare.message_id].headers)["huge"] == b"x" * 1024
    assert found[key.message_id].key == b"k" * 1024
    assert found[key.message_id].value == b"value"


async def test_an_event_larger_than_its_topic_takes_becomes_a_dead_letter_and_the_next_ones_go_on(
    bare_world: World,
) -> None:
    small = [replace(topic, max_message_bytes=5000) if topic.name == COMPLETED else topic for topic in TOPICS_OUT]
    await bare_world.make_topics(small)
    before, after = message(1, 0), message(1, 2)
    large = structs.replace(message(1, 1), payload=b'{"padding":"' + b"x" * 6000 + b'"}')
    await bare_world.put([before, large, after, *(message(1, number) for number in range(3, 60))])
    async with bare_world.relay() as relay:
        await bare_world.drained()
        assert relay.trouble() is None
    found = await bare_world.read()
    letters = [record for record in found if record.topic == DEAD_LETTER]
    assert [(record.id, record.key, record.value) for record in letters] == [
        (large.message_id, large.key, large.payload)
    ]
    letter = decode_dead_letter(letters[0].value, letters[0].headers)
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.topic) == ("too_large_to_publish", COMPLETED)
    assert "max.message.bytes" in letter.detail
    others = [record for record in found if record.topic == COMPLETED]
    assert_once_and_in_order(others, [before, after, *(message(1, number) for number in range(3, 60))])


async def test_messages_for_a_topic_that_this_version_does_not_know_are_left_to_a_newer_one(world: World) -> None:
    unknown = message(1, 0, "missions.something-new")
    known = [message(1, number) for number in range(1, 5)]
    await world.put([unknown, *known])
    async with world.relay() as relay:

        async def only_the_unknown_waits() -> bool:
            return await world.waiting() == 1

        await until(only_the_unknown_waits)
        assert relay.trouble() is None
    assert_once_and_in_order(await world.read(), known)
    assert str(await world.pool.fetchval("select message_id from outbox")) == unknown.message_id


async def test_many_big_messages_are_taken_a_few_at_a_time(world: World) -> None:
    big = [dead_letter(number, bytes([number]) * 1_000_000) for number in range(30)]
    await world.put(big)
    async with RelayStore(world.pool).lane(partition_for(None, PARTITIONS)) as lane:
        assert lane is not None
        taken = await lane.pending([DEAD_LETTER], 500, 8 * 1024 * 1024)
        assert [m.message_id for m in taken] == [m.message_id for m in big[: len(taken)]]
        assert len(taken) == 9
        assert len(await lane.pending([DEAD_LETTER], 500, 1)) == 1
    async with world.relay():
        await world.drained()
    assert_once_and_in_order(await world.read(), big)


async def test_what_is_published_is_on_disk_in_postgres_first(world: World) -> None:
    async with RelayStore(world.pool).lane(0) as lane:
        assert lane is not None
        checkpoints = await lane.checkpoints([COMPLETED])
        for number in range(20):
            await world.put([message(0, number)])
            written = await world.pool.fetchval("select pg_current_wal_insert_lsn()")
            await lane.make_durable(checkpoints)
            assert await world.pool.fetchval("select pg_current_wal_flush_lsn() >= $1::pg_lsn", written)
            await asyncio.sleep(0)


def test_the_dead_letter_topic_is_one_of_the_contract() -> None:
    assert DEAD_LETTER in {topic.name for topic in TOPICS_OUT}
    assert OutboxMessage(DEAD_LETTER, "", None, None).headers is None
