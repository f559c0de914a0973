"""What somebody who comes from AWS Backup Audit Manager is told, and that it is so."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from auditor.rulelang.answers import BAM
from auditor.rulelang.rule import Rule
from auditor.rulepack import load
from tests.cli_case import answer, run

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "coming-from.md"
LISTED = {
    "BACKUP_RESOURCES_PROTECTED_BY_BACKUP_PLAN",
    "BACKUP_PLAN_MIN_FREQUENCY_AND_MIN_RETENTION_CHECK",
    "BACKUP_RECOVERY_POINT_MANUAL_DELETION_DISABLED",
    "BACKUP_RECOVERY_POINT_ENCRYPTED",
    "BACKUP_RECOVERY_POINT_MINIMUM_RETENTION_CHECK",
    "BACKUP_RESOURCES_PROTECTED_BY_CROSS_REGION",
    "BACKUP_RESOURCES_PROTECTED_BY_CROSS_ACCOUNT",
    "BACKUP_RESOURCES_PROTECTED_BY_BACKUP_VAULT_LOCK",
    "BACKUP_LAST_RECOVERY_POINT_CREATED",
    "RESTORE_TIME_FOR_RESOURCES_MEET_TARGET",
    "RESOURCES_IN_LOGICALLY_AIR_GAPPED_VAULT",
}
"""The eleven, as the developer guide of AWS Backup lists them."""


@cache
def answering() -> dict[str, list[Rule]]:
    found: dict[str, list[Rule]] = {}
    for rule in load([ROOT / "rules"], [ROOT / "rules" / "frameworks"]).rules:
        for one in rule.answers:
            if one.peer == "bam":
                found.setdefault(one.control.partition("/")[2], []).append(rule)
    return found


def names(control: str, rule: Rule) -> set[str]:
    return {name for one in rule.answers if one.control == f"bam/{control}" for name in one.names}


def test_each_of_the_eleven_controls_has_exactly_one_rule() -> None:
    assert set(BAM) == LISTED
    assert {control: len(rules) for control, rules in answering().items()} == dict.fromkeys(LISTED, 1)


@pytest.mark.parametrize("control", sorted(LISTED))
def test_every_parameter_of_a_control_is_accepted_by_its_rule(control: str) -> None:
    (rule,) = answering()[control]
    assert names(control, rule) == set(BAM[control])


@pytest.mark.parametrize("control", sorted(LISTED))
def test_the_page_says_the_same(control: str) -> None:
    (row,) = re.findall(
        rf"^\| {control} \| ([^|]*) \| ([^|]*) \| ([^|]*) \|$", PAGE.read_text(), re.MULTILINE
    )
    (rule,) = answering()[control]
    assert row[0] == rule.code
    assert {word.strip() for word in row[1].split(",")} - {"-"} == set(BAM[control])
    assert row[2].strip(), "what differs is said"


@pytest.mark.parametrize(
    ("control", "given", "ours"),
    [
        # As AWS's own examples of CreateFramework write them.
        (
            "BACKUP_PLAN_MIN_FREQUENCY_AND_MIN_RETENTION_CHECK",
            {"requiredRetentionDays": "35", "requiredFrequencyUnit": "hours", "requiredFrequencyValue": "24"},
            {"required_keep": 35 * 86_400, "required_every": 86_400},
        ),
        (
            "BACKUP_RECOVERY_POINT_MANUAL_DELETION_DISABLED",
            {"principalArnList": "arn:aws:iam::123456789012:role/A,\n   arn:aws:iam::123456789012:role/B"},
            {"exempt": ("arn:aws:iam::123456789012:role/A", "arn:aws:iam::123456789012:role/B")},
        ),
        ("BACKUP_RECOVERY_POINT_MINIMUM_RETENTION_CHECK", {"requiredRetentionDays": "35"}, {"required_keep": 35 * 86_400}),
        ("BACKUP_RESOURCES_PROTECTED_BY_CROSS_REGION", {"crossRegionList": "eu-west-2"}, {"regions": ("eu-west-2",)}),
        ("BACKUP_RESOURCES_PROTECTED_BY_CROSS_ACCOUNT", {"crossAccountList": "111122223333"}, {"accounts": ("111122223333",)}),
        (
            "BACKUP_RESOURCES_PROTECTED_BY_BACKUP_VAULT_LOCK",
            {"minRetentionDays": "7", "maxRetentionDays": "400"},
            {"min_d": 7, "max_d": 400},
        ),
        ("BACKUP_LAST_RECOVERY_POINT_CREATED", {"recoveryPointAgeValue": "1"}, {"max_age": 86_400}),
        ("RESTORE_TIME_FOR_RESOURCES_MEET_TARGET", {"maxRestoreTime": "720"}, {"max_time": 720 * 60}),
        (
            "RESOURCES_IN_LOGICALLY_AIR_GAPPED_VAULT",
            {"recoveryPointAgeValue": "10", "recoveryPointAgeUnit": "days"},
            {"max_age": 10 * 86_400},
        ),
    ],
)  # fmt: skip
def test_their_parameters_become_ours(control: str, given: dict[str, Any], ours: dict[str, Any]) -> None:
    (rule,) = answering()[control]
    assert rule.own_words(given) == (ours, set(given), [])


def test_the_list_of_rules_shows_who_answers_what() -> None:
    told = run("rules", "list", "--answers", "bam")
    for control in LISTED:
        assert control in told.stdout
    said = answer("rules", "list", "--answers", "bam")["rows"]
    assert {
        one["control"] for row in said for one in row["answers"] if one["control"].startswith("bam/")
    } == {f"bam/{control}" for control in LISTED}
    assert "11 controls of AWS Backup Audit Manager, answered by 11 rules." in told.stdout
