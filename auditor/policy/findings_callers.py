"""Findings about AWS principals: who is let in by account, organisation or by nothing at all."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.policy.findings_ask import ASSUME, WEB, Inquiry, region, test
from auditor.policy.findings_meaning import Finding
from auditor.policy.keys import known
from auditor.policy.model import DERIVED, Principal, Request, Statement, Test

ORGANISATION = ("aws:principalorgid", "aws:principalorgpaths")
BOUND = {
    "aws:principalorgid": "o-stranger00",
    "aws:principalorgpaths": "o-stranger00/r-0000/ou-0000-00000000/",
    "aws:sourcevpc": "vpc-0000stranger",
    "aws:sourcevpce": "vpce-0000stranger",
    "aws:sourcevpcarn": "vpc-arn-of-a-stranger",
    "aws:vpceaccount": "account-of-a-stranger",
    "aws:vpceorgid": "o-stranger00",
    "aws:vpceorgpaths": "o-stranger00/r-0000/ou-0000-00000000/",
    "aws:userid": "AIDASTRANGERSTRANGER",
    "aws:ec2instancesourcevpc": "vpc-0000stranger",
    "ec2:sourceinstancearn": "instance-of-a-stranger",
    "lambda:sourcefunctionarn": "function-of-a-stranger",
    "ssm:sourceinstancearn": "instance-of-a-stranger",
    "aws:chatbotsourcearn": "channel-of-a-stranger",
    "identitystore:userid": "user-of-a-stranger",
    "aws:federatedprovider": "provider-of-a-stranger",
}
"""Keys that tie a caller to somebody: nobody outside can have the value another one has."""
_LEFT_OPEN = (
    "aws:currenttime", "aws:epochtime", "aws:tokenissuetime", "aws:securetransport", "aws:principalisawsservice",
    "aws:principaltype", "aws:viaawsservice", "aws:resourceaccount", "aws:resourceorgid", "aws:resourceorgpaths",
    "aws:requestedregion",
)  # fmt: skip
"""Keys that say nothing of who calls: the same for everyone."""
_ABOUT_THE_ROLE = ("aws:resourcetag/", "iam:resourcetag/")


def callers(q: Inquiry) -> Iterator[Finding]:
    """Ask for strangers, for whole organisations and for whole accounts."""
    if witness := q.admits(*_strangers(q, chosen=False)):
        yield q.proven(
            "public", "Anyone may assume the role: nothing ties the caller to this account.", witness
        )
        return
    if witness := q.admits(*_strangers(q, chosen=True)):
        because = f"Anyone may assume the role who presents {_held_back(q, witness)}: a caller chooses that, or anyone has it."
        yield q.proven("public-weak-condition", because, witness)
    elif witness := q.admits(*_members(q)):
        yield q.proven(
            "org-wide",
            "Every principal of an organisation may assume the role, whatever its account.",
            witness,
        )
    for account in q.accounts:
        yield from _account(q, account)


def _strangers(q: Inquiry, *, chosen: bool) -> list[Statement]:
    """Return the regions of callers without any tie; `chosen` lets them choose what a caller can."""
    ties = [each for key, base in BOUND.items() for each in q.other(key, base)]
    if not chosen:
        ties += [each for key in sorted(q.keys) if _choosable(key) for each in q.other(key, "anything")]
        ties += [test("Null", key, "true") for key in ("aws:multifactorauthage",) if key in q.keys]
        who = (Principal("aws", f"arn:{q.partition}:iam::{q.stranger}:role/anyone"),)
        regions = [region(*ties, principals=who, actions=ASSUME)]
    else:
        regions = [region(*_outside(q), *ties, actions=ASSUME)]
    names = {each.value for each in q.federated}
    for builtin in ("graph.facebook.com", "www.amazon.com"):
        if builtin not in names:
            regions.append(region(*ties, principals=(Principal("federated", builtin),), actions=WEB))
            break
    return regions


def _outside(q: Inquiry) -> tuple[Test, ...]:
    """Return the tests of an AWS principal in no account that was named."""
    ours = sorted({*q.accounts, *q.trusted, *([q.account] if q.account else [])})
    apart = (test("StringNotEquals", "aws:PrincipalAccount", *ours),) if ours else ()
    return (test("Null", "aws:PrincipalArn", "false"), *apart)


def _choosable(key: str) -> bool:
    facts = known(key)
    if (
        facts is None
        or key in DERIVED
        or key in BOUND
        or key in _LEFT_OPEN
        or key == "aws:multifactorauthage"
    ):
        return False
    return facts.provider in ("aws", "sts", "ec2", "glue") and not key.startswith(_ABOUT_THE_ROLE)


def _held_back(q: Inquiry, witness: Request) -> str:
    """Name the keys that a stranger has to choose."""
    held = [key for key in sorted(witness.ctx) if key.lower() in q.keys and _choosable(key.lower())]
    said = [facts.key for key in held if (facts := known(key))]
    return " and ".join(said[:3]) or "a name of its own choice"


def _members(q: Inquiry) -> list[Statement]:
    """Return the regions of a role that nobody named, of an organisation, in an account that nobody named."""
    ties = [each for key, base in BOUND.items() if key not in ORGANISATION for each in q.other(key, base)]
    ties += _untagged(q)
    who = (Principal("aws", f"arn:{q.partition}:iam::{q.stranger}:role/{q.fresh('anyone')}"),)
    return [
        region(test("Null", key, "false"), *ties, principals=who, actions=ASSUME)
        for key in ORGANISATION
        if key in q.keys
    ]


def _untagged(q: Inquiry) -> list[Test]:
    """Return the tests of a principal without the tags that the policy asks for."""
    return [
        each
        for key in sorted(q.keys)
        if key.startswith("aws:principaltag/")
        for each in q.other(key, "anything")
    ]


def _account(q: Inquiry, account: str) -> Iterator[Finding]:
    """Ask for every principal of one account."""
    external = q.own is not None and account != q.own and account not in q.trusted
    whole = _everyone_of(q, account, external=external)
    witness = q.admits(*whole)
    if witness is None:
        return
    if not external:
        tail = " Whether it is the role's own account was not said." if q.own is None else ""
        because = f"Every principal of account {account} whose own policies let it may assume the role.{tail}"
        yield q.proven("account-wide-trust", because, witness)
        return
    because = f"Every principal of account {account} may assume the role, which is neither the own nor a trusted account."
    yield q.proven("external-account", because, witness)
    exact = q.exact("sts:externalid")
    without: tuple[Test, ...] = (
        (test("StringNotEqualsIgnoreCase", "sts:ExternalId", *exact),) if exact else ()
    )
    if any(key in q.keys for key in ORGANISATION):
        without += tuple(each for key in ORGANISATION for each in q.other(key, BOUND[key]))
    if witness := q.admits(*_everyone_of(q, account, *without, external=True)):
        because = f"Account {account} may assume the role without an exact external id, so others can make it do so for them."
        yield q.proven("missing-external-id", because, witness)


def _everyone_of(q: Inquiry, account: str, *more: Test, external: bool) -> list[Statement]:
    """Return the regions of a role and of a user of an account that nobody named."""
    ties = [each for key, base in BOUND.items() if key not in ORGANISATION for each in q.other(key, base)]
    ties += q.other("aws:username", "anyone")
    if not external:  # the tags of one's own principals are one's own to give
        ties += _untagged(q)
    name = q.fresh("anyone")
    return [
        region(
            *ties,
            *more,
            principals=(Principal("aws", f"arn:{q.partition}:iam::{account}:{kind}/{name}"),),
            actions=ASSUME,
        )
        for kind in ("role", "user")
    ]
