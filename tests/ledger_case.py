"""Values that tests of the ledger, of drift and of alerts share."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from auditor.ledger import RuleNote, ScanRecord
from auditor.model import Outcome, Verdict

T0 = datetime(2026, 2, 2, 3, 0, tzinfo=UTC)
RULES = {"versioning-on": RuleNote(("soc2/A1.2",), "Switch versioning on.")}


def day(n: int) -> datetime:
    return T0 + timedelta(days=n)


def outcome(verdict: str, key: str = "arn:aws:s3:::b", **more: Any) -> Outcome:
    base = Outcome(
        rule="versioning-on",
        code="BKT-001",
        subject_table="bucket",
        subject_key=key,
        verdict=Verdict(verdict),
        severity="high",
        because=f"it is {verdict}",
        account="111111111111",
        owner="owner@example.com",
    )
    if verdict == "fail":
        base = replace(base, failed_checks=({"name": "on", "values": {"versioning": "Off"}},))
    return replace(base, **more)


def scan(n: int, **more: Any) -> ScanRecord:
    values: dict[str, Any] = {
        "slot": f"day-{n}",
        "snapshot_id": f"snapshot-{n}",
        "snapshot_dir": f"snapshots/{n}",
        "rule_digest": "r" * 64,
        "config_digest": "c" * 64,
        "outcome_digest": "o" * 64,
        "tally": {"fail": 1},
        "rules": RULES,
    }
    return ScanRecord(**{**values, **more})
