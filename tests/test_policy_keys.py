"""The table of condition keys says who can carry a key, and never more than that."""

from __future__ import annotations

import pytest

from auditor.policy.keys import (
    Presence,
    forms,
    homes,
    known,
    multivalued,
    presence,
    presentable,
    provider_of,
    value_type,
)
from tests.trust_case import EKS, GITHUB, GOOGLE, OWN

WEB, ASSUME = "sts:AssumeRoleWithWebIdentity", "sts:AssumeRole"
ROLE, USER = f"arn:aws:iam::{OWN}:role/app", f"arn:aws:iam::{OWN}:user/eva"


def arn(host: str) -> str:
    return f"arn:aws:iam::{OWN}:oidc-provider/{host}"


@pytest.mark.parametrize(
    "key",
    [
        "", ":", "aws:", "aws:RequestTag/", "aws:PrincipleArn", "sts:External", "nonsense", "a:b", f"{GOOGLE}:email", f"{GOOGLE}:hd",
        f"{GOOGLE}:amr", f"{GITHUB}:repository_owner", f"{GITHUB}:job_workflow", "gitlab.example.com:project_id", "saml:no-such",
        "cognito-identity.amazonaws.com:email", f"{GITHUB}:", "s3:prefix", "\ud800:sub", "a b.c:sub",
    ],
)  # fmt: skip
def test_a_key_that_no_call_carries_is_not_known(key: str) -> None:
    assert known(key) is None
    assert value_type(key) is None and not multivalued(key)
    assert presence("oidc", GOOGLE, WEB, key) is Presence.NEVER


@pytest.mark.parametrize(
    "key",
    [
        f"{GITHUB}:repository_owner_id", f"{GITHUB}/acme:job_workflow_ref", "token.actions.acme.ghe.com:environment",
        "github.com/enterprises/acme:actor_id", "gitlab.com:namespace_id", "agent.buildkite.com:pipeline_slug",
        "agent.acme.buildkite.dev:cluster_id", "oidc.circleci.com/org/1:oidc.circleci.com/project-id", f"{EKS}:sub",
        "acme.okta.com/oauth2/default:aud", "app.terraform.io:sub", "idcs-1.identity.oraclecloud.com:rpst_id", "SAML:aud",
        "saml:edupersonaffiliation", "aws:RequestTag/team/blue", "AWS:PRINCIPALTAG/x", "iam:ResourceTag/a", "sts:RequestContext/x",
        "sts:RoleAuthorizedByIdp", f"{GOOGLE}:google/organization_number", "www.amazon.com:app_id", "graph.facebook.com:id",
    ],
)  # fmt: skip
def test_keys_of_every_provider_are_known_in_any_case(key: str) -> None:
    facts = known(key)
    assert facts == known(key.upper()) == known(key.lower())
    assert facts is not None and facts.key.lower() == key.lower()


@pytest.mark.parametrize(
    ("kind", "principal", "action", "key", "expected"),
    [
        ("aws", ROLE, ASSUME, "sts:RoleSessionName", Presence.ALWAYS),
        ("aws", ROLE, "sts:TagSession", "sts:RoleSessionName", Presence.MAYBE),
        ("aws", ROLE, ASSUME, "sts:ExternalId", Presence.MAYBE),
        ("oidc", GOOGLE, WEB, "sts:ExternalId", Presence.NEVER),
        ("aws", ROLE, ASSUME, "aws:MultiFactorAuthPresent", Presence.MAYBE),
        ("aws", ROLE, ASSUME, "aws:username", Presence.NEVER),
        ("aws", USER, ASSUME, "aws:username", Presence.ALWAYS),
        ("aws", ROLE, ASSUME, "aws:SourceArn", Presence.NEVER),
        ("service", "backup.amazonaws.com", ASSUME, "aws:SourceArn", Presence.MAYBE),
        ("service", "backup.amazonaws.com", ASSUME, "aws:PrincipalOrgID", Presence.NEVER),
        ("service", "pods.eks.amazonaws.com", ASSUME, "aws:RequestTag/kubernetes-namespace", Presence.ALWAYS),
        ("service", "ec2.amazonaws.com", ASSUME, "aws:RequestTag/kubernetes-namespace", Presence.MAYBE),
        ("oidc", GOOGLE, WEB, f"{GOOGLE}:aud", Presence.ALWAYS),
        ("oidc", GOOGLE, WEB, f"{GOOGLE}:oaud", Presence.ALWAYS),
        ("oidc", GOOGLE, WEB, f"{GOOGLE}:sub", Presence.ALWAYS),
        ("oidc", GOOGLE, WEB, f"{GOOGLE}:google/organization_number", Presence.MAYBE),
        ("oidc", GOOGLE, WEB, f"{GITHUB}:sub", Presence.NEVER),
        ("oidc", arn(GITHUB), WEB, f"{GITHUB}:sub", Presence.ALWAYS),
        ("oidc", arn(GITHUB), WEB, f"{GITHUB}:environment", Presence.MAYBE),
        ("oidc", arn(f"{GITHUB}/acme"), WEB, f"{GITHUB}:sub", Presence.NEVER),
        ("oidc", arn(EKS), WEB, f"{EKS}:sub", Presence.ALWAYS),
        ("aws", ROLE, ASSUME, f"{GOOGLE}:sub", Presence.MAYBE),
        ("aws", ROLE, ASSUME, f"{GITHUB}:sub", Presence.NEVER),
        (
            "saml",
            f"arn:aws:iam::{OWN}:saml-provider/Okta",
            "sts:AssumeRoleWithSAML",
            "SAML:aud",
            Presence.ALWAYS,
        ),
        ("oidc", GOOGLE, WEB, "SAML:aud", Presence.NEVER),
        ("aws", ROLE, ASSUME, "aws:CurrentTime", Presence.ALWAYS),
        ("aws", ROLE, ASSUME, "sts:DurationSeconds", Presence.NEVER),
    ],
)
def test_a_key_is_there_never_maybe_or_always(
    kind: str, principal: str, action: str, key: str, expected: Presence
) -> None:
    assert presence(kind, principal, action, key) is expected
    assert presentable(kind, principal, action, key) == (expected is not Presence.NEVER)


def test_types_and_multiplicity_are_those_of_the_service_reference() -> None:
    assert value_type("aws:SourceIp") == "ip" and value_type("aws:CurrentTime") == "date"
    assert (
        value_type("aws:MultiFactorAuthPresent") == "bool"
        and value_type(f"{GOOGLE}:google/organization_number") == "numeric"
    )
    assert value_type("aws:SourceArn") == "arn" and value_type("sts:ExternalId") == "string"
    assert all(
        map(
            multivalued,
            [
                "aws:TagKeys",
                "cognito-identity.amazonaws.com:amr",
                "saml:edupersonaffiliation",
                "aws:PrincipalOrgPaths",
            ],
        )
    )
    assert not any(map(multivalued, [f"{GITHUB}:sub", "saml:aud", "aws:PrincipalOrgID", "aws:RequestTag/a"]))


def test_a_provider_is_found_in_its_arn_and_nowhere_else() -> None:
    assert provider_of(arn("Acme.okta.com/oauth2/")) == "acme.okta.com/oauth2"
    assert provider_of(GOOGLE) == GOOGLE
    assert provider_of(ROLE) is None and provider_of(f"arn:aws:iam::{OWN}:saml-provider/Okta") is None


def test_a_key_leads_to_the_principals_that_can_carry_it() -> None:
    assert homes(f"{GITHUB}:sub", OWN) == (("oidc", arn(GITHUB)),)
    assert homes(f"{GOOGLE}:sub") == (("oidc", GOOGLE),)
    assert homes("aws:SourceIp") == homes("saml:aud") == homes("no:key") == ()


def test_subjects_have_the_form_their_provider_gives_them() -> None:
    assert forms("oidc", arn(GITHUB), f"{GITHUB}:sub")[0] == "repo:?*/?*:?*"
    assert forms("oidc", arn(EKS), f"{EKS}:sub") == ("system:serviceaccount:?*:?*",)
    assert forms("oidc", GOOGLE, f"{GOOGLE}:sub") == () and forms("oidc", arn(GITHUB), f"{GITHUB}:aud") == ()
    assert forms("service", "x.amazonaws.com", "aws:PrincipalIsAWSService") == ("true",)
