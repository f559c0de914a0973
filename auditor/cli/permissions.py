"""Print the least permissions that a scan needs, generated from the sources."""

from __future__ import annotations

import json

import click

from auditor.cli._app import answering, app

FORMATS = ("aws-policy", "gcp-role", "gcp-list")


@click.command("permissions")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), help="One document alone; default: both, for reading."
)
@click.option("--source", "sources", multiple=True, help="Only of this source; may be repeated.")
@answering
def command(form: str | None, sources: tuple[str, ...]) -> None:
    """Print the least permissions that a scan needs, generated from the sources.

    aws-policy is an IAM policy, gcp-role a custom role for `gcloud iam roles create --file`, gcp-list one permission a
    line.
    """
    aws, gcp = _actions(sources)
    if app().json:
        from auditor.cli._answer import envelope

        envelope("permissions", [{"cloud": "aws", "actions": aws}, {"cloud": "gcp", "actions": gcp}])
    elif form == "aws-policy":
        click.echo(_policy(aws))
    elif form == "gcp-role":
        click.echo(_role(gcp))
    elif form == "gcp-list":
        click.echo("\n".join(gcp))
    else:
        click.echo(f"# AWS: the policy of the role in every account\n{_policy(aws)}\n")
        click.echo("# Google Cloud: on every project, those of folders and organizations there")
        click.echo("\n".join(gcp))


def _actions(wanted: tuple[str, ...]) -> tuple[list[str], list[str]]:
    from auditor.config_read import did_you_mean
    from auditor.errors import UsageError
    from auditor.sources import NAMES, source

    for name in wanted:
        if name not in NAMES:
            raise UsageError(
                f"there is no source {name!r}{did_you_mean(name, NAMES)}",
                remedy=f"There are {', '.join(NAMES)}.",
            )
    actions = {action for name in NAMES if not wanted or name in wanted for action in source(name).ACTIONS}
    return sorted(a for a in actions if ":" in a), sorted(a for a in actions if ":" not in a)


def _policy(actions: list[str]) -> str:
    statement = {"Sid": "AuditorReads", "Effect": "Allow", "Action": actions, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=2)


def _role(permissions: list[str]) -> str:
    role = {
        "title": "Auditor reader",
        "description": "What auditor reads; made in the organisation, where folders and it can grant it too",
        "stage": "GA",
        "includedPermissions": permissions,
    }
    return json.dumps(role, indent=2)
