"""Where each key of a TOML file stands: tomllib gives values and no positions.

Only for text that tomllib has accepted: nothing here judges the syntax.
"""

from __future__ import annotations

import re
from bisect import bisect_right

Path = tuple[str | int, ...]
"""Keys and positions in arrays, from the root."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN = re.compile(r"[^,\]}#\n]*")
_BEGINS = re.compile(r"\s*(?:\[\[?[A-Za-z0-9_.-]+\]\]?\s*(?:#.*)?$|[A-Za-z0-9_.-]+\s*=)")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'')
_STRINGS = (
    re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\]|\\.)*"'),
    re.compile(r"'[^']*'"),
)


def lines_of(text: str) -> dict[Path, int]:
    """Return the line, from 1, on which each key or array element begins."""
    return _Scanner(text).scan()


def left_open(text: str) -> int | None:
    """Return the line of a bracket that seems never to be closed: a table or a key begins inside it.

    For text that tomllib has refused: its own message names the place where it gave up.
    """
    opened: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        if opened and _BEGINS.match(line):
            return opened[0]
        bare = _QUOTED.sub("", line).partition("#")[0]
        for found in re.finditer(r"[\[\]]", bare):
            if found[0] == "[":
                opened.append(number)
            elif opened:
                opened.pop()
    return opened[0] if opened else None


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[Path, int] = {}
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._arrays: dict[Path, int] = {}

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip() < len(self.text):
            if self.text.startswith("[[", self.at):
                table = self._header(2)
            elif self.text[self.at] == "[":
                table = self._header(1)
            else:
                self._pair(table)
        return self.found

    def _skip(self) -> int:
        match = _BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.at

    def _note(self, path: Path, start: int) -> None:
        for size in range(1, len(path) + 1):
            self.found.setdefault(path[:size], bisect_right(self._starts, start))

    def _header(self, brackets: int) -> Path:
        start = self.at
        self.at += brackets
        keys = self._keys()
        self.at = self.text.index("]", self.at) + brackets
        path: Path = ()
        for position, key in enumerate(keys):
            path = (*path, key)
            last = position == len(keys) - 1
            if last and brackets == 2:
                self._note(path, start)
                self._arrays[path] = self._arrays.get(path, -1) + 1
            if path in self._arrays:
                path = (*path, self._arrays[path])
        self._note(path, start)
        return path

    def _keys(self) -> list[str]:
        keys: list[str] = []
        while True:
            self._skip()
            bare = _BARE.match(self.text, self.at)
            if bare:
                keys.append(bare[0])
                self.at = bare.end()
            else:
                keys.append(self._quoted())
            self._skip()
            if self.text[self.at] != ".":
                return keys
            self.at += 1

    def _quoted(self) -> str:
        """Return a quoted key; its escapes are undone as tomllib does."""
        import tomllib

        start = self.at
        self._string()
        return next(iter(tomllib.loads(f"{self.text[start : self.at]} = 0")))

    def _string(self) -> bool:
        for form in _STRINGS:
            match = form.match(self.text, self.at)
            if match:
                self.at = match.end()
                return True
        return False

    def _pair(self, base: Path) -> None:
        start = self.at
        path = (*base, *self._keys())
        self._note(path, start)
        self.at += 1
        self._value(path)

    def _value(self, path: Path) -> None:
        self._skip()
        opening = self.text[self.at]
        if opening in "[{":
            self.at += 1
            position = 0
            while self.text[self._skip()] not in "]}":
                if self.text[self.at] == ",":
                    self.at += 1
                elif opening == "[":
                    self._note((*path, position), self.at)
                    self._value((*path, position))
                    position += 1
                else:
                    self._pair(path)
            self.at += 1
        elif not self._string():
            match = _PLAIN.match(self.text, self.at)
            self.at = match.end() if match else self.at + 1
