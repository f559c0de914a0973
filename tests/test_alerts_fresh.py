"""The first scan, what is read for the first time, and rules that changed: one summary a route, and no drift of a resource."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from alert_life import ARN, KEY, Life, hour
from cli_case import run
from ledger_case import RULES, T0, day, outcome

from auditor.alerts.channels.pagerduty import events
from auditor.alerts.compose import compose
from auditor.alerts.fresh import NOTHING, Fresh, fresh
from auditor.alerts.routes import EVENTS, Route
from auditor.drift import Past, Present, Standing, compare
from auditor.ledger import Alert, Ledger
from auditor.model import Drift, Gap, Outcome, Seen
from auditor.rulechanges import RuleChange, changes, definitions, of_rule

RULE = "versioning-on"
CHANGED = RuleChange("changed", "params", '{"days of default": "30"}', '{"days of default": "7"}', "30 → 7")
GAP = Gap("iam_role", "111111111111", reason="denied", detail="denied")


def told(after: Sequence[Outcome], drift: Sequence[Drift], how: Fresh = NOTHING, **more: Any) -> list[Alert]:
    routes = [Route("a", "low"), Route("b", "critical")]
    return compose(drift, after, routes=routes, now=day(1), rules=RULES, fresh=how, previous_at=T0, **more)


def drifted(after: list[Outcome], before: str | None = None, **more: Any) -> list[Drift]:
    standing = (Standing(outcome(before), T0, T0),) if before else ()
    return list(compare(Past(standing, previous_at=T0), Present(after, **more), now=day(1)))


def test_a_first_scan_is_one_summary_a_route_with_all_it_found() -> None:
    after = [
        outcome("fail", f"arn:aws:s3:::b{n}", account=f"{n:012}", severity="medium" if n else "critical")
        for n in range(40)
    ]
    ours, theirs = told(after, drifted(after), Fresh(first=True), coverage=[GAP])
    data = ours.body["data"]
    assert (ours.event, data["event"], data["count"]) == ("summary", "summary", 41)
    assert data["title"] == "[CRITICAL] The first scan: 41 matters to begin with"
    assert data["events"] == {"opened": 40, "scanner_blind": 1}
    assert len(data["items"]) + data["items_left_out"] == 41 and data["look"].startswith(
        "auditor drift --since"
    )
    assert set(ours.opening) == set(ours.keys) and len(ours.keys) == 41
    assert (theirs.event, theirs.body["data"]["count"]) == ("summary", 1)


def test_a_summary_opens_its_matters_and_wakes_nobody(tmp_path: Path) -> None:
    life = Life(tmp_path)
    fail = [outcome("fail", severity="critical")]
    life.look(0, *fail, fresh=Fresh(first=True))
    assert life.events == ["summary"]
    ((path, event),) = events(life.got[0])
    assert path == "/v2/change/enqueue" and "event_action" not in event
    assert (life.routes[0].channel, KEY) in life.ledger.state(hour(1)).alerting
    life.look(1, *fail)  # the same finding, told once
    assert life.events == ["summary"]
    life.look(2, "pass")
    assert life.events == ["summary", "recovered"]


def test_a_source_that_nobody_read_before_is_a_summary_and_news_beside_it_is_news() -> None:
    rule = SimpleNamespace(
        id=RULE, reads=(("s3_bucket", "all"),), table=SimpleNamespace(listed_by=(("aws_account", "all"),))
    )
    before = [Seen("iam_role", "111111111111"), Gap("s3_bucket", "*", reason="not_configured")]
    bucket = Seen("s3_bucket", "111111111111", "eu-west-1")
    how = fresh(before, [*before, bucket], [rule])  # type: ignore[list-item]
    after = [outcome("fail"), outcome("fail", ARN + "2", account="222222222222")]
    alerts = told(after, drifted(after), how)
    assert [(each.event, each.body["data"]["count"]) for each in alerts] == [("opened", 1), ("summary", 1)]
    assert alerts[1].body["data"]["title"] == "[HIGH] Read for the first time: 1 matter to begin with"
    # What could not be read before, and now can, is no new source; nor is what was read before.
    denied = Gap("s3_bucket", "111111111111", reason="denied")
    assert fresh([*before, denied], [*before, bucket], [rule]) is NOTHING  # type: ignore[list-item]
    broke = Gap("s3_bucket", "*", reason="failed")  # the whole source, in whatever account
    assert fresh([*before, broke], [*before, bucket], [rule]) is NOTHING  # type: ignore[list-item]
    assert fresh(None, [bucket], []).first


@pytest.mark.parametrize(("before", "words"), [(None, "appeared"), ("fail", "resolved")])
def test_what_moves_when_its_rule_changed_is_told_with_the_rule_and_not_as_drift(
    before: str | None, words: str
) -> None:
    after = [outcome("pass" if before == "fail" else "fail")]
    rule, moved = sorted(drifted(after, before, rules={RULE: CHANGED}), key=lambda one: one.rule is not None)
    assert (rule.subject_table, rule.subject_key, rule.kind, rule.field) == (
        "rule",
        RULE,
        "changed",
        "params",
    )
    assert rule.because == f"{RULE}: params changed: 30 → 7; 1 finding moved with it"
    assert moved.kind == words and of_rule(moved) and of_rule(rule)
    assert moved.actor_reason == "not asked, because its rule changed since the scan before"
    keys = frozenset({("a", KEY)}) if before == "fail" else frozenset()
    alerts = told(after, [rule, moved], alerting=keys)
    if before == "fail":
        assert [each.event for each in alerts] == ["recovered", "summary"]
    else:
        (alert,) = alerts
        assert (alert.event, alert.body["data"]["count"]) == ("summary", 2)
        assert "changed or new: 2 matters" in alert.body["data"]["title"]


def test_a_change_that_somebody_made_stays_an_alert_though_the_rule_changed_too() -> None:
    from auditor.watch.values import Watched

    def bucket(value: str) -> Watched:
        return Watched("s3_bucket", ARN, "versioning", value, "111111111111", "eu-west-1")

    change = {"at": hour(1), "actor": "ann", "event_name": "PutBucketVersioning", "event_id": "e1", "resource": ARN,
              "account": "111111111111"}  # fmt: skip
    after = [outcome("fail")]
    past = Past(watch=(bucket("Enabled"),), previous_at=T0)
    present = Present(after, (bucket("Suspended"),), changes=[change], rules={RULE: CHANGED})
    drift = list(compare(past, present, now=day(1)))
    assert {one.actor for one in drift if one.subject_key == ARN} == {"ann"}
    assert sorted(each.event for each in told(after, drift) if each.channel == "a") == ["opened", "summary"]


@dataclass
class Defined:
    id: str
    digest: str = "d" * 64


def test_a_rule_is_compared_by_its_text_and_its_parameters_and_a_broken_one_by_nothing() -> None:
    def of(text: str, value: int) -> dict[str, Any]:
        rows = [{"rule": "r", "zone": "phi", "name": "days", "value": value}]
        return definitions([Defined("r", text), Defined("same")], ["broken"], rows)

    assert changes(of("a", 30), of("a", 30)) == {} == changes(None, of("a", 30))
    (param,) = changes(of("a", 30), of("a", 7)).values()
    assert (param.kind, param.field, param.words) == ("changed", "params", "days of phi: 30 → 7")
    (text,) = changes(of("a", 30), of("b", 30)).values()
    assert (text.field, text.before, text.after) == ("definition", "a", "b")
    assert {rule: each.kind for rule, each in changes({}, of("a", 1)).items()} == {
        "r": "appeared",
        "same": "appeared",
    }
    assert {rule: each.kind for rule, each in changes(of("a", 1), {"r": None, "broken": None}).items()} == {
        "same": "vanished"
    }  # one that no longer loads is told as that
    loads = changes({"r": None}, {"r": {"text": "a", "params": {}}})
    assert loads["r"].words == "it loads again"


CONFIG = """
[state]
dir = "{folder}/state"
[sources.directory]
users = "{folder}/users.csv"
{more}
[alerts.hook]
channel = "webhook"
url = "https://hooks.example.com/x"
secret = "env:HOOK"
severity = "low"
"""


def test_scans_say_what_is_only_looked_at_for_the_first_time(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    (tmp_path / "users.csv").write_text(
        "id,email,status,disabled_at,subject,owner\nu-1,a@example.com,active,,s,\n"
    )
    (tmp_path / "m.csv").write_text("user,group,from,until\nu-1,g,2024-03-01T00:00:00Z,\n")

    def look(more: str, at: int) -> list[Alert]:
        config.write_text(CONFIG.format(folder=tmp_path, more=more))
        done = run("scan", "--no-send", "--at", day(at).isoformat(), config=config)
        assert done.exit_code in (0, 4), done.output
        with Ledger.open(tmp_path / "state" / "ledger.sqlite3") as ledger:
            return [each.alert for each in ledger.outbox() if each.created_at == day(at)]

    (first,) = look("", 1)
    assert first.event == "summary" and "The first scan" in first.body["data"]["title"]
    later = look(f'memberships = "{tmp_path}/m.csv"\n[params.IDN-006]\ndormant = "7d"', 2)
    (summary,) = [each for each in later if "changed or new" in each.body["data"]["title"]]
    (item,) = summary.body["data"]["items"]
    assert item["resource"] == "access-is-used" and "dormant of default" in item["because"]
    shown = run("drift", "--rule", "access-is-used", config=config)
    assert "rule access-is-used" in shown.stdout and "params changed" in shown.stdout
    assert set(EVENTS) >= {each.event for each in later} - {"summary"}
