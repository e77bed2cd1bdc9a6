"""Decoding: what a publisher may send, in which mode, at which times, and what comes of it."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from mission_events import (
    Event,
    MissionCompleted,
    MissionExpired,
    OutEvent,
    Reason,
    Rejected,
    Reward,
    RewardGranted,
    UnknownType,
    XpEarned,
    decode,
    decode_out,
    encode,
    encode_event,
    event_id,
)
from mission_events.codec import MAX_VALUE_BYTES
from mission_events.missions import GemsReward
from mission_events.reasons import MAX_DETAIL

PUBLISHED = datetime(2026, 11, 22, 8, 0, 5, tzinfo=UTC)


def event(**changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "e-1",
        "source": "xp-service",
        "type": "learning.xp-earned.v1",
        "subject": "user-42",
        "time": "2026-11-22T08:00:00Z",
        "data": {"amount": 20, "xp_source": "lesson"},
    } | changes


def sent(headers: list[tuple[str, bytes | None]] | None = None, **changes: Any) -> Event | UnknownType | Rejected:
    return decode(json.dumps(event(**changes)).encode(), headers or [], record_timestamp=PUBLISHED)


def test_an_event_is_decoded_with_its_time_in_utc() -> None:
    assert sent(time="2026-11-22T10:00:00.25+02:00") == Event(
        id="e-1",
        source="xp-service",
        type="learning.xp-earned.v1",
        subject="user-42",
        time=datetime(2026, 11, 22, 8, 0, 0, 250_000, tzinfo=UTC),
        fields={"amount": 20, "xp_source": "lesson", "language": None},
    )


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-22T08:00:00.1234567899Z", datetime(2026, 11, 22, 8, 0, 0, 123_456, tzinfo=UTC)),
        ("2026-11-22t08:00:00.1z", datetime(2026, 11, 22, 8, 0, 0, 100_000, tzinfo=UTC)),
        ("2026-11-22T08:00:00-00:00", datetime(2026, 11, 22, 8, 0, tzinfo=UTC)),
        ("2026-11-21T23:59:60Z", datetime(2026, 11, 22, 0, 0, tzinfo=UTC)),
        ("2026-11-22T05:29:60.5+05:30", datetime(2026, 11, 22, 0, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_every_spelling_of_rfc_3339_is_read(text: str, instant: datetime) -> None:
    result = sent(time=text)
    assert isinstance(result, Event), result
    assert (result.time, result.time.tzinfo) == (instant, UTC)


@pytest.mark.parametrize(
    ("distance", "reason"),
    [
        (timedelta(minutes=5), None),
        (timedelta(minutes=5, microseconds=1), Reason.TIME_IN_FUTURE),
        (timedelta(days=-35), None),
        (timedelta(days=-35, microseconds=-1), Reason.TIME_TOO_OLD),
    ],
)
def test_only_the_records_timestamp_decides_whether_a_time_is_too_far_off(
    distance: timedelta, reason: Reason | None
) -> None:
    for published in (PUBLISHED, PUBLISHED - timedelta(days=3650), PUBLISHED.astimezone(timezone(timedelta(hours=9)))):
        value = json.dumps(event(time=(published + distance).isoformat())).encode()
        result = decode(value, record_timestamp=published)
        assert (result.reason if isinstance(result, Rejected) else None) == reason


def test_an_unknown_type_is_no_dead_letter_but_needs_a_sound_envelope() -> None:
    result = sent(type="learning.xp-earned.v2", data=[1])
    assert result == UnknownType(
        "e-1", "xp-service", "learning.xp-earned.v2", "user-42", datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
    )
    without_data = event(type="com.example.other")
    del without_data["data"]
    assert isinstance(decode(json.dumps(without_data).encode(), record_timestamp=PUBLISHED), UnknownType)
    for field, broken in (("subject", "user 42"), ("time", "yesterday"), ("time", "2026-10-01T00:00:00Z")):
        value = json.dumps(event(type="learning.xp-earned.v2") | {field: broken}).encode()
        assert isinstance(decode(value, record_timestamp=PUBLISHED), Rejected)


def test_unknown_fields_are_passed_over_and_not_kept() -> None:
    result = sent(extra=[1], data={"amount": 20, "xp_source": "lesson", "mood": {"deep": [None]}})
    assert isinstance(result, Event)
    assert result.raw_data == '{"amount":20,"xp_source":"lesson"}'


@pytest.mark.parametrize("note", ["", "NaN", "Infinity", "\\u0000", "\\\\u0000"])
def test_what_only_looks_forbidden_in_an_unknown_field_is_let_pass(note: str) -> None:
    text = json.dumps(event(note=note)).replace('"note"', '"huge": 1e999, "note"')
    assert decode(text.encode(), record_timestamp=PUBLISHED) == sent()


def binary(**changes: bytes | None) -> list[tuple[str, bytes | None]]:
    attributes: dict[str, bytes | None] = {
        "ce_specversion": b"1.0",
        "ce_id": b"e-1",
        "ce_source": b"xp-service",
        "ce_type": b"learning.xp-earned.v1",
        "ce_subject": b"user-42",
        "ce_time": b"2026-11-22T08:00:00Z",
    }
    return list((attributes | changes).items())


@pytest.mark.parametrize("content_type", [None, b"application/json", b"Application/JSON; charset=utf-8", b""])
def test_binary_mode_gives_the_same_event(content_type: bytes | None) -> None:
    headers = [*binary(), ("content-type", content_type), ("traceparent", b"00-1-2-01")]
    value = b'{"amount":20,"xp_source":"lesson"}'
    assert decode(value, headers, record_timestamp=PUBLISHED) == sent()


@pytest.mark.parametrize(
    ("headers", "value", "reason", "pointer"),
    [
        (binary(ce_id=None), b"{}", Reason.MISSING_FIELD, "/id"),
        (binary(ce_subject=b"\xff"), b"{}", Reason.BAD_UTF8, "/subject"),
        (binary(ce_specversion=b"0.3"), b"{}", Reason.UNSUPPORTED_SPECVERSION, "/specversion"),
        (binary(), b'{"amount":1}', Reason.MISSING_FIELD, "/data/xp_source"),
        (binary(), b"[]", Reason.WRONG_TYPE, "/data"),
        (binary(), None, Reason.TOMBSTONE, ""),
        (binary(), b"", Reason.NOT_JSON, ""),
    ],
)
def test_binary_mode_names_the_place_in_the_whole_event(
    headers: list[tuple[str, bytes | None]], value: bytes | None, reason: Reason, pointer: str
) -> None:
    result = decode(value, headers, record_timestamp=PUBLISHED)
    assert isinstance(result, Rejected)
    assert (result.reason, result.pointer) == (reason, pointer)


def test_binary_mode_of_an_unknown_type_is_counted_too() -> None:
    result = decode(b"anything", binary(ce_type=b"other.thing"), record_timestamp=PUBLISHED)
    assert isinstance(result, UnknownType)


def test_a_structured_content_type_wins_over_ce_headers() -> None:
    assert isinstance(sent([("Content-Type", b"application/cloudevents+json"), ("ce_id", b"x")]), Event)


def test_a_foreign_ce_header_does_not_make_a_structured_event_binary() -> None:
    assert isinstance(sent([("ce_traceparent", b"00-1-2-01"), ("content-type", b"application/json")]), Event)


@pytest.mark.parametrize(
    ("data", "pointer"),
    [
        ({"amount": 0, "xp_source": "lesson"}, "/data/amount"),
        ({"amount": 1, "xp_source": "lesson", "a/b~c": ["x", "\0"]}, "/data/a~1b~0c/1"),
        ({"amount": 1, "xp_source": "lesson", "n": float("nan")}, "/data/n"),
    ],
)
def test_the_pointer_leads_to_the_place(data: dict[str, Any], pointer: str) -> None:
    result = sent(data=data)
    assert isinstance(result, Rejected)
    assert result.pointer == pointer
    assert result.detail.startswith(pointer)


def test_a_detail_names_further_places() -> None:
    result = sent(subject="", data={"amount": 0})
    assert isinstance(result, Rejected)
    assert result.pointer == "/subject"
    assert "Also wrong: /data/amount, /data/xp_source." in result.detail


def test_details_and_pointers_are_short_plain_text_whatever_the_record_held() -> None:
    result = sent(data={"\n\x1b[31mä" * 300: "\0"})
    assert isinstance(result, Rejected)
    assert result.reason is Reason.NUL_CHARACTER
    for text in (result.detail, result.pointer):
        assert text.isascii()
        assert text.isprintable()
        assert len(text) <= MAX_DETAIL


def test_a_value_is_measured_before_it_is_parsed() -> None:
    good = json.dumps(event()).encode()
    assert isinstance(decode(good.ljust(MAX_VALUE_BYTES), record_timestamp=PUBLISHED), Event)
    for value in (good.ljust(MAX_VALUE_BYTES + 1), b"[" * 1_000_000):
        result = decode(value, record_timestamp=PUBLISHED)
        assert isinstance(result, Rejected)
        assert result.reason is Reason.OVERSIZE


@pytest.mark.parametrize("digits", [*range(4295, 4305), 60_000])
@pytest.mark.parametrize("sign", ["", "-"])
def test_numbers_of_any_length_are_out_of_range(digits: int, sign: str) -> None:
    text = json.dumps(event()).replace("20,", f"{sign}{'9' * digits},")
    result = decode(text.encode(), record_timestamp=PUBLISHED)
    assert isinstance(result, Rejected)
    assert result.reason is Reason.OUT_OF_RANGE


def test_encoding_refuses_what_decoding_would_refuse() -> None:
    data = XpEarned(amount=20, xp_source="lesson")
    with pytest.raises(ValueError, match="subject"):
        encode_event(data, event_id="e-1", source="xp-service", subject="user 42", time=PUBLISHED)
    with pytest.raises(ValueError, match=r"datetime\.now\(UTC\)"):
        encode_event(data, event_id="e-1", source="s", subject="u", time=PUBLISHED.replace(tzinfo=None))
    with pytest.raises(ValueError, match="amount"):
        XpEarned(amount=0, xp_source="lesson")


def expired(assignment_id: str = "a-1") -> MissionExpired:
    return MissionExpired(assignment_id=assignment_id, mission_id="m", expired_at=PUBLISHED, progress=3)


def granted(rewards: list[Reward]) -> RewardGranted:
    return RewardGranted(grant_id="g-1", assignment_id="a-1", mission_id="m", granted_at=PUBLISHED, rewards=rewards)


def test_an_event_out_has_one_id_for_its_type_and_assignment() -> None:
    completed = MissionCompleted(
        assignment_id="a-1",
        mission_id="m",
        mission_version=1,
        mission_type="daily",
        completed_at=PUBLISHED,
        claimable_until=PUBLISHED,
        rewards=[],
    )
    assert event_id(expired()) == event_id(expired())
    assert len({event_id(expired()), event_id(expired("a-2")), event_id(completed)}) == 3
    assert event_id(granted([])) == "g-1"


def test_the_ids_of_events_out_never_change() -> None:
    """A consumer that was replayed to must see the ids of the first time, whichever release published them."""
    assert event_id(expired()) == "7d8a7a3a-12ea-5dae-8a35-0441363f54bc"


def test_an_event_out_comes_from_the_mission_system() -> None:
    result = decode_out(encode(expired(), subject="user-42", time=PUBLISHED))
    assert result == OutEvent(
        id=event_id(expired()),
        source="mission-system",
        type="missions.mission-expired.v1",
        subject="user-42",
        time=PUBLISHED,
        data=expired(),
    )


def test_a_consumer_passes_over_events_out_that_it_does_not_know_yet() -> None:
    value = encode(expired(), subject="user-42", time=PUBLISHED).replace(b"mission-expired", b"mission-paused")
    assert isinstance(decode_out(value), UnknownType)


@pytest.mark.parametrize(
    "reward",
    [
        {"kind": "xp", "amount": 0},
        {"kind": "gems", "amount": 0},
        {"kind": "item", "item_id": "streak_freeze", "amount": 0},
        {"kind": "badge", "badge_id": "first-steps", "amount": 0},
        {"kind": "unlock", "content_id": "story-3", "amount": 0},
    ],
)
def test_the_pointer_to_a_reward_does_not_name_its_kind(reward: dict[str, Any]) -> None:
    value = encode(granted([GemsReward(kind="gems", amount=1)]), subject="user-42", time=PUBLISHED)
    result = decode_out(value.replace(b'{"kind":"gems","amount":1}', json.dumps(reward).encode()))
    assert isinstance(result, Rejected)
    assert result.pointer == "/data/rewards/0/amount"
