"""Laws of fitting. If one fails, a mission asks for mistakes that nobody made, or two devices see different targets."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.adapters.catalogue_files import default_catalogue
from services.missions import topics
from services.missions.catalogue import Catalogue
from services.missions.decide import Recorded, decide
from services.missions.explaining import explain_issue
from services.missions.fields import QUESTIONS_SEEN_MAX
from services.missions.issuing import issue_due
from services.missions.profile import MISTAKE_QUARTERS, QUARTER_SECONDS
from services.missions.state import UserState, decode_state, encode_state
from tests.support.builders import NOON, USER

from .strategies import MISSIONS, recorded_events, within

CATALOGUE = Catalogue(MISSIONS, 1)
DEFAULT = default_catalogue()


@given(recorded_events(late_days=3, moving=True))
def test_what_is_known_of_mistakes_is_what_the_records_say(events: list[Recorded]) -> None:
    decision = decide(UserState(USER), events, {}, CATALOGUE)
    state, records = decision.state, decision.answered.values()
    assert state.questions_seen == min(len(records), QUESTIONS_SEEN_MAX)
    assert state.open_mistakes == sum(r.mistake_since is not None for r in records)
    by_quarter = Counter(int(r.mistake_since.timestamp()) // QUARTER_SECONDS for r in records if r.mistake_since)
    newest = max((int(e.event.time.timestamp()) // QUARTER_SECONDS for e in events), default=0)
    recent = {quarter: count for quarter, count in by_quarter.items() if quarter >= newest - MISTAKE_QUARTERS}
    assert recent == {q: c for q, c in state.mistake_quarters.items() if q >= newest - MISTAKE_QUARTERS}


answers = st.lists(st.tuples(st.sampled_from("abcdefg"), st.booleans(), st.integers(0, 90 * 24)), max_size=300)


@given(answers)
def test_suspect_topics_stay_bounded_and_weak_ones_follow_from_them(given_answers: list[tuple[str, bool, int]]) -> None:
    state = UserState(USER)
    for topic, correct, hours in given_answers:
        before = encode_state(state)
        changed = topics.observe_answer(state, topic, correct, NOON + timedelta(hours=hours))
        assert changed is (encode_state(state) != before)
        known = topics.suspects(state)
        assert state.weak_topics == topics.weak_topics(known)
        assert len(state.weak_topics) <= topics.WEAK_TOPICS_MAX
        for found in known.values():
            assert found.attempts <= topics.TOPIC_ATTEMPTS_MAX
            assert found.accuracy < topics.MASTERY
    assert decode_state(encode_state(state)) == state


facts = st.fixed_dictionaries(
    {
        "days_active": st.integers(0, 9),
        "open_mistakes": st.integers(0, 12),
        "questions_seen": st.integers(0, QUESTIONS_SEEN_MAX),
        "weak_topics": st.sampled_from(([], ["lists"])),
        "languages": st.sampled_from(([], ["es"], ["es", "python"])),
        "language": st.sampled_from((None, "es", "python")),
        "chapter": st.sampled_from((None, "loops")),
    }
)


@given(facts, within(10))
def test_a_fitted_mission_asks_for_no_more_than_there_is_and_each_place_is_filled_once(
    known: dict[str, Any], at: datetime
) -> None:
    state = UserState(USER, **known)
    assignments = {a.mission_id: a for a in issue_due(state, at, DEFAULT).assignments}
    for name, assignment in assignments.items():
        mission, fit = DEFAULT.get(name, assignment.mission_version).mission, assignment.fit
        target = DEFAULT.get(name, assignment.mission_version).as_issued(assignment).objectives[0].target
        if mission.fit is not None:
            there_is = {"mistakes_yesterday": 0, **known}[mission.fit.to]
            assert mission.fit.at_least <= target == min(mission.objectives[0].target, there_is)
        assert mission.stand_in is (fit is not None and fit.instead_of is not None)
        if fit is not None and fit.instead_of is not None:
            assert fit.instead_of not in assignments
    explained = {one.mission_id for one in explain_issue(state, at, DEFAULT)}
    assert explained == {m.id for m in DEFAULT.newest} - set(assignments)
