"""What the replication rules of a bucket take in, and whether replication does what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from auditor.correlate.zoning import Row, parsed

SLOW = timedelta(hours=24)
"""What waits longer than this fails: S3 replicates most objects within 15 minutes, some within hours."""


def replicated(
    bucket: Row, written: Sequence[str], regions: Mapping[str, str | None], hidden: str
) -> dict[str, Any]:
    """Return whether enabled rules take in all that exports write (`written`), or else the whole bucket.

    Where exports are `hidden`, in words, one of them may write beside the prefixes that rules take in.

    A rule that does not select objects encrypted by KMS leaves them out (Amazon S3 User Guide, "Replicating encrypted
    objects"), and versioning must be on.
    """
    rules = parsed(bucket["replication"])
    if rules is None:
        return {"replicates": None, "replicates_says": "its replication was not read"}
    enabled = [rule for rule in rules if rule.get("Status") == "Enabled"]
    kms = None if bucket["encryption"] is None else bucket["encryption"].startswith("aws:kms")
    whole = [rule for rule in enabled if _tagless(rule)]
    fit = [rule for rule in whole if kms is False or _takes_kms(rule)]
    unsure = kms is None and len(fit) < len(whole)
    paths = list(written) or [""]
    missed = [path for path in paths if not any(path.startswith(_prefix(rule)) for rule in fit)]
    if not missed and hidden and not any(_prefix(rule) == "" for rule in fit):
        says = f"its rules take in some prefixes, and which of them exports write was not seen: {hidden}"
        return {"replicates": None, "replicates_says": says, "replicates_elsewhere": None}
    if not missed:
        elsewhere = [_elsewhere(rule, bucket, regions) for rule in fit]
        far = True if True in elsewhere else None if None in elsewhere else False
        return {"replicates": True, "replicates_says": "", "replicates_elsewhere": far}
    if not enabled:
        says = "no replication rule is enabled"
    elif unsure and not [p for p in paths if not any(p.startswith(_prefix(rule)) for rule in whole)]:
        return {
            "replicates": None,
            "replicates_says": "its encryption was not read, and KMS's objects are left out",
        }
    elif len(fit) < len(whole):
        says = "its rules leave out objects encrypted by KMS"
    else:
        says = f"no rule takes in {', '.join(path or 'the whole bucket' for path in missed[:5])}"
    return {"replicates": False, "replicates_says": says, "replicates_elsewhere": None}


def health(bucket: Row, replica: Row | None, now: datetime) -> dict[str, Any]:
    """Return whether replication fails, by the newest object that had time for it."""
    if parsed(bucket["replication"]) == []:
        return {"replication_fails": None, "replication_says": "nothing is replicated"}
    if replica is None:
        return {
            "replication_fails": None,
            "replication_says": "its objects are not listed, so none was asked about",
        }
    if replica["key"] is None:
        return {"replication_fails": None, "replication_says": "it holds no object that is an hour old"}
    status, at = replica["status"], replica["last_modified"]
    fails = {"COMPLETED": False, "FAILED": True}.get(status)
    if status == "PENDING" and now - at > SLOW:
        fails = True
    return {
        "replication_fails": fails,
        "replication_says": f"replication of {replica['key']}, written {at:%Y-%m-%dT%H:%MZ}, is {status}",
    }


def _tagless(rule: Row) -> bool:
    where = rule.get("Filter") or {}
    inner = where.get("And") or where
    return not inner.get("Tag") and not inner.get("Tags")


def _prefix(rule: Row) -> str:
    where = rule.get("Filter") or {}
    inner = where.get("And") or where
    return str(rule.get("Prefix") or inner.get("Prefix") or "")


def _takes_kms(rule: Row) -> bool:
    selected = (rule.get("SourceSelectionCriteria") or {}).get("SseKmsEncryptedObjects") or {}
    return bool(selected.get("Status") == "Enabled")


def _elsewhere(rule: Row, bucket: Row, regions: Mapping[str, str | None]) -> bool | None:
    region = regions.get((rule.get("Destination") or {}).get("Bucket", ""))
    return None if region is None or bucket["region"] is None else region != bucket["region"]
