"""A bundle as files: gathered in a folder, listed in manifests (BagIt, RFC 8493), signed, and packed as a zip.

The same content gives the same bytes: names are sorted, the zip is written by hand with fixed dates and modes, and no
clock is read. Deflate may differ between builds of zlib, so a bundle's identity is its tag manifest, not its zip.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from auditor import verify
from auditor.errors import UsageError
from auditor.ledger.values import canonical

if TYPE_CHECKING:
    from auditor.keys import Key

MOST = 0xFFFF_FFFF
"""A plain zip counts in 32 bits."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")


class Bag:
    """A bundle in the making, below a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, tuple[str, int]] = {}
        """Name to SHA-256 and size."""

    def file(self, name: str, parts: Iterable[bytes]) -> str:
        """Add a file in parts; returns its SHA-256. UsageError for a name no bundle may hold."""
        try:
            verify.safe_name(name.encode("utf-8", "surrogateescape"))
        except verify.Wrong as error:
            raise UsageError(f"{error}", remedy="Rename the file it is made from.") from None
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sha, size = hashlib.sha256(), 0
        with path.open("xb") as file:
            for part in parts:
                file.write(part)
                sha.update(part)
                size += len(part)
        self.files[name] = (sha.hexdigest(), size)
        return sha.hexdigest()

    def text(self, name: str, text: str) -> str:
        """Add a text."""
        return self.file(name, [text.encode()])

    def json(self, name: str, value: Any) -> str:
        """Add a document, indented for people."""
        import json

        plain = json.loads(canonical(value))
        return self.text(name, json.dumps(plain, indent=1, sort_keys=True, ensure_ascii=False) + "\n")

    def rows(self, name: str, rows: Iterable[Mapping[str, Any]]) -> str:
        """Add rows as JSONL, one canonical object a line."""
        return self.file(name, (f"{canonical(row)}\n".encode() for row in rows))

    def csv(self, name: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
        """Add rows as a table for people; the exact values are in the JSONL file beside it."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow(columns)
        writer.writerows([cell(row.get(column)) for column in columns] for row in rows)
        return self.text(name, text.getvalue())

    def copy(self, name: str, path: Path) -> str:
        """Add a file as it is."""
        with path.open("rb") as file:
            return self.file(name, iter(lambda: file.read(1 << 20), b""))

    def seal(self, info: Sequence[tuple[str, str]], about: Mapping[str, Any], key: Key | None) -> str:
        """Write manifests and signatures; returns the bundle's id, the SHA-256 of its tag manifest."""
        evidence = dict(self.files)
        oxum = f"{sum(size for _, size in evidence.values())}.{len(evidence)}"
        told = "".join(
            f"{name}: {' '.join(value.split())}\n" for name, value in [*info, ("Payload-Oxum", oxum)]
        )
        here = Path(__file__).parent
        self.text("bagit.txt", "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
        self.text("bag-info.txt", told)
        self.text("VERIFY.txt", _instructions(here / "VERIFY.txt", about, key))
        self.copy("verify.py", here / "verify.py")
        self.text("manifest-sha256.txt", _manifest(evidence))
        tags = {name: self.files[name] for name in self.files if name not in evidence}
        text = _manifest(tags)
        self.text("tagmanifest-sha256.txt", text)
        if key is not None:
            self._sign(text.encode(), about, key)
        return hashlib.sha256(text.encode()).hexdigest()

    def _sign(self, message: bytes, about: Mapping[str, Any], key: Key) -> None:
        origin, ledger = about["origin"], about["ledger"]
        body = verify.checkpoint(origin, ledger["last"], ledger["head"])
        note = base64.b64encode(verify.note_key(origin, key.public) + key.sign(body.encode())).decode()
        self.text("signatures/tagmanifest-sha256.txt.sig", key.ssh_signature(message))
        self.file("signatures/tagmanifest-sha256.txt.ed25519", [key.sign(message)])
        self.text("signatures/pubkey.pem", key.pem)
        self.text("signatures/allowed_signers", verify.allowed_signers(key.public))
        self.text("signatures/checkpoint", f"{body}\n\N{EM DASH} auditor/{origin} {note}\n")

    def pack(self, root: str, into: Path) -> None:
        """Write everything as one zip, below the folder `root`, and bring it to disk."""
        if len(self.files) > verify.MOST_FILES:
            raise _too_large(f"{len(self.files)} files")
        listed: list[bytes] = []
        with into.open("xb") as file:
            listed += [self._packed(file, name, f"{root}/{name}".encode()) for name in sorted(self.files)]
            start, ending = file.tell(), b"".join(listed)
            if start + len(ending) > MOST:
                raise _too_large(f"{start} bytes, packed")
            end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(listed), len(listed), len(ending), start, 0)
            file.write(ending + end)
            file.flush()
            os.fsync(file.fileno())

    def _packed(self, file: IO[bytes], name: str, inner: bytes) -> bytes:
        """Write one file; returns its entry for the list at the end."""
        offset = file.tell()
        file.write(bytes(_LOCAL.size) + inner)
        squeeze, crc = zlib.compressobj(6, zlib.DEFLATED, -15), 0
        with (self.folder / name).open("rb") as source:
            while chunk := source.read(1 << 20):
                crc = zlib.crc32(chunk, crc)
                file.write(squeeze.compress(chunk))
        file.write(squeeze.flush())
        end, size = file.tell(), self.files[name][1]
        packed = end - offset - _LOCAL.size - len(inner)
        if end > MOST or size > MOST:
            raise _too_large(f"{name} alone is {size} bytes")
        file.seek(offset)
        file.write(_LOCAL.pack(*verify.local(inner, crc, packed, size)))
        file.seek(end)
        return _CENTRAL.pack(*verify.central(inner, crc, packed, size, offset)) + inner


def cell(value: Any) -> str:
    """Return a value as a cell that no spreadsheet takes for a formula, and that shows what it hides."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else canonical(value)
    shown = text if text.isprintable() else "".join(map(_shown, text))
    return f"'{shown}" if shown.lstrip(" ").startswith(_FORMULA) else shown


def told_of(row: Any) -> dict[str, Any]:
    """Return the columns of a record to be written; `asdict` would copy each list and mapping in it first."""
    return {column.name: getattr(row, column.name) for column in fields(row)}


def _shown(char: str) -> str:
    return char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()


def _manifest(files: Mapping[str, tuple[str, int]]) -> str:
    return "".join(f"{files[name][0]}  {name}\n" for name in sorted(files))


def _instructions(template: Path, about: Mapping[str, Any], key: Key | None) -> str:
    text = template.read_text(encoding="utf-8")
    signer = key.fingerprint if key else "UNSIGNED: nobody vouches for this bundle"
    ledger = about["ledger"]
    receipt = f"{ledger['last']} \N{MIDDLE DOT} {ledger['head'][:16]}"
    for word, value in (("ORIGIN", about["origin"]), ("SIGNER", signer), ("RECEIPT", receipt)):
        text = text.replace(f"@{word}@", value)
    return text


def _too_large(what: str) -> UsageError:
    return UsageError(
        f"the bundle is too large for one zip: {what}",
        remedy="Choose a shorter window, or leave the raw pages out.",
    )
