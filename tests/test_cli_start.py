"""How the command line starts and ends: quickly, without a traceback, with nothing a terminal would obey."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from auditor.cli._app import App
from auditor.ledger import Ledger
from tests.cli_case import CONFIG, HOSTILE, ROOT, answer, hostile_state, process, run
from tests.ledger_case import day, outcome, scan

HEAVY = [
    "boto3",
    "botocore",
    "google",
    "grpc",
    "pandas",
    "numpy",
    "sqlite_utils",
    "jinja2",
    "duckdb",
    "sqlglot",
    "yaml",
    "apscheduler",
    "moto",
    "flask",
    "pyarrow",
    "pyspark",
    "py4j",
    "auditor.drift",
    "auditor.judge",
    "auditor.plans",
    "auditor.policy",
    "auditor.schema",
    "auditor.watch",
]
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    return hostile_state(tmp_path)


@pytest.mark.parametrize(
    "args", [["--help"], ["--version"], ["status"], ["status", "--json"], ["findings", "--help"]]
)
def test_starting_imports_no_sdk_no_data_frame_no_template_and_no_database_engine(
    args: list[str], hostile: Path
) -> None:
    program = (
        "import sys\nfrom auditor.cli._root import cli\n"
        f"try:\n    cli(['-c', {str(hostile)!r}, *{args!r}], prog_name='auditor')\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('HEAVY', sorted(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert done.stderr.strip().endswith("HEAVY []"), done.stderr


def test_the_configuration_is_read_once_for_where_the_state_is(hostile: Path) -> None:
    this = App(config_path=str(hostile))
    state = this.state()
    hostile.unlink()
    assert this.ledger_path == state / "ledger.sqlite3"


def test_help_lists_every_command_with_the_first_line_of_its_module() -> None:
    told = " ".join(run("--help").stdout.split())
    for path in sorted((ROOT / "auditor" / "cli").glob("[a-z]*.py")):
        line = path.read_text().splitlines()[0].strip('"').rstrip(".")
        assert f"{path.stem.replace('_', '-')} {line}" in told, path.stem


def test_no_sub_command_is_explained_by_half_a_sentence() -> None:
    told = " ".join(run("alerts", "--help").stdout.split())
    assert "switch its route on again." in told
    assert "..." not in told.partition("Commands:")[2]


def test_every_command_and_sub_command_explains_itself() -> None:
    from auditor.cli._root import SECTIONS, cli

    for name in (name for names in SECTIONS.values() for name in names):
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None, name
        for words in ([name], *([name, sub] for sub in getattr(command, "commands", {}))):
            done = run(*words, "--help")
            assert done.exit_code == 0, done.output
            assert "Usage: auditor " + " ".join(words) in done.stdout
            assert "\\b" not in done.stdout, f"{words} shows a mark of its layout"


@pytest.mark.parametrize("command", ["findings", "drift", "status", "waivers", "alerts"])
def test_hostile_names_reach_no_terminal(command: str, hostile: Path) -> None:
    done = run(command, config=hostile)
    assert done.exit_code == 0, done.output
    assert not CONTROL.search(done.stdout)
    if command == "findings":
        assert "\\e[31m" in done.stdout or "…" in done.stdout


def test_hostile_names_are_whole_and_escaped_in_json(hostile: Path) -> None:
    raw = run("findings", "--json", config=hostile).stdout
    assert raw.isascii()
    assert not CONTROL.search(raw)
    (row,) = answer("findings", config=hostile)["rows"]
    assert row["subject_key"] == HOSTILE


def test_a_table_is_no_wider_than_the_terminal(hostile: Path) -> None:
    assert max(map(len, run("findings", config=hostile).stdout.splitlines())) <= 100


def test_a_pipe_gets_no_control_codes_even_where_colour_is_wanted(hostile: Path) -> None:
    done = process(
        "-c", str(hostile), "status", cwd=hostile.parent, env={"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    )
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("wanted", [True, False])
def test_a_terminal_gets_colour_unless_no_color_is_set(wanted: bool, hostile: Path) -> None:
    import os
    import pty

    parent, child = pty.openpty()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "NO_COLOR": "" if wanted else "1"}
    command = [sys.executable, "-m", "auditor", "-c", str(hostile), "findings"]
    with subprocess.Popen(command, stdout=child, stderr=child, env=env) as running:
        os.close(child)
        heard = b""
        while True:
            try:
                heard += (part := os.read(parent, 4096))
            except OSError:  # the other end of a terminal that was closed
                break
            if not part:
                break
        running.wait()
    os.close(parent)
    assert (b"\x1b[" in heard) is wanted
    assert b"gnp" in heard or "…".encode() in heard


def test_a_reader_that_has_enough_ends_a_command_silently(hostile: Path) -> None:
    command = f"{sys.executable} -m auditor -c {hostile} outcomes --help | head -c 1"
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )
    assert done.stderr == ""


def test_no_configuration_says_how_to_make_one_and_ends_with_2(tmp_path: Path) -> None:
    done = process("findings", cwd=tmp_path)
    assert done.returncode == 2
    assert "config.toml: cannot be read" in done.stderr
    assert "auditor init" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_mistake_of_a_configuration_is_named_at_once(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        '[limitz]\nworkers = 1\n[aws]\nregions = ["eu-west-1"]\n[[aws.accounts]]\nid = "12345678901"\n'
    )
    for command in ("scan", "findings", "exports"):
        done = run(command, config=config)
        assert done.exit_code == 2, command
        assert "config.toml:1: limitz: " in done.stderr
        assert "limits" in done.stderr
        assert "config.toml:6: " in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["status", "scan", "exports"])
def test_an_unclosed_bracket_is_named_with_its_line(command: str, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[state]\ndir = "x"\n[aws\n')
    done = run(command, config=config)
    assert done.exit_code == 2
    assert "config.toml:3: syntax" in done.stderr


@pytest.mark.parametrize(
    "command", ["status", "findings", "exports", "outcomes", "drift", "orphans", "protection", "controls"]
)
def test_before_the_first_scan_every_command_says_so(command: str, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(state=tmp_path / "state"))
    done = run(command, config=config)
    assert done.exit_code == 0, done.output
    assert "No scan yet" in done.stdout
    said = answer(command, config=config)
    assert (said["scan"], said["as_of"], said["complete"]) == (None, None, False)
    assert said["schema"] == f"auditor.{command}/1"
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    "words", [["explain", "abc"], ["exports", "show", "abc"], ["report", "weekly"], ["db", "verify"]]
)
def test_what_needs_a_scan_ends_with_2_before_the_first(words: list[str], tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(state=tmp_path / "state"))
    done = run(*words, config=config)
    assert done.exit_code == 2
    assert "auditor scan" in done.stderr


def test_a_misspelt_command_or_filter_is_answered_with_the_nearest(hostile: Path) -> None:
    assert "auditor findings" in run("fidnings").stderr
    for words, meant in (
        (["findings", "--rule", "VLT-0O2"], "VLT-002"),
        (["outcomes", "--control", "soc2/A1.22"], "soc2/A1.2"),
    ):
        done = run(*words, config=hostile)
        assert done.exit_code == 2, words
        assert f"did you mean {meant!r}" in done.stderr


def test_a_zone_that_nobody_declares_is_refused(hostile: Path) -> None:
    done = run("findings", "--zone", "nowhere", config=hostile)
    assert done.exit_code == 2
    assert "there is no zone 'nowhere'" in done.stderr


def test_a_fault_nobody_foresaw_is_one_sentence_unless_debugging(hostile: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import auditor.cli._reading as r\nr.standing = lambda *_: 1 / 0\n"
    )
    path = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = process("-c", str(hostile), "status", cwd=tmp_path, env=path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "fault of auditor" in done.stderr
    for more, env in (([], {"AUDITOR_DEBUG": "1"}), (["-vv"], {})):
        shown = process("-c", str(hostile), *more, "status", cwd=tmp_path, env=path | env)
        assert "Traceback" in shown.stderr


def test_a_ledger_that_somebody_scans_into_is_busy(hostile: Path) -> None:
    with Ledger.open(hostile.parent / "state" / "ledger.sqlite3") as ledger:
        ledger.begin("2026-W07", "elsewhere/1/1", 3600, day(7))
    done = run("scan", "--at", day(7).isoformat(), config=hostile)
    assert done.exit_code == 6, done.output
    assert "running since" in done.stderr


def test_a_scan_that_is_asked_for_while_one_runs_joins_it(hostile: Path) -> None:
    path = hostile.parent / "state" / "ledger.sqlite3"
    with Ledger.open(path) as ledger:
        begun = App().now()
        lease = ledger.begin("2026-W07", "elsewhere/1/1", 3600, begun)
        (before,) = ledger.scans(state="finished")
        record = scan(2, slot="2026-W07", lease=lease, tally=before.tally)

        def ends() -> None:
            with Ledger.open(path) as theirs:
                theirs.record(record, [outcome("fail", HOSTILE)], at=begun)

        timer = threading.Timer(0.3, ends)
        timer.start()
        said = answer("scan", "--join", config=hostile)
        timer.join()
        assert said["scan"] == ledger.scans(state="finished")[-1].scan
        assert [row["slot"] for row in said["rows"]] == ["2026-W07"]
        assert len(ledger.scans(state="finished")) == 2


def test_a_changed_ledger_does_not_verify(hostile: Path) -> None:
    assert run("db", "verify", config=hostile).exit_code == 0
    path = hostile.parent / "state" / "ledger.sqlite3"
    database = sqlite3.connect(path)
    database.execute("DROP TRIGGER IF EXISTS entry_no_update")
    names = [
        row[0]
        for row in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'entry'"
        )
    ]
    for name in names:
        database.execute(f"DROP TRIGGER {name}")
    database.execute("UPDATE entry SET body = replace(body, 'day-1', 'day-2')")
    database.commit()
    database.close()
    done = run("db", "verify", config=hostile)
    assert done.exit_code == 5
    assert "auditor db restore" in done.stderr


def test_a_backup_comes_back(hostile: Path, tmp_path: Path) -> None:
    backup = tmp_path / "ledger.backup"
    assert run("db", "backup", str(backup), config=hostile).exit_code == 0
    assert run("db", "backup", str(backup), config=hostile).exit_code == 2
    assert run("db", "restore", str(backup), config=hostile).exit_code == 0
    assert answer("db", "verify", config=hostile)["rows"][0]["intact"]


def test_init_never_writes_over_a_file(tmp_path: Path) -> None:
    first = run("init", str(tmp_path))
    assert first.exit_code == 0, first.output
    assert run("config", "check", config=tmp_path / "config.toml").exit_code == 0
    (tmp_path / "config.toml").write_text("mine")
    again = run("init", str(tmp_path))
    assert again.exit_code == 2
    assert "config.toml is there already" in again.stderr
    assert (tmp_path / "config.toml").read_text() == "mine"


def test_a_demo_replaces_no_folder_but_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    done = run("demo", "--into", str(tmp_path))
    assert done.exit_code == 2
    assert (tmp_path / "thesis.txt").exists()


def test_a_waiver_covers_a_finding_until_it_is_revoked(hostile: Path) -> None:
    (finding,) = answer("findings", config=hostile)["rows"]
    words = ["--reason", "being rebuilt", "--requester", "ann@example.com", "--expires", "30d"]
    refused = run(
        "waivers", "add", finding["finding_id"][:12], *words, "--approver", "Ann@Example.com", config=hostile
    )
    assert refused.exit_code == 2
    added = answer(
        "waivers", "add", finding["finding_id"][:12], *words, "--approver", "bob@example.com", config=hostile
    )
    (waiver,) = added["rows"]
    assert waiver["state"] == "in force"
    (waived,) = answer("findings", "--state", "waived", config=hostile)["rows"]
    assert (waived["state"], waived["waiver"]) == ("waived", waiver["waiver_id"])
    assert answer("findings", "--state", "open", config=hostile)["rows"] == []
    run(
        "waivers",
        "revoke",
        waiver["waiver_id"],
        "--by",
        "bob@example.com",
        "--reason",
        "done",
        config=hostile,
    )
    assert answer("findings", config=hostile)["rows"][0]["state"] == "open"


def test_a_waiver_without_an_end_is_refused(hostile: Path) -> None:
    done = run("waivers", "add", "ab", "--reason", "x", "--requester", "a", "--approver", "b", config=hostile)
    assert done.exit_code == 2
    assert "--expires" in done.stderr


def test_a_broken_rule_of_ones_own_is_named_with_its_line_and_the_others_load(hostile: Path) -> None:
    own = hostile.parent / "rules"
    own.mkdir()
    (own / "mine.yaml").write_text("pack: mine\nrules:\n  - {id: x, code: X-1, severity: sevre}\n")
    done = run("rules", "check", config=hostile)
    assert done.exit_code == 4
    assert "mine.yaml:3:" in done.stdout
    assert run("rules", "test", config=hostile).exit_code == 2
    assert len(answer("rules", "list", config=hostile)["rows"]) >= 30


def test_a_test_alert_of_no_route_is_refused(hostile: Path) -> None:
    done = run("alerts", "test", "webhok", config=hostile)
    assert done.exit_code == 2
    assert "no route 'webhok' is configured" in done.stderr


def test_the_reference_of_the_tables_is_the_one_of_the_schema() -> None:
    told = run("rules", "docs", "--tables").stdout
    kept = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    assert told == kept, "renew it: python -m auditor rules docs --tables > docs/tables.md"
