"""`python -m tests.supply_chain`: asks for advisories about every pinned package. Exit code 0: none, 1: some, 2: not audited."""

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from .audit import Audit, read_explained, read_report, unexplained

PROJECT = Path(__file__).resolve().parents[2]
PINNED = ("runtime", "dev", "fuzz", "peers")
EXPLAINED = PROJECT / "requirements" / "explained.txt"
SECONDS_MAX = 300
SHOWN = 3


def main() -> int:
    """Audits each file of requirements/."""
    parser = argparse.ArgumentParser(prog="make audit", description=__doc__)
    parser.add_argument("--service", choices=("pypi", "osv"), default="pypi", help="whose advisories (%(default)s)")
    parser.add_argument(
        "files", nargs="*", default=PINNED, metavar="FILE", help=f"of requirements/ ({', '.join(PINNED)})"
    )
    arguments = parser.parse_args()
    explained, today = read_explained(EXPLAINED.read_text("utf-8")), datetime.now(UTC).date()
    code = 0
    for name in arguments.files:
        audit = _audit(name, arguments.service)
        if isinstance(audit, str) or audit.not_audited:
            print(f"✗ requirements/{name}.txt NOT AUDITED: {_why(audit)}")
            print(
                "  fix: run `make audit` where the advisory service answers, such as in the pipeline that builds releases"
            )
            code = 2
            continue
        found = unexplained(audit, explained, today)
        for each in found:
            fix = f"update to {each.fixed_in[0]}" if each.fixed_in else "no fixed version yet"
            print(f"✗ requirements/{name}.txt: {each.package} {each.version}: {each.advisory}")
            print(f"  fix: {fix}, or say in requirements/{EXPLAINED.name} until when and why it does not concern us")
        if not found:
            print(
                f"✓ requirements/{name}.txt: {audit.packages} packages, {len(audit.findings)} advisories, all explained"
            )
        code = code or int(bool(found))
    return code


def _why(audit: Audit | str) -> str:
    if isinstance(audit, str):
        return audit
    names = list(audit.not_audited)
    reason = audit.not_audited[names[0]]
    return f"{len(names)} of {audit.packages} packages, {', '.join(names[:SHOWN])}…: {reason}"


def _audit(name: str, service: str) -> Audit | str:
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        command = [
            *(
                str(Path(sys.executable).with_name("pip-audit")),
                "--vulnerability-service",
                service,
                "--disable-pip",
                "--require-hashes",
            ),
            *("--requirement", str(PROJECT / "requirements" / f"{name}.txt")),
            *("--progress-spinner", "off", "--format", "json", "--output", report.name),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS_MAX)
        except subprocess.TimeoutExpired:
            return f"no answer within {SECONDS_MAX} s"
        text = Path(report.name).read_text("utf-8")
        if not text:
            return (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
        return read_report(json.loads(text))


if __name__ == "__main__":
    sys.exit(main())
