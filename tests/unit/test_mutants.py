"""`make mutants` can be run: what each mutant removes is in the tree, exactly once, and its tests exist."""

import ast

import pytest

from tests.mutants.mutants import PROJECT, Mutant, MutantError, copy_of_the_tree, load


@pytest.mark.parametrize("mutant", load(), ids=lambda mutant: mutant.name)
def test_what_a_mutant_removes_is_in_the_tree_exactly_once(mutant: Mutant) -> None:
    for edit in mutant.edits:
        assert (PROJECT / edit.file).read_text("utf-8").count(edit.find) == 1, (
            f"{edit.file} has changed: bring the edits of {mutant.name} in tests/mutants/mutants.yaml up to date"
        )
        assert edit.replace != edit.find
    for test in mutant.tests:
        path, _, name = test.partition("::")
        assert f"def {name}" in (PROJECT / path).read_text("utf-8"), test


def test_mutants_are_still_programs_and_a_text_that_is_not_found_is_an_error() -> None:
    with copy_of_the_tree() as root:
        original: dict[str, str] = {}
        for mutant in load():
            for edit in mutant.edits:
                original.setdefault(edit.file, (root / edit.file).read_text("utf-8"))
                edit.apply(root, mutant.name)
                if edit.file.endswith(".py"):
                    ast.parse((root / edit.file).read_text("utf-8"))
            again = mutant.edits[0]
            if again.find not in again.replace:
                with pytest.raises(
                    MutantError, match=r"(?s)there 0 times.*bring tests/mutants/mutants.yaml up to date"
                ):
                    again.apply(root, mutant.name)
            for file, text in original.items():
                (root / file).write_text(text, "utf-8")


def test_names_of_mutants_are_unique() -> None:
    names = [mutant.name for mutant in load()]
    assert len(names) == len(set(names))
