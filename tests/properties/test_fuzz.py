"""Whatever others write, reading it raises nothing but what is documented, and takes a bounded time. `make fuzz` goes on for longer."""

import secrets

import pytest
from hypothesis import HealthCheck, given, settings

from services.adapters.catalogue_files import CatalogueFileError, parse_texts
from tests.fuzz.strategies import mutated
from tests.fuzz.targets import TARGETS, play, regressions

EXAMPLES = 60
"""Inputs for each target: all of it takes some ten seconds."""

STRANGE_DEFINITIONS = 1000


@pytest.mark.parametrize("name", TARGETS)
def test_bytes_near_to_good_ones_raise_nothing(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=EXAMPLES, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
    @given(mutated(target.seeds()))
    def try_it(data: bytes) -> None:
        target.run(data)

    try_it()


@pytest.mark.parametrize("name", TARGETS)
def test_what_fuzzing_begins_with_raises_nothing(name: str) -> None:
    for seed in TARGETS[name].seeds():
        TARGETS[name].run(seed)


@pytest.mark.parametrize(
    ("target", "data"), [pytest.param(t, data, id=f"{t}-{name}") for t, name, data in regressions()]
)
def test_what_has_failed_once_fails_no_more(target: str, data: bytes) -> None:
    TARGETS[target].run(data)


def test_a_strange_definition_is_refused_with_its_place_or_can_be_played() -> None:
    seed = secrets.token_hex(4)
    print(f"seed {seed}")
    for number in range(STRANGE_DEFINITIONS):
        TARGETS["strange-definitions"].run(f"{seed}-{number}".encode())


def bomb(levels: int) -> str:
    """YAML whose last line stands for 10 ** levels values."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels + 1)]
    return "\n".join([*lines, f"missions: *a{levels}"])


def one_mission(**fields: str) -> str:
    """A catalogue of one mission, with these fields as YAML text."""
    given_fields = {
        "id": "m", "type": "daily", "title": "{en: x}", "period": "daily", "rewards": "[{kind: gems, amount: 1}]",
        "objectives": "[{id: a, event: learning.xp-earned.v1, measure: count, target: 1}]",
    } | fields  # fmt: skip
    return "missions:\n- " + "\n  ".join(f"{name}: {text}" for name, text in given_fields.items())


UNREADABLE = {
    "aliases that multiply": (bomb(9), "aliases"),
    "aliases in a ring": ("missions: &a [*a]", "itself"),
    "a ring through a mapping": ("missions: [&a {id: *a}]", "itself"),
    "too deep": ("missions: " + "[" * 5000, "nested"),
    "an empty whole number": ("missions: [{id: m, version: !!int ''}]", "line 1"),
    "no timestamp": ("missions: [{id: m, opens_at: !!timestamp x}]", "line 1"),
    "no flag": ("missions: [{id: m, stand_in: !!bool x}]", "line 1"),
    "an unknown tag": ("missions: !!python/object:os.system []", "line 1"),
}


@pytest.mark.parametrize(("text", "said"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_that_would_take_for_ever_or_is_no_data_is_refused(text: str, said: str) -> None:
    with pytest.raises(CatalogueFileError, match=said):
        parse_texts([("bad.yaml", text)])


REFUSED = {
    "a number of 5,000 digits": (one_mission(version="0x" + "f" * 5000), "version"),
    "a target of 5,000 digits": (
        one_mission(objectives=f"[{{id: a, event: learning.xp-earned.v1, measure: count, target: 0x{'f' * 5000}}}]"),
        "target",
    ),
    "10,000 objectives": (
        one_mission(
            objectives=f"[&o {{id: a, event: learning.xp-earned.v1, measure: count, target: 1}}{', *o' * 9_999}]"
        ),
        "objectives",
    ),
    "nested 60 deep": (one_mission(audience="{languages: " + "[" * 60 + "]" * 60 + "}"), "nested"),
    "10,000 operands": (one_mission(audience="{languages: {in: [" + "x," * 10_000 + "]}}"), "languages"),
}


@pytest.mark.parametrize(("text", "said"), REFUSED.values(), ids=REFUSED)
def test_a_definition_beyond_all_measure_is_refused_with_its_place(text: str, said: str) -> None:
    missions, problems = parse_texts([("bad.yaml", text)])
    assert not missions
    assert any(said in str(problem) for problem in problems)
    assert sum(len(str(problem)) for problem in problems) < 100_000


def test_a_text_that_looks_like_an_expression_is_a_text() -> None:
    missions, problems = parse_texts([("x.yaml", one_mission(title="{en: '" + "(a+)+$" * 80 + "'}"))])
    assert not problems
    play(missions)


def test_anchors_may_be_used_where_they_help() -> None:
    text = one_mission(rewards="&r [{kind: gems, amount: 1}]") + "\n" + one_mission(id="n", rewards="*r")[10:]
    missions, problems = parse_texts([("x.yaml", text)])
    assert not problems
    assert [m.id for m in missions] == ["m", "n"]
