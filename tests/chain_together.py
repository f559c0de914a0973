"""What may be otherwise in a world of exports that leave no doubt beside one value: rows more, and what is other together."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from chain_world import BUCKET, PREFIX, at, entry, point, seen

PLACE = {"account": "111111111111", "region": "eu-west-1"}
FIRST = f"claims/{PREFIX}#u-1"
ADDED: list[tuple[str, dict[str, Any]]] = [
    ("stray_write", {"event_id": "x", "bucket": "claims", "dir": PREFIX, "key": f"{PREFIX}x", "at": at(5, 1, 40), "kind": "foreign", "because": "a key wrote", "gone": False, "session_key": None}),
    ("stray_write", {"event_id": "x", "bucket": "claims", "dir": PREFIX, "key": f"{PREFIX}x", "at": at(5, 1, 40), "kind": "no_issue", "because": "no issue", "gone": True, "session_key": None}),
    ("lost_version", {"export_id": FIRST, "bucket": "claims", "key": f"{PREFIX}x", "version_id": "x", "written_at": at(5, 1, 40), "deleted_at": None}),
    ("lost_version", {"export_id": FIRST, "bucket": "claims", "key": f"{PREFIX}x", "version_id": "x", "deleted_at": at(5, 3), "deleted_by": "eve"}),
    ("marker", {"export_id": FIRST, "bucket": "claims", "key": f"{PREFIX}a/_SUCCESS", "version_id": "x", "form": "empty", "cut": False, "last_modified": at(5, 1), "files": 0, "lost": 0, "elsewhere": 0, "missing": 0}),
    ("session_match", {"session_key": "ASIA2", "job_uuid": "u-1", "strength": "strong", "candidates": 1, "because": "its name"}),
    ("history_export", {"export_id": FIRST, "links": {}, "final": False, "capture_due_at": at(5, 6)}),
    ("history_export", {"export_id": FIRST, "links": {}, "final": False, "capture_due_at": at(5, 8)}),
    ("history_export", {"export_id": FIRST, "links": {"retention": ["proven", "exact"]}, "final": True}),
    ("history_bucket", {"arn": BUCKET, "at": at(4), "versioning": "Suspended"}),
    ("aws_change", {"resource": BUCKET, "event_name": "PutBucketVersioning", "at": at(5, 1, 30), "request": "Suspended", "actor": "eve", **PLACE}),
    ("s3_listing", {"bucket": "claims", "way": "inventory", "prefixes": [], "settled_at": at(5, 4)}),
    ("config_automation", {"principal": "ana@example.org", "project": "*", "region": "*", "job_id": "claims-u-2", "zone": "*", "starts": "*", "owner": "eve@example.org"}),
    ("config_duty", {"group_name": "claims-runners", "project": "*", "region": "*", "job_id": "claims-u-2", "zone": "*", "starts": "*"}),
    ("directory_user", {"id": "9", "email": "ana@example.org", "status": "active"}),
    ("chain_point", point("arn:x:early", completed_at=at(5, 6))),
    ("chain_point", point("arn:x:torn", initiated_at=at(5, 1), completed_at=at(5, 4))),
    ("chain_point", point("arn:x:without", completed_at=None)),
    ("chain_point", point("arn:x:before", created_at=at(5, 8), initiated_at=at(5, 8), completed_at=at(5, 6))),
    ("chain_point", point("arn:x:always", continuous=True, status="AVAILABLE", completed_at=at(5, 4))),
]  # fmt: skip

Change = tuple[str, str | None, dict[str, Any] | None]
"""A table; a value that tells the row, or None for one more row; what is other in it, or None where it is not there."""

JOB, OUTPUT, _SECOND, _THIRD = (
    "u-1",
    FIRST,
    "claims/daily/dt=2026-01-05-2/#u-2",
    "claims/daily/dt=2026-01-05-3/#u-3",
)
_CALL = entry("u-1", entry_id="submit-u-1x", static_key_name="")
_WROTE = {
    "access_key_id": "ASIAONE",
    "principal_arn": "arn:aws:sts::111111111111:assumed-role/export-writer/u-1",
    "bucket": "claims",
    "dir": PREFIX,
}


def _point_of(bucket: str, hour: int, account: str = "111111111111") -> list[Change]:
    """Return a recovery point of a bucket, from its backup job to its copy."""
    arn, far = f"arn:x:{bucket}h{hour}", f"arn:x:{bucket}f{hour}"
    times = {"initiated_at": at(5, hour), "created_at": at(5, hour), "completed_at": at(5, hour + 1)}
    of = times | {"resource_arn": f"arn:aws:s3:::{bucket}"}
    vault = "arn:aws:backup:eu-central-1:222222222222:backup-vault:far"
    held = {"account": "222222222222", "region": "eu-central-1", "vault_arn": vault, "source_vault_arn": "v"}
    copied = {
        "source_point_arn": arn,
        "dest_point_arn": far,
        "dest_vault_arn": vault,
        "state": "COMPLETED",
        "completed_at": at(5, hour + 2),
    }
    return [
        ("chain_point", None, point(arn, account=account, **of)),
        (
            "chain_backup_job",
            None,
            {"job_id": arn, "point_arn": arn, "state": "COMPLETED", "category": "SUCCESS"},
        ),
        ("chain_copy_job", None, copied | {"copy_job_id": arn}),
        ("chain_point", None, point(far, **of | held)),
    ]


_ELSEWHERE_TOO: list[Change] = [
    (
        "s3_bucket",
        None,
        {
            "arn": "arn:aws:s3:::claims-2",
            "bucket": "claims-2",
            "account": "222222222222",
            "region": "eu-west-1",
            "versioning": "Enabled",
            "eventbridge": True,
            "lifecycle": [],
            "tags": {"compliance-zone": "phi"},
        },
    ),
    *_point_of("claims-2", 6, "222222222222"),
    *(
        ("coverage", None, seen(table, "222222222222"))
        for table in ("s3_bucket", "s3_object_version", "s3_data_event")
    ),
    ("export_output", "claims/daily/dt=2026-01-05-2/#u-2", {"bucket": "claims-2"}),
    ("marker", "claims/daily/dt=2026-01-05-2/#u-2", {"bucket": "claims-2"}),
    ("credential", "ASIA2", {"bucket": "claims-2"}),
    ("credential_write", "ASIA2", {"bucket": "claims-2"}),
]
TOGETHER: list[tuple[Change, ...]] = [
    # Another entry of the call: of its operation, or of its job.
    (("gcp_audit_entry", None, _CALL | {"operation_id": "submit-u-1", "job_uuid": None, "static_key_name": "key"}),),
    (("gcp_audit_entry", None, _CALL | {"static_key_name": "key"}),),
    (("gcp_audit_entry", None, _CALL | {"at": None}),),
    # A call that says of another job that it started it.
    (("gcp_audit_entry", JOB, {"workflow_jobs": ["claims-u-2"]}), ("gcp_audit_entry", "u-2", None)),
    (("gcp_audit_entry", JOB, {"at": at(1)}), ("gcp_audit_entry", "u-2", {"at": at(1) - timedelta(hours=1)})),
    (("gcp_audit_entry", None, _CALL | {"operation_id": "submit-u-1", "job_uuid": None, "static_key_name": "key"}),
     ("gcp_audit_entry", None, _CALL | {"entry_id": "submit-u-1y", "operation_id": "submit-u-1", "job_uuid": None, "project": "elsewhere"})),
    (("gcp_audit_entry", JOB, {"at": at(1) - timedelta(hours=1)}),),
    # A manifest is expected, and the marker is empty.
    (("export_output", _THIRD, {"export_name": "x00000e"}), ("config_export", None, {"name": "x00000e", "complete": "manifest", "owner": "o", "retry_s": None})),
    (("export_output", JOB, {"export_name": "x00000e"}), ("config_export", None, {"name": "x00000e", "complete": "manifest", "owner": "", "retry_s": None})),
    # Points one after the other, one export that ended just so long before the first that it holds it, and one between them.
    (("chain_job", JOB, {"finished_at": at(5, 4, 58)}), ("chain_job", "u-2", {"finished_at": at(5, 6)}), *_point_of("claims", 9)),
    # Another bucket, in another account.
    tuple(_ELSEWHERE_TOO),
    (*_ELSEWHERE_TOO, ("export_write", OUTPUT, {"rivals": 1}), ("export_write", _SECOND, {"rivals": 1})),
    # What it reads is all that it names.
    (("export_output", OUTPUT, {"found_by": "label"}), ("chain_job", JOB, {"arguments": ["--in", "s3://read/x/"]})),
    # A session that wrote elsewhere too, before it was issued or after it expired.
    (("credential_write", None, _WROTE | {"first_at": at(5, 0, 50), "last_at": at(5, 0, 51)}),),
    (("credential_write", None, _WROTE | {"first_at": at(5, 2, 30), "last_at": at(5, 2, 31)}),),
    # One that is kept long enough for the first that ended, and for none after it.
    (("chain_point", point()["arn"], {"delete_at": at(5, 2) + timedelta(days=100)}),),
    # What wrote is not seen, and when its session was issued is not known.
    (("sts_session", JOB, {"issued_at": None}), ("credential_write", "ASIAONE", None)),
    (("sts_session", JOB, {"expires_at": None}),),
    # It began after it ended, and what was read ends between.
    (("chain_job", JOB, {"started_at": at(6, 1)}), ("coverage", "sts_session", {"until_at": at(5, 12)})),
    (("export_write", OUTPUT, {"first_write_at": at(6, 1)}), ("coverage", "s3_data_event", {"until_at": at(5, 12)})),
    # A job with another export, of which nothing was written.
    (("export_output", None, {"export_id": "claims/b/#u-1", "job_uuid": "u-1", "bucket": "claims", "prefix": "b/", "plen": 2, "found_by": "label",
                              "declared": True, "export_key": "claims/b/", "from_at": at(5, 1), "until_at": at(5, 3)}),),
    # A run that failed, one whose key nobody else has, and one that was overwritten: others may stand in.
    (("chain_job", JOB, {"ending": "failed", "state": "ERROR"}),),
    (("chain_job", JOB, {"ending": "failed", "state": "ERROR"}), ("export_output", OUTPUT, {"export_key": "claims/alone/"})),
    (("export_write", OUTPUT, {"superseded_at": at(5, 4), "taken_at": at(5, 4)}), ("export_output", _SECOND, {"prefix": PREFIX})),
    (("export_write", OUTPUT, {"superseded_at": at(5, 4), "taken_at": at(5, 4)}),),
    # A session whose credentials wrote elsewhere too, as nobody may.
    (("stray_write", None, {"event_id": "s", "bucket": "far", "dir": "x/", "key": "x/y", "at": at(5, 1, 40), "kind": "foreign", "because": "a key wrote",
                            "gone": False, "session_key": "ASIAONE", "access_key_id": "ASIAONE", "principal_arn": "p"}),),
    # What was read ends at the very moment, and two seconds before it: a second is no gap.
    *((("coverage", table, {"until_at": until}),) for table, end in (("sts_session", at(5, 2, 2)), ("s3_data_event", at(5, 5, 2)))
      for until in (end, end - timedelta(seconds=2))),
    *((("coverage", table, {"from_at": first}),) for table, start in (("sts_session", at(5, 0, 56)), ("s3_data_event", at(5, 1, 28)))
      for first in (start, start + timedelta(seconds=2))),
]  # fmt: skip


LONG: list[Change] = [
    ("session_match", JOB, {"because": "x" * 4000}),
    ("marker", OUTPUT, {"version_id": "x" * 4000}),
    ("gcp_audit_entry", JOB, {"entry_id": "x" * 4000}),
]
