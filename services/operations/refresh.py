"""Loads the catalogue anew when a decision met a mission version that was published a moment ago."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.missions.catalogue import Catalogue, UnknownMission

from .catalogue import CatalogueWatcher

Decision = TypeVar("Decision")


class FreshCatalogue:
    """Gives decisions the newest catalogue, and once more a newer one if theirs lacked a mission version."""

    def __init__(self, watcher: CatalogueWatcher) -> None:
        self._watcher = watcher
        self._loading = asyncio.Lock()

    async def decide(self, decision: Callable[[Catalogue], Awaitable[Decision]]) -> Decision:
        """What `decision` makes of the catalogue. It must have no effect when it raises `UnknownMission`."""
        catalogue = self._watcher.current()
        try:
            return await decision(catalogue)
        except UnknownMission:
            async with self._loading:
                if self._watcher.current() is catalogue:  # else somebody has loaded it while we waited
                    await self._watcher.load()
        return await decision(self._watcher.current())
