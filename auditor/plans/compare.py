"""Which of two backup plans does less: their rules one by one, and their selections by the buckets they take. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from auditor.plans.schedules import CRON, RATE, field, interval_s
from auditor.plans.selection import COVERED, UNDECIDED, either, selects
from auditor.plans.windows import openings

SELECTING = ("resources", "not_resources", "list_of_tags", "conditions")
"""The columns of `backup_selection` that say what it takes."""
Selection = Mapping[str, Any]
"""These columns, decoded; None: not read."""
Bucket = tuple[str, Mapping[str, str] | None]
"""ARN and tags; tags None: not read."""

_MADE_UP = "zq-any-other"
_SHOWN = 3
_YEARS = (datetime(2024, 1, 1), datetime(2025, 12, 31))  # noqa: DTZ001 - windows are in UTC, without a zone
"""Two schedules that run alike through these do: one year with a leap day, and two of every change of the clocks."""
_OFTEN = 96
"""Runs a day beyond which two spellings of a schedule are not asked whether they run alike."""


@dataclass(frozen=True, slots=True)
class Does:
    """What a rule of a plan does; None where that was not read."""

    schedule: str | None
    delete_after_d: int | None
    """-1 keeps for ever."""
    continuous: bool | None
    copies: Mapping[str, int | None] | None
    """Vault to days kept there, likewise."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Does:
        """Read a row of `backup_plan_rule`, or its columns as they are remembered."""
        days, on, copies = row.get("delete_after_d"), row.get("continuous"), decoded(row.get("copies"))
        return cls(
            row.get("schedule"),
            None if days is None else int(days),
            on == "true" if isinstance(on, str) else on,
            None if copies is None else {copy["vault_arn"]: copy["delete_after_d"] for copy in copies},
        )


def decoded(value: Any) -> Any:
    """Return a JSON column as a value, whether it arrives decoded or as its text."""
    return json.loads(value) if isinstance(value, str) else value


def lacks(now: Does, was: Does) -> list[str] | None:
    """Return what one rule lacks of what another did; None when that cannot be told."""
    if was.copies is None or now.copies is None or now.schedule is None or was.schedule is None:
        return None
    if None in (was.delete_after_d, now.delete_after_d, was.continuous, now.continuous):
        return None
    lost = []
    if (rarer := slower(was.schedule, now.schedule)) is None:
        return None
    if rarer:
        lost.append(f"runs {now.schedule or 'never'} instead of {was.schedule}")
    before, days = was.delete_after_d or 0, now.delete_after_d or 0
    if shorter(before, days):
        lost.append(f"keeps {kept(days)} instead of {kept(before)}")
    if was.continuous and not now.continuous:
        lost.append("is no longer continuous")
    fewer, unsure = copies_lost(was.copies, now.copies)
    if unsure and not lost and not fewer:
        return None
    return lost + fewer


def copies_lost(was: Mapping[str, int | None], now: Mapping[str, int | None]) -> tuple[list[str], list[str]]:
    """Return what is no longer copied, or is kept for less there; and the vaults where that cannot be told."""
    lost, unsure = [], []
    for vault, days in was.items():
        there = now.get(vault)
        if vault not in now:
            lost.append(f"no longer copies to {vault}")
        elif days is None or there is None:
            unsure += [vault] if days != there else []
        elif shorter(days, there):
            lost.append(f"keeps copies in {vault} {kept(there)} instead of {kept(days)}")
    return lost, unsure


def slower(was: str, now: str) -> bool | None:
    """Say whether a schedule runs more rarely than another; an empty one never runs. None: it cannot be told."""
    if was == now or not was:
        return False
    if not now:
        return True
    before, after = interval_s(was), interval_s(now)
    return None if before is None or after is None else after > before


def shorter(was: int, now: int) -> bool:
    """Compare days; -1 is for ever."""
    return now >= 0 and (was < 0 or now < was)


def kept(days: int) -> str:
    """Say how long that is."""
    return "for ever" if days < 0 else f"{days} d"


@lru_cache(maxsize=1024)
def alike(one: str, zone: str | None, other: str, other_zone: str | None) -> bool:
    """Say whether two schedules run at the same times, each in its zone; no where that cannot be told for sure."""
    if one.split() == other.split() and zone == other_zone:
        return True
    if RATE.fullmatch(one.strip()) and RATE.fullmatch(other.strip()):
        return interval_s(one) == interval_s(other)
    if not (_seldom(one) and _seldom(other)):
        return False
    runs = openings(one, zone, *_YEARS)
    return runs is not None and runs == openings(other, other_zone, *_YEARS)


def _seldom(schedule: str) -> bool:
    found = CRON.fullmatch(schedule.strip())
    minutes, hours = (field(found[1], 0, 59), field(found[2], 0, 23)) if found else (None, None)
    return minutes is not None and hours is not None and len(minutes) * len(hours) <= _OFTEN


def missed(
    then: Sequence[Selection], now: Sequence[Selection], buckets: Iterable[Bucket]
) -> tuple[list[str], list[str]]:
    """Return the buckets, real and made up, that selections took and others do not, and where that cannot be told."""
    lost: dict[str, None] = {}
    unsure: dict[str, None] = {}
    for arn, tags in (*buckets, *_probes(then)):
        was, has = _takes(then, arn, tags), _takes(now, arn, tags)
        if was != COVERED or has == COVERED:
            if was == UNDECIDED and has != COVERED:
                unsure[f"whether {arn} was taken is not known"] = None
            continue
        shown = arn
        if _MADE_UP in arn:
            said = ", ".join(f"{key}={value}" for key, value in sorted((tags or {}).items()))
            shown = f"buckets like {arn.replace(_MADE_UP, '*')}" + (f" with the tags {said}" if said else "")
        if has == UNDECIDED:
            unsure[f"whether {shown} is still taken is not known"] = None
        else:
            lost[shown] = None
    return list(lost), list(unsure)


def some(names: Sequence[str]) -> str:
    """Name the first few, and say how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def same(one: Sequence[Selection], other: Sequence[Selection]) -> bool:
    """Say whether two lists of selections are the same in another order."""
    return sorted(map(repr, one)) == sorted(map(repr, other))


def _takes(selections: Sequence[Selection], arn: str, tags: Mapping[str, str] | None) -> str:
    return either(selects(one, arn, tags, opted_in=True)[0] for one in selections)


def _probes(selections: Sequence[Selection]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield made-up buckets that the selections name by a pattern or a tag, so that what comes later is asked about too."""
    for one in selections:
        if any(one[name] is None for name in SELECTING):
            continue
        tags = {
            test["ConditionKey"].removeprefix("aws:ResourceTag/"): test["ConditionValue"].replace("*", "x")
            for operator in ("StringEquals", "StringLike")
            for test in one["conditions"].get(operator) or ()
        }
        for pattern in one["resources"]:
            if "*" in pattern and pattern.startswith(("*", "arn:aws:s3")):
                name = "arn:aws:s3:::" + _MADE_UP if pattern == "*" else pattern.replace("*", _MADE_UP)
                yield name, tags
        for tag in one["list_of_tags"]:
            key = str(tag.get("ConditionKey")).removeprefix("aws:ResourceTag/")
            yield f"arn:aws:s3:::{_MADE_UP}", tags | {key: str(tag.get("ConditionValue"))}
        if not one["resources"] and not one["list_of_tags"]:
            yield f"arn:aws:s3:::{_MADE_UP}", tags
