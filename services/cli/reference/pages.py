"""Puts the reference pages together. A word without a line on it, or without an example, is an error: no page is ever incomplete."""

from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from typing import Any

from mission_events import learning
from mission_events.missions import REWARD_KINDS
from services.missions import definition
from services.missions.checks import OPERATORS
from services.missions.definition import Mission
from services.missions.fields import AUDIENCE_FACTS, EVENT_FIELDS, FIT_FACTS, HISTORY_FIELDS, PARAMETERS, Kind

from . import words
from .tables import IncompleteReference, fields, fits, keys, table

__all__ = ["IncompleteReference", "pages"]

HEAD = "<!-- Made by `missions catalogue reference`; changes go into services/cli/reference and the models. -->\n"

ABOUT_EXAMPLES = (
    "Each example is run by a test. A definition in it leaves out what does not matter; so does an event. `counts` says whether the event "
    "moves the progress, `then` what the mission has come to."
)

_SEPARATOR = "--- # "


def pages() -> dict[str, str]:
    """The text of each page by its file name. Raises `IncompleteReference`."""
    makers: Mapping[str, Callable[[_Examples], list[str]]] = {
        "missions.md": _missions,
        "conditions.md": _conditions,
        "measures.md": _measures,
        "events.md": _events,
    }
    made = {}
    for name, make in makers.items():
        examples = _Examples(name.replace(".md", ".yaml"))
        parts = make(examples)
        examples.check_all_used()
        made[name] = HEAD + "\n" + "\n\n".join(parts) + "\n"
    return made


class _Examples:
    """The examples of one page by name; each is shown once."""

    def __init__(self, file: str) -> None:
        self._file = file
        text = resources.files(__package__).joinpath("examples", file).read_text("utf-8")
        self._texts: dict[str, str] = {}
        for part in text.split(_SEPARATOR)[1:]:
            name, _, body = part.partition("\n")
            self._texts[name.strip()] = body.strip()
        self._shown: set[str] = set()

    def show(self, name: str) -> str:
        """The example as a fenced block."""
        fits(f"examples of {self._file}", {name} - set(self._texts), ())
        self._shown.add(name)
        return f"```yaml\n{self._texts[name]}\n```"

    def check_all_used(self) -> None:
        fits(f"examples of {self._file}", self._shown, self._texts)


def _missions(examples: _Examples) -> list[str]:
    schema = Mission.model_json_schema()
    parts = schema["$defs"]
    return [
        "# Missions",
        "A mission is data: one entry of a `missions:` list in YAML, or a JSON body of `POST /admin/missions`. "
        "`missions catalogue check FILE` explains every mistake in a file. " + ABOUT_EXAMPLES,
        "More pages: [conditions](conditions.md), [measures](measures.md), [events](events.md).",
        keys(schema, parts, words.MISSION_KEYS),
        *_periods(examples),
        "## objectives",
        "Each is one measurable part of the mission.",
        keys(parts["Objective"], parts, words.OBJECTIVE_KEYS),
        *_require(examples),
        *_audience(examples),
        *_parameters(examples),
        *_fit(examples, parts),
        *_rewards(examples, parts),
        *_claim(examples, parts),
    ]


def _periods(examples: _Examples) -> list[str]:
    period = Mission.model_json_schema()["properties"]["period"]
    fits("periods", period["enum"], words.PERIODS)
    found = [
        "## periods",
        (
            "A period is half open: an event counts from its first instant up to, and without, its last. It counts for the day it "
            "happened on, as long as it arrives within 24 hours of the period's end."
        ),
    ]
    for name, text in words.PERIODS.items():
        found += [f"### {name}", text, examples.show(name)]
    return found


def _require(examples: _Examples) -> list[str]:
    return [
        "## require",
        "`all` (the default): every objective must reach its target.",
        examples.show("require all"),
        "`{at_least: n}`: so many of them are enough.",
        examples.show("require at_least"),
    ]


def _audience(examples: _Examples) -> list[str]:
    fits("audience facts", AUDIENCE_FACTS, words.AUDIENCE_FACTS)
    found = [
        "## audience",
        (
            "Conditions, as in `where`, over facts about the user, asked once when a period begins. All must hold. In these examples "
            "`gets_it` says whether a user of whom this is known gets the mission."
        ),
        examples.show("audience"),
        fields(AUDIENCE_FACTS, words.AUDIENCE_FACTS),
    ]
    for name in AUDIENCE_FACTS:
        found += [f"### {name}", words.AUDIENCE_FACTS[name], examples.show(name)]
    found += [
        "## requires",
        "Chains of missions: a claimed mission opens the next. `claimed` are a user's claims.",
        examples.show("requires"),
    ]
    return found


def _parameters(examples: _Examples) -> list[str]:
    fits("parameters", PARAMETERS, words.PARAMETERS)
    found = [
        "## parameters",
        (
            "An operand that begins with `$` is a parameter: its value is the user's own, frozen when the mission is issued. "
            "A user of whom it is not known gets the mission only if the definition's `parameters` give a value."
        ),
        fields(PARAMETERS, words.PARAMETERS),
    ]
    for name in PARAMETERS:
        found += [f"### ${name}", words.PARAMETERS[name], examples.show(f"${name}")]
    return found


def _fit(examples: _Examples, parts: Mapping[str, Any]) -> list[str]:
    named = ", ".join(f"`{name}`" for name in FIT_FACTS)
    return [
        "## fit",
        f"Lowers the target to what there is for the user, once, when the mission is issued. The facts that it can follow are {named}.",
        keys(parts["FitRule"], parts, words.FIT_KEYS),
        examples.show("fit"),
        "## otherwise",
        (
            "Who would get the mission but can't be fitted, or of whom a parameter is not known, gets another one in its place. That one "
            "says `stand_in: true`, has the same period and no audience of its own."
        ),
        examples.show("otherwise"),
    ]


def _rewards(examples: _Examples, parts: Mapping[str, Any]) -> list[str]:
    models = {part["properties"]["kind"]["const"]: part for part in parts.values() if _is_reward(part)}
    fits("kinds of reward", REWARD_KINDS, models)
    rows = [
        (f"`{kind}`", ", ".join(f"`{name}`" for name in model["properties"] if name != "kind"), model["description"])
        for kind, model in models.items()
    ]
    return [
        "## rewards",
        (
            "Each has a `kind` and the keys of its kind. No amount is less than 1. XP from rewards feeds no mission that excludes "
            "`xp_source: mission_reward`."
        ),
        table(("kind", "keys", "meaning"), rows),
        examples.show("rewards"),
    ]


def _is_reward(part: Mapping[str, Any]) -> bool:
    return "const" in part.get("properties", {}).get("kind", {})


def _claim(examples: _Examples, parts: Mapping[str, Any]) -> list[str]:
    rule = parts["ClaimRule"]
    fits("what comes after the grace", rule["properties"]["then"]["enum"], words.AFTER_GRACE)
    found = ["## claim", keys(rule, parts, words.CLAIM_KEYS)]
    for name, text in words.AFTER_GRACE.items():
        found += [f"### {name}", text, examples.show(name)]
    return found


def _conditions(examples: _Examples) -> list[str]:
    known = {"equals", *(name.removesuffix("_") for name in definition.Operators.model_fields)}
    fits("operators", known, words.OPERATORS)
    rows = [
        (str(kind), ", ".join(f"`{name}`" for name in words.OPERATORS if name in fitting))
        for kind, fitting in OPERATORS.items()
    ]
    found = [
        "# Conditions",
        "`where` says which events count, `audience` who gets a mission, `break_on` what breaks a run of days. All three are maps: "
        "a field, and a value or operators. A field that an event does not have fails all of them but `exists: false`. "
        + ABOUT_EXAMPLES,
        table(("a field of kind", "takes"), rows),
        *_each(words.OPERATORS, words.OPERATORS, examples),
        "## several fields",
        "All fields must match, and all operators of a field.",
        examples.show("several fields"),
        "## lists",
        (
            "A fact with several values, such as `languages`: a bare value asks whether it is among them, `in` whether any of "
            "them is in the list, `not_in` whether none is, `exists` whether there is at least one."
        ),
        examples.show("lists"),
    ]
    fits("kinds of field", Kind, OPERATORS)
    return found


def _measures(examples: _Examples) -> list[str]:
    known = {"count", *definition.MEASURES}
    fits("measures", known, words.MEASURES)
    return [
        "# Measures",
        "What an event that matches adds to the progress of its objective. Progress never falls and never passes the target, and "
        "the order in which events arrive does not matter. " + ABOUT_EXAMPLES,
        *_each(words.MEASURES, words.MEASURES, examples),
        "### break_on",
        (
            "`{consecutive_days: {break_on: {…}}}`: events that match the filter break the run. It may end on their day, and "
            "does not go on past it."
        ),
        examples.show("break_on"),
    ]


def _events(examples: _Examples) -> list[str]:
    fits("history facts", HISTORY_FIELDS, words.HISTORY_FACTS)
    found = [
        "# Events",
        "The types that an objective may name, and the fields of each that `where`, `break_on` and the measures may. A field that is not "
        "always told is optional. " + ABOUT_EXAMPLES,
    ]
    for event_type, model in learning.LEARNING_MODELS.items():
        schema = model.model_json_schema()
        told = {
            name: f"{'' if name in schema['required'] else 'Optional. '}{value.get('description', '')}".strip()
            for name, value in schema["properties"].items()
        }
        summary = (model.__doc__ or "").strip()
        found += [f"## {event_type}", summary, fields(EVENT_FIELDS[event_type], told), examples.show(event_type)]
    found += [
        "## history facts",
        (
            "Fields that we derive from the user's own answers before an answer is matched; `where` and `break_on` on "
            "`learning.question-answered.v1` may name them. `before` in these examples is what the user did earlier."
        ),
        fields(HISTORY_FIELDS, words.HISTORY_FACTS),
        *_each(HISTORY_FIELDS, words.HISTORY_FACTS, examples, "###"),
    ]
    return found


def _each(names: Iterable[str], told: Mapping[str, str], examples: _Examples, level: str = "##") -> list[str]:
    return [part for name in names for part in (f"{level} {name}", told[name], examples.show(name))]
