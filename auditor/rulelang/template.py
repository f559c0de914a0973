"""The sentence that tells why: text with `{column}` and `{:param}`, each said by its type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

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


def said_as(column: Column) -> str:
    """Return how people read a column: a key of `SAID`."""
    if column.type != "INT":
        return f"said {column.type}"
    if column.name.endswith("_s"):
        return "said seconds"
    if column.name.endswith(("_d", "_h")):
        return f"said {column.name[-1]}"
    return "said bytes" if column.name == "bytes" or column.name.endswith("_bytes") else "said INT"


_TIME = "replace(strftime(CAST(x AS TIMESTAMP), '%Y-%m-%dT%H:%M:%S.%fZ'), '.000000Z', 'Z')"
"""A time as RFC 3339 says it, with microseconds only where there are some."""
_JSON = "TRY_CAST(x AS JSON)"

SAID: Mapping[str, str] = {
    "said TEXT": "CASE WHEN x = '' THEN 'none' ELSE x END",
    "said INT": "x",
    "said BOOL": "CASE x WHEN 'true' THEN 'yes' WHEN 'false' THEN 'no' END",
    "said TIME": _TIME,
    "said JSON": f"CASE WHEN x IN ('[]', '{{}}') THEN 'none' WHEN json_type({_JSON}) = 'ARRAY'"
    f" THEN array_to_string(json_extract_string({_JSON}, '$[*]'), ', ') ELSE x END",
    "said seconds": f"CASE WHEN x IS NOT NULL THEN {spoken_sql('CAST(x AS BIGINT)')} END",
    "said d": "x || ' d'",
    "said h": "x || ' h'",
    "said bytes": "x || ' bytes'",
}
"""SQL for a fact `x`, cast to text, as people read it; NULL stays NULL."""
WRITTEN: Mapping[str, str] = {
    "json TEXT": "CAST(to_json(x) AS VARCHAR)",
    "json INT": "x",
    "json BOOL": "x",
    "json TIME": f"CAST(to_json({_TIME}) AS VARCHAR)",
    "json JSON": f"CAST(to_json({_JSON}) AS VARCHAR)",
}
"""The same as JSON has it; `json` and the type of the column."""


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
