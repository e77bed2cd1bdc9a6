"""The published examples: each good one decodes and survives a round trip, each bad one gives its own reason."""

import json
from collections import Counter

import pytest

from mission_events import (
    DeadLetter,
    Event,
    OutEvent,
    Reason,
    Rejected,
    UnknownType,
    decode,
    decode_dead_letter,
    decode_out,
    encode,
    encode_event,
)
from mission_events.codec import decode_any_time
from mission_events.generate import json_schema
from mission_events.testing import Example, assert_valid_event, iter_examples
from mission_events.topics import TOPICS_IN, TOPICS_OUT

EXAMPLES = list(iter_examples())
GOOD = [example for example in EXAMPLES if example.good]
BAD = [example for example in EXAMPLES if not example.good]


def name(example: Example) -> str:
    return f"{example.topic}-{example.situation}"


def decode_example(example: Example) -> Event | OutEvent | DeadLetter | UnknownType | Rejected:
    if example.topic == "missions.dead-letter":
        return decode_dead_letter(example.value, example.headers)
    if example.topic.startswith("missions."):
        return decode_out(example.value, example.headers)
    if example.record_timestamp is None:
        return decode_any_time(example.value, example.headers)
    return decode(example.value, example.headers, record_timestamp=example.record_timestamp)


@pytest.mark.parametrize("example", GOOD, ids=name)
def test_a_good_example_decodes_and_survives_a_round_trip(example: Example) -> None:
    result = decode_example(example)
    match result:
        case Event(id=event_id, source=source, subject=subject, time=time, data=data):
            sent = encode_event(data, event_id=event_id, source=source, subject=subject, time=time)
            assert decode_any_time(sent) == result
            assert result.type == f"{example.topic}.v1"
            assert type(data).model_validate_json(result.raw_data) == data
            if example.record_timestamp is None:
                assert assert_valid_event(json.loads(example.value or b""), headers=example.headers) == result
        case OutEvent(subject=subject, time=time, data=data):
            assert decode_out(encode(data, subject=subject, time=time)) == result
            assert result.type == f"{example.topic}.v1"
        case DeadLetter():
            assert decode_dead_letter(result.value, result.to_headers()) == result
        case _:
            pytest.fail(f"{name(example)} does not decode: {result}")


@pytest.mark.parametrize("example", BAD, ids=name)
def test_a_bad_example_gives_its_own_reason(example: Example) -> None:
    result = decode_example(example)
    assert isinstance(result, Rejected), result
    assert result.reason == example.reason, result.detail
    assert result.reason.fix.split("`")[0] in result.detail


def test_every_reason_has_an_example() -> None:
    assert {example.reason for example in BAD} == set(Reason)


def test_every_topic_has_good_and_bad_examples() -> None:
    counts = Counter((example.topic, example.good) for example in EXAMPLES)
    for topic in TOPICS_IN + TOPICS_OUT:
        assert counts[topic.name, True] >= 2, topic.name
        assert counts[topic.name, False] >= 2, topic.name
    assert {topic for topic, _ in counts} == {topic.name for topic in TOPICS_IN + TOPICS_OUT}


def test_asking_for_the_examples_of_no_topic_names_the_topics() -> None:
    with pytest.raises(ValueError, match=r"learning\.xp-earned"):
        next(iter_examples("learning.xp"))


SCHEMA_SAYS = {
    Reason.MISSING_FIELD,
    Reason.WRONG_TYPE,
    Reason.OUT_OF_RANGE,
    Reason.UNKNOWN_VALUE,
    Reason.BAD_IDENTIFIER,
    Reason.NOT_AN_OBJECT,
    Reason.UNSUPPORTED_SPECVERSION,
}
"""Reasons that JSON Schema can express; the others are about bytes, clocks, zones and calendars."""

SCHEMA_IS_LOOSER = {
    "amount-is-a-float",  # 20.0 is an integer to JSON Schema
    "id-with-newline",  # `$` also matches before a last line break where the validator uses Python's `re`
}


def is_about_shape(example: Example) -> bool:
    """Whether the example is an event in structured mode that is good or bad by its shape."""
    by_shape = example.good or example.reason in SCHEMA_SAYS
    is_event = example.value is not None and example.topic != "missions.dead-letter"
    return by_shape and is_event and not example.headers and example.situation not in SCHEMA_IS_LOOSER


def test_the_json_schemas_agree_with_the_models() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="install jsonschema to compare it with the models")
    compared: Counter[tuple[str, bool]] = Counter()
    for example in filter(is_about_shape, EXAMPLES):
        try:
            value = json.loads(example.value or b"")
        except ValueError:
            continue  # a number that is too long for Python's own JSON reader
        validator = jsonschema.Draft202012Validator(json_schema(f"{example.topic}.v1"))
        assert validator.is_valid(value) == example.good, name(example)
        compared[example.topic, example.good] += 1
    assert len(compared) == 2 * len(TOPICS_IN + TOPICS_OUT[:-1])
