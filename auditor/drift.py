"""Two scans compared: what appeared, resolved, regressed, changed or vanished. Pure.

Not seeing never moves anything towards good: a finding whose subject could not be seen stays open
as unknown, and a setting that was not read this time has not changed.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any

from auditor.baselines import Approval, told
from auditor.model import SEVERITIES, Drift, Gap, Outcome, Seen, Verdict
from auditor.rulechanges import Changed, RuleChange
from auditor.schema import tables
from auditor.spool import CHANGES, ordered, uncollected
from auditor.watch.values import Watched

if TYPE_CHECKING:
    from auditor.schema import Table

REGRESSION = timedelta(days=30)
"""A failure that returns this soon after it was resolved has regressed."""
BROKEN_ANY = "*"
"""In `Present.broken`: a rule file could not be read, so any rule may be missing for that."""

QUIET = frozenset({"reworded", "unseen"})
"""Steps of a finding that are no drift."""

_RANK = {Verdict.FAIL: 3, Verdict.UNKNOWN: 2, Verdict.PASS: 1, Verdict.NOT_APPLICABLE: 0}
_OPEN = (Verdict.FAIL, Verdict.UNKNOWN)
_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Standing:
    """A finding that is open: its outcome as last judged, and its history in two times."""

    outcome: Outcome
    opened_at: datetime
    last_fail_at: datetime | None
    """When it last failed since it opened; None: it has only ever been unknown."""

    @property
    def finding_id(self) -> str:
        return finding_id(self.outcome.rule, self.outcome.subject_table, self.outcome.subject_key)


@dataclass(frozen=True, slots=True)
class Past:
    """What the ledger remembers of the scan before."""

    findings: Collection[Standing] = ()
    watch: tuple[Watched, ...] = ()
    listed: frozenset[tuple[str, str, str]] = frozenset()
    """(table, account, region) an earlier scan listed to the end: only there can a row be new."""
    resolved: Mapping[str, datetime] = field(default_factory=dict)
    """When a failing finding was last resolved, by finding id, for those of the last 30 days."""
    previous_at: datetime | None = None
    approved: Collection[Approval] = ()
    """What of the watched settings is approved."""
    unnamed: tuple[Drift, ...] = ()
    following: tuple[Drift, ...] = ()
    """Changes told lately, without who made them, whose event may still come; and the open findings told with these."""


@dataclass(frozen=True, slots=True)
class Present:
    """What this scan saw and judged."""

    outcomes: Iterable[Outcome] = ()
    watch: Iterable[Watched] = ()
    coverage: Sequence[Seen | Gap] = ()
    changes: Iterable[Mapping[str, Any]] = ()
    """Rows of `aws_change`."""
    buckets: Iterable[Mapping[str, Any]] = ()
    """ARN, account, region and tags of each bucket: what a selection takes."""
    settles: timedelta = timedelta(0)
    """How late events of the trail may come."""
    audited: Iterable[Mapping[str, Any]] = ()
    audited_settles: timedelta = timedelta(0)
    """Rows of `gcp_audit_entry`, and how late these may come."""
    judged: Collection[str] | None = None
    """Ids of the rules that were judged; None: those that gave an outcome or have a finding."""
    broken: Collection[str] = ()
    """Ids of the rules that did not load."""
    rules: Mapping[str, RuleChange] = field(default_factory=dict)
    """What changed of the rules themselves, by id."""


@dataclass(frozen=True, slots=True)
class Move:
    """One step in the life of one finding."""

    kind: str
    """A kind of `Drift`; `reworded`: the same verdict in other words; `unseen`: out of sight, and unknown already."""
    before: Standing | None
    after: Outcome | None
    """None only when it vanished or is out of sight."""
    because: str
    unjudged: bool = False
    """It stays open though nothing was said of it: out of sight."""

    @property
    def finding_id(self) -> str:
        outcome = self.after or (self.before.outcome if self.before else None)
        assert outcome is not None
        return finding_id(outcome.rule, outcome.subject_table, outcome.subject_key)


@lru_cache(maxsize=16_384)
def finding_id(rule: str, subject_table: str, subject_key: str) -> str:
    """Return the id of a finding: it outlives wording, scans and versions of the rule."""
    return _digest([rule, subject_table, subject_key])


@uncollected()
def compare(past: Past, present: Present, *, now: datetime) -> Collection[Drift]:
    """Return what changed between the scan before and this one, in a fixed order."""
    from auditor.watch.authors import behind, is_late
    from auditor.watch.compare import attribute_drift  # who only reads the ledger needs no policies
    from auditor.watch.late import followed

    after = list(present.watch)
    settings = attribute_drift(
        past.watch,
        after,
        listed=past.listed,
        coverage=present.coverage,
        changes=present.changes,
        previous_at=past.previous_at,
        now=now,
        buckets=present.buckets,
        settles=present.settles,
        audited=present.audited,
        audited_settles=present.audited_settles,
        unnamed=past.unnamed,
    )
    later = [one for one in settings if is_late(one)]
    ours = [one for one in settings if not is_late(one)]
    authors = behind(ours)
    moved: set[tuple[str, str]] = set()
    rules = Changed(present.rules)

    def findings() -> Iterator[Drift]:
        for move in moves(past, present, now=now):
            if move.kind not in QUIET:
                found = rules.marked(_drift_of(move, past.previous_at, now, authors))
                if past.following:
                    moved.add((found.rule or "", found.subject_key))
                yield found
        yield from followed(later, past.unnamed, past.following, moved)  # of those that did not move

    return ordered(
        chain(told(ours, past.watch, after, past.approved), later, findings(), rules.rows(now)),
        key=lambda d: (d.subject_table, d.subject_key, d.rule or "", d.field or "", d.kind),
        held=CHANGES,
    )


def moves(past: Past, present: Present, *, now: datetime) -> Iterator[Move]:
    """Yield every step a finding takes, sorted by rule and subject; one that stands as it stood yields nothing.

    Past and present are merged in that order, so that neither is ever held whole.
    """
    scopes: dict[str, list[Outcome]] = {}
    rules = set(present.judged or ())

    def told() -> Iterator[Outcome]:
        for outcome in present.outcomes:
            if present.judged is None:
                rules.add(outcome.rule)
            if outcome.verdict is Verdict.UNKNOWN and outcome.subject_key.startswith("*"):
                scopes.setdefault(outcome.rule, []).append(outcome)
            yield outcome

    def stood() -> Iterator[Standing]:
        for standing in past.findings:
            if present.judged is None:
                rules.add(standing.outcome.rule)
            yield standing

    outcomes = ordered(told(), key=_key, held=CHANGES)
    standings = ordered(stood(), key=lambda standing: _key(standing.outcome), held=CHANGES)
    hidden = _Hidden(scopes, present.coverage, rules, present.broken)
    both: Iterator[tuple[_Key, Standing | None, Outcome | None]] = heapq.merge(
        ((_key(one.outcome), one, None) for one in standings),
        ((_key(one), None, one) for one in outcomes),
        key=lambda each: each[0],
    )
    for _, some in groupby(both, key=lambda each: each[0]):
        before, after = _one(some)
        if before is None and after is not None and after.verdict in _OPEN:
            yield _opened(after, past.resolved, now)
        elif before is not None:
            move = _gone(before, hidden) if after is None else _judged(before, after, past, now)
            if move is not None:
                yield move


def _one(
    some: Iterable[tuple[_Key, Standing | None, Outcome | None]],
) -> tuple[Standing | None, Outcome | None]:
    """Return what stood of one finding, and the worst that is said of it now."""
    before: Standing | None = None
    after: Outcome | None = None
    for _, standing, outcome in some:
        before = standing or before
        if outcome is not None and (after is None or _RANK[outcome.verdict] > _RANK[after.verdict]):
            after = outcome
    return before, after


def _opened(after: Outcome, resolved: Mapping[str, datetime], now: datetime) -> Move:
    kind = "regressed" if _returned(after, resolved, now) else "appeared"
    return Move(kind, None, after, after.because)


def _returned(after: Outcome, resolved: Mapping[str, datetime], now: datetime) -> bool:
    """Say whether a failure came back; unknown never re-opens anything."""
    at = resolved.get(finding_id(*_key(after)))
    return after.verdict is Verdict.FAIL and at is not None and now - at <= REGRESSION


def _judged(before: Standing, after: Outcome, past: Past, now: datetime) -> Move | None:
    old = before.outcome
    if after.verdict not in _OPEN:
        words = after.because or after.reason or after.verdict.value
        return Move("resolved", before, after, words)
    if old.verdict != after.verdict and before.last_fail_at is None:
        kind = "regressed" if _returned(after, past.resolved, now) else "changed"
        return Move(kind, before, after, after.because)
    if material(old) != material(after):
        return Move("changed", before, after, after.because)
    if old != after:
        return Move("reworded", before, after, after.because)
    return None


def _gone(before: Standing, hidden: _Hidden) -> Move:
    """Judge a finding without an outcome: unseen keeps it open, seen to be absent ends it."""
    old = before.outcome
    if (why := hidden.why(old)) is not None:
        because = f"not seen in this scan: {why}"
        unseen = replace(
            old,
            verdict=Verdict.UNKNOWN,
            reason="not_seen",
            because=because,
            failed_checks=(),
            unknown_checks=(),
            gaps=(why,),
        )
        if old.verdict is Verdict.UNKNOWN:
            return Move("unseen", before, None, because, unjudged=True)
        return Move("changed", before, unseen, because, unjudged=True)
    if old.subject_key.startswith("*"):
        seen = replace(old, verdict=Verdict.PASS, because="it can be seen again", gaps=())
        return Move("resolved", before, seen, seen.because)
    if old.rule not in hidden.rules:
        return Move("vanished", before, None, f"rule {old.rule} is no longer in the rule set")
    return Move("vanished", before, None, f"{old.subject_key} is no longer among what was completely read")


class _Hidden:
    """Whether a subject without an outcome may only be out of sight."""

    def __init__(
        self,
        scopes: Mapping[str, Sequence[Outcome]],
        coverage: Sequence[Seen | Gap],
        rules: Collection[str],
        broken: Collection[str],
    ) -> None:
        self.rules = rules
        self._scopes = scopes
        self._gaps = [one for one in coverage if isinstance(one, Gap)]
        self._broken = broken
        self._tables: dict[str, list[Table]] = {}
        for table in tables().values():
            for name in {table.name, table.entity} - {""}:
                self._tables.setdefault(name, []).append(table)

    def why(self, old: Outcome) -> str | None:
        """Return why the subject may have been out of sight, or None when it was not."""
        if old.rule in self._broken:
            return f"rule {old.rule} did not load"
        if old.rule not in self.rules:
            return "a rule file did not load" if BROKEN_ANY in self._broken else None
        if old.subject_key.startswith("*"):
            return None
        for scope in self._scopes.get(old.rule, ()):
            account = scope.subject_key[1:].lstrip(":").split("/")[0]
            if _may_hold(account, old):
                return scope.because or "; ".join(scope.gaps) or scope.subject_key
        for gap in self._gaps:
            if self._lists(gap.table, old) and _may_hold(gap.account, old):
                return f"{gap.table} in {gap.account}/{gap.region}: {gap.detail or gap.reason}"
        return None

    def _lists(self, source: str, old: Outcome) -> bool:
        for table in self._tables.get(old.subject_table, ()):
            if source == table.name or source in {name for name, _ in table.listed_by}:
                return True
        return False


def _may_hold(account: str, old: Outcome) -> bool:
    """Say whether a subject could live in an account or project; when in doubt, it could."""
    if account in {"", "*"}:
        return True
    home = old.account if account.isdigit() else old.project
    return home is None or home == account


def material(outcome: Outcome) -> tuple[object, ...]:
    """Return what makes a finding another one to its reader: not its words, not its numbers."""
    names = _names(outcome.failed_checks), _names(outcome.unknown_checks)
    return (outcome.verdict, outcome.severity, *names)


def _names(checks: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(sorted(str(check.get("name", "")) for check in checks))


def _key(outcome: Outcome) -> _Key:
    return outcome.rule, outcome.subject_table, outcome.subject_key


def _drift_of(move: Move, previous_at: datetime | None, now: datetime, authors: Mapping[str, Drift]) -> Drift:
    from auditor.watch.authors import with_change
    from auditor.watch.gcp import role_of

    old = move.before.outcome if move.before else None
    some = move.after or old
    assert some is not None
    field_, before, after, direction = _difference(move)
    author = authors.get(some.subject_key) or authors.get(role_of(some.subject_table, some.subject_key))
    since = previous_at.isoformat() if previous_at else "the first scan"
    return Drift(
        drift_id=_digest([move.kind, *_key(some), field_, before, after, now.isoformat()]),
        kind=move.kind,
        rule=some.rule,
        subject_table=some.subject_table,
        subject_key=some.subject_key,
        field=field_,
        before=before,
        after=after,
        direction=direction,
        changed_at=author.changed_at if author else None,
        detected_at=now,
        actor=author.actor if author else None,
        actor_reason=f"{with_change(author.kind, author.field)}: {author.actor_reason}"
        if author
        else f"not found, because no change of a watched setting of it has a known author since {since}",
        severity=some.severity,
        because=move.because,
    )


def _difference(move: Move) -> tuple[str | None, str | None, str | None, str]:
    """Return field, before, after and direction of a move."""
    if move.before is None:
        assert move.after is not None
        return None, None, move.after.verdict.value, "worse"
    old, new = move.before.outcome, move.after
    if new is None:
        return None, old.verdict.value, None, "neutral"
    if new.verdict not in _OPEN:
        direction = "better" if new.verdict is Verdict.PASS else "neutral"
        return None, old.verdict.value, new.verdict.value, direction
    if old.verdict != new.verdict:
        first = new.verdict is Verdict.FAIL and move.before.last_fail_at is None
        return "verdict", old.verdict.value, new.verdict.value, "worse" if first else "neutral"
    if old.severity != new.severity:
        worse = _severity(new.severity) < _severity(old.severity)
        return "severity", old.severity, new.severity, "worse" if worse else "better"
    name = "failed_checks" if new.verdict is Verdict.FAIL else "unknown_checks"
    had, has = set(_names(getattr(old, name))), set(_names(getattr(new, name)))
    direction = "worse" if has > had else "better" if has < had else "neutral"
    return name, _text(sorted(had)), _text(sorted(has)), direction


def _severity(word: str) -> int:
    return SEVERITIES.index(word) if word in SEVERITIES else len(SEVERITIES)


_text = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def _digest(parts: Sequence[str | None]) -> str:
    """Hash parts as canonical JSON; a lone surrogate counts as its escape."""
    return hashlib.sha256(_text(parts).encode("utf-8", "backslashreplace")).hexdigest()
