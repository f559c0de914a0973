"""Judge the evidence of a bundle again and compare the verdicts."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auditor.cli._app import answering, app
from auditor.errors import VerificationError

if TYPE_CHECKING:
    from auditor.bundle import ReplayResult


@click.command("replay")
@click.argument("path", type=click.Path(exists=True, path_type=Path), metavar="BUNDLE")
@answering
def command(path: Path) -> None:
    """Judge the evidence of a bundle again and compare the verdicts.

    Nothing but the bundle is read: no ledger, no configuration, no cloud. Exit code 5 when a verdict differs.
    """
    import tempfile

    from auditor import bundle

    with tempfile.TemporaryDirectory(prefix="auditor-replay-") as into:
        found = bundle.replay(path, into=Path(into))
    if app().json:
        from auditor.cli._answer import envelope

        rows = [asdict(row) | {"equal": row.equal} for row in found.rows]
        left = [{"scan": scan, "because": because} for scan, because in found.not_carried]
        envelope("replay", rows, complete=found.equal, not_carried=left)
    else:
        from auditor.cli._text import write

        write(_lines(found))
    if not found.equal:
        wrong = next((row for row in found.rows if not row.equal), None)
        said = (
            f"scan {wrong.scan}: {wrong.difference or 'the outcomes differ'}"
            if wrong
            else "it holds nothing to judge"
        )
        raise VerificationError(
            f"{path}: {said}", remedy="`auditor bundle verify` says whether the bundle is whole."
        )


def _lines(found: ReplayResult) -> list[str]:
    from auditor.cli._text import cut, plural, safe, table

    rows = [
        (
            "✓ equal" if row.equal else "✗ differs",
            row.scan,
            row.snapshot[:16],
            row.expected[:16],
            row.got[:16],
        )
        for row in found.rows
    ]
    lines = table(("VERDICTS", "SCAN", "SNAPSHOT", "RECORDED", "JUDGED NOW"), rows)
    lines += [cut(f"not in it: {safe(scan)}: {safe(because)}", 100) for scan, because in found.not_carried]
    same = sum(row.equal for row in found.rows)
    return [*lines, "", f"{plural(len(rows), 'snapshot')} judged again, {same} equal to what was recorded."]
