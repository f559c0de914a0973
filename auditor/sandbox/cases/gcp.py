"""What gcp.yaml cannot say: clusters that stand, jobs that export nothing, bindings, keys, and what is logged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from auditor.sandbox.estate_access import bindings, number_of
from auditor.sandbox.estate_records import Json, audit_entry, stamp
from auditor.sandbox.estate_stage import Step
from auditor.sandbox.estate_story import Story
from auditor.sandbox.estate_world import BUILT, World

_PROJECT, _REGION = "gcp-exports", "europe-west1"
_SHARED = f"gcp-shared@{_PROJECT}.iam.gserviceaccount.com"
_FAR = "runner@gcp-elsewhere.iam.gserviceaccount.com"
_DEFAULT = f"projects/{_PROJECT}/locations/global/buckets/_Default"


def config(_story: Story) -> Mapping[str, Any]:
    """Approve one kind of cluster, one region and one zone."""
    kinds = {"allow": ["europe-west1/2.2.*/*"]}
    return {"params": {"JOB-004": kinds, "JOB-011": {"allow": ["europe-*"], "zones": ["europe-west*-b"]}}}


def steps(world: World) -> Iterator[Step]:
    """Yield what happens in the project."""
    at = world.stage.story.moment
    yield Step(BUILT, partial(_stand, world))
    yield Step(at("W01 Sun 20:00"), partial(_work, world, at("W01 Sun 20:00")))
    yield Step(at("W02 Tue 09:00"), partial(_loosen, world))
    yield Step(at("W03 Tue 09:00"), partial(_archive, world))


def _stand(world: World) -> None:
    """Make an account that nobody describes."""
    account = {"email": _SHARED, "uniqueId": "105000000000000000059", "displayName": "shared"}
    world.stage.gcp.put_service_account(_PROJECT, account)


def _work(world: World, at: datetime) -> None:
    """Make four clusters, and let a job run on three of them."""
    own = world.stage.story.email("gcp-export")
    good: dict[str, Any] = {"private": True, "image": "2.2.61-debian12", "key": True, "idle": "1800s"}
    _cluster(world, at, "gcp-good", _config(own, f"{_REGION}-b", **good), zone="phi")
    _cluster(world, at, "gcp-open", _config(_SHARED, f"{_REGION}-c", image="2.0.27-debian10"), zone="phi")
    _cluster(
        world, at, "gcp-mixed", _config(_SHARED, f"{_REGION}-b", **good | {"key": False}), zone="internal"
    )
    _cluster(world, at, "gcp-far", _config(_FAR, f"{_REGION}-b", **good), zone="internal")
    _cluster(world, at, "gcp-bare", None, zone="")
    for name in ("good", "open", "bare"):
        _job(world, at + timedelta(minutes=10), name)


def _config(
    account: str, zone: str, *, image: str, private: bool = False, key: bool = False, idle: str = ""
) -> Json:
    found: Json = {
        "gceClusterConfig": {"serviceAccount": account, "zoneUri": zone, "internalIpOnly": private},
        "softwareConfig": {"imageVersion": image},
    }
    if key:
        name = f"projects/{_PROJECT}/locations/{_REGION}/keyRings/dataproc/cryptoKeys/disks"
        found["encryptionConfig"] = {"gcePdKmsKeyName": name}
    if idle:
        found["lifecycleConfig"] = {"idleDeleteTtl": idle}
    return found


def _cluster(world: World, at: datetime, name: str, settings: Json | None, *, zone: str) -> None:
    """Add a cluster that stays; without settings it is one on Kubernetes."""
    cluster: Json = {
        "projectId": _PROJECT,
        "clusterName": name,
        "clusterUuid": f"{name}-uuid",
        "labels": {"zone": zone} if zone else {},
        "status": {"state": "RUNNING", "stateStartTime": stamp(at)},
        "statusHistory": [{"state": "CREATING", "stateStartTime": stamp(at)}],
        **({"config": settings} if settings else {"virtualClusterConfig": {}}),
    }
    world.stage.gcp.add_cluster(cluster, _PROJECT, _REGION)


def _job(world: World, at: datetime, name: str) -> None:
    """Run a job that exports nothing, with the audit entry of who submitted it."""
    uuid, cluster = f"gcp-job-{name}", f"gcp-{name}"
    reference = {"projectId": _PROJECT, "jobId": f"gcp-{name}-check"}
    done = at + timedelta(minutes=5)
    job: Json = {
        "reference": reference,
        "placement": {"clusterName": cluster, "clusterUuid": f"{cluster}-uuid"},
        "pysparkJob": {"mainPythonFileUri": "gs://code/check.py"},
        "statusHistory": [
            {"state": "PENDING", "stateStartTime": stamp(at)},
            {"state": "RUNNING", "stateStartTime": stamp(at + timedelta(minutes=1))},
        ],
        "status": {"state": "DONE", "stateStartTime": stamp(done)},
        "labels": {"owner": "gina"},
        "jobUuid": uuid,
        "done": True,
    }
    entry = audit_entry(
        _PROJECT, _REGION, "google.cloud.dataproc.v1.JobController.SubmitJob", at=at, nonce=uuid,
        email=world.stage.story.email("gina"), cluster=cluster,
        resource_name=f"projects/{_PROJECT}/regions/{_REGION}/jobs/{reference['jobId']}",
        request={"job": {"reference": reference}}, response={"reference": reference, "jobUuid": uuid},
    )  # fmt: skip
    world.stage.gcp.add_job(job, _PROJECT, _REGION)
    world.stage.log([entry])


def _loosen(world: World) -> None:
    """Bind a person by name and strangers at all, add a key, exempt somebody, and keep logs for a month."""
    gcp, story = world.stage.gcp, world.stage.story
    gina = f"user:{story.email('gina')}"
    default = f"serviceAccount:{number_of(_PROJECT)}-compute@developer.gserviceaccount.com"
    some = {"title": "some jobs", "expression": 'resource.name.startsWith("projects/_/some")'}
    more = [
        {"role": "roles/dataproc.editor", "members": [gina]},
        {"role": "roles/editor", "members": [default]},
        {"role": "roles/logging.viewer", "members": ["group:gcp-auditors@acme.example"]},
        {"role": "roles/logging.viewer", "members": ["group:gcp-engineers@acme.example"], "condition": some},
        {"role": "roles/dataproc.editor", "members": ["group:gcp-guests@acme.example"], "condition": some},
        {"role": "roles/iam.serviceAccountTokenCreator", "members": [gina], "condition": some},
    ]
    gcp.put_policy(f"projects/{_PROJECT}", {"version": 3, "bindings": [*bindings(story, _PROJECT), *more]})
    gcp.put_audit_config(f"projects/{_PROJECT}", "iam.googleapis.com", {"ADMIN_READ": [gina]})
    gcp.put_key(story.email("gcp-export"), "0a1b2c", {"validAfterTime": "2026-05-05T09:00:00Z"})
    gcp.put_log_bucket(_PROJECT, "_Default", days=30)


def _archive(world: World) -> None:
    """Route everything to a bucket of Cloud Storage, and delete an account that a role trusts."""
    world.stage.gcp.put_sink(_PROJECT, "everything", "storage.googleapis.com/acme-log-archive")
    world.stage.gcp.remove_service_account(world.stage.story.email("gcp-leaver-export"))
