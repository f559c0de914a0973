"""What Dataproc tells, and what is said when it does not tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from gcp_estate import FROM, NOW, PROJECT, REGION, Reading, audit, job, reader, submission, z

from auditor.model import Place, Seen, Window
from auditor.sandbox.faults import Faults
from auditor.sandbox.gcp import GcpCloud
from auditor.sources import gcp_dataproc, gcp_logging

AT = NOW - timedelta(days=2)


@pytest.fixture
def cloud() -> Iterator[GcpCloud]:
    cloud = GcpCloud(Faults(hang_s=2))
    cloud.declare(PROJECT, REGION, "us-east1")
    yield cloud
    cloud.stop()


@pytest.fixture
def read(cloud: GcpCloud) -> Callable[..., Reading]:
    return reader(cloud.start(), cloud._store.faults)


def _faults(cloud: GcpCloud) -> Faults:
    return cloud._store.faults


LISTINGS = {
    "ListJobs": "dataproc_job",
    "ListBatches": "dataproc_job",
    "ListSessions": "dataproc_job",
    "ListClusters": "dataproc_cluster",
    "ListWorkflowTemplates": "dataproc_workflow_template",
}
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
@pytest.mark.parametrize("operation", LISTINGS)
def test_a_listing_that_fails_in_any_way_leaves_a_gap_and_no_coverage(
    cloud: GcpCloud, read: Callable[..., Reading], operation: str, kind: str
) -> None:
    cloud.add_job(job("u1", at=AT), PROJECT, REGION)
    _faults(cloud).set("dataproc", operation, kind)
    reading = read(gcp_dataproc)
    table = LISTINGS[operation]
    assert REASONS[kind] in reading.reasons(table)
    assert not reading.seen(table)
    others = {name for name in LISTINGS.values() if name != table}
    assert {seen.table for seen in reading.items if isinstance(seen, Seen)} == others


def test_a_denied_region_is_a_gap_and_the_other_region_is_still_read(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    cloud.add_job(job("u1", at=AT), PROJECT, "us-east1")
    _faults(cloud).set("dataproc", "*", "deny", region=REGION)
    places = [Place("gcp", PROJECT, REGION), Place("gcp", PROJECT, "us-east1")]
    reading = read(gcp_dataproc, places=places)
    assert [row["job_uuid"] for row in reading.rows("dataproc_job")] == ["u1"]
    assert {gap.region for gap in reading.gaps() if gap.reason == "denied"} == {REGION}
    assert [seen.region for seen in reading.seen("dataproc_job")] == ["us-east1"]
    assert "dataproc.clusters.list" in reading.gaps("dataproc_cluster")[0].detail


def test_an_unknown_region_and_an_unknown_project_are_gaps(read: Callable[..., Reading]) -> None:
    reading = read(gcp_dataproc, places=[Place("gcp", PROJECT, "mars-1")])
    assert set(reading.reasons()) == {"failed"}
    reading = read(gcp_dataproc, places=[Place("gcp", "nobody", REGION)])
    assert set(reading.reasons()) == {"denied"}


def test_an_empty_answer_is_coverage_until_something_should_have_been_in_it(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    assert read(gcp_dataproc).seen("dataproc_job")
    cloud.add_job(job("u1", at=AT), PROJECT, REGION)
    carried = {"dataproc_job": read(gcp_dataproc).rows("dataproc_job")}
    _faults(cloud).set("dataproc", "ListJobs", "empty")
    reading = read(gcp_dataproc, carried=carried)
    assert reading.reasons("dataproc_job") == ["suspect"]
    assert not reading.seen("dataproc_job")


def test_an_empty_answer_is_suspect_weeks_after_the_last_job(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    cloud.add_job(job("u1", at=AT), PROJECT, REGION)
    first = read(gcp_dataproc)
    _faults(cloud).set("dataproc", "ListJobs", "empty")
    later = NOW + timedelta(days=21)
    reading = read(
        gcp_dataproc,
        carried={"dataproc_job": first.rows("dataproc_job")},
        covered=first.seen("dataproc_job"),
        window=Window(NOW, later),
        now=later,
    )
    assert "suspect" in reading.reasons("dataproc_job")


def test_an_empty_answer_is_suspect_when_the_audit_log_tells_of_a_job(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    cloud.add_entries([submission("u1", at=AT)])
    entries = read(gcp_logging).rows("gcp_audit_entry")
    assert read(gcp_dataproc, carried={"gcp_audit_entry": entries}).reasons("dataproc_job") == ["suspect"]


def test_an_empty_answer_is_believed_when_the_job_was_deleted(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    removal = {"request": {"jobId": "job-u1"}}
    cloud.add_entries(
        [
            submission("u1", at=AT),
            audit(
                "JobController.DeleteJob",
                at=AT + timedelta(hours=1),
                insert_id="d",
                payload=removal,
            ),
        ]
    )
    entries = read(gcp_logging).rows("gcp_audit_entry")
    reading = read(gcp_dataproc, carried={"gcp_audit_entry": entries})
    assert reading.seen("dataproc_job")
    assert not reading.gaps()


def test_jobs_without_a_single_audit_entry_make_the_audit_log_suspect(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    cloud.add_job(job("u1", at=AT), PROJECT, REGION)
    (gap,) = read(gcp_dataproc).gaps()
    assert (gap.table, gap.account, gap.reason) == ("gcp_audit_entry", PROJECT, "suspect")
    cloud.add_entries([submission("u1", at=AT)])
    entries = read(gcp_logging).rows("gcp_audit_entry")
    assert not read(gcp_dataproc, carried={"gcp_audit_entry": entries}).gaps()


def test_rows_before_a_cut_are_kept_beside_the_gap(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    for n in range(10):
        cloud.add_job(job(f"u{n}", at=AT + timedelta(minutes=n)), PROJECT, REGION)
    _faults(cloud).set("dataproc", "ListJobs", "truncate")
    reading = read(gcp_dataproc)
    assert len(reading.rows("dataproc_job")) == 5
    assert "truncated" in reading.reasons("dataproc_job")
    assert not reading.seen("dataproc_job")


def test_a_throttled_call_is_repeated_within_its_budget(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    _faults(cloud).set("dataproc", "ListClusters", "throttle", times=1)
    assert read(gcp_dataproc, retry_s=5.0).seen("dataproc_cluster")
    assert cloud.counts["dataproc", "ListClusters"] == 2


def test_a_dead_server_ends_within_the_budget(cloud: GcpCloud) -> None:
    reading = reader("http://127.0.0.1:9")(gcp_dataproc)
    assert {gap.reason for gap in reading.gaps()} == {"hung"}
    assert not [item for item in reading.items if isinstance(item, Seen)]


def test_every_column_of_a_job_is_read(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    cloud.add_job(
        job("u1", at=AT, labels={"team": "payer"}, driverOutputResourceUri="gs://d/o"), PROJECT, REGION
    )
    (row,) = read(gcp_dataproc).rows("dataproc_job")
    assert row["job_id"] == "job-u1"
    assert row["name"] == f"projects/{PROJECT}/regions/{REGION}/jobs/job-u1"
    assert (row["state"], row["done"], row["kind"], row["type"]) == ("DONE", True, "job", "pyspark")
    assert row["submitted_at"] == AT
    assert row["started_at"] == AT + timedelta(minutes=1)
    assert row["finished_at"] == AT + timedelta(minutes=9)
    assert (row["main"], row["arguments"]) == ("gs://code/x.py", ["s3a://b/p/"])
    assert (row["labels"], row["properties"]) == ({"team": "payer"}, {})
    assert row["driver_output_uri"] == "gs://d/o"


def test_one_job_id_used_twice_is_two_jobs(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    cloud.add_job(job("u1", at=AT, job_id="nightly"), PROJECT, REGION)
    cloud.add_job(job("u2", at=AT + timedelta(days=1), job_id="nightly"), PROJECT, REGION)
    rows = read(gcp_dataproc).rows("dataproc_job")
    assert sorted((row["job_uuid"], row["job_id"]) for row in rows) == [
        ("u1", "nightly"),
        ("u2", "nightly"),
    ]


def test_a_state_of_a_newer_api_is_kept_as_its_number(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    strange = job("u1", at=AT)
    strange["status"]["state"] = 77
    cloud.add_job(strange, PROJECT, REGION)
    (row,) = read(gcp_dataproc).rows("dataproc_job")
    assert (row["state"], row["finished_at"]) == ("77", None)


def test_hostile_text_in_a_job_is_kept(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    labels = {"big": "x" * 2**20, "nul\0": "\u202eabc\u2066", "html": "<script>=1+1"}
    cloud.add_job(job("u1", at=AT, labels=labels), PROJECT, REGION)
    (row,) = read(gcp_dataproc).rows("dataproc_job")
    assert row["labels"] == labels


def test_a_job_without_a_uuid_is_a_gap_and_the_others_are_kept(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    cloud.add_job(job("", at=AT), PROJECT, REGION)
    cloud.add_job(job("u1", at=AT), PROJECT, REGION)
    reading = read(gcp_dataproc)
    assert [row["job_uuid"] for row in reading.rows("dataproc_job")] == ["u1"]
    assert reading.reasons("dataproc_job") == ["malformed"]


def test_work_that_had_not_ended_is_asked_for_again(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    old = FROM - timedelta(days=3)
    cloud.add_job(job("run", at=old, state="RUNNING"), PROJECT, REGION)
    cloud.add_batch(_batch("b1", at=old, state="RUNNING"), PROJECT, REGION)
    cloud.add_job(job("new", at=AT), PROJECT, REGION)
    first = read(gcp_dataproc, window=Window(FROM - timedelta(days=7), FROM))
    assert {row["state"] for row in first.rows("dataproc_job")} == {"RUNNING"}
    cloud.add_job(job("run", at=old, state="ERROR"), PROJECT, REGION)
    cloud.add_batch(_batch("b1", at=old, state="SUCCEEDED"), PROJECT, REGION)
    carried = first.rows("dataproc_job") + read(gcp_dataproc).rows("dataproc_job")
    reading = read(gcp_dataproc, carried={"dataproc_job": carried})
    states = {row["job_uuid"]: row["state"] for row in reading.rows("dataproc_job")}
    assert states == {"new": "DONE", "run": "ERROR", "b1": "SUCCEEDED"}


def test_work_that_vanished_before_its_end_is_a_gap_of_its_own(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    cloud.add_job(job("run", at=AT, state="RUNNING"), PROJECT, REGION)
    carried = read(gcp_dataproc).rows("dataproc_job")
    cloud.remove_job("run", PROJECT, REGION)
    cloud.add_job(job("other", at=AT, job_id="job-run"), PROJECT, REGION)
    gaps = read(gcp_dataproc, carried={"dataproc_job": carried}).gaps("dataproc_job")
    assert [(gap.resource, gap.reason) for gap in gaps] == [("run", "suspect")]


def test_the_gap_of_work_ends_when_it_is_found_again(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    cloud.add_job(job("run", at=FROM - timedelta(days=1), state="RUNNING"), PROJECT, REGION)
    cloud.add_job(job("new", at=AT), PROJECT, REGION)
    carried = {
        "dataproc_job": read(gcp_dataproc, window=Window(FROM - timedelta(days=9), NOW)).rows("dataproc_job")
    }
    _faults(cloud).set("dataproc", "GetJob", "hang")
    (gap,) = read(gcp_dataproc, carried=carried).gaps("dataproc_job")
    assert (gap.resource, gap.reason) == ("run", "hung")
    _faults(cloud).clear()
    reading = read(gcp_dataproc, carried=carried)
    assert not reading.gaps("dataproc_job")
    (seen,) = (each for each in reading.seen("dataproc_job") if each.resource == "run")
    assert (seen.from_at, seen.until_at) == (gap.from_at, gap.until_at)


def test_a_log_that_was_silent_is_read_again_and_its_gap_ends(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    cloud.add_job(job("u1", at=AT), PROJECT, REGION)
    cloud.add_entries([submission("u1", at=AT)])
    _faults(cloud).set("logging", "ListLogEntries", "empty")
    log = read(gcp_logging)
    jobs = read(gcp_dataproc)
    (gap,) = jobs.gaps("gcp_audit_entry")
    later = NOW + timedelta(days=1)
    known = {"dataproc_job": jobs.rows("dataproc_job")}
    scan = {"window": Window(NOW, later), "now": later, "covered": log.seen("gcp_audit_entry")}
    assert read(gcp_logging, carried=known, **scan).reasons("gcp_audit_entry") == ["suspect"]
    _faults(cloud).clear()
    healed = read(gcp_logging, carried=known, **scan)
    assert [row["job_uuid"] for row in healed.rows("gcp_audit_entry")] == ["u1"]
    assert healed.seen("gcp_audit_entry")[0].from_at <= gap.from_at
    ask = {"carried": known, "window": Window(NOW, later), "now": later}
    assert not read(gcp_dataproc, **ask).seen("gcp_audit_entry")
    entries = healed.rows("gcp_audit_entry")
    ended = read(gcp_dataproc, **ask, collected={"gcp_audit_entry": entries})
    (seen,) = ended.seen("gcp_audit_entry")
    assert seen.from_at <= gap.from_at
    assert seen.until_at >= gap.until_at


def test_one_session_without_an_entry_is_no_reason_to_doubt_the_log(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    cloud.add_session(
        {"name": "s", "uuid": "s", "createTime": z(AT), "creator": "a@b.example"}, PROJECT, REGION
    )
    assert not read(gcp_dataproc).gaps()


def _batch(uuid: str, *, at: Any, state: str) -> dict[str, Any]:
    return {
        "name": f"batch-{uuid}",
        "uuid": uuid,
        "createTime": z(at),
        "sparkBatch": {"mainClass": "com.acme.Export", "args": ["a"]},
        "stateHistory": [{"state": "PENDING", "stateStartTime": z(at)}],
        "state": state,
        "stateTime": z(at + timedelta(minutes=5)),
        "creator": "ana@acme.example",
        "environmentConfig": {"executionConfig": {"serviceAccount": "sa@acme.example"}},
    }


def test_a_batch_tells_its_creator_and_service_account(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    cloud.add_batch(_batch("b1", at=AT, state="SUCCEEDED"), PROJECT, REGION)
    (row,) = read(gcp_dataproc).rows("dataproc_job")
    assert (row["kind"], row["creator"]) == ("batch", "ana@acme.example")
    assert row["service_account"] == "sa@acme.example"
    assert row["name"] == f"projects/{PROJECT}/locations/{REGION}/batches/batch-b1"
    assert (row["job_id"], row["main"], row["done"]) == ("batch-b1", "com.acme.Export", True)
    assert (row["started_at"], row["finished_at"]) == (AT, AT + timedelta(minutes=5))


def test_a_terminated_session_is_done(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    cloud.add_session(
        {
            "name": "s1",
            "uuid": "s1-uuid",
            "createTime": z(AT),
            "jupyterSession": {"kernel": "PYTHON"},
            "state": "TERMINATED",
            "stateTime": z(AT + timedelta(hours=1)),
            "stateHistory": [{"state": "ACTIVE", "stateStartTime": z(AT + timedelta(minutes=1))}],
            "creator": "ana@acme.example",
        },
        PROJECT,
        REGION,
    )
    (row,) = read(gcp_dataproc).rows("dataproc_job")
    assert (row["kind"], row["state"], row["done"]) == ("session", "TERMINATED", True)
    assert (row["type"], row["started_at"]) == ("jupyter", AT + timedelta(minutes=1))
    assert row["finished_at"] == AT + timedelta(hours=1)


CLUSTER = {
    "clusterName": "c1",
    "clusterUuid": "c1-uuid",
    "config": {
        "gceClusterConfig": {"serviceAccount": "sa@acme.example", "internalIpOnly": True},
        "softwareConfig": {"imageVersion": "2.2", "properties": {"a:b": "c"}},
        "lifecycleConfig": {"idleDeleteTtl": "1800s"},
        "securityConfig": {"identityConfig": {"userServiceAccountMapping": {"u": "s"}}},
    },
    "status": {"state": "RUNNING", "stateStartTime": z(AT)},
    "statusHistory": [{"state": "CREATING", "stateStartTime": z(AT - timedelta(minutes=2))}],
}


def test_every_column_of_a_cluster_is_read(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    cloud.add_cluster(CLUSTER, PROJECT, REGION)
    (row,) = read(gcp_dataproc).rows("dataproc_cluster")
    assert (row["origin"], row["state"]) == ("api", "RUNNING")
    assert row["created_at"] == AT - timedelta(minutes=2)
    assert (row["internal_ip_only"], row["kms_key"], row["idle_delete_s"]) == (True, "none", 1800)
    assert (row["image_version"], row["properties"]) == ("2.2", {"a:b": "c"})
    assert row["user_service_accounts"] == {"u": "s"}


def _cluster_entries(*, uuid: str | None) -> list[dict[str, Any]]:
    config = {"gceClusterConfig": {"serviceAccount": "gone@acme.example"}}
    made = {"request": {"cluster": {"clusterName": "c1", "config": config}}}
    told = {"metadata": {"clusterUuid": uuid}} if uuid else {}
    return [
        audit(
            "ClusterController.CreateCluster",
            at=AT,
            insert_id="cc1",
            payload=made,
            operation={"id": "op1", "first": True},
        ),
        audit(
            "ClusterController.CreateCluster",
            at=AT + timedelta(minutes=3),
            insert_id="cc2",
            payload={"response": told},
            operation={"id": "op1", "last": True},
        ),
        audit("ClusterController.DeleteCluster", at=AT + timedelta(hours=1), insert_id="dc"),
    ]


@pytest.mark.parametrize("uuid", ["c1-uuid", None])
def test_a_deleted_cluster_is_rebuilt_with_its_service_account(
    cloud: GcpCloud, read: Callable[..., Reading], uuid: str | None
) -> None:
    cloud.add_entries(_cluster_entries(uuid=uuid))
    cloud.add_job(job("u1", at=AT + timedelta(minutes=20)), PROJECT, REGION)
    entries = read(gcp_logging).rows("gcp_audit_entry")
    reading = read(gcp_dataproc, carried={"gcp_audit_entry": entries})
    (row,) = reading.rows("dataproc_cluster")
    assert (row["cluster_uuid"], row["origin"]) == ("c1-uuid", "audit")
    assert row["service_account"] == "gone@acme.example"
    assert (row["created_at"], row["deleted_at"]) == (AT, AT + timedelta(hours=1))
    assert reading.seen("dataproc_cluster")


def test_a_listed_cluster_that_was_deleted_gets_its_end(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    cloud.add_cluster(CLUSTER, PROJECT, REGION)
    carried = {"dataproc_cluster": read(gcp_dataproc).rows("dataproc_cluster")}
    cloud.remove_cluster("c1", PROJECT, REGION)
    assert read(gcp_dataproc, carried=carried).reasons("dataproc_cluster") == ["suspect"]
    cloud.add_entries(_cluster_entries(uuid="c1-uuid")[2:])
    carried["gcp_audit_entry"] = read(gcp_logging).rows("gcp_audit_entry")
    reading = read(gcp_dataproc, carried=carried)
    (row,) = reading.rows("dataproc_cluster")
    assert (row["origin"], row["deleted_at"]) == ("api", AT + timedelta(hours=1))
    assert row["service_account"] == "sa@acme.example"
    assert not reading.gaps("dataproc_cluster")


def test_a_workflow_template_tells_its_steps(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    steps = [{"stepId": "export", "sparkJob": {"mainClass": "X"}}]
    cloud.add_template({"id": "weekly", "version": 3, "jobs": steps}, PROJECT, REGION)
    reading = read(gcp_dataproc)
    (row,) = reading.rows("dataproc_workflow_template")
    assert row["name"].endswith("/workflowTemplates/weekly")
    assert (row["version"], row["steps"]) == (3, [{"step_id": "export", "type": "spark"}])
    carried = {"dataproc_workflow_template": [row]}
    _faults(cloud).set("dataproc", "ListWorkflowTemplates", "empty")
    assert read(gcp_dataproc, carried=carried).reasons() == ["suspect"]


def test_a_second_scan_asks_only_for_what_is_new(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    cloud.add_job(job("u1", at=FROM + timedelta(days=1)), PROJECT, REGION)
    cloud.add_job(job("u2", at=AT), PROJECT, REGION)
    first = read(gcp_dataproc)
    later = NOW + timedelta(days=1)
    cloud.add_job(job("u3", at=NOW + timedelta(hours=1)), PROJECT, REGION)
    reading = read(
        gcp_dataproc,
        carried={"dataproc_job": first.rows("dataproc_job")},
        covered=first.seen("dataproc_job"),
        window=Window(FROM, later),
        now=later,
    )
    assert {row["job_uuid"] for row in reading.rows("dataproc_job")} == {"u2", "u3"}
    (seen,) = reading.seen("dataproc_job")
    assert (seen.from_at, seen.until_at) == (NOW, later)


def test_reading_twice_yields_the_same(cloud: GcpCloud, read: Callable[..., Reading]) -> None:
    for n in range(30):
        cloud.add_job(job(f"u{n}", at=AT + timedelta(minutes=n)), PROJECT, REGION)
    places = [Place("gcp", PROJECT, REGION), Place("gcp", PROJECT, "us-east1")]
    one = read(gcp_dataproc, places=places)
    assert one.items == read(gcp_dataproc, places=places[::-1]).items


def test_a_cluster_that_is_gone_keeps_what_its_creation_asked_for(
    cloud: GcpCloud, read: Callable[..., Reading]
) -> None:
    config = {
        "gceClusterConfig": {
            "serviceAccount": "sa@x",
            "internalIpOnly": False,
            "zoneUri": "zones/europe-west1-b",
        },
        "softwareConfig": {"imageVersion": "2.2"},
        "lifecycleConfig": {"idleDeleteTtl": "1800s"},
    }
    for name, request in (
        ("full", {"cluster": {"config": config}}),
        ("bare", {"cluster": {"config": {}}}),
        ("odd", {}),
    ):
        entry = audit(
            "ClusterController.CreateCluster", at=FROM + timedelta(hours=1), insert_id=name,
            payload={"request": request, "response": {"clusterUuid": f"{name}-uuid"}},
        )  # fmt: skip
        entry["resource"]["labels"]["cluster_name"] = name
        gone = audit("ClusterController.DeleteCluster", at=FROM + timedelta(hours=2), insert_id=f"-{name}")
        gone["resource"]["labels"]["cluster_name"] = name
        cloud.add_entries([entry, gone])
    entries = read(gcp_logging).rows("gcp_audit_entry")
    found = {
        row["cluster_name"]: row
        for row in read(gcp_dataproc, collected={"gcp_audit_entry": entries}).rows("dataproc_cluster")
    }
    asked = ("image_version", "gce_zone", "internal_ip_only", "kms_key", "idle_delete_s")
    assert [found["full"].get(name) for name in asked] == ["2.2", "europe-west1-b", False, "none", 1800]
    assert [found["bare"].get(name) for name in asked] == [None, None, None, "none", -1], (
        "what is left open is not known"
    )
    assert [found["odd"].get(name) for name in asked] == [None] * 5
