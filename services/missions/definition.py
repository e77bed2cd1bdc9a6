"""Mission definitions: the shape of the data that says what a mission is. Missions are data, never code."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
)
from pydantic_core import PydanticCustomError

from mission_events.fields import MAX_EXACT_INTEGER, EventModel, Identifier, Instant
from mission_events.missions import (
    BadgeReward,
    GemsReward,
    ItemReward,
    MissionType,
    Reward,
    UnlockReward,
    XpReward,
)

OBJECTIVES_MAX = 20
"""Most objectives of one mission: what a card on a phone can still show."""

REWARDS_MAX = 20
"""Most rewards of one mission, for the same reason."""

OPERANDS_MAX = 200
"""Most values of one `in` or `not_in`: they are looked up in a set, but a person has to review the list."""

GRACE_DAYS_MAX = 365
"""Longest grace: a completed assignment stays in its user's state until it is over."""

LOCALE_PATTERN = r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"

PeriodKind = Literal["daily", "weekly", "once", "season"]
Scalar = bool | int | float | str
"""A value to compare with. A text that begins with `$` names a parameter."""
Operands = Annotated[list[Scalar], Field(min_length=1, max_length=OPERANDS_MAX)]


class DefinitionModel(BaseModel):
    """Base of every part of a definition: nothing is coerced, nothing unknown is let pass, instances never change."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)


class Operators(DefinitionModel):
    """What a field's value must be like; several operators must all hold."""

    in_: Operands | str | None = Field(default=None, alias="in")
    not_in: Operands | str | None = None
    gt: Scalar | None = None
    gte: Scalar | None = None
    lt: Scalar | None = None
    lte: Scalar | None = None
    exists: bool | None = None

    def given(self) -> dict[str, Any]:
        """The operators that are set, by the names they have in data, with their operands."""
        return self.model_dump(by_alias=True, exclude_none=True)


def _condition_tag(value: object) -> str:
    return "operators" if isinstance(value, dict | Operators) else "scalar"


Condition = Annotated[
    Annotated[Scalar, Tag("scalar")] | Annotated[Operators, Tag("operators")], Discriminator(_condition_tag)
]
Where = dict[str, Condition]
"""Field -> scalar (equals) or operators. All fields must match; no field at all matches everything."""


class Sum(DefinitionModel):
    """Adds up an integer field."""

    sum: str


class Distinct(DefinitionModel):
    """Counts the different values of a text field."""

    distinct: str


class Max(DefinitionModel):
    """The greatest value that a number field had."""

    max: str


class BreakRule(DefinitionModel):
    """Which events break a run of days: it may end on their day, but not go on past it."""

    break_on: Where = Field(min_length=1)


class ConsecutiveDays(DefinitionModel):
    """The longest run of local days in a row, with a rule for what breaks it."""

    consecutive_days: BreakRule


def _measure_tag(value: object) -> str | None:
    if isinstance(value, str):
        return "plain" if value in ("count", "consecutive_days") else None
    if isinstance(value, dict):
        named = [key for key in value if key in MEASURES]
        return str(named[0]) if named else None
    return next((tag for tag, model in MEASURES.items() if isinstance(value, model)), None)


MEASURES: dict[str, type[DefinitionModel]] = {
    "sum": Sum,
    "distinct": Distinct,
    "max": Max,
    "consecutive_days": ConsecutiveDays,
}

Measure = Annotated[
    Annotated[Literal["count", "consecutive_days"], Tag("plain")]
    | Annotated[Sum, Tag("sum")]
    | Annotated[Distinct, Tag("distinct")]
    | Annotated[Max, Tag("max")]
    | Annotated[ConsecutiveDays, Tag("consecutive_days")],
    Discriminator(
        _measure_tag,
        custom_error_type="unknown_measure",
        custom_error_message="Unknown measure: write count, {sum: field}, {distinct: field}, {max: field}, "
        "consecutive_days or {consecutive_days: {break_on: {field: value}}}",
    ),
]


class Objective(DefinitionModel):
    """One measurable part of a mission: which events, what they add, how much is needed."""

    id: Identifier
    event: str
    """An event type, such as `learning.xp-earned.v1`."""
    where: Where = {}
    measure: Measure
    target: int = Field(ge=1, le=MAX_EXACT_INTEGER)


class AtLeast(DefinitionModel):
    """Only so many of the objectives are needed."""

    at_least: int = Field(ge=1)


class FitRule(DefinitionModel):
    """Asks for what there is: the target is lowered to a fact about the user, once, when the mission is issued."""

    to: str
    """One of `fields.FIT_FACTS`, such as `open_mistakes`."""
    at_least: int = Field(default=1, ge=1)
    """With less than this the mission is not issued."""


class ClaimRule(DefinitionModel):
    """How long completed rewards wait after the period has ended, and what becomes of them then."""

    grace_days: int = Field(default=7, ge=0, le=GRACE_DAYS_MAX)
    then: Literal["forfeit", "auto_claim"] = "forfeit"


_REWARDS: dict[str, type[EventModel]] = {
    "xp": XpReward,
    "gems": GemsReward,
    "item": ItemReward,
    "badge": BadgeReward,
    "unlock": UnlockReward,
}


def _refuse_unknown_reward_fields(value: object) -> object:
    """Events tolerate unknown fields; in a definition one is a slip of the pen."""
    if isinstance(value, dict):
        model = _REWARDS.get(str(value.get("kind")))
        unknown = sorted(set(map(str, value)) - set(model.model_fields)) if model else []
        if model and unknown:
            raise PydanticCustomError(
                "unknown_reward_field",
                "A reward of this kind has no field {unknown}; it has {known}",
                {"unknown": ", ".join(unknown), "known": ", ".join(model.model_fields)},
            )
    return value


Text = dict[
    Annotated[str, StringConstraints(pattern=LOCALE_PATTERN)],
    Annotated[str, StringConstraints(min_length=1, max_length=500)],
]
"""One text by locale. `{target}` in it stands for the target of the mission's only objective."""


class Mission(DefinitionModel):
    """A definition: the recipe that assignments are made from. A published version never changes."""

    id: Identifier
    version: int = Field(default=1, ge=1, le=1_000_000_000)
    type: MissionType
    title: Text = Field(min_length=1)
    description: Text = {}
    period: PeriodKind
    opens_at: Instant | None = None
    """`season` only: the first instant of the season."""
    closes_at: Instant | None = None
    """`season` only: the first instant after it."""
    objectives: list[Objective] = Field(min_length=1, max_length=OBJECTIVES_MAX)
    require: Literal["all"] | AtLeast = "all"
    audience: Where = {}
    """Who gets it: conditions over facts about the user (`fields.AUDIENCE_FACTS`)."""
    requires: list[Identifier] = []
    """Ids of missions that the user must have claimed before."""
    parameters: dict[str, str | list[str]] = {}
    """Values of `$name` operands for users of whom no own value is known; without one such users don't get the mission."""
    rewards: list[Annotated[Reward, BeforeValidator(_refuse_unknown_reward_fields)]] = Field(
        min_length=1, max_length=REWARDS_MAX
    )
    claim: ClaimRule = ClaimRule()
    fit: FitRule | None = None
    otherwise: Identifier | None = None
    """The mission that takes its place for a user whom it does not fit: too little of what `fit` counts, or no value of a parameter."""
    stand_in: bool = False
    """Issued only in the place of missions that name it as `otherwise`."""

    @property
    def needed(self) -> int:
        """How many objectives complete it."""
        return len(self.objectives) if self.require == "all" else self.require.at_least
