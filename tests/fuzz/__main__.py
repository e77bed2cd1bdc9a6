"""`make fuzz SECONDS=60`: fuzzes every target for a bounded time, keeps what has failed, and prints what was tried."""

import argparse
import hashlib
import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings

from services.stack.paths import local_directory
from tests.fuzz.strategies import mutated
from tests.fuzz.targets import REGRESSIONS, TARGETS

PROJECT = Path(__file__).resolve().parents[2]

INPUT_BYTES_MAX = 16 * 1024
"""Larger than every example, and small enough to try thousands a second."""

INPUT_SECONDS_MAX = 20
"""An input that takes longer is a finding."""

START_SECONDS = 120
"""For a fuzzer's start and its look at what it begins with, beside its own time."""

EXAMPLES_AT_ONCE = 200
"""Inputs between two looks at the clock, where nothing guides."""


@dataclass
class Tried:
    """What became of one target. `reached` counts branches, where they are counted."""

    inputs: int = 0
    seconds: float = 0.0
    reached: int | None = None
    findings: list[Path] = field(default_factory=list)
    said: str = ""


def main() -> int:
    """0 when nothing was found, else 1."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help=f"some of {', '.join(TARGETS)} (all unless given)")
    parser.add_argument("--seconds", type=float, default=60.0, help="in all, shared among the targets")
    told = parser.parse_args()
    if unknown := set(told.targets) - TARGETS.keys():
        parser.error(f"no target is called {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    names = told.targets or list(TARGETS)
    is_guided = importlib.util.find_spec("atheris") is not None
    print("guided by coverage (atheris)" if is_guided else "not guided: changed by chance (Hypothesis)", flush=True)
    fuzz: Callable[[str, float], Tried] = _guided if is_guided else _by_chance
    print(f"{'target':22}{'inputs':>10}{'seconds':>9}{'reached':>9}  findings", flush=True)
    failed = False
    for name in names:
        tried = fuzz(name, told.seconds / len(names))
        reached = "-" if tried.reached is None else str(tried.reached)
        found = ", ".join(str(path.relative_to(PROJECT)) for path in tried.findings) or "none"
        print(f"{name:22}{tried.inputs:>10}{tried.seconds:>9.0f}{reached:>9}  {found}", flush=True)
        if tried.said:
            print(tried.said, file=sys.stderr, flush=True)
        failed = failed or bool(tried.findings or tried.said)
    return int(failed)


def _guided(name: str, seconds: float) -> Tried:
    corpus = local_directory() / "fuzz" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in TARGETS[name].seeds():
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    with tempfile.TemporaryDirectory() as artifacts:
        options = [
            f"-max_total_time={max(1, round(seconds))}", f"-max_len={INPUT_BYTES_MAX}", f"-timeout={INPUT_SECONDS_MAX}",
            f"-artifact_prefix={artifacts}/", "-print_final_stats=1",
        ]  # fmt: skip
        command = [sys.executable, "-m", "tests.fuzz.guided", name, *options, str(corpus)]
        started = time.monotonic()
        done = subprocess.run(
            command, cwd=PROJECT, capture_output=True, text=True, errors="replace", check=False,
            timeout=2 * seconds + START_SECONDS,
        )  # fmt: skip
        tried = Tried(seconds=time.monotonic() - started)
        output = done.stdout + done.stderr
        tried.inputs = _last(r"stat::number_of_executed_units:\s*(\d+)", output) or 0
        tried.reached = _last(r" cov: (\d+)", output)
        tried.findings = [_keep(name, path.read_bytes()) for path in sorted(Path(artifacts).iterdir())]
        if done.returncode != 0:
            tried.said = "\n".join(output.splitlines()[-40:])
    return tried


def _by_chance(name: str, seconds: float) -> Tried:
    target, tried = TARGETS[name], Tried()
    last = b""

    @settings(
        max_examples=EXAMPLES_AT_ONCE, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )  # fmt: skip
    @given(mutated(target.seeds()))
    def try_some(data: bytes) -> None:
        nonlocal last
        last = data
        tried.inputs += 1
        target.run(data)

    started = time.monotonic()
    while time.monotonic() - started < seconds:
        try:
            try_some()
        except Exception as error:  # noqa: BLE001 - any at all is a finding
            tried.findings.append(_keep(name, last))
            tried.said = repr(error)
            break
    tried.seconds = time.monotonic() - started
    return tried


def _keep(name: str, data: bytes) -> Path:
    """Saves an input that has failed beside the others, where the tests try it again."""
    path = REGRESSIONS / name / hashlib.sha256(data).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _last(pattern: str, text: str) -> int | None:
    found = re.findall(pattern, text)
    return int(found[-1]) if found else None


if __name__ == "__main__":
    sys.exit(main())
