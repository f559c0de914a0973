"""What the permission policies of a role came to against what they were: told by what they let through, not by their text.

A statement that moved from an inline policy to a managed one, or that is written in another order, is no change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from auditor.policy import CARRYING
from auditor.policy.carried import Carried, Documents, names, of_columns, role
from auditor.policy.grown import Growth, grown
from auditor.policy.meaning import meaning
from auditor.policy.parse import PolicyError, parse
from auditor.policy.powers import told_of

Columns = Mapping[str, Any]
"""`inline_policies`, `attached_policies` and `boundary_arn` of a role, decoded or as they are remembered."""
_NO_BOUNDARY = (None, "none", "")
_ASKED = 1 << 15
"""Answers that are remembered: a scan asks both ways, three times, and ten thousand roles may change at once."""


@dataclass(frozen=True, slots=True)
class Permitted:
    """What became of what a role may do."""

    verdict: str
    """`equivalent`, `wider`, `narrower`, `incomparable` or `undecided`."""
    because: str
    before: str
    """The statements that only the old policies have, as a JSON list, each with the policy it stands in."""
    after: str


def unchanged(before: Columns, now: Columns, then: Documents, documents: Documents) -> bool:
    """Say whether all that hangs on a role is the same to the letter, and known to be."""
    if not all(before.get(name) == now.get(name) for name in CARRYING):
        return False
    every = {*(names(now.get("attached_policies")) or ()), str(now.get("boundary_arn"))} - {"none", "None"}
    return all(then.get(each) is not None and then.get(each) == documents.get(each) for each in every)


@lru_cache(maxsize=_ASKED)
def more(arn: str, before: Carried, now: Carried) -> Growth:
    """Say whether the policies of a role let through what others did not."""
    return grown(role(arn, before), role(arn, now))


def said_of(growth: Growth, arn: str, now: Carried, may: str) -> str:
    """Say what is let through now, by a request that proves it; else why it cannot be told."""
    if growth.witness is None:
        return growth.cause
    return told_of(growth.witness, role(arn, now)).replace(" may ", f" {may} ", 1)


def permission_change(
    arn: str, was: Columns, has: Columns, then: Documents, now: Documents
) -> Permitted | None:
    """Compare what hangs on a role with what hung on it; None where nothing is known to have changed.

    What was not read on one side is no change by itself; beside a change that was seen it leaves its meaning undecided.
    """
    seen = [
        name for name in CARRYING if None not in (was.get(name), has.get(name)) and was[name] != has[name]
    ]
    shared = set(names(was.get("attached_policies")) or ()) & set(names(has.get("attached_policies")) or ())
    if was.get("boundary_arn") == has.get("boundary_arn"):
        shared.add(str(has.get("boundary_arn")))
    rewritten = any(
        None not in (then.get(each), now.get(each)) and then[each] != now[each] for each in shared
    )
    if not seen and not rewritten:
        return None
    old, new = of_columns(was, then), of_columns(has, now)
    held, holds = list(_statements(was, then)), list(_statements(has, now))
    ours, theirs = {key for key, _ in held}, {key for key, _ in holds}
    before = _told(told for key, told in held if key not in theirs)
    after = _told(told for key, told in holds if key not in ours)
    if old.why or new.why:
        why = f"now {new.why}" if new.why else f"in the scan before {old.why}"
        return Permitted("undecided", f"what that comes to is not known: {why}", before, after)
    wider, narrower = more(arn, old, new), more(arn, new, old)
    said = [said_of(wider, arn, new, "may now")] if wider.yes else []
    said += [said_of(narrower, arn, old, "may no longer")] if narrower.yes else []
    unsure = [growth.cause for growth in (wider, narrower) if growth.yes is None]
    if wider.yes:
        verdict = "incomparable" if narrower.yes else "wider"
    elif wider.yes is None or (narrower.yes is None and not wider.yes):
        verdict = "undecided"
        said.append(
            f"whether it lets {'more' if wider.yes is None else 'less'} through could not be decided: {unsure[0]}"
        )
    else:
        verdict = "narrower" if narrower.yes else "equivalent"
    return Permitted(verdict, "; ".join(said) or "it lets the same through", before, after)


def document_change(arn: str, was: str, has: str) -> Permitted | None:
    """Compare two versions of one managed policy by what each lets through by itself."""
    empty = {"inline_policies": "{}", "attached_policies": json.dumps([arn]), "boundary_arn": "none"}
    holder = f"{arn.replace(':policy/', ':role/')}"
    return permission_change(holder, empty, empty, {arn: was}, {arn: has})


def _statements(columns: Columns, documents: Documents) -> Iterator[tuple[object, dict[str, Any]]]:
    """Yield what each statement says, whatever its place, and the statement with its place."""
    inline = columns.get("inline_policies")
    named = json.loads(inline) if isinstance(inline, str) else inline or {}
    boundary = columns.get("boundary_arn")
    held = [("policy", name, text) for name, text in sorted(named.items())]
    held += [("policy", each, documents.get(each)) for each in names(columns.get("attached_policies")) or ()]
    held += [] if boundary in _NO_BOUNDARY else [("boundary", str(boundary), documents.get(str(boundary)))]
    for kind, name, text in held:
        if text is None:
            yield (kind, name), {kind: name, "statement": "not read"}
            continue
        said = _said(text if isinstance(text, str) else json.dumps(text, sort_keys=True))
        if said is None:
            yield (kind, name, json.dumps(text, sort_keys=True)), {kind: name, "statement": "cannot be read"}
        for each, statement in said or ():
            yield (kind, each), {kind: name, "statement": statement}


@lru_cache(maxsize=8192)
def _said(text: str) -> tuple[tuple[object, Any], ...] | None:
    """Return what each statement of a document says, and the statement; None where it cannot be read."""
    try:
        policy = parse(text, strict=False)
    except PolicyError:
        return None
    written = json.loads(text.removeprefix("\ufeff"))["Statement"]
    listed = written if isinstance(written, list) else [written]
    return tuple((meaning(each, policy.version), listed[each.index]) for each in policy.statements)


def _told(statements: Iterator[dict[str, Any]]) -> str:
    return json.dumps(list(statements), sort_keys=True, ensure_ascii=False)
