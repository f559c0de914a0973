"""A ledger that is damaged anywhere: whoever opens it says so and what to do, and nothing is written over it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cli_case import CONFIG, ROOT, run
from ledger_case import day, outcome, scan
from service_case import World
from test_service_serve import Clocked

from auditor.cli._app import App
from auditor.cli.scan import _told_of_the_ledger
from auditor.doctor_host import database
from auditor.errors import VerificationError
from auditor.ledger import Alert, Ledger, write_ahead
from auditor.service.serve import opened
from auditor.service.watch import Limits, Looks, Watcher, looked

PAGE = 4096
LIMITS = Limits(10**9, 10**9, 3600)
TALLY = {"chains": {}, "links": {}, "verdicts": {}, "not_due": 0, "gaps": 0, "severities": {}}
CRASHING = """
import os, sys
from auditor.ledger import Ledger
from ledger_case import day
ledger = Ledger.open(sys.argv[1])
for n in range(30, 36):
    ledger.note("probe", {"n": n, "text": "x" * 3000}, day(n))
os._exit(9)
"""
"""Six transactions that nobody wrote back from the log into the file."""


@dataclass(frozen=True, slots=True)
class Files:
    """A ledger's file, and the log beside it."""

    body: bytes
    log: bytes = b""

    def put(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.body)
        if self.log:
            path.with_name(f"{path.name}-wal").write_bytes(self.log)
        return path

    def are(self, path: Path) -> bool:
        log = path.with_name(f"{path.name}-wal")
        return path.read_bytes() == self.body and (not self.log or log.read_bytes() == self.log)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "ledger.sqlite3"
    with Ledger.open(path) as ledger:
        for n in range(1, 5):
            found = [
                outcome("fail", f"arn:aws:s3:::b{k:04d}", because=f"day {n}, bucket {k}. " + "y" * 300)
                for k in range(n * 20)
            ]
            alerts = [Alert(f"msg_{n}", "hook", "opened", (f"k{n}",), {"n": n})]
            ledger.record(scan(n, tally=TALLY), found, alerts=alerts, at=day(n))
        ledger._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture(scope="module")
def logged(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The ledger as a crash leaves it: six transactions stand in its log alone."""
    path = tmp_path_factory.mktemp("logged") / "ledger.sqlite3"
    path.write_bytes(whole.read_bytes())
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    assert (
        subprocess.run([sys.executable, "-c", CRASHING, path], env=environment, check=False).returncode == 9
    )
    return Files(path.read_bytes(), path.with_name("ledger.sqlite3-wal").read_bytes())


@pytest.fixture(scope="module")
def spoilt(whole: Path, logged: Files) -> Mapping[str, Files]:
    body = whole.read_bytes()
    conn = sqlite3.connect(whole)
    root = dict(conn.execute("SELECT name, rootpage FROM sqlite_master"))
    conn.close()
    (leaf, *_) = [at for at in range(0, len(body), PAGE) if b"day 3, bucket 47." in body[at : at + PAGE]]

    def without(at: int, length: int = PAGE) -> Files:
        return Files(body[:at] + b"\xa5" * length + body[at + length :])

    def instead(old: bytes, new: bytes) -> Files:
        assert old in body
        return Files(body.replace(old, new, 1))

    def within(page: int, old: bytes, new: bytes) -> Files:
        at = body.index(old, (page - 1) * PAGE, page * PAGE)
        return Files(body[:at] + new + body[at + len(old) :])

    frame = 24 + PAGE
    log = bytearray(logged.log)
    log[32 + frame + 24 + 100] ^= 0xFF
    return {
        "a leaf of a table": without(leaf),
        "half a leaf": without(leaf + 2000, 500),
        "a root of a table": without((root["entry"] - 1) * PAGE),
        "an index": without((root["finding_open"] - 1) * PAGE),
        "the index of the chain": without((root["sqlite_autoindex_entry_1"] - 1) * PAGE),
        "a value in an index": within(root["scan_at"], b"2026-", b"2027-"),
        "the schema is no text": instead(b"sqlite_autoindex_lease_1", b"sqlite_autoindex_\xffease_1"),
        "what no scan asks": without((root["slot"] - 1) * PAGE),
        "the end is cut off": Files(body[: len(body) // 2 // PAGE * PAGE]),
        "cut within a page": Files(body[:-5000]),
        "a frame of the log": Files(logged.body, bytes(log)),
        "the header of the log": Files(logged.body, b"\0" + logged.log[1:]),
        "a byte of a finding": instead(b"day 3, bucket 47.", b"day 3, bucket 48."),
        "a column's name": instead(b"proving_point TEXT", b"proving_paint TEXT"),
        "a byte that is no text": instead(b"day 3, bucket 47.", b"day 3, bucket\xff47."),
        "a byte of a tally": instead(b'{"chains":{}', b'["chains":{}'),
    }


ALTERED = ("a byte of a finding", "a byte that is no text", "a byte of a tally", "a column's name")
"""Whole pages with something else in them than was recorded."""
DAMAGES = (
    "a leaf of a table", "half a leaf", "a root of a table", "an index", "the index of the chain", "what no scan asks",
    "a value in an index", "the schema is no text",
    "the end is cut off", "cut within a page", "a frame of the log", "the header of the log",
)  # fmt: skip
READING = (
    "status", "db verify", "findings", "drift", "waivers list", "alerts list", "alerts dead", "alerts silences",
    "report list", "receipts list", "baseline list", "snapshots", "explain versioning-on", "status --json",
)  # fmt: skip


def placed(files: Files, folder: Path) -> tuple[Path, Path]:
    config = folder / "config.toml"
    config.write_text(CONFIG.format(state=folder / "state"))
    return config, files.put(folder / "state" / "ledger.sqlite3")


@pytest.mark.parametrize("what", [*DAMAGES, *ALTERED])
def test_whoever_opens_a_spoilt_ledger_says_what_to_do_and_leaves_it_as_it_is(
    spoilt: Mapping[str, Files], tmp_path: Path, what: str
) -> None:
    files = spoilt[what]
    config, path = placed(files, tmp_path)
    for command in READING:
        done = run(*command.split(), config=config)
        assert isinstance(done.exception, SystemExit | None), (command, done.exception)  # no traceback
        assert done.exit_code in (0, 2, 5), (command, done.output)
        if command == "db verify" or (command.startswith("status") and what in DAMAGES):
            assert done.exit_code == 5, command
        if done.exit_code == 5:
            assert "`auditor db restore FILE`" in done.stderr, command
    checks, usable = database(path)
    assert (checks[-1].state, usable) == ("failed", False)
    assert "`auditor db restore FILE`" in checks[-1].remedy
    (trouble,) = looked(path, LIMITS, day(5))
    assert trouble.kind == ("altered" if what in ALTERED else "unreadable")
    assert "`auditor db restore FILE`" in trouble.remedy
    assert files.are(path)


@pytest.mark.parametrize("what", DAMAGES)
def test_neither_a_scan_nor_a_service_writes_to_a_damaged_ledger(
    spoilt: Mapping[str, Files], tmp_path: Path, what: str
) -> None:
    config, path = placed(spoilt[what], tmp_path)
    if what == "what no scan asks":  # of the others the first thing that a scan does is enough
        done = run("scan", config=config)
        assert done.exit_code == 5, done.output
        assert "`auditor db restore FILE`" in done.stderr
    with pytest.raises(VerificationError, match=r"db restore FILE"), Ledger.open(path) as ledger:
        ledger.require_whole()
    with pytest.raises(VerificationError, match=r"db restore FILE"):
        opened(path)
    assert spoilt[what].are(path)


def test_a_service_stops_writing_when_a_page_is_damaged_and_goes_on_when_it_is_whole_again(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    clocked = Clocked(world)
    clocked.pass_(120)
    world.ledger._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (root,) = world.ledger._conn.execute("SELECT rootpage FROM sqlite_master WHERE name = 'drift'").fetchone()
    world.close()
    body = world.path.read_bytes()
    damaged = Files(body[: (root - 1) * PAGE] + b"\xa5" * PAGE + body[root * PAGE :])
    damaged.put(world.path)
    clocked.lines.clear()
    clocked.pass_(70)  # no loop asks for drift: every page is looked through each minute
    assert [event for event, _ in clocked.lines] == ["trouble"]
    assert "`auditor db restore FILE`" in clocked.lines[0][1]["because"]
    assert not clocked.ready()[0]
    during = world.path.read_bytes()
    clocked.pass_(3600, 60)  # a slot is due
    assert world.path.read_bytes() == during
    world.path.write_bytes(body)
    world.ledger = world._opened()
    clocked.pass_(60)
    assert [event for event, _ in clocked.lines] == ["trouble", "well again"]
    assert len(world.scans) == 2  # the slot that was due is run now
    world.ledger.close()
    assert clocked.ready() == (True, {})


def test_a_service_whose_ledger_was_altered_says_so_once_an_hour_and_goes_on(
    spoilt: Mapping[str, Files], tmp_path: Path
) -> None:
    world = World(tmp_path)
    clocked = Clocked(world)
    clocked.pass_(60)
    world.ledger._conn.execute("DROP TRIGGER scan_never_update")
    world.ledger._conn.execute("UPDATE scan SET tally = '{\"fail\":7}'")
    clocked.lines.clear()
    for _ in range(3):
        clocked.service.measure()
    ((event, said),) = clocked.lines
    assert (event, said["goes_on"]) == ("trouble", "scanning")
    assert "was changed in tally" in said["because"]
    assert clocked.ready()[0]
    world.close()


def test_the_watch_tells_of_damage_within_the_hour_and_of_its_end(
    whole: Path, spoilt: Mapping[str, Files], tmp_path: Path
) -> None:
    _, path = placed(Files(whole.read_bytes()), tmp_path)
    lines: list[str] = []
    watcher = Watcher(
        "ledger", LIMITS, None, lambda event, fields: lines.append(f"{event} {fields.get('what')}")
    )
    looks, at = Looks(path, LIMITS), 0.0

    def pass_(minutes: int) -> None:
        nonlocal at
        for _ in range(minutes):
            at += 60
            now = day(4) + timedelta(seconds=at)
            watcher.turn(looks.look(now, at), now, at)

    pass_(5)
    for what, kind in (("a leaf of a table", "unreadable"), ("a byte of a finding", "altered")):
        spoilt[what].put(path)
        pass_(61)
        assert lines == [f"stuck {kind}"]
        path.write_bytes(whole.read_bytes())
        pass_(2)
        assert lines == [f"stuck {kind}", f"well again {kind}"]
        lines.clear()


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE scan SET at = 'then' WHERE n = 4",
        "UPDATE outbox SET created_at = 'then', state = 'pending'",
        "INSERT INTO leader VALUES (1, 'x', 1, 1, 'then', 'then')",
        "ALTER TABLE slot RENAME COLUMN failures TO failed",
    ],
)
def test_the_watch_outlives_whatever_it_cannot_read(whole: Path, tmp_path: Path, edit: str) -> None:
    path = Files(whole.read_bytes()).put(tmp_path / "ledger.sqlite3")
    conn = sqlite3.connect(path, isolation_level=None)
    for (name,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        conn.execute(f"DROP TRIGGER {name}")
    conn.execute(edit)
    conn.close()
    (trouble,) = looked(path, LIMITS, day(5))
    assert trouble.kind == "unreadable"
    assert "`auditor db restore FILE`" in trouble.remedy
    with Ledger.look(path) as ledger, pytest.raises(VerificationError, match=r"db restore FILE"):
        ledger.agenda.signs()


def test_a_torn_end_of_the_log_is_no_damage_and_what_was_committed_before_it_is_there(
    logged: Files, tmp_path: Path
) -> None:
    frame = 24 + PAGE
    torn = bytearray(logged.log)
    torn[-100] ^= 0xFF  # of the last transaction, as a power cut leaves it
    for name, log in (("torn", bytes(torn)), ("part", logged.log[: -frame // 2]), ("whole", logged.log)):
        path = Files(logged.body, log).put(tmp_path / name / "ledger.sqlite3")
        assert write_ahead.lost(path) == ""
        with Ledger.open(path) as ledger:
            kept = [entry.body["n"] for entry in ledger.entries(kind="probe")]
            assert kept == [*range(30, 36 if name == "whole" else 35)]
            assert ledger.unsound() == ""
    alone = Files(logged.body, logged.log[:32]).put(tmp_path / "alone" / "ledger.sqlite3")
    assert write_ahead.lost(alone) == ""
    begun_anew = bytearray(logged.log)
    begun_anew[32 + 8 + frame : 32 + 12 + frame] = (
        b"\1\2\3\4"  # what follows is of an earlier round? then all of it is
    )
    for at in range(32 + frame, len(begun_anew), frame):
        begun_anew[at + 8 : at + 12] = b"\1\2\3\4"
    assert (
        write_ahead.lost(Files(logged.body, bytes(begun_anew)).put(tmp_path / "anew" / "ledger.sqlite3"))
        == ""
    )


def test_a_log_that_a_writer_writes_to_is_never_called_damaged(whole: Path, tmp_path: Path) -> None:
    path = Files(whole.read_bytes()).put(tmp_path / "ledger.sqlite3")
    with Ledger.open(path) as ledger:
        ledger._conn.execute("PRAGMA wal_autocheckpoint = 20")
        for n in range(60):  # the log begins anew several times
            ledger.note("probe", {"n": n}, day(9))
            assert write_ahead.lost(path) == ""


def test_a_log_is_looked_through_frame_by_frame_however_long_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    conn = sqlite3.connect(path, isolation_level=None)
    conn.execute("PRAGMA journal_mode = WAL")
    conn.execute("PRAGMA wal_autocheckpoint = 0")
    conn.execute("CREATE TABLE many (text)")
    conn.execute("INSERT INTO many VALUES (zeroblob(8000000))")
    tracemalloc.start()
    assert write_ahead.lost(path) == ""
    assert tracemalloc.get_traced_memory()[1] < 500_000
    tracemalloc.stop()
    conn.close()


def test_a_restore_keeps_the_damaged_log_beside_the_old_file(
    whole: Path, spoilt: Mapping[str, Files], tmp_path: Path
) -> None:
    files = spoilt["a frame of the log"]
    config, path = placed(files, tmp_path)
    backup = tmp_path / "backup"
    backup.write_bytes(whole.read_bytes())
    done = run("db", "restore", str(backup), config=config)
    assert done.exit_code == 0, done.output
    aside = path.with_name("ledger.sqlite3.before-restore")
    assert aside.with_name(f"{aside.name}-wal").read_bytes() == files.log
    with Ledger.open(path) as ledger:
        assert ledger.unsound() == ""
        assert ledger.entries()[-1].kind == "restore"


def test_a_scan_into_a_ledger_that_was_altered_is_recorded_and_ends_with_what_to_do(tmp_path: Path) -> None:
    def done(**said: object) -> Any:
        return SimpleNamespace(snapshot=SimpleNamespace(rows={"history_ledger": [said]}.__getitem__))

    this = App(config_path=str(placed(Files(b"x"), tmp_path)[0]))
    _told_of_the_ledger(this, done(intact=True, because=""))
    with pytest.raises(
        VerificationError, match=r"the scan was recorded, but .* not sound: entry 3: "
    ) as raised:
        _told_of_the_ledger(this, done(intact=False, because="entry 3: the findings are not those"))
    assert raised.value.exit_code == 5
    assert "`auditor db restore FILE`" in raised.value.remedy
