"""When all was read that could tell of another writer, which sessions are as declared, and what is said of calls."""

from __future__ import annotations

from auditor.correlate.links.plain_known import READS, derive

TABLE = "plain_known"
__all__ = ["READS", "TABLE", "derive"]
