"""Facts of people, jobs, sessions, buckets, objects, trails and scans on hand-made tables, the hostile ones first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from entities import AWAY, BUCKET, EU, HOME, JOBS_SEEN, NOW, US, ago, bucket, derived, estate, facts, point

from auditor.plans.schedules import interval_s

ROLE = f"arn:aws:iam::{HOME}:role/exporter"


def entry(**more: Any) -> dict[str, Any]:
    return {
        "entry_id": f"e{sorted(more.items())}", "project": "prod", "region": EU, "at": ago(hours=8),
        "method": "google.cloud.dataproc.v1.JobController.SubmitJob", "granted": True,
        "status_code": 0, "principal_email": "ana@example.com", "delegation": [],
        "operation_first": False, "operation_last": False, "job_uuid": "j1", "job_id": "export",
    } | more  # fmt: skip


def job(uuid: str = "j1", **more: Any) -> dict[str, Any]:
    return {
        "job_uuid": uuid, "kind": "job", "job_id": "export", "project": "prod", "region": EU,
        "state": "DONE", "done": True, "submitted_at": ago(hours=8), "started_at": ago(hours=8),
        "finished_at": ago(hours=7), "arguments": [], "properties": {},
        "labels": {"zone": "phi", "owner": "ana@example.com"},
    } | more  # fmt: skip


def export(uuid: str = "j1", **more: Any) -> dict[str, Any]:
    return {
        "export_id": f"exports-phi/a/#{uuid}", "export_key": "daily", "job_uuid": uuid,
        "bucket": "exports-phi", "bucket_arn": BUCKET, "prefix": "a/", "zone": "phi", "objects": 3,
        "declared": True, "recovery_point_state": "proven",
    } | more  # fmt: skip


ANA = {"id": "1", "email": "ana@example.com", "status": "active"}


# Who triggered ------------------------------------------------------------------------------------------------------


def test_two_principals_that_fit_one_job_equally_well_are_nobody() -> None:
    entries = [entry(), entry(principal_email="bo@example.com")]
    found = facts(estate(dataproc_job=[job()], gcp_audit_entry=entries, directory_user=[ANA]), "job")["j1"]
    assert found["trigger_principal"] is None
    assert found["trigger_known"] is None


def test_refused_submission_triggers_nothing() -> None:
    entries = [entry(status_code=7), entry(granted=False, principal_email="eve@example.com")]
    found = facts(estate(dataproc_job=[job()], gcp_audit_entry=entries, directory_user=[ANA]), "job")["j1"]
    assert found["trigger_principal"] is None


def test_person_behind_an_impersonated_account_is_the_trigger() -> None:
    entries = [entry(principal_email="sa@prod.iam.gserviceaccount.com", delegation=["user:Ana@Example.com"])]
    found = facts(estate(dataproc_job=[job()], gcp_audit_entry=entries, directory_user=[ANA]), "job")["j1"]
    assert found["trigger_principal"] == "ana@example.com"
    assert found["trigger_known"] is True


def test_without_a_directory_nobody_is_unknown_to_it() -> None:
    found = facts(estate(dataproc_job=[job()], gcp_audit_entry=[entry()]), "job")["j1"]
    assert found["trigger_known"] is None


@pytest.mark.parametrize(
    ("membership", "covered"),
    [
        ({"from_at": ago(days=30), "until_at": None}, True),
        ({"from_at": ago(hours=1), "until_at": None}, False),
        ({"from_at": ago(days=30), "until_at": ago(days=20)}, False),
        ({"from_at": None, "until_at": None}, None),
    ],
)
def test_duty_counts_at_the_time_of_the_trigger(membership: dict[str, Any], covered: bool | None) -> None:
    tables = estate(
        dataproc_job=[job()],
        gcp_audit_entry=[entry()],
        directory_user=[ANA],
        directory_membership=[{"user_id": "1", "group_name": "exporters", **membership}],
        config_duty=[{"group_name": "exporters", "project": "pr*", "job_id": "*", "zone": "phi"}],
    )
    assert facts(tables, "job")["j1"]["trigger_covered"] is covered
    tables["config_duty"] = []
    assert facts(tables, "job")["j1"]["trigger_covered"] is None, "no duties are configured"


def test_job_that_was_running_when_access_ended_is_no_use_after_it() -> None:
    gone = {**ANA, "status": "disabled", "disabled_at": ago(hours=10)}
    closing = entry(at=ago(hours=2), operation_last=True)
    quiet = facts(estate(gcp_audit_entry=[closing], directory_user=[gone]), "identity")["ana@example.com"]
    assert quiet["uses_after_end"] == 0
    used = facts(estate(gcp_audit_entry=[entry()], directory_user=[gone]), "identity")["ana@example.com"]
    assert (used["uses_after_end"], used["latest_use_after_end_s"]) == (1, 7200)


def test_impersonation_by_someone_who_left_is_a_use_of_theirs() -> None:
    gone = {**ANA, "status": "disabled", "disabled_at": ago(hours=10)}
    acted = entry(principal_email="sa@prod.iam.gserviceaccount.com", delegation=["ana@example.com"])
    found = facts(estate(gcp_audit_entry=[acted], directory_user=[gone]), "identity")["ana@example.com"]
    assert found["uses_after_end"] == 1


def test_automation_outlives_its_owner() -> None:
    gone = {**ANA, "status": "disabled", "disabled_at": ago(hours=10)}
    robot = "robot@prod.iam.gserviceaccount.com"
    tables = estate(
        gcp_audit_entry=[entry(principal_email=robot)],
        directory_user=[gone],
        config_automation=[{"principal": robot, "owner": "ana@example.com", "project": "*", "job_id": "*"}],
    )
    found = facts(tables, "identity")["ana@example.com"]
    assert (found["uses_after_end"], found["owned_after_end"]) == (0, 1)


def test_disabled_without_a_date_leaves_later_use_open() -> None:
    gone = {**ANA, "status": "disabled"}
    found = facts(estate(gcp_audit_entry=[entry()], directory_user=[gone]), "identity")["ana@example.com"]
    assert found["ended"] is True
    assert found["uses_after_end"] is None


# Jobs ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        (["--key=AKIAIOSFODNN7EXAMPLE"], ["access_key_id"]),
        (["--password", "--password=hunter22"], ["password"]),
        (["-----BEGIN RSA PRIVATE KEY-----"], ["private_key"]),
        (["--password=${DB_PASSWORD}", "--password=projects/p/secrets/s/versions/1", "AKIA-notes.txt"], []),
        (["--out=s3a://exports-phi/AKIAs/passwords/"], []),
    ],
)
def test_secrets_are_told_by_kind_and_references_are_none(words: list[str], kinds: list[str]) -> None:
    found = facts(estate(dataproc_job=[job(arguments=words)]), "job")["j1"]
    assert found["secrets"] == kinds
    assert not any("hunter22" in str(value) for value in found.values())


def test_secret_in_a_property_is_found_and_a_cut_argument_hides_one() -> None:
    property_ = {"spark.hadoop.fs.s3a.secret.key": "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY00"}
    assert facts(estate(dataproc_job=[job(properties=property_)]), "job")["j1"]["secrets"] == ["secret_key"]
    cut = ["x …[cut: 99 bytes, sha256 00]"]
    assert facts(estate(dataproc_job=[job(arguments=cut)]), "job")["j1"]["secrets"] is None
    assert facts(estate(dataproc_job=[job(arguments=None)]), "job")["j1"]["secrets"] is None


def test_failed_job_is_repeated_only_by_a_later_success_of_all_its_exports() -> None:
    failed = job("bad", state="ERROR", finished_at=ago(hours=9))
    tables = estate(dataproc_job=[failed, job("good")], export=[export("bad"), export("good")])
    found = facts(tables, "job")["bad"]
    assert (found["later_successes"], found["retry_lag_s"]) == (1, 7200)
    tables["export"].append(export("bad", export_id="x", export_key="second"))
    assert facts(tables, "job")["bad"]["later_successes"] == 0


def test_schedule_counts_runs_that_ended_well_and_tells_the_longest_pause() -> None:
    jobs = [job(f"r{n}", finished_at=ago(hours=hours)) for n, hours in enumerate((4, 28, 100, 124))]
    jobs.append(job("failed", state="ERROR", finished_at=ago(hours=52)))
    declared = {
        "name": "daily", "project": "prod", "bucket": "exports-phi", "prefix": "a/{date}/", "every_s": 86_400,
    }  # fmt: skip
    tables = estate(dataproc_job=jobs, export=[export(j["job_uuid"]) for j in jobs], config_export=[declared])
    found = facts(tables, "schedule")["daily"]
    assert (found["runs"], found["latest_run_age_s"], found["longest_pause_s"]) == (4, 14_400, 72 * 3600)


# Sessions -----------------------------------------------------------------------------------------------------------


def test_refused_attempts_are_no_sessions_and_use_after_the_job_is_measured() -> None:
    session = {
        "session_key": "ASIA1", "access_key_id": "ASIA1", "account": HOME, "region": US, "role_arn": ROLE,
        "event_name": "AssumeRoleWithWebIdentity", "issued_at": ago(hours=8), "duration_s": 3600,
        "error_code": "", "subject": "42",
    }  # fmt: skip
    refused = {**session, "session_key": "e9", "access_key_id": None, "error_code": "AccessDenied"}
    write = {
        "event_id": "w",
        "at": ago(hours=6),
        "access_key_id": "ASIA1",
        "error_code": "",
        "bucket": "b",
        "key": "k",
    }
    tables = estate(
        sts_session=[session, refused],
        config_federation=[{"role_arn": ROLE, "bucket": "exports-phi"}],
        dataproc_job=[job(service_account="sa@prod")],
        config_subject=[{"service_account": "SA@prod", "subject": "41"}],
        session_match=[{"session_key": "ASIA1", "job_uuid": "j1", "claimed_job": "j1", "strength": "exact"}],
        s3_data_event=[write],
        coverage=[EVENTS_READ],
    )
    found = facts(tables, "session")
    assert set(found) == {"ASIA1"}
    assert found["ASIA1"]["used_after_job_s"] == 3600
    then = {
        **EVENTS_READ,
        "complete": False,
        "reason": "denied",
        "from_at": ago(hours=8),
        "until_at": ago(hours=7),
    }
    hidden = facts({**tables, "coverage": [EVENTS_READ, then]}, "session")
    assert hidden["ASIA1"]["used_after_job_s"] is None
    earlier = {**then, "from_at": ago(days=20), "until_at": ago(days=19)}
    assert (
        facts({**tables, "coverage": [EVENTS_READ, earlier]}, "session")["ASIA1"]["used_after_job_s"] == 3600
    )
    assert found["ASIA1"]["subject_matches"] is False


# Buckets ------------------------------------------------------------------------------------------------------------

OPEN = dict.fromkeys(
    ("block_public_acls", "ignore_public_acls", "block_public_policy", "restrict_public_buckets"), False
)


def test_public_block_of_the_account_counts_and_an_unread_one_leaves_it_open() -> None:
    on = dict.fromkeys(OPEN, True)
    for account, blocked in ((on, True), (OPEN, False), ({}, None)):
        tables = estate(s3_bucket=[bucket(**OPEN)], aws_account=[{"account": HOME, **account}])
        assert facts(tables, "bucket")[BUCKET]["public_access_blocked"] is blocked


def test_other_accounts_block_and_trail_are_no_guard_here() -> None:
    trail = {
        "arn": "arn:t", "name": "t", "account": HOME, "region": US, "multi_region": False, "logging": True,
        "write_data_arns": ["arn:aws:s3"],
    }  # fmt: skip
    elsewhere = {"account": AWAY, **dict.fromkeys(OPEN, True)}
    tables = estate(
        s3_bucket=[bucket(**OPEN)],
        aws_account=[{"account": HOME, **OPEN}, elsewhere],
        cloudtrail_trail=[trail],
    )
    found = facts(tables, "bucket")[BUCKET]
    assert found["public_access_blocked"] is False
    assert found["data_events"] is False, "the trail is of another region only"


@pytest.mark.parametrize(
    ("selector", "logging", "seen"),
    [
        ("arn:aws:s3:::exports-phi/", True, True),
        ("arn:aws:s3:::exports-phi/a/", True, True),
        ("arn:aws:s3:::exports-phi/b/", True, False),
        ("arn:aws:s3:::exports-phi-old/", True, False),
        ("arn:aws:s3", False, False),
        ("arn:aws:s3", None, None),
    ],
)
def test_data_events_count_when_they_cover_what_exports_write(selector: str, logging: Any, seen: Any) -> None:
    trail = {
        "arn": "arn:t", "name": "t", "account": HOME, "region": EU, "multi_region": False, "logging": logging,
        "write_data_arns": [selector],
    }  # fmt: skip
    found = facts(estate(export=[export()], cloudtrail_trail=[trail]), "bucket")[BUCKET]
    assert found["data_events"] is seen


def test_lifecycle_counts_noncurrent_versions_dates_and_only_where_exports_write() -> None:
    rules = [
        {
            "Status": "Enabled",
            "Filter": {"Prefix": "a/"},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 2},
        },
        {"Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 1}},
        {"Status": "Disabled", "Filter": {}, "Expiration": {"Days": 1}},
        {"Status": "Enabled", "Filter": {}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
        {"Status": "Enabled", "Filter": {}, "Expiration": {"ExpiredObjectDeleteMarker": True}},
    ]
    found = facts(estate(s3_bucket=[bucket(lifecycle=rules)], export=[export()]), "bucket")[BUCKET]
    assert (found["expires_current"], found["expire_noncurrent_s"]) == (False, 172_800)
    dated = [{"Status": "Enabled", "Filter": {"And": {"Prefix": ""}}, "Expiration": {"Date": "2030-01-01"}}]
    found = facts(estate(s3_bucket=[bucket(lifecycle=dated)], export=[export()]), "bucket")[BUCKET]
    assert (found["expires_current"], found["expire_current_s"]) == (True, 0)


JOBS_HIDDEN = JOBS_SEEN | {"complete": False, "reason": "denied", "detail": "access denied"}


@pytest.mark.parametrize("coverage", [[JOBS_HIDDEN], []])
def test_where_jobs_are_hidden_a_rule_beside_the_known_exports_may_still_reach_one(
    coverage: list[dict[str, Any]],
) -> None:
    def of(*rules: dict[str, Any]) -> dict[str, Any]:
        held = [bucket(lifecycle=list(rules))]
        return facts(estate(s3_bucket=held, export=[export()], coverage=coverage), "bucket")[BUCKET]

    beside = {"Status": "Enabled", "Filter": {"Prefix": "b/"}, "Expiration": {"Days": 1}}
    whole = {"Status": "Enabled", "Filter": {}, "Expiration": {"Days": 30}}
    found = of(beside)
    assert (found["expires_current"], found["expire_current_s"]) == (None, None)
    assert found["expires_noncurrent"] is False, "no rule ends those"
    assert found["exports_says"].startswith("which prefixes exports write was not seen: ")
    found = of(beside, whole)
    assert (found["expires_current"], found["expire_current_s"]) == (None, None), "it may go after a day"
    found = of(beside | {"Expiration": {"Days": 60}}, whole)
    assert (found["expires_current"], found["expire_current_s"]) == (True, 30 * 86_400), (
        "that one hides nothing"
    )
    assert of()["expires_current"] is False


@pytest.mark.parametrize(
    ("selector", "seen"),
    [
        ("arn:aws:s3:::exports-phi/", True),
        ("arn:aws:s3:::exports-phi/a/", None),
        ("arn:aws:s3:::other/", False),
    ],
)
def test_where_jobs_are_hidden_data_events_of_a_prefix_may_leave_an_export_out(
    selector: str, seen: Any
) -> None:
    trail = {
        "arn": "arn:t", "name": "t", "account": HOME, "region": EU, "multi_region": False, "logging": True,
        "write_data_arns": [selector],
    }  # fmt: skip
    tables = estate(export=[export()], cloudtrail_trail=[trail], coverage=[JOBS_HIDDEN])
    assert facts(tables, "bucket")[BUCKET]["data_events"] is seen
    without = estate(coverage=[JOBS_HIDDEN])
    assert facts(without, "bucket")[BUCKET]["export_bucket"] is None


def test_configured_zone_serves_only_a_bucket_whose_tags_were_read_and_hold_none() -> None:
    config = [{"bucket": "exports-phi", "zone": "internal", "owner": "bo@example.com"}]
    for tags, zone in (({}, "internal"), ({"compliance-zone": "phi"}, "phi"), (None, None)):
        found = facts(estate(s3_bucket=[bucket(tags=tags)], config_bucket=config), "bucket")[BUCKET]
        assert (found["zone"], found["owner"]) == (zone, "bo@example.com")


def _watch(field: str, value: str | None, table: str = "s3_bucket", key: str = BUCKET) -> dict[str, Any]:
    return {"table_name": table, "key": key, "field": field, "value": value}


ALL = [
    _watch(field, value)
    for field, value in {
        "versioning": "Enabled", "mfa_delete": "Disabled", "encryption": "aws:kms", "block_public_acls": "true",
        "ignore_public_acls": "true", "block_public_policy": "true", "restrict_public_buckets": "true",
        "ownership": "BucketOwnerEnforced", "policy": "none",
    }.items()
]  # fmt: skip


def test_guard_weakens_by_the_direction_of_its_column() -> None:
    weak = bucket(versioning="Suspended", encryption="AES256", mfa_delete="Enabled")
    found = facts(estate(s3_bucket=[weak], history_watch=ALL), "bucket")[BUCKET]
    assert sorted(line.partition(":")[0] for line in found["weakened"]) == ["encryption", "versioning"]
    assert found["guards_compared"] is True
    same = facts(estate(history_watch=ALL), "bucket")[BUCKET]
    assert (same["weakened"], same["policy_no_looser"]) == ([], True)


def test_guard_that_is_not_known_now_or_then_is_no_change_and_no_proof() -> None:
    hidden = facts(estate(s3_bucket=[bucket(versioning=None)], history_watch=ALL), "bucket")[BUCKET]
    assert (hidden["weakened"], hidden["guards_compared"]) == ([], None)
    before = [row if row["field"] != "encryption" else {**row, "value": None} for row in ALL]
    assert facts(estate(history_watch=before), "bucket")[BUCKET]["guards_compared"] is None


def test_flag_that_the_account_still_sets_has_not_weakened() -> None:
    account = {"account": HOME, **dict.fromkeys(OPEN, True)}
    tables = estate(s3_bucket=[bucket(**OPEN)], aws_account=[account], history_watch=ALL)
    assert facts(tables, "bucket")[BUCKET]["weakened"] == []
    tables["aws_account"] = [{"account": HOME, **OPEN}]
    assert len(facts(tables, "bucket")[BUCKET]["weakened"]) == 4


def test_changed_policy_is_looser_by_what_it_lets_in_and_unknown_when_it_cannot_be_read() -> None:
    denying = (
        '{"Statement":[{"Action":["s3:GetObject","s3:PutObject"],"Effect":"Deny","Principal":"*","Resource":"*"}],'
        '"Version":"2012-10-17"}'
    )
    turned = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Resource":"*",'
        '"Action":["s3:PutObject","s3:GetObject"]}]}'
    )
    stricter = denying.replace('"s3:PutObject"', '"s3:Put*"')
    before = [row if row["field"] != "policy" else {**row, "value": denying} for row in ALL]
    for now, no_looser in (
        (turned, True), (stricter, True), ("none", False), (denying.replace("Deny", "Allow"), False), ("{", None), (None, None),
    ):  # fmt: skip
        found = facts(estate(s3_bucket=[bucket(policy=now)], history_watch=before), "bucket")[BUCKET]
        assert found["policy_no_looser"] is no_looser, now
        assert bool(found["policy_change_says"]) is (no_looser is not True), now


# Plans --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "hours"),
    [
        ("cron(0 5 ? * * *)", 24),
        ("cron(0 5 * * ? *)", 24),
        ("cron(0 0/6 * * ? *)", 6),
        ("cron(0 */12 ? * * *)", 12),
        ("cron(0 1,9 ? * * *)", 16),
        ("cron(15 * ? * * *)", 1),
        ("cron(0 5 ? * 1 *)", 168),
        ("cron(0 5 ? * MON-FRI *)", 72),
        ("cron(0 5 1 * ? *)", 31 * 24),
        ("rate(12 hours)", 12),
        ("rate(1 day)", 24),
        ("cron(0 5 ? * 2#1 *)", None),
        ("cron(0 5 L * ? *)", None),
        ("cron(0 5 31 * ? *)", None),
        ("cron(0 5 ? * * 2026)", None),
        ("every day at five", None),
        ("", None),
    ],
)
def test_longest_time_between_two_runs_of_a_schedule(schedule: str, hours: int | None) -> None:
    assert interval_s(schedule) == (None if hours is None else hours * 3600)


def _plan(**more: Any) -> dict[str, Any]:
    rule = {
        "plan_id": "p", "rule_id": "r", "rule_name": "daily", "account": HOME, "region": EU,
        "vault_name": "main", "schedule": "cron(0 5 ? * * *)", "start_window_m": 60, "delete_after_d": 35,
        "continuous": False, "copies": [],
    }  # fmt: skip
    taken = [{"plan_id": "p", "plan": "p", "selection": "s", "verdict": "covered", "because": ""}]
    return {
        "backup_plan_rule": [rule],
        "protection": [{"bucket_arn": BUCKET, "covered": "covered", "plans": taken, "because": ""}],
        **more,
    }


def test_plan_rule_takes_the_strictest_zone_it_serves_and_misses_what_that_demands() -> None:
    found = facts(estate(**_plan()), "plan_rule")["p/daily"]
    assert found["zone"] == "phi"
    assert found["missing_copy_regions"] == ["eu-central-1"]
    assert found["missing_copy_accounts"] == [AWAY]
    assert (found["interval_s"], found["buckets_served"]) == (86_400, 1)


def test_plan_rule_has_no_zone_while_a_stricter_bucket_may_be_hidden() -> None:
    plain = bucket(tags={"compliance-zone": "internal"})
    gap = {"table_name": "s3_bucket", "account": HOME, "region": "*", "resource": "*", "complete": False}
    tables = estate(s3_bucket=[plain], coverage=[gap], **_plan())
    assert facts(tables, "plan_rule")["p/daily"]["zone"] is None
    tables["coverage"] = [{**gap, "resource": f"{BUCKET}#versioning"}]
    assert facts(tables, "plan_rule")["p/daily"]["zone"] == "internal", "a setting hides no bucket"


def test_selection_by_a_misspelt_tag_takes_nothing_and_an_undecided_one_is_open() -> None:
    selection = {
        "plan_id": "p", "selection_id": "s1", "name": "s", "account": HOME, "region": EU,
        "resources": ["*"], "not_resources": [], "conditions": {},
        "list_of_tags": [{"ConditionType": "STRINGEQUALS", "ConditionKey": "bakcup", "ConditionValue": "yes"}],
    }  # fmt: skip
    for verdict, matched in (("covered", 1), ("not_covered", 0), ("undecided", None)):
        plans = [{"plan_id": "p", "plan": "p", "selection": "s", "verdict": verdict, "because": ""}]
        tables = estate(backup_selection=[selection], protection=[{"bucket_arn": BUCKET, "plans": plans}])
        assert facts(tables, "selection")["p/s1"]["buckets_matched"] == matched
    other = {**selection, "resources": ["arn:aws:rds:*:*:db:*"]}
    assert facts(estate(backup_selection=[other]), "selection")["p/s1"]["by_tag"] is False


# Objects ------------------------------------------------------------------------------------------------------------

TRAIL = {
    "arn": "arn:t", "name": "t", "account": HOME, "region": EU, "multi_region": True, "logging": True,
    "write_data_arns": ["arn:aws:s3"],
}  # fmt: skip


def _write(key: str, role: str | None = ROLE, **more: Any) -> dict[str, Any]:
    return {
        "event_id": key, "account": HOME, "region": EU, "at": ago(hours=7), "event_name": "PutObject",
        "bucket": "exports-phi", "key": key, "version_id": "v1", "role_arn": role, "error_code": "",
        "principal_type": "AssumedRole" if role else "IAMUser", "principal_arn": f"arn:aws:iam::{HOME}:user/eve",
    } | more  # fmt: skip


EVENTS_READ = {
    "table_name": "s3_data_event", "account": HOME, "region": "*", "resource": "*", "complete": True,
    "from_at": ago(days=30), "until_at": ago(),
}  # fmt: skip


def _objects(**tables: Any) -> dict[str, dict[str, Any]]:
    given = {
        "coverage": [EVENTS_READ],
        "export": [export()], "cloudtrail_trail": [TRAIL], "config_federation": [{"role_arn": ROLE, "bucket": ""}],
    }  # fmt: skip
    return facts(estate(**given | tables), "object")


def test_foreign_writer_names_five_objects_at_most_and_a_sound_directory_is_one_row() -> None:
    found = _objects(s3_data_event=[_write(f"a/{n}") for n in range(9)])
    assert list(found) == ["exports-phi/a/"]
    assert (found["exports-phi/a/"]["foreign_writer"], found["exports-phi/a/"]["orphan"]) == (False, False)
    found = _objects(s3_data_event=[_write(f"a/{n}", role=None) for n in range(9)])
    assert len(found) == 5
    assert found["exports-phi/a/0@v1"]["foreign_writer"] is True


def test_refused_writes_staging_and_other_prefixes_are_no_objects_of_an_export() -> None:
    events = [
        _write("a/refused", role=None, error_code="AccessDenied"),
        _write("a/_temporary/0/part", role=None),
        _write("b/elsewhere", role=None),
    ]
    assert _objects(s3_data_event=events) == {}


def test_declared_writer_is_not_foreign_but_its_name_alone_in_another_bucket_is() -> None:
    writer = {"match": "arn:aws:iam::*:role/replication", "bucket": "exports-*", "reason": "replication"}
    events = [_write("a/0", role=f"arn:aws:iam::{HOME}:role/replication")]
    assert not _objects(s3_data_event=events, config_writer=[writer])["exports-phi/a/"]["foreign_writer"]
    other = {**writer, "bucket": "archive-*"}
    assert _objects(s3_data_event=events, config_writer=[other])["exports-phi/a/0@v1"]["foreign_writer"]


def test_a_writer_may_be_declared_by_its_sessions_as_well_as_by_its_role() -> None:
    session = f"arn:aws:sts::{HOME}:assumed-role/replication/s3-1"
    events = [_write("a/0", role=f"arn:aws:iam::{HOME}:role/replication", principal_arn=session)]
    for match in (session, "arn:aws:sts::*:assumed-role/replication/*", "arn:aws:iam::*:role/replication"):
        declared = {"match": match, "bucket": "exports-*", "reason": "replication"}
        found = _objects(s3_data_event=events, config_writer=[declared])
        assert found["exports-phi/a/"]["foreign_writer"] is False, match
    other = {"match": session.replace("s3-1", "s3-2"), "bucket": "exports-*", "reason": "replication"}
    assert _objects(s3_data_event=events, config_writer=[other])["exports-phi/a/0@v1"]["foreign_writer"]


def test_a_write_whose_event_does_not_say_who_made_it_is_neither_foreign_nor_ours() -> None:
    session = f"arn:aws:sts::{HOME}:assumed-role/exporter/u-1"
    for event in (
        _write("a/0", role=None, principal_type=None, principal_arn=None),
        _write("a/0", role=None, principal_type="AssumedRole", principal_arn=None),
        _write("a/0", role=None, principal_type="AssumedRole", principal_arn=session),
    ):
        found = _objects(s3_data_event=[event, _write("a/1")])
        assert {key: row["foreign_writer"] for key, row in found.items()} == {"exports-phi/a/0@v1": None}
    other = session.replace("exporter", "other")
    event = _write("a/0", role=None, principal_type="AssumedRole", principal_arn=other)
    assert _objects(s3_data_event=[event])["exports-phi/a/0@v1"]["foreign_writer"] is True


def test_without_data_events_of_the_time_the_writer_of_an_object_is_not_known() -> None:
    version = {
        "bucket": "exports-phi",
        "key": "a/0",
        "version_id": "v1",
        "dir": "a/",
        "last_modified": ago(days=40),
        "is_delete_marker": False,
    }
    found = _objects(s3_object_version=[version])
    assert found["exports-phi/a/"]["foreign_writer"] is None
    assert found["exports-phi/a/"]["orphan"] is None


def test_stray_objects_are_told_by_their_keys() -> None:
    stray = {
        "bucket": "exports-phi", "dir": "a/", "objects": 2, "under_export": True, "orphan": True,
        "writers": "eve", "samples": ["a/x", "a/y"], "because": "nobody",
        "first_at": ago(hours=7), "last_at": ago(hours=7),
    }  # fmt: skip
    found = _objects(unattributed_object=[stray], s3_data_event=[_write("a/x", role=None)])
    assert set(found) == {"exports-phi/a/x@v1", "exports-phi/a/y@null"}
    assert all(row["orphan"] for row in found.values())
    assert _objects(unattributed_object=[{**stray, "under_export": False}]) == {}


# Trails, providers, populations, waivers, the scan --------------------------------------------------------------------


def test_account_without_a_trail_is_a_subject_only_if_its_trails_were_read() -> None:
    read = {
        "table_name": "cloudtrail_trail",
        "account": HOME,
        "region": "*",
        "resource": "*",
        "complete": True,
    }
    assert list(facts(estate(coverage=[read]), "trail")) == [f"arn:aws:cloudtrail:*:{HOME}:trail/*"]
    assert facts(estate(coverage=[{**read, "complete": False}]), "trail") == {}


def test_second_trail_for_data_events_is_covered_by_a_whole_one_of_its_own_account() -> None:
    whole = {**TRAIL, "global_events": True, "validated": True, "management_events": "All"}
    data = {**TRAIL, "arn": "arn:d", "multi_region": False, "management_events": "None"}
    assert facts(estate(cloudtrail_trail=[whole, data]), "trail")["arn:d"]["covered_by_another"] is True
    away = {**whole, "account": AWAY}
    assert facts(estate(cloudtrail_trail=[away, data]), "trail")["arn:d"]["covered_by_another"] is False


def test_provider_is_judged_against_what_is_declared_and_never_without() -> None:
    provider = {
        "arn": "arn:oidc", "account": HOME, "kind": "oidc", "url": "accounts.google.com/",
        "client_ids": ["sts.amazonaws.com", "x"], "thumbprints": ["AA"],
    }  # fmt: skip
    declared = {"url": "https://Accounts.google.com", "client_ids": ["sts.amazonaws.com"], "thumbprints": []}
    found = facts(estate(iam_provider=[provider], config_provider=[declared]), "oidc_provider")["arn:oidc"]
    assert (found["declared"], found["undeclared_client_ids"]) == (True, ["x"])
    assert found["thumbprints_as_declared"] is True, "nothing to compare with"
    before = [_watch("thumbprints", '["bb"]', "iam_provider", "arn:oidc")]
    tables = estate(iam_provider=[provider], config_provider=[declared], history_watch=before)
    assert facts(tables, "oidc_provider")["arn:oidc"]["thumbprints_as_declared"] is False
    assert facts(estate(iam_provider=[provider]), "oidc_provider")["arn:oidc"]["declared"] is None


def test_bucket_vanished_only_if_every_listing_was_whole() -> None:
    gone = [_watch("versioning", "Enabled", key="arn:aws:s3:::gone")]
    read = {"table_name": "s3_bucket", "account": HOME, "region": "*", "resource": "*", "complete": True}
    seen = estate(history_watch=gone, coverage=[read])
    assert facts(seen, "any")["arn:aws:s3:::gone"]["vanished"] is True
    seen["coverage"].append({**read, "account": AWAY, "complete": False})
    assert facts(seen, "any")["arn:aws:s3:::gone"]["vanished"] is None


def test_bucket_appeared_for_sure_if_it_was_made_since_and_else_only_after_a_whole_scan() -> None:
    new = bucket("arn:aws:s3:::new", created_at=ago(days=1))
    old = bucket("arn:aws:s3:::old")
    scan = {"scan": "1", "at": ago(days=7), "state": "finished", "complete": False, "interval_s": 604_800}
    tables = estate(s3_bucket=[bucket(), new, old], history_watch=ALL, history_scan=[scan])
    found = facts(tables, "any")
    assert [found[b["arn"]]["appeared"] for b in (bucket(), new, old)] == [False, True, None]
    tables["history_scan"] = [{**scan, "complete": True}]
    assert facts(tables, "any")["arn:aws:s3:::old"]["appeared"] is True


def test_scan_counts_failures_to_read_apart_from_what_the_estate_left_off() -> None:
    gap = {
        "table_name": "s3_data_event",
        "source": "aws_cloudtrail",
        "account": HOME,
        "region": EU,
        "resource": "*",
    }
    off = {**gap, "complete": False, "reason": "not_enabled"}
    found = facts(estate(coverage=[off]), "scan")["2026-W10"]
    assert (found["read_whole"], found["differing"]) == (True, [])
    denied = facts(estate(coverage=[off, {**off, "reason": "denied"}]), "scan")["2026-W10"]
    assert (denied["read_whole"], denied["gap_sources"]) == (False, ["aws_cloudtrail"])
    assert facts(estate(coverage=[]), "scan")["2026-W10"]["read_whole"] is None


def test_pause_between_scans_counts_from_the_last_finished_one() -> None:
    scans = [
        {"scan": "1", "at": ago(days=14), "state": "finished", "complete": True, "interval_s": 604_800},
        {"scan": None, "slot": "2026-W09", "at": ago(days=7), "state": "missed", "interval_s": 604_800},
    ]
    found = facts(estate(history_scan=scans), "scan")["2026-W10"]
    assert (found["since_previous_s"], found["missed"]) == (14 * 86_400, 1)


def test_two_accounts_keep_their_subjects_apart_and_counts_agree() -> None:
    away = bucket("arn:aws:s3:::away", account=AWAY)
    held = [
        point(),
        point(
            "arn:p9", resource_arn="arn:aws:s3:::away", vault_arn=f"arn:aws:backup:{EU}:{AWAY}:backup-vault:v"
        ),
    ]
    with derived(estate(s3_bucket=[bucket(), away], backup_recovery_point=held)) as engine:
        rows = {row["subject_key"]: row for row in engine.table("bucket_facts")}
        assert [rows[arn]["periodic_points"] for arn in (BUCKET, "arn:aws:s3:::away")] == [1, 1]
        assert engine.table("scan_facts")[0]["differing"] == []


def test_expired_waiver_and_its_open_findings_are_counted() -> None:
    waiver = {
        "waiver_id": "w", "rule": "bucket-*", "subject": "arn:aws:s3:::exports-*", "reason": "r",
        "requester": "a", "approver": "b", "created_at": ago(days=40), "expires_at": ago(days=1),
    }  # fmt: skip
    finding = {"finding_id": "f", "rule": "bucket-versioned", "subject_key": BUCKET, "verdict": "fail"}
    tables = estate(history_waiver=[waiver], history_finding=[finding])
    found = facts(tables, "waiver")["w"]
    assert (found["expired"], found["open_findings"], found["lasts_s"]) == (True, 1, 39 * 86_400)
    assert NOW - timedelta(days=1) == found["expires_at"]
