"""What the command line answers after one real scan: the contract of docs/json.md, exit codes, and pages for people."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from auditor.cli import drift
from auditor.model import LINKS, Drift
from auditor.sandbox.estate import Estate
from tests.cli_case import ROOT, answer, run

if TYPE_CHECKING:
    from click.testing import Result

WEEK = 3
CONTRACT = {
    "exports": "export_id job_uuid job_id project region bucket prefix started_at finished_at objects bytes zone state strength links",
    "outcomes": "rule code subject_table subject_key zone params verdict because failed_checks unknown_checks gaps",
    "findings": "rule code subject_table subject_key zone params verdict because failed_checks unknown_checks gaps "
    "finding_id severity owner state waiver since controls remedy evidence",
    "drift": "drift_id kind rule subject_table subject_key field before after direction changed_at detected_at actor actor_reason",
}
ANSWERS = [
    "exports",
    "outcomes",
    "findings",
    "drift",
    "orphans",
    "protection",
    "status",
    "controls",
    "rules",
    "waivers",
    "offboarding",
    "access-review",
    "reviews",
    "alerts",
    "config",
    "permissions",
]
MORE = {"orphans": ["--all"], "sample": ["export", "--seed", "7"], "config": ["show"], "rules": ["list"]}


@dataclass(frozen=True)
class Scanned:
    """A state that one scan made."""

    config: Path
    scan: Result
    at: datetime


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scanned]:
    folder = tmp_path_factory.mktemp("cli")
    estate = Estate.open()
    try:
        estate.advance(WEEK)
        estate.aws.faults.set("iam", "ListOpenIDConnectProviders", "deny", account="222222222222")
        config = estate.config(folder)
        at = estate.now(WEEK)
        done = run(
            "-v",
            "scan",
            "--at",
            at.isoformat(),
            "--slot",
            "W03",
            "--fail-on",
            "critical",
            "--json",
            config=config,
        )
    finally:
        estate.close()
    return Scanned(config, done, at)


def documented(command: str) -> set[str]:
    """Return the keys that docs/json.md states for a command's rows."""
    text = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {command}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert section, command
    keys = set(re.findall(r"^\| `(\w+)` \|", section[1], re.MULTILINE))
    return keys | documented("status") if command == "scan" else keys


def test_a_scan_that_fails_and_is_incomplete_ends_with_3_and_says_both(scanned: Scanned) -> None:
    assert scanned.scan.exit_code == 3, scanned.scan.output
    said = json.loads(scanned.scan.stdout)
    assert said["complete"] is False
    assert said["gaps"]
    (row,) = said["rows"]
    assert row["failing"] > 0
    assert row.keys() == documented("scan")
    assert "collected aws_s3" in scanned.scan.stderr


@pytest.mark.parametrize("command", ANSWERS)
def test_every_answer_is_the_documented_one(command: str, scanned: Scanned) -> None:
    said = answer(command, *MORE.get(command, []), config=scanned.config)
    beside = {"off"} if command == "rules" else set()
    assert said.keys() == {"schema", "scan", "as_of", "complete", "gaps", "rows"} | beside
    assert said["schema"] == f"auditor.{command}/1"
    keys = {key for row in said["rows"] for key in row}
    assert keys <= documented(command)
    if said["rows"]:
        assert keys == documented(command)
    else:
        assert command in ("waivers", "alerts", "reviews")
    assert set(CONTRACT.get(command, "").split()) <= keys


@pytest.mark.parametrize(
    "command", ["exports", "outcomes", "findings", "drift", "orphans", "protection", "status", "controls"]
)
def test_an_answer_names_its_scan_its_gaps_and_that_it_is_incomplete(command: str, scanned: Scanned) -> None:
    said = answer(command, config=scanned.config)
    assert said["scan"].startswith("scan-")
    assert said["as_of"] == scanned.at.isoformat().replace("+00:00", "Z")
    assert said["complete"] is False
    for gap in said["gaps"]:
        assert gap.keys() == {"table", "account", "region", "resource", "reason", "detail"}
    assert said["gaps"]


def test_keys_are_sorted_and_times_end_in_z(scanned: Scanned) -> None:
    raw = run("exports", "--json", config=scanned.config).stdout
    said = json.loads(raw)
    assert raw == json.dumps(said, sort_keys=True, indent=2) + "\n"
    for row in said["rows"]:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", row["started_at"])
        assert row["links"].keys() == set(LINKS)
        for link in row["links"].values():
            assert link.keys() == {"state", "strength", "due_at", "because", "refs"}


@pytest.mark.parametrize("command", ["exports", "findings", "outcomes"])
def test_filters_part_the_whole(command: str, scanned: Scanned) -> None:
    whole = answer(command, config=scanned.config)["rows"]
    counted = Counter(row["zone"] for row in whole)
    for zone in ("phi", "soc2", "internal", "public"):
        rows = answer(command, "--zone", zone, config=scanned.config)["rows"]
        assert len(rows) == counted[zone]
        assert {row["zone"] for row in rows} <= {zone}
    account = Counter(row["account"] for row in whole)
    assert (
        len(answer(command, "--account", "111111111111", config=scanned.config)["rows"])
        == account["111111111111"]
    )
    assert len(answer(command, "--limit", "2", config=scanned.config)["rows"]) == 2
    assert answer(command, "--owner", "nobody@nowhere.example", config=scanned.config)["rows"] == []


def test_a_rule_is_found_by_id_and_by_code(scanned: Scanned) -> None:
    for command in ("findings", "outcomes", "drift"):
        by_code = answer(command, "--rule", "CHN-001", config=scanned.config)["rows"]
        by_id = answer(command, "--rule", "export-captured-in-time", config=scanned.config)["rows"]
        assert by_code == by_id
        assert by_code, command
        assert {row["rule"] for row in by_code} == {"export-captured-in-time"}


def test_findings_of_a_control_support_it_and_exports_of_it_have_such_a_finding(scanned: Scanned) -> None:
    rows = answer("findings", "--control", "soc2/A1.2", "--severity", "critical", config=scanned.config)[
        "rows"
    ]
    assert rows
    assert all("soc2/A1.2" in row["controls"] and row["severity"] == "critical" for row in rows)
    about = {row["subject_key"] for row in rows}
    exports = answer("exports", "--control", "soc2/A1.2", "--severity", "critical", config=scanned.config)[
        "rows"
    ]
    assert exports
    assert all({row["export_id"], row["job_uuid"]} & about for row in exports)


def test_findings_are_the_outcomes_that_fail_or_cannot_be_told(scanned: Scanned) -> None:
    outcomes = {
        (row["rule"], row["subject_key"])
        for verdict in ("fail", "unknown")
        for row in answer("outcomes", "--state", verdict, config=scanned.config)["rows"]
    }
    findings = {
        (row["rule"], row["subject_key"]) for row in answer("findings", config=scanned.config)["rows"]
    }
    assert findings == outcomes


def test_a_filter_that_fits_nothing_says_so(scanned: Scanned) -> None:
    done = run("findings", "--owner", "nobody@nowhere.example", config=scanned.config)
    assert done.exit_code == 0
    assert "No findings with owner nobody@nowhere.example." in done.stdout


@pytest.mark.parametrize("framework", ["soc2", "hipaa", "iso27001"])
def test_the_population_of_every_control_adds_up_and_none_is_well_without_evidence(
    framework: str, scanned: Scanned
) -> None:
    rows = answer("controls", framework, config=scanned.config)["rows"]
    for row in rows:
        parts = sum(row[word] for word in ("pass", "fail", "unknown", "waived", "not_applicable"))
        assert row["population"] == parts, row["control"]
        if row["state"] == "evidenced":
            assert row["pass"] and not row["fail"] and not row["unknown"]
        if not row["population"]:
            assert row["state"] in ("manual", "nothing", "unknown")
            assert row["coverage"] in ("manual", "not_in_scope")
    assert any(row["manual"] for row in rows)


def _exports(scanned: Scanned, state: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = answer("exports", "--state", state, config=scanned.config)["rows"]
    return rows


def test_a_chain_is_drawn_as_seven_links_with_symbol_and_word(scanned: Scanned) -> None:
    (row, *_) = _exports(scanned, "broken")
    done = run("exports", "show", row["job_uuid"], config=scanned.config)
    assert done.exit_code == 0, done.output
    symbols = {"proven": "✓", "broken": "✗", "unknown": "?", "pending": "…", "not_required": "–"}
    for link in LINKS:
        state = row["links"][link]["state"]
        assert re.search(
            rf"^{re.escape(symbols[state])} {state.replace('_', ' ')} +{link.replace('_', ' ')}",
            done.stdout,
            re.MULTILINE,
        )
    flat = " ".join(done.stdout.split())
    assert " ".join(row["links"]["recovery_point"]["because"].split()) in flat


def test_a_walkthrough_shows_the_raw_record_behind_every_link(scanned: Scanned) -> None:
    row = next(row for row in _exports(scanned, "proven") if row["links"]["copy"]["state"] == "proven")
    done = run("exports", "show", row["export_id"], "--walkthrough", config=scanned.config)
    assert done.exit_code == 0, done.output
    assert "this snapshot holds no such row" not in done.stdout
    for table in (
        "gcp_audit_entry",
        "dataproc_job",
        "sts_session",
        "s3_manifest",
        "backup_recovery_point",
        "backup_vault",
    ):
        assert f"    {table} " in done.stdout, table
    assert re.search(r"^ +job_id +" + re.escape(row["job_id"]), done.stdout, re.MULTILINE)
    assert max(map(len, done.stdout.splitlines())) <= 160


def test_an_export_that_several_words_could_mean_is_refused(scanned: Scanned) -> None:
    done = run("exports", "show", "acme-", config=scanned.config)
    assert done.exit_code == 2
    assert "names" in done.stderr
    near = run("exports", "show", _exports(scanned, "proven")[0]["job_id"] + "x", config=scanned.config)
    assert "did you mean" in near.stderr


def test_every_finding_is_explained_down_to_a_step_that_decides(scanned: Scanned) -> None:
    by_rule = {row["rule"]: row for row in answer("findings", config=scanned.config)["rows"]}
    for row in [*by_rule.values()][:8]:
        done = run("explain", row["finding_id"][:16], config=scanned.config)
        assert done.exit_code == 0, done.output
        symbol = {"fail": "✗", "unknown": "?"}[row["verdict"]]
        assert re.search(rf"^  {re.escape(symbol)} ", done.stdout, re.MULTILINE), done.stdout
        assert "Remedy" in done.stdout
        assert row["finding_id"] in done.stdout


def test_a_pass_is_explained_by_rule_and_subject(scanned: Scanned) -> None:
    row = answer("outcomes", "--state", "pass", "--rule", "VLT-002", config=scanned.config)["rows"][0]
    said = answer("explain", "VLT-002", row["subject_key"], config=scanned.config)["rows"][0]
    assert said.keys() == documented("explain")
    assert said["outcome"]["verdict"] == "pass"
    assert said["finding"] is None
    assert said["records"][0]["rows"][0]["table"] == "backup_vault"
    assert said["records"][0]["rows"][0]["row"]["arn"] == row["subject_key"]


def test_a_subject_that_was_not_judged_is_answered_with_the_nearest(scanned: Scanned) -> None:
    row = answer("outcomes", "--rule", "VLT-002", config=scanned.config)["rows"][0]
    done = run("explain", "VLT-002", row["subject_key"] + "x", config=scanned.config)
    assert done.exit_code == 2
    assert "did you mean" in done.stderr


def test_judging_the_snapshot_again_gives_the_recorded_digest(scanned: Scanned) -> None:
    (row,) = json.loads(scanned.scan.stdout)["rows"]
    done = run("scan", "--snapshot", row["snapshot_dir"], "--json", config=scanned.config)
    assert done.exit_code == 4, done.output
    (again,) = json.loads(done.stdout)["rows"]
    assert again["equal"] is True
    assert again["outcome_digest"] == row["outcome_digest"]


def test_a_snapshot_with_a_changed_byte_does_not_verify(scanned: Scanned, tmp_path: Path) -> None:
    (row,) = json.loads(scanned.scan.stdout)["rows"]
    copy = tmp_path / row["snapshot"]
    shutil.copytree(row["snapshot_dir"], copy)
    table = copy / "tables" / "backup_vault.parquet"
    table.write_bytes(table.read_bytes()[:-1] + b"\0")
    done = run("scan", "--snapshot", str(copy), config=scanned.config)
    assert done.exit_code == 5
    assert "backup_vault" in done.stderr


def test_a_dry_run_asks_and_writes_nothing(scanned: Scanned) -> None:
    state = scanned.config.parent / "state"
    before = sorted(path for path in state.rglob("*"))
    rows = answer("scan", "--dry-run", config=scanned.config)["rows"]
    assert {row["source"] for row in rows} >= {"aws_s3", "gcp_dataproc"}
    assert all(row["actions"] for row in rows if not row["source"].startswith("directory"))
    assert sorted(path for path in state.rglob("*")) == before


def test_a_sample_is_the_same_for_the_same_seed_and_holds_no_formula(scanned: Scanned) -> None:
    words = ["sample", "outcome", "--n", "25", "--seed", "2026-Q1"]
    first, again = (run(*words, config=scanned.config) for _ in range(2))
    assert first.stdout == again.stdout
    rows = list(csv.DictReader(io.StringIO(first.stdout)))
    assert len(rows) == 25
    other = run(*words[:-1], "2026-Q2", config=scanned.config)
    assert other.stdout != first.stdout
    for row in rows:
        assert not any(str(cell).startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_no_cell_of_a_sample_begins_a_formula(text: str) -> None:
    from auditor.cli.sample import _cell

    assert _cell(text).startswith("'")


def test_a_population_nobody_knows_is_answered_with_the_nearest(scanned: Scanned) -> None:
    done = run("sample", "backup_vaul", "--seed", "1", config=scanned.config)
    assert done.exit_code == 2
    assert "did you mean 'backup_vault'" in done.stderr


@pytest.mark.parametrize(
    "command",
    ["status", "exports", "findings", "outcomes", "drift", "orphans", "protection", "controls", "rules"],
)
def test_text_is_no_wider_than_the_terminal_and_has_no_control_codes(command: str, scanned: Scanned) -> None:
    done = run(command, config=scanned.config)
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_drift_of_many_alike_shares_a_line_and_loses_none(scanned: Scanned) -> None:
    rows = answer("drift", config=scanned.config)["rows"]
    lines = run("drift", config=scanned.config).stdout.partition("\n\n")[0].splitlines()[1:]
    together = [int(found[1]) for line in lines if (found := re.search(r"  (\d+) of ", line))]
    assert together and min(together) > 3
    assert sum(together) + len(lines) - len(together) == len(rows)
    (rule, many), *_ = Counter(row["rule"] for row in rows).most_common()
    each = run("drift", "--rule", rule, config=scanned.config).stdout.partition("\n\n")[0].splitlines()[1:]
    assert len(each) == many > 3


def test_drift_begins_with_the_worst_that_somebody_did() -> None:
    at = datetime(2026, 1, 5, tzinfo=UTC)

    def made(n: int, rule: str | None, severity: str, direction: str) -> Drift:
        return Drift(
            f"d{n}", "changed", rule, "s3_bucket", f"b{n}", "versioning", "Enabled", "Suspended", direction, None, at,
            None, "", severity, f"b{n}: versioning changed",
        )  # fmt: skip

    found = [
        made(1, "rule-a", "critical", "worse"),
        made(2, None, "low", "better"),
        made(3, None, "medium", "neutral"),
        made(4, "rule-b", "critical", "better"),
        made(5, None, "high", "worse"),
        *(made(n, "rule-a", "medium", "worse") for n in (6, 7, 8, 9)),
    ]
    lines = drift._lines(sorted(found, key=drift._urgency), found, {at: None}, {}, each=False)
    assert [re.search(r"b\d|\d of", line)[0] for line in lines[1:7]] == ["b5", "b3", "b2", "b1", "4 of", "b4"]  # type: ignore[index]


def test_before_the_scan_there_was_none(scanned: Scanned) -> None:
    said = answer("findings", "--as-of", "2020-01-01", config=scanned.config)
    assert (said["scan"], said["rows"]) == (None, [])


def test_status_tells_the_ledgers_head_and_the_tally(scanned: Scanned) -> None:
    text = run("status", config=scanned.config).stdout
    (row,) = answer("status", config=scanned.config)["rows"]
    assert row["ledger"]["head"][:16] in text
    assert f"{row['chains']['broken']} broken" in text
    assert "incomplete" in text


def test_a_bundle_verifies_with_a_pinned_key_alone_and_is_judged_again_to_the_same(
    scanned: Scanned, tmp_path: Path
) -> None:
    key = scanned.config.parent / "signing.key"
    assert run("key", "new", str(key)).exit_code == 0
    assert run("key", "new", str(key)).exit_code == 2
    made = run("bundle", "create", "--out", str(tmp_path), config=scanned.config)
    assert made.exit_code == 0, made.output
    path = Path(made.stdout.strip())
    assert run("bundle", "verify", str(path), "--key", f"{key}.pub").exit_code == 0
    assert run("bundle", "verify", str(path)).exit_code == 5
    replayed = run("replay", str(path))
    assert replayed.exit_code == 0, replayed.output
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    assert run("bundle", "verify", str(path), "--key", f"{key}.pub").exit_code == 5


def test_a_report_of_an_incomplete_scan_is_written_and_ends_with_4(scanned: Scanned, tmp_path: Path) -> None:
    done = run("report", "weekly", "--out", str(tmp_path), config=scanned.config)
    assert done.exit_code == 4, done.output
    assert Path(done.stdout.strip()).read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_report_that_ends_before_it_begins_is_refused(scanned: Scanned) -> None:
    done = run("report", "weekly", "--from", "2026-03-01", "--to", "2026-02-01", config=scanned.config)
    assert done.exit_code == 2
