"""The product's most important test: every weekly scan, end to end, against what each chain truly is."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest
from rule_cases import wrong

from auditor.model import LINKS, State
from auditor.sandbox.estate import Estate
from auditor.sandbox.estate_story import Story
from auditor.watch.authors import trace

STORY = Story.read()
NAMES = {export.export_id: export.id for export in STORY.exports}
JUDGED = [(week, export_id) for week in range(1, STORY.weeks + 1) for export_id in STORY.expectations(week)]

Rows = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    """Every weekly scan of the estate, by week."""
    from auditor import config, rulepack, sources
    from auditor.builtin import builtin
    from auditor.ledger import Ledger
    from auditor.scan import scan

    into = tmp_path_factory.mktemp("estate")
    sections = {f"sources.{name}": sources.source(name).Settings for name in sources.NAMES}
    rules = builtin("rules")
    pack = rulepack.load([rules], [rules / "frameworks"])
    estate = Estate.open()
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


@pytest.fixture(scope="module")
def chains(scans: dict[int, Any]) -> dict[int, Rows]:
    return {
        week: {row["export_id"]: row for row in each.judgement.rows("export")} for week, each in scans.items()
    }


@pytest.mark.parametrize(
    ("week", "export_id"), JUDGED, ids=[f"W{week:02d}-{NAMES[export_id]}" for week, export_id in JUDGED]
)
def test_every_link_is_what_the_scenario_says(chains: dict[int, Rows], week: int, export_id: str) -> None:
    expected = STORY.expectations(week)[export_id]
    assert export_id in chains[week], "the export was not found"
    row = chains[week][export_id]
    got = {
        link: (row[f"{link}_state"], row[f"{link}_strength"] if state is State.PROVEN else "none")
        for link, (state, _) in expected.items()
    }
    because = {link: row[f"{link}_because"] for link in expected if got[link] != expected[link]}
    assert got == expected, because


def test_a_chain_is_as_good_as_its_worst_link_and_as_strong_as_its_weakest_proof(
    chains: dict[int, Rows],
) -> None:
    for rows in chains.values():
        for row in rows.values():
            states = {row[f"{link}_state"] for link in LINKS}
            worst = next((each for each in ("broken", "unknown", "pending") if each in states), "proven")
            assert row["state"] == worst, row["export_id"]
            if worst == "proven":
                proofs = [row[f"{link}_strength"] for link in LINKS if row[f"{link}_state"] == "proven"]
                assert row["strength"] == max(proofs, key=["exact", "strong", "inferred"].index)
            if worst == "pending":
                dues = [row[f"{link}_due_at"] for link in LINKS if row[f"{link}_state"] == "pending"]
                assert row["due_at"] == min((due for due in dues if due is not None), default=None)


def test_no_export_is_found_that_the_scenario_does_not_tell_of(chains: dict[int, Rows]) -> None:
    assert chains[STORY.weeks].keys() - NAMES.keys() == set()


def test_the_session_without_a_job_is_an_orphan_and_declared_replication_is_not(
    scans: dict[int, Any],
) -> None:
    told = STORY["expect_elsewhere"]
    last = scans[STORY.weeks].judgement
    orphans = {(row["role_arn"].rpartition("/")[2], row["orphan"]) for row in last.rows("orphan_session")}
    for each in told["orphan_sessions"]:
        assert (each["role"], True) in orphans
    strays = {(row["bucket"], row["dir"]): row["orphan"] for row in last.rows("unattributed_object")}
    for each in told["declared_strays"]:
        export = STORY.export(each["under"])
        assert strays[export.bucket, export.prefix] is False


def test_what_was_denied_is_told_as_a_gap_in_its_week_and_never_before(scans: dict[int, Any]) -> None:
    def denied(week: int, table: str, account: str) -> bool:
        return any(
            (gap.table, gap.account, gap.reason) == (table, account, "denied") for gap in scans[week].gaps
        )

    recovery = STORY.account("recovery")
    assert [week for week in (3, 4, 5) if denied(week, "backup_recovery_point", recovery)] == [4]
    assert not denied(6, "gcp_audit_entry", "acme-research")
    assert denied(7, "gcp_audit_entry", "acme-research")


@pytest.mark.parametrize("week", range(1, STORY.weeks + 1))
def test_every_rule_says_what_the_scenario_says_of_its_subject(scans: dict[int, Any], week: int) -> None:
    assert list(wrong(STORY, week, list(scans[week].judgement.outcomes()))) == []


def test_drift_of_a_setting_tells_what_it_comes_to_and_who_changed_it(scans: dict[int, Any]) -> None:
    for said in STORY["expect_drift"]:
        (week,) = (int(name[1:]) for name in said if name.startswith("W"))
        wanted = said.get("setting", "*policy")
        told = [
            one
            for one in scans[week].drift
            if one.rule is None
            and fnmatchcase(one.subject_key, STORY.subject(said["of"]))
            and fnmatchcase(one.field or "", wanted)
        ]
        if said[f"W{week:02d}"] == "silent":
            assert told == [], said
            continue
        (one,) = told
        assert (one.direction, said["says"] in one.because) == (said[f"W{week:02d}"], True), (
            said,
            one.because,
        )
        assert said["who"] in (one.actor or "") and bool(said["who"]) == bool(trace(one).event_id), said
        assert one.before != one.after or one.kind != "changed"
        assert (
            one.detected_at
            == scans[week].row.at
            >= (one.changed_at or scans[week - 1].row.at)
            >= scans[week - 1].row.at
        )
