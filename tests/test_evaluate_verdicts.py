"""Rules x subjects -> outcomes: conditions, parameters, zones, reasons, and one broken rule among others."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from auditor.evaluate import evaluate, examples
from tests.rule_world import KINDS, PLACE, THING, block, empty_engine, judge, pack_of, seen, verdict

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def one(folder: Path, rule: dict[str, Any], thing: dict[str, Any], **more: Any) -> dict[str, Any]:
    pack = pack_of(folder, rule)
    assert pack.broken == ()
    return judge(pack, [{"name": "t"} | thing], **more)[-1]


@pytest.mark.parametrize(
    ("thing", "expected", "reason"),
    [
        ({"flag": True, "state": "due", "size": 1}, "pass", ""),
        ({"flag": True, "state": "due", "size": 0}, "fail", ""),
        ({"flag": True, "state": "due"}, "unknown", "not_known"),
        ({"flag": False, "state": "due", "size": 0}, "not_applicable", "when"),
        ({"flag": None, "state": "due", "size": 0}, "unknown", "when"),
        ({"flag": True, "state": "early", "size": 0}, "not_applicable", "not_due"),
        ({"flag": True, "state": None, "size": 0}, "unknown", "due"),
    ],
)
def test_condition_that_is_not_known_never_excuses_a_subject(
    tmp_path: Path, thing: dict[str, Any], expected: str, reason: str
) -> None:
    outcome = one(tmp_path, block("size > 0", when="flag", due="state = 'due'"), thing)
    assert (outcome["verdict"], outcome["reason"]) == (expected, reason)


def test_unknown_condition_is_named_with_the_column_that_lacks(tmp_path: Path) -> None:
    outcome = one(tmp_path, block("size > 0", when="zone = 'phi'"), {"size": 0})
    assert outcome["because"] == "Cannot tell: whether it applies, zone = 'phi' (zone is not known)"
    assert outcome["unknown_checks"] == [{"name": "when", "values": {"zone": None}}]


def test_one_false_check_fails_though_another_is_unknown(tmp_path: Path) -> None:
    checks = [{"name": "big", "expr": "size > 0"}, {"name": "flagged", "expr": "flag"}]
    outcome = one(tmp_path, block(checks=checks), {"size": 0})
    assert outcome["verdict"] == "fail"
    assert [check["name"] for check in outcome["failed_checks"]] == ["big"]
    assert [check["name"] for check in outcome["unknown_checks"]] == ["flagged"]


LIMIT = block("lag_s <= :most", params={"most": {"default": "26h", "phi": "12h"}})
PARAMS = [
    {"rule": "a-rule", "zone": "default", "name": "most", "value": 93600},
    {"rule": "a-rule", "zone": "phi", "name": "most", "value": 43200},
]


@pytest.mark.parametrize(
    ("zone", "expected", "reason"),
    [("phi", "fail", ""), ("internal", "pass", ""), (None, "unknown", "zone"), ("phy", "unknown", "zone")],
)
def test_limit_is_that_of_the_zone_and_unknown_where_the_zone_is(
    tmp_path: Path, zone: str | None, expected: str, reason: str
) -> None:
    thing = {"zone": zone, "lag_s": 50000}
    outcome = one(tmp_path, LIMIT, thing, zones=["phi", "internal"], params=PARAMS)
    assert (outcome["verdict"], outcome["reason"]) == (expected, reason)
    limit = {"phi": 43200, "internal": 93600}.get(str(zone))
    assert outcome["params"] == {"most": limit}


def test_one_pack_judges_again_by_what_was_set_anew(tmp_path: Path) -> None:
    pack = pack_of(tmp_path, LIMIT)
    thing = {"name": "t", "zone": "phi", "lag_s": 50000}
    told = []
    for most in (43200, 60000, 43200):
        params = [PARAMS[0], PARAMS[1] | {"value": most}]
        outcome = judge(pack, [thing], zones=["phi", "internal"], params=params)[-1]
        told.append((outcome["verdict"], outcome["params"]["most"]))
    assert told == [("fail", 43200), ("pass", 60000), ("fail", 43200)]


def test_limit_that_no_zone_changes_needs_no_zone(tmp_path: Path) -> None:
    outcome = one(tmp_path, LIMIT, {"lag_s": 50000}, zones=["internal"], params=PARAMS[:1])
    assert (outcome["verdict"], outcome["params"]) == ("pass", {"most": 93600})


def test_list_that_nobody_set_is_one_unknown_for_the_rule(tmp_path: Path) -> None:
    rule = block("one_of(state, :allowed)", params={"allowed": None})
    rows = judge(pack_of(tmp_path, rule), [{"name": "t", "state": "a"}, {"name": "u", "state": "b"}])
    assert [(r["subject_key"], r["verdict"], r["reason"], r["because"]) for r in rows] == [
        ("*", "unknown", "not_configured", "not configured: allowed")
    ]


def test_empty_list_is_not_an_unset_one(tmp_path: Path) -> None:
    rule = block("one_of(state, :allowed)", params={"allowed": None})
    given = [{"rule": "a-rule", "zone": "default", "name": "allowed", "value": []}]
    assert one(tmp_path, rule, {"state": "a"}, params=given)["verdict"] == "fail"


def test_list_set_for_one_zone_leaves_only_the_others_unknown(tmp_path: Path) -> None:
    rule = block("one_of(state, :allowed)", params={"allowed": None})
    given = [{"rule": "a-rule", "zone": "phi", "name": "allowed", "value": ["a"]}]
    things = [{"name": z, "zone": z, "state": "a"} for z in ("internal", "phi")]
    rows = judge(pack_of(tmp_path, rule), things, zones=["phi", "internal"], params=given)
    assert [(row["verdict"], row["reason"]) for row in rows] == [("unknown", "not_configured"), ("pass", "")]


@pytest.mark.parametrize(
    ("expr", "thing", "expected"),
    [
        ("length(names) = 2", {"names": ["a", "b"]}, "pass"),
        ("length(tags) = 1", {"tags": {"a": "b"}}, "pass"),
        ("length(names) = 0", {"names": None}, "unknown"),
        ("has(names, 'a')", {"names": ["a"]}, "pass"),
        ("has(names, state)", {"names": ["a"], "state": "b"}, "fail"),
        ("has(names, state)", {"names": ["a"], "state": None}, "unknown"),
        ("has(names, 7)", {"names": [7]}, "pass"),
        ("has(names, 'a')", {"names": {"a": 1}}, "unknown"),
        ("key(tags, 'a.b/c~d\"') = 'x'", {"tags": {'a.b/c~d"': "x"}}, "pass"),
        ("key(tags, 'a') IS NULL", {"tags": {}}, "pass"),
        ("key(tags, 'a') IS NULL", {"tags": None}, "unknown"),
        ("key(tags, 'a') = 'x'", {"tags": {}}, "unknown"),
        ("lower(state) = 'off'", {"state": "OFF"}, "pass"),
        ("starts_with(state, 'arn:')", {"state": "arn:x"}, "pass"),
        ("until_at - from_at <= hours(1)", {"from_at": AT, "until_at": AT + timedelta(hours=1)}, "pass"),
        ("until_at - from_at <= hours(1)", {"from_at": AT, "until_at": AT + timedelta(hours=2)}, "fail"),
        ("from_at + days(1) > until_at", {"from_at": AT, "until_at": AT}, "pass"),
        ("until_at - minutes(5) < from_at", {"from_at": AT, "until_at": AT}, "pass"),
        ("(from_at + days(1)) - until_at = days(1)", {"from_at": AT, "until_at": AT}, "pass"),
        ("size BETWEEN 1 AND 3", {"size": 2}, "pass"),
        ("size NOT IN (1, 2)", {"size": 2}, "fail"),
        ("state <> 'it''s'", {"state": "it's"}, "fail"),
        ("size * 2 - 1 = 3", {"size": 2}, "pass"),
        ("NOT flag OR size > 0", {"flag": False}, "pass"),
        ("zone IS NOT NULL", {"zone": None}, "fail"),
    ],
)
def test_each_form_of_the_language_answers_as_written(
    tmp_path: Path, expr: str, thing: dict[str, Any], expected: str
) -> None:
    assert verdict(tmp_path, expr, thing) == expected


@pytest.mark.parametrize(
    ("expr", "given", "thing", "expected"),
    [
        ("all_in(names, :list)", ["a", "b"], {"names": ["a"]}, "pass"),
        ("all_in(names, :list)", ["a"], {"names": ["a", "c"]}, "fail"),
        ("all_in(names, :list)", ["a"], {"names": []}, "pass"),
        ("any_in(names, :list)", ["c"], {"names": ["a", "c"]}, "pass"),
        ("any_in(names, :list)", [], {"names": ["a"]}, "fail"),
        ("has_keys(tags, :list)", ["a"], {"tags": {"a": "", "b": ""}}, "pass"),
        ("has_keys(tags, :list)", ["c"], {"tags": {"a": ""}}, "fail"),
        ("one_of(state, :list)", ["it's", "x"], {"state": "it's"}, "pass"),
        ("like_any(state, :list)", ["arn:*:role/x-?"], {"state": "arn:aws:role/x-1"}, "pass"),
        ("like_any(state, :list)", ["a.c", "a+"], {"state": "abc"}, "fail"),
        ("like_any(state, :list)", ["[a]\\'*"], {"state": "[a]\\'\n"}, "pass"),
        ("like_any(state, :list)", [], {"state": "abc"}, "fail"),
        ("like_any(state, :list)", ["*"], {"state": None}, "unknown"),
    ],
)
def test_lists_and_globs_are_taken_as_they_are(
    tmp_path: Path, expr: str, given: list[str], thing: dict[str, Any], expected: str
) -> None:
    assert one(tmp_path, block(expr, params={"list": given}), thing)["verdict"] == expected


def test_sentence_says_each_value_by_its_type(tmp_path: Path) -> None:
    rule = block(
        "size > 9",
        because="{name}: {lag_s}, {from_at}, {flag}, {names}, {tags}, {state}, limit {:most} {{x}}",
        params={"most": "35d"},
        checks=[{"name": "x", "expr": "lag_s > :most"}],
    )
    thing = {"lag_s": 93784, "from_at": AT, "flag": True, "names": ["a", "b"], "tags": {}}
    outcome = one(tmp_path, rule, thing)
    assert outcome["because"] == (
        "t: 26 h 3 min 4 s, 2026-03-01T12:00:00Z, yes, a, b, none, not known, limit 35 d {x}"
    )
    assert outcome["failed_checks"] == [{"name": "x", "values": {":most": 3024000, "lag_s": 93784}}]


def test_error_inside_one_rule_costs_that_rule_only(tmp_path: Path) -> None:
    pack = pack_of(
        tmp_path,
        block("size * size * size * size > 0", id="overflows", code="TST-001"),
        block("size > 0", id="works", code="TST-002"),
    )
    rows = judge(pack, [{"name": "t", "size": 2**40}])
    assert [(r["rule"], r["subject_key"], r["verdict"], r["reason"]) for r in rows] == [
        ("overflows", "*", "unknown", "error"),
        ("works", "t", "pass", ""),
    ]
    assert "the rule could not be judged" in rows[0]["because"]


def test_facts_that_were_never_made_are_unknown_and_not_an_end(tmp_path: Path) -> None:
    engine = empty_engine()
    evaluate(engine, pack_of(tmp_path, block("size > 0")))
    rows = engine.rows("SELECT subject_key, verdict, reason FROM outcome")
    assert rows == [{"subject_key": "*", "verdict": "unknown", "reason": "error"}]


def test_rule_that_did_not_load_is_an_unknown_outcome(tmp_path: Path) -> None:
    rows = judge(pack_of(tmp_path, block("sise > 0"), block("size > 0", id="b", code="TST-002")), [])
    assert (rows[0]["rule"], rows[0]["verdict"], rows[0]["reason"]) == ("a-rule", "unknown", "not_loaded")
    assert rows[0]["because"].startswith("the rule did not load: tests.yaml:")


def _scans(*days: int, whole: bool = True) -> list[dict[str, Any]]:
    return [
        {"scan": str(day), "at": AT - timedelta(days=day), "state": "finished", "complete": whole}
        for day in days
    ]


@pytest.mark.parametrize(
    ("scans", "expected"),
    [
        ([], "unknown"),
        (_scans(7, 14), "unknown"),
        (_scans(7, 14, 21, 28, 35), "pass"),
        ([*_scans(7, 21, 28, 35), *_scans(14, whole=False)], "unknown"),
    ],
)
def test_absence_over_a_period_is_unknown_until_whole_scans_cover_it(
    tmp_path: Path, scans: list[dict[str, Any]], expected: str
) -> None:
    rule = block("size = 0", needs_history="30d")
    assert one(tmp_path, rule, {"size": 0}, scans=scans, as_of=AT)["verdict"] == expected
    assert one(tmp_path, rule, {"size": 1}, scans=scans, as_of=AT)["verdict"] == "fail"


def test_order_of_rows_and_rules_does_not_change_the_digest(tmp_path: Path) -> None:
    rules = [block("size > 0"), block("points >= 1", id="b-rule", code="TST-002")]
    things = [PLACE | {"name": f"t{at}", "size": at % 2, "points": at % 3} for at in range(30)]
    digests = set()
    for turn in (1, -1):
        engine = empty_engine()
        engine.insert("coverage", seen("thing", "point")[::turn])
        engine.insert(THING.name, things[::turn], columns=KINDS)
        evaluate(engine, pack_of(tmp_path / str(turn), *rules[::turn]))
        digests.add(engine.digest("outcome"))
        keys = [(row["code"], row["subject_key"]) for row in engine.table("outcome")]
        assert keys == sorted(keys)
    assert len(digests) == 1


def test_hostile_names_are_data_and_never_sql(tmp_path: Path) -> None:
    name = "x'); DROP TABLE coverage; --\"\n{size}"
    rule = block("state = :word", params={"word": {"default": "a", name: "it's"}}, because="{name}")
    outcome = one(
        tmp_path,
        rule,
        {"name": name, "zone": name, "state": "z'"},
        zones=[name],
        params=[{"rule": "a-rule", "zone": name, "name": "word", "value": "it's"}],
    )
    assert (outcome["verdict"], outcome["because"], outcome["params"]) == ("fail", name, {"word": "it's"})


def test_examples_are_judged_with_their_own_zone_parameters_and_gaps(tmp_path: Path) -> None:
    given = [
        {"given": {"lag_s": "13h", "points": 1}, "verdict": "pass"},
        {"given": {"lag_s": "13h", "points": 1}, "zone": "phi", "verdict": "fail"},
        {"given": {"lag_s": "13h", "points": 1}, "zone": None, "verdict": "unknown"},
        {"given": {"lag_s": "13h", "points": 1}, "params": {"most": "1h"}, "verdict": "fail"},
        {"given": {"lag_s": "1h", "points": 0}, "not_collected": ["point"], "verdict": "unknown"},
        {"given": {"lag_s": "1h", "points": 1}, "not_collected": ["point"], "verdict": "pass"},
    ]
    rule = LIMIT | {"cannot": {}, "examples": given}
    rule["checks"] = [*LIMIT["checks"], {"name": "captured", "expr": "points >= 1"}]
    pack = pack_of(tmp_path, rule)
    assert pack.broken == ()
    assert [verdict for _, example, verdict, _ in examples(pack)] == [each["verdict"] for each in given]


def test_parameter_columns_hold_canonical_json(tmp_path: Path) -> None:
    engine = empty_engine()
    engine.insert("coverage", seen("thing"))
    engine.insert(THING.name, [PLACE | {"name": "ü", "state": "é", "size": 0}], columns=KINDS)
    evaluate(engine, pack_of(tmp_path, block("state = 'a' AND size > 0")))
    raw = engine.rows("SELECT CAST(failed_checks AS VARCHAR) || '' AS said FROM outcome")[0]["said"]
    assert raw == json.dumps(json.loads(raw), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
