"""Makes questions of question data, and says what is wrong with it and where."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mission_events.fields import Identifier
from mission_events.learning import Difficulty
from services.missions.problems import Problem, nearest, path_of

from .questions import DIFFICULTIES, Question

QUESTIONS_MAX = 50_000
"""Most questions in one catalogue: a hundred courses; they are held in memory, about 1 KB each."""

PROMPT_CHARACTERS_MAX = 2_000
"""A prompt has to fit on a phone."""

SHOWN_CHARACTERS_MAX = 80
"""Of a wrong value in a message."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class QuestionEntry(_Strict):
    """One question of a topic."""

    id: Identifier
    difficulty: Difficulty
    prompt: Annotated[str, Field(min_length=1, max_length=PROMPT_CHARACTERS_MAX)]
    concept_kind: Identifier | None = None
    concept_id: Identifier | None = None

    @model_validator(mode="after")
    def _has_whole_concept(self) -> Self:
        if (self.concept_kind is None) is not (self.concept_id is None):
            raise ValueError("has only one of concept_kind and concept_id; give both or none")
        return self


class TopicEntry(_Strict):
    """A topic of a chapter, with its questions."""

    id: Identifier
    questions: Annotated[list[QuestionEntry], Field(min_length=1)]


class ChapterEntry(_Strict):
    """A chapter, with its topics."""

    id: Identifier
    topics: Annotated[list[TopicEntry], Field(min_length=1)]


class QuestionFile(_Strict):
    """What one file holds: chapters of one language, in the order in which they are taught."""

    language: Identifier
    chapters: Annotated[list[ChapterEntry], Field(min_length=1)]


_MODELS: Mapping[str, type[BaseModel]] = {"chapters": ChapterEntry, "topics": TopicEntry, "questions": QuestionEntry}


def parse_questions(files: Sequence[tuple[str, object]]) -> tuple[list[Question], list[Problem]]:
    """Questions from (name, data) of files, in order, and everything that is wrong with them.

    With problems the questions are those of the sound files, each question once.
    """
    questions: list[Question] = []
    problems: list[Problem] = []
    places: dict[str, str] = {}
    for where, data in files:
        try:
            file = QuestionFile.model_validate(data)
        except ValidationError as error:
            problems += [_problem(detail, where) for detail in error.errors(include_url=False)]
            continue
        for path, question in _questions_in(file):
            first = places.setdefault(question.question_id, f"{where}: {path}")
            if first != f"{where}: {path}":
                message = f"question {question.question_id} was given at {first} before; give each id once"
                problems.append(Problem(where, f"{path}.id", message))
            else:
                questions.append(question)
    if len(questions) > QUESTIONS_MAX:
        names = ", ".join(where for where, _ in files)
        problems.append(Problem(names, "questions", f"are {len(questions)}; at most {QUESTIONS_MAX} are allowed"))
        return [], problems
    return questions, problems


def _questions_in(file: QuestionFile) -> list[tuple[str, Question]]:
    return [
        (
            f"chapters[{c}].topics[{t}].questions[{q}]",
            Question(
                question_id=entry.id,
                language=file.language,
                chapter_id=chapter.id,
                topic_id=topic.id,
                difficulty=entry.difficulty,
                prompt=entry.prompt,
                concept_id=entry.concept_id,
                concept_kind=entry.concept_kind,
            ),
        )
        for c, chapter in enumerate(file.chapters)
        for t, topic in enumerate(chapter.topics)
        for q, entry in enumerate(topic.questions)
    ]


def _problem(detail: Mapping[str, Any], where: str) -> Problem:
    """Pydantic's error as a problem with its place."""
    loc = detail["loc"]
    path = path_of(loc) or "the file"
    if detail["type"] == "missing":
        return Problem(where, path, "is missing; add it.")
    if detail["type"] == "extra_forbidden":
        model = next((_MODELS[part] for part in reversed(loc[:-1]) if part in _MODELS), QuestionFile)
        known = list(model.model_fields)
        return Problem(where, path, f"no such key here; there are {', '.join(known)}.", nearest(loc[-1], known))
    if detail["type"] == "value_error":
        return Problem(where, path, f"{detail['ctx']['error']}.")
    suggestion = nearest(detail["input"], DIFFICULTIES) if detail["type"] == "literal_error" else None
    return Problem(where, path, f"{detail['msg']} (it is {_shown(detail['input'])}).", suggestion)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else text[: SHOWN_CHARACTERS_MAX - 3] + "..."
