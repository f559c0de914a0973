"""Log entries from the files of a sink: the same rows as through the API, and what the files do not show."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from gcp_estate import ACTIVITY, FROM, NOW, PROJECT, REGION, Reading, audit, reader, submission, z

from auditor.canonical import Lines
from auditor.model import Place, Window
from auditor.sandbox.aws.cloud import AwsCloud
from auditor.sandbox.faults import Faults
from auditor.sandbox.gcp import GcpCloud
from auditor.sandbox.gcs import ObjectStore, delivered
from auditor.schema import tables
from auditor.sources import _logging_files, _logging_sinks, gcp_logging
from auditor.sources.clients import Access, Clients

AT = NOW - timedelta(days=2, minutes=30)
HOUR = datetime(AT.year, AT.month, AT.day, AT.hour, tzinfo=UTC)
BUCKET = "acme-logs"
GS = f"gs://{BUCKET}"
WHOLE = {"files_hold": (*gcp_logging.AUDIT_LOGS, *gcp_logging.DRIVER_LOGS)}


@pytest.fixture
def cloud() -> Iterator[GcpCloud]:
    cloud = GcpCloud(Faults(hang_s=2))
    cloud.declare(PROJECT, REGION)
    cloud.put_sink(PROJECT, "all", f"storage.googleapis.com/{BUCKET}")
    yield cloud
    cloud.stop()


@pytest.fixture
def read(cloud: GcpCloud) -> Callable[..., Reading]:
    return reader(cloud.start(), cloud._store.faults)


@pytest.fixture
def store() -> Iterator[ObjectStore]:
    with ObjectStore(page=2) as store:
        yield store


def deliver(store: ObjectStore, entries: list[dict[str, Any]], *, under: str = "") -> list[str]:
    files = delivered(entries)
    for name, (body, at) in files.items():
        store.put(BUCKET, under + name, body, at=at)
    return [under + name for name in files]


def driver_line(uuid: str, n: int, *, severity: str = "INFO", **payload: Any) -> dict[str, Any]:
    at = AT + timedelta(minutes=n)
    return {
        "logName": f"projects/{PROJECT}/logs/dataproc.job.driver",
        "insertId": f"l{uuid}{n}",
        "timestamp": z(at),
        "receiveTimestamp": z(at + timedelta(seconds=1)),
        "severity": severity,
        "resource": {"type": "cloud_dataproc_job", "labels": {"job_uuid": uuid, "region": REGION}},
        **(payload or {"jsonPayload": {"message": f"line {n}", "n": 1.5}}),
    }


DELTA = {
    "@type": "type.googleapis.com/google.iam.v1.logging.AuditData",
    "policyDelta": {
        "bindingDeltas": [
            {"action": "ADD", "role": "roles/owner", "member": "user:e@x"},
            {
                "action": "REMOVE",
                "role": "roles/r",
                "member": "user:f@x",
                "condition": {"title": "t", "expression": "a < b"},
            },
        ],
        "auditConfigDeltas": [
            {"action": "REMOVE", "service": "s", "logType": "DATA_READ", "exemptedMember": "user:g@x"}
        ],
    },
}


def every_kind() -> list[dict[str, Any]]:
    """Entries of every shape that is told apart."""
    method = "WorkflowTemplateService.InstantiateWorkflowTemplate"
    graph = {"nodes": [{"jobId": "job-b"}, {"jobId": "job-a"}, {"x": None}]}
    config = {
        "gceClusterConfig": {
            "zoneUri": "p/z/europe-west1-b",
            "serviceAccount": "sa@x",
            "internalIpOnly": True,
        },
        "lifecycleConfig": {"idle_delete_ttl": "1800s"},
        "softwareConfig": {"imageVersion": "2.2"},
        "encryptionConfig": {"gcePdKmsKeyName": None},
    }
    caller = {
        "principalEmail": "sa@acme.example",
        "serviceAccountKeyName": "//iam/keys/1",
        "serviceAccountDelegationInfo": [
            {"firstPartyPrincipal": {"principalEmail": "ana@acme.example"}},
            {"principalSubject": "serviceAccount:middle"},
            {},
        ],
    }
    made = {"request": {"cluster": {"clusterName": "c9", "config": config, "labels": {"a": "b", "c": 1}}}}
    odd = {"request": {"job": ["x"], "jobId": 5}, "response": {"jobUuid": None, "metadata": {"jobId": "m"}}}
    batch = {"request": {"batchId": "b1"}, "response": {"metadata": {"batchUuid": "b-uuid"}}}
    data = audit("x", at=AT, insert_id="token") | {"logName": ACTIVITY.replace("activity", "data_access")}
    data["protoPayload"] = data["protoPayload"] | {"methodName": "GenerateAccessToken", "status": {"code": 7}}
    return [
        submission("u1", at=AT, authenticationInfo=caller, requestMetadata={"callerIp": "10.0.0.1"}),
        submission("u2", at=AT + timedelta(minutes=1), authorizationInfo=[{"granted": True}, {}]),
        audit("ClusterController.CreateCluster", at=AT, insert_id="c", payload=made),
        audit("JobController.SubmitJob", at=AT, insert_id="odd", payload=odd),
        audit(
            "BatchController.CreateBatch",
            at=AT,
            insert_id="b",
            payload=batch,
            operation={"id": "o", "last": True},
        ),
        audit(method, at=AT, insert_id="w", payload={"response": {"metadata": {"graph": graph}}}),
        audit("SetIamPolicy", at=AT, insert_id="\u202e</b>\0", payload={"authenticationInfo": {}}),
        audit("SetIamPolicy", at=AT, insert_id="delta", payload={"serviceData": DELTA}),
        audit("SetIamPolicy", at=AT, insert_id="torn", payload={"serviceData": {"@type": DELTA["@type"]}}),
        audit(
            "CreateServiceAccountKey",
            at=AT,
            insert_id="key",
            payload={"response": {"name": "projects/p/serviceAccounts/e/keys/k"}},
        ),
        audit("JobController.GetJob", at=AT, insert_id="read"),
        audit("X", at=AT, insert_id="bare")
        | {"protoPayload": {"@type": "type.googleapis.com/google.protobuf.Empty"}},
        data,
        {
            **submission("u3", at=AT + timedelta(seconds=1)),
            "timestamp": z(AT).replace("Z", "007Z"),
            "resource": {},
        },
        *(driver_line("u1", n, severity=("INFO", "ERROR", "ALERT")[n % 3]) for n in range(9)),
        driver_line("u2", 3, textPayload="x" * 600),
        driver_line(
            "u2", 4, severity="CRITICAL", jsonPayload={"k": "\u202e<b>", "n": 3, "deep": [1.25, None]}
        ),
        driver_line("u2", 5, severity="ERROR", jsonPayload={"message": 5, "big": 1e300}),
        driver_line("", 6),
    ]


def lined(reading: Reading, table: str) -> list[bytes]:
    lines = Lines(tables()[table])
    return sorted(lines.line(row) for row in reading.rows(table))


@pytest.mark.parametrize("kind", ["gs", "file", "s3"])
def test_the_same_entries_give_the_same_tables_through_files_and_through_the_api(
    cloud: GcpCloud, read: Callable[..., Reading], store: ObjectStore, tmp_path: Path, kind: str
) -> None:
    cloud.add_entries(every_kind())
    asked = read(gcp_logging)
    files = delivered(every_kind())
    places = [Place("gcp", PROJECT, REGION)]
    url, clients, aws = GS + "/a%20copy", None, None
    if kind == "gs":
        deliver(store, every_kind(), under="a copy/")
    elif kind == "file":
        url = tmp_path.as_uri()
        for name, (body, _) in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(body.rstrip(b"\n"))
    else:
        url, aws = "s3://log-copy/gcp", AwsCloud()
        aws.clock(NOW)
        aws.put_bucket("111111111111", "us-east-1", "log-copy", at=FROM)
        for name, (body, at) in files.items():
            aws.put_object("log-copy", f"gcp/{name}", body, at=at)
        places.append(Place("aws", "111111111111", "us-east-1"))
        clients = Clients(Access(aws_endpoint=aws.start()))
    found = read(
        gcp_logging,
        files=(url,),
        api=False,
        places=places,
        clients=clients,
        storage_endpoint=store.endpoint,
        **WHOLE,
    )
    if aws:
        aws.stop()
    for table in gcp_logging.TABLES:
        assert lined(found, table) == lined(asked, table) != []


def test_hours_with_a_file_are_seen_and_hours_without_one_are_gaps(
    cloud: GcpCloud, read: Callable[..., Reading], store: ObjectStore
) -> None:
    deliver(store, [submission("u1", at=AT), submission("u2", at=AT + timedelta(hours=2))])
    found = read(gcp_logging, files=(GS,), api=False, storage_endpoint=store.endpoint, driver_logs=False)
    seen = [(each.from_at, each.until_at) for each in found.seen("gcp_audit_entry")]
    later = HOUR + timedelta(hours=2)
    assert seen == [(HOUR, HOUR + timedelta(hours=1)), (later, later + timedelta(hours=1))]
    gaps = [(gap.from_at, gap.until_at, gap.reason) for gap in found.gaps("gcp_audit_entry")]
    assert gaps == [
        (FROM, HOUR, "suspect"),
        (HOUR + timedelta(hours=1), later, "suspect"),
        (later + timedelta(hours=1), NOW, "suspect"),
    ]
    assert not found.cursors()


def test_hours_without_a_file_are_asked_of_the_api_and_no_entry_is_counted_twice(
    cloud: GcpCloud, read: Callable[..., Reading], store: ObjectStore
) -> None:
    entries = [submission("u1", at=AT), *(driver_line("u1", 60 * n) for n in range(4))]
    cloud.add_entries([*entries, submission("quiet", at=AT + timedelta(hours=5))])
    deliver(store, entries[:3])
    found = read(gcp_logging, files=(GS,), storage_endpoint=store.endpoint)
    assert not found.gaps()
    assert {row["job_id"] for row in found.rows("gcp_audit_entry")} == {"job-u1", "job-quiet"}
    (row,) = found.rows("dataproc_driver_log")
    assert row["lines"] == 4
    for table in gcp_logging.TABLES:
        spans = sorted((each.from_at, each.until_at) for each in found.seen(table))
        assert spans[-1][1] == NOW
        assert all(one[1] == two[0] for one, two in pairwise(spans))


def test_an_hour_whose_files_may_still_come_is_not_seen(
    cloud: GcpCloud, read: Callable[..., Reading], store: ObjectStore
) -> None:
    deliver(store, [submission("u1", at=NOW - timedelta(hours=3))])
    found = read(gcp_logging, files=(GS,), api=False, storage_endpoint=store.endpoint, driver_logs=False)
    assert len(found.rows("gcp_audit_entry")) == 1
    assert not found.seen("gcp_audit_entry")


@pytest.mark.parametrize(
    ("sink", "why"),
    [
        ({"filter": "severity>=WARNING"}, "no sink"),
        ({"filter": 'LOG_ID("cloudaudit.googleapis.com/activity")'}, "data_access"),
        ({"filter": 'logName:"cloudaudit.googleapis.com" AND severity=ERROR'}, "no sink"),
        ({"disabled": True}, "no sink"),
        ({"exclusions": [{"name": "x", "filter": "sample(insertId, 0.5)"}]}, "no sink"),
        (None, "no sink"),
    ],
)
def test_a_sink_that_is_not_known_to_take_everything_proves_no_absence(
    cloud: GcpCloud, read: Callable[..., Reading], store: ObjectStore, sink: dict[str, Any] | None, why: str
) -> None:
    cloud.remove_sink(PROJECT, "all")
    if sink is not None:
        cloud.put_sink(PROJECT, "some", f"storage.googleapis.com/{BUCKET}", **sink)
    deliver(store, [submission("u1", at=AT)])
    found = read(gcp_logging, files=(GS,), api=False, storage_endpoint=store.endpoint, driver_logs=False)
    assert len(found.rows("gcp_audit_entry")) == 1
    assert not found.seen("gcp_audit_entry")
    assert why in found.gaps("gcp_audit_entry")[0].detail


def test_what_a_sink_took_before_it_was_changed_is_not_known(
    cloud: GcpCloud, read: Callable[..., Reading], store: ObjectStore
) -> None:
    changed = HOUR + timedelta(minutes=20)
    cloud.put_sink(PROJECT, "all", f"storage.googleapis.com/{BUCKET}", updateTime=z(changed))
    deliver(store, [submission("u1", at=AT)])
    found = read(gcp_logging, files=(GS,), api=False, storage_endpoint=store.endpoint, driver_logs=False)
    (seen,) = found.seen("gcp_audit_entry")
    assert (seen.from_at, seen.until_at) == (changed, HOUR + timedelta(hours=1))


def test_filters_of_names_joined_by_or_are_understood() -> None:
    from google.cloud.logging_v2.types import LogSink

    log = gcp_logging.AUDIT_LOGS[0]

    def taken(text: str) -> bool:
        return _logging_sinks.takes(LogSink.pb()(filter=text), PROJECT, log)

    full = f"projects/{PROJECT}/logs/cloudaudit.googleapis.com%2Factivity"
    for text in (
        "",
        f'LOG_ID("{log}")',
        f'LOG_ID("x") OR\n LOG_ID("{log}")',
        'logName:"cloudaudit.googleapis.com"',
        f'logName = "{full}"',
    ):
        assert taken(text), text
    for text in (
        'LOG_ID("x")',
        f'NOT LOG_ID("{log}")',
        f'LOG_ID("{log}") severity=ERROR',
        f'LOG_ID("{log}") AND a=1 OR LOG_ID("{log}")',
        f'logName="{full}x"',
        f'-LOG_ID("{log}")',
    ):
        assert not taken(text), text


BROKEN: dict[str, bytes] = {
    "half a line": b'{"logName": "projects/p/l',
    "no entry": b"[1, 2]",
    "no name": b'{"insertId": "x"}',
    "too deep": b"[" * 100_000,
    "no UTF-8": b'{"logName": "\xff"}',
}


@pytest.mark.parametrize("line", BROKEN.values(), ids=list(BROKEN))
def test_a_line_that_is_no_entry_costs_its_hour_and_the_others_are_read(
    cloud: GcpCloud, read: Callable[..., Reading], store: ObjectStore, line: bytes
) -> None:
    (name,) = deliver(store, [submission("u1", at=AT)])
    store.put(BUCKET, name, line + b"\n" + json.dumps(submission("u2", at=AT)).encode(), at=AT)
    deliver(store, [submission("u3", at=AT + timedelta(hours=1))])
    found = read(gcp_logging, files=(GS,), api=False, storage_endpoint=store.endpoint, driver_logs=False)
    assert {row["job_id"] for row in found.rows("gcp_audit_entry")} == {"job-u2", "job-u3"}
    (seen,) = found.seen("gcp_audit_entry")
    assert seen.from_at == HOUR + timedelta(hours=1)
    (gap,) = [gap for gap in found.gaps("gcp_audit_entry") if gap.reason == "malformed"]
    assert name in gap.detail
    assert "line 1" in gap.detail


def test_an_entry_without_its_fields_is_kept_and_makes_its_moment_unknown(
    cloud: GcpCloud, read: Callable[..., Reading], store: ObjectStore
) -> None:
    whole = submission("u1", at=AT)
    (name,) = deliver(store, [whole])
    bare = {
        "logName": ACTIVITY,
        "protoPayload": {"@type": whole["protoPayload"]["@type"], "methodName": "x.SetIamPolicy"},
    }
    odd = {**bare, "insertId": 5, "timestamp": 7, "resource": [], "operation": 1}
    store.put(BUCKET, name, "\n".join(map(json.dumps, (whole, bare, odd))).encode(), at=AT)
    found = read(gcp_logging, files=(GS,), api=False, storage_endpoint=store.endpoint, driver_logs=False)
    assert len(found.rows("gcp_audit_entry")) == 3
    assert "malformed" in found.reasons("gcp_audit_entry")


def test_hostile_text_and_a_megabyte_survive(
    cloud: GcpCloud, read: Callable[..., Reading], store: ObjectStore
) -> None:
    entry = submission(
        "u1", at=AT, requestMetadata={"callerSuppliedUserAgent": "\0\ud800\u202e" + "x" * 1_000_000}
    )
    deliver(store, [entry, submission("u2", at=AT)])
    found = read(gcp_logging, files=(GS,), api=False, storage_endpoint=store.endpoint, driver_logs=False)
    (line, _) = lined(found, "gcp_audit_entry")
    assert b"\\\\u0000" in line
    assert len(line) < 70_000


@pytest.mark.parametrize("bend", ["gone", "replaced", "cut"])
def test_a_file_that_is_not_what_was_listed_costs_its_hour(
    cloud: GcpCloud,
    read: Callable[..., Reading],
    store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
    bend: str,
) -> None:
    name, other = deliver(store, [submission("u1", at=AT), submission("u2", at=AT + timedelta(hours=1))])
    listed = store._listed

    def late(bucket: str, asked: Mapping[str, str]) -> tuple[int, bytes]:
        answer = listed(bucket, asked)
        if name.encode() in answer[1] and bend == "gone":
            store.drop(BUCKET, name)
        elif name.encode() in answer[1]:
            kept = store._buckets[BUCKET][name]
            store.put(BUCKET, name, kept.body[:-9], at=AT)
            if bend == "cut":
                again = store._buckets[BUCKET][name]
                store._buckets[BUCKET][name] = type(again)(again.body, again.at, kept.generation)
        return answer

    monkeypatch.setattr(store, "_listed", late)
    found = read(gcp_logging, files=(GS,), api=False, storage_endpoint=store.endpoint, driver_logs=False)
    assert [each.from_at for each in found.seen("gcp_audit_entry")] == [HOUR + timedelta(hours=1)]
    assert any(name in gap.detail for gap in found.gaps("gcp_audit_entry"))
    assert other


def test_a_file_of_a_folder_that_grows_is_not_believed(
    read: Callable[..., Reading], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, (body, _) in delivered([submission("u1", at=AT)]).items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(body)

    def grown(found: Any) -> Iterator[bytes]:
        path = next(each for each in tmp_path.rglob("*.json"))
        path.write_bytes(path.read_bytes() + b"\n{}")
        yield from _split(found)

    _split = _logging_files.lines
    monkeypatch.setattr(_logging_files, "lines", grown)
    found = read(gcp_logging, files=(tmp_path.as_uri(),), api=False, driver_logs=False, **WHOLE)
    assert not found.seen("gcp_audit_entry")
    assert "still being written" in str(found.gaps("gcp_audit_entry"))


REASONS = {
    "deny": "denied",
    "fail": "hung",
    "throttle": "throttled",
    "garbage": "failed",
}


@pytest.mark.parametrize("kind", REASONS)
def test_a_bucket_that_cannot_be_listed_is_a_gap(
    cloud: GcpCloud, read: Callable[..., Reading], store: ObjectStore, kind: str
) -> None:
    deliver(store, [submission("u1", at=AT)])
    store.faults.set("storage", "ListObjects", kind)
    found = read(gcp_logging, files=(GS,), api=False, storage_endpoint=store.endpoint, retry_s=0.1)
    assert found.rows("gcp_audit_entry") == []
    for table in gcp_logging.TABLES:
        assert set(found.reasons(table)) == {REASONS[kind]}
        assert not found.seen(table)


@pytest.mark.parametrize("url", ["ftp://x/y", "gs:///x", "file://host/x", "nonsense", "s3://b/p"])
def test_a_place_that_cannot_be_one_is_a_gap(cloud: GcpCloud, read: Callable[..., Reading], url: str) -> None:
    found = read(gcp_logging, files=(url,), api=False, **WHOLE)
    assert not found.seen("gcp_audit_entry")
    assert url in found.gaps("gcp_audit_entry")[0].detail


def test_an_addendum_of_a_day_ago_is_read_by_the_next_scan(
    cloud: GcpCloud, read: Callable[..., Reading], store: ObjectStore
) -> None:
    late = submission("late", at=AT) | {"receiveTimestamp": z(AT + timedelta(hours=30))}
    deliver(store, [submission("u1", at=AT)])
    ask = {"files": (GS,), "api": False, "storage_endpoint": store.endpoint, "driver_logs": False}
    first = read(
        gcp_logging, now=NOW - timedelta(hours=24), window=Window(FROM, NOW - timedelta(hours=24)), **ask
    )
    deliver(store, [late])
    second = read(
        gcp_logging,
        covered=first.seen("gcp_audit_entry"),
        carried={"gcp_audit_entry": first.rows("gcp_audit_entry")},
        window=Window(NOW - timedelta(hours=30), NOW),
        **ask,
    )
    assert "job-late" in {row["job_id"] for row in second.rows("gcp_audit_entry")}


def test_an_entry_that_an_earlier_scan_read_and_the_files_lack_is_suspect(
    cloud: GcpCloud, read: Callable[..., Reading], store: ObjectStore
) -> None:
    deliver(store, [submission("u1", at=AT)])
    ask = {"files": (GS,), "storage_endpoint": store.endpoint, "driver_logs": False}
    cloud.add_entries([submission("u1", at=AT)])
    first = read(gcp_logging, **ask)
    deliver(store, [submission("other", at=AT)])
    again = read(gcp_logging, carried={"gcp_audit_entry": first.rows("gcp_audit_entry")}, **ask)
    assert again.reasons("gcp_audit_entry") == ["suspect"]
    assert not again.seen("gcp_audit_entry")


def test_an_entry_of_a_policy_says_which_bindings_and_log_types_it_changed(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    cloud.add_entries(every_kind())
    said = {
        row["entry_id"].rpartition(" ")[2]: row["deltas"] for row in read(gcp_logging).rows("gcp_audit_entry")
    }
    assert [
        (each["action"], each.get("role"), each.get("member"), each.get("condition"))
        for each in said["delta"]
    ] == [
        ("ADD", "roles/owner", "user:e@x", ""),
        ("REMOVE", "roles/r", "user:f@x", "a < b"),
        ("REMOVE", None, None, None),
    ]
    assert said["delta"][2]["log_type"] == "DATA_READ" and said["key"] == [
        {"key": "projects/p/serviceAccounts/e/keys/k"}
    ]
    assert {each for each in said if said[each]} == {"delta", "key"}
