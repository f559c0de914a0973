"""What the policy of a bucket or a vault lets in, and what it holds back, as questions about requests.

Asked of the texts: which keys a caller of another service can present is in no table here. Whoever is in the account
may be let in by the account's own policies, so what must be held back is asked of them too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from auditor.policy import keys
from auditor.policy.evaluate import admits
from auditor.policy.findings_ask import Inquiry, region, test
from auditor.policy.findings_callers import BOUND, ORGANISATION
from auditor.policy.model import Policy, Principal, Request, Statement, Test
from auditor.policy.parse import ACCOUNT

_CLOSING = (
    "aws:sourceip",
    "aws:vpcsourceip",
    "kms:calleraccount",
    "s3:dataaccesspointaccount",
    "s3:dataaccesspointarn",
)
"""What else closes: what S3 says does, addresses and access points ("The meaning of public"); in key policies the caller's
account (AWS KMS Developer Guide, "kms:CallerAccount"), and no service a caller comes through (kms:ViaService)."""
_SOMEBODY = "arn:aws:iam::111111111111:root"
"""Stands for every principal of an account."""
DELETING = (
    "backup:DeleteRecoveryPoint",
    "backup:UpdateRecoveryPointLifecycle",
    "backup:DisassociateRecoveryPoint",
)
UNGUARDING = ("backup:PutBackupVaultAccessPolicy", "backup:DeleteBackupVaultAccessPolicy")


@dataclass(frozen=True, slots=True)
class Answer:
    """Yes with a request that proves it, no, or None: undecided, with the cause."""

    yes: bool | None
    witness: Request | None = None
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Outsiders:
    """Who of other accounts gets in; `complete` is false when somebody may be missing, with the cause."""

    names: tuple[str, ...]
    """Account ids, ids of organisations; `*` for accounts that nobody named."""
    complete: bool
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """Whether requests are held back from everyone but those the policy exempts by name."""

    yes: bool | None
    witness: Request | None = None
    exempt: tuple[str, ...] = ()
    """Principals that are exempted by name and get through: ARNs or patterns of them."""
    cause: str = ""


def public(policy: Policy, account: str) -> Answer:
    """Say whether anyone gets in without a tie to an account, an organisation, a network or an address.

    What callers choose themselves (a referer, an external id, an ACL they send) closes nothing.
    """
    q = Inquiry(policy, account)
    ties = [each for key, base in BOUND.items() for each in q.other(key, base)]
    ties += [each for key in _CLOSING for each in q.other(key, "anywhere")]
    ties += [
        each
        for key in sorted(q.keys)
        if key.startswith("aws:principaltag/")
        for each in q.other(key, "anything")
    ]
    return _answered(q, _from_outside({account, *_named(q)}, *ties))


def outsiders(policy: Policy, account: str, trusted: Collection[str] = ()) -> Outsiders:
    """Name the accounts beside its own and the trusted ones that the policy lets somebody of in."""
    q = Inquiry(policy, account)
    home = {account, *trusted}
    named = sorted(_named(q) - home)
    found = [each for each in named if _admits(q, _of_account(each))]
    elsewhere = _from_outside({*home, *named})
    if _admits(q, elsewhere):
        ties = [each for key in ORGANISATION for each in q.other(key, BOUND[key])]
        beyond = _admits(q, _from_outside({*home, *named}, *ties))
        ids = sorted({value.partition("/")[0] for key in ORGANISATION for value in q.exact(key)})
        found += ["*"] if beyond or not ids else ids
    cause = q.causes.said[0] if q.causes.said else ""
    if any(each.kind == "canonical" for one in q.allows for each in one.principals or ()):
        cause = cause or "a canonical user id does not say of which account it is"
    return Outsiders(tuple(found), not cause, cause)


def held_back(policy: Policy, account: str, asked: Sequence[Statement]) -> Held:
    """Say whether nobody gets requests of some regions through whom the policy does not exempt by name."""
    whole = _with_the_account(policy, account)
    q = Inquiry(whole, account)
    exempt = sorted(_exempted(policy))
    beyond: list[Test] = [test("ArnNotLike", "aws:PrincipalArn", *exempt)] if exempt else []
    witness = _admits(q, *(replace(each, tests=(*each.tests, *beyond)) for each in asked))
    if witness and any(_leaves_accounts_out(each) for each in policy.statements):
        return Held(
            yes=None,
            cause="a Deny with NotPrincipal names a whole account, and whom that leaves out is not certain",
        )
    if witness:
        return Held(yes=False, witness=_plainer(whole, witness))
    if q.causes.said:
        return Held(yes=None, cause=q.causes.said[0])
    through = [
        name
        for name in exempt
        if _admits(
            q,
            *(
                replace(each, tests=(*each.tests, test("ArnLike", "aws:PrincipalArn", name)))
                for each in asked
            ),
        )
    ]
    if q.causes.said:
        return Held(yes=None, cause=q.causes.said[0])
    return Held(yes=True, exempt=tuple(through))


def _plainer(policy: Policy, witness: Request) -> Request:
    """Name some object or recovery point where the end of the ARN is open, if the request is admitted all the same."""
    if witness.resource is None or not witness.resource.endswith(("/", ":")):
        return witness
    other = replace(witness, resource=f"{witness.resource}any")
    return other if admits(policy, other) else witness


def without_tls(bucket_arn: str) -> tuple[Statement, ...]:
    """Return the requests to a bucket that come without TLS; plain ones first, for they make the better example."""
    bare = test("Bool", "aws:SecureTransport", "false")
    where = (bucket_arn, f"{bucket_arn}/*")
    return (
        _asked(bare, actions=("s3:GetObject", "s3:PutObject"), resources=where[1:]),
        _asked(bare, actions=("s3:*",), resources=where),
    )


def deletion(vault_arn: str) -> tuple[Statement, ...]:
    """Return the requests that end or loosen a recovery point of a bucket, or lift the policy that forbids it."""
    place = vault_arn.partition(":backup-vault:")[0]
    return (
        _asked(actions=DELETING, resources=(f"{place}:recovery-point:*",)),
        _asked(actions=UNGUARDING, resources=(vault_arn,)),
    )


def _asked(*tests: Test, actions: tuple[str, ...], resources: tuple[str, ...]) -> Statement:
    return replace(region(*tests, actions=actions), resources=resources)


def _answered(q: Inquiry, *regions: Statement) -> Answer:
    witness = _admits(q, *regions)
    if witness:
        return Answer(yes=True, witness=witness)
    return Answer(yes=None, cause=q.causes.said[0]) if q.causes.said else Answer(yes=False)


def _admits(q: Inquiry, *regions: Statement) -> Request | None:
    """Return a request of the first region in which there is one, of an AWS principal that can make it."""
    real = _of_aws(q)
    for each in regions:
        if witness := q.admits(replace(each, tests=(*each.tests, *real)), level="language"):
            return witness
    return None


def _of_aws(q: Inquiry) -> list[Test]:
    """Return what is always so of the calls of users and roles: they carry no aws:SourceArn and are no service."""
    found = [test("Null", "aws:PrincipalArn", "false")]
    for key in sorted(q.keys - {"aws:principalarn", "aws:principalaccount"}):
        facts = keys.known(key)
        if facts is None or "." in facts.provider:
            continue  # of another service, or a claim of a token that a session goes on carrying
        there = keys.presence("aws", _SOMEBODY, "s3:GetObject", key)
        if there is not keys.Presence.MAYBE:
            found.append(test("Null", key, "true" if there is keys.Presence.NEVER else "false"))
        if key == "aws:principalisawsservice":
            found.append(test("Bool", key, "false"))
    return found


def _from_outside(home: Iterable[str], *tests: Test) -> Statement:
    here = sorted(each for each in home if ACCOUNT.fullmatch(each))
    return region(
        *((test("StringNotEquals", "aws:PrincipalAccount", *here),) if here else ()),
        *(
            test("ArnNotLike", "aws:PrincipalArn", f"arn:*:iam::{each}:*")
            for each in home
            if not ACCOUNT.fullmatch(each)
        ),
        *tests,
    )


def _of_account(account: str) -> Statement:
    if ACCOUNT.fullmatch(account):
        return region(principals=(Principal("aws", account),))
    return region(test("ArnLike", "aws:PrincipalArn", f"arn:*:iam::{account}:*"))


def _named(q: Inquiry) -> set[str]:
    """Return the accounts that the Allow statements name; CloudFront's own users are of the account `cloudfront`."""
    found = set(q.accounts)
    for statement in q.allows:
        for each in statement.principals or ():
            parts = each.value.split(":")
            if each.kind == "aws" and len(parts) > 5 and parts[4]:
                found.add(parts[4])
    return found


def _exempted(policy: Policy) -> set[str]:
    """Return the principals that Deny statements leave out by name: proposals, which are then asked about."""
    found: set[str] = set()
    for statement in policy.statements:
        if statement.effect == "Deny":
            found |= {each.value for each in statement.not_principals or () if ":iam::" in each.value}
            found |= {
                value
                for each in statement.tests
                if each.key == "aws:principalarn" and each.negated
                for value in each.values
                if value.count(":") >= 5
            }
    return found


def _leaves_accounts_out(statement: Statement) -> bool:
    return statement.effect == "Deny" and any(
        each.value.endswith(":root") or ACCOUNT.fullmatch(each.value)
        for each in statement.not_principals or ()
    )


def _with_the_account(policy: Policy, account: str) -> Policy:
    """Return the policy and, beside it, everything that the account's own identity policies could allow."""
    whole = Statement(
        index=-1, sid=None, effect="Allow", principals=(Principal("aws", account),), not_principals=None,
        actions=("*",), not_actions=None, resources=("*",), not_resources=None, tests=(),
        place="the account's own policies",
    )  # fmt: skip
    return replace(policy, statements=(whole, *policy.statements))
