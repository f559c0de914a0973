"""A whole scan of week 2 with something broken: it ends incomplete, and nothing of week 1 resolves for it."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fault_child import Plan, from_nothing
from fault_world import FULL_WALK, Fault, FaultWorld, pack

from auditor.errors import INCOMPLETE
from auditor.ledger import Filters, Ledger
from auditor.model import Drift
from auditor.scan import Scan

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
