"""Facts of trust, bucket and vault policies on hand-made tables: what is hostile stays with the one that carries it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from entities import AWAY, BUCKET, HOME, VAULT, bucket, derived, estate, facts, vault

from auditor.correlate import trusting

GOOGLE = "accounts.google.com"
ME, AUDIENCE = "104000000000000000001", "sts.acme.example"
EMAIL = "export@acme.iam.gserviceaccount.com"
STRANGE = "999988887777"


def arn(name: str = "exporter") -> str:
    return f"arn:aws:iam::{HOME}:role/{name}"


def text(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trust(principal: Any, action: str = "sts:AssumeRole", **condition: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": principal, "Action": action, "Condition": condition}


def google(subject: str = ME, audience: str = AUDIENCE) -> dict[str, Any]:
    claims = {f"{GOOGLE}:oaud": audience, f"{GOOGLE}:sub": subject}
    return trust({"Federated": GOOGLE}, "sts:AssumeRoleWithWebIdentity", StringEquals=claims)


def role(document: str | None, name: str = "exporter", **more: Any) -> dict[str, Any]:
    return {"arn": arn(name), "name": name, "account": HOME, "trust_policy": document} | more


def way(name: str = "exporter", **more: Any) -> dict[str, Any]:
    return {
        "role_arn": arn(name), "provider": GOOGLE, "audiences": [AUDIENCE], "subject_of": EMAIL,
        "bucket": "exports-phi", "prefix": "a/",
    } | more  # fmt: skip


def roles(*rows: dict[str, Any], **tables: Any) -> dict[str, dict[str, Any]]:
    known = {
        "config_federation": [way()],
        "config_subject": [{"service_account": EMAIL, "subject": ME}],
        "config_place": [{"cloud": "aws", "account": HOME}, {"cloud": "aws", "account": AWAY}],
    }
    found = facts(estate(iam_role=rows, **{**known, **tables}), "role")
    return {key.rpartition("/")[2]: row for key, row in found.items()}


def before(document: str | None, name: str = "exporter") -> list[dict[str, Any]]:
    return [{"table_name": "iam_role", "key": arn(name), "field": "trust_policy", "value": document}]


@pytest.mark.parametrize(
    "broken",
    [
        "", "{", "[]", "null", '"text"', "{}", '{"Statement": [{"Effect": "Allow"}]}', '{"Statement": [], "Statement": []}',
        '{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole", "Condition": {"Nope": {}}}]}',
        "[" * 9999, "\ud83d {", '{"Statement": []} … [cut: 99 bytes]',
    ],
)  # fmt: skip
def test_a_document_that_cannot_be_read_leaves_its_own_role_unknown_with_the_reason(broken: str) -> None:
    broken = broken.encode("utf-8", "backslashreplace").decode()
    found = roles(role(broken), role(text(trust({"AWS": "*"})), "open"), role(text(google()), "good"))
    lost = found["exporter"]
    for fact in (
        "trusts",
        "trust_findings",
        "trust_decided",
        "trusts_tokens",
        "admits_exactly",
        "trusted_subjects",
    ):
        assert lost[fact] is None, fact
    assert "cannot be read" in lost["trust_unknown"]
    assert found["open"]["trust_findings"] == ["public"]
    assert found["good"]["trust_decided"] is True


def test_a_document_that_was_not_read_says_so() -> None:
    found = roles(role(None))["exporter"]
    assert (found["trust_decided"], found["trust_unknown"]) == (None, "its trust policy was not read")


def test_what_is_undecided_takes_nothing_from_what_is_proven() -> None:
    mixed = {"StringLike": {"aws:SourceIp": "10.*"}, "NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}
    found = roles(role(text(trust("*"), trust({"Service": "ec2.amazonaws.com"}, **mixed))))["exporter"]
    assert "public" in found["trust_findings"]
    assert "undecided" not in found["trust_findings"]
    assert found["trusts"][0] == "*"
    mixed_alone = roles(role(text(trust("*", **mixed))))["exporter"]
    assert mixed_alone["trust_decided"] is None
    assert "mixed types" in mixed_alone["trust_unknown"]


def test_an_export_role_admits_exactly_its_account_or_says_who_else() -> None:
    found = roles(
        role(text(google())),
        role(text(google(), trust({"AWS": HOME})), "also"),
        role(text(google("104000000000000000002")), "other"),
        role(text(google(audience="theirs")), "audience"),
        role(text(google()), "unknown-account"),
        role(text(google()), "own-provider"),
        role(text(google()), "plain"),
        config_federation=[
            way(), way("also"), way("other"), way("audience"), way("unknown-account", subject_of="who@acme"),
            way("own-provider", provider="https://idp.example"),
        ],
    )  # fmt: skip
    answers = {name: row["admits_exactly"] for name, row in found.items()}
    assert answers == {
        "exporter": True, "also": False, "other": False, "audience": False,
        "unknown-account": None, "own-provider": None, "plain": None,
    }  # fmt: skip
    assert (
        "role anyone of account" in found["also"]["admits_because"]
        or "root user" in found["also"]["admits_because"]
    )
    assert found["also"]["admits_witness"]["kind"] == "aws"
    assert found["other"]["audience_pinned"] is True
    assert found["audience"]["audience_pinned"] is False
    assert "not configured" in found["unknown-account"]["admits_because"]


def test_a_role_for_any_configured_account_admits_these_and_nobody_else() -> None:
    second = "104000000000000000002"
    both = google()
    both["Condition"]["StringEquals"][f"{GOOGLE}:sub"] = [ME, second]
    known = [{"service_account": EMAIL, "subject": ME}, {"service_account": "b@acme", "subject": second}]
    any_of = [way(subject_of="")]
    assert (
        roles(role(text(both)), config_federation=any_of, config_subject=known)["exporter"]["admits_exactly"]
        is True
    )
    assert roles(role(text(both)), config_federation=any_of)["exporter"]["admits_exactly"] is False


def test_a_subject_is_unknown_when_nobody_declares_it_or_the_directory_ended_it() -> None:
    user = {"id": "a-1", "email": EMAIL, "status": "disabled", "subject": "idp|1", "owner": ""}
    bot = {
        "id": "a-2",
        "email": "bot@acme",
        "status": "active",
        "subject": "104000000000000000009",
        "owner": "",
    }
    assert roles(role(text(google())))["exporter"]["unknown_subjects"] == []
    assert roles(role(text(google())), config_subject=[])["exporter"]["unknown_subjects"] == [ME]
    assert roles(role(text(google())), directory_user=[user])["exporter"]["unknown_subjects"] == [ME]
    named = role(text(google(bot["subject"])))
    assert roles(named, directory_user=[bot])["exporter"]["unknown_subjects"] == []


def test_a_changed_trust_is_told_by_what_it_lets_in() -> None:
    now, wide = text(google()), text(trust({"Federated": GOOGLE}, "sts:AssumeRoleWithWebIdentity"))
    for was, change, no_wider in (
        (now, "equivalent", True),
        (json.dumps(json.loads(now), indent=2), "equivalent", True),
        (wide, "narrower", True),
        (text(google("104000000000000000002")), "incomparable", False),
        (text(), "wider", False),
        ("{", "undecided", None),
    ):
        found = roles(role(now), history_watch=before(was))["exporter"]
        assert (found["trust_change"], found["trust_no_wider"]) == (change, no_wider), was
        assert found["trust_change_says"]
    assert roles(role(now), history_watch=before(None))["exporter"]["trust_no_wider"] is None
    assert roles(role(now))["exporter"]["trust_known_before"] is False


def test_two_thousand_roles_of_one_shape_are_judged_once() -> None:
    trusting._judged.cache_clear()
    many = [
        role(text(google(f"1040000000000000{n:05d}")), f"r{n}", account=f"{n + 100_000_000_000}")
        for n in range(2000)
    ]
    known = trusting.Known(frozenset(), {}, frozenset(), frozenset())
    found = [trusting.trust_facts(each, (), known) for each in many]
    assert {tuple(each["trust_findings"]) for each in found} == {()}
    assert (
        trusting._judged.cache_info().misses == 3
    )  # two of the ids are among those that findings take for strangers


def test_ids_come_back_as_they_were_written_and_patterns_on_digits_are_judged_as_they_stand() -> None:
    known = trusting.Known(frozenset(), {}, frozenset(), frozenset())
    for account in (STRANGE, "666666666666", "123456789012"):
        found = trusting.trust_facts(role(text(trust({"AWS": account}))), (), known)
        assert "external-account" in found["trust_findings"]
        assert account in found["trust_says"]
        assert account in json.dumps(found["trust_witness"])
    pattern = trust("*", StringLike={"aws:PrincipalAccount": "9999*"})
    again = trusting.trust_facts(role(text(pattern, trust({"AWS": STRANGE}))), (), known)
    assert again["trust_findings"]


def test_buckets_and_vaults_tell_whom_their_policies_let_in() -> None:
    grant = {"Effect": "Allow", "Principal": {"AWS": [STRANGE, AWAY]}, "Action": "*", "Resource": "*"}
    tables = {"config_place": [{"cloud": "aws", "account": HOME}, {"cloud": "aws", "account": AWAY}]}
    found = facts(estate(s3_bucket=[bucket(policy=text(grant))], **tables), "bucket")[BUCKET]
    assert (found["policy_public"], found["policy_accounts"], found["policy_accounts_known"]) == (
        False,
        [STRANGE],
        True,
    )
    assert (found["tls_denied"], found["acls_disabled"]) == (False, True)
    held = facts(estate(backup_vault=[vault(policy=text(grant))], **tables), "vault")[VAULT]
    assert (held["policy_public"], held["policy_accounts"], held["deletion_denied"]) == (
        False,
        [STRANGE],
        False,
    )
    assert "may do backup:DeleteRecoveryPoint" in held["deletion_says"]


@pytest.mark.parametrize("broken", ["{", '{"Statement": [], "Statement": []}', None])
def test_a_policy_that_cannot_be_read_leaves_its_own_bucket_and_vault_unknown(broken: str | None) -> None:
    other = "arn:aws:s3:::exports-two"
    found = facts(estate(s3_bucket=[bucket(policy=broken), bucket(other)]), "bucket")
    assert (found[BUCKET]["policy_public"], found[BUCKET]["tls_denied"], found[other]["policy_public"]) == (
        None,
        None,
        False,
    )
    assert found[BUCKET]["policy_unknown"]
    held = facts(estate(backup_vault=[vault(policy=broken)]), "vault")[VAULT]
    assert (held["policy_accounts"], held["deletion_denied"]) == (None, None)
    assert held["policy_unknown"]


def test_the_reason_why_a_policy_is_unknown_stands_in_the_outcome_of_every_rule_on_it() -> None:
    from auditor.evaluate import evaluate
    from auditor.rulepack import load

    rules = Path(__file__).parent.parent / "rules"
    pack = load([rules], [rules / "frameworks"])
    seen = [
        {
            "table_name": table,
            "account": HOME,
            "region": "*",
            "resource": "*",
            "complete": True,
            "reason": "",
            "detail": "",
        }
        for table in ("iam_role", "s3_bucket", "backup_vault", "directory_user", "backup_selection")
    ]
    tables = estate(
        iam_role=[role("{")], config_federation=[way()], s3_bucket=[bucket(policy="{")], backup_vault=[vault(policy="{", locked=False)],
        coverage=seen,
        history_watch=before(text(google())),
    )  # fmt: skip
    codes = ("FED-001", "FED-002", "FED-003", "FED-004", "FED-005", "FED-015", "DRF-001", "BKT-002", "BKT-003", "BKT-011", "VLT-004")  # fmt: skip
    with derived(tables) as engine:
        evaluate(engine, pack)
        told = {
            row["code"]: row
            for row in engine.table("outcome")
            if row["code"] in codes and row["verdict"] == "unknown"
        }
    assert {code: "not JSON" in row["because"] for code, row in told.items()} == dict.fromkeys(codes, True)
