"""Judge the snapshots of a bundle again, with the rules in it: no network, no ledger, no configuration, no clock."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from auditor import correlate, verify
from auditor.canonical import connect, quoted, sql_columns
from auditor.errors import UsageError, VerificationError
from auditor.judge import judge
from auditor.relations import from_ndjson
from auditor.rulepack import Pack, PackFile, load
from auditor.rulestore import unpack
from auditor.schema import tables as schema_tables
from auditor.snapshot import Snapshot

_BEFORE = ("archive", "file list", "digests", "tag manifest")
"""What must hold before anything of a bundle is worth judging; who signed it, `verify` says."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """One scan, judged again."""

    scan: str
    snapshot: str
    rules: str
    """Digest of the rules that judged it then."""
    rules_now: str
    """Digest of the rules in the bundle."""
    expected: str
    """Digest of the outcomes, as the ledger records it."""
    got: str
    difference: str = ""
    """The first outcome that differs, in words; empty when none does."""

    @property
    def equal(self) -> bool:
        """Whether the same came out, byte for byte, from the same rules."""
        return self.expected == self.got and self.rules == self.rules_now


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """Every snapshot of a bundle, judged again."""

    rows: tuple[Replayed, ...]
    not_carried: tuple[tuple[str, str], ...] = ()
    """Scans that should be in the bundle and are not, with the reason."""
    steps_differ: tuple[str, ...] = ()
    """Correlation steps that are not those in the bundle: another version judged now than wrote it."""

    @property
    def equal(self) -> bool:
        """Whether there was something to judge, and all of it came out the same."""
        return bool(self.rows) and all(row.equal for row in self.rows)


def replay(path: Path, *, into: Path, memory_mb: int = 1024) -> ReplayResult:
    """Judge every snapshot in a bundle again below the folder `into`.

    UsageError for what is no bundle, VerificationError for one whose files are not those of its manifests.
    """
    checked = verify.verify(path)
    if checked.exit_code == 2:
        raise UsageError(checked.sentence)
    wrong = next((check for check in checked.checks if check.name in _BEFORE and not check.ok), None)
    if wrong is not None:
        raise VerificationError(
            f"{path}: {wrong.said}", remedy="`auditor bundle verify` says all that is wrong."
        )
    bag = verify.Bag(path)
    try:
        return _replayed(bag, into, memory_mb)
    except (verify.Wrong, AttributeError, KeyError, TypeError, ValueError) as error:
        raise VerificationError(f"{path}: cannot be judged again: {error}") from error


def _replayed(bag: verify.Bag, into: Path, memory_mb: int) -> ReplayResult:
    about = json.loads(bag.read("data/about.json"))
    entries = {row["seq"]: row for row in bag.rows("data/ledger.jsonl")}
    packs: dict[str, Pack] = {}
    rows: list[Replayed] = []
    for run in bag.rows("data/runs.jsonl"):
        if run["included"] is not True:
            continue
        name = run["rules"]
        if name not in packs:
            packs[name] = _rules(bag, about["rules"][name]["files"], into / "rules" / str(len(packs)))
        pack, recorded = packs[name], entries[run["entry"]]["body"]
        snapshot = _restored(bag, recorded["snapshot_id"], into / "snapshots")
        judgement = judge(snapshot, pack, into=into / "judged", memory_mb=memory_mb)
        got, expected = judgement.digests["outcome"], recorded["outcome_digest"]
        then = (f"data/outcomes/{run['scan']}.jsonl", judgement.dir / "outcome.parquet")
        told = "" if got == expected else _difference(bag, *then)
        if not told and pack.digest != recorded["rule_digest"]:
            told = "the outcomes are the same, but the rules are not those that judged then"
        rows.append(
            Replayed(run["scan"], snapshot.id, recorded["rule_digest"], pack.digest, expected, got, told)
        )
    return ReplayResult(tuple(rows), tuple(sorted(about["not_carried"].items())), _other_steps(bag))


def _other_steps(bag: verify.Bag) -> tuple[str, ...]:
    """Return the steps of this version whose text is not the bundle's: the first place to look when outcomes differ."""
    folder = Path(correlate.__file__).parent
    here = {
        f"data/steps/{path.relative_to(folder).as_posix()}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.suffix in (".sql", ".py")
    }
    there = {name: bag.digest(name)[0] for name in bag.under("data/steps/")}
    return tuple(sorted(name for name in {*here, *there} if here.get(name) != there.get(name)))


def _rules(bag: verify.Bag, listed: list[dict[str, str]], into: Path) -> Pack:
    files = [
        PackFile(each["kind"], PurePosixPath(each["name"]).name, bag.read(each["name"])) for each in listed
    ]
    if any(file.kind not in ("rules", "frameworks") for file in files):
        raise VerificationError("data/about.json lists a rule file of a kind that there is not")
    return load(*unpack(files, into))


def _restored(bag: verify.Bag, identity: str, into: Path) -> Snapshot:
    """Write a snapshot as it was: the same manifest, the same rows."""
    inner, known = f"data/snapshots/{identity}", schema_tables()
    folder = into / identity
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_bytes(bag.read(f"{inner}/manifest.json"))
    with connect() as connection:
        for name in bag.under(f"{inner}/tables/"):
            table = PurePosixPath(name).stem
            if table not in known:
                raise VerificationError(f"{name}: this version of auditor knows no table {table}")
            if name.endswith(".parquet"):
                with (folder / "tables" / f"{table}.parquet").open("wb") as file:
                    file.writelines(bag.chunks(name))
                continue
            source, longest = folder / "tables" / f"{table}.ndjson", 0
            with source.open("wb") as file:
                for line in bag.lines(name):
                    longest = max(longest, len(line))
                    file.write(line + b"\n")
            relation = from_ndjson(source, sql_columns(known[table]), longest)
            target = folder / "tables" / f"{table}.parquet"
            connection.execute(f"COPY (SELECT * FROM {relation}) TO {quoted(str(target))} (FORMAT parquet)")
            source.unlink()
    return Snapshot.open(folder)


def _difference(bag: verify.Bag, name: str, path: Path) -> str:
    """Return the first outcome that is not the same now as then."""
    from auditor.bundle_scans import table_lines

    with connect() as connection:
        now = {_key(row): row for row in map(json.loads, table_lines(connection, path))}
    then = {_key(row): row for row in bag.rows(name)}
    for key in sorted({*now, *then}):
        before, after = then.get(key), now.get(key)
        if before != after:
            return f"{' '.join(key)}: {_told(before)} then, {_told(after)} now" + _changed(before, after)
    return "the lines are the same, but not their digest"


def _key(row: dict[str, Any]) -> tuple[str, ...]:
    return (str(row["code"]), str(row["rule"]), str(row["subject_key"]))


def _told(row: dict[str, Any] | None) -> str:
    return "no outcome" if row is None else f"{row['verdict']} ({row['because']})"


def _changed(before: dict[str, Any] | None, after: dict[str, Any] | None) -> str:
    names: Iterator[str] = (n for n in sorted(before or {}) if after and before and before[n] != after.get(n))
    listed = ", ".join(names)
    return f"; differs in {listed}" if listed else ""
