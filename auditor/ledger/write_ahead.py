"""The log beside a ledger's file (`-wal`): whether something in it would be lost on the next opening.

SQLite takes a frame whose checksum is wrong for the torn end of a power cut, and drops it with all that follows, without a
word (sqlite.org/walformat.html, sqlite.org/fileformat2.html#walformat). That is right for the last transaction, which was not
yet acknowledged; what was committed before it was on disk, and is missed only where the file was damaged. So a log with two
commits or more at or after a wrong frame is damaged, and is left as it is.

What cannot be told from within: the last transaction alone, or a log that was cut off or removed: for that there are receipts.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from io import FileIO
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

    A log that a writer begins anew meanwhile is read again. It is read as a plain file, which no lock of SQLite's is on, and
    frame by frame: who wrote much at once leaves a log as large as that.
    """
    beside = path.with_name(f"{path.name}-wal")
    for _ in range(_AGAIN):
        try:
            with beside.open("rb", buffering=0) as file:
                header = file.read(_HEADER)
                words = _lost(beside, header, file)
                file.seek(0)
                same = file.read(_HEADER) == header
        except OSError:  # not there; or SQLite cannot read it either, and says so
            return ""
        if same:
            return words
    return ""


def _lost(beside: Path, header: bytes, file: FileIO) -> str:
    first = file.read(_FRAME)
    if len(header) < _HEADER or len(first) < _FRAME:
        return ""
    magic, _, page, _, salt_a, salt_b, sum_a, sum_b = struct.unpack(">8I", header)
    order = _MAGIC.get(magic, "<")
    begun = _sum(order, header[:-8], 0, 0)
    whole = magic in _MAGIC and begun == (sum_a, sum_b)
    if not whole:
        page = _PAGE
        salt_a, salt_b = struct.unpack_from(">2I", first, 8)
    heads = _heads(file, page)
    # A frame of an earlier round has other salts.
    commits = [n for n, head in enumerate(heads) if head[1] and head[2:4] == (salt_a, salt_b)]
    if len(commits) <= _TORN:
        return ""
    if not whole:
        return _words(beside, "its header", len(commits))
    at = begun
    file.seek(_HEADER)
    for n in range(commits[-1 - _TORN] + 1):
        data = file.read(_FRAME + page)
        if len(data) < _FRAME + page:
            return ""  # begun anew meanwhile
        head = struct.unpack_from(">6I", data)
        at = _sum(order, data[_FRAME:], *_sum(order, data[:8], *at))
        if head[2:4] != (salt_a, salt_b) or at != head[4:6]:
            return _words(beside, f"its frame {n + 1}", sum(each >= n for each in commits))
    return ""


def _heads(file: FileIO, page: int) -> Iterator[tuple[int, ...]]:
    """Yield the heads of a log's whole frames."""
    step = _FRAME + page
    end = file.seek(0, os.SEEK_END)
    for at in range(_HEADER, end - step + 1, step):
        file.seek(at)
        if len(head := file.read(_FRAME)) < _FRAME:
            return  # begun anew meanwhile
        yield struct.unpack(">6I", head)


def _words(beside: Path, what: str, commits: int) -> str:
    return f"the log beside it ({beside.name}) is damaged in {what}: {commits} transactions that were recorded would be lost"


def _sum(order: str, data: bytes, first: int, second: int) -> tuple[int, int]:
    """Go on with the checksum of a log (sqlite.org/fileformat2.html#checksum_algorithm)."""
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for word, next_word in zip(words, words, strict=True):
        first = (first + word + second) & 0xFFFFFFFF
        second = (second + next_word + first) & 0xFFFFFFFF
    return first, second
