"""The trigger link, cell by cell of links.md: who started the job, and whether they were entitled to."""

from __future__ import annotations

from typing import Any

from chain_bend import Bend, Case, add, bent, both, clear, early, hidden, holds, of, put
from chain_world import SA, at, chains, entry, gap, job

POOL = "principal://iam.googleapis.com/locations/global/workforcePools/staff/subject/"
SUBMIT = "google.cloud.dataproc.v1.JobController.SubmitJobAsOperation"
WORKLOAD = "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/github/subject/"
FLOW = WORKLOAD + "repo:acme/exports:ref:refs/heads/main"
BOT = "bot@data.iam.gserviceaccount.com"


def _workflow(**more: Any) -> dict[str, Any]:
    method = "google.cloud.dataproc.v1.WorkflowTemplateService.InstantiateWorkflowTemplate"
    return entry(
        **({"job_uuid": None, "job_id": None, "workflow_jobs": ["claims-u-1"], "method": method} | more)
    )


def _entries(*rows: dict[str, Any]) -> Bend:
    return lambda tables: tables.update(gcp_audit_entry=list(rows))


def _batch(**more: Any) -> Bend:
    return put(
        "dataproc_job",
        **(
            {"kind": "batch", "state": "SUCCEEDED", "service_account": SA, "creator": "ana@example.org"}
            | more
        ),
    )


def _automation(**more: Any) -> Bend:
    row = {"principal": BOT, "owner": "ana@example.org", "project": "*", "job_id": "claims-*"} | more
    return both(put("gcp_audit_entry", principal_email=BOT), add("config_automation", row))


def _pool(
    subject: str, *bends: Bend, pool: str = "staff", directory: str = "csv", mapped: str = "subject"
) -> Bend:
    declared = {"pool": pool, "directory": directory, "subject": mapped}
    called = put("gcp_audit_entry", principal_email=None, principal_subject=POOL + subject)
    return both(called, add("config_workforce_pool", declared), *bends)


def _elsewhere(**more: Any) -> Bend:
    """Move the person to another directory than the CSV export."""
    return both(
        put("directory_user", id="okta:7", directory="okta"),
        put("directory_membership", user_id="okta:7", **more),
    )


CASES: list[Case] = [
    # which entry is the job's
    ("the entry names the job id alone and nothing else has it", "trigger", "proven", put("gcp_audit_entry", job_uuid=None)),
    ("the entry names the job id exactly the skew before", "trigger", "proven", put("gcp_audit_entry", job_uuid=None, at=at(5, 0, 58))),
    ("the entry names the job id more than the skew before", "trigger", "unknown", put("gcp_audit_entry", job_uuid=None, at=at(5, 0, 57))),
    ("the entry names the job id in another region", "trigger", "unknown", put("gcp_audit_entry", job_uuid=None, region="us-east1")),
    ("the entry names the job id in another project", "trigger", "unknown", put("gcp_audit_entry", job_uuid=None, project="other")),
    ("a job that reuses the id at the same time fits the entry too", "trigger", "unknown", both(put("gcp_audit_entry", job_uuid=None), add("dataproc_job", job("u-2", job_id="claims-u-1", submitted_at=at(5, 1, 1))))),
    ("a job that reuses the id an hour later does not fit the entry", "trigger", "proven", both(put("gcp_audit_entry", job_uuid=None), add("dataproc_job", job("u-2", job_id="claims-u-1", submitted_at=at(5, 2, 1), started_at=at(5, 2, 1), finished_at=at(5, 3))))),
    ("the other job of the same id has an entry of its own", "trigger", "proven", both(put("gcp_audit_entry", job_uuid=None), add("dataproc_job", job("u-2", job_id="claims-u-1", submitted_at=at(5, 1, 1))), add("gcp_audit_entry", entry("u-2", job_id="claims-u-1")))),
    ("two entries name the job id alone and two people made them", "trigger", "unknown", _entries(entry(job_uuid=None), entry(job_uuid=None, entry_id="other", principal_email="eve@example.org"))),
    ("both entries of a long-running submission are one", "trigger", "proven", _entries(entry(method=SUBMIT, operation_id="op", operation_first=True, job_uuid=None), entry(method=SUBMIT, operation_id="op", operation_last=True, entry_id="last", at=at(5, 2), principal_email=None))),
    ("the last entry of a long-running submission tells that the job failed", "trigger", "proven", _entries(entry(method=SUBMIT, operation_id="op", operation_first=True), entry(method=SUBMIT, operation_id="op", operation_last=True, entry_id="last", at=at(5, 2), status_code=13))),
    ("the first entry of a long-running submission was refused", "trigger", "unknown", _entries(entry(method=SUBMIT, operation_id="op", granted=False, status_code=7))),
    ("operations of two projects share an id", "trigger", "proven", _entries(entry(operation_id="op"), entry("u-7", operation_id="op", project="other", principal_email="eve@example.org", static_key_name="projects/-/keys/1"))),
    ("the entry does not say how the call ended", "trigger", "unknown", put("gcp_audit_entry", status_code=None)),
    ("the entry does not say when it was", "trigger", "unknown", put("gcp_audit_entry", at=None)),
    ("the entry does not say whether a static key signed it", "trigger", "unknown", put("gcp_audit_entry", static_key_name=None)),
    ("a static key signed it and the person is gone too", "trigger", "broken", both(put("gcp_audit_entry", static_key_name="projects/-/keys/1"), clear("directory_user"))),
    ("a static key signed it and the directory was denied", "trigger", "broken", both(put("gcp_audit_entry", static_key_name="projects/-/keys/1"), hidden("directory_user", "directory"))),
    ("a workflow operation lists the job", "trigger", "proven", _entries(_workflow())),
    ("a workflow operation lists the job in another region", "trigger", "unknown", _entries(_workflow(region="us-east1"))),
    ("a workflow operation began after the job", "trigger", "unknown", _entries(_workflow(at=at(5, 1, 3)))),
    ("a workflow operation began more than a day before", "trigger", "unknown", _entries(_workflow(at=at(4)))),
    ("two workflow operations of two people list the job", "trigger", "unknown", _entries(_workflow(), _workflow(entry_id="other", principal_email="eve@example.org"))),
    ("a batch names its creator and no entry is there", "trigger", "proven", both(_batch(), clear("gcp_audit_entry"))),
    ("a batch's creator and its entry agree", "trigger", "proven", _batch(creator="Ana@Example.org")),
    ("a batch's creator and its entry disagree", "trigger", "unknown", _batch(creator="eve@example.org")),
    ("a batch's creator is the account it was delegated through", "trigger", "proven", both(_batch(creator=BOT), put("gcp_audit_entry", principal_email=BOT, delegation=["ana@example.org"]))),
    ("the log of another time was denied", "trigger", "unknown", both(clear("gcp_audit_entry"), hidden("gcp_audit_entry", "data", from_at=at(8)))),
    ("no entry a minute before the log is settled", "trigger", "pending", both(clear("gcp_audit_entry"), early(1, 59))),
    ("no entry just when the log is settled", "trigger", "unknown", both(clear("gcp_audit_entry"), early(2))),
    ("when the job was submitted is not known", "trigger", "unknown", put("dataproc_job", submitted_at=None, started_at=None)),
    # whose principal it is
    ("the principal is written in another case", "trigger", "proven", put("gcp_audit_entry", principal_email="Ana@Example.ORG")),
    ("the principal carries its kind", "trigger", "proven", put("gcp_audit_entry", principal_email="user:ana@example.org")),
    ("a pool's subject is the person's", "trigger", "proven", _pool("s-7", put("directory_user", subject="s-7"))),
    ("a pool's subject is the person's e-mail, and so is the pool's mapping", "trigger", "proven", _pool("ana@example.org", mapped="email")),
    ("a pool's subject is the person's e-mail by luck", "trigger", "broken", _pool("ana@example.org")),
    ("a pool's subject is nobody's, though a person has that id", "trigger", "broken", _pool("7")),
    ("a pool that nobody declared has the person's subject", "trigger", "unknown", _pool("s-7", put("directory_user", subject="s-7"), pool="others")),
    ("a pool of another directory has the person's subject", "trigger", "broken", _pool("s-7", put("directory_user", subject="s-7"), directory="okta")),
    ("a workload pool's subject is the person's e-mail", "trigger", "broken", put("gcp_audit_entry", principal_email=None, principal_subject=WORKLOAD + "ana@example.org")),
    ("two people share the e-mail", "trigger", "unknown", add("directory_user", {"id": "8", "email": "ana@example.org", "status": "active"})),
    ("somebody else's line of the directory is bad", "trigger", "proven", hidden("directory_user", "directory", resource="9")),
    ("a line of the directory is bad and the person is not found", "trigger", "unknown", both(clear("directory_user"), hidden("directory_user", "directory", resource="9"))),
    ("a person stands at the start of the delegation", "trigger", "proven", put("gcp_audit_entry", principal_email=SA, delegation=["ana@example.org", BOT])),
    ("a stranger stands at the start of the delegation", "trigger", "broken", put("gcp_audit_entry", delegation=["eve@example.org"])),
    ("nobody is named at the start of the delegation", "trigger", "unknown", put("gcp_audit_entry", delegation=["unknown principal"])),
    # active at the time
    ("disabled exactly when it was triggered", "trigger", "proven", put("directory_user", status="disabled", disabled_at=at(5, 1))),
    ("disabled exactly the grace before", "trigger", "proven", put("directory_user", status="disabled", disabled_at=at(5, 0))),
    ("disabled a minute more than the grace before", "trigger", "broken", put("directory_user", status="disabled", disabled_at=at(4, 23, 59))),
    ("suspended and nobody says since when", "trigger", "unknown", put("directory_user", status="suspended")),
    ("active and disabled at once", "trigger", "unknown", put("directory_user", disabled_at=at(2))),
    ("the status is not known", "trigger", "unknown", put("directory_user", status=None)),
    # a covering group
    ("the membership began exactly then", "trigger", "proven", put("directory_membership", from_at=at(5, 1))),
    ("the membership ended exactly the grace before", "trigger", "proven", put("directory_membership", until_at=at(5, 0))),
    ("the membership ended before the grace", "trigger", "broken", put("directory_membership", until_at=at(4, 23, 59))),
    ("somebody else's membership could not be read", "trigger", "broken", both(clear("directory_membership"), hidden("directory_membership", "directory", resource="9"))),
    ("the person's own membership could not be read", "trigger", "unknown", both(clear("directory_membership"), hidden("directory_membership", "directory", resource="ana@example.org"))),
    ("the duty is for every zone", "trigger", "proven", put("config_duty", zone="*")),
    ("the duty is for other jobs", "trigger", "broken", put("config_duty", job_id="billing-*")),
    ("the duty is for other projects", "trigger", "broken", put("config_duty", project="other")),
    ("the zone is not known and the duty is for one zone", "trigger", "unknown", both(put("dataproc_job", labels={}), put("s3_bucket", tags={}))),
    ("the zone is not known and the duty is for every zone", "trigger", "proven", both(put("dataproc_job", labels={}), put("s3_bucket", tags={}), put("config_duty", zone="*"))),
    ("no group of the person covers the job in any zone", "trigger", "broken", both(put("dataproc_job", labels={}), put("s3_bucket", tags={}), put("config_duty", group_name="others"))),
    # two directories
    ("another directory has the e-mail too", "trigger", "unknown", add("directory_user", {"id": "okta:7", "email": "ana@example.org", "status": "active", "directory": "okta"})),
    ("another directory has a group of that name", "trigger", "unknown", add("directory_membership", {"user_id": "okta:9", "group_name": "claims-runners", "from_at": at(1)})),
    ("another directory has a group of that name and the duty says which", "trigger", "proven", both(add("directory_membership", {"user_id": "okta:9", "group_name": "claims-runners", "from_at": at(1)}), put("config_duty", directory="csv"))),
    ("the duty means the group of another directory", "trigger", "broken", put("config_duty", directory="okta")),
    ("the person is in another directory than the CSV export", "trigger", "proven", _elsewhere(from_at=at(1))),
    ("a membership of another directory by e-mail is nobody's", "trigger", "broken", both(_elsewhere(from_at=at(1)), put("directory_membership", user_id="ana@example.org"))),
    ("the directory gives no date of the membership and no scan saw it", "trigger", "unknown", _elsewhere(from_at=None)),
    # when access began and ended
    ("known to the directory only after the trigger", "trigger", "unknown", put("directory_user", active_from=at(6))),
    ("known to the directory within the grace after the trigger", "trigger", "proven", put("directory_user", active_from=at(5, 1, 59))),
    ("disabled by a time before the trigger at the latest", "trigger", "broken", put("directory_user", status="disabled", disabled_by=at(4))),
    ("disabled by a time after the trigger at the latest", "trigger", "unknown", put("directory_user", status="disabled", disabled_by=at(8))),
    ("of unknown status and changed before the trigger", "trigger", "unknown", put("directory_user", status=None, disabled_by=at(4))),
    # what the duty covers
    ("the duty is for the job's region", "trigger", "proven", put("config_duty", region="europe-*")),
    ("the duty is for another region", "trigger", "broken", put("config_duty", region="us-*")),
    ("the duty is for batches alone", "trigger", "broken", put("config_duty", starts="batch")),
    ("the duty is for batches and a batch was started", "trigger", "proven", both(_batch(), clear("gcp_audit_entry"), put("config_duty", starts="batch"))),
    ("the duty is for workflows and a workflow started it", "trigger", "proven", both(_entries(_workflow()), put("config_duty", starts="workflow"))),
    ("the duty is for jobs and a workflow started it", "trigger", "broken", both(_entries(_workflow()), put("config_duty", starts="job"))),
    # automations
    ("the automation is registered for another region", "trigger", "broken", _automation(region="us-*")),
    ("the automation is registered for batches alone", "trigger", "broken", _automation(starts="batch")),
    ("the automation is registered for the job's zone", "trigger", "proven", _automation(zone="phi")),
    ("the automation is registered for another zone", "trigger", "broken", _automation(zone="internal")),
    ("the automation is registered for one zone and the job's is not known", "trigger", "unknown", both(_automation(zone="phi"), put("dataproc_job", labels={}), put("s3_bucket", tags={}))),
    ("a workflow bot is registered by its whole principal", "trigger", "proven", both(_automation(principal=FLOW, kind="workflow"), put("gcp_audit_entry", principal_email=None, principal_subject=FLOW))),
    ("a workflow bot of another branch than the registered", "trigger", "broken", both(_automation(principal=FLOW, kind="workflow"), put("gcp_audit_entry", principal_email=None, principal_subject=FLOW + "x"))),
    ("a workflow bot is registered by its subject alone", "trigger", "broken", both(_automation(principal=FLOW.rpartition("/subject/")[2]), put("gcp_audit_entry", principal_email=None, principal_subject=FLOW))),
    ("a workflow bot stands behind a service account", "trigger", "proven", both(_automation(principal=FLOW, kind="workflow"), put("gcp_audit_entry", principal_email=SA, delegation=[FLOW]))),
    ("an agent whose owner may trigger the job", "trigger", "proven", _automation(kind="agent")),
    ("an agent whose owner was in no covering group", "trigger", "broken", both(_automation(kind="agent"), clear("directory_membership"))),
    ("an agent whose owner joined after the trigger", "trigger", "broken", both(_automation(kind="agent"), put("directory_membership", from_at=at(6)))),
    ("an agent whose owner's membership has no date", "trigger", "unknown", both(_automation(kind="agent"), put("directory_membership", from_at=None))),
    ("a service account whose owner was in no covering group", "trigger", "proven", both(_automation(), clear("directory_membership"))),
    ("two directories have the owner of the automation", "trigger", "unknown", both(_automation(), add("directory_user", {"id": "okta:7", "email": "ana@example.org", "status": "active"}))),
    ("a registered automation with an active owner", "trigger", "proven", _automation()),
    ("the automation is registered in another case", "trigger", "proven", _automation(principal=BOT.upper())),
    ("the automation is registered for other jobs", "trigger", "broken", _automation(job_id="billing-*")),
    ("the owner of the automation is not in the directory", "trigger", "broken", _automation(owner="eve@example.org")),
    ("the owner is not found and the directory was denied", "trigger", "unknown", both(_automation(owner="eve@example.org"), hidden("directory_user", "directory"))),
    ("the owner was disabled before", "trigger", "broken", both(_automation(), put("directory_user", status="disabled", disabled_at=at(2)))),
    ("the owner was disabled within the grace", "trigger", "proven", both(_automation(), put("directory_user", status="disabled", disabled_at=at(5, 0, 30)))),
    ("one of two owners is active", "trigger", "proven", both(_automation(owner="eve@example.org"), _automation())),
    ("the automation has no owner", "trigger", "broken", _automation(owner="")),
    ("the automation itself was disabled before", "trigger", "broken", both(_automation(), add("directory_user", {"id": "b", "email": BOT, "status": "disabled", "disabled_at": at(2), "owner": "ana@example.org"}))),
    ("an unregistered automation and the directory was denied", "trigger", "unknown", both(put("gcp_audit_entry", principal_email=BOT), hidden("directory_user", "directory"))),
]  # fmt: skip


@of(CASES)
def test_trigger_is(sentence: str, link: str, state: str, bend: Bend) -> None:
    holds(link, state, bend)


def _strength(*bends: Bend) -> str:
    export = chains(bent(*bends))["u-1"]
    assert export["trigger_state"] == "proven", export["trigger_because"]
    return str(export["trigger_strength"])


def test_trigger_is_exact_by_job_uuid_and_strong_by_anything_less() -> None:
    assert _strength() == "exact"
    assert _strength(put("gcp_audit_entry", job_uuid=None)) == "strong"
    assert _strength(_entries(_workflow())) == "strong"
    assert _strength(_batch(), clear("gcp_audit_entry")) == "strong"
    assert _strength(_automation()) == "strong"


def test_sighting_after_the_trigger_alone_is_no_membership() -> None:
    def history(first: Any, last: Any) -> Bend:
        row = {"user_id": "7", "group_name": "claims-runners", "from_seen_at": first, "until_seen_at": last}
        return both(
            put("directory_membership", from_at=None),
            add("history_membership", row),
            put("as_of", previous_at=at(11)),
        )

    assert _strength(history(at(4), at(11))) == "inferred"
    assert _strength(history(at(5, 1), at(11))) == "inferred"  # seen in a scan just then
    holds("trigger", "unknown", history(at(6), at(11)))
    holds("trigger", "unknown", history(at(2), at(4)))  # the run of sightings ended before


def test_gap_of_the_log_names_itself() -> None:
    export = holds(
        "trigger", "unknown", both(clear("gcp_audit_entry"), add("coverage", gap("gcp_audit_entry", "data")))
    )

    assert "access denied" in export["trigger_gaps"]
