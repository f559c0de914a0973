"""The texts of a message: cut, cleaned of secrets, and as they are sent. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

LARGEST_BYTES = 20_000
"""Standard Webhooks asks for payloads under 20 kB."""
_SECRET = re.compile(
    r"(?i)((?:password|passwd|secret|token|api[_-]?key|authorization)[\"']?\s*[=:]\s*[\"']?)"
    r"[^\s\"',;&]{4,}|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
    re.DOTALL,
)
_MARKS = ("passw", "secret", "token", "api", "authorization", "-----begin")
"""One of them stands in all that `_SECRET` finds, in lower case: to look for them takes a tenth of the time."""
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Control and direction characters: a title is one line that reads as it is written."""


def wire(body: Mapping[str, Any]) -> bytes:
    """Return the bytes that are sent and signed: always the same for the same message."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return text.encode()


def clean(text: str | None, longest: int) -> str | None:
    """Cut a text to a length and leave out what looks like a secret."""
    if text is None:
        return None
    text = text[: longest * 4]
    if not text.isascii() or any(
        map(text.lower().__contains__, _MARKS)
    ):  # beyond ASCII case is not so simple
        text = _SECRET.sub(lambda found: f"{found[1] or ''}[left out]", text)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def line(text: str) -> str:
    """Return a text as one short line that reads as it is written, without secrets."""
    return clean(visible(text), 300) or ""


def visible(text: str) -> str:
    """Write out what cannot be seen: control characters, and those that turn a line round."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def iso(at: datetime) -> str:
    """Write a time in UTC."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def minute(at: datetime) -> str:
    """Write a time in UTC for people, to the minute."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")
