"""AWS Backup's answers about plans and selections."""

from __future__ import annotations

from auditor.sandbox.aws.backup_seeds import write_plan
from auditor.sandbox.aws.books import Here, Params, Record, Refused, derived_uuid
from auditor.sandbox.aws.judge import only
from auditor.sandbox.aws.paging import page
from auditor.sandbox.aws.schedule import next_runs


def _plan(here: Here, asked: Params) -> Record:
    plan = here.backup.plans.get(asked["BackupPlanId"])
    if plan is None or asked.get("VersionId") not in (None, plan["VersionId"]):
        raise Refused("ResourceNotFoundException", "Failed reading Backup plan with provided version")
    return plan


def list_backup_plans(here: Here, asked: Params) -> Record:
    """List the plans of the region, by name; deleted ones only when asked for."""
    rows = [
        plan
        for plan in here.backup.plans.values()
        if "DeletionDate" not in plan or asked.get("IncludeDeleted")
    ]
    return page(
        "backup",
        "ListBackupPlans",
        asked,
        sorted(rows, key=lambda plan: str(plan["BackupPlanName"])),
    )


def get_backup_plan(here: Here, asked: Params) -> Record:
    """Give a plan, with its next runs from the servers' clock when MaxScheduledRunsPreview asks for them."""
    plan = _plan(here, asked)
    reply = only("backup", "GetBackupPlanOutput", plan)
    wanted = int(asked.get("MaxScheduledRunsPreview") or 0)
    if wanted:
        runs = sorted(
            (
                {
                    "ExecutionTime": at,
                    "RuleId": rule["RuleId"],
                    "RuleExecutionType": "CONTINUOUS_AND_SNAPSHOTS"
                    if rule.get("EnableContinuousBackup")
                    else "SNAPSHOTS",
                }
                for rule in plan["BackupPlan"]["Rules"]
                for at in next_runs(
                    rule["ScheduleExpression"],
                    after=here.now,
                    count=wanted,
                    zone=rule["ScheduleExpressionTimezone"],
                    since=plan["CreationDate"],
                )
            ),
            key=lambda run: (run["ExecutionTime"], run["RuleId"]),
        )
        reply["ScheduledRunsPreview"] = runs[:wanted]
    return reply


def create_backup_plan(here: Here, asked: Params) -> Record:
    """Make a plan, dated now."""
    book, document = here.backup, asked["BackupPlan"]
    name = document["BackupPlanName"]
    if any(plan["BackupPlanName"] == name for plan in book.plans.values()):
        raise Refused("AlreadyExistsException", "Backup plan with the same plan document already exists")
    plan_id = derived_uuid("plan", here.account, here.region, name)
    plan: Record = {
        "BackupPlanId": plan_id,
        "BackupPlanArn": book.arn(f"backup-plan:{plan_id}"),
        "CreationDate": here.now,
    }
    write_plan(plan, document)
    book.plans[plan_id] = plan
    book.selections.setdefault(plan_id, {})
    book.tags[plan["BackupPlanArn"]] = dict(asked.get("BackupPlanTags") or {})
    return only("backup", "CreateBackupPlanOutput", plan)


def update_backup_plan(here: Here, asked: Params) -> Record:
    """Replace a plan's document; its version id changes with it."""
    plan = _plan(here, {"BackupPlanId": asked["BackupPlanId"]})
    write_plan(plan, asked["BackupPlan"])
    return only("backup", "UpdateBackupPlanOutput", plan)


def delete_backup_plan(here: Here, asked: Params) -> Record:
    """Delete a plan that has no selections left."""
    plan = _plan(here, asked)
    if here.backup.selections.get(plan["BackupPlanId"]):
        raise Refused("InvalidRequestException", "Related backup plan selections must be deleted first")
    plan["DeletionDate"] = here.now
    return only("backup", "DeleteBackupPlanOutput", plan)


def create_backup_selection(here: Here, asked: Params) -> Record:
    """Make a selection, dated now."""
    plan, document = _plan(here, asked), asked["BackupSelection"]
    name = document["SelectionName"]
    selection_id = derived_uuid("selection", plan["BackupPlanId"], name)
    selections = here.backup.selections[plan["BackupPlanId"]]
    if selection_id in selections:
        raise Refused("AlreadyExistsException", f"Backup selection {name} already exists")
    selections[selection_id] = {
        "SelectionId": selection_id,
        "BackupPlanId": plan["BackupPlanId"],
        "CreationDate": here.now,
        "SelectionName": name,
        "IamRoleArn": document["IamRoleArn"],
        "BackupSelection": document,
    }
    return only("backup", "CreateBackupSelectionOutput", selections[selection_id])


def list_backup_selections(here: Here, asked: Params) -> Record:
    """List the selections of a plan, by name."""
    plan = _plan(here, asked)
    rows = here.backup.selections.get(plan["BackupPlanId"], {}).values()
    return page(
        "backup",
        "ListBackupSelections",
        asked,
        sorted(rows, key=lambda row: str(row["SelectionName"])),
    )


def get_backup_selection(here: Here, asked: Params) -> Record:
    """Give one selection."""
    found = here.backup.selections.get(asked["BackupPlanId"], {}).get(asked["SelectionId"])
    if found is None:
        raise Refused("ResourceNotFoundException", "Cannot find Backup selection")
    return only("backup", "GetBackupSelectionOutput", found)


def delete_backup_selection(here: Here, asked: Params) -> Record:
    """Delete one selection."""
    get_backup_selection(here, asked)
    del here.backup.selections[asked["BackupPlanId"]][asked["SelectionId"]]
    return {}
