"""What a step may say so that every engine says the same, and its words for Spark.

sqlglot carries a text from DuckDB's SQL to Spark's, but passes some of it through untouched (ASOF joins, functions that
only one of them has) and changes the meaning of some without a word (a list loses its order, `date_diff` counts
whole seconds in place of boundaries). So a step is held to a list of what was tried on both; what is not on it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlglot.expressions import Expr as Node

_COMPARED = """
    Select Union CTE With From Join Where Group Having Order Ordered Limit Subquery Exists Table TableAlias Alias
    Column Identifier Star Literal Boolean Null Var DataType Interval
    And Or Not Paren EQ NEQ GT GTE LT LTE Is In Between Like Escape NullSafeEQ NullSafeNEQ
    Add Sub Mul Neg Mod DPipe Case If Cast Coalesce Nullif Greatest Least
    Count Sum Min Max Distinct Filter Window WindowSpec RowNumber Lag Lead
    TimestampTrunc DateDiff Second Length Substring Replace StartsWith EndsWith RegexpReplace RegexpExtract SplitPart
    JSONExtractScalar JSONPath JSONPathRoot JSONPathKey
"""
"""Names of sqlglot's classes of what was compared on both engines (tests/test_engine_spark.py)."""
_ALLOWED = frozenset(_COMPARED.split())
_WHY = {
    "ArgMin": "min_by leaves a tie to chance: take the least value, then the least key that has it",
    "ArgMax": "max_by leaves a tie to chance: take the greatest value, then the greatest key that has it",
    "ArrayAgg": "a list loses its order on Spark: rank the rows, and let a step on DuckDB list them",
    "Array": "arrays are spelled differently by every engine: use rows",
    "Div": "a division is a float: use whole numbers",
    "Explode": "unnest makes rows of an array: use rows from the start",
    "Unnest": "unnest makes rows of an array: use rows from the start",
    "Extract": "Spark's EXTRACT holds fractions and knows no EPOCH: use second(at) or date_diff('second', …)",
    "GroupConcat": "string_agg is a function of Spark 4 alone: rank the rows, and let a step on DuckDB join them",
    "IntDiv": "Spark and DuckDB round a negative quotient differently: use whole numbers without a division",
    "PercentileDisc": "quantiles are spelled differently by every engine",
    "Qualify": "QUALIFY is not SQL of every engine: put row_number() in a subquery",
    "Rand": "a random value is another one each time",
    "AnyValue": "any_value leaves the choice to chance: use min or max",
    "First": "first leaves the choice to chance: use min or max",
}
_UNITS = frozenset(("SECOND", "MINUTE", "HOUR", "DAY"))
_TYPES = frozenset(("VARCHAR", "TEXT", "BIGINT", "BOOLEAN", "TIMESTAMP", "TIMESTAMPNTZ"))


def problems(text: str) -> list[str]:
    """Return what of a step's text another engine would not understand, or would understand differently; sorted."""
    from sqlglot import ParseError

    try:
        tree = _parsed(text)
    except ParseError as error:
        return [f"is not one SELECT: {str(error).splitlines()[0]}"]
    return sorted({found for node in tree.walk() for found in _problems(node)})


def _problems(node: Node) -> Iterator[str]:
    kind = type(node).__name__
    if kind == "Anonymous":
        yield f"{str(node.this).lower()}() is no function of every engine"
    elif kind not in _ALLOWED:
        yield _WHY.get(kind, f"{kind} is not on the list of what was compared")
    elif check := _CHECKS.get(kind):
        yield from check(node)


def _join(node: Node) -> Iterator[str]:
    if (method := str(node.args.get("method") or "")) not in ("", "CROSS"):
        yield f"{method} JOIN is not SQL of every engine: make the small side's intervals disjoint and join the range"
    if node.args.get("using"):
        yield "USING leaves out a column: say ON"


def _with(node: Node) -> Iterator[str]:
    if node.args.get("recursive"):
        yield "RECURSIVE is not SQL of every engine"


def _group(node: Node) -> Iterator[str]:
    if node.args.get("all"):
        yield "GROUP BY ALL hides what is grouped by"


def _limit(node: Node) -> Iterator[str]:
    if not (node.parent and node.parent.args.get("order")):
        yield "LIMIT without ORDER BY leaves the choice to chance"


def _table(node: Node) -> Iterator[str]:
    if node.args.get("db") or type(node.this).__name__ != "Identifier" or not node.name.isidentifier():
        yield f"{node.sql('duckdb')} is not the name of a table"
    if node.args.get("sample"):
        yield "a sample is another one each time"


def _star(node: Node) -> Iterator[str]:
    for part in ("except", "except_", "replace", "rename"):
        if node.args.get(part):
            yield "* with EXCLUDE, REPLACE or RENAME is not SQL of every engine"


def _literal(node: Node) -> Iterator[str]:
    if not node.is_string and not str(node.this).isdigit():
        yield f"{node.this} is no whole number"


def _cast(node: Node) -> Iterator[str]:
    kind = node.args["to"].sql("duckdb").upper()
    if kind not in _TYPES:
        yield f"a cast to {kind} is not on the list of what was compared"
    if type(node).__name__ == "TryCast":
        yield "TRY_CAST hides what does not fit"


def _like(node: Node) -> Iterator[str]:
    if type(node.parent).__name__ == "Escape":
        return
    pattern = node.expression
    if type(pattern).__name__ != "Literal" or "\\" in str(pattern.this):
        yield "LIKE with a pattern that is computed or holds a backslash needs an ESCAPE: Spark has one of its own"


def _unit(node: Node) -> Iterator[str]:
    unit = str(node.args.get("unit") or "").upper()
    if unit not in _UNITS:
        yield f"{unit or 'no unit'} of time is not on the list of what was compared"


def _seconds(node: Node) -> Iterator[str]:
    if str(node.args.get("unit") or "").upper() != "SECOND":
        yield "date_diff counts boundaries on one engine and whole units on the other: count seconds"


def _substring(node: Node) -> Iterator[str]:
    start = node.args.get("start")
    if type(start).__name__ != "Literal" or str(start.this) == "0":  # type: ignore[union-attr]
        yield "substr begins at a literal, 1 or more: engines differ at 0 and below"


def _regexp_replace(node: Node) -> Iterator[str]:
    pattern, by = node.expression, node.args.get("replacement")
    anchored = type(pattern).__name__ == "Literal" and str(pattern.this).endswith("$")
    if node.args.get("modifiers") or not anchored or type(by).__name__ != "Literal" or by.this != "":  # type: ignore[union-attr]
        yield "regexp_replace only takes an end away: one engine replaces the first match, the other all"


def _regexp_extract(node: Node) -> Iterator[str]:
    pattern = str(node.expression.this) if type(node.expression).__name__ == "Literal" else ""
    if not (pattern.startswith("^") or pattern.endswith("$")) or str(node.args.get("group") or "0") != "0":
        yield "regexp_extract takes the whole of a pattern that begins with ^ or ends in $"


def _window(node: Node) -> Iterator[str]:
    ranked = type(node.this).__name__ in ("RowNumber", "Lag", "Lead")
    if ranked and not node.args.get("order") and not node.args.get("alias"):
        yield "a rank without ORDER BY leaves the choice to chance"


def _json(node: Node) -> Iterator[str]:
    if type(node.expression).__name__ != "JSONPath":
        yield "a path into JSON is a literal"


def _splits(node: Node) -> Iterator[str]:
    index = node.args.get("part_index")
    if type(index).__name__ != "Literal" or str(index.this) == "0":  # type: ignore[union-attr]
        yield "split_part takes a literal place, 1 or more"


_CHECKS: dict[str, Callable[[Any], Iterator[str]]] = {
    "Join": _join,
    "With": _with,
    "Group": _group,
    "Limit": _limit,
    "Table": _table,
    "Star": _star,
    "Literal": _literal,
    "Cast": _cast,
    "Like": _like,
    "TimestampTrunc": _unit,
    "Interval": _unit,
    "DateDiff": _seconds,
    "Substring": _substring,
    "RegexpReplace": _regexp_replace,
    "RegexpExtract": _regexp_extract,
    "JSONExtractScalar": _json,
    "SplitPart": _splits,
    "Window": _window,
}


@cache
def reads(text: str) -> frozenset[str]:
    """Return the tables that a step reads."""
    from sqlglot import exp

    tree = _parsed(text)
    named = {cte.alias for cte in tree.find_all(exp.CTE)}
    return frozenset(table.name for table in tree.find_all(exp.Table)) - named


@cache
def spark(text: str) -> str:
    """Return a step's text for Spark; ValueError when it says what Spark would not say alike."""
    from sqlglot import ErrorLevel, exp

    if found := problems(text):
        raise ValueError("; ".join(found))
    tree = _parsed(text).transform(_spelled, exp)
    said = tree.sql(dialect="spark", unsupported_level=ErrorLevel.RAISE, identify=True, comments=False)
    return str(said)


def _spelled(node: Node, kinds: Any) -> Node:
    """Put what Spark spells alike but means differently."""
    if isinstance(node, kinds.DateDiff):
        # DuckDB counts the boundaries between two times, Spark the whole seconds.
        until, since = (
            kinds.func("unix_seconds", kinds.cast(each.copy(), kinds.DataType.Type.TIMESTAMPLTZ))
            for each in (node.this, node.expression)
        )
        return kinds.paren(kinds.Sub(this=until, expression=since))  # type: ignore[no-any-return]
    if isinstance(node, kinds.TimestampTrunc) and not isinstance(node.parent, kinds.Cast):
        return kinds.cast(node.copy(), kinds.DataType.Type.TIMESTAMPNTZ)  # type: ignore[no-any-return]
    return node


@cache
def _parsed(text: str) -> Node:
    from sqlglot import ParseError, parse

    statements = [each for each in parse(text, dialect="duckdb") if each is not None]
    if len(statements) != 1 or type(statements[0]).__name__ not in ("Select", "Union"):
        raise ParseError("a step is one SELECT")
    return statements[0]
