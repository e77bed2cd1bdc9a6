"""What every fault has: a name, a time for which it lasts, and what tells that the system has got over it."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable

from tests.chaos.world import World


class Fault(ABC):
    """Something that breaks. A new object for each time."""

    name: str
    """What it does, in a few words; once it is over, also how it went."""
    seconds: float = 0.0
    """How long it lasts before it is healed."""
    breaks_servers = True
    """Whether a server or its network is broken while it lasts: then no role can recover."""
    kills = 0
    """Processes of ours that it ends by `kill -9`, or that end themselves at a crash point."""
    killed_at: float | None = None
    """When the last of them ended (monotonic): what the recovery counts from."""

    @abstractmethod
    async def inject(self, world: World) -> None:
        """Breaks it."""

    async def heal(self, world: World) -> None:  # noqa: B027 - what ends by itself needs no mending
        """Mends it."""

    def recovery(self, world: World) -> Awaitable[float | None] | None:
        """Called when it is healed; gives when (monotonic) everything went on, None for never. Without: nothing had to stop."""
        return world.observer.until(world.observer.processing_goes_on())
