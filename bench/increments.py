"""A scan six hours after the first one, of an estate in which nothing changed: its calls against those of the first."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from bench.clients import _config
from bench.cloud import NOW, served
from bench.figures import Figure

MEDIUM = (2000, 300, 20000)
"""Roles, buckets and recovery points of the medium estate."""
LATER = timedelta(hours=6)


def increments() -> Iterator[Figure]:
    """Count the calls of two scans and of the full pass that proves the second, in the emulated cloud."""
    from auditor.builtin import builtin
    from auditor.ledger import Ledger
    from auditor.rulepack import load
    from auditor.scan import scan

    os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    rules = builtin("rules")
    pack = load([rules], [rules / "frameworks"])
    with (
        served(*MEDIUM) as there,
        tempfile.TemporaryDirectory() as folder,
        Ledger.open(Path(folder) / "ledger.sqlite3") as ledger,
    ):
        config = _config(there.endpoint, folder)
        calls, told = [], []
        for number, full in enumerate((True, False, True)):
            there.clock(NOW + number * LATER)
            done = scan(config, ledger, pack, now=NOW + number * LATER, full=full)
            calls.append(sum(there.calls().values()))
            told.append(done.snapshot.manifest["pass"])
        same = not list(done.snapshot.rows("carried_difference"))
    first, second, third = calls
    carried = told[1]["scopes"]
    what = f"API calls of a second scan, nothing changed ({second}, {carried} scopes carried), against the first ({first})"
    yield Figure(what, f"{100 * second / first:.1f} %", "15 %", second <= 0.15 * first)
    what = f"differences that a full pass after it found in {told[2]['compared']} scopes ({third} calls)"
    yield Figure(what, "0" if same else "some", "0", same and told[2]["compared"] >= carried)
