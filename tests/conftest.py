"""Servers that many tests share, each started once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from auditor.sandbox.estate import Estate

if TYPE_CHECKING:
    from fault_world import FaultWorld


@pytest.fixture(scope="session")
def estate() -> Iterator[Estate]:
    """The running estate after its last week; tests only read it."""
    played = Estate.open()
    played.advance(played.weeks)
    yield played
    played.close()


@pytest.fixture(scope="session")
def two_weeks() -> Iterator[FaultWorld]:
    """A small estate of two weeks, the first in its ledger; tests break it and mend it again."""
    from fault_world import FaultWorld

    world = FaultWorld()
    yield world
    world.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of cases when the whole of it was run."""
    ran = {
        report.nodeid
        for reports in terminalreporter.stats.values()
        for report in reports
        if hasattr(report, "nodeid")
    }
    if any("test_rule_table.py" in name for name in ran):
        from rule_table import lines

        terminalreporter.section("the cases of each rule")
        for line in lines():
            terminalreporter.write_line(line)
