"""The catalogue in the ledger: published from files, kept as it is, and read by processes that may be older than it."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from services.adapters.catalogue_files import default_missions
from services.adapters.ledger.catalogue import Author, CatalogueStore, CatalogueUnreadable
from services.adapters.ledger.connection import Pool
from services.missions.lifecycle import Action, MissionState
from services.operations.catalogue import CatalogueWatcher
from services.operations.startup import StartError, load_catalogue
from services.stack.server import Addresses
from tests.support.builders import mission, mission_data
from tests.support.system import until


async def test_publishing_the_same_files_again_changes_nothing(pool: Pool) -> None:
    store = CatalogueStore(pool)
    before = await store.revision()
    again = await store.publish(default_missions())
    assert (again.new_versions, again.revision) == ({}, before)
    assert len(again.unchanged) == len(default_missions())


async def test_what_files_publish_is_recorded_and_does_not_end_a_pause(pool: Pool) -> None:
    store, author = CatalogueStore(pool), Author("deploy", "release 7")
    assert (await store.publish([mission(id="extra")], author)).new_versions == {"extra": 1}
    async with store.change() as changes:
        newest = await changes.newest("extra")
        assert newest is not None
        await changes.move(newest, Action.PAUSE, MissionState.PAUSED, Author("olga"))
    assert (await store.publish([mission(id="extra", title={"en": "New"})], author)).new_versions == {"extra": 2}
    assert [(v.version, v.state) for v in await store.versions("extra")] == [
        (2, MissionState.PAUSED),
        (1, MissionState.REPLACED),
    ]
    [published, *_] = await store.changes("extra", 10)
    assert (published.action, published.changed_by, published.reason) == ("publish", "deploy", "release 7")
    assert "extra" not in {compiled.mission.id for compiled in (await store.load()).daily.missions}


async def test_many_who_publish_at_once_make_one_version_each_time(pool: Pool) -> None:
    store = CatalogueStore(pool)
    done = await asyncio.gather(*(store.publish([mission(id="extra")]) for _ in range(4)))
    assert sorted(len(one.new_versions) for one in done) == [0, 0, 0, 1]


async def test_a_process_older_than_a_definition_keeps_its_catalogue_and_says_why(
    pool: Pool, live_catalogue: CatalogueWatcher, capsys: pytest.CaptureFixture[str]
) -> None:
    store, revision = CatalogueStore(pool), live_catalogue.current().revision
    await store.publish([mission(id="extra")])
    newer = json.dumps({"id": "newer", "an_operator_of_tomorrow": True})
    await pool.execute("insert into mission_version (mission_id, version, definition) values ('newer', 1, $1)", newer)
    with pytest.raises(CatalogueUnreadable, match=r"version 1 of mission newer .* Run the version that published it"):
        await store.load()
    with pytest.raises(StartError, match="upgrade this process"):
        await load_catalogue(pool)
    watching = asyncio.create_task(live_catalogue.watch())
    seen = ""

    async def is_told() -> bool:
        nonlocal seen
        seen += capsys.readouterr().out
        return "catalogue_not_understood" in seen

    await until(is_told, "the watcher to say why")
    assert not watching.done()
    assert live_catalogue.current().revision == revision
    watching.cancel()


async def test_the_command_publishes_a_file_and_shows_the_state_of_every_mission(
    pool: Pool, ledger_dsn: str, addresses: Addresses, tmp_path: Path
) -> None:
    async def command(*arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.cli.main", "catalogue", *arguments),
            env={**os.environ, **addresses.environment(), "MISSIONS_POSTGRES_DSN": ledger_dsn, "COLUMNS": "200"},
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        return output.decode()

    file = tmp_path / "extra.yaml"
    file.write_text(json.dumps({"missions": [mission_data(id="extra")]}), "utf-8")  # JSON is YAML
    assert "published extra version 1" in await command("apply", str(file))
    assert "0 published, 1 unchanged" in await command("apply", str(file))
    assert "published already" in await command("apply", "--if-empty")
    [change] = await CatalogueStore(pool).changes("extra", 10)
    assert change.changed_by.startswith("catalogue-apply:")
    assert change.reason == str(file)
    async with CatalogueStore(pool).change() as changes:
        await changes.save_draft("extra", mission_data(id="extra"), Action.CREATE_DRAFT, Author("olga"))
        await changes.save_draft("brand-new", mission_data(id="brand-new"), Action.CREATE_DRAFT, Author("olga"))
    shown = {line.split("│")[1].strip(): line for line in (await command("show")).splitlines() if "│" in line}
    assert "published + draft" in shown["extra"]
    assert "draft" in shown["brand-new"]
    assert "published" in shown["daily-lesson-1"]
