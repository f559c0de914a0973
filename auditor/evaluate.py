"""Rules x subjects -> outcomes: which rules are judged over which subjects, and what stands for those nobody saw.

Reads the fact tables, `coverage`, `params`, `config_zone`, `as_of` and `history_scan`; writes `outcome`. An error inside
one rule costs that rule: it becomes one unknown outcome, and the others run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Protocol

from auditor.canonical import connect
from auditor.rulelang.compile import literal, quoted
from auditor.rulelang.examples import judge_examples
from auditor.rulelang.judge import OUTCOME, Judging, Lot, create_outcome, judge, unless_of_the_machine
from auditor.rulelang.rule import BrokenRule, Example, OffRule, ParamValue, Rule, canonical
from auditor.rulelang.saying import Applied, Values
from auditor.rulelang.subjects import coverage_sql, hidden_sql, subjects_sql
from auditor.rulelang.truths import relation_columns
from auditor.schema import Table

if TYPE_CHECKING:
    from auditor.rulepack import Pack


class Engine(Judging, Protocol):
    """What evaluation asks of an engine beside judging."""

    def table(self, table: str) -> list[dict[str, Any]]:
        """Return a table of the schema."""


def evaluate(engine: Engine, pack: Pack) -> None:
    """Judge every subject by every rule of its kind and write `outcome`, in no order."""
    import duckdb

    create_outcome(engine)
    estate = _Estate(engine)
    sources = {read[0] for rule in pack.rules for read in rule.reads}
    listed = {source for rule in pack.rules for source, _ in rule.table.listed_by}
    for sql in coverage_sql(sources | listed):
        engine.execute(sql)
    sight = _Sight(engine, listed)
    by_entity = sorted(pack.rules, key=lambda rule: (rule.entity, rule.code, rule.id))
    kinds = [list(rules) for _, rules in groupby(by_entity, key=lambda rule: rule.entity)]
    peopled = _peopled(engine, [rules[0].table for rules in kinds])
    lots: list[Lot] = []
    whole: list[dict[str, Any]] = []
    for rules in kinds:
        table = rules[0].table
        applied = [_applied(rule, estate.values(rule), history=estate.covers(rule)) for rule in rules]
        unset = {each.rule.id: each.unset for each in applied}
        whole += [_not_configured(rule, unset[rule.id]) for rule in rules if unset[rule.id]]
        judged = tuple(each for each in applied if not unset[each.rule.id])
        if judged and any(source in sight.hiding for source, _ in table.listed_by):
            try:
                _judge_hidden(engine, table, [each.rule for each in judged])
            except duckdb.Error as error:
                unless_of_the_machine(error)
                whole += [_failed(each.rule, error) for each in judged]
                continue
        if judged and table.name in peopled:
            columns = tuple(sorted({name for each in judged for name in relation_columns(each.rule)}))
            reads = tuple(sorted({read for each in judged for read in each.rule.reads}))
            subjects = subjects_sql(table, columns, reads, estate.zones, sight.gapped)
            lots.append(Lot(table, subjects, judged, columns, reads))
    whole += [_failed(rule, error) for rule, error in judge(engine, lots)]
    known = {rule.id for rule in pack.rules}
    whole += [_not_loaded(broken) for broken in pack.broken_rules if broken.id and broken.id not in known]
    whole += [_switched_off(off) for off in pack.off]
    engine.execute(_WHOLE, [json.dumps(whole, ensure_ascii=False)])


_APPLIED: dict[str, tuple[Rule, str, Applied]] = {}
"""Each rule as it was judged last, with all that its sentences are made of: a rule says the same from scan to scan."""


def _applied(rule: Rule, values: Values, *, history: bool) -> Applied:
    """Return a rule with its parameters: as it was judged last when rule, parameters and history are the same."""
    told = f"{history} {values!r}"
    last = _APPLIED.get(rule.id)
    if last is None or last[0] is not rule or last[1] != told:
        last = _APPLIED[rule.id] = rule, told, Applied(rule, values, history=history)
    return last[2]


def examples(pack: Pack) -> Iterator[tuple[Rule, Example, str, str]]:
    """Judge every rule's own examples; yields each with the verdict it got and the sentence that told why."""
    with connect() as connection:
        for rule in pack.rules:
            for example, verdict, because in judge_examples(connection, rule):
                yield rule, example, verdict, because


class _Estate:
    """What the snapshot holds of the configuration and of the history."""

    def __init__(self, engine: Engine) -> None:
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


def _peopled(engine: Judging, tables: Sequence[Table]) -> set[str]:
    """Return the tables that have a row, or that cannot be read: to judge them will tell why."""
    import duckdb

    asked = [f"(SELECT {literal(table.name)} AS name FROM {quoted(table.name)} LIMIT 1)" for table in tables]
    try:
        return {row["name"] for row in engine.rows(" UNION ALL ".join(asked))} if asked else set()
    except duckdb.Error as error:
        unless_of_the_machine(error)
        return {table.name for table in tables}


def _judge_hidden(engine: Judging, table: Table, rules: Sequence[Rule]) -> None:
    """Write the unknown outcomes that stand for the subjects nobody could list."""
    told = [{"id": rule.id, "code": rule.code, "severity": rule.severity} for rule in rules]
    engine.execute(
        f"""INSERT INTO outcome
        SELECT r.id, r.code, r.severity, {literal(table.entity)}, h.key, NULL, h.account, h.project, NULL, '{{}}',
          'unknown', 'not_listed', {literal(f"Cannot tell: not every {table.entity} could be listed (")}
          || array_to_string(h.gaps, '; ') || ')', '[]', '[]', CAST(to_json(h.gaps) AS VARCHAR), '[]'
        FROM ({hidden_sql(table)}) h, (SELECT unnest(from_json(?, {literal(_RULE)}), recursive := TRUE)) r""",
        [json.dumps(told)],
    )


_RULE = json.dumps([dict.fromkeys(("id", "code", "severity"), "VARCHAR")])
_WHOLE = (
    "INSERT INTO outcome "
    f"SELECT unnest(from_json(?, {literal(json.dumps([dict(OUTCOME)]))}), recursive := TRUE)"
)


def _words(rule: Rule | BrokenRule) -> dict[str, Any]:
    """Return an unknown outcome of a whole rule."""
    return {
        "rule": rule.id,
        "code": rule.code,
        "severity": rule.severity,
        "subject_table": rule.entity,
        "subject_key": "*",
        "params": "{}",
        "verdict": "unknown",
        **dict.fromkeys(("failed_checks", "unknown_checks", "gaps", "refs"), "[]"),
    }


def _not_configured(rule: Rule, unset: Sequence[str]) -> dict[str, Any]:
    return _words(rule) | {
        "reason": "not_configured",
        "because": f"not configured: {', '.join(unset)}",
        "params": canonical(dict.fromkeys(unset)),
    }


def _failed(rule: Rule, error: Exception) -> dict[str, Any]:
    said = str(error).splitlines()[0]
    return _words(rule) | {"reason": "error", "because": f"the rule could not be judged: {said}"}


def _not_loaded(broken: BrokenRule) -> dict[str, Any]:
    return _words(broken) | {
        "reason": "not_loaded",
        "because": f"the rule did not load: {_first(broken)}",
    }


def _switched_off(off: OffRule) -> dict[str, Any]:
    return _words(off.rule) | {
        "verdict": "not_applicable",
        "reason": "switched_off",
        "because": f"switched off by {off.approved_by}: {off.reason}",
    }


def _first(broken: BrokenRule) -> str:
    """Return its first mistake without the folder: the same outcome wherever the rules are installed."""
    line = broken.text.splitlines()[0]
    folder = str(PurePath(broken.path).parent)
    return line.removeprefix(folder).lstrip("/\\")
