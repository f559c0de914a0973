"""People as rules judge them: leavers, dormant access, waivers of one's own, denied attempts, offboarding."""

from __future__ import annotations

from typing import Any

import pytest
from entities import NOW, ago, derived, estate, facts

ANA = {"id": "1", "email": "ana@example.com", "status": "active", "directory": "csv"}
DUTY = {
    "group_name": "exporters",
    "directory": "",
    "project": "*",
    "region": "*",
    "job_id": "*",
    "zone": "*",
    "starts": "*",
}
MEMBER = {"user_id": "1", "group_name": "exporters", "from_at": ago(days=400)}
READ = [
    {"table_name": "gcp_audit_entry", "account": "prod", "region": "*", "resource": "*", "complete": True,
     "from_at": ago(days=400), "until_at": NOW, "detail": ""},
]  # fmt: skip


def entry(**more: Any) -> dict[str, Any]:
    return {
        "entry_id": "e1", "project": "prod", "region": "europe-west1", "at": ago(hours=8), "granted": True, "status_code": 0,
        "method": "google.cloud.dataproc.v1.JobController.SubmitJob", "principal_email": "ana@example.com",
        "job_uuid": "j1", "job_id": "claims-1",
    } | more  # fmt: skip


def job(**more: Any) -> dict[str, Any]:
    return {
        "job_uuid": "j1", "kind": "job", "job_id": "claims-1", "project": "prod", "region": "europe-west1", "state": "DONE",
        "done": True, "submitted_at": ago(hours=8), "labels": {"zone": "phi"},
    } | more  # fmt: skip


def ana(**tables: Any) -> dict[str, Any]:
    found = {
        "directory_user": [ANA],
        "directory_membership": [MEMBER],
        "config_duty": [DUTY],
        "coverage": READ,
    } | tables
    return facts(estate(**found), "identity")["ana@example.com"]


def gone(**more: Any) -> dict[str, Any]:
    return {**ANA, "status": "disabled", "disabled_at": ago(days=9), **more}


# The end of access


def test_two_directories_that_disagree_on_the_end_leave_it_open() -> None:
    other = {"id": "okta:1", "email": "ana@example.com", "status": "active", "directory": "okta"}
    found = ana(directory_user=[gone(), other], gcp_audit_entry=[entry()])
    assert (found["ended"], found["uses_after_end"]) == (None, None)
    assert found["end_says"] == "csv ended it and okta did not"
    assert found["directories"] == ["csv", "okta"]


def test_two_directories_that_agree_end_with_the_later() -> None:
    other = {"id": "okta:1", "email": "ana@example.com", "status": "disabled", "disabled_at": ago(days=2)}
    found = ana(directory_user=[gone(), other], gcp_audit_entry=[entry(at=ago(days=3))])
    assert (found["ended_at"], found["uses_after_end"]) == (ago(days=2), 0)


def test_end_that_is_dated_at_the_latest_counts_only_what_is_surely_after_it() -> None:
    undated = gone(id="scim:1", disabled_at=None, disabled_by=ago(days=2), directory="scim")
    found = ana(directory_user=[undated], gcp_audit_entry=[entry(), entry(entry_id="e0", at=ago(days=5))])
    assert (found["ended"], found["ended_at"], found["uses_after_end"]) == (True, None, 1)
    assert (found["latest_use_after_end_s"], found["surely_after_end_s"]) == (None, 40 * 3600)
    assert (found["ended_since_s"], found["ended_at_least_s"]) == (None, 2 * 86400)
    before = ana(directory_user=[undated], gcp_audit_entry=[entry(at=ago(days=5))])
    assert (before["uses_after_end"], before["surely_after_end_s"]) == (None, 0), (
        "the end may have been earlier still"
    )


def test_membership_that_a_leaver_still_has_is_told_with_the_groups_of_duties_apart() -> None:
    choir = {"user_id": "1", "group_name": "choir", "from_at": None}
    ended = {**MEMBER, "group_name": "old", "until_at": ago(days=1)}
    found = ana(directory_user=[gone()], directory_membership=[MEMBER, choir, ended])
    assert (found["groups_now"], found["duty_groups"]) == (["choir", "exporters"], ["exporters"])


def test_group_of_two_directories_is_nobodys_duty_until_the_duty_says_whose() -> None:
    other = {"user_id": "okta:9", "group_name": "exporters"}
    assert ana(directory_membership=[MEMBER, other])["duty_groups"] is None
    said = ana(directory_membership=[MEMBER, other], config_duty=[{**DUTY, "directory": "okta"}])
    assert said["duty_groups"] == []


def test_pool_subject_counts_for_the_person_of_its_declared_directory_alone() -> None:
    subject = "principal://iam.googleapis.com/locations/global/workforcePools/staff/subject/s-7"
    acted = entry(principal_email=None, principal_subject=subject)
    declared = {"pool": "staff", "directory": "csv", "subject": "subject"}
    user = gone(subject="s-7")
    found = ana(directory_user=[user], gcp_audit_entry=[acted], config_workforce_pool=[declared])
    assert found["uses_after_end"] == 1
    undeclared = ana(directory_user=[user], gcp_audit_entry=[acted])
    assert undeclared["uses_after_end"] == 0
    elsewhere = ana(
        directory_user=[user],
        gcp_audit_entry=[acted],
        config_workforce_pool=[{**declared, "directory": "okta"}],
    )
    assert elsewhere["uses_after_end"] == 0


# Dormant access


def test_how_long_calls_were_read_ends_at_a_gap() -> None:
    assert ana()["use_seen_s"] == 400 * 86400
    cut = {
        **READ[0],
        "complete": False,
        "from_at": ago(days=20),
        "until_at": ago(days=19),
        "reason": "failed",
    }
    assert ana(coverage=[*READ, cut])["use_seen_s"] == 19 * 86400
    early = {**READ[0], "until_at": ago(days=1)}
    assert ana(coverage=[early])["use_seen_s"] == 0, "what was read ends before now"
    other = {**READ[0], "account": "other", "from_at": ago(days=3)}
    assert ana(coverage=[*READ, other])["use_seen_s"] == 3 * 86400
    assert ana(coverage=[])["use_seen_s"] == 0


def test_member_is_known_for_as_long_as_scans_saw_it_without_a_break() -> None:
    undated = {**MEMBER, "from_at": None}
    assert ana(directory_membership=[undated])["duty_since_s"] is None
    run = {
        "user_id": "1",
        "group_name": "exporters",
        "from_seen_at": ago(days=70),
        "until_seen_at": ago(days=7),
    }
    assert ana(directory_membership=[undated], history_membership=[run])["duty_since_s"] == 70 * 86400
    broken = {**run, "until_seen_at": ago(days=30)}
    assert ana(directory_membership=[undated], history_membership=[broken])["duty_since_s"] is None


# Waivers of one's own


def waived(approver: str, *, subject: str = "j1", finding: str = "j1") -> dict[str, Any]:
    return ana(
        dataproc_job=[job()],
        gcp_audit_entry=[entry()],
        history_finding=[
            {
                "finding_id": "F1",
                "rule": "r",
                "subject_table": "job",
                "subject_key": finding,
                "verdict": "fail",
            }
        ],
        history_waiver=[
            {
                "waiver_id": "W1",
                "rule": "r",
                "subject": subject,
                "approver": approver,
                "requester": "x@example.com",
            }
        ],
    )


def test_waiver_of_a_finding_about_a_job_of_ones_own_is_named() -> None:
    assert waived("Ana@Example.com")["waivers_of_own"] == ["W1"]
    assert waived("ana+work@example.com", subject="*")["waivers_of_own"] == ["W1"]


@pytest.mark.parametrize(
    ("approver", "finding"), [("finn@example.com", "j1"), ("ana@example.com", "another job")]
)
def test_waiver_by_somebody_else_or_about_another_job_is_none_of_theirs(approver: str, finding: str) -> None:
    assert waived(approver, subject="*", finding=finding)["waivers_of_own"] == []


def test_approver_who_is_only_a_name_may_be_anybody() -> None:
    assert waived("Ana Maria")["waivers_of_own"] is None


# Denied attempts


def denied(*signed: dict[str, Any], **more: Any) -> dict[str, dict[str, Any]]:
    refused = {
        "granted": False,
        "status_code": 7,
        "principal_email": "eve@example.com",
        "job_uuid": None,
    } | more
    tables = estate(
        gcp_audit_entry=[entry(**refused), entry(**{"entry_id": "e2", "at": ago(hours=9)} | refused)],
        sts_session=[
            {"session_key": "s1", "account": "111111111111", "issued_at": ago(days=3), "event_name": "AssumeRole",
             "caller_arn": "arn:aws:iam::9:user/eve", "error_code": "AccessDenied"},
            {"session_key": "s2", "account": "111111111111", "issued_at": ago(days=3), "event_name": "AssumeRole",
             "caller_arn": "arn:aws:iam::9:user/ana", "error_code": ""},
            {"session_key": "s3", "account": "111111111111", "issued_at": ago(days=3), "event_name": "AssumeRole",
             "caller_arn": "arn:aws:iam::9:user/ana", "error_code": "ThrottlingException"},
        ],
        history_signoff=list(signed),
    )  # fmt: skip
    return facts(tables, "audit_entry")


KEY = "2026-03-01/prod/eve@example.com"


def review(by: str, at: Any, subject: str = KEY, kind: str = "denied-attempts") -> dict[str, Any]:
    return {
        "sign_off_id": by + str(at),
        "kind": kind,
        "subject": subject,
        "signer": by,
        "at": at,
        "reason": "a typo",
        "decision": "reviewed",
    }


def test_denied_attempts_are_a_row_a_principal_place_and_day() -> None:
    found = denied()
    assert sorted(found) == ["2026-02-27/111111111111/arn:aws:iam::9:user/eve", KEY]
    assert (found[KEY]["attempts"], found[KEY]["methods"], found[KEY]["reviewed"]) == (
        2,
        ["SubmitJob"],
        False,
    )
    assert found[KEY]["first_at"] < found[KEY]["last_at"]


def test_review_counts_when_somebody_else_signed_it_after_the_latest_attempt() -> None:
    good = denied(review("finn@example.com", ago(hours=1)))[KEY]
    assert (good["reviewed"], good["reviewed_by"], good["review_says"]) == (
        True,
        "finn@example.com",
        "a typo",
    )
    early = denied(review("finn@example.com", ago(hours=8, minutes=30)))[KEY]
    assert (early["reviewed"], early["review_says"]) == (
        False,
        "finn@example.com reviewed it before the latest attempt",
    )
    own = denied(review("Eve+x@example.com", ago(hours=1)))[KEY]
    assert (own["reviewed"], own["review_says"]) == (False, "Eve+x@example.com reviewed their own attempts")
    other = denied(review("finn@example.com", ago(hours=1), kind="access-review"))[KEY]
    assert other["reviewed"] is False


# Offboarding


def offboarding(**tables: Any) -> list[dict[str, Any]]:
    seen = [
        {"table_name": name, "account": "*", "region": "*", "resource": "*", "complete": True, "from_at": since,
         "until_at": NOW if since else None, "detail": ""}
        for name, since in (("directory_membership", None), ("gcp_iam_binding", None), ("iam_access_key", None),
                            ("dataproc_job", ago(days=400)), ("gcp_audit_entry", ago(days=400)))
    ]  # fmt: skip
    found = {"directory_user": [gone()], "config_duty": [DUTY], "coverage": seen} | tables
    engine = derived(estate(**found), "")
    return engine.rows("SELECT * FROM offboarding ORDER BY person")


def test_clean_leaver_outlived_nothing() -> None:
    (row,) = offboarding()
    assert (row["open"], row["outlived_s"], row["not_seen"]) == (False, 0, [])
    assert [row[name] for name in ("groups", "bindings", "sessions", "keys", "owns")] == [[]] * 5


def test_what_is_left_of_a_leaver_is_named_and_goes_on_until_now() -> None:
    (row,) = offboarding(
        directory_membership=[MEMBER],
        gcp_iam_binding=[
            {
                "resource": "projects/prod",
                "role": "roles/dataproc.editor",
                "member": "user:Ana@example.com",
                "condition": "",
            }
        ],
        dataproc_job=[job(kind="session", done=False, creator="ana@example.com")],
        iam_user=[
            {
                "arn": "arn:aws:iam::1:user/ana@example.com",
                "name": "ana@example.com",
                "account": "1",
                "tags": {},
            }
        ],
        iam_access_key=[
            {
                "access_key_id": "AKIA1",
                "user_arn": "arn:aws:iam::1:user/ana@example.com",
                "status": "Active",
                "account": "1",
            }
        ],
        config_automation=[
            {"principal": "bot@x.iam.gserviceaccount.com", "owner": "ana@example.com", "project": "*"}
        ],
    )
    assert (row["open"], row["outlived_s"]) == (True, 9 * 86400)
    assert row["groups"] == [{"duty": "start anything in any project into any zone", "group": "exporters"}]
    assert row["bindings"] == [{"resource": "projects/prod", "role": "roles/dataproc.editor"}]
    assert (row["sessions"], row["owns"]) == (
        ["session claims-1 in prod/europe-west1"],
        ["bot@x.iam.gserviceaccount.com"],
    )
    assert row["keys"] == ["AKIA1 of arn:aws:iam::1:user/ana@example.com"]


def test_latest_use_says_how_long_access_outlived_the_person() -> None:
    (row,) = offboarding(gcp_audit_entry=[entry(at=ago(days=8))])
    assert (row["open"], row["uses_after_end"], row["outlived_s"]) == (False, 1, 86400)


def test_what_was_not_read_is_null_and_the_answer_is_open() -> None:
    (row,) = offboarding(coverage=[])
    assert [row[name] for name in ("groups", "bindings", "sessions", "keys")] == [None] * 4
    assert (row["open"], row["outlived_s"]) == (None, None)
    assert "gcp_iam_binding was not read in any account" in row["not_seen"]


def test_somebody_who_is_active_is_in_no_proof_of_offboarding() -> None:
    assert offboarding(directory_user=[ANA]) == []
