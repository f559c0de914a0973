"""Write an evidence bundle, or check one offline."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from auditor.cli._app import answering, app, shared
from auditor.cli._period import period, with_period
from auditor.errors import UsageError


@click.group("bundle")
@shared
def command() -> None:
    """Write an evidence bundle, or check one offline."""


@command.command("create")
@with_period
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder; default: the one of [signing] in which scans look for bundles.",
)
@click.option("--raw", is_flag=True, help="Put the clouds' own answers in, where they were kept.")
@click.option(
    "--report", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A report to put in."
)
@answering
def create(
    from_at: datetime | None, to_at: datetime | None, out: Path | None, raw: bool, report: Path | None
) -> None:
    """Write the signed evidence of a period as one zip."""
    from auditor import bundle, keys

    this = app()
    config = this.config()
    begin, end, complete = period(this, from_at, to_at)
    key = keys.load(config.signing.key) if config.signing.key else None
    with this.ledger() as ledger:
        path = bundle.create(
            ledger,
            config,
            this.pack(),
            from_at=begin,
            to_at=end,
            now=max(this.now(), end),
            into=out or Path(config.signing.bundles),
            key=key,
            raw=raw,
            report=report,
        )
    if this.json:
        from auditor.cli._answer import envelope

        row = {
            "path": str(path),
            "from": begin,
            "to": end,
            "bytes": path.stat().st_size,
            "key": key.fingerprint if key else None,
        }
        envelope("bundle", [row], as_of=end, complete=complete)
        return
    click.echo(path)
    if key:
        this.tell(f"Check it anywhere: auditor bundle verify {path} --key {key.fingerprint}")
    else:
        this.tell(
            "It is not signed, and so nobody can verify it: [signing] names no key. `auditor key new FILE` makes one."
        )


@command.command("verify")
@click.argument("path", type=click.Path(path_type=Path), metavar="BUNDLE")
@click.option(
    "--key", "pinned", multiple=True, help="Fingerprint or public key file that you trust; may be repeated."
)
@click.option("--expect-head", help="A head receipt, as an earlier report printed it.")
@click.option("--previous", type=click.Path(path_type=Path), help="The bundle given before this one.")
@answering
def verify(path: Path, pinned: tuple[str, ...], expect_head: str | None, previous: Path | None) -> int:
    """Check a bundle offline. Exit code 5 names the first thing that differs.

    Without --key it cannot be told who signed it, and so it does not verify.
    """
    from auditor import verify as verifier

    try:
        keys = verifier.pins(pinned)
    except verifier.Unusable as error:
        raise UsageError(str(error)) from None
    found = verifier.verify(path, pinned=keys, expect_head=expect_head, previous=previous)
    if app().json:
        from auditor.cli._answer import envelope

        envelope("verification", [found.json], complete=found.ok)
    else:
        click.echo(found.text)
    return found.exit_code
