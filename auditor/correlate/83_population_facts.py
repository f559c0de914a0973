"""Which buckets, roles, vaults and providers appeared or vanished since the scan before.

New is what was made after that scan. What is older and was not remembered may only have been hidden from it, so it is
new only if that scan had no gap. Gone is what a listing that was read to its end does not hold. What is approved is not
new, and is gone for as long as it is approved and not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.approving import Then
from auditor.correlate.zoning import Row, listed, strictest_declared

TABLE = "population_facts"
POPULATIONS = {
    "s3_bucket": "bucket",
    "iam_role": "role",
    "backup_vault": "vault",
    "iam_provider": "oidc_provider",
}
READS = (
    *POPULATIONS,
    "history_watch",
    "history_baseline",
    "history_scan",
    "config_zone",
    "coverage",
    "as_of",
)


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row for each of them, there or gone."""
    (now,) = tables["as_of"]
    zone = strictest_declared(tables["config_zone"])
    then = Then(tables)
    some = bool(tables["history_watch"] or tables["history_baseline"])
    whole = _previous_was_whole(tables)
    for table, entity in POPULATIONS.items():
        before = then.keys(table)
        here = {one["arn"]: one for one in tables[table]}
        for arn in sorted({*here, *before}):
            row = here.get(arn)
            known = arn in before
            yield {
                "subject_key": arn,
                "zone": zone,
                "account": row["account"] if row else _part(arn, 4),
                "project": None,
                "owner": None,
                "region": (row.get("region") if row else None) or _part(arn, 3) or "*",
                "kind": entity,
                "compared": now["previous_at"] is not None and some,
                "compared_with": then.words(table, arn),
                "appeared": False if known or row is None else _new(row, now, whole),
                "vanished": False if row else _gone(tables, table, arn),
            }


def _previous_was_whole(tables: Tables) -> bool | None:
    (now,) = tables["as_of"]
    return next((row["complete"] for row in tables["history_scan"] if row["at"] == now["previous_at"]), None)


def _new(row: Row, now: Row, whole: bool | None) -> bool | None:
    if now["previous_at"] is None:
        return None
    if row["created_at"] is not None and row["created_at"] > now["previous_at"]:
        return True
    return True if whole else None


def _gone(tables: Tables, table: str, arn: str) -> bool | None:
    """Tell whether a remembered row is gone. A bucket's ARN names no account: then every listing must be whole."""
    account, region = _part(arn, 4), _part(arn, 3)
    asked = [account] if account else sorted(
        {row["account"] for row in tables["coverage"] if row["table_name"] == table and row["account"]}
    )  # fmt: skip
    return True if asked and all(listed(tables["coverage"], table, one, region) for one in asked) else None


def _part(arn: str, at: int) -> str | None:
    parts = arn.split(":")
    return (parts[at] or None) if len(parts) > at else None
