"""`auditor doctor`: what it finds through the real clients on two clouds that misbehave, and on a machine that does."""

from __future__ import annotations

import json
import re
import shutil
import socket
import sqlite3
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fault_world import small_story

from auditor import config as configuration
from auditor import doctor_host
from auditor.cli._app import App, sections
from auditor.config_alerts import Outgoing
from auditor.doctor import Check, exit_code, ordered
from auditor.doctor_clouds import clouds
from auditor.ledger import Ledger
from auditor.permissions import permissions
from auditor.sandbox.estate import Estate
from auditor.sources import NAMES, probes_aws, probes_gcp, source
from tests.cli_case import CONFIG, ROOT, answer, process, run
from tests.ledger_case import day, outcome, scan

if TYPE_CHECKING:
    from auditor.config import Config

MAIN, SAFE = "111111111111", "222222222222"
CANARY = "s3cr3t-c4n4ry-value"


@dataclass
class World:
    """Two clouds after two weeks, and a configuration that names them."""

    estate: Estate
    path: Path
    config: Config

    @property
    def now(self) -> datetime:
        return self.estate.now(2)

    def checks(self, config: Config | None = None, *, budget_s: float = 30) -> list[Check]:
        return ordered(clouds(config or self.config, now=self.now, budget_s=budget_s))


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    estate = Estate.open(small_story())
    estate.advance(2)
    folder = tmp_path_factory.mktemp("doctor")
    path = estate.config(folder)
    yield World(estate, path, configuration.load(path, sections()))
    estate.close()


@pytest.fixture
def world(opened: World) -> Iterator[World]:
    """The two clouds undisturbed: what a test breaks is mended after it."""
    yield opened
    opened.estate.aws.faults.clear()
    opened.estate.aws.clock(opened.now)


def small(config: Config, *sources: str, accounts: tuple[str, ...] = (MAIN,)) -> Config:
    """Return a configuration of a few sources and accounts alone: what is asked is quicker told."""
    named = {name: config.sources[name] for name in sources}
    aws = replace(config.aws, accounts=tuple(each for each in config.aws.accounts if each.id in accounts))
    return replace(config, sources=named, aws=aws)


def of(checks: list[Check], action: str, **where: str) -> list[Check]:
    return [
        each
        for each in checks
        if each.action == action and all(getattr(each, key) == value for key, value in where.items())
    ]


def only(checks: list[Check], action: str, **where: str) -> Check:
    (one,) = of(checks, action, **where)
    return one


# The clouds -----------------------------------------------------------------------------------------------------------


def test_what_is_whole_is_well_and_nothing_is_taken_for_well_that_was_not_asked(world: World) -> None:
    checks = world.checks()
    assert {each.state for each in checks} == {"ok", "off"}
    assert exit_code(checks) == 0
    (clock,) = [each for each in checks if each.group == "clock"]
    assert clock.state == "ok"
    callers = [each.said for each in checks if each.group == "identity" and each.cloud == "aws"]
    assert callers == [
        f"in {account} we are arn:aws:sts::{account}:assumed-role/auditor-reader/auditor"
        for account in (MAIN, SAFE)
    ]
    declared = {action for name in NAMES for action in source(name).ACTIONS} - {"sts:GetCallerIdentity"}
    assert {each.action for each in checks if each.action} == declared
    ok = {each.action for each in checks if each.state == "ok" and each.action}
    assert declared - ok <= {
        "kms:Decrypt", "resourcemanager.folders.get", "resourcemanager.folders.getIamPolicy",
        "resourcemanager.organizations.getIamPolicy", "storage.objects.get", "storage.objects.list",
    }  # fmt: skip


def test_every_declared_action_has_a_small_call() -> None:
    declared = {action for name in NAMES for action in source(name).ACTIONS}
    assert declared <= {probe.action for probe in (*probes_aws.PROBES, *probes_gcp.PROBES)}


def test_doctor_asks_nothing_that_the_scans_policy_does_not_allow(world: World) -> None:
    before = dict(world.estate.aws.calls)
    world.checks()
    asked = {call for call, count in world.estate.aws.calls.items() if count > before.get(call, 0)}
    assert len(asked) > 40
    assert not [name for _, name in asked if name.startswith(("Put", "Create", "Delete", "Update", "Start"))]
    from tests.test_permissions_generated import OPERATIONS

    named = {OPERATIONS.get(f"{service}:{name}", f"{service}:{name}") for service, name in asked}
    assert named <= {*permissions(world.config, "scan").actions, "sts:AssumeRole"}


def test_a_denied_action_is_named_with_account_region_and_the_whole_statement_and_the_rest_still_runs(
    world: World,
) -> None:
    action = "backup:ListRecoveryPointsByBackupVault"
    world.estate.aws.faults.set(
        "backup", "ListRecoveryPointsByBackupVault", "deny", account=MAIN, region="eu-west-1"
    )
    checks = world.checks(small(world.config, "aws_backup"))
    denied = [each for each in checks if each.state == "warning"]
    (one,) = denied
    assert (one.action, one.account, one.region) == (action, MAIN, "eu-west-1")
    assert one.statements == (
        {"Sid": "ReadWhatTheAccountHolds", "Effect": "Allow", "Action": [action], "Resource": "*"},
    )
    assert exit_code(checks) == 4
    assert only(checks, action, region="eu-central-1").state == "ok"
    assert only(checks, "backup:ListBackupJobs", region="eu-west-1").state == "ok"


def test_what_needs_a_denied_listing_is_unknown_and_not_well(world: World) -> None:
    world.estate.aws.faults.set("backup", "ListBackupVaults", "deny", account=MAIN, region="eu-west-1")
    checks = world.checks(small(world.config, "aws_backup"))
    for action in (
        "backup:ListRecoveryPointsByBackupVault",
        "backup:GetBackupVaultAccessPolicy",
        "backup:ListTags",
    ):
        one = only(checks, action, region="eu-west-1")
        assert one.state == "unknown"
        assert "backup:ListBackupVaults" in one.said


@pytest.mark.parametrize("kind", ["throttle", "fail", "garbage", "empty", "cut", "expire"])
def test_a_call_that_is_answered_with_no_answer_is_unknown_and_never_well(kind: str, world: World) -> None:
    world.estate.aws.faults.set("*", "*", kind)
    checks = world.checks(small(world.config, "aws_backup", "aws_iam", "aws_s3"))
    tried = [each for each in checks if each.group == "permissions"]
    assert tried
    # A HEAD has no body: an empty one is what allows it.
    well = [each.action for each in tried if each.state not in ("unknown", "warning")]
    assert set(well) <= ({"s3:ListBucket"} if kind in ("empty", "cut") else set()), (kind, well)
    assert exit_code(checks) == 4


def test_credentials_that_expired_are_one_failure_and_no_call_is_made_with_them(world: World) -> None:
    world.estate.aws.faults.set("sts", "*", "expire")
    before = sum(count for call, count in world.estate.aws.calls.items() if call[0] != "sts")
    checks = world.checks(small(world.config, "aws_backup", "aws_iam", accounts=(MAIN, SAFE)))
    assert sum(count for call, count in world.estate.aws.calls.items() if call[0] != "sts") == before
    lost = [each for each in checks if each.group == "identity" and each.cloud == "aws"]
    assert {each.state for each in lost} == {"failed"}
    assert all("Renew the credentials" in each.remedy for each in lost)
    assert {each.state for each in checks if each.cloud == "aws" and each.group == "permissions"} == {
        "unknown"
    }
    assert exit_code(checks) == 2


def test_a_role_that_cannot_be_assumed_costs_its_account_and_the_other_is_still_tried(world: World) -> None:
    roles = tuple(
        replace(each, role_arn="arn:aws:iam::222222222222:role/nobody") if each.id == SAFE else each
        for each in world.config.aws.accounts
    )
    config = small(world.config, "aws_iam", accounts=(MAIN, SAFE))
    checks = world.checks(replace(config, aws=replace(config.aws, accounts=roles)))
    (lost,) = [each for each in checks if each.group == "identity" and each.account == SAFE]
    assert lost.state == "warning"
    assert "sts:AssumeRole" in lost.said
    assert {each.state for each in checks if each.account == SAFE and each.action} == {"unknown"}
    assert {each.state for each in checks if each.account == MAIN and each.action} <= {"ok", "off"}
    assert exit_code(checks) == 4


def test_credentials_of_another_account_are_noticed(world: World) -> None:
    accounts = (configuration.Aws(accounts=()).accounts, *())  # no role: the credentials at hand
    plain = replace(world.config.aws.accounts[0], id=SAFE, role_arn="")
    config = small(world.config, "aws_iam")
    checks = world.checks(replace(config, aws=replace(config.aws, accounts=(*accounts[0], plain))))
    (who,) = [each for each in checks if each.group == "identity" and each.cloud == "aws"]
    assert who.state == "failed"
    assert "of another account" in who.said


def test_a_region_that_is_off_is_told_as_such_for_each_of_its_actions(world: World) -> None:
    world.estate.aws.faults.set("*", "*", "off", region="eu-central-1")
    checks = world.checks(small(world.config, "aws_backup", "aws_cloudtrail"))
    there = [each for each in checks if each.region == "eu-central-1"]
    assert there
    assert {each.state for each in there} == {"warning"}
    assert all("the region is off" in each.said and "Enable eu-central-1" in each.remedy for each in there)
    assert {each.state for each in checks if each.region == "eu-west-1"} <= {"ok", "off"}


def test_clouds_that_hang_cost_the_time_that_was_given_and_every_action_is_unknown(world: World) -> None:
    world.estate.aws.faults.set("*", "*", "hang")
    begun = time.monotonic()
    checks = world.checks(small(world.config, "aws_backup", "aws_iam", "aws_s3"), budget_s=1)
    assert time.monotonic() - begun < 60  # a bound, no measure: one after another they would take minutes
    tried = [each for each in checks if each.group == "permissions"]
    assert len(tried) > 40
    assert {each.state for each in tried} == {"unknown"}


def test_a_deny_of_the_organization_is_told_apart_from_a_permission_that_is_missing(world: World) -> None:
    from auditor.sandbox.aws import gate

    with pytest.MonkeyPatch.context() as patch:
        words = "{caller} is not authorized to perform: {action} with an explicit deny in a service control policy"
        patch.setitem(gate.WORDS, "deny", words)
        world.estate.aws.faults.set("iam", "ListRoles", "deny")
        one = only(world.checks(small(world.config, "aws_iam")), "iam:ListRoles")
    assert one.statements == ()
    assert "service control policy" in one.remedy


def test_a_log_file_whose_key_refuses_tells_of_the_keys_action(world: World) -> None:
    from auditor.sandbox.aws import gate

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            gate.WORDS,
            "deny",
            "not authorized to perform: kms:Decrypt on the resource because no identity-based policy allows the kms:Decrypt action",
        )
        world.estate.aws.faults.set("s3", "GetObject", "deny")
        checks = world.checks(small(world.config, "aws_cloudtrail"))
    assert {each.state for each in of(checks, "s3:GetObject")} <= {"ok", "off"}
    denied = [each for each in of(checks, "kms:Decrypt") if each.state == "warning"]
    assert denied
    assert denied[0].statements[0]["Condition"] == {"StringLike": {"kms:ViaService": ["s3.*.amazonaws.com"]}}


def test_a_permission_of_google_that_no_call_proves_is_asked_for_by_name(world: World) -> None:
    config = small(world.config, "gcp_logging", accounts=())
    assert only(world.checks(config), "logging.privateLogEntries.list", account="acme-claims").state == "ok"
    world.estate.gcp.withhold("acme-claims", "logging.privateLogEntries.list")
    checks = world.checks(config)
    one = only(checks, "logging.privateLogEntries.list", account="acme-claims")
    assert one.state == "warning"
    assert one.remedy.startswith("Grant it")
    assert only(checks, "logging.privateLogEntries.list", account="acme-finance").state == "ok"
    world.estate.gcp._access.withheld.clear()


@pytest.mark.parametrize(
    ("kind", "state"),
    [("deny", "warning"), ("throttle", "unknown"), ("expire", "unknown"), ("garbage", "unknown")],
)
def test_google_that_refuses_is_told_by_project_and_permission(kind: str, state: str, world: World) -> None:
    world.estate.aws.faults.set("dataproc", "ListJobs", kind, account="acme-claims")
    checks = world.checks(small(world.config, "gcp_dataproc", accounts=()))
    assert only(checks, "dataproc.jobs.list", account="acme-claims").state == state
    assert only(checks, "dataproc.jobs.list", account="acme-finance").state == "ok"
    assert only(checks, "dataproc.batches.list", account="acme-claims").state == "ok"


def test_an_api_that_is_not_enabled_is_no_missing_permission() -> None:
    from google.api_core.exceptions import PermissionDenied

    from auditor.sources.probes import Probe, Spot, _failed

    error = PermissionDenied("Cloud Dataproc API has not been used in project 7 before or it is disabled.")  # type: ignore[no-untyped-call]
    spot = Spot(None, None, "gcp", "p", "*", day(1))  # type: ignore[arg-type]
    found = _failed(spot, Probe("dataproc.jobs.list", (), lambda _spot: {}), error)
    assert found.reason == "api_off"


def test_without_credentials_of_google_no_permission_is_called_missing(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    config = small(world.config, "gcp_dataproc", accounts=())
    checks = world.checks(replace(config, gcp=replace(config.gcp, endpoint="")))
    (who,) = [each for each in checks if each.group == "identity"]
    assert who.state == "failed"
    assert {each.state for each in checks if each.group == "permissions"} == {"unknown"}
    assert exit_code(checks) == 2


def test_a_clock_that_is_wrong_is_told_with_how_far(world: World) -> None:
    world.estate.aws.clock(world.now - timedelta(hours=1))
    checks = world.checks(small(world.config, "aws_iam"))
    (clock,) = [each for each in checks if each.group == "clock"]
    assert clock.state == "warning"
    seconds = int(re.search(r"(\d+) s ahead", clock.said)[1])  # type: ignore[index]
    assert 3590 < seconds <= 3600


# The command line -----------------------------------------------------------------------------------------------------


def rows_of(config: Path, *args: str) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in answer("doctor", *args, config=config)["rows"]:
        groups.setdefault(row["group"], []).append(row)
    return groups


def test_the_page_names_the_action_and_its_statement_and_ends_with_4(world: World) -> None:
    world.estate.aws.clock(App().now())
    world.estate.aws.faults.set("s3", "GetBucketPolicy", "deny", account=MAIN)
    done = run("doctor", config=world.path)
    assert done.exit_code == 4, done.output
    assert f"! s3:GetBucketPolicy denied in {MAIN}" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if '"s3:GetBucketPolicy"' in line]
    assert json.loads(line)["Resource"] == "arn:aws:s3:::*"
    assert re.search(rf"✓ {MAIN}/eu-west-1: \d+ actions allowed", done.stdout)
    assert re.search(
        r"^\d+ checks: \d+ ok, \d+ warning.* A scan works, and will not see everything\.$",
        done.stdout,
        re.MULTILINE,
    )
    assert "\x1b" not in done.stdout + done.stderr


def test_an_empty_role_is_told_in_one_line_and_not_in_forty(world: World) -> None:
    world.estate.aws.clock(App().now())
    world.estate.aws.faults.set("*", "*", "deny")
    done = run("doctor", config=world.path)
    assert done.exit_code == 4
    assert "auditor permissions --format aws-policy" in done.stdout
    assert '"Effect"' not in done.stdout
    assert len(done.stdout.splitlines()) < 130  # of 237 checks


def test_credentials_that_fail_end_with_2_and_no_traceback(world: World) -> None:
    world.estate.aws.clock(App().now())
    world.estate.aws.faults.set("sts", "*", "expire")
    done = process("-c", str(world.path), "doctor", cwd=world.path.parent)
    assert done.returncode == 2, done.stderr
    assert done.stderr == ""
    assert "Renew the credentials" in done.stdout


def test_the_answer_is_the_documented_one(world: World) -> None:
    from tests.test_cli_answers import documented

    world.estate.aws.clock(App().now())
    said = answer("doctor", config=world.path)
    assert said["schema"] == "auditor.doctor/1"
    assert {key for row in said["rows"] for key in row} == documented("doctor")
    assert said["summary"].keys() == {"ok", "off", "warning", "unknown", "failed"}
    assert sum(said["summary"].values()) == len(said["rows"])
    assert said["exit_code"] == 4  # the estate's signing key was never made
    assert [row["group"] for row in said["rows"] if row["state"] == "warning"] == ["signing"]


def test_a_configuration_with_mistakes_is_told_line_by_line_and_the_machine_is_still_looked_at(
    tmp_path: Path,
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        f'[state]\ndir = "{tmp_path / "state"}"\n[limitz]\nworkers = 1\n[aws]\nregion = ["eu-west-1"]\n'
    )
    done = run("doctor", config=config)
    assert done.exit_code == 2
    groups = rows_of(config)
    assert [row["said"].partition(" ")[0] for row in groups["configuration"]] == [
        f"{config}:3:",
        f"{config}:6:",
    ]
    assert {row["state"] for row in groups["configuration"]} == {"failed"}
    assert {row["state"] for row in groups["versions"]} == {"ok"}
    assert groups["rules"][0]["state"] == "ok"
    assert groups["disk"][0]["state"] in ("ok", "warning")
    for group in ("identity", "permissions", "routes", "signing"):
        assert {row["state"] for row in groups[group]} == {"unknown"}, group
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("text", ["[state", "\xff\xfe", None])
def test_without_a_readable_configuration_it_says_so_and_ends_with_2(
    text: str | None, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    if text is not None:
        config.write_bytes(text.encode("latin-1"))
    groups = rows_of(config)
    assert run("doctor", config=config).exit_code == 2
    assert groups["configuration"][0]["state"] == "failed"
    if text is None:
        assert "auditor init" in groups["configuration"][0]["remedy"]
    assert groups["database"][0]["state"] == "unknown"


def plain(folder: Path, more: str = "") -> Path:
    """Write a configuration that names no cloud."""
    config = folder / "config.toml"
    config.write_text(CONFIG.format(state=folder / "state") + more, encoding="utf-8")
    return config


def recorded(folder: Path) -> Path:
    """Make a state with one recorded scan; return its ledger."""
    path = folder / "state" / "ledger.sqlite3"
    with Ledger.open(path) as ledger:
        ledger.record(scan(1), [outcome("fail", "arn:aws:s3:::b")], at=day(1))
    return path


def test_before_the_first_scan_nothing_is_made_and_nothing_is_amiss_but_what_is_not_configured(
    tmp_path: Path,
) -> None:
    groups = rows_of(plain(tmp_path))
    assert groups["database"][0]["state"] == "off"
    assert groups["clock"][0]["state"] == "off"
    assert groups["identity"][0]["said"] == "the configuration names no account and no project"
    assert not (tmp_path / "state").exists()


def test_a_damaged_database_is_named_and_not_opened(tmp_path: Path) -> None:
    config, path = plain(tmp_path), recorded(tmp_path)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    body = bytearray(path.read_bytes())
    body[4096 * 3 : 4096 * 6] = b"\xa5" * (4096 * 3)
    path.write_bytes(body)
    (row,) = rows_of(config, "--offline")["database"]
    assert row["state"] == "failed"
    assert "auditor db restore" in row["remedy"]
    assert run("doctor", "--offline", config=config).exit_code == 2
    assert path.read_bytes() == bytes(body)


def test_a_database_of_a_newer_auditor_or_of_another_program_is_left_alone(tmp_path: Path) -> None:
    config, path = plain(tmp_path), recorded(tmp_path)
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    (row,) = rows_of(config, "--offline")["database"]
    assert (row["name"], row["state"]) == ("schema", "failed")
    assert "schema 99" in row["said"]
    path.unlink()
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE mine (x)")
    database.close()
    (row,) = rows_of(config, "--offline")["database"]
    assert "no ledger of auditor" in row["said"]


def test_a_database_that_somebody_writes_to_is_busy_and_a_scan_that_runs_is_named(tmp_path: Path) -> None:
    config, path = plain(tmp_path), recorded(tmp_path)
    with Ledger.open(path) as ledger:
        ledger.begin("2026-W07", "elsewhere/1/1", 3600, day(7))
    (lock,) = [row for row in rows_of(config, "--offline")["database"] if row["name"] == "lock"]
    assert lock["state"] == "warning"
    assert "2026-W07" in lock["said"]
    with Ledger.open(path) as ledger:
        ledger._conn.execute("DELETE FROM lease")
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    (lock,) = [row for row in rows_of(config, "--offline")["database"] if row["name"] == "lock"]
    assert (lock["state"], lock["said"]) == ("warning", "another process writes to it now")
    writer.execute("ROLLBACK")
    writer.close()


def test_a_last_scan_that_is_yet_to_come_means_that_the_clock_went_back(tmp_path: Path) -> None:
    recorded(tmp_path)
    with Ledger.open(tmp_path / "state" / "ledger.sqlite3") as ledger:
        last = ledger.latest_scan()
    checks = list(doctor_host.last_scan(tmp_path, last, day(1) - timedelta(hours=2), 120))
    assert checks[0].state == "failed"
    assert "went back" in checks[0].said
    assert [each.state for each in doctor_host.last_scan(tmp_path, None, day(1), 120)] == ["off"]


def test_the_clocks_of_the_last_scan_are_read_wherever_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(tmp_path)
    with Ledger.open(tmp_path / "state" / "ledger.sqlite3") as ledger:
        last = ledger.latest_scan()
    assert last is not None
    (check,) = doctor_host.last_scan(tmp_path / "state", last, day(2), 120)
    assert check.said == "the snapshot of the last scan is kept no more"
    snapshot = tmp_path / "state" / "snapshots" / last.snapshot_id
    snapshot.mkdir(parents=True)
    monkeypatch.chdir("/")
    (check,) = doctor_host.last_scan(tmp_path / "state", last, day(2), 120)
    assert "cannot be read" in check.said  # looked into, and nothing in it


def test_clocks_of_the_last_scan_are_judged_by_the_horizon() -> None:
    rows = [
        {"cloud": "aws", "service": "s3", "answers": 9, "skew_s": -400},
        {"cloud": "aws", "service": "iam", "answers": 2, "skew_s": 3},
    ]
    (check,) = doctor_host.clocks(rows, 120, "in the last scan")
    assert check.state == "warning"
    assert "400 s behind that of aws s3" in check.said
    (check,) = doctor_host.clocks(rows[1:], 120, "in the last scan")
    assert check.state == "ok"
    (check,) = doctor_host.clocks([], 120, "in the last scan")
    assert check.state == "unknown"


def test_a_disk_without_room_for_the_next_snapshot_is_told_before_the_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(tmp_path)
    with Ledger.open(tmp_path / "state" / "ledger.sqlite3") as ledger:
        last = replace(ledger.latest_scan(), snapshot_id="one", snapshot_dir="snapshots/one")  # type: ignore[type-var]
    (check,) = doctor_host.disk(tmp_path, last)
    assert "no snapshot yet tells what one takes" in check.said
    snapshot = tmp_path / "snapshots" / "one"
    snapshot.mkdir(parents=True)
    (snapshot / "x").write_bytes(b"x" * 10_000)
    for free, state in ((5_000, "failed"), (20_000, "warning"), (40_000, "ok")):
        monkeypatch.setattr(
            shutil, "disk_usage", lambda _path, free=free: shutil._ntuple_diskusage(0, 0, free)
        )  # type: ignore[attr-defined]
        (check,) = doctor_host.disk(tmp_path, last)
        assert check.state == state, free


def test_a_rule_that_does_not_load_is_named_with_its_line_and_the_others_count(tmp_path: Path) -> None:
    config = plain(tmp_path)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "mine.yaml").write_text(
        "pack: mine\nrules:\n  - {id: x, code: X-1, severity: sevre}\n"
    )
    rows = rows_of(config, "--offline")["rules"]
    assert any(row["state"] == "warning" and "mine.yaml:3:" in row["said"] for row in rows)
    assert rows[-1]["state"] == "ok"
    assert run("doctor", "--offline", config=config).exit_code == 4


def test_a_parameter_of_no_rule_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    rows = rows_of(plain(tmp_path, "[params.CHN-001]\nno_such = 1\n"), "--offline")["configuration"]
    assert rows[0]["state"] == "failed"
    assert "no_such" in rows[0]["said"]


def test_the_packages_asked_for_are_those_of_the_project() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    least = {re.split("[<>=]", each)[0]: re.search(r">=([0-9.]+)", each)[1] for each in wanted}  # type: ignore[index]
    assert {**least, **doctor_host.PACKAGES} == least
    assert least.keys() - doctor_host.PACKAGES.keys() <= {"apscheduler", "click"}


def test_a_package_that_is_missing_or_old_fails_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor_host, "PACKAGES", {"no-such-package": "1", "boto3": "999", "duckdb": "2"})
    failed = [each for each in doctor_host.versions(None) if each.state == "failed"]
    assert [each.remedy for each in failed] == [
        'pip install "boto3>=999"',
        'pip install "no-such-package>=1"',
    ]


# Routes and the key ---------------------------------------------------------------------------------------------------


def routes(
    tmp_path: Path, port: int, host: str = "hooks.internal.example", allow: str = '"127.0.0.0/8"'
) -> Config:
    config = plain(
        tmp_path,
        f'[alerts]\nallow = [{allow}]\n[alerts.webhook]\nurl = "https://{host}:{port}/{CANARY}"\nsecret = "env:HOOK"\n',
    )
    return configuration.load(config, sections())


def test_a_route_is_connected_to_and_nothing_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from auditor.alerts.outgoing import Out
    from auditor.alerts.reach import reach

    monkeypatch.setenv("HOOK", CANARY)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        config = routes(tmp_path, port)
        out = Out(config.outgoing, lambda _host, _port: ["127.0.0.1"])
        found = reach(config.alerts["webhook"], out)
        assert found.reached, found
        heard, _ = server.accept()
        assert heard.recv(100) == b""
        heard.close()
    refused = reach(config.alerts["webhook"], out)
    assert refused.reached is False
    assert f"hooks.internal.example:{port}" in refused.said
    inner = Out(Outgoing(), lambda _host, _port: ["169.254.169.254"])
    assert "a metadata service" in reach(config.alerts["webhook"], inner).said
    monkeypatch.delenv("HOOK")
    assert "HOOK" in reach(config.alerts["webhook"], out).said
    for each in (found, refused):
        assert CANARY not in repr(each)


def test_every_channel_that_can_be_configured_is_tried_without_sending_or_says_that_it_cannot_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from auditor.alerts.outgoing import Out
    from auditor.alerts.reach import reach
    from auditor.alerts.routes import CHANNELS, channel

    asked: list[tuple[str, int]] = []

    def lookup(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["169.254.169.254"]  # refused, so nothing is connected to

    given = {
        "url": "https://hooks.example/x", "host": "mail.example", "routing_key": "",
        "bus": "arn:aws:events:eu-west-1:111111111111:event-bus/security",
        "topic": "arn:aws:sns:eu-west-1:111111111111:alerts", "urls": ("env:RECEIVER",),
    }  # fmt: skip
    monkeypatch.setenv("RECEIVER", f"ntfys://hooks.example/{CANARY}")
    for name in CHANNELS:
        form = channel(name).Settings
        settings = form(**{key: value for key, value in given.items() if key in form.__dataclass_fields__})
        found = reach(settings, Out(Outgoing(), lookup), route=name)
        if name == "apprise":  # only Apprise knows where its addresses lead, and it does nothing but send
            assert (found.reached, found.said) == (None, "there is no way to try it without sending")
            assert found.remedy == "`auditor alerts test apprise` sends one message."
            continue
        assert found.reached is False, name
        assert "a metadata service" in found.said
    assert ("sns.eu-west-1.amazonaws.com", 443) in asked
    assert ("events.eu-west-1.amazonaws.com", 443) in asked
    assert ("mail.example", 587) in asked


def test_a_route_by_apprise_whose_messages_would_all_be_refused_is_not_left_at_untried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from auditor.alerts.channels import apprise
    from auditor.alerts.outgoing import Out
    from auditor.alerts.reach import reach

    settings = apprise.Settings(urls=("env:FIRST", "env:SECOND"))
    monkeypatch.setenv("FIRST", f"ntfys://hooks.example/{CANARY}")
    unreadable = reach(settings, Out())
    assert (unreadable.reached, unreadable.said) == (
        False,
        "the environment has no SECOND, which env:SECOND names",
    )
    monkeypatch.setenv("SECOND", f"ntfys://hooks.example/{CANARY}")
    assert reach(settings, Out()).reached is None
    proxied = reach(settings, Out(Outgoing(proxy="http://127.0.0.1:3128")))
    assert (proxied.reached, proxied.said) == (False, "Apprise cannot be sent through [alerts] proxy")
    monkeypatch.setattr(apprise, "find_spec", lambda _name: None)
    absent = reach(settings, Out())
    assert (absent.reached, absent.remedy) == (False, "pip install 'auditor[apprise]'")
    for each in (unreadable, proxied, absent):
        assert CANARY not in repr(each)


def test_a_route_that_cannot_be_reached_is_a_warning_on_the_page_and_its_path_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", CANARY)
    routes(tmp_path, 9, host="127.0.0.1")
    done = run("doctor", config=tmp_path / "config.toml")
    assert "! webhook: 127.0.0.1:9: Connection refused" in done.stdout
    assert CANARY not in done.stdout + done.stderr
    (row,) = rows_of(tmp_path / "config.toml")["routes"]
    assert row["state"] == "warning"


def test_the_signing_key_is_shown_by_its_fingerprint_alone(tmp_path: Path) -> None:
    key = tmp_path / "signing.key"
    made = run("key", "new", str(key))
    assert made.exit_code == 0, made.output
    (row,) = rows_of(plain(tmp_path, f'[signing]\nkey = "file:{key}"\n'), "--offline")["signing"]
    assert row["state"] == "ok"
    assert re.fullmatch(r"signs as SHA256:\S+", row["said"])
    key.chmod(0o644)
    (row,) = rows_of(tmp_path / "config.toml", "--offline")["signing"]
    assert (row["state"], row["remedy"]) == ("warning", f"chmod 600 {key}")


def test_a_secret_of_the_environment_stands_in_no_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", CANARY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", MAIN)
    world.estate.aws.faults.set("*", "*", "garbage")
    checks = world.checks(small(world.config, "aws_iam", "aws_s3"))
    assert CANARY not in repr(checks)


def test_starting_doctor_imports_no_sdk_before_it_asks() -> None:
    import subprocess
    import sys

    program = (
        "import sys, auditor.cli.doctor\n"
        "print(sorted({n.split('.')[0] for n in sys.modules} & {'botocore','google','grpc','duckdb','sqlglot','yaml'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
