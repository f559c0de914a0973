"""The sentence that tells why: text with `{column}` and `{:param}`, each said by its type."""

from __future__ import annotations

import re
from dataclasses import dataclass

from auditor.rulelang.compile import literal, quoted
from auditor.rulelang.durations import spoken, spoken_sql
from auditor.rulelang.marks import did_you_mean
from auditor.rulelang.parse import Refused
from auditor.schema import Column, Table

_PART = re.compile(r"\{\{|\}\}|\{(:?)([A-Za-z_][A-Za-z0-9_]*)\}|[{}]")


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: texts and placeholders in turn."""

    text: str
    parts: tuple[tuple[str, str], ...]
    """(`text` | `column` | `param`, what)."""

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(sorted({what for kind, what in self.parts if kind == "column"}))

    @property
    def params(self) -> tuple[str, ...]:
        return tuple(sorted({what for kind, what in self.parts if kind == "param"}))

    def sql(self, table: Table) -> str:
        """Return SQL for the sentence; it reads columns and `_t_NAME`, the text of a parameter."""
        said: list[str] = []
        for kind, what in self.parts:
            if kind == "text":
                said.append(literal(what))
            elif kind == "param":
                said.append(f"coalesce({quoted(f'_t_{what}')}, 'not known')")
            else:
                said.append(f"coalesce({said_sql(table.column(what))}, 'not known')")
        return "(" + (" || ".join(said) or "''") + ")"


def parse_template(text: str, table: Table, params: frozenset[str]) -> Template:
    """Parse a template; raises Refused for a name that the table or the rule does not have."""
    known = {column.name for column in table.columns}
    parts: list[tuple[str, str]] = []
    at = 0
    for found in _PART.finditer(text):
        if found.start() > at:
            parts.append(("text", text[at : found.start()]))
        at = found.end()
        if found[0] in ("{{", "}}"):
            parts.append(("text", found[0][0]))
        elif found[2] is None:
            raise Refused(
                f"a lone {found[0]!r}: a placeholder is {{column}} or {{:param}}, a brace is doubled",
                found.start(),
            )
        elif found[1]:
            if found[2] not in params:
                raise Refused(
                    f"the rule has no parameter :{found[2]}{did_you_mean(found[2], params)}",
                    found.start(),
                )
            parts.append(("param", found[2]))
        else:
            if found[2] not in known:
                hint = (
                    f"; the parameter is written {{:{found[2]}}}"
                    if found[2] in params
                    else did_you_mean(found[2], known)
                )
                raise Refused(f"{table.entity or table.name} has no column {found[2]!r}{hint}", found.start())
            parts.append(("column", found[2]))
    if at < len(text):
        parts.append(("text", text[at:]))
    return Template(text, tuple(parts))


def time_sql(column: str) -> str:
    """Return SQL for a time as RFC 3339 says it, with microseconds only where there are some."""
    return f"replace(strftime({column}, '%Y-%m-%dT%H:%M:%S.%fZ'), '.000000Z', 'Z')"


def said_sql(column: Column) -> str:
    """Return SQL for a column as people read it; NULL stays NULL."""
    name = quoted(column.name)
    if column.type == "TIME":
        return time_sql(name)
    if column.type == "BOOL":
        return f"CASE {name} WHEN TRUE THEN 'yes' WHEN FALSE THEN 'no' END"
    if column.type == "JSON":
        listed = f"json_extract_string(TRY_CAST({name} AS JSON), '$[*]')"
        return (
            f"CASE WHEN {name} IN ('[]', '{{}}') THEN 'none' WHEN json_type(TRY_CAST({name} AS JSON)) = 'ARRAY'"
            f" THEN array_to_string({listed}, ', ') ELSE {name} END"
        )
    if column.type == "TEXT":
        return f"CASE WHEN {name} = '' THEN 'none' ELSE {name} END"
    if column.name.endswith("_s"):
        return f"CASE WHEN {name} IS NOT NULL THEN {spoken_sql(name)} END"
    if column.name.endswith(("_d", "_h")) or column.name == "bytes" or column.name.endswith("_bytes"):
        unit = {"_d": " d", "_h": " h"}.get(column.name[-2:], " bytes")
        return f"CAST({name} AS VARCHAR) || '{unit}'"
    return f"CAST({name} AS VARCHAR)"


def said_value(value: object, *, duration: bool) -> str | None:
    """Return a parameter as people read it; None when it is not set."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return spoken(value) if duration else str(value)
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "none"
    return str(value)
