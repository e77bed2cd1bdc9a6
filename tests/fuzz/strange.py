"""Definitions built by chance of words that exist, though they need not fit together: often valid, seldom usual."""

from random import Random
from typing import Any, Final

from services.missions.fields import AUDIENCE_FACTS, EVENT_FIELDS, FIT_FACTS, PARAMETERS, fields_of

WORDS: Final = ("core", "python", "chapter-1", "lesson", "easy", "topic-1", "x", "$language", "$current_chapter")
ODD: Final[tuple[Any, ...]] = (
    None, True, 0, -1, 2**53, 2**70, 0.5, float("nan"), float("inf"), "", "\0", "\ud800", "$weak_topics", [], {}, [[]],
    {"": ""}, {"in": []}, {"at_least": 1}, "9" * 1000, [{}] * 30, {1: 2}, {None: None}, b"bytes",
)  # fmt: skip
"""What stands nowhere in a definition, or seldom."""


def strange_missions(chance: Random) -> dict[str, Any]:
    """Data of a small catalogue."""
    return {"missions": [_mission(chance) for _ in range(chance.randint(1, 3))]}


def _mission(chance: Random) -> dict[str, Any]:
    period = chance.choice(("daily", "weekly", "once", "season"))
    data: dict[str, Any] = {
        "id": chance.choice("mno"),
        "type": chance.choice(("daily", "weekly", "skill_practice", "streak", "language", "special")),
        "title": {"en": chance.choice(("x", "Do {target}", "{", "{x}", "%s", "é\u202e"))},
        "period": period,
        "objectives": [_objective(chance) for _ in range(chance.randint(1, 3))],
        "rewards": [{"kind": "xp", "amount": chance.randint(1, 1_000_000)}],
    }
    if period == "season":
        closes = chance.choice(("2026-11-28T00:00:00Z", "9999-12-31T23:59:59Z", "2026-11-26T00:00:00+14:00"))
        data |= {"opens_at": chance.choice(("0001-01-01T00:00:00Z", "2026-11-24T00:00:00Z")), "closes_at": closes}
    optional: dict[str, Any] = {
        "require": chance.choice(("all", {"at_least": chance.randint(0, 3)})),
        "audience": _where(chance, sorted(AUDIENCE_FACTS)),
        "parameters": {chance.choice(sorted(PARAMETERS)): chance.choice(("x", ["topic-1", "x"], []))},
        "claim": {"grace_days": chance.randint(0, 365), "then": chance.choice(("forfeit", "auto_claim"))},
        "fit": {"to": chance.choice(FIT_FACTS), "at_least": chance.randint(1, 60)},
        "requires": [chance.choice("mnop")],
        "otherwise": chance.choice("mno"),
        "stand_in": chance.random() < 0.5,
        "version": chance.choice((1, 2, 1_000_000_000)),
    }
    data |= {name: value for name, value in optional.items() if chance.random() < 0.15}
    if chance.random() < 0.2:
        _spoil(chance, data)
    return data


def _objective(chance: Random) -> dict[str, Any]:
    event = chance.choice(sorted(EVENT_FIELDS))
    fields = sorted(fields_of(event))
    measure = chance.choice(
        (
            "count",
            "consecutive_days",
            {chance.choice(("sum", "distinct", "max")): chance.choice(fields)},
            {"consecutive_days": {"break_on": _where(chance, fields)}},
        )
    )
    target = chance.choice((1, 2, 3, 200, 366, 2**53 - 1))
    where = _where(chance, fields) if chance.random() < 0.4 else {}
    return {"id": chance.choice("abcd"), "event": event, "measure": measure, "target": target, "where": where}


def _where(chance: Random, fields: list[str]) -> dict[str, Any]:
    return {chance.choice(fields): _condition(chance) for _ in range(chance.randint(1, 2))}


def _condition(chance: Random) -> Any:
    if chance.random() < 0.4:
        return _value(chance)
    operators = {
        "in": [_value(chance), chance.choice(WORDS)],
        "not_in": [chance.choice(WORDS)],
        "gt": _value(chance),
        "gte": _value(chance),
        "lt": _value(chance),
        "lte": _value(chance),
        "exists": chance.random() < 0.5,
    }
    return {name: operators[name] for name in chance.sample(sorted(operators), chance.randint(1, 2))}


def _value(chance: Random) -> Any:
    return chance.choice((chance.choice(WORDS), chance.randint(-1, 50), chance.random(), chance.random() < 0.5))


def _spoil(chance: Random, data: dict[str, Any]) -> None:
    """Puts something odd in a place of the data, however deep."""
    here: Any = data
    while True:
        key = chance.choice(sorted(here) if isinstance(here, dict) else range(len(here)))
        if not isinstance(here[key], dict | list) or not here[key] or chance.random() < 0.3:
            here[key] = chance.choice(ODD)
            return
        here = here[key]
