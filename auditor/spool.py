"""Many values, in order, without all of them in memory: what does not fit a batch waits in a temporary file."""

from __future__ import annotations

import gc
import heapq
import pickle
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from itertools import chain, islice
from operator import attrgetter
from typing import Any, BinaryIO, Generic, TypeVar

T = TypeVar("T")

_BATCH = 4096
"""Values that are held in memory at once."""
CHANGES = 4_096
"""Findings and what became of them that are held at once: to write them aside takes as long as to decide."""
_CHUNK = 32
"""Values that are written and read together."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no cycles of garbage: rows make none, there are millions of them, and each look goes through all."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def spooled(values: Iterable[T], *, held: int = _BATCH) -> Collection[T]:
    """Return values that can be read again and again: a list while they are few, a file of this process otherwise.

    Fewer than `held` are few.
    """
    source = iter(values)
    first = list(islice(source, held))
    return first if len(first) < held else Spool(chain(first, source))


def ordered(values: Iterable[T], key: Callable[[T], Any], *, held: int = _BATCH) -> Collection[T]:
    """Return values sorted by a key, equal ones in the order they came, as `spooled` does."""
    source = iter(values)
    batch = sorted(islice(source, held), key=key)
    if len(batch) < held:
        return batch
    runs: list[Spool[T]] = []
    while batch:
        runs.append(Spool(batch))
        batch = sorted(islice(source, held), key=key)
    return _Merged(runs, key)


class Spool(Collection[T], Generic[T]):
    """Values in a temporary file that only this process can reach; it goes with its last reader."""

    def __init__(self, values: Iterable[T]) -> None:
        self._file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the spool
        self._count = 0
        source = iter(values)
        while some := list(islice(source, _CHUNK)):
            _Pickler(self._file, pickle.HIGHEST_PROTOCOL).dump(some)
            self._count += len(some)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        """Yield the values; several readers may go at once."""
        at, left = 0, self._count
        while left:
            self._file.seek(at)
            some: list[T] = pickle.load(self._file)  # noqa: S301 - written by this very process
            at = self._file.tell()
            left -= len(some)
            yield from some

    def __contains__(self, value: object) -> bool:
        return any(each == value for each in self)


class _Merged(Collection[T], Generic[T]):
    """Sorted runs, read as one."""

    def __init__(self, runs: list[Spool[T]], key: Callable[[T], Any]) -> None:
        self._runs = runs
        self._key = key

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def __iter__(self) -> Iterator[T]:
        return heapq.merge(*self._runs, key=self._key)

    def __contains__(self, value: object) -> bool:
        return any(each == value for each in self)


class _Pickler(pickle.Pickler):
    """Writes a dataclass as its values in order: what the library does for frozen ones takes ten times longer."""

    def reducer_override(self, value: Any) -> Any:
        kind = type(value)
        values = _VALUES.get(kind, False)
        if values is False:
            names = [field.name for field in fields(value)] if is_dataclass(kind) else []
            values = _VALUES[kind] = attrgetter(*names) if len(names) > 1 else None
        return NotImplemented if values is None else (kind, values(value))


_VALUES: dict[type, Any] = {}
