"""What changed of the watched settings since the scan before, one row a change, and the approved change that explains it.

The same changes as drift tells, by the same comparison: a policy that admits the same is none. What came is told where the scan
before was whole; else it may only have been hidden from it. When the trail does not tell who, an approved change that names its
actors neither explains it nor fails to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.changed import approved
from auditor.correlate.zoning import Row, strictest_declared
from auditor.model import Gap, Seen
from auditor.schema import tables as schema_tables
from auditor.watch import entries, gcp, people
from auditor.watch.compare import attribute_drift
from auditor.watch.values import ABSENT, Watched, place_of, plain, watched

TABLE = "change_facts"
READS = (
    "watched_change",
    "recent_change",
    "config_change",
    "coverage",
    "as_of",
    "history_scan",
    "config_zone",
    "history_watch",
    "s3_bucket",
    "iam_role",
    "iam_policy",
    "backup_plan",
    "backup_plan_rule",
    "backup_selection",
    "config_duty",
    "directory_membership",
    "directory_user",
    "gcp_project",
    "gcp_iam_binding",
    "gcp_role",
    "gcp_audit_config",
    "gcp_service_account",
    "gcp_service_account_key",
    "gcp_log_bucket",
    "gcp_log_sink",
    "gcp_audit_entry",
)
_WHERE = ("account", "region")
COLUMNS = {
    "s3_bucket": ("arn", *_WHERE, "tags"),
    "iam_role": ("arn", "account", "inline_policies", "attached_policies", "boundary_arn"),
    "iam_policy": ("arn", "account", "version", "document"),
    "directory_membership": ("user_id", "group_name", "until_at"),
    "directory_user": ("id", "email", "status"),
    "gcp_project": ("name", "project", "state", "ancestors"),
    "gcp_iam_binding": ("resource", "kind", "project", "region", "role", "member", "condition"),
    "gcp_role": ("name", "project", "permissions", "deleted", "judged"),
    "gcp_service_account": ("email", "project", "unique_id", "disabled"),
    "gcp_service_account_key": ("name", "project", "key_type", "disabled"),
    "gcp_audit_entry": entries.COLUMNS,
    "history_watch": ("table_name", "key", "field", "value", *_WHERE),
}
_TOGETHER = (
    ("iam_role", "iam_policy"),
    ("backup_plan", "backup_plan_rule", "backup_selection"),
    ("config_duty", "directory_membership", "directory_user"),
    (
        "gcp_project",
        "gcp_iam_binding",
        "gcp_role",
        "gcp_service_account",
        "gcp_service_account_key",
        "gcp_audit_config",
    ),
    ("gcp_log_bucket",),
    ("gcp_log_sink",),
)
"""Tables of which a change is told by more than its own row: then all their rows are compared."""


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a change."""
    (now,) = tables["as_of"]
    candidates = tables["watched_change"]
    if not candidates:
        return
    zone = strictest_declared(tables["config_zone"])
    before, after = _compared(tables, candidates, now["as_of"])
    whole = any(row["at"] == now["previous_at"] and row["complete"] for row in tables["history_scan"])
    found = attribute_drift(
        before,
        after,
        listed=_listed(before, after) if whole else frozenset(),
        coverage=(*_coverage(tables["coverage"]), Seen("config_duty", "*")),
        changes=tables["recent_change"],
        previous_at=_utc(now["previous_at"]),
        now=_utc(now["as_of"]),
        buckets=tables["s3_bucket"],
        settles=timedelta(seconds=now["horizon_cloudtrail_s"] or 0),
        audited=tables["gcp_audit_entry"]
        if any(row["table_name"] in gcp.TABLES for row in candidates)
        else (),
        audited_settles=timedelta(seconds=now["horizon_logging_s"] or 0),
    )
    places = {(one.table, one.key): one for one in (*before, *after)}
    for drift in found:
        at = drift.changed_at
        since, until = (at, at) if at else (_utc(now["previous_at"]), _utc(now["as_of"]))
        matched, record, by = approved(
            [_in_utc(row) for row in tables["config_change"]], drift.subject_key, drift.actor, since, until
        )
        place = places[drift.subject_table, drift.subject_key]
        of_google = place.table in gcp.TABLES
        yield {
            "subject_key": f"{drift.subject_table}/{drift.subject_key}#{drift.field or drift.kind}",
            "zone": zone,
            "account": None if place.account == "*" or of_google else place.account,
            "project": place.account if of_google and "/" not in place.account else None,
            "owner": None,
            "region": place.region,
            "kind": drift.kind,
            "changed_table": drift.subject_table,
            "changed_key": drift.subject_key,
            "field": drift.field or "",
            "says": drift.because,
            "changed_at": at,
            "actor": drift.actor,
            "actor_because": drift.actor_reason,
            "recorded": matched,
            "change_id": record,
            "approved_by": by,
        }


def _compared(
    tables: Tables, candidates: Collection[Row], at: datetime
) -> tuple[list[Watched], list[Watched]]:
    """Return the settings of then and of now that may differ, with all that is needed to say what that comes to."""
    named = {row["table_name"] for row in candidates}
    whole = {name for some in _TOGETHER if named.intersection(some) for name in some}
    alone = [
        row for row in candidates if row["key"] is not None
    ]  # of what lies beside them, the last word counts
    before = [_watched(row, row["before"]) for row in alone if row["kind"] != "appeared"]
    after = [_watched(row, _plain(row)) for row in alone if row["kind"] != "vanished"]
    if whole:
        before += [
            _watched(row, row["value"]) for row in tables["history_watch"] if row["table_name"] in whole
        ]
    described = schema_tables()
    chosen = people.watched_rows(tables.__getitem__, at) if "config_duty" in whole else {}
    if gcp.BINDING in whole:
        chosen[gcp.BINDING] = gcp.lasting(tables[gcp.BINDING])
    for name in sorted(whole):
        for row in chosen[name] if name in chosen else tables[name]:
            after += watched(described[name], row)
    return before, after


def _listed(before: Iterable[Watched], after: Iterable[Watched]) -> frozenset[tuple[str, str, str]]:
    """Return what a scan before that saw all had listed: of service accounts those whose keys it knew, for each has one."""
    found = {(each.table, each.account, each.region) for each in after}
    for each in before:
        if each.table == gcp.KEY:
            email = place_of(each)
            found.add((gcp.KEY, each.account, email))
            found.add((gcp.BINDING, each.account, f"projects/{each.account}/serviceAccounts/{email}"))
    return frozenset(found)


def _watched(row: Row, value: str | None) -> Watched:
    return Watched(
        row["table_name"], row["key"], row["field"], value, row["account"] or "*", row["region"] or "*"
    )


def _plain(row: Row) -> str | None:
    """Write a value of now as values are remembered: lists that are sets in their one order."""
    column, value = schema_tables()[row["table_name"]].column(row["field"]), row["after"]
    if column.type == "TIME" and value != ABSENT:
        value = datetime.fromisoformat(value)  # of which the engine writes a fraction in its own way
    return plain(column, value)


def _coverage(rows: Iterable[Row]) -> Iterator[Seen | Gap]:
    for row in rows:
        scope = (row["table_name"], row["account"] or "*", row["region"] or "*", row["resource"] or "*")
        times = {"from_at": row["from_at"], "until_at": row["until_at"]}
        if row["complete"]:
            yield Seen(*scope, **times)
        else:
            yield Gap(*scope, reason=row["reason"] or "failed", detail=row["detail"] or "", **times)


def _in_utc(row: Row) -> Row:
    return {**row, "from_at": _utc(row["from_at"]), "until_at": _utc(row["until_at"])}


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
