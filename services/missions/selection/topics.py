"""What a user's whole history says about each topic; which of them are weak is for `services.missions.topics` to say."""

from collections.abc import Iterable
from datetime import UTC, datetime

from services.missions.history import Attempt, attempts
from services.missions.state import QuestionRecord
from services.missions.topics import TOPIC_ATTEMPTS_MAX, TOPIC_WINDOW, TopicStatistics, weak_topics

__all__ = ["TopicStatistics", "topic_statistics", "weak_topics"]


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


def _statistics(topic_id: str, found: list[Attempt]) -> TopicStatistics:
    newest = sorted(found)[-TOPIC_ATTEMPTS_MAX:]
    correct = sum(attempt.correct for attempt in newest)
    return TopicStatistics(topic_id, len(newest), correct, datetime.fromtimestamp(newest[-1].at, UTC))
