"""Thousands of lives of the system, each with faults of its own: nothing is lost, doubled or taken back, and all of it drains."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from .faults import Fault
from .runner import replay_command
from .sabotage import SABOTAGES, Sabotage, lives_until_red

SEEDS = int(os.environ.get("MISSIONS_SIMULATION_SEEDS", "10000"))
"""Seeds of the suite; fewer for a quick look."""

LIVES_MAX = 2000
"""In so many lives each sabotage must be seen."""


def simulate(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    """Runs the simulator in processes of its own."""
    command = [sys.executable, "-m", "tests.simulation", "--json", *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The line of JSON at the end."""
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.timeout(1800)
def test_no_life_breaks_an_invariant_and_every_fault_was_there() -> None:
    done = simulate("--seeds", str(SEEDS))
    print(done.stdout)

    assert done.returncode == 0, done.stdout + done.stderr
    injected = told(done)["injected"]
    enough = max(1, SEEDS // 500)
    rare = {str(fault): injected.get(fault.name, 0) for fault in Fault if injected.get(fault.name, 0) < enough}
    assert not rare, f"not even {enough} times in {SEEDS} lives: {rare}"


def test_a_seed_is_one_history() -> None:
    first = simulate("--seeds", "40", "--from", "77", "--jobs", "2")
    again = simulate("--seeds", "40", "--from", "77", "--jobs", "1", hash_seed="1")

    assert told(first)["digest"] == told(again)["digest"] != 0
    assert told(first)["injected"] == told(again)["injected"]


def test_a_seed_can_be_looked_at() -> None:
    done = simulate("--seed", "7")

    assert "FAULT" in done.stdout
    assert "HEALED" in done.stdout
    assert replay_command(7) in done.stdout


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.name)
def test_a_system_without_one_of_its_guards_is_found_out(sabotage: Sabotage, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage.commit(monkeypatch)

    found = lives_until_red(LIVES_MAX)

    assert found is not None, f"{LIVES_MAX} lives, and nobody noticed"
    print(f"seed {found.seed}: {found.violations[0]}")
