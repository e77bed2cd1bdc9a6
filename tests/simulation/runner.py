"""Runs many seeds on all cores, adds up what they came to, and says how to see a failing one again."""

import gc
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

import structlog

from .faults import Fault
from .world import Life, World

CHUNK = 50
"""Seeds that a core takes at once: progress every few seconds."""

SHOWN_MAX = 10
"""Failing seeds that are spelt out."""


@dataclass
class Total:
    """What many seeds came to."""

    seeds: int = 0
    failed: dict[int, list[str]] = field(default_factory=dict)
    injected: Counter[Fault] = field(default_factory=Counter)
    steps: int = 0
    seconds: float = 0.0
    completed: int = 0
    granted: int = 0
    digest: int = 0

    def add(self, other: "Total | Life") -> None:
        """One more life, or many."""
        if isinstance(other, Life):
            self.seeds += 1
            if other.violations:
                self.failed[other.seed] = other.violations
            self.digest ^= other.digest
        else:
            self.seeds += other.seeds
            self.failed |= other.failed
            self.digest ^= other.digest
        self.injected += other.injected
        self.steps += other.steps
        self.seconds += other.seconds
        self.completed += other.completed
        self.granted += other.granted


def live(seed: int, *, trace: bool = False) -> Life:
    """One seed."""
    return World(seed, trace).run()


def run(first: int, seeds: int, jobs: int) -> Iterator[Total]:
    """The total so far, after each chunk."""
    total = Total()
    chunks = [range(start, min(start + CHUNK, first + seeds)) for start in range(first, first + seeds, CHUNK)]
    quiet()
    # Forked: nothing else runs here yet, and the code under test need not be imported once more for each core.
    with ProcessPoolExecutor(jobs, mp_context=get_context("fork")) as pool:
        for part in pool.map(_chunk, chunks):
            total.add(part)
            yield total


def quiet() -> None:
    """What the code under test logs of thousands of faults is of no interest, and neither is Python's collector; what it does all the
    same, after each chunk, leaves alone what was there before."""
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    gc.disable()
    gc.freeze()


def _chunk(seeds: Iterable[int]) -> Total:
    total = Total()
    for seed in seeds:
        total.add(live(seed))
    gc.collect()
    return total


def replay_command(seed: int) -> str:
    """What shows a seed's history again."""
    return f"make simulate SEED={seed}"


def summary(total: Total, real_seconds: float) -> str:
    """All that was done to the system, and what came of it."""
    lines = [f"{total.injected[fault]:>10,}  {fault}" for fault in Fault]
    lines.append(
        f"{total.seeds:,} seeds: {total.steps:,} steps, {total.seconds / 3600:.1f} hours of virtual time in {real_seconds:.0f} s; "
        f"{total.completed:,} missions completed, {total.granted:,} rewards granted"
    )
    for seed, violations in sorted(total.failed.items())[:SHOWN_MAX]:
        lines += [
            f"seed {seed} FAILED:",
            *(f"    {each}" for each in violations),
            f"    see it: {replay_command(seed)}",
        ]
    lines.append(f"{len(total.failed)} SEEDS FAILED" if total.failed else "NO INVARIANT WAS BROKEN")
    return "\n".join(lines)


def cores() -> int:
    """How many seeds can run at once."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
