"""The export chain's question: does a role admit exactly one service account, with one audience, and nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from auditor.policy.compare import compare
from auditor.policy.evaluate import allowed
from auditor.policy.findings_ask import WEB, Inquiry, region, test
from auditor.policy.model import NEW_VERSION, Policy, Principal, Request, Statement
from auditor.policy.words import sentence

GOOGLE = "accounts.google.com"
_TAGS = ("sts:TagSession", "sts:SetSourceIdentity")


@dataclass(frozen=True, slots=True)
class Answer:
    """Yes, no with a request that shows why, or None: undecided."""

    yes: bool | None
    witness: Request | None
    """When no: somebody else who is admitted, or the service account's own request, which is refused."""
    because: str


def admits_exactly(policy: Policy, *, subject: str, audience: str) -> Answer:
    """Say whether a role's trust policy admits exactly this service account with this audience.

    `subject` is the account's numeric unique id, which its tokens carry as sub and as azp (accounts.google.com:aud);
    `audience` is the token's aud (accounts.google.com:oaud). The policy must pin sub and oaud and may test more, as
    long as the account still passes; nobody else may, by whatever call.
    """
    return admits_only(policy, subjects=(subject,), audiences=(audience,))


def admits_only(policy: Policy, *, subjects: Sequence[str], audiences: Sequence[str]) -> Answer:
    """Say whether nobody but these service accounts may assume a role, with one of these audiences, and one of them may."""
    ours = Statement(
        index=0,
        sid=None,
        effect="Allow",
        principals=(Principal("federated", GOOGLE),),
        not_principals=None,
        actions=(*WEB, *_TAGS),
        not_actions=None,
        resources=None,
        not_resources=None,
        tests=(
            test("StringEquals", f"{GOOGLE}:sub", *subjects),
            test("StringEquals", f"{GOOGLE}:oaud", *audiences),
        ),
        place="the policy asked for",
    )
    at_most = Policy(NEW_VERSION, None, (ours,))
    wider = compare(at_most, policy, level="feasible")
    if wider.witness_b_only is not None:
        return Answer(
            yes=False, witness=wider.witness_b_only, because=f"{sentence(wider.witness_b_only)}, too"
        )
    if wider.verdict == "undecided":
        return Answer(yes=None, witness=None, because=wider.because)
    q = Inquiry(policy)
    tokens = [
        region(
            *(
                test("StringEquals", f"{GOOGLE}:{claim}", value)
                for claim, value in _claims(subject, audience)
            ),
            principals=ours.principals or (),
            actions=WEB,
        )
        for subject in subjects
        for audience in audiences
    ]
    if tokens and q.admits(*tokens):
        who = " or ".join(subjects) if len(subjects) < 4 else f"one of {len(subjects)} that are declared"
        with_ = " or ".join(repr(each) for each in audiences)
        because = f"only the Google account {who} may assume the role, with {with_}"
        return Answer(yes=True, witness=None, because=because)
    if q.causes.said:
        return Answer(yes=None, witness=None, because=q.causes.said[0])
    if not tokens:
        return Answer(yes=False, witness=None, because="no service account and audience are declared for it")
    claims = {f"{GOOGLE}:{claim}": value for claim, value in _claims(subjects[0], audiences[0])}
    refused = Request("oidc", GOOGLE, None, WEB[0], claims)
    because = f"the service account itself is refused: {allowed(policy, refused).because}"
    return Answer(yes=False, witness=refused, because=because)


def audience_pinned(policy: Policy, audiences: Sequence[str]) -> Answer:
    """Say whether every token of an OIDC provider that the policy accepts was made out for one of these audiences."""
    q = Inquiry(policy)
    for principal, provider in q.providers:
        key = f"{GOOGLE}:oaud" if provider == GOOGLE else f"{provider}:aud"
        other = region(test("StringNotEquals", key, *audiences), principals=(principal,), actions=WEB)
        if witness := q.admits(other):
            because = f"{sentence(witness)} with a token that was made out for another audience"
            return Answer(yes=False, witness=witness, because=because)
    if q.causes.said:
        return Answer(yes=None, witness=None, because=q.causes.said[0])
    return Answer(yes=True, witness=None, because=f"only tokens for {' or '.join(audiences)} are accepted")


def _claims(subject: str, audience: str) -> tuple[tuple[str, str], ...]:
    """Return what a token of a service account carries: its id as sub and as azp, and what it was made out for."""
    return (("sub", subject), ("oaud", audience), ("aud", subject))
