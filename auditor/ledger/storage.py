"""The ledger as a file: opened, migrated, backed up, restored, checked page by page."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from auditor.errors import AuditorError, BusyError, UsageError, VerificationError
from auditor.ledger import write_ahead
from auditor.ledger.chain import NO_TEXT, altered
from auditor.ledger.migrations import APPLICATION_ID, CREATED, MIGRATIONS, VERSION, create

_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_REFUSED = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_PAUSE_S = 0.02
_PATIENCE = 100
"""So many pauses a restore waits for those who have the ledger open for a moment."""
_LET_GO_S = 0.1
"""Who opened the old file just before another took its place is refused within this, and opens the new one."""


def damaged(error: sqlite3.DatabaseError) -> bool:
    """Say whether SQLite complains of the file itself."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _DAMAGED or no_text(error)


def no_text(error: sqlite3.DatabaseError) -> bool:
    """Say whether a text was read whose bytes are none: somebody, or the disk, changed them."""
    return str(error).startswith(NO_TEXT)


def differs(path: Path, words: str) -> VerificationError:
    """Return what to raise of a ledger that is not what was recorded, or cannot be read for that."""
    return VerificationError(
        f"{path}: {words}",
        remedy="Keep the file and what is beside it; `auditor db restore FILE` brings a backup back, "
        "`auditor db verify` tells more.",
    )


def _log_whole(path: Path) -> None:
    """Refuse a ledger whose log is damaged: opening it would drop what was recorded last."""
    if words := write_ahead.lost(path):
        raise differs(path, words)


def busy(error: sqlite3.DatabaseError) -> bool:
    """Say whether SQLite complains of another writer."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _BUSY


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Say what SQLite says in the operator's words."""
    try:
        yield
    except UnicodeDecodeError as error:  # of what SQLite would say of the schema
        raise differs(path, f"its schema is damaged: {error}") from error
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _BUSY:
            raise BusyError(
                f"{path}: another process is writing to the ledger",
                remedy="Nothing was written. Try again when it is done.",
            ) from error
        if damaged(error):
            said = "a text in it is none any more" if no_text(error) else str(error)
            raise VerificationError(
                f"{path}: {said}",
                remedy="`auditor db verify` names what is damaged; `auditor db restore FILE` "
                "brings back a backup.",
            ) from error
        if code in _FULL:
            raise AuditorError(
                f"{path}: the ledger could not be written: {error}",
                remedy="The ledger is as it was before. Free some space, then run it again.",
            ) from error
        if code in _REFUSED:
            raise AuditorError(
                f"{path}: the ledger could not be written: {error}",
                remedy="The ledger is as it was before. Its folder and the files beside it (-wal, -shm) must be writable for "
                "the user who runs this, on a file system that is not mounted read-only.",
            ) from error
        raise


def connect(path: Path, *, busy_s: float, create: bool = True) -> sqlite3.Connection:
    """Open a ledger, creating or migrating it first where needed."""
    if not path.exists():
        if not create:
            raise UsageError(f"{path}: there is no ledger", remedy="`auditor scan` makes one.")
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    _log_whole(path)
    with told(path):
        conn = _connection(path, busy_s)
        try:
            if _version(conn, path) < VERSION:
                _migrate(conn, path)
            conn.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            conn.close()
            raise
    return conn


def look(path: Path, *, busy_s: float) -> sqlite3.Connection:
    """Open a ledger to read alone: nothing is created, migrated or written, whatever is asked of the connection.

    One of an older schema is read as it is. Raises what `connect` raises.
    """
    if not path.exists():
        raise UsageError(f"{path}: there is no ledger", remedy="`auditor scan` makes one.")
    # Without a log beside it nobody has it open, and it is one complete file. Opened in any other way, SQLite would make the
    # files that writers share, and who only reads may be another user: then no writer could open them.
    how = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
    _log_whole(path)
    with told(path):
        return _entered(path, f"{_uri(path)}?{how}", busy_s)


def _connection(path: Path, busy_s: float) -> sqlite3.Connection:
    # The version comes first: before anything is written to what may be another program's file.
    conn = _entered(path, _uri(path), busy_s)
    try:
        _log_ahead(conn, busy_s)
        conn.execute("PRAGMA synchronous = FULL")
        conn.execute(
            "PRAGMA cache_size = -16000"
        )  # KiB, where there is so much: a page that is let go is read again
        conn.execute("PRAGMA recursive_triggers = ON")  # or REPLACE deletes past the triggers
    except BaseException:
        conn.close()
        raise
    return conn


def _uri(path: Path) -> str:
    """Return the URI of a file, whatever bytes its name is of."""
    return f"file:{quote(os.fsencode(path.absolute()))}"


def _entered(path: Path, uri: str, busy_s: float) -> sqlite3.Connection:
    """Open a file and read of it for the first time.

    Nobody waits with it open: where another ledger takes its place meanwhile, whoever has the old one open would take the log
    of the new one for its own (sqlite.org/howtocorrupt.html, 2.4 and 2.5).
    """
    for left in range(max(1, round(busy_s / _PAUSE_S)), -1, -1):
        conn = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)
        try:
            _version(conn, path)
        except sqlite3.OperationalError as error:
            conn.close()
            if not (left and busy(error)):
                raise
            time.sleep(_PAUSE_S)
        except BaseException:
            conn.close()
            raise
        else:
            conn.execute(f"PRAGMA busy_timeout = {round(1000 * busy_s)}")
            return conn
    raise AssertionError("the last try returns or raises")


def _log_ahead(conn: sqlite3.Connection, busy_s: float) -> None:
    """Switch a new file to its write-ahead log, as patiently as everything else.

    SQLite asks no busy handler there: it fails at once while another process makes the same new ledger.
    """
    for left in range(max(1, round(busy_s / _PAUSE_S)), -1, -1):
        try:
            if conn.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                conn.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not (left and busy(error)):
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def _version(conn: sqlite3.Connection, path: Path) -> int:
    (application,) = conn.execute("PRAGMA application_id").fetchone()
    (version,) = conn.execute("PRAGMA user_version").fetchone()
    (tables,) = conn.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise VerificationError(
            f"{path}: this is a database, but not a ledger of auditor",
            remedy="Check the path; nothing was written to it.",
        )
    if version > VERSION:
        raise UsageError(
            f"{path}: the ledger has schema {version}, and this auditor knows up to {VERSION}",
            remedy="Use the newer auditor that wrote it; nothing was changed.",
        )
    return int(version)


def _migrate(conn: sqlite3.Connection, path: Path) -> None:
    """Take every step to the present schema in one transaction, after a backup that nobody writes past.

    Raises VerificationError where the file is not of the schema it says it is of, or holds what no step can read.
    """
    try:
        with transaction(conn):
            (version,) = conn.execute("PRAGMA user_version").fetchone()
            if version == VERSION:
                return  # another process took the steps while we waited
            if version:
                _copy_beside(path, path.with_name(f"{path.name}.v{version}.backup"))
            while version < VERSION:
                version = _step(conn, version)
            conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            conn.execute(f"PRAGMA user_version = {VERSION}")
    except (ValueError, sqlite3.OperationalError) as error:
        if isinstance(error, sqlite3.OperationalError) and not altered(error):
            raise
        raise differs(path, f"it cannot be brought to schema {VERSION}: {error}") from error


def _copy_beside(path: Path, target: Path) -> None:
    """Copy a ledger as it is committed, while another connection keeps everybody from writing to it."""
    conn = sqlite3.connect(path, isolation_level=None)
    try:
        copy(conn, _free_name(target))
    finally:
        conn.close()


def _step(conn: sqlite3.Connection, number: int) -> int:
    """Take a step; return the version reached."""
    if not number:
        create(conn)
        return CREATED
    from sqlite_utils import Database  # imports pandas: only here

    MIGRATIONS[number - 1](Database(conn))
    return number + 1


def _free_name(path: Path) -> Path:
    names = [path, *(path.with_name(f"{path.name}.{n}") for n in range(2, 1000))]
    return next(name for name in names if not name.exists())


@contextmanager
def transaction(conn: sqlite3.Connection, mode: str = "IMMEDIATE") -> Iterator[None]:
    """Run as one transaction: all of it or nothing."""
    conn.execute(f"BEGIN {mode}")
    try:
        yield
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:  # a full disk rolls back by itself
            conn.execute("ROLLBACK")
        raise


def copy(conn: sqlite3.Connection, target: Path) -> None:
    """Copy a ledger while it is in use; the file appears whole or not at all."""
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        into = sqlite3.connect(part, isolation_level=None)
        try:
            conn.backup(into)
            into.execute("PRAGMA journal_mode = DELETE")  # one file, nothing beside it
        finally:
            into.close()
        _settle(part)
        part.replace(target)
        _settle(target.parent)
    finally:
        part.unlink(missing_ok=True)


def aside_of(path: Path) -> Path:
    """Return where a ledger goes when another takes its place."""
    return _free_name(path.with_name(f"{path.name}.before-restore"))


def replace(path: Path, fresh: Path, aside: Path) -> None:
    """Put a whole ledger that nobody has open in another's place, which goes aside.

    Whenever this is cut off, one of the two is in its place, whole. Raises BusyError while another process has the old one open.
    """
    if path.exists():
        if write_ahead.lost(path):  # SQLite would remove it at the next opening
            shutil.copyfile(path.with_name(f"{path.name}-wal"), aside.with_name(f"{aside.name}-wal"))
        with _held(path):
            for end in (
                "-wal",
                "-shm",
            ):  # of a damaged file alone: else it would be played into what takes its place
                beside = path.with_name(path.name + end)
                if beside.exists():
                    beside.replace(aside.with_name(aside.name + end))
            try:
                os.link(path, aside)
            except OSError:  # a file system without a second name for a file
                path.replace(aside)
            fresh.replace(path)
            time.sleep(_LET_GO_S)
    else:
        fresh.replace(path)
    _settle(path.parent)


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Make one file of a ledger and its log, and keep everybody out; a damaged one is held by nobody.

    What a scan that has it open records would go into the file that is set aside, and be missed in the other.
    """
    conn = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        conn.execute("PRAGMA locking_mode = EXCLUSIVE")  # from the first look on: nobody comes between
        for left in range(_PATIENCE, -1, -1):
            try:
                conn.execute("PRAGMA journal_mode = DELETE")  # not while anybody else has it open
                conn.execute("BEGIN EXCLUSIVE")
            except sqlite3.DatabaseError as error:
                if not busy(error):
                    break
                if not left:
                    raise BusyError(
                        f"{path}: another process is using the ledger",
                        remedy="Nothing was changed. Try again when it is done; a scan has it open until its end.",
                    ) from error
                time.sleep(_PAUSE_S)
            else:
                break
        yield
    finally:
        conn.close()


def _settle(path: Path) -> None:
    """Make sure a file or a folder is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def damage(conn: sqlite3.Connection) -> list[str]:
    """Return what is wrong with the file itself, in words; empty when nothing is.

    Indexes are held against their tables: a value that is whole and wrong in one of them hides rows from whoever asks by it.
    """
    try:
        tables = conn.execute(
            "SELECT name, rootpage FROM sqlite_master WHERE type = 'table' ORDER BY rootpage"
        ).fetchall()
        roots = dict(conn.execute("SELECT rootpage, name FROM sqlite_master WHERE rootpage > 0"))
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        return [f"page 1, of the schema: {error}"]
    try:
        lines = _checked(conn, "20")
    except sqlite3.DatabaseError:  # a page so bad that the whole check gives up: table by table
        lines = []
        for name, root in tables:
            try:
                lines += _checked(conn, f"'{name}'")
            except sqlite3.DatabaseError as error:
                lines.append(f"Tree {root} page {root}: {error}")
    return [_in_words(line, roots) for line in lines]


def _checked(conn: sqlite3.Connection, what: str) -> list[str]:
    told_by = [row[0] for row in conn.execute(f"PRAGMA integrity_check({what})")]
    lines = [line for text in told_by if text != "ok" for line in text.splitlines()]
    return [line for line in lines if not line.startswith("*** in database")]


def _in_words(line: str, roots: dict[int, str]) -> str:
    """Name the page and the table of one line of integrity_check."""
    if found := re.match(r"Tree (\d+) page (\d+)(?: cell \d+)?: (.*)", line):
        tree, page, what = found.groups()
        return f"page {page}, of {roots.get(int(tree), f'tree {tree}')}: {what}"
    if found := re.match(r"Tree (\d+)[^:]*: (.*)", line):
        tree, what = found.groups()
        return f"page {tree}, of {roots.get(int(tree), f'tree {tree}')}: {what}"
    if found := re.match(r"(?:On tree page|On page|Page) (\d+)(?: cell \d+)?:? (.*)", line):
        page, what = found.groups()
        name = roots.get(int(page))
        return f"page {page}{f', of {name}' if name else ''}: {what}"
    return line
