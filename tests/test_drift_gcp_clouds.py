"""An intruder in Google Cloud, from call to message: changed in the emulated clouds, seen by two scans, told by every door."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from cli_case import answer, run
from gcp_intruder import (
    ADMIN,
    ARCHIVE,
    EVE,
    EXPORT,
    HERE,
    LOGS,
    OF_EXPORT,
    PROJECT,
    ROLE,
    SINK,
    SPARE,
    SPARE_UID,
    STRANGER,
    UID,
    Clouds,
)  # fmt: skip

from auditor.scan import Scan

KEY_ID = "0123456789abcdef0123456789abcdef01234567"
KEY = f"{OF_EXPORT}/keys/{KEY_ID}"
FILTER = 'logName:"cloudaudit.googleapis.com"'
LOGGED = f"{HERE}/dataproc.googleapis.com/DATA_READ"
ANALYSTS = "group:analysts@acme.example"
CREW = "group:claims-engineers@acme.example"
GIVE = f"{HERE}/roles/resourcemanager.projectIamAdmin/{STRANGER}/"
ACT, SUBMIT = (
    f"{OF_EXPORT}/roles/iam.serviceAccountUser/{STRANGER}/",
    f"{HERE}/roles/dataproc.editor/{STRANGER}/",
)


@dataclass
class Told:
    """What one scan came to, by every door."""

    scan: Scan
    drift: dict[tuple[str, str | None], dict[str, Any]]
    """What `auditor drift --json` says of settings, by key and field."""
    table: str
    slack: list[str]
    hook: list[dict[str, Any]]

    def items(self, *events: str) -> dict[tuple[str, str | None], dict[str, Any]]:
        """Return what the webhook was sent of settings, by resource and field; of some events alone, if any are named."""
        return {
            (item["resource"], item["field"]): item
            for body in self.hook
            for item in body["data"]["items"]
            if not item.get("rule") and "field" in item and (not events or body["data"]["event"] in events)
        }


def told(clouds: Clouds) -> Told:
    done = clouds.look()
    rows = {(row["subject_key"], row["field"]): row for row in clouds.drift()}
    return Told(done, rows, run("drift", config=clouds.path).stdout, *clouds.sent())


@pytest.fixture(scope="module")
def clouds() -> Iterator[Clouds]:
    made = Clouds()
    try:
        prepare(made)
        yield made
    finally:
        made.close()


def prepare(clouds: Clouds) -> None:
    gcp = clouds.gcp
    gcp.put_role(ROLE, ["dataproc.jobs.get", "logging.logEntries.list"])
    gcp.put_sink(PROJECT, "archive", ARCHIVE, filter=FILTER)
    gcp.put_audit_config(HERE, "dataproc.googleapis.com", {"DATA_READ": [], "DATA_WRITE": []})
    gcp.put_service_account(PROJECT, {"email": SPARE, "uniqueId": SPARE_UID, "disabled": True})
    clouds.grant(ROLE, CREW, by=ADMIN)


@pytest.fixture(scope="module")
def first(clouds: Clouds) -> Told:
    done = told(clouds)
    for subject in (PROJECT, EXPORT, SINK):
        fields = ("--field", "access") if subject == EXPORT else ()
        baseline(
            clouds,
            "accept",
            subject,
            *fields,
            "--reason",
            "as designed, CHG-1",
            "--approver",
            "ann@acme.example",
            "--yes",
        )
    return done


@pytest.fixture(scope="module")
def intruded(clouds: Clouds, first: Told) -> Told:
    """Change all that a stranger needs, as a stranger would; an administrator changes the same policy after them."""
    gcp = clouds.gcp
    clouds.grant("roles/iam.serviceAccountUser", STRANGER, OF_EXPORT)
    clouds.grant("roles/dataproc.editor", STRANGER)
    clouds.grant("roles/resourcemanager.projectIamAdmin", STRANGER)
    clouds.key(KEY_ID)
    gcp.put_audit_config(HERE, "dataproc.googleapis.com", {"DATA_WRITE": []})
    switched = {"action": "REMOVE", "service": "dataproc.googleapis.com", "logType": "DATA_READ"}
    clouds.set_policy(HERE, {"auditConfigDeltas": [switched]})
    gcp.put_log_bucket(PROJECT, "_Default", days=1)
    clouds.entry("logging", "google.logging.v2.ConfigServiceV2.UpdateBucket", LOGS)
    gcp.put_sink(PROJECT, "archive", ARCHIVE, filter=f"{FILTER} AND severity>=ERROR", disabled=True)
    clouds.entry("logging", "google.logging.v2.ConfigServiceV2.UpdateSink", SINK)
    gcp.put_role(ROLE, ["dataproc.jobs.get", "logging.logEntries.list", "dataproc.jobs.create"])
    clouds.entry("iam", "google.iam.admin.v1.UpdateRole", ROLE)
    gcp.put_service_account(PROJECT, {"email": SPARE, "uniqueId": SPARE_UID, "disabled": False})
    clouds.entry("iam", "google.iam.admin.v1.EnableServiceAccount", f"projects/-/serviceAccounts/{SPARE_UID}")
    clouds.grant("roles/logging.viewer", ANALYSTS, by=ADMIN)
    return told(clouds)


@pytest.fixture(scope="module")
def hidden(clouds: Clouds, intruded: Told) -> Told:
    """Write all anew in another order, let Google rotate its key, and refuse one policy, half a listing and the sinks."""
    policy = clouds.policy(HERE)
    turned = [{**each, "members": each["members"][::-1]} for each in policy["bindings"][::-1]]
    clouds.gcp.put_policy(HERE, {"bindings": turned, "auditConfigs": policy["auditConfigs"][::-1]})
    clouds.gcp.put_role(ROLE, ["dataproc.jobs.create", "logging.logEntries.list", "dataproc.jobs.get"])
    clouds.gcp.put_key(EXPORT, "f" * 40, {"keyType": "SYSTEM_MANAGED"})
    clouds.gcp.remove_key(EXPORT, KEY_ID)  # which nobody sees
    faults = clouds.estate.aws.faults
    faults.set("iamadmin", "ListServiceAccountKeys", "deny")
    faults.set("iamadmin", "ListServiceAccounts", "truncate")
    faults.set("logging", "ListSinks", "deny")
    done = told(clouds)
    done.table = run(
        "baseline", "accept", EXPORT, "--reason", "r", "--approver", "ann", "--yes", config=clouds.path
    ).stderr
    faults.clear()
    clouds.gcp.put_key(EXPORT, KEY_ID)
    return done


@pytest.fixture(scope="module")
def undone(clouds: Clouds, hidden: Told) -> Told:
    """Put back what was changed, by the commands that were told."""
    gcp = clouds.gcp
    clouds.grant("roles/iam.serviceAccountUser", STRANGER, OF_EXPORT, take=True, by=ADMIN)
    clouds.grant("roles/dataproc.editor", STRANGER, take=True, by=ADMIN)
    clouds.grant("roles/resourcemanager.projectIamAdmin", STRANGER, take=True, by=ADMIN)
    gcp.remove_key(EXPORT, KEY_ID)
    clouds.entry(
        "iam",
        "google.iam.admin.v1.DeleteServiceAccountKey",
        f"projects/-/serviceAccounts/{UID}/keys/{KEY_ID}",
        by=ADMIN,
    )
    gcp.put_audit_config(HERE, "dataproc.googleapis.com", {"DATA_READ": [], "DATA_WRITE": []})
    on = {"action": "ADD", "service": "dataproc.googleapis.com", "logType": "DATA_READ"}
    clouds.set_policy(HERE, {"auditConfigDeltas": [on]}, by=ADMIN)
    gcp.put_log_bucket(PROJECT, "_Default", days=400)
    clouds.entry("logging", "google.logging.v2.ConfigServiceV2.UpdateBucket", LOGS, by=ADMIN)
    gcp.put_sink(PROJECT, "archive", ARCHIVE, filter=FILTER)
    clouds.entry("logging", "google.logging.v2.ConfigServiceV2.UpdateSink", SINK, by=ADMIN)
    gcp.put_role(ROLE, ["dataproc.jobs.get", "logging.logEntries.list"])
    clouds.entry("iam", "google.iam.admin.v1.UpdateRole", ROLE, by=ADMIN)
    gcp.put_service_account(PROJECT, {"email": SPARE, "uniqueId": SPARE_UID, "disabled": True})
    clouds.entry(
        "iam",
        "google.iam.admin.v1.DisableServiceAccount",
        f"projects/-/serviceAccounts/{SPARE_UID}",
        by=ADMIN,
    )
    return told(clouds)


READ = f"{HERE}/roles/logging.viewer/{ANALYSTS}/"
EVERYTHING: Mapping[tuple[str, str | None], tuple[str, str]] = {
    (ACT, None): ("SetIAMPolicy", f"gcloud iam service-accounts remove-iam-policy-binding {EXPORT}"),
    (SUBMIT, None): ("SetIamPolicy", f"gcloud projects remove-iam-policy-binding {PROJECT}"),
    (GIVE, None): ("SetIamPolicy", f"gcloud projects remove-iam-policy-binding {PROJECT}"),
    (KEY, None): (
        "CreateServiceAccountKey",
        f"gcloud iam service-accounts keys delete {KEY_ID} --iam-account={EXPORT}",
    ),
    (LOGGED, None): ("SetIamPolicy", "put DATA_READ of dataproc.googleapis.com back"),
    (LOGS, "retention_d"): ("UpdateBucket", "gcloud logging buckets update _Default"),
    (SINK, "disabled"): (
        "UpdateSink",
        "gcloud logging sinks update archive --project=acme-claims --no-disabled",
    ),
    (SINK, "filter"): (
        "UpdateSink",
        "gcloud logging sinks update archive --project=acme-claims --log-filter=",
    ),
    (ROLE, "permissions"): ("UpdateRole", ""),
    (SPARE, "disabled"): ("EnableServiceAccount", f"gcloud iam service-accounts disable {SPARE}"),
}
"""Every change, with the method of the entry behind it and how the command begins that undoes it."""


def test_a_first_scan_tells_of_no_setting_of_google_cloud(first: Told) -> None:
    assert first.drift == {} and first.items() == {}


def test_each_change_is_told_as_weaker_with_who_made_it_and_when_it_was_made_and_seen(intruded: Told) -> None:
    assert {name for name, row in intruded.drift.items() if row["direction"] == "worse"} == {
        *EVERYTHING,
        (READ, None),
    }
    for name, (method, _) in EVERYTHING.items():
        row = intruded.drift[name]
        assert (row["severity"], row["actor"], row["address"]) == ("high", EVE, "203.0.113.66"), name
        assert f"({method})" in row["actor_reason"] and "-intruder0" in row["event_id"], name
        assert row["changed_at"].startswith("2026-01-05T07:2") and row["looked_before_at"].startswith(
            "2026-01-05T07:00"
        ), name
        assert "that fit" not in row["actor_reason"], name
    assert intruded.drift[READ, None]["actor"] == ADMIN  # who set the same policy last
    assert intruded.drift[LOGS, "retention_d"]["before"] == "400 d"
    assert intruded.drift[ROLE, "permissions"]["after"] == '["dataproc.jobs.create"]'


def test_what_lets_more_in_is_an_alert_that_opens_and_names_the_command_that_undoes_it(
    intruded: Told,
) -> None:
    items = intruded.items()
    assert set(items) == {*EVERYTHING, (READ, None)}
    for name, (_, command) in EVERYTHING.items():
        assert (items[name]["direction"], items[name]["severity"], items[name]["who"]) == (
            "worse",
            "high",
            EVE,
        ), name
        assert command in items[name]["remedy"], items[name]["remedy"]
    body = max(intruded.hook, key=lambda each: int(each["data"]["count"]))
    assert body["data"]["events"]["worsened"] == len(EVERYTHING) and "changed" not in body["data"]["events"]


def test_findings_that_follow_from_a_change_are_told_with_it_and_by_whom(intruded: Told) -> None:
    body, other = sorted(intruded.hook, key=lambda each: -each["data"]["count"])  # one hand, one message
    assert {item["who"] for item in other["data"]["items"]} == {ADMIN}
    rules = {item["rule"]: item for item in body["data"]["items"] if item["rule"]}
    assert set(rules) >= {
        "service-account-has-no-keys",
        "work-is-submitted-by-duty",
        "logs-are-kept-for-the-period",
    }
    assert {item["who"] for item in rules.values()} == {EVE}
    assert "as it is new: Cloud Audit entry" in rules["service-account-has-no-keys"]["who_because"]


def test_people_read_in_the_title_what_the_change_comes_to_and_below_who_did_it_and_how_it_is_undone(
    intruded: Told,
) -> None:
    (text,) = (each for each in intruded.slack if ANALYSTS in each.splitlines()[0])
    assert text.startswith(f"[HIGH] {ANALYSTS} may now logging.logEntries.list on {HERE}, and ")
    assert (
        f"Who: {ADMIN}" in text
        and "Fix: If nobody meant this: gcloud projects remove-iam-policy-binding" in text
    )
    (text,) = (each for each in intruded.slack if "service-account-has-no-keys" in each.splitlines()[0])
    assert text.count(f"Who: {EVE}") >= 12 and "not found" not in text  # DRF-007 too


def test_what_is_only_written_anew_or_rotated_by_google_or_out_of_sight_is_no_drift(hidden: Told) -> None:
    assert hidden.drift == {} and hidden.items() == {}
    blind = {
        item["resource_type"]
        for body in hidden.hook
        for item in body["data"]["items"]
        if body["data"]["event"] == "scanner_blind"
    }
    assert blind >= {"gcp_log_sink", "gcp_service_account", "gcp_service_account_key"}


def test_what_is_put_back_is_over_for_whoever_heard_of_it(undone: Told) -> None:
    assert {name for name, row in undone.drift.items() if row["direction"] == "better"} == set(EVERYTHING)
    over = undone.items("recovered")
    assert over.keys() >= set(EVERYTHING)
    assert {over[name]["who"] for name in EVERYTHING} == {ADMIN}


def baseline(clouds: Clouds, *args: str) -> str:
    done = run("baseline", *args, config=clouds.path)
    assert done.exit_code == 0, done.output
    return done.stdout


APPROVED = "the state approved by ann@acme.example on 2026"
FINDINGS = {name for name in EVERYTHING if name[0] not in (SPARE, LOGS, ROLE)}
"""Changes of what was approved."""


def test_changes_lead_away_from_an_approved_state_and_back_to_it(intruded: Told, undone: Told) -> None:
    for name in FINDINGS:
        assert f"; away from {APPROVED}" in intruded.drift[name]["because"], name
        assert f"; back to {APPROVED}" in undone.drift[name]["because"], name
    assert "approved" not in intruded.drift[SPARE, "disabled"]["because"]


def test_baseline_shows_what_was_added_to_what_is_approved_and_is_withdrawn_again(
    clouds: Clouds, undone: Told
) -> None:
    said = baseline(clouds, "show", PROJECT)
    (different,) = [line for line in said.splitlines() if "DIFFERENT" in line and " member" in line]
    assert READ in different and "approved not there" in said and "same       ancestors" in said
    assert "SYSTEM_MANAGED" not in baseline(clouds, "show", EXPORT)
    baseline(clouds, "withdraw", PROJECT, "--by", "ann@acme.example", "--reason", "wrong project")
    assert "Nothing is approved" in baseline(clouds, "show", PROJECT)
    assert PROJECT not in [row["key"] for row in answer("baseline", "list", config=clouds.path)["rows"]]


def test_nothing_is_approved_whose_keys_or_policy_nobody_saw(hidden: Told) -> None:
    assert "was not fully read" in hidden.table and "nobody can approve what nobody saw" in hidden.table


def test_change_without_a_record_fails_and_one_with_its_record_does_not(
    clouds: Clouds, intruded: Told
) -> None:
    judged = {
        row["subject_key"].partition("/")[2]: row
        for row in intruded.scan.judgement.rows("outcome")
        if row["rule"] == "change-has-a-record" and row["verdict"] in ("pass", "fail")
    }
    passed = {key for key, row in judged.items() if row["verdict"] == "pass"}
    assert passed == {f"{READ}#appeared"}
    assert {key for key, row in judged.items() if EVE in row["because"]} >= {
        f"{key}#{field or ('vanished' if key == LOGGED else 'appeared')}" for key, field in EVERYTHING
    }
