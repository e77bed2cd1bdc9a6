"""What a user's answers say about each topic, and which topics are weak."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from math import sqrt
from typing import NamedTuple

from ..history import Attempt, attempts
from ..state import QuestionRecord

TOPIC_WINDOW = timedelta(days=60)
"""Older answers say little about what a user knows today."""

TOPIC_ATTEMPTS_MAX = 20
"""Newest answers of a topic that count: so a topic that was weak and is practised stops being weak after two or three sittings."""

WEAK_ATTEMPTS_MIN = 3
"""One or two slips make no weak topic."""

MASTERY = 0.8
"""Share of right answers from which a topic counts as mastered: the lower end of the 80 to 90 % that mastery learning asks for
(B. S. Bloom, "Learning for Mastery", 1968)."""

CONFIDENCE_Z = 1.2816
"""Of the 80 % Wilson score interval (E. B. Wilson, "Probable Inference", JASA 1927): with its upper end, a topic is weak only
when nine times out of ten its real share of right answers is below `MASTERY`, however few answers there are."""

WEAK_TOPICS_MAX = 5
"""Weak topics at once: enough for a week's mission, few enough to get done."""


class TopicStatistics(NamedTuple):
    """The newest answers of one topic."""

    topic_id: str
    attempts: int
    correct: int
    last_answered_at: datetime
    accuracy_at_most: float
    """The upper end of the Wilson interval of the accuracy."""

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0 to 1."""
        return self.correct / self.attempts


def topic_statistics(records: Iterable[QuestionRecord], now: datetime) -> dict[str, TopicStatistics]:
    """Statistics by topic id, over the newest `TOPIC_ATTEMPTS_MAX` answers of each in the `TOPIC_WINDOW` before `now`.

    Topics without such an answer are absent. The order of the records does not matter.
    """
    until = int(now.timestamp())
    since = until - int(TOPIC_WINDOW.total_seconds())
    by_topic: dict[str, list[Attempt]] = {}
    for record in records:
        for attempt in attempts(record):
            if since <= attempt.at <= until:
                by_topic.setdefault(record.topic_id, []).append(attempt)
    return {topic_id: _statistics(topic_id, found) for topic_id, found in sorted(by_topic.items())}


def weak_topics(statistics: Mapping[str, TopicStatistics]) -> list[str]:
    """Ids of the weak topics, the weakest first, at most `WEAK_TOPICS_MAX`.

    Weak is what was answered at least `WEAK_ATTEMPTS_MIN` times and is, at 90 % certainty, below `MASTERY`.
    """
    weak = [s for s in statistics.values() if s.attempts >= WEAK_ATTEMPTS_MIN and s.accuracy_at_most < MASTERY]
    weak.sort(key=lambda s: (s.accuracy_at_most, s.topic_id))
    return [s.topic_id for s in weak[:WEAK_TOPICS_MAX]]


def _statistics(topic_id: str, found: list[Attempt]) -> TopicStatistics:
    newest = sorted(found)[-TOPIC_ATTEMPTS_MAX:]
    correct = sum(attempt.correct for attempt in newest)
    last = datetime.fromtimestamp(newest[-1].at, UTC)
    return TopicStatistics(topic_id, len(newest), correct, last, _wilson_upper(correct, len(newest)))


def _wilson_upper(correct: int, attempts_: int) -> float:
    """The upper end of the Wilson score interval of a share."""
    share, z2 = correct / attempts_, CONFIDENCE_Z**2
    centre = share + z2 / (2 * attempts_)
    margin = CONFIDENCE_Z * sqrt(share * (1 - share) / attempts_ + z2 / (4 * attempts_**2))
    return (centre + margin) / (1 + z2 / attempts_)
