"""Parse one expression: a closed, typed subset of SQL, by an allow-list on sqlglot's tree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from auditor.rulelang.marks import did_you_mean
from auditor.rulelang.terms import (
    Arithmetic,
    Call,
    Compare,
    Constant,
    Entry,
    Expression,
    Field,
    Kind,
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

LONGEST = 2000
"""Characters of an expression: longer ones are no longer read by people, and deep nesting exhausts the parser."""

_UNITS = {"hours": 3600, "days": 86400, "minutes": 60}
_COMPARE: dict[str, Any] = {"EQ": "=", "NEQ": "<>", "LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}
_ARITHMETIC: dict[str, Any] = {"Add": "+", "Sub": "-", "Mul": "*"}
_NAMES = {
    "StartsWith": "starts_with",
    "Lower": "lower",
    "Length": "length",
    "ArrayLength": "length",
}
_CALLS: dict[str, tuple[tuple[Kind, ...], ...]] = {
    "has": (("JSON",), ("TEXT", "INT")),
    "all_in": (("JSON",), ("LIST",)),
    "any_in": (("JSON",), ("LIST",)),
    "one_of": (("TEXT", "INT"), ("LIST",)),
    "has_keys": (("JSON",), ("LIST",)),
    "like_any": (("TEXT",), ("LIST",)),
    "starts_with": (("TEXT",), ("TEXT",)),
}
"""The functions that answer true or false, with the kinds each argument may have."""
_ALLOWED = (
    "AND, OR, NOT, = <> < <= > >=, IN, BETWEEN, IS [NOT] NULL, + - *, hours, days, minutes, length, key, lower, "
    + ", ".join(sorted(_CALLS))
)
_WORDS = {"INT": "a number", "TEXT": "a text", "BOOL": "true or false", "TIME": "a time", "JSON": "a list or map",
          "LIST": "a list", "ANY": "unknown"}  # fmt: skip


class Refused(Exception):  # noqa: N818  # a sentence for the author, never shown as an exception
    """Raised for an expression outside the language; `offset` is where in its text."""

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


def parse(text: str, table: Table, params: dict[str, Kind]) -> Expression:
    """Parse and type-check one boolean expression over a table's columns.

    `params` holds the kind of each parameter; a kind that was ANY is narrowed in place by its first use.
    Raises Refused with a sentence.
    """
    tree = _tree(text)
    reader = _Reader(text, table, params)
    reader.check_names(tree)
    return reader.boolean(tree)


def _tree(text: str) -> Any:
    import sqlglot
    from sqlglot.errors import SqlglotError

    if len(text) > LONGEST:
        raise Refused(f"an expression may have {LONGEST} characters, this one has {len(text)}")
    if "--" in text or "/*" in text:
        raise Refused("comments are not allowed in an expression: use a YAML comment (#)")
    if not text.strip():
        raise Refused("the expression is empty")
    try:
        tree = sqlglot.parse_one(text, dialect="duckdb")
    except SqlglotError as error:
        told = getattr(error, "errors", None) or [{}]
        what = str(told[0].get("description") or "it cannot be understood").rstrip(".")
        column = told[0].get("col")
        raise Refused(f"not an expression: {what}", None if column is None else max(0, column - 1)) from None
    except RecursionError:
        raise Refused("too deeply nested") from None
    return tree


class _Reader:
    def __init__(self, text: str, table: Table, params: dict[str, Kind]) -> None:
        self.text = text
        self.table = table
        self.params = params
        self.kinds: Mapping[str, Kind] = {column.name: column.type for column in table.columns}

    def check_names(self, tree: Any) -> None:
        """Judge names before types: a misspelt column is not a type error."""
        for node in tree.walk():
            form = type(node).__name__
            if form == "Column" and node.args.get("table") is None:
                name = node.name
                if name not in self.kinds:
                    hint = did_you_mean(name, self.kinds)
                    if name in self.params:
                        hint = f"; the parameter is written :{name}"
                    raise Refused(f"{self._entity()} has no column {name!r}{hint}", self._offset(node))
            if form == "Placeholder" and node.name not in self.params:
                hint = did_you_mean(node.name, self.params)
                raise Refused(f"the rule has no parameter :{node.name}{hint}", self._find(f":{node.name}"))

    def boolean(self, node: Any) -> Expression:
        node = _inside(node)
        form = type(node).__name__
        if form in ("And", "Or"):
            op: Any = form.upper()
            parts = (self.boolean(node.this), self.boolean(node.expression))
            return Many(op, tuple(p for part in parts for p in _flat(op, part)))
        if form == "Not":
            return Not(self.boolean(node.this))
        if form in _COMPARE:
            return self._compare(_COMPARE[form], node, self.value(node.this), self.value(node.expression))
        if form == "Between":
            value, low, high = self.value(node.this), node.args["low"], node.args["high"]
            least = self._compare(">=", node, value, self.value(low))
            return Many("AND", (least, self._compare("<=", node, value, self.value(high))))
        if form == "In":
            return self._in(node)
        if form == "Is":
            return self._is(node)
        name = _NAMES.get(form) or (node.name.lower() if form == "Anonymous" else "")
        if name in _CALLS:
            return self._call(name, node)
        value = self.value(node)
        if self._kind(value, "BOOL") != "BOOL":
            raise Refused(
                f"{node.sql()} is {self._say(value)}; a check must be true or false",
                self._offset(node),
            )
        return Truth(value)

    def value(self, node: Any) -> Value:
        node = _inside(node)
        form = type(node).__name__
        if form == "Column" and node.args.get("table") is None:
            return Field(node.name, self.kinds[node.name])
        if form == "Placeholder":
            return Parameter(node.name)
        if form == "Boolean":
            return Constant(bool(node.this), "BOOL")
        if form in ("Literal", "Neg"):
            return self._literal(node)
        if form in _ARITHMETIC:
            return self._arithmetic(_ARITHMETIC[form], node)
        name = _NAMES.get(form) or (node.name.lower() if form == "Anonymous" else "")
        if name in _UNITS or name in ("length", "key", "lower"):
            return self._function(name, node)
        if form == "Anonymous":
            known = {*_UNITS, *_CALLS, "length", "key", "lower"}
            raise Refused(
                f"{node.name}() is not allowed in a rule{did_you_mean(name, known)}",
                self._find(node.name),
            )
        if form == "Alias":
            raise Refused(f"{node.sql()!r} is not a value: a duration is written hours(26) or days(35)")
        raise Refused(f"{node.sql()!r} is not allowed in a rule; allowed are {_ALLOWED}", self._offset(node))

    def _literal(self, node: Any) -> Constant:
        if type(node).__name__ == "Neg":
            inner = self.value(node.this)
            if isinstance(inner, Constant) and inner.kind == "INT":
                return Constant(-int(inner.value), "INT")
            raise Refused(f"{node.sql()!r}: only a number can be negative")
        if node.is_string:
            return Constant(node.this, "TEXT")
        if not re.fullmatch(r"[0-9]{1,18}", node.this):
            raise Refused(f"{node.this!r} is not a whole number", self._find(node.this))
        return Constant(int(node.this), "INT")

    def _function(self, name: str, node: Any) -> Value:
        arguments = [self.value(argument) for argument in _arguments(node)]
        if len(arguments) != (2 if name == "key" else 1):
            raise Refused(
                f"{name}() takes {'two values' if name == 'key' else 'one value'}", self._find(name)
            )
        first = arguments[0]
        if name in _UNITS:
            if not isinstance(first, Constant) or first.kind != "INT":
                raise Refused(f"{name}() takes a number as written", self._find(name))
            return Constant(int(first.value) * _UNITS[name], "INT")
        self._need(first, ("TEXT",) if name == "lower" else ("JSON",), node)
        if name == "lower":
            return Lower(first)
        if name == "length":
            return Size(first)
        self._need(arguments[1], ("TEXT",), node)
        return Entry(first, arguments[1])

    def _arithmetic(self, op: Any, node: Any) -> Arithmetic:
        left, right = self.value(node.this), self.value(node.expression)
        kinds = (self._kind(left, "INT"), self._kind(right, "INT"))
        if kinds == ("INT", "INT") or (kinds == ("TIME", "TIME") and op == "-"):
            return Arithmetic(op, left, right, "INT")
        if kinds == ("TIME", "INT") and op != "*":
            return Arithmetic(op, left, right, "TIME")
        if kinds == ("INT", "TIME") and op == "+":
            return Arithmetic(op, right, left, "TIME")
        raise Refused(
            f"{node.sql()!r} computes with {self._say(left)} and {self._say(right)}",
            self._offset(node.this),
        )

    def _compare(self, op: Any, node: Any, left: Value, right: Value) -> Expression:
        kind = self._kind(left, None)
        other = self._kind(right, None)
        kind = self._kind(left, other) if kind == "ANY" else kind
        other = self._kind(right, kind) if other == "ANY" else other
        if kind == "ANY":
            raise Refused(
                f"{node.sql()!r}: the type of {self._say(left)} is told by nothing",
                self._offset(node),
            )
        if kind != other:
            raise Refused(f"{self._say(left)} is compared with {self._say(right)}", self._offset(node.this))
        if kind in ("JSON", "LIST"):
            raise Refused(f"{self._say(left)} cannot be compared: use length, has, all_in, any_in, key or has_keys",
                          self._offset(node.this))  # fmt: skip
        if kind == "BOOL" and op not in ("=", "<>"):
            raise Refused(f"true and false have no order: {node.sql()!r}", self._offset(node.this))
        if isinstance(left, Constant) and kind == "BOOL":
            left, right = right, left
        if isinstance(right, Constant) and kind == "BOOL":
            return Truth(left) if (op == "=") == bool(right.value) else Not(Truth(left))
        return Compare(op, left, right, kind)

    def _in(self, node: Any) -> Expression:
        if node.args.get("query") is not None or node.args.get("unnest") is not None or not node.expressions:
            raise Refused(
                "IN takes values as written, no query; for a list parameter use one_of",
                self._offset(node.this),
            )
        value = self.value(node.this)
        items = [self.value(item) for item in node.expressions]
        for item in items:
            if isinstance(item, Parameter) and self._kind(item, None) == "LIST":
                raise Refused(f":{item.name} is a list: write one_of({node.this.sql()}, :{item.name})")
        found = tuple(self._compare("=", node, value, item) for item in items)
        return found[0] if len(found) == 1 else Many("OR", found)

    def _is(self, node: Any) -> Expression:
        value, what = self.value(node.this), type(node.expression).__name__
        if what == "Null":
            if not isinstance(value, Field | Entry):
                raise Refused("IS NULL asks about a column or key(...)", self._offset(node.this))
            return Missing(value)
        raise Refused("IS takes NULL only: write `x = true`, `x` or `NOT x`", self._offset(node.this))

    def _call(self, name: Any, node: Any) -> Call:
        arguments = tuple(self.value(argument) for argument in _arguments(node))
        kinds = _CALLS[name]
        if len(arguments) != len(kinds):
            raise Refused(f"{name}() takes {len(kinds)} values, {len(arguments)} are given", self._find(name))
        for argument, allowed in zip(arguments, kinds, strict=True):
            self._need(argument, allowed, node)
        if name == "like_any" and isinstance(arguments[1], Parameter):
            arguments = (arguments[0], replace(arguments[1], globs=True))
        return Call(name, arguments)

    def _need(self, value: Value, allowed: tuple[Kind, ...], node: Any) -> None:
        if self._kind(value, allowed[0]) not in allowed:
            words = " or ".join(_WORDS[kind] for kind in allowed)
            raise Refused(f"{node.sql()!r} needs {words}; {self._say(value)}", self._offset(node))

    def _kind(self, value: Value, expected: Kind | None) -> Kind:
        """Return the kind of a value; a parameter of kind ANY takes the expected one from now on."""
        match value:
            case Field(kind=kind) | Constant(kind=kind) | Arithmetic(kind=kind):
                return kind
            case Parameter(name=name):
                if self.params[name] == "ANY" and expected not in (None, "ANY", "JSON", "TIME"):
                    self.params[name] = expected
                return self.params[name]
            case Size():
                return "INT"
            case _:
                return "TEXT"

    def _say(self, value: Value) -> str:
        kind = _WORDS[self._kind(value, None)]
        match value:
            case Field(name=name):
                return f"column {name!r} ({kind})"
            case Parameter(name=name):
                return f":{name} ({kind})"
            case Constant(value=what):
                return f"{what!r} ({kind})"
            case _:
                named = [v.name for v in values_of(value) if isinstance(v, Field)]
                return f"a value of {', '.join(named) or 'constants'} ({kind})"

    def _entity(self) -> str:
        return self.table.entity or self.table.name

    def _offset(self, node: Any) -> int | None:
        for part in node.walk():
            start = getattr(part, "meta", {}).get("start")
            if isinstance(start, int):
                return start
        return None

    def _find(self, word: str) -> int | None:
        at = self.text.lower().find(word.lower())
        return at if at >= 0 else None


def _inside(node: Any) -> Any:
    """Return what stands in parentheses, or in the nameless alias that sqlglot sees in `NOT :flag`."""
    while type(node).__name__ == "Paren" or (type(node).__name__ == "Alias" and not node.alias):
        node = node.this
    return node


def _arguments(node: Any) -> list[Any]:
    if type(node).__name__ == "Anonymous":
        return list(node.expressions)
    return [part for part in (node.this, node.args.get("expression")) if part is not None]


def _flat(op: str, part: Expression) -> tuple[Expression, ...]:
    return part.items if isinstance(part, Many) and part.op == op else (part,)
