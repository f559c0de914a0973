"""What was kept quiet: silences that were in force in the period, and matters that somebody said they work on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from auditor.report_read import Past
from auditor.report_words import counted, when

if TYPE_CHECKING:
    from auditor.ledger.silences import Acknowledgement, Silence


@dataclass(frozen=True, slots=True)
class MutedRow:
    """One decision to hear nothing of something for a time. It hides nothing from findings, drift and this report."""

    words: str
    """`silenced` or `acknowledged`."""
    what: str
    by: str
    why: str
    since: str
    until: str
    kept: int | None
    """Messages of the period that it kept back; None: it keeps none back, only reminders."""


def muted(past: Past) -> tuple[MutedRow, ...]:
    """Return them as they stood at the period's end, silences first, oldest first."""
    kept = Counter(
        str(held["by"]) for each in past.outbox if (held := each.alert.body.get("data", {}).get("held"))
    )
    silences = [
        _silence(each, past, kept[each.silence_id])
        for each in past.silences
        if each.created_at <= past.as_of and each.end > past.from_at
    ]
    return (*silences, *_acknowledged(past))


def _silence(each: Silence, past: Past, kept: int) -> MutedRow:
    globs = {"rule": each.rule, "resource": each.resource, "zone": each.zone, "owner": each.owner}
    until = when(each.until)
    if each.ended_at is not None and each.ended_at <= past.as_of:
        until = f"{when(each.ended_at)}, ended by {each.ended_by}: {each.ended_reason}"
    what = ", ".join(f"{name} {glob}" for name, glob in globs.items() if glob)
    return MutedRow("silenced", what, each.author, each.reason, when(each.created_at), until, kept)


def _acknowledged(past: Past) -> Iterator[MutedRow]:
    def decision(each: Acknowledgement) -> tuple[object, ...]:
        return each.at, each.author, each.reason

    of = [each for each in past.acknowledgements if past.from_at < each.at <= past.as_of]
    for _, group in groupby(
        sorted(of, key=lambda each: (*decision(each), each.resource, each.dedup_key)), key=decision
    ):
        rows = list(group)
        more = f" and {counted(len(rows) - 1, 'more matter')}" if len(rows) > 1 else ""
        until = "it ends, gets worse or begins anew"
        first = rows[0]
        yield MutedRow(
            "acknowledged", f"{first.resource}{more}", first.author, first.reason, when(first.at), until, None
        )
