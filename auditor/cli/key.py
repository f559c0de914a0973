"""Make, show and rotate the key that signs bundles."""

from __future__ import annotations

from pathlib import Path

import click

from auditor.cli._app import answering, app, shared
from auditor.errors import UsageError


@click.group("key")
@shared
def command() -> None:
    """Make, show and rotate the key that signs bundles."""


@command.command("new")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@shared
def new(path: Path) -> None:
    """Make an Ed25519 key in OpenSSH form, readable by its owner alone."""
    from auditor import keys

    fingerprint = keys.new(path)
    click.echo(f"wrote {path} and {path}.pub")
    click.echo(fingerprint)
    this = app()
    this.tell(
        f'Set [signing] key = "file:{path}", and give the fingerprint to whoever will verify, by another way.'
    )


@command.command("show")
@answering
def show() -> None:
    """Show fingerprint and public half of the key in the configuration."""
    from auditor import keys

    this = app()
    config = this.config()
    if not config.signing.key:
        raise UsageError(f"{config.path}: [signing] names no key", remedy="`auditor key new FILE` makes one.")
    key = keys.load(config.signing.key)
    if this.json:
        from auditor.cli._answer import envelope

        envelope("key", [{"fingerprint": key.fingerprint, "public": key.openssh}])
    else:
        click.echo(f"{key.fingerprint}\n{key.openssh}")


@command.command("rotate")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="NEWFILE")
@shared
def rotate(path: Path) -> None:
    """Enter in the ledger that the key in NEWFILE takes the place of the configured one, signed by both."""
    from auditor import keys

    this = app()
    config = this.config()
    if not config.signing.key:
        raise UsageError(f"{config.path}: [signing] names no key", remedy="There is nothing to rotate.")
    old, new_key = keys.load(config.signing.key), keys.load(path)
    with this.ledger(create=True) as ledger:
        keys.rotate(ledger, old, new_key, this.now())
    click.echo(f"{old.fingerprint} gave its place to {new_key.fingerprint}")
    this.tell(f'Now set [signing] key = "file:{path}".')
