"""The SQL of the truths of a rule's clauses, its parameters in place."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from auditor.rulelang.compile import Clause, literal
from auditor.rulelang.rule import Param, ParamValue, Rule
from auditor.rulelang.saying import Applied, Values, links_of, told_of


def relation_columns(rule: Rule) -> tuple[str, ...]:
    """Return the columns of the subject's table that truths and places read, sorted."""
    used = {name for clause in rule.clauses for name in clause.columns}
    used |= {name for template in rule.templates for name in template.columns}
    known = {column.name for column in rule.table.columns}
    links = links_of(rule.table)
    beside = {name for told in _TOLD for name in told_of(links, used, told)}
    beside |= {rule.table.column(name).why for clause in rule.clauses for name in clause.columns}
    return tuple(sorted((used | beside | {"refs"}) & known))


_TOLD = ("because", "gaps", "refs")

# The truths -----------------------------------------------------------------------------------------------------------

_NAME = re.compile(r"""'(?:[^']|'')*'|"((?:[^"]|"")*)\"""")
"""A text, or a quoted name, as `compile` writes them."""


def truths_sql(applied: Applied) -> str:
    """Return SQL for the list of the truths of a rule's clauses, in the order of `saying.clauses_of`."""
    if not applied.truths:
        applied.truths = f"[{', '.join(_bound(applied, clause) for clause in applied.clauses.values())}]"
    return applied.truths


def _bound(applied: Applied, clause: Clause) -> str:
    """Return a clause's SQL with the values of its parameters: in a scan's one statement each rule has its own."""
    given: dict[str, str] = {}
    for name in clause.params:
        param = applied.rule.params[name]
        given[f"_p_{name}"] = _by_zone(applied.values, name, partial(param_sql, param))
        if name in clause.globs:
            given[f"_r_{name}"] = _by_zone(applied.values, name, _pattern)
    return _NAME.sub(lambda found: given.get(found[1] or "", found[0]), clause.sql)


def _by_zone(values: Values, name: str, write: Callable[[ParamValue], str]) -> str:
    """Return a constant where all zones agree, else a CASE over the row's zone; an unknown zone gives NULL."""
    written = {zone: write(given.get(name)) for zone, given in values.items()}
    if len(set(written.values())) == 1:
        return next(iter(written.values()))
    unknown = written.pop(None, write(None))
    cases = "".join(
        f" WHEN {literal(zone)} THEN {sql}" for zone, sql in sorted(written.items()) if zone is not None
    )
    return f'(CASE "_zone_key"{cases} ELSE {unknown} END)'


def param_sql(param: Param, value: ParamValue) -> str:
    """Return a parameter's value as typed SQL."""
    kind = {"INT": "BIGINT", "BOOL": "BOOLEAN", "LIST": "VARCHAR[]"}.get(param.kind, "VARCHAR")
    if value is None:
        return f"CAST(NULL AS {kind})"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, tuple):
        return f"CAST([{', '.join(literal(str(item)) for item in value)}] AS VARCHAR[])"
    return f"CAST({value} AS BIGINT)" if isinstance(value, int) else literal(value)


def _pattern(value: ParamValue) -> str:
    """Return a list of globs as one regular expression: `*` is anything, `?` one character, the rest itself."""
    if value is None:
        return "CAST(NULL AS VARCHAR)"
    globs = value if isinstance(value, tuple) else (value,)
    return literal(
        "(?s)(?:" + "|".join(glob_pattern(str(glob)) for glob in globs) + ")" if globs else "[^\\s\\S]"
    )


def glob_pattern(glob: str) -> str:
    """Return one glob as an RE2 pattern."""
    written = {"*": ".*", "?": "."}
    return "".join(written.get(c) or (c if c.isalnum() or c == "_" else f"\\x{{{ord(c):x}}}") for c in glob)
