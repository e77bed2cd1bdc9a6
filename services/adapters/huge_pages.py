"""Asks the kernel to keep this process's memory in huge pages: a batch reads and writes hundreds of megabytes, a little of each page.

Python's allocator takes its memory in arenas of 256 KiB or 1 MiB and knows nothing of huge pages; most kernels give them only to who asks
(`madvise` in /sys/kernel/mm/transparent_hugepage/enabled).
"""

import asyncio
import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

LOOK_SECONDS = 10.0
"""Between two looks at what memory was added: a look at 400 MiB that are in huge pages already takes 5 ms, beside everything else."""

HUGE_PAGE = 2 * 1024 * 1024

# From the kernel's uapi/asm-generic/mman-common.h; `mmap` has no name for the second, which exists since Linux 6.1.
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25

_MAPS = Path("/proc/self/maps")
_ALLOWED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


async def keep_in_huge_pages() -> None:
    """Looks again and again, until it is cancelled. Ends at once where there are no huge pages to ask for."""
    while _are_allowed() and await asyncio.to_thread(ask_for_huge_pages) > 0:  # noqa: ASYNC110 - the kernel tells nobody
        await asyncio.sleep(LOOK_SECONDS)


def _are_allowed() -> bool:
    """Whether this is a Linux that has huge pages, and its administrator has not switched them off."""
    return sys.platform == "linux" and _ALLOWED.exists() and "[never]" not in _ALLOWED.read_text("ascii", "replace")


def ask_for_huge_pages() -> int:
    """Asks for all private memory that is large enough. Returns how many bytes the kernel agreed to; the lock of Python's interpreter is
    free while it works."""
    madvise = ctypes.CDLL(None, use_errno=True).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    agreed = 0
    for start, size in _large_private_regions(_MAPS.read_text("ascii", "replace")):
        if madvise(start, size, _MADV_HUGEPAGE) == 0:
            agreed += size
            madvise(start, size, _MADV_COLLAPSE)  # an older kernel refuses, and does it by itself in minutes
    return agreed


def _large_private_regions(maps: str) -> Iterator[tuple[int, int]]:
    """(start, size) of writable regions without a file, in the form of /proc/PID/maps (proc_pid_maps(5))."""
    for line in maps.splitlines():
        bounds, access, *_, inode, name = [*line.split(maxsplit=5), ""][:6]
        if access == "rw-p" and inode == "0" and name.strip() in ("", "[heap]"):
            start, end = (int(bound, 16) for bound in bounds.split("-"))
            if end - start >= HUGE_PAGE:
                yield start, end - start
