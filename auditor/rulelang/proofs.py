"""That rules have proven themselves, remembered: the same rules by the same product need no second proof.

The file holds one digest, over all that a verdict of an example depends on. Whatever else it holds, or cannot be read,
proves nothing.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

from auditor import __version__
from auditor.rulelang.rule import Rule


def digest(rules: Iterable[Rule]) -> str:
    """Return SHA-256 over rules with their examples, the tables they read, the product and the database engine."""
    import duckdb

    rules = list(rules)
    tables = {rule.table.name: repr(rule.table) for rule in rules}
    parts = (__version__, duckdb.__version__, _language(), *(tables[name] for name in sorted(tables)))
    sha = hashlib.sha256()
    for part in (*parts, *(rule.canonical for rule in rules)):
        raw = part.encode("utf-8", "surrogatepass")
        sha.update(len(raw).to_bytes(8, "big") + raw)
    return sha.hexdigest()


@cache
def _language() -> str:
    """Return a digest of the modules that judge examples: between releases the version does not tell."""
    sha = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sha.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return sha.hexdigest()


def proven(file: Path, rules: Iterable[Rule]) -> bool:
    """Return whether the file says that these very rules have proven themselves."""
    try:
        return file.read_bytes() == digest(rules).encode() + b"\n"
    except OSError:
        return False


def remember(file: Path, rules: Iterable[Rule]) -> None:
    """Note that rules have proven themselves; where that cannot be written they do so again next time."""
    with suppress(OSError):
        handle, name = tempfile.mkstemp(prefix=".partial-", dir=file.parent)
        try:
            with os.fdopen(handle, "wb") as into:
                into.write(digest(rules).encode() + b"\n")
            Path(name).replace(file)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
