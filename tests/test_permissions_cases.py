"""Cases of the duty map's rule, which no cloud can show: mappings that are added and taken out of the configuration between scans."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auditor.ledger import Ledger

CASES = [
    ("DRF-006", "pass", "test_approved_mapping_passes_and_one_that_is_taken_out_fails"),
    ("DRF-006", "fail", "test_mapping_without_an_approved_change_fails_for_one_scan"),
]
"""What the cases estate cannot show, since its configuration stays as it is."""

FIRST = datetime(2026, 5, 4, 6, tzinfo=UTC)
MAPPED = """
organisation = "Acme Health"

[state]
dir = "{state}"

[[duties]]
group = "base-engineers"
projects = ["base-exports"]
job_ids = ["base-*"]
zones = ["*"]
"""
"""A map and no cloud: what drifts is in the configuration alone."""
ADDED = """
[[duties]]
group = "base-platform"
projects = ["base-exports"]
"""
MORE = (
    ADDED
    + """
[[duties]]
group = "base-auditors"

[[changes]]
id = "CHG-200"
approved_by = "board@acme.example"
since = "2026-05-18"
until = "2026-05-25"
subjects = ["base-auditors/*"]
"""
)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    """Four scans: as it was, the same, one mapping more, and then one more that was approved while the other is taken out."""
    from auditor import config, rulepack
    from auditor.builtin import builtin
    from auditor.scan import scan

    into = tmp_path_factory.mktemp("mapped")
    rules = builtin("rules")
    pack = rulepack.load([rules / "drift.yaml"], [rules / "frameworks"])
    path, said = into / "config.toml", MAPPED.format(state=into / "state")
    found = {}
    for week, more in enumerate(("", "", ADDED, MORE.replace(ADDED, "")), start=1):
        path.write_text(said + more, encoding="utf-8")
        now = FIRST + (week - 1) * timedelta(days=7)
        with Ledger.open(into / "ledger.db") as ledger:
            found[week] = scan(config.load(path, {}), ledger, pack, now=now, slot=f"W{week:02d}")
    return found


def mapped(scanned: Any) -> dict[str, tuple[str, str]]:
    found = (one for one in scanned.judgement.outcomes() if one.code == "DRF-006")
    return {one.subject_key.partition("/")[0]: (str(one.verdict), one.because) for one in found}


def test_first_scan_has_no_map_to_compare_with_and_the_same_map_passes(scans: dict[int, Any]) -> None:
    assert mapped(scans[1])["base-engineers"][0] == "not_applicable"
    assert mapped(scans[2]) == {"base-engineers": ("pass", mapped(scans[2])["base-engineers"][1])}


def test_mapping_without_an_approved_change_fails_for_one_scan(scans: dict[int, Any]) -> None:
    found = mapped(scans[3])
    assert {group: verdict for group, (verdict, _) in found.items()} == {
        "base-engineers": "pass",
        "base-platform": "fail",
    }
    assert "was added" in found["base-platform"][1]


def test_approved_mapping_passes_and_one_that_is_taken_out_fails(scans: dict[int, Any]) -> None:
    found = mapped(scans[4])
    assert found["base-auditors"][0] == "pass" and "CHG-200" in found["base-auditors"][1]
    assert found["base-platform"][0] == "fail" and "was removed" in found["base-platform"][1]


def test_drift_tells_of_the_map_too(scans: dict[int, Any]) -> None:
    told = [(one.kind, one.subject_key) for one in scans[3].drift if one.subject_table == "config_duty"]
    assert told == [("appeared", "base-platform//base-exports/*/*/*/*")]
