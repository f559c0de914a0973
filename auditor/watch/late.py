"""Who made a change whose event came after the scan that saw it: told once, by the first scan that has the event.

CloudTrail may take a quarter of an hour and more, so that an attack just before a scan would stay without a name. The change as
it was told is bound by the chain and stays as it is; what is known since is a change of its own, of the same setting.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from auditor.model import Drift
from auditor.watch import gcp, roles
from auditor.watch.authors import LATE, Authors, is_late, when, with_change
from auditor.watch.values import Fields, Row, Watched

HORIZON = timedelta(hours=48)
"""How long events are read again, beside those since the scan before: later ones are not seen either."""
_ASKED = re.compile(r"not found, because no .+? names this change (?:between (?P<since>\S+) and|before) ")


def late_id(drift_id: str) -> str:
    """Return the id under which it is told who made a change."""
    return hashlib.sha256(f"late {drift_id}".encode()).hexdigest()


def unnamed(told: Iterable[Drift]) -> tuple[Drift, ...]:
    """Return the changes of settings whose event may still come, of what was told lately."""
    told = list(told)
    known = {one.drift_id for one in told}
    return tuple(
        one
        for one in told
        if one.rule is None
        and one.actor is None
        and _ASKED.match(one.actor_reason)
        and late_id(one.drift_id) not in known
    )


def named(one: Drift, authors: Authors, rows: Mapping[Row, Fields], now: datetime) -> Drift | None:
    """Return who made a change that was told without; None where that is still not known."""
    asked = _ASKED.match(one.actor_reason)
    assert asked is not None
    since = datetime.fromisoformat(asked["since"]) if asked["since"] else None
    fields = rows.get((one.subject_table, one.subject_key), {})
    setting = next(iter(fields.values()), None) or _placed(one)
    name = {"appeared": "+", "vanished": "-"}.get(one.kind, one.field or "")
    behind = roles.named(fields) if (one.subject_table, name) == ("iam_role", "permissions") else ()
    change, reason = authors.of(name, setting, since, one.detected_at, behind, sight=False)
    if change is None:
        return None
    actor = str(change["actor"])
    return replace(
        one,
        drift_id=late_id(one.drift_id),
        kind="changed",
        direction="neutral",
        changed_at=when(change.get("at")),
        detected_at=now,
        actor=actor,
        actor_reason=f"{LATE}{reason}",
        because=f"{one.because}; it was {actor}, whose event came after the scan that told of it "
        f"({one.detected_at:%Y-%m-%d %H:%M} UTC)",
    )


def followed(
    later: Iterable[Drift],
    told: Iterable[Drift],
    following: Iterable[Drift],
    moved: Collection[tuple[str, str]],
) -> Iterator[Drift]:
    """Yield the open findings that were told with a change, each with who made it, once.

    `later` tell who made those `told`; `following` are findings of the same subjects; those that `moved` tell of themselves.
    """
    first = {late_id(one.drift_id): one for one in told}
    causes: dict[tuple[str, datetime], tuple[Drift, str]] = {}
    for who in later:
        original = first[who.drift_id]
        change = with_change(original.kind, original.field)
        causes.setdefault((original.subject_key, original.detected_at), (who, change))
    for one in following:
        found = causes.get((one.subject_key, one.detected_at))
        if found is None or ((one.rule or ""), one.subject_key) in moved:
            continue
        cause, change = found
        reason = f"{LATE}{change}: {cause.actor_reason.removeprefix(LATE)}"
        yield replace(
            cause,
            drift_id=late_id(one.drift_id),
            rule=one.rule,
            subject_table=one.subject_table,
            field="actor",
            before=None,
            after=cause.actor,
            actor_reason=reason,
            severity=one.severity,
            because=one.because,
        )


def folded(told: Sequence[Drift]) -> list[Drift]:
    """Return changes with their authors, where both are told: what was found out later is no change of its own."""
    later = {one.drift_id: one for one in told if is_late(one)}
    found = []
    for one in told:
        if is_late(one):
            continue
        who = later.pop(late_id(one.drift_id), None)
        if who is not None:
            reason = who.actor_reason.removeprefix(LATE)
            one = replace(one, actor=who.actor, changed_at=who.changed_at, actor_reason=reason)  # noqa: PLW2901
        found.append(one)
    return [*found, *later.values()]


def _placed(one: Drift) -> Watched:
    """Return a setting of a row that is gone, in the account its key tells."""
    parts = one.subject_key.split(":")
    account, region = (parts[4], parts[3]) if parts[0] == "arn" and len(parts) > 5 else ("", "")
    if one.subject_table in gcp.TABLES:
        account = gcp.project_of(one.subject_key)
    return Watched(one.subject_table, one.subject_key, one.field or "", None, account or "*", region or "*")
