"""What an operator types: each command against the running system, as a process of its own."""

import asyncio
import json
import os
import secrets
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.adapters.tokens import TokenSettings, TokenVerifier
from tests.support.events import xp
from tests.support.system import Running

PROJECT = Path(__file__).resolve().parents[2]
TOPIC = "learning.xp-earned"
LONG_AGO = datetime.now(UTC) - timedelta(days=60)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


async def missions(system: Running, *arguments: str, **variables: str) -> Done:
    """Runs `missions …` with the stack's environment."""
    lines = system.stack.env_file.read_text("utf-8").splitlines()
    stack = dict(line.split("=", 1) for line in lines)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli.main", *arguments,
        cwd=PROJECT, env={**os.environ, **stack, "COLUMNS": "200", **variables},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return Done(process.returncode or 0, out.decode(), err.decode())


async def test_a_dead_letter_is_listed_shown_and_replayed(system: Running) -> None:
    bad = b'{"this is": "no event", "by": "test_operator"}'
    at = await system.publisher.publish(TOPIC, b"somebody", bad)
    await system.drained([TOPIC])
    place = (TOPIC, str(at.partition), str(at.offset))

    listed = await missions(system, "dead-letters", "list", "--topic", TOPIC, "--since", "1h", "--format", "json")
    raw = await missions(system, "dead-letters", "show", *place, "--raw")
    tried = await missions(system, "dead-letters", "replay", *place, "--dry-run")
    replayed = await missions(system, "dead-letters", "replay", *place, "--why", "a test")
    await system.drained([TOPIC])
    shown = await missions(system, "dead-letters", "show", *place)

    assert (listed.code, shown.code, raw.code, replayed.code) == (0, 0, 0, 0), shown.err + replayed.err
    newest = json.loads(listed.out)["dead_letters"][0]
    assert (newest["place"][:3], newest["reason"], newest["state"]) == (
        [TOPIC, at.partition, at.offset],
        "missing_field",
        "open",
    )
    assert raw.out == bad.decode()
    assert "would publish" in tried.out
    assert "(a test)" in shown.out
    assert "came back from partition" in shown.out, "it is as bad as it was"
    letters = await system.fetch("select replayed_at from dead_letter where value = $1", bad)
    assert len(letters) == 1, "and still one letter"
    purged = await missions(system, "dead-letters", "purge", *place, "--yes", "--by", "olga")
    assert purged.out == "1 letter deleted\n"
    gone = await missions(system, "dead-letters", "show", *place)
    assert (gone.code, "there is no dead letter at" in gone.err) == (1, True)


async def test_letters_of_a_filter_are_replayed_once_on_the_day_on_which_they_came(system: Running) -> None:
    learner = system.learner("replayed-all")
    await learner.opens_app()
    reason = f"test_{learner.user[-8:]}"
    yesterday = datetime.now(UTC) - timedelta(days=1)
    letters = [learner.record(xp(5), at=yesterday), learner.record(xp(6)), learner.record(xp(1), at=LONG_AGO)]
    for number, (topic, key, value) in enumerate(letters):
        await system.fetch(
            'insert into dead_letter (topic, partition, "offset", reason, detail, recorded_at, key, value, headers) '
            "values ($1, 9000, $2, $3, 'a test', $4, $5, $6, '[]')",
            topic, secrets.randbits(40) + number, reason, [yesterday, datetime.now(UTC)][number > 0], key, value,
        )  # fmt: skip

    unsaid = await missions(system, "dead-letters", "replay")
    command = ("dead-letters", "replay", "--reason", reason, "--state", "open", "--yes")
    first, again = await missions(system, *command), await missions(system, *command)
    await system.drained([TOPIC])

    assert (unsaid.code, "--reason" in unsaid.err) == (1, True)
    assert "2 letters published again" in first.out
    assert first.code == 1, "one could be counted twice, and is kept"
    assert "a day that the event log no longer has" in first.err
    assert "0 letters published again" in again.out
    rows = await system.fetch(
        "select recorded_at from event_log where user_id = $1 and topic = $2 order by recorded_at", learner.user, TOPIC
    )
    assert [abs(row[0] - yesterday) < timedelta(minutes=1) for row in rows] == [True, False]


async def test_a_letter_that_does_not_exist_is_said_in_one_line_with_the_fix(system: Running) -> None:
    done = await missions(system, "dead-letters", "show", TOPIC, "0", "999999999")
    assert done.code == 1
    assert "there is no dead letter at" in done.err
    assert "missions dead-letters list" in done.err


async def test_replaying_what_was_mended_counts_once(system: Running) -> None:
    learner = system.learner("replayed")
    await learner.opens_app()
    good = learner.record(xp(6))
    at = await system.publisher.publish(*good)
    await learner.until_progress(daily_xp_20=6)
    await system.fetch(
        'insert into dead_letter (topic, partition, "offset", reason, detail, recorded_at, key, value, headers) '
        "values ($1, $2, $3, 'unprocessable', 'a test', now(), $4, $5, '[]')",
        TOPIC, 9000 + at.partition, at.offset, good[1], good[2],
    )  # fmt: skip

    done = await missions(system, "dead-letters", "replay", TOPIC, str(9000 + at.partition), str(at.offset))
    await system.drained([TOPIC])

    assert done.code == 0, done.err
    assert (await learner.missions())["daily-xp-20"]["progress"] == 6


async def test_a_stopped_partition_is_shown_with_the_command_that_lets_it_go_on(system: Running) -> None:
    topic = f"nobody.reads-{secrets.token_hex(4)}"
    await system.fetch(
        "insert into input_position (topic, partition, first_offset, next_offset, stopped, stop_detail, stopped_at) "
        "values ($1, 0, 0, 0, 'dead_letter_flood', 'a test', now())",
        topic,
    )
    listed, examined = await missions(system, "partitions", "list", "--stopped"), await missions(system, "doctor")
    resumed = await missions(system, "partitions", "resume", topic, "0", "--accept", "5", "--why", "a test")
    again = await missions(system, "partitions", "resume", topic, "0")
    await system.fetch("delete from input_position where topic = $1", topic)

    command = f"missions partitions resume {topic} 0"
    assert command in listed.out
    assert "a test" in listed.out
    assert command in examined.out.replace("\n", " ") or "dead_letter_flood" in examined.out
    assert "goes on from 0" in resumed.out
    assert (again.code, "is not stopped" in again.err) == (1, True)


async def test_issue_expire_and_rebuild_are_harmless_to_repeat(system: Running) -> None:
    learner = system.learner("repeated")
    before = await learner.opens_app()
    for command in (("issue",), ("expire",), ("projection", "rebuild")):
        for _ in range(2):
            done = await missions(system, *command)
            assert done.code == 0, done.err
    assert await learner.missions() == before


async def test_a_time_that_is_none_is_refused_with_the_fix(system: Running) -> None:
    done = await missions(system, "issue", "--now", "tomorrow")
    assert done.code == 1
    assert "2026-11-22T08:00:00Z" in done.err


async def test_a_token_is_minted_in_development_only(system: Running) -> None:
    minted = await missions(system, "token", "--user", "someone")
    caller = await TokenVerifier.from_settings(TokenSettings(_env_file=system.stack.env_file)).verify(
        minted.out.strip()
    )
    assert (caller.subject, str(caller.kind)) == ("someone", "user")

    refused = await missions(system, "token", "--user", "someone", MISSIONS_ENVIRONMENT="production")
    assert refused.code == 1
    assert "development" in refused.err


async def test_topics_and_migrations_are_there_already(system: Running) -> None:
    topics, schema = await missions(system, "topics", "apply"), await missions(system, "migrate")
    assert "0 topics created" in topics.out
    assert "0 migrations applied" in schema.out


@pytest.mark.parametrize("role", ["processor", "claims", "relay", "api", "scheduler"])
async def test_a_role_without_servers_says_what_to_do(system: Running, role: str) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    ports = {"MISSIONS_INSIDE_PORT": "0", "MISSIONS_HTTP_PORT": "0"}
    done = await missions(system, role, MISSIONS_POSTGRES_DSN=nowhere, **ports)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert "fix:" in done.err


async def test_a_user_is_exported_and_erased_and_does_not_come_back(system: Running, tmp_path: Path) -> None:
    learner = system.learner("erased")
    await learner.opens_app()
    await learner.does(xp(20), event_id=f"{learner.user}-1")
    await learner.until(lambda seen: seen["daily-xp-20"]["status"] == "COMPLETED", "a completed mission")
    assignment = (await learner.missions())["daily-xp-20"]["assignment_id"]
    assert (await learner.claim(assignment)).status_code == 200
    file = tmp_path / "user.json"

    exported = await missions(system, "user", "export", learner.user, "--output", str(file))
    counted = await missions(system, "user", "erase", learner.user, "--dry-run")
    erased = await missions(system, "user", "erase", learner.user, "--yes", "--why", "a test")
    await learner.does(xp(20), event_id=f"{learner.user}-1")
    await learner.does(xp(20))
    await system.drained([TOPIC])

    document = json.loads(file.read_text("utf-8"))
    assert (exported.code, counted.code, erased.code) == (0, 0, 0), exported.err + counted.err + erased.err
    assert file.stat().st_mode & 0o077 == 0, "others must not read it"
    assert len(document["grants"]) == 1
    assert "nothing was erased" in counted.out
    assert "count nowhere from now on" in erased.out
    assert await learner.missions() == {}
    assert (await learner.claim(assignment)).status_code == 404
    assert await system.fetch("select 1 from event_log where user_id = $1", learner.user) == []


async def test_a_users_state_is_shown_as_json(system: Running) -> None:
    learner = system.learner("shown")
    await learner.opens_app()
    await learner.does(xp(20))
    await learner.until(lambda seen: seen["daily-xp-20"]["status"] == "COMPLETED", "a completed mission")

    done = await missions(system, "user", "state", learner.user)
    unknown = await missions(system, "user", "state", "nobody-yet")

    assert done.code == 0, done.err
    state = json.loads(done.out)
    assert state["user_id"] == learner.user
    assert ("daily-xp-20", "COMPLETED") in {(assignment[1], assignment[5]) for assignment in state["assignments"]}
    assert unknown.code == 1
    assert "the ledger does not know nobody-yet" in unknown.err


@pytest.mark.parametrize("command", ["state", "export", "erase"])
async def test_an_id_that_is_none_is_refused_with_the_fix(system: Running, command: str) -> None:
    done = await missions(system, "user", command, "not an id")

    assert done.code == 1
    assert "is no user id" in done.err
    assert "1 to 128 of the characters" in done.err


async def test_an_export_never_writes_over_a_file(system: Running, tmp_path: Path) -> None:
    file = tmp_path / "precious.json"
    file.write_text("precious")

    done = await missions(system, "user", "export", "somebody", "--output", str(file))

    assert done.code == 1
    assert "name a new file" in done.err
    assert file.read_text() == "precious"


async def test_settings_are_shown_without_their_secrets(system: Running) -> None:
    secret = "postgresql://missions:hunter2@db.example:5432/missions"

    done = await missions(system, "config", "show", "api", MISSIONS_POSTGRES_DSN=secret)

    assert done.code == 0, done.err
    assert "MISSIONS_POSTGRES_DSN" in done.out
    assert "db.example" in done.out
    assert "hunter2" not in done.out + done.err


async def test_settings_that_no_process_could_start_with_are_named(system: Running) -> None:
    done = await missions(system, "config", "show", "processor", MISSIONS_LANES_MAX="none", MISSIONS_LANE_MAX="3")

    assert done.code == 1
    assert "MISSIONS_LANES_MAX" in done.err
    assert "did you mean MISSIONS_LANES_MAX?" in done.err


async def test_what_each_service_may_do_is_shown(system: Running) -> None:
    done = await missions(system, "database", "roles", "show")

    assert done.code == 0, done.err
    row = next(line for line in done.out.splitlines() if " reward_grant " in line)
    assert [cell.strip() for cell in row.strip("│┃ ").split("│")] == [
        "reward_grant", "", "select, insert", "", "select, insert", "select, insert", "select, insert, delete",
    ]  # fmt: skip
