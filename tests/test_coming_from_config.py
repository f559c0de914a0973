"""What somebody who comes from AWS Config is told, and that it is so."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from auditor.rulelang.answers import CONFIG, own_words
from auditor.rulepack import Pack, load

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "coming-from.md"


@cache
def pack() -> Pack:
    return load([ROOT / "rules"], [ROOT / "rules" / "frameworks"])


def rows() -> dict[str, tuple[set[str], set[str], str]]:
    """Return what the page says: their rule to ours, their parameters, and what differs."""
    found = re.findall(r"^\| (s3\S*) \| ([^|]*) \| ([^|]*) \| ?([^|]*)\|$", PAGE.read_text(), re.MULTILINE)
    listed = {
        name: (_words(codes), _words(params), differs.strip()) for name, codes, params, differs in found
    }
    assert len(listed) == len(found), "a rule of theirs stands there twice"
    return listed


def _words(cell: str) -> set[str]:
    return {word.strip() for word in cell.split(",")} - {"-", ""}


def test_every_managed_rule_for_s3_stands_on_the_page_and_nothing_else() -> None:
    assert set(rows()) == set(CONFIG)


@pytest.mark.parametrize("name", sorted(CONFIG))
def test_the_page_says_which_rules_answer_it_and_what_they_accept(name: str) -> None:
    answering = {
        rule.code: answer.names
        for rule in pack().rules
        for answer in rule.answers
        if answer.control == f"config/{name}"
    }
    codes, params, differs = rows()[name]
    assert codes == set(answering)
    assert params == {param for names in answering.values() for param in names}
    assert params <= set(CONFIG[name])
    assert differs or params == set(CONFIG[name]), "what it does not take, it says"


@pytest.mark.parametrize(
    ("code", "given", "ours"),
    [
        ("BKT-001", {"excludedPublicBuckets": "site, shop"}, {"exempt": ("site", "shop")}),
        (
            "BKT-004",
            {"kmsKeyArns": "arn:aws:kms:eu-west-1:1:key/k"},
            {"keys": ("arn:aws:kms:eu-west-1:1:key/k",)},
        ),
        ("BKT-005", {"isMfaDeleteEnabled": "true"}, {"mfa": True}),
        ("BKT-006", {"mode": "COMPLIANCE"}, {"modes": ("COMPLIANCE",)}),
        ("BKT-007", {"targetBucket": "logs"}, {"targets": ("logs",)}),
        ("BKT-009", {"requiredKeyTags": "owner,team"}, {"tags": ("owner", "team")}),
        ("BKT-014", {"ReplicationType": "CROSS-REGION"}, {"type": "CROSS-REGION"}),
        ("RPT-001", {"recoveryPointAgeValue": "2", "recoveryPointAgeUnit": "days"}, {"max_age": 172_800}),
    ],
)
def test_their_parameters_become_ours(code: str, given: dict[str, str], ours: dict[str, object]) -> None:
    (rule,) = [rule for rule in pack().rules if rule.code == code]
    kinds = {name: str(param.kind) for name, param in rule.params.items()}
    values, used, wrong = own_words(rule.answers, given, kinds)
    assert (values, used, wrong) == (ours, set(given), [])


def test_both_names_for_one_thing_are_a_mistake() -> None:
    (rule,) = [rule for rule in pack().rules if rule.code == "BKT-006"]
    kinds = {name: str(param.kind) for name, param in rule.params.items()}
    _, _, wrong = own_words(rule.answers, {"mode": "COMPLIANCE", "modes": ["GOVERNANCE"]}, kinds)
    assert [name for name, _ in wrong] == ["mode"]
