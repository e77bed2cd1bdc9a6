"""Runs the examples of the reference pages through the core: what a page claims is what a learner gets."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from mission_events import Event
from mission_events.learning import LEARNING_TYPES
from services.missions.catalogue import Catalogue, parse_catalogue
from services.missions.claiming import Claimed, ClaimExpired, NotCompleted, claim, claim_by_itself
from services.missions.decide import Decision, Recorded, decide, issue_now
from services.missions.periods import local_day
from services.missions.state import Assignment, QuestionRecord, UserState, decode_state, encode_state
from services.missions.view import mission_view
from tests.support.builders import NOON, USER, answer, at, item, lesson, living_in, mission_data, session, streak, xp

PAGES = Path(__file__).resolve().parents[2] / "docs" / "reference"
EXAMPLE = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)

DEFAULTS = {
    LEARNING_TYPES[type(data)]: data
    for data in (lesson(), xp(10), answer(), streak(1, "2026-11-25"), item(), session("Etc/UTC"))
}
"""Whole data of each event type; an example says what matters."""


def examples() -> Iterator[tuple[str, str]]:
    """Every example as (page, heading and number), text."""
    for page in sorted(PAGES.glob("*.md")):
        text = page.read_text("utf-8")
        for found in EXAMPLE.finditer(text):
            heading = text[: found.start()].rsplit("\n#", 1)[1].partition("\n")[0].strip("# ")
            yield f"{page.name}: {heading}: {text[: found.start()].count(chr(10)) + 2}", found[1]


class Example:
    """One example, ready to run."""

    def __init__(self, text: str) -> None:
        data = yaml.safe_load(text)
        self._events: list[dict[str, Any]] = data.pop("events", [])
        self._before: list[dict[str, Any]] = data.pop("before", [])
        self._claims: list[dict[str, Any]] = data.pop("claims", [])
        self._users: list[dict[str, Any]] = data.pop("users", [])
        self._then: dict[str, Any] = data.pop("then", {})
        self._state = user(data.pop("user", {}))
        self._questions: dict[str, QuestionRecord] = {}
        self._next = NOON
        entries = [mission_data(**data.pop("mission")), *(mission_data(**other) for other in data.pop("others", []))]
        self._id = entries[0]["id"]
        required = [mission_data(id=name) for name in entries[0].get("requires", ())]
        missions, problems = parse_catalogue({"missions": [*entries, *required]}, "example")
        assert not problems, "\n".join(map(str, problems))
        assert not data, f"no test knows what {', '.join(data)} means"
        self._catalogue = Catalogue(missions, 1)

    def run(self) -> int:
        """Checks all that the example claims; gives how many claims that are."""
        for event in self._before:
            self._apply(event, Catalogue([], 0))
        self._next = NOON
        for event in self._events:
            before = self._progress()
            self._apply(event, self._catalogue)
            assert (self._progress() > before) is event["counts"], f"{event}: {before} -> {self._progress()}"
        checked = (
            self._check_end() + sum(map(self._check_claim, self._claims)) + sum(map(self._check_user, self._users))
        )
        return len(self._events) + checked

    def _apply(self, told: Mapping[str, Any], catalogue: Catalogue) -> None:
        time = instant(told["at"]) if "at" in told else self._next
        self._next = time + timedelta(minutes=1)
        data = DEFAULTS[told["type"]].model_copy(update=told["data"])
        data = type(data).model_validate(data.model_dump())  # an example with a wrong field or value is no example
        assert set(told["data"]) <= set(type(data).model_fields), told
        event = Event(f"event-{time.isoformat()}", "reference", told["type"], USER, time, data.__dict__)
        decision: Decision = decide(self._state, [Recorded(event, time)], self._questions, catalogue)
        self._state = decision.state
        self._questions |= decision.answered

    def _assignment(self) -> Assignment | None:
        return next((a for a in self._state.assignments if a.mission_id == self._id), None)

    def _progress(self) -> float:
        found = self._assignment()
        return sum(objective.progress for objective in found.objectives) if found else 0

    def _check_end(self) -> int:
        found = self._assignment()
        for key, expected in self._then.items():
            assert found is not None
            if key == "progress":
                assert [objective.progress for objective in found.objectives] == expected
            elif key == "status":
                assert str(found.status) == expected
            else:
                assert getattr(found, key) == (None if expected is None else instant(expected)), key
        return len(self._then)

    def _check_claim(self, told: Mapping[str, Any]) -> bool:
        state, now = decode_state(encode_state(self._state)), instant(told["at"])
        found = self._assignment()
        assert found is not None
        if claim_by_itself(state, now, self._catalogue):
            said = "granted by itself"
        else:
            answered = claim(state, found.assignment_id, now, self._catalogue)
            said = {Claimed: "granted", ClaimExpired: "too late", NotCompleted: "not completed"}[type(answered)]
        assert said == told["answer"], told
        return True

    def _check_user(self, told: Mapping[str, Any]) -> bool:
        expected = {key: told[key] for key in ("gets_it", "target", "title", "instead") if key in told}
        state = user({key: value for key, value in told.items() if key not in expected})
        state = issue_now(state, NOON, self._catalogue).state
        issued = {view.mission_id: view for view in mission_view(state, self._catalogue, NOON, "en")}
        assert (self._id in issued) is expected["gets_it"], told
        if "instead" in expected:
            assert expected["instead"] in issued, told
        for key in {"target", "title"} & set(expected):
            assert getattr(issued[self._id], key) == expected[key], told
        return True


def user(told: Mapping[str, Any]) -> UserState:
    """A user of whom this is known; facts are those that an audience asks for."""
    state = UserState(USER)
    zone = told.get("zone")
    if zone:
        state.zones = living_in(zone)
    for name, value in told.items():
        match name:
            case "zone":
                pass
            case "days_active":
                state.days_active = value - 1
            case "current_streak":
                state.streak = value
            case "claimed":
                state.claimed_missions = value
            case "mistakes_yesterday":
                yesterday = NOON - timedelta(days=1)
                assert local_day(state.zones, yesterday) == local_day(state.zones, NOON) - 1
                state.mistake_quarters = {int(yesterday.timestamp()) // 900: value} if value else {}
                state.open_mistakes = max(state.open_mistakes, value)
            case "languages" | "language" | "chapter" | "open_mistakes" | "weak_topics":
                setattr(state, name, value)
            case "questions_seen" | "chapters_completed" | "units_completed":
                setattr(state, name, value)
            case _:
                raise AssertionError(f"no test knows the fact {name}")
    return state


def instant(told: object) -> datetime:
    """A time as an example writes it; without an offset it is UTC."""
    if isinstance(told, datetime):
        return told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)
    return at(str(told))
