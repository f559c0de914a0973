"""A pack of one's own changes other rules only with a reason and a name, and everybody can see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from auditor.rulepack import Pack, load
from tests.rule_world import THING, block, judge, pack_of

RULE = block("size > :least", params={"least": {"default": 3}, }, examples=[
    {"given": {"size": 4}, "verdict": "pass"}, {"given": {"size": 3}, "verdict": "fail"},
    {"given": {"size": None}, "verdict": "unknown"},
])  # fmt: skip
WHY = {"reason": "small things are fine here", "approved_by": "ciso@acme.example"}


def packed(folder: Path, *overrides: Any) -> Pack:
    """Load a rule as it ships, and beside it a pack that says something of it."""
    pack_of(folder, RULE)
    own = folder / "b.yaml"
    own.write_text(yaml.safe_dump({"pack": "own", "overrides": list(overrides)}, sort_keys=False))
    return load([folder / "tests.yaml", own], [folder / "frameworks"], schema={THING.name: THING})


def test_other_parameters_hold_and_the_rule_and_the_pack_have_another_digest(tmp_path: Path) -> None:
    plain, changed = packed(tmp_path), packed(tmp_path, {"rule": "TST-001", "params": {"least": 1}, **WHY})
    assert changed.broken == ()
    (rule,) = changed.rules
    assert rule.params["least"].default == 1
    assert "ciso@acme.example: small things are fine here" in rule.override
    assert changed.digest != plain.digest
    assert rule.digest != plain.rules[0].digest


def test_examples_are_judged_by_the_rule_as_its_author_wrote_it(tmp_path: Path) -> None:
    assert packed(tmp_path, {"rule": "TST-001", "params": {"least": 99}, **WHY}).broken == ()


def test_a_rule_that_is_switched_off_judges_nobody_and_says_so(tmp_path: Path) -> None:
    plain, pack = packed(tmp_path), packed(tmp_path, {"rule": "a-rule", "off": True, **WHY})
    assert pack.rules == ()
    assert pack.digest != plain.digest
    assert pack.find("TST-001").id == "a-rule"
    (outcome,) = judge(pack, [{"name": "t", "size": 9}])
    assert (outcome["verdict"], outcome["reason"], outcome["subject_key"]) == (
        "not_applicable",
        "switched_off",
        "*",
    )
    assert outcome["because"] == "switched off by ciso@acme.example: small things are fine here"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ({"rule": "TST-001", "off": True, "approved_by": "x"}, "b.yaml:3:3: an override needs 'reason'"),
        ({"rule": "TST-001", "off": True, "reason": "x"}, "an override needs 'approved_by'"),
        ({"rule": "TST-001", **WHY}, "gives `params`, or says `off: true`"),
        ({"rule": "TST-001", "off": True, "params": {"least": 1}, **WHY}, "gives `params`, or says `off: true`"),
        ({"rule": "TST-001", "offf": True, **WHY}, "did you mean 'off'?"),
        ({"rule": "TST-002", "off": True, **WHY}, "there is no rule 'TST-002' to override; did you mean 'TST-001'?"),
        ({"rule": "TST-001", "params": {"lest": 1}, **WHY}, "no parameter 'lest'; did you mean 'least'?"),
        ({"rule": "TST-001", "params": {"least": "many"}, **WHY}, ":least is INT, and 'many' is TEXT"),
        ("TST-001", "an override is {rule, params or off, reason, approved_by}"),
    ],
)  # fmt: skip
def test_an_override_with_a_mistake_is_named_and_never_half_done(
    tmp_path: Path, override: Any, said: str
) -> None:
    pack = packed(tmp_path, override)
    assert said in "\n".join(pack.broken)
    assert all(not rule.override for rule in pack.rules)
    assert pack.off == ()


def test_a_rule_whose_override_names_nobody_who_approved_it_does_not_run(tmp_path: Path) -> None:
    pack = packed(tmp_path, {"rule": "TST-001", "params": {"least": 1}, "reason": "x"})
    assert pack.rules == ()
    assert (pack.broken_rules[0].id, pack.broken_rules[0].controls) == ("a-rule", ("soc2/A1.2",))


def test_a_rule_whose_override_is_wrong_does_not_run_with_its_own_parameters(tmp_path: Path) -> None:
    pack = packed(tmp_path, {"rule": "TST-001", "params": {"least": "many"}, **WHY})
    assert pack.rules == ()
    assert pack.broken_rules[0].id == "a-rule"


def test_two_overrides_of_one_rule_are_a_mistake(tmp_path: Path) -> None:
    pack = packed(
        tmp_path,
        {"rule": "TST-001", "params": {"least": 1}, **WHY},
        {"rule": "a-rule", "params": {"least": 2}, **WHY},
    )
    assert "has an override already at" in pack.broken[0]
    assert pack.rules == ()
