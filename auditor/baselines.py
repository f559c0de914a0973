"""Approved states of resources: what of a resource is approved together, and what a change says of it. Pure.

A baseline is the state of a resource's watched settings that somebody approved. Rules about drift compare with it in place
of the scan before, so that a weakening stays a finding until it is undone or approved.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from auditor.policy import CARRYING
from auditor.watch.gcp import KEY, holder_of
from auditor.watch.told import not_decided
from auditor.watch.values import Watched

if TYPE_CHECKING:
    from auditor.model import Drift
    from auditor.policy.change import Change

SUBJECTS = (
    "aws_account",
    "backup_plan",
    "backup_region",
    "backup_vault",
    "cloudtrail_trail",
    "dataproc_cluster",
    "gcp_log_bucket",
    "gcp_log_sink",
    "gcp_project",
    "gcp_role",
    "gcp_service_account",
    "iam_policy",
    "iam_provider",
    "iam_role",
    "s3_bucket",
)
"""Tables whose rows can have a baseline. Rules and selections belong to their plan, bindings, keys and what is logged to the
project or service account they are of; duties are approved by `[[changes]]`."""
BEFORE = "the scan before"
"""What is compared with where nothing is approved."""

_PARTS = {
    "iam_role": dict.fromkeys(CARRYING, "permissions"),
    "backup_vault": dict.fromkeys(("locked", "lock_date", "min_retention_d", "max_retention_d"), "lock"),
    "backup_plan": {"version": "plan", "name": "plan"},
    "gcp_project": {"ancestors": "access"},
    "gcp_role": {"judged": "permissions"},
    "gcp_service_account": {"unique_id": "access"},
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
    """One part of a subject as it was approved, with all that is compared with it, and who approved it when."""

    table: str
    key: str
    part: str
    settings: tuple[Setting, ...]
    approver: str
    at: datetime

    @property
    def said(self) -> str:
        return state_of(self.approver, self.at)


_BACK = "; back to the state approved by "


def is_back(one: Drift) -> bool:
    """Say whether a change led back to an approved state; only `told` says so in these words."""
    return one.rule is None and _BACK in one.because


def _unclaimed(one: Drift) -> Drift:
    """Return a change that does not say so by itself: its words hold names and filters that strangers chose."""
    if not is_back(one):
        return one
    return replace(one, because=one.because.replace(_BACK, f",{_BACK[1:]}"))


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
    if part == "access":
        return lambda row: holder_of(row[0], row[1]) == (table, key)
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
    if (table, part) == ("gcp_service_account", "access") and not any(name == KEY for name, _ in there):
        return [
            "its policy and its keys, which are read of accounts of the chain alone"
        ]  # Google has a key of each
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
    approved: Collection[Approval],
) -> Iterator[Drift]:
    """Say of each change of a setting whether it leads away from an approved state, or back to it.

    What is told of several settings as one, such as what a role may do, is back when all of them are. Where one of them
    is not known, nothing is said.
    """
    found = map(_unclaimed, found)
    if not approved:
        yield from found
        return
    then, now = _held(before), _held(after)
    fields: dict[Row, Approval] = {}
    parts: dict[Row, Approval] = {}
    rows: dict[tuple[str, str], Approval] = {}
    for one in approved:
        parts[one.table, one.key, one.part] = one
        for setting in one.settings:
            # A role's policies are approved for that role alone; a plan's rules are nobody else's, nor a project's bindings.
            if (setting.table, setting.key) == (one.table, one.key) or one.table in _WHOLE:
                fields[setting.row] = one
                rows[setting.table, setting.key] = one
    for each in found:
        key = each.subject_table, each.subject_key
        if each.rule is not None:
            yield each
        elif (holder := holder_of(*key)) and each.kind != "changed":
            yield _row_said(each, parts.get((*holder, "access")), rows)
        elif each.kind != "changed":
            words = "away from" if each.kind == "vanished" else "it was there in"
            approval = rows.get(key)
            yield replace(each, because=f"{each.because}; {words} {approval.said}") if approval else each
        elif (approval := fields.get((*key, each.field or ""))) is not None:
            own = [one for one in approval.settings if one.row == (*key, each.field)]
            yield _said(each, approval, _same(own, then), _same(own, now))
        elif (approval := parts.get((*key, each.field or ""))) is not None:
            yield _said(each, approval, _same(approval.settings, then), _same(approval.settings, now))
        elif each.field == "selections" and (approval := parts.get((*key, "plan"))) is not None:
            yield _said(each, approval, _selects(approval, then), _selects(approval, now))
        else:
            yield each


_WHOLE = ("backup_plan", "gcp_project", "gcp_service_account")
"""Subjects that are approved with rows of their own, in other tables."""


def _row_said(one: Drift, approval: Approval | None, rows: Mapping[tuple[str, str], Approval]) -> Drift:
    """Say of a binding, a key or a logged type that came or went whether it is so in the approved state of what it is of."""
    if approval is None:
        return one
    as_approved = ((one.subject_table, one.subject_key) in rows) == (one.kind == "appeared")
    words = "back to" if as_approved else "away from"
    return replace(one, because=f"{one.because}; {words} {approval.said}")


def _held(rows: Iterable[Watched]) -> dict[Row, Watched]:
    return {(one.table, one.key, one.field): one for one in rows}


def _said(one: Drift, approval: Approval, before: bool | None, after: bool | None) -> Drift:
    if after is None:
        return one
    words = "back to" if after else "away from" if before else "and still not"
    told_ = replace(one, because=f"{one.because}; {words} {approval.said}")
    if after and not_decided(
        one.because
    ):  # whatever it was in between, what is approved is no weaker than approved
        return replace(told_, direction="neutral", severity="low")
    return told_


def _same(settings: Iterable[Setting], held: Mapping[Row, Watched]) -> bool | None:
    """Say whether settings are as approved; None where one is not known, unless another differs."""
    unknown = False
    for setting in settings:
        now = held.get(setting.row)
        if now is None or now.value is None:
            unknown = True
        elif not same_meaning(replace(now, value=setting.value), now):
            return False
    return None if unknown else True


def _selects(approval: Approval, held: Mapping[Row, Watched]) -> bool | None:
    """Say whether a plan has the selections that were approved, whatever their ids."""
    start = f"{approval.key.rpartition(':')[2]}/"
    was = _by_row((one.row, one.value) for one in approval.settings if one.table == "backup_selection")
    has = _by_row(
        (row, one.value)
        for row, one in held.items()
        if row[0] == "backup_selection" and row[1].startswith(start)
    )
    return None if any(None in values for _, values in has) else was == has


def _by_row(values: Iterable[tuple[Row, str | None]]) -> list[tuple[tuple[str, ...], tuple[str | None, ...]]]:
    """Return what each row says, without its key, in one order."""
    rows: dict[str, dict[str, str | None]] = {}
    for (_, key, name), value in values:
        rows.setdefault(key, {})[name] = value
    return sorted((tuple(sorted(row)), tuple(row[name] for name in sorted(row))) for row in rows.values())


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
