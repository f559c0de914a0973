"""Judge the evidence of a bundle again and compare the verdicts."""

from __future__ import annotations

from pathlib import Path

import click

from auditor.cli._app import answering, app
from auditor.errors import VerificationError


@click.command("replay")
@click.argument("path", type=click.Path(exists=True, path_type=Path), metavar="BUNDLE")
@answering
def command(path: Path) -> None:
    """Judge the evidence of a bundle again and compare the verdicts.

    Nothing but the bundle is read: no ledger, no configuration, no cloud. Exit code 5 when a verdict differs.
    """
    from auditor import bundle

    found = bundle.replay(path)
    rows = [dict(row) for row in found.rows]
    if app().json:
        from auditor.cli._answer import envelope

        envelope("replay", rows, complete=found.equal)
    else:
        from auditor.cli._text import table, write

        headers = sorted({name for row in rows for name in row})
        write(
            table([name.upper() for name in headers], [[row.get(name) for name in headers] for row in rows])
        )
        click.echo("Equal: the same evidence gives the same verdicts." if found.equal else "DIFFERENT.")
    if not found.equal:
        raise VerificationError(f"{path}: judged again, the outcomes differ from those recorded in it")
