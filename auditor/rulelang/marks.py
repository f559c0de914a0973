"""YAML read strictly, remembering where every value stands, so that a mistake is named at line and column."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

Where = tuple[str | int, ...]
"""The way to a value from the root of its file: keys and positions in lists."""

DEEPEST = 30
"""Collections within each other."""
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"-?(0|[1-9][0-9]*)\Z")
_WORDS: dict[str, object] = {"": None, "~": None, "null": None, "true": True, "false": False}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean X?` when one of the known words is close, else nothing."""
    close = get_close_matches(word, sorted(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a value begins: line and column from 1."""

    line: int
    column: int
    inline: bool
    """Its text follows on that line as written, so columns inside it can be told."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file."""

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.message}"


@dataclass(frozen=True, slots=True)
class Marked:
    """A YAML file: its value, where each part stands, and the mistakes of its form."""

    path: str
    value: Any
    marks: dict[Where, Mark]
    problems: tuple[tuple[Where, Problem], ...]

    def problem(self, where: Where, message: str, offset: int | None = None) -> Problem:
        """Name a mistake at a value, or `offset` characters into its text; at the nearest parent if it is absent."""
        while where and where not in self.marks:
            where, offset = where[:-1], None
        mark = self.marks.get(where, Mark(1, 1, inline=False))
        column = mark.column + offset if offset is not None and mark.inline else mark.column
        return Problem(self.path, mark.line, column, message)


def read_yaml(path: Path, name: str | None = None) -> Marked:
    """Read one YAML file.

    Only `null`, `true`, `false` and decimal integers are other than text: `Off`, `12:30` and dates stay what the
    author wrote. Duplicate keys are mistakes. A file that is no YAML, or has
    aliases or tags, has one problem, at its root.
    """
    name = name or str(path)
    try:
        text = path.read_text(encoding="utf-8")
        refused = _refused(text)
        if refused is not None:
            line, column, message = refused
            return _unreadable(name, line, column, message)
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        return _unreadable(name, line, column, f"not YAML: {error.problem or error.context}")
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        return _unreadable(name, 1, 1, f"not YAML: {str(error).splitlines()[0]}")
    except OSError as error:
        return _unreadable(name, 1, 1, f"cannot be read: {error.strerror}")
    reader = _Reader(name)
    value = None if root is None else reader.read(root, ())
    return Marked(name, value, reader.marks, tuple(reader.problems))


def _refused(text: str) -> tuple[int, int, str] | None:
    """Look at the events before any tree is built: aliases multiply it and depth exhausts the composer's stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        mark = event.start_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        if isinstance(event, yaml.AliasEvent):
            return line, column, "aliases (*name) are not allowed: write the value out"
        if isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None) not in (None, "!"):
            return line, column, "tags (!name) are not allowed"
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            return line, column, f"nested more than {DEEPEST} deep"
    return None


def _unreadable(name: str, line: int, column: int, message: str) -> Marked:
    return Marked(name, None, {}, (((), Problem(name, line, column, message)),))


class _Reader:
    def __init__(self, name: str) -> None:
        self.name = name
        self.marks: dict[Where, Mark] = {}
        self.problems: list[tuple[Where, Problem]] = []

    def read(self, node: yaml.Node, where: Where) -> Any:
        quoted = isinstance(node, yaml.ScalarNode) and node.style in ("'", '"')
        mark = node.start_mark
        inline = mark.line == node.end_mark.line
        self.marks[where] = Mark(mark.line + 1, mark.column + 1 + quoted, inline)
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*where, at)) for at, item in enumerate(node.value)]
        return self._mapping(node, where)

    def _mapping(self, node: yaml.Node, where: Where) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._wrong(key, where, "a key must be a word")
                continue
            if key.value in found:
                self._wrong(key, (*where, key.value), f"{key.value!r} is given twice")
                continue
            found[key.value] = self.read(item, (*where, key.value))
        return found

    def _wrong(self, node: yaml.Node, where: Where, message: str) -> None:
        mark = node.start_mark
        self.problems.append((where, Problem(self.name, mark.line + 1, mark.column + 1, message)))


def _scalar(node: yaml.ScalarNode) -> Any:
    if node.style not in (None, ""):
        return node.value
    if node.value in _WORDS:
        return _WORDS[node.value]
    return int(node.value) if _INT.match(node.value) else node.value
