"""What hangs on a role or user: its policies read, with why one is not known, and what a change of them lets through.

Equal documents are read once, whoever carries them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from auditor.policy.model import Policy
from auditor.policy.narrowed import Holder
from auditor.policy.parse import PolicyError, parse

LONGEST = 600
_NOT_READ = "its permission policies were not read"
Documents = Mapping[str, str | None]
"""Text of each managed policy, by ARN."""


@dataclass(frozen=True, slots=True)
class Carried:
    """The policies that hang on a user or role, or why they are not all known."""

    identity: tuple[Policy, ...] = ()
    boundary: Policy | None = None
    unknown: str = ""
    """Of the identity's policies."""
    fence_unknown: str = ""
    """Of the boundary."""

    @property
    def why(self) -> str:
        """What is not known of them."""
        return "; ".join(each for each in (self.unknown, self.fence_unknown) if each)[:LONGEST]


def documents(policies: Iterable[Mapping[str, Any]]) -> dict[str, str | None]:
    """Return the text of each managed policy that was in the answer."""
    return {row["arn"]: row["document"] for row in policies}


def carried(inline: Any, attached: Any, boundary: str | None, managed: Documents) -> Carried:
    """Read what hangs on one identity. `boundary` is an ARN, `none`, or None when it was not read."""
    texts, arns = _text(inline), names(attached)
    if texts is None or arns is None:
        return Carried(unknown=_NOT_READ, fence_unknown="" if boundary else _NOT_READ)
    found: list[Policy] = []
    unknown: list[str] = []
    for read in (_inline(texts), *(_managed(arn, managed) for arn in arns)):
        found += read[0]
        unknown += [read[1]] if read[1] else []
    if boundary in (None, "none", ""):
        return Carried(
            tuple(found),
            None,
            "; ".join(unknown),
            "" if boundary else "its permissions boundary was not read",
        )
    fence, fault = _managed(boundary or "", managed)
    return Carried(tuple(found), fence[0] if fence else None, "; ".join(unknown), fault)


def of_columns(columns: Mapping[str, Any], managed: Documents) -> Carried:
    """Read what hangs on one identity, of a row of it or of the columns that are remembered."""
    return carried(
        columns.get("inline_policies"), columns.get("attached_policies"), columns.get("boundary_arn"), managed
    )


def _text(inline: Any) -> str | None:
    return inline if inline is None or isinstance(inline, str) else json.dumps(inline, sort_keys=True)


def names(attached: Any) -> list[str] | None:
    """Return the ARNs of a list of attached policies; None when it was not read."""
    return list(json.loads(attached)) if isinstance(attached, str) else attached


@lru_cache(maxsize=8192)
def _inline(text: str) -> tuple[tuple[Policy, ...], str]:
    found, unread = [], []
    try:
        named = json.loads(text)
    except ValueError:
        return (), "its inline policies cannot be read"
    for name, document in sorted(named.items()):
        try:
            found.append(parse(document, strict=False))
        except PolicyError as error:
            unread.append(f"its policy {name} cannot be read: {error.args[0]}")
    return tuple(found), "; ".join(unread)


def _managed(arn: str, managed: Documents) -> tuple[tuple[Policy, ...], str]:
    text = managed.get(arn)
    if text is None:
        return (), f"the managed policy {arn} was not in the answer"
    return _document(arn, text)


@lru_cache(maxsize=8192)
def _document(arn: str, text: str) -> tuple[tuple[Policy, ...], str]:
    try:
        return (parse(text, strict=False),), ""
    except PolicyError as error:
        return (), f"the managed policy {arn} cannot be read: {error.args[0]}"


def role(arn: str, held: Carried) -> Holder:
    """Return a role with what is known of every request of its sessions."""
    return Holder(
        arn, held.identity, held.boundary, (("aws:principaltype", "AssumedRole"), ("aws:username", None))
    )


def user(arn: str, name: str, held: Carried) -> Holder:
    """Return a user."""
    return Holder(arn, held.identity, held.boundary, (("aws:principaltype", "User"), ("aws:username", name)))
