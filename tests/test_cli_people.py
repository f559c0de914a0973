"""Offboarding, access reviews and reviews of denied attempts from the command line: what is signed, and what is refused."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from auditor.ledger import Ledger
from tests.cli_case import CONFIG, answer, run
from tests.entities import ago, derived, estate
from tests.ledger_case import scan

USERS = [
    {"id": "1", "email": "ana@example.com", "status": "active", "directory": "csv"},
    {"id": "2", "email": "=cmd()@example.com", "status": "active", "directory": "csv"},
    {
        "id": "3",
        "email": "cleo@example.com",
        "status": "disabled",
        "disabled_at": ago(days=9),
        "directory": "csv",
    },
]
MEMBERS = [{"user_id": key, "group_name": "exporters", "from_at": ago(days=90)} for key in "123"]
DUTY = {
    "group_name": "exporters",
    "directory": "",
    "project": "p*",
    "region": "*",
    "job_id": "*",
    "zone": "phi",
    "starts": "job",
}
DENIED = {
    "entry_id": "e1", "project": "prod", "at": ago(days=2), "granted": False, "status_code": 7,
    "method": "google.cloud.dataproc.v1.JobController.SubmitJob", "principal_email": "eve@example.com",
}  # fmt: skip
KEY = "2026-02-28/prod/eve@example.com"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Make a state with one scan whose facts are derived from a tiny estate."""
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(state=tmp_path / "state"), encoding="utf-8")
    judge(tmp_path, 1)
    return config


def judge(folder: Path, week: int, **tables: Any) -> None:
    """Record a scan and what it derived."""
    made = scan(week)
    with Ledger.open(folder / "state" / "ledger.sqlite3") as ledger:
        signed = [
            {"sign_off_id": s.sign_off_id, "kind": s.kind, "subject": s.subject, "decision": s.decision, "reason": s.reason,
             "signer": s.by, "at": s.at, "details": dict(s.details), "seq": seq}
            for seq, s in enumerate(ledger.signoffs(), 1)
        ]  # fmt: skip
        ledger.record(made, [], at=datetime(2026, 3, 2 + week, 6, tzinfo=UTC))
    found = {
        "directory_user": USERS, "directory_membership": MEMBERS, "config_duty": [DUTY],
        "gcp_audit_entry": [DENIED], "history_signoff": signed,
    } | tables  # fmt: skip
    into = folder / "state" / "judged" / f"{made.snapshot_id}-{made.rule_digest[:12]}"
    into.mkdir(parents=True, exist_ok=True)
    engine = derived(estate(**found))
    digests = {
        name: engine.export(name, into / f"{name}.parquet")
        for name in ("access", "offboarding", "audit_entry_facts")
    }
    body = {
        "snapshot": made.snapshot_id,
        "rules": made.rule_digest,
        "digests": digests,
        "tally": {},
        "gaps": [],
    }
    (into / "judgement.json").write_text(json.dumps(body))


def exported(state: Path, period: str = "2026-Q1") -> Path:
    into = state.parent / f"sheet-{period}.csv"
    done = run("access-review", "export", "--period", period, "--into", str(into), config=state)
    assert done.exit_code == 0, done.output
    return into


def filled(sheet: Path, change: Callable[[list[dict[str, str]]], object]) -> Path:
    rows = list(csv.DictReader(io.StringIO(sheet.read_text())))
    change(rows)
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    sheet.write_text(file.getvalue())
    return sheet


def decide(rows: list[dict[str, str]], **decisions: tuple[str, str]) -> None:
    for row in rows:
        for who, (decision, reason) in decisions.items():
            if who in row["person"]:
                row["decision"], row["reason"] = decision, reason


def sign(state: Path, sheet: Path, by: str = "finn@example.com") -> Any:
    return run("access-review", "sign", str(sheet), "--reviewer", by, config=state)


def signed(state: Path) -> list[tuple[str, str, str]]:
    with Ledger.open(state.parent / "state" / "ledger.sqlite3") as ledger:
        assert ledger.verify().intact
        return [(each.subject, each.decision, each.by) for each in ledger.signoffs("access-review")]


def test_sheet_has_a_row_for_each_person_and_group_and_no_cell_runs_as_a_formula(state: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(exported(state).read_text())))
    assert [row["person"] for row in rows] == ["'=cmd()@example.com", "ana@example.com", "cleo@example.com"]
    assert rows[1]["duty"] == "start a job in p* into zone phi"
    assert (rows[1]["status"], rows[1]["last_use"], rows[1]["decision"]) == ("active", "none known", "")
    assert rows[1]["member_since"].endswith("Z")


def test_decisions_are_signed_into_the_chain_and_the_rest_stays_open(state: Path) -> None:
    sheet = filled(
        exported(state), lambda rows: decide(rows, ana=("keep", ""), cmd=("Revoke", "nobody knows them"))
    )
    done = sign(state, sheet)
    assert done.exit_code == 0, done.output
    assert "2 decisions signed by finn@example.com, 1 of them to revoke; 1 rows are open." in done.stdout
    assert signed(state) == [
        ("2026-Q1/csv/=cmd()@example.com/exporters", "revoke", "finn@example.com"),
        ("2026-Q1/csv/ana@example.com/exporters", "keep", "finn@example.com"),
    ]
    again = sign(state, sheet)
    assert "0 decisions signed" in again.stdout, "the same decision is not signed twice"


def test_revoked_membership_that_still_stands_at_the_next_scan_is_seen(state: Path) -> None:
    sign(
        state,
        filled(
            exported(state),
            lambda rows: decide(rows, ana=("revoke", "left the team"), cleo=("revoke", "gone")),
        ),
    )
    still = [row for row in MEMBERS if row["user_id"] != "3"]
    judge(state.parent, 2, directory_membership=still)
    rows = answer("access-review", "list", config=state)["rows"]
    assert {row["person"]: row["state"] for row in rows} == {
        "=cmd()@example.com": "open",
        "ana@example.com": "revoked",
    }
    assert "✗ revoked, still there" in run("access-review", config=state).stdout
    other = answer("access-review", "list", "--period", "2025-Q4", config=state)["rows"]
    assert {row["state"] for row in other} == {"open"}, "it was decided in another period"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[1].update(group="admins"), ":3: the row was changed"),
        (lambda rows: rows[1].update(last_use="2026-01-01T00:00:00Z"), ":3: the row was changed"),
        (lambda rows: decide(rows, ana=("maybe", "")), ":3: the decision 'maybe' is none of keep, revoke"),
        (lambda rows: decide(rows, ana=("revoke", "")), ":3: to revoke needs a reason"),
        (lambda rows: decide(rows, cleo=("keep", "")), ":4: to keep somebody who is disabled needs a reason"),
        (lambda rows: decide(rows, ana=("", "because")), ":3: there is a reason and no decision"),
        (lambda rows: rows.append(dict(rows[1])), ":5: the same row stands on line 3 too"),
        (lambda rows: [row.update(period="2025-Q4") for row in rows], ":2: the row was changed"),
    ],
)
def test_sheet_that_is_not_as_it_was_exported_is_refused_whole(
    state: Path, change: Callable[[list[dict[str, str]]], object], words: str
) -> None:
    def both(rows: list[dict[str, str]]) -> None:
        decide(rows, cmd=("keep", "they are one of us"))
        change(rows)

    done = sign(state, filled(exported(state), both))
    assert done.exit_code == 2
    assert words in done.stderr
    assert signed(state) == []


def test_row_that_was_forged_with_a_name_of_its_own_was_not_in_the_sheet(state: Path) -> None:
    from auditor.cli._sheet import name_of

    def forge(rows: list[dict[str, str]]) -> None:
        rows[1]["group"] = "admins"
        rows[1]["row"] = name_of(rows[1])
        decide(rows, ana=("keep", ""))

    done = sign(state, filled(exported(state), forge))
    assert (done.exit_code, signed(state)) == (2, [])
    assert ":3: this row was not in the sheet of 2026-Q1" in done.stderr


def test_sheet_that_was_never_exported_here_is_refused(state: Path) -> None:
    sheet = exported(state)
    (state.parent / "state" / "ledger.sqlite3").unlink()
    judge(state.parent, 1)
    done = sign(state, sheet)
    assert done.exit_code == 2
    assert "no sheet of 2026-Q1 was exported" in done.stderr


@pytest.mark.parametrize("reviewer", ["ana@example.com", "Ana+hr@EXAMPLE.com", "аna@example.com"])
def test_reviewer_does_not_review_himself_however_he_spells_his_name(state: Path, reviewer: str) -> None:
    sheet = filled(exported(state), lambda rows: decide(rows, ana=("keep", ""), cmd=("keep", "")))
    done = sign(state, sheet, reviewer)
    assert (done.exit_code, signed(state)) == (2, [])
    assert "cannot review their own access" in done.stderr


def test_reviewer_may_sign_the_others_and_leave_his_own_row_open(state: Path) -> None:
    sheet = filled(exported(state), lambda rows: decide(rows, cmd=("keep", "")))
    assert sign(state, sheet, "ana@example.com").exit_code == 0


def test_part_of_a_sheet_will_do(state: Path) -> None:
    def part(rows: list[dict[str, str]]) -> None:
        decide(rows, ana=("keep", ""))
        del rows[0], rows[1]

    done = sign(state, filled(exported(state), part))
    assert done.exit_code == 0, done.output
    assert "2 rows are open" in done.stdout


@pytest.mark.parametrize(
    ("period", "words"), [("soon", "is no period"), ("2026-Q5", "is no period"), ("2031-H1", "has not begun")]
)
def test_period_that_is_none_or_has_not_begun_is_refused(state: Path, period: str, words: str) -> None:
    done = run(
        "access-review", "export", "--period", period, "--into", str(state.parent / "x.csv"), config=state
    )
    assert done.exit_code == 2
    assert words in done.stderr
    assert not (state.parent / "x.csv").exists()


def test_sheet_is_never_overwritten(state: Path) -> None:
    into = exported(state)
    done = run("access-review", "export", "--period", "2026-Q1", "--into", str(into), config=state)
    assert done.exit_code == 2


# Denied attempts


def test_review_of_denied_attempts_is_signed_and_counts_in_the_next_scan(state: Path) -> None:
    (row,) = answer("reviews", config=state)["rows"]
    assert (row["subject"], row["attempts"], row["reviewed"]) == (KEY, 1, False)
    done = run(
        "reviews", "sign", KEY, "--reviewer", "finn@example.com", "--note", "a typo of the name", config=state
    )
    assert done.exit_code == 0, done.output
    assert answer("reviews", config=state)["rows"][0]["signed_since"] == "finn@example.com"
    judge(state.parent, 2)
    (row,) = answer("reviews", config=state)["rows"]
    assert (row["reviewed"], row["reviewed_by"], row["review"]) == (
        True,
        "finn@example.com",
        "a typo of the name",
    )
    assert "No denied attempt is open." in run("reviews", "list", "--open", config=state).stdout


@pytest.mark.parametrize(
    ("subject", "by", "note", "words"),
    [
        ("2026-02-28/prod/eve@example.co", "finn@example.com", "x", "no denied attempts are known as"),
        (KEY, "eve@example.com", "x", "cannot review their own attempts"),
        (KEY, "finn", "x", "needs the reviewer's e-mail"),
        (KEY, "finn@example.com", " ", "a note of what came of it"),
    ],
)
def test_review_that_cannot_be_is_refused(state: Path, subject: str, by: str, note: str, words: str) -> None:
    done = run("reviews", "sign", subject, "--reviewer", by, "--note", note, config=state)
    assert done.exit_code == 2
    assert words in done.stderr


# Offboarding


def test_offboarding_shows_what_is_left_and_what_was_not_collected(state: Path) -> None:
    told = run("offboarding", config=state).stdout
    assert "✗ open" in told and "cleo@example.com" in told and "goes on" in told
    assert "1 group; 2 not collected" in " ".join(told.split())
    detail = run("offboarding", "cleo@example.com", config=state).stdout
    assert "keys not collected" in " ".join(detail.split())
    assert "exporters (start a job in p* into zone phi)" in " ".join(detail.split())
    (row,) = answer("offboarding", config=state)["rows"]
    assert (row["person"], row["open"], row["bindings"]) == ("cleo@example.com", True, None)


def test_offboarding_window_takes_who_left_in_it(state: Path) -> None:
    inside = ["offboarding", "--from", "2026-02-20", "--to", "2026-02-25"]
    assert [row["person"] for row in answer(*inside, config=state)["rows"]] == ["cleo@example.com"]
    outside = run("offboarding", "--from", "2026-02-25", config=state).stdout
    assert "Nobody's access ended in that time." in outside


@pytest.mark.parametrize("command", ["offboarding", "access-review", "reviews"])
def test_without_a_scan_there_is_a_sentence(command: str, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(state=tmp_path / "state"), encoding="utf-8")
    done = run(command, config=config)
    assert done.exit_code == 0
    assert "No scan yet" in done.stdout


# The report


def test_report_names_who_left_what_is_left_and_what_was_revoked_in_vain() -> None:
    from types import SimpleNamespace

    from auditor.report_people import people

    rows = {
        "offboarding": [
            {"person": "cleo@example.com", "open": True, "ended_at": ago(days=40), "ended_by": None, "last_use_at": None,
             "outlived_s": 40 * 86400, "groups": [{}], "bindings": None, "sessions": [], "keys": [], "owns": ["bot"]},
            {"person": "dan@example.com", "open": False, "ended_at": ago(days=2), "ended_by": None, "last_use_at": ago(days=3),
             "outlived_s": 0, "groups": [], "bindings": [], "sessions": [], "keys": [], "owns": []},
            {"person": "eve@example.com", "open": False, "ended_at": ago(days=60), "ended_by": None, "last_use_at": None,
             "outlived_s": 0, "groups": [], "bindings": [], "sessions": [], "keys": [], "owns": []},
        ],
        "access": [
            {"person": "cleo@example.com", "group_name": "exporters", "decision": "revoke", "decided_by": "finn@example.com",
             "decided_at": ago(days=9)},
        ],
    }  # fmt: skip
    judgement = SimpleNamespace(digests={"offboarding": "", "access": ""}, rows=rows.__getitem__)
    past: Any = SimpleNamespace(last=SimpleNamespace(judgement=judgement), from_at=ago(days=7), to_at=ago())
    found = people(past)
    assert [(row.person, row.state, row.outlived, row.left) for row in found.leavers] == [
        ("cleo@example.com", "open", "40 d, goes on", "1 group; 1 automation; not collected: bindings"),
        ("dan@example.com", "ended", "0", "nothing"),
    ]
    assert found.open == 1
    assert found.revoked == ("cleo@example.com in exporters, revoked by finn@example.com on 2026-02-21",)
