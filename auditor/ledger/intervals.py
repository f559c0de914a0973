"""Moves of findings become intervals: one ends, the next begins, or only the words change."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any

from auditor.drift import Move, Standing
from auditor.ledger import standing
from auditor.ledger.queries import WORDS
from auditor.ledger.recorded import RuleNote
from auditor.ledger.values import canonical, encoded, optional, profiled, safe, stamp
from auditor.model import Outcome, Ref, Verdict

_COLUMNS = (
    "finding_id, since_scan, rule, code, subject_table, subject_key, verdict, severity, owner, zone, account, "
    f"project, {WORDS}, controls, remedy, opened_at, last_fail_at, seen_before"
)
_BEGIN = f"INSERT INTO finding ({_COLUMNS}) VALUES ({', '.join('?' * len(_COLUMNS.split(', ')))})"
_END = (
    "UPDATE finding SET until_scan = ?, closed_at = ?, ended = ?, ended_because = ? "
    "WHERE finding_id = ? AND until_scan IS NULL"
)


class Intervals:
    """Moves of findings, written as intervals of one scan."""

    def __init__(
        self,
        conn: sqlite3.Connection,
        n: int,
        at: datetime,
        previous_at: datetime | None,
        rules: Mapping[str, RuleNote],
    ) -> None:
        self._conn = conn
        self._n = n
        self._at = stamp(at)
        self._previous_at = None if previous_at is None else stamp(previous_at)
        self._rules = rules
        self._notes: dict[str, tuple[str, str]] = {}

    def apply(self, move: Move) -> None:
        """Write one step of one finding."""
        before, after, finding_id = move.before, move.after, move.finding_id
        if move.unjudged:
            standing.note_unjudged(self._conn, finding_id)
        if move.kind == "unseen":
            return
        if move.kind == "reworded" and before is not None and after is not None:
            if _home(before.outcome) == _home(after):
                self._reword(finding_id, after)
                return
        elif move.kind in {"resolved", "vanished"}:
            self._end(finding_id, move.because, move.kind, self._at)
            return
        if before is not None:
            self._end(finding_id, move.because, "changed", None)
        if after is not None:
            self._begin(finding_id, move.kind, before, after)

    def _reword(self, finding_id: str, outcome: Outcome) -> None:
        self._conn.execute(
            "INSERT OR REPLACE INTO wording VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (finding_id, *_words(outcome)),
        )

    def _end(self, finding_id: str, because: str, ended: str, closed_at: str | None) -> None:
        self._conn.execute(_END, (self._n, closed_at, ended, safe(because), finding_id))
        self._conn.execute("DELETE FROM wording WHERE finding_id = ?", (finding_id,))

    def _begin(self, finding_id: str, kind: str, before: Standing | None, outcome: Outcome) -> None:
        failed_at = stamp(before.last_fail_at) if before and before.last_fail_at else None
        if outcome.verdict is Verdict.FAIL:
            failed_at = self._at
        elif before is not None and before.outcome.verdict is Verdict.FAIL:
            failed_at = self._previous_at
        values = (
            finding_id,
            self._n,
            safe(outcome.rule),
            safe(outcome.code),
            safe(outcome.subject_table),
            safe(outcome.subject_key),
            outcome.verdict.value,
            safe(outcome.severity),
            optional(outcome.owner),
            optional(outcome.zone),
            optional(outcome.account),
            optional(outcome.project),
            *_words(outcome),
            *self._noted(outcome.rule),
            stamp(before.opened_at) if before else self._at,
            failed_at,
            int(kind == "regressed" or (before is not None and self._was_seen_before(finding_id))),
        )
        self._conn.execute(_BEGIN, values)

    def _noted(self, rule: str) -> tuple[str, str]:
        """Return controls and remedy of a rule as they are stored."""
        if rule not in self._notes:
            note = self._rules.get(rule, RuleNote())
            self._notes[rule] = canonical(sorted(note.controls)), safe(note.remedy)
        return self._notes[rule]

    def _was_seen_before(self, finding_id: str) -> bool:
        row = self._conn.execute(
            "SELECT seen_before FROM finding WHERE finding_id = ? ORDER BY since_scan DESC LIMIT 1",
            (finding_id,),
        ).fetchone()
        return bool(row and row[0])


def _home(outcome: Outcome) -> tuple[str | None, ...]:
    return outcome.code, outcome.owner, outcome.zone, outcome.account, outcome.project


def _words(outcome: Outcome) -> tuple[str, ...]:
    """Return the words of a plain outcome, as they are stored."""
    return (
        outcome.because,
        outcome.reason,
        encoded(outcome.params) if outcome.params else "{}",
        *(encoded(each) if each else "[]" for each in _lists(outcome)),
        encoded([(ref.table, ref.key) for ref in outcome.refs]) if outcome.refs else "[]",
    )


def _lists(outcome: Outcome) -> tuple[Any, ...]:
    return outcome.failed_checks, outcome.unknown_checks, outcome.gaps


_TEXTS = attrgetter("rule", "code", "subject_table", "subject_key", "severity", "because", "reason")
_MAYBE = attrgetter("owner", "zone", "account", "project")


def plain(outcome: Outcome) -> Outcome:
    """Return an outcome as the ledger will read it back, so that equal ones compare equal."""
    if outcome.verdict not in {Verdict.FAIL, Verdict.UNKNOWN}:
        return outcome
    rule, code, table, key, severity, because, reason = map(safe, _TEXTS(outcome))
    owner, zone, account, project = map(optional, _MAYBE(outcome))
    failed, unknown, gaps = (tuple(profiled(each)) if each else () for each in _lists(outcome))
    return Outcome(
        rule=rule,
        code=code,
        subject_table=table,
        subject_key=key,
        verdict=outcome.verdict,
        severity=severity,
        because=because,
        reason=reason,
        zone=zone,
        account=account,
        project=project,
        owner=owner,
        params=profiled(outcome.params) if outcome.params else {},
        failed_checks=failed,
        unknown_checks=unknown,
        gaps=gaps,
        refs=tuple([Ref(safe(ref.table), safe(ref.key)) for ref in outcome.refs]),
    )
