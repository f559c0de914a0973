"""Durations as people write and read them: `26h` in, `26 h` out; seconds between."""

from __future__ import annotations

import re

_WRITTEN = re.compile(r"([0-9]{1,9})(s|m|h|d)\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: object) -> int | None:
    """Return the seconds of `90s`, `15m`, `26h` or `35d`; None when it is no duration."""
    found = _WRITTEN.match(text) if isinstance(text, str) else None
    return int(found[1]) * _SECONDS[found[2]] if found else None


def spoken(value: int) -> str:
    """Return seconds in words that lose nothing: `26 h`, `35 d`, `3 h 7 min 2 s`; days from two days on."""
    rest = abs(value)
    days = rest // 86400 if rest >= 172800 else 0
    rest -= days * 86400
    parts = ((days, "d"), (rest // 3600, "h"), (rest % 3600 // 60, "min"), (rest % 60, "s"))
    said = " ".join(f"{count} {unit}" for count, unit in parts if count)
    return ("-" if value < 0 else "") + (said or "0 s")


def spoken_sql(column: str) -> str:
    """Return SQL that says the same of an integer column."""
    size = f"abs({column})"
    hours = f"CASE WHEN {size} >= 172800 THEN {size} % 86400 ELSE {size} END // 3600"
    parts = (
        f"CASE WHEN {size} >= 172800 THEN {size} // 86400 || ' d' END",
        f"nullif({hours}, 0) || ' h'",
        f"nullif({size} % 3600 // 60, 0) || ' min'",
        f"nullif({size} % 60, 0) || ' s'",
    )
    sign = f"CASE WHEN {column} < 0 THEN '-' ELSE '' END"
    return f"(CASE WHEN {column} = 0 THEN '0 s' ELSE {sign} || concat_ws(' ', {', '.join(parts)}) END)"
