"""Who asks, for which action, about which resource: the classes that Principal, Action and Resource can tell apart.

For an aws principal the Principal element, aws:PrincipalArn and aws:PrincipalAccount are patterns on one text, its
ARN; so `"*"` with aws:PrincipalAccount is found to be the account principal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import or_

from auditor.policy.classes import Asked, patterns_of, type_of
from auditor.policy.evaluate import context_of, holds, principal_matches
from auditor.policy.globs import (
    ANY,
    DIGIT,
    NO_COLON,
    NO_COLON_STAR,
    STAR,
    Automaton,
    Pattern,
    TooComplex,
    Work,
    arn,
    classes,
    exactly,
    like,
)
from auditor.policy.model import ACTIONS, DERIVED, Principal, Request, Statement
from auditor.policy.values import folded, plain, spell

PARTITIONS = ("aws", "aws-us-gov", "aws-cn")
_ROOT = re.compile(r"(?:arn:(aws[a-z-]*):iam::)?(\d{12})(?(1):root|)", re.ASCII)
_SESSION = re.compile(r"arn:(aws[a-z-]*):sts::(\d{12}):assumed-role/([^/]+)/(.+)", re.ASCII | re.DOTALL)
_ROLE = re.compile(r"arn:(aws[a-z-]*):iam::(\d{12}):role/(?:.+/)?([^/]+)", re.ASCII | re.DOTALL)
_PARTITION = re.compile(r"aws[a-z-]*")
_TAILS = (tuple("root"), (*"user/", ANY, STAR), (*"role/", ANY, STAR))


@dataclass(frozen=True, slots=True)
class Caller:
    """One class of callers: an example, and the statements that are not about them."""

    kind: str
    principal: str
    session: str | None
    fails: int


@dataclass(frozen=True, slots=True)
class Stated:
    """A statement of a compared pair with its bit."""

    bit: int
    statement: Statement
    version: str
    asked: tuple[Asked, ...]
    """Its tests."""

    @property
    def named(self) -> tuple[Principal, ...] | None:
        """Whom it is about, or not about; None in a policy that hangs on an identity."""
        statement = self.statement
        return statement.principals if statement.not_principals is None else statement.not_principals


def partitions(stated: Sequence[Stated]) -> tuple[str, ...]:
    """Return the partitions whose principals are asked about: those that ARNs of principals name; `aws` when none does.

    A role and its callers live in one partition, which no policy tells: `"*"` does not bring the others in.
    """
    found: dict[str, None] = {}
    for each in stated:
        texts = [named.value for named in each.named or ()]
        texts += [
            value
            for asked in each.asked
            if asked.test.key == "aws:principalarn"
            for value in asked.test.values
        ]
        for text in texts:
            parts = text.split(":", 2)
            if parts[0] != "arn" or len(parts) < 3:
                continue
            if parts[1] == "aws" or _PARTITION.fullmatch(parts[1]):
                found[parts[1]] = None
            else:
                matching = like(plain(parts[1]))
                found |= dict.fromkeys(p for p in PARTITIONS if Automaton([matching]).matching(p))
    return tuple(sorted(found)) or PARTITIONS[:1]


def aws_callers(
    stated: Sequence[Stated],
    known_partitions: Sequence[str],
    telling: Iterable[tuple[str, Pattern]] = (),
    extra: Iterable[str] = (),
    work: Work | None = None,
) -> tuple[list[Caller], bool]:
    """Users, roles, roots and sessions of roles, and whether these are all classes of them.

    `telling` are patterns of keys that variables link to the caller; `extra` principals of other shapes, looked at alone.
    """
    patterns: dict[Pattern, int] = {}

    def numbered(pattern: Pattern) -> int:
        return 1 << patterns.setdefault(pattern, len(patterns))

    roles = _roles(stated)
    alternatives = [
        _by_session(_alternatives(each.named or (), known_partitions, roles, numbered)) for each in stated
    ]
    everyone = [any(named.kind == "any" for named in each.named or ()) for each in stated]
    tests = [
        (each.bit, asked, _derived(asked.test.key, _texts(asked), known_partitions, numbered))
        for each in stated
        for asked in each.asked
        if asked.test.key in DERIVED
    ]
    for key, pattern in telling:
        _derived(key, [pattern], known_partitions, numbered)
    sessions = sorted({session for found in alternatives for session in found if session})
    of_session = {
        session: reduce(or_, (found[session] for found in alternatives if session in found))
        for session in sessions
    }
    shapes = _shapes(tuple(known_partitions))
    complete = True
    try:
        met = classes({pattern: 1 << i for pattern, i in patterns.items()}, shapes, work)
    except TooComplex as error:
        met, complete = list(error.found), False
    callers = []
    for principal, matched in met:
        derived = 0
        for bit, asked, mask in tests:
            if not _derived_passes(asked, bool(matched & mask)):
                derived |= bit
        own = [one for one in sessions if matched & of_session[one]] if ":role/" in principal else []
        for session in (None, *own):  # of another role's sessions none tells this one's apart
            fails = derived
            for each, found, anyone in zip(stated, alternatives, everyone, strict=True):
                hit = anyone or bool(
                    matched & (found.get(None, 0) | (found.get(session, 0) if session else 0))
                )
                if each.named is not None and hit != (each.statement.principals is not None):
                    fails |= each.bit
            callers.append(Caller("aws", principal, session, fails))
    return callers + [_looked_at("aws", principal, stated) for principal in extra], complete


@lru_cache(maxsize=64)
def _shapes(known_partitions: tuple[str, ...]) -> tuple[Pattern, ...]:
    """Return the patterns of roots, users and roles."""
    return tuple(
        ((*f"arn:{partition}:iam::", *(DIGIT,) * 12, ":", *tail), False)
        for partition in known_partitions
        for tail in _TAILS
    )


def _alternatives(
    named: Iterable[Principal],
    known_partitions: Sequence[str],
    roles: Mapping[tuple[str, str, str], set[str]],
    numbered: Callable[[Pattern], int],
) -> list[tuple[int, str | None]]:
    """Masks of patterns, any of which says that a statement is about the caller, with the session it must be."""
    found: list[tuple[int, str | None]] = []
    for each in named:
        value = each.value
        if each.kind != "aws" or "*" in value or "?" in value:
            continue
        if root := _ROOT.fullmatch(value):
            of_root = known_partitions if root[1] is None else (root[1],)
            found += [(numbered(((*f"arn:{each}:iam::{root[2]}:", STAR), False)), None) for each in of_root]
        elif session := _SESSION.fullmatch(value):
            of = (session[1], session[2], session[3])
            begin = f"arn:{session[1]}:iam::{session[2]}:role/"
            mask = sum(numbered(exactly(role)) for role in roles.get(of, ()))
            if not mask:  # the session's ARN does not tell the role's path
                mask = numbered(exactly(begin + session[3])) | numbered(
                    ((*begin, ANY, STAR, "/", *session[3]), False)
                )
            found.append((mask, session[4]))
        else:
            found.append((numbered(exactly(value)), None))
    return found


def _by_session(found: Iterable[tuple[int, str | None]]) -> dict[str | None, int]:
    """Return the patterns that say so of anyone (None), and of one session of a role."""
    masks: dict[str | None, int] = {}
    for mask, session in found:
        masks[session] = masks.get(session, 0) | mask
    return masks


def _roles(stated: Sequence[Stated]) -> dict[tuple[str, str, str], set[str]]:
    """Role ARNs that the statements spell out, by partition, account and name: a name is used once in an account."""
    texts = {named.value for each in stated for named in each.named or ()}
    texts |= {
        v for each in stated for asked in each.asked if asked.test.key in DERIVED for v in asked.test.values
    }
    found: dict[tuple[str, str, str], set[str]] = {}
    for text in texts:
        if (role := _ROLE.fullmatch(text)) and "*" not in text and "?" not in text:
            found.setdefault((role[1], role[2], role[3]), set()).add(text)
    return found


def _derived(
    key: str, patterns: Iterable[Pattern], known_partitions: Sequence[str], numbered: Callable[[Pattern], int]
) -> int:
    """Mask of the patterns on the ARN that stand for patterns of aws:PrincipalArn or aws:PrincipalAccount."""
    mask = 0
    for tokens, ignore_case in patterns:
        if key == "aws:principalarn":
            mask |= numbered((tokens, ignore_case))
        elif ":" not in tokens:  # an account id holds no colon
            account = tuple({STAR: NO_COLON_STAR, ANY: NO_COLON}.get(token, token) for token in tokens)
            for partition in known_partitions:
                mask |= numbered(((*f"arn:{partition}:iam::", *account, ":", STAR), ignore_case))
    return mask


def _texts(asked: Asked) -> Iterable[Pattern]:
    return patterns_of(asked.test, asked.version, {}) if type_of(asked.test) == "string" else ()


def _derived_passes(asked: Asked, matched: bool) -> bool:
    if asked.test.base == "Null":
        return any(value.lower() == "false" for value in asked.test.values)
    return matched != asked.test.negated


def _looked_at(kind: str, principal: str, stated: Sequence[Stated], session: str | None = None) -> Caller:
    """Judge one caller as the evaluator does."""
    request = Request(kind, principal, session, "")
    context = context_of(request)
    fails = 0
    for each in stated:
        hit = any(principal_matches(named, request) for named in each.named or ())
        if each.named is not None and hit != (each.statement.principals is not None):
            fails |= each.bit
        for asked in each.asked:
            if asked.test.key in DERIVED and not holds(asked.test, context, asked.version):
                fails |= each.bit
    return Caller(kind, principal, session, fails)


def other_callers(
    kind: str, stated: Sequence[Stated], partition: str, more: Iterable[str] = ()
) -> list[Caller]:
    """Services, OIDC or SAML providers: those that are named, `more`, and one that is not."""
    wanted = "service" if kind == "service" else "federated"
    names = {
        named.value
        for each in stated
        for named in each.named or ()
        if named.kind == wanted and named.value
        and (kind == "service" or (":saml-provider/" in named.value) == (kind == "saml"))
    } | set(more)  # fmt: skip
    pattern = {
        "service": "other{}.amazonaws.com",
        "oidc": f"arn:{partition}:iam::999999999999:oidc-provider/other{{}}.example",
        "saml": f"arn:{partition}:iam::999999999999:saml-provider/Other{{}}",
    }[kind]
    other = next(name for n in range(len(names) + 1) if (name := pattern.format(n or "")) not in names)
    about = [
        {
            each.value if each.kind == wanted else None
            for each in stated_.named or ()
            if each.kind in (wanted, "any")
        }
        for stated_ in stated
    ]
    derived = _underived(stated)
    found = []
    for name in (*sorted(names), other):
        fails = derived
        for each, named in zip(stated, about, strict=True):
            hit = name in named or None in named
            if each.named is not None and hit != (each.statement.principals is not None):
                fails |= each.bit
        found.append(Caller(kind, name, None, fails))
    return found


def told_callers(kind: str, stated: Sequence[Stated], among: Iterable[Principal]) -> list[Caller]:
    """Callers of a kind, where these alone are asked about."""
    found = []
    for each in among:
        federated = "saml" if ":saml-provider/" in each.value else "oidc"
        if kind == {"federated": federated}.get(each.kind, each.kind):
            found.append(_looked_at(kind, each.value, stated))
    return found


def _underived(stated: Sequence[Stated]) -> int:
    """Mask of the statements whose tests ask for what follows from an aws principal, which nobody else has."""
    fails = 0
    for each in stated:
        for asked in each.asked:
            if asked.test.key in DERIVED and not holds(asked.test, {}, asked.version):
                fails |= each.bit
    return fails


def sts_actions(kind: str, stated: Sequence[Stated]) -> list[tuple[str, int]]:
    """What a caller of a kind can ask of a role, with the statements that are not about it."""
    found = []
    for action in ACTIONS[kind]:
        fails = 0
        for each in stated:
            if _is_about(each.statement, action) != (each.statement.actions is not None):
                fails |= each.bit
        found.append((action, fails))
    return found


def _is_about(statement: Statement, action: str) -> bool:
    asked = statement.actions if statement.actions is not None else statement.not_actions or ()
    return any(_action_matches(each, action) for each in asked)


@lru_cache(maxsize=4096)
def _action_matches(pattern: str, action: str) -> bool:
    if "*" not in pattern and "?" not in pattern:
        return folded(pattern) == folded(action)
    return re.fullmatch(
        "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in folded(pattern)), folded(action), re.DOTALL
    ) is not None  # fmt: skip


def any_actions(stated: Sequence[Stated], work: Work | None = None) -> list[tuple[str, int]]:
    """Actions of every service, `service:Name`. Raises TooComplex."""
    owners: dict[Pattern, int] = {}
    for each in stated:
        asked = each.statement.actions if each.statement.actions is not None else each.statement.not_actions
        for action in asked or ():
            pattern = (like((c, False) for c in action)[0], True)
            owners[pattern] = owners.get(pattern, 0) | each.bit
    shape = ((NO_COLON, NO_COLON_STAR, ":", NO_COLON, NO_COLON_STAR), False)
    wanted = sum(each.bit for each in stated if each.statement.actions is not None)
    every = sum(each.bit for each in stated)
    return [(action, (mask ^ wanted) & every) for action, mask in classes(owners, (shape,), work)]


def resources(
    stated: Sequence[Stated], known: Mapping[str, str] | None = None, work: Work | None = None
) -> list[tuple[str | None, int]]:
    """Resources, None for the one that carries the policy: it is what `*` alone stands for. Raises TooComplex."""
    owners: dict[Pattern, int] = {}
    wanted = every = unnamed = 0
    for each in stated:
        statement = each.statement
        element = statement.resources if statement.resources is not None else statement.not_resources
        if element is None:
            continue
        every |= each.bit
        wanted |= each.bit if statement.resources is not None else 0
        for text in element:
            spelled = spell(text, known or {}, each.version)
            if spelled is None:
                continue
            pattern = arn(spelled) or like(spelled)
            owners[pattern] = owners.get(pattern, 0) | each.bit
            unnamed |= each.bit if all(character == "*" for character in text) else 0
    if not every:
        return [(None, 0)]
    found: list[tuple[str | None, int]] = [
        (text, (mask ^ wanted) & every) for text, mask in classes(owners, (), work)
    ]
    return [*found, (None, (unnamed ^ wanted) & every)]
