"""Each link, bent one fact at a time: links.md as a table of sentences."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from chain_world import (
    ACCOUNT,
    BUCKET,
    PREFIX,
    RECOVERY,
    SA,
    Tables,
    at,
    backup_job,
    chains,
    entry,
    event,
    gap,
    job,
    part,
    point,
    proven,
    session,
    states,
)

from auditor.model import LINKS

Bend = Callable[[Tables], object]
FAR = f"arn:aws:backup:eu-central-1:{RECOVERY}:recovery-point:far"


def _set(table: str, index: int = 0, **values: Any) -> Bend:
    return lambda tables: tables[table][index].update(values)


def _add(table: str, *rows: dict[str, Any]) -> Bend:
    return lambda tables: tables.setdefault(table, []).extend(rows)


def _clear(*names: str) -> Bend:
    return lambda tables: [tables[name].clear() for name in names]


def _both(*bends: Bend) -> Bend:
    return lambda tables: [bend(tables) for bend in bends]


def _early(hour: int, minute: int = 0) -> Bend:
    """Judge on the day of the export instead of a week later."""
    return _set("as_of", as_of=at(5, hour, minute))


def _hidden(table: str, account: str = ACCOUNT, **more: Any) -> Bend:
    return _add("coverage", gap(table, account, **more))


def _never_asked(table: str) -> Bend:
    return lambda tables: tables.update(
        coverage=[row for row in tables["coverage"] if row["table_name"] != table]
    )


POINT = point()["arn"]
CASES: list[tuple[str, str, str, Bend]] = [
    # trigger
    ("a static key signed the submission", "trigger", "broken", _set("gcp_audit_entry", static_key_name="projects/-/keys/1")),
    ("the person is not in a complete directory", "trigger", "broken", _clear("directory_user")),
    ("the directory was denied", "trigger", "unknown", _both(_clear("directory_user"), _hidden("directory_user", "directory"))),
    ("the directory was never asked", "trigger", "unknown", _both(_clear("directory_user"), _never_asked("directory_user"))),
    ("the person was disabled a day before", "trigger", "broken", _set("directory_user", status="disabled", disabled_at=at(4))),
    ("the person was disabled within the grace", "trigger", "proven", _set("directory_user", status="disabled", disabled_at=at(5, 0, 30))),
    ("the person was disabled after the trigger", "trigger", "proven", _set("directory_user", status="disabled", disabled_at=at(6))),
    ("the person is disabled and nobody says since when", "trigger", "unknown", _set("directory_user", status="disabled")),
    ("no group of the person covers the job", "trigger", "broken", _set("config_duty", group_name="others")),
    ("the duty is for another zone", "trigger", "broken", _set("config_duty", zone="public")),
    ("there is no duty map", "trigger", "unknown", _clear("config_duty")),
    ("the membership began after the trigger", "trigger", "broken", _set("directory_membership", from_at=at(6))),
    ("the membership ended before the trigger", "trigger", "broken", _set("directory_membership", until_at=at(4))),
    ("the start of the membership is not told", "trigger", "unknown", _set("directory_membership", from_at=None)),
    ("memberships were denied", "trigger", "unknown", _both(_clear("directory_membership"), _hidden("directory_membership", "directory"))),
    ("no entry though the log is settled", "trigger", "unknown", _clear("gcp_audit_entry")),
    ("no entry and the log is not settled", "trigger", "pending", _both(_clear("gcp_audit_entry"), _early(1, 30))),
    ("no entry and the log was denied", "trigger", "unknown", _both(_clear("gcp_audit_entry"), _early(1, 30), _hidden("gcp_audit_entry", "data"))),
    ("the submission was refused", "trigger", "unknown", _set("gcp_audit_entry", status_code=7, granted=False)),
    ("two entries with two principals name the job", "trigger", "unknown", _add("gcp_audit_entry", entry(entry_id="other", principal_email="eve@example.org"))),
    ("the entry names no principal", "trigger", "unknown", _set("gcp_audit_entry", principal_email=None)),
    ("an unregistered automation", "trigger", "broken", _set("gcp_audit_entry", principal_email="bot@data.iam.gserviceaccount.com")),
    # job
    ("the job failed and nobody repeated it", "job", "broken", _set("dataproc_job", state="ERROR")),
    ("the job failed and the retry is not due", "job", "pending", _both(_set("dataproc_job", state="ERROR"), _early(4))),
    ("the job says DONE but not done", "job", "pending", _set("dataproc_job", done=False, finished_at=None)),
    ("whether the job is done is not known", "job", "unknown", _set("dataproc_job", done=None)),
    ("the job still runs", "job", "pending", _set("dataproc_job", state="RUNNING", done=False, finished_at=None)),
    ("the job still ran when listing was denied", "job", "unknown", _both(_set("dataproc_job", state="RUNNING", done=False, finished_at=None), _hidden("dataproc_job", "data"))),
    ("the cluster is gone and no entry tells of it", "job", "unknown", _clear("dataproc_cluster")),
    # session
    ("an access key wrote into the export", "session", "broken", _add("s3_data_event", event(7, key=f"{PREFIX}part-7", access_key_id="AKIAOLD", principal_type="IAMUser", principal_arn=f"arn:aws:iam::{ACCOUNT}:user/old", role_arn=None))),
    ("a session of another subject wrote", "session", "broken", _set("sts_session", subject="999")),
    ("the audience is not the declared one", "session", "broken", _set("sts_session", audience="anything")),
    ("the provider is not the declared one", "session", "broken", _set("sts_session", provider="evil.example")),
    ("the event does not hold the audience", "session", "unknown", _set("sts_session", audience=None)),
    ("the session was issued an hour after the job", "session", "broken", _set("sts_session", issued_at=at(5, 3), expires_at=at(5, 4))),
    ("no issue event though settled", "session", "unknown", _clear("sts_session")),
    ("no issue event and not settled", "session", "pending", _both(_clear("sts_session"), _early(2, 30))),
    ("session issues were denied", "session", "unknown", _both(_clear("sts_session"), _hidden("sts_session"))),
    ("session issues of us-east-1 were denied and no event is exact", "session", "unknown", _both(_clear("s3_data_event"), _hidden("sts_session", region="us-east-1"))),
    ("no export role is configured", "session", "unknown", _clear("config_federation")),
    ("the unique id of the account is not configured", "session", "unknown", _clear("config_subject")),
    ("the service account is not known", "session", "unknown", _clear("dataproc_cluster")),
    ("CloudTrail is not settled", "session", "pending", _early(2, 30)),
    # objects
    ("a listed file is absent", "objects", "broken", lambda tables: tables["s3_object_version"].pop(1)),
    ("an object is outside the manifest", "objects", "unknown", _both(_add("s3_object_version", part(5)), _add("s3_data_event", event(5)))),
    ("the manifest lists a hundred names", "objects", "unknown", _set("s3_manifest", cut=True)),
    ("the manifest cannot be read", "objects", "unknown", _set("s3_manifest", form="unreadable", filenames=None)),
    ("nothing attests completeness", "objects", "unknown", _clear("s3_manifest")),
    ("nothing was written though declared", "objects", "broken", _clear("s3_object_version", "s3_manifest", "s3_data_event")),
    ("the listing was denied", "objects", "unknown", _hidden("s3_object_version", resource=BUCKET)),
    ("the listing was denied and nothing is there", "objects", "unknown", _both(_clear("s3_object_version", "s3_manifest", "s3_data_event"), _hidden("s3_object_version", resource=BUCKET))),
    ("a stranger overwrote an object before the capture", "objects", "broken", _add("s3_data_event", event(7, at=at(5, 4), access_key_id="AKIAOLD", principal_type="IAMUser", principal_arn=f"arn:aws:iam::{ACCOUNT}:user/old", role_arn=None))),
    ("a stranger wrote after the capture", "objects", "proven", _add("s3_data_event", event(7, at=at(6), access_key_id="AKIAOLD", principal_type="IAMUser", principal_arn=f"arn:aws:iam::{ACCOUNT}:user/old", role_arn=None))),
    ("a declared writer wrote", "objects", "proven", _both(_add("s3_data_event", event(7, at=at(5, 4), access_key_id=None, principal_type="AWSService", principal_arn="s3.amazonaws.com", role_arn=None)), _add("config_writer", {"match": "s3.amazonaws.com", "bucket": "*", "reason": "replication"}))),
    ("data events were denied", "objects", "unknown", _hidden("s3_data_event")),
    ("versioning was suspended since", "objects", "proven", _set("s3_bucket", versioning="Enabled")),
    ("versioning is suspended now, before any capture", "objects", "unknown", _both(_set("s3_bucket", versioning="Suspended"), _clear("backup_recovery_point"))),
    ("whether versioning is on was denied", "objects", "unknown", _both(_set("s3_bucket", versioning=None), _hidden("s3_bucket", resource=f"{BUCKET}#versioning"))),
    ("an object was written while versioning was off", "objects", "unknown", _both(_set("s3_object_version", version_id="null"), _set("s3_data_event", version_id=None))),
    # recovery point
    ("the point completed before the last write", "recovery_point", "broken", _set("backup_recovery_point", initiated_at=at(5, 0), created_at=at(5, 0), completed_at=at(5, 1, 20))),
    ("the point started while the job wrote", "recovery_point", "unknown", _set("backup_recovery_point", initiated_at=at(5, 1, 45), created_at=at(5, 1, 45))),
    ("the point started within the skew of the end", "recovery_point", "unknown", _set("backup_recovery_point", initiated_at=at(5, 2, 1), created_at=at(5, 2, 1))),
    ("the point completed after it was due", "recovery_point", "broken", _set("backup_recovery_point", completed_at=at(6, 3))),
    ("no point at all", "recovery_point", "broken", _clear("backup_recovery_point")),
    ("no point and not due", "recovery_point", "pending", _both(_clear("backup_recovery_point"), _early(6))),
    ("no point and not due but the vaults were denied", "recovery_point", "unknown", _both(_clear("backup_recovery_point"), _early(6), _hidden("backup_recovery_point"))),
    ("no point seen and one vault was denied", "recovery_point", "unknown", _both(_clear("backup_recovery_point"), _hidden("backup_recovery_point", region="eu-west-1", resource="arn:vault"))),
    ("a point seen and another vault was denied", "recovery_point", "proven", _hidden("backup_recovery_point", region="eu-west-1", resource="arn:vault")),
    ("the point is PARTIAL", "recovery_point", "unknown", _set("backup_recovery_point", status="PARTIAL")),
    ("the point is being deleted", "recovery_point", "unknown", _set("backup_recovery_point", status="DELETING")),
    ("the point holds no bytes", "recovery_point", "unknown", _set("backup_recovery_point", bytes=0)),
    ("the job completed with issues", "recovery_point", "unknown", _set("backup_job", category="AccessDenied")),
    ("the job of the point was never collected", "recovery_point", "unknown", _clear("backup_job")),
    ("an object was overwritten before the capture", "recovery_point", "broken", _both(_add("s3_object_version", part(8, key=f"{PREFIX}part-0", last_modified=at(5, 4))), _add("s3_data_event", event(8, key=f"{PREFIX}part-0", at=at(5, 4), access_key_id="AKIAOLD", principal_type="IAMUser", principal_arn="arn:user", role_arn=None)))),
    ("an object was deleted before the capture", "recovery_point", "broken", _add("s3_object_version", part(8, key=f"{PREFIX}part-0", last_modified=at(5, 4), is_delete_marker=True, bytes=0))),
    ("an object was overwritten after the capture", "recovery_point", "proven", _add("s3_object_version", part(8, key=f"{PREFIX}part-0", last_modified=at(6, 4)))),
    ("an object is in Glacier", "recovery_point", "unknown", _set("s3_object_version", storage_class="GLACIER")),
    ("the point is being made", "recovery_point", "pending", _both(_set("backup_recovery_point", status="CREATING", completed_at=None), _early(6))),
    ("the export has no zone", "recovery_point", "unknown", _both(_set("dataproc_job", labels={}), _set("s3_bucket", tags={}))),
    ("the bucket's tags were denied and the label is lax", "recovery_point", "unknown", _both(_set("dataproc_job", labels={"zone": "public"}), _set("s3_bucket", tags=None))),
    ("the job's zone is misspelt and the bucket's is lax", "recovery_point", "unknown", _both(_set("dataproc_job", labels={"zone": "ph1"}), _set("s3_bucket", tags={"compliance-zone": "public"}))),
    ("nothing was written", "recovery_point", "not_required", _clear("s3_object_version", "s3_manifest", "s3_data_event")),
    # copy
    ("the copy job failed", "copy", "broken", _set("backup_copy_job", state="FAILED")),
    ("the copy completed late", "copy", "broken", _set("backup_copy_job", completed_at=at(8))),
    ("the copy is not due", "copy", "pending", _both(_clear("backup_copy_job"), lambda t: t["backup_recovery_point"].pop(1), _set("as_of", as_of=at(5, 10)))),
    ("the destination was denied", "copy", "unknown", _both(lambda t: t["backup_recovery_point"].pop(1), _hidden("backup_recovery_point", RECOVERY))),
    ("a completed job and no point at the destination", "copy", "broken", lambda tables: tables["backup_recovery_point"].pop(1)),
    ("the copy is not encrypted", "copy", "broken", _set("backup_recovery_point", 1, encrypted=False)),
    ("the copy is in a region the zone forbids", "copy", "broken", _set("config_zone", regions=["eu-west-1"])),
    ("no copy was made", "copy", "broken", _both(_clear("backup_copy_job"), lambda t: t["backup_recovery_point"].pop(1))),
    ("no copy is seen and copy jobs were denied", "copy", "unknown", _both(_clear("backup_copy_job"), lambda t: t["backup_recovery_point"].pop(1), _hidden("backup_copy_job"))),
    ("the copy job has aged out and the copy matches by creation", "copy", "proven", _clear("backup_copy_job")),
    ("the zone asks for no copy", "copy", "not_required", _set("config_zone", copy_to=[])),
    ("which copies are required is not stated", "copy", "unknown", _set("config_zone", copy_to=None)),
    # retention
    ("the point is deleted too early", "retention", "broken", _set("backup_recovery_point", delete_at=at(40), delete_after_d=35)),
    ("the copy is deleted too early", "retention", "broken", _set("backup_recovery_point", 1, delete_at=at(40), delete_after_d=35)),
    ("the point is kept for ever", "retention", "proven", _set("backup_recovery_point", delete_at=None, delete_after_d=-1)),
    ("no end date and no lifecycle", "retention", "unknown", _set("backup_recovery_point", delete_at=None, delete_after_d=None)),
    ("the vault was denied", "retention", "unknown", _both(lambda t: t["backup_vault"].pop(0), _hidden("backup_vault", resource="arn:aws:backup:eu-west-1:111111111111:backup-vault:daily"))),
    ("the zone states no retention", "retention", "unknown", _set("config_zone", retention_d=None)),
    ("the bucket itself must keep and loses versions sooner", "retention", "broken", _both(_set("config_zone", bucket_min_d=30), _set("s3_bucket", lifecycle=[{"Status": "Enabled", "Expiration": {"Days": 3}, "NoncurrentVersionExpiration": {"NoncurrentDays": 4}}]))),
    ("the bucket must keep and only hides versions", "retention", "proven", _both(_set("config_zone", bucket_min_d=30), _set("s3_bucket", lifecycle=[{"Status": "Enabled", "Expiration": {"Days": 3}}]))),
    ("the bucket must keep and its lifecycle was denied", "retention", "unknown", _both(_set("config_zone", bucket_min_d=30), _set("s3_bucket", lifecycle=None))),
]  # fmt: skip


def test_every_link_of_an_undisturbed_export_is_proven() -> None:
    (export,) = chains(proven()).values()

    assert states(export) == dict.fromkeys(LINKS, "proven")
    assert export["state"] == "proven"
    assert (
        export["strength"] == "strong"
    )  # the weakest of its links: a point is never exact without item search
    assert (export["objects"], export["bytes"], export["zone"]) == (3, 300, "phi")


@pytest.mark.parametrize(("sentence", "link", "state", "bend"), CASES, ids=[case[0] for case in CASES])
def test_link_is(sentence: str, link: str, state: str, bend: Bend) -> None:
    tables = proven()
    bend(tables)

    (export,) = chains(tables).values()

    assert export[f"{link}_state"] == state, export[f"{link}_because"]
    assert export[f"{link}_because"]
    assert (export[f"{link}_broken"] is True) == (state == "broken")
    if state == "proven":
        assert export[f"{link}_refs"] or link == "retention"


@pytest.mark.parametrize("table", sorted({row["table_name"] for row in proven()["coverage"]}))
def test_hiding_any_source_never_makes_a_link_better(table: str) -> None:
    before = states(*chains(proven()).values())
    tables = proven()
    for row in [row for row in tables["coverage"] if row["table_name"] == table]:
        _hidden(table, row["account"])(tables)

    after = states(*chains(tables).values())

    order = ["broken", "unknown", "pending", "proven", "not_required"]
    for link in LINKS:
        assert order.index(after[link]) <= order.index(before[link])
        assert after[link] not in ("broken", "pending"), "what is not seen is neither broken nor pending"


def test_row_order_never_changes_a_chain() -> None:
    tables = proven()
    turned = {name: list(reversed(rows)) for name, rows in proven().items()}

    assert chains(tables) == chains(turned)


def test_failed_run_repeated_in_time_is_superseded_from_the_job_on() -> None:
    tables = proven()
    tables["dataproc_job"].append(
        job("u-0", state="ERROR", submitted_at=at(5, 0), started_at=at(5, 0, 1), finished_at=at(5, 0, 40))
    )
    tables["gcp_audit_entry"].append(entry("u-0", at=at(5, 0)))

    failed = chains(tables)["u-0"]

    assert states(failed) == {"trigger": "proven"} | dict.fromkeys(LINKS[1:], "not_required")
    assert failed["superseded_by"].endswith("#u-1")


def test_reexport_that_is_proven_stands_in_for_the_run_it_overwrote() -> None:
    tables = proven()
    tables["dataproc_job"].append(
        job("u-0", submitted_at=at(5, 0), started_at=at(5, 0, 1), finished_at=at(5, 0, 40))
    )
    for number in range(3):
        tables["s3_object_version"].append(
            part(number, version_id=f"w{number}", last_modified=at(5, 0, 20), is_latest=False)
        )
        tables["s3_data_event"].append(
            event(
                number,
                event_id=f"old-{number}",
                version_id=f"w{number}",
                at=at(5, 0, 20),
                access_key_id="ASIAOLD",
                session_name="u-0",
            )
        )
    tables["sts_session"].append(
        session("ASIAOLD", issued_at=at(5, 0, 5), expires_at=at(5, 1, 5), session_name="u-0")
    )

    earlier = chains(tables)["u-0"]

    assert [earlier[f"{link}_state"] for link in LINKS[4:]] == ["not_required"] * 3
    assert earlier["superseded_by"].endswith("#u-1")


def test_reexport_does_not_stand_in_where_the_zone_forbids_it() -> None:
    tables = proven()
    tables["config_zone"][0]["supersede"] = False
    tables["dataproc_job"].append(
        job("u-0", submitted_at=at(5, 0), started_at=at(5, 0, 1), finished_at=at(5, 0, 40))
    )
    for number in range(3):
        tables["s3_object_version"].append(
            part(number, version_id=f"w{number}", last_modified=at(5, 0, 20), is_latest=False)
        )
        tables["s3_data_event"].append(
            event(
                number,
                event_id=f"old-{number}",
                version_id=f"w{number}",
                at=at(5, 0, 20),
                access_key_id="ASIAOLD",
                session_name="u-0",
            )
        )
    tables["sts_session"].append(
        session("ASIAOLD", issued_at=at(5, 0, 5), expires_at=at(5, 1, 5), session_name="u-0")
    )

    earlier = chains(tables)["u-0"]

    assert earlier["recovery_point_state"] == "broken"
    assert "overwritten" in earlier["recovery_point_because"]


def test_two_jobs_that_fit_the_same_objects_equally_leave_both_unknown() -> None:
    tables = proven()
    tables["dataproc_job"].append(job("u-2"))
    for row in tables["s3_data_event"]:
        row["session_name"] = "spark"
    tables["sts_session"][0]["session_name"] = "spark"

    both = chains(tables)

    assert {both["u-1"]["session_state"], both["u-2"]["session_state"]} == {"unknown"}
    assert {both["u-1"]["objects_state"], both["u-2"]["objects_state"]} == {"unknown"}


def test_prefix_run_1_never_takes_objects_of_run_17() -> None:
    tables = proven()
    tables["s3_data_event"].clear()
    tables["s3_manifest"].clear()
    tables["s3_object_version"] = [
        part(0, key="runs/run=17/part-0", dir="runs/run=17/"),
        part(1, key="runs/run=1/part-0", dir="runs/run=1/"),
    ]
    tables["dataproc_job"] = [
        job("u-1", arguments=["--output", "s3a://claims/runs/run=1"]),
        job("u-17", arguments=["--output", "s3a://claims/runs/run=17"]),
    ]

    both = chains(tables)

    assert (both["u-1"]["objects"], both["u-17"]["objects"]) == (1, 1)


def test_continuous_point_proves_only_with_settings_on_both_sides_and_a_clean_job_since() -> None:
    tables = proven()
    arn = f"arn:aws:backup:eu-west-1:{ACCOUNT}:recovery-point:continuous:claims-1"
    tables["backup_recovery_point"] = [
        point(
            arn, continuous=True, status="AVAILABLE", initiated_at=at(1), created_at=at(1), completed_at=None
        )
    ]
    tables["backup_job"] = [backup_job(arn)]
    tables["history_bucket"] = [{"arn": BUCKET, "at": at(4), "versioning": "Enabled", "eventbridge": True}]
    tables["config_zone"][0]["copy_to"] = []

    good = chains(tables)["u-1"]
    tables["history_bucket"][0]["eventbridge"] = False
    off = chains(tables)["u-1"]
    tables["history_bucket"][0]["eventbridge"] = True
    tables["backup_job"].clear()
    unclean = chains(tables)["u-1"]

    assert (good["recovery_point_state"], good["recovery_point_strength"]) == ("proven", "strong")
    assert off["recovery_point_state"] == "broken"
    assert unclean["recovery_point_state"] == "unknown"


def test_due_time_is_the_one_fixed_when_the_export_was_first_seen() -> None:
    tables = proven()
    tables["history_export"] = [
        {
            "export_id": f"claims/{PREFIX}#u-1",
            "zone": "phi",
            "first_seen_at": at(5, 3),
            "capture_due_at": at(5, 6),
        }
    ]

    export = chains(tables)["u-1"]

    assert export["recovery_point_state"] == "broken"
    assert export["capture_due_at"] == at(5, 6)


def test_proven_capture_stays_proven_after_its_point_ends_but_retention_breaks() -> None:
    tables = proven()
    gone = tables["backup_recovery_point"].pop(0)
    tables["history_export"] = [{
        "export_id": f"claims/{PREFIX}#u-1", "zone": "phi", "first_seen_at": at(5, 8), "capture_due_at": at(6, 2),
        "proving_point": gone["arn"], "final": False,
        "links": {"recovery_point": ["proven", "strong"], "copy": ["proven", "exact"]},
    }]  # fmt: skip
    tables["history_point"] = [{
        "arn": gone["arn"], "status": "COMPLETED", "delete_at": gone["delete_at"], "deletes_after_copy": False,
        "first_seen_at": at(5, 8), "last_seen_at": at(9), "resource_arn": BUCKET,
    }]  # fmt: skip

    export = chains(tables)["u-1"]

    assert export["recovery_point_state"] == "proven"
    assert export["retention_state"] == "broken"


def test_workflow_job_is_triggered_by_the_operation_that_lists_it() -> None:
    tables = proven()
    tables["gcp_audit_entry"] = [
        entry(job_uuid=None, job_id=None, workflow_jobs=["claims-u-1"],
              method="google.cloud.dataproc.v1.WorkflowTemplateService.InstantiateWorkflowTemplate")
    ]  # fmt: skip

    export = chains(tables)["u-1"]

    assert (export["trigger_state"], export["trigger_strength"]) == ("proven", "strong")


def test_registered_automation_is_proven_with_an_active_owner_and_broken_without_one() -> None:
    tables = proven()
    tables["gcp_audit_entry"][0]["principal_email"] = SA
    tables["config_automation"] = [
        {"principal": SA, "owner": "ana@example.org", "project": "*", "job_id": "claims-*"}
    ]

    owned = chains(tables)["u-1"]
    tables["directory_user"][0] |= {"status": "disabled", "disabled_at": at(2)}
    orphaned = chains(tables)["u-1"]

    assert (owned["trigger_state"], owned["trigger_strength"]) == ("proven", "strong")  # no person is seen
    assert orphaned["trigger_state"] == "broken"


def test_membership_without_dates_is_inferred_only_between_two_scans_that_saw_it() -> None:
    tables = proven()
    tables["directory_membership"][0]["from_at"] = None
    tables["history_membership"] = [
        {"user_id": "7", "group_name": "claims-runners", "from_seen_at": at(4), "until_seen_at": at(12)}
    ]

    between = chains(tables)["u-1"]
    tables["history_membership"][0]["from_seen_at"] = at(6)
    after = chains(tables)["u-1"]

    assert (between["trigger_state"], between["trigger_strength"]) == ("proven", "inferred")
    assert after["trigger_state"] == "unknown"


def test_prefix_found_by_writes_alone_is_an_export_of_the_session() -> None:
    tables = proven()
    tables["dataproc_job"][0]["arguments"] = []

    export = chains(tables)["u-1"]

    assert (export["found_by"], export["prefix"], export["objects"]) == ("session", PREFIX, 3)


def test_input_prefixes_are_no_exports() -> None:
    tables = proven()
    tables["dataproc_job"][0]["arguments"] += ["--input", "s3a://landing/raw/", "s3a://lookup/codes/"]

    assert len(chains(tables)) == 1


def test_late_write_by_the_same_session_extends_the_end_of_the_export() -> None:
    tables = proven()
    tables["s3_object_version"].append(part(5, last_modified=at(5, 2, 30)))
    tables["s3_data_event"].append(event(5, at=at(5, 2, 30)))
    tables["s3_manifest"][0]["filenames"].append(f"/{PREFIX}part-5")
    tables["sts_session"][0]["expires_at"] = at(5, 3)

    export = chains(tables)["u-1"]

    assert export["ended_at"] == at(5, 2, 30)
    assert export["state"] == "proven"
    assert export["capture_due_at"] == at(5, 2, 30) + timedelta(days=1)
