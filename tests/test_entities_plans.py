"""Facts of plans, places, sizes and keys on hand-made tables, the hostile ones first."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import Any

from entities import AWAY, BUCKET, COPIES, EU, HOME, NOW, US, VAULT, ago, bucket, estate, facts, point, vault

OTHER = "arn:aws:s3:::other"
NEAR = f"arn:aws:backup:{EU}:{HOME}:backup-vault:near"


def rule(name: str = "daily", plan_id: str = "plan-1", **more: Any) -> dict[str, Any]:
    return {
        "plan_id": plan_id, "rule_id": f"{plan_id}-{name}", "rule_name": name, "account": HOME, "region": EU,
        "vault_name": "main", "schedule": "cron(0 5 * * ? *)", "timezone": "Etc/UTC", "start_window_m": 60,
        "completion_window_m": 600, "delete_after_d": 2190, "deletes_after_copy": False, "cold_after_d": -1,
        "continuous": False, "copies": [{"vault_arn": COPIES, "delete_after_d": 2190}], "tags": {},
    } | more  # fmt: skip


def selection(plan_id: str = "plan-1", name: str = "s", **more: Any) -> dict[str, Any]:
    return {
        "plan_id": plan_id, "selection_id": f"{plan_id}-{name}", "name": name, "account": HOME, "region": EU,
        "role_arn": "r", "resources": [BUCKET], "not_resources": [], "list_of_tags": [], "conditions": {},
    } | more  # fmt: skip


def plan(plan_id: str = "plan-1", **more: Any) -> dict[str, Any]:
    return {"arn": f"arn:{plan_id}", "plan_id": plan_id, "name": plan_id, "account": HOME, "region": EU,
            "version": "1", "next_runs": []} | more  # fmt: skip


def export(name: str, started: Any, ended: Any, state: str = "broken", **more: Any) -> dict[str, Any]:
    return {"export_id": name, "bucket_arn": BUCKET, "started_at": started, "ended_at": ended,
            "recovery_point_state": state} | more  # fmt: skip


def protected(tables: dict[str, Any]) -> dict[str, Any]:
    """Add what plans say of each bucket, by the step that says it."""
    step = import_module("auditor.correlate.45_protection")
    return {**tables, "protection": list(step.derive({name: tables.get(name, []) for name in step.READS}))}


def planned(*rules: dict[str, Any], **tables: Any) -> dict[str, dict[str, Any]]:
    ids = sorted({one["plan_id"] for one in rules})
    made: dict[str, Any] = {
        "backup_plan": [plan(one) for one in ids],
        "backup_plan_rule": list(rules),
        "backup_selection": [selection(one) for one in ids],
        "backup_region": [{"account": HOME, "region": EU, "s3_opt_in": True}],
    } | tables
    return facts(protected(estate(**made)), "plan_rule")


# Copies.


def test_copy_that_keeps_less_than_the_rule_or_the_zone_is_named() -> None:
    short = [{"vault_arn": COPIES, "delete_after_d": 35}, {"vault_arn": NEAR, "delete_after_d": -1}]
    found = planned(rule(copies=short))["plan-1/daily"]
    assert found["copies_below_rule"] == [f"{COPIES}: 35 d"]
    assert found["copies_below_zone"] == [f"{COPIES}: 35 d"]
    assert (found["copy_regions"], found["copy_accounts"]) == (["eu-central-1"], [AWAY])


def test_copy_ends_too_early_where_the_rule_keeps_for_ever() -> None:
    found = planned(rule(delete_after_d=-1))["plan-1/daily"]
    assert found["copies_below_rule"] == [f"{COPIES}: 2190 d"]
    assert found["copies_below_zone"] == []


def test_copy_whose_end_is_not_known_leaves_it_open_unless_another_is_too_short() -> None:
    open_ = {"vault_arn": COPIES, "delete_after_d": None}
    assert planned(rule(copies=[open_]))["plan-1/daily"]["copies_below_rule"] is None
    both = [open_, {"vault_arn": NEAR, "delete_after_d": 1}]
    assert planned(rule(copies=both))["plan-1/daily"]["copies_below_rule"] == [f"{NEAR}: 1 d"]


def test_point_that_goes_once_copied_asks_nothing_of_its_copy_and_the_zone_still_does() -> None:
    gone = rule(
        delete_after_d=None, deletes_after_copy=True, copies=[{"vault_arn": COPIES, "delete_after_d": 35}]
    )
    found = planned(gone)["plan-1/daily"]
    assert found["copies_below_rule"] == []
    assert found["copies_below_zone"] == [f"{COPIES}: 35 d"]


def test_zone_that_is_not_known_leaves_what_it_wants_of_copies_open() -> None:
    found = planned(rule(), s3_bucket=[bucket(tags={})])["plan-1/daily"]
    assert found["copies_below_zone"] is None
    assert found["copies_below_rule"] == []


def test_bucket_that_a_plan_may_serve_besides_hides_a_stricter_zone() -> None:
    # Its selection was refused: whether the phi bucket is in it nobody knows, and the limits of phi are stricter.
    plain = bucket(OTHER, tags={"compliance-zone": "internal"})
    unread = selection(name="unread", resources=None, not_resources=None, list_of_tags=None, conditions=None)
    tables = {"s3_bucket": [bucket(), plain], "backup_selection": [selection(resources=[OTHER]), unread]}
    assert planned(rule(), **tables)["plan-1/daily"]["zone"] is None
    tables["backup_selection"] = [selection(resources=[OTHER])]
    assert planned(rule(), **tables)["plan-1/daily"]["zone"] == "internal"
    refused = {
        "table_name": "backup_selection",
        "account": HOME,
        "region": EU,
        "resource": "arn:plan-1",
        "complete": False,
        "source": "aws_backup",
        "reason": "denied",
        "detail": "no",
        "from_at": None,
        "until_at": None,
        "observed_at": NOW,
    }
    assert planned(rule(), coverage=[refused], **tables)["plan-1/daily"]["zone"] is None


def test_what_the_zone_states_is_told_only_when_the_zone_is_or_that_there_is_none() -> None:
    # A zone that states nothing asks for less than one that nobody could read.
    untagged = bucket(tags={})
    unread = bucket(tags=None)
    assert planned(rule())["plan-1/daily"]["zone_told"] is True
    assert planned(rule(), s3_bucket=[untagged])["plan-1/daily"]["zone_told"] is True
    assert planned(rule(), s3_bucket=[unread])["plan-1/daily"]["zone_told"] is None
    unlisted = {"table_name": "s3_bucket", "account": HOME, "region": "*", "resource": "*", "complete": False,
                "source": "aws_s3", "reason": "denied", "detail": "no", "from_at": None, "until_at": None,
                "observed_at": NOW}  # fmt: skip
    hidden = planned(rule(), s3_bucket=[untagged], coverage=[unlisted])["plan-1/daily"]
    assert (hidden["zone_told"], hidden["required_keep_s"]) == (None, None)


# Continuous backup.


def test_continuous_backup_alone_is_told_from_one_beside_periodic_points_or_copies() -> None:
    pitr = rule("pitr", continuous=True, delete_after_d=35, copies=[])
    assert planned(pitr)["plan-1/pitr"]["buckets_continuous_alone"] == 1
    assert planned(pitr, rule())["plan-1/pitr"]["buckets_continuous_alone"] == 0
    copied = pitr | {"copies": [{"vault_arn": COPIES, "delete_after_d": 400}]}
    assert planned(copied)["plan-1/pitr"]["buckets_continuous_alone"] == 0


def test_second_plan_that_backs_up_continuously_is_named_and_so_is_another_vault() -> None:
    pitr = rule("pitr", continuous=True, delete_after_d=35)
    found = planned(
        pitr, rule("again", "plan-2", continuous=True), rule("weekly", "plan-3", vault_name="far")
    )
    assert found["plan-1/pitr"]["continuous_plans"] == ["plan-2"]
    assert found["plan-1/pitr"]["periodic_vaults_elsewhere"] == ["far"]
    assert found["plan-3/weekly"]["continuous_plans"] == [], "a periodic rule is no second one"
    assert found["plan-3/weekly"]["buckets_without_continuous"] == 0


# Start windows.


def runs(days: int, hour: int, *, minutes: int = 30, state: str = "broken") -> list[dict[str, Any]]:
    starts = [NOW.replace(hour=hour, minute=0) - timedelta(days=n) for n in range(1, days + 1)]
    return [export(f"e{n}", at, at + timedelta(minutes=minutes), state) for n, at in enumerate(starts)]


def test_run_across_midnight_meets_a_window_that_opened_the_day_before() -> None:
    late = rule(schedule="cron(50 23 * * ? *)", start_window_m=60)
    assert planned(late, export=runs(3, 0))["plan-1/daily"]["runs_in_window"] == 3
    early = rule(schedule="cron(50 23 * * ? *)", start_window_m=10)
    assert planned(early, export=runs(3, 0))["plan-1/daily"]["runs_in_window"] == 0, (
        "it closes as the run begins"
    )


def test_window_of_one_weekday_meets_only_the_runs_of_that_day() -> None:
    monday = rule(schedule="cron(0 5 ? * MON *)")
    found = planned(monday, export=runs(14, 5))["plan-1/daily"]
    assert (found["runs_seen"], found["runs_in_window"]) == (14, 2)


def test_window_opens_at_local_time() -> None:
    berlin = rule(timezone="Europe/Berlin", schedule="cron(0 6 * * ? *)", start_window_m=30)
    assert planned(berlin, export=runs(3, 5, minutes=10))["plan-1/daily"]["runs_in_window"] == 3
    assert planned(berlin, export=runs(3, 6, minutes=10))["plan-1/daily"]["runs_in_window"] == 0


def test_rate_is_anchored_by_a_run_that_aws_announced_and_open_without_one() -> None:
    hourly = rule(schedule="rate(12 hours)")
    assert planned(hourly, export=runs(4, 5))["plan-1/daily"]["runs_in_window"] is None
    announced = [
        {"at": (NOW + timedelta(hours=11)).isoformat(), "rule_id": "plan-1-daily"}
    ]  # 17:00, so 05:00 too
    tables = {"backup_plan": [plan(next_runs=announced)], "export": runs(4, 5)}
    assert planned(hourly, **tables)["plan-1/daily"]["runs_in_window"] == 4


def test_schedule_that_cannot_be_told_meets_nobody_knows_what() -> None:
    for schedule in ("cron(0 5 L * ? *)", "cron(0 5 * * ? 2027)", "", "nonsense"):
        assert planned(rule(schedule=schedule), export=runs(2, 5))["plan-1/daily"]["runs_in_window"] is None
    assert planned(rule(timezone="Mars/Base"), export=runs(2, 5))["plan-1/daily"]["runs_in_window"] is None


def test_capture_that_failed_counts_and_one_that_nobody_could_see_leaves_it_open() -> None:
    assert planned(rule(), export=runs(2, 5, state="proven"))["plan-1/daily"]["exports_not_captured"] == 0
    assert planned(rule(), export=runs(2, 5, state="unknown"))["plan-1/daily"]["exports_not_captured"] is None
    mixed = [*runs(2, 5, state="unknown"), export("x", ago(hours=9), ago(hours=8))]
    assert planned(rule(), export=mixed)["plan-1/daily"]["exports_not_captured"] == 1


# Waste, air gap, sizes, tags, keys.


def waste(*rules: dict[str, Any]) -> Any:
    ids = sorted({one["plan_id"] for one in rules})
    tables = estate(
        backup_plan=[plan(one) for one in ids], backup_plan_rule=rules, backup_selection=[selection(one) for one in ids],
        backup_region=[{"account": HOME, "region": EU, "s3_opt_in": True}],
    )  # fmt: skip
    return facts(protected(tables), "bucket")[BUCKET]["plans_alike"]


def test_two_plans_that_capture_equally_often_are_alike_and_two_rules_of_one_are_not() -> None:
    assert waste(rule(), rule("nightly", "plan-2", schedule="cron(0 23 * * ? *)")) == [
        "plan-1/daily = plan-2/nightly"
    ]
    assert waste(rule(), rule("again")) == []
    assert waste(rule(), rule("monthly", "plan-2", schedule="cron(0 5 1 * ? *)")) == []
    assert waste(rule(), rule("pitr", "plan-2", continuous=True)) == []
    assert waste(rule(), rule("odd", "plan-2", schedule="cron(0 5 L * ? *)")) is None


def test_what_a_plan_may_take_besides_leaves_open_what_it_could_change() -> None:
    # One selection was refused: the plan may take the phi bucket too, and the other plan may as well.
    plain = bucket(OTHER, tags={"compliance-zone": "internal"})
    unread = dict.fromkeys(("resources", "not_resources", "list_of_tags", "conditions"))
    pitr = rule("pitr", continuous=True, delete_after_d=35, copies=[])
    tables = {
        "s3_bucket": [bucket(), plain],
        "backup_selection": [selection(resources=[OTHER]), selection("plan-2", **unread)],
        "export": runs(2, 5),
    }
    found = planned(pitr, rule("daily", "plan-2"), **tables)["plan-1/pitr"]
    assert found["buckets_continuous_alone"] is None, "the other plan may hold it periodically"
    assert (found["continuous_plans"], found["periodic_vaults_elsewhere"]) == ([], [])
    again = planned(pitr, rule("again", "plan-2", continuous=True, vault_name="far"), **tables)["plan-1/pitr"]
    assert again["continuous_plans"] is None
    assert again["periodic_vaults_elsewhere"] == []
    tables["backup_selection"] = [selection(resources=[OTHER]), selection(name="unread", **unread)]
    served = planned(rule(), **tables)["plan-1/daily"]
    assert served["buckets_served"] == 1
    assert (served["runs_seen"], served["runs_in_window"], served["exports_not_captured"]) == (
        None,
        None,
        None,
    )


def test_plan_that_may_take_a_bucket_may_capture_it_alike() -> None:
    unread = dict.fromkeys(("resources", "not_resources", "list_of_tags", "conditions"))

    def alike(*rules: dict[str, Any]) -> Any:
        tables = estate(
            backup_plan=[plan(), plan("plan-2")],
            backup_plan_rule=rules,
            backup_selection=[selection(), selection("plan-2", **unread)],
            backup_region=[{"account": HOME, "region": EU, "s3_opt_in": True}],
        )
        return facts(protected(tables), "bucket")[BUCKET]["plans_alike"]

    assert alike(rule(), rule("nightly", "plan-2")) is None
    assert alike(rule(), rule("monthly", "plan-2", schedule="cron(0 5 1 * ? *)")) == []
    assert alike(rule()) is None, "the rules of the second plan were not read"


def test_air_gapped_copy_counts_from_the_capture_and_a_partial_one_not_at_all() -> None:
    gap = f"arn:aws:backup:{EU}:{AWAY}:backup-vault:gap"
    kind = "LOGICALLY_AIR_GAPPED_BACKUP_VAULT"
    held = [
        point("arn:old", ago(days=9), vault_arn=gap, source_vault_arn=VAULT),
        point("arn:part", ago(hours=2), vault_arn=gap, source_vault_arn=VAULT, status="PARTIAL"),
        point("arn:plain", ago(hours=2)),
    ]
    found = facts(
        estate(backup_vault=[vault(), vault(gap, type=kind)], backup_recovery_point=held), "bucket"
    )[BUCKET]
    assert (found["air_gapped_points"], found["air_gapped_age_s"]) == (1, 9 * 86_400)


def test_size_is_compared_with_points_of_the_same_bucket_that_were_whole() -> None:
    sizes = [10, 1000, 20, 30]
    held = [point(f"arn:{n}", ago(days=9 - n), bytes=size) for n, size in enumerate(sizes)]
    held += [
        point("arn:copy", ago(days=8), bytes=9, vault_arn=COPIES, source_vault_arn=VAULT),
        point("arn:part", ago(days=8), bytes=9, status="PARTIAL"),
        point("arn:else", ago(days=8), bytes=9, resource_arn=OTHER),
        point("arn:new", ago(days=1), bytes=5),
    ]
    found = facts(estate(backup_recovery_point=held), "recovery_point")
    assert (found["arn:new"]["earlier_points"], found["arn:new"]["median_bytes"]) == (4, 20), (
        "the lower of 20 and 30"
    )
    assert (found["arn:0"]["earlier_points"], found["arn:0"]["median_bytes"]) == (0, None)
    assert found["arn:2"]["median_bytes"] == 10


def test_only_the_last_fourteen_points_make_the_median() -> None:
    held = [point(f"arn:{n:02}", ago(days=30 - n), bytes=1 if n < 10 else 100) for n in range(25)]
    found = facts(estate(backup_recovery_point=held), "recovery_point")["arn:24"]
    assert (found["earlier_points"], found["median_bytes"]) == (14, 100)


def test_tags_of_a_point_differ_by_lack_and_by_value_and_are_open_when_not_asked() -> None:
    owner = bucket(tags={"compliance-zone": "phi", "retention-class": "long", 'a."b': "1"})
    held = [
        point("arn:own", tags={"compliance-zone": "phi", "retention-class": "short"}),
        point("arn:untold", tags=None),
        point("arn:same", tags=owner["tags"] | {"more": "1"}),
    ]
    found = facts(estate(s3_bucket=[owner], backup_recovery_point=held), "recovery_point")
    assert found["arn:own"]["tags_differing"] == ['a."b', "retention-class"]
    assert found["arn:untold"]["tags_differing"] is None
    assert found["arn:same"]["tags_differing"] == []


def test_key_of_a_copy_is_told_by_account_and_region_of_its_arn() -> None:
    held = [
        point("arn:c1", vault_arn=COPIES, source_vault_arn=VAULT),
        point(
            "arn:c2", vault_arn=COPIES, source_vault_arn=VAULT, kms_key_arn=None, key_type="AWS_OWNED_KMS_KEY"
        ),
    ]
    found = facts(estate(backup_recovery_point=held), "copy")
    assert (found["arn:c1"]["key_account"], found["arn:c1"]["key_region"]) == (HOME, EU)
    assert (found["arn:c2"]["key_account"], found["arn:c2"]["key_type"]) == (None, "AWS_OWNED_KMS_KEY")


def test_vault_of_copies_alone_is_filled_by_no_backup_job() -> None:
    held = [point(), point("arn:c", vault_arn=COPIES, source_vault_arn=VAULT)]
    found = facts(estate(backup_vault=[vault(), vault(COPIES)], backup_recovery_point=held), "vault")
    assert (found[VAULT]["fills"], found[COPIES]["fills"], found[COPIES]["serves"]) == (1, 0, 1)


# Restores and places.


def test_restore_that_still_runs_lasts_until_now() -> None:
    base = {"point_arn": "arn:p1", "account": HOME, "region": EU, "created_at": ago(hours=20), "validation": "none",
            "testing_plan_arn": f"arn:aws:backup:{EU}:{HOME}:restore-testing-plan:weekly-1f2e"}  # fmt: skip
    rows = [
        {**base, "restore_job_id": "runs", "state": "RUNNING"},
        {**base, "restore_job_id": "done", "state": "COMPLETED", "completed_at": ago(hours=17)},
        {**base, "restore_job_id": "lost", "state": "COMPLETED"},
    ]
    found = facts(estate(backup_recovery_point=[point()], backup_restore_job=rows), "restore_job")
    assert [found[key]["lasted_s"] for key in ("runs", "done", "lost")] == [20 * 3600, 3 * 3600, None]
    assert [found[key]["ended"] for key in ("runs", "done")] == [False, True]
    assert (found["done"]["testing_plan"], found["done"]["since_end_s"]) == ("weekly-1f2e", 17 * 3600)


def place(region: str, account: str = HOME) -> dict[str, Any]:
    return {"cloud": "aws", "account": account, "region": region}


def test_place_is_required_by_buckets_there_and_by_copies_that_go_there_even_out_of_scope() -> None:
    found = facts(estate(config_place=[place(EU), place(US)]), "account")
    assert found[f"{HOME}/{EU}"]["required"] is True
    assert found[f"{HOME}/{US}"]["required"] is False
    away = found[f"{AWAY}/eu-central-1"]
    assert (away["required"], away["in_scope"], away["required_by"]) == (True, False, ["copies of zone phi"])


def test_vault_that_only_lends_another_accounts_points_is_no_vault_of_the_place() -> None:
    lent = vault(type="RESTORE_ACCESS_BACKUP_VAULT")
    assert facts(estate(backup_vault=[lent]), "account")[f"{HOME}/{EU}"]["vaults"] == 0
    assert facts(estate(backup_vault=[vault(type=None)]), "account")[f"{HOME}/{EU}"]["vaults"] is None


def test_framework_that_was_not_deployed_audits_nothing() -> None:
    def frameworks(*states: str | None) -> Any:
        rows = [{"arn": f"a{n}", "account": HOME, "region": EU, "status": s} for n, s in enumerate(states)]
        return facts(estate(backup_framework=rows), "account")[f"{HOME}/{EU}"]["frameworks"]

    assert frameworks("FAILED", "CREATE_IN_PROGRESS", "DELETE_IN_PROGRESS") == 0
    assert frameworks("FAILED", None) is None
    assert frameworks("COMPLETED", None, "UPDATE_IN_PROGRESS") == 2
