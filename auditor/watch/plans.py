"""What came, went or changed of a backup plan that stands: its rules by what they do, its selections by what they take.

The reasoning is that of the rule on weakened plans: `auditor.plans.compare`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from auditor.plans.compare import SELECTING, Bucket, Does, decoded, lacks, missed, same
from auditor.watch.told import TORN, UNREADABLE, Told, only, some, weighed
from auditor.watch.values import Fields

Rules = Mapping[str, Fields]
"""Rules of one plan, or its selections, by key."""


def does(fields: Fields) -> Does:
    """Read the columns of a rule as they are remembered."""
    return Does.of({name: one.value for name, one in fields.items()})


def moved(gone: Rules, come: Rules) -> set[str]:
    """Return the rules that have another name and do the same."""
    found: set[str] = set()
    left = dict(come)
    for key, was in gone.items():
        values = _values(was)
        twin = next((other for other, has in left.items() if _values(has) == values), None)
        if twin is not None and None not in values.values():
            found |= {key, twin}
            del left[twin]
    return found


def _values(fields: Fields) -> dict[str, str | None]:
    return {name: one.value for name, one in fields.items()}


def rule_gone(was: Fields, now: Iterable[Fields]) -> Told:
    """Tell of a rule that is gone: weaker, unless another does all that it did."""
    answers = _answers(was, now)
    if [] in answers:
        return Told(says="is gone; another rule does all that it did")
    if None in answers:
        return Told(says="is gone; undecided: whether another rule does all that it did is not known")
    return Told("worse", "is gone, and no other rule does all that it did")


def rule_new(has: Fields, then: Iterable[Fields]) -> Told:
    """Tell of a rule that came: stronger, unless another did all that it does."""
    answers = _answers(has, then)
    if [] in answers:
        return Told(says="is new; another rule did all that it does")
    if None in answers:
        return Told(says="is new; undecided: whether another rule did all that it does is not known")
    return Told("better", "is new, and no other rule did all that it does")


def _answers(asked: Fields, others: Iterable[Fields]) -> list[list[str] | None]:
    """Return what each of some rules lacks of one; None where that cannot be told, or a rule cannot be read."""
    try:
        return [lacks(does(each), does(asked)) for each in others]
    except TORN:
        return [None]


def selections(old: Rules, new: Rules, buckets: Sequence[Bucket]) -> Told | None:
    """Tell of what the selections of a plan take together; None when they take the same."""
    try:
        then, now = ([_taken(fields) for fields in side.values()] for side in (old, new))
        if same(then, now):
            return None
        lost, unsure = missed(then, now, buckets)
        gained, also = missed(now, then, buckets)
    except TORN:
        return UNREADABLE
    if not (lost or unsure or gained or also):
        return None
    return weighed(
        [f"no longer takes {some(lost)}"] if lost else [],
        [f"now takes {some(gained)}"] if gained else [],
        list(dict.fromkeys([*unsure[:1], *also[:1]])),
        sides=(only(then, now), only(now, then)),
    )


def _taken(fields: Fields) -> dict[str, Any]:
    return {name: decoded(fields[name].value) if name in fields else None for name in SELECTING}
