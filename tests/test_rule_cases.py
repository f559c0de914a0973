"""Each rule of the catalogue on a real estate: seen to pass, to fail and to leave open, through the real clients."""

from __future__ import annotations

from typing import Any

import pytest
from hidden_rows import Hiding
from rule_cases import wrong

from auditor.sandbox.cases import FOLDER, open_estate
from auditor.sandbox.estate_story import Story

STORY = Story.read(FOLDER)
WHOLE = 4
"""A week in which nothing is dark."""
HARMLESS = {("IDN-005", "pass -> not_applicable")}
"""A binding of nobody by name cannot fail, whatever its role grants: the rule says so."""


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    """Every weekly scan of the cases, by week."""
    from auditor import config, rulepack, sources
    from auditor.builtin import builtin
    from auditor.ledger import Ledger
    from auditor.scan import scan

    into = tmp_path_factory.mktemp("cases")
    sections = {f"sources.{name}": sources.source(name).Settings for name in sources.NAMES}
    rules = builtin("rules")
    pack = rulepack.load([rules], [rules / "frameworks"])
    assert pack.broken_rules == ()
    estate = open_estate()
    try:
        loaded = config.load(estate.config(into), sections)
        found = {}
        with Ledger.open(into / "ledger.db") as ledger:
            for week in range(1, estate.weeks + 1):
                estate.advance(week)
                estate.apply_faults(week)
                found[week] = scan(loaded, ledger, pack, now=estate.now(week), slot=f"W{week:02d}")
        return found
    finally:
        estate.close()


@pytest.mark.parametrize("week", range(1, STORY.weeks + 1))
def test_every_rule_says_what_the_cases_say_of_their_subjects(scans: dict[int, Any], week: int) -> None:
    assert "\n".join(wrong(STORY, week, list(scans[week].judgement.outcomes()))) == ""


def test_drift_tells_what_a_role_may_do_now_and_what_it_may_no_longer(scans: dict[int, Any]) -> None:
    told = {
        (week, one.subject_key.rpartition("/")[2], one.field): (one.direction, one.because)
        for week in (3, 4)
        for one in scans[week].drift
        if one.subject_table in ("iam_role", "iam_policy") and "permissions-" in one.subject_key
    }
    assert {name: direction for name, (direction, _) in told.items()} == {
        (3, "permissions-exporter", "permissions"): "worse",
        (3, "permissions-reach", "permissions"): "worse",
        (3, "permissions-app", "permissions"): "worse",
        (3, "permissions-app", "document"): "worse",
        (3, "permissions-fence", None): "neutral",  # nothing hangs on it any more, so it is not asked for
        (4, "permissions-exporter", "permissions"): "better",
        (4, "permissions-app", "permissions"): "better",
        (4, "permissions-app", "document"): "better",
    }
    assert "may now do s3:DeleteObjectVersion" in told[3, "permissions-exporter", "permissions"][1]
    assert "may no longer do s3:DeleteObjectVersion" in told[4, "permissions-exporter", "permissions"][1]


PAST = {
    "CHN-005",
    "CHN-006",
    "CHN-012",
    "CHN-013",
    "CPY-005",
    "FED-007",
    "FED-008",
    "IDN-001",
    "IDN-002",
    "JOB-001",
    "JOB-003",
    "JOB-004",
    "JOB-005",
    "JOB-006",
    "JOB-009",
    "JOB-011",
    "RPT-006",
    "RST-002",
    "RST-003",
    "RST-004",
}
"""Rules on what happened: an event that was read before cannot change."""
PRODUCT = {"DRF-006", "SCN-001", "SCN-003", "SCN-006", "SCN-007", "SCN-010"}
"""Rules on the product itself, which no cloud hides."""


def test_on_a_dark_week_only_what_was_read_before_and_cannot_change_still_passes(
    scans: dict[int, Any],
) -> None:
    dark = scans[STORY.weeks]
    assert {gap.reason for gap in dark.gaps} <= {"denied", "suspect"}
    passed = {one.code for one in dark.judgement.outcomes() if one.verdict == "pass"}
    assert passed <= PAST | PRODUCT


def test_rows_that_a_gap_hides_leave_every_verdict_as_it_is_or_unknown(scans: dict[int, Any]) -> None:
    """Whatever the facts say they read: of each source table, the rows of its fullest place are taken away."""
    hiding = Hiding(scans[WHOLE].snapshot)
    try:
        changed = {
            (place.table, code, subject, verdicts)
            for place in hiding.places()
            for (code, subject), verdicts in hiding.changed(place).items()
            if (code, verdicts) not in HARMLESS
        }
    finally:
        hiding.close()
    assert changed == set()
