"""List the snapshots on disk, and why each is kept; prune those that nothing keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from auditor.cli._app import App, answering, app

if TYPE_CHECKING:
    from auditor.retention import Shelved


@click.group("snapshots", invoke_without_command=True)
@answering
def command() -> None:
    """List the snapshots on disk, their size and age, and why each is kept. Without a word after it: list.

    Every good scan prunes by itself what `[snapshots]` does not keep. The ledger is never pruned.
    """
    if click.get_current_context().invoked_subcommand is None:
        _list(app())


@command.command("list")
@answering
def list_() -> None:
    """List every snapshot on disk, oldest first."""
    _list(app())


@command.command("prune")
@click.option("--dry-run", is_flag=True, help="List exactly what would go; remove nothing.")
@answering
def prune(dry_run: bool) -> None:
    """Remove the snapshots that nothing keeps, and what was judged of them. This cannot be undone.

    Each is an entry of the ledger: which it was, its digests, and why it went.
    """
    from auditor.retention import prune as remove
    from auditor.retention import shelf, size_of
    from auditor.scan import retention

    this = app()
    going: list[tuple[Shelved, int]] = []
    if this.ledger_path.exists():
        kept, state, now = retention(this.config()), this.state(), this.now()
        with this.ledger() as ledger:
            if dry_run:
                shelved = shelf(ledger, state, kept, now=now)
                going = [(one, size_of(state, one)) for one in shelved if not one.kept]
            else:
                going = remove(ledger, state, kept, now=now)
    _tell(this, going, pruned=not dry_run)


def _list(this: App) -> None:
    from auditor.retention import shelf, size_of
    from auditor.scan import retention

    found: list[tuple[Shelved, int]] = []
    if this.ledger_path.exists():
        state = this.state()
        with this.ledger() as ledger:
            shelved = shelf(ledger, state, retention(this.config()), now=this.now())
            found = [(one, size_of(state, one)) for one in shelved]
    _tell(this, found, pruned=None)


def _tell(this: App, found: Sequence[tuple[Shelved, int]], *, pruned: bool | None) -> None:
    """Tell of snapshots; `pruned` says whether they went, or would go, or are merely listed."""
    if this.json:
        from auditor.cli._answer import envelope

        envelope("snapshots", [_row(*each) for each in found], pruned=pruned)
        return
    from auditor.cli._text import plural, table, when, write

    said = [
        (
            one.scan.snapshot_id[:16],
            when(one.scan.at),
            str(one.age.days),
            f"{size / 1e6:,.1f}",
            "; ".join(one.kept) or "nothing keeps it",
        )
        for one, size in found
    ]
    headers = ("SNAPSHOT", "SCANNED", "DAYS", "MB", "KEPT BECAUSE")
    lines = table(headers, said, right=("DAYS", "MB"), fixed=("SNAPSHOT", "SCANNED", "DAYS", "MB"))
    size = f"{sum(size for _, size in found) / 1e6:,.1f} MB"
    end = {None: "on disk", True: "pruned", False: "would go; nothing was removed"}[pruned]
    write([*lines, *([""] if found else []), f"{plural(len(found), 'snapshot')}, {size}: {end}."])


def _row(one: Shelved, size: int) -> dict[str, Any]:
    return {
        "snapshot": one.scan.snapshot_id,
        "scan": one.scan.scan,
        "at": one.scan.at,
        "age_s": int(one.age.total_seconds()),
        "bytes": size,
        "kept": list(one.kept),
    }
