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

    def __call__(self, event: str, fields: Mapping[str, Any]) -> None:
        level = "warning" if event in TROUBLE else "info"
        if self.quiet and level == "info":
            return
        at = f"{self.clock():%Y-%m-%dT%H:%M:%SZ}"
        if self.form == "json":
            line = json.dumps({"at": at, "level": level, "event": event, **fields}, default=str)
        else:
            told = " ".join(f"{name}={_word(value)}" for name, value in fields.items())
            line = f"{at} {'! ' if level == 'warning' else ''}{event}{f'  {told}' if told else ''}"
        with self._lock:
            self.out.write(line + "\n")
            self.out.flush()


def _word(value: object) -> str:
    """Write a value so that nothing in it ends the line or acts on a terminal."""
    text = str(value)
    plain = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return f'"{plain}"' if " " in plain or not plain else plain
