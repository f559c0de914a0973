"""What a service says: a line an event, in words for a terminal or as JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any, Literal, TextIO

TROUBLE = frozenset(
    {"failed", "given up", "missed", "trouble", "deposed", "clock stepped", "not told", "stuck"}
)
"""Events that are warnings."""


@dataclass(slots=True)
class Log:
    """Writes one line an event; told from any thread."""

    clock: Callable[[], datetime]
    form: Literal["text", "json"] = "text"
    out: TextIO = field(default_factory=lambda: sys.stderr)
    quiet: bool = False
    """Only what is amiss."""
    _lock: Lock = field(default_factory=Lock)
    _lost: int = 0

    def __call__(self, event: str, fields: Mapping[str, Any]) -> None:
        if self.quiet and event not in TROUBLE:
            return
        with self._lock:
            self._write(event, fields)

    def _write(self, event: str, fields: Mapping[str, Any]) -> None:
        """Write it if that can be: a log that is full or gone must end no scan, and is itself said once there is room."""
        lines = [self._line(event, fields)]
        if self._lost:
            about = {
                "because": f"{self._lost} lines could not be written",
                "remedy": "see to the disk of the log",
            }
            lines.insert(0, self._line("trouble", about))
        try:
            self.out.write("".join(lines))
            self.out.flush()
            self._lost = 0
        except (OSError, ValueError):  # ValueError: it was closed
            self._lost += 1

    def _line(self, event: str, fields: Mapping[str, Any]) -> str:
        level = "warning" if event in TROUBLE else "info"
        at = f"{self.clock():%Y-%m-%dT%H:%M:%SZ}"
        if self.form == "json":
            return json.dumps({"at": at, "level": level, "event": event, **fields}, default=str) + "\n"
        told = " ".join(f"{name}={_word(value)}" for name, value in fields.items())
        return f"{at} {'! ' if level == 'warning' else ''}{event}{f'  {told}' if told else ''}\n"


def _word(value: object) -> str:
    """Write a value so that nothing in it ends the line or acts on a terminal."""
    text = str(value)
    plain = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return f'"{plain}"' if " " in plain or not plain else plain
