"""What a rule answers in other products' words: a mistake is named, a parameter of theirs becomes ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auditor.errors import ConfigError
from tests.rule_world import block, pack_of
from tests.test_config_load import read
from tests.test_config_tables import ZONES

CREATED = "bam/BACKUP_LAST_RECOVERY_POINT_CREATED"
AGE = {"most": {"value": "recoveryPointAgeValue", "unit": "recoveryPointAgeUnit"}}
EXPR = "lag_s <= :most AND one_of(state, :words) AND size >= :least AND (:strict OR flag)"
PARAMS = {"most": {"default": "26h"}, "words": {"default": ["a"]}, "least": 0, "strict": False}


def answering(answers: Any) -> dict[str, Any]:
    return block(EXPR, params=PARAMS, answers=answers)


RULE = answering(
    {
        CREATED: AGE,
        "bam/BACKUP_RECOVERY_POINT_MANUAL_DELETION_DISABLED": {"words": "principalArnList"},
        "config/s3-resources-protected-by-backup-plan": {"least": "minRetentionDays"},
        "config/s3-bucket-versioning-enabled": {"strict": "isMfaDeleteEnabled"},
    }
)


def value(tmp_path: Path, text: str, name: str, zone: str = "default") -> Any:
    rows = read(tmp_path, ZONES + text).tables(pack_of(tmp_path, RULE).rules)["params"]
    return {(row["zone"], row["name"]): row["value"] for row in rows}.get((zone, name))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('most = "1h"\nrecoveryPointAgeValue = 2\n', "says the same as 'most', which is given too: keep one of them"),
        ('recoveryPointAgeValue = 2\nrecoveryPointAgeUnit = "weeks"\n', "recoveryPointAgeUnit: must be hours or days, not 'weeks'"),
        ('recoveryPointAgeUnit = "days"\n', "is the unit of 'recoveryPointAgeValue', which is not given"),
        ("recoveryPointAgeValue = 0\n", "recoveryPointAgeValue: must be at least 1, not 0"),
        ('recoveryPointAgeValue = "1.5"\n', "must be a whole number, not '1.5'"),
        ("recoveryPointAgeValue = true\n", "must be a whole number, not True"),
        ("recoveryPointAgeValue = -3\n", "must be a whole number, not -3"),
        ('principalArnList = "a,,b"\n', "must be a list of texts, or one text with commas"),
        ("principalArnList = [1]\n", "must be a list of texts, or one text with commas"),
        ('isMfaDeleteEnabled = "maybe"\n', "must be true or false, not 'maybe'"),
        ("recoveryPointAgeVal = 2\n", "has no such parameter"),
    ],
)  # fmt: skip
def test_parameter_of_theirs_that_says_nothing_clear_is_a_mistake(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigError) as told:
        value(tmp_path, "[params.TST-001]\n" + text, "most")
    assert said in str(told.value)
    assert "params.TST-001." in str(told.value)


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ('recoveryPointAgeValue = "36"\nrecoveryPointAgeUnit = "hours"\n', "most", 36 * 3600),
        ("recoveryPointAgeValue = 2\n", "most", 2 * 86_400),
        ('principalArnList = "arn:a, arn:b"\n', "words", ["arn:a", "arn:b"]),
        ('principalArnList = ["arn:a"]\n', "words", ["arn:a"]),
        ('minRetentionDays = "7"\n', "least", 7),
        ('isMfaDeleteEnabled = "True"\n', "strict", True),
    ],
)
def test_parameter_of_theirs_becomes_ours(tmp_path: Path, text: str, name: str, expected: Any) -> None:
    assert value(tmp_path, "[params.a-rule]\n" + text, name) == expected


def test_zone_may_say_it_in_their_words_too(tmp_path: Path) -> None:
    text = (
        "[params.TST-001]\nrecoveryPointAgeValue = 3\n[zones.phi.rules.TST-001]\nrecoveryPointAgeValue = 1\n"
    )
    assert value(tmp_path, text, "most") == 3 * 86_400
    assert value(tmp_path, text, "most", "phi") == 86_400


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([CREATED], "'answers' must be a map of controls to parameters"),
        ({"bam/BACKUP_LAST_RECOVERY_POINT_CREATE": {}}, "did you mean 'BACKUP_LAST_RECOVERY_POINT_CREATED'"),
        ({"bum/X": {}}, "names no product that is known; did you mean 'bam'"),
        ({"config/S3_UPPER": {}}, "is no control of AWS Config"),
        ({"config/s3-bucket-tag": {}}, "AWS Config has no control 's3-bucket-tag'; did you mean 's3-bucket-tagged'"),
        ({CREATED: None}, "an answer is a map of the rule's parameters to theirs"),
        ({CREATED: {"mist": "recoveryPointAgeValue"}}, "the rule has no parameter :mist; did you mean 'most'"),
        ({CREATED: {"most": "recoveryPointAgeValue"}}, ":most is a duration: write"),
        ({CREATED: {"least": {"days": "recoveryPointAgeValue"}}}, ":least is no duration: write"),
        ({CREATED: {"most": {"value": "recoveryPointAgeValue"}}}, ":most must be told as"),
        ({CREATED: {"most": {"days": "recoveryPointAgeValu"}}}, "has no parameter 'recoveryPointAgeValu'; did you mean"),
        ({CREATED: AGE, "config/s3-last-backup-recovery-point-created": {"most": {"days": "recoveryPointAgeValue"}}}, "or in two units"),
    ],
)  # fmt: skip
def test_mistake_in_answers_is_named(tmp_path: Path, answers: Any, said: str) -> None:
    pack = pack_of(tmp_path, answering(answers))
    assert len(pack.broken) == 1
    assert said in pack.broken[0]
    assert "tests.yaml:" in pack.broken[0]
