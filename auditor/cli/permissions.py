"""Print the least permissions that a scan and its deliveries need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from auditor.cli._app import App, answering, app

if TYPE_CHECKING:
    from auditor.permissions import Permissions

FORMATS = ("aws-policy", "gcp-role", "gcp-list", "terraform")
PURPOSES = ("scan", "delivery", "caller")


@click.command("permissions")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="One document alone; default: all of them, for reading.",
)
@click.option(
    "--for",
    "purpose",
    type=click.Choice(PURPOSES),
    help="scan: what is read; delivery: where alerts and reports go; caller: roles that are assumed. Default: scan, "
    "and all of them for terraform.",
)
@click.option("--all", "every", is_flag=True, help="Of every source and receiver, also those not configured.")
@click.option("--source", "sources", multiple=True, help="Only of this source; may be repeated.")
@answering
def command(form: str | None, purpose: str | None, every: bool, sources: tuple[str, ...]) -> None:
    """Print the least permissions that a scan and its deliveries need.

    Generated from the actions that the sources of the configuration declare; without a configuration, from every
    source. aws-policy is an IAM policy, several where one would be too long; gcp-role a custom role for
    `gcloud iam roles create --file`; gcp-list one permission a line; terraform HCL of everything.
    """
    this = app()
    every = every or not this.path.exists()
    if every and not this.path.exists():
        this.tell(
            f"{this.path} is not there: these are the permissions of every source, narrowed to nothing."
        )
    wanted = [purpose] if purpose else list(PURPOSES if form is None or form == "terraform" else PURPOSES[:1])
    told = _told(this, wanted, every, sources)
    if this.json:
        from auditor.cli._answer import envelope

        envelope("permissions", [row for each in told for row in _rows(each)])
    elif form is None:
        click.echo("\n\n".join(_sheet(each) for each in told if each.statements or each.gcp))
    else:
        _print(this, form, told)


def _told(this: App, wanted: list[str], every: bool, sources: tuple[str, ...]) -> list[Permissions]:
    from auditor.config_read import did_you_mean
    from auditor.errors import UsageError
    from auditor.permissions import permissions
    from auditor.sources import NAMES

    for name in sources:
        if name not in NAMES:
            raise UsageError(
                f"there is no source {name!r}{did_you_mean(name, NAMES)}",
                remedy=f"There are {', '.join(NAMES)}.",
            )
    config = None if every else this.config()
    return [permissions(config, each, every=every, sources=sources) for each in wanted]


def _rows(told: Permissions) -> list[dict[str, Any]]:
    aws = {"purpose": told.purpose, "cloud": "aws", "actions": told.actions, "policies": told.policies()}
    gcp = {"purpose": told.purpose, "cloud": "gcp", "actions": told.gcp, "policies": []}
    return [row for row in (aws, gcp) if row["actions"] or told.purpose == "scan"]


def _sheet(told: Permissions) -> str:
    """Return the documents of one purpose with a heading each, for reading."""
    from auditor.permissions_forms import aws_policies, gcp_role

    where = {
        "scan": ("the role in every account", "the service account, on every project and what is above it"),
        "delivery": ("whoever runs auditor", "whoever runs auditor, on each topic"),
        "caller": ("whoever runs auditor", ""),
    }[told.purpose]
    parts = [f"# {told.purpose}, AWS: {where[0]}\n{aws_policies(told)}"] if told.statements else []
    parts += [f"# {told.purpose}, Google Cloud: {where[1]}\n{gcp_role(told)}"] if told.gcp else []
    return "\n\n".join(parts)


def _print(this: App, form: str, told: list[Permissions]) -> None:
    from auditor.permissions_forms import aws_policies, gcp_role, terraform

    if form == "terraform":
        click.echo(terraform(told))
        return
    (one,) = told
    if not (one.statements if form == "aws-policy" else one.gcp):
        this.tell(
            f"Nothing is needed for {one.purpose}: the configuration names nothing that takes a permission."
        )
    elif form == "aws-policy":
        parts = len(one.policies())
        if parts > 1:
            this.tell(f"{parts} policies, for one would be longer than AWS takes: attach all of them.")
        click.echo(aws_policies(one))
    else:
        click.echo(gcp_role(one) if form == "gcp-role" else "\n".join(one.gcp))
