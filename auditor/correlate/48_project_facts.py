"""What is logged of IAM in each project: its own audit configuration and what it inherits, as a union.

A log type that any level switches on is on, for iam.googleapis.com or for all services; a member that any level exempts
is exempt (cloud.google.com/logging/docs/audit/configure-data-access). Tokens of service accounts are calls of
iamcredentials.googleapis.com, which has no switch of its own: it follows that of iam.googleapis.com.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.zoning import parsed, strictest_declared

TABLE = "project_facts"
READS = ("gcp_project", "gcp_audit_config", "config_zone")

_SERVICES = ("iam.googleapis.com", "allServices")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a project."""
    zone = strictest_declared(tables["config_zone"])
    for project in tables["gcp_project"]:
        acting = {project["name"], *(parsed(project["ancestors"]) or ())}
        on: dict[str, set[str]] = defaultdict(set)
        exempted: set[str] = set()
        for row in tables["gcp_audit_config"]:
            if row["resource"] in acting and row["service"] in _SERVICES:
                on[row["log_type"]].add(row["resource"])
                exempted.update(parsed(row["exempted"]) or ())
        yield {
            "subject_key": project["name"],
            "zone": zone,
            "account": None,
            "project": project["project"],
            "owner": None,
            "region": "*",
            "number": project["number"],
            "iam_logged": {name: sorted(places) for name, places in sorted(on.items())},
            "logged_says": _said(on),
            "iam_exempted": sorted(exempted),
        }


def _said(on: Mapping[str, set[str]]) -> str:
    told = [f"{name} is logged (by {', '.join(sorted(places))})" for name, places in sorted(on.items())]
    return ", ".join(told) or "nothing is logged but changes"
