"""Memory is asked into huge pages where there are such, and nothing happens where there are none."""

import asyncio
from pathlib import Path

import pytest

from services.adapters import huge_pages
from services.adapters.huge_pages import HUGE_PAGE, ask_for_huge_pages, keep_in_huge_pages

MAPS = """\
555500000000-555500400000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000800000 rw-p 00000000 00:00 0
7f0001000000-7f0001400000 r--p 00000000 00:00 0
7f0002000000-7f0002400000 rw-p 00000000 fe:00 1234                       /usr/lib/a library.so
7f0003000000-7f0003400000 rw-s 00000000 00:01 77                         /dev/zero (deleted)
7f0004000000-7f0004001000 rw-p 00000000 00:00 0
7ffc00000000-7ffc00400000 rw-p 00000000 00:00 0                          [stack]
"""


def test_only_large_private_memory_that_is_no_file_is_asked_for() -> None:
    found = list(huge_pages._large_private_regions(MAPS))

    assert found == [(0x555500000000, 2 * HUGE_PAGE), (0x7F0000000000, 4 * HUGE_PAGE)]


@pytest.mark.skipif(not huge_pages._are_allowed(), reason="this machine has no huge pages, or they are switched off")
def test_what_this_process_holds_stays_what_it_was() -> None:
    held = [str(number) for number in range(400_000)]

    assert ask_for_huge_pages() >= HUGE_PAGE
    assert held == [str(number) for number in range(400_000)]


@pytest.mark.parametrize("setting", ["always madvise [never]\n", None])
async def test_it_ends_where_there_are_no_huge_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str | None
) -> None:
    allowed = tmp_path / "enabled"
    if setting is not None:
        allowed.write_text(setting)
    monkeypatch.setattr(huge_pages, "_ALLOWED", allowed)

    await asyncio.wait_for(keep_in_huge_pages(), timeout=5)
