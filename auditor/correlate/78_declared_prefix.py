"""Under which prefixes the configuration lets exports write: what is known of each before one run's own part begins."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables

TABLE = "declared_prefix"
READS = ("config_export",)

_WILD = re.compile(r"\{\w+\}|\*")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield each declared prefix of a bucket once."""
    for bucket, prefix in sorted({(row["bucket"], row["prefix"]) for row in tables["config_export"]}):
        wild = _WILD.search(prefix)
        fixed = prefix[: wild.start()] if wild else prefix
        yield {
            "bucket": bucket,
            "fixed": fixed,
            "folder": fixed[: fixed.rfind("/") + 1],
            "flen": len(fixed),
            "folders": prefix.count("/"),
            "pattern": _pattern(prefix) if wild else None,
        }


def _pattern(prefix: str) -> str:
    """Return the prefix for LIKE: a path with as many slashes as the pattern leaves none for its wildcards."""
    literals = (re.sub(r"([%_\\])", r"\\\1", part) for part in _WILD.split(prefix))
    return "%".join(literals)
