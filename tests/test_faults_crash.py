"""A scan that is killed or runs out of disk at any point leaves the ledger as it was, and the next one completes."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_child import SENTENCE, Plan, Told, points
from fault_world import FaultWorld, pack

from auditor.judge import Judgement
from auditor.ledger import Filters, FindingRow, Ledger

TESTS = Path(__file__).parent
KILLED = -signal.SIGKILL


class Scanner:
    """A process that forks scans of week 2."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        (folder / "plan").write_bytes(pickle.dumps(plan))
        command = [sys.executable, str(TESTS / "fault_child.py"), str(folder / "plan")]
        environment = {**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def scan(self, state: Path, **task: Any) -> int:
        """Scan week 2 on a state folder and return how the process ended."""
        self._process.stdin.write(
            json.dumps({"state": str(state), "said": str(self.folder / "said"), **task}) + "\n"
        )
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def scanner(two_weeks: FaultWorld, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scanner]:
    told = {
        name: Told(heard.TABLES, heard.AFTER, heard.ACTIONS, heard.Settings, tuple(heard.yielded))
        for name, heard in two_weeks.heard.items()
    }
    plan = Plan(two_weeks.dir / "config.toml", pack(), two_weeks.now, told)
    made = Scanner(plan, tmp_path_factory.mktemp("scanner"))
    yield made
    made.close()


@pytest.fixture
def state(two_weeks: FaultWorld, tmp_path: Path) -> Path:
    """A state folder as week 1 left it."""
    return shutil.copytree(two_weeks.state, tmp_path / "state")


@pytest.fixture(scope="module")
def whole(
    two_weeks: FaultWorld, scanner: Scanner, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What week 2 comes to when nothing happens to its scan."""
    state = shutil.copytree(two_weeks.state, tmp_path_factory.mktemp("whole") / "state")
    assert scanner.scan(state) == 0, scanner.said
    return contents(state)


def contents(state: Path) -> dict[str, Any]:
    """Return what people see of a ledger; what is about scanning itself may tell of interruptions."""
    with Ledger.open(state / "ledger.sqlite3") as ledger:
        check = ledger.verify()
        assert check.intact, check.because
        last = ledger.latest_scan()
        assert last is not None
        found = ledger.findings(Filters(state="all"))
        return {
            "scans": [scan.slot for scan in ledger.scans(state="finished")],
            "findings": [_told(one) for one in found if one.subject_table not in ("scan", "ledger")],
            "outcomes": outcomes(state, last.snapshot_id),
        }


def _told(finding: FindingRow) -> FindingRow:
    """Return a finding without the ids of scans: an interrupted one before is part of their hash."""
    return dataclasses.replace(finding, since_scan="", until_scan="" if finding.until_scan else None)


def outcomes(state: Path, snapshot_id: str) -> list[Any]:
    (folder,) = (state / "judged").glob(f"{snapshot_id}-*")
    return [one for one in Judgement.open(folder).outcomes() if one.subject_table not in ("scan", "ledger")]


def left_over(state: Path) -> list[Path]:
    return [path for path in state.rglob(".*") if path.name.startswith((".partial-", ".draft-"))]


def test_a_scan_killed_at_any_point_leaves_the_ledger_and_the_next_one_completes(
    scanner: Scanner, state: Path, whole: dict[str, Any]
) -> None:
    before = contents(state)
    littered = set()
    for point in points(scanner.plan):
        assert scanner.scan(state, die=point) == KILLED, f"{point}: {scanner.said}"
        assert contents(state) == before, point
        littered |= {path.name[:6] for path in left_over(state)}
    assert littered == {".parti", ".draft"}  # the kills did fall where something was half done
    assert scanner.scan(state) == 0, scanner.said
    assert left_over(state) == []
    assert contents(state) == whole
    with Ledger.open(state / "ledger.sqlite3") as ledger:
        assert len(ledger.scans(state="interrupted")) == len(points(scanner.plan))


def test_a_scan_killed_right_after_its_record_is_there_whole(
    scanner: Scanner, state: Path, whole: dict[str, Any]
) -> None:
    assert scanner.scan(state, die="committed") == KILLED
    assert contents(state) == whole
    assert scanner.scan(state) == SENTENCE
    assert "was already scanned" in scanner.said


def test_a_disk_that_fills_up_ends_a_scan_with_a_sentence_and_without_a_trace(
    scanner: Scanner, state: Path, whole: dict[str, Any]
) -> None:
    before = contents(state)
    said = {}
    for limit in (2_000, 8_000, 20_000, 60_000, 150_000):  # bytes a file may have
        assert scanner.scan(state, limit=limit) == SENTENCE, f"{limit}: {scanner.said}"
        said[limit] = scanner.said
        assert "Traceback" not in said[limit]
        assert contents(state) == before, limit
    assert len(set(said.values())) > 1, said
    assert scanner.scan(state) == 0, scanner.said
    assert contents(state) == whole
