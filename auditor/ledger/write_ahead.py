"""The log beside a ledger's file (`-wal`): whether something in it would be lost on the next opening.

SQLite takes a frame whose checksum is wrong for the torn end of a power cut, and drops it with all that follows, without a
word (sqlite.org/walformat.html, sqlite.org/fileformat2.html#walformat). That is right for the last transaction, which was not
yet acknowledged; what was committed before it was on disk, and is missed only where the file was damaged. So a log with two
commits or more at or after a wrong frame is damaged, and is left as it is.

What cannot be told from within: the last transaction alone, or a log that was cut off or removed: for that there are receipts.
"""

from __future__ import annotations

import struct
from pathlib import Path

_HEADER, _FRAME = 32, 24
_MAGIC = {0x377F0682: "<", 0x377F0683: ">"}
"""First word of the log to the byte order of its checksums."""
_PAGE = 4096
_TORN = 1
"""So many commits may be lost with the torn end of a log: one that nobody was told of."""
_AGAIN = 5


def lost(path: Path) -> str:
    """Say what of the log beside a ledger would be lost; empty: nothing, or there is none.

    A log that a writer begins anew meanwhile is read again. It is read as a plain file, which no lock of SQLite's is on.
    """
    beside = path.with_name(f"{path.name}-wal")
    for _ in range(_AGAIN):
        try:
            with beside.open("rb") as file:
                data = file.read()
                file.seek(0)
                same = file.read(_HEADER) == data[:_HEADER]
        except OSError:  # not there; or SQLite cannot read it either, and says so
            return ""
        if same:
            return _lost(beside, data)
    return ""


def _lost(beside: Path, data: bytes) -> str:
    if len(data) < _HEADER + _FRAME:
        return ""
    magic, _, page, _, salt_a, salt_b, sum_a, sum_b = struct.unpack_from(">8I", data)
    order = _MAGIC.get(magic, "<")
    begun = _sum(order, data[: _HEADER - 8], 0, 0)
    whole = magic in _MAGIC and begun == (sum_a, sum_b)
    if not whole:
        page = _PAGE
        salt_a, salt_b = struct.unpack_from(">2I", data, _HEADER + 8)
    step = _FRAME + page
    heads = [
        struct.unpack_from(">6I", data, at) for at in range(_HEADER, len(data) - step + 1, step)
    ]  # a frame of an earlier round has other salts
    commits = [n for n, head in enumerate(heads) if head[1] and head[2:4] == (salt_a, salt_b)]
    if len(commits) <= _TORN:
        return ""
    if not whole:
        return _words(beside, "its header", len(commits))
    at = begun
    for n, head in enumerate(heads[: commits[-1 - _TORN] + 1]):
        start = _HEADER + n * step
        at = _sum(order, data[start : start + 8], *at)
        at = _sum(order, data[start + _FRAME : start + step], *at)
        if head[2:4] != (salt_a, salt_b) or at != head[4:6]:
            return _words(beside, f"its frame {n + 1}", sum(each >= n for each in commits))
    return ""


def _words(beside: Path, what: str, commits: int) -> str:
    return f"the log beside it ({beside.name}) is damaged in {what}: {commits} transactions that were recorded would be lost"


def _sum(order: str, data: bytes, first: int, second: int) -> tuple[int, int]:
    """Go on with the checksum of a log (sqlite.org/fileformat2.html#checksum_algorithm)."""
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for word, next_word in zip(words, words, strict=True):
        first = (first + word + second) & 0xFFFFFFFF
        second = (second + next_word + first) & 0xFFFFFFFF
    return first, second
