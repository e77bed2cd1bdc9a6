"""The codec for all inputs: it never raises, loses nothing that it was given, and lets unknown fields pass."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mission_events import (
    DeadLetter,
    Event,
    ItemUsed,
    LearningData,
    LessonCompleted,
    MissionAssigned,
    MissionCompleted,
    MissionData,
    MissionExpired,
    ObjectiveTarget,
    OutEvent,
    QuestionAnswered,
    Reason,
    Rejected,
    RewardGranted,
    SessionStarted,
    StreakUpdated,
    UnknownType,
    XpEarned,
    decode,
    decode_dead_letter,
    decode_out,
    encode,
    encode_event,
)
from mission_events.fields import (
    IDENTIFIER_PATTERN,
    MAX_COUNT,
    MAX_EXACT_INTEGER,
    MAX_XP,
    REFERENCE_PATTERN,
    SHORT_TEXT_PATTERN,
    known_zones,
)
from mission_events.missions import BadgeReward, GemsReward, ItemReward, UnlockReward, XpReward

PUBLISHED = datetime(2026, 11, 22, 8, 0, 5, tzinfo=UTC)

identifiers = st.from_regex(IDENTIFIER_PATTERN, fullmatch=True)
references = st.from_regex(REFERENCE_PATTERN, fullmatch=True)
short_texts = st.from_regex(SHORT_TEXT_PATTERN, fullmatch=True)
counts = st.integers(0, MAX_COUNT)
amounts = st.integers(1, MAX_COUNT)
fractions = st.none() | st.floats(0, 1)
instants = st.datetimes(timezones=st.just(UTC))
mission_types = st.sampled_from(["daily", "weekly", "skill_practice", "streak", "language", "special"])

learning_data: st.SearchStrategy[LearningData] = st.one_of(
    st.builds(
        LessonCompleted,
        lesson_id=identifiers,
        chapter_id=identifiers,
        unit_id=identifiers,
        language=identifiers,
        lesson_type=identifiers,
        hearts_lost=counts,
        duration_seconds=st.floats(0, MAX_COUNT) | counts,
        accuracy=fractions,
        chapter_progress=fractions,
        unit_progress=fractions,
    ),
    st.builds(
        XpEarned,
        amount=st.integers(1, MAX_XP),
        xp_source=st.sampled_from(["lesson", "practice", "streak_repair", "challenge", "mission_reward", "other"]),
        language=st.none() | identifiers,
    ),
    st.builds(
        QuestionAnswered,
        question_id=identifiers,
        correct=st.booleans(),
        difficulty=st.sampled_from(["easy", "medium", "hard"]),
        topic_id=identifiers,
        chapter_id=identifiers,
        language=identifiers,
        concept_id=st.none() | identifiers,
        concept_kind=st.none() | identifiers,
    ),
    st.builds(
        StreakUpdated,
        days=counts,
        day=st.dates(min_value=date(1, 1, 1)),
        change=st.sampled_from(["extended", "frozen", "repaired", "broken"]),
    ),
    st.builds(ItemUsed, item_id=identifiers, item_type=identifiers, quantity=amounts),
    st.builds(
        SessionStarted,
        timezone=st.sampled_from(sorted(known_zones())),
        locale=st.none() | short_texts,
        platform=st.none() | identifiers,
        app_version=st.none() | short_texts,
    ),
)

rewards = st.lists(
    st.one_of(
        st.builds(XpReward, kind=st.just("xp"), amount=st.integers(1, MAX_XP)),
        st.builds(GemsReward, kind=st.just("gems"), amount=amounts),
        st.builds(ItemReward, kind=st.just("item"), item_id=identifiers, amount=amounts),
        st.builds(BadgeReward, kind=st.just("badge"), badge_id=identifiers),
        st.builds(UnlockReward, kind=st.just("unlock"), content_id=identifiers),
    ),
    max_size=5,
)
objectives = st.lists(
    st.builds(ObjectiveTarget, id=identifiers, target=st.integers(1, MAX_EXACT_INTEGER)), min_size=1, max_size=5
)
common = {"assignment_id": identifiers, "mission_id": identifiers}
mission_data: st.SearchStrategy[MissionData] = st.one_of(
    st.builds(
        MissionAssigned,
        **common,
        mission_version=amounts,
        mission_type=mission_types,
        starts_at=instants,
        expires_at=instants,
        objectives=objectives,
    ),
    st.builds(
        MissionCompleted,
        **common,
        mission_version=amounts,
        mission_type=mission_types,
        completed_at=instants,
        claimable_until=instants,
        rewards=rewards,
    ),
    st.builds(RewardGranted, **common, grant_id=identifiers, granted_at=instants, rewards=rewards),
    st.builds(MissionExpired, **common, expired_at=instants, progress=st.integers(0, MAX_EXACT_INTEGER)),
)

any_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=8,
)
safe_texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))
safe_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | safe_texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(safe_texts, inner, max_size=4),
    max_leaves=8,
)
header_names = st.sampled_from(
    ["content-type", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "ce_specversion", "traceparent"]
) | st.text(st.characters())
header_values = (
    st.none()
    | st.binary(max_size=40)
    | st.sampled_from([b"1.0", b"learning.xp-earned.v1", b"application/json", b"application/cloudevents+json"])
)
any_headers = st.lists(st.tuples(header_names, header_values), max_size=8)


def encoded(data: LearningData, event_id: str = "e-1", source: str = "s") -> bytes:
    return encode_event(data, event_id=event_id, source=source, subject="user-42", time=PUBLISHED)


def check_result(value: bytes | None, headers: list[tuple[str, bytes | None]]) -> None:
    """Every decoder gives one of its results, with a reason that is fit for a log, a header and a text column."""
    for result in (
        decode(value, headers, record_timestamp=PUBLISHED),
        decode_out(value, headers),
        decode_dead_letter(value, headers),
    ):
        assert isinstance(result, Event | OutEvent | DeadLetter | UnknownType | Rejected)
        if isinstance(result, Rejected):
            assert result.reason in Reason
            assert (result.detail + result.pointer).isascii()
            assert (result.detail + result.pointer).isprintable()
            assert result.pointer == "" or result.pointer.startswith("/")
        elif isinstance(result, Event):
            assert type(result.data).model_validate_json(result.raw_data) == result.data
            assert "\\u0000" not in result.raw_data


@given(st.none() | st.binary(), any_headers)
def test_any_bytes_give_a_result(value: bytes | None, headers: list[tuple[str, bytes | None]]) -> None:
    check_result(value, headers)


@given(any_json, any_headers)
def test_any_json_gives_a_result(value: Any, headers: list[tuple[str, bytes | None]]) -> None:
    check_result(json.dumps(value).encode(), headers)


@given(learning_data, st.data())
def test_a_damaged_event_gives_a_result(data: LearningData, draw: st.DataObject) -> None:
    value = encoded(data)
    start = draw.draw(st.integers(0, len(value)))
    end = draw.draw(st.integers(start, min(len(value), start + 20)))
    check_result(value[:start] + draw.draw(st.binary(max_size=8)) + value[end:], [])


@given(learning_data | mission_data, any_json, st.data())
def test_any_value_in_any_field_gives_a_result(data: LearningData | MissionData, odd: Any, draw: st.DataObject) -> None:
    value = encode(data, subject="u", time=PUBLISHED) if isinstance(data, MissionData) else encoded(data)
    event = json.loads(value)
    place = draw.draw(st.sampled_from([event, event["data"]]))
    place[draw.draw(st.sampled_from(sorted(place)))] = odd
    check_result(json.dumps(event).encode(), [])


@given(learning_data, identifiers, references, identifiers, st.timedeltas(timedelta(days=-35), timedelta(minutes=5)))
def test_an_event_in_survives_the_wire(
    data: LearningData, event_id: str, source: str, subject: str, distance: timedelta
) -> None:
    time = PUBLISHED + distance
    value = encode_event(data, event_id=event_id, source=source, subject=subject, time=time)
    result = decode(value, record_timestamp=PUBLISHED)
    assert isinstance(result, Event), result
    assert (result.id, result.source, result.subject, result.time) == (event_id, source, subject, time)
    assert result.data == data
    assert type(data).model_validate_json(result.raw_data) == data


@given(learning_data, identifiers)
def test_both_modes_give_the_same_event(data: LearningData, event_id: str) -> None:
    structured = encoded(data, event_id)
    event = json.loads(structured)
    headers = [(f"ce_{name}", text.encode()) for name, text in event.items() if name != "data"]
    in_binary = decode(json.dumps(event["data"]).encode(), headers, record_timestamp=PUBLISHED)
    assert in_binary == decode(structured, record_timestamp=PUBLISHED)


@given(mission_data, identifiers, instants)
def test_an_event_out_survives_the_wire(data: MissionData, subject: str, time: datetime) -> None:
    result = decode_out(encode(data, subject=subject, time=time))
    assert isinstance(result, OutEvent), result
    assert (result.subject, result.time, result.data) == (subject, time, data)


@given(learning_data, st.dictionaries(safe_texts, safe_json, max_size=3), st.dictionaries(safe_texts, safe_json))
def test_unknown_fields_change_nothing(
    data: LearningData, in_envelope: dict[str, Any], in_data: dict[str, Any]
) -> None:
    plain = encoded(data)
    event = json.loads(plain)
    known = set(type(data).model_fields)
    optional = {"datacontenttype", "data_base64"}
    event["data"] = {k: v for k, v in in_data.items() if k not in known} | event["data"]
    event = {k: v for k, v in in_envelope.items() if k not in optional} | event
    for ascii_only in (True, False):
        value = json.dumps(event, ensure_ascii=ascii_only).encode()
        assert decode(value, record_timestamp=PUBLISHED) == decode(plain, record_timestamp=PUBLISHED)


@given(learning_data, st.text(st.characters(), min_size=1).map(lambda text: text + "\0"))
def test_nul_is_found_wherever_it_is(data: LearningData, text: str) -> None:
    clean = text.encode("utf-8", "replace").decode()
    event = json.loads(encoded(data))
    for place in ({**event, "extra": [{"deep": clean}]}, {**event, "data": {**event["data"], clean: 1}}):
        result = decode(json.dumps(place).encode(), record_timestamp=PUBLISHED)
        assert isinstance(result, Rejected)
        assert result.reason is Reason.NUL_CHARACTER


@given(st.none() | st.binary(), any_headers, st.text(), st.integers(0), st.integers(-1))
def test_a_dead_letter_survives_the_wire(
    value: bytes | None, headers: list[tuple[str, bytes | None]], detail: str, offset: int, timestamp: int
) -> None:
    letter = DeadLetter(
        value=value,
        key=None,
        headers=tuple(headers),
        reason="not_json",
        detail=detail[:100],
        pointer="",
        topic="learning.xp-earned",
        partition=0,
        offset=offset,
        timestamp=timestamp,
    )
    assert decode_dead_letter(value, letter.to_headers()) == letter
