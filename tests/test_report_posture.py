"""Posture over time: each week's last scan, the age of what is open, how long mending took."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

from auditor.report_posture import AGES, posture
from auditor.report_read import Past

NOW = datetime(2026, 3, 23, 6, tzinfo=UTC)


def scan(days_ago: float, failed: int) -> tuple[Any, Any]:
    at = NOW - timedelta(days=days_ago)
    counts = SimpleNamespace(passed=1, failed=failed, unknown=0, waived=0)
    return SimpleNamespace(at=at, tally={"chains": {"proven": failed}}), counts


def finding(days: float, **more: Any) -> Any:
    known = {"severity": "high", "verdict": "fail", "waiver": None, "opened_at": NOW - timedelta(days=days)}
    return SimpleNamespace(**known | more)


def mended(seconds: int, **more: Any) -> Any:
    closed = NOW - timedelta(days=1)
    opened = closed - timedelta(seconds=seconds)
    known = {"severity": "high", "ended": "resolved", "last_fail_at": opened, "closed_at": closed}
    return SimpleNamespace(**known | {"opened_at": opened} | more)


def past(*, tallies: Any = (), findings: Any = (), ended: Any = ()) -> Past:
    return cast("Past", SimpleNamespace(as_of=NOW, tallies=tallies, findings=findings, ended=ended))


def test_a_week_shows_its_last_scan_and_a_week_without_one_shows_none() -> None:
    told = posture(past(tallies=[scan(22, 9), scan(21, 8), scan(6, 3), scan(0, 2)]))
    chart = next(each for each in told.charts if each.id == "outcomes")
    assert told.weeks == 4
    assert [row[2] for row in chart.rows] == ["8", "no scan", "no scan", "2"]
    assert chart.rows[1][1:] == ("no scan",) * 4
    assert chart.said.startswith("In the week to")
    assert posture(past(tallies=[scan(8, 1)])).charts[0].said == "No scan in the last week."
    assert posture(past()).charts == ()


def test_an_age_is_counted_up_to_its_limit_and_one_from_the_future_not_at_all() -> None:
    days = (-2, 0, 7, 8, 14, 15, 30, 31, 90, 91, 4000)
    told = posture(past(tallies=[scan(0, 1)], findings=[finding(each) for each in days]))
    ages = told.charts[-1]
    assert [row[:2] for row in ages.rows] == [(label, "2") for _, label in AGES]
    assert ages.said == "10 findings are open, 4 of them for more than 30 days."


def test_waived_and_unknown_findings_are_aged_apart_from_the_failed() -> None:
    found = [finding(1), finding(1, verdict="unknown"), finding(1, waiver="w-1"), finding(40, waiver="w-2")]
    ages = posture(past(tallies=[scan(0, 1)], findings=found)).charts[-1]
    assert ages.rows[0][1:] == ("1", "1", "1")
    assert ages.rows[3][1:] == ("0", "0", "1")
    assert posture(past(tallies=[scan(0, 1)])).charts[-1].said.startswith("0 findings are open")


def test_mending_is_of_what_failed_and_was_resolved() -> None:
    ended = [mended(3600), mended(7201), mended(9, ended="vanished"), mended(9, last_fail_at=None)]
    (high,) = posture(past(ended=ended)).mending
    alone = posture(past(ended=[mended(5400)])).mending[0]
    assert (high.resolved, high.open) == (2, 0)
    assert high.mean == alone.mean
    (only_open,) = posture(past(findings=[finding(1), finding(1, waiver="w")])).mending
    assert (only_open.resolved, only_open.mean, only_open.open) == (0, "–", 1)
