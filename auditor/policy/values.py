"""How condition values are written: numbers, moments, base64."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from decimal import Decimal

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
