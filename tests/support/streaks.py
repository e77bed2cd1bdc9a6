"""A learner whose streak is derived: events go in, what is told comes back as Kafka would bring it."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from mission_events import Event, LearningData, decode
from services.missions.catalogue import Catalogue
from services.missions.decide import Recorded, decide, issue_now
from services.missions.state import UserState
from services.missions.streaks import StreakChange, StreakSource, streak_updated
from tests.support.builders import USER, catalogue, event

Told = tuple[str, int, str]
"""(local date as `11-25`, days, change)."""


def told(changes: list[StreakChange]) -> list[Told]:
    """Changes as tests write them."""
    return [(date.fromordinal(c.day).strftime("%m-%d"), c.days, c.change) for c in changes]


@dataclass
class Learner:
    """One user. `changes` is all that was told, `state` what came of it, own events included."""

    missions: Catalogue = field(default_factory=catalogue)
    state: UserState = field(default_factory=lambda: UserState(USER))
    changes: list[StreakChange] = field(default_factory=list)
    completed: list[str] = field(default_factory=list)

    def does(self, data: LearningData, time: datetime, *, arriving: datetime | None = None) -> list[Told]:
        """Something that the learner did, and what was told at once."""
        return self.gets(event(data, time), arriving or time)

    def gets(self, one: Event, recorded_at: datetime) -> list[Told]:
        """Any event."""
        decision = decide(
            self.state, [Recorded(one, recorded_at)], {}, self.missions, streak_source=StreakSource.DERIVED
        )
        self.completed += [a.mission_id for a in decision.completed]
        return self._hears(decision.streak_changes, recorded_at)

    def sleeps_until(self, now: datetime) -> list[Told]:
        """The scheduler looks at the clock, and the learner does nothing."""
        decision = issue_now(self.state, now, self.missions, streak_source=StreakSource.DERIVED)
        return self._hears(decision.streak_changes, now)

    def _hears(self, changes: list[StreakChange], at: datetime) -> list[Told]:
        self.changes += changes
        for change in changes:
            announcement = streak_updated(self.state.user_id, change)
            published = at + timedelta(seconds=1)
            back = decode(announcement.payload, record_timestamp=published)
            assert isinstance(back, Event), back
            assert (back.id, back.subject, back.source) == (announcement.id, self.state.user_id, "mission-system")
            self.gets(back, published)
        return told(changes)

    @property
    def streak(self) -> tuple[int, str | None]:
        """Days, and the local date that they were last told for."""
        day = self.state.streak_day
        return self.state.streak, day.strftime("%m-%d") if day else None
