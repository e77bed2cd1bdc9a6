"""In which languages a caller wants to read titles: `?locale=` first, then Accept-Language."""

import re
from collections.abc import Sequence
from datetime import datetime

from services.adapters.problems import invalid_parameter
from services.missions.catalogue import Catalogue
from services.missions.definition import LOCALE_PATTERN
from services.missions.view import FALLBACK_LOCALE

LOCALES_MAX = 10
"""Languages that are tried; browsers send two or three."""

LOCALE_QUERY_PATTERN = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$"
"""What `?locale=` takes: a locale whose language may be in capitals."""

_LOCALE = re.compile(LOCALE_PATTERN.removesuffix("$") + r"\Z")


def preferred_locales(locale: str | None, accept_language: str | None) -> list[str]:
    """The wanted locales, best first. Raises a 422 problem for a `locale` that is none; what is wrong in the header is passed over."""
    if locale is not None:
        wanted = _normal(locale)
        if not _LOCALE.match(wanted):
            raise invalid_parameter("locale", f"{locale!r} is no locale; send one such as en or pt-BR")
        return [wanted]
    weighed: list[tuple[float, str]] = []
    for part in (accept_language or "").split(",")[:LOCALES_MAX]:
        tag, _, parameter = part.partition(";")
        wanted, weight = _normal(tag.strip()), _weight(parameter)
        if _LOCALE.match(wanted) and weight > 0:
            weighed.append((weight, wanted))
    return [tag for _, tag in sorted(weighed, key=lambda pair: -pair[0])]


class LocaleChooser:
    """Finds, among what a caller wants to read, what the missions are written in."""

    def __init__(self) -> None:
        self._catalogue: Catalogue | None = None
        self._written: frozenset[str] = frozenset()

    def choose(self, wanted: Sequence[str], catalogue: Catalogue, now: datetime) -> str:
        """The first wanted locale that some mission is written in, itself or its language; else English."""
        if not wanted:
            return FALLBACK_LOCALE
        if catalogue is not self._catalogue:
            self._catalogue = catalogue
            self._written = frozenset(locale for c in catalogue.open_at(now) for locale in c.mission.title)
        for locale in wanted:
            if locale in self._written or locale.partition("-")[0] in self._written:
                return locale
        return FALLBACK_LOCALE


def _normal(tag: str) -> str:
    language, separator, rest = tag.partition("-")
    return language.lower() + separator + rest


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
