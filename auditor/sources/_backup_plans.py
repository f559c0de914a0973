"""Backup plans, their rules and their selections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor.canonical import canonical
from auditor.model import Gap, Row, Seen
from auditor.sources._backup_spot import PAGE, Found, Spot, inner, named
from auditor.sources.ask import guard, listed, need, pages


def plans(place: Spot) -> Found:
    """Read every plan; one whose rules or selections cannot be read costs only its own."""
    below = (place.seen("backup_plan_rule"), place.seen("backup_selection"))
    every: list[Mapping[str, Any]] = []
    with guard(place.seen("backup_plan"), also=below) as read:
        for page in pages(place.client, "list_backup_plans", "BackupPlansList", PaginationConfig=PAGE):
            every += map(named("BackupPlanArn", "BackupPlanId"), page)
    yield from read
    whole = read.ok
    for plan in every:
        arn = str(plan["BackupPlanArn"])
        for found in (*_plan(place, plan, arn), *_selections(place, plan, arn)):
            whole = whole and not isinstance(found, Gap)
            yield found
    if whole:
        yield from below


def _plan(place: Spot, plan: Mapping[str, Any], arn: str) -> Found:
    plan_id = plan["BackupPlanId"]
    runs: list[dict[str, Any]] | None = None
    with guard(
        place.seen("backup_plan_rule", arn), also=(place.seen("backup_plan", f"{arn}#next_runs"),)
    ) as read:
        answer = place.client.get_backup_plan(
            BackupPlanId=plan_id, MaxScheduledRunsPreview=place.ask.settings.next_runs
        )
        rules = listed(inner(answer, "BackupPlan"), "Rules")
        runs = sorted(
            (
                {"at": need(run, "ExecutionTime"), "rule_id": run.get("RuleId")}
                for run in answer.get("ScheduledRunsPreview") or ()
            ),
            key=canonical,
        )
        yield from [_rule(place, plan_id, rule) for rule in rules]
    yield place.row(
        "backup_plan",
        arn=arn,
        plan_id=plan_id,
        name=plan.get("BackupPlanName"),
        version=plan.get("VersionId"),
        next_runs=runs,
    )
    yield from read


def _rule(place: Spot, plan_id: str, rule: Mapping[str, Any]) -> Row:
    copies = [
        {
            "vault_arn": need(copy, "DestinationBackupVaultArn"),
            "delete_after_d": _kept_d(copy.get("Lifecycle")),
        }
        for copy in rule.get("CopyActions") or ()
    ]
    lifecycle = rule.get("Lifecycle") or {}
    return place.row(
        "backup_plan_rule",
        plan_id=plan_id,
        rule_id=rule.get("RuleId"),
        rule_name=need(rule, "RuleName"),
        vault_name=rule.get("TargetBackupVaultName"),
        schedule=rule.get("ScheduleExpression") or "",
        timezone=rule.get("ScheduleExpressionTimezone") or "Etc/UTC",
        start_window_m=rule.get("StartWindowMinutes", 480),
        completion_window_m=rule.get("CompletionWindowMinutes", 10080),
        delete_after_d=_kept_d(lifecycle),
        deletes_after_copy=lifecycle.get("DeleteAfterEvent") == "DELETE_AFTER_COPY",
        cold_after_d=lifecycle.get("MoveToColdStorageAfterDays", -1),
        continuous=bool(rule.get("EnableContinuousBackup", False)),
        copies=sorted(copies, key=canonical),
        tags=rule.get("RecoveryPointTags") or {},
    )


def _kept_d(lifecycle: Mapping[str, Any] | None) -> int | None:
    """Days a plan keeps a point: -1 for ever; None when an event ends it instead of a date."""
    lifecycle = lifecycle or {}
    if "DeleteAfterDays" not in lifecycle and lifecycle.get("DeleteAfterEvent"):
        return None
    return int(lifecycle.get("DeleteAfterDays", -1))


def _selections(place: Spot, plan: Mapping[str, Any], arn: str) -> Found:
    plan_id = plan["BackupPlanId"]
    if stood := place.ask.standing("backup_selection", place.account, place.region, arn):
        yield from (Row("backup_selection", row) for row in stood.rows)
        yield Seen("backup_selection", place.account, place.region, arn, observed_at=stood.observed_at)
        return
    selections: list[Mapping[str, Any]] = []
    with guard(place.seen("backup_selection", arn)) as read:
        for page in pages(
            place.client,
            "list_backup_selections",
            "BackupSelectionsList",
            BackupPlanId=plan_id,
            PaginationConfig=PAGE,
        ):
            selections += page
    lost = None if read.ok else read
    for selection in selections:
        one = guard(place.seen("backup_selection", arn))
        yield from _selection(place, plan_id, selection, one)
        lost = lost or (None if one.ok else one)
    yield from lost or read


def _selection(place: Spot, plan_id: str, entry: Mapping[str, Any], read: Any) -> Found:
    known: dict[str, Any] = {}
    with read:
        answer = place.client.get_backup_selection(
            BackupPlanId=plan_id, SelectionId=need(entry, "SelectionId")
        )
        said = inner(answer, "BackupSelection")
        known = {
            "resources": sorted(said.get("Resources") or ()),
            "not_resources": sorted(said.get("NotResources") or ()),
            "list_of_tags": sorted(said.get("ListOfTags") or (), key=canonical),
            "conditions": {
                operator: sorted(tests, key=canonical)
                for operator, tests in (said.get("Conditions") or {}).items()
                if tests
            },
        }
    yield place.row(
        "backup_selection",
        plan_id=plan_id,
        selection_id=entry.get("SelectionId"),
        name=entry.get("SelectionName"),
        role_arn=entry.get("IamRoleArn"),
        **known,
    )
