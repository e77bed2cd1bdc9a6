"""Spaced repetition: when a question is due for review, by FSRS over the answers that its record remembers.

Nothing of FSRS is stored. A record's newest answers are replayed, so other parameters can be taken at any time, and the order in
which answers arrived does not matter.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from fsrs import Card, Rating, Scheduler

from services.missions.history import attempts
from services.missions.state import QuestionRecord

DESIRED_RETENTION = 0.9
"""A question is due when the chance to know it has fallen to this: FSRS's default, and what most learners use."""

INTERVAL_DAYS_MAX = 365
"""Everything is asked again within a year: the questions of a course change, and so do learners."""

REMEMBERED_CARDS = 16_384
"""Replays kept, at about 400 bytes each; a replay costs some 10 microseconds an answer."""

_scheduler = Scheduler(
    desired_retention=DESIRED_RETENTION,
    learning_steps=(),  # steps within a day are a sitting's own business: an open mistake comes again by itself
    relearning_steps=(),
    maximum_interval=INTERVAL_DAYS_MAX,
    enable_fuzzing=False,  # the same history must lead to the same questions
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Recall(NamedTuple):
    """What FSRS expects of one question."""

    due_at: datetime
    chance: float
    """Chance to know the answer now, 0 to 1."""


def recall(record: QuestionRecord, now: datetime) -> Recall | None:
    """When the question is due, and how likely it is known at `now`; None while it was never answered."""
    answers = tuple(attempts(record))
    if not answers:
        return None
    card = _replay(answers)
    return Recall(card.due, _scheduler.get_card_retrievability(card, now))


@lru_cache(maxsize=REMEMBERED_CARDS)
def _replay(answers: tuple[tuple[int, bool], ...]) -> Card:
    """The card after these answers. It is shared: nobody may change it."""
    card = Card(card_id=0, due=_EPOCH)  # both are given because the library else asks the clock for them
    for at, correct in answers:
        rating = Rating.Good if correct else Rating.Again
        card, _ = _scheduler.review_card(card, rating, _EPOCH + timedelta(seconds=at))
    return card
