"""What AWS Backup Audit Manager holds in a place: report plans and frameworks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.sources._backup_spot import Found, Spot
from auditor.sources.ask import Malformed, Suspect, Truncated, guard, listed, need, reason_of

_MOST = 1000


def report_plans(place: Spot) -> Found:
    """Read the report plans: what they report, and when they last succeeded."""
    with guard(place.seen("backup_report_plan")) as read:
        for plan in _items(place.client.list_report_plans, "ReportPlans"):
            setting = plan.get("ReportSetting") or {}
            yield place.row(
                "backup_report_plan",
                arn=need(plan, "ReportPlanArn"),
                name=plan.get("ReportPlanName"),
                template=setting.get("ReportTemplate"),
                status=plan.get("DeploymentStatus"),
                created_at=plan.get("CreationTime"),
                succeeded_at=plan.get("LastSuccessfulExecutionTime"),
            )
    yield from read


def frameworks(place: Spot) -> Found:
    """Read the frameworks: how many controls each has, and whether it was deployed."""
    with guard(place.seen("backup_framework")) as read:
        for framework in _items(place.client.list_frameworks, "Frameworks"):
            yield place.row(
                "backup_framework",
                arn=need(framework, "FrameworkArn"),
                name=framework.get("FrameworkName"),
                controls=framework.get("NumberOfControls"),
                status=framework.get("DeploymentStatus"),
                created_at=framework.get("CreationTime"),
            )
    yield from read


def _items(ask: Any, key: str) -> Iterator[Mapping[str, Any]]:
    """Yield the items of a listing that botocore has no paginator for; Truncated when its end was not read."""
    from botocore.exceptions import BotoCoreError, ClientError

    token, read = "", 0
    while True:
        try:
            page = ask(MaxResults=_MOST, **({"NextToken": token} if token else {}))
            found = listed(page, key)
        except (BotoCoreError, ClientError, Suspect, UnicodeDecodeError) as error:
            reason = reason_of(error)
            if read and reason and reason[0] in {"failed", "hung", "malformed", "suspect"}:
                raise Truncated(f"after {read} pages: {reason[1]}") from error
            raise
        yield from found
        read += 1
        last, token = token, page.get("NextToken") or ""
        if not token:
            return
        if token == last:
            raise Malformed(f"the listing of {key} gives the same page for ever")
