"""What a change of one column means: whether it is weaker, stronger or neither, in words where two values do not say it.

What is not a column by itself stands beside: roles and managed policies in `roles`, plans in `plans`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache

from auditor.plans.compare import alike, copies_lost, kept, shorter, slower, some
from auditor.schema import tables
from auditor.watch import gcp
from auditor.watch.buckets import lifecycle, replication
from auditor.watch.told import TORN, UNREADABLE, Told, only, weighed
from auditor.watch.values import Fields, Watched

_NONE = "none"


def told(was: Watched, has: Watched, old: Fields, new: Fields) -> Told | None:
    """Return what a change comes to; None when it is none. Both values are known, and differ as text."""
    assert was.value is not None and has.value is not None
    place = (has.table, has.field)
    if place in _POLICIES:
        return _policy(was, has)
    try:
        if place in _BESIDE:
            return _BESIDE[place](old, new)
        if place in _MEANT:
            return _MEANT[place](was.value, has.value)
    except TORN:
        return UNREADABLE
    return Told(_direction(*place, was.value, has.value))


_POLICIES = frozenset({("iam_role", "trust_policy"), ("s3_bucket", "policy"), ("backup_vault", "policy")})
"""Columns that are compared by what they let in, not by their text."""


def _policy(was: Watched, has: Watched) -> Told | None:
    """Tell of a policy by what it lets in: one that admits the same is no change, however it is written."""
    from auditor.policy.change import (  # who only reads the ledger needs no policies
        resource_change,
        trust_change,
    )

    assert was.value is not None and has.value is not None
    if has.table == "iam_role":
        change = trust_change(was.value, has.value)
    else:
        change = resource_change(was.value, has.value, has.key, has.account)
    if change.verdict == "equivalent" and not change.by_text:
        return None
    if change.verdict == "undecided":
        said = change.because.removeprefix("it could not be decided: ")
        return Told("worse", f"not decided because {said}", change.before, change.after, word="may be weaker")
    direction = "neutral" if change.by_text else "worse" if change.opens else "better"
    return Told(
        direction,
        change.because,
        change.before,
        change.after,
        word=f"is {change.verdict}",
        low=change.by_text,
    )


@cache
def _watch(table: str, name: str) -> str:
    try:
        return tables()[table].column(name).watch
    except KeyError:
        return ""


def _direction(table: str, name: str, was: str, has: str) -> str:
    watch = _watch(table, name)
    if watch in {"up", "down"}:
        more = _number(has) > _number(was)
        return "better" if more == (watch == "up") else "worse"
    order = watch.split(">")
    if was in order and has in order:
        return "better" if order.index(has) < order.index(was) else "worse"
    return "neutral"


def _number(value: str) -> int:
    return {"true": 1, "false": 0}.get(value) or (int(value) if value.lstrip("-").isdigit() else 0)


def _target(what: str) -> Callable[[str, str], Told]:
    """Tell of a place that something goes to: none is weaker, another one neither."""

    def meant(was: str, has: str) -> Told:
        if has == _NONE:
            return Told("worse", f"{what} went to {was}, and now nowhere")
        return Told("better", f"{what} now go to {has}") if was == _NONE else Told()

    return meant


def _days(was: str, has: str) -> Told:
    before, after = kept(int(was)), kept(int(has))
    direction = "worse" if shorter(int(was), int(has)) else "better"
    return Told(direction, f"keeps {after} instead of {before}", before, after)


def _at_most(was: str, has: str) -> Told:
    before, after = ("no maximum" if int(days) < 0 else f"{days} d" for days in (was, has))
    kept_ = "any time" if int(has) < 0 else f"at most {has} d"
    then = "any time" if int(was) < 0 else f"at most {was} d"
    return Told(says=f"points may be kept for {kept_} instead of {then}", before=before, after=after)


def _at_least(was: str, has: str) -> Told:
    before, after = ("no minimum" if int(days) < 0 else f"{days} d" for days in (was, has))
    direction = "worse" if int(has) < int(was) else "better"
    return Told(direction, f"{after} instead of {before}", before, after)


def _lock_date(old: Fields, new: Fields) -> Told | None:
    """Tell of the day from which a lock is beyond anybody's reach; that it comes is no change, for it stays the same."""
    was, has = _value(old, "lock_date"), _value(new, "lock_date")
    assert was is not None and has is not None
    if has == _NONE:
        if _value(new, "locked") == "false":
            return None  # told with the lock, which is gone
        return Told(
            "worse", f"the lock is governance now: who may can take it away; it was compliance from {was} on"
        )
    if was == _NONE:
        return Told("better", f"from {has} on nobody can change the lock")
    later = datetime.fromisoformat(has) > datetime.fromisoformat(was)
    return Told("worse" if later else "better", f"nobody can change the lock from {has} on, instead of {was}")


def _members(gone: Callable[[str], str], come: Callable[[str], str]) -> Callable[[str, str], Told | None]:
    """Tell of a list where each member admits more."""

    def meant(was: str, has: str) -> Told | None:
        return _listed(
            was,
            has,
            lambda less, more: ([come(some(more))] if more else [], [gone(some(less))] if less else []),
        )

    return meant


def _listed(
    was: str, has: str, said: Callable[[list[str], list[str]], tuple[list[str], list[str]]]
) -> Told | None:
    try:
        old, new = json.loads(was), json.loads(has)
        less, more = only(old, new), only(new, old)
    except (ValueError, TypeError):
        return UNREADABLE
    if not less and not more:
        return None
    weaker, stronger = said([str(each) for each in less], [str(each) for each in more])
    return weighed(weaker, stronger, sides=(less, more))


def _recorded(was: str, has: str) -> Told | None:
    """Tell of the buckets whose writes a trail records: one that another pattern takes in is not lost."""

    def beyond(some_: list[str], text: str) -> list[str]:
        held = json.loads(text)
        return [
            each
            for each in some_
            if not any(one in ("*", "arn:aws:s3") or each.startswith(one) for one in held)
        ]

    def said(less: list[str], more: list[str]) -> tuple[list[str], list[str]]:
        lost, new = beyond(less, has), beyond(more, was)
        return (
            [f"writes to {some(lost)} are no longer recorded"] if lost else [],
            [f"writes to {some(new)} are now recorded"] if new else [],
        )

    return _listed(was, has, said)


def _pinned(was: str, has: str) -> Told | None:
    found = _listed(was, has, lambda _less, _more: ([], []))
    return found and Told(says="other certificates are pinned", before=found.before, after=found.after)


# Rules of plans, where two columns tell one thing.


def _value(fields: Fields, name: str) -> str | None:
    return fields[name].value if name in fields else None


def _schedule(old: Fields, new: Fields) -> Told | None:
    was, has = _value(old, "schedule") or "", _value(new, "schedule") or ""
    zones = _value(old, "timezone"), _value(new, "timezone")
    if None in zones:
        zones = None, None  # where one is not known both are taken for one
    if alike(was, zones[0], has, zones[1]):
        return None
    said = f"runs {has or 'never'} instead of {was or 'never'}"
    rarer, oftener = slower(was, has), slower(has, was)
    if rarer is None or oftener is None:
        return Told(says=f"{said}; undecided: how often one of them runs cannot be told")
    if rarer or oftener:
        return Told("worse" if rarer else "better", said)
    return Told(says=f"{said}, as often")


def _timezone(old: Fields, new: Fields) -> Told | None:
    was, has = _value(old, "schedule"), _value(new, "schedule")
    if was is not None and has is not None:
        if was != has or alike(was, _value(old, "timezone"), has, _value(new, "timezone")):
            return None  # it is told with the schedule, or it runs at the same times
        return Told(says="it runs at other times, as often")
    return Told()


def _copies(was: str, has: str) -> Told | None:
    old, new = (
        {copy["vault_arn"]: copy["delete_after_d"] for copy in json.loads(text)} for text in (was, has)
    )
    lost, unsure = copies_lost(old, new)
    stronger = [f"now copies to {vault}" for vault in new if vault not in old]
    stronger += [
        f"keeps copies in {vault} {kept(days)} instead of {kept(old[vault])}"
        for vault, days in new.items()
        if days is not None and old.get(vault) is not None and shorter(days, old[vault])
    ]
    known = [f"how long copies in {vault} are kept is not known" for vault in unsure]
    sides = tuple(
        [
            {"delete_after_d": days, "vault_arn": vault}
            for vault, days in one.items()
            if (vault, days) not in other.items()
        ]
        for one, other in ((old, new), (new, old))
    )
    if not any(sides):
        return None
    return weighed(lost, stronger, known, sides=(sides[0], sides[1]))


def _either(on: str, off: str, *, to: str = "worse") -> Callable[[str, str], Told]:
    """Tell of a switch in words; `to`: what it comes to when it is on."""
    other = {"worse": "better", "better": "worse"}[to]
    return lambda _was, has: Told(to, on) if has == "true" else Told(other, off)


def _ended(gone: str, back: str) -> Callable[[str, str], Told]:
    """Tell of a state that announces an end."""

    def meant(was: str, has: str) -> Told:
        if has == "DELETE_REQUESTED":
            return Told("worse", gone)
        return Told("better", back) if (was, has) == ("DELETE_REQUESTED", "ACTIVE") else Told()

    return meant


_MEANT: Mapping[tuple[str, str], Callable[[str, str], Told | None]] = {
    ("s3_bucket", "lifecycle"): lifecycle,
    ("s3_bucket", "replication"): replication,
    ("s3_bucket", "logging_target"): _target("access logs"),
    ("backup_vault", "notify_topic"): _target("its events"),
    ("backup_vault", "max_retention_d"): _at_most,
    ("backup_vault", "min_retention_d"): _at_least,
    ("backup_plan_rule", "delete_after_d"): _days,
    ("backup_plan_rule", "copies"): _copies,
    ("iam_provider", "client_ids"): _members(
        lambda each: f"tokens for {each} are no longer accepted",
        lambda each: f"tokens for {each} are now accepted",
    ),
    ("iam_provider", "thumbprints"): _pinned,
    ("cloudtrail_trail", "write_data_arns"): _recorded,
    ("gcp_project", "ancestors"): gcp.ancestors,
    ("gcp_audit_config", "exempted"): _members(
        lambda each: f"calls of {each} are logged again",
        lambda each: f"calls of {each} are no longer logged",
    ),
    ("gcp_log_bucket", "retention_d"): _days,
    ("gcp_log_sink", "filter"): gcp.sink_filter,
    ("gcp_log_sink", "disabled"): _either("it routes nothing now", "it routes again"),
    ("gcp_log_sink", "exclusions"): _members(
        lambda each: f"it takes also what meets {each}",
        lambda each: f"it leaves out what meets {each}",
    ),
    ("gcp_log_bucket", "locked"): _either(
        "it is locked for good", "its retention can be lowered now", to="better"
    ),
    ("gcp_log_bucket", "state"): _ended("it is to be deleted, with its entries", "it is kept again"),
    ("gcp_project", "state"): _ended(
        "it is to be deleted: it can be restored for 30 days", "it is kept again"
    ),
    ("gcp_role", "deleted"): _either("its bindings grant nothing", "its bindings grant again", to="better"),
    ("gcp_service_account", "disabled"): _either(
        "nobody gets tokens of it", "tokens of it are given out again", to="better"
    ),
    ("gcp_service_account", "unique_id"): lambda was, has: Told(
        says=f"another account stands under its name: it was {was}, and is {has}"
    ),
    ("gcp_service_account_key", "disabled"): _either(
        "nobody can use it", "whoever holds it can use it again", to="better"
    ),
    ("gcp_log_sink", "destination"): gcp.sink_destination,
    ("dataproc_cluster", "user_service_accounts"): gcp.user_map,
}
_BESIDE: Mapping[tuple[str, str], Callable[[Fields, Fields], Told | None]] = {
    ("backup_plan_rule", "schedule"): _schedule,
    ("backup_plan_rule", "timezone"): _timezone,
    ("gcp_role", "permissions"): gcp.permissions,
    ("gcp_role", "judged"): lambda _was, _has: None,
    ("gcp_log_sink", "own_exclusions"): gcp.own_exclusions,
    ("backup_vault", "lock_date"): _lock_date,
}
