"""What a finding is, and of each how bad it is, what it asks and what to do about it; docs/trust.md tells more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from auditor.policy.model import Request

SEVERITY: Mapping[str, str] = {
    "public": "critical", "any-github-repo": "critical", "github-owner-prefix": "critical",
    "any-google-identity": "critical", "cognito-missing-aud": "critical", "ci-any-tenant": "critical",
    "public-weak-condition": "high", "org-wide": "high", "missing-external-id": "high", "github-org-wide": "high",
    "missing-sub": "high", "google-subject-wildcard": "high", "google-org-wide": "high",
    "cognito-unauthenticated": "high", "eks-any-namespace": "high", "fail-open-forallvalues": "high",
    "fail-open-ifexists": "high", "fail-open-negated": "high", "mfa-absent-hole": "high", "duplicate-key": "high",
    "undecided": "high",
    "external-account": "medium", "confused-deputy": "medium", "github-repo-prefix": "medium",
    "github-any-ref": "medium", "github-pull-request": "medium", "missing-aud": "medium",
    "google-aud-misread": "medium", "google-own-provider": "medium", "saml-missing-aud": "medium",
    "eks-any-serviceaccount": "medium", "eks-any-pod": "medium", "ci-broad-subject": "medium",
    "dead-principal": "medium", "literal-wildcard": "medium", "variable-in-2008": "medium",
    "unknown-condition-key": "medium", "invalid-principal": "medium", "invalid-notprincipal": "medium",
    "invalid-action": "medium",
    "account-wide-trust": "low", "dead-statement": "low", "role-by-name": "low", "unbounded-session-tags": "low",
    "expires": "low",
}  # fmt: skip
"""Every finding there is, the worst first."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to know about a policy, with a request that proves it where one can."""

    name: str
    severity: str
    because: str
    witness: Request | None
    """A request that the policy admits; None for what is about the text, or admits nobody."""
    statements: tuple[int, ...]
    """Indexes of the statements it is about."""


def finding(name: str, because: str, statements: Iterable[int], witness: Request | None = None) -> Finding:
    """Make a finding of a known name."""
    return Finding(name, SEVERITY[name], because, witness, tuple(sorted(set(statements))))


MEANING: Mapping[str, tuple[str, str]] = {
    "public": (
        "Can somebody assume the role who has nothing to do with the account, its organisation or a named provider?",
        "Name the principals, or test aws:PrincipalOrgID or aws:PrincipalAccount.",
    ),
    "public-weak-condition": (
        "Can such a stranger do so by presenting what callers choose themselves, or anyone can have?",
        "Name the principals: an external id, a session name, a tag or an address is no credential.",
    ),
    "org-wide": (
        "Can every principal of an organisation assume it?",
        "Name the accounts or roles that need it, or test aws:PrincipalArn beside the organisation.",
    ),
    "account-wide-trust": (
        "Can a principal of the account assume it that the policy does not name?",
        "Name the roles; else every identity policy of the account decides who gets in.",
    ),
    "external-account": (
        "Can a principal of another account assume it that the policy does not name?",
        "Name the role of the other account, or list the account as trusted.",
    ),
    "missing-external-id": (
        "Can another account assume it without one exact sts:ExternalId?",
        "Test StringEquals sts:ExternalId with the id that the vendor gave for you alone.",
    ),
    "confused-deputy": (
        "Can a service assume it on behalf of an account, a resource and an organisation that nobody named?",
        "Test aws:SourceAccount, or aws:SourceArn of the very resource.",
    ),
    "any-github-repo": (
        "Can a workflow in a repository of any owner assume it?",
        "Test token.actions.githubusercontent.com:sub for your own repository.",
    ),
    "github-owner-prefix": (
        "Can an owner assume it who is matched only by a pattern?",
        "Write the owner in full and end it with a slash: repo:acme/….",
    ),
    "github-org-wide": (
        "Can a repository of the owner assume it that nobody named?",
        "Name the repository: repo:acme/app:….",
    ),
    "github-repo-prefix": (
        "Can a repository assume it that is matched only by a pattern?",
        "Write the repository in full and end it with a colon: repo:acme/app:….",
    ),
    "github-any-ref": (
        "Can a branch or tag of the repository assume it that nobody named?",
        "Pin the branch (…:ref:refs/heads/main) or a protected environment (…:environment:prod).",
    ),
    "github-pull-request": (
        "Can the run of a pull request assume it?",
        "Use a role of its own for pull requests, which may read only.",
    ),
    "missing-sub": (
        "Can anyone assume it to whom the provider gives a token?",
        "Test the provider's :sub for the subject that the role is for.",
    ),
    "missing-aud": (
        "Is a token accepted that was made out for another service?",
        "Test the provider's :aud (for Google :oaud) for your own audience.",
    ),
    "any-google-identity": (
        "Can a Google account assume it that nobody named?",
        "Test accounts.google.com:sub for the numeric id of the service account.",
    ),
    "google-subject-wildcard": (
        "Can a Google account assume it that is matched only by a pattern on numeric ids?",
        "Write the numeric ids in full.",
    ),
    "google-org-wide": (
        "Can every account of a Google organisation assume it?",
        "Test accounts.google.com:sub beside the organisation number.",
    ),
    "google-aud-misread": (
        "Is accounts.google.com:aud tested for what only :oaud carries?",
        "Test accounts.google.com:oaud for the audience, and :aud for the service account's numeric id.",
    ),
    "google-own-provider": (
        "Is Google trusted through an IAM provider of the account?",
        "Trust accounts.google.com itself and delete the provider.",
    ),
    "saml-missing-aud": (
        "Is an assertion accepted that was made out for another service?",
        "Test SAML:aud for https://signin.aws.amazon.com/saml (or the endpoint of your partition).",
    ),
    "cognito-missing-aud": (
        "Can an identity pool of anybody assume it?",
        "Test cognito-identity.amazonaws.com:aud for the id of your pool.",
    ),
    "cognito-unauthenticated": (
        "Can a guest assume it, without any sign-in?",
        "Test ForAnyValue:StringLike cognito-identity.amazonaws.com:amr for authenticated.",
    ),
    "eks-any-serviceaccount": (
        "Can a Kubernetes service account assume it that nobody named?",
        "Write namespace and service account in full.",
    ),
    "eks-any-namespace": (
        "Can a service account of a namespace assume it that nobody named?",
        "Write namespace and service account in full.",
    ),
    "eks-any-pod": (
        "Can a pod of any cluster and any namespace be given it?",
        "Test aws:RequestTag/eks-cluster-name and aws:RequestTag/kubernetes-namespace.",
    ),
    "ci-any-tenant": (
        "Can another customer of a shared CI provider assume it?",
        "Test the provider's :sub for your own organisation and project.",
    ),
    "ci-broad-subject": (
        "Can a project of the tenant assume it that nobody named?",
        "Write the project into the pattern on :sub.",
    ),
    "fail-open-forallvalues": (
        "Does ForAllValues let a request pass that lacks the key?",
        "Leave ForAllValues out, or add Null with false for the key.",
    ),
    "fail-open-ifexists": (
        "Does IfExists let a request pass that lacks the key?",
        "Leave IfExists out.",
    ),
    "fail-open-negated": (
        "Does a negated test let everyone pass whom it does not list?",
        "Say who may, not who may not; or put the exception into a Deny.",
    ),
    "mfa-absent-hole": (
        "Do long-term access keys pass, whose calls lack aws:MultiFactorAuthPresent?",
        "Test Bool aws:MultiFactorAuthPresent true in the Allow, or BoolIfExists false in the Deny.",
    ),
    "dead-principal": (
        "Is the id of a deleted principal trusted?",
        "Remove it; a principal made anew under the name has another id.",
    ),
    "dead-statement": (
        "Does a statement admit anybody?",
        "Mend or remove it: a control that admits nobody is broken too.",
    ),
    "literal-wildcard": (
        "Is a star taken literally?",
        "Use StringLike where a pattern is meant.",
    ),
    "variable-in-2008": (
        "Is a variable taken literally?",
        'Set "Version": "2012-10-17".',
    ),
    "unknown-condition-key": (
        "Is a key tested that no request can carry?",
        "Use a key that STS knows: docs/trust.md says where they are listed.",
    ),
    "invalid-principal": (
        "Would IAM refuse a principal, or never match it?",
        "Write an account id, the ARN of a role, user or provider, or the name of a service.",
    ),
    "invalid-notprincipal": (
        "Is there a NotPrincipal, which IAM refuses in a trust policy?",
        "Name who may, in Principal.",
    ),
    "invalid-action": (
        "Is an action named that nobody asks of a role?",
        "Use sts:AssumeRole, sts:AssumeRoleWithWebIdentity, sts:AssumeRoleWithSAML, sts:TagSession, sts:SetSourceIdentity.",
    ),
    "duplicate-key": (
        "Does a key stand twice in one object, so that readers differ in which one counts?",
        "Join the two into one.",
    ),
    "role-by-name": (
        "Is somebody let in only by the name in aws:PrincipalArn?",
        "Name the role in Principal, where IAM stores its unique id.",
    ),
    "unbounded-session-tags": (
        "May a caller set a session tag that nobody named?",
        "Limit aws:TagKeys with ForAllValues:StringEquals, or leave sts:TagSession out.",
    ),
    "expires": (
        "Is a request admitted at one time and refused at another?",
        "Nothing, if the date is meant: put it into the calendar.",
    ),
    "undecided": (
        "Could every question be decided?",
        "Make the policy simpler where the cause says; until then it counts as not fine.",
    ),
}  # fmt: skip
"""Name to the question and the remedy."""
