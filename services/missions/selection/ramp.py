"""Difficulty ramping: the better the newest answers, the more medium and hard questions."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mission_events.learning import Difficulty
from services.missions.history import attempts
from services.missions.state import QuestionRecord

RECENT_ATTEMPTS = 20
"""Newest answers that the ramp looks at: one or two sittings."""


class Step(NamedTuple):
    """Shares of medium and hard questions for an accuracy below `below`; the rest is easy."""

    below: float
    medium: float
    hard: float


RAMP = (
    Step(0.65, 0.0, 0.0),
    Step(0.75, 0.3, 0.0),
    Step(0.85, 0.5, 0.1),
    Step(0.95, 0.5, 0.3),
    Step(1.01, 0.5, 0.5),
)
"""Built around 85 % right answers, where learning is quickest (R. C. Wilson et al., "The Eighty Five Percent Rule for optimal learning",
Nature Communications 2019): above it questions become harder, below it easier. Neither share ever falls with accuracy."""


def recent_accuracy(records: Iterable[QuestionRecord], language: str) -> float:
    """Share of right answers among the newest in a language, by Laplace's rule of succession: 0.5 without any, and never 0 or 1."""
    found = sorted(attempt for record in records if record.language == language for attempt in attempts(record))
    newest = found[-RECENT_ATTEMPTS:]
    return (sum(attempt.correct for attempt in newest) + 1) / (len(newest) + 2)


def difficulty_mix(accuracy: float, count: int) -> Mapping[Difficulty, int]:
    """How many of `count` questions should be of each difficulty; a higher accuracy never makes the mix easier."""
    step = next(step for step in RAMP if accuracy < step.below)
    hard = _rounded(count * step.hard)
    harder = _rounded(count * (step.medium + step.hard))
    return {"easy": count - harder, "medium": harder - hard, "hard": hard}


def _rounded(number: float) -> int:
    return int(number + 0.5)
