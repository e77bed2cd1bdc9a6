"""Validators that give dicts judge as the models do that they are made from."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mission_events.fields import EventModel
from mission_events.learning import LearningEnvelope, LessonCompleted, XpEarned
from mission_events.missions import MissionCompletedEvent
from mission_events.plain import dict_validator
from mission_events.testing import iter_examples

MODELS = TypeAdapter[Any](LearningEnvelope)
DICTS = dict_validator(LearningEnvelope, 2)
VALUES = [
    example.value for example in iter_examples() if example.value is not None and example.topic.startswith("learning.")
]

Fault = tuple[tuple[int | str, ...], str]


def faults(error: ValidationError) -> list[Fault]:
    """Places and kinds; a thing that is no object is a `model_type` to one and a `dict_type` to the other."""
    return [(item["loc"], item["type"].replace("model_type", "dict_type")) for item in error.errors()]


def by_the_models(value: bytes) -> dict[str, Any] | list[Fault]:
    """All fields of the event and of its data, or what is wrong."""
    try:
        event = MODELS.validator.validate_json(value)
    except ValidationError as error:
        return faults(error)
    assert list(event.data.__dict__) == list(type(event.data).model_fields)
    return {**event.__dict__, "data": event.data.__dict__}


def by_dicts(value: bytes) -> dict[str, Any] | list[Fault]:
    """The same, as it is found without models."""
    try:
        found: dict[str, Any] = DICTS.validate_json(value)
    except ValidationError as error:
        return faults(error)
    return found


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_each_example_of_the_contract_is_judged_alike(value: bytes) -> None:
    assert by_dicts(value) == by_the_models(value)


def test_fields_are_in_the_order_of_the_contract() -> None:
    for value in VALUES:
        found, event = by_dicts(value), by_the_models(value)
        if isinstance(found, dict) and isinstance(event, dict):
            assert list(found["data"]) == list(event["data"])


def test_the_examples_are_of_both_kinds() -> None:
    assert {type(by_dicts(value)) for value in VALUES} == {dict, list}


@given(st.sampled_from(VALUES), st.integers(0, 2000), st.binary(max_size=3), st.integers(0, 3))
def test_damaged_examples_are_judged_alike(value: bytes, place: int, put: bytes, taken: int) -> None:
    place %= len(value) + 1
    damaged = value[:place] + put + value[place + taken :]
    assert by_dicts(damaged) == by_the_models(damaged)


def test_a_field_that_was_not_sent_has_its_default() -> None:
    assert dict_validator(XpEarned, 1).validate_json('{"amount":5,"xp_source":"lesson","new":1}') == {
        "amount": 5,
        "xp_source": "lesson",
        "language": None,
    }


def test_of_a_field_that_was_sent_twice_the_same_one_counts() -> None:
    value = b'{"amount":1,"xp_source":"lesson","amount":5}'
    assert dict_validator(XpEarned, 1).validate_json(value) == XpEarned.model_validate_json(value).__dict__


def test_a_field_without_a_default_is_missed() -> None:
    with pytest.raises(ValidationError) as refused:
        dict_validator(LessonCompleted, 1).validate_json("{}")
    required = [name for name, field in LessonCompleted.model_fields.items() if field.is_required()]
    assert faults(refused.value) == [((name,), "missing") for name in required]


class Part(EventModel):
    number: int


class Pair(EventModel):
    """A model that is used twice: pydantic defines it once, and refers to it."""

    one: Part
    other: Part | None = None


def test_a_model_that_is_used_twice_is_a_dict_or_stays_a_model_as_any_other() -> None:
    value = b'{"one":{"number":1},"other":{"number":2}}'
    assert TypeAdapter(Pair).core_schema["type"] == "definitions"
    assert dict_validator(Pair, 2).validate_json(value) == {"one": {"number": 1}, "other": {"number": 2}}
    assert dict_validator(Pair, 1).validate_json(value) == {"one": Part(number=1), "other": Part(number=2)}
    assert dict_validator(Pair, 0).validate_json(value) == Pair(one=Part(number=1), other=Part(number=2))


def test_models_below_the_levels_stay_models() -> None:
    reward = {"kind": "gems", "amount": 10}
    data = {
        "assignment_id": "0600ed82-89bd-53a5-9698-4044ffd59870",
        "mission_id": "daily-lesson-1",
        "mission_version": 1,
        "mission_type": "daily",
        "completed_at": "2026-11-28T10:00:00Z",
        "rewards": [reward],
    }
    event = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "missions",
        "type": "missions.mission-completed.v1",
        "subject": "user-1",
        "time": "2026-11-28T10:00:00Z",
        "data": data,
    }
    found = dict_validator(MissionCompletedEvent, 1).validate_python(event)
    assert found["data"] == MissionCompletedEvent.model_validate(event).data
    assert isinstance(found, dict)
