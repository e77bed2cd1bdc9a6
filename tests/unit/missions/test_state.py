"""A user's state as bytes: few, and the same again."""

import json

import msgspec
import pytest

from services.missions.state import UserState, decode_state, encode_state, state_json
from tests.reference.states import read_state
from tests.support.builders import USER, catalogue, mission, objective, play, recorded, session, xp


def test_a_state_survives_with_whole_numbers_whole() -> None:
    known = catalogue(mission(objective({"sum": "amount"}, 40, event="xp-earned")))
    state = play(known, [recorded(session()), recorded(xp(15))]).state
    again = decode_state(encode_state(state))
    assert again == state
    assert isinstance(again.assignments[0].objectives[0].progress, int)


def test_a_new_user_takes_next_to_nothing() -> None:
    assert encode_state(UserState(USER)) == b"\xde\x00\x01\xa7user_id\xa7user-42"
    assert state_json(UserState(USER)) == b'{"user_id":"user-42"}'


def test_a_state_that_was_kept_as_json_is_read_as_well() -> None:
    known = catalogue(mission(objective({"sum": "amount"}, 40, event="xp-earned")))
    state = play(known, [recorded(session()), recorded(xp(15))]).state
    assert decode_state(state_json(state)) == state
    assert json.loads(state_json(state)) == read_state(encode_state(state))


@pytest.mark.parametrize("spoilt", [b"", b"|", b'{"user_id":', b'{"version":1}', b"\x81\xa7user_id\x07", b"\x80"])
def test_what_is_no_state_is_refused(spoilt: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_state(spoilt)
