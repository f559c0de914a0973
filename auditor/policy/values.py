"""How values are written and matched: texts with wildcards and variables, numbers, moments, addresses, base64."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

from auditor.policy.model import NEW_VERSION, VARIABLE

Spelled = list[tuple[str, bool]]
"""Characters, and whether each stands for itself even where `*` and `?` are wildcards."""

NUMBER = re.compile(r"[+-]?(?:\d{1,1000}(?:\.\d{0,1000})?|\.\d{1,1000})(?:[eE][+-]?\d{1,2})?", re.ASCII)
"""Decimal numbers; what is longer is taken for no number at all."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def number(text: str) -> Decimal | None:
    """Read a decimal number."""
    return Decimal(text) if NUMBER.fullmatch(text) else None


def moment(text: str) -> Decimal | None:
    """Read a date, ISO 8601 or seconds since 1970, as seconds; UTC where no offset is given."""
    if (seconds := number(text)) is not None:
        return seconds
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    since = (read if read.tzinfo else read.replace(tzinfo=UTC)) - EPOCH
    return Decimal(since.days * 86400 + since.seconds) + Decimal(since.microseconds) / 1_000_000


def binary(text: str) -> bytes | None:
    """Decode base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def folded(text: str) -> str:
    """Fold ASCII letters only: which others IAM folds is not documented."""
    return text.lower() if text.isascii() else "".join(c.lower() if c.isascii() else c for c in text)


def spell(
    value: str, context: Mapping[str, str | tuple[str, ...]], version: str = NEW_VERSION
) -> Spelled | None:
    """Put variables and escapes in; None when a variable has neither a value nor a default."""
    if version != NEW_VERSION:
        return plain(value)
    spelled: Spelled = []
    end = 0
    for variable in VARIABLE.finditer(value):
        spelled += plain(value[end : variable.start()])
        end = variable.end()
        name, comma, default = variable[1].partition(",")
        stands: str | tuple[str, ...] | None = context.get(name.strip().lower())
        if variable[1] in ("*", "?", "$"):
            stands = variable[1]
        elif not isinstance(stands, str):  # a multivalued key cannot be a variable
            default = default.strip()
            stands = (
                default[1:-1] if comma and len(default) > 1 and default[0] == default[-1] == "'" else None
            )
        if stands is None:
            return None
        spelled += [(character, True) for character in stands]
    return spelled + plain(value[end:])


def plain(text: str) -> Spelled:
    """Spell a text out, its wildcards as wildcards."""
    return [(character, False) for character in text]


def like(spelled: Spelled, given: str) -> bool:
    """Match `*` (any run) and `?` (one character) by the leftmost way, which never has to try twice."""
    at = index = 0
    star: tuple[int, int] | None = None
    while at < len(given):
        character, literal = spelled[index] if index < len(spelled) else ("", True)
        if character == "*" and not literal:
            star, index = (index + 1, at), index + 1
        elif (character == "?" and not literal) or (index < len(spelled) and character == given[at]):
            at, index = at + 1, index + 1
        elif star is not None:
            index, at = star[0], star[1] + 1
            star = (index, at)
        else:
            return False
    return all(rest == ("*", False) for rest in spelled[index:])


def arn_like(spelled: Spelled, given: str) -> bool:
    """Compare the six parts one by one, so that a star crosses no colon in the first five."""
    parts: list[Spelled] = [[]]
    for each in spelled:
        if each[0] == ":" and len(parts) < 6:
            parts.append([])
        else:
            parts[-1].append(each)
    values = given.split(":", 5)
    return len(parts) == len(values) == 6 and all(map(like, parts, values))


def inside(given: str, block: str) -> bool:
    """Say whether an address lies in a block; a bare address is a block of its own."""
    try:
        return ipaddress.ip_address(given) in ipaddress.ip_network(block, strict=False)
    except (ValueError, TypeError):
        return False
