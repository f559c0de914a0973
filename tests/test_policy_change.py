"""What a changed policy lets in is told in words; what says the same in other words is no change."""

from __future__ import annotations

import json
from typing import Any

import pytest

from auditor.policy.change import resource_change, trust_change

OWN = "111111111111"
BUCKET = "arn:aws:s3:::exports"
VAULT = f"arn:aws:backup:eu-west-1:{OWN}:backup-vault:main"
GITHUB = f"arn:aws:iam::{OWN}:oidc-provider/token.actions.githubusercontent.com"


def text(*statements: dict[str, Any], **more: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **more})


def says(effect: str, principal: Any, action: Any, resource: Any = None, **condition: Any) -> dict[str, Any]:
    statement = {"Effect": effect, "Principal": principal, "Action": action, "Condition": condition}
    return statement | ({"Resource": resource} if resource else {})


def github(subject: str, **more: Any) -> dict[str, Any]:
    keys = {"token.actions.githubusercontent.com:sub": subject}
    return says("Allow", {"Federated": GITHUB}, "sts:AssumeRoleWithWebIdentity", StringLike=keys) | more


NARROW = text(github("repo:acme/app:ref:refs/heads/main"))
WIDE = text(github("repo:*"))
DENIES = text(says("Deny", "*", ["backup:DeleteRecoveryPoint", "backup:PutBackupVaultAccessPolicy"], "*"))


@pytest.mark.parametrize(
    "broken", ["", "{", "[]", '{"Statement": []', '{"Statement": [], "Statement": []}', '{"Statement": [1]}', "[" * 9999]
)  # fmt: skip
def test_a_document_that_cannot_be_read_counts_as_opened_and_says_why(broken: str) -> None:
    for before, after in ((broken, NARROW), (NARROW, broken)):
        change = trust_change(before, after)
        assert (change.verdict, change.opens, change.by_text) == ("undecided", True, False)
        assert "cannot be compared" in change.because
        assert (change.before, change.after) == (before, after)


def test_a_wider_trust_names_who_may_now_and_the_statements_on_both_sides() -> None:
    same = says("Allow", {"Service": "ec2.amazonaws.com"}, "sts:AssumeRole")
    old, new = github("repo:acme/app:ref:refs/heads/main", Sid="Ours"), github("repo:*", Sid="Ours")
    change = trust_change(text(same, old), text(new, same))
    assert (change.verdict, change.opens) == ("wider", True)
    assert "a workflow of the GitHub repository" in change.because
    assert "may now assume the role" in change.because
    assert (json.loads(change.before), json.loads(change.after)) == ([old], [new])


def test_a_narrower_trust_opens_nothing_and_names_who_may_no_longer() -> None:
    change = trust_change(WIDE, NARROW)
    assert (change.verdict, change.opens) == ("narrower", False)
    assert "may no longer assume the role" in change.because


def test_the_same_trust_in_other_words_is_equivalent() -> None:
    other = json.dumps(json.loads(NARROW) | {"Id": "new"}, indent=4)
    assert trust_change(NARROW, other).verdict == "equivalent"
    assert not trust_change(NARROW, other).by_text
    assert (
        trust_change(NARROW, text(github("repo:acme/app:ref:refs/heads/main", Sid="Named"))).verdict
        == "equivalent"
    )


def test_a_difference_that_no_caller_can_make_use_of_is_told_as_one_of_the_text() -> None:
    change = trust_change(
        text(github("repo:acme/app:*")), text(github("repo:acme/app:*"), github("repo:acme/app"))
    )
    assert (change.verdict, change.opens, change.by_text) == ("equivalent", False, True)
    assert "no caller can make use of that" in change.because


def test_an_undecided_change_opens_and_says_what_could_not_be_decided() -> None:
    mixed = says(
        "Allow",
        "*",
        "sts:AssumeRole",
        StringLike={"aws:SourceIp": "10.*"},
        NotIpAddress={"aws:SourceIp": "1.2.3.4"},
    )
    change = trust_change(NARROW, text(mixed))
    assert (change.verdict, change.opens) == ("undecided", True)
    assert "mixed types" in change.because


def test_a_deny_that_is_gone_opens_although_it_admitted_nobody() -> None:
    change = resource_change(DENIES, "none", VAULT, OWN)
    assert change.verdict == "wider"
    assert "may now do backup:DeleteRecoveryPoint" in change.because
    assert resource_change("none", DENIES, VAULT, OWN).verdict == "narrower"


def test_a_deny_traded_for_another_is_incomparable() -> None:
    other = text(says("Deny", "*", "backup:StartCopyJob", "*"))
    assert resource_change(DENIES, other, VAULT, OWN).verdict == "incomparable"


def test_a_bucket_opened_to_the_world_is_told_with_the_object_that_can_be_read() -> None:
    change = resource_change("none", text(says("Allow", "*", "s3:GetObject", f"{BUCKET}/*")), BUCKET, OWN)
    assert change.verdict == "wider"
    assert f"s3:GetObject on {BUCKET}/any-object" in change.because


def test_no_policy_before_and_none_now_is_the_same() -> None:
    assert resource_change("none", "none", BUCKET, OWN).verdict == "equivalent"
    assert resource_change("none", text(), BUCKET, OWN).verdict == "equivalent"
