"""What rules judge of a backup plan as a whole: whether it protects less than in the scan before.

By what it does, not by its text. A rule of then is still there when some rule of now runs at least as often, keeps as long,
copies to the same vaults for as long and is continuous where it was, whatever its name. Selections are put to every bucket there
is, and to made-up ones that the old selection names: a pattern, a tag. A bucket whose tags changed is not the plan's doing
(PLN-001 tells of it).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.schedules import interval_s
from auditor.correlate.selection import COVERED, UNDECIDED, either, selects
from auditor.correlate.sight import Sight
from auditor.correlate.zoning import Row, parsed, strictest_declared

TABLE = "plan_facts"
READS = (
    "backup_plan",
    "backup_plan_rule",
    "backup_selection",
    "s3_bucket",
    "history_watch",
    "coverage",
    "config_zone",
)
_SELECTING = ("resources", "not_resources", "list_of_tags", "conditions")
_MADE_UP = "zq-any-other"
_SHOWN = 3
Remembered = Mapping[str, Mapping[str, str | None]]


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a plan, there or remembered."""
    zone = strictest_declared(tables["config_zone"])
    sight = Sight(tables["coverage"])
    before = _before(tables["history_watch"])
    plans = {row["arn"]: row for row in tables["backup_plan"]}
    rules, selections = _of_plan(tables["backup_plan_rule"]), _of_plan(tables["backup_selection"])
    for arn in sorted({*plans, *before["backup_plan"]}):
        _, _, _, region, account, _, plan_id = arn.split(":", 6)
        now = plans.get(arn)
        told = _Told()
        if arn in before["backup_plan"]:
            place = {"account": account, "region": region}
            if now is None:
                hidden = sight.gaps("backup_plan", account, region=region)
                (told.open if hidden else told.weaker).append("the plan is gone" if not hidden else hidden[0])
            else:
                was = before["backup_plan"][arn].get("version")
                same = was is not None and was == now["version"]
                hidden = sight.gaps("backup_plan_rule", **place, resource=arn)
                if not same:
                    _rules(_mine(before["backup_plan_rule"], plan_id), rules[plan_id], hidden, told)
                hidden = sight.gaps("backup_selection", **place, resource=arn)
                here = [
                    row for row in tables["s3_bucket"] if (row["account"], row["region"]) == (account, region)
                ]
                old = _mine(before["backup_selection"], plan_id)
                _selections(old, selections[plan_id], here, hidden, told)
        yield {
            "subject_key": arn,
            "zone": zone,
            "account": account,
            "project": None,
            "owner": None,
            "region": region,
            "name": now["name"] if now else plan_id,
            "known_before": arn in before["backup_plan"],
            "weakened": told.weaker,
            "all_compared": None if told.open else True,
            "left_open": "; ".join(dict.fromkeys(told.open)),
        }


class _Told:
    """What is weaker, and what could not be compared."""

    def __init__(self) -> None:
        self.weaker: list[str] = []
        self.open: list[str] = []


def _before(watch: Iterable[Row]) -> dict[str, dict[str, dict[str, str | None]]]:
    found: dict[str, dict[str, dict[str, str | None]]] = defaultdict(lambda: defaultdict(dict))
    for row in watch:
        if row["table_name"] in ("backup_plan", "backup_plan_rule", "backup_selection"):
            found[row["table_name"]][row["key"]][row["field"]] = row["value"]
    return found


def _of_plan(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["plan_id"]].append(row)
    return found


def _mine(remembered: Remembered, plan_id: str) -> Remembered:
    start = f"{plan_id}/"
    return {key[len(start) :]: row for key, row in remembered.items() if key.startswith(start)}


def _rules(old: Remembered, new: Sequence[Row], hidden: list[str], told: _Told) -> None:
    """Tell of each rule of then that no rule of now stands in for."""
    for name, was in sorted(old.items()):
        answers = [_lost(was, row) for row in new]
        if [] in answers:
            continue
        named = next((lost for row, lost in zip(new, answers, strict=True) if row["rule_name"] == name), None)
        if hidden or any(lost is None for lost in answers):
            told.open.append(
                hidden[0] if hidden else f"rule {name}: what it was, or what there is now, is not known"
            )
        elif named is None:
            told.weaker.append(f"rule {name} is gone")
        else:
            told.weaker.append(f"rule {name}: {', '.join(named)}")


def _lost(was: Mapping[str, str | None], now: Row) -> list[str] | None:
    """Return what a rule of now lacks of one of then; None when that cannot be told."""
    keys = ("schedule", "delete_after_d", "continuous", "copies")
    if any(was.get(key) is None or now[key] is None for key in keys):
        return None
    lost = []
    if (slower := _slower(was["schedule"] or "", now["schedule"])) is None:
        return None
    if slower:
        lost.append(f"runs {now['schedule'] or 'never'} instead of {was['schedule']}")
    before, days = int(was["delete_after_d"] or 0), now["delete_after_d"]
    if _shorter(before, days):
        lost.append(f"keeps {_days(days)} instead of {_days(before)}")
    if was["continuous"] == "true" and not now["continuous"]:
        lost.append("is no longer continuous")
    here = {copy["vault_arn"]: copy["delete_after_d"] for copy in parsed(now["copies"])}
    for copy in parsed(was["copies"]):
        vault, kept = copy["vault_arn"], copy["delete_after_d"]
        if vault not in here:
            lost.append(f"no longer copies to {vault}")
        elif kept is None or here[vault] is None:
            return None if kept != here[vault] else lost
        elif _shorter(kept, here[vault]):
            lost.append(f"keeps copies in {vault} {_days(here[vault])} instead of {_days(kept)}")
    return lost


def _slower(was: str, now: str) -> bool | None:
    if was == now or not was:
        return False
    if not now:
        return True
    before, after = interval_s(was), interval_s(now)
    return None if before is None or after is None else after > before


def _shorter(was: int, now: int) -> bool:
    """Compare days; -1 is for ever."""
    return now >= 0 and (was < 0 or now < was)


def _days(days: int) -> str:
    return "for ever" if days < 0 else f"{days} d"


def _selections(
    old: Remembered, new: Sequence[Row], buckets: Sequence[Row], hidden: list[str], told: _Told
) -> None:
    """Tell of buckets, real and made up, that the old selections take and the new ones do not."""
    then = [{name: _value(row.get(name)) for name in _SELECTING} for row in old.values()]
    now = [{name: parsed(row[name]) for name in _SELECTING} for row in new]
    if _alike(then, now):
        return
    real = [(row["arn"], parsed(row["tags"])) for row in buckets]
    lost: list[str] = []
    for arn, tags in (*real, *_probes(then)):
        was, has = _takes(then, arn, tags), _takes(now, arn, tags)
        if was != COVERED or has == COVERED:
            if was == UNDECIDED and has != COVERED:
                told.open.append(f"whether {arn} was taken is not known")
            continue
        shown = (
            arn if _MADE_UP not in arn else f"buckets like {arn.replace(_MADE_UP, '*')} with the tags {tags}"
        )
        if hidden or has == UNDECIDED:
            told.open.append(hidden[0] if hidden else f"whether {shown} is still taken is not known")
        else:
            lost.append(shown)
    if lost:
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        told.weaker.append(f"no longer takes {', '.join(lost[:_SHOWN])}{more}")


def _value(text: str | None) -> Any:
    return None if text is None else parsed(text)


def _alike(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    return sorted(map(repr, one)) == sorted(map(repr, other))


def _takes(selections: Sequence[Mapping[str, Any]], arn: str, tags: Mapping[str, str] | None) -> str:
    return either(selects(one, arn, tags, opted_in=True)[0] for one in selections)


def _probes(selections: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield made-up buckets that the selections name by a pattern or a tag, so that what comes later is asked about too."""
    for one in selections:
        if any(one[name] is None for name in _SELECTING):
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
