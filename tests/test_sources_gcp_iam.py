"""Reading who may do what in Google Cloud: what is not seen is a gap, and an empty answer is never believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gcp_estate import NOW, PROJECT, REGION, Reading, job, reader, submission

from auditor.model import Place
from auditor.sandbox.faults import Faults
from auditor.sandbox.gcp import GcpCloud
from auditor.sources import gcp_dataproc, gcp_iam, gcp_logging

SA = f"exporter@{PROJECT}.iam.gserviceaccount.com"
OTHER = f"idle@{PROJECT}.iam.gserviceaccount.com"
FOLDER, ORG = "folders/77", "organizations/99"
CLUSTER = f"projects/{PROJECT}/regions/{REGION}/clusters/c1"
OWN_ROLE = f"projects/{PROJECT}/roles/submitter"

SPOILT = {
    ("resourcemanager", "GetProject"): "gcp_project",
    ("resourcemanager", "GetFolder"): "gcp_iam_binding",
    ("resourcemanager", "GetIamPolicy"): "gcp_iam_binding",
    ("dataproc", "GetIamPolicy"): "gcp_iam_binding",
    ("iamadmin", "GetIamPolicy"): "gcp_iam_binding",
    ("iamadmin", "ListServiceAccounts"): "gcp_service_account",
    ("iamadmin", "ListServiceAccountKeys"): "gcp_service_account_key",
    ("iamadmin", "ListRoles"): "gcp_role",
    ("iamadmin", "GetRole"): "gcp_role",
    ("logging", "ListBuckets"): "gcp_log_bucket",
    ("logging", "ListSinks"): "gcp_log_sink",
}


def binding(role: str, *members: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "members": list(members), **more}


@pytest.fixture
def cloud() -> Iterator[GcpCloud]:
    cloud = GcpCloud(Faults(hang_s=2))
    cloud.declare(PROJECT, REGION)
    cloud.put_project(PROJECT, parent=FOLDER, number="123456789012")
    cloud.put_folder(FOLDER, parent=ORG)
    late = {"title": "until summer", "expression": 'request.time < timestamp("2027-06-01T00:00:00Z")'}
    cloud.put_policy(
        f"projects/{PROJECT}",
        {
            "bindings": [
                binding("roles/dataproc.editor", "group:engineers@acme.example", "user:ana@acme.example"),
                binding("roles/dataproc.editor", "user:ben@acme.example", condition=late),
                binding(OWN_ROLE, f"serviceAccount:{SA}"),
                binding("roles/newproduct.operator", "user:ana@acme.example"),
            ]
        },
    )
    cloud.put_policy(ORG, {"bindings": [binding("roles/viewer", "domain:acme.example")]})
    cloud.put_policy(CLUSTER, {"bindings": [binding("roles/dataproc.editor", "user:eva@acme.example")]})
    sa = f"projects/{PROJECT}/serviceAccounts/{SA}"
    cloud.put_policy(sa, {"bindings": [binding("roles/iam.serviceAccountUser", "user:ana@acme.example")]})
    cloud.put_audit_config(
        f"projects/{PROJECT}", "iam.googleapis.com", {"ADMIN_READ": ["user:ana@acme.example"]}
    )
    cloud.put_audit_config(ORG, "allServices", {"DATA_READ": []})
    cloud.put_role(OWN_ROLE, ["dataproc.jobs.create", "resourcemanager.projects.get"])
    cloud.put_role("roles/newproduct.operator", ["newproduct.things.use"])
    cloud.put_service_account(PROJECT, {"email": SA, "uniqueId": "104", "description": "owner: finn"})
    cloud.put_service_account(PROJECT, {"email": OTHER, "uniqueId": "105", "disabled": True})
    cloud.put_key(
        SA, "abc", {"validAfterTime": "2026-01-01T00:00:00Z", "validBeforeTime": "9999-12-31T23:59:59Z"}
    )
    cloud.add_job(job("u1", at=NOW), PROJECT, REGION)
    cloud.add_cluster(
        {
            "clusterName": "c1", "clusterUuid": "c1-uuid",
            "config": {"gceClusterConfig": {"serviceAccount": SA, "internalIpOnly": True}},
        },
        PROJECT, REGION,
    )  # fmt: skip
    cloud.add_entries([submission("u1", at=NOW)])
    yield cloud
    cloud.stop()


Read = Callable[..., Reading]


@pytest.fixture
def read(cloud: GcpCloud) -> Read:
    ask = reader(cloud.start(), cloud._store.faults)
    logs = ask(gcp_logging)
    entries = {"gcp_audit_entry": logs.rows("gcp_audit_entry")}
    work = ask(gcp_dataproc, collected=entries)
    found = {**entries, **{table: work.rows(table) for table in ("dataproc_job", "dataproc_cluster")}}

    def collect(**more: Any) -> Reading:
        return ask(gcp_iam, **{"collected": {**_whole(found), **more.pop("collected", {})}, **more})

    return collect


def _whole(tables: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Return rows with every column of their table, as they come from disk."""
    from auditor.schema import tables as described

    return {
        name: [{c.name: row.get(c.name) for c in described()[name].columns} for row in rows]
        for name, rows in tables.items()
    }


def _faults(cloud: GcpCloud) -> Faults:
    return cloud._store.faults


@pytest.mark.parametrize("kind", ["deny", "throttle", "fail", "hang", "cut", "expire", "empty", "garbage"])
@pytest.mark.parametrize(("service", "operation"), list(SPOILT))
def test_whatever_goes_wrong_is_a_gap_and_everything_else_is_still_read(
    cloud: GcpCloud, read: Read, service: str, operation: str, kind: str
) -> None:
    whole = read()
    assert not whole.gaps()
    _faults(cloud).set(service, operation, kind)
    found = read()
    table = SPOILT[service, operation]
    assert found.gaps(table)
    for gap in found.gaps():
        assert gap.reason in {"denied", "throttled", "failed", "hung", "malformed", "expired", "suspect"}
    for other in gcp_iam.TABLES:
        rows, true = found.rows(other), whole.rows(other)
        assert not found.gaps(other) or table != other or all(row in true for row in rows), other
        assert found.gaps(other) or other == "gcp_project" or rows == true, other


def test_a_policy_whose_answer_is_empty_is_suspect_and_not_a_project_without_access(
    cloud: GcpCloud, read: Read
) -> None:
    _faults(cloud).set("resourcemanager", "GetIamPolicy", "empty", account=PROJECT)
    found = read()
    assert [(g.account, g.resource, g.reason) for g in found.gaps("gcp_iam_binding")] == [
        (PROJECT, "*", "suspect")
    ]
    assert [(g.resource, g.reason) for g in found.gaps("gcp_audit_config")] == [("*", "suspect")]
    assert not [seen for seen in found.seen("gcp_audit_config") if seen.account == PROJECT]


def test_an_organisation_that_refuses_leaves_what_is_inherited_and_what_is_logged_unseen(
    cloud: GcpCloud, read: Read
) -> None:
    _faults(cloud).set("resourcemanager", "GetIamPolicy", "deny", account=ORG)
    found = read()
    assert {(g.account, g.resource) for g in found.gaps("gcp_iam_binding")} == {(ORG, "*")}
    assert {(g.account, g.resource) for g in found.gaps("gcp_audit_config")} == {(ORG, "*"), (PROJECT, ORG)}
    assert "resourcemanager.organizations.getIamPolicy" in found.gaps("gcp_iam_binding")[0].detail
    assert not found.seen("gcp_role"), "a policy that was not read may name roles that nobody asked for"


def test_accounts_that_were_not_listed_leave_their_keys_and_policies_unseen(
    cloud: GcpCloud, read: Read
) -> None:
    _faults(cloud).set("iamadmin", "ListServiceAccounts", "deny")
    found = read()
    assert {(g.account, g.resource) for g in found.gaps("gcp_service_account_key")} == {(PROJECT, "*")}
    assert (PROJECT, f"projects/{PROJECT}/serviceAccounts") in {
        (g.account, g.resource) for g in found.gaps("gcp_iam_binding")
    }


def test_a_folder_whose_parent_is_not_told_leaves_everything_above_it_unseen(
    cloud: GcpCloud, read: Read
) -> None:
    _faults(cloud).set("resourcemanager", "GetFolder", "deny")
    found = read()
    above = f"{FOLDER}/inherited"
    assert {(g.account, g.resource) for g in found.gaps("gcp_iam_binding")} == {("*", above)}
    assert {(g.account, g.resource) for g in found.gaps("gcp_audit_config")} == {
        ("*", above),
        (PROJECT, above),
    }
    assert found.rows("gcp_project")[0]["ancestors"] is None


def test_inheritance_that_is_switched_off_is_a_gap_and_not_its_absence(read: Read) -> None:
    found = read(inherited=False)
    assert {(g.account, g.reason) for g in found.gaps("gcp_iam_binding")} == {(FOLDER, "not_configured")}
    assert {g.reason for g in found.gaps("gcp_audit_config")} == {"not_configured"}


def test_a_condition_is_never_taken_for_none(read: Read) -> None:
    conditions = {
        row["member"]: row["condition"] for row in read().rows("gcp_iam_binding") if row["kind"] == "project"
    }
    assert conditions["user:ben@acme.example"].startswith("request.time < ")
    assert conditions["group:engineers@acme.example"] == ""


def test_a_condition_without_words_is_still_one(cloud: GcpCloud, read: Read) -> None:
    bare = binding("roles/owner", "user:eva@acme.example", condition={"title": "odd"})
    cloud.put_policy(f"projects/{PROJECT}", {"bindings": [bare]})
    (row,) = [r for r in read().rows("gcp_iam_binding") if r["role"] == "roles/owner"]
    assert row["condition"] == "(empty)"


def test_bindings_of_projects_ancestors_clusters_and_accounts_are_read(read: Read) -> None:
    assert {(r["kind"], r["project"], r["resource"]) for r in read().rows("gcp_iam_binding")} == {
        ("project", PROJECT, f"projects/{PROJECT}"),
        ("organization", ORG, ORG),
        ("cluster", PROJECT, CLUSTER),
        ("service_account", PROJECT, f"projects/{PROJECT}/serviceAccounts/{SA}"),
    }
    assert read().rows("gcp_project")[0]["ancestors"] == [FOLDER, ORG]


def test_a_role_that_nobody_knows_is_a_gap_of_its_own(cloud: GcpCloud, read: Read) -> None:
    gone = [
        binding("roles/nowhere.known", "user:ana@acme.example"),
        binding(f"{ORG}/roles/mine", "user:b@acme.example"),
    ]
    cloud.put_policy(f"projects/{PROJECT}", {"bindings": gone})
    found = read()
    assert {(g.account, g.resource) for g in found.gaps("gcp_role")} == {
        ("*", "roles/nowhere.known"), ("*", f"{ORG}/roles/mine"),
    }  # fmt: skip
    assert not found.seen("gcp_role")


def test_roles_say_what_they_grant_and_how_that_is_known(read: Read) -> None:
    roles = {r["name"]: r for r in read().rows("gcp_role")}
    assert roles[OWN_ROLE]["permissions"] == ["dataproc.jobs.create"]
    assert roles[OWN_ROLE]["origin"] == "api"
    assert roles["roles/newproduct.operator"]["permissions"] == []
    assert "dataproc.clusters.create" in roles["roles/dataproc.editor"]["permissions"]
    assert roles["roles/dataproc.editor"]["origin"].startswith("table of ")


def test_keys_are_asked_for_accounts_that_export_or_trigger_and_no_others(
    cloud: GcpCloud, read: Read
) -> None:
    found = read()
    assert {k["email"] for k in found.rows("gcp_service_account_key")} == {SA}
    assert sorted(k["key_type"] for k in found.rows("gcp_service_account_key")) == [
        "SYSTEM_MANAGED",
        "USER_MANAGED",
    ]
    assert {seen.resource for seen in found.seen("gcp_service_account_key")} == {SA}
    trust = [{"trust_policy": '{"accounts.google.com:sub": "105"}'}]
    more = read(collected={"iam_role": trust})
    assert {k["email"] for k in more.rows("gcp_service_account_key")} == {SA, OTHER}
    assert cloud.counts["iamadmin", "ListServiceAccountKeys"] == 3


def test_an_account_that_was_deleted_has_no_keys_and_that_was_seen(cloud: GcpCloud, read: Read) -> None:
    cloud.remove_service_account(SA)
    found = read()
    assert {seen.resource for seen in found.seen("gcp_service_account_key")} == {SA}
    assert not found.rows("gcp_service_account_key")


def test_no_accounts_where_the_policy_names_one_is_suspect(cloud: GcpCloud, read: Read) -> None:
    cloud.remove_service_account(SA)
    cloud.remove_service_account(OTHER)
    assert read().reasons("gcp_service_account") == ["suspect"]


def test_what_is_logged_is_told_of_the_project_and_of_what_it_inherits(read: Read) -> None:
    told = {
        (r["resource"], r["service"], r["log_type"]): r["exempted"] for r in read().rows("gcp_audit_config")
    }
    assert told == {
        (f"projects/{PROJECT}", "iam.googleapis.com", "ADMIN_READ"): ["user:ana@acme.example"],
        (ORG, "allServices", "DATA_READ"): [],
    }


def test_log_buckets_and_sinks_are_those_google_gives_until_told_otherwise(
    cloud: GcpCloud, read: Read
) -> None:
    cloud.put_sink(
        PROJECT, "archive", "storage.googleapis.com/acme-logs", filter="", exclusions=[{"name": "x"}]
    )
    found = read()
    assert {(r["name"].rpartition("/")[2], r["retention_d"], r["locked"]) for r in found.rows("gcp_log_bucket")} == {
        ("_Required", 400, True), ("_Default", 30, False),
    }  # fmt: skip
    (archive,) = [r for r in found.rows("gcp_log_sink") if r["name"].endswith("/archive")]
    assert (archive["filter"], archive["own_exclusions"], archive["disabled"]) == ("", 1, False)


def test_a_project_out_of_reach_is_denied_and_the_next_is_still_read(read: Read) -> None:
    found = read(places=[Place("gcp", "foreign", REGION), Place("gcp", PROJECT, REGION)])
    assert {g.account for g in found.gaps() if g.table != "gcp_role"} == {"foreign", "*"}
    assert [row["project"] for row in found.rows("gcp_project")] == [PROJECT]


def test_a_scan_makes_a_known_number_of_calls(cloud: GcpCloud, read: Read) -> None:
    before = sum(cloud.counts.values())
    read()
    # GetProject, policy, accounts, buckets, sinks; folder and organisation: 3; cluster: 1; account: 2; roles: 2.
    assert sum(cloud.counts.values()) - before == 5 + 3 + 1 + 2 + 2
