"""Approved states of resources: what of a resource is approved together, and what a change says of it. Pure.

A baseline is the state of a resource's watched settings that somebody approved. Rules about drift compare with it in place
of the scan before, so that a weakening stays a finding until it is undone or approved.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from auditor.watch import Watched

if TYPE_CHECKING:
    from auditor.model import Drift
    from auditor.policy.change import Change

SUBJECTS = (
    "aws_account",
    "backup_plan",
    "backup_region",
    "backup_vault",
    "cloudtrail_trail",
    "iam_policy",
    "iam_provider",
    "iam_role",
    "s3_bucket",
)
"""Tables whose rows can have a baseline. Rules and selections belong to their plan; duties are approved by `[[changes]]`."""
BEFORE = "the scan before"
"""What is compared with where nothing is approved."""

_PARTS = {
    "iam_role": dict.fromkeys(("inline_policies", "attached_policies", "boundary_arn"), "permissions"),
    "backup_vault": dict.fromkeys(("locked", "min_retention_d", "max_retention_d"), "lock"),
    "backup_plan": {"version": "plan"},
}
"""Settings that mean something only together, and so are approved together; any other stands by itself."""
_BLOCK = ("block_public_acls", "ignore_public_acls", "block_public_policy", "restrict_public_buckets")

_TRUST = ("iam_role", "trust_policy")
_RESOURCE = (("s3_bucket", "policy"), ("backup_vault", "policy"))

Row = tuple[str, str, str]
"""Table, key and field of a setting."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it was approved."""

    table: str
    key: str
    field: str
    value: str | None
    """None: not known; nothing like it is ever approved."""
    account: str = "*"
    region: str = "*"

    @property
    def row(self) -> Row:
        return self.table, self.key, self.field


@dataclass(frozen=True, slots=True)
class Approval:
    """The approved value of one setting, and who approved it when."""

    value: str
    approver: str
    at: datetime

    @property
    def said(self) -> str:
        return state_of(self.approver, self.at)


def state_of(approver: str, at: datetime) -> str:
    """Name an approved state as sentences do."""
    return f"the state approved by {approver} on {at:%Y-%m-%d}"


def part_of(table: str, field: str) -> str:
    """Return what a setting is approved with: the name of a part of its subject."""
    return _PARTS.get(table, {}).get(field, field)


def beside(
    table: str, key: str, account: str, part: str, values: Mapping[str, str | None]
) -> Callable[[Row], bool]:
    """Say which settings of other rows a part cannot be compared without.

    The policies that a role names, the public access block of a bucket's account, a plan's rules and selections.
    """
    if (table, part) == ("iam_role", "permissions"):
        named = {*_names(values.get("attached_policies")), values.get("boundary_arn") or ""}
        return lambda row: row[0] == "iam_policy" and row[1] in named and row[2] == "document"
    if table == "s3_bucket" and part in _BLOCK:
        return lambda row: row == ("aws_account", account, part)
    if table == "backup_plan":
        start = f"{key.rpartition(':')[2]}/"
        return lambda row: row[0] in ("backup_plan_rule", "backup_selection") and row[1].startswith(start)
    return lambda _row: False


def lacking(
    table: str, account: str, part: str, values: Mapping[str, str | None], found: Iterable[Row]
) -> list[str]:
    """Return in words what of other rows should be there and is not."""
    there = {(row[0], row[1]) for row in found}
    if (table, part) == ("iam_role", "permissions"):
        boundary = values.get("boundary_arn")
        named = {
            *_names(values.get("attached_policies")),
            *({boundary} if boundary and boundary != "none" else ()),
        }
        return [f"the policy {arn}" for arn in sorted(named) if ("iam_policy", arn) not in there]
    if (
        table == "s3_bucket"
        and part in _BLOCK
        and values.get(part) != "true"
        and ("aws_account", account) not in there
    ):
        return [f"{part} of account {account}"]
    return []


def _names(text: str | None) -> Iterator[str]:
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return
    for each in found if isinstance(found, list) else ():
        yield str(each.get("PolicyArn") or each.get("arn") if isinstance(each, Mapping) else each)


def told(
    found: Iterable[Drift],
    before: Iterable[Watched],
    after: Iterable[Watched],
    approved: Mapping[Row, Approval],
) -> Iterator[Drift]:
    """Say of each change of a setting whether it leads away from an approved state, or back to it."""
    if not approved:
        yield from found
        return
    then = {_row(one): one for one in before if _row(one) in approved}
    now = {_row(one): one for one in after if _row(one) in approved}
    subjects: dict[tuple[str, str], Approval] = {}
    for row, approval in sorted(approved.items()):
        subjects[row[:2]] = approval
    for one in found:
        key = one.subject_table, one.subject_key
        if one.rule is not None or key not in subjects:
            yield one
        elif one.kind == "changed":
            # What is told of several settings as one is said of the first of them that is approved and changed.
            rows = [(*key, name) for name in _told_as(one.subject_table, one.field or "")]
            row = next(
                (row for row in rows if row in approved and _value(then, row) != _value(now, row)), rows[0]
            )
            yield _said(one, then.get(row), now.get(row), approved.get(row))
        else:
            words = "away from" if one.kind == "vanished" else "it was there in"
            yield replace(one, because=f"{one.because}; {words} {subjects[key].said}")


def _told_as(table: str, field: str) -> list[str]:
    """Return the settings that a change is told of."""
    return [name for name, part in _PARTS.get(table, {}).items() if part == field] or [field]


def _value(held: Mapping[Row, Watched], row: Row) -> str | None:
    return held[row].value if row in held else None


def _said(one: Drift, was: Watched | None, has: Watched | None, approval: Approval | None) -> Drift:
    if approval is None or has is None:
        return one
    approved = replace(has, value=approval.value)
    if same_meaning(approved, has):
        return replace(one, because=f"{one.because}; back to {approval.said}")
    words = "away from" if was is not None and same_meaning(approved, was) else "and still not"
    return replace(one, because=f"{one.because}; {words} {approval.said}")


def same_meaning(one: Watched, other: Watched) -> bool:
    """Say whether two values of one setting are the same; of policies, whether they let in the same."""
    if one.value is None or other.value is None or one.value == other.value:
        return one.value == other.value is not None
    change = _change(one.value, other)
    return change is not None and change.verdict == "equivalent" and not change.by_text


def in_words(one: Watched, other: Watched) -> str:
    """Say what the second of two policies lets in against the first; empty for any other setting."""
    change = _change(one.value, other) if one.value is not None else None
    return f"{change.verdict}: {change.because}" if change is not None else ""


def _change(was: str, has: Watched) -> Change | None:
    """Compare a policy with what it is now; None for a setting that is no policy, or is not known now."""
    kind = has.table, has.field
    if has.value is None or (kind != _TRUST and kind not in _RESOURCE):
        return None
    from auditor.policy.change import resource_change, trust_change  # who only reads needs no policies

    if kind == _TRUST:
        return trust_change(was, has.value)
    return resource_change(was, has.value, has.key, has.account)


def _row(one: Watched) -> Row:
    return one.table, one.key, one.field
