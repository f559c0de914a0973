"""What a scan and a re-check tell in the same way: how they go on, what fails, what could not be seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from auditor.cli._app import App
from auditor.model import SEVERITIES

if TYPE_CHECKING:
    from auditor.ledger import Ledger
    from auditor.model import Gap


@contextmanager
def progressing(this: App) -> Iterator[Any]:
    """Yield who is told how a scan goes on: a bar on a terminal, lines with `-v`, nobody otherwise."""
    import sys

    if this.verbosity > 0:
        yield _lines(this)
    elif this.verbosity < 0 or this.json or not sys.stderr.isatty():
        yield None
    else:
        import shutil
        import time

        from auditor.cli._progress import Bar

        bar = Bar(sys.stderr, time.monotonic, lambda: shutil.get_terminal_size().columns)
        try:
            yield bar.tell
        finally:
            bar.end()


def _lines(this: App) -> Any:
    def say(event: str, fields: Mapping[str, Any]) -> None:
        if event == "read":
            return
        said = ", ".join(
            f"{name} {value}" if isinstance(value, int) else str(value)
            for name, value in fields.items()
            if value is not None
        )
        this.tell(f"{event} {said}")

    return say


def failing_at(ledger: Ledger, at: datetime, fail_on: str) -> int:
    """Count the findings that fail at or above a severity, waived ones apart."""
    from auditor.ledger import Filters

    counted = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
    found = ledger.findings(Filters(verdict="fail", waived=False), as_of=at)
    return sum(row.severity in counted for row in found)


def unseen(found: Sequence[Gap]) -> Iterator[str]:
    """Yield what could not be seen, and what the estate does not record: a few of each."""
    from auditor.cli._text import bold, columns, cut, safe
    from auditor.model import GAP_REASONS

    for heading, gaps in (
        ("Could not be seen", [gap for gap in found if gap.reason != "not_enabled"]),
        ("Not recorded by the estate", [gap for gap in found if gap.reason == "not_enabled"]),
    ):
        if gaps:
            yield ""
            yield bold(heading)
        for gap in gaps[:5]:
            where = gap.resource if gap.resource != "*" else f"{gap.account}/{gap.region}"
            why = f"{GAP_REASONS.get(gap.reason, gap.reason)}; {safe(gap.detail)}"
            yield cut(f"  {gap.table} {safe(where)}: {why}", columns())
        if len(gaps) > 5:
            yield f"  and {len(gaps) - 5} more: `auditor status --json` has them all"
