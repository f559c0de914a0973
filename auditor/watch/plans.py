"""What came, went or changed of a backup plan that stands: its rules by what they do, its selections by what they take.

The reasoning is that of the rule on weakened plans: `auditor.plans.compare`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from auditor.plans.compare import SELECTING, Bucket, Does, decoded, lacks, missed, same, some
from auditor.watch.told import TORN, UNREADABLE, Told, only, weighed
from auditor.watch.values import Fields, Row

Rules = Mapping[str, Fields]
"""Rules of one plan, or its selections, by key."""
_NAME = re.compile(r"[\w.-]+")


def labels(*sides: Mapping[Row, Fields]) -> dict[str, str]:
    """Return how a sentence calls each plan, by its id: by its last name, with the id where two have the same."""
    names: dict[str, str] = {}
    for side in sides:
        for (table, key), fields in side.items():
            if table == "backup_plan" and "name" in fields and (name := fields["name"].value):
                names[key.rpartition(":")[2]] = name
    counts = Counter(names.values())
    return {
        plan: f"plan {name} ({plan})" if counts[name] > 1 else f"plan {name}"
        for plan, name in names.items()
        if _NAME.fullmatch(name)
    }


def label(of: Mapping[str, str], table: str, key: str) -> str:
    """Return what a plan or a rule of one is called, as a sentence begins; empty where it has no name that is known."""
    if table == "backup_plan":
        name = of.get(key.rpartition(":")[2])
        return f"{name}: " if name else ""
    plan, _, rule = key.partition("/")
    return f"rule {rule} of {of[plan]}: " if table == "backup_plan_rule" and plan in of else ""


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
