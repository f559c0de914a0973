"""What rules judge of a KMS key: whether it works, turns over, and is kept to its owners; and what hangs on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.encrypting import Keys
from auditor.correlate.guarding import opened
from auditor.correlate.zoning import Row, hidden_tables, parsed, ranks, strictest

TABLE = "kms_key_facts"
READS = (
    "kms_key",
    "s3_bucket",
    "backup_vault",
    "bucket_zone",
    "vault_facts",
    "config_zone",
    "config_place",
    "coverage",
)
_USABLE = {"Enabled": True, "Updating": True, "Creating": None}
"""States in which a key encrypts and decrypts, and one that passes by itself (AWS KMS Developer Guide, "Key states")."""
_NAMED = 5


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a key."""
    keys = Keys(tables["kms_key"])
    rank = ranks(tables["config_zone"])
    trusted = frozenset(row["account"] for row in tables["config_place"] if row["cloud"] == "aws")
    zones = {row["bucket_arn"]: row for row in tables["bucket_zone"]}
    hidden = bool(
        hidden_tables(tables["coverage"], "s3_bucket") | hidden_tables(tables["coverage"], "backup_vault")
    )
    served: dict[str, list[Row]] = defaultdict(list)
    for bucket in tables["s3_bucket"]:
        key = keys.of_bucket(bucket)
        if key and key.arn:
            served[key.arn].append({**zones[bucket["arn"]], "name": bucket["arn"]})
    vaults = {row["subject_key"]: row["zone"] for row in tables["vault_facts"]}
    for vault in tables["backup_vault"]:
        key = keys.of(vault["kms_key_arn"], vault["account"], vault["region"])
        if key and key.arn:
            zone = vaults.get(vault["arn"])
            served[key.arn].append({"name": vault["arn"], "zone": zone, "zone_known": True})
    for row in tables["kms_key"]:
        users = served[row["arn"]]
        names = sorted(user["name"] for user in users)
        yield {
            "subject_key": row["arn"],
            "zone": strictest(users, rank, hidden=hidden),
            "account": row["account"],
            "project": None,
            "owner": None,
            "region": row["region"],
            "names": parsed(row["named_as"]) or [],
            "manager": row["manager"],
            "state": row["state"],
            "usable": _USABLE.get(row["state"], False) if row["state"] else None,
            "state_says": _state(row),
            **_rotation(row),
            **_policy(row, trusted),
            "encrypts": names[:_NAMED],
            "named_by": len(names),
        }


def _state(key: Row) -> str | None:
    if key["state"] == "gone":
        return "no more known to KMS"
    ends = f", to be deleted {key['deletion_at']:%Y-%m-%dT%H:%MZ}" if key["deletion_at"] else ""
    return f"{key['state']}{ends}" if key["state"] else None


def _rotation(key: Row) -> dict[str, bool | None]:
    if key["manager"] == "AWS":
        return {"can_rotate": True, "rotates": True}  # AWS rotates its own keys each year
    if key["spec"] is None or key["origin"] is None:
        return {"can_rotate": None, "rotates": None}
    able = key["spec"] == "SYMMETRIC_DEFAULT" and key["origin"] == "AWS_KMS"
    return {"can_rotate": able, "rotates": key["rotation"] if able else False}


def _policy(key: Row, trusted: frozenset[str]) -> dict[str, Any]:
    """Return whom the key's policy lets in; that of a key of AWS nobody but AWS can write."""
    if key["manager"] == "AWS":
        return {"policy_public": False, "policy_says": "", "policy_unknown": ""}
    if key["state"] == "gone":
        return {"policy_unknown": "KMS knows the key no more"}
    facts = opened(key["policy"], key["account"], trusted)
    return {name: facts.get(name) for name in ("policy_public", "policy_says", "policy_unknown")}
