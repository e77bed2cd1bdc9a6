"""What an operator does with missions: drafts, publishing, pausing, ending. Each change is one transaction, recorded with its author."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from services.adapters.ledger.catalogue import (
    Author,
    CatalogueChanges,
    CatalogueStore,
    Change,
    Draft,
    Listed,
    Version,
    definition_of,
)
from services.adapters.ledger.connection import is_passing
from services.adapters.logs import get_logger
from services.adapters.problems import (
    INVALID_REQUEST,
    MISSION_NOT_FOUND,
    MISSION_STATE,
    VERSION_PUBLISHED,
    FieldError,
    Problem,
    pointer_of,
    unavailable,
)
from services.missions.catalogue import Catalogue
from services.missions.definition import Mission
from services.missions.lifecycle import Action, MissionState, MoveRefused, check_draft, check_publishable, moved
from services.missions.problems import Problem as Fault
from services.operations.catalogue import CatalogueWatcher

from .paging import IDENTIFIER

CHANGES_SHOWN = 100
"""Rows of a mission's record of changes in one answer: years of them, for most missions."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Whole:
    """All that is known of a mission."""

    mission_id: str
    draft: Draft | None
    versions: Sequence[Version]
    """Newest first."""
    changes: Sequence[Change]
    """Newest first."""

    @property
    def state(self) -> MissionState:
        """Where the newest version stands."""
        return self.versions[0].state if self.versions else MissionState.DRAFT


class ManageMissions:
    """The use cases of the admin calls. Every refusal is raised as a problem; what is repeated has no second effect."""

    def __init__(self, store: CatalogueStore, catalogue: CatalogueWatcher) -> None:
        self._store = store
        self._catalogue = catalogue

    async def find(
        self, state: MissionState | None, mission_type: str | None, after: str | None, limit: int
    ) -> list[Listed]:
        """Missions in the order of their ids, behind `after`."""
        async with _ledger():
            return await self._store.missions(state, mission_type, after, limit)

    async def show(self, mission_id: str) -> Whole:
        """All versions of a mission, its draft and what was done to it. Raises a 404 problem."""
        if not IDENTIFIER.fullmatch(mission_id):
            raise _not_found(mission_id)
        async with _ledger():
            versions = await self._store.versions(mission_id)
            draft = await self._store.draft(mission_id)
            if not versions and draft is None:
                raise _not_found(mission_id)
            return Whole(mission_id, draft, versions, await self._store.changes(mission_id, CHANGES_SHOWN))

    async def validate(self, definition: object) -> Mission:
        """The mission of a definition that could be a draft now; writes nothing. Raises a 422 problem."""
        async with self._change() as (changes, catalogue):
            return await _checked(changes, catalogue, definition)

    async def create(self, definition: object, author: Author) -> bool:
        """Makes the first draft of a mission; False when this very draft was there. Raises 409 and 422 problems."""
        async with self._change() as (changes, catalogue):
            mission = await _checked(changes, catalogue, definition)
            newest = await changes.newest(mission.id)
            if newest is not None:
                raise Problem(
                    VERSION_PUBLISHED,
                    f"Mission {mission.id} has version {newest.version} already. To change it, make a draft of the next "
                    f"version with PUT /admin/missions/{mission.id}/draft and publish that.",
                )
            draft, stored = await changes.draft(mission.id), definition_of(mission)
            if draft is None:
                await changes.save_draft(mission.id, stored, Action.CREATE_DRAFT, author)
                return True
            if draft.definition == stored:
                return False
            raise Problem(
                MISSION_STATE,
                f"Mission {mission.id} is a draft already. Change it with PUT /admin/missions/{mission.id}/draft.",
            )

    async def replace_draft(self, mission_id: str, definition: object, author: Author) -> None:
        """Changes the draft of a mission, or begins that of its next version. Raises 404 and 422 problems."""
        async with self._change() as (changes, catalogue):
            draft, _newest = await _known(changes, mission_id)
            mission = await _checked(changes, catalogue, definition)
            if mission.id != mission_id:
                raise _invalid([_fault(f"is {mission.id}, and the path says {mission_id}; an id never changes", "id")])
            stored = definition_of(mission)
            if draft is None:
                await changes.save_draft(mission_id, stored, Action.CREATE_DRAFT, author)
            elif draft.definition != stored:
                await changes.save_draft(mission_id, stored, Action.CHANGE_DRAFT, author)

    async def schedule(self, mission_id: str, window: Mapping[str, Any], author: Author) -> None:
        """Sets `opens_at` and `closes_at` of a season's draft. Raises 404, 409 and 422 problems."""
        async with self._change() as (changes, catalogue):
            draft, _newest = await _known(changes, mission_id)
            if draft is None:
                raise Problem(
                    VERSION_PUBLISHED,
                    f"Mission {mission_id} has no draft, and the times of a published version never change. Begin the "
                    f"next version with PUT /admin/missions/{mission_id}/draft, or end this one.",
                )
            mission = await _checked(changes, catalogue, {**draft.definition, **window})
            stored = definition_of(mission)
            if draft.definition != stored:
                await changes.save_draft(mission_id, stored, Action.SCHEDULE, author)

    async def discard_draft(self, mission_id: str, author: Author) -> None:
        """Removes the draft of a mission; what is published stays. Raises a 404 problem for a mission that never was."""
        async with self._change() as (changes, _):
            draft, _newest = await _known(changes, mission_id)
            if draft is not None:
                await changes.discard_draft(mission_id, author)

    async def publish(self, mission_id: str, now: datetime, author: Author) -> None:
        """Turns the draft into the next version. Without a draft a mission that is published stays as it is.

        Raises 404, 409 and 422 problems.
        """
        async with self._change() as (changes, catalogue):
            draft, newest = await _known(changes, mission_id)
            if draft is None:
                if newest is not None and newest.state is MissionState.ENDED:
                    raise Problem(
                        MISSION_STATE,
                        f"Mission {mission_id} has ended and has no draft. Begin its next version with "
                        f"PUT /admin/missions/{mission_id}/draft.",
                    )
                return
            mission = await _checked(changes, catalogue, draft.definition)
            faults = check_publishable(mission, catalogue.newest, now)
            if faults:
                raise _invalid(faults)
            await changes.publish_draft(draft, newest, author)
            _log.info("mission_published", mission_id=mission_id, revision=changes.revision, by=author.name)

    async def move(self, mission_id: str, action: Action, author: Author) -> None:
        """Pauses, resumes or ends a published mission. Raises 404 and 409 problems."""
        async with self._change() as (changes, _):
            _draft, newest = await _known(changes, mission_id)
            if newest is None:
                raise Problem(
                    MISSION_STATE,
                    f"Mission {mission_id} is only a draft, so there is nothing to {action}. Publish it, or discard it with "
                    f"DELETE /admin/missions/{mission_id}/draft.",
                )
            try:
                state = moved(newest.state, action)
            except MoveRefused as refusal:
                raise Problem(MISSION_STATE, f"Mission {mission_id}: {refusal}.") from None
            if state is not newest.state:
                await changes.move(newest, action, state, author)
                _log.info("mission_moved", mission_id=mission_id, state=state, by=author.name)

    async def refuse_edit(self, mission_id: str, version: int) -> NoReturn:
        """Always raises: a 409 problem that says how a published version is changed, or a 404 when there is no such version."""
        whole = await self.show(mission_id)
        if version not in {known.version for known in whole.versions}:
            raise Problem(MISSION_NOT_FOUND, f"Mission {mission_id} has no version {version}.")
        raise Problem(
            VERSION_PUBLISHED,
            f"Version {version} of mission {mission_id} is published and never changes. Begin the next version with "
            f"PUT /admin/missions/{mission_id}/draft, then publish it; assignments keep the version that they have.",
        )

    @asynccontextmanager
    async def _change(self) -> AsyncIterator[tuple[CatalogueChanges, Catalogue]]:
        """A transaction, and what is published as it begins. Rolls back when the block raises."""
        async with _ledger(), self._store.change() as changes:
            known = self._catalogue.current()
            yield changes, known if known.revision == changes.revision else await changes.catalogue()


@asynccontextmanager
async def _ledger() -> AsyncIterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(error, Problem) or not is_passing(error):
            raise
        raise unavailable("The ledger") from error


async def _known(changes: CatalogueChanges, mission_id: str) -> tuple[Draft | None, Version | None]:
    """The draft and the newest version of a mission that has one of them."""
    if IDENTIFIER.fullmatch(mission_id):
        draft, newest = await changes.draft(mission_id), await changes.newest(mission_id)
        if draft is not None or newest is not None:
            return draft, newest
    raise _not_found(mission_id)


async def _checked(changes: CatalogueChanges, catalogue: Catalogue, definition: object) -> Mission:
    """The mission of a definition, checked beside what is published and beside first drafts of other missions."""
    published = {mission.id for mission in catalogue.newest}
    drafts = [Mission.model_validate(d.definition) for d in await changes.drafts() if d.mission_id not in published]
    mission, faults = check_draft(definition, [*catalogue.newest, *drafts])
    if mission is None or faults:
        raise _invalid(faults)
    return mission


def _fault(message: str, *parts: object) -> Fault:
    return Fault("", "", message, parts=parts)


def _invalid(faults: Sequence[Fault]) -> Problem:
    errors = [FieldError(fault.text, pointer=pointer_of([str(part) for part in fault.parts])) for fault in faults]
    first, count = errors[0], len(errors)
    more = f" There are {count} problems in all; `errors` lists them." if count > 1 else ""
    return Problem(
        INVALID_REQUEST, f"{first.pointer or 'the definition'}: {first.detail.rstrip('.')}.{more}", errors=errors
    )


def _not_found(mission_id: str) -> Problem:
    return Problem(
        MISSION_NOT_FOUND,
        f"There is no mission {mission_id!r}, nor a draft of it. POST /admin/missions makes the draft of a new one.",
    )
