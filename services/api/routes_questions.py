"""The question selector's call: GET /questions/next."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response

from mission_events.fields import known_zones
from mission_events.learning import Difficulty
from services.adapters.http import UserCaller, answer_schemas, json_answer
from services.adapters.problems import invalid_parameter, unavailable
from services.missions.selection import COUNT_MAX, Reason, Selected, UnknownPurpose, parse_purpose
from services.missions.selection.purposes import PurposeKind

from .locales import preferred_locales
from .read_missions import LedgerUnavailable
from .routes_user import AcceptLanguage, Locale, Timezone
from .select_questions import SelectQuestions

COUNT_DEFAULT = 10
"""Questions of one sitting."""

PURPOSE_CHARACTERS_MAX = 160
"""`mission:` and an identifier, with room to spare."""

PURPOSE_PATTERN = f"^({'|'.join(PurposeKind)}|mission:.+)$"
"""For the description; what is wrong with a purpose is said by `parse_purpose`."""

_encode = msgspec.json.Encoder().encode


class QuestionView(msgspec.Struct, omit_defaults=True):
    """A question, by the names that its answer's event must use, and why the user gets it now."""

    question_id: str
    language: str
    chapter_id: str
    topic_id: str
    difficulty: Difficulty
    prompt: str
    reason: Reason
    concept_id: str | None = None
    concept_kind: str | None = None


class QuestionsAnswer(msgspec.Struct):
    """The next questions, best first, none twice. Fewer than asked for when there are no more for this purpose."""

    questions: list[QuestionView]


SCHEMAS = answer_schemas(QuestionsAnswer)

Count = Annotated[int, Query(ge=1, le=COUNT_MAX, description="Most questions to get")]
PurposeText = Annotated[
    str | None,
    Query(
        max_length=PURPOSE_CHARACTERS_MAX,
        json_schema_extra={"pattern": PURPOSE_PATTERN},
        description="`mission`, `mission:<assignment_id>`, `mistakes`, `review` or `chapter`; without it all of them, in this order",
    ),
]


def questions_router(select: SelectQuestions, clock: Callable[[], datetime]) -> APIRouter:
    """The route for user tokens."""
    router = APIRouter(tags=["questions"])

    @router.get(
        "/questions/next",
        operation_id="nextQuestions",
        summary="The next questions for the user, each with its reason",
        description="First what the user's missions need, then open mistakes, due reviews and the current chapter. "
        "The same call gives the same questions until an answer, a mission or the user's day changes.",
        responses={200: json_answer(QuestionsAnswer, "The questions, best first")},
    )
    async def next_questions(
        caller: UserCaller,
        count: Count = COUNT_DEFAULT,
        purpose: PurposeText = None,
        timezone: Timezone = None,
        locale: Locale = None,
        accept_language: AcceptLanguage = None,
    ) -> Response:
        if timezone is not None and timezone not in known_zones():
            raise invalid_parameter("timezone", f"{timezone!r} is no IANA time zone; send a name such as Europe/Berlin")
        locales = preferred_locales(locale, accept_language)
        try:
            selected = await select(caller.subject, clock(), count, parse_purpose(purpose), locales, timezone)
        except UnknownPurpose as error:
            raise invalid_parameter("purpose", str(error)) from None
        except LedgerUnavailable:
            raise unavailable("The ledger") from None
        body = _encode(QuestionsAnswer([_view(one) for one in selected]))
        headers = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Accept-Language"}
        return Response(body, headers=headers, media_type="application/json")

    return router


def _view(selected: Selected) -> QuestionView:
    question = selected.question
    return QuestionView(
        question_id=question.question_id,
        language=question.language,
        chapter_id=question.chapter_id,
        topic_id=question.topic_id,
        difficulty=question.difficulty,
        prompt=question.prompt,
        reason=selected.reason,
        concept_id=question.concept_id,
        concept_kind=question.concept_kind,
    )
