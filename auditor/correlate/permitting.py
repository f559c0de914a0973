"""What the permission policies of roles and users come to, as facts; what was not read or cannot be decided is said with why.

Equal documents are read once, and equal questions are answered once, whoever carries them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from auditor.correlate.zoning import Row
from auditor.policy.grown import grown
from auditor.policy.model import Policy
from auditor.policy.narrowed import Holder
from auditor.policy.parse import PolicyError, parse
from auditor.policy.powers import Powers, beyond, escalations, fences, on_prefixes, told_of

LONGEST = 600
UNSEEN_FENCES = "SCPs and session policies are not seen; they could only take away"
_NOT_READ = "its permission policies were not read"
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
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


def documents(policies: Iterable[Row]) -> dict[str, str | None]:
    """Return the text of each managed policy that was in the answer."""
    return {row["arn"]: row["document"] for row in policies}


def carried(inline: Any, attached: Any, boundary: str | None, managed: Documents) -> Carried:
    """Read what hangs on one identity. `boundary` is an ARN, `none`, or None when it was not read."""
    texts, names = _text(inline), _names(attached)
    if texts is None or names is None:
        return Carried(unknown=_NOT_READ, fence_unknown="" if boundary else _NOT_READ)
    found: list[Policy] = []
    unknown: list[str] = []
    for read in (_inline(texts), *(_managed(arn, managed) for arn in names)):
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


def _text(inline: Any) -> str | None:
    return inline if inline is None or isinstance(inline, str) else json.dumps(inline, sort_keys=True)


def _names(attached: Any) -> list[str] | None:
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


def listed(name: str, found: Powers) -> dict[str, Any]:
    """Return a list of powers as the columns `NAME`, `NAME_decided`, `NAME_says` and `NAME_open`."""
    return {
        name: list(found.may),
        f"{name}_decided": None if found.open else True,
        f"{name}_says": found.says[:LONGEST],
        f"{name}_open": found.doubts[:LONGEST],
    }


def unlisted(name: str, why: str) -> dict[str, Any]:
    """Return the same columns where nothing can be told."""
    return {f"{name}_open": why[:LONGEST]}


def permissions(
    found: Row, ways: Sequence[Row], managed: Documents, accounts: Mapping[str, str]
) -> dict[str, Any]:
    """Return the facts of a role's permission policies; `ways` are its entries in [[federation]], `accounts` of buckets."""
    if not found:
        lost = {
            f"{name}_open": "the role was not found"
            for name in ("prefix_actions", "beyond_prefix", "escalations")
        }
        return {
            **lost,
            "permissions_unknown": "the role was not found",
            "boundary_says": "the role was not found",
        }
    held = carried(
        found.get("inline_policies"), found.get("attached_policies"), found.get("boundary_arn"), managed
    )
    holder = role(found["arn"], held)
    told: dict[str, Any] = {
        "permissions_known": None if held.why else True,
        "permissions_unknown": held.why,
        **_boundary(found.get("boundary_arn"), held),
        **_escalations(holder, held, _names(found.get("attached_policies")) or (), found.get("boundary_arn")),
    }
    return told | (_export(holder, held, ways, accounts) if ways else {})


def _boundary(arn: str | None, held: Carried) -> dict[str, Any]:
    if arn is None or held.boundary is None:
        has = False if arn == "none" else None
        return {
            "boundary_holds": has,
            "boundary_says": held.fence_unknown or "it has no permissions boundary",
        }
    let = _fences(held.boundary)
    says = "it refuses nothing" if let[0] is False else let[1]
    return {"boundary_holds": let[0], "boundary_says": f"{arn}: {says}"[:LONGEST]}


@lru_cache(maxsize=1024)
def _fences(boundary: Policy) -> tuple[bool | None, str]:
    let = fences(boundary)
    return let.yes, let.cause or (f"it refuses {let.witness.action}, for example" if let.witness else "")


def _escalations(
    holder: Holder, held: Carried, attached: Sequence[str], boundary: str | None
) -> dict[str, Any]:
    if held.unknown:
        return unlisted("escalations", held.unknown)
    home = (("aws:resourceaccount", holder.arn.split(":")[4]),)
    mine = [*attached, *([boundary] if boundary not in (None, "none", "") else [])]
    if held.fence_unknown:  # it can only take away: what nothing allows needs no boundary
        found = escalations(replace(holder, boundary=None, context=(*holder.context, *home)), mine)
        return (
            unlisted("escalations", held.fence_unknown)
            if found.may or found.open
            else listed("escalations", found)
        )
    return listed("escalations", escalations(replace(holder, context=(*holder.context, *home)), mine))


def _export(
    holder: Holder, held: Carried, ways: Sequence[Row], accounts: Mapping[str, str]
) -> dict[str, Any]:
    names = ("prefix_actions", "beyond_prefix")
    places = sorted({(way["bucket"], glob(way["prefix"] or "")) for way in ways if way["bucket"]})
    why = held.why or ("" if places else "no bucket is declared for it")
    if why:
        return unlisted(names[0], why) | unlisted(names[1], why)
    homes = {accounts.get(bucket) for bucket, _ in places}
    home = homes.pop() if len(homes) == 1 else None
    known = (("aws:resourceaccount", home), ("s3:resourceaccount", home)) if home else ()
    there = replace(holder, context=(*holder.context, *known))
    return listed(names[0], on_prefixes(there, places)) | listed(names[1], beyond(holder, places))


def glob(prefix: str) -> str:
    """Return a declared prefix as a pattern of keys: what stands for one run's part is anything."""
    return _PLACEHOLDER.sub("*", prefix)


def permission_drift(
    before: Mapping[str, str | None], found: Row, then: Documents, now: Documents, as_remembered: Row
) -> dict[str, Any]:
    """Compare a role's policies with those of the scan before: `before` its remembered columns, `then` the documents of then.

    `as_remembered` is the row of now in the form in which rows are remembered, so that equal texts are equal.
    """
    told: dict[str, Any] = {"permissions_known_before": bool(before)}
    if not before or not found:
        return told
    same = all(before.get(name) == as_remembered.get(name) for name in _REMEMBERED)
    names = {*(_names(found.get("attached_policies")) or ()), str(found.get("boundary_arn"))} - {
        "none",
        "None",
    }
    if same and all(then.get(each) is not None and then.get(each) == now.get(each) for each in names):
        return told | {"permissions_no_wider": True, "permissions_change": "the same"}
    old = carried(
        before.get("inline_policies"), before.get("attached_policies"), before.get("boundary_arn"), then
    )
    new = carried(
        found.get("inline_policies"), found.get("attached_policies"), found.get("boundary_arn"), now
    )
    if old.why or new.why:
        said = f"now {new.why}" if new.why else f"in the scan before {old.why}"
        return told | {"permissions_change": "not known", "permissions_change_says": said[:LONGEST]}
    holder = role(found["arn"], new)
    growth = grown(role(found["arn"], old), holder)
    words = {True: "wider", False: "no wider", None: "undecided"}[growth.yes]
    says = told_of(growth.witness, holder) if growth.witness else growth.cause
    return told | {
        "permissions_no_wider": None if growth.yes is None else not growth.yes,
        "permissions_change": words,
        "permissions_change_says": says.replace(" may ", " may now ", 1)[:LONGEST],
    }


_REMEMBERED = ("inline_policies", "attached_policies", "boundary_arn")
