"""One cause, one message: what follows from something else is counted there and never lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alert_life import ROUTE, Life, hour
from cli_case import run
from ledger_case import RULES, T0, day, outcome, scan

from auditor.alerts import deliver
from auditor.alerts.compose import compose
from auditor.alerts.deliver import Answer, Way
from auditor.alerts.items import dedup_key
from auditor.alerts.routes import EVENTS, Route
from auditor.alerts.text import LARGEST_BYTES, wire
from auditor.ledger import Ledger, Sending
from auditor.model import Drift, Gap, Seen
from auditor.watch.values import Watched

ROLE = "arn:aws:iam::111111111111:role/export"
VAULT = "arn:aws:backup:eu-west-1:111111111111:backup-vault:v"
POINT = "arn:aws:backup:eu-west-1:111111111111:recovery-point:p"


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    made = Life(tmp_path)
    with made.ledger:
        yield made
        assert made.ledger.verify().because == ""


def role(**more: str) -> list[Watched]:
    return [Watched("iam_role", ROLE, name, value, "111111111111", "*") for name, value in more.items()]


def on_role(verdict: str, key: str = ROLE, **more: str) -> object:
    return outcome(verdict, key, subject_table="iam_role", **more)


def test_what_is_gone_with_its_parent_is_one_message_that_counts_it_and_ends_what_was_told(
    life: Life,
) -> None:
    watch = role(max_session_s="3600")
    life.look(0, on_role("fail"), on_role("fail", f"{ROLE}/policy-a", rule="r2"), watch=watch)  # type: ignore[arg-type]
    life.look(
        1, on_role("fail"), on_role("fail", f"{ROLE}/policy-a", rule="r2"), watch=role(max_session_s="7200")
    )  # type: ignore[arg-type]
    opened = [each.alert.alert_id for each in life.got]
    assert life.events == ["opened", "opened", "worsened"]
    life.look(2)
    assert life.events[3:] == ["changed"]
    assert life.last["inhibited"]["count"] == 3  # two findings and a setting that had got worse
    assert set(life.got[-1].closes) == set(opened)  # a pager resolves all of them
    assert life.send(48) == []


def test_a_child_whose_parent_a_route_does_not_hear_of_speaks_for_itself(tmp_path: Path) -> None:
    life = Life(tmp_path, Route("r", "high"))  # that something is gone is of medium severity
    with life.ledger:
        life.look(0, on_role("fail"), watch=role(max_session_s="3600"))  # type: ignore[arg-type]
        life.look(1)
        assert life.events == ["opened", "vanished"]


def test_a_setting_that_got_worse_is_over_when_its_resource_is_gone(tmp_path: Path) -> None:
    life = Life(tmp_path, Route("r", "high"))
    with life.ledger:
        life.look(0, watch=role(max_session_s="3600"))
        life.look(1, watch=role(max_session_s="7200"))
        life.look(2)
        assert life.events == ["worsened", "vanished"]
        assert life.send(50) == []


def test_points_are_gone_with_their_vault(life: Life) -> None:
    def vault(there: bool) -> list[Watched]:
        return (
            [Watched("backup_vault", VAULT, "locked", "true", "111111111111", "eu-west-1")] if there else []
        )

    seen = [Seen("backup_vault", "*"), Seen("backup_recovery_point", "*")]
    point = outcome("fail", POINT, subject_table="backup_recovery_point")
    life.look(0, point, watch=vault(True), coverage=seen)
    life.look(1, watch=vault(False), coverage=seen, parents={POINT: VAULT})
    assert life.events == ["opened", "changed"]
    assert life.last["inhibited"]["count"] == 1
    assert life.got[-1].closes == (life.got[0].alert.alert_id,)


@pytest.mark.parametrize(
    "other", ["arn:aws:iam::111111111111:role/export2", "arn:aws:iam::111111111111:role"]
)
def test_a_like_name_is_no_child(life: Life, other: str) -> None:
    life.look(0, on_role("fail", other), watch=role(max_session_s="3600"))  # type: ignore[arg-type]
    life.look(1, watch=[])
    assert sorted(life.events) == ["changed", "opened", "vanished"]


GAP = Gap(
    "s3_bucket", "111111111111", "eu-west-1", reason="denied", detail="s3:GetBucketVersioning was denied"
)
UNSEEN = {"gaps": ("s3_bucket: access denied (111111111111/eu-west-1): s3:GetBucketVersioning was denied",)}


def test_what_cannot_be_judged_for_a_source_that_went_blind_is_counted_in_that_message(
    tmp_path: Path,
) -> None:
    life = Life(tmp_path, Route("r", "low", EVENTS), Route("plain", "low"))  # type: ignore[arg-type]
    with life.ledger:
        keys = [f"arn:aws:s3:::b{n}" for n in range(5)]
        life.look(0, *(outcome("fail", key) for key in keys))
        life.got.clear()
        other = outcome(
            "unknown", "arn:aws:s3:::b4", gaps=("s3_bucket_object: access denied (111111111111/*)",)
        )
        life.look(1, *(outcome("unknown", key, **UNSEEN) for key in keys[:4]), other, coverage=[GAP])
        told = {(each.alert.channel, each.alert.event): each.alert.body["data"] for each in life.got}
        assert set(told) == {("plain", "scanner_blind"), ("r", "scanner_blind"), ("r", "went_unknown")}
        assert (
            told["plain", "scanner_blind"]["hides"]["count"]
            == told["r", "scanner_blind"]["hides"]["count"]
            == 4
        )
        assert told["r", "went_unknown"]["count"] == 1
        life.look(2, *(outcome("unknown", key, **UNSEEN) for key in keys), coverage=[GAP])
        assert len(life.got) == 3


def test_findings_on_exports_go_with_the_change_of_their_bucket() -> None:
    bucket = "arn:aws:s3:::b"
    who = "arn:aws:sts::111111111111:assumed-role/terraform/x"
    common = {"before": "a", "after": "b", "changed_at": None, "detected_at": day(1), "actor_reason": ""}
    drift = [
        Drift("d1", "changed", None, "s3_bucket", bucket, "versioning", direction="worse", actor=who,
              severity="high", **common),  # type: ignore[arg-type]
        Drift("d2", "appeared", "versioning-on", "export", "b/p/#j", None, direction="worse", actor=None,
              severity="high", **{**common, "before": None, "after": "fail"}),  # type: ignore[arg-type]
    ]  # fmt: skip
    judged = [outcome("fail", "b/p/#j", subject_table="export")]
    exports = [{"export_id": "b/p/#j", "bucket_arn": bucket, "state": "broken"}]
    (alert,) = compose(drift, judged, exports, [ROUTE], now=day(1), rules=RULES)
    assert alert.body["data"]["events"] == {"opened": 1, "worsened": 1}
    assert alert.body["data"]["exports"]["count"] == 1


def test_ten_thousand_changes_in_one_scan_are_at_most_twenty_messages_and_each_can_be_reached(
    tmp_path: Path,
) -> None:
    path = tmp_path / "state" / "ledger.sqlite3"
    drift = [
        Drift(f"d{n:05}", "changed", None, "s3_bucket", f"arn:aws:s3:::b{n:05}", "versioning", "Enabled", "Off",
              "worse", None, T0, f"arn:aws:sts::1:assumed-role/r/{n}" if n % 2 else None, "", "high", "")
        for n in range(10_000)
    ]  # fmt: skip
    got: list[Sending] = []

    def hear(sending: Sending, _: object) -> Answer:
        got.append(sending)
        return Answer("delivered")

    with Ledger.open(path) as ledger:
        ledger.record(scan(0), [], drift, alerts=compose(drift, routes=[ROUTE], now=T0), at=T0)
        deliver(ledger, {"r": Way(hear, 10)}, lambda: hour(1))
        assert len(got) <= 20
        carried = {key for each in got for key in each.alert.keys}
        assert carried == {
            dedup_key("setting", f"s3_bucket/{one.subject_key}", "versioning") for one in drift
        }
        within = ledger.outbox(within=got[-1].alert.alert_id)
        assert len(within) + len(got) - 1 == len(ledger.outbox()) - 1
        assert len(ledger.drift(T0)) == 10_000
    for each in got:
        data = each.alert.body["data"]
        assert len(wire(each.alert.body)) <= LARGEST_BYTES
        if data.get("items_left_out") or data.get("alerts_left_out"):
            assert data["look"].startswith(("auditor drift --since ", "auditor alerts list --within "))
    (tmp_path / "config.toml").write_text(f'[state]\ndir = "{tmp_path}/state"\n')
    said = run(
        "drift", "--since", "2026-02-02T03:00:00.000000Z", "--limit", "3", config=tmp_path / "config.toml"
    )
    assert "10,000" in said.stdout or "10000" in said.stdout, said
