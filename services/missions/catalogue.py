"""All mission versions that the system knows, ready to match and to issue; and how catalogue data becomes missions."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pydantic import ValidationError

from .audience import AudienceIndex
from .checks import Place, check_mission, check_references
from .compiled import CompiledMission, compile_mission
from .definition import Mission
from .problems import Problem, problems_of

MISSIONS_MAX = 20_000
"""Most missions in one catalogue: twice what the system is measured with."""


class UnknownMission(LookupError):
    """An assignment's mission version is not in this catalogue: load a newer revision and decide again."""


class Catalogue:
    """An immutable set of checked mission versions. `revision` counts the published changes that led to it."""

    def __init__(self, missions: Iterable[Mission], revision: int) -> None:
        """Raises ValueError when one version of a mission is given twice."""
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
        self._newest: Mapping[str, CompiledMission] = newest
        self.daily = self._newest_of("daily")
        """Newest versions with a daily period, by audience; likewise the other three."""
        self.weekly = self._newest_of("weekly")
        self.once = self._newest_of("once")
        self.seasons = self._newest_of("season")

    def _newest_of(self, period: str) -> AudienceIndex:
        return AudienceIndex(compiled for compiled in self._newest.values() if compiled.mission.period == period)

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
    entries = data.get("missions") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(entries, list):
        return [], [Problem(where, "missions", "is missing; write `missions:` and a list of missions under it")]
    problems = [
        Problem(where, str(key), "no such key here; there is only missions.") for key in data if key != "missions"
    ]
    if len(entries) > MISSIONS_MAX:
        problems.append(Problem(where, "missions", f"has {len(entries)} entries; at most {MISSIONS_MAX} are allowed"))
        return [], problems
    sound: list[tuple[Mission, Place]] = []
    for index, entry in enumerate(entries):
        place = Place(where, ("missions", index))
        mission, wrong = _parse_mission(entry, place)
        problems += wrong
        if mission is not None:
            sound.append((mission, place))
    problems += check_references(sound)
    return [mission for mission, _ in sound], problems


def _parse_mission(entry: object, place: Place) -> tuple[Mission | None, Sequence[Problem]]:
    try:
        mission = Mission.model_validate(entry)
    except ValidationError as error:
        return None, problems_of(error, entry, place.where, place.parts)
    problems = list(check_mission(mission, place))
    return (None if problems else mission), problems
