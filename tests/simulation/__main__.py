"""`python -m tests.simulation`: many seeds with a summary, or one with its history."""

import argparse
import json
import sys
import time

from .runner import cores, live, quiet, replay_command, run, summary

PROGRESS_SECONDS = 20.0
"""Between two lines of progress where nobody watches a terminal."""


def main() -> int:
    """Runs what was asked for; 1 if an invariant was broken."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description="Runs the real handlers on servers in memory, under seeded faults. `make simulate` is the same.",
    )
    parser.add_argument("--seeds", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first one (default 0)")
    parser.add_argument("--jobs", type=int, default=cores(), help="how many at once (default: one a core)")
    parser.add_argument("--seed", type=int, help="run this one alone, and show its history")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON: counts, failed seeds, digest")
    options = parser.parse_args()
    if options.seed is not None:
        return replay(options.seed)
    started = time.monotonic()
    pace, due = (0.0, 0.0) if sys.stderr.isatty() else (PROGRESS_SECONDS, PROGRESS_SECONDS)
    start, end = ("\r", "") if sys.stderr.isatty() else ("", "\n")
    total = None
    for total in run(options.first, options.seeds, options.jobs):
        spent = time.monotonic() - started
        if spent >= due:
            due = spent + pace
            failed = f"{len(total.failed)} failed{f' (first {min(total.failed)})' if total.failed else ''}"
            told = f"{total.seeds:,} of {options.seeds:,} seeds, {failed}, {spent:.0f} s"
            print(start + told, end=end, file=sys.stderr, flush=True)
    if total is None:
        parser.error("--seeds must be at least 1")
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(summary(total, time.monotonic() - started))
    if options.json:
        injected = {fault.name: total.injected[fault] for fault in total.injected}
        print(json.dumps({"injected": injected, "failed": sorted(total.failed), "digest": total.digest}))
    return 1 if total.failed else 0


def replay(seed: int) -> int:
    """Shows one life, line by line: virtual second, process, what happened."""
    quiet()
    life = live(seed, trace=True)
    print("\n".join(life.trace))
    for fault, count in sorted(life.injected.items()):
        print(f"{count:>10,}  {fault}")
    for each in life.violations:
        print(f"VIOLATION {each}")
    print(
        f"seed {seed}: {life.steps:,} steps, {life.seconds:.1f} virtual seconds, digest {life.digest:08x} ({replay_command(seed)})"
    )
    return 1 if life.violations else 0


if __name__ == "__main__":
    sys.exit(main())
