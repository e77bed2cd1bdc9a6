"""`sql/batch.sql` and `sql/records.sql` on a Postgres in memory: what a batch reads and writes."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import asyncpg

from .connection import Found, answers, shape
from .postgres import Row, Transaction

Texts = Sequence[str]
Times = Sequence[datetime]

_one = shape("value")
_two = shape("one", "two")
_key = shape("topic", "partition")
_place = shape("topic", "partition", "offset")
_position = shape("topic", "partition", "next_offset")
_state = shape("user_id", "state")
QUESTION = (
    "user_id",
    "question_id",
    "answers",
    "correct_answers",
    "last_correct",
    "last_answered_at",
    "mistake_since",
    "corrected_at",
    "topic_id",
    "chapter_id",
    "language",
    "recent_answers",
)
_question = shape(*QUESTION)
USER = ("user_id", "version", "stamp", "state", "next_issue_at", "last_active_day")
BRAKE = ("run", "run_end", "block", "block_bad", "accept_left", "accept_until")
_letter_account = shape("incarnation", *BRAKE)
TALLY = ("applied", "unmatched", "duplicate", "late", "dead_letter", "unknown", "skipped")


@answers("batch")
async def lock_positions(tx: Transaction, topics: Texts, partitions: Sequence[int]) -> Found:
    found = []
    for key in sorted(zip(topics, partitions, strict=True)):
        if tx.get("input_position", key) is not None:
            await tx.lock("input_position", key)
            if row := tx.get("input_position", key):
                found.append(_position(*key, row["next_offset"]))
    return found


@answers("batch")
async def open_position(tx: Transaction, topic: str, partition: int, first: int) -> Found:
    row = {
        "topic": topic,
        "partition": partition,
        "first_offset": first,
        "next_offset": first,
        "last_record_at": None,
        "batch_start": None,
        **dict.fromkeys(TALLY, 0),
    }
    await tx.insert("input_position", (topic, partition), row)
    return []


@answers("batch")
async def advance_positions(tx: Transaction, *columns: Sequence[Any]) -> Found:
    moved = []
    for topic, partition, expected, to, *tally, newest in zip(*columns, strict=True):
        key = (topic, partition)
        if (row := tx.get("input_position", key)) is None or row["next_offset"] != expected:
            continue
        await tx.lock("input_position", key)
        row = tx.get("input_position", key)
        if row is None or row["next_offset"] != expected:
            continue
        changed = {**row, "next_offset": to, "batch_start": expected}
        for name, amount in zip(TALLY, tally, strict=True):
            changed[name] += amount
        if to - row["first_offset"] != sum(changed[name] for name in TALLY):
            raise asyncpg.CheckViolationError("new row for relation input_position violates its check constraint")
        changed["last_record_at"] = max(row["last_record_at"] or newest, newest)
        tx.put("input_position", key, changed)
        moved.append(_key(*key))
    return moved


@answers("batch")
async def positions(tx: Transaction, topics: Texts, partitions: Sequence[int]) -> Found:
    found = [tx.get("input_position", key) for key in zip(topics, partitions, strict=True)]
    return [_position(row["topic"], row["partition"], row["next_offset"]) for row in found if row]


@answers("batch")
async def batch_starts(tx: Transaction, topics: Texts, partitions: Sequence[int]) -> Found:
    found = [tx.get("input_position", key) for key in zip(topics, partitions, strict=True)]
    return [
        _position(row["topic"], row["partition"], row["batch_start"])
        for row in found
        if row and row["batch_start"] is not None
    ]


@answers("batch")
async def settle_positions(tx: Transaction, topics: Texts, partitions: Sequence[int], offsets: Sequence[int]) -> Found:
    for topic, partition, offset in zip(topics, partitions, offsets, strict=True):
        await tx.change("input_position", (topic, partition), has("next_offset", offset), batch_start=offset)
    return []


@answers("batch")
async def erasure_mark(tx: Transaction) -> Found:
    row = tx.get("erasure_mark", True)
    return [_one(row["mark"] if row else 0)]


@answers("batch")
async def erased_users(tx: Transaction) -> Found:
    return [_one(row["user_id"]) for _, row in tx.rows("erased_user")]


LOGGED = (
    "source",
    "event_id",
    "user_id",
    "event_type",
    "event_time",
    "recorded_at",
    "topic",
    "partition",
    "offset",
    "data",
)


@answers("batch")
async def log_events(tx: Transaction, *columns: Sequence[Any]) -> Found:
    new = []
    for values in zip(*columns, strict=True):
        row = dict(zip(LOGGED, values, strict=True))
        if await _log(tx, row):
            new.append(_place(row["topic"], row["partition"], row["offset"]))
    return new


@answers("copy")
async def event_log(tx: Transaction, columns: Texts, rows: Sequence[Sequence[Any]]) -> Found:
    for values in rows:
        row = dict(zip(columns, values, strict=True))
        if row.pop("day") != row["event_time"].astimezone(UTC).date():
            raise asyncpg.CheckViolationError("the day of an event is the UTC day of its time")
        if not await _log(tx, row):
            raise asyncpg.UniqueViolationError("duplicate key value violates unique constraint of event_log")
    return []


async def _log(tx: Transaction, row: Row) -> bool:
    day = row["event_time"].astimezone(UTC).date()
    if day not in tx.server.event_log_days:
        raise asyncpg.CheckViolationError('no partition of relation "event_log" found for row')
    return await tx.insert("event_log", (row["source"], row["event_id"], day), row)


def _states(tx: Transaction, users: Iterable[str]) -> Found:
    rows = [tx.get("user_state", user) for user in users]
    return [_state(row["user_id"], row["state"]) for row in rows if row]


@answers("batch")
async def load_users(tx: Transaction, users: Texts) -> Found:
    return _states(tx, users)


@answers("batch")
async def lock_users(tx: Transaction, users: Texts) -> Found:
    for user in sorted(users):
        if tx.get("user_state", user) is not None:
            await tx.lock("user_state", user)
    return _states(tx, sorted(users))


@answers("batch")
async def lock_users_at_once(tx: Transaction, users: Texts) -> Found:
    for user in sorted(users):
        if tx.get("user_state", user) is not None:
            await tx.lock("user_state", user, nowait=True)
    return [_one(user) for user in sorted(users) if tx.get("user_state", user)]


@answers("batch")
async def moved_users(tx: Transaction, users: Texts, versions: Sequence[int], stamps: Sequence[int]) -> Found:
    moved = []
    for user, version, stamp in zip(users, versions, stamps, strict=True):
        row = tx.get("user_state", user)
        if row is None or (row["version"], row["stamp"]) != (version, stamp):
            moved.append(_one(user))
    return moved


@answers("batch")
async def ended_assignments(tx: Transaction, users: Texts, after: datetime) -> Found:
    return [
        _two(row["user_id"], row["assignment_id"])
        for _, row in tx.rows("assignment")
        if row["user_id"] in users and row["status"] == "EXPIRED" and row["expired_at"] > after
    ]


def user_row(values: Sequence[Any]) -> Row:
    """A row of `user_state` from the columns of `insert_users`."""
    row = dict(zip(USER, values, strict=True))
    ordinal = row["last_active_day"]
    row["last_active_day"] = date.fromordinal(ordinal) if ordinal else None
    return row


@answers("batch")
async def insert_users(tx: Transaction, *columns: Sequence[Any]) -> Found:
    rows = [user_row(values) for values in zip(*columns, strict=True)]
    return [_one(row["user_id"]) for row in rows if await tx.insert("user_state", row["user_id"], row)]


@answers("batch")
async def update_users(tx: Transaction, *columns: Sequence[Any]) -> Found:
    done = []
    for *values, stamp_before in zip(*columns, strict=True):
        user, version = values[0], values[1]
        fits = _is_at(version - 1, stamp_before)
        if await tx.change("user_state", user, fits, **user_row(values)):
            done.append(_one(user))
    return done


def _is_at(version: int, stamp: int) -> Callable[[Row], bool]:
    return lambda row: bool(row["version"] == version and row["stamp"] == stamp)


@answers("batch")
async def load_questions(tx: Transaction, users: Texts, questions: Texts) -> Found:
    rows = [tx.get("user_question", key) for key in zip(users, questions, strict=True)]
    return [_question(*(row[name] for name in QUESTION)) for row in rows if row]


def _question_row(values: Sequence[Any]) -> dict[str, Any]:
    row = dict(zip(QUESTION, values, strict=True))
    row["last_correct"] = bool(row["last_correct"])
    row["recent_answers"] = [int(number) for number in row["recent_answers"].strip("{}").split(",") if number]
    return row


@answers("batch")
async def insert_questions(tx: Transaction, *columns: Sequence[Any]) -> Found:
    rows = [(values[:2], _question_row(values)) for values in zip(*columns, strict=True)]
    return [_two(*key) for key, row in rows if await tx.insert("user_question", key, row)]


@answers("batch")
async def update_questions(tx: Transaction, *columns: Sequence[Any]) -> Found:
    done = []
    for *values, before in zip(*columns, strict=True):
        key = tuple(values[:2])
        if await tx.change("user_question", key, has("answers", before), **_question_row(values)):
            done.append(_two(*key))
    return done


@answers("batch")
async def insert_assignments(tx: Transaction, *columns: Sequence[Any]) -> Found:
    for user, mission, starts_at, assignment_id, version, expires_at, fit in zip(*columns, strict=True):
        row = {
            "user_id": user,
            "mission_id": mission,
            "starts_at": starts_at,
            "assignment_id": str(assignment_id),
            "mission_version": version,
            "expires_at": expires_at,
            "fit": fit,
            "status": "IN_PROGRESS",
            **dict.fromkeys(("progress", "completed_at", "claimable_until", "claimed_at", "expired_at")),
        }
        await tx.insert("assignment", (user, mission, starts_at), row)
    return []


def has(column: str, value: Any) -> Callable[[Row], bool]:
    """Whether a row has this value."""
    return lambda row: bool(row[column] == value)


@answers("batch")
async def keep_progress(tx: Transaction, *columns: Sequence[Any]) -> Found:
    for *key, progress in zip(*columns, strict=True):
        await tx.change("assignment", tuple(key), has("status", "IN_PROGRESS"), progress=progress)
    return []


@answers("batch")
async def complete_assignments(tx: Transaction, *columns: Sequence[Any]) -> Found:
    done = []
    for user, mission, starts_at, completed_at, until, progress in zip(*columns, strict=True):
        values = {"status": "COMPLETED", "completed_at": completed_at, "claimable_until": until, "progress": progress}
        if await tx.change("assignment", (user, mission, starts_at), has("status", "IN_PROGRESS"), **values):
            done.append(_two(user, mission))
    return done


@answers("batch")
async def insert_outbox(tx: Transaction, *columns: Sequence[Any]) -> Found:
    for partition, message_id, topic, key, payload, headers in zip(*columns, strict=True):
        seq = tx.server.next_number()
        row = {
            "partition": partition,
            "seq": seq,
            "message_id": str(message_id),
            "topic": topic,
            "key": key,
            "payload": payload,
            "headers": headers,
            "created_at": tx.server.now(),
        }
        await tx.add("outbox", (partition, seq), row)
    return []


@answers("batch")
async def letter_account(tx: Transaction, topic: str, partition: int) -> Found:
    row = tx.get("dead_letter_brake", (topic, partition)) or dict.fromkeys(BRAKE)
    return [_letter_account(1, *(row[name] for name in BRAKE))]


@answers("batch")
async def save_brake(tx: Transaction, topic: str, partition: int, *counts: int) -> Found:
    key, row = (topic, partition), dict(zip(BRAKE, counts, strict=True))
    if tx.get("dead_letter_brake", key) is None:
        await tx.insert("dead_letter_brake", key, row)
    else:
        await tx.lock("dead_letter_brake", key)
        tx.put("dead_letter_brake", key, row)
    return []


@answers("batch")
async def insert_dead_letters(
    tx: Transaction, topic: str, partition: int, incarnation: int, *columns: Sequence[Any]
) -> Found:
    names = ("offset", "reason", "detail", "recorded_at", "key", "value", "headers")
    for values in zip(*columns, strict=True):
        place = {"topic": topic, "partition": partition, "incarnation": incarnation}
        row = dict(zip(names, values, strict=True)) | place
        await tx.insert("dead_letter", (topic, partition, values[0]), row)
    return []


@answers("batch")
async def commit_without_waiting(tx: Transaction) -> Found:
    tx.sync = False
    return []


@answers("migrate")
async def event_log_days(tx: Transaction) -> Found:
    return [_one(f"{day:%Y%m%d}") for day in sorted(tx.server.event_log_days)]


@answers("migrate")
async def make_event_log_day(tx: Transaction, day: date) -> Found:
    tx.server.event_log_days.add(day)
    return []
