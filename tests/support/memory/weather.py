"""What can befall a call to a server: the memory servers ask before each one, and contract tests have none of it."""

import asyncio
from enum import Enum
from typing import Protocol

from typing_extensions import override


class Fate(Enum):
    """How a call ends."""

    WELL = "well"
    FAILS = "fails"
    """It has no effect, and whoever made it gets an error."""
    ANSWER_LOST = "answer lost"
    """It has its effect, and whoever made it gets an error."""


class Weather(Protocol):
    """Decides, call by call. It may also keep the call waiting, or never let it go on."""

    async def befall(self, server: str, call: str) -> Fate:
        """The fate of one call of `server` ("postgres", "redis", "kafka")."""


class Calm(Weather):
    """Every call ends well, and lets others run first."""

    @override
    async def befall(self, server: str, call: str) -> Fate:
        await asyncio.sleep(0)
        return Fate.WELL
