"""A scan on a terminal while it runs: each source, what was read of it, about how much is left, and how fast.

Drawn at most four times a second, whatever is told; wiped at the end for one line that stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TextIO

from auditor.cli._text import safe

_EVERY_S = 0.25
_BAR = 20
_STEPS = {"judging": "judging", "comparing": "comparing with the scan before", "recording": "recording"}


@dataclass(slots=True)
class _Reading:
    """One source that is being read."""

    begun: float
    about: int | None
    """Rows that the scan before took from it; None when that tells nothing."""
    rows: int = 0
    table: str = ""
    waits: str = ""


@dataclass(slots=True)
class Bar:
    """What a scan is at. `tell` may be called from any thread."""

    out: TextIO
    clock: Callable[[], float]
    """Seconds that only grow."""
    width: Callable[[], int]
    _running: dict[str, _Reading] = field(default_factory=dict)
    _done: int = 0
    _of: int = 0
    _rows: int = 0
    _gaps: int = 0
    _step: str = ""
    _lines: int = 0
    _drawn: float | None = None
    _begun: float | None = None
    _lock: Lock = field(default_factory=Lock)

    def tell(self, event: str, fields: Mapping[str, Any]) -> None:
        """Take one event of a scan."""
        with self._lock:
            now = self.clock()
            if self._begun is None:
                self._begun = now
            self._take(event, fields, now)
            if self._drawn is None or now - self._drawn >= _EVERY_S or event in _STEPS:
                self._draw(now)

    def _take(self, event: str, fields: Mapping[str, Any], now: float) -> None:
        source = str(fields.get("source", ""))
        if event == "started":
            self._of = max(self._of, int(fields.get("of", 0)))
            self._running[source] = _Reading(now, fields.get("about"))
        elif event == "collected":
            self._running.pop(source, None)
            self._done += 1
            self._rows += int(fields["rows"])
            self._gaps += int(fields["gaps"])
        elif event in _STEPS:
            self._step = _STEPS[event]
        elif (reading := self._running.get(source)) is not None:
            if event == "read":
                reading.rows, reading.table, reading.waits = int(fields["rows"]), str(fields["table"]), ""
            elif event == "waiting":
                reading.waits = ", ".join(str(value) for name, value in fields.items() if name != "source")

    def end(self) -> None:
        """Wipe what was drawn and leave one line."""
        with self._lock:
            self._wipe()
            if self._begun is not None:
                gaps = f"; {self._gaps:,} gaps" if self._gaps else ""
                seconds = self.clock() - self._begun
                self.out.write(
                    f"{self._rows:,} rows read from {self._done} sources in {seconds:.0f} s{gaps}\n"
                )
            self.out.flush()
            self._begun = None

    def _draw(self, now: float) -> None:
        self._drawn = now
        self._wipe()
        width = max(20, self.width() - 1)
        lines = [safe(line)[:width] for line in self._said(now)]
        self.out.write("".join(f"{line}\n" for line in lines))
        self.out.flush()
        self._lines = len(lines)

    def _wipe(self) -> None:
        if self._lines:
            self.out.write(f"\x1b[{self._lines}A\x1b[J")
        self._lines = 0

    def _said(self, now: float) -> list[str]:
        of = max(self._of, self._done + len(self._running), 1)
        full = _BAR * self._done // of
        head = f"[{'#' * full}{'-' * (_BAR - full)}] {self._done} of {of} sources read"
        if self._step:
            return [f"{head}; {self._step}"]
        return [head, *(_line(name, reading, now) for name, reading in sorted(self._running.items()))]


def _line(name: str, reading: _Reading, now: float) -> str:
    """Say how far one source is; what is left is told by the scan before, and said to be."""
    said = f"  {name}: {reading.rows:,} rows"
    if reading.about:
        left = max(0, reading.about - reading.rows)
        said += f", about {left:,} left by the scan before" if left else ", more than in the scan before"
    if reading.table:
        said += f", {reading.rows / max(now - reading.begun, 0.001):,.0f} rows/s, at {reading.table}"
    return f"{said}; waiting: {reading.waits}" if reading.waits else said
