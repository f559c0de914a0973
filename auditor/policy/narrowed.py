"""The statements that bear on one action of one holder, with everything that is known of the holder's requests put in.

What is not known of a request beforehand, such as its address, is taken twice: against the request (`sure`: what is let
through then is let through wherever it comes from) and in its favour (what is held back then is held back always). Neither
reads a condition as absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from auditor.policy.evaluate import holds
from auditor.policy.model import NEW_VERSION, VARIABLE, Policy, Statement, Test
from auditor.policy.values import folded

Context = Mapping[str, str | None]
"""Values of keys that every request of a holder carries; None: it never carries the key."""

_LISTING = re.compile(r"s3:(prefix|delimiter|max-keys)")
_LISTS = ("s3:listbucket", "s3:listbucketversions", "s3:listbucketmultipartuploads")
"""The actions whose requests carry a prefix; a test of it beside others, a common mistake, holds of nothing else."""
_CHOSEN = re.compile(
    r"s3:(prefix|delimiter|max-keys|versionid|x-amz-.*|object-lock-.*|requestobjecttag.*|signatureversion|authtype|if-.*"
    r"|locationconstraint|tlsversion|objectcreationoperation)"
    r"|aws:(securetransport|requestedregion|requesttag/.*|tagkeys|referer|useragent)"
    r"|iam:(passedtoservice|awsservicename)"
    r"|sts:(externalid|rolesessionname|sourceidentity|transitivetagkeys|durationseconds)"
    r"|kms:encryptioncontext.*"
)
"""Keys whose values the caller chooses with the request; others depend on where and when it is made, and on what it meets."""

_SERVICES = frozenset(
    ("s3", "iam", "sts", "kms", "backup", "cloudtrail", "ec2", "dynamodb", "sns", "sqs", "logs", "lambda")
)
"""Services whose own keys come with their own requests alone."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A user or a role, and the policies that hang on it."""

    arn: str
    identity: tuple[Policy, ...]
    boundary: Policy | None = None
    context: tuple[tuple[str, str | None], ...] = ()
    """What is known of its requests beside its ARN and its account; keys in lower case."""
    chosen: frozenset[str] = frozenset()
    """Keys that it may have any value of, for it is free in what it asks about."""

    @property
    def known(self) -> Context:
        """All that is known of its requests."""
        return {
            "aws:principalarn": self.arn,
            "aws:principalaccount": self.arn.split(":")[4],
            "aws:principalisawsservice": "false",
            **dict(self.context),
        }


@dataclass(frozen=True, slots=True)
class Narrowed:
    """Statements about one action, without their actions."""

    allows: tuple[Statement, ...]
    bounds: tuple[Statement, ...] | None
    """Those of the boundary that allow; None when there is no boundary."""
    denies: tuple[Statement, ...]
    certain: bool
    """Nothing had to be taken one way or the other."""


def narrowed(holder: Holder, action: str, *, sure: bool) -> Narrowed:
    """Return what bears on an action; see above for `sure`."""
    whole = Narrow(holder, action, sure=sure)
    allows = whole.of(holder.identity, "Allow")
    bounds = None if holder.boundary is None else whole.of([holder.boundary], "Allow")
    denies = whole.of([*holder.identity, *([holder.boundary] if holder.boundary else [])], "Deny")
    return Narrowed(allows, bounds, denies, whole.certain)


class Narrow:
    """Narrows statements for one action of one holder, and keeps whether something had to be taken one way."""

    def __init__(self, holder: Holder, action: str, *, sure: bool) -> None:
        self.known = holder.known
        self.chosen = holder.chosen
        self.action = folded(action)
        self.sure = sure
        self.certain = True

    def of(self, policies: Iterable[Policy], effect: str) -> tuple[Statement, ...]:
        """Return the statements of an effect that are about the action."""
        found = [
            self.one(each, policy.version)
            for policy in policies
            for each in policy.statements
            if each.effect == effect and about(each, self.action)
        ]
        return tuple(dict.fromkeys(each for each in found if each is not None))

    def one(self, statement: Statement, version: str) -> Statement | None:
        """Return a statement with what is known put in; None when it matches nothing that can be."""
        if not statement.tests and not _named(statement):
            return _bare(statement, statement.resources, statement.not_resources, ())
        generous = (statement.effect == "Allow") != self.sure
        tests = []
        for test in statement.tests:
            verdict = self._test(test, version)
            if verdict is False:
                return None
            if isinstance(verdict, Test):
                tests.append(verdict)
            elif verdict is None:
                self.certain = False
                if not generous:
                    if self.sure or (free := _free(test, version)) is None:
                        return None
                    tests.append(free)
                elif not self.sure and (free := _free(test, version)) is not None:
                    tests.append(free)
        resources = self._texts(statement.resources, version, wide=generous)
        if resources == ():
            return None
        return _bare(
            statement,
            resources,
            self._texts(statement.not_resources, version, wide=not generous),
            tuple(tests),
        )

    def _test(self, test: Test, version: str) -> bool | Test | None:
        """Say whether a test holds of every request, or of none; a Test: as the caller likes; None: not known."""
        variables = _variables(test.values, version) if test.base.startswith(("String", "Arn")) else ()
        context = {key: value for key, value in self.known.items() if value is not None}
        if test.key in self.known:
            return holds(test, context, version) if all(each in self.known for each in variables) else None
        if never_carried(test.key, self.action):
            return holds(test, {}, version)
        free = test.key in self.chosen or _CHOSEN.fullmatch(test.key)
        if not free or any(each not in self.known for each in variables):
            return None
        if not variables:
            return _free(test, version)
        filled = [_filled(each, context) for each in test.values]
        return (
            None
            if None in filled
            else replace(test, values=tuple(each for each in filled if each is not None))
        )

    def _texts(self, texts: tuple[str, ...] | None, version: str, *, wide: bool) -> tuple[str, ...] | None:
        """Put variables into ARNs: one that is not known stands for anything when `wide`, else for nothing."""
        if texts is None or not any("${" in each for each in texts):
            return texts
        context = {key: value for key, value in self.known.items() if value is not None}
        found = []
        for text in texts:
            if version == NEW_VERSION and self._never(text):
                continue
            filled = _filled(text, context) if version == NEW_VERSION or "${" not in text else None
            if filled is None:
                self.certain = False
                if wide:
                    found.append(VARIABLE.sub("*", text))
            else:
                found.append(filled)
        return tuple(found)

    def _never(self, text: str) -> bool:
        """Say whether an ARN names a variable that no request of the holder carries, so that it stands for nothing."""
        absent = {key for key, value in self.known.items() if value is None}
        return "," not in text and not absent.isdisjoint(_variables([text], NEW_VERSION))


def never_carried(key: str, action: str) -> bool:
    """Say whether no request for an action carries a key: one of another service, or of S3's listings alone."""
    if _LISTING.fullmatch(key):
        return action not in _LISTS
    of, service = key.partition(":")[0], action.partition(":")[0]
    return of in _SERVICES and of != service and {of, service} != {"iam", "sts"}


def _named(statement: Statement) -> bool:
    return any("${" in each for each in (*(statement.resources or ()), *(statement.not_resources or ())))


def _bare(
    statement: Statement,
    resources: tuple[str, ...] | None,
    not_resources: tuple[str, ...] | None,
    tests: tuple[Test, ...],
) -> Statement:
    """Return a statement of resources and tests alone, so that equal ones are equal wherever they stand."""
    return Statement(
        index=0, sid=None, effect=statement.effect, principals=None, not_principals=None, actions=("*",), not_actions=None,
        resources=resources, not_resources=not_resources, tests=tests, place="a statement",
    )  # fmt: skip


def _free(test: Test, version: str) -> Test | None:
    """Return a test as one on any value; None when it depends on another key."""
    if not test.base.startswith(("String", "Arn")) or not any("${" in each for each in test.values):
        return test
    return test if version == NEW_VERSION and not _variables(test.values, version) else None


def _variables(values: Iterable[str], version: str) -> tuple[str, ...]:
    """Return the keys that values name; a `${` of the older version is taken for one that nobody knows."""
    if version != NEW_VERSION:
        return tuple("?" for each in values if "${" in each)
    return tuple(
        found[1].partition(",")[0].strip().lower()
        for each in values
        if "${" in each
        for found in VARIABLE.finditer(each)
        if found[1] not in ("*", "?", "$")
    )


def _filled(text: str, context: Mapping[str, str]) -> str | None:
    """Put values in for variables; None when one has none, or is not plain text."""
    names = _variables([text], NEW_VERSION)
    if any(name not in context or set("*?$") & set(context[name]) for name in names):
        return None
    if any(found[1] in ("*", "?", "$") for found in VARIABLE.finditer(text)):
        return None  # an escape: rare in an ARN, and what follows reads stars as stars
    return VARIABLE.sub(lambda found: context[found[1].partition(",")[0].strip().lower()], text)


def about(statement: Statement, action: str) -> bool:
    """Say whether a statement is about an action."""
    if statement.actions is not None:
        return fits(statement.actions, action)
    return not fits(statement.not_actions or (), action)


@lru_cache(maxsize=65536)
def fits(patterns: tuple[str, ...], action: str) -> bool:
    """Say whether an action fits one of some patterns."""
    return _shape(patterns).fullmatch(folded(action)) is not None


@lru_cache(maxsize=4096)
def _shape(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Return one expression for patterns of actions; `.*` and `.` alone cannot run for ever on names this short."""
    every = (
        "".join(
            ".*" if c == "*" else "." if c == "?" else re.escape(c) for c in re.sub(r"\*+", "*", folded(each))
        )
        for each in patterns
    )
    return re.compile("|".join(every) or r"(?!)", re.DOTALL)


def settled(holder: Holder, policies: Iterable[Policy]) -> tuple[Statement, ...]:
    """Return statements with their actions, what is known of the holder put in and all else left as it is."""
    return tuple(
        dict.fromkeys(
            one
            for policy in policies
            for each in policy.statements
            if (one := _settled(each, policy.version, holder.known)) is not None
        )
    )


def _settled(statement: Statement, version: str, known: Context) -> Statement | None:
    context = {key: value for key, value in known.items() if value is not None}
    tests = []
    for test in statement.tests:
        variables = _variables(test.values, version) if test.base.startswith(("String", "Arn")) else ()
        if test.key in known and all(each in known for each in variables):
            if not holds(test, context, version):
                return None
        else:
            tests.append(test)
    held = []
    for texts in (statement.resources, statement.not_resources):
        filled = (
            None if texts is None else tuple((_filled(t, context) if "${" in t else t) or t for t in texts)
        )
        held.append(filled)
    return replace(
        _bare(statement, held[0], held[1], tuple(tests)),
        actions=statement.actions,
        not_actions=statement.not_actions,
    )
