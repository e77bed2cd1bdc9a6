"""The benchmark's events are what upstream services would publish, and its own count of them agrees with the core's."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from benchmarks.events import SHARES, Generated, Stream
from benchmarks.expected import expected_progress
from mission_events import Event, decode
from services.adapters.catalogue_files import default_catalogue
from services.missions.decide import Recorded, decide
from services.missions.state import QuestionRecord, UserState

UNTIL = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
EVENTS = 4000


def stream(users: int, seed: int = 7, until: datetime = UNTIL) -> Stream:
    return Stream(EVENTS, users, seed, until)


def decoded(generated: Generated) -> Event:
    event = decode(generated.value, record_timestamp=UNTIL)
    assert isinstance(event, Event), event
    return event


def test_every_event_is_good_and_on_its_own_topic() -> None:
    for generated in stream(500):
        event = decoded(generated)
        assert event.type == f"{generated.topic}.v1"
        assert event.subject == f"user-{generated.user}"
        assert UNTIL - timedelta(minutes=10) <= event.time < UNTIL


def test_the_mix_is_as_documented() -> None:
    counts = Counter(generated.topic.removeprefix("learning.") for generated in stream(500))
    for kind, percent in SHARES.items():
        assert counts[kind] / EVENTS * 100 == pytest.approx(percent, abs=3)


def test_some_events_come_twice_under_one_id_and_next_to_each_other() -> None:
    events = list(stream(500))
    repeated = [later for earlier, later in pairwise(events) if later is earlier]
    assert len(repeated) == len(events) - EVENTS > 0
    assert len({decoded(generated).id for generated in events}) == EVENTS


def test_equal_seeds_give_equal_events() -> None:
    assert list(stream(500)) == list(stream(500))
    assert list(stream(500)) != list(stream(500, seed=8))


def test_counting_by_hand_agrees_with_the_core() -> None:
    """On a first day, for users with few events and with many."""
    catalogue = default_catalogue()
    by_user: dict[int, list[Generated]] = {}
    for generated in stream(users=400):
        by_user.setdefault(generated.user, []).append(generated)
    reached: Counter[str] = Counter()
    for user, events in by_user.items():
        state, questions, seen = UserState(f"user-{user}"), dict[str, QuestionRecord](), set[str]()
        for event in map(decoded, events):
            if event.id not in seen:
                seen.add(event.id)
                questions |= decide(state, [Recorded(event, UNTIL)], questions, catalogue).answered
        progress = {a.mission_id: sum(o.progress for o in a.objectives) for a in state.assignments}
        assert progress == expected_progress(events), user
        reached.update(progress)
    assert all(reached[mission] > 0 for mission in ("daily-lesson-1", "daily-xp-20", "fix-mistakes-2"))


def test_a_midnight_within_the_stream_is_noticed() -> None:
    berlin, tokyo = 0, 9  # places in ZONES
    over_midnight_in_tokyo = stream(10, until=datetime(2026, 11, 22, 15, 5, tzinfo=UTC))
    assert over_midnight_in_tokyo.is_one_day_for(berlin)
    assert not over_midnight_in_tokyo.is_one_day_for(tokyo)
    assert not stream(10, until=datetime(2026, 11, 22, 0, 5, tzinfo=UTC)).is_one_day_for(berlin)
