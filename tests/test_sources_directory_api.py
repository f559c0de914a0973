"""Okta, Google Workspace and SCIM as directories: real servers on loopback, real HTTP, hostile answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from auditor.sandbox.directories import Google, Okta
from auditor.sources import _directory, directory_google, directory_okta, directory_scim
from auditor.sources._directory_people import People
from tests.directory_case import read

BOTH = ["directory_user", "directory_membership"]


@pytest.fixture(autouse=True)
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    monkeypatch.setenv("DIRECTORY_TOKEN", "a-token")
    pauses: list[float] = []
    monkeypatch.setattr(_directory, "wait", pauses.append)
    return pauses


def okta(server: Okta, **more: Any) -> Any:
    return directory_okta.Settings(**{"url": server.url, "token": "env:DIRECTORY_TOKEN", **more})


def google(server: Google, **more: Any) -> Any:
    return directory_google.Settings(
        **{"url": server.url, "customer": "C01", "token": "env:DIRECTORY_TOKEN", **more}
    )


# Okta


def test_okta_users_keep_their_status_and_when_it_changed_also_the_deactivated() -> None:
    with Okta(largest_page=2) as server:
        server.user("00u1", "Ana@acme.example")
        server.user("00u2", "ben@acme.example", "DEPROVISIONED", statusChanged="2026-02-01T09:00:00.000Z")
        server.user("00u3", "cleo@acme.example", "SUSPENDED", statusChanged="2026-02-02T09:00:00.000Z")
        server.user("00u4", "dan@acme.example", "STAGED", activated=None)
        server.user("00u5", "eve@acme.example", "LOCKED_OUT")
        server.group("00g1", "Data engineers", "00u1", "00u3", "00u5")
        users, members, seen, gaps = read(directory_okta, okta(server))
    assert {key: (user["status"], user["disabled_at"]) for key, user in users.items()} == {
        "okta:00u1": ("active", None),
        "okta:00u2": ("disabled", datetime(2026, 2, 1, 9, tzinfo=UTC)),
        "okta:00u3": ("suspended", datetime(2026, 2, 2, 9, tzinfo=UTC)),
        "okta:00u4": ("suspended", None),
        "okta:00u5": ("active", None),
    }
    assert users["okta:00u1"]["email"] == "ana@acme.example"
    assert users["okta:00u1"]["active_from"] == datetime(2024, 1, 1, tzinfo=UTC)
    assert members == {(f"okta:00u{n}", "Data engineers") for n in (1, 3, 5)}
    assert (seen, gaps) == (BOTH, [])
    assert read.calls == {"okta:ListGroupUsers": 2, "okta:ListGroups": 1, "okta:ListUsers": 3}


def test_okta_that_is_busy_is_waited_for_as_long_as_its_answer_says(waited: list[float]) -> None:
    with Okta() as server:
        server.user("00u1", "ana@acme.example")
        server.planned = [server.busy(7)]
        users, _, seen, gaps = read(directory_okta, okta(server))
    assert (waited, list(users), seen, gaps) == ([8.0], ["okta:00u1"], BOTH, [])


def test_okta_that_asks_for_too_long_a_wait_is_a_gap_and_no_empty_directory(waited: list[float]) -> None:
    with Okta() as server:
        server.user("00u1", "ana@acme.example")
        server.planned = [server.busy(900)]
        users, members, seen, gaps = read(directory_okta, okta(server))
    assert (waited, users, members, seen) == ([], {}, set(), [])
    assert [(gap.table, gap.reason) for gap in gaps] == [(table, "throttled") for table in BOTH]


@pytest.mark.parametrize(
    ("planned", "reason"),
    [
        ((401, {}, {"errorCode": "E0000011"}), "expired"),
        ((403, {}, {"errorCode": "E0000006"}), "denied"),
        ((302, {"Location": "http://127.0.0.1:1/"}, {}), "suspect"),
        ((200, {}, {}), "suspect"),
        ((200, {}, b"<html>"), "malformed"),
        ((200, {}, b"[" * 100_000), "malformed"),
        ((200, {}, ["a name"]), "malformed"),
        ((200, {"Link": '<http://evil.example/users?after=1>; rel="next"'}, []), "suspect"),
    ],
)
def test_okta_that_answers_wrongly_is_two_gaps_and_never_an_empty_directory(
    planned: Any, reason: str
) -> None:
    with Okta() as server:
        server.user("00u1", "ana@acme.example")
        server.planned = [planned]
        _, _, seen, gaps = read(directory_okta, okta(server))
    assert seen == []
    assert [(gap.table, gap.reason if gap.reason != "truncated" else "suspect") for gap in gaps] == [
        (table, reason) for table in BOTH
    ]


def test_okta_whose_pages_lead_back_to_one_another_is_left_and_told() -> None:
    with Okta() as server:
        server.user("00u1", "ana@acme.example")
        onward = {"Link": f'<{server.url}api/v1/users?after=1>; rel="next"'}
        server.planned = [(200, onward, [server.users["00u1"]])] * 3
        *_, seen, gaps = read(directory_okta, okta(server))
        assert len(server.planned) == 1, "the second page names itself as the next"
    assert (seen, {gap.reason for gap in gaps}) == ([], {"suspect"})


@pytest.mark.parametrize(("users", "whole"), [(200, False), (199, True)])
def test_full_page_of_okta_without_a_link_may_be_the_first_of_many(users: int, whole: bool) -> None:
    with Okta() as server:
        for number in range(users):
            server.user(f"00u{number}", f"user{number}@acme.example")
        server.planned = [(200, {}, list(server.users.values()))]  # as a proxy hands it on that drops Link
        _, _, seen, gaps = read(directory_okta, okta(server))
    assert ("directory_user" in seen) is whole
    assert whole or {gap.reason for gap in gaps} == {"suspect"}


def test_no_gap_and_no_record_holds_the_token_or_its_header() -> None:
    with Okta() as server:
        server.planned = [(401, {}, {"errorSummary": "a-token"})]
        *_, gaps = read(directory_okta, okta(server))
    assert "a-token" not in repr(gaps)


def test_group_that_cannot_be_read_hides_all_memberships_and_no_user() -> None:
    with Okta() as server:
        server.user("00u1", "ana@acme.example")
        server.group("00g1", "Data engineers", "00u1")
        del server.members["00g1"]
        users, members, seen, gaps = read(directory_okta, okta(server))
    assert (list(users), members, seen) == (["okta:00u1"], set(), ["directory_user"])
    assert [(gap.table, gap.resource, gap.reason) for gap in gaps] == [
        ("directory_membership", "*", "failed")
    ]


def test_two_groups_of_one_name_are_named_and_nobody_is_in_either() -> None:
    with Okta() as server:
        server.user("00u1", "ana@acme.example")
        server.group("00g1", "Data engineers")
        server.group("00g2", "Data engineers", "00u1")
        _, members, seen, gaps = read(directory_okta, okta(server))
    assert (members, seen) == (set(), ["directory_user"])
    assert "2 groups are named Data engineers: 00g1, 00g2" in gaps[0].detail


def test_e_mail_of_two_users_is_named() -> None:
    with Okta() as server:
        server.user("00u1", "ana@acme.example")
        server.user("00u2", "ANA@acme.example", "DEPROVISIONED")
        users, _, seen, gaps = read(directory_okta, okta(server))
    assert len(users) == 2 and "directory_user" in seen
    assert [(gap.resource, gap.reason) for gap in gaps] == [("okta:00u2", "malformed")]
    assert "ana@acme.example belongs to 00u1 and to 00u2" in gaps[0].detail


def test_user_with_an_unknown_status_or_a_date_that_is_none_is_not_known_to_be_active() -> None:
    with Okta() as server:
        server.user("00u1", "ana@acme.example", "FROZEN")
        server.user("00u2", "ben@acme.example", "ACTIVE", statusChanged="yesterday")
        users, _, _, gaps = read(directory_okta, okta(server))
    assert [user["status"] for user in users.values()] == [None, None]
    assert [gap.resource for gap in gaps] == ["okta:00u1", "okta:00u2"]


def test_plain_http_to_another_host_is_refused_before_a_token_is_sent() -> None:
    settings = directory_okta.Settings(url="http://directory.example.com/", token="env:DIRECTORY_TOKEN")
    *_, gaps = read(directory_okta, settings)
    assert [gap.reason for gap in gaps] == ["failed", "failed"]
    assert "https only" in gaps[0].detail


def test_empty_organisation_is_suspect() -> None:
    with Okta() as server:
        *_, seen, gaps = read(directory_okta, okta(server))
    assert ("directory_user" in seen, gaps[0].reason) == (False, "suspect")


# Google


def test_google_users_are_suspended_without_a_time_and_deleted_with_one() -> None:
    with Google(largest_page=2) as server:
        server.user("101", "Ana@acme.example")
        server.user("102", "ben@acme.example", suspended=True, suspensionReason="ADMIN")
        server.user("103", "cleo@acme.example", deletionTime="2026-02-01T09:00:00.000Z")
        server.user("104", "dan@acme.example", archived=True)
        users, _, seen, gaps = read(directory_google, google(server))
    assert {key: (user["status"], user["disabled_at"]) for key, user in users.items()} == {
        "google:101": ("active", None),
        "google:102": ("suspended", None),
        "google:103": ("disabled", datetime(2026, 2, 1, 9, tzinfo=UTC)),
        "google:104": ("suspended", None),
    }
    assert (seen, gaps) == (BOTH, [])


def test_google_user_of_whom_suspension_is_not_told_is_not_known_to_be_active() -> None:
    with Google() as server:
        server.user("1", "ana@acme.example")
        server.user("2", "ben@acme.example", deletionTime="2026-02-03T10:00:00.000Z")
        for key in ("1", "2"):
            del server.users[key]["suspended"]
        users, _, seen, gaps = read(directory_google, google(server))
    assert (users["google:1"]["status"], users["google:2"]["status"]) == (None, "disabled")
    assert (seen, [gap.resource for gap in gaps]) == (BOTH, ["google:1"])


def test_google_groups_within_groups_give_their_members_and_a_cycle_is_named() -> None:
    with Google(largest_page=2) as server:
        for n in (1, 2, 3):
            server.user(f"10{n}", f"p{n}@acme.example")
        server.group("g1", "Engineers@acme.example", ("USER", "101"), ("GROUP", "g2"), ("EXTERNAL", "999"))
        server.group("g2", "inner@acme.example", ("USER", "102"), ("GROUP", "g1"))
        server.group("g3", "everybody@acme.example", ("CUSTOMER", "C01"))
        _, members, seen, gaps = read(directory_google, google(server))
    assert members == {
        *(
            (f"google:10{n}", group)
            for n in (1, 2)
            for group in ("engineers@acme.example", "inner@acme.example")
        ),
        *((f"google:10{n}", "everybody@acme.example") for n in (1, 2, 3)),
    }
    assert seen == BOTH
    assert [gap.detail for gap in gaps] == [
        "google: group engineers@acme.example contains itself",
        "google: group inner@acme.example contains itself",
    ]


def test_only_wanted_groups_are_read_and_those_within_them() -> None:
    with Google() as server:
        server.user("101", "ana@acme.example")
        server.group("g1", "data-a@acme.example", ("GROUP", "g2"))
        server.group("g2", "inner@acme.example", ("USER", "101"))
        server.group("g3", "choir@acme.example", ("USER", "101"))
        _, members, _, gaps = read(directory_google, google(server, groups=("data-*",)))
        asked = set(server.calls)
    assert (members, gaps) == ({("google:101", "data-a@acme.example")}, [])
    assert not any("g3" in path for path in asked)


def test_member_of_an_unknown_kind_hides_the_memberships() -> None:
    with Google() as server:
        server.user("101", "ana@acme.example")
        server.group("g1", "data@acme.example", ("ROBOT", "7"))
        *_, seen, gaps = read(directory_google, google(server))
    assert (seen, gaps[0].resource) == (["directory_user"], "*")


def test_google_that_is_busy_is_asked_again_and_then_a_gap(waited: list[float]) -> None:
    with Google() as server:
        server.user("101", "ana@acme.example")
        server.planned = [server.busy()]
        _, _, seen, _ = read(directory_google, google(server))
        assert (seen, waited) == (BOTH, [1.0])
        server.planned = [server.busy()] * 9
        *_, gaps = read(directory_google, google(server))
    assert {gap.reason for gap in gaps} == {"throttled"}


@pytest.mark.parametrize("page", [{}, {"kind": "admin#directory#groups"}, {"users": []}, []])
def test_google_page_without_its_kind_is_suspect(page: Any) -> None:
    with Google() as server:
        server.user("101", "ana@acme.example")
        server.planned = [(200, {}, page)]
        *_, seen, gaps = read(directory_google, google(server))
    assert (seen, {gap.reason for gap in gaps}) == ([], {"suspect"})


def test_listing_that_breaks_off_is_truncated() -> None:
    with Google(largest_page=1) as server:
        server.user("101", "ana@acme.example")
        server.user("102", "ben@acme.example")
        first = server.answer("/admin/directory/v1/users", {"maxResults": "1"})
        server.planned = [first, *[(500, {}, {})] * 9]
        *_, seen, gaps = read(directory_google, google(server))
    assert (seen, {gap.reason for gap in gaps}) == ([], {"truncated"})


# SCIM, against scim2-server


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Scim:
    """A real SCIM server of another hand, and what is put into it."""

    def __init__(self, largest_page: int = 200) -> None:
        from scim2_models import ScimProvider
        from scim2_server import utils
        from scim2_server.memory import InMemoryStorage
        from scim2_server.testserver.application import BearerTokenApplication

        config = utils.load_default_service_provider_config()
        config.filter.max_results = largest_page
        provider = ScimProvider.from_discovery(
            utils.load_default_schemas().values(), utils.load_default_resource_types().values(), config=config
        )
        app = BearerTokenApplication(InMemoryStorage(), provider, bearer_tokens=["a-token"])
        self.server = make_server("127.0.0.1", 0, app, handler_class=_Quiet)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v2"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def post(self, path: str, **body: Any) -> str:
        import requests

        core = f"urn:ietf:params:scim:schemas:core:2.0:{path.rstrip('s')}"
        headers = {"Authorization": "Bearer a-token", "Content-Type": "application/scim+json"}
        answer = requests.post(
            f"{self.url}/{path}", json={"schemas": [core], **body}, headers=headers, timeout=5
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])


@pytest.fixture(scope="module")
def scim() -> Iterator[Scim]:
    server = Scim()
    server.ana = server.post("Users", userName="Ana@acme.example", externalId="idp-ana", active=True)  # type: ignore[attr-defined]
    server.ben = server.post("Users", userName="ben@acme.example", active=False)  # type: ignore[attr-defined]
    cleo = server.post(
        "Users", userName="cleo", active=True, emails=[{"value": "Cleo@acme.example", "primary": True}]
    )
    server.cleo = cleo  # type: ignore[attr-defined]
    inner = server.post("Groups", displayName="Inner", members=[{"value": cleo, "type": "User"}])
    server.post(
        "Groups",
        displayName="Data engineers",
        members=[{"value": server.ana, "type": "User"}, {"value": inner, "type": "Group"}],  # type: ignore[attr-defined]
    )
    yield server
    server.server.shutdown()
    server.server.server_close()


def of_scim(url: str, **more: Any) -> Any:
    return directory_scim.Settings(**{"url": url, "token": "env:DIRECTORY_TOKEN", **more})


@pytest.mark.parametrize("page", [1, 2, 200])
def test_scim_users_and_nested_groups_of_a_real_server_page_by_page(scim: Any, page: int) -> None:
    users, members, seen, gaps = read(directory_scim, of_scim(scim.url, page=page))
    assert (seen, gaps) == (BOTH, [])
    ana, ben, cleo = (users[f"scim:{key}"] for key in (scim.ana, scim.ben, scim.cleo))
    assert [user["status"] for user in (ana, ben, cleo)] == ["active", "disabled", "active"]
    assert (ana["email"], ana["subject"], cleo["email"]) == (
        "ana@acme.example",
        "idp-ana",
        "cleo@acme.example",
    )
    # When somebody was last modified is not when their access ended: only that it ended by then.
    assert (ben["disabled_at"], ben["disabled_by"] is not None, ana["disabled_by"]) == (None, True, None)
    assert members == {
        (ana["id"], "Data engineers"),
        (cleo["id"], "Data engineers"),
        (cleo["id"], "Inner"),
    }
    assert read.calls["scim:ListUsers"] == {1: 3, 2: 2, 200: 1}[page]


def test_scim_with_a_wrong_token_is_two_gaps(scim: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIRECTORY_TOKEN", "another")
    users, _, seen, gaps = read(directory_scim, of_scim(scim.url))
    assert (users, seen, {gap.reason for gap in gaps}) == ({}, [], {"expired"})


def scim_page(
    *users: dict[str, Any], total: int | None = None, **more: Any
) -> tuple[int, dict[str, str], Any]:
    body = {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": len(users) if total is None else total,
        "Resources": list(users),
        **more,
    }
    return 200, {"Content-Type": "application/scim+json"}, body


def person(key: str, **more: Any) -> dict[str, Any]:
    schema = "urn:ietf:params:scim:schemas:core:2.0:User"
    return {"schemas": [schema], "id": key, "userName": f"{key}@acme.example", "active": True, **more}


def test_scim_that_lists_fewer_than_it_counts_is_truncated() -> None:
    with Okta() as server:
        server.planned = [scim_page(person("a"), total=3), scim_page(total=3)]
        *_, seen, gaps = read(directory_scim, of_scim(server.url))
    assert (seen, {gap.reason for gap in gaps}) == ([], {"truncated"})


def test_scim_whose_pages_move_while_they_are_read_is_truncated() -> None:
    with Okta() as server:
        server.planned = [scim_page(person("a"), total=2), scim_page(person("a"), total=2)]
        *_, seen, gaps = read(directory_scim, of_scim(server.url))
    assert (seen, {gap.reason for gap in gaps}) == ([], {"truncated"})


def test_scim_user_without_active_or_with_a_bad_date_is_named_and_the_others_are_kept() -> None:
    bad = person("b")
    del bad["active"]
    with Okta() as server:
        server.planned = [
            scim_page(person("a"), bad, person("c", active=False, meta={"lastModified": "soon"})),
            scim_page(),
        ]
        users, _, seen, gaps = read(directory_scim, of_scim(server.url))
    assert {key: (user["status"], user["disabled_by"]) for key, user in users.items()} == {
        "scim:a": ("active", None),
        "scim:b": (None, None),
        "scim:c": ("disabled", None),
    }
    assert (seen, [gap.resource for gap in gaps]) == (BOTH, ["scim:b", "scim:c"])


def team(key: str, **more: Any) -> dict[str, Any]:
    schema = "urn:ietf:params:scim:schemas:core:2.0:Group"
    return {"schemas": [schema], "id": key, "displayName": key, **more}


def test_scim_service_that_lists_no_members_has_not_said_that_its_groups_are_empty() -> None:
    with Okta() as server:
        server.planned = [scim_page(person("a")), scim_page(team("exporters"), team("approvers"))]
        _, members, seen, gaps = read(directory_scim, of_scim(server.url))
        server.planned = [
            scim_page(person("a")),
            scim_page(team("exporters"), team("approvers", members=[{"value": "a"}])),
        ]
        *_, whole, none = read(directory_scim, of_scim(server.url))
    assert (members, seen) == (set(), ["directory_user"])
    assert [(gap.table, gap.resource, gap.reason) for gap in gaps] == [
        ("directory_membership", "*", "malformed")
    ]
    assert (whole, none) == (BOTH, [])


# Beside one another


def test_directory_that_is_not_there_is_no_gap_while_another_is() -> None:
    from auditor.sources import NAMES, running, source, stands_in

    sources = {name: source(name) for name in NAMES}
    settings = {name: module.Settings() for name, module in sources.items()}
    alone = running(sources, settings)
    assert {"directory", "directory_okta", "directory_google", "directory_scim"} <= set(alone), (
        "each says what is missing"
    )
    there = running(
        sources, settings | {"directory_okta": directory_okta.Settings(url="https://acme.okta.com")}
    )
    assert [name for name in there if name.startswith("directory")] == ["directory_okta"]
    assert stands_in("directory", sources, there)
    assert not stands_in("gcp_logging", sources, [name for name in there if name != "gcp_logging"])


def test_two_directories_at_once_keep_their_users_apart() -> None:
    with Okta() as one, Google() as other:
        one.user("1", "ana@acme.example")
        one.group("g", "exporters", "1")
        other.user("1", "ana@acme.example")
        other.group("g", "exporters@acme.example", ("USER", "1"))
        first, second = read(directory_okta, okta(one)), read(directory_google, google(other))
    assert first[0].keys().isdisjoint(second[0].keys())
    assert first[1] | second[1] == {("okta:1", "exporters"), ("google:1", "exporters@acme.example")}


# Many


def test_two_hundred_thousand_users_are_read_in_a_bounded_memory() -> None:
    import tracemalloc

    people = People("okta")
    tracemalloc.start()
    since = datetime(2024, 1, 1, tzinfo=UTC)
    for number in range(200_000):
        key = f"00u{number:017d}"
        people.user(
            key, email=f"person.{number}@acme.example", status="active", active_from=since, subject=key
        )
    people.group("g", "everybody")
    people.everybody("g")
    rows = sum(1 for _ in people.users()) + sum(1 for _ in people.memberships())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 400_002
    assert peak < 160 * 2**20
