"""Each wrong thing is done to a user of its own: whoever can be chosen for one thing only is not used up for another."""

from .tampering import one_each


def test_the_choosiest_gets_its_only_candidate() -> None:
    assert one_each([["a", "b", "c"], ["a", "b"], ["a"]]) == ["c", "b", "a"]


def test_nobody_is_chosen_twice_and_one_that_has_nobody_left_has_none() -> None:
    assert one_each([["a"], ["a"], []]) == ["a", None, None]
