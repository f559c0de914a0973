"""A rule's own examples: read, then judged by the very statement that judges the estate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from auditor.model import Verdict
from auditor.relations import from_text
from auditor.rulelang.compile import Read, gap_list, guards, literal, quoted, seen_flag
from auditor.rulelang.durations import seconds
from auditor.rulelang.judge import Lot, create_outcome, judge
from auditor.rulelang.marks import did_you_mean
from auditor.rulelang.rule import Example, Param, ParamValue, Rule, canonical
from auditor.rulelang.saying import Applied
from auditor.rulelang.truths import relation_columns, truths_sql
from auditor.schema import Column, Table

if TYPE_CHECKING:
    from auditor.rulelang.block import BlockReader

_KEYS = ("given", "params", "zone", "not_collected", "verdict")
_TYPES = {
    "TEXT": "VARCHAR",
    "INT": "BIGINT",
    "BOOL": "BOOLEAN",
    "TIME": "TIMESTAMP",
    "JSON": "VARCHAR",
}


class Connection(Protocol):
    """As much of a DuckDB connection as is needed here."""

    def execute(self, query: str, parameters: Any = None) -> Any: ...


def read_examples(
    reader: BlockReader,
    table: Table,
    params: Mapping[str, Param],
    *,
    has_condition: bool,
    cannot: Mapping[str, str],
) -> tuple[Example, ...]:
    """Read the examples of a block and see that there is one of every verdict the rule can give."""
    listed = reader.block.get("examples")
    if not isinstance(listed, list):
        if "examples" in reader.block:
            reader.wrong(("examples",), "'examples' must be a list")
        return ()
    found = [_example(reader, at, item, table, params) for at, item in enumerate(listed)]
    examples = tuple(example for example in found if example is not None)
    wanted = [
        Verdict.PASS,
        Verdict.FAIL,
        Verdict.UNKNOWN,
        *([Verdict.NOT_APPLICABLE] if has_condition else []),
    ]
    given = {example.verdict for example in examples}
    for verdict in wanted:
        if verdict not in given and verdict not in cannot and len(examples) == len(listed):
            reader.wrong(
                ("examples",),
                f"no example of {verdict.value!r}: give one, or say under `cannot` why there is none",
            )
    for never in sorted(given & set(cannot)):
        reader.wrong(
            ("cannot", never),
            f"there is an example of {never!r}, which the rule is said never to give",
        )
    return examples


def _example(
    reader: BlockReader, at: int, item: Any, table: Table, params: Mapping[str, Param]
) -> Example | None:
    where = ("examples", at)
    before = len(reader.problems)
    if not isinstance(item, dict) or not isinstance(item.get("given", {}), dict):
        reader.wrong(where, "an example is {given: {column: value, ...}, verdict: ...}")
        return None
    for key in set(item) - set(_KEYS):
        reader.wrong((*where, key), f"unknown key {key!r} in an example{did_you_mean(key, _KEYS)}")
    verdicts = [verdict.value for verdict in Verdict]
    if item.get("verdict") not in verdicts:
        hint = did_you_mean(str(item.get("verdict")), verdicts)
        reader.wrong(
            (*where, "verdict"),
            f"verdict {item.get('verdict')!r} is none of {', '.join(verdicts)}{hint}",
        )
    known = {column.name: column for column in table.columns}
    given: dict[str, Any] = {}
    for name, value in item.get("given", {}).items():
        if name not in known:
            hint = did_you_mean(name, known)
            reader.wrong((*where, "given", name), f"{table.entity} has no column {name!r}{hint}")
            continue
        try:
            given[name] = _fact(known[name], value)
        except ValueError as error:
            reader.wrong((*where, "given", name), str(error))
    not_collected = _not_collected(reader, where, item, table)
    overrides = _overrides(reader, where, item, params)
    if len(reader.problems) > before:
        return None
    zone = item.get("zone", given.get("zone", "") if "zone" in given else "")
    if zone and "zone" in known:
        given.setdefault("zone", zone)
    return Example(given, item["verdict"], zone, overrides, not_collected, at)


def _not_collected(
    reader: BlockReader, where: tuple[str | int, ...], item: Any, table: Table
) -> tuple[str, ...]:
    sources = {read[0] for column in table.columns for read in guards(table, column.name)}
    listed = item.get("not_collected", [])
    if not isinstance(listed, list):
        reader.wrong((*where, "not_collected"), "'not_collected' must be a list of source tables")
        return ()
    for at, source in enumerate(listed):
        if source not in sources:
            hint = did_you_mean(str(source), sources)
            told = f"; it depends on {', '.join(sorted(sources))}" if sources and not hint else hint
            reader.wrong(
                (*where, "not_collected", at),
                f"no column of {table.entity} depends on {source!r}{told}",
            )
    return tuple(str(source) for source in listed)


def _overrides(
    reader: BlockReader, where: tuple[str | int, ...], item: Any, params: Mapping[str, Param]
) -> dict[str, ParamValue]:
    from auditor.rulelang.block import param_value
    from auditor.rulelang.parse import Refused

    found: dict[str, ParamValue] = {}
    given = item.get("params", {})
    if not isinstance(given, dict):
        reader.wrong((*where, "params"), "'params' must be a map of names to values")
        return found
    for name, value in given.items():
        if name not in params:
            reader.wrong(
                (*where, "params", name),
                f"the rule has no parameter :{name}{did_you_mean(name, params)}",
            )
            continue
        try:
            found[name], kind = param_value(value)
        except Refused as refused:
            reader.wrong((*where, "params", name), refused.message)
            continue
        if kind not in ("ANY", params[name].kind):
            reader.wrong((*where, "params", name), f":{name} is {params[name].kind}, not {kind}")
    return found


def _fact(column: Column, value: Any) -> Any:
    """Return an example's fact as the column holds it; raises ValueError with a sentence."""
    if value is None:
        return None
    wrong = ValueError(f"{column.name} is {column.type}, and {value!r} is not")
    match column.type:
        case "INT":
            period = seconds(value)
            if isinstance(value, bool) or (not isinstance(value, int) and period is None):
                raise wrong
            return value if period is None else period
        case "BOOL":
            if not isinstance(value, bool):
                raise wrong
            return value
        case "TEXT":
            if isinstance(value, bool | list | dict):
                raise wrong
            return str(value)
        case "JSON":
            if not isinstance(value, list | dict):
                raise wrong
            return canonical(value)
        case "TIME":
            try:
                at = datetime.fromisoformat(str(value))
            except ValueError:
                raise ValueError(
                    f"{column.name} is a time such as 2026-01-31T08:00:00Z, and {value!r} is not"
                ) from None
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def withheld(rule: Rule) -> tuple[tuple[Example, str, Example], ...]:
    """Return each example again for each source that its rule reads, as if that source had not been collected.

    (the example, the source, the example without it). What was not seen may leave a verdict as it is or make it unknown;
    a rule by which it makes it better, or other, does not prove itself.
    """
    sources = sorted({source for source, _ in rule.reads})
    fresh = count(len(rule.examples))
    return tuple(
        (example, source, replace(example, at=next(fresh), not_collected=(*example.not_collected, source)))
        for example in rule.examples
        for source in sources
        if source not in example.not_collected
    )


def judge_examples(
    connection: Connection, rule: Rule, *, tell: bool = True
) -> list[tuple[Example, str, str]]:
    """Judge a rule's examples; returns each with the verdict it got and, to `tell`, the sentence that told why.

    Every example is a row, and stands for a zone of its own: so its parameters are applied as the estate's are.
    """
    if not rule.examples:
        return []
    applied = _applied(rule)
    columns = relation_columns(rule)
    got = (_told if tell else _verdicts)(
        connection, Lot(rule.table, _relation(rule, columns), (applied,), columns, rule.reads)
    )
    judged: list[tuple[Example, str, str]] = []
    for example in rule.examples:
        zone = _zone_key(example)
        unset = applied.not_set(zone)
        verdict, because = got[zone]
        if unset:
            verdict, because = Verdict.UNKNOWN.value, f"not configured: {', '.join(unset)}"
        judged.append((example, verdict, because if tell else ""))
    return judged


def _applied(rule: Rule) -> Applied:
    return Applied(
        rule,
        {
            _zone_key(example): {
                name: example.params.get(name, param.value(example.zone))
                for name, param in rule.params.items()
            }
            for example in rule.examples
        },
    )


def _verdicts(connection: Connection, lot: Lot) -> dict[str, tuple[str, str]]:
    """Return the verdict alone of each subject: to word why takes ten times as long."""
    (applied,) = lot.rules
    rows = connection.execute(f"SELECT _key, {truths_sql(applied)} FROM ({lot.relation})").fetchall()
    return {key: (applied.verdict(truths), "") for key, truths in rows}


def _told(connection: Connection, lot: Lot) -> dict[str, tuple[str, str]]:
    engine = _Engine(connection)
    create_outcome(engine)
    for _, error in judge(engine, [lot]):
        raise error
    rows = engine.rows("SELECT subject_key, verdict, because FROM outcome")
    return {row["subject_key"]: (row["verdict"], row["because"]) for row in rows}


class _Engine:
    """A bare connection, asked as an engine is."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        self._connection.execute(sql, params)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        found = self._connection.execute(sql)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _zone_key(example: Example) -> str:
    return f"example {example.at}"


_PLACED = ("_key", "_zone_key", "_zone", "_account", "_project", "_owner")
"""What a row says of its subject's place, beside the facts."""


def _relation(rule: Rule, columns: Sequence[str]) -> str:
    """Return the SQL of the relation that a rule judges, a row an example.

    The rows stand in it as one JSON text: as VALUES each of them is planned for itself, which took most of the time.
    """
    kinds: dict[str, str] = dict.fromkeys(_PLACED, "VARCHAR")
    kinds |= {seen_flag(read): "BOOLEAN" for read in rule.reads}
    kinds |= {name: _TYPES[rule.table.column(name).type] for name in columns}
    gaps = [
        f"CAST(CASE WHEN NOT {quoted(seen_flag(read))} THEN [{literal(_unread(read))}] END AS VARCHAR[]) "
        f"AS {quoted(gap_list(read))}"
        for read in rule.reads
    ]
    rows = json.dumps([_row(rule, example, columns) for example in rule.examples])
    return f"SELECT {', '.join(('*', *gaps))} FROM {from_text(kinds, literal(rows))}"


def _row(rule: Rule, example: Example, columns: Sequence[str]) -> dict[str, Any]:
    """Return what one example gives of each column."""
    key = _zone_key(example)
    row: dict[str, Any] = {
        **dict.fromkeys(_PLACED),
        "_key": key,
        "_zone_key": key,
        "_zone": example.zone or None,
    }
    row |= {seen_flag(read): read[0] not in example.not_collected for read in rule.reads}
    return row | {name: _given(example.given.get(name)) for name in columns}


def _given(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    return value if value is None or isinstance(value, (bool, int)) else str(value)


def _unread(read: Read) -> str:
    return f"{read[0]} was not collected"
