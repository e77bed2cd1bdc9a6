"""Crash points: armed only where somebody has said twice that this is no production, and then at the step and count named."""

import subprocess
import sys

import pytest

from services.adapters.crash_points import EXIT_CRASHED, CrashPointRefused, CrashSettings, crash_points

STEPS = ("before_commit", "committed")


def settings(crash_at: str | None, environment: str = "development") -> CrashSettings:
    return CrashSettings.model_validate({"crash_at": crash_at, "environment": environment})


def test_without_the_setting_nothing_is_armed() -> None:
    assert not crash_points("processor", STEPS, settings(None, "production")).armed


def test_in_production_a_role_does_not_start_with_a_crash_point() -> None:
    for crash_at in ("processor.committed:1", "claims.committed:1", "nonsense"):
        with pytest.raises(CrashPointRefused, match="unset MISSIONS_CRASH_AT"):
            crash_points("processor", STEPS, settings(crash_at, "production"))


def test_development_has_to_be_said() -> None:
    assert CrashSettings.model_validate({}).environment == "production"


@pytest.mark.parametrize("wrong", ["processor", "processor.committed", "processor.committed:0", "x:1", ""])
def test_what_is_no_crash_point_is_refused(wrong: str) -> None:
    with pytest.raises(CrashPointRefused, match=r"role\.step:n"):
        crash_points("processor", STEPS, settings(wrong))


def test_a_step_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(CrashPointRefused, match="before_commit, committed"):
        crash_points("processor", STEPS, settings("processor.sent:1"))


def test_another_roles_crash_point_leaves_this_one_alone() -> None:
    assert not crash_points("processor", STEPS, settings("claims.committed:1")).armed


def test_the_process_ends_at_the_nth_passing() -> None:
    program = (
        "from services.adapters.crash_points import CrashPoints\n"
        "points = CrashPoints('committed', 3)\n"
        "for n in range(1, 9):\n"
        "    print(n, flush=True)\n"
        "    points.passes('before_commit')\n"
        "    points.passes('committed')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == EXIT_CRASHED
    assert done.stdout.split() == ["1", "2", "3"]
