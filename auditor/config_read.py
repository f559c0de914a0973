"""Turn a TOML table into a frozen dataclass, naming every key and value that does not fit."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import date, timedelta
from difflib import get_close_matches
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from auditor.config_lines import Path

_T = TypeVar("_T")
_DURATION = re.compile(r"([0-9]{1,9})(s|m|h|d)\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SECRET = re.compile(r"(?:^|_)(?:secret|secrets|token|password|passphrase|private_key)\Z")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+\Z")
_REFERENCE = re.compile(r"(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)\Z")


class Wrong(Exception):  # noqa: N818  # a sentence for the operator, gathered and never shown as an exception
    """Raised for a value that does not fit."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean X?` when one of the known words is close, else nothing."""
    close = get_close_matches(word, sorted(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def duration(text: object) -> int:
    """Return the seconds of `90s`, `15m`, `26h` or `35d`; Wrong for anything else."""
    found = _DURATION.match(text) if isinstance(text, str) else None
    if not found:
        raise Wrong(f'{text!r} is not a duration such as "26h", "35d" or "90m"')
    return int(found[1]) * _SECONDS[found[2]]


@dataclass(slots=True)
class Reading:
    """A file being read: where its keys stand, and its mistakes so far."""

    file: str
    lines: Mapping[Path, int]
    problems: list[tuple[int, str]] = field(default_factory=list)

    def wrong(self, path: Path, message: str) -> None:
        """Note a mistake at a key, or at the nearest table round it."""
        self.problems.append((line_of(self.lines, path), f"{dotted(path)}: {message}"))

    def told(self) -> list[str]:
        """Return every mistake as `file:line: key: what`, in the order of the file."""
        return [f"{self.file}:{line}: {said}" for line, said in sorted(set(self.problems))]

    def unknown(self, table: Mapping[str, Any], known: Iterable[str], path: Path) -> None:
        """Note every key that is not known."""
        names = list(known)
        for key in table:
            if key not in names:
                self.wrong((*path, key), f"unknown key{did_you_mean(key, names)}")

    def table(self, value: object, path: Path) -> dict[str, Any]:
        """Return a table, or an empty one and a mistake."""
        if isinstance(value, dict):
            return value
        self.wrong(path, f"must be a table, not {said(value)}")
        return {}

    def dataclass(self, form: type[_T], value: object, path: Path, ignore: Iterable[str] = ()) -> _T | None:
        """Return a table as a dataclass; None when it has a mistake."""
        before = len(self.problems)
        table = self.table(value, path)
        if len(self.problems) > before:
            return None
        hints = get_type_hints(form, include_extras=True)
        members = {each.name: each for each in fields(form) if each.init}  # type: ignore[arg-type]
        self.unknown(table, (*members, *ignore), path)
        given: dict[str, Any] = {}
        for name, member in members.items():
            if name in table:
                kind = member.metadata.get("kind") or ("secret" if _SECRET.search(name) else "")
                try:
                    given[name] = self.value(hints[name], table[name], (*path, name), kind)
                except Wrong as error:
                    self.wrong((*path, name), str(error))
            elif member.default is MISSING and member.default_factory is MISSING:
                self.wrong(path, f"{name!r} is missing")
        return form(**given) if len(self.problems) == before else None

    def value(self, hint: Any, value: Any, path: Path, kind: str = "") -> Any:
        """Return a value as a type says; raises Wrong, or notes mistakes inside it."""
        origin = get_origin(hint)
        if origin is Annotated:
            inner, kind = get_args(hint)[:2]
            return self.value(inner, value, path, str(kind))
        if kind in _KINDS:
            return _KINDS[kind](value)
        if origin in (Union, types.UnionType):
            inner = next(each for each in get_args(hint) if each is not type(None))
            return self.value(inner, value, path, kind)
        if origin is Literal:
            return _choice(value, get_args(hint))
        if origin in (tuple, list):
            return self._list(get_args(hint)[0], value, path)
        if origin is not None and issubclass(origin, Mapping):
            inner = get_args(hint)[1]
            table = self.table(value, path)
            return {key: self.value(inner, item, (*path, key)) for key, item in table.items()}
        if is_dataclass(hint):
            return self.dataclass(hint, value, path)  # type: ignore[arg-type]
        return _plain(hint, value, str(path[-1]) if path else "")

    def _list(self, inner: Any, value: Any, path: Path) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise Wrong(f"must be a list, not {said(value)}")
        found: list[Any] = []
        for at, item in enumerate(value):
            try:
                found.append(self.value(inner, item, (*path, at)))
            except Wrong as error:
                self.wrong((*path, at), str(error))
        return tuple(found)


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """Return the line of a key, or of the nearest table round it."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def dotted(path: Path) -> str:
    """Return a path as people write it: `aws.accounts[0].id`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "config"


def said(value: object) -> str:
    """Return the kind of a TOML value in words."""
    words = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}
    return words.get(type(value), "a table" if isinstance(value, dict) else "a date or time")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Wrong(f"must be text, not {said(value)}")
    if "\0" in value:
        raise Wrong("holds a NUL character")
    return value


def _required(value: object) -> str:
    if not _text(value).strip():
        raise Wrong("must not be empty")
    return _text(value)


def _limit(value: object) -> int:
    return -1 if value == "none" else duration(value)


def _days(value: object) -> int:
    if value == "none":
        return -1
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}d", value):
        return int(value[:-1])
    raise Wrong(f'{value!r} is not a number of days: 35, "35d" or "none"')


def _account(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{12}", value):
        raise Wrong(f"{value!r} is not an account id: 12 digits, in quotes")
    return value


def _role_arn(value: object) -> str:
    if _text(value) and not _ROLE.match(_text(value)):
        raise Wrong(f"{value!r} is not the ARN of a role: arn:aws:iam::123456789012:role/NAME")
    return _text(value)


def glob(value: object) -> str:
    """Return a glob; Wrong when it is empty or has a bracket that is never closed."""
    text = _required(value)
    if "[" in re.sub(r"\[!?\]?[^\]]*\]", "", text):
        raise Wrong(f"{text!r} is not a glob: '[' is not closed")
    return text


def _prefix(value: object) -> str:
    text = _text(value)
    if text.startswith(("/", "s3:")):
        raise Wrong(f"{text!r} is not a prefix: the key alone, without bucket or leading /")
    if text and not text.endswith("/"):
        raise Wrong(f"{text!r} must end in / (else run=1 would match run=17)")
    return text


def _secret(value: object) -> str:
    text = _text(value)
    if text and not _REFERENCE.match(text):
        raise Wrong('a secret never stands in the file: write "env:NAME" or "file:PATH"')
    return text


def _day(value: object) -> str:
    if value == "":
        return ""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        with suppress(ValueError):
            return date.fromisoformat(value).isoformat()
    raise Wrong(f'{value!r} is not a day such as "2026-01-31", in quotes')


_KINDS: dict[str, Any] = {
    "duration": duration,
    "limit": _limit,
    "days": _days,
    "account": _account,
    "role_arn": _role_arn,
    "glob": glob,
    "prefix": _prefix,
    "secret": _secret,
    "required": _required,
    "day": _day,
}


def _choice(value: object, choices: tuple[Any, ...]) -> Any:
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise Wrong(f"{value!r} is none of {listed}{did_you_mean(str(value), map(str, choices))}")
    return value


def _plain(hint: Any, value: Any, name: str) -> Any:
    if hint is Any:
        return value
    if hint is bool:
        if isinstance(value, bool):
            return value
        raise Wrong(f"must be true or false, not {said(value)}")
    if hint in (int, float):
        if name.endswith("_s") and isinstance(value, str):
            return hint(duration(value))
        if isinstance(value, bool) or not isinstance(value, int if hint is int else int | float):
            raise Wrong(f"must be a {'whole ' if hint is int else ''}number, not {said(value)}")
        if value < 0:
            raise Wrong(f"must not be negative, and is {value}")
        return hint(value)
    if hint is timedelta:
        return timedelta(seconds=duration(value))
    return FilePath(_text(value)) if hint is FilePath else _text(value)
