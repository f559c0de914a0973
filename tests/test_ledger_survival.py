"""What the ledger survives: kill -9, two writers, a full disk, damage, old and newer schemas."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from ledger_case import day, outcome, scan
from ledger_writer import record_day

from auditor.errors import AuditorError, BusyError, UsageError, VerificationError
from auditor.ledger import Filters, Ledger, storage
from auditor.ledger.migrations import VERSION

TESTS = Path(__file__).parent
FIXTURES = TESTS / "fixtures" / "ledger"
CHECKPOINTS = ("begin", "findings", "drift", "memory", "outbox", "entry", "committed")
KILLED = -9


def other(*arguments: object) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}"}
    command = [sys.executable, str(TESTS / "ledger_writer.py"), *map(str, arguments)]
    return subprocess.Popen(command, env=environment)


def dump(path: Path) -> list[str]:
    conn = sqlite3.connect(path)
    try:
        return list(conn.iterdump())
    finally:
        conn.close()


def test_a_scan_killed_at_any_step_is_recorded_whole_or_not_at_all(tmp_path: Path) -> None:
    start = tmp_path / "start"
    with Ledger.open(start) as ledger:
        record_day(ledger, 1)
        ledger.backup(tmp_path / "before")
        record_day(ledger, 2)
        ledger.backup(tmp_path / "after")
    before, after = dump(tmp_path / "before"), dump(tmp_path / "after")
    running = {}
    for point in CHECKPOINTS:
        shutil.copy(tmp_path / "before", tmp_path / point)
        running[point] = other(tmp_path / point, "record", 2, point)
    for point, process in running.items():
        assert process.wait(60) == KILLED
        with Ledger.open(tmp_path / point) as ledger:
            assert ledger.verify().intact
            ledger.backup(tmp_path / "copy")
            assert dump(tmp_path / "copy") == (after if point == "committed" else before), point
            if point != "committed":  # the next scan completes, as if nothing had been
                record_day(ledger, 2)
                ledger.backup(tmp_path / "copy")
                assert dump(tmp_path / "copy") == after, point


def test_two_processes_write_one_ledger_and_no_scan_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    running = [other(path, "many", first, 15) for first in (100, 200)]
    assert [process.wait(60) for process in running] == [0, 0]
    with Ledger.open(path) as ledger:
        assert len(ledger.scans(state="finished")) == 30
        assert len(ledger.findings(Filters(state="all"))) == 1
        assert ledger.verify().because == ""


def test_two_processes_ack_silence_and_post_at_once_and_nothing_of_it_is_lost_or_unbound(
    tmp_path: Path,
) -> None:
    path, rounds = tmp_path / "ledger", 10
    with Ledger.open(path) as ledger:
        record_day(ledger, 1)
    running = [other(path, "decide", who, rounds) for who in ("ann", "bob")]
    assert [process.wait(60) for process in running] == [0, 0]
    with Ledger.open(path) as ledger:
        assert ledger.verify().because == ""
        assert len({row.alert.alert_id for row in ledger.outbox()}) == 1 + 2 * 2 * rounds
        assert len(ledger.acknowledgements()) == 2 * rounds
        assert [row.ended_by for row, _, _ in ledger.silences() if row.ended_by == row.author].count(
            "ann"
        ) == rounds
        kinds = Counter(entry.kind for entry in ledger.entries())
        assert kinds["posted"] == 2 * 2 * rounds
        assert kinds["silence"] == kinds["silence_ended"] == kinds["acknowledgement"] == 2 * rounds


def test_a_new_ledger_waits_for_the_process_that_makes_it_too(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(BusyError):
        Ledger.open(path, busy_s=0.05)
    made = threading.Timer(0.2, other.execute, ["ROLLBACK"])
    made.start()
    with Ledger.open(path, busy_s=30) as ledger:
        assert ledger.scans() == []
    made.join()
    other.close()


def test_a_ledger_is_opened_by_whatever_name_its_folder_has(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"50% of #1? \xff") / "ledger"
    with Ledger.open(path) as ledger:
        record_day(ledger, 1)
        assert path.stat().st_size
    with Ledger.look(path) as ledger:
        assert len(ledger.scans()) == 1


def test_a_ledger_that_another_writes_to_is_busy_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with Ledger.open(path) as ledger, Ledger.open(path, busy_s=0.05) as second:
        ledger._conn.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyError) as raised:
            second.record(scan(1), [], at=day(1))
        assert raised.value.exit_code == 6
        assert second.scans() == []  # readers are not held up
        ledger._conn.execute("ROLLBACK")
        second.record(scan(1), [], at=day(1))


def test_a_reader_sees_one_state_while_a_scan_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    seen = []
    with Ledger.open(path) as reader:

        def look(name: str) -> None:
            seen.append((name, len(reader.scans()), len(reader.findings()), len(reader.outbox())))

        with Ledger.open(path, checkpoint=look) as writer:
            record_day(writer, 1)
    assert [counts for _, *counts in seen[:-1]] == [[0, 0, 0]] * 6
    assert seen[-1] == ("committed", 1, 1, 1)


@pytest.mark.parametrize("limit", ["pages", "file"])
def test_a_full_disk_leaves_the_ledger_as_it_was(tmp_path: Path, limit: str) -> None:
    path = tmp_path / "ledger"
    with Ledger.open(path) as ledger:
        record_day(ledger, 1)
        ledger._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        many = [outcome("fail", f"arn:aws:s3:::many-{n}", because="x" * 500) for n in range(2000)]
        if limit == "pages":
            (pages,) = ledger._conn.execute("PRAGMA page_count").fetchone()
            ledger._conn.execute(f"PRAGMA max_page_count = {pages + 10}")
        old = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            if limit == "file":
                import signal

                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50_000, old[1]))
            with pytest.raises(AuditorError, match="could not be written"):
                ledger.record(scan(2), many, at=day(2))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        ledger._conn.execute("PRAGMA max_page_count = 1000000")
        assert len(ledger.findings()) == 1
        assert ledger.damage() == []
        assert ledger.verify().intact
        ledger.record(scan(2), many, at=day(2))
        assert len(ledger.findings()) == 2000


def test_a_ledger_that_may_not_be_written_says_what_must_be_writable(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with Ledger.open(path) as ledger:
        record_day(ledger, 1)
        ledger._conn.execute("PRAGMA query_only = ON")
        with pytest.raises(AuditorError, match="could not be written: attempt to write a readonly") as raised:
            record_day(ledger, 2)
        assert "must be writable" in raised.value.remedy
        ledger._conn.execute("PRAGMA query_only = OFF")
        record_day(ledger, 2)
        assert ledger.verify().because == ""
    path.with_name("ledger-wal").mkdir()
    with pytest.raises(AuditorError, match="could not be written") as raised:
        Ledger.open(path)
    assert "files beside it" in raised.value.remedy


def test_damage_is_named_by_page_and_the_backup_comes_back(tmp_path: Path) -> None:
    path, backup = tmp_path / "ledger", tmp_path / "backup"
    with Ledger.open(path) as ledger:
        for n in range(1, 30):
            record_day(ledger, n)
        ledger.backup(backup)
        head = ledger.head()
        (page,) = ledger._conn.execute("SELECT rootpage FROM sqlite_master WHERE name = 'finding'").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)
    with Ledger.open(path) as ledger:
        assert any(f"page {page}" in words for words in ledger.damage())
        with pytest.raises(VerificationError, match="malformed"):
            ledger.findings()
    Ledger.restore(path, backup, day(40)).close()
    with Ledger.open(path) as ledger:
        assert ledger.damage() == []
        check = ledger.verify(expect_head=head[1])
        assert (check.intact, check.entries) == (True, head[0] + 1)
        (entry,) = ledger.entries(kind="restore")
        assert entry.body["head"] == head[1]
    assert (tmp_path / "ledger.before-restore").exists()


def test_an_edited_backup_is_not_restored(tmp_path: Path) -> None:
    path, backup = tmp_path / "ledger", tmp_path / "backup"
    with Ledger.open(path) as ledger:
        record_day(ledger, 1)
        ledger.backup(backup)
    conn = sqlite3.connect(backup)
    conn.executescript("DROP TRIGGER scan_never_update; UPDATE scan SET tally = '{}'")
    conn.close()
    with pytest.raises(VerificationError, match="does not verify"):
        Ledger.restore(path, backup, day(2))
    with Ledger.open(path) as ledger:
        assert ledger.verify().intact


class Cut(BaseException):
    """The process is killed here."""


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """A ledger of two days, and a backup of its first by a name that means something else in a URI."""
    path, backup = tmp_path / "ledger", tmp_path / "of monday? 100%20#1.backup"
    with Ledger.open(path) as ledger:
        record_day(ledger, 1)
        ledger.backup(backup)
        record_day(ledger, 2)
    return path, backup


def test_a_restore_brings_back_the_backup_it_was_given_and_leaves_that_as_it_is(
    two: tuple[Path, Path], tmp_path: Path
) -> None:
    path, backup = two
    body = backup.read_bytes()
    new = tmp_path / "a new machine" / "ledger"
    for place in (path, new):
        with Ledger.restore(place, backup, day(3)) as ledger:
            assert len(ledger.scans()) == 1
    assert backup.read_bytes() == body
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(
        ["a new machine", "ledger", "ledger.before-restore", backup.name]
    )
    with Ledger.open(tmp_path / "ledger.before-restore") as ledger:
        assert len(ledger.scans()) == 2


def test_a_backup_of_an_old_schema_is_restored_in_the_present_one_and_left_in_its_own(tmp_path: Path) -> None:
    backup = shutil.copy(FIXTURES / "v8.sqlite3", tmp_path / "backup")
    with Ledger.restore(tmp_path / "ledger", Path(backup), day(99)) as ledger:
        assert ledger.verify().because == ""
    assert Path(backup).read_bytes() == (FIXTURES / "v8.sqlite3").read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["backup", "ledger"]


def test_a_ledger_that_another_process_has_open_is_not_replaced(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, backup = two
    monkeypatch.setattr(storage, "_PATIENCE", 2)
    with Ledger.open(path) as scanning:
        with pytest.raises(BusyError, match="another process is using the ledger"):
            Ledger.restore(path, backup, day(3))
        record_day(scanning, 3)
    assert not path.with_name("ledger.before-restore").exists()
    with Ledger.open(path) as ledger:
        assert len(ledger.scans()) == 3


def test_who_waits_while_a_ledger_is_replaced_opens_the_one_that_took_its_place(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, backup = two
    waiting: list[threading.Thread] = []
    seen: list[int] = []
    replaced = os.replace

    def write() -> None:
        with Ledger.open(path, busy_s=30) as ledger:
            ledger.note("probe", {}, day(4))
            seen.append(len(ledger.scans()))

    def replace(source: Path, target: Path) -> None:
        if Path(target) == path:
            waiting.append(threading.Thread(target=write))
            waiting[0].start()
            waiting[0].join(0.1)
            assert waiting[0].is_alive()
        replaced(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with Ledger.restore(path, backup, day(3)):
        waiting[0].join()
    with Ledger.open(path) as ledger:
        assert [entry.kind for entry in ledger.entries()] == ["scan", "restore", "probe"]
        assert ledger.unsound() == ""
    assert seen == [1]


def test_a_restore_that_is_cut_off_leaves_the_old_ledger_or_the_new_one_in_its_place(
    two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [(os, "link"), (os, "replace"), (storage, "_settle")]
    seen: list[tuple[int, bool]] = []
    while (1, False) not in seen:
        path = tmp_path / str(len(seen)) / "ledger"
        path.parent.mkdir()
        shutil.copy(two[0], path)
        left = [len(seen)]

        def cut(step: Callable[..., object], left: list[int] = left) -> Callable[..., object]:
            def stepped(*arguments: object) -> object:
                left[0] -= 1
                if left[0] == -1:
                    raise Cut
                return step(*arguments)

            return stepped

        with monkeypatch.context() as patched:
            for where, name in steps:
                patched.setattr(where, name, cut(getattr(where, name)))
            with suppress(Cut):
                Ledger.restore(path, two[1], day(3)).close()
        with Ledger.open(path, create=False) as ledger:
            seen.append((len(ledger.scans()), left[0] < 0))
            assert len(ledger.entries(kind="restore")) == (len(ledger.scans()) == 1)
    assert set(seen) == {(2, True), (1, True), (1, False)}


def test_of_two_processes_that_open_an_old_ledger_one_migrates_it_and_the_other_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(FIXTURES / "v8.sqlite3", tmp_path / "ledger"))
    before, copying, copies = dump(path), storage.copy, []

    def meanwhile(conn: sqlite3.Connection, target: Path) -> None:
        copies.append(target)
        with pytest.raises(BusyError):
            Ledger.open(path, busy_s=0.02)
        copying(conn, target)

    monkeypatch.setattr(storage, "copy", meanwhile)
    with Ledger.open(path) as first, Ledger.open(path) as second:
        assert first.verify().because == second.verify().because == ""
    assert copies == [tmp_path / "ledger.v8.backup"]
    assert dump(copies[0]) == before


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE outbox SET created_at = 'some time' WHERE scan IS NULL",
        "CREATE TRIGGER outbox_never_delete BEFORE DELETE ON outbox BEGIN SELECT 1; END",
    ],
)
def test_an_old_ledger_that_was_altered_is_called_so_and_is_not_migrated(tmp_path: Path, edit: str) -> None:
    path = Path(shutil.copy(FIXTURES / "v8.sqlite3", tmp_path / "ledger"))
    with sqlite3.connect(path) as conn:
        conn.execute(edit)
    conn.close()
    before = dump(path)
    with pytest.raises(VerificationError, match=f"it cannot be brought to schema {VERSION}"):
        Ledger.open(path)
    assert dump(path) == before


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_a_ledger_of_every_schema_ever_released_opens_and_verifies(tmp_path: Path, version: int) -> None:
    path = tmp_path / "ledger.sqlite3"
    shutil.copy(FIXTURES / f"v{version}.sqlite3", path)
    with Ledger.open(path) as ledger:
        assert ledger._conn.execute("PRAGMA user_version").fetchone()[0] == VERSION
        assert ledger.verify().because == ""
        assert ledger.damage() == []
        assert len(ledger.findings(Filters(state="all"))) == 3
        assert len(ledger.waivers()) == 2
        ledger.record(scan(99), [outcome("fail")], at=day(99))
        assert ledger.verify().because == ""
    fresh = tmp_path / "fresh"
    Ledger.open(fresh).close()

    def shape(where: Path) -> set[tuple[str, str]]:
        conn = sqlite3.connect(where)
        try:
            return set(conn.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL"))
        finally:
            conn.close()

    assert shape(path) == shape(fresh)


def test_a_migration_makes_a_backup_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger"
    with Ledger.open(path) as ledger:
        record_day(ledger, 1)
    before = dump(path)
    steps = (*storage.MIGRATIONS, lambda db: db.execute("CREATE TABLE added (n INTEGER) STRICT"))
    monkeypatch.setattr(storage, "MIGRATIONS", steps)
    monkeypatch.setattr(storage, "VERSION", VERSION + 1)
    with Ledger.open(path) as ledger:
        assert ledger.verify().intact
    assert dump(tmp_path / f"ledger.v{VERSION}.backup") == before


@pytest.mark.parametrize(("step", "version"), [("within", VERSION), ("after", VERSION + 1)])
def test_a_migration_that_is_killed_took_place_or_did_not(tmp_path: Path, step: str, version: int) -> None:
    path = tmp_path / "ledger"
    Ledger.open(path).close()
    assert other(path, "migrate", step).wait(60) == KILLED
    conn = sqlite3.connect(path)
    assert conn.execute("PRAGMA user_version").fetchone()[0] == version
    assert bool(conn.execute("SELECT 1 FROM sqlite_master WHERE name = 'added'").fetchone()) == (
        step == "after"
    )
    conn.close()


def test_a_newer_ledger_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    Ledger.open(path).close()
    conn = sqlite3.connect(path)
    conn.execute(f"PRAGMA user_version = {VERSION + 1}")
    conn.close()
    with pytest.raises(UsageError, match=f"schema {VERSION + 1}, and this auditor knows up to"):
        Ledger.open(path)


def test_a_file_that_is_no_ledger_is_refused_and_left_alone(tmp_path: Path) -> None:
    text, database = tmp_path / "text", tmp_path / "database"
    text.write_text("not a database at all, but long enough to be read as one" * 100)
    conn = sqlite3.connect(database)
    conn.execute("CREATE TABLE mine (n)")
    conn.close()
    for path in (text, database):
        before = path.read_bytes()
        with pytest.raises(VerificationError):
            Ledger.open(path)
        assert path.read_bytes() == before, path
    with pytest.raises(UsageError, match="there is no ledger"):
        Ledger.open(tmp_path / "nothing", create=False)
