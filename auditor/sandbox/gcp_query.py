"""The filter languages of Google's list calls: parsed whole, or refused with the place.

Three dialects share one grammar, in which OR binds tighter than AND and an AND may be left out:

    query      = [ factor { [ "AND" ] factor } ]
    factor     = term { "OR" term }
    term       = [ "NOT" | "-" ] ( "(" query ")" | comparison | text )
    comparison = path operator ( value | "(" values ")" | "*" )
    values     = value { ( "OR" | "AND" ) value }            one of the two words, not both
    path       = name { "." name }                           a name is a word or a quoted text
    value      = word | quoted text

Logging (cloud.google.com/logging/docs/view/logging-query-language) has it all: `= != < <= > >= : =~
!~`, keywords in capitals, `--` comments, and a lone text that searches every field. Dataproc's jobs
and clusters know AND only, batches and sessions AND and OR in either case (docstrings of the
`filter` fields in google-cloud-dataproc). Functions such as SEARCH() are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Test = Callable[[Any], bool]
"""Whether one resource meets a query."""


class FilterError(ValueError):
    """Raised for a filter that is not understood to its end; Google answers INVALID_ARGUMENT."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`path operator value`; a value of None is the bare `*`."""

    path: tuple[str, ...]
    operator: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Text:
    """A text alone, sought in every field."""

    text: str


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of one node."""

    node: Node


@dataclass(frozen=True, slots=True)
class Every:
    """All of some nodes; none at all is true."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of some nodes."""

    nodes: tuple[Node, ...]


Node = Comparison | Text | Not | Every | AnyOf


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one list call admits of the grammar."""

    operators: frozenset[str]
    alternatives: bool = True
    """OR, and lists of values."""
    negation: bool = True
    groups: bool = True
    texts: bool = True
    small_words: bool = False
    """`and` and `or` are keywords too."""


LOGGING = Dialect(frozenset({"=", "!=", "<", "<=", ">", ">=", ":", "=~", "!~"}))
CLAUSES = Dialect(
    frozenset({"=", "<", "<=", ">", ">="}),
    alternatives=False,
    negation=False,
    groups=False,
    texts=False,
)
"""ListJobs and ListClusters."""
RESOURCES = Dialect(frozenset({"=", "!=", "<", "<=", ">", ">=", ":"}), texts=False, small_words=True)
"""ListBatches and ListSessions."""

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*)
      | (?P<operator>>=|<=|!=|=~|!~|[=:<>])
      | (?P<mark>[()])
      | (?P<minus>-)(?=["(A-Za-z_])
      | (?P<path>(?:[\w/@*%+\-]+|"(?:\\.|[^"\\])*")(?:\.(?:[\w/@*%+\-]+|"(?:\\.|[^"\\])*"))*)""",
    re.VERBOSE,
)
_NAME = re.compile(r'"((?:\\.|[^"\\])*)"|([^."]+)')


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int

    @property
    def names(self) -> tuple[str, ...]:
        """The parts of a path, unquoted."""
        return tuple(
            _plain(quoted) if quoted or not word else word for quoted, word in _NAME.findall(self.text)
        )

    @property
    def value(self) -> str:
        """The token as one value: a quoted text is unquoted, anything else stands as it is."""
        if re.fullmatch(r'"(?:\\.|[^"\\])*"', self.text):
            return _plain(self.text[1:-1])
        return self.text


def _plain(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)


def parse(text: str, dialect: Dialect) -> Node:
    """Return the query as a tree; raises FilterError for anything the dialect does not have."""
    return _Parser(text, dialect).whole()


def matcher(node: Node, compare: Callable[[Comparison], Test], search: Callable[[str], Test]) -> Test:
    """Return the test that a tree stands for; `compare` and `search` may raise FilterError."""
    match node:
        case Comparison():
            return compare(node)
        case Text(text):
            return search(text)
        case Not(inner):
            test = matcher(inner, compare, search)
            return lambda resource: not test(resource)
        case Every(nodes):
            tests = [matcher(each, compare, search) for each in nodes]
            return lambda resource: all(test(resource) for test in tests)
        case AnyOf(nodes):
            tests = [matcher(each, compare, search) for each in nodes]
            return lambda resource: any(test(resource) for test in tests)


class _Parser:
    """Recursive descent over the tokens of one filter."""

    def __init__(self, text: str, dialect: Dialect) -> None:
        self._text = text
        self._dialect = dialect
        self._tokens = self._split(text)
        self._at = 0

    def whole(self) -> Node:
        node = self._query()
        if self._at < len(self._tokens):
            raise self._refusal()
        return node

    def _split(self, text: str) -> list[_Token]:
        tokens, at = [], 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise FilterError(f"Unparseable filter: syntax error at column {at + 1}")
            kind = found.lastgroup or ""
            if kind != "space":
                tokens.append(_Token(kind, found[kind], at))
            at = found.end()
        return tokens

    def _refusal(self, why: str = "syntax error") -> FilterError:
        if self._at >= len(self._tokens):
            return FilterError(f"Unparseable filter: {why} at its end")
        token = self._tokens[self._at]
        return FilterError(f"Unparseable filter: {why} at column {token.at + 1}, token {token.text!r}")

    def _peek(self, ahead: int = 0) -> _Token | None:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else None

    def _word(self, word: str) -> bool:
        token = self._peek()
        if token is None or token.kind != "path":
            return False
        return token.text == word or (self._dialect.small_words and token.text == word.lower())

    def _mark(self, mark: str) -> bool:
        token = self._peek()
        return token is not None and token.kind == "mark" and token.text == mark

    def _query(self) -> Node:
        factors: list[Node] = []
        while self._peek() is not None and not self._mark(")"):
            if factors and self._word("AND"):
                self._at += 1
            factors.append(self._factor())
        return factors[0] if len(factors) == 1 else Every(tuple(factors))

    def _factor(self) -> Node:
        terms = [self._term()]
        while self._word("OR"):
            if not self._dialect.alternatives:
                raise self._refusal("only AND is supported")
            self._at += 1
            terms.append(self._term())
        return terms[0] if len(terms) == 1 else AnyOf(tuple(terms))

    def _term(self) -> Node:
        token = self._peek()
        if token is None:
            raise self._refusal()
        if self._word("NOT") or token.kind == "minus":
            if not self._dialect.negation:
                raise self._refusal("negation is not supported")
            self._at += 1
            return Not(self._term())
        if self._mark("("):
            return self._group()
        if token.kind != "path" or self._word("AND") or self._word("OR"):
            raise self._refusal()
        following = self._peek(1)
        if following is not None and following.kind == "operator":
            return self._comparison()
        if following is not None and following.text == "(" and following.at == token.at + len(token.text):
            raise self._refusal("functions are not supported")
        if not self._dialect.texts:
            return self._presence()
        self._at += 1
        return Text(token.value)

    def _presence(self) -> Node:
        """Read `labels.KEY` without a value, which ListJobs documents as `[field [= value]]`."""
        token = self._tokens[self._at]
        if self._dialect is not CLAUSES or token.names[0] != "labels":
            raise self._refusal()
        self._at += 1
        return Comparison(token.names, "=", None)

    def _group(self) -> Node:
        if not self._dialect.groups:
            raise self._refusal("parentheses are not supported")
        self._at += 1
        if self._mark(")"):
            raise self._refusal("empty parentheses")
        node = self._query()
        if not self._mark(")"):
            raise self._refusal("a parenthesis is not closed")
        self._at += 1
        return node

    def _comparison(self) -> Node:
        left, operator = self._tokens[self._at], self._tokens[self._at + 1]
        self._at += 1
        if operator.text not in self._dialect.operators:
            raise self._refusal("operator not supported")
        self._at += 1
        if not self._mark("("):
            return Comparison(left.names, operator.text, self._value())
        if not self._dialect.alternatives:
            raise self._refusal("lists of values are not supported")
        self._at += 1
        values, joined = [self._value()], ""
        while not self._mark(")"):
            word = next((word for word in ("OR", "AND") if self._word(word)), None)
            if word is None or (joined and word != joined):
                raise self._refusal("values are joined by OR or by AND")
            joined = word
            self._at += 1
            values.append(self._value())
        self._at += 1
        each = tuple(Comparison(left.names, operator.text, value) for value in values)
        return Every(each) if joined == "AND" else AnyOf(each)

    def _value(self) -> str | None:
        token = self._peek()
        if token is None or token.kind not in ("path", "minus"):
            raise self._refusal("a value is missing")
        if token.kind == "minus":
            raise self._refusal("quote a value that starts with a minus")
        if any(self._word(word) for word in ("AND", "OR", "NOT")):
            raise self._refusal("a value is missing")
        self._at += 1
        return None if token.text == "*" else token.value


def texts(value: Any) -> list[str]:
    """Return every scalar inside a JSON value as text."""
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in texts(inner)]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return [] if value is None else [str(value)]
