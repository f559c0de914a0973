"""What the permission policies of roles and users come to, as facts; what was not read or cannot be decided is said with why.

Equal questions are answered once, whoever asks them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from auditor.baselines import BEFORE
from auditor.correlate.zoning import Row
from auditor.policy.carried import LONGEST, Carried, Documents, names, of_columns, role
from auditor.policy.model import Policy
from auditor.policy.narrowed import Holder
from auditor.policy.permitted import more, said_of, unchanged
from auditor.policy.powers import Powers, beyond, escalations, fences, on_prefixes

UNSEEN_FENCES = "SCPs and session policies are not seen; they could only take away"
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")


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
    held = of_columns(found, managed)
    holder = role(found["arn"], held)
    told: dict[str, Any] = {
        "permissions_known": None if held.why else True,
        "permissions_unknown": held.why,
        **_boundary(found.get("boundary_arn"), held),
        **_escalations(holder, held, names(found.get("attached_policies")) or (), found.get("boundary_arn")),
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
    before: Mapping[str, str | None],
    found: Row,
    then: Documents,
    now: Documents,
    as_remembered: Row,
    *,
    against: str = BEFORE,
) -> dict[str, Any]:
    """Compare a role's policies with those of the state that `against` names.

    `before` are its columns of then, `then` the documents of then. `as_remembered` is the row of now in the form in which
    rows are remembered, so that equal texts are equal.
    """
    told: dict[str, Any] = {"permissions_known_before": bool(before), "permissions_compared_with": against}
    if not before or not found:
        return told
    if unchanged(before, as_remembered, then, now):
        return told | {"permissions_no_wider": True, "permissions_change": "the same"}
    old, new = of_columns(before, then), of_columns(found, now)
    if old.why or new.why:
        said = f"now {new.why}" if new.why else f"in {against} {old.why}"
        return told | {"permissions_change": "not known", "permissions_change_says": said[:LONGEST]}
    growth = more(found["arn"], old, new)
    words = {True: "wider", False: "no wider", None: "undecided"}[growth.yes]
    return told | {
        "permissions_no_wider": None if growth.yes is None else not growth.yes,
        "permissions_change": words,
        "permissions_change_says": said_of(growth, found["arn"], new, "may now")[:LONGEST],
    }
