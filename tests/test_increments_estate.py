"""Two clouds of the sandbox: a week that is scanned in an increment comes to what a full pass makes of it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from fault_world import FaultWorld, pack
from increments_world import carried

from auditor.ledger import Ledger
from auditor.scan import Scan, scan

DAY = 86400
ANEW = frozenset({"coverage", "api_clock", "as_of"})


def second(world: FaultWorld, into: Path, **settings: int) -> Scan:
    """Scan week 2 on a copy of what week 1 left."""
    state = shutil.copytree(world.state, into / "state")
    config = dataclasses.replace(
        world.config,
        state=dataclasses.replace(world.config.state, dir=str(state)),
        scan=dataclasses.replace(world.config.scan, **settings),
    )
    with Ledger.open(state / "ledger.sqlite3") as ledger:
        return scan(config, ledger, pack(), now=world.now, slot="W02")


def outcomes(done: Scan) -> list[dict[str, Any]]:
    return [row for row in done.judgement.rows("outcome") if row["code"] != "SCN-006"]


def test_a_week_with_changes_scanned_in_an_increment_comes_to_what_a_full_pass_makes_of_it(
    two_weeks: FaultWorld, tmp_path: Path
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "split").mkdir()
    whole = second(two_weeks, tmp_path / "whole")
    split = second(two_weeks, tmp_path / "split", full=400 * DAY, carry_max_age=8 * DAY, max_age=9 * DAY)
    assert (whole.row.tally["pass"]["full"], split.row.tally["pass"]["full"]) == (True, False)
    assert len(carried(split.snapshot)) > 5
    assert list(whole.snapshot.rows("carried_difference")) == []
    for table, told in whole.snapshot.manifest["tables"].items():
        if table not in ANEW:
            assert split.snapshot.manifest["tables"][table] == told, table
    assert outcomes(split) == outcomes(whole)
