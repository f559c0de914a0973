"""A scan that is asked for while one runs: wait for that one, and answer with it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from auditor.cli._app import App
from auditor.errors import FAILING, INCOMPLETE
from auditor.ledger.slots import RECHECK

if TYPE_CHECKING:
    from auditor.ledger import ScanRow

_LOOK_S = 0.5


def joined(this: App, fail_on: str | None) -> int | None:
    """Return the exit code of the scan that was running; None when none was, or it came to nothing."""
    from auditor.cli._scanning import failing_at

    if not this.ledger_path.exists():
        return None
    with this.ledger() as ledger:
        held = ledger.scan_running(this.now())
        if held is None:
            return None
        this.tell(
            f"A scan of slot {held.slot} is running since {held.begun_at:%H:%M:%SZ} ({held.owner}): waiting for it."
        )
        while (running := ledger.scan_running(this.now())) and running.token == held.token:
            time.sleep(_LOOK_S)
        found = [row for row in ledger.scans(held.begun_at, state="finished") if row.slot == held.slot]
        if not found:
            again = held.slot.startswith(RECHECK)
            this.tell("It was a re-check of one subject." if again else "It came to nothing.")
            return None
        failing = failing_at(ledger, found[0].at, fail_on) if fail_on else 0
    _tell(this, found[0])
    return FAILING if failing else 0 if found[0].complete else INCOMPLETE


def wait(this: App) -> None:
    """Wait until no scan runs."""
    if not this.ledger_path.exists():
        return
    with this.ledger() as ledger:
        held = ledger.scan_running(this.now())
        if held is not None:
            this.tell(
                f"A scan of slot {held.slot} is running since {held.begun_at:%H:%M:%SZ} ({held.owner}): waiting for it."
            )
        while ledger.scan_running(this.now()):
            time.sleep(_LOOK_S)


def _tell(this: App, row: ScanRow) -> None:
    """Tell how things stand by that scan, as `auditor status` does."""
    from auditor.cli._reading import standing
    from auditor.cli.status import row_of, screen

    now = standing(this, row.at)
    told = row_of(this, now)
    if this.json:
        from auditor.cli._answer import answer

        answer("status", now, [told])
        return
    from auditor.cli._text import write

    write(screen(now, told))
