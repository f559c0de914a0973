"""What a rule says: the verdict of any truths, and sentences filled for many rules as for one."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pytest

from auditor.rulelang.saying import Truth, json_text, undecided, verdict
from tests.rule_world import block, empty_engine, gap, judge, pack_of, seen

NAMES = ("when", "due", "c0", "c1")
TRUTHS: tuple[Truth, ...] = (True, False, None)


def naive(when: Truth, due: Truth, *checks: Truth) -> str:
    """Say the verdict by trying everything that what is not known could be."""
    unknown = [at for at, truth in enumerate((when, due, *checks)) if truth is None]
    found = set()
    for tried in product((True, False), repeat=len(unknown)):
        each = [when, due, *checks]
        for at, truth in zip(unknown, tried, strict=True):
            each[at] = truth
        found.add("not_applicable" if not (each[0] and each[1]) else "pass" if all(each[2:]) else "fail")
    return found.pop() if len(found) == 1 else "unknown"


@pytest.mark.parametrize("truths", list(product(TRUTHS, repeat=4)))
def test_verdict_stands_only_where_nothing_unknown_could_change_it(truths: tuple[Truth, ...]) -> None:
    said, _ = verdict(dict(zip(NAMES, truths, strict=True)))
    certain = naive(*truths)
    # The language is stricter in one thing: conditions are asked in turn, and one that is not known never excuses.
    first = next((truth for truth in truths[:2] if truth is not True), True)
    assert said == ("unknown" if first is None else certain)


def test_verdict_of_random_truths_is_the_one_of_the_three_valued_and(tmp_path: Path) -> None:
    rng = Random(7)
    checks = [
        {"name": f"check {at}", "expr": expr} for at, expr in enumerate(("flag", "size > 0", "state = 'a'"))
    ]
    rule = block(checks=checks, when="found", due="clean")
    truths = [[rng.choice(TRUTHS) for _ in range(5)] for _ in range(120)]
    things = [
        {
            "name": f"{at:03}",
            "found": found,
            "clean": clean,
            "flag": flag,
            "size": None if size is None else int(size),
            "state": None if state is None else "a" if state else "b",
        }
        for at, (found, clean, flag, size, state) in enumerate(truths)
    ]
    rows = judge(pack_of(tmp_path, rule), things)
    names = ("when", "due", "c0", "c1", "c2")
    expected = [dict(zip(names, each, strict=True)) for each in truths]
    assert [row["verdict"] for row in rows] == [verdict(each)[0] for each in expected]
    words = {"when": "when", "due": "due", "c0": "check 0", "c1": "check 1", "c2": "check 2"}
    for row, each in zip(rows, expected, strict=True):
        unknown = [words[name] for name in undecided(each)] if row["verdict"] in ("fail", "unknown") else []
        assert [check["name"] for check in row["unknown_checks"]] == unknown
        failed = (
            [words[name] for name in names[2:] if each[name] is False] if row["verdict"] == "fail" else []
        )
        assert [check["name"] for check in row["failed_checks"]] == failed


HOSTILE = 'x"y\\z\x01\x1f/\u2028\x7fé{size}'


@pytest.mark.parametrize("value", [HOSTILE, [HOSTILE, ""], None, True, 2**53 + 1, "\\u001f"])
def test_json_of_a_sentence_is_the_one_the_database_writes(value: Any) -> None:
    engine = empty_engine()
    kind = {bool: "BOOLEAN", int: "BIGINT", list: "VARCHAR[]"}.get(type(value), "VARCHAR")
    engine.execute(f"CREATE OR REPLACE TEMP TABLE told AS SELECT CAST(? AS {kind}) AS x", [value])
    (row,) = engine.rows("SELECT coalesce(CAST(to_json(x) AS VARCHAR), 'null') AS said FROM told")
    assert json_text(value) == row["said"]


def test_sentences_of_many_rules_are_those_of_each_alone(tmp_path: Path) -> None:
    blocks = [
        block(
            "size > 0", id="one", code="TST-001", because="{name}: {size}, {lag_s}, {tags}, {flag}, {from_at}"
        ),
        block(
            "lag_s <= :most",
            id="two",
            code="TST-002",
            params={"most": "1h"},
            because_pass="{lag_s} of {:most}",
        ),
        block(
            "length(holders) > 0", id="three", code="TST-003", when="zone = 'phi'", because="{state}{holders}"
        ),
        block("points >= 1", id="four", code="TST-004", because="none"),
    ]
    things: list[dict[str, Any]] = [
        {
            "name": "a",
            "size": 0,
            "lag_s": 90061,
            "tags": {"k": [1, 2.5]},
            "flag": True,
            "zone": "phi",
            "holders": [],
        },
        {"name": "b", "size": -5, "lag_s": 60, "tags": ["x", HOSTILE], "state": HOSTILE, "zone": "internal"},
        {"name": HOSTILE, "size": None, "lag_s": None, "points": 0, "zone": None, "holders": ["h"]},
    ]
    coverage = [*seen("thing", "point"), gap("point")]
    together = judge(pack_of(tmp_path, *blocks), things, coverage, zones=["phi"])
    alone = [
        row for each in blocks for row in judge(pack_of(tmp_path, each), things, coverage, zones=["phi"])
    ]
    assert together == alone
    assert {row["verdict"] for row in together} == {"pass", "fail", "unknown", "not_applicable"}
    first = together[0] if together[0]["subject_key"] == "a" else together[1]
    assert first["because"] == 'a: 0, 25 h 1 min 1 s, {"k":[1,2.5]}, yes, not known'


def test_sentence_that_cannot_be_made_costs_its_rule_only(tmp_path: Path) -> None:
    # The least number there is has no opposite: to say it as a duration overflows.
    blocks = [
        block("lag_s > 0", id="cannot-be-said", code="TST-001", because="{lag_s}"),
        block("lag_s > 0", id="can", code="TST-002", because="late"),
    ]
    rows = judge(pack_of(tmp_path, *blocks), [{"name": "t", "lag_s": -(2**63)}, {"name": "u", "lag_s": 1}])
    assert [(row["rule"], row["subject_key"], row["verdict"], row["reason"]) for row in rows] == [
        ("cannot-be-said", "*", "unknown", "error"),
        ("can", "t", "fail", ""),
        ("can", "u", "pass", ""),
    ]


def test_parameter_that_looks_like_a_name_stays_a_text(tmp_path: Path) -> None:
    rule = block("state <> '\"_p_word\"' AND state = :word", params={"word": 'it\'s "_p_word"'})
    rows = judge(pack_of(tmp_path, rule), [{"name": "t", "state": 'it\'s "_p_word"'}])
    assert rows[0]["verdict"] == "pass"
    assert rows[0]["params"] == {"word": 'it\'s "_p_word"'}
