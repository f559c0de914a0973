"""Evidence bundles: one signed zip an auditor can check and judge again without us. The layout: docs/bundle.md."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor import __version__, bundle_people, bundle_scans, correlate
from auditor.bundle_bag import Bag, told_of
from auditor.bundle_replay import Replayed, ReplayResult, replay
from auditor.errors import UsageError, VerificationError
from auditor.ledger.values import stamp
from auditor.verify import SCHEMA, verify

if TYPE_CHECKING:
    from auditor.config import Config
    from auditor.keys import Key
    from auditor.ledger import Entry, Ledger, ScanRow
    from auditor.rulepack import Pack

__all__ = ["ReplayResult", "Replayed", "create", "replay"]

_TICK = timedelta(microseconds=1)
"""Periods are `(from, to]`: a scan at the end of one belongs to it, as in the report."""

_STEPS = Path(correlate.__file__).parent


@dataclass(frozen=True, slots=True)
class _Window:
    """What the ledger knows of the time a bundle is about."""

    from_at: datetime
    to_at: datetime
    rows: Sequence[ScanRow]
    records: dict[int, dict[str, list[list[Any]]]]
    entries: Sequence[Entry]
    """Every entry of the chain."""
    first: int
    """The first entry that the bundle carries."""
    previous: Entry | None
    """The entry of the bundle before."""


def create(
    ledger: Ledger,
    config: Config,
    pack: Pack,
    *,
    from_at: datetime,
    to_at: datetime,
    now: datetime,
    into: Path,
    key: Key | None = None,
    raw: bool = False,
    frameworks: Sequence[Path] = (),  # noqa: ARG001 - kept with each scan; callers may still name them
    report: Path | None = None,
) -> Path:
    """Write the evidence of `(from_at, to_at]` as one zip in the folder `into`, and enter it in the ledger.

    Without a key the bundle is unsigned, and says so. `pack` serves scans whose rules were not kept with them; `raw`
    adds the pages as the clouds sent them. UsageError when there is nothing to show, VerificationError when ledger or
    state are not what they were.
    """
    window = _window(ledger, from_at, min(to_at, now))
    origin = _slug(config.organisation)
    into.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".partial-", dir=into))
    try:
        bag = Bag(work / "bag")
        carried, missing = _carried(window, Path(config.state.dir), pack, ledger)
        about = _about(window, config, origin, carried, missing, key) | {"raw": raw}
        about["report"] = bag.copy("data/report.html", report) if report else None
        _fill(bag, ledger, window, carried, missing, raw=raw)
        bag.json("data/about.json", about)
        identity = bag.seal(_info(about, config, key), about, key)
        name = f"evidence-{origin}-{from_at:%Y%m%d}-{to_at:%Y%m%d}"
        bag.pack(name, work / "bundle.zip")
        _proven(work / "bundle.zip", key)
        path = _publish(work / "bundle.zip", into, name, identity)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _enter(ledger, config, about, identity, path, now)
    return path


def _window(ledger: Ledger, from_at: datetime, to_at: datetime) -> _Window:
    if not from_at < to_at:
        raise UsageError(f"the window ends at {stamp(to_at)}, not after it began at {stamp(from_at)}")
    check = ledger.verify()
    if not check.intact:
        raise VerificationError(
            f"the ledger does not verify: {check.because}",
            remedy="No bundle is made of it. `auditor db verify` says more; `auditor db restore` puts a backup back.",
        )
    rows = ledger.scans(from_at + _TICK, to_at + _TICK, rechecks=True)
    if not rows:
        raise UsageError(
            f"the ledger has no scan between {stamp(from_at)} and {stamp(to_at)}: there is no evidence of that time"
        )
    entries = ledger.entries()
    previous = next((entry for entry in reversed(entries) if entry.kind == "bundle"), None)
    since = previous.body["last"] + 1 if previous else 1
    return _Window(
        from_at,
        to_at,
        rows,
        {row.n: ledger.bound_rows(row.n) for row in rows if row.state in bundle_scans.LOOKED},
        entries,
        min([since, *(row.entry for row in rows)]),
        previous,
    )


def _carried(
    window: _Window, state: Path, pack: Pack, ledger: Ledger
) -> tuple[list[bundle_scans.Carried], dict[str, str]]:
    """Return the scans that are carried whole, and of those that should be but cannot the reason."""
    reasons = bundle_scans.chosen(window.rows, window.records)
    carried: list[bundle_scans.Carried] = []
    missing: dict[str, str] = {}
    for row in window.rows:
        if row.n in reasons:
            found = bundle_scans.found(row, reasons[row.n], state, pack)
            if isinstance(found, str):
                missing[row.scan] = ledger.pruned(row.snapshot_id) or found
            else:
                carried.append(found)
    return carried, missing


def _about(
    window: _Window,
    config: Config,
    origin: str,
    carried: Sequence[bundle_scans.Carried],
    missing: dict[str, str],
    key: Key | None,
) -> dict[str, Any]:
    last, before = window.entries[-1], window.entries[window.first - 1]
    rules = {
        scan.rules: {
            "digest": scan.row.rule_digest,
            "files": [{"kind": each.kind, "name": _inner(scan, at)} for at, each in enumerate(scan.files)],
        }
        for scan in carried
    }
    return {
        "schema": SCHEMA,
        "product": __version__,
        "origin": origin,
        "organisation": config.organisation,
        "from": stamp(window.from_at),
        "to": stamp(window.to_at),
        "ledger": {"first": window.first, "prev": before.prev, "last": last.seq, "head": last.hash},
        "previous_bundle": window.previous.body.get("bundle") if window.previous else None,
        "rules": rules,
        "populations_of": _last(carried).row.scan if carried else None,
        "not_carried": missing,
        "signer": key.fingerprint if key else None,
    }


def _inner(scan: bundle_scans.Carried, at: int) -> str:
    """Return where the n-th rule file of a scan is; a second file of the same name has a folder of its own."""
    file = scan.files[at]
    twins = sum(each.kind == file.kind and each.name == file.name for each in scan.files[:at])
    return f"data/{file.kind}/{scan.rules}/{f'{twins}/' if twins else ''}{file.name}"


def _fill(
    bag: Bag,
    ledger: Ledger,
    window: _Window,
    carried: Sequence[bundle_scans.Carried],
    missing: dict[str, str],
    *,
    raw: bool,
) -> None:
    until = stamp(window.to_at)
    segment = [entry for entry in window.entries if entry.seq >= window.first]
    bag.rows("data/ledger.jsonl", map(_entry, segment))
    bag.rows("data/keys.jsonl", (_entry(entry) for entry in window.entries if entry.kind == "key"))
    bag.rows("data/waivers.jsonl", bundle_people.decisions(window.entries, "waiver", until))
    bag.rows("data/signoffs.jsonl", bundle_people.decisions(window.entries, "sign_off", until))
    bag.rows("data/runs.jsonl", _runs(window.rows, carried, missing))
    bag.rows(
        "data/records.jsonl",
        (
            {"n": n, "what": what, "row": row}
            for n, groups in sorted(window.records.items())
            for what in ("opened", "ended", "drift")
            for row in groups[what]
        ),
    )
    numbers = {row.scan: row.n for row in ledger.scans(rechecks=True)}
    bundle_people.findings(bag, ledger.intervals(window.from_at, window.to_at), numbers)
    bundle_people.drift(bag, window.records)
    for path in sorted(_STEPS.rglob("*")):
        if path.suffix in (".sql", ".py"):
            bag.copy(f"data/steps/{path.relative_to(_STEPS).as_posix()}", path)
    written: dict[str, str] = {}
    for scan in carried:
        bundle_scans.write(bag, scan, written, raw=raw)
    for scan in {each.rules: each for each in carried}.values():
        for at, file in enumerate(scan.files):
            bag.file(_inner(scan, at), [file.content])
    if carried:
        last = _last(carried)
        bag.json(
            "data/ipe.json",
            bundle_people.cards(last, bundle_people.populations(bag, last), bundle_people.exports(bag, last)),
        )


def _entry(entry: Entry) -> dict[str, Any]:
    return {**told_of(entry), "at": stamp(entry.at)}


def _last(carried: Sequence[bundle_scans.Carried]) -> bundle_scans.Carried:
    """Return the last that looked at everything; a re-check says nothing of a population."""
    return next((scan for scan in reversed(carried) if scan.row.state == "finished"), carried[-1])


def _runs(
    rows: Sequence[ScanRow], carried: Sequence[bundle_scans.Carried], missing: dict[str, str]
) -> list[dict[str, Any]]:
    """Return every slot of the window: finished, interrupted or missed, and what of it is here."""
    whole = {scan.row.n: scan for scan in carried}
    found = []
    for row in rows:
        told = told_of(row)
        del told["snapshot_dir"]  # a path of the machine that scanned; the ledger's entry has it
        scan = whole.get(row.n)
        found.append(
            told
            | {
                "included": scan is not None,
                "why": scan.why
                if scan
                else missing.get(
                    row.scan, "by its digests alone" if row.state in bundle_scans.LOOKED else ""
                ),
                "rules": scan.rules if scan else None,
            }
        )
    return found


def _info(about: dict[str, Any], config: Config, key: Key | None) -> list[tuple[str, str]]:
    ledger = about["ledger"]
    return [
        ("Source-Organization", config.organisation or about["origin"]),
        ("External-Identifier", f"evidence-{about['origin']}"),
        ("External-Description", f"Evidence of {about['from']} to {about['to']}"),
        ("Bag-Software-Agent", f"auditor {__version__}"),
        ("Evidence-From", about["from"]),
        ("Evidence-To", about["to"]),
        ("Ledger-First", str(ledger["first"])),
        ("Ledger-Last", str(ledger["last"])),
        ("Ledger-Head", ledger["head"]),
        ("Previous-Bundle", about["previous_bundle"] or "none"),
        ("Signed-By", key.fingerprint if key else "nobody: UNSIGNED"),
    ]


def _slug(organisation: str) -> str:
    plain = unicodedata.normalize("NFKD", organisation).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower())[:40].strip("-") or "auditor"


def _proven(packed: Path, key: Key | None) -> None:
    """Check a bundle as its reader will: none that does not verify leaves the house."""
    result = verify(packed, pinned=[key.fingerprint] if key else [])
    wrong = [check for check in result.checks if not check.ok and (key or check.name != "signature")]
    if wrong:
        raise VerificationError(f"the bundle would not verify: {wrong[0].said}", remedy="None was written.")


def _publish(packed: Path, into: Path, name: str, identity: str) -> Path:
    """Make a bundle visible under its name; one that is there already is never replaced by another."""
    for path in (into / f"{name}.zip", into / f"{name}-{identity[:12]}.zip"):
        try:
            path.hardlink_to(packed)
        except FileExistsError:
            if path.read_bytes() != packed.read_bytes():
                continue
        except OSError:  # a file system without hard links
            if path.exists():
                continue
            packed.replace(path)
        _sync(into)
        return path
    raise UsageError(f"{into / name}.zip is there already, and is another bundle")


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _enter(
    ledger: Ledger, config: Config, about: dict[str, Any], identity: str, path: Path, now: datetime
) -> None:
    body = {
        "bundle": identity,
        "file": path.name,
        "from": about["from"],
        "to": about["to"],
        "first": about["ledger"]["first"],
        "last": about["ledger"]["last"],
        "head": about["ledger"]["head"],
        "signer": about["signer"],
        "previous": about["previous_bundle"],
        "sha256": _sha256(path),
        "bytes": path.stat().st_size,
        "kept": path.resolve().parent == Path(config.signing.bundles).resolve(),
    }
    ledger.note("bundle", body, now)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
