"""A state of two scans to make bundles of, and the means to tamper with one."""

from __future__ import annotations

import atexit
import base64
import gzip
import hashlib
import json
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from chain_world import BUCKET, at, proven

from auditor import bundle, keys, verify
from auditor.config import Config
from auditor.config_sections import State
from auditor.judge import judge
from auditor.ledger import Ledger, RuleNote, ScanRecord
from auditor.model import Drift, Seen, Window
from auditor.rulepack import Pack, load
from auditor.rulestore import keep
from auditor.snapshot import Writer, head, write

RULES = """pack: tests
rules:
  - id: bucket-versioned
    code: TST-001
    title: Versioning is on
    severity: high
    supports: [own/1]
    for: bucket
    checks:
      - {name: versioning is Enabled, expr: versioning = 'Enabled'}
    because: "versioning of {name} is {versioning}"
    remedy: Switch it on.
    examples:
      - {given: {versioning: Enabled}, verdict: pass}
      - {given: {versioning: Suspended}, verdict: fail}
      - {given: {versioning: null}, verdict: unknown}
  - id: export-small
    code: TST-002
    title: An export is small
    severity: low
    supports: [own/1]
    for: export
    params: {most: {default: 5}}
    checks:
      - {name: few objects, expr: objects <= :most}
    because: "{objects} objects, at most {:most}"
    remedy: Export less.
    examples:
      - {given: {objects: 5}, verdict: pass}
      - {given: {objects: 6}, verdict: fail}
      - {given: {objects: null}, verdict: unknown}
"""
FRAMEWORK = "framework: own\ntitle: Ours\ncontrols:\n  - {id: '1', paraphrase: Keep it.}\n"
WEEK = timedelta(days=7)
NOW = at(28)
FROM, TO = at(10), at(26)
HOSTILE = "=cmd|' /C calc'!A0\u202e<b>"


@dataclass(frozen=True, slots=True)
class World:
    """Where everything of a state is."""

    folder: Path
    config: Config
    key: keys.Key

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.sqlite3"

    @property
    def pin(self) -> str:
        return self.key.fingerprint

    def pack(self) -> Pack:
        return load([self.folder / "rules.yaml"], [self.folder / "own.yaml"])

    def copied(self, into: Path) -> World:
        """Return the same state elsewhere, to be changed."""
        shutil.copytree(self.folder, into)
        config = Config(organisation=self.config.organisation, state=State(dir=str(into / "state")))
        return World(into, config, self.key)

    def made(self, into: Path, *, entered: bool = False, **more: Any) -> Path:
        """Return a new bundle; the ledger remembers it only when `entered`."""
        where = self.ledger
        if not entered:
            into.mkdir(parents=True, exist_ok=True)
            where = into / "copy.sqlite3"
            shutil.copy(self.ledger, where)
        asked = {"from_at": FROM, "to_at": TO, "now": NOW, "key": self.key} | more
        with Ledger.open(where) as ledger:
            return bundle.create(ledger, self.config, self.pack(), into=into, **asked)


@cache
def shared() -> tuple[World, Path]:
    """Return a state and a bundle of it that many tests share and only read."""
    folder = Path(mkdtemp(prefix="auditor-bundle-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = world(folder / "world")
    return made, made.made(folder / "bundles")


@cache
def files() -> dict[str, bytes]:
    """Return the files of the shared bundle."""
    return unpacked(shared()[1])[1]


@cache
def foreign() -> keys.Key:
    """Return the key of somebody nobody trusts."""
    folder = Path(mkdtemp(prefix="auditor-key-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    keys.new(folder / "key")
    return keys.load(folder / "key")


def judged(folder: Path, content: Mapping[str, bytes] | bytes, *pinned: str, **more: Any) -> verify.Result:
    """Return what the verifier says of changed files, or of the bytes of a zip."""
    path = folder / "bundle.zip"
    path.write_bytes(content if isinstance(content, bytes) else packed("evidence", content))
    return verify.verify(path, pinned=pinned or [shared()[0].pin], **more)


def world(folder: Path, *, bulk: Sequence[str] = ()) -> World:
    """Scan twice: all is well, then versioning is suspended; a waiver and a sign-off follow.

    Tables named in `bulk` reach the snapshot as files.
    """
    folder.mkdir(parents=True)
    (folder / "rules.yaml").write_text(RULES)
    (folder / "own.yaml").write_text(FRAMEWORK)
    keys.new(folder / "key")
    config = Config(organisation="Acme Health & Söhne", state=State(dir=str(folder / "state")))
    made = World(folder, config, keys.load(folder / "key"))
    pack = made.pack()
    assert not pack.broken, pack.broken
    with Ledger.open(made.ledger) as ledger:
        for week in range(2):
            scan(made, ledger, pack, week, bulk=bulk)
        (finding,) = [
            row for row in ledger.findings() if row.rule == "bucket-versioned" and row.subject_key == BUCKET
        ]
        ledger.waive(
            finding_id=finding.finding_id, reason=HOSTILE, requester="ann", approver="bob",
            expires_at=at(60), now=at(20),
        )  # fmt: skip
        ledger.sign("report", "W03", by="carol", now=at(21))
    return made


def scan(made: World, ledger: Ledger, pack: Pack, week: int, *, bulk: Sequence[str] = ()) -> None:
    """Record a scan of hand-made tables as a real one is recorded."""
    when = at(12, 6) + week * WEEK
    tables = proven()
    tables["as_of"][0] |= {"as_of": when, "previous_at": when - WEEK if week else None}
    for row in tables["coverage"]:
        row |= {"until_at": when, "observed_at": when}
    tables["s3_bucket"][0] |= {"versioning": "Suspended" if week else "Enabled"}
    if week:  # the first scan saw it Enabled after the point had started: it was switched off since
        before = {"arn": BUCKET, "at": when - WEEK, "versioning": "Enabled", "eventbridge": True}
        tables["history_bucket"] = [before]
    tables["s3_bucket"].append(tables["s3_bucket"][0] | {"arn": f"arn:aws:s3:::{HOSTILE}", "bucket": HOSTILE})
    state = Path(made.config.state.dir)
    with Writer(state / "snapshots") as writer:
        for table in bulk:
            writer.bulk(
                table, as_file(table, tables.pop(table), made.folder / f"{table}-{week}"), source="test"
            )
        for table, rows in tables.items():
            for row in rows:
                writer.add(table, row, source="test")
        page = f"page {week}".encode()
        writer.raw.mkdir()
        (writer.raw / f"{hashlib.sha256(page).hexdigest()}.gz").write_bytes(gzip.compress(page, mtime=0))
        query = {"source": "test", "service": "s3", "operation": "ListBuckets", "pages": 1, "rows": 2}
        about = {"queries": [query], "identities": [{"account": "1", "caller": "arn:me"}], "endpoints": {}}
        snapshot = writer.seal(head(as_of=when, window=Window(when - WEEK, when)) | about)
    judgement = judge(snapshot, pack, into=state / "judged")
    keep(pack, state / "rules", judgement.dir)
    drift = Drift(
        f"D-{week}", "changed", None, "bucket", BUCKET, "versioning", "Enabled", "Suspended", "worse",
        None, when, None, "no trail", "high", "versioning was suspended",
    )  # fmt: skip
    ledger.record(
        ScanRecord(
            slot=f"2026-W{week + 2:02d}",
            snapshot_id=snapshot.id,
            snapshot_dir=f"state/snapshots/{snapshot.id}",  # as from the folder it ran in
            rule_digest=pack.digest,
            config_digest="c" * 64,
            outcome_digest=judgement.digests["outcome"],
            tally=judgement.tally,
            rules={rule.id: RuleNote(rule.controls, rule.remedy) for rule in pack.rules},
            coverage=[Seen(table, "*") for table in ("s3_bucket", "dataproc_job")],
        ),
        list(judgement.outcomes()),
        [drift] if week else [],
        at=when,
    )


def as_file(table: str, rows: Iterable[Mapping[str, Any]], into: Path) -> Path:
    """Return rows as the Parquet file that a source would hand over."""
    file = write(into, {table: rows}, as_of=NOW, window=Window(FROM, TO)).tables(table)
    assert file is not None
    return file


# Tampering ----------------------------------------------------------------------------------------------------------


def unpacked(path: Path) -> tuple[str, dict[str, bytes]]:
    """Return the name of a bundle's folder and its files."""
    with zipfile.ZipFile(path) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    root = next(iter(found)).partition("/")[0]
    return root, {name.partition("/")[2]: content for name, content in found.items()}


@lru_cache(maxsize=1024)
def _squeezed(content: bytes) -> tuple[bytes, int]:
    """Return a file as it lies in a zip, and its checksum: hundreds of zips differ in one file."""
    squeeze = zlib.compressobj(6, zlib.DEFLATED, -15)
    return squeeze.compress(content) + squeeze.flush(), zlib.crc32(content)


def packed(root: str, files: Mapping[str, bytes] | Iterable[tuple[str, bytes]]) -> bytes:
    """Return files as a zip with the headers that a bundle's has, whatever their names."""
    body, listed = bytearray(), bytearray()
    pairs = list(files.items() if isinstance(files, Mapping) else files)
    for name, content in pairs:
        inner = f"{root}/{name}".encode() if root else name.encode()
        raw, crc = _squeezed(content)
        told = (inner, crc, len(raw), len(content))
        listed += struct.pack("<4s6H3L5H2L", *verify.central(*told, len(body))) + inner
        body += struct.pack("<4s5H3L2H", *verify.local(*told)) + inner + raw
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(pairs), len(pairs), len(listed), len(body), 0)
    return bytes(body + listed + end)


def resealed(files: Mapping[str, bytes], key: keys.Key | None) -> dict[str, bytes]:
    """Return files with everything made to fit them again: manifests, counts, and the signatures of a key."""
    new = {name: content for name, content in files.items() if not name.startswith("signatures/")}
    data = {name: content for name, content in new.items() if name.startswith("data/")}
    info = new["bag-info.txt"].decode().splitlines()
    oxum = f"Payload-Oxum: {sum(map(len, data.values()))}.{len(data)}"
    new["bag-info.txt"] = ("\n".join([*info[:-1], oxum]) + "\n").encode()
    new["manifest-sha256.txt"] = _manifest(data)
    tags = {n: c for n, c in new.items() if n not in data and n != "tagmanifest-sha256.txt"}
    new["tagmanifest-sha256.txt"] = message = _manifest(tags)
    if key is not None:
        about = json.loads(new["data/about.json"])
        body = verify.checkpoint(about["origin"], about["ledger"]["last"], about["ledger"]["head"])
        note = base64.b64encode(
            verify.note_key(about["origin"], key.public) + key.sign(body.encode())
        ).decode()
        new["signatures/tagmanifest-sha256.txt.sig"] = key.ssh_signature(message).encode()
        new["signatures/tagmanifest-sha256.txt.ed25519"] = key.sign(message)
        new["signatures/pubkey.pem"] = key.pem.encode()
        new["signatures/allowed_signers"] = verify.allowed_signers(key.public).encode()
        new["signatures/checkpoint"] = f"{body}\n— auditor/{about['origin']} {note}\n".encode()
    return dict(sorted(new.items()))


def _manifest(files: Mapping[str, bytes]) -> bytes:
    return "".join(f"{hashlib.sha256(files[n]).hexdigest()}  {n}\n" for n in sorted(files)).encode()


def rows(content: bytes) -> list[dict[str, Any]]:
    """Return the objects of a JSONL file."""
    return [json.loads(line) for line in content.splitlines()]


def jsonl(found: Iterable[Mapping[str, Any]]) -> bytes:
    """Return objects as a JSONL file of canonical lines."""
    return "".join(f"{verify.canonical(row)}\n" for row in found).encode()


def rechained(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return entries with every hash made anew: what who owns the ledger could do."""
    prev = entries[0]["prev"]
    for entry in entries:
        entry["prev"] = prev
        plain = {name: value for name, value in entry.items() if name != "hash"}
        prev = entry["hash"] = hashlib.sha256(verify.canonical(plain).encode()).hexdigest()
    return entries
