"""Check the configuration, or show every setting with where it comes from."""

from __future__ import annotations

import click

from auditor.cli._app import answering, app, shared


@click.group("config")
@shared
def command() -> None:
    """Check the configuration, or show every setting with where it comes from."""


@command.command("check")
@shared
def check() -> None:
    """Name every mistake at once; exit 2 when there is one."""
    this = app()
    config = this.config()
    pack = this.pack()
    config.tables((*pack.rules, *pack.broken_rules))
    places = len(config.aws.accounts), len(config.gcp.projects), len(config.zones), len(config.exports)
    click.echo(
        "{}: fine. {} AWS accounts, {} Google Cloud projects, {} zones, {} declared exports.".format(
            this.path, *places
        )
    )


@command.command("show")
@answering
def show() -> None:
    """Show every setting with its value in force; secrets stay references."""
    this = app()
    rows = this.config().show()
    if this.json:
        from auditor.cli._answer import envelope

        envelope("config", rows)
        return
    from auditor.cli._text import safe, write

    width = max(len(row["key"]) for row in rows)
    write(
        f"{safe(row['key']):<{width}}  {_said(row['value'])}{'' if row['set'] else '  (default)'}"
        for row in rows
    )


def _said(value: object) -> str:
    import json

    from auditor.cli._text import safe

    return safe(json.dumps(value, ensure_ascii=False, sort_keys=True))
