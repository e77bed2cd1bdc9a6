"""What is wrong with a definition and where, with the nearest right word; and how pydantic's errors become that."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from typing_extensions import override

from .definition import (
    AtLeast,
    BreakRule,
    ClaimRule,
    ConsecutiveDays,
    Distinct,
    FitRule,
    Max,
    Mission,
    Objective,
    Operators,
    Sum,
)

_MODELS: Sequence[type[BaseModel]] = (
    Mission,
    Objective,
    Operators,
    Sum,
    Distinct,
    Max,
    ConsecutiveDays,
    BreakRule,
    AtLeast,
    FitRule,
    ClaimRule,
)
_EXTRA = "extra_forbidden"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in catalogue data."""

    where: str
    """What was read: the name of a file."""
    path: str
    """The place in it, such as `missions[3].objectives[0].where.xp_sorce`."""
    message: str
    suggestion: str | None = None
    """The nearest word that would be right."""
    parts: tuple[object, ...] = ()
    """The place as the keys and positions that lead to it."""

    @property
    def text(self) -> str:
        """What is wrong, with the suggestion."""
        return f"{self.message} Did you mean {self.suggestion}?" if self.suggestion else self.message

    @override
    def __str__(self) -> str:
        return f"{self.where}: {self.path}: {self.text}"


def nearest(word: object, known: Iterable[str]) -> str | None:
    """The known word that `word` is most likely a slip of."""
    found = get_close_matches(str(word), list(known), n=1)
    return found[0] if found else None


def path_of(parts: Sequence[object]) -> str:
    """`("missions", 3, "where", "xp_sorce")` -> `missions[3].where.xp_sorce`."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def problems_of(error: ValidationError, data: object, where: str, prefix: Sequence[object]) -> list[Problem]:
    """Pydantic's errors about `data`, one for each place, without pydantic's own names for the branches it tried."""
    found: dict[str, Problem] = {}
    for detail in error.errors(include_url=False):
        parts = _parts_in(data, detail["loc"])
        place = (*prefix, *parts)
        path = path_of(place)
        if path in found:
            continue
        if detail["type"] == _EXTRA:
            found[path] = _unknown_key(where, place, str(detail["loc"][-1]), detail["loc"])
        elif detail["type"] == "missing":
            found[path] = Problem(where, path, "is missing; add it", parts=place)
        else:
            right = re.findall(r"'([^']+)'", str(detail.get("ctx", {}).get("expected", "")))
            message = f"{detail['msg']} (it is {_shown(detail['input'])})."
            found[path] = Problem(where, path, message, nearest(detail["input"], right), place)
    return list(found.values())


def _parts_in(data: object, loc: Sequence[Any]) -> list[object]:
    """The parts of pydantic's location that are places in the data; the others name branches of a union."""
    parts: list[object] = []
    here: Any = data
    for position, part in enumerate(loc):
        is_last = position == len(loc) - 1
        if _has(here, part):
            parts.append(part)
            here = here[part]
        elif is_last and isinstance(here, dict) and isinstance(part, str) and not _is_branch(part):
            parts.append(part)
    return parts


def _has(here: object, part: object) -> bool:
    if isinstance(here, dict):
        return part in here
    return isinstance(here, list) and isinstance(part, int) and part < len(here)


def _is_branch(part: str) -> bool:
    return "[" in part or part in {"scalar", "operators", "plain", "bool", "int", "float", "str"}


def _unknown_key(where: str, place: tuple[object, ...], key: str, loc: Sequence[Any]) -> Problem:
    known = _known_keys(loc)
    message = f"no such key here; there are {', '.join(known)}."
    return Problem(where, path_of(place), message, nearest(key, known), place)


def _known_keys(loc: Sequence[Any]) -> list[str]:
    """The keys of the model that pydantic was in: the one that the location's last name leads to."""
    model: type[BaseModel] = Mission
    named: dict[str, type[BaseModel]] = {
        "objectives": Objective,
        "operators": Operators,
        "break_on": BreakRule,
        "consecutive_days": ConsecutiveDays,
        "sum": Sum,
        "distinct": Distinct,
        "max": Max,
        "claim": ClaimRule,
        "require": AtLeast,
        "fit": FitRule,
    }
    for part in loc[:-1]:
        model = named.get(part, model) if isinstance(part, str) else model
    return [field.alias or name for name, field in model.model_fields.items()]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
