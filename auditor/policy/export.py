"""The export chain's question: does a role admit exactly one service account, with one audience, and nobody else."""

from __future__ import annotations

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
            test("StringEquals", f"{GOOGLE}:sub", subject),
            test("StringEquals", f"{GOOGLE}:oaud", audience),
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
    claims = {"sub": subject, "oaud": audience, "aud": subject}
    q = Inquiry(policy)
    token = region(
        *(test("StringEquals", f"{GOOGLE}:{claim}", value) for claim, value in claims.items()),
        principals=ours.principals or (),
        actions=WEB,
    )
    if q.admits(token):
        return Answer(
            yes=True,
            witness=None,
            because=f"only the Google account {subject} may assume the role, with {audience!r}",
        )
    if q.causes.said:
        return Answer(yes=None, witness=None, because=q.causes.said[0])
    refused = Request(
        "oidc", GOOGLE, None, WEB[0], {f"{GOOGLE}:{claim}": value for claim, value in claims.items()}
    )
    because = f"the service account itself is refused: {allowed(policy, refused).because}"
    return Answer(yes=False, witness=refused, because=because)
