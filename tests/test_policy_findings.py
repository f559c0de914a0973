"""Every finding fires where it should, keeps silent at the near miss, and does not care how a policy is written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from auditor.policy.evaluate import allowed
from auditor.policy.findings import SEVERITY, findings, refused
from auditor.policy.findings_meaning import MEANING
from auditor.policy.parse import PolicyError, parse
from auditor.policy.words import sentence
from tests.trust_case import (
    ACCOUNT_OF_GOOGLE,
    EKS,
    GITHUB,
    GOOGLE,
    OTHER,
    OWN,
    ci,
    eks,
    export_role,
    github,
    google,
    may,
    policy,
    provider,
    web,
)

ANYONE = {"AWS": "*"}
ROOT, OTHER_ROOT = {"AWS": OWN}, {"AWS": f"arn:aws:iam::{OTHER}:root"}
ROLE = {"AWS": f"arn:aws:iam::{OWN}:role/app"}
MFA = "aws:MultiFactorAuthPresent"
COGNITO = "cognito-identity.amazonaws.com"
POOL = {f"{COGNITO}:aud": "eu-west-1:11111111-2222-3333-4444-555555555555"}
SAML = {"Federated": f"arn:aws:iam::{OWN}:saml-provider/Okta"}
SIGN_IN = {"SAML:aud": "https://signin.aws.amazon.com/saml"}
BACKUP, PODS = {"Service": "backup.amazonaws.com"}, {"Service": "pods.eks.amazonaws.com"}
POD_ACTIONS = ["sts:AssumeRole", "sts:TagSession"]
OKTA = "acme.okta.com"
LIVE = {"StringEquals": {f"{OKTA}:aud": "aws", f"{OKTA}:sub": "app"}}
UNTIL = {"DateLessThan": {"aws:CurrentTime": "2031-01-01T00:00:00Z"}}


def names(document: dict[str, Any], **known: Any) -> set[str]:
    return {each.name for each in findings(parse(document, strict=False), **({"account": OWN} | known))}


FIRING: dict[str, list[dict[str, Any]]] = {
    "public": [
        policy(may(ANYONE)),
        policy(may("*")),
        policy(may("*", "sts:*")),
        policy(may(ANYONE, StringNotEquals={"aws:PrincipalOrgID": "o-mine000000"})),
        policy(may(ANYONE, StringLike={"aws:PrincipalOrgID": "o-*"})),
        policy(may(ANYONE, StringEqualsIfExists={"aws:PrincipalOrgID": "o-mine000000"})),
        policy(may(ANYONE, IpAddress={"aws:SourceIp": "0.0.0.0/0"})),
        policy(may(ANYONE, StringLike={"sts:RoleSessionName": "*"})),
        policy(may(ANYONE), may(ANYONE, effect="Deny", StringEquals={"aws:PrincipalAccount": OTHER})),
        policy(may(ANYONE, ForAllValues__StringEquals={"aws:PrincipalOrgPaths": "o-mine000000/r-1/"})),
        policy(web("*")),
    ],
    "public-weak-condition": [
        policy(may(ANYONE, StringEquals={"sts:ExternalId": "x"})),
        policy(may(ANYONE, StringLike={"sts:RoleSessionName": "ci-*"})),
        policy(may(ANYONE, IpAddress={"aws:SourceIp": "192.0.2.0/24"})),
        policy(may(ANYONE, StringEquals={"aws:RequestTag/team": "a"})),
        policy(may(ANYONE, StringEquals={"aws:PrincipalTag/team": "a"})),
        policy(may(ANYONE, ArnLike={"aws:PrincipalArn": "arn:aws:iam::*:role/admin"})),
        policy(may(ANYONE, Bool={MFA: "true"})),
        policy(may(ANYONE, StringLike={"aws:PrincipalAccount": "1111*"})),
    ],
    "org-wide": [
        policy(may(ANYONE, StringEquals={"aws:PrincipalOrgID": "o-mine000000"})),
        policy(may("*", StringLike={"aws:PrincipalOrgID": "o-mine000000"})),
        policy(may(ANYONE, ForAnyValue__StringLike={"aws:PrincipalOrgPaths": "o-mine000000/r-ab12/*"})),
        policy(may(ANYONE), may(ANYONE, effect="Deny", StringNotEquals={"aws:PrincipalOrgID": "o-mine000000"})),
    ],
    "account-wide-trust": [
        policy(may(ROOT)),
        policy(may({"AWS": f"arn:aws:iam::{OWN}:root"})),
        policy(may(ANYONE, StringEquals={"aws:PrincipalAccount": OWN})),
        policy(may(ANYONE, ArnLike={"aws:PrincipalArn": f"arn:aws:iam::{OWN}:*"})),
        policy(may(ROOT, Bool={MFA: "true"})),
    ],
    "external-account": [
        policy(may(OTHER_ROOT)),
        policy(may({"AWS": [OTHER]})),
        policy(may(OTHER_ROOT, StringEquals={"sts:ExternalId": "x"})),
        policy(may(ANYONE, StringEquals={"aws:PrincipalAccount": OTHER})),
        policy(may(OTHER_ROOT, ArnLike={"aws:PrincipalArn": f"arn:aws:iam::{OTHER}:role/*"})),
    ],
    "missing-external-id": [
        policy(may(OTHER_ROOT)),
        policy(may(OTHER_ROOT, StringLike={"sts:ExternalId": "acme-*"})),
        policy(may(OTHER_ROOT, StringEqualsIfExists={"sts:ExternalId": "x"})),
        policy(may(OTHER_ROOT, StringNotEquals={"sts:ExternalId": "x"})),
        policy(may(OTHER_ROOT, Null={"sts:ExternalId": "false"})),
    ],
    "confused-deputy": [
        policy(may(BACKUP)),
        policy(may({"Service": "s3.amazonaws.com"}, ArnLike={"aws:SourceArn": "arn:aws:s3:::*"})),
        policy(may({"Service": "s3.amazonaws.com"}, ArnLike={"aws:SourceArn": "arn:aws:s3:::acme-*"})),
        policy(may(BACKUP, StringEqualsIfExists={"aws:SourceAccount": OWN})),
        policy(may(BACKUP, ArnLike={"aws:SourceArn": "arn:aws:backup:*:*:*"})),
        policy(may(BACKUP, StringLike={"aws:SourceAccount": "*"})),
        policy(may(ANYONE, Bool={"aws:PrincipalIsAWSService": "true"})),
    ],
    "any-github-repo": [
        github(),
        github("*"),
        github("repo:*"),
        github("repo:*/infra:*"),
        github("repo:acme/app:*", "repo:*/*:pull_request"),
        github("environment:prod"),
        github("repo:evil/*", operator="StringNotLike"),
        github("repo:*", operator="ForAnyValue:StringLike"),
        policy(web("*", StringLike={f"{GITHUB}:sub": "repo:*"})),
    ],
    "github-owner-prefix": [github("repo:acme*"), github("repo:acme*/app:*"), github("repo:acme-?/app:ref:refs/heads/main")],
    "github-org-wide": [
        github("repo:acme/*"),
        github("repo:acme/*:ref:refs/heads/main"),
        github(repository_owner_id="1234"),
        github("repo:acme/*", "repo:acme/app:*"),
    ],
    "github-repo-prefix": [github("repo:acme/app*"), github("repo:acme/app-*:ref:refs/heads/main")],
    "github-any-ref": [
        github("repo:acme/app:*"),
        github("repo:acme/app:ref:refs/heads/*"),
        github("repo:acme/app:ref:*"),
        github("repo:acme/app:ref:refs/tags/*"),
        github(repository_id="1234"),
        github("*", repository="acme/app"),
    ],
    "github-pull-request": [
        github("repo:acme/app:pull_request"),
        github("repo:acme/app:pull_request", operator="StringEquals"),
        github("repo:acme/app:pull*"),
    ],
    "missing-sub": [
        policy(web(provider(OKTA), StringEquals={f"{OKTA}:aud": "aws"})),
        policy(web(provider(OKTA), StringEquals={f"{OKTA}:aud": "aws"}, StringLike={f"{OKTA}:sub": "*"})),
    ],
    "missing-aud": [
        github("repo:acme/app:ref:refs/heads/main", aud=False),
        policy(web(provider(OKTA), StringEquals={f"{OKTA}:sub": "app"})),
        google(sub=ACCOUNT_OF_GOOGLE),
        google(sub=ACCOUNT_OF_GOOGLE, aud=ACCOUNT_OF_GOOGLE),
    ],
    "any-google-identity": [
        google(oaud="aws-export"),
        google(),
        policy(web({"Federated": GOOGLE}, StringLike={f"{GOOGLE}:sub": "*"}, StringEquals={f"{GOOGLE}:oaud": "x"})),
    ],
    "google-subject-wildcard": [
        policy(web({"Federated": GOOGLE}, StringLike={f"{GOOGLE}:sub": "1042*"}, StringEquals={f"{GOOGLE}:oaud": "x"})),
        policy(web({"Federated": GOOGLE}, StringLike={f"{GOOGLE}:sub": "10420000000000000000?"}, StringEquals={f"{GOOGLE}:oaud": "x"})),
    ],
    "google-org-wide": [
        policy(
            web(
                {"Federated": GOOGLE},
                StringEquals={f"{GOOGLE}:oaud": "x"},
                NumericEquals={f"{GOOGLE}:google/organization_number": "123"},
            )
        )
    ],
    "google-aud-misread": [google(sub=ACCOUNT_OF_GOOGLE, aud="sts.amazonaws.com"), google(sub=ACCOUNT_OF_GOOGLE, aud="aws-export", oaud="aws-export")],
    "google-own-provider": [
        policy(web(provider(GOOGLE), StringEquals={f"{GOOGLE}:sub": ACCOUNT_OF_GOOGLE, f"{GOOGLE}:oaud": "x"}))
    ],
    "saml-missing-aud": [
        policy(may(SAML, "sts:AssumeRoleWithSAML")),
        policy(may(SAML, "sts:AssumeRoleWithSAML", StringLike={"SAML:aud": "https://*"})),
    ],
    "cognito-missing-aud": [
        policy(web({"Federated": COGNITO}, ForAnyValue__StringLike={f"{COGNITO}:amr": "authenticated"})),
    ],
    "cognito-unauthenticated": [
        policy(web({"Federated": COGNITO}, StringEquals=POOL)),
        policy(web({"Federated": COGNITO}, StringEquals=POOL, ForAnyValue__StringLike={f"{COGNITO}:amr": "unauthenticated"})),
        policy(web({"Federated": COGNITO}, StringEquals=POOL, ForAnyValue__StringLike={f"{COGNITO}:amr": "*authenticated"})),
    ],
    "eks-any-serviceaccount": [eks(None), eks("system:serviceaccount:*:*"), eks("system:serviceaccount:prod:*")],
    "eks-any-namespace": [eks("system:serviceaccount:*:etl"), eks("*")],
    "eks-any-pod": [policy(may(PODS, POD_ACTIONS)), policy(may(PODS, "sts:*"))],
    "ci-any-tenant": [
        ci("gitlab.com", None),
        ci("gitlab.com", "project_path:*"),
        ci("app.terraform.io", "organization:*:project:infra:*"),
        ci("agent.buildkite.com", None),
    ],
    "ci-broad-subject": [
        ci("gitlab.com", "project_path:acme/*"),
        ci("app.terraform.io", "organization:acme:*"),
        ci("app.terraform.io", "organization:acme:project:*:workspace:*:run_phase:*"),
        ci("oidc.circleci.com/org/1111", None),
    ],
    "fail-open-forallvalues": [
        policy(may(ROLE, ForAllValues__StringEquals={"aws:PrincipalOrgPaths": "o-a/r-b/"})),
        github("repo:acme/app:ref:refs/heads/main", operator="ForAllValues:StringLike"),
    ],
    "fail-open-ifexists": [
        policy(may(ROLE, StringEqualsIfExists={"aws:SourceVpce": "vpce-1"})),
        policy(may(ROLE, StringNotEqualsIfExists={"aws:SourceVpce": "vpce-1"})),
    ],
    "fail-open-negated": [
        policy(may(ROLE, StringNotEquals={"aws:SourceVpce": "vpce-1"})),
        policy(may(ROOT, ArnNotLike={"aws:PrincipalArn": f"arn:aws:iam::{OWN}:role/dev-*"})),
        policy(may(ROLE, NotIpAddress={"aws:SourceIp": "192.0.2.0/24"})),
        github("repo:evil/*", operator="StringNotLike"),
    ],
    "mfa-absent-hole": [
        policy(may(ROOT, BoolIfExists={MFA: "true"})),
        policy(may(ROOT), may(ANYONE, "*", "Deny", Bool={MFA: "false"})),
        policy(may(ROOT, NumericLessThanIfExists={"aws:MultiFactorAuthAge": "3600"})),
        policy(may({"AWS": f"arn:aws:iam::{OWN}:user/eva"}, BoolIfExists={MFA: "true"})),
    ],
    "dead-principal": [policy(may({"AWS": "AROAEXAMPLEEXAMPLEEXA"})), policy(may({"AWS": [OWN, "AIDAEXAMPLEEXAMPLEEXA"]}))],
    "dead-statement": [
        policy(may(provider(OKTA), **LIVE)),
        policy(may(ROLE), may(ANYONE, "sts:*", "Deny")),
        policy(may(ROLE, StringEquals={"aws:SourceAccount": OWN})),
        policy(may(ROLE, StringEquals={"aws:PrincipalAccount": OTHER})),
        policy(),
        policy(may("*", effect="Deny")),
    ],
    "literal-wildcard": [
        github("repo:acme/*", operator="StringEquals"),
        policy(may(ROLE, StringNotEquals={"sts:RoleSessionName": "ci-*"})),
        policy(may(ROLE, StringEqualsIgnoreCase={"sts:ExternalId": "*"})),
    ],
    "variable-in-2008": [policy(may(ROOT, StringLike={"sts:RoleSessionName": "${aws:username}"}), version="2008-10-17")],
    "unknown-condition-key": [
        github(repository_owner="acme"),
        google(email="job@acme.iam.gserviceaccount.com"),
        policy(may(ROLE, StringEquals={"aws:PrincipleArn": "x"})),
        policy(may(ROLE), may(ANYONE, effect="Deny", StringEquals={"sts:External": "x"})),
    ],
    "invalid-principal": [
        policy(may({"AWS": f"arn:aws:iam::{OWN}:role/*"})),
        policy(may({"AWS": f"arn:aws:iam::{OWN}:group/admins"})),
        policy(may({"AWS": "11112222333"})),
        policy(may({"Service": "backup"})),
        policy(web({"Federated": GITHUB})),
        policy(may({"CanonicalUser": "79a59df900b949e55d96a1e698fbaced"})),
    ],
    "invalid-notprincipal": [{"Statement": {"Effect": "Deny", "NotPrincipal": {"AWS": OWN}, "Action": "sts:*"}}],
    "invalid-action": [policy(may(ROLE, ["sts:AssumeRole", "s3:GetObject"])), policy(may(ROLE, "sts:AssumeRoles"))],
    "role-by-name": [
        policy(may(ROOT, ArnEquals={"aws:PrincipalArn": f"arn:aws:iam::{OWN}:role/app"})),
        policy(may(ANYONE, StringLike={"aws:PrincipalArn": f"arn:aws:iam::{OWN}:role/app"})),
    ],
    "unbounded-session-tags": [policy(may(ROLE, POD_ACTIONS)), policy(may(ROLE, "sts:*")), policy(may(ROLE, POD_ACTIONS, StringLike={"aws:RequestTag/team": "*"}))],
    "expires": [
        policy(may(ROLE, **UNTIL)),
        policy(may(ROLE, DateGreaterThan={"aws:CurrentTime": "2031-01-01T00:00:00Z"})),
        policy(may(ROLE), may(ANYONE, effect="Deny", DateGreaterThan={"aws:EpochTime": "1924992000"})),
    ],
}  # fmt: skip

NEAR: dict[str, list[dict[str, Any]]] = {
    "public": [
        policy(may(ANYONE, StringEquals={"aws:PrincipalOrgID": "o-mine000000"})),
        policy(may(ANYONE, StringEquals={"aws:PrincipalOrgID": "${aws:ResourceOrgID}"})),
        policy(may(ANYONE), may(ANYONE, "sts:*", "Deny", StringNotEquals={"aws:PrincipalAccount": OWN})),
        policy(may(ANYONE, StringEquals={"aws:SourceVpce": "vpce-1"})),
        policy(may(ANYONE, "s3:GetObject")),
    ],
    "public-weak-condition": [
        policy(may(ANYONE, StringEquals={"aws:PrincipalOrgID": "${aws:ResourceOrgID}"})),
        policy(may(ANYONE, StringEquals={"aws:PrincipalAccount": "${aws:ResourceAccount}"})),
        policy(may(ANYONE, StringEquals={"aws:SourceVpce": "vpce-1"})),
        policy(may(ANYONE, ArnLike={"aws:PrincipalArn": f"arn:aws:iam::{OWN}:role/*"})),
        policy(may(ANYONE, StringEquals={"aws:NoSuchKey": "x"})),
    ],
    "org-wide": [
        policy(may(ROOT, StringEquals={"aws:PrincipalOrgID": "o-mine000000"})),
        policy(may(ANYONE, StringEquals={"aws:PrincipalOrgID": "o-mine000000", "aws:PrincipalAccount": OWN})),
        policy(may(ANYONE, StringEquals={"aws:PrincipalOrgID": "o-mine000000", "aws:PrincipalTag/team": "data"})),
        policy(may(ANYONE, StringEquals={"aws:PrincipalOrgID": "o-mine000000"}, ArnLike={"aws:PrincipalArn": "arn:aws:iam::*:role/deployer"})),
    ],
    "account-wide-trust": [
        policy(may(ROLE)),
        policy(may(ROOT, ArnLike={"aws:PrincipalArn": f"arn:aws:iam::{OWN}:role/ci-*"})),
        policy(may(ROOT, StringEquals={"aws:PrincipalTag/team": "data"})),
    ],
    "external-account": [
        policy(may({"AWS": f"arn:aws:iam::{OTHER}:role/vendor"})),
        policy(may(OTHER_ROOT, ArnEquals={"aws:PrincipalArn": f"arn:aws:iam::{OTHER}:role/vendor"})),
        policy(may(ROOT)),
    ],
    "missing-external-id": [
        policy(may(OTHER_ROOT, StringEquals={"sts:ExternalId": "x"})),
        policy(may(OTHER_ROOT, StringLike={"sts:ExternalId": "x"})),
        policy(may(OTHER_ROOT), may(ANYONE, "*", "Deny", StringNotEquals={"sts:ExternalId": ["x", "y"]})),
        policy(may({"AWS": f"arn:aws:iam::{OTHER}:role/vendor"})),
    ],
    "confused-deputy": [
        policy(may({"Service": "ec2.amazonaws.com"})),
        policy(may(BACKUP, StringEquals={"aws:SourceAccount": OWN})),
        policy(may(BACKUP, ArnLike={"aws:SourceArn": f"arn:aws:backup:*:{OWN}:*"})),
        policy(may({"Service": "s3.amazonaws.com"}, ArnLike={"aws:SourceArn": "arn:aws:s3:::acme"})),
        policy(may(BACKUP, StringEquals={"aws:SourceOrgID": "o-mine000000"})),
        policy(may(BACKUP, StringEquals={"aws:SourceAccount": "${aws:ResourceAccount}"})),
        policy(may(BACKUP), may("*", "*", "Deny", StringNotEquals={"aws:SourceAccount": OWN})),
    ],
    "any-github-repo": [github("repo:acme/*"), github(repository_owner_id="1"), policy(web("*", StringLike={f"{GITHUB}:sub": "repo:acme/*"}))],
    "github-owner-prefix": [github("repo:acme/*"), github("repo:acme/app*"), github("repo:Acme/app:ref:refs/heads/main", operator="StringEqualsIgnoreCase")],
    "github-org-wide": [github("repo:acme/app*"), github("repo:acme/app:*"), github("repo:acme/*", repository="acme/app")],
    "github-repo-prefix": [github("repo:acme/app:*"), github("repo:acme/app*", repository_id="1")],
    "github-any-ref": [
        github("repo:acme/app:ref:refs/heads/main"),
        github("repo:acme/app:environment:*"),
        github("repo:acme/app:*", environment="prod"),
        github("repo:acme/app:ref:refs/heads/release-*"),
        github("repo:acme/app:*", job_workflow_ref="acme/app/.github/workflows/d.yml@refs/heads/main"),
    ],
    "github-pull-request": [github("repo:acme/app:ref:refs/heads/main"), github("repo:acme/app:environment:pull_request")],
    "missing-sub": [policy(web(provider(OKTA), **LIVE))],
    "missing-aud": [github("repo:acme/app:ref:refs/heads/main"), export_role(), google(sub=ACCOUNT_OF_GOOGLE, oaud="x")],
    "any-google-identity": [export_role(), google(oaud="x", sub=ACCOUNT_OF_GOOGLE), google(oaud="x", aud=ACCOUNT_OF_GOOGLE)],
    "google-subject-wildcard": [export_role()],
    "google-org-wide": [export_role()],
    "google-aud-misread": [export_role(), google(sub=ACCOUNT_OF_GOOGLE, aud="123-abc.apps.googleusercontent.com")],
    "google-own-provider": [export_role()],
    "saml-missing-aud": [policy(may(SAML, "sts:AssumeRoleWithSAML", StringEquals=SIGN_IN))],
    "cognito-missing-aud": [policy(web({"Federated": COGNITO}, StringEquals=POOL))],
    "cognito-unauthenticated": [
        policy(web({"Federated": COGNITO}, StringEquals=POOL, ForAnyValue__StringLike={f"{COGNITO}:amr": "authenticated"}))
    ],
    "eks-any-serviceaccount": [eks("system:serviceaccount:*:etl"), eks("system:serviceaccount:prod:etl-*")],
    "eks-any-namespace": [eks("system:serviceaccount:prod:*"), eks("system:serviceaccount:prod-*:etl")],
    "eks-any-pod": [policy(may(PODS, POD_ACTIONS, StringEquals={"aws:RequestTag/kubernetes-namespace": "prod"}))],
    "ci-any-tenant": [ci("gitlab.com", "project_path:acme/*"), ci("oidc.circleci.com/org/1111", None)],
    "ci-broad-subject": [
        ci("gitlab.com", "project_path:acme/app:*"),
        ci("app.terraform.io", "organization:acme:project:p:workspace:w:run_phase:*"),
        ci("oidc.circleci.com/org/1111", "org/1111/project/2222/user/*"),
    ],
    "fail-open-forallvalues": [
        policy(may(ROLE, ForAllValues__StringEquals={f"{GITHUB}:iss": "https://x"})),
        policy(may(ROLE, POD_ACTIONS, ForAllValues__StringEquals={"aws:TagKeys": ["team"]})),
        policy(may(ROLE, ForAllValues__StringEquals={"aws:PrincipalOrgPaths": "o-a/r-b/"}, Null={"aws:PrincipalOrgPaths": "false"})),
    ],
    "fail-open-ifexists": [
        policy(may(ROLE, StringEqualsIfExists={"aws:SourceVpce": "vpce-1"}, Null={"aws:SourceVpce": "false"})),
        policy(may(ROLE), may("*", "*", "Deny", StringNotEqualsIfExists={"aws:SourceVpce": "vpce-1"})),
    ],
    "fail-open-negated": [
        policy(may(ROLE), may("*", "*", "Deny", StringNotEquals={"aws:SourceVpce": "vpce-1"})),
        policy(web(provider(GITHUB), StringLike={f"{GITHUB}:sub": "repo:acme/app:ref:*"}, StringNotLike={f"{GITHUB}:sub": "repo:acme/app:ref:refs/heads/dev"})),
    ],
    "mfa-absent-hole": [
        policy(may(ROOT, Bool={MFA: "true"})),
        policy(may(ROOT), may(ANYONE, "*", "Deny", BoolIfExists={MFA: "false"})),
        policy(may(ROOT)),
        policy(may(ROOT, NumericLessThan={"aws:MultiFactorAuthAge": "3600"})),
    ],
    "dead-principal": [policy(may(ROLE)), policy(may(ROLE), may({"AWS": "AIDAEXAMPLEEXAMPLEEXA"}, effect="Deny"))],
    "dead-statement": [policy(may(ROOT, StringLike={"sts:RoleSessionName": "${aws:username}"})), policy(may(ROLE)), policy(web(provider(OKTA), **LIVE))],
    "literal-wildcard": [github("repo:acme/app:*"), policy(may(ROLE, StringEquals={"sts:ExternalId": "a${*}b"}))],
    "variable-in-2008": [policy(may(ROOT, StringLike={"sts:RoleSessionName": "${aws:username}"}))],
    "unknown-condition-key": [github(repository_owner_id="1"), policy(may(ROLE, StringEquals={"AWS:principaltag/Team": "x"}))],
    "invalid-principal": [policy(may(ROLE)), policy(may({"Service": "ec2.amazonaws.com.cn"})), policy(may({"AWS": "arn:aws-us-gov:iam::111122223333:role/x"}))],
    "invalid-notprincipal": [policy(may(ROLE))],
    "invalid-action": [policy(may(ROLE, "sts:Assume*")), policy(may(ROLE, "STS:assumerole"))],
    "role-by-name": [
        policy(may(ROLE, ArnEquals={"aws:PrincipalArn": f"arn:aws:iam::{OWN}:role/app"})),
        policy(may(ROOT, ArnLike={"aws:PrincipalArn": f"arn:aws:iam::{OWN}:role/ci-*"})),
    ],
    "unbounded-session-tags": [policy(may(ROLE)), policy(may(ROLE, POD_ACTIONS, ForAllValues__StringEquals={"aws:TagKeys": ["team"]})), policy(may(PODS, POD_ACTIONS))],
    "expires": [policy(may(ROLE)), policy(may(ROLE, DateGreaterThan={"aws:TokenIssueTime": "2020-01-01T00:00:00Z"}))],
}  # fmt: skip

SOUND = {
    "the export role": export_role(),
    "the export role by sub and oaud": google(sub=ACCOUNT_OF_GOOGLE, oaud="aws-export"),
    "one branch of GitHub": github("repo:acme/app:ref:refs/heads/main"),
    "one environment of GitHub, exactly": github("repo:acme/app:environment:prod", operator="StringEquals"),
    "one Kubernetes service account": eks("system:serviceaccount:prod:etl"),
    "one role": policy(may(ROLE)),
    "one role of a vendor with an external id": policy(may({"AWS": f"arn:aws:iam::{OTHER}:role/vendor"}, StringEquals={"sts:ExternalId": "x"})),
    "EC2": policy(may({"Service": "ec2.amazonaws.com"})),
    "Lambda": policy(may({"Service": "lambda.amazonaws.com"})),
    "Backup for this account": policy(may(BACKUP, StringEquals={"aws:SourceAccount": OWN})),
    "SAML": policy(may(SAML, ["sts:AssumeRoleWithSAML", "sts:TagSession"], StringEquals=SIGN_IN)),
    "Cognito, signed in": policy(web({"Federated": COGNITO}, StringEquals=POOL, ForAnyValue__StringLike={f"{COGNITO}:amr": "authenticated"})),
    "pods of one namespace": policy(may(PODS, POD_ACTIONS, StringEquals={"aws:RequestTag/kubernetes-namespace": "prod", "aws:RequestTag/eks-cluster-name": "blue"})),
    "a user with MFA": policy(may({"AWS": f"arn:aws:iam::{OWN}:user/eva"}, Bool={MFA: "true"})),
    "a Terraform workspace": ci("app.terraform.io", "organization:acme:project:p:workspace:w:run_phase:*"),
    "China": policy(may({"AWS": "arn:aws-cn:iam::111122223333:role/app"})),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "document"), [(name, each) for name, all_ in FIRING.items() for each in all_]
)
def test_a_policy_with_the_flaw_has_the_finding_with_a_witness_that_the_evaluator_admits(
    name: str, document: dict[str, Any]
) -> None:
    read = parse(document, strict=False)
    found = [each for each in findings(read, account=OWN) if each.name == name]
    assert found, names(document)
    for each in found:
        assert each.severity in ("critical", "high", "medium", "low")
        assert each.because.endswith(".")
        if each.witness:
            verdict = allowed(read, each.witness)
            assert verdict.allowed and verdict.statements == each.statements
            assert sentence(each.witness)


@pytest.mark.parametrize(("name", "document"), [(name, each) for name, all_ in NEAR.items() for each in all_])
def test_a_near_miss_does_not_have_the_finding(name: str, document: dict[str, Any]) -> None:
    assert name not in names(document)


@pytest.mark.parametrize("name", sorted(SOUND))
def test_a_sound_policy_has_no_findings(name: str) -> None:
    assert names(SOUND[name]) == set()


@pytest.mark.parametrize(
    ("document", "only"),
    [
        (policy(may(ANYONE)), {"public"}),
        (github(), {"any-github-repo"}),
        (github("repo:acme*"), {"github-owner-prefix"}),
        (github("repo:acme/*"), {"github-org-wide"}),
        (github("repo:acme/app*"), {"github-repo-prefix"}),
        (github("repo:acme/app:*"), {"github-any-ref"}),
        (google(oaud="x"), {"any-google-identity"}),
        (
            policy(may(OTHER_ROOT, StringEqualsIfExists={"sts:ExternalId": "x"})),
            {"external-account", "missing-external-id"},
        ),
        (policy(may(ROOT, BoolIfExists={MFA: "true"})), {"mfa-absent-hole", "account-wide-trust"}),
        (policy(may({"AWS": "AROAEXAMPLEEXAMPLEEXA"})), {"dead-principal"}),
        (github(repository_owner="acme"), {"unknown-condition-key"}),
        (ci("gitlab.com", None), {"ci-any-tenant"}),
    ],
)
def test_what_a_wider_finding_already_says_is_left_out(document: dict[str, Any], only: set[str]) -> None:
    assert names(document) == only


def test_every_finding_of_the_vocabulary_fires_has_a_near_miss_a_meaning_and_a_place_in_the_manual() -> None:
    by_question = set(SEVERITY) - {"undecided", "duplicate-key"}
    manual = (
        (Path(__file__).parent.parent / "docs" / "trust.md")
        .read_text(encoding="utf-8")
        .partition("## Findings")[2]
    )
    assert set(FIRING) == set(NEAR) == by_question
    assert set(MEANING) == set(SEVERITY) == set(re.findall(r"^\| `([a-z0-9-]+)` \|", manual, re.MULTILINE))


def test_rungs_of_two_repositories_are_reported_side_by_side_however_they_are_written() -> None:
    together = github("repo:acme/*", "repo:other/app:*")
    apart = policy(*github("repo:acme/*")["Statement"], *github("repo:other/app:*")["Statement"])
    assert names(together) == names(apart) == {"github-org-wide", "github-any-ref"}


def test_a_deny_that_closes_the_hole_silences_the_finding() -> None:
    closed = may("*", "*", "Deny", StringNotLike={f"{GITHUB}:sub": "repo:acme/app:ref:refs/heads/main"})
    assert names(policy(*github("repo:acme/app:*")["Statement"], closed)) == set()


@pytest.mark.parametrize("partition", ["aws", "aws-us-gov", "aws-cn"])
def test_accounts_are_judged_in_every_partition(partition: str) -> None:
    document = policy(may({"AWS": f"arn:{partition}:iam::{OTHER}:root"}))
    assert names(document) == {"external-account", "missing-external-id"}


def test_github_enterprise_hosts_are_judged_like_github_itself() -> None:
    for host in ("token.actions.acme.ghe.com", f"{GITHUB}/acme-enterprise"):
        tests = {"StringEquals": {f"{host}:aud": "x"}, "StringLike": {f"{host}:sub": "repo:acme/*"}}
        assert names(policy(web(provider(host), **tests))) == {"github-org-wide"}


def test_a_trusted_account_is_not_external_and_an_untold_account_is_never_called_external() -> None:
    document = policy(may(OTHER_ROOT))
    assert names(document, trusted_accounts={OTHER}) == {"account-wide-trust"}
    found = findings(parse(document))
    assert [each.name for each in found] == ["account-wide-trust"]
    assert "was not said" in found[0].because


def test_what_cannot_be_decided_is_a_finding_with_its_cause() -> None:
    mixed = policy(may(ROLE, StringLike={"aws:SourceIp": "10.*"}, IpAddress={"aws:SourceIp": "10.0.0.0/8"}))
    hard = policy(
        *(
            may(
                ANYONE,
                StringLike={
                    "sts:ExternalId": "*" + "*".join("abcdefgh"[(at + step) % 8] for step in range(9)) + "*"
                },
            )
            for at in range(8)
        )
    )
    for document in (mixed, hard):
        found = {each.name: each for each in findings(parse(document), account=OWN)}
        assert "undecided" in found or len(found) > 0
    assert (
        "mixed types"
        in {each.name: each for each in findings(parse(mixed), account=OWN)}["undecided"].because
    )


def test_a_key_that_stands_twice_is_refused_and_the_refusal_is_a_finding() -> None:
    text = json.dumps(policy(may(ROLE))).replace('"Effect"', '"Effect": "Deny", "Effect"')
    with pytest.raises(PolicyError) as caught:
        parse(text)
    assert [each.name for each in refused(caught.value)] == ["duplicate-key"]
    assert refused(PolicyError("something else")) == ()


def test_findings_are_the_same_whatever_the_order_of_statements_and_values() -> None:
    one = [*github("repo:acme/*", "repo:b/c:*")["Statement"], may(OTHER_ROOT), may(BACKUP)]
    there, back = policy(*one), policy(*reversed(one))
    assert names(there) == names(back)
    again = [
        [each.as_dict() if each else None for each in (found.witness,)] for found in findings(parse(there))
    ]
    assert again == [
        [each.as_dict() if each else None for each in (found.witness,)] for found in findings(parse(there))
    ]


def test_any_statement_of_twenty_is_judged() -> None:
    roles = [may({"AWS": f"arn:aws:iam::{OWN}:role/r{at}"}) for at in range(19)]
    assert names(policy(*roles, may(BACKUP))) == {"confused-deputy"}


def test_five_hundred_repositories_are_judged() -> None:
    document = github(
        *(f"repo:acme/app{at}:ref:refs/heads/main" for at in range(500)), operator="StringEquals"
    )
    assert names(document) == set()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (
            "repo:evil/x:ref:refs/heads/main",
            "a workflow of the GitHub repository evil/x (branch main) may assume the role",
        ),
        (
            "repo:evil/x:pull_request",
            "a workflow of the GitHub repository evil/x (a pull request) may assume the role",
        ),
    ],
)
def test_a_witness_is_told_in_words(told: str, said: str) -> None:
    found = findings(parse(github(told.replace("main", "*").replace("evil/x", "evil/*"))), account=OWN)
    witness = next(each.witness for each in found if each.witness)
    from dataclasses import replace

    assert sentence(replace(witness, ctx={f"{GITHUB}:sub": told})) == said
    assert sentence(witness, may="may now").count("may now assume the role") == 1


def test_eks_findings_name_the_namespace() -> None:
    found = findings(parse(eks("system:serviceaccount:prod:*")), account=OWN)
    assert "namespace prod" in found[0].because
    assert found[0].witness is not None
    assert found[0].witness.ctx[f"{EKS.lower()}:sub"] == "system:serviceaccount:prod:any-account"
