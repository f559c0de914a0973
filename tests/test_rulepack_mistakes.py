"""Every mistake in a rule file is named where it stands, and costs only its own rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditor.errors import RuleError
from auditor.rulepack import load
from tests.rule_world import THING, block, pack_of


@pytest.mark.parametrize(
    ("expr", "said"),
    [
        ("sise > 0", "thing has no column 'sise'; did you mean 'size'?"),
        ("size = 'x'", "column 'size' (a number) is compared with 'x' (a text)"),
        ("state > 3", "column 'state' (a text) is compared with 3 (a number)"),
        ("(SELECT 1) = 1", "is not allowed in a rule"),
        ("size IN (SELECT 1)", "IN takes values as written, no query"),
        ("random() < 1", "is not allowed in a rule"),
        ("now() > from_at", "now() is not allowed in a rule"),
        ("current_timestamp > from_at", "is not allowed in a rule"),
        ("getenv('HOME') = 'x'", "is not allowed in a rule"),
        ("size::text = 'x'", "is not allowed in a rule"),
        ("CASE WHEN flag THEN flag END", "is not allowed in a rule"),
        ("thing_facts.size > 0", "is not allowed in a rule"),
        ("size > 0; DROP TABLE coverage", "is not allowed in a rule"),
        ("size > 0 -- and more", "comments are not allowed"),
        ("size <= 26h", "a duration is written hours(26)"),
        ("size = 1.5", "'1.5' is not a whole number"),
        ("size = ", "not an expression"),
        ("", "the expression is empty"),
        ("size", "a check must be true or false"),
        ("size IS TRUE", "IS takes NULL only"),
        ("size + 1 IS NULL", "IS NULL asks about a column or key(...)"),
        ("tags = 'x'", "is compared with"),
        ("flag > false", "true and false have no order"),
        ("from_at + until_at > from_at", "computes with"),
        ("one_of(state, :absent)", "the rule has no parameter :absent"),
        ("has(size, 'x')", "needs a list or map"),
        ("has(names)", "has() takes 2 values, 1 are given"),
        ("hours(size) = 1", "hours() takes a number as written"),
        ("hsa(names, 'x')", "did you mean 'has'?"),
        ("size = 1 AND " * 300 + "flag", "an expression may have 2000 characters"),
        ("(" * 900 + "flag" + ")" * 900, "deeply nested"),
    ],
)
def test_expression_outside_the_language_is_refused_with_a_sentence(
    tmp_path: Path, expr: str, said: str
) -> None:
    pack = pack_of(tmp_path, block(expr))
    assert pack.rules == ()
    assert said in pack.broken[0]


def test_mistake_is_named_at_its_line_and_column(tmp_path: Path) -> None:
    pack = pack_of(tmp_path, block("size > 0 AND sise > 0"))
    line = (tmp_path / "tests.yaml").read_text().splitlines().index("  - name: it holds") + 2
    column = "    expr: size > 0 AND sise > 0".index("sise") + 1
    assert pack.broken[0].startswith(f"{tmp_path}/tests.yaml:{line}:{column}: rule 'a-rule': ")


def test_broken_rule_among_good_ones_is_named_and_the_others_load(tmp_path: Path) -> None:
    pack = pack_of(
        tmp_path,
        block(id="first", code="TST-001"),
        block("sise > 0", id="broken", code="TST-002", supports=["soc2/CC6.1"]),
        block(id="last", code="TST-003"),
    )
    assert [rule.id for rule in pack.rules] == ["first", "last"]
    assert [(rule.id, rule.code, rule.controls) for rule in pack.broken_rules] == [
        ("broken", "TST-002", ("soc2/CC6.1",))
    ]
    with pytest.raises(RuleError, match="did not load"):
        pack.find("TST-002")


def test_all_mistakes_of_a_rule_are_told_at_once(tmp_path: Path) -> None:
    pack = pack_of(tmp_path, block("sise > 0", severity="hihg", supports=["soc2/A1.3"], titel="x"))
    assert "unknown key 'titel'; did you mean 'title'?" in pack.broken[0]
    assert "severity 'hihg' is none of critical, high, medium, low; did you mean 'high'?" in pack.broken[0]
    assert "supports 'soc2/A1.3', which no framework defines; did you mean 'soc2/A1.2'?" in pack.broken[0]
    assert "no column 'sise'" in pack.broken[0]


def test_unknown_control_breaks_the_rule(tmp_path: Path) -> None:
    assert "which no framework defines" in pack_of(tmp_path, block(evidences=["hipaa/1"])).broken[0]


def test_rule_without_an_example_of_unknown_does_not_load(tmp_path: Path) -> None:
    examples = [{"given": {"size": 1}, "verdict": "pass"}, {"given": {"size": 0}, "verdict": "fail"}]
    pack = pack_of(tmp_path, block(examples=examples, cannot={}))
    assert "no example of 'unknown'" in pack.broken[0]


def test_rule_with_a_condition_needs_an_example_that_does_not_apply(tmp_path: Path) -> None:
    examples = [
        {"given": {"size": 1, "flag": True}, "verdict": "pass"},
        {"given": {"size": 0, "flag": True}, "verdict": "fail"},
        {"given": {"flag": True}, "verdict": "unknown"},
    ]
    assert (
        "no example of 'not_applicable'"
        in pack_of(tmp_path, block(when="flag", examples=examples, cannot={})).broken[0]
    )


def test_example_that_is_judged_otherwise_keeps_the_rule_out(tmp_path: Path) -> None:
    pack = pack_of(tmp_path, block(examples=[{"given": {"size": 0}, "verdict": "pass"}]))
    assert "example 1 says pass, but the rule judges fail: not known is 0" in pack.broken[0]
    assert pack.broken_rules[0].controls == ("soc2/A1.2",)


@pytest.mark.parametrize(
    ("example", "said"),
    [
        ({"given": {"sise": 1}, "verdict": "pass"}, "no column 'sise'; did you mean 'size'?"),
        ({"given": {"size": "big"}, "verdict": "pass"}, "size is INT, and 'big' is not"),
        ({"given": {"size": 1}, "verdict": "passed"}, "did you mean 'pass'?"),
        ({"given": {"from_at": "soon"}, "verdict": "pass"}, "from_at is a time such as"),
        ({"given": {}, "params": {"x": 1}, "verdict": "pass"}, "the rule has no parameter :x"),
        ({"given": {}, "not_collected": ["pointt"], "verdict": "pass"}, "did you mean 'point'?"),
    ],
)
def test_mistake_in_an_example_is_named(tmp_path: Path, example: dict[str, object], said: str) -> None:
    assert said in pack_of(tmp_path, block(examples=[example])).broken[0]


def test_second_rule_of_an_id_or_code_is_broken_and_the_first_stays(tmp_path: Path) -> None:
    pack = pack_of(tmp_path, block(title="first"), block(code="TST-002"), block(id="b-rule"))
    assert [rule.title for rule in pack.rules] == ["first"]
    assert "id 'a-rule' is already used at" in pack.broken[0]
    assert "code 'TST-001' is already used at" in pack.broken[1]


def test_key_given_twice_breaks_its_rule_only(tmp_path: Path) -> None:
    twice = "- id: twice\n  code: TST-002\n  severity: low\n  severity: critical\n  supports: [soc2/A1.2]\n"
    pack = pack_of(tmp_path, block(), twice)
    assert [rule.id for rule in pack.rules] == ["a-rule"]
    assert "'severity' is given twice" in pack.broken[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pack: x\nrules: [\n", "not YAML"),
        ("", "a pack is {pack: name, rules: [...]}"),
        ("pack: x\nrules: {}\n", "a pack is {pack: name, rules: [...]}"),
        ("pack: x\nrulez: []\nrules: []\n", "unknown key 'rulez'; did you mean 'rules'?"),
        ("pack: &x x\nrules: [*x]\n", "aliases (*name) are not allowed"),
        ("pack: !!python/object:os.system x\nrules: []\n", "tags (!name) are not allowed"),
        ("pack: x\nrules: " + "[" * 100000, "nested more than 30 deep"),
        ("pack: x\nrules: [7]\n", "a rule is a map"),
    ],
)
def test_file_that_is_no_pack_is_named_and_stops_nothing(tmp_path: Path, text: str, said: str) -> None:
    pack_of(tmp_path, block())
    (tmp_path / "other.yaml").write_text(text)
    pack = load(
        [tmp_path / "tests.yaml", tmp_path / "other.yaml"],
        [tmp_path / "frameworks"],
        schema={THING.name: THING},
    )
    assert [rule.id for rule in pack.rules] == ["a-rule"]
    assert said in pack.broken[0]
    assert pack.broken[0].startswith(f"{tmp_path}/other.yaml:")


def test_controls_of_a_file_that_is_no_yaml_are_still_known(tmp_path: Path) -> None:
    pack_of(tmp_path, block())
    (tmp_path / "other.yaml").write_text("rules:\n  - supports: [soc2/CC6.1\n")
    pack = load([tmp_path / "other.yaml"], [tmp_path / "frameworks"], schema={THING.name: THING})
    assert pack.broken_rules[0].controls == ("soc2/CC6.1",)


def test_parameter_that_nothing_uses_is_a_mistake(tmp_path: Path) -> None:
    assert ":most is used by no expression" in pack_of(tmp_path, block(params={"most": 3})).broken[0]


def test_placeholder_of_a_sentence_must_be_a_column_or_parameter(tmp_path: Path) -> None:
    assert "no column 'sise'; did you mean 'size'?" in pack_of(tmp_path, block(because="{sise}")).broken[0]
    assert "a lone '{'" in pack_of(tmp_path, block(because="{ size")).broken[0]


def test_yaml_words_that_look_like_truth_stay_text(tmp_path: Path) -> None:
    text = (
        "- {id: a-rule, code: TST-001, title: Off, severity: high, supports: [soc2/A1.2], for: thing,\n"
        "   checks: [{name: it is off, expr: state = 'Off'}], because: b, remedy: r,\n"
        "   cannot: {pass: t, unknown: t}, examples: [{given: {state: On}, verdict: fail}]}\n"
    )
    assert [rule.title for rule in pack_of(tmp_path, text).rules] == ["Off"]


def test_rule_is_found_by_id_and_by_code_and_a_typo_gets_a_hint(tmp_path: Path) -> None:
    pack = pack_of(tmp_path, block())
    assert pack.find("a-rule") is pack.find("TST-001")
    with pytest.raises(RuleError, match="did you mean 'a-rule'"):
        pack.find("a-rul")
    assert pack.control("soc2/A1.2").paraphrase == "Back up and keep"


def test_digest_follows_the_rules_and_not_the_file(tmp_path: Path) -> None:
    one = pack_of(tmp_path / "one", block(), block(id="b", code="TST-002"))
    other = pack_of(tmp_path / "other", block(id="b", code="TST-002"), "# a comment\n", block())
    changed = pack_of(tmp_path / "changed", block(severity="low"), block(id="b", code="TST-002"))
    assert one.digest == other.digest != changed.digest
