"""The catalogue: which version is found and which is issued; and the missions that come with the product."""

import pytest

from services.adapters.catalogue_files import default_catalogue, default_missions
from services.missions.catalogue import Catalogue, UnknownMission
from services.missions.fields import EVENT_FIELDS
from tests.support.builders import at, catalogue, mission


def test_every_version_can_be_found_and_the_newest_is_issued() -> None:
    known = catalogue(mission(version=2), mission(version=1), mission(id="other"))
    assert known.get("mission-1", 1).mission.version == 1
    assert [(c.mission.id, c.mission.version) for c in known.open_at(at("2026-11-25 12:00"))] == [
        ("mission-1", 2),
        ("other", 1),
    ]
    assert len(known) == 3


def test_a_version_that_is_not_there_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(UnknownMission, match=r"version 2 of mission mission-1 .* load a newer revision"):
        catalogue(mission()).get("mission-1", 2)
    assert catalogue(mission()).find("mission-1", 2) is None


def test_a_version_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="given twice"):
        Catalogue([mission(), mission()], 1)


def test_a_season_is_open_from_its_first_instant_up_to_its_end() -> None:
    season = mission(period="season", opens_at="2026-12-01T00:00:00Z", closes_at="2027-01-01T00:00:00Z")
    known = catalogue(season)
    assert not known.open_at(at("2026-11-30 23:59"))
    assert known.open_at(at("2026-12-01 00:00"))
    assert known.open_at(at("2026-12-31 23:59"))
    assert not known.open_at(at("2027-01-01 00:00"))


def test_the_default_catalogue_is_sound_and_has_missions_of_all_types_and_periods() -> None:
    missions = default_missions()
    assert len(missions) >= 10
    assert {m.type for m in missions} == {"daily", "weekly", "skill_practice", "streak", "language", "special"}
    assert {m.period for m in missions} == {"daily", "weekly", "once", "season"}
    assert all("en" in m.title for m in missions)
    assert default_catalogue().get("daily-lesson-1", 1).needed == 1


def test_the_default_catalogue_uses_every_event_type_that_learning_makes_and_every_kind_of_reward() -> None:
    missions = default_missions()
    used = {o.event for m in missions for o in m.objectives}
    assert used == set(EVENT_FIELDS) - {"learning.session-started.v1"}
    assert {r.kind for m in missions for r in m.rewards} == {"xp", "gems", "item", "badge", "unlock"}
