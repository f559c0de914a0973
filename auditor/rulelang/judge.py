"""Subjects x rules -> `outcome`. What differs from rule to rule is the truths of its clauses and no more.

To plan a statement costs more than to run it over a small estate, so there is one of each sort and none a rule: a lot's
subjects with the truths of all its rules; what its subjects put into sayings; and, for all lots together, the outcomes.

A lot reads one relation. Beside the columns of the subject's table it has `_key`, `_zone`, `_account`, `_project`,
`_owner` (text), `_zone_key` (the zone whose parameters apply, NULL when unknown) and, for every source that some clause
depends on, the flag and the list of `compile.seen_flag` and `compile.gap_list`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import Any, Protocol

from auditor.rulelang.compile import Read, gap_list, literal, quoted
from auditor.rulelang.rule import Rule
from auditor.rulelang.saying import Applied, Part, Truth
from auditor.rulelang.template import SAID, WRITTEN, said_as
from auditor.rulelang.truths import truths_sql
from auditor.schema import Column, Table

OUTCOME = (
    ("rule", "VARCHAR"),
    ("code", "VARCHAR"),
    ("severity", "VARCHAR"),
    ("subject_table", "VARCHAR"),
    ("subject_key", "VARCHAR"),
    ("zone", "VARCHAR"),
    ("account", "VARCHAR"),
    ("project", "VARCHAR"),
    ("owner", "VARCHAR"),
    ("params", "VARCHAR"),
    ("verdict", "VARCHAR"),
    ("reason", "VARCHAR"),
    ("because", "VARCHAR"),
    ("failed_checks", "VARCHAR"),
    ("unknown_checks", "VARCHAR"),
    ("gaps", "VARCHAR"),
    ("refs", "VARCHAR"),
)
"""The columns of `outcome` and their types, in order."""


class Judging(Protocol):
    """What judging asks of an engine."""

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """Run one statement for what it does."""

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of a query."""


@dataclass(frozen=True, slots=True)
class Lot:
    """Subjects of one table and the rules that they are judged by."""

    table: Table
    relation: str
    """A SELECT."""
    rules: tuple[Applied, ...]
    columns: tuple[str, ...]
    """Those of the table whose facts can stand in a sentence."""
    reads: tuple[Read, ...]
    """The sources whose gaps can."""

    def alone(self) -> Iterator[Lot]:
        """Yield a lot for each rule."""
        return (replace(self, rules=(rule,)) for rule in self.rules)


def create_outcome(engine: Judging) -> None:
    """Make the table `outcome`, empty."""
    columns = ", ".join(f"{name} {kind}" for name, kind in OUTCOME)
    engine.execute(f"CREATE OR REPLACE TABLE outcome ({columns})")


def judge(engine: Judging, lots: Iterable[Lot]) -> Iterator[tuple[Rule, Exception]]:
    """Write the outcomes of lots into `outcome`; yields the rules that could not be judged, and why.

    An error costs the one rule: where a lot fails, its rules are judged again, each alone.
    """
    waiting = list(lots)
    while waiting:
        failed = _judge_together(engine, waiting)
        waiting = []
        for lot, error in failed:
            if len(lot.rules) == 1:
                yield lot.rules[0].rule, error
            else:
                waiting += lot.alone()


def unless_of_the_machine(error: Exception) -> None:
    """Raise what says nothing of a rule: too little memory or disk is no verdict, and another machine has more."""
    import duckdb

    if isinstance(error, duckdb.OutOfMemoryException | duckdb.IOException):
        raise error


def _judge_together(engine: Judging, lots: Sequence[Lot]) -> list[tuple[Lot, Exception]]:
    """Judge lots and return those that failed, of which no outcome is written."""
    import duckdb

    failed: list[tuple[Lot, Exception]] = []
    engine.execute(_SEATS)
    for at, lot in enumerate(lots):
        try:
            engine.execute(f"INSERT INTO _seat {_seats(at, lot)}")
        except duckdb.Error as error:
            unless_of_the_machine(error)
            failed.append((lot, error))
    sayings = [
        _row_of(lots[heard["lot"]], heard)
        for heard in engine.rows(f"SELECT DISTINCT lot, rule, truths, zone_key FROM ({_ANSWERS})")
    ]
    engine.execute(_SAYINGS, [json.dumps(sayings, ensure_ascii=False)])
    try:
        engine.execute(f"{_FILLED})")
    except duckdb.Error as error:
        unless_of_the_machine(error)
        failed += _fill_one_by_one(engine, lots)
    engine.execute(_ALL_THE_SAME)
    engine.execute("DROP TABLE _seat")
    engine.execute("DROP TABLE _saying")
    return failed


def _fill_one_by_one(engine: Judging, lots: Sequence[Lot]) -> Iterator[tuple[Lot, Exception]]:
    """Write the outcomes rule by rule; yields those of which a sentence cannot be made, without their outcomes."""
    import duckdb

    for at, lot in enumerate(lots):
        for number, alone in enumerate(lot.alone(), 1):
            this = f"s.lot = {at} AND s.rule = {number}"
            try:
                engine.execute(f"{_FILLED} AND {this})")
            except duckdb.Error as error:
                unless_of_the_machine(error)
                engine.execute(f"DELETE FROM _saying s WHERE {this}")
                yield alone, error


# The statements -------------------------------------------------------------------------------------------------------

_SEATS = """CREATE OR REPLACE TEMP TABLE _seat (
  lot INTEGER, _key VARCHAR, _zone VARCHAR, _account VARCHAR, _project VARCHAR, _owner VARCHAR, zone_key VARCHAR,
  facts VARCHAR[], unseen VARCHAR[][], truths BOOLEAN[][])"""
"""Every subject with its facts as text and the truths of each rule of its lot."""


def _seats(at: int, lot: Lot) -> str:
    facts = ", ".join(_as_text(lot.table.column(name)) for name in lot.columns)
    unseen = ", ".join(quoted(gap_list(read)) for read in lot.reads)
    truths = ", ".join(map(truths_sql, lot.rules))
    return (
        f"SELECT {at}, _key, _zone, _account, _project, _owner, _zone_key, [{facts}], [{unseen}], [{truths}] "
        f"FROM ({lot.relation})"
    )


def _as_text(column: Column) -> str:
    name = quoted(column.name)
    return name if column.type in ("TEXT", "JSON") else f"CAST({name} AS VARCHAR)"


_ANSWERS = """SELECT lot, _key, _zone, _account, _project, _owner, zone_key, facts, unseen,
  generate_subscripts(truths, 1) AS rule, unnest(truths) AS truths FROM _seat"""
"""Every subject once for each rule."""

_SAYING = {
    **dict.fromkeys(("lot", "rule"), "INTEGER"),
    "truths": ["BOOLEAN"],
    **dict.fromkeys(("zone_key", "id", "code", "severity", "subject_table", "table_name"), "VARCHAR"),
    **dict.fromkeys(("params", "verdict", "reason", "gap_reason"), "VARCHAR"),
    "filled": "BOOLEAN",
    "how": ["VARCHAR"],
    "said": ["VARCHAR"],
    "fact": ["INTEGER"],
    "reasons": [["INTEGER"]],
    **dict.fromkeys(("because", "failed", "unknown", "doubts"), "INTEGER"),
    "gaps": ["INTEGER"],
    "link_gaps": ["INTEGER"],
    "refs": ["INTEGER"],
}
"""What a rule says of some truths in a zone. Of its sentences one part after the other: `how` it is made of a `fact`, by
its number, or what is `said`; `because` and so on are the numbers of the last part of each."""

_SAYINGS = (
    "CREATE OR REPLACE TEMP TABLE _saying AS "
    f"SELECT unnest(from_json(?, {literal(json.dumps([_SAYING]))}), recursive := TRUE)"
)


_MOST_WORDED = 256
"""Rows of one rule that are remembered."""


def _row_of(lot: Lot, heard: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a rule says to some truths in some zone as a row of `_saying`; it is put in words once."""
    applied = lot.rules[heard["rule"] - 1]
    known = (*heard["truths"], heard["zone_key"], lot.columns, lot.reads)
    if (row := applied.rows.get(known)) is None:
        if len(applied.rows) >= _MOST_WORDED:
            applied.rows.clear()
        row = applied.rows[known] = _worded(lot, applied, heard["truths"], heard["zone_key"])
    return {**heard, **row}


def _worded(lot: Lot, applied: Applied, truths: Sequence[Truth], zone: str | None) -> dict[str, Any]:
    rule, saying = applied.rule, applied.say(truths, zone)
    row: dict[str, Any] = {
        "id": rule.id,
        "code": rule.code,
        "severity": rule.severity,
        "subject_table": rule.entity,
        "table_name": rule.table.name,
        "params": saying.params,
        "verdict": saying.verdict,
        "reason": saying.reason,
        "filled": saying.filled,
    }
    sentences = (saying.because, saying.failed, saying.unknown)
    if not saying.filled:
        return row | {"said": ["".join(map(str, parts)) for parts in sentences]}
    number = _numbers(lot.columns)
    parts = [
        _part_of(applied, part, number) for sentence in (*sentences, saying.doubts or ()) for part in sentence
    ]
    ends = list(accumulate(map(len, (*sentences, saying.doubts or ()))))
    return row | {
        "gap_reason": saying.gap_reason,
        **{name: [part[at] for part in parts] for at, name in enumerate(("how", "fact", "said", "reasons"))},
        **dict(zip(("because", "failed", "unknown", "doubts"), ends, strict=True)),
        "doubts": None if saying.doubts is None else ends[-1],
        "gaps": [lot.reads.index(read) + 1 for read in saying.gaps],
        "link_gaps": [number[name] for name in saying.link_gaps],
        "refs": [number[name] for name in saying.refs],
    }


@lru_cache(maxsize=128)
def _numbers(columns: tuple[str, ...]) -> Mapping[str, int]:
    return {name: at for at, name in enumerate(columns, 1)}


def _part_of(applied: Applied, part: Part, number: Mapping[str, int]) -> tuple[str, int, str, list[int]]:
    """Return how a part of a sentence is made, of which fact, what is said without one, and of a doubt its reasons."""
    if isinstance(part, str):
        return "", 0, part, []
    kind, name = part
    column = applied.rule.table.column(name)
    if kind == "said":
        return said_as(column), number[name], "not known", []
    if kind == "json":
        return f"json {column.type}", number[name], "null", []
    return "doubt", number[name], f"{name} is not known", [number[reason] for reason in applied.reasons(name)]


_MADE = " ".join(f"WHEN '{how}' THEN coalesce({sql}, s.said[i])" for how, sql in {**SAID, **WRITTEN}.items())
_WORDS = f"""list_transform(list_select(a.facts, s.fact), lambda x, i: CASE s.how[i] WHEN '' THEN s.said[i]
  WHEN 'doubt' THEN CASE WHEN x IS NULL THEN
    coalesce(list_filter(list_select(a.facts, s.reasons[i]), lambda reason: reason <> '')[1], s.said[i]) END
  {_MADE} END)"""
_SAME = """a.lot = s.lot AND a.rule = s.rule AND a.truths = s.truths
  AND a.zone_key IS NOT DISTINCT FROM s.zone_key"""

_ALL_THE_SAME = f"""INSERT INTO outcome
SELECT s.id, s.code, s.severity, s.subject_table, a._key, a._zone, a._account, a._project, a._owner, s.params,
  s.verdict, s.reason, s.said[1], s.said[2], s.said[3], '[]',
  CAST(json_array(json_array(s.table_name, a._key)) AS VARCHAR)
FROM ({_ANSWERS}) a JOIN _saying s ON {_SAME} WHERE NOT s.filled"""
"""Where a rule says the same of every subject."""

_FILLED = f"""INSERT INTO outcome
SELECT id, code, severity, subject_table, _key, _zone, _account, _project, _owner, params, verdict,
  CASE WHEN len(hidden) > 0 THEN gap_reason ELSE reason END,
  array_to_string(words[1:because], '') || CASE WHEN doubts IS NULL THEN '' ELSE ' ('
    || array_to_string(list_concat(list_distinct(words[unknown + 1:doubts]), hidden), '; ') || ')' END,
  array_to_string(words[because + 1:failed], ''),
  array_to_string(words[failed + 1:unknown], ''),
  CAST(to_json(hidden) AS VARCHAR),
  '[' || array_to_string(list_concat([CAST(json_array(table_name, _key) AS VARCHAR)], beside), ',') || ']'
FROM (SELECT s.*, a._key, a._zone, a._account, a._project, a._owner, {_WORDS} AS words,
    list_sort(list_distinct(list_concat(flatten(list_select(a.unseen, s.gaps)),
      list_filter(list_select(a.facts, s.link_gaps), lambda gap: gap <> '')))) AS hidden,
    list_sort(list_distinct(flatten(list_transform(list_select(a.facts, s.refs),
      lambda refs: CAST(json_extract(TRY_CAST(refs AS JSON), '$[*]') AS VARCHAR[]))))) AS beside
  FROM ({_ANSWERS}) a JOIN _saying s ON {_SAME} WHERE s.filled"""
