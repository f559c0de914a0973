"""What is said of many calls in the same words: those of one principal between two moments at which it may change.

The first of them is judged (`trigger.py`), and those like it are told the same but for their own time and entries.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auditor.correlate.links.directory import Directory, Known, registered
from auditor.correlate.links.evidence import Row, words
from auditor.correlate.links.judgement import Judgement, Refs
from auditor.model import State, Strength


@dataclass(frozen=True, slots=True)
class Pattern:
    """What is said of every call of one kind."""

    state: State
    strength: Strength
    parts: tuple[str, ...]
    """The reason, cut where it names the time."""
    refs: Refs

    def of(self, at: datetime, refs: Refs) -> Judgement:
        parts = self.parts
        because = parts[0] if len(parts) == 1 else f"{parts[0]}{words(at)}{parts[1]}"
        return Judgement(self.state, because, self.strength, None, (*refs, *self.refs))


class Alike:
    """Patterns of the calls that were judged so far."""

    def __init__(self, known: Known, directory: Directory) -> None:
        self._known = known
        self._directory = directory
        self._patterns: dict[tuple[Any, ...], Pattern | None] = {}
        self._turns: dict[str, list[datetime]] = {}
        limits = (*known.tables["config_duty"], *known.tables["config_automation"])
        self._by_id = any((row["job_id"] or "*") != "*" for row in limits)
        """Something is for some job ids alone."""

    def judged(
        self,
        principal: str,
        at: datetime,
        refs: Refs,
        job: Row,
        kind: tuple[Any, ...],
        judge: Callable[[], Judgement],
    ) -> Judgement:
        """Return the judgement on a call that a principal made itself, and that no key signed.

        `kind` is all that it is judged by beside the principal, the time and the job's project, region and id.
        """
        turns = self.turns(principal)
        place = bisect_left(turns, at)
        if place < len(turns) and turns[place] == at:
            return judge()
        name = job["job_id"]
        asked = (principal, place, job["project"], job["region"], name if self._by_id else None, kind)
        if asked not in self._patterns:
            found = judge()
            self._patterns[asked] = pattern(found, at, refs, name or "")
            return found
        known = self._patterns[asked]
        return judge() if known is None else known.of(at, refs)

    def turns(self, principal: str) -> list[datetime]:
        """Return every time at which what is said of a principal's calls may change, in order."""
        turns = self._turns.get(principal)
        if turns is None:
            turns = self._turns[principal] = sorted(set(self._moments(principal)))
        return turns

    def _moments(self, principal: str) -> Iterator[datetime]:
        """Yield every time that a call's time is compared with, of the principal or of whoever owns it."""
        yield self._known.now
        directory = self._directory
        people = directory.called(principal)
        owners = {row["owner"] for row in (*registered(self._known, principal), *people) if row["owner"]}
        for person in (*people, *(row for owner in owners for row in directory.called(owner))):
            yield from directory.turns(person)


def pattern(found: Judgement, at: datetime, refs: Refs, job_id: str) -> Pattern | None:
    """Return what a judgement says of all calls like it; None when it may rest on more of this one."""
    parts = tuple(found.because.split(words(at)))
    good = found.state == State.PROVEN and len(parts) == 2
    bad = found.state == State.BROKEN and len(parts) == 1 and job_id not in found.because
    if not (good or bad) or found.refs[: len(refs)] != refs or found.gaps or found.due_at is not None:
        return None
    return Pattern(found.state, found.strength, parts, found.refs[len(refs) :])
