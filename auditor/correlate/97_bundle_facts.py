"""What rules judge of bundles: whether each that was written is still there, and still the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.zoning import seconds, strictest_declared

TABLE = "bundle_facts"
READS = ("history_bundle", "config_zone", "as_of")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a bundle."""
    (now,) = tables["as_of"]
    zone = strictest_declared(tables["config_zone"])
    for bundle in tables["history_bundle"]:
        present = bundle["found"]
        if present is False and not bundle["kept"]:
            present = None  # it was written elsewhere, and nobody looked there
        yield {
            "subject_key": bundle["bundle"],
            "zone": zone,
            "account": None,
            "project": None,
            "owner": None,
            "region": None,
            "file": bundle["file"],
            "from_at": bundle["from_at"],
            "to_at": bundle["to_at"],
            "age_s": seconds(now["as_of"], bundle["at"]),
            "present": present,
            "unchanged": bundle["same"] if present else None,
        }
