"""Compile an expression to SQL that answers TRUE, FALSE or NULL, and NULL wherever an unseen row could change it.

Each atom is guarded on its own. A column says what rows that were not seen could do to it (`Column.unseen`); from that
follows which way they can move the difference of the two sides of a comparison, and so which of its answers stand.
AND, OR and NOT are SQL's own three-valued ones over guarded atoms, so no arrangement of them can undo a guard.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditor.rulelang.terms import (
    Arithmetic,
    Call,
    Compare,
    Constant,
    Entry,
    Expression,
    Field,
    Lower,
    Many,
    Missing,
    Not,
    Parameter,
    Size,
    Truth,
    Value,
    values_of,
)

if TYPE_CHECKING:
    from auditor.schema import Table

Read = tuple[str, str]
"""(source table, scope), as in `schema.Column.reads`."""

_MOVES = {"raise": 1, "lower": -1, "either": 0}
_GROWS = {"has": True, "any_in": True, "has_keys": True, "all_in": False}
"""Functions of a list that more entries can only make true, or only make false."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One compiled expression: `when`, `due` or a check."""

    name: str
    text: str
    sql: str
    columns: tuple[str, ...]
    params: tuple[str, ...]
    reads: tuple[Read, ...]
    globs: tuple[str, ...] = ()
    """Parameters that it uses as lists of globs."""


def compile_clause(name: str, text: str, expression: Expression, table: Table) -> Clause:
    """Compile one parsed expression; the SQL reads columns, `_p_NAME`, `_r_NAME` and the flags of `seen_flag`."""
    values = values_of(expression)
    columns = sorted({v.name for v in values if isinstance(v, Field)})
    reads = sorted({read for name in columns for read in guards(table, name)})
    return Clause(
        name=name,
        text=text,
        sql=_Compiler(table).boolean(expression),
        columns=tuple(columns),
        params=tuple(sorted({v.name for v in values if isinstance(v, Parameter)})),
        reads=tuple(reads),
        globs=tuple(sorted({v.name for v in values if isinstance(v, Parameter) and v.globs})),
    )


def guards(table: Table, column: str) -> tuple[Read, ...]:
    """Return the sources whose unseen rows could change a column."""
    described = table.column(column)
    return () if described.unseen == "none" else described.reads


def seen_flag(read: Read) -> str:
    """Name the column that says whether a source was seen for the subject: never NULL."""
    return f"_seen_{read[0]}_{read[1]}"


def gap_list(read: Read) -> str:
    """Name the column that lists, in words, the gaps of a source that touch the subject."""
    return f"_gaps_{read[0]}_{read[1]}"


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


class _Compiler:
    def __init__(self, table: Table) -> None:
        self.table = table

    def boolean(self, term: Expression) -> str:
        match term:
            case Many(op=op, items=items):
                return "(" + f" {op} ".join(self.boolean(item) for item in items) + ")"
            case Not(of=of):
                return f"(NOT {self.boolean(of)})"
            case Compare():
                return self._compare(term)
            case Missing():
                return self._missing(term)
            case Truth(of=of):
                return self._guarded(self.value(of), self._moves(of))
            case Call():
                return self._call(term)

    # The effects of unseen rows -------------------------------------------------------------------------------------

    def _moves(self, term: Value) -> dict[str, int]:
        """Return which way unseen rows can move a value: per guarded column 1 up, -1 down, 0 either way."""
        match term:
            case Field(name=name):
                return {name: _MOVES[self.table.column(name).unseen]} if guards(self.table, name) else {}
            case Size(of=of):
                return self._moves(of)
            case Arithmetic(op="*", left=left, right=right):
                return _joined(self._scaled(left, right), self._scaled(right, left))
            case Arithmetic(op=op, left=left, right=right):
                return _joined(self._moves(left), _turned(self._moves(right), -1 if op == "-" else 1))
            case _:
                return self._any_way(term)

    def _scaled(self, value: Value, by: Value) -> dict[str, int]:
        if isinstance(by, Constant):
            return _turned(self._moves(value), 1 if int(by.value) >= 0 else -1)
        return self._any_way(value)

    def _any_way(self, *terms: Value) -> dict[str, int]:
        names = {v.name for term in terms for v in values_of(term) if isinstance(v, Field)}
        return {name: 0 for name in sorted(names) if guards(self.table, name)}

    def _unless(self, moves: dict[str, int], harmless: int) -> str:
        """Return SQL that holds when every column that unseen rows could move another way was seen."""
        reads = {r for name, way in moves.items() if way != harmless for r in guards(self.table, name)}
        return " AND ".join(quoted(seen_flag(read)) for read in sorted(reads)) or "TRUE"

    def _guarded(self, sql: str, moves: dict[str, int]) -> str:
        """Guard an atom that a move upwards can only make true, and one downwards only false."""
        if not moves:
            return sql
        up, down = self._unless(moves, 1), self._unless(moves, -1)
        return f"(CASE WHEN {sql} AND {up} THEN TRUE WHEN NOT {sql} AND {down} THEN FALSE END)"

    # The atoms ------------------------------------------------------------------------------------------------------

    def _compare(self, term: Compare) -> str:
        left, right = self.value(term.left), self.value(term.right)
        plain = f"({left} {term.op} {right})"
        if term.kind not in ("INT", "TIME"):
            return self._guarded(plain, self._any_way(term.left, term.right))
        moves = _joined(self._moves(term.left), _turned(self._moves(term.right), -1))
        if not moves:
            return plain
        if term.op in (">", ">="):
            return self._guarded(plain, moves)
        if term.op in ("<", "<="):
            return self._guarded(plain, _turned(moves, -1))
        all_seen = self._unless(moves, 2)
        above = f"{left} > {right} AND {self._unless(moves, 1)}"
        below = f"{left} < {right} AND {self._unless(moves, -1)}"
        same, other = ("TRUE", "FALSE") if term.op == "=" else ("FALSE", "TRUE")
        return f"(CASE WHEN {left} = {right} AND {all_seen} THEN {same} WHEN {above} OR {below} THEN {other} END)"

    def _missing(self, term: Missing) -> str:
        if isinstance(term.of, Entry):
            whole = self.value(term.of.of)
            sql = f"(CASE WHEN json_type(TRY_CAST({whole} AS JSON)) = 'OBJECT' THEN {self.value(term.of)} IS NULL END)"
            moves = _joined(self._moves(term.of.of), self._any_way(term.of.key))
        else:
            sql, moves = f"({self.value(term.of)} IS NULL)", self._moves(term.of)
        return self._guarded(sql, _turned(moves, -1))

    def _call(self, term: Call) -> str:
        first, second = term.args
        one, two = self.value(first), self.value(second)
        moves = self._any_way(*term.args)
        if term.name in _GROWS:
            whole = self._moves(first) if _GROWS[term.name] else _turned(self._moves(first), -1)
            moves = _joined(whole, self._any_way(second))
        match term.name:
            case "has":
                sql = f"list_contains({_list(one)}, CAST({two} AS VARCHAR))"
            case "all_in":
                sql = f"list_has_all({two}, {_list(one)})"
            case "any_in":
                sql = f"list_has_any({_list(one)}, {two})"
            case "one_of":
                sql = f"list_contains({two}, CAST({one} AS VARCHAR))"
            case "has_keys":
                sql = f"list_has_all({_keys(one)}, {two})"
            case "like_any":
                sql = f"regexp_full_match({one}, {two})"
            case _:
                sql = f"starts_with({one}, {two})"
        return self._guarded(f"({sql})", moves)

    # The values -----------------------------------------------------------------------------------------------------

    def value(self, term: Value) -> str:
        match term:
            case Field(name=name):
                return quoted(name)
            case Parameter(name=name, globs=globs):
                return quoted(f"_r_{name}" if globs else f"_p_{name}")
            case Constant(value=bool(truth)):
                return "TRUE" if truth else "FALSE"
            case Constant(value=int(number)):
                return f"CAST({number} AS BIGINT)"
            case Constant(value=str(text)):
                return literal(text)
            case Arithmetic():
                return self._arithmetic(term)
            case Size(of=of):
                return _size(self.value(of))
            case Entry(of=of, key=key):
                return _entry(self.value(of), self.value(key))
            case Lower(of=of):
                return f"lower({self.value(of)})"
        raise AssertionError(term)

    def _arithmetic(self, term: Arithmetic) -> str:
        left, right = self.value(term.left), self.value(term.right)
        if term.kind == "TIME":
            return f"({left} {term.op} to_seconds({right}))"
        if (isinstance(term.left, Field) and term.left.kind == "TIME") or _is_time(term.left):
            return f"((epoch_us({left}) - epoch_us({right})) // 1000000)"
        return f"({left} {term.op} {right})"


def _is_time(term: Value) -> bool:
    return isinstance(term, Arithmetic) and term.kind == "TIME"


def _list(json: str) -> str:
    """Return SQL for the entries of a JSON list as texts; NULL for anything else, and never an error."""
    as_json = f"TRY_CAST({json} AS JSON)"
    return f"(CASE WHEN json_type({as_json}) = 'ARRAY' THEN json_extract_string({as_json}, '$[*]') END)"


def _keys(json: str) -> str:
    as_json = f"TRY_CAST({json} AS JSON)"
    return f"(CASE WHEN json_type({as_json}) = 'OBJECT' THEN json_keys({as_json}) END)"


def _size(json: str) -> str:
    as_json = f"TRY_CAST({json} AS JSON)"
    return (
        f"(CASE json_type({as_json}) WHEN 'ARRAY' THEN CAST(json_array_length({as_json}) AS BIGINT)"
        f" WHEN 'OBJECT' THEN CAST(len(json_keys({as_json})) AS BIGINT) END)"
    )


def _entry(json: str, key: str) -> str:
    """Return SQL for one entry, by JSON pointer: keys with dots, quotes and slashes are taken as they are."""
    as_json = f"TRY_CAST({json} AS JSON)"
    pointer = f"'/' || replace(replace({key}, '~', '~0'), '/', '~1')"
    return f"(CASE WHEN json_type({as_json}) = 'OBJECT' THEN json_extract_string({as_json}, {pointer}) END)"


def _joined(*moves: dict[str, int]) -> dict[str, int]:
    """Merge moves; a column that both raises and lowers a value moves it either way."""
    found: dict[str, int] = {}
    for each in moves:
        for name, way in each.items():
            found[name] = way if found.get(name, way) == way else 0
    return found


def _turned(moves: dict[str, int], by: int) -> dict[str, int]:
    return {name: way * by for name, way in moves.items()}


def all_reads(clauses: Iterable[Clause]) -> tuple[Read, ...]:
    """Return every source that some clause depends on, sorted."""
    return tuple(sorted({read for clause in clauses for read in clause.reads}))
