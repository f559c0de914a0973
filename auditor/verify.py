"""Check an evidence bundle offline: `python verify.py BUNDLE.zip --key SHA256:...`.

One file on purpose: the standard library and `cryptography`, nothing of the product, so that it can be read through
and run on a machine that never saw what made the bundle. It believes nothing that it has not recomputed, and trusts no
key but those it is given. The layout is described in docs/bundle.md.

Exit codes: 0 verified, 2 the input cannot be read as a bundle, 5 verification failed; also when no key was named.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import io
import json
import re
import stat
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

SCHEMA = "auditor.bundle/1"
NAMESPACE = "auditor-evidence"
"""The SSHSIG namespace: a signature made for anything else does not count."""
LARGEST = 8 << 30
"""Bytes all files of a bundle may have together, unpacked: what a zip bomb is stopped at."""
LARGEST_READ = 256 << 20
"""Bytes of a file that is read whole; tables are read line by line."""
LONGEST_LINE = 32 << 20
MOST_FILES = 60_000
FIRST = "0" * 64
"""What the first entry of a ledger names as the hash before it."""
SIGNATURES = (
    "allowed_signers",
    "checkpoint",
    "pubkey.pem",
    "tagmanifest-sha256.txt.ed25519",
    "tagmanifest-sha256.txt.sig",
)
OPENED = (
    "finding_id", "since_scan", "rule", "code", "subject_table", "subject_key", "verdict", "severity", "owner", "zone",
    "account", "project", "because", "reason", "params", "failed_checks", "unknown_checks", "gaps", "refs", "controls",
    "remedy", "opened_at", "last_fail_at", "seen_before",
)  # fmt: skip
ENDED = ("finding_id", "since_scan", "until_scan", "closed_at", "ended", "ended_because")
DRIFT = (
    "drift_id", "kind", "rule", "subject_table", "subject_key", "field", "before", "after", "direction", "changed_at",
    "detected_at", "actor", "actor_reason", "severity", "because",
)  # fmt: skip
KINDS = {
    "scan": "finished",
    "recheck": "rechecked",
    "missed_scan": "missed",
    "interrupted_scan": "interrupted",
}
SCAN = (
    "scan",
    "n",
    "slot",
    "at",
    "complete",
    "interval_s",
    "snapshot_id",
    "rule_digest",
    "config_digest",
    "outcome_digest",
    "tally",
)
VERDICTS = ("pass", "fail", "unknown", "not_applicable")

_TAGS = (
    "VERIFY.txt",
    "bag-info.txt",
    "bagit.txt",
    "manifest-sha256.txt",
    "tagmanifest-sha256.txt",
    "verify.py",
)
_BENIGN = {".DS_Store", "Thumbs.db", "desktop.ini"}
_DIGEST = re.compile("[0-9a-f]{64}")
_LINE = re.compile(r"([0-9a-f]{64})  (\S[^\r\n]*)")


class Unusable(Exception):  # noqa: N818
    """Raised for an input that cannot be read as a bundle at all."""


class Wrong(Exception):  # noqa: N818
    """Raised by a check; names what is not as it must be."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the answer."""

    name: str
    ok: bool
    said: str


@dataclass(frozen=True, slots=True)
class Result:
    """What the checks found, in their order."""

    path: str
    checks: tuple[Check, ...] = ()
    exit_code: int = 5
    bundle_id: str = ""
    """SHA-256 of tagmanifest-sha256.txt; the bundle's identity."""
    signer: str = ""
    """Fingerprint of the key that signed it, when that signature is good."""
    head: str = ""
    """`seq:hash` of the last ledger entry in it."""
    sentence: str = ""

    @property
    def ok(self) -> bool:
        """Whether everything verified, by a key that was pinned."""
        return self.exit_code == 0

    @property
    def first(self) -> str:
        """What is wrong first; empty when nothing is."""
        return next((check.said for check in self.checks if not check.ok), "")

    @property
    def text(self) -> str:
        """The answer, one line a check and a sentence for people."""
        width = max((len(check.name) for check in self.checks), default=0)
        lines = [
            f"{'ok    ' if c.ok else 'FAILED'}  {c.name:<{width}}  {_shown(c.said)}" for c in self.checks
        ]
        return "\n".join([*lines, *([""] if lines else []), _shown(self.sentence)])

    @property
    def json(self) -> dict[str, Any]:
        """The answer for machines."""
        return {
            "schema": "auditor.verification/1",
            "verified": self.ok,
            "exit_code": self.exit_code,
            "bundle": self.bundle_id,
            "signer": self.signer,
            "head": self.head,
            "checks": [{"name": c.name, "ok": c.ok, "said": c.said} for c in self.checks],
            "first": self.first,
            "sentence": self.sentence,
        }


# What the bundle is read through ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Packed:
    """Where the bytes of one file lie in a zip."""

    start: int
    packed: int
    size: int
    crc: int


class Bag:
    """The files of a bundle by name, from a zip or from the folder it was unpacked to; read-only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: dict[str, _Packed | Path] = {}
        try:
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                self.files = dict(_walked(path))
            elif stat.S_ISREG(mode):
                with path.open("rb") as file:
                    self.files = _listed(file, path.stat().st_size)
            else:
                raise Unusable(f"{path} is neither a file nor a folder")
        except OSError as error:
            raise Unusable(f"{path} cannot be read: {error.strerror or error}") from error
        if not self.files:
            raise Wrong("the bundle holds no files")

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a file; Wrong when they cannot be unpacked."""
        at = self.files.get(name)
        if at is None:
            raise Wrong(f"{name} is missing")
        try:
            if isinstance(at, Path):
                with at.open("rb") as file:
                    while chunk := file.read(1 << 20):
                        yield chunk
            else:
                yield from self._unpacked(name, at)
        except OSError as error:
            raise Wrong(f"{name} cannot be read: {error.strerror or error}") from error

    def _unpacked(self, name: str, at: _Packed) -> Iterator[bytes]:
        unpack, left, crc, size = zlib.decompressobj(-15), at.packed, 0, 0
        with self.path.open("rb") as file:
            file.seek(at.start)
            pending = b""
            while not unpack.eof and (pending or left):
                if not pending:
                    pending = file.read(min(left, 1 << 16))
                    left = left - len(pending) if pending else 0
                try:
                    chunk = unpack.decompress(pending, 1 << 20)
                except zlib.error as error:
                    raise Wrong(f"{name} was altered: its packed bytes are damaged") from error
                pending = unpack.unconsumed_tail
                size, crc = size + len(chunk), zlib.crc32(chunk, crc)
                if size > at.size:
                    break
                yield chunk
        if not unpack.eof or unpack.unused_data or pending or left or size != at.size or crc != at.crc:
            raise Wrong(f"{name} was altered: its packed bytes are damaged")

    def digest(self, name: str) -> tuple[str, int]:
        """Return SHA-256 and size of a file."""
        sha, size = hashlib.sha256(), 0
        for chunk in self.chunks(name):
            sha.update(chunk)
            size += len(chunk)
        return sha.hexdigest(), size

    def read(self, name: str) -> bytes:
        """Return a file whole."""
        parts, size = [], 0
        for chunk in self.chunks(name):
            size += len(chunk)
            if size > LARGEST_READ:
                raise Wrong(f"{name} is larger than such a file may be")
            parts.append(chunk)
        return b"".join(parts)

    def lines(self, name: str) -> Iterator[bytes]:
        """Yield the lines of a file without their line feeds."""
        rest = b""
        for chunk in self.chunks(name):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole
            if len(rest) > LONGEST_LINE:
                raise Wrong(f"{name} has a line longer than such a file may have")
        if rest:
            raise Wrong(f"{name} does not end in a line feed")

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the objects of a JSONL file."""
        for number, line in enumerate(self.lines(name), 1):
            yield _object(line, f"{name}, line {number}")

    def under(self, folder: str) -> list[str]:
        """Return the names below a folder, sorted."""
        return sorted(name for name in self.files if name.startswith(folder))


def _walked(folder: Path) -> Iterator[tuple[str, Path]]:
    total = count = 0
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) or not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            raise Wrong(f"{name} is a link or a device; a bundle holds only files")
        if stat.S_ISREG(mode):
            total, count = total + path.lstat().st_size, count + 1
            if total > LARGEST or count > MOST_FILES:
                raise Wrong(
                    f"the folder holds more than the {LARGEST} bytes or {MOST_FILES} files a bundle may have"
                )
            yield name, path


_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_DOS_TIME, _DOS_DATE = 0, (1 << 5) | 1  # 1980-01-01 00:00


def _listed(file: Any, size: int) -> dict[str, _Packed | Path]:
    """Read the list of a zip that is exactly as a bundle is written: every byte of it has one allowed value.

    So there is no room for what other readers of zips disagree on: gaps, prefixes, comments, extra fields, two names
    for one file, links, encryption.
    """
    file.seek(max(0, size - 65_557))
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0:
        raise Unusable("this is not a zip file, or it was cut off")
    if len(tail) - at < _END.size:
        raise Unusable("the zip was cut off")
    if len(tail) - at > _END.size:
        raise Wrong("something stands behind the end of the zip")
    _, disk, first_disk, here, entries, listed, start, _ = end = _END.unpack(tail[at:])
    if end != (b"PK\5\6", 0, 0, entries, entries, listed, start, 0) or disk or first_disk or here != entries:
        raise Wrong("the end of the zip was altered")
    if start + listed + _END.size != size:
        raise Unusable("the zip was cut off, or something was put into it outside its files")
    if entries > MOST_FILES or listed > MOST_FILES * 300:
        raise Wrong(f"the zip lists more than the {MOST_FILES} files a bundle may have")
    file.seek(start)
    found: dict[str, _Packed | Path] = {}
    raw, at, offset, total, root = file.read(listed), 0, 0, 0, ""
    for _ in range(entries):
        if len(raw) - at < _CENTRAL.size:
            raise Wrong("the zip's list of files was altered")
        head = _CENTRAL.unpack_from(raw, at)
        length, crc, packed, unpacked = head[10], head[7], head[8], head[9]
        text = raw[at + _CENTRAL.size : at + _CENTRAL.size + length]
        name = safe_name(text)
        if head != central(text, crc, packed, unpacked, offset):
            raise Wrong(
                f"{name}: its entry in the zip is not as a bundle's is (packed anew? then unpack it and verify the folder)"
            )
        file.seek(offset)
        if file.read(_LOCAL.size + length) != _LOCAL.pack(*local(text, crc, packed, unpacked)) + text:
            raise Wrong(f"{name}: the zip names it in two ways, or its header was altered")
        begin = offset + _LOCAL.size + length
        offset, at, total = begin + packed, at + _CENTRAL.size + length, total + unpacked
        if total > LARGEST or unpacked > packed * 1040 + 64:
            raise Wrong(f"{name}: unpacked the zip would be larger than a bundle may be (a zip bomb?)")
        root = root or name.partition("/")[0]
        inner = name.partition("/")[2]
        if name.partition("/")[0] != root or not inner:
            raise Wrong(f"{name} is not in the bundle's one folder {root}/")
        if inner in found:
            raise Wrong(f"{inner} stands in the zip twice")
        found[inner] = _Packed(begin, packed, unpacked, crc)
    if offset != start or at != len(raw):
        raise Wrong("the zip holds bytes that belong to no file")
    return found


def local(name: bytes, crc: int, packed: int, size: int) -> tuple[Any, ...]:
    """Return the fields of a file's header in a bundle's zip."""
    return (b"PK\3\4", 20, _utf8(name), 8, _DOS_TIME, _DOS_DATE, crc, packed, size, len(name), 0)


def central(name: bytes, crc: int, packed: int, size: int, offset: int) -> tuple[Any, ...]:
    """Return the fields of a file in the list at the end of a bundle's zip: a plain file, readable by all."""
    return (
        b"PK\1\2", 3 << 8 | 20, 20, _utf8(name), 8, _DOS_TIME, _DOS_DATE, crc, packed, size, len(name),
        0, 0, 0, 0, (stat.S_IFREG | 0o644) << 16, offset,
    )  # fmt: skip


def _utf8(name: bytes) -> int:
    return 0 if name.isascii() else 0x800


_NOWHERE = frozenset('\\:<>|?*"')
"""What a name may not hold, for some system takes it for something else."""


def safe_name(raw: bytes) -> str:
    """Return a file's name; Wrong for one that would leave the folder it is unpacked to, or that hides."""
    try:
        name = raw.decode()
    except UnicodeDecodeError as error:
        raise Wrong(f"the zip holds a name that is no text: {raw!r}") from error
    parts = name.split("/")
    if (
        any(part in ("", ".", "..") or part != part.strip() for part in parts)
        or not name.isprintable()
        or not _NOWHERE.isdisjoint(name)
    ):
        raise Wrong(f"{name!r} is not a name that a bundle may hold: it could leave its folder")
    return name


# JSON as bundles write it -------------------------------------------------------------------------------------------


def canonical(value: Any) -> str:
    """Write a value as RFC 8785 does, for text, whole numbers, true, false and null."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _refused(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is not a whole number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _json(text: bytes, where: str) -> Any:
    try:
        return json.loads(
            text.decode(), object_pairs_hook=_once, parse_float=_refused, parse_constant=_refused
        )
    except (ValueError, RecursionError) as error:
        raise Wrong(f"{where} is not the JSON a bundle holds: {str(error)[:100]}") from error


def _object(text: bytes, where: str) -> dict[str, Any]:
    found = _json(text, where)
    if not isinstance(found, dict):
        raise Wrong(f"{where} is not a JSON object")
    return found


def _get(value: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    """Return a member of the kind it must be."""
    found = value.get(key)
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        raise Wrong(f"{where} has no {key}, or not the right kind of it")
    return found


def _shown(text: str) -> str:
    """Return text that a terminal shows as it is."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


# Signatures ---------------------------------------------------------------------------------------------------------


def ssh_blob(public: bytes) -> bytes:
    """Return a raw Ed25519 public key as OpenSSH writes it on the wire."""
    return _string(b"ssh-ed25519") + _string(public)


def fingerprint(public: bytes) -> str:
    """Return the fingerprint of a raw Ed25519 public key, as `ssh-keygen -lf` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(ssh_blob(public)).digest()).decode().rstrip("=")


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def ssh_signed(message: bytes) -> bytes:
    """Return what an SSHSIG signature is made over (OpenSSH PROTOCOL.sshsig)."""
    parts = (NAMESPACE.encode(), b"", b"sha512", hashlib.sha512(message).digest())
    return b"SSHSIG" + b"".join(map(_string, parts))


def ssh_signature(public: bytes, signature: bytes) -> str:
    """Return an SSHSIG signature in its armour."""
    parts = (
        ssh_blob(public),
        NAMESPACE.encode(),
        b"",
        b"sha512",
        _string(b"ssh-ed25519") + _string(signature),
    )
    text = base64.b64encode(b"SSHSIG" + struct.pack(">I", 1) + b"".join(map(_string, parts))).decode()
    lines = [text[at : at + 70] for at in range(0, len(text), 70)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


def pem(public: bytes) -> str:
    """Return a public key as PEM (RFC 8410)."""
    text = base64.b64encode(bytes.fromhex("302a300506032b6570032100") + public).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n"


def openssh(public: bytes) -> str:
    """Return a public key as one OpenSSH line without comment."""
    return "ssh-ed25519 " + base64.b64encode(ssh_blob(public)).decode()


def allowed_signers(public: bytes) -> str:
    """Return the line by which `ssh-keygen -Y verify` accepts a key for bundles."""
    return f'auditor namespaces="{NAMESPACE}" {openssh(public)}\n'


def checkpoint(origin: str, seq: int, head: str) -> str:
    """Return what is signed of the ledger: its origin, how many entries, the hash of the last."""
    return f"auditor/{origin}\n{seq}\n{base64.b64encode(bytes.fromhex(head)).decode()}\n"


def note_key(origin: str, public: bytes) -> bytes:
    """Return the four bytes by which a signed note names its key (C2SP signed-note)."""
    return hashlib.sha256(f"auditor/{origin}\n\1".encode() + public).digest()[:4]


def rotation(at: str, old: str, new: str) -> bytes:
    """Return what both keys sign when one takes the other's place."""
    return canonical({"at": at, "new": new, "old": old, "statement": "auditor key rotation"}).encode()


def _signed(public: bytes, signature: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def public_key(text: str) -> bytes:
    """Return the raw key of an OpenSSH line or a PEM; ValueError for anything else."""
    found = re.search(r"ssh-ed25519 ([A-Za-z0-9+/]+=*)", text)
    try:
        if found:
            blob = base64.b64decode(found[1], validate=True)
            if len(blob) == 51 and blob == ssh_blob(blob[19:]):
                return blob[19:]
        if "BEGIN PUBLIC KEY" in text:
            der = base64.b64decode("".join(line for line in text.splitlines() if not line.startswith("-")))
            if len(der) == 44 and pem(der[12:]).splitlines()[1] == base64.b64encode(der).decode():
                return der[12:]
    except binascii.Error as error:
        raise ValueError("the key is not base64") from error
    raise ValueError("this is no Ed25519 public key, neither in OpenSSH's form nor in PEM")


# The checks ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Case:
    """What the checks are made on, and what they learn on the way."""

    bag: Bag
    pinned: Sequence[str]
    expect_head: str
    previous: Path | None
    about: dict[str, Any] = field(default_factory=dict)
    entries: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    id: str = ""
    signer: str = ""


def _manifest(bag: Bag, name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in bag.lines(name):
        match = _LINE.fullmatch(line.decode("utf-8", "replace"))
        if match is None or match[2] in found or safe_name(match[2].encode("utf-8", "replace")) != match[2]:
            raise Wrong(f"{name} has a line that is no digest and name: {line[:80]!r}")
        found[match[2]] = match[1]
    return found


def _files(case: _Case) -> str:
    """Compare the list of files with the manifests: `sha256sum -c` does not see an added file."""
    _unsealed(case.bag)
    tags = _manifest(case.bag, "tagmanifest-sha256.txt")
    if case.bag.digest("manifest-sha256.txt")[0] != tags.get("manifest-sha256.txt"):
        raise Wrong("manifest-sha256.txt was altered")
    listed = _manifest(case.bag, "manifest-sha256.txt")
    stray = sorted(name for name in listed if not name.startswith("data/"))
    if stray or sorted(tags) != sorted(set(_TAGS) - {"tagmanifest-sha256.txt"}):
        raise Wrong(f"the manifests do not list what they must: {', '.join(stray) or 'the tag manifest'}")
    expected = {*listed, *_TAGS}
    found = {name for name in case.bag.files if name not in {f"signatures/{each}" for each in SIGNATURES}}
    missing, added = sorted(expected - found), sorted(found - expected)
    digests = {digest: name for name, digest in listed.items() if name in missing}
    told = []
    for name in added[:50]:
        was = digests.get(case.bag.digest(name)[0])
        if was is not None:
            told.append(f"{was} was renamed to {name}")
            missing.remove(was) if was in missing else None
        elif PurePosixPath(name).name in _BENIGN:
            told.append(f"{name} was added (by a file manager, it seems: delete it and verify again)")
        else:
            told.append(f"{name} was added")
    told = [*(f"{name} is missing" for name in missing), *told]
    if told:
        raise Wrong(_some(told))
    return f"{len(listed)} files of evidence, none missing, none added"


def _unsealed(bag: Bag) -> None:
    """Tell an altered tag manifest from what it lists: only then does neither signature fit any of the key files."""
    if any(f"signatures/{name}" not in bag.files for name in SIGNATURES):
        return
    message = bag.read("tagmanifest-sha256.txt")
    raw = bag.read("signatures/tagmanifest-sha256.txt.ed25519")
    armour = _armour(bag)
    for name in ("pubkey.pem", "allowed_signers"):
        try:
            public = public_key(bag.read(f"signatures/{name}").decode())
        except ValueError:
            return
        if _signed(public, raw, message) or _signed(public, armour[-64:], ssh_signed(message)):
            return
    raise Wrong("tagmanifest-sha256.txt was altered: neither of its signatures fits")


def _armour(bag: Bag) -> bytes:
    """Return what stands in the armour of the SSH signature; empty when it is none."""
    try:
        lines = bag.read("signatures/tagmanifest-sha256.txt.sig").split(b"\n")
        return base64.b64decode(b"".join(lines[1:-2]), validate=True)
    except binascii.Error:
        return b""


def _some(told: Sequence[str]) -> str:
    return "; ".join(told[:5]) + (f"; and {len(told) - 5} more" if len(told) > 5 else "")


def _compared(bag: Bag, manifest: str) -> tuple[int, int, list[str]]:
    total, wrong, listed = 0, [], _manifest(bag, manifest)
    for name, digest in sorted(listed.items()):
        try:
            found, size = bag.digest(name)
            total += size
            if found != digest:
                wrong.append(f"{name} was altered: its SHA-256 is {found[:16]}…, not {digest[:16]}…")
        except Wrong as error:
            wrong.append(str(error))
    return len(listed), total, wrong


def _digests(case: _Case) -> str:
    count, total, wrong = _compared(case.bag, "manifest-sha256.txt")
    if wrong:
        raise Wrong(_some(wrong))
    info = case.bag.read("bag-info.txt").decode("utf-8", "replace")
    if f"Payload-Oxum: {total}.{count}\n" not in info:
        raise Wrong(f"bag-info.txt does not say Payload-Oxum: {total}.{count}")
    return f"{count} SHA-256 digests recomputed over {total} bytes, all equal"


def _tags(case: _Case) -> str:
    count, _, wrong = _compared(case.bag, "tagmanifest-sha256.txt")
    if wrong:
        raise Wrong(_some(wrong))
    case.about = _object(case.bag.read("data/about.json"), "data/about.json")
    if case.about.get("schema") != SCHEMA:
        raise Wrong(f"data/about.json is not of the schema {SCHEMA}: a newer verifier may be needed")
    return f"{count} files about the bundle are those that were signed"


def _signature(case: _Case) -> str:
    bag = case.bag
    present = bag.under("signatures/")
    if not present:
        stripped = case.about.get("signer")
        raise Wrong(
            "UNSIGNED: nobody vouches for this bundle"
            + (", though it says it was signed" if stripped else "")
        )
    lacking = [f"signatures/{name} is missing" for name in SIGNATURES if f"signatures/{name}" not in present]
    if lacking:
        raise Wrong(_some(lacking))
    message = bag.read("tagmanifest-sha256.txt")
    text = bag.read("signatures/tagmanifest-sha256.txt.sig")
    raw = bag.read("signatures/tagmanifest-sha256.txt.ed25519")
    armour = _armour(bag)
    public, signature = armour[33:65], armour[-64:]
    if len(armour) < 129 or ssh_signature(public, signature).encode() != text:
        raise Wrong("signatures/tagmanifest-sha256.txt.sig is not a signature of a bundle")
    if not _signed(public, signature, ssh_signed(message)):
        raise Wrong("signatures/tagmanifest-sha256.txt.sig does not sign this tagmanifest-sha256.txt")
    if not _signed(public, raw, message):
        raise Wrong("signatures/tagmanifest-sha256.txt.ed25519 does not sign this tagmanifest-sha256.txt")
    for name, expected in (("pubkey.pem", pem(public)), ("allowed_signers", allowed_signers(public))):
        if bag.read(f"signatures/{name}") != expected.encode():
            raise Wrong(f"signatures/{name} does not hold the key that signed")
    signer = fingerprint(public)
    _noted(case, public)
    trusted, retired = _trusted(case)
    if signer != case.about.get("signer"):
        raise Wrong(f"signed by {signer}, but the bundle was made for {case.about.get('signer')}")
    if not case.pinned:
        raise Wrong(f"UNPINNED: signed by {signer}, but you named no key to trust, and anyone can make a key")
    if signer in retired:
        raise Wrong(f"signed by {signer}, which had given its place to another key before")
    if signer not in trusted:
        raise Wrong(f"signed by a foreign key, {signer}; you trust {', '.join(case.pinned)}")
    case.signer = signer
    return f"signed by {signer}, " + (
        "the key you named" if signer in case.pinned else "which the key you named put in its place"
    )


def _noted(case: _Case, public: bytes) -> None:
    """Check the signed note that holds the ledger's head."""
    where = "data/about.json"
    origin = _get(case.about, "origin", str, where)
    ledger = _get(case.about, "ledger", dict, where)
    head = _get(ledger, "head", str, where)
    if not _DIGEST.fullmatch(head):
        raise Wrong(f"{where} names a head that is no digest")
    body = checkpoint(origin, _get(ledger, "last", int, where), head)
    text = case.bag.read("signatures/checkpoint").decode("utf-8", "replace")
    begin = f"{body}\n\N{EM DASH} auditor/{origin} "
    try:
        raw = base64.b64decode(text[len(begin) : -1], validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    whole = begin + base64.b64encode(raw).decode() + "\n"
    if text != whole or raw[:4] != note_key(origin, public) or not _signed(public, raw[4:], body.encode()):
        raise Wrong("signatures/checkpoint is not the ledger's head, signed")


def _trusted(case: _Case) -> tuple[set[str], set[str]]:
    """Return the keys that are trusted once every signed change of key is followed, and those that gave way."""
    trusted, retired = set(case.pinned), set()
    for row in case.bag.rows("data/keys.jsonl"):
        where = f"data/keys.jsonl, entry {row.get('seq')}"
        if _hash(row, where) != row.get("hash"):
            raise Wrong(f"{where} was altered")
        body = _get(row, "body", dict, where)
        old, new, at = (_get(body, key, str, where) for key in ("old", "new", "at"))
        try:
            keys = public_key(old), public_key(new)
            signatures = [
                base64.b64decode(_get(body, key, str, where)) for key in ("signed_by_old", "signed_by_new")
            ]
        except ValueError as error:
            raise Wrong(f"{where} holds no keys") from error
        if not all(
            _signed(key, each, rotation(at, old, new)) for key, each in zip(keys, signatures, strict=True)
        ):
            raise Wrong(f"{where}: the change of key is not signed by both keys")
        if (before := fingerprint(keys[0])) in trusted:
            trusted.add(fingerprint(keys[1]))
            trusted.discard(before)
            retired.add(before)
    return trusted, retired - trusted


def _hash(row: Mapping[str, Any], where: str) -> str:
    if sorted(row) != ["at", "body", "hash", "kind", "prev", "seq"]:
        raise Wrong(f"{where} is not an entry of a ledger")
    try:
        return hashlib.sha256(canonical({k: v for k, v in row.items() if k != "hash"}).encode()).hexdigest()
    except (ValueError, RecursionError) as error:
        raise Wrong(f"{where} cannot be written in canonical form") from error


def _chain(case: _Case) -> str:
    where = "data/ledger.jsonl"
    ledger = _get(case.about, "ledger", dict, "data/about.json")
    seq, prev = _get(ledger, "first", int, "data/about.json"), ledger.get("prev")
    first = seq
    for row in case.bag.rows(where):
        at = f"{where}, entry {row.get('seq')}"
        if row.get("seq") != seq:
            raise Wrong(f"{where}: entry {seq} is missing; {row.get('seq')} stands in its place")
        if _hash(row, at) != row["hash"]:
            raise Wrong(f"{at} was altered: its hash is not that of its content")
        if row["prev"] != prev or (seq == 1 and prev != FIRST):
            raise Wrong(f"{at} does not follow the entry before it")
        _get(row, "body", dict, at)
        case.entries.append(row)
        seq, prev = seq + 1, row["hash"]
    if (seq - 1, prev) != (ledger.get("last"), ledger.get("head")):
        raise Wrong(
            f"{where} ends with entry {seq - 1}, not with the head that was signed, {ledger.get('last')}"
        )
    inside = {row["seq"]: row["hash"] for row in case.entries}
    keys = list(case.bag.rows("data/keys.jsonl"))
    if any(key.get("seq") in inside and inside[key["seq"]] != key.get("hash") for key in keys):
        raise Wrong("data/keys.jsonl: a change of key is not that of the ledger")
    known = {key.get("seq") for key in keys}
    if any(row["kind"] == "key" and row["seq"] not in known for row in case.entries):
        raise Wrong("data/keys.jsonl lacks a change of key that the ledger has")
    return f"entries {first} to {seq - 1} follow each other without a gap{_receipts(case)}"


def _receipts(case: _Case) -> str:
    """Hold the chain against what was kept outside: a head that was told, a bundle that was given before."""
    ledger, said = case.about["ledger"], ""
    heads = {row["seq"]: row["hash"] for row in case.entries}
    if ledger["first"] > 1:
        heads[ledger["first"] - 1] = ledger["prev"]
    if case.expect_head:
        match = re.fullmatch(r"(?:(\d{1,15})\s*\W{1,3}\s*)?([0-9a-f]{16,64})", case.expect_head.strip())
        if match is None:
            raise Wrong(f"--expect-head {case.expect_head!r} is no receipt: it reads `17 · 0123456789abcdef`")
        if not any(head.startswith(match[2]) and match[1] in (None, str(seq)) for seq, head in heads.items()):
            raise Wrong(
                f"the head that was told, {match[2][:16]}, is not among entries {min(heads)} to {max(heads)}: "
                "the ledger was rewritten, or the receipt belongs to another bundle"
            )
        said = ", with the head that was told"
    if case.previous is not None:
        older = verify(case.previous, pinned=case.pinned)
        if not older.ok:
            raise Wrong(
                f"the bundle before, {case.previous.name}, does not verify: {older.first or older.sentence}"
            )
        seq, _, head = older.head.partition(":")
        if heads.get(int(seq)) != head:
            raise Wrong(f"this bundle does not go on where {case.previous.name} ended, at entry {seq}")
        named = [
            row["body"].get("bundle")
            for row in case.entries
            if row["kind"] == "bundle" and row["seq"] > int(seq)
        ]
        if older.bundle_id not in named:
            raise Wrong(f"the ledger does not know of {case.previous.name} (bundle {older.bundle_id[:16]})")
        said += f", and go on where {case.previous.name} ended"
    return said


def _scans(case: _Case) -> str:
    """Hold runs, outcomes, findings and drift against what each scan's entry says of them."""
    bag, entries = case.bag, {row["seq"]: row for row in case.entries}
    begin, end = (_get(case.about, key, str, "data/about.json") for key in ("from", "to"))
    due = {
        seq
        for seq, row in entries.items()
        if row["kind"] in KINDS and begin < str(row["body"].get("at")) <= end
    }
    case.runs = list(bag.rows("data/runs.jsonl"))
    records = _records(bag)
    for run in case.runs:
        where = f"data/runs.jsonl, scan {run.get('scan')}"
        entry = entries.get(_get(run, "entry", int, where))
        if entry is None or KINDS.get(entry["kind"]) != run.get("state") or entry["hash"] != run.get("head"):
            raise Wrong(f"{where} is not what entry {run['entry']} of the ledger records")
        due.discard(run["entry"])
        for name in SCAN:
            same = (
                bool(entry["body"].get(name)) == run.get(name)
                if name == "complete"
                else entry["body"].get(name) == run.get(name)
            )
            if not same:
                raise Wrong(f"{where}: {name} is not what entry {run['entry']} of the ledger records")
        if run["state"] in ("finished", "rechecked"):
            for what in ("opened", "ended", "drift"):
                if records.pop((run["n"], what), hashlib.sha256()).hexdigest() != entry["body"].get(what):
                    raise Wrong(
                        f"data/records.jsonl: the rows {what} in scan {run['scan']} are not those the ledger records"
                    )
        if run.get("included") is True:
            name = f"data/outcomes/{run['scan']}.jsonl"
            if bag.digest(name)[0] != run["outcome_digest"]:
                raise Wrong(f"{name} is not what the ledger records of scan {run['scan']}")
    if due:
        raise Wrong(f"data/runs.jsonl lacks the scan of entry {min(due)}")
    if records:
        raise Wrong(
            f"data/records.jsonl has rows of a scan {min(records, key=str)[0]} that is not in data/runs.jsonl"
        )
    opened, ended, drifted = _bound(bag)
    return (
        f"{len(case.runs)} scans are those of the ledger, and so are {opened} findings opened, {ended} ended "
        f"and {drifted} changes"
    )


def _records(bag: Bag) -> dict[tuple[Any, Any], Any]:
    found: dict[tuple[Any, Any], Any] = {}
    for row in bag.rows("data/records.jsonl"):
        key = (_get(row, "n", int, "data/records.jsonl"), _get(row, "what", str, "data/records.jsonl"))
        found.setdefault(key, hashlib.sha256()).update(
            canonical(_get(row, "row", list, "data/records.jsonl")).encode() + b"\n"
        )
    return found


def _bound(bag: Bag) -> tuple[int, int, int]:
    """Compare findings and drift, as people read them, with the rows that the ledger's entries digest."""
    rows: dict[str, dict[tuple[str, ...], dict[str, Any]]] = {"opened": {}, "ended": {}, "drift": {}}
    for each in bag.rows("data/records.jsonl"):
        names = _COLUMNS.get(each["what"], ())
        if not names or len(each["row"]) != len(names):
            raise Wrong(f"data/records.jsonl has a row of {each['what']!r} that is none")
        row = dict(zip(names, each["row"], strict=True))
        first, second = (
            (each["n"], row["drift_id"])
            if each["what"] == "drift"
            else (row["finding_id"], row["since_scan"])
        )
        rows[each["what"]][str(first), str(second)] = row
    counts = len(rows["opened"]), len(rows["ended"]), len(rows["drift"])
    for finding in bag.rows("data/findings.jsonl"):
        key: tuple[str, ...] = (str(finding.get("finding_id")), str(finding.get("since_n")))
        for what, names in (("opened", _SAME_OPENED), ("ended", _SAME_ENDED)):
            recorded = rows[what].pop(key, {})
            for name in names if recorded else ():
                if finding.get(name) != recorded[name]:
                    raise Wrong(
                        f"data/findings.jsonl, finding {key[0]}: {name} is not what the ledger records"
                    )
    for number, change in enumerate(bag.rows("data/drift.jsonl"), 1):
        if rows["drift"].pop((str(change.pop("n", "")), str(change.get("drift_id"))), {}) != change:
            raise Wrong(f"data/drift.jsonl, line {number} is not what the ledger records")
    for what, file in (("opened", "findings"), ("ended", "findings"), ("drift", "drift")):
        for key in rows[what]:
            raise Wrong(
                f"data/{file}.jsonl lacks {key[1] if what == 'drift' else key[0]}, which the ledger records"
            )
    return counts


_COLUMNS = {"opened": OPENED, "ended": ENDED, "drift": DRIFT}
_SAME_OPENED = (
    "rule",
    "code",
    "subject_table",
    "subject_key",
    "verdict",
    "severity",
    "owner",
    "zone",
    "account",
    "project",
    "opened_at",
)
_SAME_ENDED = ("closed_at", "ended", "ended_because")


def _decisions(case: _Case) -> str:
    """Hold waivers and sign-offs against the entries that record them; older entries are not in this bundle."""
    until, first, count = str(case.about["to"]), case.about["ledger"]["first"], 0
    entries = [row for row in case.entries if str(row["at"]) <= until]
    revoked = {
        row["body"].get("waiver_id"): row["body"] for row in entries if row["kind"] == "waiver_revoked"
    }
    for kind, name in (("waiver", "data/waivers.jsonl"), ("sign_off", "data/signoffs.jsonl")):
        due = {row["seq"]: row["body"] for row in entries if row["kind"] == kind}
        for number, row in enumerate(case.bag.rows(name), 1):
            seq, count = _get(row, "entry", int, f"{name}, line {number}"), count + 1
            known = due.pop(seq, {} if seq < first else None)
            end = revoked.get(row.get("waiver_id"), {})
            expected = {**(known or row), **end, "entry": seq}
            if known is None or row != expected:
                raise Wrong(f"{name}, line {number} is not what the ledger records")
        if due:
            raise Wrong(f"{name} lacks what entry {min(due)} of the ledger records")
    return f"{count} waivers and sign-offs are those of the ledger"


def _snapshots(case: _Case) -> str:
    """Recompute the digest of every table of every snapshot, and the snapshot's own."""
    bag, tables, lines, bulk = case.bag, 0, 0, 0
    ids = {run["snapshot_id"] for run in case.runs if run.get("included") is True}
    known = {f"data/snapshots/{each}/manifest.json" for each in ids}
    for identity in sorted(ids):
        folder = f"data/snapshots/{identity}"
        if bag.digest(f"{folder}/manifest.json")[0] != identity:
            raise Wrong(f"{folder}/manifest.json is not the one the ledger records: its SHA-256 is another")
        listed = _get(
            _object(bag.read(f"{folder}/manifest.json"), f"{folder}/manifest.json"), "tables", dict, folder
        )
        for table, said in sorted(listed.items()):
            name = f"{folder}/tables/{table}.jsonl"
            if not isinstance(said, dict) or not said.get("rows"):
                continue
            if "sha256" in said:  # it came in bulk: the file itself is what was hashed
                name = f"{folder}/tables/{table}.parquet"
                known.add(name)
                if [f"parquet:{bag.digest(name)[0]}"] * 2 != [
                    said.get("digest"),
                    f"parquet:{said['sha256']}",
                ]:
                    raise Wrong(f"{name} is not the table that was scanned: its digest is another")
                tables, bulk = tables + 1, bulk + 1
                continue
            known.add(name)
            sha, rows = hashlib.sha256(), 0
            for line in bag.lines(name):
                sha.update(line + b"\n")
                rows += 1
            if (sha.hexdigest(), rows) != (said.get("digest"), said.get("rows")):
                raise Wrong(
                    f"{name} is not the table that was scanned: its digest or its count of rows is another"
                )
            tables, lines = tables + 1, lines + rows
    for name in bag.under("data/snapshots/"):
        if re.fullmatch(r"data/snapshots/[0-9a-f]{64}/raw/[0-9a-f]{64}\.gz", name):
            _page(bag, name)
        elif name not in known:
            raise Wrong(f"{name} belongs to no snapshot that the ledger records")
    told = f"; {bulk} of them are Parquet files, whose rows were not counted" if bulk else ""
    return (
        f"{len(ids)} snapshots, {tables} tables, {lines} rows: every digest is the one that was scanned{told}"
    )


def _page(bag: Bag, name: str) -> None:
    """Check that a page, as it came from a cloud, is the one its name says."""
    unpack, sha, size = zlib.decompressobj(31), hashlib.sha256(), 0
    try:
        for chunk in bag.chunks(name):
            rest = chunk
            while rest and not unpack.eof:
                page = unpack.decompress(rest, 1 << 20)
                rest, size = unpack.unconsumed_tail, size + len(page)
                sha.update(page)
                if size > LARGEST_READ:
                    raise Wrong(f"{name} is larger than a page may be")
    except zlib.error as error:
        raise Wrong(f"{name} cannot be unpacked") from error
    if not unpack.eof or sha.hexdigest() != name[-67:-3]:
        raise Wrong(f"{name} is not the page its name says")


def _populations(case: _Case) -> str:
    """Count every subject's verdicts again from the outcomes that the ledger records."""
    bag, last = case.bag, case.about.get("populations_of")
    if last is None:
        return "no scan finished in the window: there is no population"
    run = next((run for run in case.runs if run.get("scan") == last and run.get("included") is True), None)
    if run is None:
        raise Wrong(f"the populations are those of a scan {last} that is not in the bundle")
    judged: dict[str, dict[str, dict[str, str]]] = {}
    totals: Counter[str] = Counter()
    for row in bag.rows(f"data/outcomes/{last}.jsonl"):
        entity, key, rule, verdict = (
            _get(row, k, str, "an outcome") for k in ("subject_table", "subject_key", "rule", "verdict")
        )
        judged.setdefault(entity, {}).setdefault(key, {})[rule] = verdict
        totals[verdict] += 1
    if set(totals) - set(VERDICTS) or any(
        totals[v] != (run["tally"].get("verdicts") or {}).get(v) for v in VERDICTS
    ):
        raise Wrong(f"the verdicts of scan {last} do not add up to what the ledger records")
    names = {f"data/populations/{entity}.jsonl": entity for entity in judged}
    count = 0
    for name in bag.under("data/populations/"):
        if name.endswith(".csv"):
            continue
        subjects = judged.get(names.pop(name, ""), {})
        for number, row in enumerate(bag.rows(name), 1):
            verdicts = subjects.pop(str(row.get("subject_key")), None)
            tally = Counter((verdicts or {}).values())
            if verdicts is None or row.get("row") != number or row.get("verdicts") != verdicts:
                raise Wrong(f"{name}, row {number} is not what scan {last} judged")
            if any(row.get(verdict) != tally[verdict] for verdict in VERDICTS):
                raise Wrong(f"{name}, row {number}: its counts do not add up")
            count += 1
        if subjects:
            raise Wrong(f"{name} lacks {min(subjects)}")
    if names:
        raise Wrong(f"{min(names)} is missing")
    said = ", ".join(f"{totals[verdict]} {verdict.replace('_', ' ')}" for verdict in VERDICTS)
    return f"{count} subjects, {sum(totals.values())} verdicts = {said}"


def _identity(case: _Case) -> str:
    case.id = case.bag.digest("tagmanifest-sha256.txt")[0]
    return case.id


CHECKS: tuple[tuple[str, Callable[[_Case], str]], ...] = (
    ("file list", _files),
    ("digests", _digests),
    ("tag manifest", _tags),
    ("signature", _signature),
    ("ledger", _chain),
    ("scans", _scans),
    ("decisions", _decisions),
    ("snapshots", _snapshots),
    ("populations", _populations),
    ("bundle id", _identity),
)


def verify(
    path: Path, *, pinned: Sequence[str] = (), expect_head: str | None = None, previous: Path | None = None
) -> Result:
    """Check a bundle (a zip, or the folder it was unpacked to); never raises for what it holds.

    `pinned` are fingerprints of keys you trust, learnt elsewhere; `expect_head` is a head receipt, `previous` the
    bundle given before.
    """
    try:
        bag = Bag(Path(path))
    except Unusable as error:
        return Result(str(path), exit_code=2, sentence=f"{path}: {error}.")
    except Wrong as error:
        check = Check("archive", False, str(error))
        return Result(str(path), (check,), sentence=f"Do not rely on this bundle: {error}.")
    case = _Case(bag, tuple(pinned), expect_head or "", previous)
    checks = [Check("archive", True, f"{len(bag.files)} files; no name leaves the bundle's folder")]
    for name, run in CHECKS:
        try:
            checks.append(Check(name, True, run(case)))
        except Wrong as error:
            checks.append(Check(name, False, str(error)))
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            # What an earlier check found wrong left nothing to look at here, or a value is of a kind nobody wrote.
            checks.append(Check(name, False, f"cannot be checked: {type(error).__name__} {str(error)[:80]}"))
    head = f"{case.entries[-1]['seq']}:{case.entries[-1]['hash']}" if case.entries else ""
    ok = all(check.ok for check in checks)
    result = Result(str(path), tuple(checks), 0 if ok else 5, case.id, case.signer, head)
    return replace(result, sentence=_sentence(result, case))


def _sentence(result: Result, case: _Case) -> str:
    if not result.ok:
        failed = [check.name for check in result.checks if not check.ok]
        if failed == ["signature"] and result.first.startswith(("UNPINNED", "UNSIGNED")):
            return f"NOT VERIFIED: the files agree with each other, but {result.first}. Name the key you trust with --key."
        return f"Do not rely on this bundle: {result.first}."
    told = (
        f"Verified: every byte of this evidence of {case.about['origin']}, from {case.about['from'][:10]} to "
        f"{case.about['to'][:10]}, is as it was when the key you named signed it."
    )
    if not case.expect_head and case.previous is None:
        told += (
            " Whether its maker had rewritten the ledger before that shows only against a head receipt "
            "(--expect-head) or the bundle before (--previous)."
        )
    return told


def pins(given: Sequence[str]) -> list[str]:
    """Return fingerprints from fingerprints and files of public keys; Unusable for anything else."""
    found = []
    for each in given:
        if re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}", each):
            found.append(each)
            continue
        try:
            with Path(each).open("rb") as file:
                found.append(fingerprint(public_key(file.read(10_000).decode())))
        except (OSError, ValueError) as error:
            raise Unusable(
                f"--key {each}: neither a fingerprint (SHA256:…) nor a public key file: {error}"
            ) from error
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a program; returns the exit code."""
    parser = argparse.ArgumentParser(description="Check an evidence bundle offline.")
    parser.add_argument("bundle", type=Path, help="the zip, or the folder it was unpacked to")
    parser.add_argument(
        "--key", action="append", default=[], help="fingerprint or public key file you trust; may be repeated"
    )
    parser.add_argument("--expect-head", help="a head receipt: `17 · 0123456789abcdef`")
    parser.add_argument("--previous", type=Path, help="the bundle given before this one")
    parser.add_argument("--json", action="store_true", help="answer for machines")
    asked = parser.parse_args(argv)
    try:
        result = verify(
            asked.bundle, pinned=pins(asked.key), expect_head=asked.expect_head, previous=asked.previous
        )
    except Unusable as error:
        result = Result(str(asked.bundle), exit_code=2, sentence=f"{error}.")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.stdout.write((json.dumps(result.json, indent=1) if asked.json else result.text) + "\n")
    return result.exit_code


if __name__ == "__main__":
    sys.exit(main())
