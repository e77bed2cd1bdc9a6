"""Keeps a process's catalogue as new as the ledger's."""

import asyncio
from typing import Protocol

from services.adapters import metrics
from services.adapters.ledger.catalogue import CatalogueStore, CatalogueUnreadable
from services.adapters.ledger.connection import is_passing
from services.adapters.logs import get_logger
from services.missions.catalogue import Catalogue

POLL_SECONDS = 2.0
"""A published mission is live in every process within 5 s; this leaves room for a slow load."""

logger = get_logger(__name__)


class LiveCatalogue(Protocol):
    """Whoever needs the catalogue asks each time, and never keeps it over an await."""

    def current(self) -> Catalogue:
        """The newest catalogue that this process has loaded."""

    async def load(self) -> None:
        """Reads the ledger's catalogue: for whoever meets a mission version that this process does not know yet."""


class CatalogueWatcher:
    """Loads the catalogue at the start and again whenever its revision moves."""

    def __init__(self, store: CatalogueStore) -> None:
        self._store = store
        self._catalogue: Catalogue | None = None

    def current(self) -> Catalogue:
        """The newest catalogue that this process has loaded. `load` must have been awaited before."""
        if self._catalogue is None:
            raise RuntimeError("the catalogue was asked for before it was loaded: await load() first")
        return self._catalogue

    async def load(self) -> None:
        """Reads the ledger's catalogue. Raises `CatalogueUnreadable` when newer code has published into it."""
        loaded = await self._store.load()
        if self._catalogue is not None and loaded.revision < self._catalogue.revision:
            return  # somebody else's load began later and ended sooner
        self._catalogue = loaded
        metrics.CATALOGUE_REVISION.set(loaded.revision)
        logger.info("catalogue_loaded", revision=loaded.revision, versions=len(loaded))

    async def watch(self) -> None:
        """Runs until cancelled. While the ledger is away or can't be understood, the last catalogue stays in use."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                if await self._store.revision() != self.current().revision:
                    await self.load()
            except CatalogueUnreadable as error:
                logger.error("catalogue_not_understood", error=str(error))
            except Exception as error:
                if not is_passing(error):
                    raise
                logger.warning("catalogue_not_read", error=repr(error))
