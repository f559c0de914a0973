"""What drift says, and what it must never say."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_case import T0, day, outcome

from auditor.alerts.compose import compose as alerts
from auditor.alerts.routes import Route
from auditor.drift import Past, Present, Standing, compare
from auditor.model import Drift, Gap, Outcome, Seen
from auditor.schema import tables
from auditor.watch.authors import Authors, concerns
from auditor.watch.events import EVENTS
from auditor.watch.values import Watched, watched

BUCKET = "arn:aws:s3:::b"
VERSIONING = Watched("s3_bucket", BUCKET, "versioning", "Enabled", "111111111111", "eu-west-1")
LISTED = Seen("s3_bucket", "111111111111")


def past(*outcomes: Outcome, watch: tuple[Watched, ...] = ()) -> Past:
    open_ = [o for o in outcomes if o.verdict in {"fail", "unknown"}]
    return Past(
        findings=tuple(Standing(o, T0, T0 if o.verdict == "fail" else None) for o in open_),
        watch=watch,
        listed=frozenset({("s3_bucket", "111111111111", "*")}),
        previous_at=T0,
    )


def between(before: list[Outcome], after: list[Outcome], **more: object) -> list[Drift]:
    return compare(past(*before), Present(after, **more), now=day(1))  # type: ignore[arg-type]


def setting(value: str | None, field: str = "versioning") -> Watched:
    return Watched("s3_bucket", BUCKET, field, value, "111111111111", "eu-west-1")


def settings(before: str | None, after: str | None, field: str = "versioning", **more: object) -> list[Drift]:
    present = Present(watch=(setting(after, field),), **more)  # type: ignore[arg-type]
    return compare(past(watch=(setting(before, field),)), present, now=day(1))


verdicts = st.lists(st.sampled_from(["pass", "fail", "unknown", "not_applicable"]), max_size=6)


def outcomes(words: list[str]) -> list[Outcome]:
    return [outcome(word, f"arn:aws:s3:::b{n}") for n, word in enumerate(words)]


@given(verdicts)
def test_a_scan_compared_with_itself_shows_no_drift(words: list[str]) -> None:
    assert between(outcomes(words), outcomes(words)) == []


@given(st.lists(st.sampled_from(["pass", "fail"]), min_size=4, max_size=4),
       st.lists(st.sampled_from(["pass", "fail"]), min_size=4, max_size=4))  # fmt: skip
def test_appeared_and_resolved_swap_when_the_scans_do(a: list[str], b: list[str]) -> None:
    def kinds(one: list[str], other: list[str], kind: str) -> set[str]:
        found = between(outcomes(one), outcomes(other))
        return {d.subject_key for d in found if d.kind == kind}

    assert kinds(a, b, "appeared") == kinds(b, a, "resolved")
    assert kinds(a, b, "resolved") == kinds(b, a, "appeared")


@given(verdicts, verdicts, st.randoms())
def test_the_order_of_rows_never_matters(a: list[str], b: list[str], random: object) -> None:
    mixed = outcomes(b)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert between(outcomes(a), mixed) == between(outcomes(a), outcomes(b))


@pytest.mark.parametrize(
    "why",
    [
        {"coverage": (Gap("s3_bucket", "111111111111", reason="denied"),)},
        {"broken": ("versioning-on",), "judged": ()},
        {"broken": ("*",), "judged": ()},
    ],
)
def test_a_failure_that_could_not_be_seen_is_unknown_and_never_resolved(why: dict[str, object]) -> None:
    for table in ("s3_bucket", "bucket"):  # its own listing, and facts of what is listed there
        (drift,) = between([outcome("fail", subject_table=table)], [], **why)
        assert (drift.kind, drift.before, drift.after) == ("changed", "fail", "unknown")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            {"failed_checks": ({"name": "on"}, {"name": "mfa"})},
            ("failed_checks", '["on"]', '["mfa","on"]', "worse"),
        ),
        ({"failed_checks": ({"name": "mfa"},)}, ("failed_checks", '["on"]', '["mfa"]', "neutral")),
        ({"severity": "critical"}, ("severity", "high", "critical", "worse")),
        ({"severity": "low"}, ("severity", "high", "low", "better")),
        ({"because": "in other words", "owner": "somebody else"}, None),
        ({"failed_checks": ({"name": "on", "values": {"age": 7}},)}, None),
    ],
)
def test_a_failure_for_other_reasons_changed_and_one_in_other_words_did_not(
    more: dict[str, Any], told: tuple[str, ...] | None
) -> None:
    found = between([outcome("fail")], [outcome("fail", **more)])
    assert [(d.kind, d.field, d.before, d.after, d.direction) for d in found] == (
        [("changed", *told)] if told else []
    )


def test_a_rule_that_could_not_list_its_subjects_resolves_none_of_that_account() -> None:
    blind = outcome("unknown", "*:111111111111/eu-west-1")
    drift = between([outcome("fail")], [blind], judged=("versioning-on",))
    assert {(d.subject_key, d.kind) for d in drift} == {
        (BUCKET, "changed"),
        ("*:111111111111/eu-west-1", "appeared"),
    }


def test_a_blind_spot_in_another_account_hides_nothing_here() -> None:
    blind = outcome("unknown", "*:222222222222/eu-west-1")
    drift = between([outcome("fail")], [blind], judged=("versioning-on",))
    assert ("vanished", BUCKET) in {(d.kind, d.subject_key) for d in drift}


def test_a_subject_gone_from_a_complete_listing_vanished_and_was_not_resolved() -> None:
    (drift,) = between([outcome("fail")], [], judged=("versioning-on",))
    assert (drift.kind, drift.after, drift.direction) == ("vanished", None, "neutral")


def test_a_rule_that_was_retired_resolves_nothing() -> None:
    (drift,) = between([outcome("fail")], [], judged=("another-rule",))
    assert drift.kind == "vanished"
    assert "no longer in the rule set" in drift.because


def test_the_worse_of_two_outcomes_of_one_subject_counts() -> None:
    assert between([outcome("fail")], [outcome("pass"), outcome("fail")]) == []


def test_a_failure_that_returns_within_thirty_days_has_regressed() -> None:
    (first,) = between([], [outcome("fail")])
    finding = Standing(outcome("fail"), T0, T0).finding_id
    for ago, kind in ((30, "regressed"), (31, "appeared")):
        back = Past(resolved={finding: day(1) - timedelta(days=ago)}, previous_at=T0)
        (drift,) = compare(back, Present([outcome("fail")]), now=day(1))
        assert drift.kind == kind
        (unknown,) = compare(back, Present([outcome("unknown")]), now=day(1))
        assert unknown.kind == "appeared"
    assert first.kind == "appeared"


@given(st.one_of(st.none(), st.sampled_from(["Enabled", "Off"])))
def test_a_setting_not_known_on_either_side_has_not_changed(value: str | None) -> None:
    assert settings(None, value) == []
    assert settings(value, None) == []


def test_a_setting_that_got_worse_says_so_and_swaps_with_the_scans() -> None:
    (worse,) = settings("Enabled", "Suspended")
    (better,) = settings("Suspended", "Enabled")
    assert (worse.direction, worse.before, worse.after) == ("worse", "Enabled", "Suspended")
    assert better.direction == "better"


@pytest.mark.parametrize(("column", "a", "b", "direction"), [
    ("eventbridge", True, False, "worse"), ("eventbridge", False, True, "better"),
])  # fmt: skip
def test_a_flag_has_a_direction(column: str, a: bool, b: bool, direction: str) -> None:
    table = tables()["s3_bucket"]
    rows = [{"arn": BUCKET, "account": "111111111111", column: value} for value in (a, b)]
    before, after = (tuple(watched(table, row)) for row in rows)
    (drift,) = compare(past(watch=before), Present(watch=after), now=day(1))
    assert drift.direction == direction


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ('{"Version":"1","Statement":[]}', '{ "Statement": [], "Version": "1" }', True),
        ('{"Action":["s3:Get","s3:Put"]}', '{"Action":["s3:Put","s3:Get"]}', True),
        ('{"Action":"s3:Get"}', '{"Action":"s3:*"}', False),
        ('{"Principal":"a","Principal":"b"}', '{"Principal":"b"}', False),
        ("not json", "not json ", False),
        ("[" * 5000, "[" * 5000, True),
    ],
)
def test_policies_are_compared_by_what_they_hold(a: str, b: str, same: bool) -> None:
    table = tables()["s3_bucket"]
    before, after = (
        tuple(watched(table, {"arn": BUCKET, "account": "111111111111", "policy": text})) for text in (a, b)
    )
    assert (compare(past(watch=before), Present(watch=after), now=day(1)) == []) is same


def change(**more: object) -> dict[str, object]:
    return {
        "event_id": "e-1", "account": "111111111111", "region": "eu-west-1", "at": T0 + timedelta(hours=5),
        "service": "s3", "event_name": "PutBucketVersioning", "resource": BUCKET,
        "actor": "arn:aws:iam::111111111111:user/ann", "source_ip": "198.51.100.7",
        "error_code": "", **more,
    }  # fmt: skip


def test_a_change_names_the_newest_event_that_explains_it() -> None:
    changes = (
        change(event_id="e-1"),
        change(event_id="e-2", at=T0 + timedelta(hours=6), actor="arn:aws:iam::1:user/bob"),
        change(event_id="e-3", at=T0 + timedelta(hours=7), error_code="AccessDenied"),
        change(event_id="e-4", at=T0 + timedelta(hours=7), event_name="PutBucketPolicy"),
        change(event_id="e-5", at=T0 + timedelta(hours=7), resource="arn:aws:s3:::other"),
    )
    (drift,) = settings("Enabled", "Suspended", changes=changes)
    assert drift.actor == "arn:aws:iam::1:user/bob"
    assert drift.changed_at == T0 + timedelta(hours=6)
    assert "e-2" in drift.actor_reason


def test_an_event_before_the_last_scan_is_not_blamed() -> None:
    (drift,) = settings("Enabled", "Suspended", changes=(change(at=T0 - timedelta(hours=1)),))
    assert drift.actor is None


def test_a_change_without_an_author_says_what_was_looked_at() -> None:
    gap = Gap("aws_change", "111111111111", reason="denied", detail="LookupEvents was denied")
    (drift,) = settings("Enabled", "Suspended", coverage=(gap,))
    assert drift.actor is None
    assert drift.actor_reason == (
        "not found, because no CloudTrail event names this change between 2026-02-02T03:00:00Z and "
        "2026-02-03T03:00:00Z; aws_change in 111111111111 had a gap: "
        "LookupEvents was denied"
    )


def test_a_finding_takes_the_author_of_its_subjects_change() -> None:
    present = Present(
        [outcome("fail")], watch=(setting("Suspended"),), changes=(change(),), coverage=(LISTED,)
    )
    found = compare(past(watch=(setting("Enabled"),)), present, now=day(1))
    assert {d.actor for d in found} == {"arn:aws:iam::111111111111:user/ann"}
    assert len(found) == 2


def test_a_bucket_is_gone_only_when_its_listing_was_read_to_the_end() -> None:
    before = past(watch=(setting("Enabled"),))
    for coverage, kinds in (
        ((LISTED,), ["vanished"]),
        ((), []),
        ((LISTED, Gap("s3_bucket", "111111111111", reason="truncated")), []),
        ((LISTED, Gap("s3_bucket", "222222222222", reason="truncated")), ["vanished"]),
    ):
        found = compare(before, Present(coverage=coverage), now=day(1))
        assert [d.kind for d in found] == kinds


def test_a_resource_is_new_only_where_an_earlier_scan_had_looked() -> None:
    present = Present(watch=(setting("Enabled"),), coverage=(LISTED,))
    assert [d.kind for d in compare(past(), present, now=day(1))] == ["appeared"]
    assert compare(Past(), present, now=day(1)) == []


def test_every_event_table_names_watched_columns_of_the_schema() -> None:
    schema = tables()
    for table, columns in EVENTS.items():
        for name in set(columns) - {"+", "-"}:
            assert schema[table].column(name).watch, f"{table}.{name}"


ROLE = "arn:aws:iam::111111111111:role/export"


def trusts(*subjects: str, **more: object) -> str:
    keys = {
        "token.actions.githubusercontent.com:sub": [
            f"repo:acme/{each}:ref:refs/heads/main" for each in subjects
        ]
    }
    provider = "arn:aws:iam::111111111111:oidc-provider/token.actions.githubusercontent.com"
    statement = {
        "Effect": "Allow", "Principal": {"Federated": provider}, "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": keys}, **more,
    }  # fmt: skip
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def trust_drift(a: str | None, b: str | None) -> list[Drift]:
    before, after = (
        tuple(watched(tables()["iam_role"], {"arn": ROLE, "account": "111111111111", "trust_policy": text}))
        for text in (a, b)
    )
    return list(compare(past(watch=before), Present(watch=after), now=day(1)))


def test_a_trust_that_says_the_same_in_other_words_is_no_drift() -> None:
    assert trust_drift(trusts("app"), json.dumps(json.loads(trusts("app", Sid="Named")), indent=2)) == []
    assert trust_drift(trusts("app", "web"), trusts("web", "app")) == []
    assert trust_drift(trusts("app"), None) == []


def test_a_wider_or_other_trust_is_worse_and_a_narrower_one_is_information() -> None:
    for a, b, direction, severity, said in (
        (
            trusts("app"),
            trusts("app", "web"),
            "worse",
            "high",
            "is wider: a workflow of the GitHub repository acme/web",
        ),
        (
            trusts("app"),
            trusts("web"),
            "worse",
            "high",
            "may now assume the role; a workflow of the GitHub repository acme/app",
        ),
        (trusts("app", "web"), trusts("app"), "better", "low", "may no longer assume the role"),
        (trusts("app"), "{", "worse", "high", "cannot be compared"),
        ("{", trusts("app"), "worse", "high", "cannot be compared"),
    ):
        (drift,) = trust_drift(a, b)
        assert (drift.direction, drift.severity) == (direction, severity)
        assert said in drift.because


def test_drift_of_a_trust_holds_the_statements_that_differ() -> None:
    same = json.loads(trusts("other", Sid="Same"))["Statement"]
    a, b = json.loads(trusts("app")), json.loads(trusts("web"))
    (drift,) = trust_drift(
        json.dumps(a | {"Statement": a["Statement"] + same}),
        json.dumps(b | {"Statement": same + b["Statement"]}),
    )
    assert (json.loads(drift.before or ""), json.loads(drift.after or "")) == (a["Statement"], b["Statement"])


def test_the_alert_of_a_widened_trust_carries_who_may_now_and_both_statements() -> None:
    drift = trust_drift(trusts("app"), trusts("app", "web"))
    (alert,) = alerts(drift, routes=[Route("ops", severity="high")], now=day(1))
    (said,) = alert.body["data"]["items"]
    assert alert.event == "worsened"
    assert (
        "a workflow of the GitHub repository acme/web (branch main) may now assume the role"
        in said["because"]
    )
    assert "acme/web" in said["after"]
    assert "acme/web" not in said["before"]
    assert alerts(trust_drift(trusts("app", "web"), trusts("app")), routes=[Route("ops")], now=day(1)) == []


_NAMES = st.sampled_from(
    ["v", "arn:aws:backup:eu-west-1:1:backup-vault:v", "plan/sel", "plan", "arn:x:plan", "b:v", "", "v/w"]
)


@given(
    _NAMES,
    _NAMES,
    st.sampled_from(["backup_vault", "backup_region", "backup_selection", "s3_bucket", "iam_role"]),
)
def test_an_author_is_found_wherever_a_change_may_name_the_row(resource: str, key: str, table: str) -> None:
    """All events are looked up by what may name a row; none is found or missed by it that each by itself is not."""
    row = Watched(table, key, "f", "x", "1", "eu-west-1")
    event = {"event_name": "E", "resource": resource, "account": "1", "region": "eu-west-1", "actor": "ann",
             "at": day(1), "event_id": "e"}  # fmt: skip
    EVENTS.setdefault(table, {})["f"] = ("E",)
    try:
        found, _ = Authors([event], ()).of(row.field, row, None, day(2))
    finally:
        del EVENTS[table]["f"]
    assert (found is not None) == concerns(event, row)
