"""No rule loads that makes more of less: each source it reads is taken away from each of its examples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor import rulepack
from auditor.builtin import builtin
from auditor.rulelang.examples import judge_examples, withheld
from auditor.rulelang.rule import Rule
from tests.rule_world import block, pack_of

if TYPE_CHECKING:
    import pytest

RULE = block("points >= 1", cannot={"not_applicable": "it always applies"}, examples=[
    {"given": {"points": 2}, "verdict": "pass"},
    {"given": {"points": 0}, "verdict": "fail"},
    {"given": {"points": None}, "verdict": "unknown"},
    {"given": {"points": 0}, "not_collected": ["point"], "verdict": "unknown"},
])  # fmt: skip


def test_each_source_is_taken_from_each_example_that_had_it(tmp_path: Path) -> None:
    (rule,) = pack_of(tmp_path, RULE).rules
    taken = withheld(rule)
    assert [(example.at, source) for example, source, _ in taken] == [
        (0, "point"),
        (1, "point"),
        (2, "point"),
    ]
    assert all(source in without.not_collected for _, source, without in taken)


def test_a_rule_that_gets_better_by_not_seeing_does_not_load_and_is_told_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen_as_more(rule: Rule) -> Any:
        return [
            (each, source, replace(without, given={"points": 2})) for each, source, without in withheld(rule)
        ]

    monkeypatch.setattr(rulepack, "withheld", seen_as_more)
    pack = pack_of(tmp_path, RULE)
    assert pack.rules == ()
    assert "example 2 becomes pass where point was not collected: not seeing never makes" in pack.broken[0]


def test_no_shipped_rule_says_more_than_unknown_of_what_was_taken_away() -> None:
    from auditor.canonical import connect

    rules = rulepack.load([builtin("rules")], [builtin("rules") / "frameworks"], prove=False).rules
    asked = 0
    with connect() as connection:
        for rule in rules:
            taken = withheld(rule)
            asked += len(taken)
            without = replace(rule, examples=tuple(each for _, _, each in taken))
            got = judge_examples(connection, without, tell=False)
            for (example, source, _), (_, verdict, _) in zip(taken, got, strict=True):
                assert verdict in (example.verdict, "unknown"), (rule.code, example.at, source)
    assert asked > 500
