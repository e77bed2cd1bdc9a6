"""Single wrong things, each done to a world that is sound, with what the verifier must then say."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
from confluent_kafka import Producer
from redis.asyncio import Redis

from tests.chaos.verifier.log import Raw, read_topics
from tests.reference.play import World
from tests.reference.states import read_state, write_state

REWARDS = "missions.reward-granted"
XP = "learning.xp-earned"


@dataclass(frozen=True)
class Statement:
    """What is changed in the ledger: one row of the first user whom `where` finds and whom nothing else was done to."""

    name: str
    pick: str
    """A query for candidates: user_id, then what `change` needs."""
    change: str
    says: str
    """The beginning of what is said, with `{0}`, `{1}` for the values that were picked."""


OPEN_XP = """
select a.user_id, a.mission_id, a.assignment_id::text from assignment a
where a.status = 'IN_PROGRESS' and a.mission_id in ('daily-xp-20', 'daily-xp-40')
  and exists (select from state_json u, json_array_elements(u.state -> 'assignments') x
              where u.user_id = a.user_id and x ->> 0 = a.assignment_id::text and (x -> 6 -> 0 ->> 0)::float > 0)
"""

DOUBLED = """
update user_state set state = (
    select convert_to(jsonb_set(j.state::jsonb, array['assignments', (place - 1)::text, '6', '0', '0'],
                                to_jsonb(2 * (x -> 6 -> 0 ->> 0)::float))::text, 'UTF8')
    from state_json j, jsonb_array_elements(j.state::jsonb -> 'assignments') with ordinality as all_of (x, place)
    where j.user_id = $1 and x ->> 0 = $2
) where user_id = $1
"""

STATEMENTS = (
    Statement(
        "an event is lost from the event log",
        "select user_id, source, event_id from event_log where event_type = 'learning.item-used.v1'",
        "delete from event_log where user_id = $1 and source = $2 and event_id = $3",
        "event log: user {0}, event {1} {2}: expected one row, found 0 rows",
    ),
    Statement(
        "an event that nobody published",
        "select user_id, event_id from event_log where event_type = 'learning.streak-updated.v1'",
        "insert into event_log select day, 'nobody', event_id, user_id, event_type, event_time, recorded_at, topic, partition, "
        '"offset", data from event_log where user_id = $1 and event_id = $2',
        "event log: user {0}, event nobody {1}: expected no row",
    ),
    Statement(
        "progress is doubled",
        OPEN_XP,
        DOUBLED.replace("$2", "$3") + " and $2 = $2",
        "assignment: user {0}, mission {1}, period from",
    ),
    Statement(
        "a grant without completion",
        "select user_id, mission_id, assignment_id from assignment where status = 'IN_PROGRESS'",
        "insert into reward_grant values ($3, gen_random_uuid(), $1, $2, now(), '[]')",
        "grant: user {0}, mission {1}, period from",
    ),
    Statement(
        "a grant is lost",
        "select user_id, mission_id, assignment_id from reward_grant",
        "delete from reward_grant where user_id = $1 and mission_id = $2 and assignment_id = $3",
        "grant: user {0}, mission {1}, period from",
    ),
    Statement(
        "a reward is other than the mission's",
        "select user_id, mission_id, assignment_id from reward_grant",
        """update reward_grant set rewards = '[{"kind": "gems", "amount": 9999}]'
           where user_id = $1 and mission_id = $2 and assignment_id = $3""",
        "grant: user {0}, mission {1}, period from",
    ),
    Statement(
        "a completion is taken back",
        "select user_id, mission_id, assignment_id from assignment where status = 'COMPLETED' and mission_id = 'daily-lesson-1'",
        "update assignment set status = 'IN_PROGRESS', completed_at = null, claimable_until = null "
        "where user_id = $1 and mission_id = $2 and assignment_id = $3",
        "assignment: user {0}, mission {1}, period from",
    ),
    Statement(
        "an assignment is lost",
        "select user_id, mission_id, starts_at from assignment where mission_id = 'daily-lesson-1' and status <> 'CLAIMED'",
        "delete from assignment where user_id = $1 and mission_id = $2 and starts_at = $3",
        "issuing: user {0}, mission {1}, period from",
    ),
    Statement(
        "XP is logged wrong",
        "select user_id, entry from xp_log where origin = 'event'",
        "update xp_log set amount = amount + 1 where user_id = $1 and entry = $2",
        "xp: user {0}, ",
    ),
    Statement(
        "a lesson counts twice",
        "select user_id, language, lesson_id from user_lesson",
        "update user_lesson set times = times + 1 where user_id = $1 and language = $2 and lesson_id = $3",
        "lesson: user {0}, lesson {1}/{2}: expected",
    ),
    Statement(
        "a chapter is forgotten",
        "select user_id, language, kind, content_id from user_completion",
        "delete from user_completion where user_id = $1 and language = $2 and kind = $3 and content_id = $4",
        "completion: user {0}, {1}/{2}/{3}: expected",
    ),
    Statement(
        "an answer counts twice",
        "select user_id, question_id from user_question",
        "update user_question set answers = answers + 1 where user_id = $1 and question_id = $2",
        "question: user {0}, question {1}: expected answers",
    ),
    Statement(
        "a streak is too long",
        "select user_id from user_state",
        """update user_state set state = (select convert_to(jsonb_set(state::jsonb, '{streak}', '99')::text, 'UTF8')
                                          from state_json where user_id = $1) where user_id = $1""",
        "profile: user {0}, streak: expected",
    ),
    Statement(
        "a dead letter is gone",
        """select topic, partition, "offset" from dead_letter d where not exists (
               select from dead_letter_history h where h.topic = d.topic and h."offset" = d."offset")""",
        'delete from dead_letter where topic = $1 and partition = $2 and "offset" = $3',
        "dead letter: {0}/{1}@{2}: expected a row, found none",
    ),
    Statement(
        "an account says another outcome",
        "select topic, partition from input_position where applied > 0",
        "update input_position set applied = applied - 1, duplicate = duplicate + 1 where topic = $1 and partition = $2",
        "account: {0}/{1} duplicates: expected",
    ),
    Statement(
        "a message is not published",
        "select user_id from user_state",
        "insert into outbox (partition, message_id, topic) select 0, gen_random_uuid(), 'missions.mission-expired' where $1 <> ''",
        "outbox: missions.mission-expired: expected empty, found 1",
    ),
)


async def tamper_with_ledger(world: World, used: set[str]) -> dict[str, str]:
    """Does all of them, each to a user of its own (`used` are those who have something already); what must be said by name."""
    wanted = {}
    connection = await asyncpg.connect(world.dsn)
    try:
        await connection.execute("create temp table state_json (user_id text primary key, state json)")
        states = await connection.fetch("select user_id, state from user_state")
        await connection.copy_records_to_table(
            "state_json", records=[(row[0], json.dumps(read_state(row[1]))) for row in states]
        )
        candidates = []
        for one in STATEMENTS:
            rows = await connection.fetch(one.pick + " order by 1")
            candidates.append({str(row[0]): row for row in rows if row[0] not in used})
        for one, found, user in zip(STATEMENTS, candidates, one_each([list(c) for c in candidates]), strict=True):
            assert user is not None, f"{one.name}: nobody is left of {sorted(found)}: {[len(c) for c in candidates]}"
            used.add(user)
            row = found[user]
            done = await connection.execute(one.change, *row)
            assert done.endswith(" 1"), f"{one.name}: {done}"
            wanted[one.name] = one.says.format(*(str(value).removeprefix(world.prefix) for value in row))
    finally:
        await connection.close()
    return wanted


def one_each(candidates: Sequence[Sequence[str]]) -> list[str | None]:
    """One candidate for each, nobody for two of them: as many as can have one do (Kuhn's algorithm), the others have None."""
    owner: dict[str, int] = {}

    def found(number: int, asked: set[str]) -> bool:
        for name in candidates[number]:
            if name not in asked:
                asked.add(name)
                if name not in owner or found(owner[name], asked):
                    owner[name] = number
                    return True
        return False

    for number in range(len(candidates)):
        found(number, set())
    chosen = {number: name for name, number in owner.items()}
    return [chosen.get(number) for number in range(len(candidates))]


async def tamper_with_redis(world: World, used: set[str]) -> dict[str, str]:
    """One state is newer than the ledger's, one another than it, and one nobody's."""
    redis: Redis = Redis.from_url(world.addresses.redis_url)
    users = [
        row[0] for row in await world.pool.fetch("select user_id from user_state order by 1") if row[0] not in used
    ]
    newer, other = users[:2]
    used |= {newer, other}
    for user, change in ((newer, _newer), (other, _other)):
        key = f"{world.prefix}missions:{{{user}}}"
        value = await redis.get(key)
        assert isinstance(value, bytes)
        await redis.set(key, change(value))
    await redis.set(f"{world.prefix}missions:{{nobody}}", b"1|{}")
    await redis.aclose()
    return {
        "Redis is newer": f"redis: user {newer}: expected a version up to",
        "Redis is another": f"redis: user {other}: expected version",
        "Redis has a stranger": "redis: user nobody: expected nothing",
    }


def _newer(value: bytes) -> bytes:
    version, _, state = value.partition(b"|")
    return b"%d|%b" % (int(version) + 5, state)


def _other(value: bytes) -> bytes:
    version, _, state = value.partition(b"|")
    return b"%b|%b" % (version, write_state({**read_state(state), "streak": 77}))


async def tamper_with_topics(world: World, used: set[str]) -> dict[str, str]:
    """A reward is told twice, one is made up, and an event is published that nothing applies."""
    kafka = world.addresses.kafka_bootstrap
    logs = [log for log in read_topics(kafka, [REWARDS], world.prefix, committed=True) if len(log.records) > 1]
    free = [(log, raw) for log in logs for raw in log.records if _user(raw) not in used]
    assert free, f"no reward of anybody but {sorted(used)} in {[len(log.records) for log in logs]} records"
    log, twice = free[0]
    event = json.loads(twice.value or b"")
    used.add(event["subject"])
    made_up = json.dumps({**event, "id": "made-up"}).encode()
    producer = Producer({"bootstrap.servers": kafka})
    for value in (twice.value, made_up):
        producer.produce(world.prefix + REWARDS, value, twice.key, log.partition)
    producer.produce(world.prefix + XP, _unapplied(), b"late-comer", 0)
    assert producer.flush(30) == 0
    return {
        "a reward is told twice": f"published: user {event['subject']}, mission {event['data']['mission_id']}, "
        f"{REWARDS} {event['id']}: expected once, found 2 times",
        "a reward is made up": f"published: user {event['subject']}, mission {event['data']['mission_id']}, "
        f"{REWARDS} made-up: expected never",
        "an event is not applied": "event log: user late-comer, event test late: expected one row, found 0 rows",
        "the position is not at the end": f"account: {XP}/0 next offset: expected",
    }


def _user(raw: Raw) -> str:
    subject: str = json.loads(raw.value or b"")["subject"]
    return subject


def _unapplied() -> bytes:
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": "late",
        "source": "test",
        "type": f"{XP}.v1",
        "subject": "late-comer",
        "time": datetime.now(UTC).isoformat(),
        "data": {"amount": 1, "xp_source": "lesson"},
    }
    return json.dumps(event).encode()


Tampering = Callable[[World, set[str]], Awaitable[dict[str, str]]]
ALL: tuple[Tampering, ...] = (tamper_with_ledger, tamper_with_topics, tamper_with_redis)
"""The choosiest first."""
