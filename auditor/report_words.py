"""The words of reports: times, amounts, states, and text of strangers made safe to show."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from auditor.model import LINKS, State

LONGEST = 600
"""Characters of one text in a report; the whole stands in the bundle."""

LINK_WORDS = {
    "trigger": "Trigger",
    "job": "Dataproc job",
    "session": "AWS session",
    "objects": "Objects in S3",
    "recovery_point": "Recovery point",
    "copy": "Copy",
    "retention": "Retention",
}
"""The seven links as people say them."""
LINK_CLAIMS = {
    "trigger": "A known and entitled person or automation started it",
    "job": "The job that ran is the job that was started, and it ended well",
    "session": "It wrote with its own short-lived credentials and no others",
    "objects": "All of its objects are there, and nobody else touched them",
    "recovery_point": "A backup taken after its end, in time, holds every object",
    "copy": "The backup was copied to where its zone demands",
    "retention": "Every holder keeps it as long as its zone demands",
}
"""What a proven link says."""
STATE_WORDS = {
    State.PROVEN: "proven",
    State.BROKEN: "broken",
    State.UNKNOWN: "unknown",
    State.PENDING: "not due",
    State.NOT_REQUIRED: "not required",
}
"""States of a link or a chain as people say them."""
STATE_MEANINGS = {
    State.PROVEN: "The evidence was seen and it says so.",
    State.BROKEN: "The evidence was seen and it says otherwise, or what had to be there is provably absent.",
    State.UNKNOWN: "The evidence could not be seen, or it fits more than one story. Never counted as good.",
    State.PENDING: "Its time has not come; the due time was fixed when the export was first seen.",
    State.NOT_REQUIRED: "The zone asks for none, a later run supersedes it, or nothing was written.",
}
STRENGTH_MEANINGS = {
    "exact": "Both sides carry the same id.",
    "strong": "One candidate only, and everything that can be checked agrees.",
    "inferred": "Time and place fit, and nothing contradicts it.",
    "none": "Nothing was matched.",
}
assert tuple(LINK_WORDS) == tuple(LINK_CLAIMS) == LINKS

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_PLAIN = re.compile(r"[\x20-\x7e\xa0-\xac\xae-\u02ff\u2010-\u2027\u2030-\u205e]*\Z")


def shown(text: str, limit: int = LONGEST) -> str:
    r"""Return text of anywhere as it may be shown: what is invisible or reorders text as `\uXXXX`, and not too long."""
    cut = f" … (cut: {len(text):,} characters)" if len(text) > limit else ""
    text = text[:limit]
    if not _PLAIN.match(text):
        text = "".join(map(_visible, text))
    return text + cut


@lru_cache(maxsize=4096)
def _visible(char: str) -> str:
    if unicodedata.category(char) not in _HIDDEN:
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def when(at: datetime | None) -> str:
    """Return a time to the minute, in UTC; a dash for none."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}" if at else "–"


def day(at: datetime | None) -> str:
    """Return a day, in UTC; a dash for none."""
    return f"{at.astimezone(UTC):%Y-%m-%d}" if at else "–"


def span(length: timedelta | int) -> str:
    """Return how long in at most two units, without a sign: `2 d 4 h`; a number is of seconds."""
    left = abs(int(length.total_seconds() if isinstance(length, timedelta) else length))
    parts: list[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        amount, left = divmod(left, size)
        if amount:
            parts.append(f"{amount} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def after(before: datetime | None, then: datetime | None) -> str:
    """Return how long a step took to follow the one before; empty when either is not known."""
    if before is None or then is None:
        return ""
    if then == before:
        return "at once"
    return f"{span(then - before)} {'later' if then > before else 'earlier'}"


def number(amount: int | None) -> str:
    """Return a whole number with separators; a dash for none."""
    return "–" if amount is None else f"{amount:,}"


def size(amount: int | None) -> str:
    """Return bytes in the unit people would pick; a dash for none."""
    if amount is None:
        return "–"
    unit = "B"
    scaled = amount
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if scaled < 10_000:
            break
        scaled, unit = scaled // 1000, larger
    return f"{scaled:,} {unit}"


def counted(amount: int, one: str, many: str = "") -> str:
    """Return a number with its noun: `1 export`, `3 exports`."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def change(now: int, before: int | None) -> str:
    """Return how a number moved since the week before, in words."""
    if before is None:
        return "no week before"
    if now == before:
        return "as the week before"
    return f"{'+' if now > before else '−'}{abs(now - before):,} since the week before"


def short(text: str, keep: int = 64) -> str:
    """Return a name with its middle left out, so that both ends can be told apart."""
    if len(text) <= keep:
        return text
    head = (keep - 1) // 2
    return f"{text[:head]}…{text[-(keep - 1 - head) :]}"


def cut(text: str, keep: int) -> str:
    """Return the beginning of a text, up to a word's end; an ellipsis says that there is more."""
    if len(text) <= keep:
        return text
    head, _, _ = text[:keep].rpartition(" ")
    return f"{head or text[:keep]}…"


def lower_first(text: str) -> str:
    """Return a title as part of a sentence; a word that is an abbreviation stays as it is."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
