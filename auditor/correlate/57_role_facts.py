"""What rules judge of a role, the declared export roles apart; a declared role that was not found is a row too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables, accounts
from auditor.correlate.approving import Then
from auditor.correlate.permitting import permission_drift, permissions
from auditor.correlate.trusting import Known, trust_drift, trust_facts
from auditor.correlate.zoning import Row, parsed, ranks, strictest, strictest_declared
from auditor.policy.carried import documents
from auditor.schema import tables as schema_tables
from auditor.watch.values import plain

TABLE = "role_facts"
READS = (
    "iam_role",
    "iam_policy",
    "s3_bucket",
    "config_federation",
    "config_subject",
    "bucket_zone",
    "config_zone",
    "config_place",
    "directory_user",
    "backup_selection",
    "history_watch",
    "history_baseline",
    "gcp_service_account",
    "coverage",
)
_PERMITTING = ("inline_policies", "attached_policies", "boundary_arn")
_ENDED = ("disabled", "suspended")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a role."""
    rank = ranks(tables["config_zone"])
    buckets = {row["bucket"]: row for row in tables["bucket_zone"]}
    exporting: dict[str, list[Row]] = defaultdict(list)
    for role in tables["config_federation"]:
        exporting[role["role_arn"]].append(role)
    known = _known(tables)
    backing = {row["role_arn"] for row in tables["backup_selection"]}
    then = Then(tables)
    documents_then = {
        key: row["document"] for key, row in then.remembered("iam_policy").items() if "document" in row
    }
    managed = documents(tables["iam_policy"])
    homes = {row["bucket"]: row["account"] for row in tables["s3_bucket"]}
    seen = {role["arn"]: role for role in tables["iam_role"]}
    for arn in sorted({*seen, *exporting}):
        found = seen.get(arn, {})
        before = then.row("iam_role", arn) or {}
        approved = then.only_approved("iam_role", arn, "iam_policy") or {}
        remembered = _remembered(found)
        served = [buckets[row["bucket"]] for row in exporting[arn] if row["bucket"] in buckets]
        yield {
            "subject_key": arn,
            "zone": strictest(served, rank) or strictest_declared(tables["config_zone"]),
            "account": found.get("account") or arn.split(":")[4],
            "project": None,
            "owner": (parsed(found.get("tags")) or {}).get("owner"),
            "region": "*",
            "name": arn.rpartition("/")[2],
            "export_role": bool(exporting[arn]),
            "found": bool(found),
            "max_session_s": found.get("max_session_s"),
            "last_used_at": found.get("last_used_at"),
            "service_linked": ":role/aws-service-role/" in arn,
            "backup_role": arn in backing,
            **trust_facts(found, exporting[arn], known),
            **trust_drift(
                before.get("trust_policy"),
                remembered["trust_policy"],  # in the form of the one before: most are the same to the byte
                known_before="trust_policy" in before,
                against=then.words("iam_role", arn, ("trust_policy",)),
            ),
            **permissions(found, exporting[arn], managed, homes),
            **permission_drift(
                before if any(name in before for name in _PERMITTING) else {},
                found,
                documents_then | {key: row.get("document") for key, row in approved.items()},
                managed,
                remembered,
                against=then.words("iam_role", arn, _PERMITTING),
            ),
        }


def _remembered(role: Row) -> Row:
    """Return the columns that are remembered of a role, as the ledger writes them."""
    columns = (each for each in schema_tables()["iam_role"].columns if each.watch)
    return {each.name: plain(each, role.get(each.name)) for each in columns}


def _known(tables: Tables) -> Known:
    """Return what is known of accounts and service accounts; the directory's word ends what the configuration says."""
    subjects = {row["service_account"]: row["subject"] for row in tables["config_subject"]}
    users = [row for row in tables["directory_user"] if row["subject"]]
    by_email = {row["email"]: row for row in tables["directory_user"]}
    ended = {row["subject"] for row in users if row["status"] in _ENDED}
    ended |= {
        subject
        for email, subject in subjects.items()
        if (entry := by_email.get(email)) is not None and entry["status"] in _ENDED
    }
    ended |= accounts.dead(tables)
    active = {*subjects.values(), *(row["subject"] for row in users if row["status"] == "active")}
    active |= accounts.alive(tables)
    return Known(
        accounts=frozenset(row["account"] for row in tables["config_place"] if row["cloud"] == "aws"),
        subjects=subjects,
        active=frozenset(active - ended),
        ended=frozenset(ended),
    )
