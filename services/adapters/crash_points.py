"""Ends the process at a named step, so that tests see what a crash right there leaves behind. Refused in production.

`MISSIONS_CRASH_AT=processor.before_commit:3` ends a processor when it comes to that step for the third time, as `kill -9`
would: nothing is closed, nothing is finished. A role that is not named goes on as if nothing was set.
"""

import os
import re
from collections.abc import Collection
from typing import Literal, NoReturn

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.adapters.logs import get_logger

EXIT_CRASHED = 137
"""What a shell shows of a process that was ended by `kill -9`."""

_FORM = re.compile(r"(?P<role>[a-z]+)\.(?P<step>[a-z_]+):(?P<count>[1-9][0-9]{0,8})")

_log = get_logger(__name__)


class CrashSettings(BaseSettings):
    """From `MISSIONS_*` variables."""

    model_config = SettingsConfigDict(env_prefix="MISSIONS_", frozen=True, extra="ignore")

    environment: Literal["development", "production"] = Field(
        default="production", description="Crash points are armed in `development` alone"
    )
    crash_at: str | None = Field(
        default=None, description="`role.step:n`: the role ends itself when it comes to the step for the n-th time"
    )


class CrashPointRefused(Exception):
    """The crash point can't be armed. `fix` says what to do about it."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}. Fix: {fix}")
        self.problem = problem
        self.fix = fix


class CrashPoints:
    """What a role passes its steps to. Not armed, it does nothing."""

    def __init__(self, step: str | None = None, count: int = 1) -> None:
        self._step = step
        self._left = count

    @property
    def armed(self) -> bool:
        """Whether this process is to end at one of its steps."""
        return self._step is not None

    def passes(self, step: str) -> None:
        """Ends the process if this is the step, for the last of its counts."""
        if step == self._step:
            self._left -= 1
            if self._left == 0:
                _crash()

    async def at_step(self, step: str) -> None:
        """The same, for hooks that are awaited."""
        self.passes(step)


def crash_points(role: str, steps: Collection[str], settings: CrashSettings | None = None) -> CrashPoints:
    """The crash points of a role, from the environment unless given. Raises `CrashPointRefused`."""
    settings = settings or CrashSettings()
    if settings.crash_at is None:
        return CrashPoints()
    if settings.environment != "development":
        raise CrashPointRefused(
            "MISSIONS_CRASH_AT is set, and this is not MISSIONS_ENVIRONMENT=development", "unset MISSIONS_CRASH_AT"
        )
    wanted = _FORM.fullmatch(settings.crash_at)
    if wanted is None:
        raise CrashPointRefused(
            f"MISSIONS_CRASH_AT={settings.crash_at!r} is no crash point", "write it as role.step:n, n from 1"
        )
    if wanted["role"] != role:
        return CrashPoints()
    if wanted["step"] not in steps:
        raise CrashPointRefused(f"the {role} has no step {wanted['step']!r}", f"name one of {', '.join(steps)}")
    _log.warning("crash_point_armed", role=role, step=wanted["step"], count=int(wanted["count"]))
    return CrashPoints(wanted["step"], int(wanted["count"]))


def _crash() -> NoReturn:
    os._exit(EXIT_CRASHED)
