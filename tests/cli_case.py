"""What tests of the command line share: how it is run, and a ledger with hostile names in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from auditor.cli._root import cli
from auditor.ledger import Ledger
from tests.ledger_case import day, outcome, scan

ROOT = Path(__file__).parent.parent
HOSTILE = "arn:aws:s3:::\x1b[31mred\u202egnp\r\n=cmd()\u0007"
CONFIG = '[state]\ndir = "{state}"\n'


def run(*args: str, config: Path | None = None) -> Result:
    """Run a command within this process."""
    more = ["-c", str(config)] if config else []
    return CliRunner().invoke(cli, [*more, *args], prog_name="auditor")


def answer(*args: str, config: Path | None = None) -> dict[str, Any]:
    """Run a command with --json and return what it says."""
    done = run(*args, "--json", config=config)
    assert done.stdout, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def process(*args: str, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "auditor", *args],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def hostile_state(folder: Path) -> Path:
    """Make a state whose only finding is about a bucket with a hostile name; return its configuration."""
    config = folder / "config.toml"
    config.write_text(CONFIG.format(state=folder / "state"), encoding="utf-8")
    with Ledger.open(folder / "state" / "ledger.sqlite3") as ledger:
        tally = {
            "chains": {"proven": 1},
            "links": {},
            "verdicts": {"fail": 1},
            "not_due": 0,
            "gaps": 0,
            "severities": {},
        }
        ledger.record(
            scan(1, tally=tally), [outcome("fail", HOSTILE, because=f"it is called {HOSTILE}")], at=day(1)
        )
    return config
