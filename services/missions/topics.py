"""Weak topics: the rule, and what a user's state keeps so that it can be asked at any event without asking the ledger.

A mistake makes its topic suspect. The answers after it, not the mistake itself, are remembered: by them the topic is weak, or more of them
must decide, or as many are right as `MASTERY` asks for, and the topic is forgotten. So most right answers change nothing.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import sqrt
from typing import NamedTuple

from .state import SuspectTopic, UserState

TOPIC_WINDOW = timedelta(days=60)
"""Older answers say little about what a user knows today."""

TOPIC_ATTEMPTS_MAX = 20
"""Newest answers of a topic that count: so a topic that was weak and is practised stops being weak after two or three sittings."""

WEAK_ATTEMPTS_MIN = 3
"""Fewer answers say nothing: one or two slips make no weak topic."""

MASTERY = 0.8
"""Share of right answers from which a topic counts as mastered: the lower end of the 80 to 90 % that mastery learning asks for
(B. S. Bloom, "Learning for Mastery", 1968)."""

CONFIDENCE_Z = 1.2816
"""Of the 80 % Wilson score interval (E. B. Wilson, "Probable Inference", JASA 1927): with its upper end, a topic is weak only
when nine times out of ten its real share of right answers is below `MASTERY`, however few answers there are."""

WEAK_TOPICS_MAX = 5
"""Weak topics at once: enough for a week's mission, few enough to get done."""

SUSPECT_TOPICS_MAX = 20
"""Suspect topics remembered, some 30 bytes each: four times the weak ones that there can be."""

_RIGHT, _WRONG = "1", "0"


class TopicStatistics(NamedTuple):
    """The newest answers of one topic."""

    topic_id: str
    attempts: int
    correct: int
    last_answered_at: datetime

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0 to 1."""
        return self.correct / self.attempts


def weak_topics(statistics: Mapping[str, TopicStatistics]) -> list[str]:
    """Ids of the weak topics, the weakest first, at most `WEAK_TOPICS_MAX`.

    Weak is what was answered at least `WEAK_ATTEMPTS_MIN` times and is, at 90 % certainty, below `MASTERY`.
    """
    return _weakest((topic.topic_id, topic.correct, topic.attempts) for topic in statistics.values())


def suspects(state: UserState) -> dict[str, TopicStatistics]:
    """What is known of the suspect topics since their mistakes; those without an answer since are absent."""
    return {
        topic_id: TopicStatistics(
            topic_id,
            len(topic.results),
            topic.results.count(_RIGHT),
            datetime.fromtimestamp(topic.last_answered_at, UTC),
        )
        for topic_id, topic in state.suspect_topics.items()
        if topic.results
    }


def observe_answer(state: UserState, topic_id: str, correct: bool, at: datetime) -> bool:
    """Takes an answer into account; whether the state changed, in place.

    Answers count in the order in which they are applied: `at` only says how long ago the topic was last met.
    """
    topic = state.suspect_topics.get(topic_id)
    if topic is None:
        if correct:
            return False
        _make_suspect(state, topic_id, int(at.timestamp()))
        return True
    results = (topic.results + (_RIGHT if correct else _WRONG))[-TOPIC_ATTEMPTS_MAX:]
    right, attempts = results.count(_RIGHT), len(results)
    topic.results = results
    topic.last_answered_at = max(topic.last_answered_at, int(at.timestamp()))
    if right / attempts >= MASTERY:
        del state.suspect_topics[topic_id]
    if topic_id in state.weak_topics or _is_weak(right, attempts):
        _find_weak(state)
    return True


def forget_old(state: UserState, at: datetime) -> None:
    """Drops, in place, topics last met longer ago than `TOPIC_WINDOW` at that instant."""
    since = int((at - TOPIC_WINDOW).timestamp())
    old = [topic_id for topic_id, topic in state.suspect_topics.items() if topic.last_answered_at < since]
    if old:
        for topic_id in old:
            del state.suspect_topics[topic_id]
        _find_weak(state)


def _make_suspect(state: UserState, topic_id: str, second: int) -> None:
    topics = state.suspect_topics
    topics[topic_id] = SuspectTopic(last_answered_at=second)
    if len(topics) > SUSPECT_TOPICS_MAX:
        del topics[min(topics, key=lambda name: (topics[name].last_answered_at, name))]
        _find_weak(state)


def _find_weak(state: UserState) -> None:
    found = _weakest(
        (topic_id, topic.results.count(_RIGHT), len(topic.results)) for topic_id, topic in state.suspect_topics.items()
    )
    if found != state.weak_topics:
        state.weak_topics = found  # a new list: assignments keep the one that they were issued with


def _weakest(topics: Iterable[tuple[str, int, int]]) -> list[str]:
    """Weak ones of (topic id, right answers, answers), the weakest first."""
    weak = [
        (_wilson_upper(correct, attempts), topic_id)
        for topic_id, correct, attempts in topics
        if _is_weak(correct, attempts)
    ]
    return [topic_id for _, topic_id in sorted(weak)[:WEAK_TOPICS_MAX]]


def _is_weak(correct: int, attempts: int) -> bool:
    return attempts >= WEAK_ATTEMPTS_MIN and _wilson_upper(correct, attempts) < MASTERY


@lru_cache(maxsize=1024)
def _wilson_upper(correct: int, attempts: int) -> float:
    """The upper end of the Wilson score interval of a share."""
    share, z2 = correct / attempts, CONFIDENCE_Z**2
    centre = share + z2 / (2 * attempts)
    margin = CONFIDENCE_Z * sqrt(share * (1 - share) / attempts + z2 / (4 * attempts**2))
    return (centre + margin) / (1 + z2 / attempts)
