"""The copy and retention links, cell by cell of links.md: where the proving point was copied, and who holds it."""

from __future__ import annotations

from datetime import timedelta
from json import dumps
from typing import Any

from chain_bend import Bend, Case, add, bent, both, clear, drop, hidden, holds, of, put
from chain_world import (
    ACCOUNT,
    BUCKET,
    FAR_VAULT,
    PREFIX,
    RECOVERY,
    VAULT,
    Tables,
    at,
    backup_job,
    chains,
    point,
)

EXPORT = f"claims/{PREFIX}#u-1"
FAR = f"arn:aws:backup:eu-central-1:{RECOVERY}:recovery-point:far"
FAR_TWO = f"arn:aws:backup:eu-central-1:{RECOVERY}:recovery-point:far-2"
TWO = f"arn:aws:backup:eu-west-1:{ACCOUNT}:recovery-point:two"
CONTINUOUS = f"arn:aws:backup:eu-west-1:{ACCOUNT}:recovery-point:continuous:claims-1"
NO_COPY = drop("backup_recovery_point", 1)
END = at(5, 2) + timedelta(days=100)
"""Until when phi must be kept."""


def _copy(arn: str = FAR_TWO, **more: Any) -> dict[str, Any]:
    own = {
        "vault_arn": FAR_VAULT,
        "account": RECOVERY,
        "region": "eu-central-1",
        "source_vault_arn": VAULT,
        "completed_at": at(5, 9),
    }
    return point(arn, **(own | more))


def _copy_job(number: int = 2, **more: Any) -> dict[str, Any]:
    row = {
        "copy_job_id": f"copy-{number}", "account": ACCOUNT, "region": "eu-west-1", "source_point_arn": point()["arn"],
        "source_vault_arn": VAULT, "dest_vault_arn": FAR_VAULT, "dest_point_arn": FAR_TWO, "resource_arn": BUCKET,
        "state": "COMPLETED", "created_at": at(5, 7), "completed_at": at(5, 10),
    }  # fmt: skip
    return row | more


def _said(**links: str) -> Bend:
    told = {"recovery_point": ["proven", "strong"]} | {
        name: [state, "exact"] for name, state in links.items()
    }
    return add("history_export", {
        "export_id": EXPORT, "zone": "phi", "first_seen_at": at(5, 8), "capture_due_at": at(6, 2), "final": False,
        "proving_point": point()["arn"], "links": told,
    })  # fmt: skip


def _known(arn: str = FAR, **more: Any) -> Bend:
    row = {
        "arn": arn,
        "status": "COMPLETED",
        "delete_at": at(5) + timedelta(days=200),
        "deletes_after_copy": False,
    }
    return add(
        "history_point",
        row | {"first_seen_at": at(5, 10), "last_seen_at": at(9), "resource_arn": BUCKET} | more,
    )


def _at(day: int, hour: int = 6) -> Bend:
    """Judge on another day, everything having been read until then."""

    def bend(tables: Tables) -> None:
        tables["as_of"][0]["as_of"] = at(day, hour)
        for row in tables["coverage"]:
            row["until_at"] = at(day, hour)

    return bend


def _gone(**more: Any) -> Bend:
    """The proving point was seen, proved it, and is no longer listed; no copy is asked for."""
    return both(
        put("config_zone", copy_to=[]),
        drop("backup_recovery_point"),
        _said(copy="not_required"),
        _known(point()["arn"], **more),
    )


def _snapshot(**more: Any) -> Bend:
    """The proving point is continuous, and a snapshot of it was copied."""

    def bend(tables: Tables) -> None:
        own = {
            "continuous": True,
            "status": "AVAILABLE",
            "initiated_at": at(1),
            "created_at": at(1),
            "completed_at": at(1, 3),
        }
        tables["backup_recovery_point"][0] = point(CONTINUOUS, **own)
        tables["backup_recovery_point"][1] |= {"initiated_at": at(5, 8), "created_at": at(5, 8)} | more
        tables["backup_job"] = [backup_job(CONTINUOUS)]
        tables["backup_copy_job"][0] |= {
            "source_point_arn": CONTINUOUS,
            "created_at": at(5, 8),
            "completed_at": at(5, 9),
        }
        tables["history_bucket"] = [
            {"arn": BUCKET, "at": at(4), "versioning": "Enabled", "eventbridge": True}
        ]

    return bend


def _rule(**rule: Any) -> Bend:
    """The zone asks the bucket itself to keep 30 days, and a lifecycle rule is there."""
    return both(
        put("config_zone", bucket_min_d=30), put("s3_bucket", lifecycle=[{"Status": "Enabled", **rule}])
    )


SHORT = {"Expiration": {"Days": 3}, "NoncurrentVersionExpiration": {"NoncurrentDays": 4}}

COPY: list[Case] = [
    ("completed exactly when due", "copy", "proven", put("backup_copy_job", completed_at=at(6, 7))),
    ("completed a minute after it was due", "copy", "broken", put("backup_copy_job", completed_at=at(6, 7, 1))),
    ("completed late, and jobs of the time in between were denied", "copy", "unknown", both(put("backup_copy_job", completed_at=at(8)), hidden("backup_copy_job", from_at=at(6), until_at=at(7)))),
    ("completed late, and jobs of a later time were denied", "copy", "broken", both(put("backup_copy_job", completed_at=at(8)), hidden("backup_copy_job", from_at=at(10)))),
    ("older than AWS keeps copy jobs, and never collected", "copy", "unknown", both(clear("backup_copy_job"), NO_COPY, hidden("backup_copy_job", until_at=at(8)))),
    ("failed once and completed then", "copy", "proven", add("backup_copy_job", _copy_job(state="FAILED", completed_at=at(5, 8)))),
    ("failed, and a copy may still come", "copy", "pending", both(put("backup_copy_job", state="FAILED"), NO_COPY, put("as_of", as_of=at(6)))),
    ("two copies of one place, and one of them is gone", "copy", "proven", both(add("backup_copy_job", _copy_job(1, completed_at=at(5, 8))), _known(FAR_TWO))),
    ("two copies of one place, and one is not encrypted", "copy", "proven", both(add("backup_copy_job", _copy_job()), add("backup_recovery_point", _copy(encrypted=False)))),
    ("to another place", "copy", "broken", both(NO_COPY, put("backup_copy_job", dest_vault_arn=FAR_VAULT.replace("eu-central-1", "us-east-1")))),
    ("of another point", "copy", "broken", both(put("backup_copy_job", source_point_arn="arn:other"), NO_COPY)),
    ("the point there does not say that it is a copy", "copy", "proven", put("backup_recovery_point", 1, source_vault_arn=None)),
    ("whether it is encrypted is not known", "copy", "unknown", put("backup_recovery_point", 1, encrypted=None)),
    ("not complete", "copy", "unknown", put("backup_recovery_point", 1, status="PARTIAL")),
    ("in which regions the zone may be is not stated", "copy", "unknown", put("config_zone", regions=None)),
    ("the zone may be in any region", "copy", "proven", put("config_zone", regions=[])),
    ("seen, and gone before its date", "copy", "broken", both(NO_COPY, _known())),
    ("seen, and gone though it has no end", "copy", "broken", both(NO_COPY, _known(delete_at=None))),
    ("seen, and gone on its date, and proven before", "copy", "proven", both(NO_COPY, _known(delete_at=at(11)), _said(copy="proven"))),
    ("seen, and gone on its date, and never proven", "copy", "unknown", both(NO_COPY, _known(delete_at=at(11)))),
    ("seen, and the destination was denied", "copy", "unknown", both(NO_COPY, _known(), hidden("backup_recovery_point", RECOVERY))),
    ("completed, its point is not listed, and it is not due", "copy", "pending", both(NO_COPY, put("as_of", as_of=at(6)))),
    ("completed, and the job does not say which point it made", "copy", "unknown", put("backup_copy_job", dest_point_arn=None)),
    ("another region of the destination was denied", "copy", "broken", both(NO_COPY, hidden("backup_recovery_point", RECOVERY, region="us-east-1"))),
    ("no copy, not due, and copy jobs were denied", "copy", "unknown", both(clear("backup_copy_job"), NO_COPY, put("as_of", as_of=at(6)), hidden("backup_copy_job"))),
    ("the job aged out, and the copy was complete too late", "copy", "broken", both(clear("backup_copy_job"), put("backup_recovery_point", 1, completed_at=at(8)))),
    ("the job aged out, and two copies match", "copy", "broken", both(clear("backup_copy_job"), add("backup_recovery_point", _copy()))),
    ("the job aged out, and the copy is of another vault", "copy", "broken", both(clear("backup_copy_job"), put("backup_recovery_point", 1, source_vault_arn="arn:other"))),
    ("the job aged out, and the copy was created at another time", "copy", "broken", both(clear("backup_copy_job"), put("backup_recovery_point", 1, created_at=at(5, 6)))),
    ("until when is not stated, and it is there", "copy", "proven", put("config_zone", copy_lag_s=-1)),
    ("until when is not stated, and it is not there", "copy", "unknown", both(put("config_zone", copy_lag_s=-1), clear("backup_copy_job"), NO_COPY)),
    ("the point was captured late, so its copy is not judged", "copy", "broken", put("backup_recovery_point", completed_at=at(7))),
    ("the point proves and another in time has the copy", "copy", "proven", both(add("backup_recovery_point", point(TWO, initiated_at=at(5, 4), created_at=at(5, 4), completed_at=at(5, 6))), add("backup_job", backup_job(TWO)))),
    ("a snapshot of a continuous point", "copy", "proven", _snapshot()),
    ("a snapshot that started exactly the skew after the end", "copy", "proven", _snapshot(initiated_at=at(5, 2, 2), created_at=at(5, 2, 2))),
    ("a snapshot that started before the export's end", "copy", "unknown", _snapshot(created_at=at(5, 1))),
    ("a copy job of a continuous point that started before the export's end", "copy", "broken", both(_snapshot(), put("backup_copy_job", created_at=at(5, 1)))),
    ("one of two destinations is missing", "copy", "broken", put("config_zone", copy_to=[{"account": RECOVERY, "region": "eu-central-1"}, {"account": ACCOUNT, "region": "eu-central-1"}])),
    ("the point is gone, and its copy is there still", "copy", "proven", both(drop("backup_recovery_point"), _said(copy="proven"), _known(point()["arn"]))),
    ("the point is gone, and its copy is gone too", "copy", "broken", both(clear("backup_recovery_point"), _said(copy="proven"), _known(point()["arn"]), _known())),
    ("the point is gone, and its copy was never proven", "copy", "unknown", both(drop("backup_recovery_point"), _said(copy="pending"), _known(point()["arn"]))),
]  # fmt: skip

RETENTION: list[Case] = [
    ("kept exactly as long as required", "retention", "proven", both(put("config_zone", copy_to=[]), put("backup_recovery_point", delete_at=END))),
    ("kept a second less than required", "retention", "broken", both(put("config_zone", copy_to=[]), put("backup_recovery_point", delete_at=END - timedelta(seconds=1)))),
    ("no end date, and a lifecycle that is long enough", "retention", "proven", put("backup_recovery_point", delete_at=None)),
    ("no end date, and a lifecycle that is too short", "retention", "broken", put("backup_recovery_point", delete_at=None, delete_after_d=50)),
    ("it is being deleted", "retention", "unknown", both(put("backup_recovery_point", status="DELETING"), _said(copy="proven"), _known(point()["arn"]))),
    ("its vault is not listed, and the listing was whole", "retention", "unknown", drop("backup_vault")),
    ("whether its vault is locked was not told", "retention", "unknown", put("backup_vault", locked=None)),
    ("another vault was denied", "retention", "proven", hidden("backup_vault", resource="arn:other")),
    ("the policy of its vault was denied", "retention", "proven", hidden("backup_vault", resource=f"{VAULT}#policy")),
    ("the copy must be kept longer, and is not", "retention", "broken", put("config_zone", copy_to=[{"account": RECOVERY, "region": "eu-central-1", "retention_d": 300}])),
    ("how long the copy must be kept is taken from the zone", "retention", "proven", put("config_zone", copy_to=[{"account": RECOVERY, "region": "eu-central-1", "retention_d": None}])),
    ("the copy is pending, and so is what it holds", "retention", "pending", both(clear("backup_copy_job"), NO_COPY, put("as_of", as_of=at(6)))),
    ("the copy cannot be seen, and so cannot its retention", "retention", "unknown", both(NO_COPY, hidden("backup_recovery_point", RECOVERY))),
    ("the zone asks for none", "retention", "not_required", both(put("config_zone", copy_to=[], retention_d=-1))),
    ("the zone asks for none of the point, and the copy must be kept", "retention", "proven", put("config_zone", retention_d=-1)),
    # holders that are gone
    ("gone before its time", "retention", "broken", _gone()),
    ("gone after it was long enough", "retention", "proven", both(_gone(last_seen_at=END), _at(120))),
    ("gone on its own date between two scans", "retention", "proven", both(_gone(last_seen_at=END - timedelta(days=2), delete_at=END + timedelta(days=1)), _at(5 + 103))),
    ("gone on its own date, with too long without a scan", "retention", "unknown", both(_gone(last_seen_at=END - timedelta(days=9), delete_at=END + timedelta(days=1)), _at(5 + 103))),
    ("gone on its own date, which was too early", "retention", "broken", both(_gone(last_seen_at=END - timedelta(days=3), delete_at=END - timedelta(days=1)), _at(5 + 103))),
    ("gone before its date, and nobody knows whether before the end", "retention", "unknown", both(_gone(last_seen_at=END - timedelta(days=2)), _at(5 + 103))),
    ("it goes by design, and its copies are kept", "retention", "proven", put("backup_recovery_point", deletes_after_copy=True, delete_at=None, delete_after_d=None)),
    ("it went by design, and its copies are kept", "retention", "proven", both(drop("backup_recovery_point"), _said(copy="proven"), _known(point()["arn"], deletes_after_copy=True))),
    ("it went by design, and no copy is asked for", "retention", "broken", _gone(deletes_after_copy=True)),
    ("it goes by design, and no copy is asked for", "retention", "unknown", both(put("config_zone", copy_to=[]), put("backup_recovery_point", deletes_after_copy=True))),
    ("the copy ended on its own date, which was long enough", "retention", "proven", both(NO_COPY, _said(copy="proven"), _known(delete_at=END + timedelta(days=1), last_seen_at=END), _at(5 + 103))),
    ("the copy ended on its own date, which was too early", "retention", "broken", both(NO_COPY, _said(copy="proven"), _known(delete_at=at(11)))),
    # the bucket itself
    ("a rule of another prefix", "retention", "proven", _rule(Prefix="other/", **SHORT)),
    ("a rule of the prefix", "retention", "broken", _rule(Filter={"Prefix": "daily/"}, **SHORT)),
    ("a rule of a part of the prefix", "retention", "broken", _rule(Filter={"Prefix": f"{PREFIX}part-1"}, **SHORT)),
    ("a rule that is switched off", "retention", "proven", both(_rule(**SHORT), lambda t: t["s3_bucket"][0]["lifecycle"][0].update(Status="Disabled"))),
    ("a rule for tagged objects", "retention", "unknown", _rule(Filter={"And": {"Prefix": "daily/", "Tags": [{"Key": "a", "Value": "b"}]}}, **SHORT)),
    ("a rule for large objects that is long enough", "retention", "proven", _rule(Filter={"ObjectSizeGreaterThan": 5}, Expiration={"Days": 30}, NoncurrentVersionExpiration={"NoncurrentDays": 4})),
    ("a rule that keeps some newer versions", "retention", "unknown", _rule(Expiration={"Days": 3}, NoncurrentVersionExpiration={"NoncurrentDays": 4, "NewerNoncurrentVersions": 2})),
    ("a rule with a date", "retention", "broken", _rule(Expiration={"Date": "2026-01-20T00:00:00Z"}, NoncurrentVersionExpiration={"NoncurrentDays": 1})),
    ("a rule with a date nobody can read", "retention", "unknown", _rule(Expiration={"Date": "soon"}, NoncurrentVersionExpiration={"NoncurrentDays": 1})),
    ("a rule that only ends what was overwritten, and nothing was", "retention", "proven", _rule(NoncurrentVersionExpiration={"NoncurrentDays": 1})),
    ("two rules that only together end a version", "retention", "broken", both(put("config_zone", bucket_min_d=30), put("s3_bucket", lifecycle=[{"Status": "Enabled", "Expiration": {"Days": 3}}, {"Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 4}}]))),
    ("versioning is off, and expiry ends objects for good", "retention", "broken", both(_rule(Expiration={"Days": 3}), put("s3_bucket", versioning="Suspended"), add("history_bucket", {"arn": BUCKET, "at": at(6), "versioning": "Enabled", "eventbridge": True}))),
    ("a version is gone from the bucket", "retention", "broken", both(put("config_zone", bucket_min_d=30), drop("s3_object_version"), _said(objects="proven", copy="proven"))),
]  # fmt: skip


@of(COPY)
def test_copy_is(sentence: str, link: str, state: str, bend: Bend) -> None:
    holds(link, state, bend)


@of(RETENTION)
def test_retention_is(sentence: str, link: str, state: str, bend: Bend) -> None:
    holds(link, state, bend)


def test_copy_is_exact_by_its_job_and_strong_by_its_creation() -> None:
    assert chains(bent())["u-1"]["copy_strength"] == "exact"
    assert chains(bent(clear("backup_copy_job")))["u-1"]["copy_strength"] == "strong"


def test_retention_is_as_strong_as_its_weakest_holder_is_guarded() -> None:
    def strength(**vault: Any) -> Any:
        return chains(bent(put("backup_vault", **vault)))["u-1"]["retention_strength"]

    assert strength() == "exact"
    assert strength(locked=False, type="LOGICALLY_AIR_GAPPED_BACKUP_VAULT") == "exact"
    assert strength(lock_date=None) == "strong"  # governance
    assert strength(lock_date=at(40)) == "strong"  # compliance to come
    assert strength(lock_date=at(12, 6)) == "exact"  # since just now
    assert strength(locked=False) == "inferred"


def test_a_vault_policy_that_denies_deletion_to_everyone_holds_and_one_that_is_not_decided_does_not() -> None:
    def strength(policy: str | None) -> Any:
        vault = put("backup_vault", locked=False, policy=policy)
        return chains(bent(vault))["u-1"]["retention_strength"]

    actions = (
        "backup:DeleteRecoveryPoint", "backup:UpdateRecoveryPointLifecycle", "backup:DisassociateRecoveryPoint",
        "backup:PutBackupVaultAccessPolicy", "backup:DeleteBackupVaultAccessPolicy",
    )  # fmt: skip
    deny: dict[str, Any] = {"Effect": "Deny", "Principal": "*", "Action": list(actions), "Resource": "*"}
    but = {"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::111111111111:role/break-glass"}}
    mixed = {"StringLike": {"aws:SourceIp": "*"}, "NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}
    assert strength(dumps({"Statement": [deny]})) == "strong"
    assert strength(dumps({"Statement": [deny | {"Action": "backup:*"}]})) == "strong"
    assert strength(dumps({"Statement": [deny | {"Condition": but}]})) == "inferred"  # somebody may
    assert strength(dumps({"Statement": [deny | {"Condition": mixed}]})) == "inferred"  # not decided
    assert (
        strength(dumps({"Statement": [deny | {"Action": list(actions[:3])}]})) == "inferred"
    )  # the policy can be lifted
    for unread in ("{", "none", None):
        assert strength(unread) == "inferred"


def test_retention_that_ended_well_is_remembered_in_every_link_it_rested_on() -> None:
    links = {
        "objects": ["proven", "strong"],
        "recovery_point": ["proven", "strong"],
        "copy": ["proven", "exact"],
        "retention": ["proven", "exact"],
    }
    tables = bent(
        clear("backup_recovery_point", "backup_copy_job", "s3_object_version", "s3_manifest"),
        add("history_export", {
            "export_id": EXPORT, "zone": "phi", "first_seen_at": at(5, 8), "capture_due_at": at(6, 2), "final": True,
            "proving_point": point()["arn"], "links": links,
        }),
        _at(150),
    )  # fmt: skip
    export = chains(tables)["u-1"]

    assert {name: [export[f"{name}_state"], export[f"{name}_strength"]] for name in links} == links
    assert (export["state"], export["proving_point"]) == ("proven", point()["arn"])
