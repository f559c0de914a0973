"""How a finding is asked: does the policy admit a request within a region, and what is left without a test or a key.

A region is a Deny statement that nobody wrote. `admits(region)` compares the policy with itself and that Deny: what
only the first admits lies within the region, and is a request that anyone can check. No finding reads text for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain

from auditor.policy.compare import Level, compare
from auditor.policy.evaluate import admits, allowed, context_of, holds, matches
from auditor.policy.findings_about import ACCOUNT, EVERYONE, Names, about, named, spelled_out
from auditor.policy.findings_meaning import Finding, finding
from auditor.policy.findings_values import one_by_one
from auditor.policy.globs import Work
from auditor.policy.keys import homes, known, provider_of
from auditor.policy.model import BASES, VARIABLE, Policy, Principal, Request, Statement, Test
from auditor.policy.words import plainer

GIVEN_UP = "too complex: the questions about it take more steps than one document may"
ASSUME = ("sts:AssumeRole",)
WEB = ("sts:AssumeRoleWithWebIdentity",)
SAML = ("sts:AssumeRoleWithSAML",)
_PARTITION = re.compile(r"arn:(aws[a-z-]*):")
_STRANGERS = ("666666666666", "777777777777", "888888888888", "555555555555", "444444444444")
_ADDRESSES = ("198.51.100.77", "203.0.113.77", "9.77.77.77", "131.77.77.77", "66.77.77.77", "180.77.77.77")
_ORG_KEYS = ("aws:principalorgid", "aws:principalorgpaths")
_QUESTION = 300
"""Steps of a question beside those that are counted where they are taken."""
STEPS = 500_000
"""Steps that the questions about one document may take together; the rest is then undecided (about half a second)."""


def test(operator: str, key: str, *values: str) -> Test:
    """Make one test; the operator may carry ForAllValues, ForAnyValue and IfExists."""
    modifier, _, rest = operator.rpartition(":")
    base = rest.removesuffix("IfExists")
    if base not in BASES:
        raise ValueError(f"{base} is no operator")
    how = {"": None, "ForAllValues": "all", "ForAnyValue": "any"}[modifier]
    return Test(operator, base, how, rest != base, key.lower(), values)


def region(
    *tests: Test, principals: tuple[Principal, ...] = EVERYONE, actions: tuple[str, ...] = ("*",)
) -> Statement:
    """Make a region: the requests of these principals for these actions that pass all these tests."""
    return Statement(
        -1, None, "Deny", principals, None, actions, None, None, None, tests, "the region asked about"
    )


@dataclass(slots=True)
class Causes:
    """Why a question could not be decided."""

    said: list[str] = field(default_factory=list)
    times: int = 0
    """How often it could not."""


@dataclass(frozen=True)
class Inquiry:
    """One policy, and what is known of the role that carries it."""

    policy: Policy
    account: str | None = None
    trusted: frozenset[str] = frozenset()
    causes: Causes = field(default_factory=Causes)
    work: Work = field(default_factory=lambda: Work(STEPS))
    written: Policy | None = None
    """The policy as it was written, where variables about the role itself were filled in."""
    home: Mapping[str, str] = field(default_factory=dict)
    """Those variables: every request to the role carries them."""
    _fresh: dict[str, str] = field(default_factory=dict)
    _names: dict[int, tuple[Statement, Names]] = field(default_factory=dict)

    @classmethod
    def of(cls, policy: Policy, account: str | None, trusted: frozenset[str]) -> Inquiry:
        """Begin with the variables filled in that say where the role is: the same for whoever asks."""
        own = cls(policy, account, trusted).own
        home = {"aws:ResourceAccount": own or "000000000000", "aws:ResourceOrgID": "o-ofthisrole"}
        used = {
            key: value for key, value in home.items() if f"${{{key.lower()}}}" in cls(policy).text.lower()
        }
        if not used or not policy.has_variables:
            return cls(policy, account, trusted)
        filled = tuple(
            replace(each, tests=tuple(_filled(test, used) for test in each.tests))
            for each in policy.statements
        )
        return cls(replace(policy, statements=filled), account, trusted, written=policy, home=used)

    def admits(
        self, *regions: Statement, policy: Policy | None = None, level: Level = "feasible"
    ) -> Request | None:
        """Return a request within one of the regions that the policy admits, or None; what is undecided is kept."""
        if self.gives_up():
            return None
        whole = about(self.policy if policy is None else policy, regions, self._names)
        among, doubts = spelled_out(regions), []
        for part in one_by_one(whole, regions, self.work, real=level == "feasible"):
            beyond = replace(part, statements=(*part.statements, *regions))
            witness, doubt = self._asked(part, beyond, level, among)
            if witness is not None:
                return self._recognisable(witness, part, regions)
            doubts += [doubt] if doubt else []
        if doubts and not self.gives_up():
            self._undecided(doubts[0])
        return None

    def _recognisable(self, witness: Request, policy: Policy, regions: tuple[Statement, ...]) -> Request:
        """Return a witness with names that tell people something, where one lies within a region as well."""

        def holds(other: Request) -> bool:
            context = context_of(other)
            inside = any(matches(one, other, context, policy.version) for one in regions)
            return inside and admits(policy, other)

        parts = witness.principal.split(":")
        if (
            witness.kind == "aws"
            and len(parts) > 5
            and parts[4] not in (*self.accounts, *self.trusted, self.own)
        ):
            other = replace(
                witness, principal=":".join((*parts[:4], self.stranger, "role/anyone")), session=None
            )
            if holds(other):
                return other
        return plainer(witness, holds)

    def plainer(
        self, witness: Request, key: str, values: Iterable[str], regions: Iterable[Statement]
    ) -> Request:
        """Return the witness with the first of these values that leaves it admitted and within a region."""
        asked = tuple(regions)
        for value in values:
            other = replace(witness, ctx={**witness.ctx, key: value})
            context = context_of(other)
            if admits(self.policy, other) and any(matches(one, other, context) for one in asked):
                return other
        return witness

    def only(self, policy: Policy, other: Policy, level: Level = "feasible") -> Request | None:
        """Return a request that `policy` admits and `other` refuses, or None."""
        witness, doubt = self._asked(policy, other, level, None)
        if doubt:
            self._undecided(doubt)
        return witness

    def _asked(
        self, policy: Policy, other: Policy, level: Level, among: tuple[Principal, ...] | None
    ) -> tuple[Request | None, str]:
        """Return a request that `policy` admits and `other` refuses, and what could not be decided."""
        if not any(each.effect == "Allow" for each in policy.statements):
            return None, ""
        self.work.left -= _QUESTION + _size(policy) + _size(other)
        found = compare(policy, other, level=level, work=self.work, among=among, words=False)
        if found.verdict != "undecided":
            return found.witness_a_only, ""
        return found.witness_a_only, GIVEN_UP if self.work.done else found.because

    def _undecided(self, cause: str) -> None:
        self.causes.times += 1
        if cause not in self.causes.said:
            self.causes.said.append(cause)

    def gives_up(self) -> bool:
        """Say whether the questions so far took all the steps there are, and keep that as the cause."""
        if self.work.done:
            self._undecided(GIVEN_UP)
        return self.work.done

    def alone(self, index: int) -> Policy:
        """Return the policy with one Allow statement and every Deny."""
        kept = tuple(each for each in self.policy.statements if each.effect == "Deny" or each.index == index)
        return replace(self.policy, statements=kept)

    def proven(self, name: str, because: str, witness: Request) -> Finding:
        """Make a finding of a witness, once the evaluator has said that the policy admits it."""
        if self.home:
            witness = replace(witness, ctx={**witness.ctx, **self.home})
        self.work.left -= _size(self.policy) // 2
        verdict = allowed(self.written or self.policy, witness)
        if not verdict.allowed:  # never shown unproven
            return finding("undecided", f"a request for {name} could not be confirmed: {verdict.because}", ())
        return finding(name, because, verdict.statements, witness)

    # What the policy speaks of. These only propose what to ask about; the answers come from `admits`.

    @cached_property
    def allows(self) -> tuple[Statement, ...]:
        """The Allow statements."""
        return tuple(each for each in self.policy.statements if each.effect == "Allow")

    @cached_property
    def tests(self) -> tuple[Test, ...]:
        """Every test of every statement."""
        return tuple(each for statement in self.policy.statements for each in statement.tests)

    @cached_property
    def keys(self) -> frozenset[str]:
        """Every key that is tested."""
        return frozenset(each.key for each in self.tests)

    @cached_property
    def text(self) -> str:
        """Every name and value, to be sure that a name made up is in none."""
        names = [each.value for statement in self.policy.statements for each in named(statement)]
        return "\n".join([*names, *(value for each in self.tests for value in each.values)])

    def values(self, key: str) -> tuple[str, ...]:
        """Return the values that the policy tests a key by."""
        found = (
            value for each in self.tests if each.key == key and each.base != "Null" for value in each.values
        )
        return tuple(dict.fromkeys(found))

    def exact(self, key: str) -> tuple[str, ...]:
        """Return those values without a wildcard or a variable."""
        return tuple(
            value for value in self.values(key) if not {"*", "?"} & set(value) and not VARIABLE.search(value)
        )

    def fresh(self, base: str) -> str:
        """Return a name that the policy does not hold."""
        if base not in self._fresh:
            names = chain((base,), (f"{base}-{at}" for at in range(2, 10_000)))
            self._fresh[base] = next(name for name in names if name.lower() not in self.folded)
        return self._fresh[base]

    @cached_property
    def folded(self) -> str:
        """The text in lower case."""
        return self.text.lower()

    @cached_property
    def stranger(self) -> str:
        """An account that the policy does not name."""
        numbers = chain(_STRANGERS, (f"{at:012d}" for at in range(200_000_000_000, 200_000_010_000)))
        return next(number for number in numbers if number not in self.text and number != self.account)

    @cached_property
    def accounts(self) -> tuple[str, ...]:
        """Every account that the Allow statements name."""
        found: list[str] = []
        for statement in self.allows:
            texts = [each.value for each in named(statement) if each.kind == "aws"]
            texts += [
                value
                for each in statement.tests
                if each.key.startswith("aws:principala")
                for value in each.values
            ]
            found += [number for text in texts for number in ACCOUNT.findall(text)]
        return tuple(sorted(set(found)))

    @cached_property
    def partition(self) -> str:
        """The partition of its ARNs: `aws` when it has none."""
        found = _PARTITION.search(self.text)
        return found[1] if found else "aws"

    @cached_property
    def own(self) -> str | None:
        """The role's account: as told, else that of the identity providers it names, which are always the account's own."""
        if self.account:
            return self.account
        found = {each.value.split(":")[4] for each in self.federated if each.value.startswith("arn:")}
        return found.pop() if len(found) == 1 else None

    @cached_property
    def federated(self) -> tuple[Principal, ...]:
        """The identity providers that are named, and for `*` those whose claims are tested."""
        found: dict[Principal, None] = {}
        for statement in self.allows:
            for each in named(statement):
                if each.kind == "federated":
                    found[each] = None
                elif each.kind == "any":
                    for key in (test.key for test in statement.tests):
                        found |= {
                            Principal("federated", name): None
                            for _, name in homes(key, self.account or "111111111111")
                        }
        return tuple(found)

    @cached_property
    def providers(self) -> tuple[tuple[Principal, str], ...]:
        """The OIDC providers among them, each with host and path in lower case."""
        pairs = ((each, provider_of(each.value)) for each in self.federated)
        return tuple((each, provider) for each, provider in pairs if provider is not None)

    @cached_property
    def services(self) -> tuple[Principal, ...]:
        """The AWS services that are named."""
        return tuple(
            dict.fromkeys(each for one in self.allows for each in named(one) if each.kind == "service")
        )

    # Tests that a caller of no consequence passes

    def other(self, key: str, base: str, *, required: bool = False) -> tuple[Test, ...]:
        """Return the tests by which a key is absent (unless required) or holds what the policy does not name."""
        if key not in self.keys:
            return ()
        families = {_family(each.base) for each in self.tests if each.key == key and each.base != "Null"}
        maybe = "" if required else "IfExists"
        many = "ForAllValues:" if (facts := known(key)) and facts.multivalued else ""
        present = (test("Null", key, "false"),) if required else ()
        match families:
            case _ if "Bool" in families:
                return (test(f"Bool{maybe}", key, "false"),)
            case _ if "Ip" in families:
                return (test(f"IpAddress{maybe}", key, self._address(key)),)
            case _ if "Numeric" in families:
                return (test(f"NumericEquals{maybe}", key, self.number(key)),)
            case _ if "Date" in families:
                return ()
        return (*present, test(f"{many}StringEquals{'' if many else maybe}", key, self.fresh(base)))

    def number(self, key: str) -> str:
        """Return a number above all that the policy tests a key by."""
        numbers = [
            int(value)
            for value in self.values(key)
            if value.isascii() and value.isdigit() and len(value) < 40
        ]
        return str(max(numbers, default=776) + 1)

    def _address(self, key: str) -> str:
        """Return an address outside every named block, but those that hold half of all addresses or more."""
        import ipaddress

        blocks = []
        for value in self.values(key):
            try:
                block = ipaddress.ip_network(value, strict=False)
            except ValueError:
                continue
            if block.prefixlen > 0 and block.version == 4:
                blocks.append(block)
        outside = (
            one for one in _ADDRESSES if not any(ipaddress.ip_address(one) in block for block in blocks)
        )
        return next(outside, _ADDRESSES[0])

    def given(self, fixed: Mapping[str, str | None]) -> Policy:
        """Return the policy as it stands once some keys have these values (None: absent): tests on them worked out."""
        context = {key: value for key, value in fixed.items() if value is not None}
        kept: list[Statement] = []
        for statement in self.policy.statements:
            ours = [each for each in statement.tests if each.key in fixed]
            if all(holds(each, context, self.policy.version) for each in ours):
                kept.append(
                    replace(statement, tests=tuple(each for each in statement.tests if each.key not in fixed))
                )
        return replace(self.policy, statements=tuple(kept))


def _size(policy: Policy) -> int:
    """Return how many names and values a policy has."""
    return sum(
        len(each.principals or each.not_principals or ())
        + len(each.actions or ())
        + sum(len(one.values) for one in each.tests)
        for each in policy.statements
    )


def _filled(test: Test, home: Mapping[str, str]) -> Test:
    values = test.values
    for key, value in home.items():
        variable = re.compile(r"\$\{\s*" + re.escape(key) + r"\s*(,[^}]*)?\}", re.IGNORECASE)
        values = tuple(variable.sub(value, each) for each in values)
    return replace(test, values=values)


def _family(base: str) -> str:
    for family in ("String", "Arn", "Bool", "Numeric", "Date", "Binary"):
        if base.startswith(family):
            return family
    return "Ip"


def matching(patterns: Iterable[str], value: str) -> tuple[str, ...]:
    """Return the patterns (`*`, `?`) that match a value."""
    return tuple(each for each in patterns if holds(test("StringLike", "k", each), {"k": value}))
