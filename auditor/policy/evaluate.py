"""One policy and one request: allowed or not, and which statement and test decided. Small, to be read alone.

It shares nothing with the procedure of compare.py but the nouns, so that a witness checked here is a proof.
Rules: IAM User Guide, "Policy evaluation logic", "Condition operators", "Multivalued context keys", "Variables".
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from auditor.policy.model import NEW_VERSION, Policy, Principal, Request, Statement, Test
from auditor.policy.values import arn_like, binary, folded, inside, like, moment, number, plain, spell

Context = Mapping[str, str | tuple[str, ...]]
_COMPARED: Mapping[str, Callable[[Decimal, Decimal], bool]] = {
    "Equals": operator.eq,
    "LessThan": operator.lt,
    "LessThanEquals": operator.le,
    "GreaterThan": operator.gt,
    "GreaterThanEquals": operator.ge,
}
_ROOT = re.compile(r"(?:arn:(aws[a-z-]*):iam::)?(\d{12})(?(1):root|)", re.ASCII)
_SESSION = re.compile(r"arn:(aws[a-z-]*):sts::(\d{12}):assumed-role/([^/]+)/(.+)", re.ASCII | re.DOTALL)
_UNIQUE_ID = re.compile(r"A[A-Z0-9]{15,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a policy allows a request."""

    allowed: bool
    because: str
    statements: tuple[int, ...]
    """Those that decided: the Deny statements that match, else the Allow statements; none when nothing matches."""


def allowed(policy: Policy, request: Request) -> Verdict:
    """Judge a request by one policy alone: a matching Deny wins, then a matching Allow, else it is refused."""
    context = context_of(request)
    missed = [(_missed(each, request, context, policy.version), each) for each in policy.statements]
    for effect, singular, verb in (("Deny", "denies", "deny"), ("Allow", "allows", "allow")):
        deciding = [each for at, each in missed if at is None and each.effect == effect]
        if deciding:
            names = " and ".join(each.name for each in deciding[:3])
            because = f"{names} {verb if len(deciding) > 1 else singular} it"
            first = deciding[0]
            held = "; ".join(told(test) for test in first.tests[:3])
            because += (
                f": {held}{' and more' if len(first.tests) > 3 else ''}" if held else " without any test"
            )
            return Verdict(effect == "Allow", because, tuple(each.index for each in deciding))
    # the refusal that got furthest is the one worth telling: principal, then action, then resource, then tests
    close = [(at, each) for at, each in missed if at is not None and each.effect == "Allow"]
    if not close:
        return Verdict(allowed=False, because="there is no Allow statement", statements=())
    at, nearest = max(close, key=lambda pair: pair[0])
    reason = _reason(at, nearest, request, context)
    return Verdict(allowed=False, because=f"no statement allows it: {nearest.name} {reason}", statements=())


def admits(policy: Policy, request: Request) -> bool:
    """Say whether `allowed` would allow it, without the words."""
    return _admits(policy, request, context_of(request))


def only_first(first: Policy, other: Policy, request: Request) -> bool:
    """Say whether the first policy admits a request that the other refuses."""
    context = context_of(request)
    return _admits(first, request, context) and not _admits(other, request, context)


def _admits(policy: Policy, request: Request, context: Context) -> bool:
    allowing = False
    for each in policy.statements:
        if allowing and each.effect == "Allow":
            continue
        if _missed(each, request, context, policy.version) is None:
            if each.effect == "Deny":
                return False
            allowing = True
    return allowing


def context_of(request: Request) -> Context:
    """Keys in lower case; those that follow from the principal are set, or absent; empty lists are absent."""
    context = {key.lower(): value for key, value in request.ctx.items() if value != ()}
    context.pop("aws:principalarn", None)
    context.pop("aws:principalaccount", None)
    parts = request.principal.split(":")
    if request.kind == "aws" and len(parts) > 5:
        context["aws:principalarn"] = request.principal
        context["aws:principalaccount"] = parts[4]
    return context


def mismatch(
    statement: Statement, request: Request, context: Context, version: str = NEW_VERSION
) -> tuple[int, str] | None:
    """Say how far a statement got and what it missed; None when it matches."""
    at = _missed(statement, request, context, version)
    return None if at is None else (at, _reason(at, statement, request, context))


def matches(statement: Statement, request: Request, context: Context, version: str = NEW_VERSION) -> bool:
    """Say whether a statement matches: what `mismatch` says, without the words."""
    return _missed(statement, request, context, version) is None


def _reason(at: int, statement: Statement, request: Request, context: Context) -> str:
    """Say what a statement missed that got so far."""
    if at == 0:
        return f"is not about {request.kind} principal {request.principal}"
    if at == 1:
        return f"is not about {request.action}"
    if at == 2:
        return f"is not about the resource {request.resource or 'of the policy'}"
    test = statement.tests[at - 3]
    value = context.get(test.key)
    shown = "is absent" if value is None else f"is {value!r}"
    return f"asks {told(test)}, but {test.key} {shown}"


def _missed(statement: Statement, request: Request, context: Context, version: str) -> int | None:
    """Return what a statement missed first: 0 the principal, 1 the action, 2 the resource, 3 and on a test."""
    named = statement.principals if statement.not_principals is None else statement.not_principals
    if named is not None:
        for one in named:
            if principal_matches(one, request):
                found = True
                break
        else:
            found = False
        if found == (statement.principals is None):
            return 0
    found = False
    for pattern in (statement.not_actions if statement.actions is None else statement.actions) or ():
        if _is_action(pattern, request.action):
            found = True
            break
    if found == (statement.actions is None):
        return 1
    for element, wanted in ((statement.resources, True), (statement.not_resources, False)):
        if element is not None and _resource_matches(element, request.resource, context, version) != wanted:
            return 2
    for passed, test in enumerate(statement.tests):
        if not holds(test, context, version):
            return 3 + passed
    return None


@lru_cache(maxsize=4096)
def _is_action(pattern: str, action: str) -> bool:
    return like(plain(folded(pattern)), folded(action))


def principal_matches(named: Principal, request: Request) -> bool:
    """Say whether one entry of a Principal element stands for the one who asks."""
    value = named.value
    if named.kind == "any":
        return True
    if named.kind == "service":
        return request.kind == "service" and value == request.principal
    if named.kind == "federated":
        return request.kind in ("oidc", "saml") and value == request.principal
    if request.kind != "aws":
        return False
    form, of = _form(value)
    if form == "one":
        return value == request.principal
    if form == "nobody":
        return False
    parts = request.principal.split(":", 5)
    if form == "account":
        return len(parts) > 5 and of[0] in (None, parts[1]) and parts[4] == of[1]
    role = parts[-1].rpartition("/")[2] if parts[-1].startswith("role/") else None
    return [*parts[1:2], *parts[4:5], role, request.session] == list(of)


@lru_cache(maxsize=4096)
def _form(value: str) -> tuple[str, tuple[str | None, ...]]:
    """Tell whom an entry under AWS stands for: an `account`, a `session`, just `one`, or `nobody`; and its parts."""
    if "*" in value or "?" in value or _UNIQUE_ID.fullmatch(value):
        return "nobody", ()  # no wildcards inside an ARN; the id of a deleted principal admits nobody
    if root := _ROOT.fullmatch(value):
        return "account", root.groups()
    session = _SESSION.fullmatch(value)
    return ("session", session.groups()) if session else ("one", ())


def holds(test: Test, context: Context, version: str = NEW_VERSION) -> bool:
    """Say whether one test holds; an absent key is judged as Test.passes_absent says."""
    given = context.get(test.key)
    if test.base == "Null":
        return any(value.lower() == ("true" if given is None else "false") for value in test.values)
    if given is None:
        return test.passes_absent
    if test.modifier is None:
        return isinstance(given, str) and _passes(test, given, context, version)
    each = (given,) if isinstance(given, str) else given
    return (all if test.modifier == "all" else any)(_passes(test, value, context, version) for value in each)


def _passes(test: Test, given: str, context: Context, version: str) -> bool:
    found = any(_matches(test.positive, given, value, context, version) for value in test.values)
    return found != test.negated


def _matches(base: str, given: str, value: str, context: Context, version: str) -> bool:
    """One positive operator, one value presented, one value of the policy."""
    if base.startswith(("String", "Arn")):
        spelled = spell(value, context, version)
        if spelled is None:
            return False
        text = "".join(character for character, _ in spelled)
        if base == "StringEquals":
            return given == text
        if base == "StringEqualsIgnoreCase":
            return folded(given) == folded(text)
        return like(spelled, given) if base == "StringLike" else arn_like(spelled, given)
    if base == "Bool":
        return given.lower() == value.lower() and value.lower() in ("true", "false")
    if base == "BinaryEquals":
        return (one := binary(given)) is not None and one == binary(value)
    if base == "IpAddress":
        return inside(given, value)
    read, compared = (number, base[7:]) if base.startswith("Numeric") else (moment, base[4:])
    left, right = read(given), read(value)
    return left is not None and right is not None and _COMPARED[compared](left, right)


def _resource_matches(element: tuple[str, ...], resource: str | None, context: Context, version: str) -> bool:
    """A request without a resource is about the one that carries the policy: only `*` stands for that."""
    for pattern in element:
        spelled = spell(pattern, context, version)
        if spelled is not None:
            parts = sum(character == ":" for character, _ in spelled)
            if (arn_like if parts >= 5 else like)(spelled, resource or ""):
                return True
    return False


def told(test: Test) -> str:
    """A test in one clause: `StringEquals sts:externalid "x"`."""
    values = " or ".join(f'"{value}"' for value in test.values[:3]) or "nothing"
    more = f" or {len(test.values) - 3} more" if len(test.values) > 3 else ""
    return f"{test.operator} {test.key} {values}{more}"
