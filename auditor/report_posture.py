"""Posture over time: weeks side by side, how long mending takes, how old the open findings are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from auditor.model import SEVERITIES
from auditor.report_read import Past
from auditor.report_words import day, span

if TYPE_CHECKING:
    import pandas as pd

WEEKS = 12
"""Weeks drawn when there are so few; all that are known up to `POSTURE_WEEKS` otherwise."""
OUTCOMES = ("passed", "failed", "unknown", "waived")
CHAINS = ("proven", "broken", "unknown", "pending")
MARKS = {"passed": "proven", "failed": "broken"}
"""How a series is marked, where it is not by its own name."""
WORDS = {"passed": "pass", "failed": "fail", "pending": "not due"}
AGES = (
    (7, "up to 7 days"),
    (14, "8 to 14 days"),
    (30, "15 to 30 days"),
    (90, "31 to 90 days"),
    (None, "over 90 days"),
)

WIDTH, HEIGHT = 720, 220
"""Size of a chart in its own units."""
_LEFT, _TOP, _FLOOR = 44, 12, 184


@dataclass(frozen=True, slots=True)
class Bar:
    """One part of a stacked bar."""

    mark: str
    words: str
    amount: int
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Stack:
    """One stacked bar; without parts there was no scan."""

    label: str
    x: int
    total: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its table: the drawing never says more than the table."""

    id: str
    title: str
    said: str
    """What it shows, in a sentence."""
    series: tuple[tuple[str, str], ...]
    """Mark and words of each series."""
    stacks: tuple[Stack, ...]
    ticks: tuple[tuple[int, str], ...]
    """Height and label of the lines."""
    rows: tuple[tuple[str, ...], ...]
    """Label and one cell a series."""


@dataclass(frozen=True, slots=True)
class Mending:
    """How long failing findings of one severity stood open before they were resolved."""

    severity: str
    resolved: int
    mean: str
    longest: str
    open: int


@dataclass(frozen=True, slots=True)
class Posture:
    """Part two."""

    charts: tuple[Chart, ...]
    mending: tuple[Mending, ...]
    weeks: int


def posture(past: Past) -> Posture:
    """Put the tallies of the scans into weeks that end as the period ends, and draw them."""
    weeks = _weeks(past)
    if weeks is None:
        return Posture((), _mending(past), 0)
    labels = [day(past.as_of - timedelta(weeks=int(back))) for back in weeks.index]
    chains = _chart("chains", "Export chains by week", CHAINS, weeks, "chain_", labels)
    outcomes = _chart("outcomes", "Verdicts of all rules by week", OUTCOMES, weeks, "", labels)
    return Posture((chains, outcomes, _ages(past)), _mending(past), len(weeks))


def _weeks(past: Past) -> pd.DataFrame | None:
    """Return the last scan of each week, oldest first; a week without a scan has no numbers."""
    import pandas as pd

    if not past.tallies:
        return None
    frame = pd.DataFrame(
        [
            {
                "back": (past.as_of - scan.at) // timedelta(weeks=1),
                **{name: getattr(counts, name) for name in OUTCOMES},
                **{f"chain_{name}": scan.tally.get("chains", {}).get(name, 0) for name in CHAINS},
            }
            for scan, counts in past.tallies
        ]
    )
    weeks = frame.groupby("back").last()
    every = range(max(int(weeks.index.max()), 0), -1, -1)
    return weeks.reindex(every)


def _chart(
    name: str, title: str, series: Sequence[str], weeks: pd.DataFrame, prefix: str, labels: Sequence[str]
) -> Chart:
    import pandas as pd

    columns = [f"{prefix}{each}" for each in series]
    amounts: list[list[int] | None] = [
        None if pd.isna(row[0]) else [int(each) for each in row]
        for row in weeks[columns].itertuples(index=False, name=None)
    ]
    last = amounts[-1]
    said = (
        "No scan in the last week."
        if last is None
        else f"In the week to {labels[-1]}: "
        + ", ".join(f"{n:,} {WORDS.get(each, each)}" for each, n in zip(series, last, strict=True))
        + "."
    )
    return _drawn(name, title, said, series, labels, amounts)


def _drawn(
    name: str,
    title: str,
    said: str,
    series: Sequence[str],
    labels: Sequence[str],
    amounts: Sequence[Sequence[int] | None],
) -> Chart:
    top = _round_up(max((sum(each) for each in amounts if each), default=1) or 1)
    room = WIDTH - _LEFT - 8
    step = room // max(1, len(labels))
    wide = max(6, min(48, step * 2 // 3))
    stacks: list[Stack] = []
    for at, (label, parts) in enumerate(zip(labels, amounts, strict=True)):
        x = _LEFT + at * step + (step - wide) // 2
        bars: list[Bar] = []
        floor, below = _FLOOR, 0
        for each, amount in zip(series, parts or (), strict=False):
            below += amount
            y = _FLOOR - below * (_FLOOR - _TOP) // top
            if amount:
                bars.append(
                    Bar(MARKS.get(each, each), WORDS.get(each, each), amount, x, y, wide, max(1, floor - y))
                )
            floor = y
        stacks.append(Stack(label, x + wide // 2, sum(parts or ()), tuple(bars)))
    return Chart(
        id=name,
        title=title,
        said=said,
        series=tuple((MARKS.get(each, each), WORDS.get(each, each)) for each in series),
        stacks=tuple(stacks),
        ticks=tuple((_FLOOR - (_FLOOR - _TOP) * part // 2, f"{top * part // 2:,}") for part in (0, 1, 2)),
        rows=tuple(
            (label, *(f"{each:,}" for each in parts))
            if parts is not None
            else (label, *("no scan",) * len(series))
            for label, parts in zip(labels, amounts, strict=True)
        ),
    )


def _round_up(amount: int) -> int:
    """Return the next number with one or two leading digits, even, so that its half is whole."""
    unit = int(10 ** max(0, len(str(amount)) - 2))
    return max(2, -(-amount // (2 * unit)) * 2 * unit)


def _ages(past: Past) -> Chart:
    """Draw how long the open findings have been open."""
    import pandas as pd

    bins = [-1, *(days for days, _ in AGES if days is not None), 10**6]
    frame = pd.DataFrame(
        [{"age": (past.as_of - row.opened_at).days, "is": _is(row)} for row in past.findings],
        columns=["age", "is"],
    )
    kinds = ("failed", "unknown", "waived")
    words = [label for _, label in AGES]
    aged = pd.cut(frame["age"].astype("int64"), bins=bins, labels=words)
    table = pd.crosstab(aged, frame["is"]).reindex(index=words, columns=list(kinds), fill_value=0)
    amounts = [[int(each) for each in row] for row in table.itertuples(index=False, name=None)]
    old = sum(amounts[3]) + sum(amounts[4])
    said = f"{sum(map(sum, amounts)):,} findings are open, {old:,} of them for more than 30 days."
    return _drawn("ages", "Age of open findings", said, kinds, words, amounts)


def _is(row: Any) -> str:
    if row.waiver is not None:
        return "waived"
    return "failed" if row.verdict == "fail" else "unknown"


def _mending(past: Past) -> tuple[Mending, ...]:
    """Return for each severity how long what failed stood open, by what was resolved in the weeks drawn."""
    import pandas as pd

    frame = pd.DataFrame(
        [
            {"severity": row.severity, "stood": int((row.closed_at - row.opened_at).total_seconds())}
            for row in past.ended
            if row.ended == "resolved" and row.closed_at is not None and row.last_fail_at is not None
        ],
        columns=["severity", "stood"],
    )
    by = frame.groupby("severity")["stood"].agg(["count", "sum", "max"]).to_dict("index")
    found: list[Mending] = []
    for severity in SEVERITIES:
        open_now = sum(
            r.severity == severity and r.verdict == "fail" and r.waiver is None for r in past.findings
        )
        if stood := by.get(severity):
            amount, total, longest = (int(stood[each]) for each in ("count", "sum", "max"))
            found.append(Mending(severity, amount, span(total // amount), span(longest), open_now))
        elif open_now:
            found.append(Mending(severity, 0, "–", "–", open_now))
    return tuple(found)
