"""What users have earned and learnt, for good: profile, XP log, lessons, chapters and units, questions."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from tests.reference.compare import profile_of
from tests.reference.journal import ANSWER, ITEM, LESSON, SESSION, STREAK, XP

from .inputs import Seen
from .learner import Learner
from .ledger import Ledger, Row
from .report import Report

FRESH = timedelta(hours=1)
"""News of a zone, a language or a chapter that are overtaken by less may be taken over: the time of the same news again is not kept."""

RECENT_MAX = 8
ORIGINS = {"mission_reward": "echo"}


def check_users(report: Report, learners: Mapping[str, Learner], ledger: Ledger) -> None:
    """Compares everything that is kept of users beside their missions."""
    _check_xp(report, learners, ledger)
    rows = _by_user(ledger.tables["user_lesson"], "language", "lesson_id")
    chapters = _by_user(ledger.tables["user_completion"], "language", "kind", "content_id")
    questions = _by_user(ledger.tables["user_question"], "question_id")
    claimed: dict[str, set[str]] = {}
    for row in ledger.tables["reward_grant"]:
        claimed.setdefault(row["user_id"], set()).add(row["mission_id"])
    exact = 0
    for name, learner in learners.items():
        _check_lessons(report, learner, rows.pop(name, {}), chapters.pop(name, {}))
        exact += _check_questions(report, learner, questions.pop(name, {}))
        _check_profile(report, learner, claimed.get(name, set()))
    for kind, left in (("lesson", rows), ("completion", chapters), ("question", questions)):
        for name, extra in left.items():
            report.differ(kind, f"user {name}", "no row: no event of this user", f"{len(extra)} rows")
    for name in ledger.states.keys() - learners.keys():
        if ledger.states[name].get("days_active"):
            report.differ(
                "profile", f"user {name}", "no active day: no event of this user", ledger.states[name]["days_active"]
            )
    sizes = [len(ledger.tables[table]) for table in ("xp_log", "user_lesson", "user_completion", "user_question")]
    told = "{} XP entries, {} lessons, {} chapters and units, {} questions".format(*sizes)
    report.note(f"{len(learners)} users with events: {told} ({exact} in a provable order of answers)")


def _by_user(rows: Iterable[Row], *names: str) -> dict[str, dict[tuple[str, ...], Row]]:
    found: dict[str, dict[tuple[str, ...], Row]] = {}
    for row in rows:
        found.setdefault(row["user_id"], {})[tuple(row[name] for name in names)] = row
    return found


def _check_xp(report: Report, learners: Mapping[str, Learner], ledger: Ledger) -> None:
    wanted: Counter[tuple[Any, ...]] = Counter()
    places: dict[tuple[Any, ...], str] = {}
    for learner in learners.values():
        for seen in learner.by_kind.get(XP, []):
            source = seen.data["xp_source"]
            entry = (
                seen.user,
                seen.at,
                seen.data["amount"],
                ORIGINS.get(source, "event"),
                source,
                seen.source,
                seen.id,
            )
            wanted[entry] += 1
            places[entry] = str(seen)
    for grant in ledger.tables["reward_grant"]:
        for reward in json.loads(grant["rewards"]):
            if reward["kind"] == "xp":
                told = ("grant", "mission_reward", "mission-system", str(grant["grant_id"]))
                wanted[grant["user_id"], grant["granted_at"], reward["amount"], *told] += 1
    names = ("user_id", "earned_at", "amount", "origin", "xp_source", "event_source", "event_id")
    found = Counter(tuple(row[name] for name in names) for row in ledger.tables["xp_log"])
    for entry in sorted((wanted - found).keys() | (found - wanted).keys(), key=str):
        place = f"user {entry[0]}, {entry[2]} XP of {entry[1].isoformat()}, {entry[5]} {entry[6]}"
        report.differ("xp", place, f"{wanted[entry]} entries", f"{found[entry]} entries", places.get(entry, ""))


def _check_lessons(
    report: Report, learner: Learner, rows: dict[tuple[str, ...], Row], chapters: dict[tuple[str, ...], Row]
) -> None:
    lessons: dict[tuple[str, ...], list[Seen]] = {}
    completed: dict[tuple[str, ...], datetime] = {}
    for seen in learner.by_kind.get(LESSON, []):
        data = seen.data
        lessons.setdefault((data["language"], data["lesson_id"]), []).append(seen)
        for kind in ("chapter", "unit"):
            if data.get(f"{kind}_progress") == 1:
                completed.setdefault((data["language"], kind, data[f"{kind}_id"]), seen.at)
    for key in lessons.keys() | rows.keys():
        row, done = rows.get(key), lessons.get(key, [])
        accuracies = [seen.data["accuracy"] for seen in done if "accuracy" in seen.data]
        wanted = (len(done), *((done[0].at, done[-1].at) if done else (None, None)), max(accuracies, default=None))
        have = row and tuple(
            row[name] for name in ("times", "first_completed_at", "last_completed_at", "best_accuracy")
        )
        where = f"user {learner.name}, lesson {'/'.join(key)}"
        if have != wanted:
            report.differ("lesson", where, wanted, have, ", ".join(map(str, done[:5])))
        elif row:
            for name in ("chapter_id", "unit_id", "lesson_type"):
                newest = {seen.data[name] for seen in done if seen.at == done[-1].at}
                if row[name] not in newest:
                    report.differ("lesson", f"{where} {name}", newest, row[name], str(done[-1]))
    for key in completed.keys() | chapters.keys():
        row = chapters.get(key)
        report.same(
            "completion", f"user {learner.name}, {'/'.join(key)}", completed.get(key), row and row["completed_at"]
        )


def _check_questions(report: Report, learner: Learner, rows: dict[tuple[str, ...], Row]) -> int:
    """Compares all questions of a user; how many of them exactly."""
    given: dict[str, list[Seen]] = {}
    for seen in learner.by_kind.get(ANSWER, []):
        given.setdefault(seen.data["question_id"], []).append(seen)
    exact = 0
    for (name,) in rows.keys() | {(name,) for name in given}:
        row, answers = rows.get((name,)), given.get(name, [])
        where, look_at = f"user {learner.name}, question {name}", ", ".join(map(str, answers[:8]))
        if row is None or not answers:
            report.differ("question", where, f"{len(answers)} answers", row and row["answers"], look_at)
            continue
        recent = sorted(2 * int(seen.at.timestamp()) + seen.data["correct"] for seen in answers)[-RECENT_MAX:]
        wanted: dict[str, Any] = {
            "answers": len(answers),
            "correct_answers": sum(seen.data["correct"] for seen in answers),
            "last_answered_at": answers[-1].at,
            "recent_answers": recent,
        }
        if name in learner.ordered_questions:
            question = learner.user.questions[name]
            if question.last is not None:
                last = question.last[1]
                wanted |= {key: last[key] for key in ("topic_id", "chapter_id", "language")}
                wanted |= {"last_correct": last["correct"], "mistake_since": question.mistake_since}
                wanted["corrected_at"] = question.corrected_at
                exact += 1
        have = {key: row[key] for key in wanted}
        if have != wanted:
            parts = [key for key in wanted if wanted[key] != have[key]]
            report.differ("question", where, _only(wanted, parts), _only(have, parts), look_at)
    return exact


def _only(values: Mapping[str, Any], names: Iterable[str]) -> str:
    return ", ".join(f"{name} {values[name]}" for name in names)


def _newest(events: list[Seen], name: str) -> set[Any]:
    """What the newest event told, and what may stand in its place since it is hardly older."""
    return {seen.data[name] for seen in events if seen.at >= events[-1].at - FRESH}


def _check_profile(report: Report, learner: Learner, claimed: set[str]) -> None:
    where = f"user {learner.name}"
    if not learner.state:
        report.differ("profile", where, "a row in user_state", "none", ", ".join(map(str, learner.events[:3])))
        return
    have = profile_of(learner.state)
    lessons, answers = learner.by_kind.get(LESSON, []), learner.by_kind.get(ANSWER, [])
    sessions, streaks = learner.by_kind.get(SESSION, []), learner.by_kind.get(STREAK, [])
    day, days = max(((seen.data["day"], seen.data["days"]) for seen in streaks), default=(None, 0))
    items = learner.by_kind.get(ITEM, [])
    done = {
        (kind, seen.data["language"], seen.data[f"{kind}_id"])
        for kind in ("chapter", "unit")
        for seen in lessons
        if seen.data.get(f"{kind}_progress") == 1
    }
    wanted: dict[str, Any] = {
        "languages": sorted({seen.data["language"] for seen in lessons + answers}),
        "streak": days,
        "streak_day": day,
        "streak_longest": max((seen.data["days"] for seen in streaks), default=0),
        "freezes_used": sum(seen.data["quantity"] for seen in items if seen.data["item_type"] == "streak_freeze"),
        "chapters_completed": sum(kind == "chapter" for kind, *_ in done),
        "units_completed": sum(kind == "unit" for kind, *_ in done),
        "claimed": sorted(claimed),
    }
    questions = learner.user.questions
    if questions.keys() <= learner.ordered_questions:
        wanted["open_mistakes"] = sum(question.mistake_since is not None for question in questions.values())
    if learner.has_exact_days:
        wanted["days_active"] = len({learner.day(seen) for seen in learner.events if seen.kind != STREAK})
    for name, value in wanted.items():
        report.same("profile", f"{where}, {name}", value, have[name])
    for name, events, field in (
        ("zone", sessions, "timezone"),
        ("language", lessons, "language"),
        ("chapter", lessons, "chapter_id"),
    ):
        if events and have[name] not in _newest(events, field):
            report.differ("profile", f"{where}, {name}", _newest(events, field), have[name], str(events[-1]))
    told = {seen.data["timezone"] for seen in sessions} | {"UTC"}
    strange = {zone[0] for zone in learner.state.get("zones", [])} - told
    if sessions and len(strange) > 1:  # one may be a client's word from before the first session
        report.differ("profile", f"{where}, zones", f"among {sorted(told)}", sorted(strange))
