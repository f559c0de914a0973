"""The terms of a rule's expression after it was parsed: a closed set, each with its type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["INT", "TEXT", "BOOL", "TIME", "JSON", "LIST", "ANY"]
"""Types of the schema, LIST for a list parameter, ANY for a parameter whose type nothing has told yet."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column of the subject's table."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the rule, `:name`."""

    name: str
    globs: bool = False
    """It is used as a list of globs, not as a value."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, a text or a truth value as written."""

    value: int | str | bool
    kind: Kind


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`left op right` in seconds, counts and times."""

    op: Literal["+", "-", "*"]
    left: Value
    right: Value
    kind: Kind


@dataclass(frozen=True, slots=True)
class Size:
    """How many entries a list or map has."""

    of: Value


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a map, as text."""

    of: Value
    key: Value


@dataclass(frozen=True, slots=True)
class Lower:
    """A text in lower case."""

    of: Value


Value = Field | Parameter | Constant | Arithmetic | Size | Entry | Lower


@dataclass(frozen=True, slots=True)
class Compare:
    """`left op right`; both are of one kind."""

    op: Literal["=", "<>", "<", "<=", ">", ">="]
    left: Value
    right: Value
    kind: Kind


@dataclass(frozen=True, slots=True)
class Missing:
    """`of IS NULL`."""

    of: Value


@dataclass(frozen=True, slots=True)
class Truth:
    """A BOOL column, parameter or literal on its own."""

    of: Value


@dataclass(frozen=True, slots=True)
class Call:
    """A function that answers true or false."""

    name: Literal["has", "all_in", "any_in", "one_of", "has_keys", "like_any", "starts_with"]
    args: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Negation: true becomes false, unknown stays unknown."""

    of: Expression


@dataclass(frozen=True, slots=True)
class Many:
    """AND or OR of several expressions, three-valued."""

    op: Literal["AND", "OR"]
    items: tuple[Expression, ...]


Expression = Compare | Missing | Truth | Call | Not | Many


def values_of(term: Expression | Value) -> tuple[Value, ...]:
    """Return every column, parameter and constant in a term, in order of appearance."""
    match term:
        case Field() | Parameter() | Constant():
            return (term,)
        case Many(items=parts) | Call(args=parts):
            return tuple(value for part in parts for value in values_of(part))
        case Arithmetic(left=left, right=right) | Compare(left=left, right=right):
            return (*values_of(left), *values_of(right))
        case Entry(of=of, key=key):
            return (*values_of(of), *values_of(key))
        case Size(of=inner) | Lower(of=inner) | Missing(of=inner) | Truth(of=inner):
            return values_of(inner)
        case Not(of=negated):
            return values_of(negated)
