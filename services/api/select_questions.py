"""Chooses a user's next questions: reads a bounded part of the history, and lets the core select."""

from collections.abc import Sequence
from datetime import datetime

from services.adapters.ledger.questions import QuestionHistory
from services.adapters.metrics import QUESTIONS_SELECTED
from services.missions.catalogue import Catalogue
from services.missions.periods import local_day
from services.missions.selection import (
    Purpose,
    QuestionCatalogue,
    Selected,
    Situation,
    UnknownPurpose,
    candidates,
    history_start,
    select,
)
from services.operations.refresh import FreshCatalogue

from .locales import LocaleChooser
from .read_missions import ReadMissions, from_ledger


class SelectQuestions:
    """The use case behind `GET /questions/next`."""

    def __init__(
        self, read: ReadMissions, history: QuestionHistory, questions: QuestionCatalogue, catalogue: FreshCatalogue
    ) -> None:
        self._read = read
        self._history = history
        self._questions = questions
        self._catalogue = catalogue
        self._locales = LocaleChooser()

    async def __call__(
        self,
        user_id: str,
        now: datetime,
        count: int,
        purpose: Purpose,
        locales: Sequence[str] = (),
        zone: str | None = None,
    ) -> list[Selected]:
        """At most `count` questions, best first. Issues first what is due, so that today's missions are asked too.

        `zone` is used while the user's is unknown. Raises `UnknownPurpose` when the purpose names an assignment that is not among
        the user's present ones, and `LedgerUnavailable`.
        """

        async def chosen(catalogue: Catalogue) -> list[Selected]:
            state = await self._read.issued(user_id, now, catalogue, zone)
            assignment_id = purpose.assignment_id
            if assignment_id is not None and all(a.assignment_id != assignment_id for a in state.assignments):
                raise UnknownPurpose(
                    f"mission:{assignment_id} names none of your missions; take an assignment_id of GET /missions"
                )
            start = history_start(user_id, local_day(state.zones, now), self._questions)
            known = await from_ledger(self._history.of_user(user_id, start))
            situation = Situation.of(state, now, catalogue, self._questions, known)
            wanted = candidates(situation, purpose)
            situation = situation.with_records(await from_ledger(self._history.of_questions(user_id, wanted)))
            locale = self._locales.choose(locales, catalogue, now)
            return select(situation, wanted, count, purpose, locale)

        selected = await self._catalogue.decide(chosen)
        for _, reason in selected:
            QUESTIONS_SELECTED.labels(reason.code).inc()
        return selected
