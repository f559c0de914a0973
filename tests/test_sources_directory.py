"""The directory's CSV files: what is wrong in them is named, what is right is kept."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from auditor.model import Gap, Row, Seen, Window
from auditor.sources import directory
from auditor.sources.ask import Ask, Clients

NOW = datetime(2026, 3, 2, tzinfo=UTC)
HEADER = "id,email,status,disabled_at,subject,owner\n"


def read(
    tmp_path: Path, users: str | bytes | None, memberships: str | bytes | None = "user,group\nu1,data\n"
) -> tuple[list[Row], list[Seen], list[Gap]]:
    paths = {}
    for name, content in (("users", users), ("memberships", memberships)):
        if content is not None:
            path = tmp_path / f"{name}.csv"
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            paths[name] = str(path)
    settings = directory.Settings(**paths)
    ask = Ask("directory", settings, (), Window(NOW, NOW), NOW, Clients())
    found = list(directory.collect(ask))
    return (
        [one for one in found if isinstance(one, Row)],
        [one for one in found if isinstance(one, Seen)],
        [one for one in found if isinstance(one, Gap)],
    )


def users(rows: list[Row]) -> dict[str, dict[str, object]]:
    return {row.values["id"]: dict(row.values) for row in rows if row.table == "directory_user"}


def test_no_configured_files_are_two_gaps_and_no_rows(tmp_path: Path) -> None:
    rows, seen, gaps = read(tmp_path, None, None)
    assert (rows, seen) == ([], [])
    assert [(gap.table, gap.reason) for gap in gaps] == [
        ("directory_user", "not_configured"),
        ("directory_membership", "not_configured"),
    ]


@pytest.mark.parametrize("content", ["", "\n", HEADER, "\ufeff" + HEADER])
def test_empty_users_file_is_suspect_and_never_an_empty_directory(tmp_path: Path, content: str) -> None:
    rows, seen, gaps = read(tmp_path, content)
    assert not users(rows)
    assert gaps[0].detail.startswith("users.csv")
    assert (gaps[0].table, gaps[0].resource, gaps[0].reason) == ("directory_user", "*", "suspect")
    assert not [one for one in seen if one.table == "directory_user"]


def test_missing_file_is_a_gap_that_names_it(tmp_path: Path) -> None:
    settings = directory.Settings(users=str(tmp_path / "gone.csv"))
    found = list(directory.collect(Ask("directory", settings, (), Window(NOW, NOW), NOW, Clients())))
    assert found[0] == Gap(
        "directory_user", "*", reason="failed", detail=f"{tmp_path}/gone.csv: No such file or directory"
    )


def test_byte_order_mark_case_and_column_order_do_not_matter(tmp_path: Path) -> None:
    rows, seen, gaps = read(
        tmp_path,
        "\ufeffEmail,ID,Status,owner,subject,disabled_at\r\nAda@Example.ORG,u1,Active,,sub-1,\r\n",
    )
    assert users(rows)["u1"] == {
        "id": "u1",
        "email": "ada@example.org",
        "status": "active",
        "disabled_at": None,
        "subject": "sub-1",
        "owner": "",
        "directory": "csv",
    }
    assert (len(seen), gaps) == (2, [])


def test_lines_that_disagree_about_a_user_leave_the_matter_unknown(tmp_path: Path) -> None:
    rows, _, gaps = read(
        tmp_path,
        HEADER + "u1,a@x.org,active,,s1,\nu2,b@x.org,active,,,\nu1,a@x.org,disabled,2026-01-01,s1,\n",
    )
    assert users(rows)["u1"]["status"] is None
    assert users(rows)["u1"]["email"] == "a@x.org"
    assert users(rows)["u2"]["status"] == "active"
    assert [(gap.resource, gap.detail) for gap in gaps] == [("u1", "users.csv:4: user 'u1' is listed before")]


def test_bad_lines_are_named_and_good_lines_kept(tmp_path: Path) -> None:
    rows, seen, gaps = read(
        tmp_path,
        HEADER
        + "u1,a@x.org,active,,,\n"
        + ",nobody@x.org,active,,,\n"
        + "u3,c@x.org\n"
        + "u4,d@x.org,disabled,31/12/2025,,\n"
        + "u5,e@x.org,retired,,,\n"
        + '"u6\nsecond line",f@x.org,active,,,\n'
        + "u7,g@x.org,suspended,2026-01-05T08:00:00+02:00,,\n",
    )
    assert set(users(rows)) == {"u1", "u4", "u5", "u6\nsecond line", "u7"}
    assert users(rows)["u4"]["status"] is None
    assert users(rows)["u7"]["disabled_at"] == datetime(2026, 1, 5, 6, tzinfo=UTC)
    assert [gap.detail for gap in gaps] == [
        "users.csv:3: the id is empty",
        "users.csv:4: 2 cells under 6 columns",
        "users.csv:5: disabled_at of 'u4' is no date: '31/12/2025'",
        "users.csv:6: status 'retired' of 'u5' is none of active, disabled, suspended",
    ]
    assert [one.table for one in seen] == ["directory_membership"]


def test_missing_column_is_named_and_left_unknown(tmp_path: Path) -> None:
    rows, seen, gaps = read(tmp_path, "id,email,status\nu1,a@x.org,active\n")
    assert "subject" not in users(rows)["u1"]
    assert gaps[0].detail == "users.csv:1: no column disabled_at, subject, owner in the header line"
    assert "directory_user" not in {one.table for one in seen}


def test_file_without_the_id_column_gives_no_rows(tmp_path: Path) -> None:
    rows, _, gaps = read(tmp_path, "email;status\na@x.org;active\n")
    assert users(rows) == {}
    assert gaps[0].resource == "*"


def test_hostile_names_survive_as_text(tmp_path: Path) -> None:
    hostile = '"<script>alert(1)</script>","=HYPERLINK(""x"")@x.org",active,,"a\0b\u202ec",'
    rows, _, gaps = read(tmp_path, HEADER + hostile + "\n", None)
    user = users(rows)["<script>alert(1)</script>"]
    assert user["email"] == '=hyperlink("x")@x.org'
    assert user["subject"] == "a\0b\u202ec"
    assert [gap.reason for gap in gaps] == ["not_configured"]


def test_line_that_is_not_utf8_is_named_and_the_others_kept(tmp_path: Path) -> None:
    content = HEADER.encode() + b"u1,a@x.org,active,,,\nu2,caf\xe9@x.org,active,,,\nu3,c@x.org,active,,,\n"
    rows, _, gaps = read(tmp_path, content)
    assert set(users(rows)) == {"u1", "u3"}
    assert gaps[0].detail == "users.csv:3: not UTF-8"


def test_quote_that_never_ends_is_a_gap_and_the_lines_before_it_are_kept(tmp_path: Path) -> None:
    rows, _, gaps = read(
        tmp_path, HEADER + 'u1,a@x.org,active,,,\nu2,"b@x.org,active,,,\nu3,c@x.org,active,,,\n'
    )
    assert set(users(rows)) == {"u1"}
    assert gaps[0].resource == "*"
    assert gaps[0].detail.startswith("users.csv:4: unexpected end of data")


def test_many_bad_lines_are_counted_and_not_listed(tmp_path: Path) -> None:
    _, _, gaps = read(tmp_path, HEADER + "x,y\n" * 500)
    malformed = [gap for gap in gaps if gap.table == "directory_user"]
    assert len(malformed) == directory.NAMED_LINES + 1
    assert malformed[-1].detail == "users.csv: 480 more lines cannot be read"


USERS = (
    HEADER + "u1,a@x.org,active,,,\nu2,b@x.org,active,,,\nu3,twin@x.org,active,,,\nu4,twin@x.org,active,,,\n"
)


def test_membership_names_a_user_by_id_or_email_and_dates_may_be_missing(tmp_path: Path) -> None:
    rows, seen, _ = read(
        tmp_path, USERS, "user,group,from,until\nu1,data,2026-01-01,\nB@X.org,data,,2026-02-01T00:00:00Z\n"
    )
    assert [row.values for row in rows if row.table == "directory_membership"] == [
        {
            "user_id": "u1",
            "group_name": "data",
            "from_at": datetime(2026, 1, 1, tzinfo=UTC),
            "until_at": None,
        },
        {
            "user_id": "u2",
            "group_name": "data",
            "from_at": None,
            "until_at": datetime(2026, 2, 1, tzinfo=UTC),
        },
    ]
    assert "directory_membership" in {one.table for one in seen}


def test_membership_without_the_last_two_columns_is_read(tmp_path: Path) -> None:
    rows, _, _ = read(tmp_path, USERS, "user,group\nu1,data\nu1,data\n")
    assert len([row for row in rows if row.table == "directory_membership"]) == 1


def test_bad_memberships_leave_only_their_own_user_unknown(tmp_path: Path) -> None:
    rows, seen, gaps = read(
        tmp_path,
        USERS,
        "user,group,from,until\n"
        "ghost@x.org,data,,\n"
        "twin@x.org,data,,\n"
        "u1,data,soon,\n"
        "u1,data,2026-02-01,2026-01-01\n"
        "u1,,,\n"
        "u2,data,,\n",
    )
    found = [(gap.resource, gap.detail) for gap in gaps if gap.table == "directory_membership"]
    assert found == [
        ("ghost@x.org", "memberships.csv:2: user 'ghost@x.org' is not in the users file"),
        ("twin@x.org", "memberships.csv:3: e-mail 'twin@x.org' belongs to 2 users"),
        ("u1", "memberships.csv:4: from of 'u1' is no date: 'soon'"),
        ("u1", "memberships.csv:5: 'u1' leaves 'data' before joining it"),
        ("u1", "memberships.csv:6: the group is empty"),
    ]
    assert [row.values["user_id"] for row in rows if row.table == "directory_membership"] == ["u2"]
    assert "directory_membership" in {one.table for one in seen}


def test_order_of_the_lines_does_not_change_the_rows(tmp_path: Path) -> None:
    lines = [f"u{n},m{n}@x.org,active,,," for n in range(50)]
    forth, _, _ = read(tmp_path, HEADER + "\n".join(lines) + "\n")
    back, _, _ = read(tmp_path, HEADER + "\n".join(reversed(lines)) + "\n")
    assert forth == back
