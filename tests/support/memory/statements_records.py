"""`sql/records.sql` on a Postgres in memory: what events add for good to XP, lessons, chapters and units."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from .connection import Found, answers, shape
from .postgres import Row, Transaction


@answers("records")
async def log_xp(tx: Transaction, *columns: Sequence[Any]) -> Found:
    for user, at, amount, xp_source, source, event_id in zip(*columns, strict=True):
        origin = "echo" if xp_source == "mission_reward" else "event"
        await add_xp(tx, user, at, amount, origin, xp_source, source, event_id)
    return []


async def add_xp(tx: Transaction, user: str, at: datetime, amount: int, *told: str) -> None:
    """A row of the XP log; `told` is (origin, xp_source, event_source, event_id)."""
    entry = tx.server.next_number()
    names = ("origin", "xp_source", "event_source", "event_id")
    row = {"user_id": user, "earned_at": at, "amount": amount, **dict(zip(names, told, strict=True))}
    await tx.add("xp_log", (user, at, entry), row)


@answers("records")
async def record_lessons(tx: Transaction, *columns: Sequence[Any]) -> Found:
    for user, language, lesson, chapter, unit, kind, times, first, last, accuracy in zip(*columns, strict=True):
        key = (user, language, lesson)
        row = {
            "chapter_id": (last, chapter),
            "unit_id": (last, unit),
            "lesson_type": (last, kind),
            "times": times,
            "first_completed_at": first,
            "last_completed_at": last,
            "best_accuracy": accuracy,
        }
        if await tx.insert("user_lesson", key, row):
            continue
        await tx.lock("user_lesson", key)
        known = tx.get("user_lesson", key) or row
        told = ("chapter_id", "unit_id", "lesson_type", "last_completed_at")
        merged = {name: max(known[name], row[name]) for name in told}
        scores = [each for each in (known["best_accuracy"], accuracy) if each is not None]
        merged |= {
            "times": known["times"] + times,
            "first_completed_at": min(known["first_completed_at"], first),
            "best_accuracy": max(scores, default=None),
        }
        tx.put("user_lesson", key, merged)
    return []


_completion = shape("user_id", "language", "kind", "content_id", "is_new")


@answers("records")
async def record_completions(tx: Transaction, *columns: Sequence[Any]) -> Found:
    found = []
    for *key, at in zip(*columns, strict=True):
        place = tuple(key)
        if await tx.insert("user_completion", place, {"completed_at": at}):
            found.append(_completion(*key, True))
        elif await tx.change("user_completion", place, _is_later_than(at), completed_at=at):
            found.append(_completion(*key, False))
    return found


def _is_later_than(at: datetime) -> Callable[[Row], bool]:
    return lambda row: bool(at < row["completed_at"])


_xp = shape("earned", "granted")


@answers("records")
async def xp_totals(tx: Transaction, user: str) -> Found:
    mine = [row for _, row in tx.rows("xp_log") if row["user_id"] == user]
    return [_xp(*(sum(row["amount"] for row in mine if row["origin"] == origin) for origin in ("event", "grant")))]
