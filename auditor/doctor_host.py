"""Checks of this machine: versions, rules, database, disk, clock, signing key."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.doctor import Check
from auditor.errors import AuditorError

if TYPE_CHECKING:
    from auditor.ledger import ScanRow
    from auditor.rulepack import Pack

PYTHON = (3, 11)
SQLITE = (3, 37)
"""STRICT tables came with it (sqlite.org/stricttables.html)."""
PACKAGES = {
    "boto3": "1.42",
    "cryptography": "44",
    "duckdb": "2",
    "google-cloud-dataproc": "5.20",
    "google-cloud-iam": "2.19",
    "google-cloud-logging": "3.12",
    "google-cloud-resource-manager": "1.14",
    "google-cloud-storage": "3",
    "jinja2": "3.1",
    "orjson": "3.10",
    "pandas": "2.2",
    "pyyaml": "6.0",
    "requests": "2.32",
    "sqlglot": "26",
    "sqlite-utils": "3.38",
}
"""What a scan and a report need, with the least version; as pyproject.toml has it."""
SNAPSHOTS = 3
"""So many more snapshots, as large as the last one, should fit on the disk."""
LITTLE = 1 << 30
"""Free bytes that are little where no snapshot tells how large one is."""


def versions(config: Any | None) -> Iterator[Check]:
    """Look at Python, SQLite and every package that the configuration needs."""
    from auditor import __version__

    here = sys.version_info[:3]
    yield Check("versions", "auditor", "ok", f"auditor {__version__}")
    yield _version("Python", ".".join(map(str, here)), here >= PYTHON, PYTHON, "Install a newer Python.")
    lib = sqlite3.sqlite_version
    yield _version(
        "SQLite", lib, sqlite3.sqlite_version_info >= SQLITE, SQLITE, "Use a Python with a newer one."
    )
    wanted = dict(PACKAGES)
    if config is not None and config.engine.name == "spark":
        wanted["pyspark"] = "4"
    if config is not None and str(getattr(config.sources.get("directory_scim"), "url", "")):
        wanted["scim2-client"] = "0.13"
    missing = []
    for name, least in sorted(wanted.items()):
        try:
            there = metadata.version(name)
        except metadata.PackageNotFoundError:
            there = ""
        if not there or _numbers(there) < _numbers(least):
            missing.append(name)
            said = f"{name} {there} is older than {least}" if there else f"{name} is not installed"
            yield Check("versions", name, "failed", said, f'pip install "{name}>={least}"')
    if not missing:
        yield Check("versions", "packages", "ok", f"{len(wanted)} packages, each as new as it must be")


def _version(name: str, there: str, enough: bool, least: tuple[int, ...], remedy: str) -> Check:
    needed = ".".join(map(str, least))
    if enough:
        return Check("versions", name, "ok", f"{name} {there}")
    return Check("versions", name, "failed", f"{name} {there} is older than {needed}", remedy)


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(each) for each in found[0].split(".")) if found else ()


def rules(pack: Pack) -> Iterator[Check]:
    """Look at the rules: those that load and those that do not."""
    for text in pack.broken:
        first, _, rest = text.partition("\n")
        remedy = " ".join(rest.split()) or "Mend it; until then its controls are unknown."
        yield Check("rules", "rule", "warning", first, remedy)
    if not pack.rules:
        yield Check("rules", "rules", "failed", "no rule loads", "`auditor rules check` names every mistake.")
    else:
        yield Check("rules", "rules", "ok", f"{len(pack.rules)} rules load, {len(pack.off)} switched off")


def database(path: Path) -> tuple[list[Check], bool]:
    """Look at the ledger's file; True where it may be opened."""
    from auditor.ledger.checkup import checkup

    found, name = checkup(path), str(path)
    if not found.there:
        return [
            Check(
                "database", "ledger", "off", f"{name} is not there yet", "The first `auditor scan` makes it."
            )
        ], False
    restore = "Keep the file; `auditor db restore FILE` brings a backup back."
    if found.because:
        told = Check(
            "database",
            "ledger",
            "unknown",
            f"{name}: {found.because}",
            "See that the file can be read and written.",
        )
        return [told], False
    if found.damage:
        more = f" and {len(found.damage) - 1} more" if len(found.damage) > 1 else ""
        return [
            Check("database", "integrity", "failed", f"{name} is damaged: {found.damage[0]}{more}", restore)
        ], False
    if not found.ours:
        said = f"{name} is a database, but no ledger of auditor"
        return [
            Check("database", "ledger", "failed", said, "Check [state] dir; nothing was written to it.")
        ], False
    if found.version > found.newest:
        said = f"{name} has schema {found.version}, and this auditor knows up to {found.newest}"
        return [Check("database", "schema", "failed", said, "Use the newer auditor that wrote it.")], False
    checks = [Check("database", "integrity", "ok", f"{name}: every page is whole")]
    if found.version == found.newest:
        if words := _differs(path):
            return [*checks, Check("database", "chain", "failed", words, restore)], False
        checks.append(Check("database", "chain", "ok", "what was recorded is as it was recorded"))
    if found.version < found.newest:
        said = (
            f"schema {found.version}, and the next command makes it {found.newest}, with a backup beside it"
        )
        checks.append(Check("database", "schema", "ok", said))
    else:
        checks.append(Check("database", "schema", "ok", f"schema {found.version}, the newest"))
    if found.running:
        said = f"a scan holds slot {found.running}"
        checks.append(Check("database", "lock", "warning", said, "Another scan is busy until it is done."))
    elif found.busy:
        checks.append(
            Check(
                "database",
                "lock",
                "warning",
                "another process writes to it now",
                "Try again when it is done.",
            )
        )
    else:
        checks.append(Check("database", "lock", "ok", "nobody else writes to it"))
    return checks, found.version == found.newest


def _differs(path: Path) -> str:
    """Say where a ledger is not what was recorded; it is opened to read alone."""
    from auditor.ledger import Ledger

    try:
        with Ledger.look(path) as ledger:
            return ledger.unsound()
    except AuditorError as error:
        return error.what


def disk(state: Path, last: ScanRow | None) -> Iterator[Check]:
    """Look at the free space of the state folder against the last snapshot's size, and whether it can be written."""
    folder = state
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        yield Check("disk", "folder", "failed", f"{folder} is no folder", "Check [state] dir.")
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        said = f"{folder} cannot be written by this user"
        yield Check("disk", "folder", "failed", said, "Give this user the folder, or set [state] dir.")
    free = shutil.disk_usage(folder).free
    stored = last.snapshot_in(state) if last else None
    snapshot = _size(stored) if stored else 0
    least = SNAPSHOTS * snapshot if snapshot else LITTLE
    against = (
        f"the last snapshot took {_bulk(snapshot)}" if snapshot else "no snapshot yet tells what one takes"
    )
    said = f"{_bulk(free)} free in {folder}; {against}"
    remedy = (
        "Free some space, or keep fewer snapshots: [snapshots] keep, `auditor snapshots prune --dry-run`."
    )
    if snapshot and free < snapshot:
        yield Check("disk", "space", "failed", said, remedy)
    elif free < least:
        yield Check("disk", "space", "warning", said, remedy)
    else:
        yield Check("disk", "space", "ok", said)


def _size(folder: Path) -> int:
    try:
        return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
    except OSError:
        return 0


def _bulk(count: int) -> str:
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def last_scan(state: Path, last: ScanRow | None, now: datetime, skew_s: int) -> Iterator[Check]:
    """Look at the last scan's time, and at how far the clouds' clocks were from this one in it."""
    if last is None:
        yield Check("clock", "last scan", "off", "there was no scan yet")
        return
    ahead = last.at - now
    if ahead > timedelta(seconds=skew_s):
        said = f"the last scan is of {last.at:%Y-%m-%d %H:%M:%SZ}, which is yet to come: this clock went back"
        yield Check(
            "clock",
            "last scan",
            "failed",
            said,
            "Set this machine's clock (NTP); a scan before that time is refused.",
        )
    folder = last.snapshot_in(state)
    if folder is None:
        yield Check("clock", "last scan", "off", "the snapshot of the last scan is kept no more")
        return
    try:
        from auditor.snapshot import Snapshot

        rows = list(Snapshot.open(folder).rows("api_clock"))
    except (AuditorError, OSError, ValueError, KeyError) as error:
        said = f"the snapshot of the last scan cannot be read: {error}"
        yield Check("clock", "last scan", "unknown", said, "`auditor scan` makes another one.")
        return
    yield from clocks(rows, skew_s, "in the last scan")


def clocks(rows: list[dict[str, Any]], skew_s: int, when: str) -> Iterator[Check]:
    """Compare services' clocks with this one; `rows` as of the table api_clock."""
    if not rows:
        yield Check(
            "clock", when, "unknown", f"no service told its time {when}", "Only AWS tells it, in each answer."
        )
        return
    most = max(rows, key=lambda row: abs(row["skew_s"]))
    skew = int(most["skew_s"])
    if abs(skew) > skew_s:
        side = "ahead of" if skew > 0 else "behind"
        said = f"this clock is {abs(skew)} s {side} that of {most['cloud']} {most['service']} {when}; {skew_s} s are allowed"
        yield Check(
            "clock", when, "warning", said, "Set this machine's clock (NTP): times of evidence are compared."
        )
    else:
        yield Check("clock", when, "ok", f"within {max(1, abs(skew))} s of {len(rows)} services {when}")


def signing(config: Any) -> Check:
    """Look at the signing key: it can be read, and this is its fingerprint."""
    if not config.signing.key:
        remedy = '`auditor key new FILE`, then [signing] key = "file:FILE".'
        return Check("signing", "key", "off", "bundles are not signed", remedy)
    from auditor import keys

    try:
        return Check("signing", "key", "ok", f"signs as {keys.load(config.signing.key).fingerprint}")
    except AuditorError as error:
        return Check(
            "signing", "key", "warning", error.what, error.remedy or "Bundles cannot be signed until then."
        )
