"""The recovery_point link, cell by cell of links.md: periodic and continuous points, due times, what overwrites."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from chain_bend import Bend, Case, add, bent, both, clear, drop, early, hidden, holds, of, put
from chain_world import (
    ACCOUNT,
    BUCKET,
    PREFIX,
    RECOVERY,
    Tables,
    at,
    backup_job,
    chains,
    entry,
    event,
    job,
    part,
    point,
    session,
)
from ledger_case import day, scan

from auditor.ledger import ExportMemory, Ledger, Memories

EXPORT = f"claims/{PREFIX}#u-1"
ARN = f"arn:aws:backup:eu-west-1:{ACCOUNT}:recovery-point:continuous:claims-1"
TWO = f"arn:aws:backup:eu-west-1:{ACCOUNT}:recovery-point:two"
USER = {
    "access_key_id": "AKIAOLD",
    "principal_type": "IAMUser",
    "principal_arn": "arn:aws:iam::1:user/old",
    "role_arn": None,
}


def _started(**more: Any) -> Bend:
    times = {"initiated_at": at(5, 5), "created_at": at(5, 5)} | more
    return put("backup_recovery_point", **times)


def _said(state: str = "proven", **more: Any) -> Bend:
    row = {
        "export_id": EXPORT, "zone": "phi", "first_seen_at": at(5, 8), "capture_due_at": at(6, 2), "final": False,
        "proving_point": point()["arn"] if state == "proven" else None,
        "links": {"recovery_point": [state, "strong" if state == "proven" else "none"]},
    }  # fmt: skip
    return add("history_export", row | more)


def _known(arn: str = point()["arn"], **more: Any) -> Bend:
    row = {
        "arn": arn,
        "status": "COMPLETED",
        "delete_at": at(5) + timedelta(days=200),
        "deletes_after_copy": False,
    }
    return add(
        "history_point",
        row | {"first_seen_at": at(5, 8), "last_seen_at": at(9), "resource_arn": BUCKET} | more,
    )


def _overwritten(when: Any, by: dict[str, Any] | None = None, **more: Any) -> Bend:
    version = part(0, version_id="over", last_modified=when, **more)
    told = event(0, event_id="over", version_id="over", at=more.get("done", when), **(by or USER))
    return both(
        put("s3_object_version", is_latest=False),
        add("s3_object_version", version),
        add("s3_data_event", told),
    )


def _deleted(when: Any) -> Bend:
    mark = part(0, version_id="mark", last_modified=when, is_delete_marker=True, bytes=0)
    return both(put("s3_object_version", is_latest=False), add("s3_object_version", mark))


CASES: list[Case] = [
    # when it started and completed
    ("started exactly the skew after the end", "recovery_point", "proven", _started(initiated_at=at(5, 2, 2), created_at=at(5, 2, 2))),
    ("initiated within the skew though created after", "recovery_point", "unknown", _started(initiated_at=at(5, 2, 1))),
    ("created within the skew though initiated after", "recovery_point", "unknown", _started(created_at=at(5, 2, 1))),
    ("says only when it was created", "recovery_point", "proven", _started(initiated_at=None)),
    ("does not say when it started", "recovery_point", "unknown", _started(initiated_at=None, created_at=None)),
    ("completed exactly when due", "recovery_point", "proven", put("backup_recovery_point", completed_at=at(6, 2))),
    ("completed a minute after it was due", "recovery_point", "broken", put("backup_recovery_point", completed_at=at(6, 2, 1))),
    ("when it completed is not known", "recovery_point", "unknown", put("backup_recovery_point", completed_at=None)),
    ("completed exactly at the last write", "recovery_point", "unknown", both(_started(initiated_at=at(5), created_at=at(5)), put("backup_recovery_point", completed_at=at(5, 1, 59)))),
    ("completed a minute before the last write", "recovery_point", "broken", both(_started(initiated_at=at(5), created_at=at(5)), put("backup_recovery_point", completed_at=at(5, 1, 58)))),
    ("overlaps the export and completed after it was due", "recovery_point", "broken", both(_started(initiated_at=at(5, 1, 30), created_at=at(5, 1, 30)), put("backup_recovery_point", completed_at=at(7)))),
    ("overlaps and is not due", "recovery_point", "pending", both(_started(initiated_at=at(5, 1, 30), created_at=at(5, 1, 30)), early(9))),
    ("is being made and is due just now", "recovery_point", "pending", both(put("backup_recovery_point", status="CREATING", completed_at=None), put("as_of", as_of=at(6, 2)))),
    ("is being made still, though it was due", "recovery_point", "broken", both(put("backup_recovery_point", status="CREATING", completed_at=None), put("as_of", as_of=at(6, 2, 1)))),
    ("an early point and a late one", "recovery_point", "broken", both(put("backup_recovery_point", completed_at=at(7)), add("backup_recovery_point", point(TWO, initiated_at=at(4), created_at=at(4), completed_at=at(4, 2))))),
    ("a torn point and one in time", "recovery_point", "proven", add("backup_recovery_point", point(TWO, initiated_at=at(5, 1, 30), created_at=at(5, 1, 30)))),
    ("a late point and one that is weak", "recovery_point", "unknown", both(put("backup_recovery_point", bytes=0), add("backup_recovery_point", point(TWO, completed_at=at(8))))),
    # what it is worth
    ("it has expired before anybody saw it prove", "recovery_point", "unknown", put("backup_recovery_point", status="EXPIRED")),
    ("its status is not known", "recovery_point", "unknown", put("backup_recovery_point", status=None)),
    ("its bytes are not known", "recovery_point", "unknown", put("backup_recovery_point", bytes=None)),
    ("its job says nothing of issues", "recovery_point", "unknown", put("backup_job", category=None)),
    ("its job failed", "recovery_point", "unknown", put("backup_job", state="FAILED")),
    ("a point of another bucket", "recovery_point", "broken", put("backup_recovery_point", resource_arn="arn:aws:s3:::other")),
    ("a copy in another account that does not say it is one", "recovery_point", "broken", put("backup_recovery_point", account=RECOVERY, region="eu-central-1", source_vault_arn=None)),
    ("versioning is suspended now and nobody knows since when", "recovery_point", "unknown", put("s3_bucket", versioning="Suspended")),
    ("versioning was seen off between the writes and the start", "recovery_point", "unknown", add("history_bucket", {"arn": BUCKET, "at": at(5, 4), "versioning": "Suspended", "eventbridge": True})),
    ("versioning was seen off before the writes", "recovery_point", "proven", add("history_bucket", {"arn": BUCKET, "at": at(4), "versioning": "Suspended", "eventbridge": True})),
    ("the listing of the bucket was cut", "recovery_point", "unknown", hidden("s3_object_version", resource=BUCKET)),
    ("the listing of another bucket was cut", "recovery_point", "proven", hidden("s3_object_version", resource="arn:aws:s3:::other")),
    ("tags of a point were denied", "recovery_point", "broken", both(clear("backup_recovery_point"), hidden("backup_recovery_point", resource="arn:point#tags"))),
    ("vaults of another region were denied", "recovery_point", "broken", both(clear("backup_recovery_point"), hidden("backup_recovery_point", region="eu-central-1"))),
    # zones
    ("the zone asks for no capture", "recovery_point", "not_required", put("config_zone", capture_s=-1)),
    ("the zone asks for none, and did when it was first seen", "recovery_point", "proven", both(put("config_zone", capture_s=-1), _said())),
    ("the zone asks for none now, and none was made by the time that was fixed", "recovery_point", "broken", both(put("config_zone", capture_s=-1), _said("pending"), clear("backup_recovery_point"))),
    ("the zone does not state a limit", "recovery_point", "unknown", put("config_zone", capture_s=None)),
    ("a longer limit since does not extend it", "recovery_point", "broken", both(put("config_zone", capture_s=864000), _said("pending"), put("backup_recovery_point", completed_at=at(7)))),
    # overwritten and deleted
    ("overwritten just when the point started", "recovery_point", "broken", _overwritten(at(5, 5))),
    ("overwritten after the point started", "recovery_point", "proven", _overwritten(at(5, 5, 1))),
    ("overwritten by an upload that began before and was complete after", "recovery_point", "proven", both(_overwritten(at(5, 4, 50)), put("s3_data_event", 3, at=at(5, 5, 30), event_name="CompleteMultipartUpload"))),
    ("overwritten by nobody knows whom after the end", "recovery_point", "broken", both(put("s3_object_version", is_latest=False), add("s3_object_version", part(0, version_id="over", last_modified=at(5, 4))))),
    ("overwritten by nobody knows whom while the job wrote", "recovery_point", "unknown", both(clear("s3_data_event"), put("s3_object_version", is_latest=False), add("s3_object_version", part(0, version_id="over", last_modified=at(5, 1, 50))))),
    ("deleted while the job wrote", "recovery_point", "broken", _deleted(at(5, 1, 50))),
    ("overwritten, and an earlier point holds it", "recovery_point", "proven", both(_overwritten(at(5, 6)), add("backup_recovery_point", point(TWO, initiated_at=at(5, 8), created_at=at(5, 8), completed_at=at(5, 9))))),
    # what earlier scans said
    ("nothing is there now, and an earlier scan saw it captured", "recovery_point", "proven", both(clear("s3_object_version", "s3_manifest", "s3_data_event"), _said())),
    ("nothing is there now, and an earlier scan saw it uncaptured", "recovery_point", "broken", both(clear("s3_object_version", "s3_manifest", "s3_data_event"), _said("broken"))),
    ("nothing is there now, and an earlier scan could not tell", "recovery_point", "unknown", both(clear("s3_object_version", "s3_manifest", "s3_data_event"), _said("unknown"))),
    ("nothing is there now, and an earlier scan waited for its capture", "recovery_point", "unknown", both(clear("s3_object_version", "s3_manifest", "s3_data_event"), _said("pending"))),
    ("nothing is there now, and an earlier scan saw it run", "recovery_point", "not_required", both(clear("s3_object_version", "s3_manifest", "s3_data_event"), _said("pending", capture_due_at=None))),
    ("the point that proved it has expired", "recovery_point", "proven", both(put("backup_recovery_point", status="EXPIRED"), _said(), _known())),
    ("the point that proved it is gone", "recovery_point", "proven", both(drop("backup_recovery_point"), _said(), _known())),
    ("the point that proved it is gone, and nothing is known of it", "recovery_point", "broken", both(drop("backup_recovery_point"), _said())),
    ("the point that proved it cannot be seen", "recovery_point", "unknown", both(drop("backup_recovery_point"), _said(), _known(), hidden("backup_recovery_point"))),
    ("a stranger wrote after the point that is gone now held it", "objects", "proven", both(drop("backup_recovery_point"), _said(), _known(), add("s3_data_event", event(7, at=at(8), version_id="vx", **USER)))),
    ("its retention ended well", "recovery_point", "proven", both(clear("backup_recovery_point"), _said(final=True, links={name: ["proven", "strong"] for name in ("objects", "recovery_point", "copy", "retention")}))),
    ("its retention ended well and vaults are denied", "retention", "proven", both(clear("backup_recovery_point"), _said(final=True, links={name: ["proven", "strong"] for name in ("objects", "recovery_point", "copy", "retention")}), hidden("backup_recovery_point"))),
    ("its retention ended well and its objects were never complete", "objects", "broken", _said(final=True, links={"objects": ["broken", "none"], "recovery_point": ["proven", "strong"], "copy": ["proven", "exact"], "retention": ["proven", "exact"]})),
]  # fmt: skip


@of(CASES)
def test_recovery_point_is(sentence: str, link: str, state: str, bend: Bend) -> None:
    holds(link, state, bend)


def _continuous(**more: Any) -> Bend:
    """One continuous point instead, its settings seen on before the export, and no copies asked for."""
    own = {
        "continuous": True,
        "status": "AVAILABLE",
        "initiated_at": at(1),
        "created_at": at(1),
        "completed_at": at(1, 3),
    }
    return both(
        lambda tables: tables.update(
            backup_recovery_point=[point(ARN, **(own | more))], backup_job=[backup_job(ARN)]
        ),
        add("history_bucket", {"arn": BUCKET, "at": at(4), "versioning": "Enabled", "eventbridge": True}),
        put("config_zone", copy_to=[]),
    )


def _change(when: Any, name: str = "PutBucketNotification", **request: Any) -> Bend:
    row = {
        "event_id": f"c-{when}",
        "account": ACCOUNT,
        "region": "eu-west-1",
        "at": when,
        "event_name": name,
        "resource": BUCKET,
    }
    return add(
        "aws_change", row | {"actor": "eve", "error_code": "", "request": {"bucketName": "claims", **request}}
    )


_NO_SCAN = clear("history_bucket")
_ON = {"NotificationConfiguration": {"EventBridgeConfiguration": {}}}
CONTINUOUS: list[Case] = [
    ("all is as it must be", "recovery_point", "proven", _continuous()),
    ("no scan saw it before, and no change is told since", "recovery_point", "proven", both(_continuous(), _NO_SCAN)),
    ("no scan saw it before, and changes could not be seen", "recovery_point", "unknown", both(_continuous(), _NO_SCAN, hidden("aws_change"))),
    ("no scan saw it before, and changes of another service are left out", "recovery_point", "proven", both(_continuous(), _NO_SCAN, hidden("aws_change", resource="kms.amazonaws.com"))),
    ("no scan saw it before, and it was changed since", "recovery_point", "unknown", both(_continuous(), _NO_SCAN, _change(at(7), **_ON))),
    ("no scan saw it before, and it is off now", "recovery_point", "unknown", both(_continuous(), _NO_SCAN, put("s3_bucket", eventbridge=False))),
    ("a scan saw EventBridge off before", "recovery_point", "broken", both(_continuous(), put("history_bucket", eventbridge=False))),
    ("a scan saw EventBridge off before and a change switched it on", "recovery_point", "proven", both(_continuous(), put("history_bucket", eventbridge=False), _change(at(4, 12), **_ON))),
    ("a change switched EventBridge off before the end", "recovery_point", "broken", both(_continuous(), _change(at(5, 1)))),
    ("a change switched EventBridge off exactly at the end", "recovery_point", "broken", both(_continuous(), _change(at(5, 2)))),
    ("a change switched EventBridge off before and on after the end", "recovery_point", "broken", both(_continuous(), _change(at(5, 1)), _change(at(5, 3), **_ON))),
    ("a change suspended versioning before the end", "recovery_point", "broken", both(_continuous(), _change(at(5, 1), "PutBucketVersioning", VersioningConfiguration={"Status": "Suspended"}))),
    ("a change that was refused", "recovery_point", "proven", both(_continuous(), _change(at(5, 1)), put("aws_change", error_code="AccessDenied"))),
    ("EventBridge was off in the first scan after the end", "recovery_point", "unknown", both(_continuous(), add("history_bucket", {"arn": BUCKET, "at": at(6), "versioning": "Enabled", "eventbridge": False}))),
    ("EventBridge was on in the first scan after the end and is off now", "recovery_point", "proven", both(_continuous(), add("history_bucket", {"arn": BUCKET, "at": at(6), "versioning": "Enabled", "eventbridge": True}), put("s3_bucket", eventbridge=False))),
    ("the present setting was denied", "recovery_point", "unknown", both(_continuous(), put("s3_bucket", eventbridge=None))),
    ("it was not switched off, and past due nothing else", "recovery_point", "unknown", _continuous(status="STOPPED")),
    ("it was seen STOPPED before the end", "recovery_point", "broken", both(_continuous(), _known(ARN, status="STOPPED", last_seen_at=at(4)))),
    ("it is STOPPED and proved it in an earlier scan", "recovery_point", "proven", both(_continuous(status="STOPPED"), _said(proving_point=ARN), _known(ARN, status="AVAILABLE"))),
    ("its first full backup is not complete", "recovery_point", "unknown", _continuous(status="CREATING")),
    ("no clean job started since", "recovery_point", "unknown", both(_continuous(), put("backup_job", started_at=at(5, 1), created_at=at(5, 1)))),
    ("a clean job started exactly the skew after the end", "recovery_point", "proven", both(_continuous(), put("backup_job", started_at=at(5, 2, 2)))),
    ("a clean job completed after it was due", "recovery_point", "unknown", both(_continuous(), put("backup_job", completed_at=at(7)))),
    ("a job completed with issues", "recovery_point", "unknown", both(_continuous(), put("backup_job", category="AccessDenied"))),
    ("no clean job yet, and not due", "recovery_point", "pending", both(_continuous(), clear("backup_job"), early(9))),
    ("an hour after the end is not over", "recovery_point", "pending", both(_continuous(), put("backup_job", started_at=at(5, 2, 2), completed_at=at(5, 2, 30)), early(2, 59))),
    ("an hour after the end is just over", "recovery_point", "proven", both(_continuous(), put("backup_job", started_at=at(5, 2, 2), completed_at=at(5, 2, 30)), early(3))),
    ("overwritten before the clean job started", "recovery_point", "proven", both(_continuous(), _overwritten(at(5, 3)))),
    ("a stranger wrote between the end and the clean job", "objects", "proven", both(_continuous(), add("s3_data_event", event(7, at=at(5, 3), version_id="vx", **USER)))),
    ("a stranger wrote while the job wrote", "objects", "broken", both(_continuous(), add("s3_data_event", event(7, at=at(5, 1, 40), version_id="vx", **USER)))),
    ("a version was deleted while the job wrote", "objects", "broken", both(_continuous(), drop("s3_object_version"), add("s3_data_event", event(0, event_id="del", event_name="DeleteObject", at=at(5, 1, 45))))),
    ("it keeps fewer days than required", "retention", "broken", _continuous(delete_after_d=35)),
    ("it keeps fewer days, and a periodic point holds it too", "retention", "proven", both(_continuous(delete_after_d=35), add("backup_recovery_point", point()), add("backup_job", backup_job()))),
    ("it is AVAILABLE and keeps long enough", "retention", "proven", _continuous()),
    ("it is STOPPED now", "retention", "unknown", both(_continuous(status="STOPPED"), _said(proving_point=ARN), _known(ARN, status="AVAILABLE"))),
]  # fmt: skip


@of(CONTINUOUS)
def test_continuous_point_when(sentence: str, link: str, state: str, bend: Bend) -> None:
    holds(link, state, bend)


def test_due_time_of_a_run_first_seen_while_it_ran_is_fixed_when_it_is_first_known(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger") as ledger:
        for n, due in enumerate([None, day(9), day(20), day(5)], start=1):
            ledger.record(
                scan(n),
                [],
                [],
                Memories(exports=[ExportMemory("b/p/#u", "phi", due, "pending", None)]),
                [],
                at=day(n),
            )
        (known,) = ledger.state(day(6)).tables["history_export"]

        assert ledger.verify().because == ""
    assert known["capture_due_at"] == day(9)


def _rerun(**more: Any) -> Bend:
    """An earlier run wrote the same keys, and this one overwrote them before any point was made."""

    def bend(tables: Tables) -> None:
        tables["dataproc_job"].append(
            job(
                "u-0",
                **({"submitted_at": at(5, 0), "started_at": at(5, 0, 1), "finished_at": at(5, 0, 40)} | more),
            )
        )
        for number in range(3):
            tables["s3_object_version"].append(
                part(number, version_id=f"w{number}", last_modified=at(5, 0, 20), is_latest=False)
            )
            old = {
                "event_id": f"old-{number}",
                "version_id": f"w{number}",
                "at": at(5, 0, 20),
                "access_key_id": "ASIAOLD",
                "session_name": "u-0",
            }
            tables["s3_data_event"].append(event(number, **old))
        tables["sts_session"].append(
            session("ASIAOLD", issued_at=at(5, 0, 5), expires_at=at(5, 1, 5), session_name="u-0")
        )
        tables["gcp_audit_entry"].append(entry("u-0", at=at(5, 0)))

    return bend


def test_later_run_stands_in_only_for_the_same_zone_and_only_when_it_was_proven_by_the_earlier_due_time() -> (
    None
):
    def state(*bends: Bend) -> Any:
        return chains(bent(_rerun(), *bends))["u-0"]["recovery_point_state"]

    assert state() == "not_required"
    assert (
        state(put("backup_recovery_point", completed_at=at(6, 1))) == "broken"
    )  # the later one is in time, by its own due
    assert state(put("config_zone", supersede=False)) == "broken"
    assert state(clear("backup_recovery_point")) == "broken"
    lax = _rerun(labels={"zone": "public"})
    untagged = put("s3_bucket", tags={})
    assert chains(bent(lax, untagged))["u-0"]["recovery_point_state"] == "broken"


def test_run_that_was_overwritten_is_open_while_nobody_can_tell_whether_the_later_one_was_captured() -> None:
    def links(*bends: Bend) -> dict[str, str]:
        export = chains(bent(_rerun(), *bends))["u-0"]
        return {name: export[f"{name}_state"] for name in ("recovery_point", "copy", "retention")}

    assert set(links(hidden("s3_data_event")).values()) == {"unknown"}
    assert links(hidden("s3_data_event"), put("config_zone", supersede=False))["recovery_point"] == "broken"


def test_continuous_point_keeps_an_overwritten_run_proven_by_itself() -> None:
    both_runs = chains(bent(_rerun(), _continuous()))

    assert {uuid: row["recovery_point_state"] for uuid, row in both_runs.items()} == {
        "u-0": "proven",
        "u-1": "proven",
    }
    assert both_runs["u-0"]["superseded_by"] is None


def test_of_a_hundred_points_the_one_in_time_proves_and_else_the_nearest_is_told() -> None:
    def nightly(skipped: int) -> Tables:
        def arn(number: int) -> str:
            return f"arn:aws:backup:eu-west-1:{ACCOUNT}:recovery-point:night-{number}"

        nights = [number for number in range(-60, 60) if number != skipped]
        times = {number: at(5, 5) + timedelta(days=number) for number in nights}
        return bent(
            lambda tables: tables.update(
                backup_recovery_point=[
                    point(arn(n), initiated_at=when, created_at=when, completed_at=when + timedelta(hours=2))
                    for n, when in times.items()
                ],
                backup_job=[backup_job(arn(n)) | {"job_id": arn(n)} for n in times],
            ),
            put("config_zone", copy_to=[]),
        )

    held = chains(nightly(99))["u-1"]
    missed = chains(nightly(0))["u-1"]

    assert held["proving_point"].endswith(":night-0")
    assert missed["recovery_point_state"] == "broken"
    assert "night-1 " in missed["recovery_point_because"]
