"""What rules judge of a backup plan as a whole: whether it protects less than in the scan before, or than was approved.

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
from auditor.correlate.approving import Then
from auditor.correlate.sight import Sight
from auditor.correlate.zoning import Row, parsed, strictest_declared
from auditor.plans.compare import SELECTING, Does, decoded, lacks, missed, same, some

TABLE = "plan_facts"
READS = (
    "backup_plan",
    "backup_plan_rule",
    "backup_selection",
    "s3_bucket",
    "history_watch",
    "history_baseline",
    "coverage",
    "config_zone",
)
Remembered = Mapping[str, Mapping[str, str | None]]


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a plan, there or remembered."""
    zone = strictest_declared(tables["config_zone"])
    sight = Sight(tables["coverage"])
    then = Then(tables)
    plans = {row["arn"]: row for row in tables["backup_plan"]}
    rules, selections = _of_plan(tables["backup_plan_rule"]), _of_plan(tables["backup_selection"])
    for arn in sorted({*plans, *then.keys("backup_plan")}):
        _, _, _, region, account, _, plan_id = arn.split(":", 6)
        now = plans.get(arn)
        told = _Told()
        before = then.row("backup_plan", arn)
        if before is not None:
            place = {"account": account, "region": region}
            if now is None:
                hidden = sight.gaps("backup_plan", account, region=region)
                (told.open if hidden else told.weaker).append("the plan is gone" if not hidden else hidden[0])
            else:
                was = before.get("version")
                same = was is not None and was == now["version"]
                hidden = sight.gaps("backup_plan_rule", **place, resource=arn)
                if not same:
                    _rules(_of_then(then, arn, "backup_plan_rule"), rules[plan_id], hidden, told)
                hidden = sight.gaps("backup_selection", **place, resource=arn)
                here = [
                    row for row in tables["s3_bucket"] if (row["account"], row["region"]) == (account, region)
                ]
                old = _of_then(then, arn, "backup_selection")
                _selections(old, selections[plan_id], here, hidden, told)
        yield {
            "subject_key": arn,
            "zone": zone,
            "account": account,
            "project": None,
            "owner": None,
            "region": region,
            "name": now["name"] if now else plan_id,
            "known_before": before is not None,
            "compared_with": then.words("backup_plan", arn),
            "weakened": told.weaker,
            "all_compared": None if told.open else True,
            "left_open": "; ".join(dict.fromkeys(told.open)),
        }


class _Told:
    """What is weaker, and what could not be compared."""

    def __init__(self) -> None:
        self.weaker: list[str] = []
        self.open: list[str] = []


def _of_plan(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["plan_id"]].append(row)
    return found


def _of_then(then: Then, arn: str, table: str) -> Remembered:
    """Return the rules or selections of a plan that are compared with, by name: an approved plan has those alone."""
    start = f"{arn.rpartition(':')[2]}/"
    found = then.only_approved("backup_plan", arn, table)
    rows = then.remembered(table) if found is None else found
    return {key[len(start) :]: row for key, row in rows.items() if key.startswith(start)}


def _rules(old: Remembered, new: Sequence[Row], hidden: list[str], told: _Told) -> None:
    """Tell of each rule of then that no rule of now stands in for."""
    here = [(row["rule_name"], Does.of(row)) for row in new]
    for name, was in sorted(old.items()):
        answers = [lacks(now, Does.of(was)) for _, now in here]
        if [] in answers:
            continue
        named = next((lost for (other, _), lost in zip(here, answers, strict=True) if other == name), None)
        if hidden or any(lost is None for lost in answers):
            told.open.append(
                hidden[0] if hidden else f"rule {name}: what it was, or what there is now, is not known"
            )
        elif named is None:
            told.weaker.append(f"rule {name} is gone")
        else:
            told.weaker.append(f"rule {name}: {', '.join(named)}")


def _selections(
    old: Remembered, new: Sequence[Row], buckets: Sequence[Row], hidden: list[str], told: _Told
) -> None:
    """Tell of buckets, real and made up, that the old selections take and the new ones do not."""
    then = [{name: decoded(row.get(name)) for name in SELECTING} for row in old.values()]
    now = [{name: parsed(row[name]) for name in SELECTING} for row in new]
    if same(then, now):
        return
    lost, unsure = missed(then, now, [(row["arn"], parsed(row["tags"])) for row in buckets])
    told.open += unsure
    if lost and hidden:
        told.open.append(hidden[0])
    elif lost:
        told.weaker.append(f"no longer takes {some(lost)}")
