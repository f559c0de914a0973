"""Lines sorted in little memory: sorted runs on disk, merged a block at a time.

A line is bytes that end in a line feed and hold no other; UTF-8 sorts as its code points do. What comes almost
sorted, as events do, makes few runs. A block is merged by one `sort`, which finds the runs in it: that costs a tenth of
`heapq.merge`.
"""

from __future__ import annotations

import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from typing import IO, Self

BATCH = 8_000_000
"""Bytes that are sorted in memory."""
_LEAST = 1 << 15
"""Bytes of a block that is read of a run."""
_EACH = 60
"""Bytes that an object of Python's costs beside what is in it."""
_LINES = 1000


class Runs:
    """Takes lines in any order and yields them sorted, once; OSError when the disk is full."""

    def __init__(self) -> None:
        self._files = ExitStack()
        self._runs: list[IO[bytes]] = []
        self._batch: list[bytes] = []
        self._size = 0
        self._last = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def add(self, lines: list[bytes]) -> None:
        """Take a block of lines."""
        self._batch += lines
        self._size += sum(map(len, lines)) + _EACH * len(lines)
        if self._size > BATCH:
            self._spill()

    def _spill(self) -> None:
        self._batch.sort()
        if not self._runs or self._batch[0] < self._last:
            run = tempfile.TemporaryFile(buffering=1 << 16)  # noqa: SIM115 - closed with the others
            self._runs.append(self._files.enter_context(run))
        self._runs[-1].writelines(self._batch)
        self._last = self._batch[-1]
        self._batch, self._size = [], 0

    def blocks(self) -> Iterator[list[bytes]]:
        """Yield every line, sorted, in blocks."""
        self._batch.sort()
        if not self._runs:
            yield self._batch
            return
        size = max(_LEAST, BATCH // (len(self._runs) + 1))
        left = [iter([self._batch])] if self._batch else []
        for run in self._runs:
            run.seek(0)
            left.append(iter(lambda file=run: file.readlines(size), []))  # type: ignore[misc]
        yield from _merged(left)


def _merged(runs: list[Iterator[list[bytes]]]) -> Iterator[list[bytes]]:
    """Merge runs by their blocks: what is no greater than the end of any block that is at hand is next."""
    at_hand = [(block, run) for run in runs if (block := next(run, []))]
    while len(at_hand) > 1:
        limit = min(block[-1] for block, _ in at_hand)
        found: list[bytes] = []
        rest: list[tuple[list[bytes], Iterator[list[bytes]]]] = []
        for block, run in at_hand:
            if block[0] > limit:
                rest.append((block, run))
                continue
            end = bisect_right(block, limit)
            found += block[:end]
            if left := block[end:] or next(run, []):
                rest.append((left, run))
        found.sort()
        yield found
        at_hand = rest
    for block, run in at_hand:
        yield block
        yield from run


def sorted_lines(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield lines sorted, in blocks."""
    with Runs() as runs:
        waiting = iter(lines)
        while block := list(islice(waiting, _LINES)):
            runs.add(block)
        yield from runs.blocks()
