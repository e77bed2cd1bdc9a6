"""All mission versions that the system knows, ready to match and to issue; and how catalogue data becomes missions."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from pydantic import ValidationError

from .audience import AudienceIndex
from .checks import Place, check_mission, check_references
from .compiled import CompiledMission, compile_mission
from .contradictions import check_conditions
from .definition import Mission
from .fit_checks import check_fit, check_stand_ins
from .problems import Problem, problems_of

MISSIONS_MAX = 20_000
"""Most missions in one catalogue: twice what the system is measured with."""


DEPTH_MAX = 32
"""Levels of one definition's data. It needs seven; more would end in the depth that Python itself can go to."""

WHOLE_NUMBER_MAX = 2**63
"""No whole number of a definition may be as large, and text can't be made of one that is larger without measure."""


class UnknownMission(LookupError):
    """An assignment's mission version is not in this catalogue: load a newer revision and decide again."""


class Catalogue:
    """An immutable set of checked mission versions. `revision` counts the published changes that led to it."""

    def __init__(self, missions: Iterable[Mission], revision: int, held: Collection[str] = ()) -> None:
        """`held` are ids of missions that are paused or ended: known for the assignments that there are, and not issued.

        Raises ValueError when one version of a mission is given twice.
        """
        self.revision = revision
        self._by_version: dict[tuple[str, int], CompiledMission] = {}
        newest: dict[str, CompiledMission] = {}
        for place, mission in enumerate(missions):
            key = (mission.id, mission.version)
            if key in self._by_version:
                raise ValueError(f"version {mission.version} of mission {mission.id} is given twice; give each once")
            compiled = self._by_version[key] = compile_mission(mission, place)
            if mission.id not in newest or newest[mission.id].mission.version < mission.version:
                newest[mission.id] = compiled
        self.newest = tuple(compiled.written for compiled in newest.values())
        """The newest version of every mission, held ones too, in catalogue order."""
        newest = {name: compiled for name, compiled in newest.items() if name not in held}
        self._newest: Mapping[str, CompiledMission] = newest
        self.daily = self._newest_of("daily")
        """Newest versions with a daily period, by audience; likewise the other three."""
        self.weekly = self._newest_of("weekly")
        self.once = self._newest_of("once")
        self.seasons = self._newest_of("season")
        self.stand_ins: Mapping[str, CompiledMission] = {
            name: compiled for name, compiled in newest.items() if compiled.mission.stand_in
        }
        """Newest versions of missions that are only issued in the place of others, by id."""
        self.required = frozenset(name for compiled in newest.values() for name in compiled.mission.requires)
        """Ids of missions whose claim opens another one."""
        self.claimed_by_themselves = tuple(
            {name for (name, _), c in self._by_version.items() if c.mission.claim.then == "auto_claim"}
        )
        """Ids of missions of which some version says `then: auto_claim`."""

    def _newest_of(self, period: str) -> AudienceIndex:
        return AudienceIndex(
            compiled
            for compiled in self._newest.values()
            if compiled.mission.period == period and not compiled.mission.stand_in
        )

    def __len__(self) -> int:
        return len(self._by_version)

    def find(self, mission_id: str, version: int) -> CompiledMission | None:
        """This version of a mission, or None."""
        return self._by_version.get((mission_id, version))

    def get(self, mission_id: str, version: int) -> CompiledMission:
        """This version of a mission. Raises `UnknownMission` when only a newer catalogue can have it."""
        compiled = self._by_version.get((mission_id, version))
        if compiled is None:
            raise UnknownMission(
                f"version {version} of mission {mission_id} is not in catalogue revision {self.revision}; "
                "load a newer revision, and never unpublish a version"
            )
        return compiled

    def open_at(self, instant: datetime) -> tuple[CompiledMission, ...]:
        """The newest version of every mission that may be issued at this instant, in catalogue order."""
        return tuple(c for c in self._newest.values() if c.mission.period != "season" or is_open(c.mission, instant))


def is_open(season: Mission, instant: datetime) -> bool:
    """Whether a season has opened and not yet closed."""
    opens_at, closes_at = season.opens_at, season.closes_at
    return opens_at is not None and closes_at is not None and opens_at <= instant < closes_at


def parse_catalogue(data: object, where: str) -> tuple[list[Mission], list[Problem]]:
    """Missions from data of the form `{missions: [...]}`, and everything that is wrong with it.

    `where` names the source in the problems. With problems the missions are those that have none of their own.
    """
    return parse_catalogues([(where, data)])


def parse_catalogues(sources: Sequence[tuple[str, object]]) -> tuple[list[Mission], list[Problem]]:
    """The same from several sources, each with its name, that make one catalogue: missions may name those of other sources."""
    problems: list[Problem] = []
    entries: list[tuple[object, Place]] = []
    for where, data in sources:
        entries += _entries_of(data, where, problems)
    if len(entries) > MISSIONS_MAX:
        message = f"has {len(entries)} entries; at most {MISSIONS_MAX} are allowed"
        return [], [*problems, Problem(entries[-1][1].where, "missions", message, parts=("missions",))]
    sound: list[tuple[Mission, Place]] = []
    faulty: set[str] = set()
    for entry, place in entries:
        mission, wrong = parse_mission(entry, place)
        problems += wrong
        if mission is not None and not wrong:
            sound.append((mission, place))
        elif isinstance(entry, dict) and isinstance(entry.get("id"), str):
            faulty.add(entry["id"])
    problems += check_between(sound, faulty)
    return [mission for mission, _ in sound], problems


def parse_mission(entry: object, place: Place) -> tuple[Mission | None, list[Problem]]:
    """One mission and everything that is wrong with it alone; None when it has not even the shape of one."""
    unfit = list(_check_values(entry, place))
    if unfit:
        return None, unfit
    try:
        mission = Mission.model_validate(entry)
    except ValidationError as error:
        return None, problems_of(error, entry, place.where, place.parts)
    problems = [*check_mission(mission, place), *check_fit(mission, place)]
    return mission, problems or list(check_conditions(mission, place))


def check_between(missions: Sequence[tuple[Mission, Place]], faulty: Collection[str] = ()) -> list[Problem]:
    """What is wrong between missions. `faulty` are ids of missions that exist and are left out, so that none seems to be missing."""
    problems = list(check_references(missions, faulty))
    if not faulty:  # else a stand-in could seem to lack the mission that names it
        problems += check_stand_ins(missions)
    return problems


def _entries_of(data: object, where: str, problems: list[Problem]) -> list[tuple[object, Place]]:
    entries = data.get("missions") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(entries, list):
        problems.append(Problem(where, "missions", "is missing; write `missions:` and a list of missions under it"))
        return []
    problems += [
        Problem(where, str(key), "no such key here; there is only missions.") for key in data if key != "missions"
    ]
    return [(entry, Place(where, ("missions", index))) for index, entry in enumerate(entries)]


def _check_values(value: object, place: Place, depth: int = 0) -> Iterator[Problem]:
    """What can't be stored, sent or even looked at: NUL, halves of surrogate pairs, numbers and depths beyond all measure."""
    if depth > DEPTH_MAX:
        yield place.problem(f"is nested more than {DEPTH_MAX} levels deep; no definition needs more than a few")
    elif isinstance(value, str):
        if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value):
            yield place.problem("holds a NUL character or half a surrogate pair; remove it")
    elif isinstance(value, int):
        if abs(value) >= WHOLE_NUMBER_MAX:
            yield place.problem("is a number of more digits than any field takes; write a smaller one")
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from _check_values(key, place, depth + 1)
            yield from _check_values(member, place.at(key), depth + 1)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _check_values(member, place.at(index), depth + 1)
