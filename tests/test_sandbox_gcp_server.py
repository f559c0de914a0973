"""The sandbox answers the real clients as Google documents it, on good days and bad ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from threading import Thread
from typing import Any

import grpc
import pytest
from gcp_estate import ACTIVITY, NOW, PROJECT, REGION, job, submission, z
from google.api_core import exceptions
from google.cloud import dataproc_v1 as dataproc
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
from google.protobuf.message import DecodeError

from auditor.sandbox.faults import Faults
from auditor.sandbox.gcp import GcpCloud
from auditor.sources.google import connect

PARENT = f"projects/{PROJECT}/locations/{REGION}"


@pytest.fixture(scope="module")
def faults() -> Faults:
    return Faults(hang_s=2)


@pytest.fixture(scope="module")
def cloud(faults: Faults) -> Iterator[GcpCloud]:
    cloud = GcpCloud(faults)
    cloud.declare(PROJECT, REGION)
    for n in range(120):
        state = "RUNNING" if n % 4 == 0 else "DONE"
        labels = {"team": "payer"} if n % 3 == 0 else {}
        at = NOW + timedelta(minutes=n)
        cloud.add_job(job(f"u{n:03}", at=at, state=state, labels=labels), PROJECT, REGION)
    for n in range(30):
        at = z(NOW + timedelta(minutes=n))
        state = "FAILED" if n % 2 else "SUCCEEDED"
        cloud.add_batch({"name": f"b{n}", "uuid": f"b{n}", "createTime": at, "state": state}, PROJECT, REGION)
        cloud.add_session({"name": f"s{n}", "uuid": f"s{n}", "createTime": at}, PROJECT, REGION)
    cloud.add_cluster({"clusterName": "c1", "clusterUuid": "x"}, PROJECT, REGION)
    cloud.add_template({"id": "t"}, PROJECT, REGION)
    cloud.add_entries([submission(f"u{n:03}", at=NOW + timedelta(minutes=n)) for n in range(120)])
    yield cloud
    cloud.stop()


@pytest.fixture(scope="module")
def endpoint(cloud: GcpCloud) -> str:
    return cloud.start()


@pytest.fixture(autouse=True)
def _calm(faults: Faults) -> Iterator[None]:
    yield
    faults.clear()


def _jobs(endpoint: str, **asked: Any) -> Any:
    client = connect(dataproc.JobControllerClient, endpoint)
    request = dataproc.ListJobsRequest(project_id=PROJECT, region=REGION, **asked)
    return client.list_jobs(request, retry=None)


def _logs(endpoint: str, **asked: Any) -> Any:
    request = {"resource_names": [f"projects/{PROJECT}"], **asked}
    return connect(LoggingServiceV2Client, endpoint).list_log_entries(request, retry=None)


def test_pages_hold_what_the_documentation_promises(endpoint: str) -> None:
    batches = connect(dataproc.BatchControllerClient, endpoint)
    sessions = connect(dataproc.SessionControllerClient, endpoint)
    assert len(next(batches.list_batches(parent=PARENT).pages).batches) == 20
    assert len(list(batches.list_batches(parent=PARENT))) == 30
    assert len(list(sessions.list_sessions(parent=PARENT))) == 30
    assert len(next(_logs(endpoint).pages).entries) == 50
    assert len(list(_jobs(endpoint, page_size=7))) == 120


JOB_FILTERS = [
    ("status.state = ACTIVE", 30),
    ("status.state = NON_ACTIVE", 90),
    ("status.state = *", 120),
    ("labels.team = payer", 40),
    ("labels.team = *", 40),
    ("labels.team", 40),
    ("labels.team = other", 0),
    (f'insertTime >= "{z(NOW + timedelta(minutes=100))}"', 20),
    (f'insertTime <= "{z(NOW)}"', 1),
    ("status.state = ACTIVE AND labels.team = payer", 10),
    ("status.state = ACTIVE labels.team = payer", 10),
]


@pytest.mark.parametrize(("query", "count"), JOB_FILTERS)
def test_a_documented_job_filter_finds_its_jobs(endpoint: str, query: str, count: int) -> None:
    assert len(list(_jobs(endpoint, filter=query))) == count


@pytest.mark.parametrize(
    "query",
    [
        "status.state = DONE",
        "status.state = ACTIVE OR labels.a = b",
        "jobUuid = u001",
        "insertTime >= yesterday",
        'insertTime >= "2026-01-01"',
        "labels. = b",
        "status.state =",
        "status.state != ACTIVE",
    ],
)
def test_any_other_job_filter_is_refused(endpoint: str, query: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="Unparseable filter"):
        list(_jobs(endpoint, filter=query))


def test_the_state_matcher_counts_only_without_a_filter(endpoint: str) -> None:
    active = dataproc.ListJobsRequest.JobStateMatcher.ACTIVE
    assert len(list(_jobs(endpoint, job_state_matcher=active))) == 30
    assert len(list(_jobs(endpoint, job_state_matcher=active, filter="labels.team = *"))) == 40


def test_batches_are_filtered_and_ordered(endpoint: str) -> None:
    client = connect(dataproc.BatchControllerClient, endpoint)

    def found(**asked: Any) -> list[str]:
        request = dataproc.ListBatchesRequest(parent=PARENT, **asked)
        return [batch.uuid for batch in client.list_batches(request)]

    assert len(found(filter="state = FAILED")) == 15
    assert found(filter="batch_id = b3 OR batch_uuid = b4 AND state = FAILED") == ["b3"]
    assert found(filter=f'create_time > "{z(NOW + timedelta(minutes=28))}"') == ["b29"]
    assert found(order_by="create_time desc")[0] == "b29"
    for asked in ({"filter": "creator = ana"}, {"order_by": "create_time"}):
        with pytest.raises(exceptions.InvalidArgument):
            found(**asked)


def test_clusters_are_filtered(endpoint: str) -> None:
    client = connect(dataproc.ClusterControllerClient, endpoint)

    def found(query: str) -> int:
        request = dataproc.ListClustersRequest(project_id=PROJECT, region=REGION, filter=query)
        return len(list(client.list_clusters(request)))

    assert found("clusterName = c1") == 1
    assert found("clusterName = c1 AND status.state = ACTIVE") == 0
    with pytest.raises(exceptions.InvalidArgument):
        found("status.state = FINE")


def test_a_page_token_is_good_for_its_own_query_alone(endpoint: str) -> None:
    token = next(_jobs(endpoint, page_size=10).pages).next_page_token
    assert token
    assert not token.isdecimal()
    list(_jobs(endpoint, page_size=50, page_token=token))
    for asked in ({"filter": "labels.team = *", "page_token": token}, {"page_token": "11"}):
        with pytest.raises(exceptions.InvalidArgument, match="page_token"):
            list(_jobs(endpoint, **asked))
    token = next(_logs(endpoint, filter="severity>=DEFAULT").pages).next_page_token
    with pytest.raises(exceptions.InvalidArgument, match="page_token"):
        list(_logs(endpoint, filter="severity>=ERROR", page_token=token))


def test_get_finds_one_or_says_not_found(endpoint: str) -> None:
    jobs = connect(dataproc.JobControllerClient, endpoint)
    assert jobs.get_job(project_id=PROJECT, region=REGION, job_id="job-u007").job_uuid == "u007"
    with pytest.raises(exceptions.NotFound):
        jobs.get_job(project_id=PROJECT, region=REGION, job_id="nope")
    batches = connect(dataproc.BatchControllerClient, endpoint)
    assert batches.get_batch(name=f"{PARENT}/batches/b1").uuid == "b1"
    sessions = connect(dataproc.SessionControllerClient, endpoint)
    assert sessions.get_session(name=f"{PARENT}/sessions/s1").uuid == "s1"
    clusters = connect(dataproc.ClusterControllerClient, endpoint)
    cluster = clusters.get_cluster(project_id=PROJECT, region=REGION, cluster_name="c1")
    assert cluster.cluster_uuid == "x"


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"page_size": 1001}, exceptions.InvalidArgument),
        ({"page_size": -1}, exceptions.InvalidArgument),
        ({"order_by": "severity"}, exceptions.InvalidArgument),
        ({"resource_names": []}, exceptions.InvalidArgument),
        ({"resource_names": [f"projects/{PROJECT}"] * 101}, exceptions.InvalidArgument),
        ({"resource_names": ["projects/nobody"]}, exceptions.PermissionDenied),
        ({"filter": "severity>=ERROR " * 1500}, exceptions.InvalidArgument),
        ({"filter": "a = = b"}, exceptions.InvalidArgument),
    ],
)
def test_logging_refuses_what_it_documents(
    endpoint: str, asked: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        list(_logs(endpoint, **asked))


def test_log_entries_come_in_the_order_that_is_asked_for(endpoint: str) -> None:
    up = [entry.insert_id for entry in _logs(endpoint, page_size=1000)]
    down = [entry.insert_id for entry in _logs(endpoint, order_by="timestamp desc", page_size=9)]
    assert up == sorted(up)
    assert down == up[::-1]


def test_an_entry_added_later_is_found_by_the_next_query(cloud: GcpCloud, endpoint: str) -> None:
    query = f'logName="{ACTIVITY}" AND insertId="s-late"'
    assert not list(_logs(endpoint, filter=query))
    cloud.add_entries([submission("late", at=NOW - timedelta(days=1))])
    assert len(list(_logs(endpoint, filter=query))) == 1


FAULTS = {
    "deny": exceptions.PermissionDenied,
    "throttle": exceptions.ResourceExhausted,
    "fail": exceptions.InternalServerError,
    "expire": exceptions.Unauthenticated,
    "hang": exceptions.DeadlineExceeded,
    "garbage": DecodeError,
    "cut": DecodeError,
}


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_reaches_the_client_as_google_would_send_it(
    faults: Faults, endpoint: str, kind: str
) -> None:
    faults.set("dataproc", "ListJobs", kind, region=REGION)
    Thread(target=lambda: (time.sleep(0.1), faults.release())).start()
    with pytest.raises(FAULTS[kind]):
        list(_jobs(endpoint))


def test_an_empty_answer_is_a_message_without_fields(faults: Faults, endpoint: str) -> None:
    faults.set("dataproc", "ListJobs", "empty")
    assert not list(_jobs(endpoint))


def test_a_truncated_listing_promises_more_and_then_fails(faults: Faults, endpoint: str) -> None:
    faults.set("logging", "ListLogEntries", "truncate")
    pages = _logs(endpoint, page_size=1000).pages
    assert 0 < len(next(pages).entries) < 120
    with pytest.raises(exceptions.InternalServerError):
        next(pages)


def test_a_fault_meets_its_project_and_operation_alone(
    cloud: GcpCloud, faults: Faults, endpoint: str
) -> None:
    faults.set("dataproc", "GetJob", "deny")
    faults.set("dataproc", "ListJobs", "deny", account="another")
    before = cloud.counts["dataproc", "ListJobs"]
    assert len(list(_jobs(endpoint, page_size=60))) == 120
    assert cloud.counts["dataproc", "ListJobs"] == before + 2


def test_no_credentials_are_sent_to_a_plain_endpoint() -> None:
    received: list[str] = []

    def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
        received.extend(key for key, _ in context.invocation_metadata())
        return b""

    from concurrent.futures import ThreadPoolExecutor

    server = grpc.server(ThreadPoolExecutor(1))
    handler = {"ListJobs": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("google.cloud.dataproc.v1.JobController", handler),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    list(_jobs(f"http://127.0.0.1:{port}"))
    server.stop(None).wait()
    assert received
    assert "authorization" not in received


def test_every_answered_page_is_told_with_its_request_and_bytes(endpoint: str) -> None:
    pages: list[tuple[str, dict[str, Any], bytes]] = []
    client = connect(dataproc.JobControllerClient, endpoint, on_page=lambda *page: pages.append(page))
    request = dataproc.ListJobsRequest(project_id=PROJECT, region=REGION, page_size=100)
    list(client.list_jobs(request))
    assert [name for name, _, _ in pages] == ["google.cloud.dataproc.v1.JobController.ListJobs"] * 2
    assert pages[0][1] == {"project_id": PROJECT, "region": REGION, "page_size": 100}
    jobs = [dataproc.ListJobsResponse.deserialize(body).jobs for _, _, body in pages]
    assert sum(map(len, jobs)) == 120
