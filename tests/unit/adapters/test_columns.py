"""What is joined into one text comes apart as it was, and what can't be joined is refused."""

import asyncpg
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.adapters.ledger.columns import SEPARATOR, numbers, optional_numbers, optional_texts, texts
from services.adapters.ledger.connection import is_data_error

IDENTIFIERS = st.text("abcXYZ019_.:-", min_size=1, max_size=12)


@given(st.lists(IDENTIFIERS, min_size=1))
def test_texts_come_apart_as_they_were(values: list[str]) -> None:
    assert texts(values).members() == values


@given(st.lists(IDENTIFIERS | st.none(), min_size=1))
def test_texts_that_may_lack_come_apart_as_they_were(values: list[str | None]) -> None:
    assert optional_texts(values).members() == values


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_numbers_come_apart_as_they_were(values: list[int]) -> None:
    assert numbers(values).members() == values


@given(st.lists(st.integers() | st.none(), min_size=1))
def test_numbers_that_may_lack_come_apart_as_they_were(values: list[int | None]) -> None:
    assert optional_numbers(values).members() == values


@given(st.dictionaries(st.text(), st.text(), min_size=1))
def test_json_never_holds_the_separator(value: dict[str, str]) -> None:
    assert SEPARATOR not in msgspec.json.encode(value).decode()


@pytest.mark.parametrize("values", [["a\x1fb"], ["a", "\x1f", "b"]])
def test_a_text_with_the_separator_is_an_error_of_the_data(values: list[str]) -> None:
    with pytest.raises(asyncpg.DataError) as refused:
        texts(values)

    assert is_data_error(refused.value)
