"""Reads users' question histories, a bounded part at a time: the work of a call does not grow with what a user has done."""

from collections.abc import Sequence

from services.missions.state import QuestionRecord

from .connection import Pool
from .queries import queries

HISTORY_MAX = 400
"""Records read of a user's history. Who answered fewer questions has all of them read; of a longer history it is another part each
day, and the open mistakes and the current chapter are read besides."""

MISTAKES_MAX = 100
"""Open mistakes read from each end, the newest and the oldest: more than anybody mends in a day."""

_SQL = queries("questions")


class QuestionHistory:
    """What the ledger knows of users' answers."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def of_user(self, user_id: str, start: str) -> list[QuestionRecord]:
        """At most `HISTORY_MAX` records, from the question id `start` on and round, and open mistakes; each once."""
        rows = await self._pool.fetch(_SQL["history_of_user"], user_id, start, HISTORY_MAX, MISTAKES_MAX)
        return list({row[1]: QuestionRecord(*row) for row in rows}.values())

    async def of_questions(self, user_id: str, question_ids: Sequence[str]) -> list[QuestionRecord]:
        """The records of these questions, as far as the user has answered them."""
        if not question_ids:
            return []
        return [
            QuestionRecord(*row)
            for row in await self._pool.fetch(_SQL["questions_of_user"], user_id, list(question_ids))
        ]
