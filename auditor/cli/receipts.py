"""List and enter head receipts: where the ledger's head was published outside."""

from __future__ import annotations

from typing import Any

import click

from auditor.cli._app import App, answering, app

KINDS = ("object-lock", "rfc3161", "mail", "other")


@click.group("receipts", invoke_without_command=True)
@answering
def command() -> None:
    """List and enter head receipts: where the ledger's head was published outside. Without a word after it: list.

    Only a head that is kept where nobody of the house can change it shows that somebody with the key rewrote the ledger.
    """
    if click.get_current_context().invoked_subcommand is None:
        _list(app())


@command.command("list")
@answering
def list_() -> None:
    """List every receipt, and whether its head is in the chain."""
    _list(app())


def _list(this: App) -> None:
    rows: list[dict[str, Any]] = []
    head = (0, "")
    if this.ledger_path.exists():
        with this.ledger() as ledger:
            rows, head = ledger.receipts(this.now()), ledger.head()
    _tell(this, rows, head)


def _tell(this: App, rows: list[dict[str, Any]], head: tuple[int, str]) -> None:
    if this.json:
        from auditor.cli._answer import envelope

        envelope("receipts", rows)
        return
    from auditor.cli._text import plural, table, when, write

    said = [
        (
            "✓ in the chain" if row["in_chain"] else "✗ NOT in the chain",
            when(row["at"]),
            f"{row['seq']} · {row['head'][:16]}",
            row["kind"],
            row["place"],
        )
        for row in rows
    ]
    lines = table(
        ("STATE", "ENTERED", "HEAD", "KIND", "WHERE"),
        said,
        fixed=("STATE", "ENTERED", "HEAD", "KIND"),
        paints="STATE",
    )
    now = f"{head[0]} · {head[1][:16]}" if head[0] else "none yet"
    write([*lines, "", f"{plural(len(rows), 'receipt')}. The head is {now}."])


@command.command("add")
@click.option("--kind", required=True, type=click.Choice(KINDS), help="What keeps it.")
@click.option(
    "--where",
    "place",
    required=True,
    help="Where it is kept: the object's URI, the token's file, the address.",
)
@click.option("--by", required=True, metavar="E-MAIL", help="Who published it.")
@click.option(
    "--head", default="", help="The head, as it is shown: `17 · 0123456789abcdef`; default: the present one."
)
@click.option("--reason", default="", help="A remark.")
@answering
def add(kind: str, place: str, by: str, head: str, reason: str) -> None:
    """Enter that the ledger's head was published outside.

    A head that is not in the chain is entered too, and fails SCN-013: the ledger was rewritten since.
    """
    this = app()
    now = this.now()
    with this.ledger() as ledger:
        one = ledger.add_receipt(kind=kind, place=place, by=by, now=now, head=head, reason=reason)
        rows = [row for row in ledger.receipts(now) if row["sign_off_id"] == one.sign_off_id]
        _tell(this, rows, ledger.head())
