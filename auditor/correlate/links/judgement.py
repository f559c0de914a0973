"""What a link says, and how several things that apply at once become one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from auditor.model import State, Strength

Refs = tuple[tuple[str, str], ...]

_ORDER = (State.BROKEN, State.UNKNOWN, State.PENDING, State.PROVEN, State.NOT_REQUIRED)
_NEVER = datetime.max.replace(tzinfo=UTC)
_STRENGTH = (Strength.NONE, Strength.INFERRED, Strength.STRONG, Strength.EXACT)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The state of one link with its reason in a sentence."""

    state: State
    because: str
    strength: Strength = Strength.NONE
    due_at: datetime | None = None
    refs: Refs = ()
    gaps: tuple[str, ...] = ()

    def named(self, prefix: str) -> Judgement:
        """Return it with words in front, for a link that takes over another's state."""
        return replace(self, because=f"{prefix}: {self.because}")

    def hidden_by(self, gaps: Iterable[str]) -> Judgement:
        """Return it with the gaps that may hide its answer."""
        return replace(self, gaps=tuple(gaps))


def proven(because: str, strength: Strength, refs: Refs, due_at: datetime | None = None) -> Judgement:
    """Return a proven link: the only state that counts as good."""
    return Judgement(State.PROVEN, because, strength, due_at, refs)


def broken(because: str, refs: Refs = (), due_at: datetime | None = None) -> Judgement:
    """Return a broken link."""
    return Judgement(State.BROKEN, because, due_at=due_at, refs=refs)


def unknown(
    because: str, refs: Refs = (), gaps: Iterable[str] = (), due_at: datetime | None = None
) -> Judgement:
    """Return an unknown link, with the gaps that hide the answer."""
    return Judgement(State.UNKNOWN, because, due_at=due_at, refs=refs, gaps=tuple(gaps))


def pending(because: str, due_at: datetime | None, refs: Refs = ()) -> Judgement:
    """Return a link that is not settled or not due yet."""
    return Judgement(State.PENDING, because, due_at=due_at, refs=refs)


def not_required(because: str) -> Judgement:
    """Return a link that a zone parameter, a superseding run or an empty output makes needless."""
    return Judgement(State.NOT_REQUIRED, because)


def weakest(strengths: Iterable[Strength]) -> Strength:
    """Return the weakest of some strengths; none when there are none."""
    return min(strengths, key=_STRENGTH.index, default=Strength.NONE)


def worst(judgements: Iterable[Judgement]) -> Judgement:
    """Return the judgement that decides: broken, then unknown, pending, proven (at its weakest)."""
    every = list(judgements)
    if len(every) == 1:
        return every[0]
    return min(
        every,
        key=lambda j: (
            _ORDER.index(j.state),
            _STRENGTH.index(j.strength),
            j.due_at is None,
            j.due_at or _NEVER,
            j.because,
        ),
    )
