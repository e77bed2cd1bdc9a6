"""Which language a caller wants, from what browsers and apps send."""

import pytest

from services.adapters.problems import Problem
from services.api.locales import preferred_locales


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, []),
        ("", []),
        ("de", ["de"]),
        ("de-AT, de;q=0.9, en;q=0.8", ["de-AT", "de", "en"]),
        ("en;q=0.2, de;q=0.7", ["de", "en"]),
        ("en;q=0, *;q=0.5, ;, 123, de;q=nan", []),
        ("DE", ["de"]),
        (",".join(["en"] * 5000), ["en"] * 10),
    ],
)
def test_accept_language_is_read_best_first(header: str | None, wanted: list[str]) -> None:
    assert preferred_locales(None, header) == wanted


def test_the_parameter_goes_before_the_header() -> None:
    assert preferred_locales("pt-BR", "de") == ["pt-BR"]


@pytest.mark.parametrize("locale", ["", "x", "en_US", "en-", "de\n", "../en"])
def test_a_parameter_that_is_no_locale_is_refused(locale: str) -> None:
    with pytest.raises(Problem):
        preferred_locales(locale, None)
