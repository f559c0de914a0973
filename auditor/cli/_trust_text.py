"""What the trust commands say to people: the verdict in a line, the witness in words, then the request."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from auditor.cli._text import bold, colourful, paint, plural, safe, wrapped

if TYPE_CHECKING:
    from auditor.policy.compare import Comparison
    from auditor.policy.findings import Finding
    from auditor.policy.model import Policy, Request, Statement
    from auditor.policy.who import Who

_SAYS = {
    "equivalent": "✓ equivalent: both admit the same requests",
    "narrower": "✓ narrower: {b} admits less than {a}, and nothing more",
    "wider": "✗ wider: {b} admits what {a} refuses",
    "incomparable": "✗ incomparable: {b} admits what {a} refuses, and refuses what {a} admits",
    "undecided": "? undecided: it could not be told what {b} is against {a}",
}
_COLOUR = {"✓": "pass", "✗": "fail", "?": "unknown"}


def verdict(text: str) -> str:
    """Colour a verdict's line by its sign."""
    return paint(text, _COLOUR.get(text[0], "")) if colourful() else text


def judged(
    name: str, found: Sequence[Finding], who: Sequence[Who], *, explain: bool, policy: Policy
) -> Iterator[str]:
    """Tell what was found of one policy."""
    who_can = plural(len(who), "principal") if who else "nobody"
    if not found:
        yield verdict(f"✓ {safe(name)}: sound; it names {who_can}")
    else:
        worst = found[0].severity
        yield verdict(
            f"✗ {safe(name)}: {plural(len(found), 'finding')}, the worst {worst}; it names {who_can}"
        )
    for each in found:
        yield ""
        yield f"  {paint(each.severity, each.severity)}  {bold(safe(each.name))}{_at(policy, each.statements)}"
        yield from wrapped(each.because, indent="    ")
        if each.witness:
            yield from _witness(each.witness, "may")
        if explain:
            yield from _meaning(each, policy)


def _at(policy: Policy, statements: Sequence[int]) -> str:
    names = [policy.statements[at].name for at in statements if at < len(policy.statements)]
    return f"  {safe(', '.join(names[:3]))}{' and more' if len(names) > 3 else ''}" if names else ""


def _witness(request: Request, may: str) -> Iterator[str]:
    from auditor.policy.words import sentence

    yield from wrapped(f"Proof: {sentence(request, may=may)}.", indent="    ")
    yield f"    {safe(json.dumps(request.as_dict(), sort_keys=True))}"


def _meaning(each: Finding, policy: Policy) -> Iterator[str]:
    from auditor.policy.findings_meaning import MEANING

    asked, remedy = MEANING[each.name]
    yield from wrapped(f"Asked: {asked}", indent="    ")
    if each.witness:
        yield "    Statement by statement:"
        yield from _walk(policy, each.witness)
    yield from wrapped(f"Do: {remedy}", indent="    ")


def _walk(policy: Policy, request: Request) -> Iterator[str]:
    """Say of every statement whether it is about the request, and if not, what it missed."""
    from auditor.policy.evaluate import context_of, mismatch
    from auditor.policy.words import told

    context = context_of(request)
    for statement in policy.statements:
        missed = mismatch(statement, request, context, policy.version)
        if missed is None:
            tests = "; ".join(told(test) for test in statement.tests) or "it has no tests"
            line = f"{statement.effect} {statement.name} matches: {tests}"
        else:
            line = f"{statement.effect} {statement.name} {missed[1]}"
        yield from wrapped(f"- {line}", indent="      ")


def compared(
    a: tuple[str, Policy],
    b: tuple[str, Policy],
    language: Comparison,
    feasible: Comparison,
    *,
    explain: bool,
) -> Iterator[str]:
    """Tell what B is against A."""
    names = {"a": safe(a[0]), "b": safe(b[0])}
    yield verdict(_SAYS[language.verdict].format(**names))
    if language.verdict == "undecided":
        yield from wrapped(language.because, indent="  ")
    elif feasible.verdict != language.verdict:
        yield from wrapped(f"Of what a real caller can present, it is {feasible.verdict}.", indent="  ")
    for request, may in ((language.witness_b_only, "may now"), (language.witness_a_only, "may no longer")):
        if request is not None:
            yield ""
            yield from _witness(request, may)
            if explain:
                for name, policy in (a, b):
                    yield f"    {safe(name)}, statement by statement:"
                    yield from _walk(policy, request)
    if explain:
        yield ""
        yield from _statements(a, b)


def _statements(a: tuple[str, Policy], b: tuple[str, Policy]) -> Iterator[str]:
    """Show which statements only one of the two has."""
    before, after = ({_said(each): each for each in policy.statements} for _, policy in (a, b))
    gone = [said for said in before if said not in after]
    new = [said for said in after if said not in before]
    if not gone and not new:
        yield "  Both have the same statements."
    for sign, lines in (("-", gone), ("+", new)):
        for said in lines:
            yield from wrapped(f"{sign} {said}", indent="  ")


def _said(statement: Statement) -> str:
    """A statement on one line."""
    from auditor.policy.words import told

    named = statement.principals if statement.not_principals is None else statement.not_principals
    who = ", ".join(each.value for each in named or ()) or "nobody"
    asked = statement.actions if statement.not_actions is None else statement.not_actions
    actions = f"{'not ' if statement.actions is None else ''}{', '.join(asked or ())}"
    tests = "".join(f"; {told(each)}" for each in statement.tests)
    return f"{statement.effect} {'all but ' if statement.not_principals is not None else ''}{who}: {actions}{tests}"


def admitted(name: str, rows: Sequence[Who], *, explain: bool, policy: Policy) -> Iterator[str]:
    """Tell who may assume a role, and under which tests."""
    from auditor.policy.words import told

    yield bold(f"{safe(name)}: {plural(len(rows), 'principal') if rows else 'nobody'} may assume the role")
    for row in rows:
        yield f"  {safe(row.principal)}  {paint(row.kind, '')}".rstrip()
        for each in row.tests:
            yield from wrapped(f"if {told(each)}", indent="    ")
        if not row.tests:
            yield "    without any test of its statement"
        if explain and row.example:
            yield from _witness(row.example, "may")
    for statement in policy.statements if rows else ():
        if statement.effect == "Deny":
            yield from wrapped(f"but not what this denies: {_said(statement)}", indent="  ")
