"""Compares a ledger with the reference model: every assignment, profile, question, grant, XP entry and count of records."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import asyncpg

from .journal import ITEM, LESSON, STREAK, XP, Step
from .missions import spelt_out
from .model import Model, User
from .states import read_state

SHOWN_MAX = 25
"""Differences that are spelt out."""

FIELDS = ("expires_at", "status", "completed_at", "claimable_until", "claimed_at")
"""What is compared of an assignment beside its progress."""

Facts = dict[tuple[str, ...], Any]
"""What is so, by (kind of fact, user or topic, …)."""


async def check(
    ledger_dsn: str, journal: Sequence[Step], missions: Iterable[dict[str, Any]], prefix: str = ""
) -> list[str]:
    """What is different in the ledger from what must follow from the journal; empty when all is equal.

    The journal has all that ever happened to this ledger, in order. `prefix` is that of the ledger's topics.
    """
    model = Model([spelt_out(mission) for mission in missions]).play(journal)
    return model.wrong_answers + differences(expected(model), await found(ledger_dsn, prefix))


def tally(counts: Mapping[tuple[str, str], int]) -> Facts:
    """Counts of records by (topic, outcome). Events that counted nowhere are one number: which of them are called late and
    which unmatched depends on how much of the past their user's state still has."""
    facts: Facts = {}
    for (topic, outcome), amount in counts.items():
        key = ("0 records", topic, "late or unmatched" if outcome in ("late", "unmatched") else outcome)
        facts[key] = facts.get(key, 0) + amount
    return facts


def differences(wanted: Facts, have: Facts) -> list[str]:
    """One line for each fact that is not the same on both sides, first those that others may follow from."""
    wrong = sorted(key for key in wanted.keys() | have.keys() if wanted.get(key) != have.get(key))
    return [f"{' · '.join(key)}: {_contrast(wanted.get(key), have.get(key))}" for key in wrong]


def _contrast(wanted: Any, have: Any) -> str:
    """Both sides, of parts only those that differ."""
    if isinstance(wanted, dict) and isinstance(have, dict):
        names = [name for name in wanted if wanted[name] != have.get(name)]
        return "; ".join(f"{name} is {_shown(have.get(name))}, should be {_shown(wanted[name])}" for name in names)
    return f"is {_shown(have)}, should be {_shown(wanted)}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} {_shown(part)}" for name, part in value.items()) + "}"
    return "not there" if value is None else str(value)


def report(lines: Sequence[str]) -> str:
    """The first differences, and how many there are."""
    rest = len(lines) - SHOWN_MAX
    return "\n".join([f"{len(lines)} differences", *lines[:SHOWN_MAX], *([f"… and {rest} more"] if rest > 0 else [])])


def expected(model: Model) -> Facts:
    """What follows from the journal."""
    facts: Facts = tally(model.tallies)
    for user in model.users.values():
        facts |= _expected_profile(user)
        for a in user.assignments:
            key = (user.name, a.mission["id"], at_text(a.starts_at))
            facts["2 assignment", *key] = {name: getattr(a, name) for name in FIELDS} | {"progress": a.progress()}
            if a.claimed_at:
                rewards = [{"amount": 1, **reward} for reward in a.mission["rewards"]]
                facts["4 grant", *key] = {"granted_at": a.claimed_at, "rewards": _sorted(rewards)}
        facts |= _expected_xp(user)
    return facts


def _expected_xp(user: User) -> Facts:
    """The XP log: what events told, and what grants gave; events that repeat a grant are marked as its echo."""
    origins = {"mission_reward": "echo"}
    log = [(at, data["amount"], origins.get(data["xp_source"], "event"), data["xp_source"]) for at, data in user.of(XP)]
    log += [
        (a.claimed_at, reward["amount"], "grant", "mission_reward")
        for a in user.assignments
        for reward in a.mission["rewards"]
        if a.claimed_at and reward["kind"] == "xp"
    ]
    return {("5 xp", user.name): sorted(log)} if log else {}


def _expected_profile(user: User) -> Facts:
    day, days = user.streak()
    now = user.facts(date.max)
    facts: Facts = {
        ("1 profile", user.name): {
            "zone": user.zone,
            "days_active": len(user.days),
            "languages": now["languages"],
            "language": now["language"],
            "chapter": now["chapter"],
            "open_mistakes": now["open_mistakes"],
            "streak": days,
            "streak_day": day or None,
            "streak_longest": max((data["days"] for _, data in user.of(STREAK)), default=0),
            "freezes_used": sum(data["quantity"] for _, data in user.of(ITEM) if data["item_type"] == "streak_freeze"),
            "chapters_completed": now["chapters_completed"],
            "units_completed": now["units_completed"],
            "claimed": sorted(user.claimed),
        }
    }
    for at, data in user.of(LESSON):
        lesson = facts.setdefault(("6 lesson", user.name, data["language"], data["lesson_id"]), [0, at, at, None])
        told = [accuracy for accuracy in (lesson[3], data.get("accuracy")) if accuracy is not None]
        lesson[:] = [lesson[0] + 1, min(lesson[1], at), max(lesson[2], at), max(told, default=None)]
        for kind in ("chapter", "unit"):
            if data.get(f"{kind}_progress") == 1:
                key = ("7 completion", user.name, data["language"], kind, data[f"{kind}_id"])
                facts[key] = min(facts.get(key, at), at)
    for name, question in user.questions.items():
        if question.last is not None:
            last_at, last = question.last
            recent = sorted(2 * int(at.timestamp()) + data["correct"] for at, data in question.answers)
            facts["3 question", user.name, name] = {
                "answers": len(question.answers),
                "correct_answers": sum(data["correct"] for _, data in question.answers),
                "last_correct": last["correct"],
                "last_answered_at": last_at,
                "mistake_since": question.mistake_since,
                "corrected_at": question.corrected_at,
                **{place: last[place] for place in ("topic_id", "chapter_id", "language")},
                "recent_answers": recent[-8:],
            }
    return facts


async def found(dsn: str, prefix: str = "") -> Facts:
    """What the ledger holds."""
    connection = await asyncpg.connect(dsn)
    try:
        facts = await _found_records(connection, prefix)
        states = {row[0]: read_state(row[1]) for row in await connection.fetch("select user_id, state from user_state")}
        facts |= {("1 profile", name): profile_of(state) for name, state in states.items()}
        open_progress = {a[0]: [o[0] for o in a[6]] for state in states.values() for a in state.get("assignments", [])}
        for row in await connection.fetch("select *, assignment_id::text as id from assignment"):
            key = ("2 assignment", row["user_id"], row["mission_id"], at_text(row["starts_at"]))
            written = json.loads(row["progress"]) if row["progress"] else None
            facts[key] = {name: row[name] for name in FIELDS} | {
                "progress": open_progress.get(row["id"]) if written is None else written
            }
        facts |= await _found_questions(connection) | await _found_learning(connection)
        rows = await connection.fetch(
            "select g.*, a.starts_at from reward_grant g join assignment a using (assignment_id, user_id, mission_id)"
        )
        for row in rows:
            key = ("4 grant", row["user_id"], row["mission_id"], at_text(row["starts_at"]))
            facts[key] = {"granted_at": row["granted_at"], "rewards": _sorted(json.loads(row["rewards"]))}
        grants = await connection.fetchval("select count(*) from reward_grant")
        if grants != len(rows):
            facts["4 grant", "of nobody's assignment"] = grants - len(rows)
        return facts
    finally:
        await connection.close()


async def _found_learning(connection: "asyncpg.Connection[asyncpg.Record]") -> Facts:
    """The XP log, lessons, chapters and units."""
    facts: Facts = {}
    for row in await connection.fetch("select * from xp_log order by user_id, earned_at, amount, origin, xp_source"):
        entry = (row["earned_at"], row["amount"], row["origin"], row["xp_source"])
        facts.setdefault(("5 xp", row["user_id"]), []).append(entry)
    for row in await connection.fetch("select * from user_lesson"):
        lesson = [row["times"], row["first_completed_at"], row["last_completed_at"], row["best_accuracy"]]
        facts["6 lesson", row["user_id"], row["language"], row["lesson_id"]] = lesson
    for row in await connection.fetch("select * from user_completion"):
        key = ("7 completion", row["user_id"], row["language"], row["kind"], row["content_id"])
        facts[key] = row["completed_at"]
    return facts


async def _found_records(connection: "asyncpg.Connection[asyncpg.Record]", prefix: str) -> Facts:
    """What became of the records, by topic."""
    counts: dict[tuple[str, str], int] = {}
    outcomes = ("applied", "unmatched", "late", "duplicate", "dead_letter", "unknown", "skipped")
    sums = ", ".join(f"sum({outcome})::bigint as {outcome}" for outcome in outcomes)
    for row in await connection.fetch(f"select topic, {sums} from input_position group by topic"):
        topic = row["topic"].removeprefix(prefix)
        counts |= {(topic, outcome): row[outcome] for outcome in outcomes if row[outcome]}
    return tally(counts)


def profile_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """A user's profile, from the JSON of the state."""
    zones = state.get("zones", [])
    return {
        "zone": zones[-1][0] if zones else None,
        "days_active": state.get("days_active", 0),
        "languages": state.get("languages", []),
        "language": state.get("language"),
        "chapter": state.get("chapter"),
        "open_mistakes": state.get("open_mistakes", 0),
        "streak": state.get("streak", 0),
        "streak_day": state.get("streak_day"),
        **{
            name: state.get(name, 0)
            for name in ("streak_longest", "freezes_used", "chapters_completed", "units_completed")
        },
        "claimed": sorted(state.get("claimed_missions", [])),
    }


async def _found_questions(connection: "asyncpg.Connection[asyncpg.Record]") -> Facts:
    columns = "answers correct_answers last_correct last_answered_at mistake_since corrected_at topic_id chapter_id language recent_answers"
    return {
        ("3 question", row["user_id"], row["question_id"]): {name: row[name] for name in columns.split()}
        for row in await connection.fetch("select * from user_question")
    }


def at_text(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%MZ")


def _sorted(rewards: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(reward, sort_keys=True) for reward in rewards)
