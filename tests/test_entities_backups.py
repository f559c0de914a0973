"""Facts of points, jobs, copies, vaults and restores on hand-made tables, the hostile ones first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from entities import AWAY, BUCKET, COPIES, EU, HOME, NOW, VAULT, ago, bucket, estate, facts, point, vault


def job(job_id: str, state: str, at: Any, **more: Any) -> dict[str, Any]:
    ended = at + timedelta(hours=1)
    return {
        "job_id": job_id, "account": HOME, "region": EU, "vault_arn": VAULT, "resource_arn": BUCKET,
        "state": state, "category": "SUCCESS" if state == "COMPLETED" else "FAILURE",
        "message": "", "created_at": at, "started_at": at, "completed_at": ended, "bytes": 10,
    } | more  # fmt: skip


def test_failed_backup_job_is_repaired_only_by_a_clean_later_job_of_the_same_bucket() -> None:
    other = "arn:aws:s3:::other"
    found = facts(
        estate(
            backup_job=[
                job("failed", "FAILED", ago(hours=40)),
                job("other-bucket", "COMPLETED", ago(hours=39), resource_arn=other),
                job("with-issues", "COMPLETED", ago(hours=38), category="AGGREGATE_ALL"),
                job("clean", "COMPLETED", ago(hours=30)),
            ]
        ),
        "backup_job",
    )
    assert found["failed"]["later_successes"] == 1
    assert found["failed"]["recovery_lag_s"] == 11 * 3600
    assert found["clean"]["failed"] is False


def test_later_job_without_a_category_leaves_the_repair_open() -> None:
    rows = [job("failed", "FAILED", ago(hours=40)), job("untold", "COMPLETED", ago(hours=30), category=None)]
    assert facts(estate(backup_job=rows), "backup_job")["failed"]["later_successes"] is None


def test_success_before_the_failure_repairs_nothing() -> None:
    rows = [job("clean", "COMPLETED", ago(hours=50)), job("failed", "FAILED", ago(hours=40))]
    assert facts(estate(backup_job=rows), "backup_job")["failed"]["later_successes"] == 0


def test_completed_point_carries_the_category_of_the_job_that_made_it() -> None:
    rows = [job("j", "COMPLETED", ago(hours=6), point_arn="arn:p1", category="AGGREGATE_ALL")]
    found = facts(estate(backup_recovery_point=[point(), point("arn:p2")], backup_job=rows), "recovery_point")
    assert found["arn:p1"]["job_category"] == "AGGREGATE_ALL"
    assert found["arn:p2"]["job_category"] is None, "its job was never collected"


def test_continuous_point_is_judged_by_the_newest_job_that_fed_it() -> None:
    rows = [
        job("old", "COMPLETED", ago(hours=30), point_arn="arn:c"),
        job("new", "FAILED", ago(hours=6), point_arn="arn:c"),
    ]
    held = [point("arn:c", continuous=True, status="AVAILABLE")]
    found = facts(estate(backup_recovery_point=held, backup_job=rows), "recovery_point")
    assert found["arn:c"]["job_category"] == "FAILURE"


def test_bucket_counts_neither_copies_nor_partial_nor_unfinished_points_as_captures() -> None:
    held = [
        point("arn:partial", ago(hours=2), status="PARTIAL"),
        point("arn:creating", ago(hours=1), status="CREATING", completed_at=None),
        point("arn:copy", ago(hours=3), vault_arn=COPIES, source_vault_arn=VAULT),
        point("arn:continuous", ago(hours=3), continuous=True, status="STOPPED"),
        point("arn:good", ago(hours=60)),
    ]
    found = facts(estate(backup_recovery_point=held), "bucket")[BUCKET]
    assert found["periodic_points"] == 1
    assert found["newest_point_age_s"] == 60 * 3600
    assert found["continuous_points"] == 0


def test_age_of_a_point_counts_from_the_start_of_its_capture() -> None:
    held = [point("arn:slow", ago(hours=5), initiated_at=ago(hours=30), completed_at=ago(hours=1))]
    assert facts(estate(backup_recovery_point=held), "bucket")[BUCKET]["newest_point_age_s"] == 30 * 3600


def test_continuous_point_without_a_clean_job_proves_no_capture() -> None:
    held = [point("arn:c", continuous=True, status="AVAILABLE")]
    rows = [job("j", "COMPLETED", ago(hours=6), point_arn="arn:c", category="AGGREGATE_ALL")]
    found = facts(estate(backup_recovery_point=held, backup_job=rows), "bucket")[BUCKET]
    assert (found["continuous_points"], found["continuous_jobs"]) == (1, 0)


def test_copy_counts_only_when_its_point_was_seen_in_its_own_account() -> None:
    copied = {
        "copy_job_id": "c1", "account": HOME, "region": EU, "source_point_arn": "arn:p1",
        "source_vault_arn": VAULT, "dest_vault_arn": COPIES, "dest_point_arn": "arn:copy",
        "resource_arn": BUCKET, "state": "COMPLETED", "created_at": ago(hours=5),
        "completed_at": ago(hours=3),
    }  # fmt: skip
    tables = estate(backup_recovery_point=[point()], backup_copy_job=[copied])
    alone = facts(tables, "recovery_point")["arn:p1"]
    assert (alone["region_copies_required"], alone["region_copies_missing"]) == (1, 1)
    assert alone["missing_place"] == f"{AWAY}/eu-central-1"
    held = point("arn:copy", vault_arn=COPIES, source_vault_arn=VAULT, completed_at=ago(hours=3))
    tables["backup_recovery_point"] = [point(), held]
    both = facts(tables, "recovery_point")["arn:p1"]
    assert (both["region_copies_missing"], both["account_copies_missing"]) == (0, 0)
    assert both["region_copy_lag_s"] == 2 * 3600


def test_copy_of_another_point_of_the_same_bucket_counts_for_nobody_else() -> None:
    held = point("arn:copy", ago(hours=50), vault_arn=COPIES, source_vault_arn=VAULT)
    found = facts(estate(backup_recovery_point=[point(), held]), "recovery_point")
    assert found["arn:p1"]["region_copies_missing"] == 1
    assert found["arn:copy"]["region_copies_required"] == 0


def test_copy_in_the_right_region_of_the_wrong_account_counts_for_neither() -> None:
    wrong = f"arn:aws:backup:eu-central-1:{HOME}:backup-vault:near"
    held = point("arn:copy", vault_arn=wrong, source_vault_arn=VAULT)
    found = facts(estate(backup_recovery_point=[point(), held]), "recovery_point")["arn:p1"]
    assert (found["region_copies_missing"], found["account_copies_missing"]) == (1, 1)


def test_zone_without_copies_requires_none_and_no_zone_leaves_it_open() -> None:
    plain = bucket(tags={"compliance-zone": "internal"})
    found = facts(estate(s3_bucket=[plain], backup_recovery_point=[point()]), "recovery_point")["arn:p1"]
    assert found["region_copies_required"] == 0
    assert found["required_keep_s"] == 35 * 86_400
    untold = facts(estate(s3_bucket=[bucket(tags=None)], backup_recovery_point=[point()]), "recovery_point")
    assert untold["arn:p1"]["region_copies_required"] is None
    assert untold["arn:p1"]["zone"] is None
    assert (untold["arn:p1"]["zone_told"], found["zone_told"]) == (None, True)


def test_point_of_a_bucket_without_a_zone_is_told_so_and_one_whose_tags_were_not_read_is_not() -> None:
    def told(**more: Any) -> Any:
        return facts(estate(backup_recovery_point=[point(**more.pop("own", {}))], **more), "recovery_point")[
            "arn:p1"
        ]["zone_told"]

    assert told(s3_bucket=[bucket(tags={})]) is True
    assert told(s3_bucket=[]) is True  # gone, or a gap says otherwise: the column reads `s3_bucket`
    assert told(s3_bucket=[bucket(tags=None)]) is None
    assert told(s3_bucket=[bucket(tags=None)], own={"tags": {"compliance-zone": "internal"}}) is True


def test_own_tag_of_a_point_goes_before_its_buckets() -> None:
    held = [point(tags={"compliance-zone": "internal"})]
    assert facts(estate(backup_recovery_point=held), "recovery_point")["arn:p1"]["zone"] == "internal"


def _gone(**more: Any) -> dict[str, Any]:
    return {
        "arn": "arn:gone", "account": HOME, "region": EU, "vault_arn": VAULT, "resource_arn": BUCKET,
        "status": "COMPLETED", "delete_at": NOW + timedelta(days=30), "deletes_after_copy": False,
        "first_seen_at": ago(days=14), "last_seen_at": ago(days=7),
    } | more  # fmt: skip


def _read(table: str, *, complete: bool = True, resource: str = "*", **more: Any) -> dict[str, Any]:
    return {
        "table_name": table, "source": "aws_backup", "account": HOME, "region": EU,
        "resource": resource, "complete": complete, "reason": "" if complete else "denied",
        "detail": "", "observed_at": NOW,
    } | more  # fmt: skip


def test_point_gone_before_its_date_is_lost_only_if_its_vault_was_read_whole() -> None:
    read = [_read("backup_recovery_point", resource=VAULT)]
    lost = facts(estate(history_point=[_gone()], coverage=read), "recovery_point")["arn:gone"]
    assert lost["gone_early"] is True
    assert lost["present"] is False
    denied = [_read("backup_recovery_point", resource=VAULT, complete=False)]
    for coverage in (denied, [*read, *denied], []):
        open_ = facts(estate(history_point=[_gone()], coverage=coverage), "recovery_point")["arn:gone"]
        assert open_["gone_early"] is None
    elsewhere = [*read, _read("backup_recovery_point", complete=False, account=AWAY)]
    assert facts(estate(history_point=[_gone()], coverage=elsewhere), "recovery_point")["arn:gone"][
        "gone_early"
    ]


def test_points_of_a_deleted_vault_are_lost() -> None:
    tables = estate(backup_vault=[], history_point=[_gone()], coverage=[_read("backup_vault")])
    assert facts(tables, "recovery_point")["arn:gone"]["gone_early"] is True


def test_point_that_ended_on_its_date_or_after_its_copy_is_no_subject() -> None:
    ended = [_gone(delete_at=ago(days=1)), _gone(arn="arn:moved", deletes_after_copy=True)]
    read = [_read("backup_recovery_point")]
    assert facts(estate(history_point=ended, coverage=read), "recovery_point") == {}


def _export(**more: Any) -> dict[str, Any]:
    return {
        "export_id": "exports-phi/a/#1", "job_uuid": "1", "bucket": "exports-phi", "prefix": "a/",
        "bucket_arn": BUCKET, "first_write_at": ago(hours=30), "ended_at": ago(hours=28),
        "capture_due_at": ago(hours=16), "recovery_point_state": "unknown", "objects": 3,
    } | more  # fmt: skip


def test_torn_capture_is_repaired_only_by_a_clean_one_before_the_deadline() -> None:
    torn = point("arn:torn", ago(hours=29))
    late = point("arn:late", ago(hours=15))
    hurt = facts(estate(export=[_export()], backup_recovery_point=[torn, late]), "recovery_point")
    assert hurt["arn:torn"]["torn_unrepaired"] == 1
    assert hurt["arn:late"]["torn_exports"] == 0
    clean = point("arn:clean", ago(hours=20))
    healed = facts(estate(export=[_export()], backup_recovery_point=[torn, clean]), "recovery_point")
    assert healed["arn:torn"]["torn_unrepaired"] == 0


def test_capture_that_starts_within_the_clock_skew_of_the_end_is_torn() -> None:
    close = point("arn:close", ago(hours=28) + timedelta(seconds=119))
    after = point("arn:after", ago(hours=28) + timedelta(seconds=120))
    found = facts(estate(export=[_export()], backup_recovery_point=[close, after]), "recovery_point")
    assert found["arn:close"]["torn_exports"] == 1
    assert found["arn:after"]["torn_exports"] == 0


def test_torn_capture_before_the_deadline_is_not_due_and_without_one_not_known() -> None:
    torn = [point("arn:torn", ago(hours=29))]
    open_ = _export(capture_due_at=NOW + timedelta(hours=1))
    assert facts(estate(export=[open_], backup_recovery_point=torn), "recovery_point")["arn:torn"][
        "torn_pending"
    ]
    none = _export(capture_due_at=None)
    found = facts(estate(export=[none], backup_recovery_point=torn), "recovery_point")["arn:torn"]
    assert found["torn_unrepaired"] is None


def test_vault_is_immutable_only_under_a_compliance_lock_whose_date_has_passed() -> None:
    vaults = [
        vault(f"{VAULT}-a"),
        vault(f"{VAULT}-b", lock_date=None),
        vault(f"{VAULT}-c", lock_date=NOW + timedelta(days=1)),
        vault(f"{VAULT}-d", locked=False, lock_date=None),
        vault(f"{VAULT}-e", locked=None, lock_date=None),
        vault(f"{VAULT}-f", locked=None, type="LOGICALLY_AIR_GAPPED_BACKUP_VAULT"),
    ]
    found = facts(estate(backup_vault=vaults), "vault")
    said = [found[f"{VAULT}-{letter}"]["immutable"] for letter in "abcdef"]
    assert said == [True, False, False, False, None, True]


def test_vault_takes_the_strictest_zone_and_none_while_one_of_its_points_has_none() -> None:
    plain = bucket("arn:aws:s3:::plain", tags={"compliance-zone": "internal"})
    untold = bucket("arn:aws:s3:::untold", tags={})
    of_plain, of_untold = (point(f"arn:{b['bucket']}", resource_arn=b["arn"]) for b in (plain, untold))
    tables = estate(s3_bucket=[bucket(), plain, untold], backup_recovery_point=[point(), of_plain, of_untold])
    assert facts(tables, "vault")[VAULT]["zone"] == "phi", "nothing is stricter"
    tables["backup_recovery_point"] = [of_plain, of_untold]
    assert facts(tables, "vault")[VAULT]["zone"] is None
    tables["backup_recovery_point"] = [of_plain]
    assert facts(tables, "vault")[VAULT]["zone"] == "internal"


def test_restore_into_another_account_is_told_from_one_at_home() -> None:
    base = {
        "point_arn": "arn:p1", "region": EU, "state": "COMPLETED", "created_at": ago(days=1),
        "completed_at": ago(days=1), "role_arn": "arn:aws:iam::1:role/r", "testing_plan_arn": "",
        "validation": "none",
    }  # fmt: skip
    rows = [
        {**base, "restore_job_id": "home", "account": HOME},
        {**base, "restore_job_id": "away", "account": AWAY},
        {**base, "restore_job_id": "lost", "account": HOME, "point_arn": "arn:unknown"},
    ]
    tables = estate(backup_recovery_point=[point()], backup_restore_job=rows)
    found = facts(tables, "restore_job")
    assert [found[key]["home_account"] for key in ("home", "away", "lost")] == [True, False, None]
    assert found["home"]["bucket_arn"] == BUCKET


def test_restore_whose_validation_failed_is_no_test() -> None:
    row = {
        "restore_job_id": "r", "account": HOME, "region": EU, "resource_arn": BUCKET,
        "state": "COMPLETED", "validation": "FAILED", "completed_at": ago(days=1),
    }  # fmt: skip
    assert facts(estate(backup_restore_job=[row]), "bucket")[BUCKET]["restores"] == 0
    assert facts(estate(backup_restore_job=[row | {"validation": "none"}]), "bucket")[BUCKET]["restores"] == 1
