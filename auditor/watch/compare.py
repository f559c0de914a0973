"""Two states of what is watched, compared by meaning: what came, what went, what changed, and who did it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from auditor.model import Drift, Gap, Seen
from auditor.plans.compare import decoded
from auditor.policy import CARRYING
from auditor.watch import gcp, late, people, plans, roles
from auditor.watch.authors import Authors, when
from auditor.watch.meaning import told
from auditor.watch.told import Told
from auditor.watch.values import Fields, Row, Watched, by_table, canonical, lost

Rows = dict[Row, dict[str, Watched]]

_OF_PLANS = ("backup_plan_rule", "backup_selection")
_TOLD_ELSEWHERE = {
    "iam_role": frozenset(CARRYING),
    "iam_policy": frozenset(roles.VERSIONED),
    "backup_plan": frozenset(("version", "name")),
}
"""Columns that are remembered, and told under another name; a plan that is only saved anew or renamed is no drift."""
_GUARDING = frozenset(("backup_plan", "cloudtrail_trail"))
"""Tables whose rows guard something by being there."""


def attribute_drift(
    before: Iterable[Watched],
    after: Iterable[Watched],
    *,
    listed: frozenset[tuple[str, str, str]],
    coverage: Sequence[Seen | Gap],
    changes: Iterable[Mapping[str, Any]],
    previous_at: datetime | None,
    now: datetime,
    buckets: Iterable[Mapping[str, Any]] = (),
    settles: timedelta = timedelta(0),
    audited: Iterable[Mapping[str, Any]] = (),
    audited_settles: timedelta = timedelta(0),
    unnamed: Iterable[Drift] = (),
) -> list[Drift]:
    """Return what changed of the resources themselves, with the author where the trail names one.

    A value that is not known on either side is no change. A resource is new only where an earlier
    scan had listed to the end, and lost only where this one did. `before` may be any state, not only that of the scan
    before: each value carries the time it was last known at, or `previous_at` counts. `buckets` are those there are now, for
    what a selection takes; `settles` is how late events of the trail may come. `audited` are rows of `gcp_audit_entry`, read
    only where something of Google Cloud changed, and `audited_settles` how late these come. `unnamed` are changes that were
    told without who made them: whoever is known by now is told with the others.
    """
    compared = _Compared(_by_row(before), _by_row(after), listed, by_table(coverage), buckets)
    ids = compared.unique_ids()
    authors = Authors(changes, coverage, settles, audited, audited_settles, ids)
    tell = _Telling(authors, previous_at, now, plans.labels(compared.old, compared.new))
    found: list[Drift] = []
    for row in sorted({*compared.old, *compared.new}):
        found += compared.of(row, tell)
    rows = {**compared.old, **compared.new} if unnamed else {}
    return [*found, *(each for one in unnamed if (each := late.named(one, authors, rows, now)))]


def _by_row(values: Iterable[Watched]) -> Rows:
    rows: Rows = {}
    for one in values:
        rows.setdefault((one.table, one.key), {})[one.field] = one
    return rows


class _Compared:
    """Both states, row by row."""

    def __init__(
        self,
        old: Rows,
        new: Rows,
        listed: frozenset[tuple[str, str, str]],
        coverage: Mapping[str, Sequence[Seen | Gap]],
        buckets: Iterable[Mapping[str, Any]],
    ) -> None:
        self.old, self.new = old, new
        self._listed, self._coverage, self._buckets = listed, coverage, buckets
        self._documents = roles.Documents(old, new)
        self._duties = people.duties(old), people.duties(new)
        self._begun = people.begun(old)
        self._access = gcp.Access(old, new, listed)
        self._children: list[dict[tuple[str, str], dict[str, Fields]]] = [_children(old), _children(new)]
        self._standing = frozenset(
            key.rpartition(":")[2] for table, key in old.keys() & new.keys() if table == "backup_plan"
        )
        self._renamed = {
            key
            for plan in sorted(self._standing)
            for key in plans.moved(*(self._part(side, plan) for side in (0, 1)))
        }

    def of(self, row: Row, tell: _Telling) -> Iterator[Drift]:
        """Yield what there is to tell of one row."""
        was, has = self.old.get(row), self.new.get(row)
        if row[0] == "backup_selection" and row[1].partition("/")[0] in self._standing:
            return  # told of its plan
        if was is None and has is not None:
            one = next(iter(has.values()))
            if self._may_be_new(one) and (said := self._came(one, has)):
                yield tell.drift("appeared", one, None, said, "+")
        elif has is None and was is not None:
            one = next(iter(was.values()))
            if lost(one, self._coverage.get(one.table, ())) and (said := self._went(one, was)):
                yield tell.drift("vanished", one, None, said, "-")
        elif was is not None and has is not None:
            yield from self._changed(row, was, has, tell)

    def unique_ids(self) -> dict[str, str]:
        """Return the numeric id of each service account by its e-mail, which audit entries may name it by."""
        return {
            key: fields["unique_id"].value or ""
            for side in (self.old, self.new)
            for (table, key), fields in side.items()
            if table == gcp.ACCOUNT and "unique_id" in fields
        }

    def _may_be_new(self, one: Watched) -> bool:
        if one.table in gcp.TABLES:
            return self._access.may_be_new(one)
        return bool({(one.table, one.account, part) for part in (one.region, "*")} & self._listed)

    def _came(self, one: Watched, has: Fields) -> Told | None:
        """Say what a row comes to that came; None when there is nothing to tell of it."""
        if one.table == people.MAPPING:
            return people.mapping(one.key, come=True)
        if one.table in people.TABLES:
            known = people.MEMBER in self._begun and one.value in self._duties[0]
            return (
                people.member(has, self._email(one), come=True)
                if one.table == people.MEMBER and known
                else None
            )
        if one.table in gcp.TABLES:
            return self._access.came(one, has)
        if self._of_standing_plan(one):
            return None if one.key in self._renamed else plans.rule_new(has, self._others(0, one.key))
        return Told("better" if one.table in _GUARDING else "neutral", "is new")

    def _went(self, one: Watched, was: Fields) -> Told | None:
        if one.table == people.MAPPING:
            return people.mapping(one.key, come=False)
        if one.table in people.TABLES:
            known = one.table == people.MEMBER and one.value in self._duties[1]
            return people.member(was, self._email(one), come=False) if known else None
        if one.table in gcp.TABLES:
            return self._access.went(one, was)
        if self._of_standing_plan(one):
            return None if one.key in self._renamed else plans.rule_gone(was, self._others(1, one.key))
        return Told("worse" if one.table in _GUARDING else "neutral", "is gone")

    def _of_standing_plan(self, one: Watched) -> bool:
        return one.table == "backup_plan_rule" and one.key.partition("/")[0] in self._standing

    def _others(self, side: int, key: str) -> list[Fields]:
        return list(self._children[side].get(("backup_plan_rule", key.partition("/")[0]), {}).values())

    def _part(self, side: int, plan: str) -> dict[str, Fields]:
        """Return the rules of a plan that only one side has."""
        mine, theirs = (self._children[each].get(("backup_plan_rule", plan), {}) for each in (side, 1 - side))
        return {key: fields for key, fields in mine.items() if key not in theirs}

    def _email(self, one: Watched) -> str | None:
        person = one.key.partition("/")[0]
        for side in (self.new, self.old):
            fields = side.get((people.PERSON, person), {})
            if "email" in fields and fields["email"].value:
                return fields["email"].value
        return None

    def _changed(self, row: Row, was: Fields, has: Fields, tell: _Telling) -> Iterator[Drift]:
        table, key = row
        for name in sorted(was.keys() & has.keys() - _TOLD_ELSEWHERE.get(table, frozenset())):
            a, b = was[name], has[name]
            if a.value is None or b.value is None or a.value == b.value:
                continue
            said = (
                self._account(a, b) if table == people.PERSON and name == "status" else told(a, b, was, has)
            )
            if said is not None:
                yield tell.drift("changed", b, a, said, name)
        if table == "iam_role" and (said := roles.role(key, was, has, self._documents)):
            behind = roles.behind(was, has, self._documents)
            yield tell.drift("changed", *_one_of(was, has, CARRYING), said, "permissions", behind)
        elif table == "iam_policy" and (said := roles.managed(key, was, has)):
            yield tell.drift("changed", *_one_of(was, has, roles.VERSIONED), said, "document")
        elif table == "backup_plan":
            yield from self._selections(was, has, tell)

    def _account(self, was: Watched, has: Watched) -> Told:
        assert was.value is not None and has.value is not None
        return people.account(was.value, has.value, self._email(has), has.key)

    def _selections(self, was: Fields, has: Fields, tell: _Telling) -> Iterator[Drift]:
        (a, *_), (b, *_) = was.values(), has.values()
        plan = b.key.rpartition(":")[2]
        old, new = (self._children[side].get(("backup_selection", plan), {}) for side in (0, 1))
        if old == new:
            return
        covered = self._coverage.get("backup_selection", ())
        if any(
            not lost(next(iter(fields.values())), covered) for key, fields in old.items() if key not in new
        ):
            return  # it may only be out of sight
        if any(
            not self._may_be_new(next(iter(fields.values()))) for key, fields in new.items() if key not in old
        ):
            return
        self._buckets = list(self._buckets)  # read where selections changed alone
        here = [
            (str(row["arn"]), decoded(row["tags"]))
            for row in self._buckets
            if (row["account"], row["region"]) == (b.account, b.region)
        ]
        if said := plans.selections(old, new, here):
            yield tell.drift("changed", b, a, said, "selections")


def _children(rows: Rows) -> dict[tuple[str, str], dict[str, Fields]]:
    """Sort rules and selections by their plan."""
    found: dict[tuple[str, str], dict[str, Fields]] = {}
    for (table, key), fields in rows.items():
        if table in _OF_PLANS:
            found.setdefault((table, key.partition("/")[0]), {})[key] = fields
    return found


def _one_of(was: Fields, has: Fields, names: Collection[str]) -> tuple[Watched, Watched]:
    """Return the column that stands for several: the first that changed."""
    both = [name for name in names if name in was and name in has]
    name = next((name for name in both if was[name].value != has[name].value), None) or (
        both[0] if both else next(iter(was.keys() & has.keys()))
    )
    return has[name], was[name]


_PLURAL = frozenset(
    (
        "ancestors",
        "exclusions",
        "permissions",
        "selections",
        "copies",
        "client_ids",
        "thumbprints",
        "write_data_arns",
    )
)
_WORDS = {"worse": "is weaker", "better": "is stronger"}


class _Telling:
    """Drift of settings, told for one pair of states."""

    def __init__(
        self, authors: Authors, previous_at: datetime | None, now: datetime, plan_names: Mapping[str, str]
    ) -> None:
        self._plan_names = plan_names
        self._authors = authors
        self._previous_at = previous_at
        self._now = now

    def drift(
        self, kind: str, one: Watched, was: Watched | None, said: Told, name: str, keys: Collection[str] = ()
    ) -> Drift:
        """Return one change; `name` is the setting, `+` or `-`."""
        field = name if kind == "changed" else None
        whole = field == one.field  # else the column only stands for several
        before = said.before if said.before is not None or not whole else (was.value if was else None)
        after = said.after if said.after is not None or not (field and whole) else one.value
        since = (was.at if was else one.at) or self._previous_at
        change, reason = self._authors.of(name, one, since, self._now, keys)
        parts = [kind, one.table, one.key, field, before, after, self._now.isoformat()]
        digest = hashlib.sha256(canonical(parts).encode("utf-8", "backslashreplace")).hexdigest()
        words = said.says
        if field:
            word = said.word or (_WORDS.get(said.direction, "changed") if said.says else "changed")
            words = f"{field} {word.replace('is ', 'are ', 1) if field in _PLURAL else word}"
            words += f": {said.says}" if said.says else ""
        return Drift(
            drift_id=digest,
            kind=kind,
            rule=None,
            subject_table=one.table,
            subject_key=one.key,
            field=field,
            before=before,
            after=after,
            direction=said.direction,
            changed_at=when(change.get("at")) if change else None,
            detected_at=self._now,
            actor=str(change["actor"]) if change else None,
            actor_reason=reason,
            severity="low" if said.low else {"worse": "high", "neutral": "medium"}.get(said.direction, "low"),
            because=f"{one.key}: {plans.label(self._plan_names, one.table, one.key)}{words}",
        )
