"""A whole scan of week 2 with something broken: it ends incomplete, and nothing of week 1 resolves for it."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fault_child import Plan, from_nothing
from fault_world import FULL_WALK, Fault, FaultWorld, pack

from auditor.errors import FAILING, INCOMPLETE
from auditor.ledger import Filters, Ledger
from auditor.model import Drift
from auditor.scan import Scan, scan
from tests.cli_case import run

TESTS = Path(__file__).parent
FAULTS: list[Fault] = [
    {"service": "backup", "operation": "ListRecoveryPointsByBackupVault", "kind": "deny"},
    {"service": "s3", "operation": "ListBuckets", "kind": "empty"},
    {"service": "logging", "operation": "ListLogEntries", "kind": "garbage"},
    {"service": "sts", "operation": "AssumeRole", "kind": "hang"},
]
MORE: list[Fault] = [
    {"service": "backup", "operation": "ListBackupVaults", "kind": "throttle"},
    {"service": "cloudtrail", "operation": "DescribeTrails", "kind": "expire"},
    {"service": "dataproc", "operation": "ListJobs", "kind": "fail"},
    {"service": "iam", "operation": "GetAccountAuthorizationDetails", "kind": "cut"},
    {"service": "s3", "operation": "GetBucketVersioning", "kind": "deny"},
    {"service": "s3", "operation": "GetObject", "kind": "cut"},
    {"service": "s3", "operation": "ListObjectVersions", "kind": "truncate"},
    {"service": "resourcegroupstaggingapi", "operation": "GetResources", "kind": "empty"},
]


@pytest.fixture(scope="module")
def clear(two_weeks: FaultWorld, tmp_path_factory: pytest.TempPathFactory) -> tuple[Scan, list[str]]:
    """The whole scan of week 2 with nothing broken, and the findings that it leaves open."""
    done, ledger = two_weeks.scanned({}, tmp_path_factory.mktemp("clear"))
    with ledger:
        return done, still_open(ledger)


def still_open(ledger: Ledger) -> list[str]:
    return sorted(one.finding_id for one in ledger.findings(Filters(state="open")))


def better(drift: tuple[Drift, ...]) -> set[tuple[Any, ...]]:
    """Return the changes for good, and those that end something."""
    return {
        (one.kind, one.rule, one.subject_table, one.subject_key, one.field)
        for one in drift
        if one.direction == "better" or one.kind in ("resolved", "vanished")
    }


@pytest.mark.parametrize("fault", FAULTS + (MORE if FULL_WALK else []), ids=lambda f: " ".join(f.values()))
def test_a_scan_that_could_not_see_ends_incomplete_and_resolves_nothing_for_it(
    two_weeks: FaultWorld, clear: tuple[Scan, list[str]], tmp_path: Path, fault: Fault
) -> None:
    whole, open_then = clear
    done, ledger = two_weeks.scanned(fault, tmp_path)
    with ledger:
        assert ledger.verify().intact
        assert not done.row.complete
        assert done.gaps
        assert better(done.drift) <= better(whole.drift)
        week1 = {
            one.finding_id for one in ledger.findings(Filters(state="open"), as_of=two_weeks.estate.now(1))
        }
        ended = week1 - set(still_open(ledger))
        assert ended <= week1 - set(open_then)
    touched = {table for name in two_weeks.concerned(fault) for table in two_weeks.heard[name].TABLES}
    for name, entry in done.snapshot.manifest["tables"].items():
        # Clocks are told by every answer, those of a disturbed source too.
        if name not in touched and not name.startswith(("coverage", "history_", "api_clock")):
            assert entry["digest"] == whole.snapshot.manifest["tables"][name]["digest"], name


def test_two_weeks_undisturbed_end_something_so_that_ending_can_be_missed(
    clear: tuple[Scan, list[str]],
) -> None:
    whole, _ = clear
    assert {"resolved", "appeared", "changed"} <= {one.kind for one in whole.drift}
    assert any(one.direction == "better" and one.rule is None for one in whole.drift)


def test_the_command_line_says_that_a_scan_is_incomplete(two_weeks: FaultWorld, tmp_path: Path) -> None:
    text = (two_weeks.dir / "config.toml").read_text().replace(str(two_weeks.state), str(tmp_path / "state"))
    config = tmp_path / "config.toml"
    config.write_text(text.replace("[aws]", "[limits]\nattempts = 1\n\n[aws]", 1))
    command = [
        sys.executable,
        "-m",
        "auditor",
        "scan",
        "--at",
        two_weeks.now.isoformat(),
        "-c",
        str(config),
        "--json",
    ]
    with two_weeks.broken({"service": "backup", "operation": "ListCopyJobs", "kind": "deny"}):
        ended = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environment(), check=False
        )
    assert ended.returncode == INCOMPLETE, ended.stderr
    said = json.loads(ended.stdout)
    assert said["complete"] is False
    assert {gap["table"] for gap in said["gaps"]} == {"backup_copy_job"}
    assert "backup:ListCopyJobs" in said["gaps"][0]["detail"]


BUCKET = "arn:aws:s3:::acme-trail-222222222222"
"""Its versioning was suspended in week 1 and is enabled again in week 2."""


def rows(path: Path) -> dict[str, set[tuple[Any, ...]]]:
    """Return every row of every table of a ledger."""
    conn = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        tables = [row[0] for row in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: set(conn.execute(f"SELECT * FROM {table}")) for table in tables}
    finally:
        conn.close()


def only_of_the_subject(
    before: dict[str, set[tuple[Any, ...]]], after: dict[str, set[tuple[Any, ...]]]
) -> None:
    """Hold a ledger before a re-check against the one after: nothing moved but the subject's findings."""
    own = {row[0] for row in before["finding"] | after["finding"] if BUCKET in row}
    for table, were in before.items():
        gone, new = were - after[table], after[table] - were
        if table in ("entry", "scan"):
            assert not gone and len(new) == 1, table
        elif table == "drift":
            assert not gone and all(BUCKET in row for row in new)
        elif table in ("finding", "wording", "unjudged"):
            assert {row[0] for row in gone | new} <= own, table
        elif table != "token":
            assert gone == new == set(), table


def test_a_re_check_moves_one_subject_and_leaves_the_next_scan_as_it_would_have_been(
    two_weeks: FaultWorld, clear: tuple[Scan, list[str]], tmp_path: Path
) -> None:
    state = tmp_path / "state"
    shutil.copytree(two_weeks.state, state)
    config = tmp_path / "config.toml"
    text = (two_weeks.dir / "config.toml").read_text().replace(str(two_weeks.state), str(state))
    config.write_text(text.replace("[aws]", "[limits]\nattempts = 1\n\n[aws]", 1))
    path = state / "ledger.sqlite3"
    start = rows(path)
    with Ledger.open(path) as ledger:
        (finding,) = ledger.findings(Filters(rule="BKT-005", subject_key=BUCKET))
        last = ledger.latest_scan()
        first = two_weeks.now - timedelta(hours=2)
        words = ("scan", "--only", finding.finding_id[:10], "--at")

        # the bucket was mended, but the call that would show it is denied
        fault = {
            "service": "s3",
            "operation": "GetBucketVersioning",
            "kind": "deny",
            "resource": BUCKET.rpartition(":")[2],
        }
        with two_weeks.broken(fault):
            said = run(*words, first.isoformat(), "--json", "--fail-on", "medium", config=config)
        assert said.exit_code == FAILING, said.stderr
        (row,) = json.loads(said.stdout)["rows"]
        told = {one["code"]: (one["before"], one["after"], one["moved"]) for one in row["rules"]}
        assert told["BKT-005"] == ("fail", "unknown", "changed") and told["BKT-003"] == ("fail", "fail", None)
        assert not json.loads(said.stdout)["complete"]
        hidden = ledger.finding(finding.finding_id)
        assert hidden is not None and (hidden.state, hidden.verdict) == ("open", "unknown")
        denied = rows(path)
        only_of_the_subject(start, denied)

        misspelt = run("scan", "--only", "acme-trial-222222222222", config=config)
        assert misspelt.exit_code == 2 and BUCKET in misspelt.stderr and rows(path) == denied

        said = run(*words, (first + timedelta(hours=1)).isoformat(), config=config)
        assert said.exit_code == 0, said.stderr
        assert "resolved   BKT-005" in said.stdout and "No other subject was judged" in said.stdout
        mended = ledger.finding(finding.finding_id)
        assert mended is not None and (mended.state, mended.ended) == ("closed", "resolved")
        only_of_the_subject(denied, rows(path))
        assert ledger.latest_scan() == last and ledger.scans() == [last] and ledger.verify().intact
        assert len(ledger.scans(rechecks=True)) == 3
        assert still_open(ledger) == sorted(one.finding_id for one in ledger.findings())

    whole, open_then = clear
    own = dataclasses.replace(
        two_weeks.config, state=dataclasses.replace(two_weeks.config.state, dir=str(state))
    )
    with Ledger.open(path) as ledger:
        done = scan(own, ledger, pack(), now=two_weeks.now, slot="W02")
        mine = {("resolved", "BKT-005", BUCKET)}
        before, after = by_meaning(whole.drift), by_meaning(done.drift)
        assert {key: before[key] for key in before.keys() - mine} == after
        assert mine <= before.keys()
        assert still_open(ledger) == open_then and ledger.verify().intact


def by_meaning(drift: Any) -> dict[tuple[Any, ...], Drift]:
    """Return drift by what it is of, every word of it kept."""
    codes = {rule.id: rule.code for rule in pack().rules}
    # A re-check has entries of its own in the chain, and SCN-013 counts these.
    drift = [one for one in drift if one.subject_table != "ledger"]
    return {
        (one.kind, codes.get(one.rule, one.rule), one.subject_key, *((one.field,) if one.field else ())): one
        for one in drift
    }


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}", **more}


def test_the_same_estate_gives_the_same_snapshot_and_the_same_verdicts_anywhere(
    two_weeks: FaultWorld, tmp_path: Path
) -> None:
    """Another process, another estate seeded alike, another place on earth, another order of every hash."""
    plan = Plan(two_weeks.dir / "config.toml", pack(), two_weeks.now, {})
    (tmp_path / "plan").write_bytes(pickle.dumps(plan))
    command = [sys.executable, str(TESTS / "fault_child.py"), str(tmp_path / "plan"), "scratch"]
    elsewhere = environment(
        TZ="Pacific/Chatham", PYTHONHASHSEED="4711", LC_ALL="tr_TR.UTF-8", LANG="tr_TR.UTF-8"
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=elsewhere) as other:
        here = from_nothing(two_weeks.config, pack(), two_weeks.now, tmp_path / "state")
        there = json.loads(other.communicate()[0])
    for part in here:
        assert here[part] == there[part], part
