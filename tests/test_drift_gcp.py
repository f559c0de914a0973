"""Drift of Google Cloud is told by what it lets through: what was not read has not changed, and nobody is named by guess."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from entities import ago, estate, facts
from ledger_case import T0, day

from auditor.model import Drift, Gap, Seen
from auditor.schema import tables
from auditor.watch.authors import trace
from auditor.watch.compare import attribute_drift
from auditor.watch.gcp import ACCOUNT, TABLES, watched_rows
from auditor.watch.undo import _COMMANDS, undo
from auditor.watch.values import Watched, by_table, listings, lost, watched

P = "acme-data"
HERE, FOLDER = f"projects/{P}", "folders/7"
EXPORT, OTHER = f"export@{P}.iam.gserviceaccount.com", f"other@{P}.iam.gserviceaccount.com"
ANA = "user:ana@acme.example"
OF_EXPORT = f"{HERE}/serviceAccounts/{EXPORT}"
SUBMIT, ACT, READ = "dataproc.jobs.create", "iam.serviceAccounts.actAs", "logging.logEntries.list"
ROLES = {"roles/user": [ACT], "roles/editor": [SUBMIT, ACT], "roles/submit": [SUBMIT], "roles/none": []}
TIMED = 'request.time < timestamp("2026-04-01T00:00:00Z")'

State = Mapping[str, Iterable[Mapping[str, Any]]]


def binding(
    role: str, member: str = ANA, condition: str = "", resource: str = HERE, **more: Any
) -> dict[str, Any]:
    kind = "service_account" if "/serviceAccounts/" in resource else "project"
    project = P if resource.startswith(HERE) else resource
    return {
        "resource": resource, "kind": kind, "project": project, "region": "*", "role": role, "member": member,
        "condition": condition, "condition_title": "", **more,
    }  # fmt: skip


def role(name: str, grants: list[str] | None, **more: Any) -> dict[str, Any]:
    project = P if name.startswith("projects/") else "*"
    return {
        "name": name,
        "project": project,
        "permissions": grants,
        "origin": "api",
        "deleted": False,
        **more,
    }


def account(email: str = EXPORT, **more: Any) -> dict[str, Any]:
    return {"email": email, "project": P, "unique_id": f"1-{email}", "disabled": False, **more}


def key(name: str, email: str = EXPORT, kind: str = "USER_MANAGED", **more: Any) -> dict[str, Any]:
    full = f"{HERE}/serviceAccounts/{email}/keys/{name}"
    return {"name": full, "email": email, "project": P, "key_type": kind, "disabled": False, **more}


def audited(
    service: str, log_type: str, exempted: Iterable[str] = (), resource: str = HERE
) -> dict[str, Any]:
    project = P if resource == HERE else resource
    return {
        "resource": resource,
        "project": project,
        "service": service,
        "log_type": log_type,
        "exempted": [*exempted],
    }


OWN = key("google", kind="SYSTEM_MANAGED")
THERE: State = {
    "gcp_iam_binding": [binding("roles/none", "group:all@acme.example")],
    "gcp_role": [role(name, grants) for name, grants in ROLES.items()],
    "gcp_service_account": [account()],
    "gcp_service_account_key": [OWN],
}
"""What was there then and is there now."""
SEEN = (
    *(Seen(table, P) for table in TABLES if table != "gcp_role"),
    Seen("gcp_role", "*"),
    Seen("gcp_iam_binding", FOLDER),
    Seen("gcp_iam_binding", P, "*", OF_EXPORT),
    Seen("gcp_service_account_key", P, "*", EXPORT),
    Seen("gcp_audit_entry", P),
)


def seen(state: State) -> list[Watched]:
    whole = {name: [*THERE.get(name, ()), *state.get(name, ())] for name in {*THERE, *state}}
    chosen = watched_rows(lambda name: whole.get(name, []))
    return [
        one for name in whole for row in chosen.get(name, whole[name]) for one in watched(tables()[name], row)
    ]


def drift(before: State, after: State, coverage: Iterable[Seen | Gap] = SEEN, **more: Any) -> list[Drift]:
    given = {"listed": frozenset(listings(SEEN)), "previous_at": T0, "now": day(1), "changes": ()}
    return attribute_drift(seen(before), seen(after), coverage=tuple(coverage), **{**given, **more})


def told(before: State, after: State, **more: Any) -> list[str]:
    return [f"{one.direction} {one.because.partition(': ')[2]}" for one in drift(before, after, **more)]


def bound(*rows: Mapping[str, Any]) -> State:
    return {"gcp_iam_binding": rows}


# Bindings.


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ([], [binding("roles/user")], f"worse is new: {ANA} may now {ACT} on {HERE}"),
        ([binding("roles/user")], [], f"better is gone: {ANA} may no longer {ACT} on {HERE}"),
        ([], [binding("roles/none")], ""),
        ([binding("roles/editor")], [binding("roles/user"), binding("roles/submit")], ""),
        ([binding("roles/user")], [binding("roles/editor")], f"worse is new: {ANA} may now {SUBMIT} on {HERE}"),
        ([binding("roles/user")], [binding("roles/user"), binding("roles/user", condition=TIMED)], ""),
        ([binding("roles/user", condition=TIMED)], [binding("roles/user")], "worse no longer has a condition"),
        ([binding("roles/user")], [binding("roles/user", condition=TIMED)], f"better {ANA} may {ACT} on {HERE} only where"),
        ([binding("roles/user", condition="a")], [binding("roles/user", condition="b")], "which may be weaker: not decided because"),
        ([binding("roles/user", "deleted:serviceAccount:x?uid=1")], [], ""),
        ([], [binding("roles/user", "deleted:serviceAccount:x?uid=1")], ""),
        ([], [binding("roles/what")], "which may be weaker: not decided because what it grants is not known"),
        ([binding("roles/what")], [], "neutral is gone"),
        ([], [binding("roles/user", "allUsers", resource=FOLDER)], "worse is new: allUsers may now"),
        ([], [binding("roles/user", resource=OF_EXPORT)], f"worse is new: {ANA} may now {ACT} on {OF_EXPORT}"),
        ([], [binding("roles/user", kind="cluster")], ""),
    ],
)  # fmt: skip
def test_binding_is_told_by_what_it_lets_its_member_do_beyond_the_others(
    was: Any, now: Any, said: str
) -> None:
    found = told(bound(*was), bound(*now))
    assert len(found) == bool(said) and all(said in each for each in found), found


def test_what_an_unread_role_may_still_grant_is_not_called_gone() -> None:
    (said,) = told(bound(binding("roles/user"), binding("roles/what")), bound(binding("roles/what")))
    assert said == f"neutral is gone: whether {ANA} may still {ACT} on {HERE} is not known"


def test_role_that_grants_more_or_is_deleted_is_told_once_and_one_of_googles_own_wakes_nobody() -> None:
    own, theirs = f"{HERE}/roles/run", "roles/google"

    def roles(*rows: Any) -> State:
        return {"gcp_role": rows}

    assert told(roles(role(own, [READ])), roles(role(own, [READ, ACT]))) == [
        f"worse permissions are weaker: {own} now grants {ACT}"
    ]
    assert told(roles(role(own, [ACT])), roles(role(own, [ACT], deleted=True))) == [
        "better deleted is stronger: its bindings grant nothing"
    ]
    assert told(roles(role(theirs, [])), roles(role(theirs, [ACT])))[0].startswith("neutral permissions")
    assert told(roles(role(own, [ACT, READ])), roles(role(own, [READ, ACT]))) == []
    assert told(roles(role(own, None)), roles(role(own, [ACT]))) == []
    giving = "resourcemanager.projects.setIamPolicy"
    for name in (own, theirs):  # that was not looked for before
        assert told(roles(role(name, [])), roles(role(name, [giving], judged=2))) == []
    (said,) = told(roles(role(own, [], judged=2)), roles(role(own, [giving], judged=2)))
    assert said.endswith(f"now grants {giving}")


def project(ancestors: list[str] | None, state: str = "ACTIVE") -> dict[str, Any]:
    return {"name": HERE, "project": P, "number": "1", "state": state, "ancestors": ancestors}


def test_binding_adds_nothing_to_what_is_held_above_and_a_project_under_another_folder_may_be_weaker() -> (
    None
):
    above = binding("roles/user", resource=FOLDER)
    here: State = {"gcp_project": [project([FOLDER])]}
    apart: State = {"gcp_project": [project([])]}
    for new in (binding("roles/user"), binding("roles/user", resource=OF_EXPORT)):
        then, now = bound(above), bound(above, new)
        assert told({**here, **then}, {**here, **now}) == [] == told({**here, **now}, {**here, **then})
        assert len(told({**apart, **then}, {**apart, **now})) == 1  # that folder is not above it
    (said,) = told(apart, here)
    assert (
        said
        == f"worse ancestors changed: {FOLDER} is above it now, which may be weaker: not decided because what policies there let through was not compared"
    )
    assert told(here, {"gcp_project": [project(None)]}) == []
    assert told(here, {"gcp_project": [project([FOLDER], "DELETE_REQUESTED")]}) == [
        "worse state is weaker: it is to be deleted: it can be restored for 30 days"
    ]


# What could not be seen.


def test_policy_that_was_not_read_lost_nothing_and_its_neighbours_are_still_compared() -> None:
    then = bound(binding("roles/user"), binding("roles/user", resource=OF_EXPORT))
    assert len(told(then, {})) == 2
    for hidden in (Seen("gcp_iam_binding", P), Seen("gcp_iam_binding", P, "*", OF_EXPORT)):
        rest = [each for each in SEEN if each != hidden]
        assert len(told(then, {}, coverage=rest)) == 1
        gap = Gap("gcp_iam_binding", P, "*", hidden.resource, "denied", "")
        assert len(told(then, {}, coverage=[*rest, gap])) == 1


def test_account_that_is_no_longer_asked_for_lost_no_key_and_one_asked_for_the_first_time_got_none() -> None:
    keys: State = {"gcp_service_account_key": [key("k1", OTHER)], "gcp_service_account": [account(OTHER)]}
    none: State = {"gcp_service_account": [account(OTHER)]}
    assert told(keys, none) == [] == told(none, keys)
    # but of an account that is new its keys are new, and what may be done as it
    more = {**keys, **bound(binding("roles/user", resource=f"{HERE}/serviceAccounts/{OTHER}"))}
    said = told({}, more)
    assert sorted(each.partition(":")[0] for each in said) == [
        "neutral is new",
        "worse is new",
        "worse is new",
    ]


def test_first_scan_that_watches_a_table_tells_of_nothing() -> None:
    rows = {
        **THERE,
        **bound(binding("roles/user")),
        "gcp_log_sink": [sink()],
        "gcp_log_bucket": [log_bucket()],
    }
    after = [o for name, found in rows.items() for row in found for o in watched(tables()[name], row)]
    given = {"listed": frozenset(listings(SEEN)), "previous_at": T0, "now": day(1), "changes": ()}
    assert attribute_drift([], after, coverage=SEEN, **given) == []


def test_ledger_keeps_what_was_not_asked_for_and_forgets_what_is_gone() -> None:
    sight = by_table(SEEN)
    mine, other = (watched(tables()["gcp_service_account_key"], key("k", email)) for email in (EXPORT, OTHER))
    assert lost(next(mine), sight["gcp_service_account_key"])
    assert not lost(next(other), sight["gcp_service_account_key"])


# Keys and accounts.


def test_user_managed_key_is_weaker_and_those_that_google_rotates_are_no_drift() -> None:
    with_key: State = {"gcp_service_account_key": [key("k1")]}
    new, gone = told({}, with_key), told(with_key, {})
    assert new == [f"worse is new: whoever holds it can act as the account (user-managed key k1 of {EXPORT})"]
    assert gone == [f"better is gone (user-managed key k1 of {EXPORT})"]
    rotated: State = {"gcp_service_account_key": [key("g2", kind="SYSTEM_MANAGED")]}
    assert told({}, rotated) == [] == told(rotated, {})
    off: State = {"gcp_service_account_key": [key("k1", disabled=True)]}
    assert told(off, with_key) == ["worse disabled is weaker: whoever holds it can use it again"]
    late: State = {"gcp_service_account_key": [key("k1", expires_at=ago(days=1))]}
    assert told(with_key, late) == []


def test_account_enabled_again_is_weaker_and_one_made_anew_under_the_name_is_told() -> None:
    def of(**more: Any) -> State:
        return {"gcp_service_account": [account(OTHER, **more)]}

    assert told(of(disabled=True), of()) == ["worse disabled is weaker: tokens of it are given out again"]
    assert told(of(), of(disabled=True)) == ["better disabled is stronger: nobody gets tokens of it"]
    assert told(of(), of(unique_id="2")) == [
        f"neutral unique_id changed: another account stands under its name: it was 1-{OTHER}, and is 2"
    ]
    assert told(of(), of(disabled=None)) == []


# What is logged.


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ([audited("iam", "DATA_READ")], [], f"worse is gone: DATA_READ calls of iam are no longer logged in {HERE}"),
        ([], [audited("iam", "DATA_READ")], "better is new: DATA_READ calls of iam are now logged"),
        ([audited("iam", "DATA_READ", [ANA])], [audited("iam", "DATA_READ", [ANA, "user:b"])], "worse exempted is weaker: calls of user:b are no longer logged"),
        ([audited("iam", "DATA_READ", ["b", "a"])], [audited("iam", "DATA_READ", ["a", "b"])], ""),
        ([audited("iam", "DATA_READ", [ANA])], [audited("iam", "DATA_READ")], "better exempted is stronger"),
        ([audited("iam", "DATA_READ"), audited("allServices", "DATA_READ")], [audited("allServices", "DATA_READ")], ""),
        ([audited("allServices", "DATA_READ")], [audited("allServices", "DATA_READ"), audited("iam", "DATA_READ", [ANA])], f"worse calls of {ANA} are no longer logged"),
        ([audited("allServices", "DATA_READ")], [], "worse is gone: DATA_READ calls of every service"),
    ],
)  # fmt: skip
def test_audit_configuration_is_told_by_whose_calls_are_logged(was: Any, now: Any, said: str) -> None:
    found = told({"gcp_audit_config": was}, {"gcp_audit_config": now})
    assert len(found) == bool(said) and all(each.startswith(said) for each in found), found


def test_logging_switched_off_is_told_though_no_policy_above_was_read_and_not_when_its_own_was_not() -> None:
    then: State = {"gcp_audit_config": [audited("iam", "DATA_READ")]}
    above = Gap("gcp_audit_config", P, "*", FOLDER, "denied", "")
    assert len(told(then, {}, coverage=[*SEEN, above])) == 1
    own = [each for each in SEEN if each != Seen("gcp_iam_binding", P)]
    assert told(then, {}, coverage=[*own, Gap("gcp_iam_binding", P, reason="denied")]) == []


def sink(**more: Any) -> dict[str, Any]:
    return {
        "name": f"{HERE}/sinks/all", "project": P, "destination": "storage.googleapis.com/b", "filter": "", "disabled": False,
        "own_exclusions": 1, "exclusions": ["a"], **more,
    }  # fmt: skip


def log_bucket(**more: Any) -> dict[str, Any]:
    name = f"{HERE}/locations/global/buckets/_Default"
    return {
        "name": name,
        "project": P,
        "location": "global",
        "retention_d": 400,
        "locked": True,
        "state": "ACTIVE",
        **more,
    }


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ([log_bucket(retention_d=30)], "worse retention_d is weaker: keeps 30 d instead of 400 d"),
        ([log_bucket(retention_d=500)], "better retention_d is stronger"),
        ([log_bucket(locked=False)], "worse locked is weaker: its retention can be lowered now"),
        ([log_bucket(state="DELETE_REQUESTED")], "worse state is weaker: it is to be deleted, with its entries"),
        ([log_bucket(state="UPDATING")], "neutral state changed"),
        ([log_bucket(retention_d=None)], ""),
        ([], "worse is gone"),
        ([sink(disabled=True)], "worse disabled is weaker: it routes nothing now"),
        ([sink(exclusions=["a", "b"])], "worse exclusions are weaker: it leaves out what meets b"),
        ([sink(exclusions=["b"])], "worse exclusions are weaker: it leaves out what meets b; it takes also what meets a"),
        ([sink(exclusions=[])], "better exclusions are stronger: it takes also what meets a"),
        ([sink(own_exclusions=2, exclusions=None)], "worse own_exclusions changed"),
        ([sink(filter="severity>=ERROR")], "worse filter is weaker: it no longer takes everything, only severity>=ERROR"),
        ([sink(destination="storage.googleapis.com/c")], "may be weaker: not decided because what places keep"),
    ],
)  # fmt: skip
def test_logs_that_are_kept_less_long_or_go_elsewhere_are_weaker(now: Any, said: str) -> None:
    table = "gcp_log_sink" if "sink" in str(now) else "gcp_log_bucket"
    was = sink() if table == "gcp_log_sink" else log_bucket()
    found = told({table: [was]}, {table: now})
    assert len(found) == bool(said) and all(said in each for each in found), found
    assert told({table: [was]}, {table: [was]}) == []


def test_two_filters_are_not_compared_and_a_sink_that_goes_is_weaker() -> None:
    a, b = ({"gcp_log_sink": [sink(filter=text)]} for text in ("a", "b"))
    assert told(a, b) == ["worse filter changed: may be weaker: not decided because filters are not compared"]
    assert told(a, {}) == ["worse is gone: it copied a to storage.googleapis.com/b"]
    (gone,) = drift(a, {})
    assert "gcloud logging sinks create all storage.googleapis.com/b --project=acme-data --log-filter=a" in (
        undo(gone) or ""
    )
    assert told(a, {}, coverage=[*SEEN, Gap("gcp_log_sink", P, reason="denied")]) == []


def test_sink_that_copies_logs_to_a_place_of_others_may_be_weaker_and_one_within_the_project_is_not() -> None:
    base: State = {"gcp_log_sink": [sink(name=f"{HERE}/sinks/_Required")]}

    def new(to: str) -> list[str]:
        return told(base, {"gcp_log_sink": [*base["gcp_log_sink"], sink(destination=to)]})

    within = f"logging.googleapis.com/projects/{P}/locations/global/buckets/b"
    assert new(within) == [f"neutral is new: it copies everything to {within}"]
    for to in ("storage.googleapis.com/b", f"pubsub.googleapis.com/projects/{P}-2/topics/t"):
        assert new(to) == [
            f"worse is new: it copies everything to {to}, which may be weaker: not decided because who reads there is not known"
        ]


def test_user_of_a_cluster_that_runs_as_another_account_is_told_and_new_clusters_are_not() -> None:
    def of(users: Any, **more: Any) -> State:
        row = {"cluster_uuid": "u", "project": P, "region": "r", "origin": "api", "deleted_at": None}
        return {"dataproc_cluster": [{**row, "user_service_accounts": users, **more}]}

    assert told(of({"ana": EXPORT}), of({"ana": OTHER})) == [
        f"worse user_service_accounts is weaker: ana now runs as {OTHER}"
    ]
    assert told(of({"ana": EXPORT}), of({}))[0].startswith("better")
    assert told({}, of({"ana": EXPORT})) == [] == told(of({"ana": EXPORT}), {})


# Who.


def entry(method: str, resource: str, **more: Any) -> dict[str, Any]:
    return {
        "entry_id": f"{HERE}/logs/activity 1.0 {method}", "project": P, "at": T0 + timedelta(hours=1),
        "method": f"google.iam.admin.v1.{method}", "principal_email": "eve@acme.example", "principal_subject": None,
        "caller_ip": "192.0.2.7", "resource_name": resource, "granted": True, "status_code": 0, "cluster_uuid": None,
    } | more  # fmt: skip


@pytest.mark.parametrize(
    ("state", "made"),
    [
        (bound(binding("roles/user")), entry("SetIamPolicy", HERE)),
        (bound(binding("roles/user", resource=OF_EXPORT)), entry("SetIAMPolicy", f"projects/-/serviceAccounts/1-{EXPORT}")),
        ({"gcp_service_account_key": [key("k1")]}, entry("CreateServiceAccountKey", f"projects/-/serviceAccounts/{EXPORT}")),
        ({"gcp_log_sink": [sink()]}, None),
    ],
)  # fmt: skip
def test_entry_behind_a_change_names_its_author_whatever_the_resource_is_called_by(
    state: State, made: Any
) -> None:
    elsewhere = (
        entry("SetIamPolicy", "projects/else"),
        entry("CreateServiceAccountKey", f"{HERE}/serviceAccounts/{OTHER}"),
    )
    refused = {**(made or entry("CreateSink", f"{HERE}/sinks/all")), "status_code": 7, "entry_id": "refused"}
    base = {"gcp_log_sink": [sink(name=f"{HERE}/sinks/_Required")]}
    (found,) = drift(base, {**state, "gcp_log_sink": [*base["gcp_log_sink"], *state.get("gcp_log_sink", ())]},
                     audited=[*elsewhere, refused, *([made] if made else ())])  # fmt: skip
    assert found.actor == ("eve@acme.example" if made else None)
    if made:
        assert found.changed_at == made["at"] and trace(found).event_id == made["entry_id"]
        assert trace(found).address == "192.0.2.7"
    else:
        assert found.actor_reason.startswith(
            "not found, because no Cloud Audit entry names this change between"
        )


def test_entry_that_says_what_it_changed_explains_nothing_else() -> None:
    given = {"action": "ADD", "role": "roles/user", "member": ANA, "condition": ""}
    eve = entry("SetIamPolicy", "projects/300000000001", deltas=[given], at=T0 + timedelta(minutes=9))
    later = entry(
        "SetIamPolicy", HERE, deltas=[{**given, "role": "roles/other"}], principal_email="ben@acme.example"
    )
    logged = {"action": "REMOVE", "service": "iam", "log_type": "DATA_READ", "exempted": ""}
    off = entry("SetIamPolicy", HERE, deltas=[logged], principal_email="finn@acme.example")
    then: State = {"gcp_audit_config": [audited("iam", "DATA_READ")]}
    found = drift(then, bound(binding("roles/user")), audited=[eve, later, off])
    assert {one.subject_table: (one.actor, "that fit" in one.actor_reason) for one in found} == {
        "gcp_audit_config": ("finn@acme.example", False),
        "gcp_iam_binding": ("eve@acme.example", False),
    }
    (gone,) = drift(bound(binding("roles/user")), {}, audited=[eve])  # who added it did not take it away
    assert gone.actor is None
    made = entry(
        "CreateServiceAccountKey",
        f"projects/-/serviceAccounts/1-{EXPORT}",
        deltas=[{"key": f"{OF_EXPORT}/keys/k2"}],
    )
    (found_key,) = drift({}, {"gcp_service_account_key": [key("k1")]}, audited=[made])
    assert found_key.actor is None


def test_whoever_acts_through_a_service_account_is_named_with_it() -> None:
    through = {"principal_email": OTHER, "delegation": ["user:eve@acme.example", f"serviceAccount:{EXPORT}"]}
    signed = {"static_key_name": f"//iam.googleapis.com/projects/{P}/serviceAccounts/{OTHER}/keys/k9"}
    made = entry("SetIamPolicy", HERE, **through, **signed)
    (found,) = drift(
        {}, bound(binding("roles/user")), audited=[made, {**made, "at": T0 + timedelta(minutes=5)}]
    )
    assert found.actor == OTHER
    assert trace(found).session == f"user:eve@acme.example through serviceAccount:{EXPORT}"
    assert found.actor_reason.endswith(f"{trace(found).session}, by the key k9, the newest of 2 that fit")
    assert (trace(found).address, trace(found).others) == ("192.0.2.7", 1)


def test_key_is_not_laid_at_the_door_of_who_deleted_another() -> None:
    of = f"{HERE}/serviceAccounts/{EXPORT}/keys/"
    (found,) = drift(
        {"gcp_service_account_key": [key("k1")]}, {}, audited=[entry("DeleteServiceAccountKey", f"{of}k2")]
    )
    assert found.actor is None
    (found,) = drift(
        {"gcp_service_account_key": [key("k1")]}, {}, audited=[entry("DeleteServiceAccountKey", f"{of}k1")]
    )
    assert found.actor == "eve@acme.example"


def test_entry_that_comes_late_names_its_author_of_a_key_that_is_gone_since_too() -> None:
    (first,) = drift({}, {"gcp_service_account_key": [key("k1")]})
    made = entry("CreateServiceAccountKey", f"projects/-/serviceAccounts/1-{EXPORT}")
    for now in ({"gcp_service_account_key": [key("k1")]}, {}):
        (late,) = drift(now, now, audited=[made], unnamed=(first,), now=day(2))
        assert (late.actor, late.changed_at, late.direction) == ("eve@acme.example", made["at"], "neutral")
        assert undo(first) is not None and undo(late) is None


def test_nobody_is_named_for_a_folder_and_it_says_why() -> None:
    (found,) = drift(
        {}, bound(binding("roles/user", resource=FOLDER)), audited=[entry("SetIamPolicy", FOLDER)]
    )
    assert found.actor is None and "folders/7 stand in its own log, which is not read" in found.actor_reason


def test_entries_that_were_not_read_are_said_to_be_missing() -> None:
    gap = Gap("gcp_audit_entry", P, reason="denied", detail="logging.logEntries.list is denied")
    (found,) = drift({}, bound(binding("roles/user")), coverage=[*SEEN, gap])
    assert "gcp_audit_entry in acme-data had a gap: logging.logEntries.list is denied" in found.actor_reason


# How it is undone, and what rules see of it.


def test_undo_names_the_command_and_quotes_what_a_stranger_chose() -> None:
    (found,) = drift({}, bound(binding("roles/user", "user:a b'; rm", TIMED)))
    said = undo(found) or ""
    assert (
        f"gcloud projects remove-iam-policy-binding {P} --member='user:a b'\"'\"'; rm' --role=roles/user (of those"
        in said
    )
    (found,) = drift(bound(binding("roles/user", condition="a in [1, 2]")), {})
    assert "--condition='^:::^expression=a in [1, 2]:::title=restored'" in (undo(found) or "")
    wider = (
        {"gcp_role": [role(f"{HERE}/roles/run", [READ])]},
        {"gcp_role": [role(f"{HERE}/roles/run", [ACT, SUBMIT])]},
    )
    (found,) = drift(*wider)
    assert (undo(found) or "").endswith(
        f"gcloud iam roles update run --project={P} --remove-permissions={SUBMIT},{ACT} --add-permissions={READ}"
    )
    (found,) = drift({"gcp_project": [project([FOLDER])]}, {"gcp_project": [project(["organizations/9"])]})
    assert f"gcloud beta projects move {P} --folder=7" in (undo(found) or "")
    logged = (
        {"gcp_audit_config": [audited("iam", "DATA_READ")]},
        {"gcp_audit_config": [audited("iam", "DATA_READ", [ANA])]},
    )
    (found,) = drift(*logged)
    assert f"gcloud projects set-iam-policy {P} policy.json" in (undo(found) or "")
    pool = "principal://iam.googleapis.com/locations/global/workforcePools/p/subject/ana"
    (found,) = drift({}, bound(binding("roles/user", pool)))
    assert f"--member={pool} --role=roles/user --condition=None" in (undo(found) or "")
    (found,) = drift({}, {"gcp_service_account_key": [key("k1")]})
    assert f"gcloud iam service-accounts keys delete k1 --iam-account={EXPORT}" in (undo(found) or "")
    (found,) = drift({"gcp_log_bucket": [log_bucket()]}, {"gcp_log_bucket": [log_bucket(retention_d=1)]})
    assert "gcloud logging buckets update _Default --location=global" in (undo(found) or "")
    assert "400" in (undo(found) or "")


@pytest.mark.parametrize("odd", ["", "odd", "a/b", "projects/p", "projects/p/sinks/", "//", "\n/\n/\n"])
@pytest.mark.parametrize("table", sorted({*_COMMANDS}))
def test_undo_of_a_key_of_another_form_is_not_guessed(table: str, odd: str) -> None:
    (one,) = drift({}, {"gcp_service_account_key": [key("k1")]})
    for kind, name in [("vanished", None), ("changed", "disabled"), ("changed", "filter")]:
        said = undo(replace(one, subject_table=table, subject_key=odd, kind=kind, field=name))
        assert said is None or "gcloud" not in said or table == ACCOUNT


def test_change_for_rules_is_the_very_change_that_drift_tells() -> None:
    whole = [
        {
            "scan": "s",
            "slot": "w",
            "at": ago(days=7),
            "state": "finished",
            "complete": True,
            "interval_s": 604800,
        }
    ]
    before = [
        {"table_name": o.table, "key": o.key, "field": o.field, "value": o.value, "account": o.account, "region": o.region}
        for o in seen({})
    ]  # fmt: skip
    now = {
        **THERE,
        **bound(*THERE["gcp_iam_binding"], binding("roles/user"), binding("roles/user", resource=OF_EXPORT)),
    }
    made = entry("SetIamPolicy", HERE, at=ago(days=1))
    found = facts(
        estate(
            s3_bucket=[], backup_vault=[], aws_account=[], history_watch=before, history_scan=whole, gcp_audit_entry=[made], **now
        ),
        "change",
    )  # fmt: skip
    told_ = {row["changed_key"]: (row["project"], row["account"], row["actor"]) for row in found.values()}
    assert told_ == {
        f"{HERE}/roles/user/{ANA}/": (P, None, "eve@acme.example"),
        f"{OF_EXPORT}/roles/user/{ANA}/": (P, None, None),
    }
