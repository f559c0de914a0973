"""A million log entries read by ListLogEntries and stored, against merely fetching their pages.

Of 9,800 jobs: 100 lines of the driver each, and 20,000 audit entries. Audit entries alone, each a row, are told beside.
`python -m bench.logs serve AUDIT DRIVER` serves so many pages of the two from a process of its own, made before they are asked
for; `raw` and `kept` are the two clients, each a process of its own too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bench.figures import Figure

AUDIT, DRIVER, SIZE = 20, 980, 1000
PROJECT, REGION = "bench-exports", "europe-west1"
NOW = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
_MARK = "PPPPPP"
"""Stands in every entry for the number of its page, so that a page is made by one replacement."""
_LOGS = f"projects/{PROJECT}/logs/cloudaudit.googleapis.com%2F"


def _entry(number: int) -> dict[str, Any]:
    """Return one entry in JSON, of the size and shape that the services write: five in ten submit a job."""
    kind = number % 10
    at = NOW - timedelta(days=1, seconds=3 * number)
    stamp = f"{at:%Y-%m-%dT%H:%M:%S}.{number * 977 % 1_000_000_000:09d}Z"
    job = f"export-orders-{_MARK}-{number:04d}"
    who = f"exporter-{number % 40}@{PROJECT}.iam.gserviceaccount.com"
    payload: dict[str, Any] = {
        "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
        "authenticationInfo": {
            "principalEmail": who,
            "principalSubject": f"serviceAccount:{who}",
            "serviceAccountDelegationInfo": [
                {"principalSubject": f"serviceAccount:scheduler@{PROJECT}.iam.gserviceaccount.com"}
            ],
        },
        "requestMetadata": {
            "callerIp": f"10.{number % 250}.3.{number % 199}",
            "callerSuppliedUserAgent": "google-cloud-sdk gcloud/540.0.0 command/gcloud.dataproc.jobs.submit.pyspark",
            "requestAttributes": {"time": stamp, "auth": {}},
            "destinationAttributes": {},
        },
        "authorizationInfo": [
            {"permission": "dataproc.jobs.create", "granted": True, "resourceAttributes": {}},
            {"permission": "dataproc.clusters.use", "granted": True, "resourceAttributes": {}},
        ],
        "status": {},
    }
    kind_of = "cloud_dataproc_cluster"
    labels = {
        "project_id": PROJECT,
        "region": REGION,
        "cluster_name": f"exports-{number % 30}",
        "cluster_uuid": f"5d1f{number % 30:04d}-aaaa-bbbb-cccc-1234567890ab",
    }
    log = "activity"
    if kind < 5:
        payload |= _submission(job, number)
    elif kind < 8:
        log, kind_of = "data_access", "service_account"
        labels = {"project_id": PROJECT, "unique_id": "104200000000000000001", "email_id": who}
        payload |= {
            "serviceName": "iamcredentials.googleapis.com",
            "methodName": "GenerateAccessToken",
            "resourceName": "projects/-/serviceAccounts/104200000000000000001",
            "request": {
                "@type": "type.googleapis.com/google.iam.credentials.v1.GenerateAccessTokenRequest",
                "name": f"projects/-/serviceAccounts/{who}",
                "scope": ["https://www.googleapis.com/auth/cloud-platform"],
            },
        }
    elif kind == 8:
        payload |= _creation(number)
    else:
        kind_of, labels = "project", {"project_id": PROJECT}
        payload |= {
            "serviceName": "cloudresourcemanager.googleapis.com",
            "methodName": "SetIamPolicy",
            "resourceName": f"projects/{PROJECT}",
            "request": {"resource": PROJECT, "policy": {"bindings": [_binding(each) for each in range(8)]}},
            "response": {"etag": "BwX1234567=", "bindings": [_binding(each) for each in range(8)]},
        }
    return {
        "logName": f"{_LOGS}{log}",
        "insertId": f"{_MARK}{number:04d}abcdef",
        "timestamp": stamp,
        "receiveTimestamp": f"{at + timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}.5Z",
        "severity": "NOTICE",
        "resource": {"type": kind_of, "labels": labels},
        "protoPayload": payload,
    }


def _binding(number: int) -> dict[str, Any]:
    return {
        "role": f"roles/dataproc.role{number}",
        "members": [f"group:team-{each}@acme.example" for each in range(3)],
    }


def _submission(job: str, number: int) -> dict[str, Any]:
    work = {
        "reference": {"projectId": PROJECT, "jobId": job},
        "placement": {"clusterName": f"exports-{number % 30}"},
        "pysparkJob": {
            "mainPythonFileUri": f"gs://{PROJECT}-code/export/orders_{number % 17}.py",
            "args": ["--table", "orders", "--to", f"s3a://acme-exports/orders/run={_MARK}{number:04d}/"],
            "properties": {
                f"spark.hadoop.fs.s3a.option{each}": f"value-{each}-{number % 7}" for each in range(8)
            },
        },
        "labels": {"team": "orders", "data-zone": "internal", "goog-dataproc-location": REGION},
    }
    uuid = f"9b{_MARK}-0000-4000-8000-{number:012d}"
    told = work | {
        "jobUuid": uuid,
        "status": {"state": "PENDING", "stateStartTime": f"{NOW:%Y-%m-%dT%H:%M:%SZ}"},
        "driverOutputResourceUri": f"gs://dataproc-staging/google-cloud-dataproc-metainfo/{uuid}/driveroutput",
        "driverControlFilesUri": f"gs://dataproc-staging/google-cloud-dataproc-metainfo/{uuid}/",
    }
    return {
        "serviceName": "dataproc.googleapis.com",
        "methodName": "google.cloud.dataproc.v1.JobController.SubmitJob",
        "resourceName": f"projects/{PROJECT}/regions/{REGION}/jobs/{job}",
        "request": {
            "@type": "type.googleapis.com/google.cloud.dataproc.v1.SubmitJobRequest",
            "projectId": PROJECT,
            "region": REGION,
            "job": work,
        },
        "response": {"@type": "type.googleapis.com/google.cloud.dataproc.v1.Job", **told},
    }


def _creation(number: int) -> dict[str, Any]:
    config = {
        "gceClusterConfig": {
            "zoneUri": f"projects/{PROJECT}/zones/{REGION}-b",
            "serviceAccount": f"exporter-{number % 40}@{PROJECT}.iam.gserviceaccount.com",
            "internalIpOnly": True,
            "metadata": {f"option-{each}": "on" for each in range(5)},
        },
        "masterConfig": {"numInstances": 1, "machineTypeUri": "n2-standard-8"},
        "workerConfig": {"numInstances": 4, "machineTypeUri": "n2-standard-8"},
        "softwareConfig": {"imageVersion": "2.2-debian12"},
        "lifecycleConfig": {"idleDeleteTtl": "3600s"},
    }
    return {
        "serviceName": "dataproc.googleapis.com",
        "methodName": "google.cloud.dataproc.v1.ClusterController.CreateCluster",
        "resourceName": f"projects/{PROJECT}/regions/{REGION}/clusters/exports-{_MARK}",
        "request": {
            "projectId": PROJECT,
            "cluster": {"clusterName": f"exports-{_MARK}", "config": config, "labels": {"team": "orders"}},
        },
    }


def _line(number: int) -> dict[str, Any]:
    """Return one line of a driver in JSON: 50 are of one job, one in a hundred is an error."""
    at = NOW - timedelta(hours=20, seconds=-number)
    job = f"export-orders-{_MARK}-{number // 100:04d}"
    text = f"Finished task {number % 400}.0 in stage 3.0 (TID {number}) in 312 ms on exports-1-w-3.internal (executor 7)"
    return {
        "logName": f"projects/{PROJECT}/logs/dataproc.job.driver",
        "insertId": f"{_MARK}{number:04d}abcdef",
        "timestamp": f"{at:%Y-%m-%dT%H:%M:%S}.{number * 977 % 1_000_000_000:09d}Z",
        "receiveTimestamp": f"{at + timedelta(seconds=2):%Y-%m-%dT%H:%M:%S}.5Z",
        "severity": "INFO" if number % 100 else "ERROR",
        "resource": {
            "type": "cloud_dataproc_job",
            "labels": {
                "project_id": PROJECT,
                "region": REGION,
                "job_id": job,
                "job_uuid": f"9b{_MARK}-0000-4000-8000-{number // 100:012d}",
            },
        },
        "labels": {
            "dataproc.googleapis.com/cluster_name": f"exports-{number % 30}",
            "dataproc.googleapis.com/cluster_uuid": f"5d1f{number % 30:04d}-aaaa-bbbb-cccc-1234567890ab",
            "dataproc.googleapis.com/cluster_type": "EPHEMERAL_NO_NAME",
        },
        "jsonPayload": {
            "class": "org.apache.spark.scheduler.TaskSetManager",
            "filename": "",
            "message": f"{at:%y/%m/%d %H:%M:%S} INFO org.apache.spark.scheduler.TaskSetManager: {text} ({number % 400}/400)",
        },
    }


def page(made: Callable[[int], dict[str, Any]]) -> bytes:
    """Return a page as it is sent, with `_MARK` in it for its number."""
    from google.cloud.audit.audit_log_pb2 import AuditLog
    from google.cloud.logging_v2.types import ListLogEntriesResponse
    from google.protobuf.json_format import ParseDict

    assert AuditLog.DESCRIPTOR.full_name  # the type of the payloads, which ParseDict looks up
    told = {"entries": [made(number) for number in range(SIZE)], "nextPageToken": _MARK}
    body: bytes = ParseDict(told, ListLogEntriesResponse.pb()()).SerializeToString()
    return body


def serve(audit: int, driver: int) -> None:
    """Serve so many pages to whoever asks, until the input ends."""
    from concurrent.futures import ThreadPoolExecutor

    import grpc
    from google.cloud.logging_v2.types import ListLogEntriesRequest

    every = {False: (page(_entry), audit), True: (page(_line), driver)}
    mark = _MARK.encode()

    def answer(request: Any, _context: Any) -> bytes:
        body, pages = every["dataproc.job" in request.filter]
        number = int(request.page_token or 0)
        if not pages:
            return b""
        if number + 1 >= pages:
            return body.replace(b"\x12\x06" + mark, b"").replace(mark, b"%06d" % number)
        head, _, tail = body.rpartition(mark)
        return head.replace(mark, b"%06d" % number) + b"%06d" % (number + 1) + tail

    method = grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=ListLogEntriesRequest.pb().FromString
    )
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.max_send_message_length", -1)])
    name = "google.logging.v2.LoggingServiceV2"
    handler = grpc.method_handlers_generic_handler(name, {"ListLogEntries": method})
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    said = {name: len(every[driver][0]) // SIZE for name, driver in (("audit", False), ("driver", True))}
    print(json.dumps({"endpoint": f"http://127.0.0.1:{port}", **said}), flush=True)
    sys.stdin.read()
    server.stop(0)


@contextmanager
def served(audit: int, driver: int) -> Iterator[dict[str, Any]]:
    """Start a server of so many pages; it ends with the block."""
    command = [sys.executable, "-m", "bench.logs", "serve", str(audit), str(driver)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(timeout=30)


def raw(endpoint: str) -> int:
    """Fetch every page with the source's own client and look into none; return their entries."""
    from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
    from google.cloud.logging_v2.types import ListLogEntriesRequest

    from auditor.sources import gcp_logging
    from auditor.sources.google import connect

    client = connect(LoggingServiceV2Client, endpoint)
    found = 0
    for query in (gcp_logging.audit_filter, gcp_logging.driver_filter):
        text = query(PROJECT, NOW - timedelta(days=7), NOW)
        request = ListLogEntriesRequest(resource_names=[f"projects/{PROJECT}"], filter=text, page_size=SIZE)
        for answer in client.list_log_entries(request=request).pages:
            found += len(type(answer).pb(answer).entries)
    return found


def kept(endpoint: str) -> int:
    """Read them as a scan does, into a sealed draft of a snapshot; return how many the rows stand for."""
    from auditor.collect import collect
    from auditor.model import Window
    from auditor.sources import gcp_logging

    config = SimpleNamespace(
        aws=SimpleNamespace(accounts=()),
        gcp=SimpleNamespace(projects=(PROJECT,), regions=(REGION,), endpoint=endpoint),
        sources={"gcp_logging": gcp_logging.Settings(driver_pages=10**6, calls_per_minute=10**6)},
    )
    with tempfile.TemporaryDirectory() as folder:
        snapshot = collect(
            config,
            now=NOW,
            window=Window(NOW - timedelta(days=7), NOW),
            into=Path(folder),
            sources={"gcp_logging": gcp_logging},
        )
        gaps = [each for each in snapshot.rows("coverage") if not each["complete"]]
        assert not gaps, gaps
        lines = sum(row["lines"] for row in snapshot.rows("dataproc_driver_log", ("lines",)))
        return lines + int(snapshot.manifest["tables"]["gcp_audit_entry"]["rows"])


def used(which: str, endpoint: str) -> dict[str, float]:
    """Run a client in a child process; return its CPU seconds net of its imports, its peak memory in MB and its entries."""
    command = [sys.executable, "-m", "bench.logs", which, endpoint]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def logs() -> Iterator[Figure]:
    """CPU of reading and storing every entry against fetching the pages, and memory at half and at all of them."""
    with served(AUDIT // 2, DRIVER // 2) as there:
        small = used("kept", there["endpoint"])
    with served(AUDIT, DRIVER) as there:
        theirs, ours = used("raw", there["endpoint"]), used("kept", there["endpoint"])
    assert ours["entries"] == theirs["entries"] == (AUDIT + DRIVER) * SIZE
    ratio = ours["cpu_s"] / theirs["cpu_s"]
    what = (
        f"{ours['entries']:,} log entries of 9,800 jobs ({there['driver']:,} bytes a driver's line, {there['audit']:,} an "
        f"audit entry) read, hashed and stored, CPU ({ours['cpu_s']} s), against fetching their pages ({theirs['cpu_s']} s)"
    )
    yield Figure(what, f"{ratio:.1f} x", "4 x", ratio <= 4)
    what = f"peak memory of it ({small['peak_mb']:.0f} MB at half of them)"
    yield Figure(what, f"{ours['peak_mb']:.0f} MB", "250 MB", ours["peak_mb"] <= 250)
    with served(AUDIT * 5, 0) as there:
        theirs, ours = used("raw", there["endpoint"]), used("kept", there["endpoint"])
    assert ours["entries"] == theirs["entries"] == AUDIT * 5 * SIZE
    what = (
        f"{ours['entries']:,} audit entries alone, each a row: CPU ({ours['cpu_s']} s) against their pages "
        f"({theirs['cpu_s']} s)"
    )
    yield Figure(what, f"{ours['cpu_s'] / theirs['cpu_s']:.0f} x", "", met=True)


def main(which: str, endpoint: str) -> None:
    """Import first, so that what is measured is the work."""
    import resource

    import auditor.collect
    import auditor.sources.google  # noqa: F401

    def seconds() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    import duckdb  # noqa: F401
    from google.cloud.audit import audit_log_pb2  # noqa: F401
    from google.cloud.logging_v2.services import logging_service_v2  # noqa: F401

    before = seconds()
    entries = {"raw": raw, "kept": kept}[which](endpoint)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu_s": round(seconds() - before, 2), "peak_mb": round(peak), "entries": entries}))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]), int(sys.argv[3]))
    else:
        main(sys.argv[1], sys.argv[2])
