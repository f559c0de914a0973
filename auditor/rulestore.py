"""The rule files that judged a scan, kept so that it can be judged again when the rules have moved on.

<state>/rules/<sha256>                       each file once, under the digest of its bytes
<state>/judged/<judgement>/rules.json        which of them judged that scan, in the order they were read
<state>/judged/<judgement>/definitions.json  how each rule was defined then, for what changed of rules since
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from auditor.errors import VerificationError
from auditor.rulepack import Pack, PackFile

_LIST = "rules.json"
_DEFINED = "definitions.json"


def keep(pack: Pack, store: Path, judgement: Path) -> None:
    """Keep the files of a pack in `store`, and beside a judgement the list of them."""
    store.mkdir(parents=True, exist_ok=True)
    listed = []
    for file in pack.files:
        digest = hashlib.sha256(file.content).hexdigest()
        if not (store / digest).exists():
            _write(store / digest, file.content)
        listed.append({"kind": file.kind, "name": file.name, "sha256": digest})
    _write(judgement / _LIST, json.dumps(listed, indent=0, ensure_ascii=False).encode() + b"\n")


def kept(store: Path, judgement: Path) -> tuple[PackFile, ...] | None:
    """Return the files that judged a scan; None when they were not kept.

    VerificationError when one is not what its name says.
    """
    try:
        listed = json.loads((judgement / _LIST).read_bytes())
        files = tuple(PackFile(e["kind"], e["name"], (store / e["sha256"]).read_bytes()) for e in listed)
    except OSError:
        return None
    for entry, file in zip(listed, files, strict=True):
        if hashlib.sha256(file.content).hexdigest() != entry["sha256"]:
            raise VerificationError(
                f"{store / entry['sha256']}: the kept rule file {file.name} has changed",
                remedy="Restore it from a backup or from a bundle.",
            )
    return files or None


def define(definitions: Mapping[str, Any], judgement: Path) -> None:
    """Keep beside a judgement how its rules were defined."""
    _write(judgement / _DEFINED, json.dumps(definitions, sort_keys=True, ensure_ascii=False).encode() + b"\n")


def defined(judgement: Path) -> dict[str, Any] | None:
    """Return how the rules of a judgement were defined; None when that was not kept, or cannot be read."""
    try:
        found = json.loads((judgement / _DEFINED).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def unpack(files: Iterable[PackFile], into: Path) -> tuple[list[Path], list[Path]]:
    """Write files as they were; returns the paths of rules and of frameworks, as `rulepack.load` takes them."""
    found: dict[str, list[Path]] = {"rules": [], "frameworks": []}
    for number, file in enumerate(files):
        # A folder of its own each: two files of one name stay two, and messages name the file alone.
        path = into / file.kind / str(number) / file.name
        path.parent.mkdir(parents=True)
        path.write_bytes(file.content)
        found[file.kind].append(path)
    return found["rules"], found["frameworks"]


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
