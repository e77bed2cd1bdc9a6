"""Laws of the derived streak, against a reference that remembers everything and is played day by day."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mission_events import LearningData
from services.missions import streaks
from services.missions.state import decode_state, encode_state
from services.missions.streaks import MEMORY_DAYS
from tests.support.builders import item, lesson, xp
from tests.support.streaks import Learner

Act = tuple[int, str]
"""(day, what): `l` a lesson, `f` a streak freeze, `x` something else."""

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORDINAL = START.toordinal()


def acts(
    days: int, what: Sequence[str] = ("l", "l", "l", "ll", "lf", "lff", "f", "x", "")
) -> st.SearchStrategy[list[Act]]:
    """What is done on each day, in order; of the most common kind are days with a lesson."""
    lives = st.lists(st.sampled_from(what), min_size=1, max_size=days + 1)
    return lives.map(lambda life: [(day, act) for day, acts_of_day in enumerate(life) for act in acts_of_day]).filter(
        bool
    )


def long_streaks(days: int) -> st.SearchStrategy[list[Act]]:
    """A lesson a day but for a few days."""
    holes = st.dictionaries(st.integers(0, days), st.sampled_from(("", "x", "f", "lf", "lff")), max_size=8)
    return st.tuples(st.integers(1, days), holes).map(
        lambda pair: [(day, act) for day in range(pair[0] + 1) for act in pair[1].get(day, "l")] or [(0, "l")]
    )


WITHOUT_FREEZES = ("l", "l", "l", "ll", "x", "")


def data_of(what: str) -> LearningData:
    known: dict[str, LearningData] = {"l": lesson(), "f": item(1, "streak_freeze"), "x": xp(1)}
    return known[what]


def played(order: Sequence[Act]) -> Learner:
    """Each act at noon of its day, arriving when the newest one before it did."""
    learner = Learner()
    newest = 0
    for day, what in order:
        newest = max(newest, day)
        learner.does(data_of(what), START + timedelta(days=day), arriving=START + timedelta(days=newest))
        learner.state = decode_state(encode_state(learner.state))
    return learner


def reference(done: Sequence[Act]) -> list[int]:
    """The length of the streak at the end of each day from the first to the newest; the newest is not over."""
    newest = max(day for day, _ in done)
    freezes = Counter(day for day, what in done if what == "f")
    lengths = []
    length = 0
    for today in range(newest + 1):
        if (today, "l") in done:
            length += 1
        elif today < newest and length:
            near = [
                day for day in range(today - streaks.FREEZE_AHEAD_DAYS, today + streaks.REPAIR_DAYS + 1) if freezes[day]
            ]
            if near:
                freezes[near[0]] -= 1
            else:
                length = 0
        lengths.append(length)
    return lengths


def current(learner: Learner) -> int:
    known = streaks.runs(learner.state.study) if learner.state.study else []
    return known[-1].days if known else 0


@given(acts(100) | long_streaks(100))
def test_what_comes_in_order_comes_to_what_the_whole_history_says_at_every_moment(done: list[Act]) -> None:
    learner = Learner()
    for place, (day, what) in enumerate(done):
        learner.does(data_of(what), START + timedelta(days=day))
        learner.state = decode_state(encode_state(learner.state))
        lengths = reference(done[: place + 1])
        assert current(learner) == lengths[-1]
        assert learner.state.streak == lengths[-1]
    assert learner.state.streak_longest == max(reference(done))


@given((acts(35) | long_streaks(35)).flatmap(lambda done: st.tuples(st.just(done), st.permutations(done))))
def test_events_within_their_greatest_age_come_to_the_same_in_any_order(two: tuple[list[Act], list[Act]]) -> None:
    done, shuffled = two
    one, other = played(done), played(shuffled)
    assert one.state.study is None or other.state.study is not None
    if one.state.study is not None and other.state.study is not None:
        assert streaks.runs(one.state.study) == streaks.runs(other.state.study)
        assert one.state.study == other.state.study
    assert current(other) == reference(done)[-1]


@given(acts(200) | long_streaks(200), st.data())
def test_late_events_come_to_the_same_as_early_ones(done: list[Act], draw: st.DataObject) -> None:
    """Each event arrives up to 35 days after its day, over months: what has left the memory was settled rightly."""
    delays = draw.draw(st.lists(st.sampled_from((0, 0, 1, 5, 20, 34, 35)), min_size=len(done), max_size=len(done)))
    arriving = sorted(zip(done, delays, strict=True), key=lambda pair: (pair[0][0] + pair[1], -pair[0][0]))
    learner = played([act for act, _ in arriving])
    assert current(learner) == reference(done)[-1]
    assert learner.state.streak_longest >= max(reference(done))


@given(acts(60, WITHOUT_FREEZES).flatmap(lambda done: st.tuples(st.just(done), st.permutations(done))))
def test_without_freezes_what_is_shown_in_the_end_is_the_same_in_any_order(two: tuple[list[Act], list[Act]]) -> None:
    done, shuffled = two
    within = [act for act in shuffled if act[0] >= done[-1][0] - 35]
    learner = played(within)
    lengths = reference(within)
    assert (learner.state.streak, learner.state.streak_longest) == (lengths[-1], max(lengths))


@given(acts(35, WITHOUT_FREEZES), st.integers(0, 35))
def test_one_more_lesson_never_shortens_a_streak(done: list[Act], day: int) -> None:
    learner = played(done)
    before, newest = current(learner), max(day for day, _ in done)
    learner.does(lesson(), START + timedelta(days=min(day, newest)), arriving=START + timedelta(days=newest))
    assert current(learner) >= before


@given(acts(35), st.integers(0, 35))
def test_one_more_freeze_used_now_never_shortens_a_streak(done: list[Act], quantity: int) -> None:
    learner = played(done)
    before, newest = current(learner), max(day for day, _ in done)
    learner.does(item(1 + quantity, "streak_freeze"), START + timedelta(days=newest))
    assert current(learner) >= before


@given(acts(400))
def test_memory_is_bounded_whatever_is_done(done: list[Act]) -> None:
    study = played(done).state.study
    if study is not None:
        assert study.settled_until >= study.as_of - MEMORY_DAYS
        assert len(study.days) <= MEMORY_DAYS + 1
        assert all(day >= study.settled_until for day in study.days)
        assert study.as_of == ORDINAL + max(day for day, _ in done)


@given(acts(60), st.integers(0, 60))
def test_nothing_is_told_twice(done: list[Act], pause: int) -> None:
    learner = played(done)
    learner.sleeps_until(START + timedelta(days=60 + pause))
    told = [(change.day, change.days, change.change) for change in learner.changes]
    assert len(told) == len(set(told))
