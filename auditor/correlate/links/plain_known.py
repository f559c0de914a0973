"""What exports that leave no doubt are held against beside their recovery point: what was read, declared, and said of calls."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.links import session, trigger
from auditor.correlate.links.alike import Alike, pattern
from auditor.correlate.links.calls import Call, names_asked
from auditor.correlate.links.directory import Directory
from auditor.correlate.links.evidence import Evidence, Row, arn_of, case_of
from auditor.correlate.links.hiding import hiding
from auditor.correlate.links.plain import FIRST, LAST
from auditor.model import State, Strength

READS = (
    "as_of",
    "coverage",
    "plain_asked",
    "plain_capture",
    "s3_bucket",
    "s3_listing",
    "config_federation",
    "config_bucket",
    "config_zone",
    "config_place",
    "config_duty",
    "config_automation",
    "config_workforce_pool",
    "directory_user",
    "directory_membership",
    "history_membership",
)
COLUMNS = {"plain_capture": ("bucket", "zone_label", "zone", "account", "bucket_region")}
Spans = Sequence[tuple[datetime, datetime]]


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield what was read of buckets (`events`) and of sessions (`issues`), sessions as `declared`, `call`s, and `clear`.

    `clear` is from when on nothing hides the objects link of a bucket's exports by one account.
    """
    evidence = Evidence(tables)
    asked: dict[str, list[Row]] = defaultdict(list)
    for row in tables["plain_asked"]:
        asked[row["what"]].append(row)
    homes = {(row["bucket"], row["account"], row["bucket_region"]) for row in tables["plain_capture"]}
    yield from _events(evidence, homes)
    yield from _issues(evidence, asked["issue"])
    yield from _declared(evidence, asked["session"])
    yield from _clear(evidence, asked["rival"])
    yield from _calls(evidence, asked)


def _events(evidence: Evidence, homes: set[tuple[Any, ...]]) -> Iterator[Mapping[str, Any]]:
    """Yield when data events of each bucket were read without a gap."""
    for bucket, account, region in homes:
        spans = evidence.sight.whole("s3_data_event", account, region=region, resource=arn_of(bucket))
        for first, last in spans:
            yield {"what": "events", "bucket": bucket, "from_at": first, "until_at": last}


def _issues(evidence: Evidence, asked: Sequence[Row]) -> Iterator[Mapping[str, Any]]:
    """Yield when every issue of a session of a service account was seen, for buckets of an account."""
    for row in asked:
        service_account, account = row["service_account"], row["account"]
        spans: Spans = ((FIRST, LAST),)
        for owner, region in session.issued_in(evidence, service_account, (account,)):
            spans = _both(spans, evidence.sight.whole("sts_session", owner, region=region))
        for first, last in spans:
            yield {
                "what": "issues",
                "service_account": service_account,
                "account": account,
                "from_at": first,
                "until_at": last,
            }


def _both(one: Spans, other: Spans) -> Spans:
    """Return the times that lie in both: what lies in a stretch of each lies in one of these."""
    found = [(max(a, c), min(b, d)) for a, b in one for c, d in other]
    return sorted((first, last) for first, last in found if first <= last)


def _declared(evidence: Evidence, asked: Sequence[Row]) -> Iterator[Mapping[str, Any]]:
    for row in asked:
        issue = {"session_key": "", "issued_at": None, **row}
        if session.undeclared(evidence, issue, row["service_account"]) is None:
            yield {name: row[name] for name in ("service_account", "role_arn", "provider", "audience")} | {
                "what": "declared"
            }


def _clear(evidence: Evidence, asked: Sequence[Row]) -> Iterator[Mapping[str, Any]]:
    """Yield from when on nothing hides the objects link, as the judges would ask of the longest export of all."""
    for row in asked:
        bucket, first = evidence.buckets.get(row["bucket"]), row["from_at"]
        if bucket is None or not row["service_account"]:
            continue
        times = {"submitted_at": first + evidence.skew, "started_at": first + session.BEFORE_START}
        job: Row = {name: row[name] for name in ("service_account", "project", "region")} | {
            **times,
            "zone_label": None,
            "labels_known": True,
            "finished_at": evidence.now,
        }
        output = {"export_id": "", "bucket": row["bucket"], "prefix": ""}
        writes = {
            "objects": 1,
            "first_write_at": first + evidence.skew,
            "last_write_at": evidence.now,
        }
        if not hiding(evidence, case_of(evidence, output, job, writes, (), (), None), "objects"):
            names = ("bucket", "service_account", "project", "region", "from_at")
            yield {"what": "clear", **{name: row[name] for name in names}}


def _calls(evidence: Evidence, asked: Mapping[str, Sequence[Row]]) -> Iterator[Mapping[str, Any]]:
    """Yield what is said of all calls of a principal between two moments at which that may change."""
    directory = Directory(evidence, names_asked(asked["name"]))
    alike = Alike(evidence, directory)
    zones: dict[str | None, set[str]] = defaultdict(set)
    for row in evidence.tables["plain_capture"]:
        zones[row["zone_label"]].add(row["zone"])
    done: set[tuple[Any, ...]] = set()
    for row in asked["call"]:
        if not row["principal"]:
            continue
        turns = [FIRST, *alike.turns(row["principal"]), LAST]
        for first, last in pairwise(turns):
            if row["until_at"] <= first or row["from_at"] >= last:
                continue
            at = next((each for each in (row["from_at"], row["until_at"]) if first < each < last), None)
            for zone in sorted(zones[row["zone_label"]]):
                found = _said(evidence, directory, row, zone, at or first + (last - first) / 2)
                named = (*(row[name] for name in _CALL), row["job_id"] if row["by_id"] else None, zone, first)
                if found is not None and named not in done:
                    done.add(named)
                    yield {
                        "what": "call",
                        **{name: row[name] for name in _CALL},
                        "job_id": row["job_id"] if row["by_id"] else None,
                        "zone": zone,
                        "from_at": first,
                        "until_at": last,
                        **found,
                    }


_CALL = ("principal", "kind", "project", "region")


def _said(
    evidence: Evidence, directory: Directory, row: Row, zone: str, at: datetime
) -> Mapping[str, Any] | None:
    """Return what is said of a call at a time, cut where it names it; None when it may be said of that one alone."""
    call = Call(
        project=row["project"],
        region=row["region"],
        at=at,
        principal=row["principal"],
        static_key="",
        delegation=(),
        job_id=row["job_id"],
        job_uuid="",
        workflow=False,
        workflow_jobs=(),
        succeeded=True,
        refs=(("gcp_audit_entry", ""),),
    )
    judged = trigger.called(evidence, trigger.Run(row, zone), directory, call, Strength.EXACT)
    found = pattern(judged, at, call.refs, row["job_id"] or "")
    if found is None or (found.state == State.PROVEN and found.strength == Strength.NONE):
        return None
    return {
        "state": str(found.state),
        "strength": str(found.strength),
        "before": found.parts[0],
        "after": found.parts[1] if len(found.parts) > 1 else None,
        "refs": found.refs,
    }
