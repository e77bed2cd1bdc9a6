"""Laws of the fold. If one fails, it matters how Kafka cut the batches, or what was in memory."""

import copy
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.missions.catalogue import Catalogue
from services.missions.decide import Recorded, decide
from services.missions.state import QuestionRecord, UserState, decode_state, encode_state
from tests.support.builders import USER

from .strategies import MISSIONS, recorded_events

CATALOGUE = Catalogue(MISSIONS, 1)
LIVES = recorded_events(late_days=3, moving=True)


@given(LIVES, st.lists(st.integers(0, 30)))
def test_a_batch_comes_to_the_same_as_its_events_in_any_cuts(events: list[Recorded], cuts: list[int]) -> None:
    whole = decide(UserState(USER), events, {}, CATALOGUE)
    state, questions = UserState(USER), dict[str, QuestionRecord]()
    outcomes, issued, completed, changed = [], [], [], False
    bounds = sorted({0, len(events), *(cut for cut in cuts if cut < len(events))})
    for start, end in pairwise(bounds):
        part = decide(decode_state(encode_state(state)), events[start:end], questions, CATALOGUE)
        assert part.answers_before == {q: questions[q].answers if q in questions else 0 for q in part.answered}
        questions |= part.answered
        outcomes += part.outcomes
        issued += [a.assignment_id for a in part.issued]
        completed += [a.assignment_id for a in part.completed]
        changed = changed or part.changed
        state = part.state if part.changed else state
    assert (state, questions, outcomes) == (whole.state, whole.answered, whole.outcomes)
    assert issued == [a.assignment_id for a in whole.issued]
    assert completed == [a.assignment_id for a in whole.completed]
    assert changed is whole.changed


@given(LIVES)
def test_a_state_changes_exactly_when_the_decision_says_so(events: list[Recorded]) -> None:
    state = UserState(USER)
    for one in events:
        before = copy.deepcopy(state)
        decision = decide(state, [one], {}, CATALOGUE)
        assert decision.changed is (state != before)


@given(LIVES)
def test_a_state_survives_json(events: list[Recorded]) -> None:
    state = decide(UserState(USER), events, {}, CATALOGUE).state
    again = decode_state(encode_state(state))
    assert again == state
    assert encode_state(again) == encode_state(state)


@given(LIVES)
def test_open_mistakes_are_the_questions_whose_last_answer_was_wrong(events: list[Recorded]) -> None:
    decision = decide(UserState(USER), events, {}, CATALOGUE)
    assert decision.state.open_mistakes == sum(r.mistake_since is not None for r in decision.answered.values())
    for record in decision.answered.values():
        assert (record.mistake_since is None) is record.last_correct
