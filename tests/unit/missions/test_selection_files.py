"""Question files: the sample that comes along, and what is said about mistakes in them."""

from collections import Counter
from pathlib import Path

import pytest

from services.adapters.catalogue_files import default_catalogue
from services.adapters.question_files import QuestionFileError, load_questions, read_questions

GOOD = """
language: python
chapters:
  - id: py-1
    topics:
      - id: loops
        questions:
          - {id: q-1, difficulty: easy, prompt: "Which keyword begins a loop?", concept_kind: keyword, concept_id: for}
          - {id: q-2, difficulty: hard, prompt: "Why?"}
"""


def problems_with(tmp_path: Path, old: str, new: str) -> list[str]:
    """What is said about the good file after a change."""
    assert old in GOOD
    file = tmp_path / "python.yaml"
    file.write_text(GOOD.replace(old, new, 1), "utf-8")
    return [str(problem) for problem in read_questions(file)[1]]


def test_the_sample_has_a_few_hundred_questions_in_three_languages() -> None:
    sample = load_questions()
    assert len(sample) >= 200
    assert sample.languages == ("python", "javascript", "sql")
    for language in sample.languages:
        assert len(sample.chapters(language)) >= 5


def test_each_chapter_of_the_sample_can_be_mastered_and_each_language_has_ten_keywords() -> None:
    sample = load_questions()
    for language in sample.languages:
        for chapter in sample.chapters(language):
            sizes = Counter(question.difficulty for question in sample.chapter(language, chapter))
            assert sizes["easy"] >= 5, chapter
            assert sizes["medium"] >= 5, chapter
            assert sizes["hard"] >= 2, chapter
        found = sample.having("language", [language], 0, len(sample))
        assert len({q.concept_id for q in found if q.concept_kind == "keyword"}) >= 10


def test_prompts_of_the_sample_differ_within_a_language() -> None:
    sample = load_questions()
    for language in sample.languages:
        prompts = Counter(q.prompt for q in sample.having("language", [language], 0, len(sample)))
        assert [
            prompt for prompt, times in prompts.items() if times > 1 and not prompt.startswith("Which keyword")
        ] == []


def test_default_missions_name_languages_of_the_sample() -> None:
    languages = {
        c.mission.audience["languages"] for c in default_catalogue().once.missions if "languages" in c.mission.audience
    }
    assert languages
    assert languages <= set(load_questions().languages)


def test_a_good_file_is_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "python.yaml").write_text(GOOD, "utf-8")
    questions, problems = read_questions(tmp_path)
    assert problems == []
    assert [(q.question_id, q.topic_id, q.chapter_id, q.concept_id) for q in questions] == [
        ("q-1", "loops", "py-1", "for"),
        ("q-2", "loops", "py-1", None),
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "difficulty: hard",
            "difficulty: har",
            (
                "python.yaml: chapters[0].topics[0].questions[1].difficulty: Input should be 'easy', 'medium' or 'hard' "
                "(it is 'har'). Did you mean hard?"
            ),
        ),
        (
            'prompt: "Why?"',
            'promt: "Why?"',
            (
                "python.yaml: chapters[0].topics[0].questions[1].promt: no such key here; there are "
                "id, difficulty, prompt, concept_kind, concept_id. Did you mean prompt?"
            ),
        ),
        ("language: python", "langage: python", "python.yaml: language: is missing; add it."),
        (
            ", concept_id: for",
            "",
            "python.yaml: chapters[0].topics[0].questions[0]: has only one of concept_kind and concept_id; give both or none.",
        ),
        (
            "id: q-2",
            "id: q-1",
            (
                "python.yaml: chapters[0].topics[0].questions[1].id: question q-1 was given at "
                "python.yaml: chapters[0].topics[0].questions[0] before; give each id once"
            ),
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert said in problems_with(tmp_path, old, new)


def test_a_bad_id_and_an_empty_chapter_are_refused(tmp_path: Path) -> None:
    [said] = problems_with(tmp_path, "id: loops", "id: 'for loops'")
    assert said.startswith("python.yaml: chapters[0].topics[0].id: ")
    [said] = problems_with(tmp_path, GOOD[GOOD.index("chapters:") :], "chapters: []")
    assert said.startswith("python.yaml: chapters: List should have at least 1 item")


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    (tmp_path / "python.yaml").write_text("- 1", "utf-8")
    [problem] = read_questions(tmp_path)[1]
    assert str(problem).startswith("python.yaml: the file: ")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [("no.txt", b"", "holds no"), ("bad.yaml", b"a: [", "bad.yaml is no YAML"), ("odd.yaml", b"\xff", "can't be read")],
)
def test_what_can_not_be_read_is_said(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(QuestionFileError, match=said):
        read_questions(tmp_path)


def test_a_catalogue_with_problems_is_not_loaded(tmp_path: Path) -> None:
    file = tmp_path / "python.yaml"
    file.write_text(GOOD.replace("hard", "harsh"), "utf-8")
    with pytest.raises(QuestionFileError, match=r"Mend these places:\npython.yaml: chapters\[0\]"):
        load_questions(file)
