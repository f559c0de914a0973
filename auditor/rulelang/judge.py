"""One rule as one statement: every subject with its verdict, its reason and the values behind it.

The statement reads one relation. Beside the columns of the subject's table it has `_key`, `_zone`, `_account`,
`_project`, `_owner` (text), `_zone_key` (the zone whose parameters apply, NULL when unknown) and, for every source that
some clause depends on, the flag and the list of `compile.seen_flag` and `compile.gap_list`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from auditor.rulelang.compile import Clause, gap_list, literal, quoted, seen_flag
from auditor.rulelang.rule import Param, ParamValue, Rule, canonical
from auditor.rulelang.template import said_value, time_sql
from auditor.schema import Table

Values = Mapping[str | None, Mapping[str, ParamValue]]
"""Zone (None: unknown) to parameter to value; None is not set."""

OUTCOME = (
    ("rule", "VARCHAR"),
    ("code", "VARCHAR"),
    ("severity", "VARCHAR"),
    ("subject_table", "VARCHAR"),
    ("subject_key", "VARCHAR"),
    ("zone", "VARCHAR"),
    ("account", "VARCHAR"),
    ("project", "VARCHAR"),
    ("owner", "VARCHAR"),
    ("params", "VARCHAR"),
    ("verdict", "VARCHAR"),
    ("reason", "VARCHAR"),
    ("because", "VARCHAR"),
    ("failed_checks", "VARCHAR"),
    ("unknown_checks", "VARCHAR"),
    ("gaps", "VARCHAR"),
    ("refs", "VARCHAR"),
)
"""The columns of `outcome` and their types, in order."""

_NONE = "CAST([] AS VARCHAR[])"


EVERY = frozenset({"pass", "fail", "unknown", "not_applicable"})


def statement(
    rule: Rule,
    source: str,
    values: Values,
    *,
    history: bool = True,
    verdicts: frozenset[str] = EVERY,
    columns: Iterable[str] = tuple(dict(OUTCOME)),
) -> str:
    """Return the SELECT that judges one rule over a relation.

    `history` says whether the collected history covers `needs_history`: without it a pass is unknown. `verdicts` are
    those that do come out: what is said of the others alone is left out, for to plan a sentence costs more than to
    judge by it.
    """
    named = _named(rule)
    written = _outcome(rule, named, values, history, verdicts)
    picked = ",\n  ".join(f"{written[name]} AS {name}" for name in columns)
    return f"{_said_of(rule, source, values, history, verdicts)}\nSELECT {picked} FROM said"


def verdicts_sql(rule: Rule, source: str, values: Values, *, history: bool = True, each: bool = False) -> str:
    """Return a SELECT of the verdicts that the rule gives over a relation, each once, as `_verdict`.

    `each`: of the key and the verdict of each subject.
    """
    sure = EVERY - _UNSURE  # what lies behind a doubt is not asked yet
    asked = "_key, _verdict" if each else "DISTINCT _verdict"
    return f"{_said_of(rule, source, values, history, sure)}\nSELECT {asked} FROM said"


def _named(rule: Rule) -> dict[str, Clause]:
    clauses = {"_w": rule.when, "_d": rule.due} | {f"_c{at}": check for at, check in enumerate(rule.checks)}
    return {name: clause for name, clause in clauses.items() if clause is not None}


def _said_of(rule: Rule, source: str, values: Values, history: bool, verdicts: frozenset[str]) -> str:
    """Return the common tables up to `said`: each subject with its clauses, its verdict, and the gaps behind it."""
    if verdicts == _PASSED:
        given = f"{_given(rule)}{_param_columns(rule, values)}"
        return f"WITH said AS (SELECT {given}, 'pass' AS _verdict FROM {source})"
    named = _named(rule)
    clauses = {name: named[name].sql if name in named else "TRUE" for name in ("_w", "_d", *named)}
    judged = ", ".join(f"{sql} AS {name}" for name, sql in clauses.items())
    gaps = f", {_gaps(rule, named)} AS _gaps" if verdicts & _UNSURE else ""
    return (
        f"WITH given AS (SELECT {_given(rule)}{_param_columns(rule, values)} FROM {source}),\n"
        f"judged AS (SELECT *, {judged} FROM given),\n"
        f"said AS (SELECT *, {_verdict(rule, history)} AS _verdict{gaps} FROM judged)"
    )


def _given(rule: Rule) -> str:
    """Return the columns that the rule needs of its relation: DuckDB plans every one it is handed."""
    sight = [said(read) for read in rule.reads for said in (seen_flag, gap_list)]
    return ", ".join(map(quoted, (*_SUBJECT, *sight, *relation_columns(rule))))


_SUBJECT = ("_key", "_zone", "_account", "_project", "_owner", "_zone_key")
_PASSED = frozenset({"pass"})
_UNSURE = frozenset({"fail", "unknown"})
"""Verdicts beside which a clause may be undecided."""


def relation_columns(rule: Rule) -> tuple[str, ...]:
    """Return the columns of the subject's table that the statement reads, sorted."""
    used = {name for clause in rule.clauses for name in clause.columns}
    used |= {name for template in rule.templates for name in template.columns}
    known = {column.name for column in rule.table.columns}
    links = _links(rule.table, used)
    beside = {f"{link}_{what}" for link in links for what in ("because", "gaps", "refs")}
    beside |= {rule.table.column(name).why for clause in rule.clauses for name in clause.columns}
    return tuple(sorted((used | beside | {"refs"}) & known))


# Parameters ---------------------------------------------------------------------------------------------------------


def _param_columns(rule: Rule, values: Values) -> str:
    globs = {name for clause in rule.clauses for name in clause.globs}
    told = {name for template in rule.templates for name in template.params}
    columns: list[str] = []
    for name, param in sorted(rule.params.items()):
        columns.append(f"{_by_zone(values, name, partial(param_sql, param))} AS {quoted(f'_p_{name}')}")
        if name in globs:
            columns.append(f"{_by_zone(values, name, _pattern)} AS {quoted(f'_r_{name}')}")
        if name in told:
            columns.append(f"{_by_zone(values, name, partial(_said, param))} AS {quoted(f'_t_{name}')}")
    return "".join(f", {column}" for column in columns)


def _said(param: Param, value: ParamValue) -> str:
    return _text(said_value(value, duration=param.duration))


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
        return _text(None)
    globs = value if isinstance(value, tuple) else (value,)
    return literal(
        "(?s)(?:" + "|".join(glob_pattern(str(glob)) for glob in globs) + ")" if globs else "[^\\s\\S]"
    )


def glob_pattern(glob: str) -> str:
    """Return one glob as an RE2 pattern."""
    written = {"*": ".*", "?": "."}
    return "".join(written.get(c) or (c if c.isalnum() or c == "_" else f"\\x{{{ord(c):x}}}") for c in glob)


def _text(value: str | None) -> str:
    return "CAST(NULL AS VARCHAR)" if value is None else literal(value)


# The verdict --------------------------------------------------------------------------------------------------------


def _verdict(rule: Rule, history: bool) -> str:
    checks = [f"_c{at}" for at in range(len(rule.checks))]
    failed = " OR ".join(f"{check} IS FALSE" for check in checks)
    unknown = " OR ".join(f"{check} IS NULL" for check in checks)
    passed = "'pass'" if history or rule.needs_history_s is None else "'unknown'"
    cases = [
        f" WHEN {name} IS FALSE THEN 'not_applicable' WHEN {name} IS NULL THEN 'unknown'"
        for name, clause in (("_w", rule.when), ("_d", rule.due))
        if clause is not None
    ]
    return f"CASE{''.join(cases)} WHEN {failed} THEN 'fail' WHEN {unknown} THEN 'unknown' ELSE {passed} END"


def _links(table: Table, columns: Iterable[str]) -> tuple[str, ...]:
    """Return the links of a chain that some columns speak of: `session` for `session_broken`."""
    known = {column.name for column in table.columns}
    links = {name.removesuffix("_because") for name in known if name.endswith("_because")}
    return tuple(sorted(link for link in links if any(name.startswith(f"{link}_") for name in columns)))


def _undecided(name: str) -> str:
    """Return SQL that holds where a clause is the one that cannot be told."""
    if name == "_w":
        return "_w IS NULL"
    return "(_w AND _d IS NULL)" if name == "_d" else f"(_w AND _d AND {name} IS NULL)"


def _gaps(rule: Rule, named: Mapping[str, Clause]) -> str:
    lists = [_NONE]
    known = {column.name for column in rule.table.columns}
    for name, clause in named.items():
        lists += [f"CASE WHEN {_undecided(name)} THEN {quoted(gap_list(read))} END" for read in clause.reads]
        for link in _links(rule.table, clause.columns):
            if f"{link}_gaps" in known:
                gaps = quoted(f"{link}_gaps")
                lists.append(f"CASE WHEN {_undecided(name)} AND {gaps} <> '' THEN [{gaps}] END")
    if len(lists) == 1:
        return _NONE
    return f"list_sort(list_distinct(list_concat({', '.join(lists)})))"


# The outcome --------------------------------------------------------------------------------------------------------


def _outcome(
    rule: Rule, named: Mapping[str, Clause], values: Values, history: bool, verdicts: frozenset[str]
) -> dict[str, str]:
    checks = {name: clause for name, clause in named.items() if name.startswith("_c")}
    unsure = bool(verdicts & _UNSURE)
    return {
        "rule": literal(rule.id),
        "code": literal(rule.code),
        "severity": literal(rule.severity),
        "subject_table": literal(rule.entity),
        "subject_key": "_key",
        "zone": "_zone",
        "account": "_account",
        "project": "_project",
        "owner": "_owner",
        "params": _params_json(rule, values),
        "verdict": "_verdict",
        "reason": _reason(rule, named, values, verdicts),
        "because": _because(rule, named, history, verdicts),
        "failed_checks": _listed(rule, checks, "fail", "{} IS FALSE") if "fail" in verdicts else "'[]'",
        "unknown_checks": _listed(rule, named, "fail', 'unknown", "{}") if unsure else "'[]'",
        "gaps": "CAST(to_json(_gaps) AS VARCHAR)" if unsure else "'[]'",
        "refs": _refs(rule, named, unsure),
    }


def _params_json(rule: Rule, values: Values) -> str:
    if not rule.params:
        return "'{}'"
    said = {
        zone: literal(canonical({name: given.get(name) for name in rule.params}))
        for zone, given in values.items()
    }
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    unknown = said.pop(None, literal(canonical(dict.fromkeys(rule.params))))
    cases = "".join(
        f" WHEN {literal(zone)} THEN {sql}" for zone, sql in sorted(said.items()) if zone is not None
    )
    return f'(CASE "_zone_key"{cases} ELSE {unknown} END)'


def varying(rule: Rule, values: Values) -> frozenset[str]:
    """Return the parameters that a row's zone decides."""
    return frozenset(
        name for name in rule.params if len({repr(given.get(name)) for given in values.values()}) > 1
    )


def _reason(rule: Rule, named: Mapping[str, Clause], values: Values, verdicts: frozenset[str]) -> str:
    reasons = {"not_applicable": "CASE WHEN _w THEN 'not_due' ELSE 'when' END"}
    if "unknown" in verdicts:
        reasons["unknown"] = _unknown_reason(rule, named, values)
    cases = "".join(
        f" WHEN '{verdict}' THEN {sql}" for verdict, sql in reasons.items() if verdict in verdicts
    )
    return f"CASE _verdict{cases} ELSE '' END" if cases else "''"


def _unknown_reason(rule: Rule, named: Mapping[str, Clause], values: Values) -> str:
    by_zone = [name for name, clause in named.items() if varying(rule, values) & set(clause.params)]
    zone = " OR ".join(_undecided(name) for name in by_zone)
    no_zone = f" WHEN _zone_key IS NULL AND ({zone}) THEN 'zone'" if zone else ""
    unset = " OR ".join(
        f"({_undecided(name)} AND {quoted(f'_p_{param}')} IS NULL)"
        for name, clause in named.items()
        for param in clause.params
    )
    not_set = f" WHEN {unset} THEN 'not_configured'" if unset else ""
    any_unknown = " OR ".join(f"{name} IS NULL" for name in named)
    return (
        f"CASE WHEN _w IS NULL THEN 'when' WHEN _d IS NULL THEN 'due'{no_zone}{not_set}"
        f" WHEN len(_gaps) > 0 THEN 'not_seen' WHEN {any_unknown} THEN 'not_known' ELSE 'history' END"
    )


def _because(rule: Rule, named: Mapping[str, Clause], history: bool, verdicts: frozenset[str]) -> str:
    holds = literal("Holds: " + "; ".join(check.name for check in rule.checks) + ".")
    passed = rule.because_pass.sql(rule.table) if rule.because_pass else holds
    when = literal(f"Does not apply: {rule.when.text if rule.when else ''} is false.")
    due = literal(f"Not due yet: {rule.due.text if rule.due else ''} is false.")
    unknown = _cannot_tell(rule, named) if "unknown" in verdicts else "''"
    if rule.needs_history_s is not None and not history:
        decided = " AND ".join(f"{name} IS NOT NULL" for name in named)
        short = literal(
            "Cannot tell: the collected history does not yet cover the period this rule concludes from."
        )
        unknown = f"CASE WHEN {decided} THEN {short} ELSE {unknown} END"
    because = {
        "pass": passed,
        "fail": rule.because.sql(rule.table),
        "not_applicable": f"CASE WHEN _w THEN {due} ELSE {when} END",
        "unknown": unknown,
    }
    cases = [f" WHEN '{verdict}' THEN {sql}" for verdict, sql in because.items() if verdict in verdicts]
    return f"CASE _verdict{''.join(cases)} END"


def _cannot_tell(rule: Rule, named: Mapping[str, Clause]) -> str:
    names = ", ".join(
        f"CASE WHEN {_undecided(name)} THEN {literal(_what(name, c))} END" for name, c in named.items()
    )
    known = {column.name for column in rule.table.columns}
    why: list[str] = []
    clauses: dict[str, list[str]] = {}
    for name, clause in named.items():
        for column in clause.columns:
            clauses.setdefault(column, []).append(_undecided(name))
        for param in clause.params:
            said = literal(f"{param} is not known for its zone")
            why.append(f"CASE WHEN {_undecided(name)} AND {quoted(f'_p_{param}')} IS NULL THEN {said} END")
    for column, where in sorted(clauses.items()):
        said = literal(f"{column} is not known")
        for link in _links(rule.table, (column,)):
            if f"{link}_because" in known:
                said = f"coalesce(nullif({quoted(f'{link}_because')}, ''), {said})"
        if why_null := rule.table.column(column).why:
            said = f"coalesce(nullif({quoted(why_null)}, ''), {said})"
        why.append(f"CASE WHEN ({' OR '.join(where)}) AND {quoted(column)} IS NULL THEN {said} END")
    reasons = f"list_concat(list_distinct([{', '.join(why)}]), _gaps)" if why else "_gaps"
    return f"'Cannot tell: ' || concat_ws('; ', {names}) || ' (' || array_to_string({reasons}, '; ') || ')'"


def _what(name: str, clause: Clause) -> str:
    return {
        "_w": f"whether it applies, {clause.text}",
        "_d": f"whether it is due, {clause.text}",
    }.get(name, clause.name)


def _listed(rule: Rule, named: Mapping[str, Clause], verdicts: str, holds: str) -> str:
    """Return SQL for the JSON list of the clauses that are false, or undecided, with the values they read."""
    parts: list[str] = []
    for name, clause in named.items():
        where = _undecided(name) if holds == "{}" else holds.format(name)
        pairs = [f"{literal(f':{param}')}, to_json({quoted(f'_p_{param}')})" for param in clause.params]
        pairs += [f"{literal(column)}, {_json_value(rule.table, column)}" for column in clause.columns]
        said = f"json_object('name', {literal(clause.name)}, 'values', json_object({', '.join(pairs)}))"
        parts.append(f"CASE WHEN {where} THEN CAST({said} AS VARCHAR) END")
    if not parts:
        return "'[]'"
    return f"CASE WHEN _verdict IN ('{verdicts}') THEN '[' || concat_ws(',', {', '.join(parts)}) || ']' ELSE '[]' END"


def _json_value(table: Table, column: str) -> str:
    described = table.column(column)
    if described.type == "TIME":
        return time_sql(quoted(column))
    if described.type == "JSON":
        return f"TRY_CAST({quoted(column)} AS JSON)"
    return quoted(column)


def _refs(rule: Rule, named: Mapping[str, Clause], unsure: bool) -> str:
    own = f"json_array({literal(rule.table.name)}, _key)"
    known = {column.name for column in rule.table.columns}
    columns = {column for clause in named.values() for column in clause.columns}
    links = [link for link in _links(rule.table, columns) if f"{link}_refs" in known]
    beside = [f"json_extract(TRY_CAST({quoted(f'{link}_refs')} AS JSON), '$[*]')" for link in links]
    if "refs" in known:
        beside.append("json_extract(TRY_CAST(\"refs\" AS JSON), '$[*]')")
    alone = f"CAST(json_array({own}) AS VARCHAR)"
    if not beside or not unsure:
        return alone
    joined = f"CAST(to_json(list_concat([{own}], list_sort(list_distinct(list_concat({', '.join(beside)}))))) AS VARCHAR)"
    return f"CASE WHEN _verdict IN ('fail', 'unknown') THEN {joined} ELSE {alone} END"
