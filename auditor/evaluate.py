"""Rules x subjects -> outcomes, as one vectorised statement per rule.

Reads the fact tables, `coverage`, `params`, `config_zone`, `as_of` and `history_scan`; writes `outcome`. An error inside
one rule costs that rule: it becomes one unknown outcome, and the others run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Protocol

from auditor.canonical import connect
from auditor.rulelang.compile import literal, quoted
from auditor.rulelang.examples import judge_examples, not_set
from auditor.rulelang.judge import EVERY, OUTCOME, Values, relation_columns, statement, verdicts_sql
from auditor.rulelang.rule import BrokenRule, Example, ParamValue, Rule, canonical
from auditor.rulelang.subjects import coverage_sql, hidden_sql, subjects_sql

if TYPE_CHECKING:
    from auditor.rulepack import Pack


class Judging(Protocol):
    """What evaluation asks of an engine."""

    def execute(self, sql: str) -> Any:
        """Run one statement for what it does."""

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of a query."""

    def table(self, table: str) -> list[dict[str, Any]]:
        """Return a table of the schema."""


def evaluate(engine: Judging, pack: Pack) -> None:
    """Judge every subject by every rule of its kind and write `outcome`, in no order."""
    columns = ", ".join(f"{name} {kind}" for name, kind in OUTCOME)
    engine.execute(f"CREATE OR REPLACE TABLE outcome ({columns})")
    estate = _Estate(engine)
    sources = {read[0] for rule in pack.rules for read in rule.reads}
    listed = {source for rule in pack.rules for source, _ in rule.table.listed_by}
    for sql in coverage_sql(sources | listed):
        engine.execute(sql)
    sight = _Sight(engine, listed)
    by_entity = sorted(pack.rules, key=lambda rule: (rule.entity, rule.code, rule.id))
    for _, rules in groupby(by_entity, key=lambda rule: rule.entity):
        _judge_entity(engine, estate, list(rules), sight)
    for broken in pack.broken_rules:
        if broken.id and all(rule.id != broken.id for rule in pack.rules):
            _insert(engine, _not_loaded(broken))


def examples(pack: Pack) -> Iterator[tuple[Rule, Example, str, str]]:
    """Judge every rule's own examples; yields each with the verdict it got and the sentence that told why."""
    with connect() as connection:
        for rule in pack.rules:
            for example, verdict, because in judge_examples(connection, rule):
                yield rule, example, verdict, because


class _Estate:
    """What the snapshot holds of the configuration and of the history."""

    def __init__(self, engine: Judging) -> None:
        self.zones = sorted(row["zone"] for row in engine.rows("SELECT zone FROM config_zone"))
        self._given: dict[tuple[str, str], dict[str, ParamValue]] = {}
        for row in engine.table("params"):
            value = tuple(row["value"]) if isinstance(row["value"], list) else row["value"]
            self._given.setdefault((row["rule"], row["name"]), {})[row["zone"]] = value
        self._scans = [
            (row["at"], row["complete"] and row["state"] == "finished")
            for row in engine.rows('SELECT "at", state, complete FROM history_scan ORDER BY "at"')
        ]
        found = engine.rows("SELECT as_of FROM as_of")
        self._as_of: datetime | None = found[0]["as_of"] if found else None

    def values(self, rule: Rule) -> Values:
        """Return the rule's parameters per zone; where zones differ, an unknown zone has none."""
        values: dict[str | None, dict[str, ParamValue]] = {zone: {} for zone in (*self.zones, None)}
        for name, param in rule.params.items():
            given = self._given.get((rule.id, name))
            if given is None:
                given = {"default": param.default, **param.zones}
            default = given.get("default")
            differs = any(zone in given and given[zone] != default for zone in self.zones)
            for zone in self.zones:
                values[zone][name] = given.get(zone, default)
            values[None][name] = None if differs else default
        return values

    def covers(self, rule: Rule) -> bool:
        """Return whether gap-free scans reach back as far as the rule's conclusion does."""
        if rule.needs_history_s is None:
            return True
        if self._as_of is None:
            return False
        since = self._as_of - timedelta(seconds=rule.needs_history_s)
        before = [whole for at, whole in self._scans if at <= since]
        return bool(before) and before[-1] and all(whole for at, whole in self._scans if at > since)


class _Sight:
    """What coverage says of whole tables."""

    def __init__(self, engine: Judging, listed: set[str]) -> None:
        rows = engine.rows(
            "SELECT table_name, bool_or(NOT complete) AS gapped, "
            "bool_or(NOT complete AND NOT contains(resource, '#')) AS hides FROM _coverage GROUP BY table_name"
        )
        self.gapped = {row["table_name"] for row in rows if row["gapped"]}
        """Tables with a gap anywhere."""
        self.hiding = listed - {row["table_name"] for row in rows if not row["hides"]}
        """Tables that may hide subjects: a listing of theirs has a gap, or none was ever read."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """A rule on its way to its outcomes."""

    rule: Rule
    values: Values
    history: bool
    verdicts: frozenset[str] = EVERY
    """What it is known to answer."""

    @property
    def sql(self) -> str:
        """Return the SELECT of its outcomes."""
        return statement(self.rule, "_subject", self.values, history=self.history, verdicts=self.verdicts)


def _judge_entity(engine: Judging, estate: _Estate, rules: list[Rule], sight: _Sight) -> None:
    import duckdb

    table = rules[0].table
    hidden = any(source in sight.hiding for source, _ in table.listed_by)
    try:
        any_subject = bool(engine.rows(f"SELECT 1 AS one FROM {quoted(table.name)} LIMIT 1"))
        if any_subject:
            columns = sorted({name for rule in rules for name in relation_columns(rule)})
            reads = sorted({read for rule in rules for read in rule.reads})
            for sql in subjects_sql(table, columns, reads, estate.zones, sight.gapped):
                engine.execute(sql)
        if hidden:
            engine.execute(f"CREATE OR REPLACE TEMP TABLE _hidden AS {hidden_sql(table)}")
    except duckdb.Error as error:
        _unless_of_the_machine(error)
        for rule in rules:
            _insert(engine, _failed(rule, error))
        return
    judged: list[_Judged] = []
    for rule in rules:
        values = estate.values(rule)
        unset = set(not_set(rule, values[None])).intersection(
            *(not_set(rule, given) for given in values.values())
        )
        if unset:
            _insert(engine, _not_configured(rule, sorted(unset)))
            continue
        if any_subject:
            judged.append(_Judged(rule, values, estate.covers(rule)))
        if hidden:
            engine.execute(f"INSERT INTO outcome {_hidden(rule)}")
    if judged:
        _judge(engine, judged)


def _judge(engine: Judging, judged: Sequence[_Judged]) -> None:
    """Judge the rules of one entity together: first what they answer, then what is to be said of it.

    Where one of them cannot be judged each is judged alone, and the error costs that one.
    """
    import duckdb

    answers = " UNION ALL ".join(
        f"SELECT {at} AS at, _verdict FROM "
        f"({verdicts_sql(each.rule, '_subject', each.values, history=each.history)})"
        for at, each in enumerate(judged)
    )
    try:
        found = [(row["at"], row["_verdict"]) for row in engine.rows(answers)]
        known = [
            replace(each, verdicts=frozenset(verdict for which, verdict in found if which == at))
            for at, each in enumerate(judged)
        ]
        together = " UNION ALL ".join(f"SELECT * FROM ({each.sql})" for each in known)
        engine.execute(f"INSERT INTO outcome {together}")
    except duckdb.Error as together_failed:
        _unless_of_the_machine(together_failed)
        for each in judged:
            try:
                engine.execute(f"INSERT INTO outcome {each.sql}")
            except duckdb.Error as error:
                _unless_of_the_machine(error)
                _insert(engine, _failed(each.rule, error))


def _unless_of_the_machine(error: Exception) -> None:
    """Raise what says nothing of a rule: too little memory or disk is no verdict, and another machine has more."""
    import duckdb

    if isinstance(error, duckdb.OutOfMemoryException | duckdb.IOException):
        raise error


def _hidden(rule: Rule) -> str:
    """Return the unknown outcomes that stand for the subjects nobody could list."""
    said = {
        **_words(rule),
        "subject_key": "key",
        "account": "account",
        "project": "project",
        "reason": "'not_listed'",
        "because": literal(f"Cannot tell: not every {rule.entity} could be listed (")
        + " || array_to_string(gaps, '; ') || ')'",
        "gaps": "CAST(to_json(gaps) AS VARCHAR)",
    }
    return f"SELECT {', '.join(said[name] for name, _ in OUTCOME)} FROM _hidden"


def _words(rule: Rule | BrokenRule) -> dict[str, str]:
    """Return the SQL of an unknown outcome of a whole rule."""
    empty = dict.fromkeys((name for name, _ in OUTCOME), "CAST(NULL AS VARCHAR)")
    return empty | {
        "rule": literal(rule.id),
        "code": literal(rule.code),
        "severity": literal(rule.severity),
        "subject_table": literal(rule.entity),
        "subject_key": "'*'",
        "params": "'{}'",
        "verdict": "'unknown'",
        "failed_checks": "'[]'",
        "unknown_checks": "'[]'",
        "gaps": "'[]'",
        "refs": "'[]'",
    }


def _insert(engine: Judging, words: Mapping[str, str]) -> None:
    engine.execute(f"INSERT INTO outcome SELECT {', '.join(words[name] for name, _ in OUTCOME)}")


def _not_configured(rule: Rule, unset: Iterable[str]) -> dict[str, str]:
    said = ", ".join(unset)
    return _words(rule) | {
        "reason": "'not_configured'",
        "because": literal(f"not configured: {said}"),
        "params": literal(canonical(dict.fromkeys(unset))),
    }


def _failed(rule: Rule, error: Exception) -> dict[str, str]:
    said = str(error).splitlines()[0]
    return _words(rule) | {
        "reason": "'error'",
        "because": literal(f"the rule could not be judged: {said}"),
    }


def _not_loaded(broken: BrokenRule) -> dict[str, str]:
    return _words(broken) | {
        "reason": "'not_loaded'",
        "because": literal(f"the rule did not load: {_first(broken)}"),
    }


def _first(broken: BrokenRule) -> str:
    """Return its first mistake without the folder: the same outcome wherever the rules are installed."""
    line = broken.text.splitlines()[0]
    folder = str(PurePath(broken.path).parent)
    return line.removeprefix(folder).lstrip("/\\")
