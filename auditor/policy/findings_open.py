"""Findings about tests that let through what they seem to hold back, and statements that admit nobody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from auditor.policy.findings_ask import Inquiry, region, test
from auditor.policy.findings_meaning import Finding, finding
from auditor.policy.findings_values import one_by_one
from auditor.policy.keys import known
from auditor.policy.model import Statement, Test
from auditor.policy.words import told

_ASKED_FOR = ("aws:tagkeys", "sts:transitivetagkeys")
"""What the caller asks for: nothing asked for is nothing given, so that absence harms nobody.

An unknown key has a finding of its own, which says what becomes of the test.
"""
_ELSEWHERE = ("aws:multifactorauthpresent", "aws:multifactorauthage", "aws:currenttime", "aws:epochtime")
"""Keys with findings of their own."""


def open_tests(q: Inquiry) -> Iterator[Finding]:
    """Ask of each test whether those whom it does not speak of pass."""
    for statement in q.allows:
        for each in statement.tests:
            if each.base == "Null" or each.key in _ELSEWHERE or _only_asked_for(each):
                continue
            if each.modifier == "all":
                yield from _absent(q, statement, each, "fail-open-forallvalues")
            elif each.if_exists and each.modifier is None:
                yield from _absent(q, statement, each, "fail-open-ifexists")
            if each.negated:
                yield from _unlisted(q, statement, each)


def _only_asked_for(each: Test) -> bool:
    return each.key in _ASKED_FOR or each.key.startswith("aws:requesttag/") or known(each.key) is None


def _absent(q: Inquiry, statement: Statement, each: Test, name: str) -> Iterator[Finding]:
    """Ask at language level whether a request without the key passes; who can send one decides how much it matters."""
    without = region(test("Null", each.key, "true"))
    alone = q.alone(statement.index)
    real = q.admits(without, policy=alone)
    witness = real or q.admits(without, policy=alone, level="language")
    if witness is None:
        return
    tail = "" if real else " No caller known today lacks it, so nothing but the text is wrong."
    because = f"{told(each)} also passes when {_spelled(each.key)} is absent.{tail}"
    found = q.proven(name, because, witness)
    yield found if real or found.name != name else replace(found, severity="medium")


def _unlisted(q: Inquiry, statement: Statement, each: Test) -> Iterator[Finding]:
    """Ask whether a value that the statement lists nowhere passes."""
    listed = tuple(
        value for one in statement.tests if one.key == each.key and one.base != "Null" for value in one.values
    )
    match each.base:
        case base if base.startswith("String"):
            apart: tuple[Test, ...] = (test("StringNotLike", each.key, *listed),)
        case base if base.startswith("Arn"):
            apart = (test("ArnNotLike", each.key, *listed),)
        case "NotIpAddress":
            apart = (test("NotIpAddress", each.key, *listed),)
        case "NumericNotEquals":
            apart = (test("NumericNotEquals", each.key, *listed),)
        case _:
            return
    if witness := q.admits(region(*apart), policy=q.alone(statement.index)):
        because = f"{told(each)} lets everyone pass who is not listed, and nothing else in the statement holds them back."
        yield q.proven("fail-open-negated", because, witness)


def dead(q: Inquiry) -> Iterator[Finding]:
    """Ask of each Allow statement whether it admits anybody, by itself and under every Deny."""
    if not q.allows:
        yield finding(
            "dead-statement",
            "The policy admits nobody: it has no Allow statement.",
            range(len(q.policy.statements)),
        )
    for statement in q.allows:
        if q.gives_up():
            return
        alone = q.alone(statement.index)
        nothing = replace(alone, statements=tuple(each for each in alone.statements if each.effect == "Deny"))
        doubts = q.causes.times
        if any(q.only(each, nothing) for each in one_by_one(alone, (), q.work, real=True)):
            continue
        if q.gives_up() or q.causes.times > doubts:
            continue
        bare = replace(alone, statements=(statement,))
        none = replace(alone, statements=())
        because = f"{statement.name} admits nobody: "
        if q.only(bare, none) is not None:
            because += "a Deny takes away all that it allows."
        elif q.only(bare, none, "language") is not None:
            because += f"no caller that it names can present what its tests ask of {_keys(statement)}."
        else:
            because += "its principals, actions and tests do not go together."
        yield finding("dead-statement", because, (statement.index,))


def _keys(statement: Statement) -> str:
    return " and ".join(dict.fromkeys(_spelled(each.key) for each in statement.tests)) or "what it asks for"


def _spelled(key: str) -> str:
    facts = known(key)
    return facts.key if facts else key
