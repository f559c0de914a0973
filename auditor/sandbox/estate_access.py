"""Who may do what in the organisation's projects: groups by their duties, accounts that export, and what is logged.

Nobody is bound by name, calls of IAM are logged, and logs are kept for longer than a year: what the story is about
stands elsewhere, and a chapter that wants it otherwise changes it at its moment.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditor.sandbox.estate_stage import Stage
    from auditor.sandbox.estate_story import Story

ORGANISATION = "organizations/400000000001"
DOMAIN = "acme.example"
DEFAULT_DAYS = 400


def seed_access(stage: Stage) -> None:
    """Give every project its number, policy, accounts, audit configuration and log buckets."""
    story, gcp = stage.story, stage.gcp
    browse = {"role": "roles/browser", "members": [f"domain:{DOMAIN}"]}
    gcp.put_policy(ORGANISATION, {"bindings": [browse]})
    for project in story["gcp"]["projects"]:
        gcp.put_project(project, parent=ORGANISATION, number=number_of(project))
        gcp.put_policy(f"projects/{project}", {"bindings": bindings(story, project)})
        gcp.put_audit_config(f"projects/{project}", "iam.googleapis.com", {"ADMIN_READ": []})
        gcp.put_log_bucket(project, "_Default", days=DEFAULT_DAYS)
    for section in ("service_accounts", "automations"):
        for name, said in story[section].items():
            owner = said.get("owner") or next(iter(story["people"]))
            email = story.email(name)
            account = {
                "email": email,
                "uniqueId": said["subject"],
                "displayName": name,
                "description": f"owner: {story.email(owner)}",
            }
            gcp.put_service_account(said["project"], account)
            users = {"role": "roles/iam.serviceAccountUser", "members": _groups(story, said["project"])}
            gcp.put_policy(f"projects/{said['project']}/serviceAccounts/{email}", {"bindings": [users]})


def number_of(project: str) -> str:
    """Return the number of a project of the story."""
    return str(300_000_000_000 + zlib.crc32(project.encode()))


def bindings(story: Story, project: str) -> list[dict[str, Any]]:
    """Return the bindings of a project: what its groups, its automations and Google's own agents hold."""
    groups = _groups(story, project)
    automations = [
        f"serviceAccount:{story.email(name)}"
        for name, said in story["automations"].items()
        if said["may"][0] == project
    ]
    exporters = [
        f"serviceAccount:{story.email(name)}"
        for name, said in story["service_accounts"].items()
        if said["project"] == project
    ]
    agent = f"serviceAccount:service-{number_of(project)}@dataproc-accounts.iam.gserviceaccount.com"
    held = {
        "roles/dataproc.editor": [*groups, *automations],
        "roles/logging.viewer": groups,
        "roles/monitoring.viewer": groups,
        "roles/dataproc.worker": exporters,
        "roles/dataproc.serviceAgent": [agent],
    }
    return [{"role": role, "members": members} for role, members in held.items() if members]


def _groups(story: Story, project: str) -> list[str]:
    return sorted(
        {f"group:{duty['group']}@{DOMAIN}" for duty in story["duties"] if duty["project"] == project}
    )
