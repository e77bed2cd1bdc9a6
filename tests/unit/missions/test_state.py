"""A user's state as JSON: small, and the same again."""

from services.missions.state import UserState, decode_state, encode_state
from tests.support.builders import USER, catalogue, mission, objective, play, recorded, session, xp


def test_a_state_survives_json_with_whole_numbers_whole() -> None:
    known = catalogue(mission(objective({"sum": "amount"}, 40, event="xp-earned")))
    state = play(known, [recorded(session()), recorded(xp(15))]).state
    again = decode_state(encode_state(state))
    assert again == state
    assert isinstance(again.assignments[0].objectives[0].progress, int)


def test_a_new_user_takes_next_to_nothing() -> None:
    assert encode_state(UserState(USER)) == b'{"user_id":"user-42"}'
