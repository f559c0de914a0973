"""Who triggered what, as the audit log tells it, and what is said when it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from gcp_estate import (
    ACTIVITY,
    AUDIT_LOG,
    FROM,
    NOW,
    PROJECT,
    REGION,
    Reading,
    audit,
    job,
    reader,
    submission,
    z,
)

from auditor.canonical import stored
from auditor.model import Place, Window
from auditor.sandbox.faults import Faults
from auditor.sandbox.gcp import GcpCloud
from auditor.sandbox.gcp_query import LOGGING, parse
from auditor.schema import tables
from auditor.sources import gcp_dataproc, gcp_logging
from auditor.watch.entries import METHODS

AT = NOW - timedelta(days=2)


@pytest.fixture
def cloud() -> Iterator[GcpCloud]:
    cloud = GcpCloud(Faults(hang_s=2))
    cloud.declare(PROJECT, REGION)
    cloud.declare("acme-other", REGION)
    yield cloud
    cloud.stop()


@pytest.fixture
def read(cloud: GcpCloud) -> Callable[..., Reading]:
    return reader(cloud.start(), cloud._store.faults)


def _faults(cloud: GcpCloud) -> Faults:
    return cloud._store.faults


REASONS = {
    "deny": "denied",
    "throttle": "throttled",
    "fail": "failed",
    "hang": "hung",
    "expire": "expired",
    "garbage": "malformed",
    "cut": "malformed",
    "truncate": "truncated",
}


@pytest.mark.parametrize("kind", REASONS)
def test_a_log_that_fails_in_any_way_leaves_a_gap_and_the_other_project_is_read(
    cloud: GcpCloud, read: Callable[..., Reading], kind: str
) -> None:
    cloud.add_entries([submission(f"u{n}", at=AT + timedelta(minutes=n)) for n in range(4)])
    _faults(cloud).set("logging", "ListLogEntries", kind, account=PROJECT)
    places = [Place("gcp", PROJECT, REGION), Place("gcp", "acme-other", REGION)]
    reading = read(gcp_logging, places=places)
    for table in gcp_logging.TABLES:
        (gap,) = reading.gaps(table)
        assert (gap.reason, gap.account) == (REASONS[kind], PROJECT)
        assert gap.from_at == FROM
        assert gap.until_at == NOW
        assert [seen.account for seen in reading.seen(table)] == ["acme-other"]
    assert len(reading.rows("gcp_audit_entry")) == (2 if kind == "truncate" else 0)


def test_an_answer_without_what_was_read_before_is_suspect(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    cloud.add_entries([submission("u1", at=AT)])
    first = read(gcp_logging)
    _faults(cloud).set("logging", "ListLogEntries", "empty")
    later = NOW + timedelta(days=30)
    reading = read(
        gcp_logging,
        carried={"gcp_audit_entry": first.rows("gcp_audit_entry")},
        covered=first.seen("gcp_audit_entry"),
        window=Window(NOW, later),
        now=later,
    )
    assert reading.reasons("gcp_audit_entry") == ["suspect"]
    assert not reading.seen("gcp_audit_entry")


def test_a_first_page_without_entries_is_not_the_end(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    cloud.add_entries([submission("u1", at=AT)])
    cloud.logs.sparse = True
    assert len(read(gcp_logging).rows("gcp_audit_entry")) == 1


SEALED: dict[str, dict[str, Any]] = {
    "bytes that are no message": {"@bytes": b"\xff\xff\xff"},
    "a lone surrogate in UTF-8": {"@bytes": b"\x3a\x03\xed\xa0\x80"},
    "an empty message": {"@bytes": b""},
    "another type": {"@type": "type.googleapis.com/google.protobuf.Duration", "@bytes": b""},
}


@pytest.mark.parametrize("payload", SEALED.values(), ids=list(SEALED))
def test_a_malformed_entry_is_kept_and_makes_its_moment_unknown(
    cloud: GcpCloud, read: Callable[..., Reading], payload: dict[str, Any]
) -> None:
    sealed = {"@type": AUDIT_LOG, "methodName": "x.JobController.SubmitJob", **payload}
    cloud.add_entries([audit("X", at=AT, insert_id="m") | {"protoPayload": sealed}])
    reading = read(gcp_logging)
    (row,) = reading.rows("gcp_audit_entry")
    assert row["entry_id"].startswith(ACTIVITY)
    assert row["at"] == AT
    assert row.get("method") is None
    (gap,) = reading.gaps("gcp_audit_entry")
    assert (gap.reason, gap.account, gap.region, gap.resource) == ("malformed", PROJECT, "*", "*")
    assert gap.from_at == AT
    assert row["entry_id"] in gap.detail


def test_a_malformed_entry_is_told_again_by_later_scans(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    sealed = {"@type": AUDIT_LOG, "methodName": "x.JobController.SubmitJob", "@bytes": b"\xff"}
    cloud.add_entries([audit("X", at=AT, insert_id="m") | {"protoPayload": sealed}])
    cloud.add_entries([submission("u1", at=AT + timedelta(days=1))])
    first = read(gcp_logging)
    later = NOW + timedelta(days=1)
    second = read(
        gcp_logging,
        carried={"gcp_audit_entry": first.rows("gcp_audit_entry")},
        covered=first.seen("gcp_audit_entry"),
        window=Window(FROM, later),
        now=later,
    )
    assert [row["job_id"] for row in second.rows("gcp_audit_entry")] == ["job-u1"]
    assert [gap.from_at for gap in second.gaps("gcp_audit_entry")] == [AT]


@pytest.mark.parametrize(
    "payload", [{"authenticationInfo": {}}, {"resourceName": "", "request": {}, "response": {}}]
)
def test_a_submission_without_principal_or_job_makes_its_moment_unknown(
    cloud: GcpCloud, read: Callable[..., Reading], payload: dict[str, Any]
) -> None:
    cloud.add_entries([submission("u1", at=AT, **payload)])
    reading = read(gcp_logging)
    assert len(reading.rows("gcp_audit_entry")) == 1
    assert reading.reasons("gcp_audit_entry") == ["malformed"]


def test_every_column_of_a_submission_is_read(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    caller = {
        "principalEmail": "sa@acme.example",
        "principalSubject": "serviceAccount:sa@acme.example",
        "serviceAccountKeyName": "//iam.googleapis.com/projects/p/serviceAccounts/sa/keys/1",
        "serviceAccountDelegationInfo": [
            {"firstPartyPrincipal": {"principalEmail": "ana@acme.example"}},
            {"principalSubject": "serviceAccount:middle@acme.example"},
        ],
    }
    meta = {"callerIp": "203.0.113.9", "callerSuppliedUserAgent": "gcloud\u202e\0"}
    entry = submission("u1", at=AT, authenticationInfo=caller, requestMetadata=meta)
    cloud.add_entries([entry])
    (row,) = read(gcp_logging).rows("gcp_audit_entry")
    assert row["log"] == "activity"
    assert (row["project"], row["region"], row["at"]) == (PROJECT, REGION, AT)
    assert row["received_at"] == AT + timedelta(seconds=2)
    assert row["method"] == "google.cloud.dataproc.v1.JobController.SubmitJob"
    assert (row["principal_email"], row["status_code"]) == ("sa@acme.example", 0)
    assert row["static_key_name"].endswith("/keys/1")
    assert row["delegation"] == ["ana@acme.example", "serviceAccount:middle@acme.example"]
    assert (row["caller_ip"], row["user_agent"]) == ("203.0.113.9", "gcloud\u202e\0")
    assert (row["granted"], row["cluster_name"]) == (True, "c1")
    assert (row["job_id"], row["job_uuid"]) == ("job-u1", "u1")
    schema = tables()["gcp_audit_entry"]
    assert "\\u0000" in stored(schema, row)["user_agent"]


def test_a_uuid_that_the_caller_wrote_is_not_believed(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    forged = {"job": {"reference": {"jobId": "job-u1"}, "jobUuid": "somebody-else"}}
    cloud.add_entries([submission("u1", at=AT, request=forged, response={})])
    (row,) = read(gcp_logging).rows("gcp_audit_entry")
    assert (row["job_id"], row["job_uuid"]) == ("job-u1", None)


def test_a_refused_submission_keeps_its_code_and_needs_no_job(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    payload = {
        "status": {"code": 7, "message": "denied"},
        "authorizationInfo": [{"granted": True}, {"permission": "x"}],
        "authenticationInfo": {"principalEmail": "eve@evil.example"},
    }
    cloud.add_entries([audit("JobController.SubmitJob", at=AT, insert_id="r", payload=payload)])
    reading = read(gcp_logging)
    (row,) = reading.rows("gcp_audit_entry")
    assert (row["status_code"], row["granted"], row["static_key_name"]) == (7, False, "")
    assert not reading.gaps("gcp_audit_entry")


def test_a_long_running_submission_stays_two_rows(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    method = "JobController.SubmitJobAsOperation"
    asked = {"request": {"job": {"reference": {"jobId": "j"}, "placement": {"clusterName": "c9"}}}}
    done = {"response": {"response": {"jobUuid": "u", "reference": {"jobId": "j"}}}}
    first = audit(method, at=AT, insert_id="1", payload=asked, operation={"id": "op", "first": True})
    last = audit(
        method,
        at=AT + timedelta(minutes=9),
        insert_id="2",
        payload=done,
        operation={"id": "op", "last": True},
    )
    cloud.add_entries([first, last])
    one, two = read(gcp_logging).rows("gcp_audit_entry")
    assert (one["operation_id"], one["operation_first"], one["operation_last"]) == ("op", True, False)
    assert (two["operation_id"], two["operation_first"], two["operation_last"]) == ("op", False, True)
    assert (one["job_id"], one["job_uuid"]) == ("j", None)
    assert (two["job_id"], two["job_uuid"]) == ("j", "u")


def test_a_workflow_lists_its_jobs(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    graph = {"nodes": [{"stepId": "b", "jobId": "job-b"}, {"stepId": "a", "jobId": "job-a"}]}
    method = "WorkflowTemplateService.InstantiateWorkflowTemplate"
    cloud.add_entries(
        [
            audit(method, at=AT, insert_id="1", operation={"id": "w", "first": True}),
            audit(
                method,
                at=AT + timedelta(hours=1),
                insert_id="2",
                payload={"response": {"metadata": {"graph": graph}}},
                operation={"id": "w", "last": True},
            ),
        ]
    )
    one, two = read(gcp_logging).rows("gcp_audit_entry")
    assert one["workflow_jobs"] is None
    assert two["workflow_jobs"] == ["job-a", "job-b"]


def test_a_batch_and_a_session_are_named_by_their_operations(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    name = f"projects/{PROJECT}/locations/{REGION}/batches/b1"
    cloud.add_entries(
        [
            audit(
                "BatchController.CreateBatch",
                at=AT,
                insert_id="b",
                payload={
                    "request": {"batchId": "b1"},
                    "response": {"metadata": {"batch": name, "batchUuid": "b-uuid"}},
                },
            ),
            audit(
                "SessionController.CreateSession",
                at=AT + timedelta(minutes=1),
                insert_id="s",
                payload={"request": {"session_id": "s1"}, "metadata": {"session_uuid": "s-uuid"}},
            ),
        ]
    )
    rows = read(gcp_logging).rows("gcp_audit_entry")
    assert [(row["job_id"], row["job_uuid"]) for row in rows] == [("b1", "b-uuid"), ("s1", "s-uuid")]


def test_tokens_and_policies_are_read_and_other_methods_are_not(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    def named(method: str, service: str, log: str, n: int) -> dict[str, Any]:
        entry = audit("x", at=AT + timedelta(minutes=n), insert_id=str(n))
        entry["logName"] = f"projects/{PROJECT}/logs/cloudaudit.googleapis.com%2F{log}"
        entry["protoPayload"] |= {"methodName": method, "serviceName": service}
        return entry

    iam = "iamcredentials.googleapis.com"
    cloud.add_entries(
        [
            named("GenerateAccessToken", iam, "data_access", 0),
            named("google.iam.admin.v1.SetIAMPolicy", "iam.googleapis.com", "activity", 1),
            named("google.cloud.dataproc.v1.JobController.GetJob", "dataproc", "data_access", 2),
        ]
    )
    rows = read(gcp_logging).rows("gcp_audit_entry")
    assert [(row["log"], row["method"].rpartition(".")[2]) for row in rows] == [
        ("data_access", "GenerateAccessToken"),
        ("activity", "SetIAMPolicy"),
    ]


def test_entries_older_than_a_day_are_read_to_their_last_page(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    cloud.add_entries([submission(f"u{n}", at=FROM + timedelta(seconds=n)) for n in range(1500)])
    reading = read(gcp_logging)
    assert len(reading.rows("gcp_audit_entry")) == 1500
    assert cloud.counts["logging", "ListLogEntries"] == 3
    (seen,) = reading.seen("gcp_audit_entry")
    assert (seen.region, seen.from_at, seen.until_at) == ("*", FROM, NOW)


def test_entries_that_differ_in_nanoseconds_keep_their_own_ids(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    twin = submission("u1", at=AT)
    stamp = twin["timestamp"].replace("Z", "001Z")
    cloud.add_entries([twin, {**twin, "timestamp": stamp}])
    assert len({row["entry_id"] for row in read(gcp_logging).rows("gcp_audit_entry")}) == 2


def test_what_the_log_no_longer_keeps_is_out_of_reach(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    reading = read(gcp_logging, window=Window(NOW - timedelta(days=60), NOW))
    assert not reading.gaps("gcp_audit_entry")
    (gap,) = reading.gaps("dataproc_driver_log")
    assert (gap.reason, gap.until_at) == ("out_of_reach", NOW - timedelta(days=30))
    assert reading.seen("dataproc_driver_log")[0].from_at == gap.until_at


def _line(uuid: str, n: int, *, severity: str = "INFO", **payload: Any) -> dict[str, Any]:
    return {
        "logName": f"projects/{PROJECT}/logs/dataproc.job.driver",
        "insertId": f"l{uuid}{n}",
        "timestamp": z(AT + timedelta(seconds=n)),
        "severity": severity,
        "resource": {
            "type": "cloud_dataproc_job",
            "labels": {"job_id": "j", "job_uuid": uuid, "region": REGION},
        },
        **(payload or {"jsonPayload": {"message": f"line {n}"}}),
    }


def test_driver_logs_are_summed_with_a_few_of_the_worst_lines(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    cloud.add_entries([_line("u1", n) for n in range(20)])
    cloud.add_entries([_line("u1", 20, severity="ERROR", textPayload="x" * 2**16)])
    cloud.add_entries([_line("u1", 21, severity="CRITICAL", jsonPayload={"k": "\u202e<b>"})])
    (row,) = read(gcp_logging).rows("dataproc_driver_log")
    assert (row["job_uuid"], row["region"]) == ("u1", REGION)
    assert (row["lines"], row["errors"]) == (22, 2)
    assert (row["first_at"], row["last_at"]) == (AT, AT + timedelta(seconds=21))
    assert row["samples"] == ['{"k": "\u202e<b>"}', "x" * 500, "line 0", "line 1", "line 2"]


def test_a_driver_that_writes_on_is_summed_once(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    cloud.add_entries([_line("u1", n) for n in range(3)])
    first = read(gcp_logging)
    cloud.add_entries([_line("u1", n) for n in range(3, 5)])
    carried = {"dataproc_driver_log": first.rows("dataproc_driver_log")}
    (row,) = read(gcp_logging, carried=carried).rows("dataproc_driver_log")
    assert (row["lines"], row["first_at"]) == (5, AT)
    again = {"dataproc_driver_log": [row]}
    assert not read(gcp_logging, carried=again).rows("dataproc_driver_log")


def test_driver_lines_without_a_job_are_counted_in_a_gap(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    cloud.add_entries([_line("", 1), _line("u1", 2)])
    reading = read(gcp_logging)
    assert [row["job_uuid"] for row in reading.rows("dataproc_driver_log")] == ["u1"]
    assert reading.reasons("dataproc_driver_log") == ["malformed"]


def test_too_many_driver_lines_are_a_truncated_reading(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    cloud.add_entries([_line("u1", n) for n in range(1001)])
    reading = read(gcp_logging, driver_pages=1)
    assert reading.reasons("dataproc_driver_log") == ["truncated"]
    assert reading.rows("dataproc_driver_log")[0]["lines"] == 1000


def test_driver_logs_that_are_switched_off_are_not_asked_for(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    assert read(gcp_logging, driver_logs=False).reasons() == ["not_configured"]
    assert cloud.counts["logging", "ListLogEntries"] == 1


def test_calls_that_change_what_is_watched_are_taken_and_those_that_only_look_are_not(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    changing = (
        "iam.admin.v1.CreateServiceAccountKey", "iam.admin.v1.UploadServiceAccountKey", "iam.admin.v1.EnableServiceAccount",
        "iam.admin.v1.SetIAMPolicy", "iam.admin.v1.UpdateRole", "logging.v2.ConfigServiceV2.UpdateBucketAsync",
        "logging.v2.ConfigServiceV2.DeleteSink",
    )  # fmt: skip
    looking = (
        "iam.admin.v1.GetServiceAccountKey",
        "iam.admin.v1.ListServiceAccounts",
        "logging.v2.ConfigServiceV2.GetSink",
    )
    cloud.add_entries(
        audit(
            "x", at=AT, insert_id=name, payload={"methodName": f"google.{name}", "resourceName": "projects/p"}
        )
        for name in (*changing, *looking)
    )
    rows = read(gcp_logging).rows("gcp_audit_entry")
    assert sorted(row["method"] for row in rows) == sorted(f"google.{name}" for name in changing)
    of = {method for methods in METHODS.values() for names in methods.values() for method in names}
    assert all(
        any(part.lower() in f"v1.{method} ConfigServiceV2.{method}".lower() for part in gcp_logging.METHODS)
        for method in of - {"UpdateCluster"}
    )


def test_the_filters_state_their_times_and_are_short_enough() -> None:
    for query in (
        gcp_logging.audit_filter(PROJECT, FROM, NOW),
        gcp_logging.driver_filter(PROJECT, FROM, NOW),
    ):
        assert 'timestamp>="2026-11-01T12:00:00.000000Z"' in query
        assert len(query) < 20_000
        parse(query, LOGGING)


def test_every_row_fits_the_schema(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    cloud.add_job(job("u1", at=AT, labels={"x": "y\0" * 70_000}), PROJECT, REGION)
    cloud.add_entries([submission("u1", at=AT), _line("u1", 1)])
    items = read(gcp_logging).items + read(gcp_dataproc).items
    schema = tables()
    rows = [item for item in items if hasattr(item, "values")]
    assert {row.table for row in rows} == {
        "gcp_audit_entry",
        "dataproc_driver_log",
        "dataproc_job",
    }
    for row in rows:
        assert stored(schema[row.table], row.values)


def test_a_time_that_was_denied_is_read_by_the_next_scan(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    cloud.add_entries([submission("u1", at=AT)])
    first = read(gcp_logging, window=Window(FROM - timedelta(days=7), FROM))
    _faults(cloud).set("logging", "ListLogEntries", "deny")
    assert not read(gcp_logging, covered=first.seen("gcp_audit_entry")).rows("gcp_audit_entry")
    _faults(cloud).clear()
    later = NOW + timedelta(days=7)
    third = read(
        gcp_logging,
        covered=first.seen("gcp_audit_entry"),
        window=Window(NOW, later),
        now=later,
    )
    assert [row["job_uuid"] for row in third.rows("gcp_audit_entry")] == ["u1"]
    (seen,) = third.seen("gcp_audit_entry")
    assert (seen.from_at, seen.until_at) == (FROM - timedelta(hours=1), later)
