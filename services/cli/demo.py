"""`missions demo`: plays Day 1 of a new learner through the real services, and shows what each side sees."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from mission_events import (
    LearningData,
    LessonCompleted,
    OutEvent,
    QuestionAnswered,
    SessionStarted,
    XpEarned,
    decode_out,
    encode_event,
    topic_of,
)
from mission_events.learning import LEARNING_TYPES
from services.cli.console import board, faults_as_lines
from services.cli.run import run, stop
from services.cli.stack import local_stack

WAIT_SECONDS = 30
"""An event is visible within milliseconds; whoever waits this long has a stack that does not work."""

POLL_SECONDS = 0.05
BAR_WIDTH = 8
PRESENT = "missions.mission-completed", "missions.reward-granted"
STATUS_STYLE = {"COMPLETED": "bold green", "CLAIMED": "bold cyan", "IN_PROGRESS": "yellow", "EXPIRED": "dim"}
CHAPTER, LANGUAGE = "python-basics", "python"

Missions = list[dict[str, Any]]


def demo() -> None:
    """Play Day 1 of a new learner through the real services. Starts the stack when it is not up."""
    console = Console()
    with faults_as_lines():
        stack = local_stack()
        with board(console) as shown:
            stack.up(shown.tell)
        addresses = stack.servers().addresses
        security = _kafka_security(stack.env_file)
        stage = Stage(stack.api_url, addresses.kafka_bootstrap, security, _minter(stack.env_file), console)
    run(_play(stage))
    console.print(
        "The stack is still up: [bold]make down[/] stops it, [bold]make demo[/] plays the day again for a new learner."
    )


@dataclass(frozen=True)
class Stage:
    """What the play needs."""

    api_url: str
    kafka_bootstrap: str
    security: Mapping[str, Any]
    mint: Callable[[str], str]
    console: Console


def _kafka_security(env_file: Path) -> Mapping[str, Any]:
    """How a client of the stack that wrote this file signs in to Kafka."""
    from services.adapters.kafka.access import security_of
    from services.adapters.settings import ServerSettings

    return security_of(ServerSettings(_env_file=env_file))


def _minter(env_file: Path) -> Callable[[str], str]:
    from services.adapters.tokens import TokenKind, TokenSettings, mint

    settings = TokenSettings(_env_file=env_file)
    return lambda user: mint(settings, user, TokenKind.USER, timedelta(minutes=10))


async def _play(stage: Stage) -> None:
    from services.adapters.kafka.producer import Publisher

    user = f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    headers = {"Authorization": f"Bearer {stage.mint(user)}"}
    async with (
        httpx.AsyncClient(base_url=stage.api_url, headers=headers, timeout=10) as http,
        Publisher(stage.kafka_bootstrap, client_id="missions-demo", security=stage.security) as publisher,
    ):
        starts = await _log_ends(stage)
        learner = Learner(user, http, publisher, stage.console)
        await _morning(learner)
        await _lesson(learner)
        await _claim(learner)
        await _consumer(stage, user, starts)


async def _morning(learner: "Learner") -> None:
    learner.say("Day 1, before", f"A new learner, {learner.user}, opens the app.")
    await learner.does(SessionStarted(timezone="Europe/Berlin"), "opens the app in Berlin")
    learner.show(await learner.missions())


async def _lesson(learner: "Learner") -> None:
    learner.say("During", "Two wrong answers, a finished lesson, and one mistake put right.")
    for question in ("print-1", "loops-1"):
        await learner.does(_answer(question, correct=False), f"answers {question} wrong")
    await learner.does(
        LessonCompleted(
            lesson_id="python-basics-1",
            unit_id="python-unit-1",
            lesson_type="core",
            hearts_lost=2,
            duration_seconds=240,
            chapter_id=CHAPTER,
            language=LANGUAGE,
        ),
        "completes a lesson",
    )
    learner.show(await learner.until("daily-lesson-1", 1))
    await learner.does(XpEarned(amount=20, xp_source="lesson"), "earns 20 XP")
    await learner.does(_answer("print-1", correct=True), "answers print-1 again, right this time")
    await learner.until("daily-xp-20", 20)
    learner.show(await learner.until("fix-mistakes-2", 1))


async def _claim(learner: "Learner") -> None:
    learner.say("After", "Two missions are complete: the learner taps “Claim” on both, and impatiently twice.")
    for mission in await learner.missions():
        if mission["status"] == "COMPLETED":
            first = await learner.claim(mission["assignment_id"])
            second = await learner.claim(mission["assignment_id"])
            same = "the same grant again" if first["grant_id"] == second["grant_id"] else "ANOTHER GRANT"
            rewards = ", ".join(_reward(reward) for reward in first["rewards"])
            learner.console.print(f"  claimed [bold]{mission['title']}[/]: {rewards}; the second tap gets {same}")
    learner.show(await learner.missions())


async def _consumer(stage: Stage, user: str, starts: dict[str, dict[int, int]]) -> None:
    stage.console.print(Rule("What the reward service reads", align="left"))
    for topic in PRESENT:
        events = await _read(stage, topic, starts[topic], user, 2)
        for event in events:
            rewards = ", ".join(_reward(reward.model_dump()) for reward in event.data.rewards)  # type: ignore[union-attr]
            stage.console.print(f"  {topic}  [dim]{event.id}[/]  {event.data.mission_id}: {rewards}", soft_wrap=True)
        if len(events) != 2:
            stop(f"{topic} holds {len(events)} events for {user} instead of 2", "see .local/logs/relay.log")
    stage.console.print()


class Learner:
    """One learner: what their upstream services publish, and what their app shows."""

    def __init__(self, user: str, http: httpx.AsyncClient, publisher: Any, console: Console) -> None:
        self.user = user
        self.console = console
        self._http = http
        self._publisher = publisher

    def say(self, title: str, text: str) -> None:
        """A heading and what happens now."""
        self.console.print(Rule(title, align="left"))
        self.console.print(text, highlight=False)

    async def does(self, data: LearningData, what: str) -> None:
        """Publishes an event as an upstream service does."""
        now = datetime.now(UTC)
        event_type = LEARNING_TYPES[type(data)]
        value = encode_event(data, event_id=secrets.token_hex(8), source="demo", subject=self.user, time=now)
        await self._publisher.publish(topic_of(event_type).name, self.user.encode(), value)
        self.console.print(f"  → {what}  [dim]{event_type}[/]", highlight=False)

    async def missions(self) -> Missions:
        """What the app gets."""
        answer = await self._http.get("/missions")
        answer.raise_for_status()
        missions: Missions = answer.json()["missions"]
        return missions

    async def until(self, mission_id: str, progress: int) -> Missions:
        """Looks until a mission shows at least this progress."""
        deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
        while True:
            missions = await self.missions()
            if any(m["mission_id"] == mission_id and m["progress"] >= progress for m in missions):
                return missions
            if asyncio.get_running_loop().time() > deadline:
                stop(
                    f"{mission_id} did not reach {progress} within {WAIT_SECONDS} s",
                    "`missions doctor`, and .local/logs/",
                )
            await asyncio.sleep(POLL_SECONDS)

    async def claim(self, assignment_id: str) -> dict[str, Any]:
        """Taps “Claim”."""
        answer = await self._http.post("/missions/claim", json={"assignment_id": assignment_id})
        answer.raise_for_status()
        grant: dict[str, Any] = answer.json()
        return grant

    def show(self, missions: Missions) -> None:
        """The app's screen."""
        table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
        for name in ("mission", "progress", "", "status", "reward"):
            table.add_column(name, no_wrap=name != "reward")
        for mission in missions:
            done, target = mission["progress"], mission["target"]
            filled = BAR_WIDTH * done // target
            bar = Text("█" * filled, style="green") + Text("░" * (BAR_WIDTH - filled), style="dim")
            status = Text(mission["status"], style=STATUS_STYLE[mission["status"]])
            rewards = ", ".join(_reward(reward) for reward in mission["rewards"])
            table.add_row(mission["title"], bar, f"{done}/{target}", status, rewards)
        self.console.print(table)


def _answer(question: str, *, correct: bool) -> QuestionAnswered:
    return QuestionAnswered(
        question_id=question,
        correct=correct,
        difficulty="easy",
        topic_id=question.split("-", maxsplit=1)[0],
        chapter_id=CHAPTER,
        language=LANGUAGE,
    )


def _reward(reward: dict[str, Any]) -> str:
    name = reward.get("item_id") or reward.get("badge_id") or reward.get("content_id")
    return f"{reward['amount']} {reward['kind']}" if name is None else f"{reward['kind']} “{name}”"


async def _log_ends(stage: Stage) -> dict[str, dict[int, int]]:
    from services.adapters.kafka.admin import end_offsets

    ends: dict[str, dict[int, int]] = {topic: {} for topic in PRESENT}
    for partition, offset in (await end_offsets(stage.kafka_bootstrap, PRESENT, security=stage.security)).items():
        ends[partition.topic][partition.partition] = offset
    return ends


async def _read(stage: Stage, topic: str, start: dict[int, int], user: str, wanted: int) -> list[OutEvent]:
    """The user's events on a topic, in `read_committed`; looks again until there are as many as wanted."""
    from services.adapters.kafka.reader import read_from

    deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
    while True:
        found = []
        async for _, record in read_from(stage.kafka_bootstrap, topic, start, security=stage.security):
            event = decode_out(record.value, record.headers)
            if isinstance(event, OutEvent) and event.subject == user:
                found.append(event)
        if len(found) >= wanted or asyncio.get_running_loop().time() > deadline:
            return found
        await asyncio.sleep(POLL_SECONDS)
