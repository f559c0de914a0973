"""Part one on one screen: four numbers twice, what is worst and new, what is due next, what was not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditor.model import State
from auditor.report_changes import Changes
from auditor.report_controls import Controls, worst
from auditor.report_exports import Exports
from auditor.report_health import Health
from auditor.report_read import Past
from auditor.report_words import change, counted, day, span, when

if TYPE_CHECKING:
    from auditor.rulepack import Pack

NEWEST = 3
"""New findings, and deadlines, on the first screen."""


@dataclass(frozen=True, slots=True)
class Number:
    """One number with how it moved."""

    mark: str
    words: str
    amount: int
    moved: str


@dataclass(frozen=True, slots=True)
class News:
    """One finding that is new in the period."""

    code: str
    severity: str
    mark: str
    verdict: str
    title: str
    subject: str
    because: str
    since: str
    owner: str
    again: bool
    """It was resolved before and has come back."""
    others: int
    """New findings of the same rule beside it."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """Something that is due or ends soon."""

    at: str
    left: str
    what: str
    which: str


@dataclass(frozen=True, slots=True)
class Summary:
    """Part one."""

    mark: str
    headline: str
    chains: tuple[Number, ...]
    controls: tuple[Number, ...]
    controls_total: int
    ended: str
    """How the exports that ended in the period stand."""
    news: tuple[News, ...]
    news_total: int
    resolved: int
    deadlines: tuple[Deadline, ...]
    coverage: str


def summary(
    past: Past, found: Exports, seen: Controls, moved: Changes, condition: Health, pack: Pack
) -> Summary:
    """Gather part one from the others."""
    mark, headline = _headline(past, found)
    fresh = sorted((row for row in past.findings if row.opened_at > past.from_at), key=worst)
    return Summary(
        mark=mark,
        headline=headline,
        chains=_chains(past, found),
        controls=tuple(
            Number(mark, words, *seen.numbers[status])
            for status, mark, words in (
                ("evidenced", "proven", "evidenced"),
                ("failing", "broken", "failing"),
                ("unknown", "unknown", "unknown"),
                ("waived", "waived", "waived"),
                ("partly", "partly", "evidenced in part"),
                ("manual", "manual", "for a person"),
            )
            if status in seen.numbers
        ),
        controls_total=seen.controls,
        ended=_ended(found),
        news=_news(past, pack),
        news_total=len(fresh),
        resolved=moved.kinds["resolved"],
        deadlines=tuple(
            Deadline(when(at), span(at - past.as_of), what, which) for at, what, which in moved.soon[:NEWEST]
        ),
        coverage=condition.said,
    )  # fmt: skip


def _headline(past: Past, found: Exports) -> tuple[str, str]:
    if past.last is None or past.last.judgement is None or past.stale:
        return "unknown", "No verdict for this period"
    if found.counts["broken"]:
        return "broken", "Not protected as it must be"
    if found.counts["unknown"] or not found.total:
        return "unknown", "Not everything could be proven"
    if found.counts["pending"]:
        return "proven", "Proven, as far as it is due"
    return "proven", "Proven"


def _chains(past: Past, found: Exports) -> tuple[Number, ...]:
    before = past.before.scan.tally.get("chains") if past.before else None
    words = {
        State.PROVEN: "fully proven",
        State.BROKEN: "broken",
        State.UNKNOWN: "unknown",
        State.PENDING: "not due",
    }
    return tuple(
        Number(
            str(state),
            said,
            found.counts[state],
            change(found.counts[state], before and before.get(state, 0)),
        )
        for state, said in words.items()
    )


def _ended(found: Exports) -> str:
    total = sum(found.ended.values())
    if not total:
        return "No export ended in this period."
    words = {"proven": "proven", "broken": "broken", "unknown": "unknown", "pending": "not due yet",
             "not_required": "not required"}  # fmt: skip
    parts = ", ".join(f"{found.ended[state]:,} {said}" for state, said in words.items() if found.ended[state])
    return f"Of the {counted(total, 'export')} that ended in this period: {parts}."


def _news(past: Past, pack: Pack) -> tuple[News, ...]:
    """Return the worst new findings, each of another rule, with how many more that rule has."""
    titles = {rule.id: rule.title for rule in pack.rules}
    fresh = sorted(
        (row for row in past.findings if row.opened_at > past.from_at and row.waiver is None), key=worst
    )
    by_rule: dict[str, list[int]] = {}
    for at, row in enumerate(fresh):
        by_rule.setdefault(row.rule, []).append(at)
    found: list[News] = []
    for places in list(by_rule.values())[:NEWEST]:
        row = fresh[places[0]]
        found.append(
            News(
                code=row.code,
                severity=row.severity,
                mark="broken" if row.verdict == "fail" else "unknown",
                verdict=row.verdict,
                title=titles.get(row.rule, row.rule),
                subject=row.subject_key,
                because=row.because,
                since=day(row.opened_at),
                owner=row.owner or "nobody is named",
                again=row.seen_before,
                others=len(places) - 1,
            )
        )
    return tuple(found)
