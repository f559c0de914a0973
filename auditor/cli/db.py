"""Back the ledger up, restore it, verify it."""

from __future__ import annotations

from pathlib import Path

import click

from auditor.cli._app import answering, app, shared
from auditor.errors import UsageError, VerificationError


@click.group("db")
@shared
def command() -> None:
    """Back the ledger up, restore it, verify it."""


@command.command("backup")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@shared
def backup(path: Path) -> None:
    """Copy the ledger to FILE, also while it is in use."""
    if path.exists():
        raise UsageError(f"{path} is there already", remedy="Nothing was written. Name another file.")
    if not path.absolute().parent.is_dir():
        raise UsageError(
            f"{path}: there is no such folder", remedy="Nothing was written. Make it, or name another."
        )
    with app().ledger() as ledger:
        ledger.backup(path)
    click.echo(f"wrote {path}")


@command.command("restore")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE")
@shared
def restore(path: Path) -> None:
    """Put a backup in the ledger's place; the old one stays beside it."""
    from auditor.ledger import Ledger

    this = app()
    with Ledger.restore(this.ledger_path, path, this.now()) as ledger:
        seq, head = ledger.head()
    click.echo(f"restored {this.ledger_path} from {path}: entry {seq}, head {head[:16]}")


@command.command("verify")
@click.option("--expect-head", default="", help="The head that an earlier report or bundle printed.")
@answering
def verify(expect_head: str) -> None:
    """Walk the hash chain and check the file page by page; exit 5 names what differs."""
    this = app()
    with this.ledger() as ledger:
        damage = ledger.damage()
        check = ledger.verify(expect_head=expect_head) if not damage else None
        row = {
            "intact": bool(check and check.intact),
            "entries": check.entries if check else None,
            "head": check.head if check else None,
            "because": check.because if check else damage[0],
            "damage": damage,
        }
    if this.json:
        from auditor.cli._answer import envelope

        envelope("db.verify", [row], complete=bool(row["intact"]))
    elif row["intact"]:
        click.echo(f"intact: {row['entries']} entries, head {row['head']}")
    if not row["intact"]:
        raise VerificationError(
            f"{this.ledger_path}: {row['because']}",
            remedy="Keep the file; `auditor db restore FILE` brings a backup back.",
        )
