"""What a change of one setting comes to, in one value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditor.model import Drift


@dataclass(frozen=True, slots=True)
class Told:
    """What a change means."""

    direction: str = "neutral"
    """`worse`, `better` or `neutral`, which an undecided one is as well: then `says` says so."""
    says: str = ""
    """In words; empty where the values before and after say it all."""
    before: str | None = None
    """What only the old value holds, where less than all of it tells the change; None: all of it."""
    after: str | None = None
    word: str = ""
    """In place of `is weaker`, `is stronger` or `changed`."""
    low: bool = False
    """Nobody of today can make use of it."""


TORN = (ValueError, TypeError, AttributeError, KeyError, RecursionError)
"""What values raise that are not of the form their column has: what is remembered or approved is somebody's text."""
NOT_DECIDED = "may be weaker: not decided because"
"""How a change reads that counts as weaker since nobody can say that it is not."""
UNREADABLE = Told(says="undecided: one of the two cannot be read")


def weighed(
    weaker: Sequence[str],
    stronger: Sequence[str],
    unsure: Sequence[str] = (),
    *,
    sides: tuple[Iterable[Any], Iterable[Any]] | None = None,
) -> Told:
    """Tell what became weaker and stronger; weaker counts, else what cannot be told, else stronger."""
    direction = "worse" if weaker else "neutral" if unsure else "better" if stronger else "neutral"
    said = [*weaker, *stronger, *(f"undecided: {each}" for each in unsure)]
    before, after = (
        (None, None)
        if sides is None
        else tuple(json.dumps(list(side), sort_keys=True, ensure_ascii=False) for side in sides)
    )
    return Told(direction, "; ".join(said), before, after)


_LABEL = re.compile(r"((?:rule .+ of )?plan [\w.-]+(?: \([^)]+\))?): ")
_OF_PLANS = ("backup_plan", "backup_plan_rule")


def labelled(one: Drift) -> tuple[str, str]:
    """Return what a change is of, as people call it, and what it comes to: a plan has a name where its key has an id."""
    words = one.because.removeprefix(f"{one.subject_key}: ")
    found = _LABEL.match(words) if one.rule is None and one.subject_table in _OF_PLANS else None
    return (found[1], words[found.end() :]) if found else (one.subject_key, words)


def not_decided(because: str) -> bool:
    """Say whether a change counts as weaker only since nobody can say that it is not."""
    return NOT_DECIDED in because


def only(ours: Iterable[Any], theirs: Iterable[Any]) -> list[Any]:
    """Return what one list holds that the other does not, by what it says, in order."""
    held = {json.dumps(each, sort_keys=True) for each in theirs}
    return [each for each in ours if json.dumps(each, sort_keys=True) not in held]
