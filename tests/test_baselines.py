"""Baselines in the ledger and on the command line: what may be approved, what is kept, and what drift says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from entities import BUCKET, HOME, bucket

from auditor.baselines import Approval, Setting, is_back, same_meaning, told
from auditor.cli import baseline
from auditor.drift import Present, compare
from auditor.errors import BusyError, UsageError
from auditor.ledger import Ledger, Memories
from auditor.model import Drift, Seen
from auditor.schema import tables as schema_tables
from auditor.watch.values import Watched, watched
from tests.cli_case import CONFIG, answer, run
from tests.ledger_case import day, scan

READ = (Seen("s3_bucket", HOME, "*"), Seen("aws_account", HOME, "*"))
BOB: dict[str, Any] = {"approver": "bob@example.com", "reason": "CHG-7"}
ACTOR = f"arn:aws:sts::{HOME}:assumed-role/admin/bob"
CHANGED = {
    "at": day(2), "actor": ACTOR, "event_name": "PutBucketVersioning", "event_id": "e1", "resource": BUCKET, "account": HOME,
}  # fmt: skip


def look(ledger: Ledger, n: int, changes: Any = (), **more: Any) -> list[Drift]:
    """Record a scan that saw one bucket and its account; return what drifted."""
    rows = {"s3_bucket": [bucket(**more)], "aws_account": [{"account": HOME, "block_public_acls": True}]}
    watch = [
        one for name, some in rows.items() for row in some for one in watched(schema_tables()[name], row)
    ]
    present = Present(watch=watch, coverage=READ, changes=changes)
    drift = list(compare(ledger.state(day(n)).past, present, now=day(n)))
    ledger.record(scan(n, coverage=READ), [], drift, Memories(watch=watch), at=day(n))
    return [one for one in drift if one.rule is None]


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    with Ledger.open(tmp_path / "state" / "ledger.sqlite3") as opened:
        look(opened, 1)
        yield opened


def accept(ledger: Ledger, n: int, *fields: str, **more: Any) -> Any:
    return ledger.baselines.accept(ledger.baselines.state(BUCKET, fields), now=day(n), **{**BOB, **more})


def approved(ledger: Ledger, n: int, name: str) -> list[str | None]:
    rows = ledger.state(day(n)).tables["history_baseline"]
    return [row["value"] for row in rows if (row["key"], row["field"]) == (BUCKET, name)]


def test_each_acceptance_supersedes_the_one_before_and_none_is_lost_or_changed(ledger: Ledger) -> None:
    first = accept(ledger, 1)
    look(ledger, 2, versioning="Suspended")
    second = accept(ledger, 2, "versioning", approver="ann")
    assert approved(ledger, 2, "versioning") == ["Suspended"] and approved(ledger, 2, "encryption") == [
        "aws:kms"
    ]
    (each,) = ledger.baselines.in_force().values()
    assert each.parts["versioning"] == second and each.parts["encryption"] == first and each.since == day(1)
    ledger.baselines.withdraw(BUCKET, by="ann", reason="wrong", now=day(3))
    assert approved(ledger, 3, "versioning") == [] and approved(ledger, 2, "versioning") == ["Suspended"]
    accept(ledger, 4)
    assert approved(ledger, 4, "versioning") == ["Suspended"]
    assert [one.decision for one in ledger.baselines.every()] == [
        "accepted",
        "accepted",
        "withdrawn",
        "accepted",
    ]
    assert ledger.verify().intact
    ledger.baselines.withdraw(BUCKET, by="ann", reason="wrong", now=day(5))
    with pytest.raises(UsageError, match="has no baseline"):
        ledger.baselines.withdraw(BUCKET, by="ann", reason="wrong", now=day(6))


def test_block_of_the_account_is_approved_with_the_bucket(ledger: Ledger) -> None:
    look(ledger, 2, block_public_acls=False)
    accept(ledger, 2, "block_public_acls")
    rows = ledger.state(day(2)).tables["history_baseline"]
    assert [(row["table_name"], row["value"]) for row in rows] == [
        ("s3_bucket", "false"),
        ("aws_account", "true"),
    ]
    look(ledger, 3, block_public_policy=False)  # of the account it was never read
    with pytest.raises(UsageError, match="block_public_policy"):
        accept(ledger, 3, "block_public_policy")


def test_nothing_is_approved_that_was_not_read(ledger: Ledger) -> None:
    look(ledger, 2, versioning=None)  # its value is the one remembered
    with pytest.raises(UsageError, match="versioning not known"):
        accept(ledger, 2)
    assert accept(ledger, 2, "encryption").decision == "accepted"
    gap = {
        "table": "s3_bucket", "account": HOME, "region": "*", "resource": "*", "reason": "truncated", "detail": "cut",
    }  # fmt: skip
    seen = ledger.baselines.state(BUCKET, ("encryption",), gaps=[gap])
    with pytest.raises(UsageError, match=r"s3_bucket \(cut\)"):
        ledger.baselines.accept(seen, now=day(2), **BOB)
    elsewhere = ledger.baselines.state(BUCKET, ("encryption",), gaps=[{**gap, "account": "2" * 12}])
    assert elsewhere.unknown == ()


@pytest.mark.parametrize("lacking", [{"approver": " "}, {"reason": ""}])
def test_a_baseline_has_an_approver_and_a_reason(ledger: Ledger, lacking: Any) -> None:
    with pytest.raises(UsageError, match="a baseline needs"):
        accept(ledger, 1, **lacking)
    assert ledger.baselines.every() == []


def test_what_was_shown_is_what_is_approved(ledger: Ledger) -> None:
    seen = ledger.baselines.state(BUCKET)
    look(ledger, 2, versioning="Suspended")
    with pytest.raises(BusyError, match="another scan"):
        ledger.baselines.accept(seen, now=day(2), **BOB)


def test_who_approves_their_own_change_is_written_down(ledger: Ledger) -> None:
    accept(ledger, 1)
    look(ledger, 2, changes=[CHANGED], versioning="Suspended")
    own = accept(ledger, 2, "versioning")
    assert own.self_approved and own.authors[0].actor == ACTOR
    assert accept(ledger, 3, "versioning").authors == ()  # nothing changed since
    look(ledger, 4, changes=[{**CHANGED, "at": day(4)}])
    assert not accept(ledger, 4, "versioning", approver="carol").self_approved
    assert ledger.baselines.every()[1].self_approved


def test_drift_says_whether_it_leads_away_from_what_was_approved_or_back(ledger: Ledger) -> None:
    accept(ledger, 1, "versioning")
    said = "the state approved by bob@example.com on 2026-02-03"
    (away,) = look(ledger, 2, versioning="Suspended")
    assert away.because == f"{BUCKET}: versioning changed; away from {said}"
    (further,) = look(ledger, 3, versioning="Off")
    assert further.because.endswith(f"; and still not {said}")
    (back,) = look(ledger, 4)
    assert back.because.endswith(f"; back to {said}")
    (other,) = look(ledger, 5, encryption="AES256")
    assert other.because == f"{BUCKET}: encryption changed"


def test_what_a_role_may_do_is_back_only_when_every_policy_of_it_is() -> None:
    role, policy = f"arn:aws:iam::{HOME}:role/r", f"arn:aws:iam::{HOME}:policy/p"
    old = {"inline_policies": "{}", "attached_policies": json.dumps([policy]), "boundary_arn": "none"}
    settings = (
        *(Setting("iam_role", role, *each) for each in old.items()),
        Setting("iam_policy", policy, "document", "v1"),
    )
    approval = Approval("iam_role", role, "permissions", settings, "bob", day(1))
    change = Drift(
        "id", "changed", None, "iam_role", role, "permissions", None, None, "worse", None, day(2), None, "", "high", "it changed"
    )  # fmt: skip

    def said(was: str | None, has: str | None, **more: str) -> str:
        own = [Watched("iam_role", role, *each) for each in {**old, **more}.items()]
        sides = ([*own, Watched("iam_policy", policy, "document", value)] for value in (was, has))
        (one,) = told([change], *sides, [approval])
        return one.because.removeprefix("it changed")

    name = "the state approved by bob on 2026-02-03"
    assert said("v1", "v2") == f"; away from {name}"  # though the role itself reads as it did
    assert said("v2", "v1") == f"; back to {name}"
    assert said("v2", "v1", inline_policies='{"x":{}}') == f"; and still not {name}"
    assert said("v1", None) == ""


def test_selections_that_take_what_was_approved_are_back_under_other_ids() -> None:
    plan = f"arn:aws:backup:eu-west-1:{HOME}:backup-plan:p"
    settings = (
        Setting("backup_plan", plan, "version", "1"),
        Setting("backup_selection", "p/a", "resources", "x"),
    )
    approval = Approval("backup_plan", plan, "plan", settings, "bob", day(1))
    change = Drift(
        "id", "changed", None, "backup_plan", plan, "selections", None, None, "worse", None, day(2), None, "", "high", "they changed"
    )  # fmt: skip

    def said(was: str, has: str | None) -> str:
        sides = ([Watched("backup_selection", f"p/{value}", "resources", value)] for value in (was, has))
        (one,) = told([change], *sides, [approval])
        return one.because.removeprefix("they changed")

    assert said("x", "y").startswith("; away from") and said("y", "x").startswith("; back to")
    assert said("x", None) == ""


@pytest.mark.parametrize("approved", [False, True])
def test_words_that_a_stranger_chose_do_not_say_that_a_change_led_back_to_what_is_approved(
    approved: bool,
) -> None:
    sink = "projects/p/sinks/s"
    says = "filter changed: severity>0 -- x; back to the state approved by ann on 2026-01-01"
    change = Drift(
        "id", "changed", None, "gcp_log_sink", sink, "filter", "a", "b", "neutral", None, day(2), None, "", "medium", says
    )  # fmt: skip
    setting = Setting("gcp_log_sink", sink, "filter", "a")
    known = [Approval("gcp_log_sink", sink, "filter", [setting], "bob", day(1))] if approved else []
    sides = ([Watched("gcp_log_sink", sink, "filter", value)] for value in "ab")
    (one,) = told([change], *sides, known)
    assert not is_back(one) and "severity>0" in one.because
    sides = ([Watched("gcp_log_sink", sink, "filter", value)] for value in "ba")
    (one,) = told([change], *sides, known)
    assert is_back(one) is approved


def test_a_policy_that_means_what_was_approved_is_back_to_it() -> None:
    def allow(*actions: str) -> Watched:
        said = {
            "Effect": "Allow",
            "Principal": {"AWS": HOME},
            "Action": list(actions),
            "Resource": f"{BUCKET}/*",
        }
        return Watched(
            "s3_bucket", BUCKET, "policy", json.dumps({"Version": "2012-10-17", "Statement": [said]}), HOME
        )

    assert same_meaning(
        allow("s3:GetObject", "s3:PutObject"), allow("s3:PutObject", "s3:getobject", "s3:GetObject")
    )
    assert not same_meaning(allow("s3:GetObject"), allow("s3:PutObject"))


@pytest.mark.parametrize(
    "value",
    [
        json.dumps({"Statement": [{"Sid": f"s{n}", "Action": "s3:GetObject"} for n in range(30)]}),
        '{"Sid": "one", "Sid": "two", "Resource": "' + "x" * 300 + '"}',
        "[" * 20_000,
        "word " * 100,
    ],
)
def test_nothing_of_what_is_to_be_approved_is_cut_off_or_left_out(value: str) -> None:
    shown = "".join("".join(line.split()) for line in baseline._whole("  policy:", value))
    assert shown == "policy:" + "".join(value.split())


def test_baselines_from_the_command_line(tmp_path: Path, ledger: Ledger) -> None:
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(state=tmp_path / "state"), encoding="utf-8")
    row = ledger.latest_scan()
    assert row is not None
    folder = tmp_path / "state" / "judged" / f"{row.snapshot_id}-{row.rule_digest[:12]}"
    words = ("baseline", "accept", "exports-phi", "--reason", "CHG-7", "--approver", "bob")
    lost = run(*words, "--yes", config=config)
    assert lost.exit_code == 2 and "not there any more" in lost.stderr
    folder.mkdir(parents=True)
    said = {"snapshot": row.snapshot_id, "rules": row.rule_digest, "digests": {}, "tally": {}, "gaps": []}
    (folder / "judgement.json").write_text(json.dumps(said))

    shown = run(*words, "--dry-run", config=config)
    assert shown.exit_code == 0 and "versioning: Enabled" in shown.stdout and ledger.baselines.every() == []
    unasked = run(*words, config=config)
    assert unasked.exit_code == 2 and "--yes" in unasked.stderr and ledger.baselines.every() == []
    (done,) = answer(*words, "--yes", config=config)["rows"]
    assert (done["decision"], done["key"], done["self_approved"]) == ("accepted", BUCKET, False)
    (listed,) = answer("baseline", config=config)["rows"]
    assert listed["acceptances"][0]["approver"] == "bob"
    look(ledger, 365, versioning="Suspended")
    (row_,) = answer("baseline", "show", BUCKET, config=config)["rows"]
    differing = [
        (one["field"], one["approved"], one["now"]) for one in row_["differences"] if not one["same"]
    ]
    assert differing == [("versioning", "Enabled", "Suspended")]
    text = run("baseline", "show", BUCKET, config=config).stdout
    assert "DIFFERENT  versioning" in text and "accepted by bob: CHG-7" in text
    look(ledger, 366, versioning=None)
    assert "NOT KNOWN  versioning" in run("baseline", "show", "exports-phi", config=config).stdout
    astray = run("baseline", "show", "exports-phy", config=config)
    assert astray.exit_code == 2 and BUCKET in astray.stderr
    away = ("baseline", "withdraw", BUCKET, "--by", "ann", "--reason", "no")
    assert run(*away, config=config).exit_code == 2  # that would stand before the last scan
