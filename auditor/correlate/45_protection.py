"""What plans say of each bucket, and what was really backed up; the difference is the finding, both ways."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.sight import Sight
from auditor.plans.selection import COVERED, NOT_COVERED, UNDECIDED, either, selects

TABLE = "protection"
READS = (
    "s3_bucket",
    "backup_plan",
    "backup_plan_rule",
    "backup_selection",
    "backup_region",
    "bucket_backup",
    "coverage",
)

Row = Mapping[str, Any]


def derive(tables: Tables) -> Iterator[Row]:
    """Yield one row a bucket."""
    sight = Sight(tables["coverage"])
    plans = {row["plan_id"]: row for row in tables["backup_plan"]}
    ruled = {row["plan_id"] for row in tables["backup_plan_rule"]}
    opted = {(row["account"], row["region"]): row["s3_opt_in"] for row in tables["backup_region"]}
    selections: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in tables["backup_selection"]:
        selections[row["account"], row["region"]].append(row)
    backups = {row["bucket_arn"]: row for row in tables["bucket_backup"]}
    for bucket in tables["s3_bucket"]:
        place = (bucket["account"], bucket["region"])
        judged = [
            _judged(selection, bucket, plans, ruled, opted.get(place)) for selection in selections[place]
        ]
        yield _row(bucket, judged, backups.get(bucket["arn"]), sight)


def _judged(
    selection: Row, bucket: Row, plans: Mapping[str, Row], ruled: set[str], opted_in: bool | None
) -> dict[str, str]:
    verdict, because = selects(selection, bucket["arn"], bucket["tags"], opted_in)
    plan = plans.get(selection["plan_id"])
    if verdict == COVERED and selection["plan_id"] not in ruled:
        verdict, because = UNDECIDED, "the rules of its plan were not read"
    return {
        "plan_id": selection["plan_id"],
        "plan": plan["name"] if plan else selection["plan_id"],
        "selection": selection["name"] or selection["selection_id"],
        "verdict": verdict,
        "because": because,
    }


def _row(bucket: Row, judged: Sequence[dict[str, str]], backup: Row | None, sight: Sight) -> Row:
    place = {"account": bucket["account"], "region": bucket["region"]}
    hidden = [
        gap
        for table in ("backup_plan", "backup_selection")
        for gap in sight.gaps(table, place["account"], region=place["region"] or "*")
    ]
    covered = either(item["verdict"] for item in judged)
    if place["region"] is None:
        hidden.append(f"the region of {bucket['bucket']} is not known")
    if covered == NOT_COVERED and hidden:
        covered = UNDECIDED
    unseen = sight.gaps("backup_recovery_point", place["account"], region=place["region"] or "*")
    kept = int(backup["kept"]) if backup else 0
    observed = "backed_up" if kept else ("unknown" if unseen else "never")
    verdict, because = _verdict(covered, observed, judged, [*hidden, *unseen])
    return {
        "bucket_arn": bucket["arn"],
        **place,
        "covered": covered,
        "plans": sorted(judged, key=lambda item: (item["plan_id"], item["selection"])),
        "observed": observed,
        "last_point_at": backup["last_point_at"] if backup else None,
        "points": int(backup["points"]) if backup else 0,
        "verdict": verdict,
        "because": because,
    }


def _verdict(
    covered: str, observed: str, judged: Sequence[dict[str, str]], hidden: Sequence[str]
) -> tuple[str, str]:
    names = ", ".join(f"{item['plan']}/{item['selection']}" for item in judged if item["verdict"] == covered)
    if covered == COVERED:
        if observed == "backed_up":
            return "agree", f"{names} takes it, and recovery points of it exist"
        if observed == "never":
            return "covered_never_backed_up", f"{names} takes it, and no recovery point of it exists"
        return "unknown", f"{names} takes it, and its recovery points could not be seen: {hidden[0]}"
    if covered == UNDECIDED:
        why = hidden[0] if hidden else next((i["because"] for i in judged if i["verdict"] == UNDECIDED), "")
        return "undecided", f"whether a plan takes it is undecided: {why}"
    if observed == "backed_up":
        return (
            "backed_up_no_plan",
            "no plan takes it, and recovery points of it exist: somebody backs it up by hand",
        )
    if observed == "never":
        return "unprotected", "no plan takes it, and no recovery point of it exists"
    return "unknown", f"no plan takes it, and its recovery points could not be seen: {hidden[0]}"
