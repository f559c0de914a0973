"""A tiny estate on hand-made tables, and the steps that derive the subjects of rules from it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from typing import Any

from auditor.canonical import SQL_TYPES
from auditor.correlate import steps
from auditor.engines.duckdb import Engine
from auditor.schema import Type
from auditor.schema import tables as schema_tables

NOW = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
HOME, AWAY = "111111111111", "222222222222"
EU, US = "eu-west-1", "us-east-1"
BUCKET = "arn:aws:s3:::exports-phi"
VAULT = f"arn:aws:backup:{EU}:{HOME}:backup-vault:main"
COPIES = f"arn:aws:backup:eu-central-1:{AWAY}:backup-vault:copies"
Estate = dict[str, list[dict[str, Any]]]
JOBS_SEEN = {
    "table_name": "dataproc_job", "source": "gcp_dataproc", "account": "data", "region": "*", "resource": "*",
    "from_at": None, "until_at": None, "complete": True, "reason": "", "detail": "", "observed_at": NOW,
}  # fmt: skip
"""Every job was listed: a test that gives its own `coverage` hides them."""


def ago(**parts: float) -> datetime:
    """Return a time before the scan."""
    return NOW - timedelta(**parts)


def estate(**tables: Sequence[Mapping[str, Any]]) -> Estate:
    """Return a small sound estate; `tables` replace its tables whole."""
    found: Estate = {
        "as_of": [
            {
                "as_of": NOW, "slot": "2026-W10", "previous_at": ago(days=7), "skew_s": 120,
                "grace_s": 3600, "zone_tag": "compliance-zone", "zone_label": "zone",
                "export_label": "export", "horizon_cloudtrail_s": 3600,
                "horizon_logging_s": 3600, "horizon_listing_s": 0,
            }
        ],
        "config_zone": [
            {
                "zone": "phi", "rank": 0, "capture_s": 43_200, "retention_d": 2190,
                "copy_lag_s": 86_400, "bucket_min_d": -1, "regions": [EU, "eu-central-1"],
                "copy_to": [{"account": AWAY, "region": "eu-central-1", "retention_d": 2190}],
                "supersede": True,
            },
            {
                "zone": "internal", "rank": 1, "capture_s": 86_400, "retention_d": 35,
                "copy_lag_s": 86_400, "copy_to": [], "bucket_min_d": 30, "regions": [EU],
                "supersede": True,
            },
        ],
        "s3_bucket": [bucket()],
        "aws_account": [{"account": HOME}],
        "backup_vault": [vault()],
        "coverage": [JOBS_SEEN],
    }  # fmt: skip
    return {**found, **{name: [dict(row) for row in rows] for name, rows in tables.items()}}


def bucket(arn: str = BUCKET, **more: Any) -> dict[str, Any]:
    """Return a bucket with every guard on."""
    return {
        "arn": arn, "bucket": arn.rpartition(":")[2], "account": HOME, "region": EU,
        "created_at": ago(days=400), "versioning": "Enabled", "mfa_delete": "Disabled",
        "encryption": "aws:kms", "kms_key_arn": f"arn:aws:kms:{EU}:{HOME}:key/k1",
        "block_public_acls": True, "ignore_public_acls": True, "block_public_policy": True,
        "restrict_public_buckets": True, "ownership": "BucketOwnerEnforced", "policy": "none",
        "logging_target": "none", "eventbridge": True, "lock_mode": "Off", "lock_d": 0,
        "lifecycle": [], "replication": [], "tags": {"compliance-zone": "phi"},
    } | more  # fmt: skip


def vault(arn: str = VAULT, **more: Any) -> dict[str, Any]:
    """Return a vault under a compliance lock that has begun."""
    return {
        "arn": arn, "name": arn.rpartition(":")[2], "account": arn.split(":")[4],
        "region": arn.split(":")[3], "type": "BACKUP_VAULT", "created_at": ago(days=400),
        "kms_key_arn": f"arn:aws:kms:{EU}:{HOME}:key/k2", "locked": True,
        "lock_date": ago(days=300), "min_retention_d": 35, "max_retention_d": 2555,
        "policy": "none",
    } | more  # fmt: skip


def point(arn: str = "arn:p1", at: datetime | None = None, **more: Any) -> dict[str, Any]:
    """Return a periodic point, completed an hour after it began."""
    begun = at or ago(hours=6)
    held = more.get("vault_arn", VAULT)
    return {
        "arn": arn, "vault_arn": held, "account": held.split(":")[4], "region": held.split(":")[3],
        "resource_arn": BUCKET, "status": "COMPLETED", "continuous": False, "initiated_at": begun,
        "created_at": begun, "completed_at": begun + timedelta(hours=1), "bytes": 1000,
        "delete_after_d": 2190, "delete_at": begun + timedelta(days=2190), "encrypted": True,
        "kms_key_arn": f"arn:aws:kms:{EU}:{HOME}:key/k2", "plan_id": "plan-1", "tags": {},
    } | more  # fmt: skip


def derived(tables: Estate, entity: str = "") -> Engine:
    """Run the steps 50 to 89 on hand-made tables; facts of the chain come from the estate as they are.

    With an entity, only the steps that lead to it.
    """
    engine = Engine()
    wanted = needed(entity)
    described = schema_tables()
    tables = (
        {"followed": [], "written": []} | tables | (_listed(tables["version"]) if "version" in tables else {})
    )
    made = {step.table for step in OURS if step.language == "sql"}
    for name in sorted(wanted & set(described) - made):
        columns = ", ".join(f'"{c.name}" {SQL_TYPES[c.type]}' for c in described[name].columns)
        engine.execute(f'CREATE TABLE "{name}" ({columns})')
        if tables.get(name):
            engine.insert(name, tables[name])
    if not entity or "followed" in wanted:  # of steps before these, and in no schema
        engine.insert("followed", tables["followed"], columns=FOLLOWED)
        engine.insert("written", tables["written"], columns={"bucket": "TEXT", "key": "TEXT"})
    for step in OURS:
        if step.table not in wanted:
            continue
        if step.language == "sql":
            engine.run(step.table, step.text)
            continue
        module = import_module(f"auditor.correlate.{step.name.removesuffix('.py')}")
        rows = {name: engine.rows(f"SELECT * FROM {name} ORDER BY ALL") for name in module.READS}
        engine.insert(module.TABLE, module.derive(rows))
    return engine


FOLLOWED: dict[str, Type] = {
    "bucket": "TEXT", "key": "TEXT", "version_id": "TEXT", "dir": "TEXT", "last_modified": "TIME", "exists_at": "TIME",
    "storage_class": "TEXT", "is_latest": "BOOL", "is_delete_marker": "BOOL", "checksummed": "BOOL",
    "own_key": "BOOL", "sse_c": "BOOL", "witness": "TEXT",
}  # fmt: skip
"""What the steps after the chain read of `followed`."""


def _listed(versions: Any) -> Estate:
    """Return the tables that hold versions: all in the listing, followed those of the keys an event tells of."""
    named = [{"version_id": f"v{number}", **row} for number, row in enumerate(versions)]
    keys = {
        (row["bucket"], row["key"])
        for row in named
        if any(row[name] is not None for name in ("own_key", "sse_c", "witness"))
    }
    listed = {column.name for column in schema_tables()["s3_object_version"].columns}
    said = {True: "SHA256", False: "none", None: None}
    return {
        "s3_object_version": [
            {**{name: value for name, value in row.items() if name in listed}, "checksums": said[row["checksummed"]]}
            for row in named
        ],
        "followed": [row for row in named if (row["bucket"], row["key"]) in keys],
        "written": [{"bucket": bucket, "key": key} for bucket, key in sorted(keys)],
    }  # fmt: skip


OURS = tuple(step for step in steps() if "50" <= step.name[:2] <= "99")


@cache
def needed(entity: str) -> frozenset[str]:
    """Return the tables that lead to the facts of an entity, with them; every table when it is empty."""
    if not entity:
        return frozenset({*schema_tables(), *(step.table for step in OURS)})
    found = {next(t.name for t in schema_tables().values() if t.entity == entity)}
    for step in reversed(OURS):
        if step.table not in found:
            continue
        if step.language == "sql":
            found |= set(re.findall(r"\b(?:FROM|JOIN) (\w+)", step.text))
        else:
            found |= set(import_module(f"auditor.correlate.{step.name.removesuffix('.py')}").READS)
    return frozenset(found)


def facts(tables: Estate, entity: str) -> dict[str, dict[str, Any]]:
    """Return the subjects of one entity by their keys."""
    table = next(t for t in schema_tables().values() if t.entity == entity)
    with derived(tables, entity) as engine:
        return {row["subject_key"]: row for row in engine.table(table.name)}
