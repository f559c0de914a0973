"""The change feed as a scan has it: what it covers, and what it tells was written to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from auditor.coverage import Observed, covers, merged
from auditor.model import Gap, Seen

FEED = "aws_change"
"""The change feed: management write events of CloudTrail."""
HERE = "us-east-1"
"""Where CloudTrail records what is global, and calls that reach a service by its global name."""


HARMLESS: Mapping[str, frozenset[str]] = {
    "backup": frozenset(
        {
            "BackupDeleted", "BackupJobCompleted", "BackupJobStarted", "BackupTransitionedToCold",
            "CopyJobCompleted", "CopyJobStarted", "DeleteRecoveryPoint", "ReportJobCompleted", "ReportJobStarted",
            "RestoreCompleted", "RestoreStarted", "StartBackupJob", "StartCopyJob", "StartReportJob",
            "StartRestoreJob", "StopBackupJob", "UpdateRecoveryPointLifecycle",
        }
    ),
    "kms": frozenset({"CreateGrant", "RetireGrant", "RevokeGrant"}),
}  # fmt: skip
"""Writes that change nothing which stands (AWS Backup Developer Guide, "Logging AWS Backup API calls with CloudTrail";
KMS grants are no part of a key's policy). Any other name of a service counts as a write, known or not."""

_REFUSED = (
    "AccessDenied", "AlreadyExist", "BadRequest", "Conflict", "Invalid", "LimitExceeded", "Malformed", "Missing",
    "NoSuch", "NotFound", "SlowDown", "Throttl", "TooManyRequests", "Unauthorized", "UnauthorizedOperation",
    "Validation",
)  # fmt: skip
"""What is part of the codes of calls that were refused. A call that failed within a service may have taken effect."""


class Feed:
    """The change feed as this scan has it: what it covers, and what it tells."""

    def __init__(
        self, coverage: Iterable[Observed], rows: Iterable[Mapping[str, Any]], now: datetime
    ) -> None:
        self._coverage: dict[str, list[Observed]] = defaultdict(list)
        for each in merged(one for one in coverage if one.what.table == FEED):
            self._coverage[each.what.account].append(each)
        self._fresh: dict[str, list[Observed]] = defaultdict(list)
        for each in coverage:
            if each.what.table == FEED and each.at == now and isinstance(each.what, Seen):
                self._fresh[each.what.account].append(each)
        self._writes: dict[tuple[str, str, str | None], list[datetime]] = defaultdict(list)
        """Times of writes by service, account and resource; None where that cannot be told."""
        self._gone: list[tuple[datetime, str]] = []
        self._undated: set[tuple[str, str]] = set()
        for row in rows:
            self._add(row)

    def _add(self, row: Mapping[str, Any]) -> None:
        service, account = str(row["service"]), str(row["account"])
        if refused(row["error_code"]) or row["event_name"] in HARMLESS.get(service, ()):
            return
        if row["at"] is None:
            self._undated.add((service, account))
            return
        resource = row["resource"]
        if service == "cloudtrail" or (resource is not None and resource.split(":")[2:3] != [service]):
            resource = None  # what it named is something else: what was written to cannot be told
        elif service == "kms" and ":alias/" in (resource or "") and not row["event_name"].endswith("Alias"):
            resource = None  # a key by one of its names
        self._writes[service, account, resource].append(row["at"])
        if service == "iam" and str(row["event_name"]).startswith("Delete") and row["resource"]:
            self._gone.append((row["at"], str(row["resource"]).rpartition("/")[2]))

    def unbroken(
        self, service: str, account: str, region: str, start: datetime, end: datetime, fresh: datetime
    ) -> bool:
        """Say whether every management write of a service there was read, and since `fresh` by this very scan."""
        for place in {region, HERE}:
            around = [
                each
                for name in (account, "*")
                for each in self._coverage.get(name, ())
                if each.what.region in (place, "*")
            ]
            whole = [
                each.what for each in around if isinstance(each.what, Seen) and each.what.resource == "*"
            ]
            gaps = [
                each.what
                for each in around
                if isinstance(each.what, Gap) and _hides(each.what.resource, service)
            ]
            now = [
                each.what
                for each in self._fresh.get(account, ())
                if each.what.region in (place, "*") and each.what.resource == "*"
            ]
            if not covers(whole, gaps, start, end) or not covers(now, (), max(start, fresh), end):
                return False
        return True

    def written(
        self, service: str, account: str, resource: str, since: datetime, until: datetime | None = None
    ) -> bool:
        """Say whether something wrote to the resource, may have, or changed what CloudTrail records."""
        if {(service, account), ("cloudtrail", account)} & self._undated:
            return True
        return any(
            at >= since and (until is None or at <= until)
            for key in ((service, account, resource), (service, account, None), ("cloudtrail", account, None))
            for at in self._writes.get(key, ())
        )

    def principal_gone(self, text: str, since: datetime) -> bool:
        """Say whether a role or user that a text names was deleted: AWS then writes the policy that names it anew."""
        return any(at >= since and name in text for at, name in self._gone)


def _hides(resource: str, service: str) -> bool:
    """Say whether a gap may hide writes of a service: one that is of another service's events does not."""
    return not resource.endswith(".amazonaws.com") or resource == f"{service}.amazonaws.com"


def refused(code: str | None) -> bool:
    """Say whether an event's error says that nothing was changed."""
    return bool(code) and any(part in str(code) for part in _REFUSED)
