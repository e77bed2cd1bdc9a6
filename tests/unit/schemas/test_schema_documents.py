"""What other teams read: the generated documents, the topics, the README, and the helper for their tests."""

import json
import re
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import get_args

import pytest
import yaml

from mission_events import TOPICS_IN, TOPICS_OUT, DeadLetter, Event, Reason, decode_dead_letter, topic_of, with_prefix
from mission_events.generate import documents, main
from mission_events.learning import LEARNING_EVENTS, LEARNING_TYPES
from mission_events.missions import MISSION_EVENTS, MISSION_TYPES
from mission_events.testing import assert_valid_event

PACKAGE = Path(str(files("mission_events")))
README = PACKAGE.parent / "README.md"
GOOD = (PACKAGE / "examples/learning.xp-earned/good/from-a-lesson.json").read_text(encoding="utf-8")


def test_generating_again_changes_nothing() -> None:
    assert main(["--check"]) == 0
    on_disk = {f"jsonschema/{path.name}" for path in (PACKAGE / "jsonschema").iterdir()} | {"asyncapi.yaml"}
    assert on_disk == set(documents())


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    text = documents()["asyncapi.yaml"]
    document = yaml.safe_load(text)
    references = set(re.findall(r"\$ref: '?([^\s']+)", text))
    assert len(references) > len(TOPICS_IN)
    for reference in references:
        if reference.startswith("./"):
            assert (PACKAGE / reference).is_file(), reference
            continue
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    assert [operation["action"] for operation in document["operations"].values()] == ["receive"] * 6 + ["send"] * 5


def test_the_registers_of_types_agree_with_the_models() -> None:
    for events, types in ((LEARNING_EVENTS, LEARNING_TYPES), (MISSION_EVENTS, MISSION_TYPES)):
        assert list(events) == list(types.values())
        for model, name in types.items():
            assert events[name].model_fields["data"].annotation is model
            assert get_args(events[name].model_fields["type"].annotation) == (name,)


def test_topics_are_those_of_the_contract() -> None:
    assert [topic.name for topic in TOPICS_IN] == [
        "learning.lesson-completed",
        "learning.xp-earned",
        "learning.question-answered",
        "learning.streak-updated",
        "learning.item-used",
        "learning.session-started",
    ]
    assert [topic.name for topic in TOPICS_OUT] == [
        "missions.mission-assigned",
        "missions.mission-completed",
        "missions.reward-granted",
        "missions.mission-expired",
        "missions.dead-letter",
    ]
    assert [topic.event_type for topic in TOPICS_IN] == list(LEARNING_EVENTS)
    assert [topic.event_type for topic in TOPICS_OUT] == [*MISSION_EVENTS, None]


def test_the_topic_of_a_type() -> None:
    for topic in TOPICS_IN + TOPICS_OUT:
        if topic.event_type is not None:
            assert topic_of(topic.event_type) is topic
    with pytest.raises(ValueError, match=r"learning\.xp-earned\.v1"):
        topic_of("learning.xp-earned")


def test_a_prefix_renames_topics_and_leaves_the_types() -> None:
    prefixed = with_prefix("eu.")
    assert [topic.name for topic in prefixed] == ["eu." + topic.name for topic in TOPICS_IN + TOPICS_OUT]
    assert [topic.event_type for topic in prefixed] == [topic.event_type for topic in TOPICS_IN + TOPICS_OUT]


def test_topic_settings_are_what_kafka_takes() -> None:
    for topic in TOPICS_IN + TOPICS_OUT:
        config = topic.config()
        assert config["cleanup.policy"] == "delete"
        assert timedelta(milliseconds=int(config["retention.ms"])) == topic.retention
        assert int(config["max.message.bytes"]) == topic.max_message_bytes


def test_a_dead_letter_fits_whatever_fitted_its_topic() -> None:
    largest = max(topic.max_message_bytes for topic in TOPICS_IN)
    letter = DeadLetter(
        value=b"x" * largest,
        key=b"k" * 128,
        headers=[],
        reason="oversize",
        detail="d" * 10_000,
        pointer="",
        topic="learning.xp-earned",
        partition=0,
        offset=2**63 - 1,
        timestamp=0,
    )
    size = len(letter.value or b"") + sum(len(name) + len(text or b"") for name, text in letter.to_headers())
    assert size + 1024 < TOPICS_OUT[-1].max_message_bytes


def test_a_dead_letter_keeps_the_records_own_headers_but_none_that_pretend_to_be_ours() -> None:
    letter = DeadLetter(
        value=b"\xff",
        key=b"user-42",
        headers=[("ce_id", b"1"), ("dead_letter_reason", b"forged"), ("empty", None)],
        reason="bad_utf8",
        detail="byte 0 of the value is not UTF-8",
        pointer="",
        topic="learning.xp-earned",
        partition=3,
        offset=7,
        timestamp=-1,
    )
    read = decode_dead_letter(letter.value, letter.to_headers(), key=letter.key)
    assert isinstance(read, DeadLetter)
    assert read.headers == (("ce_id", b"1"), ("empty", None))
    assert (read.reason, read.value, read.key, read.timestamp) == ("bad_utf8", b"\xff", b"user-42", -1)


def test_publishers_can_check_an_event_in_their_own_tests() -> None:
    assert isinstance(assert_valid_event(json.loads(GOOD)), Event)
    assert isinstance(assert_valid_event(GOOD), Event)
    with pytest.raises(AssertionError, match=r"out_of_range: /data/amount: 0 should be"):
        assert_valid_event(GOOD.replace(": 20", ": 0"))
    with pytest.raises(AssertionError, match="known are learning"):
        assert_valid_event(GOOD.replace("xp-earned.v1", "xp-earned.v9"))
    with pytest.raises(AssertionError, match="time_too_old"):
        assert_valid_event(GOOD, record_timestamp=datetime(2027, 11, 22, tzinfo=UTC))


def test_the_readme_lists_every_reason_as_the_code_says_it() -> None:
    text = README.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|$", text, flags=re.MULTILINE))
    assert rows == {str(reason): f"{reason.meaning} | {reason.fix}" for reason in Reason}


def test_the_readmes_publisher_makes_a_valid_event_in_ten_lines() -> None:
    code = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)[0]
    lines = code.strip().splitlines()
    assert len(lines) <= 10
    names: dict[str, bytes] = {}
    exec("\n".join(line for line in lines if "roducer" not in line), names)  # all but the sending, which needs Kafka
    event = assert_valid_event(names["value"])
    assert f'produce("{topic_of(event.type).name}", key=b"{event.subject}", value=value)' in code
