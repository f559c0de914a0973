"""Watched settings of resources: which columns, read how, and who changed them. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from auditor.model import Drift, Gap, Seen
from auditor.schema import Column, Table, tables

if TYPE_CHECKING:
    from auditor.policy.change import Change

_SETS = frozenset(
    {"policy", "trust_policy", "inline_policies", "attached_policies", "client_ids", "thumbprints",
     "write_data_arns", "resources", "not_resources", "list_of_tags"}
)  # fmt: skip
"""Columns whose lists AWS reads as sets: their order says nothing."""

_POLICIES = frozenset({("iam_role", "trust_policy"), ("s3_bucket", "policy"), ("backup_vault", "policy")})
"""Columns that are compared by what they let in, not by their text."""

_REMEMBERED = frozenset({("iam_policy", "document")})
"""Columns that are kept for the rules of the next scan and not told as drift: another column tells of the same change."""

_BLOCK = ("PutBucketPublicAccessBlock", "DeleteBucketPublicAccessBlock")
_VAULT_LOCK = ("PutBackupVaultLockConfiguration", "DeleteBackupVaultLockConfiguration")
EVENTS: dict[str, dict[str, tuple[str, ...]]] = {
    "s3_bucket": {
        "versioning": ("PutBucketVersioning",),
        "mfa_delete": ("PutBucketVersioning",),
        "encryption": ("PutBucketEncryption", "DeleteBucketEncryption"),
        "kms_key_arn": ("PutBucketEncryption", "DeleteBucketEncryption"),
        "block_public_acls": _BLOCK,
        "ignore_public_acls": _BLOCK,
        "block_public_policy": _BLOCK,
        "restrict_public_buckets": _BLOCK,
        "ownership": ("PutBucketOwnershipControls", "DeleteBucketOwnershipControls"),
        "policy": ("PutBucketPolicy", "DeleteBucketPolicy"),
        "logging_target": ("PutBucketLogging",),
        "eventbridge": ("PutBucketNotification", "PutBucketNotificationConfiguration"),
        "lifecycle": (
            "PutBucketLifecycle", "PutBucketLifecycleConfiguration", "DeleteBucketLifecycle",
        ),
        "replication": ("PutBucketReplication", "DeleteBucketReplication"),
        "+": ("CreateBucket",),
        "-": ("DeleteBucket",),
    },
    "iam_role": {
        "max_session_s": ("UpdateRole",),
        "trust_policy": ("UpdateAssumeRolePolicy",),
        "inline_policies": ("PutRolePolicy", "DeleteRolePolicy"),
        "attached_policies": ("AttachRolePolicy", "DetachRolePolicy"),
        "boundary_arn": ("PutRolePermissionsBoundary", "DeleteRolePermissionsBoundary"),
        "+": ("CreateRole",),
        "-": ("DeleteRole",),
    },
    "iam_policy": {
        "version": ("CreatePolicyVersion", "SetDefaultPolicyVersion", "DeletePolicyVersion"),
        "+": ("CreatePolicy",),
        "-": ("DeletePolicy",),
    },
    "iam_provider": {
        "client_ids": (
            "AddClientIDToOpenIDConnectProvider", "RemoveClientIDFromOpenIDConnectProvider",
        ),
        "thumbprints": ("UpdateOpenIDConnectProviderThumbprint",),
        "+": ("CreateOpenIDConnectProvider", "CreateSAMLProvider"),
        "-": ("DeleteOpenIDConnectProvider", "DeleteSAMLProvider"),
    },
    "cloudtrail_trail": {
        "logging": ("StartLogging", "StopLogging"),
        "multi_region": ("UpdateTrail",),
        "global_events": ("UpdateTrail",),
        "validated": ("UpdateTrail",),
        "management_events": ("PutEventSelectors",),
        "write_data_arns": ("PutEventSelectors",),
        "+": ("CreateTrail",),
        "-": ("DeleteTrail",),
    },
    "backup_plan": {
        "version": ("UpdateBackupPlan",),
        "+": ("CreateBackupPlan",),
        "-": ("DeleteBackupPlan",),
    },
    "backup_plan_rule": {
        "schedule": ("UpdateBackupPlan",),
        "delete_after_d": ("UpdateBackupPlan",),
        "continuous": ("UpdateBackupPlan",),
        "copies": ("UpdateBackupPlan",),
        "+": ("UpdateBackupPlan", "CreateBackupPlan"),
        "-": ("UpdateBackupPlan", "DeleteBackupPlan"),
    },
    "backup_selection": {"+": ("CreateBackupSelection",), "-": ("DeleteBackupSelection",)},
    "backup_vault": {
        "locked": _VAULT_LOCK,
        "min_retention_d": _VAULT_LOCK,
        "max_retention_d": _VAULT_LOCK,
        "policy": ("PutBackupVaultAccessPolicy", "DeleteBackupVaultAccessPolicy"),
        "+": ("CreateBackupVault", "CreateLogicallyAirGappedBackupVault"),
        "-": ("DeleteBackupVault",),
    },
    "backup_region": {"s3_opt_in": ("UpdateRegionSettings",)},
}  # fmt: skip
"""CloudTrail's event names that explain a change of a column, a new row (+) or a lost one (-).
Names as AWS lists them for each service; S3 logs its notification call as PutBucketNotification."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One watched setting of one resource, as last known."""

    table: str
    key: str
    """The row's key, parts joined by `/`."""
    field: str
    value: str | None
    """Text in one canonical form; None: not known."""
    account: str = "*"
    region: str = "*"
    at: datetime | None = None
    """When it was last known; the start of the time in which it may have changed."""


def watched(table: Table, row: Mapping[str, Any]) -> Iterator[Watched]:
    """Yield the watched settings of one row of a source table, or of a table of the configuration, which has no place."""
    columns = [column for column in table.columns if column.watch]
    if not columns:
        return
    key = "/".join(str(row.get(part, "")) for part in table.key)
    placed = table.kind == "source"
    account = str((row.get("account") or row.get("project") or "*") if placed else "*")
    region = str((row.get("region") or "*") if placed else "*")
    for column in columns:
        value = plain(column, row.get(column.name))
        yield Watched(table.name, key, column.name, value, account, region)


def plain(column: Column, value: Any) -> str | None:
    """Write a value so that equal settings are equal text, whatever the order of their keys."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    parsed: Any = value
    if isinstance(value, str):
        if column.type != "JSON" and column.name not in _SETS:
            return value
        try:
            parsed = json.loads(value, object_pairs_hook=_unique)
        except (ValueError, RecursionError):
            return value  # not JSON, or with a key twice: then every byte may matter
    try:
        return _canonical(_unordered(parsed) if column.name in _SETS else parsed)
    except RecursionError:
        return repr(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _unordered(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _unordered(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return sorted((_unordered(item) for item in value), key=_canonical)
    return value


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def attribute_drift(
    before: Iterable[Watched],
    after: Iterable[Watched],
    *,
    listed: frozenset[tuple[str, str, str]],
    coverage: Sequence[Seen | Gap],
    changes: Iterable[Mapping[str, Any]],
    previous_at: datetime | None,
    now: datetime,
) -> list[Drift]:
    """Return what changed of the resources themselves, with the author where the trail names one.

    A value that is not known on either side is no change. A resource is new only where an earlier
    scan had listed to the end, and lost only where this one did.
    """
    old, new, told = _by_row(before), _by_row(after), by_table(coverage)
    authors = _Authors(changes, coverage)
    tell = _Telling(authors, previous_at, now)
    found: list[Drift] = []
    for row in sorted({*old, *new}):
        was, has = old.get(row), new.get(row)
        if was is None and has is not None:
            one = next(iter(has.values()))
            if {(one.table, one.account, part) for part in (one.region, "*")} & listed:
                found.append(tell.drift("appeared", one, None, "neutral"))
        elif has is None and was is not None:
            one = next(iter(was.values()))
            if lost(one, told.get(one.table, ())):
                found.append(tell.drift("vanished", one, None, "neutral"))
        elif was is not None and has is not None:
            found.extend(tell.changes(was, has))
    return found


def by_table(coverage: Sequence[Seen | Gap]) -> dict[str, list[Seen | Gap]]:
    """Sort coverage by the table it tells of."""
    found: dict[str, list[Seen | Gap]] = {}
    for part in coverage:
        found.setdefault(part.table, []).append(part)
    return found


def lost(one: Watched, coverage: Sequence[Seen | Gap]) -> bool:
    """Say whether a row that was not yielded is gone: its listing was read without a gap."""
    seen = False
    for part in coverage:
        if part.table != one.table or part.account not in {"*", one.account}:
            continue
        if "*" not in {part.region, one.region} and part.region != one.region:
            continue
        if isinstance(part, Seen):
            seen = seen or part.resource == "*" or one.key.split("/")[0] in part.resource
        elif "#" not in part.resource:
            return False  # of whatever it is the gap, the row may stand behind it
    return seen


def _by_row(values: Iterable[Watched]) -> dict[tuple[str, str], dict[str, Watched]]:
    rows: dict[tuple[str, str], dict[str, Watched]] = {}
    for one in values:
        rows.setdefault((one.table, one.key), {})[one.field] = one
    return rows


class _Telling:
    """Drift of settings, told for one pair of scans."""

    def __init__(self, authors: _Authors, previous_at: datetime | None, now: datetime) -> None:
        self._authors = authors
        self._previous_at = previous_at
        self._now = now
        self._tables = tables()

    def changes(self, was: Mapping[str, Watched], has: Mapping[str, Watched]) -> Iterator[Drift]:
        for name in sorted(was.keys() & has.keys()):
            a, b = was[name], has[name]
            if a.value is None or b.value is None or a.value == b.value or (b.table, name) in _REMEMBERED:
                continue
            if (b.table, name) in _POLICIES:
                yield from self._policy(a, b)
            else:
                yield self.drift("changed", b, a, self._direction(b.table, name, a.value, b.value))

    def _policy(self, was: Watched, has: Watched) -> Iterator[Drift]:
        """Tell of a policy by what it lets in: one that admits the same is no change, however it is written."""
        from auditor.policy.change import (
            resource_change,
            trust_change,
        )  # who only reads the ledger needs no policies

        assert was.value is not None and has.value is not None
        if has.table == "iam_role":
            change = trust_change(was.value, has.value)
        else:
            change = resource_change(was.value, has.value, has.key, has.account)
        if change.verdict == "equivalent" and not change.by_text:
            return
        told = self.drift("changed", has, was, _opened(change))
        yield replace(
            told,
            before=change.before,
            after=change.after,
            severity="low" if change.by_text else told.severity,
            because=f"{has.key}: {has.field} is {change.verdict}: {change.because}",
        )

    def _direction(self, table: str, name: str, a: str, b: str) -> str:
        try:
            watch = self._tables[table].column(name).watch
        except KeyError:
            return "neutral"
        if watch in {"up", "down"}:
            more = _number(b) > _number(a)
            return "better" if more == (watch == "up") else "worse"
        order = watch.split(">")
        if a in order and b in order:
            return "better" if order.index(b) < order.index(a) else "worse"
        return "neutral"

    def drift(self, kind: str, one: Watched, was: Watched | None, direction: str) -> Drift:
        name = one.field if kind == "changed" else None
        before, after = (was.value if was else None), (one.value if name else None)
        since = (was.at if was else one.at) or self._previous_at
        change, reason = self._authors.of(kind, one, since, self._now)
        parts = [kind, one.table, one.key, name, before, after, self._now.isoformat()]
        digest = hashlib.sha256(_canonical(parts).encode("utf-8", "backslashreplace")).hexdigest()
        words = {"appeared": "is new", "vanished": "is gone", "changed": f"{name} changed"}[kind]
        return Drift(
            drift_id=digest,
            kind=kind,
            rule=None,
            subject_table=one.table,
            subject_key=one.key,
            field=name,
            before=before,
            after=after,
            direction=direction,
            changed_at=_when(change.get("at")) if change else None,
            detected_at=self._now,
            actor=str(change["actor"]) if change else None,
            actor_reason=reason,
            severity={"worse": "high", "neutral": "medium"}.get(direction, "low"),
            because=f"{one.key}: {words}",
        )


def _opened(change: Change) -> str:
    if change.by_text:
        return "neutral"
    return "worse" if change.opens else "better"


def _number(value: str) -> int:
    return {"true": 1, "false": 0}.get(value) or (int(value) if value.lstrip("-").isdigit() else 0)


class _Authors:
    """Who changed what, from the feed of management events."""

    def __init__(self, changes: Iterable[Mapping[str, Any]], coverage: Sequence[Seen | Gap]) -> None:
        self._changes: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        """By name, and by what may name its resource: ten thousand changes are not each looked for among ten thousand."""
        for change in changes:
            if not change.get("error_code") and change.get("actor"):
                for mark in _marks(change):
                    self._changes.setdefault((str(change.get("event_name")), mark), []).append(change)
        self._coverage = [part for part in coverage if part.table == "aws_change"]

    def of(
        self, kind: str, one: Watched, since: datetime | None, now: datetime
    ) -> tuple[Mapping[str, Any] | None, str]:
        """Return the newest event that explains a change, and why it or nobody is named."""
        known = EVENTS.get(one.table, {})
        field = {"appeared": "+", "vanished": "-"}.get(kind, one.field)
        if not (names := known.get(field, ())):
            return None, f"no CloudTrail event is known to tell of {one.table} {one.field}"
        fitting = [
            change
            for name in names
            for change in self._changes.get((name, _mark(one)), ())
            if _concerns(change, one) and (since is None or _when(change.get("at")) > since)
        ]
        if fitting:
            change = max(fitting, key=lambda c: (_when(c.get("at")), str(c.get("event_id"))))
            words = [f"CloudTrail event {change.get('event_id')} ({change.get('event_name')})"]
            if change.get("source_ip"):
                words.append(f"from {change['source_ip']}")
            if len(fitting) > 1:
                words.append(f"the newest of {len(fitting)}")
            return change, ", ".join(words)
        between = f"between {_iso(since)} and {_iso(now)}" if since else f"before {_iso(now)}"
        return None, (f"no CloudTrail event names this change {between}; {self._sight(one.account)}")

    def _sight(self, account: str) -> str:
        mine = [part for part in self._coverage if part.account in {"*", account}]
        gaps = sorted({part.detail or part.reason for part in mine if isinstance(part, Gap)})
        if gaps:
            return f"coverage of aws_change in {account} had a gap: {'; '.join(gaps)}"
        if not mine:
            return f"aws_change was not read in {account}"
        return f"coverage of aws_change in {account} was complete"


def _marks(change: Mapping[str, Any]) -> set[str]:
    """Return what `_mark` may say of a row that a change concerns."""
    resource = str(change.get("resource") or "")
    names = (resource, resource.split("/", maxsplit=1)[0])
    return {f"{change.get('account')} {change.get('region')}", *(each.rpartition(":")[2] for each in names)}


def _mark(one: Watched) -> str:
    if one.table == "backup_region":
        return f"{one.account} {one.region}"
    key = one.key.split("/")[0] if one.table.startswith("backup_") else one.key
    return key.rpartition(":")[2]


def _concerns(change: Mapping[str, Any], one: Watched) -> bool:
    resource = str(change.get("resource") or "")
    if one.table == "backup_region":
        return (change.get("account"), change.get("region")) == (one.account, one.region)
    if resource == one.key:
        return True
    return one.table.startswith("backup_") and resource.endswith(f":{one.key.split('/')[0]}")


def _when(value: Any) -> datetime:
    """Read a time as DuckDB gives it (naive, UTC) or as a source does."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        return datetime.min.replace(tzinfo=UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _iso(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
