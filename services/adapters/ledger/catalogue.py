"""Keeps missions in the ledger: a published version never changes, a change is a new version, and every change is recorded."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from services.missions.catalogue import Catalogue
from services.missions.definition import Mission
from services.missions.lifecycle import Action, MissionState, state_of_new_version

from .connection import Connection, Pool, Row
from .queries import queries

_SQL = queries("catalogue")

Definition = Mapping[str, Any]
"""A mission as JSON, without its version."""


class CatalogueUnreadable(Exception):
    """A published version is not one that this code understands: newer code published it. The message says which."""


@dataclass(frozen=True, slots=True)
class Published:
    """What `publish` did: ids with their new version, and the ids that were already as given."""

    new_versions: dict[str, int]
    unchanged: list[str]
    revision: int


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes a mission, and why."""

    name: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """A published version of a mission."""

    mission_id: str
    version: int
    state: MissionState
    definition: dict[str, Any]
    published_at: datetime
    published_by: str | None


@dataclass(frozen=True, slots=True)
class Draft:
    """The draft of a mission."""

    mission_id: str
    definition: dict[str, Any]
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the record of changes."""

    action: str
    version: int | None
    from_state: str | None
    to_state: str | None
    changed_by: str
    changed_at: datetime
    reason: str | None


@dataclass(frozen=True, slots=True)
class Listed:
    """A mission as it is listed: by its newest version, else by its draft."""

    mission_id: str
    version: int | None
    state: MissionState
    definition: dict[str, Any]
    published_at: datetime | None
    published_by: str | None
    has_draft: bool


def definition_of(mission: Mission) -> dict[str, Any]:
    """A mission as it is stored; equal for missions that mean the same."""
    return mission.model_dump(mode="json", exclude={"version"}, by_alias=True, exclude_none=True)


class CatalogueStore:
    """Missions in Postgres."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def revision(self) -> int:
        """Counts every change of what is published."""
        revision: int = await self._pool.fetchval(_SQL["revision"])
        return revision

    async def load(self) -> Catalogue:
        """All published versions, ready to match. Raises `CatalogueUnreadable`."""
        async with self._pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            revision: int = await connection.fetchval(_SQL["revision"])
            rows = await connection.fetch(_SQL["versions"])
        return await _catalogue_of(rows, revision)

    async def publish(self, missions: Sequence[Mission], author: Author | None = None) -> Published:
        """Publishes checked missions: one that differs from its newest version becomes a new version. Safe to run twice and at once."""
        async with self.change() as changes:
            return await changes.publish_all(missions, author or Author("catalogue apply"))

    @asynccontextmanager
    async def change(self) -> AsyncIterator["CatalogueChanges"]:
        """A transaction that changes missions; one at a time."""
        async with self._pool.acquire() as connection, connection.transaction():
            revision: int = await connection.fetchval(_SQL["lock_revision"])
            yield CatalogueChanges(connection, revision)

    async def missions(
        self, state: MissionState | None, mission_type: str | None, after: str | None, limit: int | None
    ) -> list[Listed]:
        """Missions in the order of their ids, behind `after`; all of them without a limit.

        The state `draft` finds those that have a draft, published or not.
        """
        rows = await self._pool.fetch(_SQL["list"], after, state, mission_type, limit)
        return [
            Listed(row[0], row[1], MissionState(row[2]), json.loads(row[3]), row[4], row[5], row[6]) for row in rows
        ]

    async def versions(self, mission_id: str) -> list[Version]:
        """All published versions of a mission, newest first."""
        return [_version(row) for row in await self._pool.fetch(_SQL["versions_of"], mission_id)]

    async def draft(self, mission_id: str) -> Draft | None:
        """The draft of a mission, if it has one."""
        row = await self._pool.fetchrow(_SQL["draft"], mission_id)
        return _draft(row) if row else None

    async def changes(self, mission_id: str, limit: int) -> list[Change]:
        """What was done to a mission, newest first."""
        return [Change(*row) for row in await self._pool.fetch(_SQL["changes_of"], mission_id, limit)]


@dataclass(slots=True)
class CatalogueChanges:
    """The statements of one change, inside a transaction that the caller holds open."""

    _connection: Connection
    revision: int
    """The revision that the change begins at."""

    async def catalogue(self) -> Catalogue:
        """All published versions as the change began; nobody publishes meanwhile. Raises `CatalogueUnreadable`."""
        return await _catalogue_of(await self._connection.fetch(_SQL["versions"]), self.revision)

    async def newest(self, mission_id: str) -> Version | None:
        """The newest published version of a mission."""
        row = await self._connection.fetchrow(_SQL["newest_version"], mission_id)
        return _version(row) if row else None

    async def draft(self, mission_id: str) -> Draft | None:
        """The draft of a mission."""
        row = await self._connection.fetchrow(_SQL["draft"], mission_id)
        return _draft(row) if row else None

    async def drafts(self) -> list[Draft]:
        """All drafts."""
        return [_draft(row) for row in await self._connection.fetch(_SQL["drafts"])]

    async def save_draft(self, mission_id: str, definition: Definition, action: Action, author: Author) -> None:
        """Makes or replaces the draft of a mission."""
        state = None if action is Action.CREATE_DRAFT else MissionState.DRAFT
        await self._connection.execute(_SQL["save_draft"], mission_id, json.dumps(definition), author.name)
        await self._record(mission_id, action, None, state, MissionState.DRAFT, author, definition)

    async def discard_draft(self, mission_id: str, author: Author) -> None:
        """Removes the draft of a mission, unpublished."""
        await self._connection.execute(_SQL["drop_draft"], mission_id)
        await self._record(mission_id, Action.DISCARD_DRAFT, None, MissionState.DRAFT, None, author)

    async def publish_draft(self, draft: Draft, newest: Version | None, author: Author) -> None:
        """Turns a draft into the next version of its mission; one that is as the current version says leaves it as it is."""
        await self._connection.execute(_SQL["drop_draft"], draft.mission_id)
        if newest is not None and newest.definition == draft.definition and newest.state is not MissionState.ENDED:
            await self._record(draft.mission_id, Action.DISCARD_DRAFT, None, MissionState.DRAFT, None, author)
            return
        await self._publish(draft.mission_id, draft.definition, newest, MissionState.DRAFT, author)
        await self._bump_revision()

    async def publish_all(self, missions: Sequence[Mission], author: Author) -> Published:
        """Publishes those missions that differ from their newest version."""
        rows = await self._connection.fetch(_SQL["newest_versions"])
        newest = {version.mission_id: version for version in map(_version, rows)}
        new_versions: dict[str, int] = {}
        unchanged = []
        for mission in missions:
            definition, before = definition_of(mission), newest.get(mission.id)
            if before is not None and before.definition == definition:
                unchanged.append(mission.id)
            else:
                new_versions[mission.id] = await self._publish(mission.id, definition, before, None, author)
        if new_versions:
            await self._bump_revision()
        return Published(new_versions, unchanged, self.revision)

    async def move(self, newest: Version, action: Action, state: MissionState, author: Author) -> None:
        """Changes the state of a mission's newest version."""
        await self._connection.execute(_SQL["set_state"], newest.mission_id, state)
        await self._record(newest.mission_id, action, newest.version, newest.state, state, author)
        await self._bump_revision()

    async def _publish(
        self,
        mission_id: str,
        definition: Definition,
        newest: Version | None,
        before: MissionState | None,
        author: Author,
    ) -> int:
        version = 1 if newest is None else newest.version + 1
        state = state_of_new_version(newest.state if newest else None)
        if newest is not None:
            await self._connection.execute(_SQL["replace"], mission_id)
            await self._record(mission_id, Action.REPLACE, newest.version, newest.state, MissionState.REPLACED, author)
        text = json.dumps(definition)
        await self._connection.execute(_SQL["publish"], mission_id, version, text, state, author.name)
        await self._record(mission_id, Action.PUBLISH, version, before, state, author, definition)
        return version

    async def _bump_revision(self) -> None:
        self.revision = await self._connection.fetchval(_SQL["bump_revision"])

    async def _record(
        self,
        mission_id: str,
        action: Action,
        version: int | None,
        before: MissionState | None,
        after: MissionState | None,
        author: Author,
        definition: Definition | None = None,
    ) -> None:
        text = None if definition is None else json.dumps(definition)
        await self._connection.execute(
            _SQL["record"], mission_id, action, version, before, after, author.name, author.reason, text
        )


async def _catalogue_of(rows: Sequence[Row], revision: int) -> Catalogue:
    # In a thread: ten thousand missions take most of a second, and batches and requests go on meanwhile.
    return await asyncio.to_thread(_build, rows, revision)


def _build(rows: Sequence[Row], revision: int) -> Catalogue:
    missions, held = [], set()
    for mission_id, version, definition, state in rows:
        try:
            missions.append(Mission.model_validate({**json.loads(definition), "version": version}))
        except ValidationError as error:
            raise CatalogueUnreadable(
                f"version {version} of mission {mission_id} has {error.error_count()} things that this version of the "
                f"system does not know, the first: {error.errors()[0]['msg']}. Run the version that published it."
            ) from error
        if state in {MissionState.PAUSED, MissionState.ENDED}:
            held.add(mission_id)
    return Catalogue(missions, revision, held)


def _version(row: Row) -> Version:
    return Version(row[0], row[1], MissionState(row[2]), json.loads(row[3]), row[4], row[5])


def _draft(row: Row) -> Draft:
    return Draft(row[0], json.loads(row[1]), row[2], row[3])
