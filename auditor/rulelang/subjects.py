"""The relation a rule judges: its subjects, each with its key, its zone, and what could be seen where it stands.

A source was seen for a subject when no gap of it touches the subject's place and some listing of it there was read to
its end. The place is the row's `account` or `project`, its `region` or `bucket_region`, and as resource its key, `arn`,
`bucket_arn` or `listed_in`. Where a row does not know its place, every gap touches it and no listing does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from auditor.model import GAP_REASONS
from auditor.rulelang.compile import Read, gap_list, literal, quoted, seen_flag
from auditor.schema import Table

MOST = 5
"""Gaps named one by one in an outcome."""

_ACCOUNTS = ("account", "project")
_REGIONS = ("region", "bucket_region")
_RESOURCES = ("arn", "bucket_arn")
_PART_OF = "listed_in"
"""The resource a subject is a part of: a gap of it touches the subject, and may hide others beside it."""


def coverage_sql(sources: Iterable[str]) -> tuple[str, ...]:
    """Return statements that make `_coverage` and `_resource`: what was read of some tables, in words.

    A gap of one setting (`arn:aws:s3:::b#versioning`) touches the resource before the `#`.
    """
    words = " ".join(f"WHEN {literal(key)} THEN {literal(said)}" for key, said in sorted(GAP_REASONS.items()))
    listed = ", ".join(literal(source) for source in sorted(set(sources))) or "''"
    return (
        f"""CREATE OR REPLACE TEMP TABLE _coverage AS SELECT DISTINCT
          table_name, coalesce(account, '*') AS account, coalesce(region, '*') AS region,
          coalesce(resource, '*') AS resource, coalesce(complete, FALSE) AS complete,
          CASE WHEN complete THEN '' ELSE table_name || ': ' ||
            (CASE reason {words} ELSE coalesce(nullif(reason, ''), 'not seen') END)
            || ' (' || coalesce(account, '*') || '/' || coalesce(region, '*')
            || CASE WHEN coalesce(resource, '*') = '*' THEN '' ELSE ' ' || resource END || ')'
            || CASE WHEN coalesce(detail, '') = '' THEN '' ELSE ': ' || detail END END AS text
        FROM coverage WHERE table_name IN ({listed})""",
        """CREATE OR REPLACE TEMP TABLE _resource AS
        SELECT table_name, resource, bool_or(complete) AS ok,
          list(text ORDER BY text) FILTER (WHERE NOT complete) AS gaps
        FROM (SELECT table_name, resource, complete, text FROM _coverage WHERE resource <> '*'
          UNION ALL SELECT table_name, split_part(resource, '#', 1), complete, text FROM _coverage
            WHERE contains(resource, '#') AND NOT complete)
        GROUP BY table_name, resource""",
    )


def subject_key(table: Table, row: str = "s") -> str:
    """Return SQL for the key of a subject: the parts of its key joined by `/`, a version by `@`."""
    parts = [f"CAST({row}.{quoted(name)} AS VARCHAR)" for name in table.key]
    said = parts[0]
    for name, part in zip(table.key[1:], parts[1:], strict=True):
        said += f" || '{'@' if name == 'version_id' else '/'}' || {part}"
    return f"coalesce({said}, '?')"


def subjects_sql(
    table: Table, columns: Sequence[str], reads: Sequence[Read], zones: Sequence[str], gapped: Collection[str]
) -> str:
    """Return the SELECT of a table's subjects, as `judge.Lot` wants it.

    `gapped` are the sources that have gaps: of the others none is looked for.
    """
    known = {column.name for column in table.columns}
    places = [name for name in (*_ACCOUNTS, *_REGIONS) if name in known]
    return _subjects(table, columns, places, reads, zones, gapped)


def _places(table: Table, places: Sequence[str], reads: Sequence[Read], gapped: Collection[str]) -> str:
    names = ", ".join(quoted(name) for name in places)
    listed = f"SELECT DISTINCT {names} FROM {quoted(table.name)}" if places else "SELECT 1 AS _one"
    aggregates = ""
    for at, (source, scope) in enumerate(reads):
        here = f"c.table_name = {literal(source)}"
        if scope == "resource":
            here += " AND c.resource = '*'"
        seen, touched = _where(places, scope, unsure=False), _where(places, scope, unsure=True)
        aggregates += f", coalesce(bool_or(c.complete AND {here} AND {seen}), FALSE) AS _ok{at}"
        if source in gapped:
            aggregates += (
                f", list(c.text) FILTER (WHERE NOT c.complete AND {here} AND {touched}) AS _gaps{at}"
            )
    grouped = f" GROUP BY {', '.join(f'p.{quoted(name)}' for name in places)}" if places else ""
    picked = ", ".join(f"p.{quoted(name)}" for name in places) or "1 AS _one"
    placed = [at for at, read in enumerate(reads) if read[1] != "resource"]
    once = "".join(
        f", list_sort(list_distinct(coalesce(_gaps{at}, []))) AS _each{at}"
        for at in placed
        if reads[at][0] in gapped
    )
    sight = "".join(
        f", {said}" for at in placed for said in _sight(reads[at], f"_ok{at}", f"_each{at}", gapped)
    )
    return (
        f"(SELECT *{sight} FROM (SELECT *{once} FROM ("
        f"SELECT {picked}{aggregates} FROM ({listed}) p LEFT JOIN _coverage c ON TRUE{grouped})))"
    )


def _where(places: Sequence[str], scope: str, *, unsure: bool) -> str:
    """Return SQL that holds where coverage `c` speaks of place `p`; `unsure`: also where p does not know its place."""
    if scope == "all":
        return "TRUE"
    said = [
        _matches("account", [name for name in _ACCOUNTS if name in places], "TRUE" if unsure else "FALSE")
    ]
    if scope != "account":
        said.append(
            _matches(
                "region",
                [name for name in _REGIONS if name in places],
                "TRUE" if unsure else "FALSE",
            )
        )
    return " AND ".join(said)


def _matches(what: str, columns: Sequence[str], otherwise: str) -> str:
    if not columns:
        return "TRUE"
    same = " OR ".join(f"c.{what} = p.{quoted(name)} OR p.{quoted(name)} = '*'" for name in columns)
    return f"coalesce(c.{what} = '*' OR {same}, {otherwise})"


def _subjects(
    table: Table,
    columns: Sequence[str],
    places: Sequence[str],
    reads: Sequence[Read],
    zones: Sequence[str],
    gapped: Collection[str],
) -> str:
    known = {column.name for column in table.columns}
    picked = [f"{subject_key(table)} AS _key"]
    picked += [
        f"{f's.{quoted(name)}' if name in known else 'CAST(NULL AS VARCHAR)'} AS _{name}"
        for name in ("zone", *_ACCOUNTS, "owner")
    ]
    declared = ", ".join(literal(zone) for zone in zones)
    zone_key = f"CASE WHEN s.zone IN ({declared}) THEN s.zone END" if "zone" in known and zones else "NULL"
    picked.append(f"CAST({zone_key} AS VARCHAR) AS _zone_key")
    joins = ""
    if places and reads:
        same = " AND ".join(f"s.{quoted(name)} IS NOT DISTINCT FROM p.{quoted(name)}" for name in places)
        joins += f" LEFT JOIN {_places(table, places, reads, gapped)} p ON {same}"
    elif reads:
        joins += f" CROSS JOIN {_places(table, places, reads, gapped)} p"
    resources = [
        subject_key(table),
        *(f"s.{quoted(n)}" for n in (*_RESOURCES, _PART_OF) if n in known and table.key != (n,)),
    ]
    for at, read in enumerate(reads):
        if read[1] != "resource":
            picked += [f"p.{quoted(said(read))} AS {quoted(said(read))}" for said in (seen_flag, gap_list)]
            continue
        beside: list[str] = []
        for which, resource in enumerate(resources):
            alias = f"r{at}_{which}"
            beside.append(alias)
            joins += (
                f" LEFT JOIN _resource {alias} ON {alias}.table_name = {literal(read[0])}"
                f" AND {alias}.resource = {resource}"
            )
        ok = " OR ".join(
            (f"coalesce(p._ok{at}, FALSE)", *(f"coalesce({alias}.ok, FALSE)" for alias in beside))
        )
        lists = ", ".join(("CAST([] AS VARCHAR[])", f"p._gaps{at}", *(f"{alias}.gaps" for alias in beside)))
        picked += _sight(read, f"({ok})", f"list_sort(list_distinct(list_concat({lists})))", gapped)
    picked += [f"s.{quoted(name)}" for name in columns]
    return f"SELECT {', '.join(picked)} FROM {quoted(table.name)} s{joins}"


def _sight(read: Read, ok: str, gaps: str, gapped: Collection[str]) -> tuple[str, str]:
    """Return SQL for the flag and the list of a source, from whether it was read and its gaps, sorted, each once."""
    none = literal(f"{read[0]} was not collected here")
    if read[0] not in gapped:
        flag, listed = quoted(seen_flag(read)), quoted(gap_list(read))
        return (f"{ok} AS {flag}", f"CASE WHEN NOT {ok} THEN [{none}] END AS {listed}")
    more = f"list_append({gaps}[1:{MOST}], 'and ' || (len({gaps}) - {MOST}) || ' more gaps of {read[0]}')"
    said = f"CASE WHEN len({gaps}) = 0 THEN [{none}] WHEN len({gaps}) > {MOST} THEN {more} ELSE {gaps} END"
    seen = f"({ok} AND len({gaps}) = 0)"
    return (
        f"{seen} AS {quoted(seen_flag(read))}",
        f"CASE WHEN NOT {seen} THEN {said} END AS {quoted(gap_list(read))}",
    )


def hidden_sql(table: Table) -> str:
    """Return a SELECT of the scopes whose subjects could not be listed: `key, account, project, gaps`.

    A gap of one resource hides nothing when that resource is a subject itself; a source of subjects that was never
    read, with no gap that says why, hides them all.
    """
    known = {column.name for column in table.columns}
    own = [subject_key(table), *(f"s.{quoted(name)}" for name in _RESOURCES if name in known)]
    there = " OR ".join(f"{resource} = c.resource" for resource in own)
    parts: list[str] = []
    for source, _scope in table.listed_by:
        parts.append(
            f"""SELECT '*:' || c.account || '/' || c.region
              || CASE WHEN c.resource = '*' THEN '' ELSE '/' || c.resource END AS key,
              c.account AS place, c.text AS text
            FROM _coverage c WHERE c.table_name = {literal(source)} AND NOT c.complete
              AND NOT contains(c.resource, '#')
              AND (c.resource = '*' OR NOT EXISTS (SELECT 1 FROM {quoted(table.name)} s WHERE {there}))"""
        )
        parts.append(
            f"SELECT '*' AS key, NULL AS place, {literal(f'{source} was not collected')} AS text "
            f"WHERE NOT EXISTS (SELECT 1 FROM _coverage c WHERE c.table_name = {literal(source)})"
        )
    union = " UNION ALL ".join(parts) or "SELECT '' AS key, '' AS place, '' AS text WHERE FALSE"
    return (
        "SELECT key, CASE WHEN regexp_full_match(min(place), '[0-9]{12}') THEN min(place) END AS account,"
        " CASE WHEN NOT regexp_full_match(min(place), '[0-9]{12}|\\*') THEN min(place) END AS project,"
        f" list_sort(list_distinct(list(text))) AS gaps FROM ({union}) GROUP BY key ORDER BY key"
    )
