"""One export on Google Cloud: who started it, the cluster it ran on, and the job."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from auditor.sandbox.estate_chain import MINUTE, SERVERLESS, Chain
from auditor.sandbox.estate_records import CLUSTERS, JOBS, Json, audit_entry, mark, stamp
from auditor.sandbox.estate_stage import Step
from auditor.sandbox.estate_story import ident

STARTERS = {
    "batch": ("google.cloud.dataproc.v1.BatchController.CreateBatch", "batches"),
    "session": ("google.cloud.dataproc.v1.SessionController.CreateSession", "sessions"),
}
WELL = {"job": "DONE", "workflow": "DONE", "batch": "SUCCEEDED", "session": "TERMINATED"}

DISKS = "keyRings/dataproc/cryptoKeys/disks"


class Work(Chain):
    """The records that Dataproc and Cloud Logging hold of one export."""

    def steps(self) -> Iterator[Step]:
        """Yield everything that happens, each with its moment."""
        yield from self._cluster()
        yield from self._started()
        yield from self._job()

    def _cluster(self) -> Iterator[Step]:
        """Yield an ephemeral cluster: created before the job, deleted after it, known by its entries alone."""
        if self.shared or self.kind in SERVERLESS:
            return
        stage, since, until = self.stage, self.export.at - 10 * MINUTE, self.export.ended_at + 4 * MINUTE
        cluster = {
            "projectId": self.project,
            "clusterName": self.cluster,
            "clusterUuid": self.cluster_uuid,
            "config": {
                "gceClusterConfig": {
                    "serviceAccount": self.service_account,
                    "internalIpOnly": True,
                    "zoneUri": f"{self.region}-b",
                },
                "softwareConfig": {"imageVersion": "2.2.61-debian12"},
                "encryptionConfig": {
                    "gcePdKmsKeyName": f"projects/{self.project}/locations/{self.region}/{DISKS}"
                },
                "lifecycleConfig": {"idleDeleteTtl": "1800s"},
            },
            "status": {"state": "RUNNING", "stateStartTime": stamp(since + 90 * MINUTE / 60)},
            "statusHistory": [{"state": "CREATING", "stateStartTime": stamp(since)}],
        }
        where = (self.project, self.region)
        yield Step(since, lambda: stage.gcp.add_cluster(cluster, *where))
        yield Step(until, lambda: stage.gcp.remove_cluster(self.cluster, *where))
        if self.export.get("cluster") != "forgotten":
            yield Step(since, lambda: stage.log(self._cluster_entries("CreateCluster", since, cluster)))
        yield Step(until, lambda: stage.log(self._cluster_entries("DeleteCluster", until, None)))

    def _cluster_entries(self, verb: str, at: datetime, cluster: Json | None) -> list[Json]:
        name = f"projects/{self.project}/regions/{self.region}/clusters/{self.cluster}"
        operation = ident("operation", verb, self.export.id)
        request: Json = {"projectId": self.project, "region": self.region}
        if cluster:
            kept = {key: cluster[key] for key in ("projectId", "clusterName", "config")}
            request["cluster"] = kept
        else:
            request["clusterName"] = self.cluster
        metadata = {
            "@type": "type.googleapis.com/google.cloud.dataproc.v1.ClusterOperationMetadata",
            "clusterName": self.cluster,
            "clusterUuid": self.cluster_uuid,
            "operationType": "CREATE" if cluster else "DELETE",
        }
        common: Json = {
            "email": self.stage.story.email("scheduler"),
            "resource_name": name,
            "cluster": self.cluster,
            "permission": "dataproc.clusters.create" if cluster else "dataproc.clusters.delete",
        }
        method = f"{CLUSTERS}.{verb}"
        last = {**metadata, "status": {"state": "DONE"}}
        return [
            audit_entry(
                self.project, self.region, method, at=at, nonce=operation, request=request,
                response={**metadata, "status": {"state": "PENDING"}}, operation=(operation, "first"), **common,
            ),
            audit_entry(
                self.project, self.region, method, at=at + 90 * MINUTE / 60, nonce=operation,
                response={**cluster, "clusterUuid": self.cluster_uuid} if cluster else last,
                metadata=last, operation=(operation, "last"), **common,
            ),
        ]  # fmt: skip

    def _started(self) -> Iterator[Step]:
        """Yield the audit entries of whoever started it."""
        export = self.export
        if export.get("trigger", "missing"):
            return
        entries = [*self._start_entries()]
        late = export.get("trigger", "arrives")
        seen = self.stage.story.moment(late) if late else export.at
        for entry in entries:
            if late:
                entry["receiveTimestamp"] = stamp(seen)
        yield Step(seen, lambda: self.stage.log(entries))

    def _start_entries(self) -> Iterator[Json]:
        if self.kind in SERVERLESS:
            yield from self._serverless_entries()
        elif self.kind == "workflow":
            yield from self._workflow_entries()
        else:
            yield from self._submit_entries()

    def _entry(self, method: str, **more: Any) -> Json:
        """Return an entry of whoever started it: a person, one behind an automation, or a static key."""
        export, story = self.export, self.stage.story
        who, via = story.email(export.get("by")), export.get("via")
        if export.get("trigger", "static_key"):
            account = story.email(export.get("account"))
            key = mark("", "static", export.id, length=24).lower()
            more["email"] = account
            more["static_key"] = (
                f"//iam.googleapis.com/projects/{self.project}/serviceAccounts/{account}/keys/{key}"
            )
        else:
            more["email"] = story.email(via) if via else who
            more["delegation"] = [who] if via else []
        return audit_entry(self.project, self.region, method, nonce=export.id, **more)

    def _serverless_entries(self) -> Iterator[Json]:
        export = self.export
        method, many = STARTERS[self.kind]
        parent = f"projects/{self.project}/locations/{self.region}"
        name = f"{parent}/{many}/{export.job_id}"
        who = self.stage.story.email(export.get("by"))
        body = {"name": name, "uuid": export.job_uuid, "creator": who}
        more: Json = {"resource_name": name, "permission": f"dataproc.{many}.create"}
        operation = ident("operation", export.id)
        request = {"parent": parent, f"{self.kind}Id": export.job_id}
        yield self._entry(method, at=export.at, request=request, operation=(operation, "first"), **more)
        if export.get("named") != "job_id":
            more["response"] = body
        yield self._entry(method, at=export.at + MINUTE, operation=(operation, "last"), **more)

    def _submit_entries(self) -> Iterator[Json]:
        export = self.export
        reference = {"projectId": self.project, "jobId": export.job_id}
        request = {
            "projectId": self.project,
            "region": self.region,
            "job": {"reference": reference, "placement": {"clusterName": self.cluster}},
        }
        response: Json = {"reference": reference, "status": {"state": "PENDING"}}
        if export.get("named") != "job_id":
            response["jobUuid"] = export.job_uuid
        more: Json = {"resource_name": self._job_name, "cluster": self.cluster}
        if not export.get("trigger", "twice"):
            yield self._entry(f"{JOBS}.SubmitJob", at=export.at, request=request, response=response, **more)
            return
        method, operation = f"{JOBS}.SubmitJobAsOperation", ident("operation", export.id)
        yield self._entry(
            method, at=export.at, request=request, operation=(operation, "first"),
            metadata={"jobId": export.job_id, "operationType": "submitJob"}, **more,
        )  # fmt: skip
        yield self._entry(
            method, at=export.ended_at, response=response, operation=(operation, "last"), **more
        )

    @property
    def _job_name(self) -> str:
        return f"projects/{self.project}/regions/{self.region}/jobs/{self.export.job_id}"

    def _workflow_entries(self) -> Iterator[Json]:
        """Yield the pair of a workflow: the person instantiates it, and its graph lists the job."""
        export = self.export
        template = f"projects/{self.project}/regions/{self.region}/workflowTemplates/{export.pipeline}"
        method = "google.cloud.dataproc.v1.WorkflowTemplateService.InstantiateWorkflowTemplate"
        more = {"resource_name": template, "permission": "dataproc.workflowTemplates.instantiate"}
        node = {"stepId": "export", "jobId": export.job_id, "state": "COMPLETED"}
        graph = {
            "@type": "type.googleapis.com/google.cloud.dataproc.v1.WorkflowMetadata",
            "template": template,
            "graph": {"nodes": [node]},
            "clusterName": self.cluster,
            "clusterUuid": self.cluster_uuid,
            "state": "DONE",
        }
        operation = ident("operation", export.id)
        yield self._entry(
            method, at=export.at - 12 * MINUTE, request={"name": template},
            operation=(operation, "first"), **more,
        )  # fmt: skip
        yield self._entry(
            method, at=export.ended_at + 5 * MINUTE, metadata=graph, response=graph,
            operation=(operation, "last"), **more,
        )  # fmt: skip

    def _job(self) -> Iterator[Step]:
        export, where = self.export, (self.project, self.region)
        gcp = self.stage.gcp
        if export.get("job", "deleted"):
            yield Step(export.ended_at + 6 * MINUTE, lambda: self.stage.log([self._deletion()]))
            return
        add = {"batch": gcp.add_batch, "session": gcp.add_session}.get(self.kind, gcp.add_job)
        make = self._serverless if self.kind in SERVERLESS else self._record
        if self.stage.story.week_of(export.at) != self.stage.story.week_of(export.ended_at):
            yield Step(export.at + MINUTE, lambda: add(make(running=True), *where))
        yield Step(export.ended_at, lambda: add(make(running=False), *where))

    def _deletion(self) -> Json:
        export = self.export
        return audit_entry(
            self.project, self.region, f"{JOBS}.DeleteJob", at=export.ended_at + 6 * MINUTE, nonce=export.id,
            email=self.stage.story.email(export.get("by")), permission="dataproc.jobs.delete", cluster=self.cluster,
            resource_name=self._job_name,
            request={"projectId": self.project, "region": self.region, "jobId": export.job_id},
        )  # fmt: skip

    def _labels(self) -> dict[str, str]:
        export = self.export
        labels = {"owner": self.stage.story["buckets"][export.bucket].get("owner", "")}
        if export.get("label", default=True):
            labels["export"] = export.pipeline
        if export.zone:
            labels["zone"] = export.zone
        if export.get("hostile_names"):
            labels["note"] = '<img src=x onerror="alert(1)"> =cmd|calc \u202eevil'
        return labels

    def _history(self, *, running: bool) -> tuple[list[Json], Json]:
        export = self.export
        states = [("PENDING", export.at), ("RUNNING", export.at + MINUTE)]
        if not running:
            states.append((export.get("job", "ends", default=WELL[self.kind]), export.ended_at))
        told = [{"state": state, "stateStartTime": stamp(at)} for state, at in states]
        return told[:-1], told[-1]

    def _target(self) -> str:
        return f"s3a://{self.export.bucket}/{self.export.prefix}"

    def _record(self, *, running: bool) -> Json:
        export = self.export
        history, status = self._history(running=running)
        job: Json = {
            "reference": {"projectId": self.project, "jobId": export.job_id},
            "placement": {"clusterName": self.cluster, "clusterUuid": self.cluster_uuid},
            "status": status,
            "statusHistory": history,
            "pysparkJob": {
                "mainPythonFileUri": f"gs://{self.project}-code/{export.pipeline}.py",
                "args": ["--date", f"{export.at:%Y-%m-%d}", "--output", self._target()],
                "properties": {"spark.submit.deployMode": "cluster"},
            },
            "labels": self._labels(),
            "driverOutputResourceUri": f"gs://dataproc-staging-{self.project}/{self.cluster_uuid}/jobs/{export.job_id}",
            "jobUuid": export.job_uuid,
            "done": not running,
        }
        if status["state"] == "ERROR":
            status["details"] = "Job failed with message [Py4JJavaError: An error occurred while saving]."
        return job

    def _serverless(self, *, running: bool) -> Json:
        export = self.export
        history, status = self._history(running=running)
        common: Json = {
            "name": export.job_id,
            "uuid": export.job_uuid,
            "createTime": stamp(export.at),
            "state": status["state"] if status["state"] != "RUNNING" else "RUNNING",
            "stateTime": status["stateStartTime"],
            "stateHistory": [
                {
                    "state": each["state"].replace("RUNNING", self._active),
                    "stateStartTime": each["stateStartTime"],
                }
                for each in history
            ],
            "creator": self.stage.story.email(export.get("by")),
            "labels": self._labels(),
            "environmentConfig": {"executionConfig": {"serviceAccount": self.service_account}},
        }
        if self.kind == "session":
            history_key = [
                {
                    "state": each["state"].replace("PENDING", "CREATING"),
                    "stateStartTime": each["stateStartTime"],
                }
                for each in common["stateHistory"]
            ]
            return common | {"stateHistory": history_key, "jupyterSession": {"kernel": "PYTHON"}}
        return common | {
            "pysparkBatch": {
                "mainPythonFileUri": f"gs://{self.project}-code/{export.pipeline}.py",
                "args": ["--output", self._target()],
            }
        }

    @property
    def _active(self) -> str:
        return "ACTIVE" if self.kind == "session" else "RUNNING"
