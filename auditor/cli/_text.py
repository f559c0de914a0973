"""Text for people: hostile characters made visible, aligned columns, symbols, plural forms."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import click

_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
"""Characters that move the cursor, turn the text round or cannot be seen."""
STATES = {"proven": "✓", "broken": "✗", "unknown": "?", "pending": "…", "not_required": "–"}
VERDICTS = {"pass": "✓", "fail": "✗", "unknown": "?", "not_applicable": "–"}
_COLOURS = {
    "proven": "green", "pass": "green", "evidenced": "green",
    "broken": "red", "fail": "red", "failing": "red", "critical": "red",
    "unknown": "yellow", "incomplete": "yellow", "high": "yellow",
    "pending": "cyan",
}  # fmt: skip
MARGIN = "  "
_LEAST = 8
_LONGEST = 400


def safe(text: object) -> str:
    """Return a text on one line with everything that a terminal would obey written out."""
    return _UNSEEN.sub(_escaped, str(text))


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    names = {9: "\\t", 10: "\\n", 13: "\\r", 27: "\\e"}
    if code in names:
        return names[code]
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def columns() -> int:
    """Return how wide a line may be; 100 when nobody sees a terminal."""
    return shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100


def colourful() -> bool:
    """Say whether colour is wanted and can be shown."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, word: str) -> str:
    """Colour a text by what a state, verdict or severity means; never the only sign of it."""
    colour = _COLOURS.get(word)
    return click.style(text, fg=colour) if colour and colourful() else text


def bold(text: str) -> str:
    """Make a heading stand out."""
    return click.style(text, bold=True) if colourful() else text


def marked(word: str) -> str:
    """Return a state or verdict with its symbol: `✓ proven`."""
    symbol = STATES.get(word) or VERDICTS.get(word, " ")
    return f"{symbol} {word.replace('_', ' ')}"


def size(text: str) -> int:
    """Return how many columns a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def cut(text: str, width: int, *, middle: bool = False) -> str:
    """Shorten a text to so many columns; a key keeps its end too."""
    if size(text) <= width:
        return text
    if width < 2:
        return "…"[:width]
    if middle:
        tail = (width - 1) * 3 // 5
        return f"{_head(text, width - 1 - tail)}…{_head(text[::-1], tail)[::-1]}"
    return f"{_head(text, width - 1)}…"


def _head(text: str, width: int) -> str:
    if text.isascii():
        return text[:width]
    taken = 0
    for at, char in enumerate(text):
        taken += size(char)
        if taken > width:
            return text[:at]
    return text


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Sequence[str] = (),
    keys: Sequence[str] = (),
    fixed: Sequence[str] = (),
    paints: str = "",
) -> list[str]:
    """Return aligned lines no wider than the terminal.

    `right` are numbers; `keys` are cut in their middle; `fixed` are never cut; the words in column `paints` colour it.
    """
    cells = [["" if value is None else safe(str(value)[:_LONGEST]) for value in row] for row in rows]
    widths = [max(size(row[at]) for row in [list(headers), *cells]) for at in range(len(headers))]
    _shrink(widths, headers, {*right, *fixed})
    lines = [bold(_line(headers, headers, widths, right, keys))]
    for row in cells:
        line = _line(row, headers, widths, right, keys)
        lines.append(_painted(line, row[headers.index(paints)]) if paints else line)
    return lines


def _painted(line: str, word: str) -> str:
    key = word.split(" ", 1)[-1].replace(" ", "_")
    return line.replace(word, paint(word, key), 1)


def _shrink(widths: list[int], headers: Sequence[str], kept: set[str]) -> None:
    """Take width from the widest column until the line fits."""
    spare = columns() - len(MARGIN) * (len(widths) - 1)
    loose = [at for at, name in enumerate(headers) if name not in kept]
    while sum(widths) > spare:
        at = max(loose, key=lambda each: widths[each], default=None)
        if at is None or widths[at] <= _LEAST:
            return
        widths[at] -= 1


def _line(
    row: Sequence[str], headers: Sequence[str], widths: list[int], right: Sequence[str], keys: Sequence[str]
) -> str:
    cells = []
    for name, text, width in zip(headers, row, widths, strict=True):
        shown = cut(text, width, middle=name in keys)
        room = " " * (width - size(shown))
        cells.append(room + shown if name in right else shown + room)
    return MARGIN.join(cells).rstrip()


def plural(count: int, one: str, many: str = "") -> str:
    """Return `1 export`, `3 exports`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def wrapped(text: object, *, indent: str = "") -> list[str]:
    """Return a sentence on lines that fit."""
    return textwrap.wrap(
        safe(text),
        max(40, columns()),
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    ) or [indent.rstrip()]


def folded(lead: str, text: str) -> list[str]:
    """Return a value after its name, its further lines under it; anything breaks where it must."""
    room = max(20, columns() - size(lead))
    parts = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
    return [f"{lead if at == 0 else ' ' * size(lead)}{part}" for at, part in enumerate(parts)]


def when(at: datetime | None, *, seconds: bool = False) -> str:
    """Return a time in UTC as people read it."""
    if at is None:
        return ""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ" if seconds else "%Y-%m-%d %H:%MZ")


def span(length: timedelta) -> str:
    """Return a stretch of time in its two largest units: `3 d 4 h`."""
    left = max(0, int(length.total_seconds()))
    parts: list[str] = []
    for unit, word in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, unit)
        if count or (word == "s" and not parts):
            parts.append(f"{count} {word}")
        elif parts:
            break
    return " ".join(parts[:2])


def bulk(count: int | None) -> str:
    """Return bytes as people read them."""
    if count is None:
        return "?"
    amount, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while amount >= 1024 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{amount:.0f} {units[0]}" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def write(lines: Iterable[str]) -> None:
    """Print lines to stdout."""
    click.echo("\n".join(lines))
