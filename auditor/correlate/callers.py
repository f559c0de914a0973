"""Who stands behind a Google Cloud audit entry."""

from __future__ import annotations

from auditor.correlate.zoning import Row, parsed


def caller(entry: Row) -> str | None:
    """Return the principal at the start of a call: the first of its delegation chain, else who signed it."""
    chain = parsed(entry["delegation"]) or []
    first = chain[0] if chain else entry["principal_email"] or entry["principal_subject"]
    return bare(first) if isinstance(first, str) and first else None


def bare(principal: str) -> str:
    """Return a principal without IAM's kind before it, in lower case when it is an e-mail."""
    kind, colon, rest = principal.partition(":")
    name = rest if colon and kind in {"user", "serviceAccount"} else principal
    return name.lower() if "@" in name else name


def succeeded(entry: Row) -> bool:
    """Tell whether a call was let through."""
    return entry["granted"] is not False and entry["status_code"] in (0, None)
