"""What a message says, to whom, and when nothing is said."""

from __future__ import annotations

import json

import pytest
from ledger_case import RULES, T0, day, outcome

from auditor.alerts.compose import compose
from auditor.alerts.items import dedup_key
from auditor.alerts.routes import Route
from auditor.alerts.text import LARGEST_BYTES, clean, iso, wire
from auditor.drift import Past, Present, Standing, compare
from auditor.ledger import Alert
from auditor.model import Drift, Gap, Outcome, Seen
from auditor.watch.values import Watched

HOOK = Route("hook")
ARN = "arn:aws:s3:::b"
KEY = dedup_key("finding", f"bucket/{ARN}", "versioning-on")


def told(
    before: str | None, after: list[Outcome], *, alerting: bool = False, route: Route = HOOK
) -> list[Alert]:
    standing = (Standing(outcome(before), T0, T0),) if before else ()
    drift = compare(Past(standing, previous_at=T0), Present(after), now=day(1))
    keys = frozenset({("hook", KEY)} if alerting else ())
    return compose(drift, after, routes=[route], now=day(1), rules=RULES, alerting=keys, previous_at=T0)


def setting(value: str, bucket: str = ARN) -> Watched:
    return Watched("s3_bucket", bucket, "versioning", value, "111111111111", "eu-west-1")


def test_an_alert_says_what_where_since_when_who_and_what_to_do() -> None:
    (alert,) = told(None, [outcome("fail")])
    data = alert.body["data"]
    (item,) = data["items"]
    assert alert.event == "opened"
    assert data["title"] == f"[HIGH] versioning-on on {ARN} fails"
    assert item["because"] == "it is fail"
    assert item["owner"] == "owner@example.com"
    assert item["controls"] == ["soc2/A1.2"]
    assert item["remedy"] == "Switch versioning on."
    assert (item["looked_before_at"], item["detected_at"]) == (iso(T0), iso(day(1)))
    assert item["who"] is None
    assert item["who_because"]
    assert item["evidence"]["finding_id"] == Standing(outcome("fail"), T0, None).finding_id


@pytest.mark.parametrize(
    ("before", "after", "alerting", "events"),
    [
        (None, "fail", False, ["opened"]),
        (None, "fail", True, []),
        (None, "unknown", False, []),
        ("fail", "unknown", True, []),
        ("unknown", "fail", True, []),  # it failed before it could not be seen
        ("fail", "pass", True, ["recovered"]),
        ("fail", "pass", False, []),  # who was not told of it is not told of its end
        ("unknown", "pass", True, ["recovered"]),
    ],
)
def test_unknown_neither_closes_nor_reopens(
    before: str | None, after: str, alerting: bool, events: list[str]
) -> None:
    assert [alert.event for alert in told(before, [outcome(after)], alerting=alerting)] == events


def test_operators_may_ask_to_hear_of_the_unknown() -> None:
    route = Route("hook", events=("went_unknown",))
    assert [alert.event for alert in told("fail", [outcome("unknown")], route=route)] == ["went_unknown"]


def test_less_severe_matters_are_not_told_but_their_end_is() -> None:
    route = Route("hook", severity="critical")
    assert told(None, [outcome("fail")], route=route) == []
    assert [a.event for a in told("fail", [outcome("pass")], alerting=True, route=route)] == ["recovered"]


def test_forty_changes_by_one_hand_are_one_message() -> None:
    buckets = [f"arn:aws:s3:::b{n:02}" for n in range(40)]
    changes = [
        {"event_id": f"e{n}", "at": day(1), "event_name": "PutBucketVersioning", "resource": bucket,
         "actor": "arn:aws:sts::1:assumed-role/terraform/x", "error_code": ""}
        for n, bucket in enumerate(buckets)
    ]  # fmt: skip
    past = Past(watch=tuple(setting("Enabled", b) for b in buckets), previous_at=T0)
    judged = [outcome("fail", bucket, rule=f"rule-{n}") for bucket in buckets for n in range(3)]
    present = Present(judged, [setting("Suspended", b) for b in buckets], changes=changes)
    alerts = compose(compare(past, present, now=day(1)), judged, routes=[HOOK], now=day(1))
    (alert,) = alerts
    data = alert.body["data"]
    assert data["count"] == len(alert.keys) == 160
    assert data["events"] == {"opened": 120, "worsened": 40}
    assert len(data["items"]) + data["items_left_out"] == 160
    assert data["look"] == "auditor drift --since 2026-02-03T03:00:00.000000Z"
    assert len(wire(alert.body)) <= LARGEST_BYTES


def test_the_exports_a_change_touches_are_counted() -> None:
    exports = [
        {"export_id": f"b/p{n}/#j", "bucket_arn": ARN, "state": "proven" if n else "broken"} for n in range(7)
    ]
    drift = compare(Past(), Present([outcome("fail")]), now=day(1))
    (alert,) = compose(drift, [outcome("fail")], exports, [HOOK], now=day(1))
    assert alert.body["data"]["exports"]["count"] == 7
    assert alert.body["data"]["exports"]["top"][0] == "b/p0/#j"
    assert len(alert.body["data"]["exports"]["top"]) == 5


def test_a_message_holds_no_secret_and_no_hidden_characters() -> None:
    words = "started with password=hunter22 and -----BEGIN RSA PRIVATE KEY-----abc"
    nasty = outcome("fail", "b\u202egpj.exe\n<img src=x>", because=words)
    (alert,) = told(None, [nasty])
    text = wire(alert.body).decode()
    assert "hunter22" not in text
    assert "PRIVATE KEY" not in text
    assert "\n" not in alert.body["data"]["title"]
    assert "\\u202e" in alert.body["data"]["title"]


def test_a_message_is_small_whatever_the_evidence() -> None:
    big = "é" * 60_000
    drift = [
        Drift(f"d{n}", "changed", None, "iam_role", f"role-{n}/{big}", "trust_policy", big, big, "neutral",
              None, day(1), None, big, "high", big)
        for n in range(30)
    ]  # fmt: skip
    (alert,) = compose(drift, routes=[HOOK], now=day(1))
    assert len(wire(alert.body)) <= LARGEST_BYTES
    assert alert.body["data"]["count"] == 30


def test_the_same_drift_gives_the_same_bytes_and_ids() -> None:
    assert told(None, [outcome("fail")]) == told(None, [outcome("fail")])
    (alert,) = told(None, [outcome("fail")])
    assert json.loads(wire(alert.body)) == alert.body


def test_the_key_outlives_wording_and_severity() -> None:
    (one,) = told(None, [outcome("fail")])
    (two,) = told(None, [outcome("fail", because="other words", severity="critical")])
    assert one.keys == two.keys == (KEY,)


def test_going_blind_is_told_once_and_so_is_seeing_again() -> None:
    gap = Gap("iam_role", "111111111111", reason="denied", detail="iam:ListRoles was denied")
    (blind,) = compose([], routes=[HOOK], now=day(1), coverage=[gap])
    assert blind.event == "scanner_blind"
    open_ = frozenset(("hook", key) for key in blind.keys)
    assert compose([], routes=[HOOK], now=day(2), coverage=[gap], alerting=open_) == []
    seen = Seen("iam_role", "111111111111")
    (again,) = compose([], routes=[HOOK], now=day(3), coverage=[seen], alerting=open_)
    assert (again.event, again.keys) == ("recovered", blind.keys)
    assert compose([], routes=[HOOK], now=day(3), coverage=[seen]) == []


@pytest.mark.parametrize(
    "told",
    [
        "Password: hunter2", "PASSWD=hunter2", '"clientSecret" = "hunter2"', "x-api-key: hunter2", "API_KEY=hunter2",
        "apikey=hunter2", "toKen=hunter2", "authorization: hunter2", "\u017fecret=hunter2", "to\u212aen=hunter2",
        "-----BEGIN RSA PRIVATE KEY-----hunter2", "-----begin private key-----hunter2",
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_left_out_in_whatever_case_it_is_written(told: str) -> None:
    said = clean(f"a role: {told}", 600)
    assert said is not None and "hunter2" not in said and "[left out]" in said
