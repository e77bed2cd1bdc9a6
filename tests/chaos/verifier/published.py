"""What the world was told: every message out once for a `read_committed` reader, with the payload that the ledger stands for."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from .definitions import Definition, Definitions
from .ledger import Ledger, Row, fit_of
from .log import Log, Raw
from .report import Report

EVENT_IDS = UUID("6f2bdc1e-6a50-5d0e-9a52-7d1f4b1c0a33")
"""Namespace of the ids of events out: a promise to other systems, so that it stands here too."""

ASSIGNED, COMPLETED, GRANTED, EXPIRED = (
    f"missions.{name}" for name in ("mission-assigned", "mission-completed", "reward-granted", "mission-expired")
)
DEAD_LETTERS = "missions.dead-letter"
TOPICS_OUT = (ASSIGNED, COMPLETED, GRANTED, EXPIRED)

Event = dict[str, Any]


def check_published(
    report: Report, definitions: Definitions, ledger: Ledger, committed: Sequence[Log], uncommitted: Sequence[Log]
) -> None:
    """Compares the topics out with the ledger, and says how many copies a `read_uncommitted` reader sees."""
    wanted = _expected(definitions, ledger)
    raw_counts = {topic: sum(len(log.records) for log in uncommitted if log.topic == topic) for topic in TOPICS_OUT}
    for topic in TOPICS_OUT:
        logs = [log for log in committed if log.topic == topic]
        found = _by_id(report, topic, logs)
        for message_id in wanted[topic].keys() | found.keys():
            _check_one(report, topic, message_id, wanted[topic].get(message_id), found.get(message_id, []))
        copies = sum(map(len, found.values()))
        told = f"{copies} messages, {len(found)} ids, {len(wanted[topic])} expected"
        report.note(f"{topic}: {told}; {raw_counts[topic]} copies for a read_uncommitted reader")
    for topic, waiting in sorted(ledger.outbox.items()):
        report.differ("outbox", topic, "empty", f"{waiting} messages wait")


def _by_id(report: Report, topic: str, logs: Sequence[Log]) -> dict[str, list[tuple[Log, Raw, Event]]]:
    found: dict[str, list[tuple[Log, Raw, Event]]] = {}
    homes: dict[str, int] = {}
    for log in logs:
        for raw in log.records:
            place = f"{topic}/{log.partition}@{raw.offset}"
            try:
                event = json.loads(raw.value or b"")
                message_id = str(event["id"])
            except (ValueError, KeyError, TypeError):
                report.differ("published", place, "an event", raw.value)
                continue
            found.setdefault(message_id, []).append((log, raw, event))
            user = event.get("subject")
            if homes.setdefault(user, log.partition) != log.partition:
                report.differ("published", f"user {user}, {topic}", f"partition {homes[user]} alone", place, place)
    return found


def _check_one(
    report: Report, topic: str, message_id: str, wanted: Event | None, found: list[tuple[Log, Raw, Event]]
) -> None:
    subject = wanted["subject"] if wanted else found[0][2].get("subject")
    data = wanted["data"] if wanted else found[0][2].get("data", {})
    places = ", ".join(f"{topic}/{log.partition}@{raw.offset}" for log, raw, _ in found[:5])
    where = f"user {subject}, mission {data.get('mission_id')}, {topic} {message_id}"
    if wanted is None or len(found) != 1:
        report.differ("published", where, "once" if wanted else "never", f"{len(found)} times", places)
    for _, raw, event in found:
        if wanted is not None and event != wanted:
            parts = [name for name in wanted.keys() | event.keys() if wanted.get(name) != event.get(name)]
            report.differ("published", where, _only(wanted, parts), _only(event, parts), places)
        if raw.key != str(subject).encode():
            report.differ("published", f"{where}, key", subject, raw.key, places)


def _only(event: Event, names: list[str]) -> str:
    return ", ".join(f"{name} {event.get(name)}" for name in sorted(names))


def _expected(definitions: Definitions, ledger: Ledger) -> dict[str, dict[str, Event]]:
    wanted: dict[str, dict[str, Event]] = {topic: {} for topic in TOPICS_OUT}
    grants = {row["assignment_id"]: row for row in ledger.tables["reward_grant"]}
    for row in ledger.tables["assignment"]:
        definition = definitions.versions.get((row["mission_id"], row["mission_version"]))
        if definition is None:
            continue
        events = [_assigned(row, definition)]
        if row["completed_at"] is not None:
            events.append(_completed(row, definition))
        if row["status"] == "EXPIRED":
            events.append(_expired(row, definition))
        if (grant := grants.get(row["assignment_id"])) is not None:
            events.append(_granted(grant))
        for event in events:
            wanted[event["type"].removesuffix(".v1")][event["id"]] = event
    return wanted


def _event(topic: str, row: Row, at: datetime, data: Mapping[str, Any], message_id: UUID | None = None) -> Event:
    kind = f"{topic}.v1"
    return {
        "specversion": "1.0",
        "id": str(message_id or uuid5(EVENT_IDS, f"{kind}/{row['assignment_id']}")),
        "source": "mission-system",
        "type": kind,
        "subject": row["user_id"],
        "time": _text(at),
        "data": {name: value for name, value in data.items() if value is not None},
    }


def _about(row: Row, definition: Definition) -> dict[str, Any]:
    return {
        "assignment_id": str(row["assignment_id"]),
        "mission_id": row["mission_id"],
        "mission_version": row["mission_version"],
        "mission_type": definition["type"],
    }


def _assigned(row: Row, definition: Definition) -> Event:
    targets = [{"id": one["id"], "target": one["target"]} for one in definition["objectives"]]
    fit = fit_of(row)
    if fit and fit["target"] is not None:
        targets[0]["target"] = fit["target"]
    ends = row["expires_at"] and _text(row["expires_at"])
    data = {**_about(row, definition), "starts_at": _text(row["starts_at"]), "expires_at": ends, "objectives": targets}
    return _event(ASSIGNED, row, row["starts_at"], data)


def _completed(row: Row, definition: Definition) -> Event:
    until = row["claimable_until"] and _text(row["claimable_until"])
    data = {"completed_at": _text(row["completed_at"]), "claimable_until": until, "rewards": definition["rewards"]}
    return _event(COMPLETED, row, row["completed_at"], {**_about(row, definition), **data})


def _granted(grant: Row) -> Event:
    data = {
        "grant_id": str(grant["grant_id"]),
        "assignment_id": str(grant["assignment_id"]),
        "mission_id": grant["mission_id"],
        "granted_at": _text(grant["granted_at"]),
        "rewards": json.loads(grant["rewards"]),
    }
    return _event(GRANTED, grant, grant["granted_at"], data, grant["grant_id"])


def _expired(row: Row, definition: Definition) -> Event:
    progress = json.loads(row["progress"]) if row["progress"] else [0] * len(definition["objectives"])
    targets = [one["target"] for one in definition["objectives"]]
    total = progress[0] if len(targets) == 1 else sum(p >= t for p, t in zip(progress, targets, strict=True))
    data = {
        "assignment_id": str(row["assignment_id"]),
        "mission_id": row["mission_id"],
        "expired_at": _text(row["expired_at"]),
        "progress": int(total if len(targets) == 1 else min(total, definition["needed"])),
    }
    return _event(EXPIRED, row, row["expired_at"], data)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
