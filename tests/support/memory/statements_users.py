"""`sql/users.sql` and `sql/sweep.sql` on a Postgres in memory: what claims, api and scheduler read and write."""

import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from .connection import Found, answers, shape
from .postgres import Row, Transaction
from .statements_batch import Texts, has
from .statements_records import add_xp

_one = shape("value")
_name = shape("name")
ASSIGNMENT = (
    "assignment_id",
    "mission_id",
    "mission_version",
    "starts_at",
    "expires_at",
    "status",
    "progress",
    "completed_at",
    "claimable_until",
    "claimed_at",
    "fit",
)
_assignment = shape(*ASSIGNMENT)
GRANT = ("grant_id", "assignment_id", "mission_id", "granted_at", "rewards")
_grant = shape(*GRANT)
_answer = shape("request_hash", "status", "body")
OVERDUE = ("user_id", "mission_id", "starts_at", "assignment_id", "mission_version", "expires_at", "progress")
_overdue = shape(*OVERDUE)


@answers("users")
async def commit_on_disk(tx: Transaction) -> Found:
    tx.sync = True
    return []


@answers("users")
async def ping(tx: Transaction) -> Found:
    return [_one(1)]


@answers("users")
async def claim_assignments(tx: Transaction, *columns: Sequence[Any]) -> Found:
    done = []
    for user, mission, starts_at, claimed_at in zip(*columns, strict=True):
        key = (user, mission, starts_at)
        if await tx.change("assignment", key, has("status", "COMPLETED"), status="CLAIMED", claimed_at=claimed_at):
            row = tx.get("assignment", key)
            done.append(_one(row["assignment_id"] if row else None))
    return done


@answers("users")
async def insert_grants(tx: Transaction, *columns: Sequence[Any]) -> Found:
    for assignment_id, grant_id, user, mission, granted_at, rewards in zip(*columns, strict=True):
        values = (str(grant_id), str(assignment_id), mission, granted_at, rewards)
        await tx.add("reward_grant", str(assignment_id), dict(zip(GRANT, values, strict=True)) | {"user_id": user})
        for reward in json.loads(rewards):
            if reward["kind"] == "xp":
                told = ("grant", "mission_reward", "mission-system", str(grant_id))
                await add_xp(tx, user, granted_at, reward["amount"], *told)
    return []


@answers("users")
async def grant_of(tx: Transaction, assignment_id: Any, user: str) -> Found:
    row = tx.get("reward_grant", str(assignment_id))
    return [_grant(*(row[name] for name in GRANT))] if row and row["user_id"] == user else []


@answers("users")
async def claim_answer(tx: Transaction, user: str, key: str) -> Found:
    row = tx.get("claim_answer", (user, key))
    return [_answer(row["request_hash"], row["status"], row["body"])] if row else []


@answers("users")
async def insert_claim_answer(tx: Transaction, user: str, key: str, digest: str, status: int, body: str) -> Found:
    row = {"request_hash": digest, "status": status, "body": body, "created_at": tx.server.now()}
    return [_one(user)] if await tx.insert("claim_answer", (user, key), row) else []


def _shown(row: Row) -> Any:
    return _assignment(*(row[name] for name in ASSIGNMENT))


@answers("users")
async def assignment_of_user(tx: Transaction, user: str, assignment_id: Any) -> Found:
    rows = [row for key, row in tx.rows("assignment") if key[0] == user and row["assignment_id"] == str(assignment_id)]
    return [_shown(row) for row in rows]


@answers("users")
async def assignments_of_user(
    tx: Transaction, user: str, starts_at: datetime | None, mission: str | None, limit: int
) -> Found:
    rows = [row for key, row in tx.rows("assignment") if key[0] == user]
    rows.sort(key=lambda row: (row["starts_at"], row["mission_id"]), reverse=True)
    below = [r for r in rows if starts_at is None or (r["starts_at"], r["mission_id"]) < (starts_at, mission)]
    return [_shown(row) for row in below[:limit]]


@answers("sweep")
async def users_to_issue(tx: Transaction, now: datetime, seen_since: date, after: str, limit: int) -> Found:
    due = [
        user
        for user, row in tx.rows("user_state")
        if row["next_issue_at"] is not None
        and row["next_issue_at"] <= now
        and row["last_active_day"] is not None
        and row["last_active_day"] >= seen_since
        and user > after
    ]
    return [_one(user) for user in sorted(due)[:limit]]


@answers("sweep")
async def all_users(tx: Transaction, after: str, limit: int) -> Found:
    rows = sorted((user, row) for user, row in tx.rows("user_state") if user > after)
    return [shape("user_id", "state")(user, row["state"]) for user, row in rows[:limit]]


@answers("sweep")
async def input_positions(tx: Transaction) -> Found:
    names = ("topic", "partition", "next_offset", "last_record_at")
    return [shape(*names)(*(row[name] for name in names)) for _, row in tx.rows("input_position")]


@answers("sweep")
async def overdue_assignments(
    tx: Transaction, before: datetime, limit: int, at: datetime, user: str, mission: str
) -> Found:
    def is_overdue(row: Row) -> bool:
        return row["status"] == "IN_PROGRESS" and row["expires_at"] is not None and row["expires_at"] <= before

    rows = [(_order(row), key) for key, row in tx.rows("assignment") if is_overdue(row)]
    found: Found = []
    for order, key in sorted(rows):
        if order > (at, user, mission) and len(found) < limit and tx.is_free("assignment", key):
            await tx.lock("assignment", key)
            row = tx.get("assignment", key)
            if row and is_overdue(row):
                found.append(_overdue(*(row[name] for name in OVERDUE)))
    return found


def _order(row: Row) -> tuple[datetime, str, str]:
    return row["expires_at"], row["user_id"], row["mission_id"]


@answers("sweep")
async def users_to_claim_for(tx: Transaction, missions: Texts, now: datetime, after: str, limit: int) -> Found:
    users = {
        row["user_id"]
        for _, row in tx.rows("assignment")
        if row["status"] == "COMPLETED"
        and row["mission_id"] in missions
        and row["claimable_until"] is not None
        and row["claimable_until"] <= now
        and row["user_id"] > after
    }
    return [_one(user) for user in sorted(users)[:limit]]


@answers("sweep")
async def forget_claim_answers(tx: Transaction, before: datetime) -> Found:
    for key, row in list(tx.rows("claim_answer")):
        if row["created_at"] < before:
            await tx.lock("claim_answer", key)
            tx.put("claim_answer", key, None)
    return []


@answers("sweep")
async def end_assignments(tx: Transaction, *columns: Sequence[Any]) -> Found:
    for *key, progress in zip(*columns, strict=True):
        row = tx.get("assignment", tuple(key))
        if row is not None:
            values = {"status": "EXPIRED", "expired_at": row["expires_at"], "progress": progress}
            await tx.change("assignment", tuple(key), lambda row: True, **values)
    return []


@answers("sweep")
async def drop_event_log_days(tx: Transaction, before: date) -> Found:
    old = sorted(day for day in tx.server.event_log_days if day < before)
    tx.server.event_log_days.difference_update(old)
    for key, _ in list(tx.rows("event_log")):
        if key[2] in old:
            await tx.lock("event_log", key)
            tx.put("event_log", key, None)
    return [_name(f"event_log_{day:%Y%m%d}") for day in old]
