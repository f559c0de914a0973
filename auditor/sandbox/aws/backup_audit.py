"""AWS Backup Audit Manager's answers: report plans and frameworks."""

from __future__ import annotations

from collections.abc import Sequence

from auditor.sandbox.aws.books import Here, Params, Record
from auditor.sandbox.aws.judge import only, service_model
from auditor.sandbox.aws.paging import MOST, offset, token


def list_report_plans(here: Here, asked: Params) -> Record:
    """List the report plans of the region, by name."""
    return _page(
        "ListReportPlans", "ReportPlans", asked, [row for _, row in sorted(here.backup.report_plans.items())]
    )


def list_frameworks(here: Here, asked: Params) -> Record:
    """List the frameworks of the region, by name."""
    return _page(
        "ListFrameworks", "Frameworks", asked, [row for _, row in sorted(here.backup.frameworks.items())]
    )


def _page(operation: str, key: str, asked: Params, rows: Sequence[Record]) -> Record:
    """Return one page; botocore has no paginators for these two, so their form stands here."""
    shape = service_model("backup").operation_model(operation).output_shape.members[key].member
    start, size = offset(asked.get("NextToken")), min(int(asked.get("MaxResults") or MOST), MOST)
    reply: Record = {key: [only("backup", shape, row) for row in rows[start : start + size]]}
    if start + size < len(rows):
        reply["NextToken"] = token(start + size)
    return reply
