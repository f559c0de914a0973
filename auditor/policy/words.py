"""A request in words that a person understands, for the command line, for alerts and for reports."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from auditor.policy.keys import is_eks, is_github, known, provider_of
from auditor.policy.model import Request, Test

_ASSUMES = frozenset(("sts:assumerole", "sts:assumerolewithwebidentity", "sts:assumerolewithsaml"))
_DOES = {
    "sts:tagsession": "set session tags when it assumes the role",
    "sts:setsourceidentity": "set a source identity when it assumes the role",
    "sts:setcontext": "set a context when it assumes the role",
}
_CLAIMED = re.compile(r"[^:]*:(sub|aud|oaud|amr|app_id)", re.DOTALL)
_LONGEST = 120
_REPOSITORY = re.compile(r"[\w.-]*\w/[\w.-]+")
_SOME_GOOGLE_ACCOUNT = "104200000000000000777"
"""An id such as Google hands out."""
_RUNS = ("ref:refs/", "environment:", "pull_request")


def sentence(request: Request, *, may: str = "may") -> str:
    """Say who may do what: `a workflow of the GitHub repository evil/x (branch main) may assume the role`.

    `may` is the verb: `may now`, `may no longer`.
    """
    return f"{caller(request)} {may} {_deed(request)}{_presenting(request)}"


def caller(request: Request) -> str:
    """Name who asks."""
    if request.kind == "service":
        return f"the AWS service {_cut(request.principal)}"
    if request.kind == "aws":
        return _aws(request)
    if request.kind == "saml":
        name = request.principal.partition(":saml-provider/")[2] or request.principal
        return f"somebody whom the SAML provider {_cut(name)} signs in"
    return _token(request)


def told(test: Test) -> str:
    """Say a test in one clause, the key as the reference spells it."""
    facts = known(test.key)
    values = " or ".join(f'"{_cut(value)}"' for value in test.values[:3]) or "nothing"
    more = f" or {len(test.values) - 3} more" if len(test.values) > 3 else ""
    return f"{test.operator} {facts.key if facts else test.key} {values}{more}"


def plainer(request: Request, holds: Callable[[Request], bool]) -> Request:
    """Return a witness that people recognise where one holds as well: a GitHub branch, a Google id, a role's name."""
    for other in _plainer(request):
        if holds(other):
            return other
    return request


def _plainer(request: Request) -> Iterator[Request]:
    provider = provider_of(request.principal) if request.kind == "oidc" else None
    key = next((key for key in request.ctx if key.lower() == f"{provider}:sub"), None)
    subject = request.ctx.get(key) if key else None
    if provider and is_github(provider) and key and isinstance(subject, str) and subject.startswith("repo:"):
        name, _, run = subject[5:].partition(":")
        owner, _, repository = name.partition("/")
        names = (
            name,
            f"{owner}/any-repo",
            f"{owner}/{repository}-evil",
            f"{owner}-evil/{repository}",
            "someone-else/any-repo",
        )
        for one in filter(_REPOSITORY.fullmatch, names):
            for tail in (
                *([run] if run.startswith(_RUNS) else []),
                "ref:refs/heads/main",
                "ref:refs/heads/any-branch",
                "pull_request",
            ):
                yield replace(request, ctx={**request.ctx, key: f"repo:{one}:{tail}"})
    if provider == "accounts.google.com" and key and isinstance(subject, str) and not subject.isdigit():
        yield replace(request, ctx={**request.ctx, key: _SOME_GOOGLE_ACCOUNT})
    if request.kind == "aws" and request.principal.count(":") == 5:
        head, _, what = request.principal.rpartition(":")
        if what == "root" or len(what) <= len("role/xx"):
            yield replace(request, principal=f"{head}:role/anyone")


def _aws(request: Request) -> str:
    parts = request.principal.split(":", 5)
    if len(parts) < 6:
        return f"the principal {_cut(request.principal)}"
    account, (kind, _, name) = parts[4], parts[5].partition("/")
    if kind == "root" and not name:
        return f"the root user of account {account}"
    of = f"{kind} {_cut(name)} of account {account}"
    return f"the session {_cut(request.session)} of {of}" if request.session else of


def _token(request: Request) -> str:
    """Name the bearer of a web identity by its subject."""
    provider = provider_of(request.principal) or request.principal
    claims = {
        key.lower().partition(":")[2]: value
        for key, value in request.ctx.items()
        if key.lower().startswith(f"{provider}:")
    }
    held = claims.get("sub")
    subject = held if isinstance(held, str) else ""
    if is_github(provider):
        return _workflow(subject)
    if provider == "accounts.google.com":
        return f"the Google account {_cut(subject)}" if subject else "a Google account"
    if provider == "cognito-identity.amazonaws.com":
        guest = "unauthenticated" in (claims.get("amr") or ())
        pool = claims.get("aud")
        who = "a guest" if guest else "a user"
        return (
            f"{who} of the Cognito identity pool {_cut(str(pool))}"
            if pool
            else f"{who} of a Cognito identity pool"
        )
    parts = subject.split(":")
    if is_eks(provider) and len(parts) == 4:
        return f"the Kubernetes service account {_cut(parts[2])}/{_cut(parts[3])}"
    if provider == "gitlab.com" and parts[0] == "project_path":
        return f"a pipeline of the GitLab project {_cut(parts[1])}"
    if provider == "app.terraform.io" and parts[0] == "organization":
        return f"a Terraform run of {_cut(' '.join(parts[:4]))}"
    return f"{_cut(subject)} of {_cut(provider)}" if subject else f"a bearer of a token of {_cut(provider)}"


def _workflow(subject: str) -> str:
    if not subject.startswith("repo:"):
        return f"a GitHub workflow with the subject {_cut(subject)}" if subject else "a GitHub workflow"
    name, _, run = subject[5:].partition(":")
    kind, _, what = run.partition(":")
    where = {
        "pull_request": " (a pull request)",
        "environment": f" (environment {_cut(what)})",
        "ref": f" ({_ref(what)})",
    }.get(kind, "")
    return f"a workflow of the GitHub repository {_cut(name)}{where}"


def _ref(ref: str) -> str:
    for start, word in (("refs/heads/", "branch"), ("refs/tags/", "tag")):
        if ref.startswith(start):
            return f"{word} {_cut(ref.removeprefix(start))}"
    return _cut(ref)


def _deed(request: Request) -> str:
    action = request.action.lower()
    if action in _ASSUMES:
        return f"assume {_cut(request.resource)}" if request.resource else "assume the role"
    if action in _DOES:
        return _DOES[action]
    return f"do {_cut(request.action)}{f' on {_cut(request.resource)}' if request.resource else ''}"


def _presenting(request: Request) -> str:
    """Name the other keys that it takes, claims of the token apart."""
    said = []
    for key, value in sorted(request.ctx.items()):
        facts = known(key)
        if request.kind in ("oidc", "saml") and (_CLAIMED.fullmatch(key) or key.lower() == "saml:aud"):
            continue
        shown = value if isinstance(value, str) else ", ".join(value)
        said.append(f"{facts.key if facts else key} {_cut(shown)!r}")
    more = f" and {len(said) - 3} more" if len(said) > 3 else ""
    return f", with {', '.join(said[:3])}{more}" if said else ""


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
