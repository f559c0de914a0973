"""Which snapshots stay, which go, and that the ledger tells of every one that went."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cli_case import CONFIG, answer, run
from ledger_case import day, outcome, scan

from auditor.errors import BusyError
from auditor.ledger import Ledger
from auditor.retention import Retention, after_a_scan, prune

TESTS = Path(__file__).parent
HASH = "{:064x}".format
NOW = day(100)


def kept_for(days: int, window: int | None = None) -> Retention:
    return Retention(timedelta(days=days), timedelta(days=days if window is None else window))


def estate(tmp_path: Path, days: Sequence[int], failing: Sequence[int] = ()) -> Ledger:
    """Make a ledger with a quiet scan on each of the days, its snapshot, its judgement and the rules that judged it."""
    ledger = Ledger.open(tmp_path / "ledger.sqlite3")
    for n in days:
        snapshot = HASH(n)
        for folder in (f"snapshots/{snapshot}/tables", f"judged/{snapshot}-{'r' * 12}"):
            (tmp_path / folder).mkdir(parents=True)
        (tmp_path / "snapshots" / snapshot / "manifest.json").write_text("x" * 1000)
        rules = HASH(1000 + n // 50)
        listed = f'[{{"kind": "rules", "name": "a", "sha256": "{rules}"}}]'
        (tmp_path / "judged" / f"{snapshot}-{'r' * 12}" / "rules.json").write_text(listed)
        (tmp_path / "rules").mkdir(exist_ok=True)
        (tmp_path / "rules" / rules).write_text("- id: a")
        outcomes = [outcome("fail" if n in failing else "pass")]
        ledger.record(scan(n, snapshot_id=snapshot), outcomes, at=day(n))
    return ledger


def left(tmp_path: Path) -> list[int]:
    return sorted(int(path.name, 16) for path in (tmp_path / "snapshots").iterdir())


def told(ledger: Ledger) -> list[int]:
    return [int(entry.body["snapshot"], 16) for entry in ledger.entries(kind="prune")]


def test_what_is_old_goes_with_what_was_judged_of_it_and_the_ledger_tells_of_each(tmp_path: Path) -> None:
    with estate(tmp_path, [1, 2, 60, 90]) as ledger:
        before = ledger.scans()
        gone = prune(ledger, tmp_path, kept_for(50), now=NOW)
        assert [int(one.scan.snapshot_id, 16) for one, _ in gone] == [1, 2] == told(ledger)
        assert left(tmp_path) == [60, 90]
        assert sorted(path.name[:64] for path in (tmp_path / "judged").iterdir()) == [HASH(60), HASH(90)]
        assert [path.name for path in (tmp_path / "rules").iterdir()] == [HASH(1001)]
        assert ledger.scans() == before
        assert ledger.verify().because == ""
        (entry, _) = ledger.entries(kind="prune")
        assert entry.body["outcome_digest"] == "o" * 64
        assert entry.body["bytes"] > 1000
        assert "older than 50 days" in entry.body["because"]


def test_the_newest_stays_however_old_it_is_for_the_next_scan_carries_from_it(tmp_path: Path) -> None:
    with estate(tmp_path, [1, 2]) as ledger:
        prune(ledger, tmp_path, kept_for(1), now=NOW)
        assert left(tmp_path) == [2]


def test_within_the_window_the_last_scan_of_a_week_and_those_that_moved_a_finding_stay(
    tmp_path: Path,
) -> None:
    # T0 is a Monday: days 0 to 6 are one week.
    with estate(tmp_path, [0, 1, 2, 3, 6, 7, 8, 99], failing=[2]) as ledger:
        prune(ledger, tmp_path, kept_for(10, window=400), now=NOW)
        assert left(tmp_path) == [2, 3, 6, 8, 99]


def test_what_a_bundle_that_was_handed_out_carries_stays(tmp_path: Path) -> None:
    with estate(tmp_path, [1, 2, 8, 99]) as ledger:
        body = {"bundle": "b" * 64, "file": "b.zip", "from": day(0), "to": day(7)}
        ledger.note("bundle", body, day(9))
        prune(ledger, tmp_path, kept_for(10), now=NOW)
        assert left(tmp_path) == [2, 99]


def test_a_snapshot_that_no_scan_of_this_ledger_names_is_left_alone(tmp_path: Path) -> None:
    with estate(tmp_path, [1, 99]) as ledger:
        (tmp_path / "snapshots" / HASH(50)).mkdir()
        prune(ledger, tmp_path, kept_for(10), now=NOW)
        assert left(tmp_path) == [50, 99]


def test_nothing_goes_while_a_scan_runs_and_nothing_is_said_to_have_gone(tmp_path: Path) -> None:
    with estate(tmp_path, [1, 99]) as ledger:
        ledger.begin("running", f"{os.uname().nodename}-elsewhere/1/1", 3600, NOW)
        with pytest.raises(BusyError, match="is running"):
            prune(ledger, tmp_path, kept_for(10), now=NOW)
        assert after_a_scan(ledger, tmp_path, kept_for(10), now=NOW) == 0
        assert (left(tmp_path), told(ledger)) == ([1, 99], [])


def killed(tmp_path: Path, at: int) -> int:
    environment = {**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}"}
    command = [sys.executable, str(TESTS / "retention_child.py"), str(tmp_path), "50", str(at)]
    return subprocess.run(command, env=environment, check=False).returncode


def test_a_pruning_that_is_killed_anywhere_lies_of_nothing_and_the_next_one_ends_it(tmp_path: Path) -> None:
    at, ended = 1, False
    while not ended:
        state = tmp_path / str(at)
        state.mkdir()
        estate(state, [1, 2, 60, 90]).close()
        code = killed(state, at)
        assert code in (0, -9)
        ended = code == 0
        with Ledger.open(state / "ledger.sqlite3") as ledger:
            here = set(left_whole(state))
            assert {1, 2} - here <= set(told(ledger))  # what is gone is told of
            assert {60, 90} <= here
            for n in here & {1, 2}:
                assert (state / "snapshots" / HASH(n) / "manifest.json").exists()  # what is there is whole
            assert ledger.verify().because == ""
            prune(ledger, state, kept_for(50), now=NOW)
            after_a_scan(ledger, state, kept_for(50), now=NOW)
            assert left(state) == [60, 90]
            assert sorted(told(ledger)) == [1, 2]
            assert [path.name for path in (state / "rules").iterdir()] == [HASH(1001)]
        at += 1
    assert at > 6


def left_whole(state: Path) -> list[int]:
    return [int(p.name, 16) for p in (state / "snapshots").iterdir() if not p.name.startswith(".")]


def house(tmp_path: Path, keep: str = "50d") -> Path:
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(state=tmp_path) + f'[snapshots]\nkeep = "{keep}"\nwindow = "{keep}"\n')
    return config


def test_a_dry_run_lists_exactly_what_would_go_and_removes_nothing(tmp_path: Path) -> None:
    estate(tmp_path, [1, 2]).close()
    config = house(tmp_path, "1d")
    would = answer("snapshots", "prune", "--dry-run", config=config)
    assert (would["pruned"], [row["snapshot"] for row in would["rows"]]) == (False, [HASH(1)])
    assert left(tmp_path) == [1, 2]
    went = answer("snapshots", "prune", config=config)
    assert (went["pruned"], went["rows"][0]["bytes"]) == (True, would["rows"][0]["bytes"])
    assert left(tmp_path) == [2]


def test_the_list_says_of_each_snapshot_why_it_is_kept(tmp_path: Path) -> None:
    estate(tmp_path, [1, 2]).close()
    said = run("snapshots", config=house(tmp_path, "1d")).stdout
    assert "nothing keeps it" in said
    assert "the newest: the next scan carries from it" in said


def test_a_command_that_meets_a_pruned_snapshot_says_so_in_a_sentence(tmp_path: Path) -> None:
    with estate(tmp_path, [1, 99]) as ledger:
        prune(ledger, tmp_path, kept_for(50), now=NOW)
    config = house(tmp_path)
    for words in (
        ("exports", "--as-of", day(2).isoformat()),
        ("scan", "--snapshot", str(tmp_path / "snapshots" / HASH(1))),
    ):
        done = run(*words, config=config)
        assert done.exit_code == 2
        assert "pruned at 2026-05-13 03:00Z" in done.stderr
        assert "Traceback" not in done.output
