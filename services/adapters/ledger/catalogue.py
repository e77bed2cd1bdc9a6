"""Keeps published mission versions in the ledger: a published version never changes, a change is a new version."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from services.missions.definition import Mission

from .connection import Pool
from .queries import queries

_SQL = queries("catalogue")


@dataclass(frozen=True, slots=True)
class Published:
    """What `publish` did: ids with their new version, and the ids that were already as given."""

    new_versions: dict[str, int]
    unchanged: list[str]
    revision: int


class CatalogueStore:
    """Mission versions in Postgres."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def revision(self) -> int:
        """Counts every change of the catalogue."""
        revision: int = await self._pool.fetchval(_SQL["revision"])
        return revision

    async def load(self) -> tuple[list[Mission], int]:
        """All published versions and the revision that they stand for."""
        async with self._pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            revision: int = await connection.fetchval(_SQL["revision"])
            rows = await connection.fetch(_SQL["versions"])
        return [Mission.model_validate({**json.loads(row[2]), "version": row[1]}) for row in rows], revision

    async def publish(self, missions: Sequence[Mission]) -> Published:
        """Publishes validated missions: one that differs from its newest version becomes a new version. Safe to run twice and at once."""
        async with self._pool.acquire() as connection, connection.transaction():
            revision: int = await connection.fetchval(_SQL["lock_revision"])
            newest = {row[0]: (row[1], json.loads(row[2])) for row in await connection.fetch(_SQL["newest_versions"])}
            new_versions: dict[str, int] = {}
            unchanged = []
            for mission in missions:
                definition = mission.model_dump(mode="json", exclude={"version"}, by_alias=True, exclude_none=True)
                version, before = newest.get(mission.id, (0, None))
                if before == definition:
                    unchanged.append(mission.id)
                    continue
                new_versions[mission.id] = version + 1
                await connection.execute(_SQL["publish"], mission.id, version + 1, json.dumps(definition))
            if new_versions:
                revision = await connection.fetchval(_SQL["bump_revision"])
        return Published(new_versions, unchanged, revision)
