"""The job and objects links, cell by cell of links.md: what ran, and whether all it wrote is there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from chain_bend import Bend, Case, add, bent, both, clear, drop, early, hidden, holds, of, put, put_all
from chain_world import (
    ACCOUNT,
    BUCKET,
    PREFIX,
    SA,
    Tables,
    at,
    chains,
    entry,
    event,
    facts,
    gap,
    job,
    part,
    point,
)

EXPORT = f"claims/{PREFIX}#u-1"
FAILED = put("dataproc_job", state="ERROR")
RUNNING = put("dataproc_job", state="RUNNING", done=False, finished_at=None)
NOTHING = clear("s3_object_version", "s3_manifest", "s3_data_event")
NO_POINT = clear("backup_recovery_point")


def _stranger(number: int = 7, **more: Any) -> dict[str, Any]:
    user = {
        "access_key_id": "AKIAOLD",
        "principal_type": "IAMUser",
        "principal_arn": f"arn:aws:iam::{ACCOUNT}:user/old",
        "role_arn": None,
    }
    return event(number, **({"key": f"{PREFIX}part-0", "version_id": "vx"} | user | more))


def _said(**links: str) -> Bend:
    """What the last scan said of the links."""
    told = {name: [state, "exact" if state == "proven" else "none"] for name, state in links.items()}
    row = {
        "export_id": EXPORT,
        "zone": "phi",
        "first_seen_at": at(5, 8),
        "capture_due_at": at(6, 2),
        "final": False,
        "links": told,
    }
    return add(
        "history_export",
        row | {"proving_point": point()["arn"] if told.get("recovery_point", [""])[0] == "proven" else None},
    )


def _configured(complete: str) -> Bend:
    return add("config_export", {
        "name": "claims", "project": "*", "job_id": "claims-*", "bucket": "claims", "prefix": "daily/dt={date}/",
        "every_s": -1, "retry_s": 3600, "complete": complete, "owner": "ana@example.org",
    })  # fmt: skip


def _emptied(**more: Any) -> Bend:
    """The marker is the classic committer's."""
    return put("s3_manifest", form="empty", filenames=[], bytes=0, **more)


def _unlisted(number: int) -> Bend:
    return drop("s3_object_version", number)


def _again(uuid: str, **more: Any) -> dict[str, Any]:
    return job(uuid, **({"submitted_at": at(5, 3), "started_at": at(5, 3), "finished_at": at(5, 4)} | more))


CASES: list[Case] = [
    # job
    ("failed, not repeated, and the jobs of that time were denied", "job", "unknown", both(FAILED, hidden("dataproc_job", "data"))),
    ("failed, not due, and the jobs were denied", "job", "unknown", both(FAILED, early(4), hidden("dataproc_job", "data"))),
    ("failed, not repeated, and the jobs of another time were denied", "job", "broken", both(FAILED, hidden("dataproc_job", "data", from_at=at(9)))),
    ("failed, and the retry is due just now", "job", "pending", both(FAILED, early(8))),
    ("failed, and the retry was due a minute ago", "job", "broken", both(FAILED, early(8, 1))),
    ("cancelled", "job", "broken", put("dataproc_job", state="CANCELLED")),
    ("failed and its state is none that is known", "job", "unknown", put("dataproc_job", state="ATTEMPT_FAILURE")),
    ("the state is not known", "job", "unknown", put("dataproc_job", state=None)),
    ("a batch that succeeded", "job", "proven", put("dataproc_job", kind="batch", state="SUCCEEDED", service_account=SA)),
    ("a batch that says DONE", "job", "unknown", put("dataproc_job", kind="batch", state="DONE", service_account=SA)),
    ("a session that was terminated", "job", "proven", put("dataproc_job", kind="session", state="TERMINATED", service_account=SA)),
    ("a session that failed", "job", "broken", put("dataproc_job", kind="session", state="FAILED", service_account=SA)),
    ("it runs and the listing was denied in an earlier scan", "job", "pending", both(RUNNING, hidden("dataproc_job", "data", until_at=at(10)))),
    ("it runs and another job could not be found again", "job", "pending", both(RUNNING, hidden("dataproc_job", "data", resource="u-9"))),
    ("it runs and could not be found again itself", "job", "unknown", both(RUNNING, hidden("dataproc_job", "data", resource="u-1"))),
    ("the cluster names no service account", "job", "unknown", put("dataproc_cluster", service_account=None)),
    ("the cluster maps the person to an account", "job", "proven", put("dataproc_cluster", user_service_accounts={"Ana@example.org": SA})),
    ("the cluster maps other people to accounts", "job", "unknown", put("dataproc_cluster", user_service_accounts={"eve@example.org": SA})),
    ("the cluster maps people and nobody knows who submitted", "job", "unknown", both(put("dataproc_cluster", user_service_accounts={"ana@example.org": SA}), clear("gcp_audit_entry"))),
    ("the cluster maps people and two entries disagree who submitted", "job", "unknown", both(put("dataproc_cluster", user_service_accounts={"ana@example.org": SA}), add("gcp_audit_entry", entry(entry_id="2", principal_email="eve@example.org")))),
    # what runs behind what was seen
    ("the job runs and the listing was denied", "objects", "unknown", both(RUNNING, hidden("dataproc_job", "data"))),
    ("the job runs and the listing was denied, at the capture", "recovery_point", "unknown", both(RUNNING, hidden("dataproc_job", "data"))),
    ("when the job ended is not known", "objects", "unknown", put("dataproc_job", finished_at=None)),
    ("when the job ended is not known, at the capture", "recovery_point", "unknown", put("dataproc_job", finished_at=None)),
    ("when the job started is not known", "objects", "unknown", put("dataproc_job", submitted_at=None, started_at=None)),
    ("when the job started is not known, at the capture", "recovery_point", "unknown", put("dataproc_job", submitted_at=None, started_at=None)),
    # nothing there
    ("the job failed and nothing was written", "objects", "not_required", both(FAILED, NOTHING)),
    ("how the job ended is not known and nothing was written", "objects", "unknown", both(put("dataproc_job", done=None), NOTHING)),
    ("the job failed, left objects and no marker", "objects", "broken", both(FAILED, clear("s3_manifest"))),
    ("the job failed, left objects, and the retry is not due", "objects", "pending", both(FAILED, early(4))),
    # others
    ("a stranger wrote into a failed job's prefix", "objects", "broken", both(FAILED, add("s3_data_event", _stranger()))),
    ("a stranger wrote while the job runs", "objects", "broken", both(RUNNING, add("s3_data_event", _stranger()))),
    ("a stranger wrote and the listing was denied", "objects", "broken", both(add("s3_data_event", _stranger()), hidden("s3_object_version", resource=BUCKET))),
    ("a stranger wrote exactly the skew before the first write", "objects", "broken", add("s3_data_event", _stranger(at=at(5, 1, 28)))),
    ("a stranger wrote before the first write", "objects", "proven", add("s3_data_event", _stranger(at=at(5, 1, 27)))),
    ("a stranger wrote just when the capture started", "objects", "broken", add("s3_data_event", _stranger(at=at(5, 5)))),
    ("a stranger wrote after the capture", "objects", "proven", add("s3_data_event", _stranger(at=at(5, 5, 1)))),
    ("a stranger wrote after the end and no point holds it", "objects", "broken", both(NO_POINT, add("s3_data_event", _stranger(at=at(7))))),
    ("a stranger wrote after the end and whether a point holds it was denied", "objects", "unknown", both(NO_POINT, hidden("backup_recovery_point"), add("s3_data_event", _stranger(at=at(7))))),
    ("a stranger wrote in the job's time and the vaults were denied", "objects", "broken", both(NO_POINT, hidden("backup_recovery_point"), add("s3_data_event", _stranger(at=at(5, 1, 40))))),
    ("a stranger wrote and no export role is configured", "objects", "broken", both(clear("config_federation"), add("s3_data_event", _stranger()))),
    ("no export role is configured", "objects", "unknown", clear("config_federation")),
    ("a session of the job's account issued after its end wrote", "objects", "unknown", both(put("sts_session", issued_at=at(5, 2, 5), expires_at=at(5, 4)), put_all("s3_data_event", at=at(5, 2, 6)), put_all("s3_object_version", last_modified=at(5, 2, 6)))),
    # data events
    ("data events between the end and the capture were denied", "objects", "unknown", hidden("s3_data_event", from_at=at(5, 3), until_at=at(5, 4))),
    ("data events after the capture were denied", "objects", "proven", hidden("s3_data_event", from_at=at(5, 6))),
    ("data events until now were denied and nothing is captured", "objects", "unknown", both(NO_POINT, hidden("s3_data_event", from_at=at(8)))),
    ("data events of another bucket are not recorded", "objects", "proven", hidden("s3_data_event", resource="arn:aws:s3:::other")),
    ("who else wrote may still be logged", "objects", "pending", early(2, 59)),
    ("who else wrote is settled", "objects", "proven", early(3)),
    # completeness
    ("the job wrote a file twice", "objects", "proven", both(put("s3_object_version", is_latest=False), add("s3_object_version", part(0, version_id="again", last_modified=at(5, 1, 50))), add("s3_data_event", event(0, event_id="again", version_id="again", at=at(5, 1, 50))))),
    ("the job deleted a file and wrote it again", "objects", "proven", both(put("s3_object_version", is_latest=False), add("s3_object_version", part(0, version_id="again", last_modified=at(5, 1, 50)), part(0, version_id="mark", last_modified=at(5, 1, 45), is_latest=False, is_delete_marker=True, bytes=0)), add("s3_data_event", event(0, event_id="again", version_id="again", at=at(5, 1, 50))))),
    ("the job deleted a file and wrote it again, at the capture", "recovery_point", "proven", both(put("s3_object_version", is_latest=False), add("s3_object_version", part(0, version_id="again", last_modified=at(5, 1, 50)), part(0, version_id="mark", last_modified=at(5, 1, 45), is_latest=False, is_delete_marker=True, bytes=0)), add("s3_data_event", event(0, event_id="again", version_id="again", at=at(5, 1, 50))))),
    ("the first of a file's two versions is gone", "objects", "proven", both(drop("s3_object_version"), add("s3_object_version", part(0, version_id="again", last_modified=at(5, 1, 50))), add("s3_data_event", event(0, event_id="again", version_id="again", at=at(5, 1, 50))))),
    ("a listed file is an older run's, and another makes up the number", "objects", "unknown", both(put("s3_object_version", last_modified=at(3), version_id="old"), put("s3_data_event", version_id="old", at=at(3), access_key_id="ASIAOLD", principal_type="AWSService", principal_arn="s3.amazonaws.com"), add("config_writer", {"match": "s3.amazonaws.com", "bucket": "*", "reason": "restore"}), add("s3_object_version", part(5)), add("s3_data_event", event(5)))),
    ("the marker was written twice", "objects", "proven", both(add("s3_object_version", part(9, key=f"{PREFIX}_SUCCESS", version_id="vm0", last_modified=at(5, 1, 50), is_latest=False)), lambda tables: tables["s3_manifest"].append(tables["s3_manifest"][0] | {"version_id": "vm0", "last_modified": at(5, 1, 50)}))),
    ("an empty marker after all parts", "objects", "proven", _emptied()),
    ("an empty marker just when the last part was", "objects", "proven", _emptied(last_modified=at(5, 1, 32))),
    ("an empty marker before the last part", "objects", "unknown", _emptied(last_modified=at(5, 1, 31))),
    ("an empty marker before a multipart upload was complete", "objects", "unknown", both(_emptied(), put("s3_data_event", at=at(5, 1, 59, ) + timedelta(seconds=30), event_name="CompleteMultipartUpload"))),
    ("an empty marker where a manifest is expected", "objects", "broken", both(_emptied(), _configured("manifest"))),
    ("an empty marker where a marker is expected", "objects", "proven", both(_emptied(), _configured("marker"))),
    ("no marker where one is expected", "objects", "broken", both(clear("s3_manifest"), _configured("marker"))),
    ("no marker where one is expected and markers were denied", "objects", "unknown", both(clear("s3_manifest"), _configured("marker"), hidden("s3_manifest", resource=BUCKET))),
    ("no marker where one is expected and another bucket's were denied", "objects", "broken", both(clear("s3_manifest"), _configured("marker"), hidden("s3_manifest", resource="arn:aws:s3:::other"))),
    ("no marker and none is expected", "objects", "unknown", both(clear("s3_manifest"), _configured("none"))),
    # versions that are gone
    ("a version was deleted before the capture", "objects", "broken", both(_unlisted(0), add("s3_data_event", event(0, event_id="del", event_name="DeleteObject", at=at(5, 4))))),
    ("a version was deleted after the capture", "objects", "proven", both(_unlisted(0), add("s3_data_event", event(0, event_id="del", event_name="DeleteObject", at=at(5, 6))))),
    ("a listed version is gone and nothing tells since when", "objects", "broken", _unlisted(0)),
    ("a version is gone that an earlier scan saw captured", "objects", "proven", both(_unlisted(0), _said(objects="proven", recovery_point="proven"))),
    ("a version is gone that an earlier scan saw captured, at the capture", "recovery_point", "proven", both(_unlisted(0), _said(objects="proven", recovery_point="proven"))),
    ("a version is gone and no point holds it", "objects", "broken", both(_unlisted(0), NO_POINT)),
    ("a version is gone and whether a point holds it was denied", "objects", "unknown", both(_unlisted(0), NO_POINT, hidden("backup_recovery_point"))),
    ("all is gone that an earlier scan saw captured", "objects", "proven", both(clear("s3_object_version", "s3_manifest"), _said(objects="proven", recovery_point="proven"))),
    ("all is gone that an earlier scan saw captured, at the capture", "recovery_point", "proven", both(clear("s3_object_version", "s3_manifest"), _said(objects="proven", recovery_point="proven"))),
    ("all is gone and nobody saw it before", "recovery_point", "unknown", clear("s3_object_version", "s3_manifest")),
    ("all is gone before anybody captured it", "recovery_point", "broken", both(clear("s3_object_version", "s3_manifest"), *(add("s3_data_event", event(number, event_id=f"del-{number}", event_name="DeleteObject", at=at(5, 4))) for number in range(3)))),
    # versioning
    ("versioning is suspended now and a scan after the capture saw it on", "objects", "proven", both(put("s3_bucket", versioning="Suspended"), add("history_bucket", {"arn": BUCKET, "at": at(6), "versioning": "Enabled", "eventbridge": True}))),
    ("versioning is suspended now and a change after the capture tells", "objects", "proven", both(put("s3_bucket", versioning="Suspended"), add("aws_change", {"event_id": "c", "account": ACCOUNT, "at": at(8), "event_name": "PutBucketVersioning", "resource": BUCKET, "actor": "eve", "error_code": "", "request": {"VersioningConfiguration": {"Status": "Suspended"}}}))),
    ("versioning is suspended now and nobody knows since when", "objects", "unknown", put("s3_bucket", versioning="Suspended")),
    ("versioning was suspended between the writes and the capture", "objects", "unknown", add("aws_change", {"event_id": "c", "account": ACCOUNT, "at": at(5, 4), "event_name": "PutBucketVersioning", "resource": BUCKET, "actor": "eve", "error_code": "", "request": {"VersioningConfiguration": {"Status": "Suspended"}}})),
    ("suspending versioning was refused", "objects", "proven", add("aws_change", {"event_id": "c", "account": ACCOUNT, "at": at(5, 4), "event_name": "PutBucketVersioning", "resource": BUCKET, "actor": "eve", "error_code": "AccessDenied", "request": {"VersioningConfiguration": {"Status": "Suspended"}}})),
]  # fmt: skip


@of(CASES)
def test_link_is(sentence: str, link: str, state: str, bend: Bend) -> None:
    holds(link, state, bend)


def test_objects_are_exact_with_an_event_for_each_strong_by_listing_and_inferred_by_a_marker() -> None:
    def strength(*bends: Bend) -> Any:
        export = chains(bent(*bends))["u-1"]
        return export["objects_state"], export["objects_strength"]

    assert strength() == ("proven", "exact")
    assert strength(drop("s3_data_event", 0)) == ("proven", "strong")
    assert strength(_emptied()) == ("proven", "inferred")


def test_job_that_only_audit_entries_tell_of_is_broken_whatever_else_of_its_id_was_deleted() -> None:
    def deleted(at_: Any, entry_id: str) -> dict[str, Any]:
        method = "google.cloud.dataproc.v1.JobController.DeleteJob"
        return entry(entry_id=entry_id, at=at_, method=method, job_uuid=None)

    tables = bent(
        clear("dataproc_job"),
        _configured("none"),
        add("gcp_audit_entry", deleted(at(4), "d0"), deleted(at(5, 2), "d1"), deleted(at(6), "d2")),
    )
    export = chains(tables)["u-1"]

    assert (export["job_state"], export["state_of_job"], export["finished_at"]) == (
        "broken",
        "DELETED",
        at(5, 2),
    )
    assert export["objects_state"] != "not_required"


def test_refused_submission_makes_no_deleted_job() -> None:
    method = "google.cloud.dataproc.v1.JobController.DeleteJob"
    tables = bent(
        clear("dataproc_job"),
        put("gcp_audit_entry", status_code=7),
        add("gcp_audit_entry", entry(entry_id="d", at=at(6), method=method)),
    )

    assert facts(tables, "chain_job") == []


def test_rival_that_was_given_no_object_is_not_excused_as_if_it_had_written_none() -> None:
    def both_fit(tables: Tables) -> None:
        tables["s3_data_event"].clear()
        tables["dataproc_job"].append(job("u-0", submitted_at=at(5, 0, 50), started_at=at(5, 0, 50)))

    rivals = chains(bent(both_fit))

    assert {rivals[uuid]["objects"] for uuid in rivals} == {3, 0}
    (loser,) = (row for row in rivals.values() if row["objects"] == 0)
    assert (loser["recovery_point_state"], loser["objects_state"]) == ("unknown", "unknown")


def test_failed_run_is_repeated_by_a_success_of_its_key_exactly_at_the_deadline_and_not_after() -> None:
    def repeated(hour: int, minute: int) -> Any:
        retry = _again("u-2", submitted_at=at(5, 7), started_at=at(5, 7), finished_at=at(5, hour, minute))
        return chains(bent(FAILED, add("dataproc_job", retry)))["u-1"]["job_state"]

    assert repeated(8, 0) == "not_required"
    assert repeated(8, 1) == "broken"


def test_run_of_another_region_value_is_another_export() -> None:
    """What differs between runs is a date or a number of the run, not which part of the data it is."""
    one = put(
        "dataproc_job", state="ERROR", arguments=["--output", "s3a://claims/daily/region=eu/dt=2026-01-05/"]
    )
    other = _again("u-2", arguments=["--output", "s3a://claims/daily/region=us/dt=2026-01-05/"])
    same = _again("u-2", arguments=["--output", "s3a://claims/daily/region=eu/dt=2026-01-06/"])

    assert chains(bent(one, add("dataproc_job", other)))["u-1"]["job_state"] == "broken"
    assert chains(bent(one, add("dataproc_job", same)))["u-1"]["job_state"] == "not_required"


def test_tags_that_were_not_read_may_be_stricter_than_the_configuration() -> None:
    lax = both(
        put("dataproc_job", labels={"zone": "public"}),
        add("config_bucket", {"bucket": "claims", "zone": "public"}),
    )

    assert chains(bent(lax, put("s3_bucket", tags=None)))["u-1"]["zone"] is None
    assert chains(bent(lax, put("s3_bucket", tags={})))["u-1"]["zone"] == "public"
    assert chains(bent(lax))["u-1"]["zone"] == "phi"  # the tag, and the stricter of both


def test_data_event_of_a_multipart_upload_ends_the_export_when_it_is_complete() -> None:
    done = at(5, 2, 40)
    late = both(
        put("s3_data_event", at=done, event_name="CompleteMultipartUpload"),
        put("sts_session", expires_at=at(5, 4)),
    )
    export = chains(bent(late))["u-1"]
    unnamed = chains(bent(late, put("s3_data_event", access_key_id="ASIAX", session_name="x")))["u-1"]

    assert export["ended_at"] == done
    assert unnamed["ended_at"] == done, "whoever wrote it"


def test_gap_elsewhere_never_reaches_this_export() -> None:
    before = chains(bent())
    far = [
        gap(table, "999999999999")
        for table in (
            "s3_bucket",
            "s3_object_version",
            "s3_data_event",
            "backup_recovery_point",
            "sts_session",
        )
    ]

    assert chains(bent(add("coverage", *far))) == before
