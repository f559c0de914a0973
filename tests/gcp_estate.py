"""A small Google estate for tests, and one source's reading of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

from auditor.model import Cursor, Gap, Place, Row, Seen, Window
from auditor.sandbox.faults import Faults
from auditor.sources.ask import Ask
from auditor.sources.clients import Access, Clients

NOW = datetime(2026, 11, 8, 12, tzinfo=UTC)
FROM = NOW - timedelta(days=7)
WEEK = Window(FROM, NOW)
PROJECT, REGION = "acme-data", "europe-west1"
ACTIVITY = f"projects/{PROJECT}/logs/cloudaudit.googleapis.com%2Factivity"
AUDIT_LOG = "type.googleapis.com/google.cloud.audit.AuditLog"


def z(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def job(uuid: str, *, at: datetime, state: str = "DONE", **more: Any) -> dict[str, Any]:
    """A job in JSON that was submitted at `at` and ran for nine minutes."""
    terminal = state in ("DONE", "ERROR", "CANCELLED")
    return {
        "reference": {"jobId": more.pop("job_id", f"job-{uuid}")},
        "placement": {"clusterName": "c1", "clusterUuid": "c1-uuid"},
        "pysparkJob": {"mainPythonFileUri": "gs://code/x.py", "args": ["s3a://b/p/"]},
        "statusHistory": [
            {"state": "PENDING", "stateStartTime": z(at)},
            {"state": "RUNNING", "stateStartTime": z(at + timedelta(minutes=1))},
        ],
        "status": {
            "state": state,
            "stateStartTime": z(at + timedelta(minutes=9 if terminal else 1)),
        },
        "jobUuid": uuid,
        "done": terminal,
        **more,
    }


def audit(
    method: str, *, at: datetime, insert_id: str, payload: Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """An Admin Activity entry of Dataproc in JSON."""
    return {
        "logName": ACTIVITY,
        "insertId": insert_id,
        "timestamp": z(at),
        "receiveTimestamp": z(at + timedelta(seconds=2)),
        "resource": {
            "type": "cloud_dataproc_cluster",
            "labels": {"project_id": PROJECT, "region": REGION, "cluster_name": "c1"},
        },
        "protoPayload": {
            "@type": AUDIT_LOG,
            "serviceName": "dataproc.googleapis.com",
            "methodName": f"google.cloud.dataproc.v1.{method}",
            "authenticationInfo": {"principalEmail": "ana@acme.example"},
            "authorizationInfo": [{"permission": "dataproc.jobs.create", "granted": True}],
            **(payload or {}),
        },
        **more,
    }


def submission(uuid: str, *, at: datetime, **more: Any) -> dict[str, Any]:
    """The entry that SubmitJob of `job(uuid)` leaves."""
    job_id = f"job-{uuid}"
    answer = {"reference": {"jobId": job_id}, "jobUuid": uuid}
    payload = {
        "resourceName": f"projects/{PROJECT}/regions/{REGION}/jobs/{job_id}",
        "request": {"job": {"reference": {"jobId": job_id}}},
        "response": answer,
        **more,
    }
    return audit("JobController.SubmitJob", at=at, insert_id=f"s-{uuid}", payload=payload)


class Reading:
    """What a source yielded."""

    def __init__(self, items: Iterable[Row | Seen | Gap | Cursor]) -> None:
        self.items = list(items)

    def rows(self, table: str) -> list[dict[str, Any]]:
        return [dict(i.values) for i in self.items if isinstance(i, Row) and i.table == table]

    def seen(self, table: str) -> list[Seen]:
        return [i for i in self.items if isinstance(i, Seen) and i.table == table]

    def cursors(self) -> dict[str, str]:
        return {i.scope: i.position for i in self.items if isinstance(i, Cursor)}

    def gaps(self, table: str | None = None) -> list[Gap]:
        return [i for i in self.items if isinstance(i, Gap) and table in (None, i.table)]

    def reasons(self, table: str | None = None) -> list[str]:
        return [gap.reason for gap in self.gaps(table)]


def reader(endpoint: str, faults: Faults | None = None) -> Callable[..., Reading]:
    """Return what reads a source from `endpoint`: patient, for the machine may be busy, but where a fault is set that hangs."""

    def read(
        source: ModuleType,
        *,
        carried: Mapping[str, Iterable[Mapping[str, Any]]] | None = None,
        collected: Mapping[str, Iterable[Mapping[str, Any]]] | None = None,
        covered: Iterable[Seen] = (),
        places: Iterable[Place] = (Place("gcp", PROJECT, REGION),),
        window: Window = WEEK,
        now: datetime = NOW,
        cursors: Mapping[str, str] | None = None,
        clients: Clients | None = None,
        progress: Callable[[str, Mapping[str, Any]], None] = lambda _event, _fields: None,
        **settings: Any,
    ) -> Reading:
        hangs = faults is None or any(fault.kind == "hang" for fault in faults._planned)
        impatient = {"call_timeout_s": 1.0 if hangs else 20.0, "retry_s": 0.3, **settings}
        ask = Ask(
            source=source.__name__.rpartition(".")[2],
            settings=source.Settings(**impatient),
            places=tuple(places),
            window=window,
            now=now,
            clients=clients or Clients(Access(gcp_endpoint=endpoint)),
            cursor=(cursors or {}).get,
            progress=progress,
            collected=lambda table, _only=(): [
                row for kept in (collected, carried) for row in (kept or {}).get(table, ())
            ],
            before=lambda table: (carried or {}).get(table, ()),
            covered=lambda table: [seen for seen in covered if seen.table == table],
        )
        return Reading(source.collect(ask))

    return read
