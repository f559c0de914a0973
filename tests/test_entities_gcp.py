"""Access, service accounts, clusters and logs of Google Cloud as facts: nothing follows from what is not known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import pytest
from entities import NOW, ago

from auditor.correlate.members import member
from auditor.schema import tables as schema_tables

PROJECT = "acme-data"
ANA = "ana@acme.example"
EXPORTER = f"exporter@{PROJECT}.iam.gserviceaccount.com"
EDITOR = ["dataproc.clusters.create", "dataproc.jobs.create"]


def derived(step: str, **tables: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of one step over hand-made tables; columns that are left out are NULL."""
    module = import_module(f"auditor.correlate.{step}")
    described = schema_tables()
    told: dict[str, Sequence[Mapping[str, Any]]] = {
        "as_of": [{"as_of": NOW, "previous_at": ago(days=7), "zone_label": "zone"}],
        "config_zone": [{"zone": "phi", "rank": 0}, {"zone": "internal", "rank": 1}],
        "gcp_project": [
            {
                "name": f"projects/{PROJECT}",
                "project": PROJECT,
                "number": "123",
                "ancestors": ["organizations/9"],
            }
        ],
        **tables,
    }
    rows = {
        name: [{c.name: row.get(c.name) for c in described[name].columns} for row in told.get(name, ())]
        for name in module.READS
    }
    return [dict(row) for row in module.derive(rows)]


def bound(who: str, role: str = "roles/dataproc.editor", **more: Any) -> dict[str, Any]:
    return {
        "resource": f"projects/{PROJECT}", "kind": "project", "project": PROJECT, "region": "*", "role": role,
        "member": who, "condition": "", "condition_title": "",
    } | more  # fmt: skip


ROLES = [
    {"name": "roles/dataproc.editor", "permissions": EDITOR, "origin": "api", "deleted": False},
    {"name": "roles/viewer", "permissions": ["logging.logEntries.list"], "origin": "api", "deleted": False},
    {"name": "roles/gone", "permissions": EDITOR, "origin": "api", "deleted": True},
]
DIRECTORY = {
    "directory_user": [
        {"id": "1", "email": ANA, "status": "active"},
        {"id": "2", "email": "ben@acme.example", "status": "active"},
        {"id": "3", "email": "eve@acme.example", "status": "disabled"},
    ],
    "directory_membership": [
        {"user_id": "1", "group_name": "engineers"},
        {"user_id": "3", "group_name": "engineers"},
        {"user_id": "2", "group_name": "engineers", "until_at": ago(days=1)},
    ],
    "config_duty": [{"group_name": "engineers", "project": PROJECT, "job_id": "*", "zone": "*"}],
}


def binding(who: str, role: str = "roles/dataproc.editor", **more: Any) -> dict[str, Any]:
    tables = {**DIRECTORY, "gcp_role": ROLES, **{k: more.pop(k) for k in list(more) if k in schema_tables()}}
    (row,) = derived("46_iam_binding_facts", gcp_iam_binding=[bound(who, role, **more)], **tables)
    return row


# Bindings --------------------------------------------------------------------------------------------------------------


def test_a_role_that_nobody_knows_grants_neither_something_nor_nothing() -> None:
    row = binding(f"user:{ANA}", "roles/never.seen")
    assert [row[name] for name in ("grants", "lets_submit", "lets_act", "lets_write", "lets_read")] == [
        None
    ] * 5
    assert row["grants_says"] == "what roles/never.seen grants is not known"


@pytest.mark.parametrize(
    ("condition", "may"),
    [
        ('resource.name == "x"', None),
        ("(empty)", None),
        ('request.time < timestamp("not a time")', None),
        ('request.time < timestamp("2030-01-01T00:00:00Z") || true', None),
        ('!(request.time < timestamp("2020-01-01T00:00:00Z"))', None),
        ('request.time < timestamp("2020-01-01T00:00:00Z") && resource.name == "x"', None),
        ('request.time < timestamp("2020-01-01T00:00:00Z")', False),
        ('request.time < timestamp("2030-01-01T00:00:00Z")', True),
        ('request.time >= timestamp("2030-01-01T00:00:00Z")', False),
        (
            "request.time > timestamp('2020-01-01T00:00:00Z') && request.time < timestamp('2030-01-01T00:00:00Z')",
            True,
        ),
    ],
)
def test_a_condition_is_judged_only_where_it_sets_nothing_but_times(condition: str, may: bool | None) -> None:
    row = binding(f"user:{ANA}", condition=condition)
    assert row["lets_submit"] is may
    assert row["lets_read"] is False, "what the role does not grant, no condition grants"
    assert row["subject_key"].startswith(f"projects/{PROJECT}/roles/dataproc.editor/user:{ANA}/if:")
    assert bool(row["grants_says"]) == (may is None)


def test_a_deleted_role_grants_nothing() -> None:
    assert binding(f"user:{ANA}", "roles/gone")["lets_submit"] is False


@pytest.mark.parametrize(
    ("text", "kind", "individual"),
    [
        (f"user:{ANA}", "user", True),
        ("user:Ana@ACME.example", "user", True),
        ("principal://iam.googleapis.com/locations/global/workforcePools/p/subject/ana", "user", True),
        ("group:e@acme.example", "group", False),
        ("principalSet://iam.googleapis.com/locations/global/workforcePools/p/group/g1", "group", False),
        ("principalSet://iam.googleapis.com/locations/global/workforcePools/p/*", "set", False),
        (
            "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/subject/s",
            "workload",
            False,
        ),
        ("principal://iam.googleapis.com/something/new", "unknown", None),
        ("serviceAccount:acme-data.svc.id.goog[ns/sa]", "workload", False),
        (f"serviceAccount:{EXPORTER}", "service_account", False),
        ("serviceAccount:service-123@dataproc-accounts.iam.gserviceaccount.com", "google_agent", False),
        ("serviceAccount:123@cloudservices.gserviceaccount.com", "google_agent", False),
        ("serviceAccount:service-123@acme-data.iam.gserviceaccount.com", "service_account", False),
        ("serviceAccount:123-compute@developer.gserviceaccount.com", "service_account", False),
        (
            "serviceAccount:service-123@gcp-sa-x.iam.gserviceaccount.com.evil.example",
            "service_account",
            False,
        ),
        ("allUsers", "public", False),
        ("allAuthenticatedUsers", "public", False),
        ("domain:acme.example", "set", False),
        (f"deleted:user:{ANA}?uid=1", "deleted", False),
        ("robot:r2d2", "unknown", None),
        ("", "unknown", None),
    ],
)
def test_a_member_is_what_its_form_says(text: str, kind: str, individual: bool | None) -> None:
    assert (member(text).kind, member(text).individual) == (kind, individual)


@pytest.mark.parametrize(
    ("who", "covered"),
    [
        ("group:engineers@acme.example", True),
        ("group:Engineers@acme.example", True),
        ("group:engineers@evil.example", False),
        ("group:others@acme.example", False),
        (f"user:{ANA}", True),
        ("user:ben@acme.example", False),
        ("user:eve@acme.example", False),
        ("user:stranger@acme.example", False),
        ("domain:acme.example", False),
        ("allUsers", False),
        ("robot:r2d2", None),
        ("principalSet://iam.googleapis.com/locations/global/workforcePools/p/group/engineers", True),
        ("principalSet://iam.googleapis.com/locations/global/workforcePools/p/group/0f3c", None),
        (f"serviceAccount:{EXPORTER}", False),
    ],
)
def test_a_duty_covers_the_group_that_has_it_and_its_people(who: str, covered: bool | None) -> None:
    assert binding(who)["duty_covers"] is covered


def test_without_duties_nothing_is_covered_and_nothing_is_not() -> None:
    row = binding("group:engineers@acme.example", config_duty=[])
    assert (row["duty_covers"], row["duty_says"]) == (None, "no duties are configured")
    assert binding(f"serviceAccount:{EXPORTER}", config_duty=[])["duty_covers"] is None


def test_without_a_directory_a_person_has_neither_a_duty_nor_none() -> None:
    assert binding(f"user:{ANA}", directory_user=[], directory_membership=[])["duty_covers"] is None


def test_a_duty_in_one_project_does_not_cover_what_two_projects_inherit() -> None:
    two = [
        {"name": f"projects/{name}", "project": name, "number": "1", "ancestors": ["organizations/9"]}
        for name in (PROJECT, "acme-hr")
    ]
    above = {"resource": "organizations/9", "kind": "organization", "project": "organizations/9"}
    assert binding("group:engineers@acme.example", **above)["duty_covers"] is True
    assert binding("group:engineers@acme.example", gcp_project=two, **above)["duty_covers"] is False
    unseen = [*two[:1], {**two[1], "ancestors": None}]
    assert binding("group:engineers@acme.example", gcp_project=unseen, **above)["duty_covers"] is None
    scope = [{"cloud": "gcp", "account": each["project"], "region": "*"} for each in two]
    lacking = binding("group:engineers@acme.example", gcp_project=two[:1], config_place=scope, **above)
    assert lacking["duty_covers"] is None


def test_an_automation_is_covered_in_the_projects_it_is_registered_for() -> None:
    bot = "serviceAccount:bot@elsewhere.iam.gserviceaccount.com"
    mine = [{"principal": "bot@elsewhere.iam.gserviceaccount.com", "project": "acme-*", "job_id": "*"}]
    other = [{**mine[0], "project": "other-*"}]
    assert binding(bot, config_automation=mine)["duty_covers"] is True
    assert binding(bot, config_automation=other)["duty_covers"] is False
    flow = "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/subject/repo"
    assert binding(flow, config_automation=[{**mine[0], "principal": flow}])["duty_covers"] is True
    assert binding(flow, config_automation=mine)["duty_covers"] is False


def test_a_group_stands_for_its_people_where_the_directory_has_it() -> None:
    assert binding("group:engineers@acme.example")["people"] == [ANA, "eve@acme.example"]
    assert binding("group:others@acme.example")["people"] is None


def test_only_an_account_of_the_project_itself_exports_from_it() -> None:
    subjects = [{"service_account": EXPORTER, "subject": "104"}]
    assert (
        binding(f"serviceAccount:{EXPORTER}", "roles/viewer", config_subject=subjects)["exports_here"] is True
    )
    elsewhere = {"project": "acme-hr", "resource": "projects/acme-hr"}
    row = binding(f"serviceAccount:{EXPORTER}", "roles/viewer", config_subject=subjects, **elsewhere)
    assert row["exports_here"] is False


# Service accounts ------------------------------------------------------------------------------------------------------

WHOLE = [
    {
        "table_name": "gcp_service_account",
        "account": PROJECT,
        "region": "*",
        "resource": "*",
        "complete": True,
    }
]
LISTED = {
    "email": EXPORTER,
    "project": PROJECT,
    "unique_id": "104",
    "description": "owner: finn; x=1",
    "disabled": False,
}


def accounts(**tables: Any) -> dict[str, dict[str, Any]]:
    rows = derived(
        "47_service_account_facts", **{"coverage": WHOLE, "gcp_service_account": [LISTED], **tables}
    )
    return {row["subject_key"]: row for row in rows}


def test_an_account_that_is_used_and_was_not_listed_is_gone_only_if_its_project_was_listed_whole() -> None:
    lost = {"service_account": f"old@{PROJECT}.iam.gserviceaccount.com", "subject": "7"}
    far = {"service_account": "x@elsewhere-1.iam.gserviceaccount.com", "subject": "8"}
    found = accounts(config_subject=[lost, far])
    assert found[lost["service_account"]]["found"] is False
    assert found[far["service_account"]]["found"] is None
    assert found[far["service_account"]]["found_says"] == "elsewhere-1 is out of scope"
    cut = [{**WHOLE[0], "complete": False}]
    assert accounts(config_subject=[lost], coverage=cut)[lost["service_account"]]["found"] is None


def test_the_owner_is_whom_the_directory_or_the_configuration_names() -> None:
    told = [{"id": "9", "email": EXPORTER, "owner": "finn@acme.example"}]
    assert accounts(directory_user=told)[EXPORTER]["owned"] is True
    assert accounts()[EXPORTER]["owned"] is False
    assert accounts()[EXPORTER]["described"] == {"owner": "finn", "x": "1"}


def test_keys_count_until_they_expire_whether_disabled_or_not() -> None:
    key = {"email": EXPORTER, "key_type": "USER_MANAGED", "disabled": False, "created_at": ago(days=90)}
    keys = [
        {**key, "name": "a", "expires_at": ago(days=-30)},
        {**key, "name": "b", "expires_at": None, "disabled": True, "created_at": ago(days=900)},
        {**key, "name": "c", "expires_at": ago(days=1)},
        {**key, "name": "d", "expires_at": None, "key_type": "SYSTEM_MANAGED"},
    ]
    row = accounts(gcp_service_account_key=keys)[EXPORTER]
    assert (row["user_keys"], row["user_keys_disabled"], row["oldest_key_at"]) == (2, 1, ago(days=900))


def test_a_cluster_that_names_no_account_runs_as_the_default_of_its_project() -> None:
    cluster = {
        "cluster_uuid": "u",
        "project": PROJECT,
        "origin": "api",
        "properties": {},
        "cluster_name": "c",
    }
    default = accounts(dataproc_cluster=[cluster])["123-compute@developer.gserviceaccount.com"]
    assert (default["default_account"], default["in_chain"], default["project"]) == (True, True, PROJECT)
    for unread in ({"properties": None}, {"origin": "audit"}):
        assert set(accounts(dataproc_cluster=[{**cluster, **unread}])) == {EXPORTER}


# What is logged, and for how long ------------------------------------------------------------------------------------------


def test_what_any_level_logs_is_logged_and_whom_any_level_exempts_is_exempt() -> None:
    told = [
        {
            "resource": f"projects/{PROJECT}",
            "service": "storage.googleapis.com",
            "log_type": "ADMIN_READ",
            "exempted": ["x"],
        },
        {"resource": "folders/8", "service": "allServices", "log_type": "DATA_WRITE", "exempted": ["y"]},
        {
            "resource": "organizations/9",
            "service": "allServices",
            "log_type": "ADMIN_READ",
            "exempted": ["user:eve@x"],
        },
        {
            "resource": f"projects/{PROJECT}",
            "service": "iam.googleapis.com",
            "log_type": "ADMIN_READ",
            "exempted": [],
        },
    ]
    (row,) = derived("48_project_facts", gcp_audit_config=told)
    assert row["iam_logged"] == {"ADMIN_READ": ["organizations/9", f"projects/{PROJECT}"]}
    assert row["iam_exempted"] == ["user:eve@x"]


BUCKET = f"projects/{PROJECT}/locations/global/buckets/_Default"
ARCHIVE = f"projects/{PROJECT}/locations/global/buckets/archive"


def kept(*sinks: Mapping[str, Any]) -> int | None:
    buckets = [
        {"name": BUCKET, "project": PROJECT, "retention_d": 30, "state": "ACTIVE"},
        {"name": ARCHIVE, "project": PROJECT, "retention_d": 3650, "state": "ACTIVE"},
    ]
    own = {
        "name": "d",
        "project": PROJECT,
        "destination": f"logging.googleapis.com/{BUCKET}",
        "filter": "",
        "disabled": False,
        "own_exclusions": 0,
    }
    rows = derived(
        "49_log_bucket_facts",
        gcp_log_bucket=buckets,
        gcp_log_sink=[own, *({**own, "name": "s", **s} for s in sinks)],
    )
    return next(row["archive_d"] for row in rows if row["subject_key"] == BUCKET)


def test_a_bucket_is_no_archive_of_its_own() -> None:
    assert kept() == -1


def test_only_a_sink_that_takes_everything_makes_its_destination_an_archive() -> None:
    archive = {"destination": f"logging.googleapis.com/{ARCHIVE}"}
    assert kept(archive) == 3650
    assert kept({**archive, "filter": "severity>=ERROR"}) == -1
    assert kept({**archive, "own_exclusions": 1}) == -1
    assert kept({**archive, "disabled": True}) == -1
    assert kept({**archive, "project": "another"}) == -1


def test_what_a_place_that_is_not_read_keeps_is_not_known() -> None:
    assert kept({"destination": "storage.googleapis.com/logs"}) is None
    assert (
        kept(
            {"destination": f"logging.googleapis.com/{ARCHIVE}"}, {"destination": "storage.googleapis.com/x"}
        )
        is None
    )


# Clusters --------------------------------------------------------------------------------------------------------------


def cluster(name: str, **more: Any) -> dict[str, Any]:
    return {
        "cluster_uuid": name, "cluster_name": name, "project": PROJECT, "region": "europe-west1", "origin": "api",
        "service_account": EXPORTER, "created_at": ago(hours=2), "labels": {"zone": "phi"}, "properties": {},
    } | more  # fmt: skip


def clusters(*rows: Mapping[str, Any], **tables: Any) -> dict[str, dict[str, Any]]:
    return {row["cluster_name"]: row for row in derived("89_cluster_facts", dataproc_cluster=rows, **tables)}


def test_an_account_serves_one_zone_only_if_the_zone_of_every_cluster_of_it_is_known() -> None:
    one, two, bare = cluster("a"), cluster("b", labels={"zone": "internal"}), cluster("c", labels={})
    assert clusters(one)["a"]["account_zones"] == ["phi"]
    assert clusters(one, two)["a"]["account_zones"] == ["internal", "phi"]
    assert clusters(one, bare)["a"]["account_zones"] is None
    assert clusters(one, two, bare)["a"]["account_zones"] == ["internal", "phi"], (
        "two are enough, whatever the third"
    )
    assert clusters(one, cluster("d", service_account="other@x"), bare)["d"]["account_zones"] == ["phi"]


def test_a_cluster_without_a_label_is_of_the_strictest_zone_that_ran_on_it() -> None:
    jobs = [{"job_uuid": n, "cluster_uuid": "a"} for n in ("1", "2")]
    facts = [{"subject_key": "1", "zone": "internal"}, {"subject_key": "2", "zone": "phi"}]
    bare = cluster("a", labels={})
    assert clusters(bare, dataproc_job=jobs, job_facts=facts)["a"]["zone"] == "phi"
    unclear = [facts[0], {"subject_key": "2", "zone": None}]
    assert clusters(bare, dataproc_job=jobs, job_facts=unclear)["a"]["zone"] is None


def test_clusters_that_went_before_the_last_scan_are_judged_no_more() -> None:
    gone, late = (
        cluster("gone", deleted_at=ago(days=8)),
        cluster("late", deleted_at=ago(days=1), created_at=ago(days=3)),
    )
    found = clusters(gone, late)
    assert set(found) == {"late"}
    assert (found["late"]["gone"], found["late"]["age_s"]) == (True, 2 * 86_400)


def test_the_table_of_predefined_roles_says_where_it_is_from_and_of_when() -> None:
    from pathlib import Path

    import auditor.sources
    from auditor.watch.gcp import SINCE

    told = json.loads((Path(auditor.sources.__file__).parent / "gcp_roles.json").read_text(encoding="utf-8"))
    assert told["as_of"] and "projects.roles.get" in told["source"]
    known = set(told["permissions"])
    assert all(set(granted) <= known for granted in told["roles"].values())
    step = import_module("auditor.correlate.46_iam_binding_facts")
    assert known == step.JUDGED | {name for some in SINCE.values() for name in some}
    assert "resourcemanager.projects.setIamPolicy" in told["roles"]["roles/resourcemanager.projectIamAdmin"]
    for role in ("roles/owner", "roles/editor", "roles/dataproc.editor", "roles/dataproc.admin"):
        assert step.SUBMITS & set(told["roles"][role])


def test_an_id_is_dead_once_its_account_is_disabled_deleted_or_made_anew() -> None:
    from auditor.correlate.accounts import alive, dead

    def known(
        listed: Sequence[Mapping[str, Any]], coverage: Sequence[Mapping[str, Any]] = WHOLE
    ) -> tuple[set[str], set[str]]:
        tables = {
            "gcp_service_account": listed, "coverage": coverage,
            "config_subject": [{"service_account": EXPORTER, "subject": "104"}],
        }  # fmt: skip
        return alive(tables), dead(tables)

    assert known([LISTED]) == ({"104"}, set())
    assert known([{**LISTED, "disabled": True}]) == (set(), {"104"})
    assert known([{**LISTED, "unique_id": "200"}]) == ({"200"}, {"104"})
    assert known([]) == (set(), {"104"})
    assert known([], []) == (set(), set()), "not listed is not deleted"
    assert known([], [{**WHOLE[0], "complete": False}]) == (set(), set())
