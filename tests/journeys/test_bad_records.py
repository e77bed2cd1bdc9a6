"""Bad records among good ones: the good ones all count, each bad one is kept with its own reason, unknown types are counted."""

import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from mission_events import DeadLetter, decode_dead_letter
from services.adapters.kafka.producer import Outgoing
from services.adapters.kafka.reader import read_from
from tests.support.events import xp
from tests.support.system import Learner, Running, until

TOPIC = "learning.xp-earned"
GOOD = 1000


def bad_records(learner: Learner) -> dict[str, bytes | None]:
    """Twelve faults by name."""
    now = datetime.now(UTC)

    def event(data: Any = None, **changes: Any) -> bytes:
        envelope = {
            "specversion": "1.0",
            "id": secrets.token_hex(8),
            "source": "test",
            "type": "learning.xp-earned.v1",
            "subject": learner.user,
            "time": now.isoformat(),
            "data": {"amount": 1, "xp_source": "lesson"} if data is None else data,
        }
        return json.dumps({**envelope, **changes}).encode()

    return {
        "not JSON": b'{"specversion": "1.0", "id": ',
        "missing field": event({"xp_source": "lesson"}),
        "NaN": event({"amount": float("nan"), "xp_source": "lesson"}),
        "negative XP": event({"amount": -5, "xp_source": "lesson"}),
        "NUL": event(source="te\0st", comment="\0"),
        "1 MB": event(comment="x" * 1_000_000),
        "tombstone": None,
        "unknown type": event(type="learning.shoe-tied.v1"),
        "bad id": event(id="no spaces, please"),
        "wrong number type": event({"amount": "5", "xp_source": "lesson"}),
        "a time in the future": event(time=(now + timedelta(hours=1)).isoformat()),
        "36 days old": event(time=(now - timedelta(days=36)).isoformat()),
    }


REASONS = {
    "not JSON": "not_json",
    "missing field": "missing_field",
    "NaN": "not_finite",
    "negative XP": "out_of_range",
    "NUL": "nul_character",
    "1 MB": "oversize",
    "tombstone": "tombstone",
    "bad id": "bad_identifier",
    "wrong number type": "wrong_type",
    "a time in the future": "time_in_future",
    "36 days old": "time_too_old",
}


async def test_twelve_bad_records_among_a_thousand_good_ones(system: Running) -> None:
    learner = system.learner("among-bad")
    await learner.opens_app()
    bad = bad_records(learner)
    key = learner.user.encode()
    records = [Outgoing(TOPIC, key, learner.record(xp(1))[2]) for _ in range(GOOD)]
    places = {}
    for number, (name, value) in enumerate(bad.items()):
        position = (number + 1) * (len(records) // (len(bad) + 1))
        records.insert(position, Outgoing(TOPIC, key, value))
        places[position] = name
    before = await tallies(system)

    written = await system.publisher.publish_all(records)
    await system.drained([TOPIC])

    missions = await learner.missions()
    assert missions["daily-xp-20"]["status"] == "COMPLETED"
    logged = await system.fetch("select count(*) from event_log where user_id = $1 and topic = $2", learner.user, TOPIC)
    assert logged[0][0] == GOOD
    reasons = {}
    for position, name in places.items():
        at = written[position]
        rows = await system.fetch(
            'select reason, value from dead_letter where topic = $1 and partition = $2 and "offset" = $3',
            at.topic, at.partition, at.offset,
        )  # fmt: skip
        if rows:
            reasons[name] = rows[0]["reason"]
            assert rows[0]["value"] == bad[name], "the original bytes are kept"
    assert reasons == REASONS
    after = await tallies(system)
    assert after["unknown"] - before["unknown"] == 1
    assert after["dead_letter"] - before["dead_letter"] == len(REASONS)
    await each_is_published_with_its_reason(system, key, bad)


async def tallies(system: Running) -> dict[str, int]:
    rows = await system.fetch(
        "select coalesce(sum(unknown), 0) as unknown, coalesce(sum(dead_letter), 0) as dead_letter "
        "from input_position where topic = $1",
        TOPIC,
    )
    return {name: int(rows[0][name]) for name in ("unknown", "dead_letter")}


async def each_is_published_with_its_reason(system: Running, key: bytes, bad: dict[str, bytes | None]) -> None:
    found: dict[str, DeadLetter] = {}

    async def all_there() -> bool:
        async for _, record in read_from(system.servers.addresses.kafka_bootstrap, "missions.dead-letter"):
            letter = decode_dead_letter(record.value, record.headers, key=record.key)
            if record.key == key and isinstance(letter, DeadLetter):
                found[letter.reason] = letter
        return set(found) >= set(REASONS.values())

    await until(all_there, "all dead letters on their topic")
    for name, reason in REASONS.items():
        assert found[reason].value == bad[name]
        assert found[reason].topic == TOPIC
        assert found[reason].detail
