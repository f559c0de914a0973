"""Whether the bundles that the ledger knows of are still where bundles are kept, and still the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

KEPT = timedelta(days=6 * 366)
"""How far back bundles are looked for: 45 CFR 164.316(b)(2)(i) asks for six years."""
MOST = 4 << 30
"""Bytes that are read in one scan; what is left then was not looked at."""


def looked_for(rows: Iterable[Mapping[str, Any]], folder: Path, now: datetime) -> Iterator[dict[str, Any]]:
    """Yield rows of `history_bundle` with what was found of each in the folder, the newest looked at first."""
    left = MOST
    found: list[dict[str, Any]] = []
    there = _names(folder)
    for row in sorted(rows, key=lambda row: (row["at"], row["bundle"]), reverse=True):
        present: bool | None = None if there is None else row["file"] in there
        same: bool | None = None
        if present and row["sha256"] and row["at"] >= now - KEPT:
            digest, read = _digest(folder / row["file"], left)
            left -= read
            same = None if digest is None else digest == row["sha256"]
        found.append({**row, "found": present, "same": same})
    yield from reversed(found)


def _names(folder: Path) -> set[str] | None:
    """Return the files of the folder; None when it could not be read. One that is not there holds none."""
    try:
        return {path.name for path in folder.iterdir() if path.is_file()}
    except FileNotFoundError:
        return set()
    except OSError:
        return None


def _digest(path: Path, most: int) -> tuple[str | None, int]:
    """Return a file's sha256 and how much was read; None when it is larger than `most` or cannot be read."""
    try:
        size = path.stat().st_size
        if size > most:
            return None, 0
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), size
    except OSError:
        return None, 0
