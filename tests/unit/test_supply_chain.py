"""The list of what the system is made of is whole, and an advisory is never passed over."""

import json
import re
import subprocess
from datetime import date
from pathlib import Path

import pytest

from tests.supply_chain.audit import Explained, read_explained, read_report, unexplained

PROJECT = Path(__file__).resolve().parents[2]
TODAY = date(2026, 11, 26)
REPORT = {
    "dependencies": [
        {"name": "good", "version": "1.0", "vulns": []},
        {"name": "bad", "version": "2.0", "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.1"]}]},
        {"name": "unseen", "skip_reason": "not found"},
    ]
}


def test_an_advisory_that_nobody_explained_is_told() -> None:
    audit = read_report(REPORT)

    assert [(each.package, each.advisory) for each in unexplained(audit, [], TODAY)] == [("bad", "PYSEC-1")]
    assert audit.not_audited == {"unseen": "not found"}


@pytest.mark.parametrize("advisory", ["PYSEC-1", "CVE-1"])
def test_an_explained_advisory_is_passed_over_until_its_day(advisory: str) -> None:
    audit, line = read_report(REPORT), Explained(advisory, TODAY, "we do not use it")

    assert unexplained(audit, [line], TODAY) == []
    assert len(unexplained(audit, [line], date(2026, 11, 27))) == 1


def test_a_line_of_explanations_that_is_none_says_what_to_write() -> None:
    assert read_explained("# a comment\n\nCVE-1 2026-12-01 only on Windows\n") == [
        Explained("CVE-1", date(2026, 12, 1), "only on Windows")
    ]
    with pytest.raises(ValueError, match="line 1: write `ID YYYY-MM-DD why"):
        read_explained("CVE-1 tomorrow maybe")


def test_what_is_explained_in_the_tree_can_be_read() -> None:
    read_explained((PROJECT / "requirements" / "explained.txt").read_text("utf-8"))


def test_the_sbom_lists_every_pinned_package_with_its_version_and_hashes() -> None:
    done = subprocess.run(["make", "--silent", "sbom"], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    document = json.loads((PROJECT / "build" / "sbom.json").read_text("utf-8"))

    pinned = dict(
        re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", (PROJECT / "requirements/runtime.txt").read_text(), re.MULTILINE)
    )
    listed = {each["name"].lower(): each["version"] for each in document["components"]}
    assert document["bomFormat"] == "CycloneDX"
    assert document["metadata"]["component"]["name"] == "mission-system"
    assert len(pinned) > 30
    assert listed == pinned
    assert all(
        any(reference.get("hashes") for reference in each["externalReferences"]) for each in document["components"]
    )
