"""Findings about what holds callers back: MFA, names, session tags, dates, and services that act for others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from auditor.policy.findings_about import named
from auditor.policy.findings_ask import ASSUME, Inquiry, region, test
from auditor.policy.findings_meaning import Finding
from auditor.policy.keys import POD_IDENTITY
from auditor.policy.model import Policy, Principal, Test

_MFA = ("aws:multifactorauthpresent", "aws:multifactorauthage")
_TIME = ("aws:currenttime", "aws:epochtime")
_AGES = "999999999"
_INSIDE = frozenset(
    f"{name}.amazonaws.com{tail}"
    for name in (
        "ec2", "lambda", "edgelambda", "replicator.lambda", "eks", "eks-fargate-pods", "eks-nodegroup", "pods.eks", "ecs",
        "spotfleet", "spot", "ec2fleet", "autoscaling", "elasticloadbalancing", "elasticmapreduce", "elasticbeanstalk",
        "opsworks",
    )
    for tail in ("", ".cn")
)  # fmt: skip
"""Services that run what was started inside the account, and assume a role for nobody else."""
_SOURCES = ("aws:sourceaccount", "aws:sourceowner", "aws:sourceorgid", "aws:sourceorgpaths")


def limits(q: Inquiry) -> Iterator[Finding]:
    """Ask what every limit on AWS principals and services leaves open."""
    yield from _mfa(q)
    yield from _by_name(q)
    yield from _session_tags(q)
    yield from _expires(q)
    anyone = any(each.kind == "any" for one in q.allows for each in named(one))
    for service in (
        *q.services,
        *([Principal("service", q.fresh("any-service") + ".amazonaws.com")] if anyone else []),
    ):
        yield from _deputy(q, service)
    yield from _pods(q)


def _mfa(q: Inquiry) -> Iterator[Finding]:
    """Ask whether long-term keys, whose calls lack both keys, pass where a session without MFA would not."""
    if not any(key in q.keys for key in _MFA):
        return
    lasting = (f"arn:{q.partition}:iam::*:user/*", f"arn:{q.partition}:iam::*:root")
    others = (
        region(test("ArnNotLike", "aws:PrincipalArn", *lasting)),
        region(test("Null", "aws:PrincipalArn", "true")),
    )
    absent, without = (
        replace(given, statements=(*given.statements, *others))
        for given in (
            q.given({_MFA[0]: None, _MFA[1]: None}),
            q.given({_MFA[0]: "false", _MFA[1]: _AGES}),
        )
    )
    witness = q.only(absent, without)
    if witness is not None:
        because = "Long-term access keys get in without MFA: their calls lack the key, and the test lets its absence pass."
        yield q.proven("mfa-absent-hole", because, witness)


def _by_name(q: Inquiry) -> Iterator[Finding]:
    """Ask whether somebody is let in only by an exact aws:PrincipalArn: without that test others would be too."""
    exact = [value for value in q.exact("aws:principalarn") if value.count(":") >= 5]
    if not exact:
        return
    loose = replace(
        q.policy,
        statements=tuple(
            replace(each, tests=tuple(one for one in each.tests if one.key != "aws:principalarn"))
            if each.effect == "Allow"
            else each
            for each in q.policy.statements
        ),
    )
    if q.only(loose, q.policy) is None:
        return
    pinned = region(test("StringEquals", "aws:PrincipalArn", *exact))
    listed = tuple(
        dict.fromkeys(
            each
            for one in q.allows
            for each in one.principals or ()
            if each.kind == "aws" and each.value in exact
        )
    )
    unlisted = replace(
        q.policy, statements=(*q.policy.statements, *((region(principals=listed),) if listed else ()))
    )
    if witness := q.admits(pinned, policy=unlisted):
        because = f"{witness.principal} is let in by name (aws:PrincipalArn): one made anew under that name passes too."
        yield q.proven("role-by-name", because, witness)


def _session_tags(q: Inquiry) -> Iterator[Finding]:
    """Ask whether an AWS principal may set a tag that nobody named."""
    name = q.fresh("any-tag")
    tagged = (
        test("Null", "aws:PrincipalArn", "false"),
        test("ForAnyValue:StringEquals", "aws:TagKeys", name),
    )
    if witness := q.admits(region(*tagged, actions=("sts:TagSession",))):
        because = "Callers may set any session tag, so whatever trusts aws:PrincipalTag trusts what they say of themselves."
        yield q.proven("unbounded-session-tags", because, witness)


def _expires(q: Inquiry) -> Iterator[Finding]:
    """Ask whether a request passes at one time and is refused at another."""
    if not any(key in q.keys for key in _TIME):
        return
    ends, begins = _at(q, "9999-12-31T00:00:00Z", "253402214400"), _at(q, "1971-01-01T00:00:00Z", "31536000")
    for policy, word in ((ends, "until"), (begins, "from")):
        if witness := q.only(q.policy, policy):
            dates = ", ".join(dict.fromkeys(value for key in _TIME for value in q.values(key)))
            because = f"The policy admits callers only {word} a date ({dates})."
            yield q.proven("expires", because, witness)
            return


def _at(q: Inquiry, moment: str, seconds: str) -> Policy:
    return q.given({_TIME[0]: moment, _TIME[1]: seconds})


def _deputy(q: Inquiry, service: Principal) -> Iterator[Finding]:
    """Ask whether a service may come for an account, a resource and an organisation that nobody named."""
    if service.value.lower() in _INSIDE or "*" in service.value:
        return
    bases = {"aws:sourceaccount": q.stranger, "aws:sourceowner": q.stranger}
    free = [
        each
        for key in _SOURCES
        for each in q.other(
            key, bases.get(key, "o-stranger00" if key.endswith("id") else "o-stranger00/r-0000/")
        )
    ]
    regions = [region(*free, *more, principals=(service,), actions=ASSUME) for more in _resources(q)]
    if witness := q.admits(*regions):
        because = (
            f"{service.value} may assume the role for whoever asks it to: no exact aws:SourceAccount, aws:SourceArn or"
            " aws:SourceOrgID ties it to this account."
        )
        yield q.proven("confused-deputy", because, witness)


def _resources(q: Inquiry) -> Iterator[tuple[Test, ...]]:
    """Yield the tests of a resource of somebody else: of another account, or in an ARN without one and not named."""
    key = "aws:SourceArn"
    if key.lower() not in q.keys:
        yield ()
        return
    yield (test("Null", key, "true"),)
    yield (test("ArnLike", key, f"arn:*:*:*:{q.stranger}:*"),)
    exact = q.exact(key.lower())
    yield (test("ArnLike", key, "arn:*:*:*::*"), *((test("StringNotEquals", key, *exact),) if exact else ()))


def _pods(q: Inquiry) -> Iterator[Finding]:
    """Ask whether pods of any cluster and any namespace get the role."""
    keys = [
        f"aws:requesttag/{name}" for name in ("eks-cluster-arn", "eks-cluster-name", "kubernetes-namespace")
    ]
    free = [each for key in (*keys, "aws:sourcearn") for each in q.other(key, "anything")]
    witness = q.admits(region(*free, principals=(Principal("service", POD_IDENTITY),), actions=ASSUME))
    if witness and any(each.value == POD_IDENTITY for each in q.services):
        because = (
            "A pod of any cluster and any namespace of the account may be given the role: neither is tested."
        )
        yield q.proven("eks-any-pod", because, witness)
