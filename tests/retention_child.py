"""Another process that prunes, and dies by kill -9 at its Nth change on disk: python retention_child.py STATE DAYS N."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from ledger_case import day

from auditor.ledger import Ledger
from auditor.retention import Retention, prune

changes = count(1)


def counted(change: Callable[..., Any]) -> Callable[..., Any]:
    """Die instead of making the change whose turn it is."""

    def made(*arguments: Any, **named: Any) -> Any:
        if next(changes) == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return change(*arguments, **named)

    return made


if __name__ == "__main__":
    Path.replace = counted(Path.replace)  # type: ignore[method-assign]
    Path.unlink = counted(Path.unlink)  # type: ignore[method-assign]
    shutil.rmtree = counted(shutil.rmtree)  # type: ignore[assignment]
    Ledger.note = counted(Ledger.note)  # type: ignore[method-assign]
    state = Path(sys.argv[1])
    with Ledger.open(state / "ledger.sqlite3") as ledger:
        span = timedelta(days=int(sys.argv[2]))
        prune(ledger, state, Retention(span, span), now=day(100))
