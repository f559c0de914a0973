"""The nouns of a policy: statements, principals, tests, and the request they are asked about. Values, nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Kind = str
"""Who asks: `aws` (a user, role or root), `service`, `oidc` or `saml`."""
KINDS: tuple[Kind, ...] = ("aws", "service", "oidc", "saml")

ACTIONS: Mapping[Kind, tuple[str, ...]] = {
    "aws": ("sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity", "sts:SetContext"),
    "service": ("sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity", "sts:SetContext"),
    "oidc": ("sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"),
    "saml": ("sts:AssumeRoleWithSAML", "sts:TagSession", "sts:SetSourceIdentity"),
}
"""What a caller of each kind can ask of a role (STS API reference)."""

MULTIVALUED = frozenset({"aws:tagkeys", "sts:transitivetagkeys", "cognito-identity.amazonaws.com:amr"})
"""Keys of a role-assumption request that hold several values; every other key holds one."""

DERIVED = ("aws:principalarn", "aws:principalaccount")
"""Keys that follow from an aws principal and are absent for every other kind."""

BASES = (
    "StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike",
    "NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals",
    "NumericGreaterThan", "NumericGreaterThanEquals",
    "DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals",
    "Bool", "BinaryEquals", "IpAddress", "NotIpAddress", "ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike", "Null",
)  # fmt: skip
"""Every condition operator without its modifiers (IAM User Guide, reference_policies_elements_condition_operators)."""

VARIABLE = re.compile(r"\$\{([^{}]*)\}")
"""`${key}`, `${key, 'default'}` and the escapes `${*}`, `${?}`, `${$}`."""
NEW_VERSION = "2012-10-17"
"""Variables and escapes exist in this version of the language only."""


@dataclass(frozen=True, slots=True)
class Test:
    """One operator on one key: such as `StringLike` or `ForAllValues:StringEquals`."""

    __test__ = False  # what pytest looks for in names that start so

    operator: str
    """As the policy writes it."""
    base: str
    """One of BASES."""
    modifier: str | None
    """`all` for ForAllValues, `any` for ForAnyValue."""
    if_exists: bool
    key: str
    """In lower case: keys are not case-sensitive."""
    values: tuple[str, ...]

    @property
    def negated(self) -> bool:
        """Whether it holds when no value matches."""
        return "Not" in self.base

    @property
    def positive(self) -> str:
        """The operator it negates, or itself: StringNotLike asks StringLike."""
        return self.base.replace("Not", "")

    @property
    def passes_absent(self) -> bool:
        """Whether a request without the key passes."""
        if self.base == "Null":
            return any(value.lower() == "true" for value in self.values)
        if self.modifier:
            return self.modifier == "all"
        return self.if_exists or self.negated


@dataclass(frozen=True, slots=True)
class Principal:
    """One entry of a Principal element; `*` alone or under AWS is of the kind `any`."""

    kind: str
    """`any`, `aws`, `service`, `federated` or `canonical`."""
    value: str


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement; of each pair (principals, not_principals) and so on at most one is not None."""

    index: int
    sid: str | None
    effect: str
    """`Allow` or `Deny`."""
    principals: tuple[Principal, ...] | None
    not_principals: tuple[Principal, ...] | None
    actions: tuple[str, ...] | None
    not_actions: tuple[str, ...] | None
    resources: tuple[str, ...] | None
    not_resources: tuple[str, ...] | None
    tests: tuple[Test, ...]
    place: str
    """Where it stands: `Statement[0]`."""

    @property
    def name(self) -> str:
        """How a sentence names it: its place, with the sid when it has one."""
        return f"{self.place} ({self.sid})" if self.sid else self.place


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy document of any type."""

    version: str
    id: str | None
    statements: tuple[Statement, ...]

    @property
    def has_variables(self) -> bool:
        """Whether `${…}` means anything in it."""
        return self.version == NEW_VERSION


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks for what, presenting which keys."""

    kind: Kind
    principal: str
    """ARN of a user, role or root; a service's name; a provider's ARN or name."""
    session: str | None
    """Name of the role session that asks, when the principal is a role and a session matters."""
    action: str
    ctx: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    """Condition keys as given; a tuple for a multivalued key."""
    resource: str | None = None

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Request:
        """Read the JSON form {kind, principal, session, action, ctx, resource?}; ValueError says what is wrong."""
        kind = told.get("kind")
        ctx = {} if told.get("ctx") is None else told["ctx"]
        if kind not in KINDS:
            raise ValueError(f"a request's kind is one of {', '.join(KINDS)}, not {kind!r}")
        for name, needed in (("principal", True), ("action", True), ("session", False), ("resource", False)):
            if not isinstance(told.get(name), str) and (needed or told.get(name) is not None):
                raise ValueError(f"a request's {name} is a text, not {told.get(name)!r}")
        if not isinstance(ctx, Mapping):
            raise ValueError("a request's ctx is an object of keys and values")  # noqa: TRY004
        return cls(
            kind=kind,
            principal=told["principal"],
            session=told.get("session"),
            action=told["action"],
            ctx={str(key): _value(key, value) for key, value in ctx.items()},
            resource=told.get("resource"),
        )

    def as_dict(self) -> dict[str, Any]:
        """The JSON form; `resource` only when there is one."""
        ctx = {key: list(value) if isinstance(value, tuple) else value for key, value in self.ctx.items()}
        told = {"kind": self.kind, "principal": self.principal, "session": self.session}
        told |= {"action": self.action, "ctx": ctx}  # type: ignore[dict-item]
        return told | ({"resource": self.resource} if self.resource is not None else {})


def _value(key: object, value: object) -> str | tuple[str, ...]:
    if isinstance(value, list | tuple) and all(isinstance(each, str | int | float) for each in value):
        return tuple(_text(each) for each in value)
    if isinstance(value, str | int | float):
        return _text(value)
    raise ValueError(f"the value of {key!r} is a text or a list of texts, not {value!r}")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
