"""A story for each mission of the default catalogue: what brings it, near misses that must not count, what completes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from mission_events import LearningData
from tests.support.events import answer, item, lesson, streak, xp

Past = Mapping[date, Sequence[LearningData]]
"""What a learner did on days in the past, beside opening the app on each of them."""


@dataclass(frozen=True)
class Did:
    """An event; `day` = None is now. One of an earlier day was made offline, and comes now."""

    data: LearningData
    day: date | None = None


@dataclass(frozen=True)
class Story:
    """How one mission is won. Progress is that of each objective, in order."""

    steps: Sequence[Did]
    """With the last one, and not before it, the mission is completed."""
    reached: tuple[int, ...]
    """Progress before the last step."""
    misses: Sequence[Did]
    """What comes before the steps and counts for nothing."""
    past: Past = field(default_factory=dict)
    not_for: Past | None = None
    """A past, as like it as can be, that does not bring the mission; None if everybody has it."""
    already: tuple[int, ...] | None = None
    """Progress from the past; None = none."""
    claims: Sequence[str] = ()
    """Missions that the past completes and that are claimed before today."""
    is_over: bool = False
    """Whether it all happens in last week: each event comes on its own day, and today the reward is there to be claimed."""


@dataclass(frozen=True)
class Calendar:
    """Days as the learners of the stories have them: their zone is one where it is about noon, so no midnight comes between."""

    zone: str
    today: date

    @classmethod
    def at(cls, now: datetime) -> "Calendar":
        """The calendar at a time in UTC."""
        ahead = 12 - now.hour
        zone = f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"  # these names count westwards
        return cls(zone, now.astimezone(ZoneInfo(zone)).date())

    @property
    def monday(self) -> date:
        """The day that this week began."""
        return self.today - timedelta(days=self.today.weekday())

    def noon(self, day: date) -> datetime:
        """Noon of a day."""
        return datetime.combine(day, time(12), ZoneInfo(self.zone))


def ago(day: date, days: int) -> date:
    """A day before another; after it if `days` is negative."""
    return day - timedelta(days=days)


def opened(day: date, days: int) -> dict[date, Sequence[LearningData]]:
    """The app was opened on so many days before a day, and nothing more."""
    return {ago(day, n): () for n in range(days, 0, -1)}


def now(*events: LearningData) -> list[Did]:
    """Events of now."""
    return [Did(event) for event in events]


def right(*questions: str, **changes: object) -> list[LearningData]:
    """Right answers."""
    return [answer(question, correct=True, **changes) for question in questions]


def wrong(*questions: str, **changes: object) -> list[LearningData]:
    """Wrong answers."""
    return [answer(question, correct=False, **changes) for question in questions]


def questions(stem: str, count: int) -> list[str]:
    """So many question ids."""
    return [f"{stem}-{number}" for number in range(1, count + 1)]


def stories(calendar: Calendar, season: str) -> dict[str, Story]:
    """By mission id. `season` is the id of a season that opened three days ago and is open, otherwise as the catalogue has it."""
    today, monday = calendar.today, calendar.monday
    return {
        **_daily(today),
        **_weekly(monday),
        **_mistakes(today),
        **_practice(today, monday),
        **_language(today, monday),
        **_once(today),
        **_streaks(ago(monday, 7)),
        season: Story(
            past=opened(today, 1),
            not_for={},
            misses=[
                *now(lesson(lesson_type="core"), lesson(lesson_type="challenge"), xp(50, "challenge")),
                Did(lesson(lesson_type="boss_challenge"), ago(today, 4)),
            ],
            steps=now(lesson(lesson_type="boss_challenge")),
            reached=(0,),
        ),
    }


def _daily(today: date) -> dict[str, Story]:
    yesterday = ago(today, 1)
    return {
        "daily-lesson-1": Story(
            misses=[*now(xp(20), *right("q-1")), Did(lesson(), yesterday)],
            steps=now(lesson()),
            reached=(0,),
        ),
        "daily-xp-20": Story(
            not_for=opened(today, 3),
            misses=[*now(xp(500, "mission_reward"), lesson()), Did(xp(30), yesterday)],
            steps=now(xp(12, "practice"), xp(7, "challenge"), xp(1, "streak_repair")),
            reached=(19,),
        ),
        "daily-xp-40": Story(
            past=opened(today, 3),
            not_for=opened(today, 2),
            misses=[*now(xp(500, "mission_reward"), lesson()), Did(xp(45), yesterday)],
            steps=now(xp(20), xp(19, "other"), xp(30)),
            reached=(39,),
        ),
        "daily-medium-3": Story(
            past=opened(today, 4),
            not_for=opened(today, 3),
            misses=[
                *now(*right("easy-1"), *right("hard-1", difficulty="hard"), *wrong("m-1", difficulty="medium")),
                *[Did(event, yesterday) for event in right("m-9", difficulty="medium")],
            ],
            steps=now(*right("m-1", "m-1", "m-2", "m-2", "m-3", difficulty="medium")),
            reached=(2,),
        ),
        "daily-story-1": Story(
            past=opened(today, 6),
            not_for=opened(today, 5),
            misses=[*now(lesson("a-story"), lesson(lesson_type="review")), Did(lesson(lesson_type="story"), yesterday)],
            steps=now(lesson(lesson_type="story")),
            reached=(0,),
        ),
    }


def _weekly(monday: date) -> dict[str, Story]:
    sunday = ago(monday, 1)
    return {
        "weekly-xp-150": Story(
            past=opened(monday, 1),
            not_for={},
            misses=[*now(xp(500, "mission_reward"), lesson()), Did(xp(120), sunday)],
            steps=now(xp(100), xp(49, "practice"), xp(30, "challenge")),
            reached=(149,),
        ),
        "weekly-lessons-5": Story(
            past=opened(monday, 1),
            not_for={},
            misses=[*now(xp(50), *right("q-1")), Did(lesson(), sunday)],
            steps=now(lesson(), lesson(), lesson("two"), lesson(lesson_type="story"), lesson(language="spanish")),
            reached=(4,),
        ),
        "weekly-chapter-1": Story(
            past=opened(monday, 3),
            not_for=opened(monday, 2),
            misses=[
                *now(lesson(), lesson(chapter_progress=0.99), lesson(unit_progress=1.0)),
                Did(lesson(chapter_progress=1.0), sunday),
            ],
            steps=now(lesson(chapter_progress=1.0)),
            reached=(0,),
        ),
        "weekly-item-1": Story(
            past=opened(monday, 5),
            not_for=opened(monday, 4),
            misses=[*now(lesson(), xp(50)), Did(item("xp_boost"), sunday)],
            steps=now(item("extra_heart")),
            reached=(0,),
        ),
    }


def _mistakes(today: date) -> dict[str, Story]:
    yesterday, before = ago(today, 1), ago(today, 2)
    return {
        "fix-mistakes-2": Story(
            not_for=opened(today, 1),
            misses=now(*right("known"), *wrong("q-1", "q-2", "q-2")),
            steps=now(*right("q-1", "q-1", "q-2")),
            reached=(1,),
        ),
        "fix-mistakes-5": Story(
            past={yesterday: wrong(*questions("q", 6))},
            not_for={yesterday: wrong(*questions("q", 3))},
            misses=now(*right("known"), *wrong("q-1"), xp(20)),
            steps=now(*right("q-1", "q-1", "q-2", "q-3", "q-4", "q-4", "q-6")),
            reached=(4,),
        ),
        "fix-mistakes-3": Story(
            past={yesterday: wrong(*questions("q", 3))},
            not_for={yesterday: wrong("q-1")},
            misses=now(*right("known"), *wrong("q-1")),
            steps=now(*right("q-1", "q-2", "q-1", "q-3")),
            reached=(2,),
        ),
        "fix-yesterday-3": Story(
            past={before: wrong("old-1", "old-2", "old-3"), yesterday: wrong(*questions("q", 3))},
            not_for={before: wrong(*questions("q", 3)), yesterday: wrong("q-4")},
            misses=now(*right("old-1", "old-2", "known"), *wrong("new"), *right("new")),
            steps=now(*right("q-1", "q-2", "q-2", "q-3")),
            reached=(2,),
        ),
    }


def _practice(today: date, monday: date) -> dict[str, Story]:
    yesterday, sunday = ago(today, 1), ago(monday, 1)
    seen = {ago(monday, 11): right("old-1", "old-2"), ago(monday, 10): right(*questions("old", 9)), ago(monday, 9): ()}
    weak = {**opened(monday, 4), sunday: [*wrong(*questions("w", 4), topic_id="pointers"), *right("q-1")]}
    strong = {**opened(monday, 4), sunday: [*wrong("q-2", topic_id="pointers"), *right("q-1")]}
    chapter = {**opened(monday, 3), sunday: [lesson(chapter_id="functions")]}
    return {
        "practice-right-10": Story(
            past={yesterday: wrong("q-1")},
            not_for={yesterday: wrong("q-1", "q-2")},
            misses=now(*wrong(*questions("q", 10)), lesson()),
            steps=now(*right("q-1", "q-1", *questions("q", 10))),
            reached=(9,),
        ),
        "review-old-10": Story(
            past={**seen, ago(today, 7): right("edge"), ago(today, 6): right("six-days")},
            not_for={ago(monday, 11): right("old-1", "old-2"), **opened(monday, 3)},
            misses=now(*right("never-seen", "never-seen", "six-days")),
            steps=now(*wrong("old-1"), *right("old-1", "edge", *questions("old", 9)[1:])),
            reached=(9,),
        ),
        "master-weak-topics": Story(
            past=weak,
            not_for=strong,
            misses=now(*right(*questions("loop", 3)), *wrong("p-1", topic_id="pointers")),
            steps=now(*right("p-1", "p-1", *questions("p", 10), topic_id="pointers")),
            reached=(9,),
        ),
        "hard-questions-5": Story(
            past=strong,
            not_for=weak,
            misses=now(*right("e-1"), *right("m-1", difficulty="medium"), *wrong("h-1", difficulty="hard")),
            steps=now(*right("h-1", "h-1", *questions("h", 5), difficulty="hard")),
            reached=(4,),
        ),
        "master-chapter": Story(
            past=chapter,
            not_for=opened(monday, 3),
            misses=now(
                *right("other-1"),
                *right("hard-1", difficulty="hard", chapter_id="functions"),
                *wrong("e-1", chapter_id="functions"),
                lesson(chapter_id="the-next"),
                *right("next-1", chapter_id="the-next"),
            ),
            steps=now(
                *right(*questions("e", 7), chapter_id="functions"),
                *right("m-1", *questions("m", 5), difficulty="medium", chapter_id="functions"),
            ),
            reached=(5, 4),
        ),
    }


def _language(today: date, monday: date) -> dict[str, Story]:
    keyword = {"concept_kind": "keyword", "language": "python"}
    of_python: list[LearningData] = [lesson(language="python")]
    of_spanish: list[LearningData] = [lesson(language="spanish")]
    return {
        "python-keywords-10": Story(
            past={ago(today, 1): of_python},
            not_for={ago(today, 1): of_spanish},
            misses=[
                *now(
                    *wrong("q-1", concept_id="yield", **keyword),
                    *right("q-2", concept_id="yield", concept_kind="operator", language="python"),
                    *right("q-3", concept_id="yield", concept_kind="keyword", language="javascript"),
                    *right("q-4", concept_id="yield", language="python"),
                    *right("q-5", **keyword),
                ),
                Did(right("q-6", concept_id="async", **keyword)[0], ago(today, 1)),
            ],
            steps=now(
                *right("q-7", concept_id="keyword-1", **keyword),
                *[right(f"r-{n}", concept_id=f"keyword-{n}", **keyword)[0] for n in range(1, 11)],
            ),
            reached=(9,),
        ),
        "python-lessons-3": Story(
            past={ago(monday, 2): of_spanish, ago(monday, 1): of_python},
            not_for={ago(monday, 2): of_spanish, ago(monday, 1): of_spanish},
            misses=[*now(*of_spanish, *right("q-1"), xp(20)), Did(lesson(), ago(monday, 1))],
            steps=now(lesson(), lesson("two"), lesson(lesson_type="review")),
            reached=(2,),
        ),
        "own-language-lessons-3": Story(
            past={ago(monday, 2): of_python, ago(monday, 1): of_spanish},
            not_for={ago(monday, 2): of_spanish, ago(monday, 1): of_python},
            misses=now(lesson(language="python"), *right("q-1", language="spanish"), xp(20)),
            steps=now(*of_spanish, lesson("two", language="spanish"), lesson("three", language="spanish")),
            reached=(2,),
        ),
    }


def _once(today: date) -> dict[str, Story]:
    four_days = {ago(today, n): [xp(10)] for n in (4, 3, 2, 1)}
    return {
        "finish-unit-1": Story(
            past=opened(today, 2),
            not_for=opened(today, 1),
            misses=[
                *now(lesson(), lesson(unit_progress=0.99), lesson(chapter_progress=1.0)),
                Did(lesson(unit_progress=1.0), ago(today, 1)),
            ],
            steps=now(lesson(unit_progress=1.0)),
            reached=(0,),
        ),
        "study-3-days": Story(
            past={
                ago(today, 7): [xp(5)],  # it comes on the second day
                ago(today, 6): [xp(5)],
                ago(today, 5): [xp(5, "practice")],
                ago(today, 4): [xp(5, "streak_repair"), lesson()],  # neither is study
                ago(today, 2): [xp(5, "challenge")],
                ago(today, 1): [xp(5)],
            },
            not_for={},
            already=(2,),
            misses=now(xp(5, "other"), xp(5, "mission_reward"), lesson()),
            steps=now(xp(1)),
            reached=(2,),
        ),
        "streak-7": Story(
            past=four_days,
            claims=["study-3-days"],
            not_for=four_days,
            misses=[
                *now(streak(0, str(today), "broken"), xp(10), lesson()),
                Did(streak(7, str(ago(today, 1))), ago(today, 1)),
            ],
            steps=now(streak(6, str(today)), streak(7, str(today), "repaired")),
            reached=(6,),
        ),
    }


def _streaks(monday: date) -> dict[str, Story]:
    """Of the last whole week, which began on `monday`: on a Tuesday three days of this week can't be over."""
    day = {number: ago(monday, -number) for number in range(7)}
    six_days = opened(monday, 6)
    in_the_week = {day[0]: [lesson()], day[1]: [lesson(), lesson(hearts_lost=1)]}
    return {
        "lesson-3-days": Story(
            past={
                ago(monday, 2): [lesson()],
                ago(monday, 1): [lesson()],
                day[0]: [lesson()],  # the third in a row, and the first of this week
                day[1]: [xp(50), *right("q-1")],
            },
            not_for={day[0]: [lesson()]},
            already=(1,),
            misses=[Did(xp(50), day[2]), Did(lesson(), day[0])],
            steps=[Did(lesson(), day[3]), Did(lesson(), day[4]), Did(lesson("two"), day[4]), Did(lesson(), day[5])],
            reached=(2,),
            is_over=True,
        ),
        "streak-hearts-3": Story(
            past={**six_days, ago(monday, 1): [streak(3, str(ago(monday, 1)))], **in_the_week},
            not_for={**six_days, ago(monday, 1): [streak(2, str(ago(monday, 1)))], **in_the_week},
            already=(2,),
            misses=[Did(xp(50), day[2])],
            steps=[Did(lesson(), day[2]), Did(lesson(), day[3]), Did(lesson(), day[4])],
            reached=(2,),
            is_over=True,
        ),
    }
