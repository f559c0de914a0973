"""Findings about the other identity providers: Google, Cognito, EKS, shared CI, SAML, and any with OIDC."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from auditor.policy.findings_ask import SAML, WEB, Inquiry, matching, region, test
from auditor.policy.findings_meaning import Finding
from auditor.policy.keys import BUILT_IN, is_eks, is_github
from auditor.policy.model import Principal, Test

GOOGLE, COGNITO = "accounts.google.com", "cognito-identity.amazonaws.com"
_ANYONE = ("104200000000000000777", "117300000000000000777", "110900000000000000777", "990000000000000000777")
"""Ids such as Google hands out."""
_SHARED: Mapping[str, tuple[str, str]] = {
    "gitlab.com": ("project_path:{}/*", "project_path:?*/{}:*:*:*:*"),
    "app.terraform.io": ("organization:{}:*", "organization:?*:project:{}:*:*"),
    "agent.buildkite.com": ("organization:{}:*", "organization:?*:pipeline:{}:*:*"),
    "oidc.vercel.com": ("owner:{}:*", "owner:?*:project:{}:*:*"),
    "oidc.codefresh.io": ("account:{}:*", "account:?*:pipeline:{}:*:*"),
    "api.pulumi.com/oidc": ("pulumi:*:org:{}:*", "pulumi:*:org:?*:project:{}*"),
}
"""CI providers whose tenants share one issuer: the subject of another tenant, and of another project of the same."""
_OF_ONE_TENANT: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"oidc\.circleci\.com/org/(.+)"), "org/{0}/project/{1}/user/*"),
    (re.compile(r"api\.bitbucket\.org/2\.0/workspaces/([^/]+)/.*"), "{{{1}}}:*"),
    (re.compile(r"oidc\.vercel\.com/(.+)"), "owner:?*:project:{1}:*:*"),
    (re.compile(r"([^./]+)\.app\.spacelift\.io"), "space:{1}:*"),
    (re.compile(r"([^./]+)\.semaphoreci\.com"), "org:?*:project:{1}:*:*"),
)
"""CI providers with an issuer for each tenant: the subject of another project.

A subject of six parts is asked about part by part (as ArnLike compares), so that no star reaches into the next one.
"""
_CLAIMS_OF_A_TENANT = (
    "organization_id",
    "organization_slug",
    "namespace_id",
    "user_id",
    "user_login",
    "user_email",
)
_CLAIMS_OF_A_PROJECT = (
    "project_id", "pipeline_id", "pipeline_slug", "cluster_id", "cluster_name", "oidc.circleci.com/project-id",
)  # fmt: skip


def providers(q: Inquiry) -> Iterator[Finding]:
    """Ask every identity provider that the policy trusts."""
    for principal, provider in q.providers:
        tenants = list(_ci(q, principal, provider))
        yield from tenants
        if provider == GOOGLE:
            yield from _google(q, principal)
        elif provider == COGNITO:
            yield from _cognito(q, principal)
        elif is_eks(provider):
            yield from _eks(q, principal, provider)
        elif not tenants and not is_github(provider) and provider not in BUILT_IN:
            yield from _subject(q, principal, provider)
        if provider not in (GOOGLE, COGNITO):
            yield from _audience(q, principal, provider)
    for principal in q.federated:
        if ":saml-provider/" in principal.value:
            yield from _saml(q, principal)


def _subject(q: Inquiry, principal: Principal, provider: str) -> Iterator[Finding]:
    tests = (
        *_of(provider, "sub", q.fresh("anyone")),
        *_others(q, provider, (*_CLAIMS_OF_A_TENANT, *_CLAIMS_OF_A_PROJECT, "rpst_id")),
    )
    if witness := q.admits(region(*tests, principals=(principal,), actions=WEB)):
        because = f"Anyone to whom {provider} gives a token may assume the role: no test pins the subject."
        yield q.proven("missing-sub", because, witness)


def _audience(q: Inquiry, principal: Principal, provider: str) -> Iterator[Finding]:
    key = {"www.amazon.com": "app_id", "graph.facebook.com": "app_id"}.get(provider, "aud")
    tests = _of(provider, key, q.fresh("any-audience"))
    if witness := q.admits(region(*tests, principals=(principal,), actions=WEB)):
        because = (
            f"A token that {provider} made out for any other service is accepted: no test pins the audience."
        )
        yield q.proven("missing-aud", because, witness)


def _google(q: Inquiry, principal: Principal) -> Iterator[Finding]:
    """Ask Google's own questions: who of all accounts, and what is meant by the audience."""
    if principal.value != GOOGLE and (witness := q.admits(region(principals=(principal,), actions=WEB))):
        because = "Google is trusted by an IAM provider of the account; STS knows it as accounts.google.com, another principal."
        yield q.proven("google-own-provider", because, witness)
    sub, aud, organization = f"{GOOGLE}:sub", f"{GOOGLE}:aud", f"{GOOGLE}:google/organization_number"
    narrow = [value for value in q.values(sub) if set(value) - {"*", "?"}]
    anyone = next((one for one in _ANYONE if not matching(narrow, one)), _ANYONE[0])
    numbers = [value for value in q.exact(aud) if value.isdigit()]
    azp = (test("StringNotEquals", aud, *numbers),) if numbers else ()
    other = (*_of(GOOGLE, "sub", anyone), *azp)
    of_no_one = (test("Null", organization, "true"),) if organization in q.keys else ()
    exact = q.exact(sub)
    if witness := q.admits(region(*other, *of_no_one, principals=(principal,), actions=WEB)):
        because = "Any Google account may assume the role: whoever asks for a token chooses its audience, and no test pins sub."
        yield q.proven("any-google-identity", because, witness)
    elif organization in q.keys and (
        witness := q.admits(region(*other, principals=(principal,), actions=WEB))
    ):
        because = "Every account of a Google organisation may assume the role: no test pins sub."
        yield q.proven("google-org-wide", because, witness)
    elif exact != q.values(sub) and (
        witness := q.admits(
            region(
                *((test("StringNotEquals", sub, *exact),) if exact else ()),
                *azp,
                principals=(principal,),
                actions=WEB,
            )
        )
    ):
        because = "A pattern is put on Google's numeric ids, which are handed out at random: it admits accounts of anybody."
        yield q.proven("google-subject-wildcard", because, witness)
    yield from _google_audience(q, principal, numbers)


def _google_audience(q: Inquiry, principal: Principal, numbers: list[str]) -> Iterator[Finding]:
    sub, aud = f"{GOOGLE}:sub", f"{GOOGLE}:aud"
    anything = q.fresh("any-audience")
    oaud = _of(GOOGLE, "oaud", anything)
    own = [
        region(
            *oaud,
            test("StringEquals", aud, number),
            test("StringEquals", sub, number),
            principals=(principal,),
            actions=WEB,
        )
        for number in numbers[:20]
    ]
    if witness := q.admits(
        region(*oaud, *_of(GOOGLE, "aud", anything), principals=(principal,), actions=WEB), *own
    ):
        because = "A Google token made out for any other service is accepted: no test pins accounts.google.com:oaud."
        yield q.proven("missing-aud", because, witness)
    if aud not in q.keys:
        return
    client = "*.apps.googleusercontent.com"
    known = (_ANYONE[0], *numbers)
    real = (
        region(test("StringLike", aud, client, *known), principals=(principal,), actions=WEB),
        region(test("Null", aud, "true"), principals=(principal,), actions=WEB),
    )
    if q.admits(*real) is None and (witness := q.admits(region(principals=(principal,), actions=WEB))):
        because = (
            "accounts.google.com:aud is tested as if it were the audience; it is the token's azp, a service account's numeric id."
            " The audience is accounts.google.com:oaud."
        )
        yield q.proven("google-aud-misread", because, witness)


def _cognito(q: Inquiry, principal: Principal) -> Iterator[Finding]:
    if witness := q.admits(
        region(*_of(COGNITO, "aud", q.fresh("any-pool")), principals=(principal,), actions=WEB)
    ):
        because = "An identity pool of anybody may assume the role: no test pins cognito-identity.amazonaws.com:aud."
        yield q.proven("cognito-missing-aud", because, witness)
    guest = (
        test("ForAnyValue:StringEquals", f"{COGNITO}:amr", "unauthenticated"),
        test("ForAllValues:StringEquals", f"{COGNITO}:amr", "unauthenticated"),
    )
    if witness := q.admits(region(*guest, principals=(principal,), actions=WEB)):
        because = "Guests may assume the role: Cognito gives them a token without any sign-in."
        yield q.proven("cognito-unauthenticated", because, witness)


def _eks(q: Inquiry, principal: Principal, provider: str) -> Iterator[Finding]:
    """Ask for a service account and for a namespace that nobody named."""
    name, space = q.fresh("any-account"), q.fresh("any-namespace")
    plain = test("StringNotLike", f"{provider}:sub", "system:serviceaccount:*:*:*")
    account = (*_of(provider, "sub", f"system:serviceaccount:*:{name}", like=True), plain)
    wide = region(*account, principals=(principal,), actions=WEB)
    if witness := q.admits(wide):
        witness = q.plainer(witness, f"{provider}:sub", [f"system:serviceaccount:{space}:{name}"], [wide])
        where = str(witness.ctx.get(f"{provider}:sub", "")).split(":")
        there = f"namespace {where[2]}" if len(where) > 3 and where[2] in q.text else "every namespace"
        because = f"Every service account of {there} of the cluster may assume the role."
        yield q.proven("eks-any-serviceaccount", because, witness)
    namespace = (*_of(provider, "sub", f"system:serviceaccount:{space}:*", like=True), plain)
    wide = region(*namespace, principals=(principal,), actions=WEB)
    if witness := q.admits(wide):
        witness = q.plainer(witness, f"{provider}:sub", [f"system:serviceaccount:{space}:{name}"], [wide])
        because = "Whoever may make a namespace in the cluster may assume the role: a service account of any namespace passes."
        yield q.proven("eks-any-namespace", because, witness)


def _ci(q: Inquiry, principal: Principal, provider: str) -> Iterator[Finding]:
    """Ask a shared CI provider for another tenant, then for another project of the tenant."""
    shared = _SHARED.get(provider)
    tenant, project = q.fresh("someone-else"), q.fresh("any-project")
    projects = _others(q, provider, _CLAIMS_OF_A_PROJECT)
    subject = shared[1].format(project) if shared else None
    for pattern, form in _OF_ONE_TENANT:
        if found := pattern.fullmatch(provider):
            subject = form.format(found[1], project)
    if shared:
        tests = (*_of(provider, "sub", shared[0].format(tenant), like=True), *projects)
        other = region(
            *tests, *_others(q, provider, _CLAIMS_OF_A_TENANT), principals=(principal,), actions=WEB
        )
        if witness := q.admits(other):
            witness = q.plainer(witness, f"{provider}:sub", [_written(shared[0].format(tenant))], [other])
            because = (
                f"Every customer of {provider} may assume the role: no test pins whose pipelines it is for."
            )
            yield q.proven("ci-any-tenant", because, witness)
            return
    if subject is None:
        return
    operator = "ArnLike" if subject.count(":") > 4 else "StringLike"
    sub = f"{provider}:sub"
    wide = region(test(operator, sub, subject), *projects, principals=(principal,), actions=WEB)
    if witness := q.admits(wide):
        ours = subject.split("?*")[0]
        tenants = [
            value[len(ours) :].replace("/", ":").split(":")[0]
            for value in q.values(sub)
            if value.startswith(ours)
        ]
        plain = [_written(subject.replace("?*", one)) for one in tenants if one and "*" not in one]
        witness = q.plainer(witness, sub, plain, [wide])
        because = f"Every project of one tenant of {provider} may assume the role."
        yield q.proven("ci-broad-subject", because, witness)


def _written(pattern: str) -> str:
    """Return a subject of a pattern's form as the provider writes it."""
    endings = {
        "project_path": "ref_type:branch:ref:main",
        "organization": "workspace:any-workspace:run_phase:apply",
        "owner": "environment:production",
    }
    head = pattern.rstrip(":*/")
    kind = head.partition(":")[0]
    if kind == "project_path" and "/" not in head:
        head += "/any-project"
    elif kind in ("organization", "owner") and ":project:" not in head:
        head += ":project:any-project"
    return f"{head}:{endings.get(kind, 'any')}"


def _saml(q: Inquiry, principal: Principal) -> Iterator[Finding]:
    tests = (test("StringEquals", "saml:aud", q.fresh("https://other.example/saml")),)
    if witness := q.admits(region(*tests, principals=(principal,), actions=SAML)):
        because = "An assertion that the identity provider made out for another service is accepted: no test pins SAML:aud."
        yield q.proven("saml-missing-aud", because, witness)


def _of(provider: str, claim: str, value: str, *, like: bool = False) -> tuple[Test, ...]:
    """Return the test that a claim, which every token has, holds a value."""
    key = f"{provider}:{claim}"
    return (test("StringLike" if like else "StringEquals", key, value),)


def _others(q: Inquiry, provider: str, claims: tuple[str, ...]) -> tuple[Test, ...]:
    return tuple(each for claim in claims for each in q.other(f"{provider}:{claim}", "anything"))
