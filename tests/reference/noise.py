"""Records that nobody can apply: broken ones, and types that are not known here."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Any

from .journal import Record

TOPICS = ("learning.xp-earned", "learning.lesson-completed", "learning.question-answered", "learning.item-used")


def unreadable(chance: Random, now: datetime, users: list[str]) -> list[Record]:
    """Some for one round; a flood of them would stop a partition."""
    return [_one(chance, now + timedelta(minutes=chance.randrange(170)), chance.choice(users)) for _ in range(3)]


def _one(chance: Random, at: datetime, user: str) -> Record:
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"{chance.getrandbits(64):016x}",
        "source": "noise",
        "type": "learning.xp-earned.v1",
        "subject": user,
        "time": at.isoformat(),
        "data": {"amount": 20, "xp_source": "lesson"},
    }
    faults: list[Callable[[], Any]] = [
        lambda: event.update(type="learning.shoe-tied.v1"),
        lambda: event["data"].update(amount=-5),
        lambda: event["data"].update(amount="20"),
        lambda: event["data"].pop("xp_source"),
        lambda: event.update(id="no spaces, please"),
        lambda: event.update(time=(at + timedelta(hours=1)).isoformat()),
        lambda: event.update(time=(at - timedelta(days=36)).isoformat()),
        lambda: event.pop("subject"),
        lambda: event.update(comment="x" * 70_000),
    ]
    chance.choice(faults)()
    value = (
        chance.choice((None, b'{"specversion": "1.0", "id": ')) if chance.random() < 0.1 else json.dumps(event).encode()
    )
    return Record(chance.choice(TOPICS), user, value, at)
