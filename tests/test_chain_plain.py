"""What SQL says of exports that leave no doubt is what the judges say: no value of the evidence can make the two differ."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from chain_world import (
    BUCKET,
    PREFIX,
    SA,
    Tables,
    at,
    by_id,
    derived,
    entry,
    event,
    gap,
    job,
    part,
    plain,
    point,
    proven,
    session,
    told,
)

from auditor import correlate
from auditor.correlate.links import hiding
from auditor.correlate.links.evidence import Evidence, case_of, parts
from auditor.engines.duckdb import Engine
from auditor.model import LINKS
from auditor.schema import tables as schema_tables

(STEP,) = (step for step in correlate.steps() if step.table == "export")
EXPORTS = import_module("auditor.correlate.40_export")
Rows = dict[str, list[dict[str, Any]]]


def _two() -> Tables:
    """Two runs that are proven by the same point, and a third whose every link but the trigger is."""
    tables = proven()
    tables["gcp_audit_entry"][0]["static_key_name"] = ""
    for number in (2, 3):
        prefix, key, uuid = f"daily/dt=2026-01-05-{number}/", f"ASIA{number}", f"u-{number}"
        later = timedelta(minutes=number)

        def moved(row: dict[str, Any], later: timedelta = later) -> dict[str, Any]:
            return {name: at + later if isinstance(at, datetime) else at for name, at in row.items()}

        tables["dataproc_job"].append(moved(job(uuid, arguments=["--output", f"s3a://claims/{prefix}"])))
        who = {"principal_email": "eve@example.org"} if number == 3 else {}
        tables["gcp_audit_entry"].append(
            moved(entry(uuid, entry_id=f"e-{number}", static_key_name="", **who))
        )
        tables["sts_session"].append(moved(session(key, session_name=uuid)))
        arn = f"arn:aws:sts::111111111111:assumed-role/export-writer/{uuid}"
        for index in range(3):
            place = {"key": f"{prefix}part-{index}", "version_id": f"w{number}{index}"}
            tables["s3_object_version"].append(moved(part(index, dir=prefix, **place)))
            tables["s3_data_event"].append(
                moved(
                    event(
                        index, event_id=f"put-{number}-{index}", access_key_id=key, principal_arn=arn, **place
                    )
                )
            )
        marker = {"key": f"{prefix}_SUCCESS", "version_id": f"m{number}", "dir": prefix}
        tables["s3_object_version"].append(moved(tables["s3_object_version"][3] | marker))
        names = [f"/{prefix}part-{index}" for index in range(3)]
        empty = {"form": "empty", "filenames": []} if number == 3 else {}
        tables["s3_manifest"].append(moved(tables["s3_manifest"][0] | marker | {"filenames": names} | empty))
    tables["directory_user"].append({"id": "8", "email": "eve@example.org", "status": "active"})
    return tables


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with derived(_two(), upto=35) as engine:
        yield engine


@pytest.fixture(scope="module")
def rows(engine: Engine) -> Rows:
    return {
        name: [dict(row) for row in table]
        for name, table in _read(engine).items()
        if table or name[:6] != "plain_"
    }


def _read(engine: Engine) -> Mapping[str, Any]:
    return correlate.read(engine, STEP, {}, whole=True)


_TYPES = {"VARCHAR": "TEXT", "BOOLEAN": "BOOL", "TIMESTAMP": "TIME"}


_HELD: Rows = {}
"""What the engine holds: only what differs is put there anew."""


def _put(engine: Engine, rows: Rows) -> None:
    """Hold these rows in place of those that are there."""
    for table, each in rows.items():
        if _HELD.get(table) == each:
            continue
        _HELD[table] = [dict(row) for row in each]
        kinds = engine._kinds(table)
        types = {name: _TYPES.get(kind, "INT") for name, kind in kinds.items()}
        for row in each:
            types |= {name: "JSON" for name, value in row.items() if isinstance(value, list | dict)}
        engine.execute(f"DELETE FROM {table}")
        engine.insert(table, each, columns=None if table in schema_tables() else types)  # type: ignore[arg-type]


def _compared(engine: Engine, rows: Rows) -> tuple[list[Mapping[str, Any]], set[str]]:
    """Compare what SQL and the judges say with what the judges say of all; return it, and what SQL says."""
    _put(engine, rows)
    judged = by_id(EXPORTS.derive(_read(engine)))
    assert by_id(told(engine, {})) == judged
    return judged, {row["job_uuid"] for row in plain(engine)}


def test_exports_that_leave_no_doubt_are_plain_whoever_started_them(engine: Engine, rows: Rows) -> None:
    judged, found = _compared(engine, rows)
    assert found == {"u-1", "u-2", "u-3"}
    states = {row["job_uuid"]: row["state"] for row in judged}
    assert states == {"u-1": "proven", "u-2": "proven", "u-3": "broken"}


_NAMES = re.compile(
    r"claims|u-[123]|ASIA(?:ONE|2|3)|recovery-point:\w+|copy-1|arn:x:\w+|1{12}|2{12}|ana@|eve@|\bdata\b|\bphi|\bpublic|\be-[23]"
)


def _named(value: Any, number: int) -> Any:
    """Return a value with the names of one world in place of those of the first."""
    if isinstance(value, str):
        return _NAMES.sub(lambda name: f"{name[0].rstrip('@')}x{number}{'@' * name[0].endswith('@')}", value)
    if isinstance(value, dict):
        return {key: _named(each, number) for key, each in value.items()}
    return [_named(each, number) for each in value] if isinstance(value, list) else value


def _world(rows: Rows, number: int) -> Rows:
    """Return the same evidence of other accounts, buckets, zones, projects and people."""
    found = {table: [_named(row, number) for row in each] for table, each in rows.items() if table != "as_of"}
    for table, column in (("directory_user", "id"), ("directory_membership", "user_id")):
        for row in found[table]:
            row[column] = f"{row[column]}-{number}"
    for row in found["config_federation"]:
        row["subject_of"] = _named(SA, number)  # no role is for those of other worlds
    return found


def _judged(rows: Rows) -> list[Mapping[str, Any]] | None:
    """Return what the judges say; None where they cannot read the evidence: no snapshot is like that."""
    try:
        if any(row["candidates"] > 1 for row in rows["session_match"]):
            pass  # looked at for some exports alone
        return by_id(EXPORTS.derive({"plain_asked": (), "plain_run": (), **rows}))
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError):
        return None


_AT_ONCE = 40
"""Worlds that are told by SQL together."""


def _all_compared(engine: Engine, now: Rows, worlds: Sequence[Rows]) -> list[int]:
    """Compare many worlds, and return how many exports SQL says of each."""
    counted = []
    for first in range(0, len(worlds), _AT_ONCE):
        some = worlds[first : first + _AT_ONCE]
        merged = {table: [row for world in some for row in world[table]] for table in some[0]}
        found = _compared(engine, {**merged, **now})[1]
        counted += [len({row["job_uuid"] for row in world["export_output"]} & found) for world in some]
    return counted


_WRITTEN = {"job_uuid", "session_key", "key", "version_id", "entry_id", "export_id"}
"""Columns whose values SQL writes into JSON."""
_ELSEWHERE = {"iam_role", "backup_plan", "backup_selection", "backup_job", "dataproc_cluster", "s3_manifest"}
"""Tables whose coverage decides nothing of these exports."""
_WORDS = {"source", "detail", "observed_at"}
"""Columns of coverage that decide nothing."""


def _others(column: str, value: Any, number: int) -> Iterator[Any]:
    """Yield what a value may be instead."""
    yield None
    if isinstance(value, datetime):
        yield from (value - timedelta(hours=3), value + timedelta(days=1))
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value + 1
    elif isinstance(value, str):
        yield f"other{number}"
        if column in _WRITTEN:
            yield f'{value}"\\\u00e9\n'
    elif isinstance(value, list | dict):
        yield type(value)()


def _changed(rows: Rows, before: Any) -> Iterator[tuple[str, int, str, Any, bool]]:
    """Yield each value that may be another so that the judges can still say something, and whether they say the same."""
    number = 0
    for table in rows:
        for place, row in enumerate(rows[table]):
            if place == 1 and len(rows[table]) == 3:
                continue  # the second export is like the first
            for column, value in list(row.items()):
                if table == "coverage" and (column in _WORDS or row["table_name"] in _ELSEWHERE):
                    continue
                for other in _others(column, value, number):
                    if other is None and (table, column) == ("chain_point", "arn"):
                        continue  # all that are nameless would be one
                    number += 1
                    row[column] = other
                    judged = _judged(rows)
                    row[column] = value
                    if judged is not None:
                        yield table, place, column, other, judged == before


def test_whatever_one_value_is_instead_what_is_plain_is_as_judged(engine: Engine, rows: Rows) -> None:
    now = {"as_of": rows["as_of"]}
    worlds, felt, counted = [], 0, []
    for table, place, column, other, same in _changed(rows, _judged(rows)):
        felt += not same
        if table == "as_of":
            changed = {"as_of": [{**rows[table][place], column: other}]}
            counted += _all_compared(engine, changed, [rows])
            continue
        world = _world(rows, len(worlds))
        world[table][place][column] = other
        worlds.append(world)
    counted += _all_compared(engine, now, worlds)
    assert felt > 300, "hardly any change was felt"
    assert sum(each < 3 for each in counted) > 200, "hardly any change left a doubt"
    assert sum(each == 3 for each in counted) > 300, "whatever is changed leaves a doubt"


def test_whatever_row_is_not_there_what_is_plain_is_as_judged(engine: Engine, rows: Rows) -> None:
    worlds = []
    for table in rows.keys() - {"as_of"}:
        for place in range(len(rows[table])):
            if _judged({**rows, table: rows[table][:place] + rows[table][place + 1 :]}) is not None:
                worlds.append(_world(rows, len(worlds)))
                del worlds[-1][table][place]
    assert min(_all_compared(engine, {"as_of": rows["as_of"]}, worlds)) == 0


PLACE = {"account": "111111111111", "region": "eu-west-1"}
FIRST = f"claims/{PREFIX}#u-1"
ADDED: list[tuple[str, dict[str, Any]]] = [
    ("stray_write", {"event_id": "x", "bucket": "claims", "dir": PREFIX, "key": f"{PREFIX}x", "at": at(5, 1, 40), "kind": "foreign", "because": "a key wrote", "gone": False, "session_key": None}),
    ("stray_write", {"event_id": "x", "bucket": "claims", "dir": PREFIX, "key": f"{PREFIX}x", "at": at(5, 1, 40), "kind": "no_issue", "because": "no issue", "gone": True, "session_key": None}),
    ("lost_version", {"export_id": FIRST, "bucket": "claims", "key": f"{PREFIX}x", "version_id": "x", "written_at": at(5, 1, 40), "deleted_at": None}),
    ("lost_version", {"export_id": FIRST, "bucket": "claims", "key": f"{PREFIX}x", "version_id": "x", "deleted_at": at(5, 3), "deleted_by": "eve"}),
    ("marker", {"export_id": FIRST, "bucket": "claims", "key": f"{PREFIX}a/_SUCCESS", "version_id": "x", "form": "empty", "cut": False, "last_modified": at(5, 1), "files": 0, "lost": 0, "elsewhere": 0, "missing": 0}),
    ("session_match", {"session_key": "ASIA2", "job_uuid": "u-1", "strength": "strong", "candidates": 1, "because": "its name"}),
    ("history_export", {"export_id": FIRST, "links": {}, "final": False, "capture_due_at": at(5, 6)}),
    ("history_export", {"export_id": FIRST, "links": {}, "final": False, "capture_due_at": at(5, 8)}),
    ("history_export", {"export_id": FIRST, "links": {"retention": ["proven", "exact"]}, "final": True}),
    ("history_bucket", {"arn": BUCKET, "at": at(4), "versioning": "Suspended"}),
    ("aws_change", {"resource": BUCKET, "event_name": "PutBucketVersioning", "at": at(5, 1, 30), "request": "Suspended", "actor": "eve", **PLACE}),
    ("s3_listing", {"bucket": "claims", "way": "inventory", "prefixes": [], "settled_at": at(5, 4)}),
    ("config_automation", {"principal": "ana@example.org", "project": "*", "region": "*", "job_id": "claims-u-2", "zone": "*", "starts": "*", "owner": "eve@example.org"}),
    ("config_duty", {"group_name": "claims-runners", "project": "*", "region": "*", "job_id": "claims-u-2", "zone": "*", "starts": "*"}),
    ("directory_user", {"id": "9", "email": "ana@example.org", "status": "active"}),
    ("chain_point", point("arn:x:early", completed_at=at(5, 6))),
    ("chain_point", point("arn:x:torn", initiated_at=at(5, 1), completed_at=at(5, 4))),
    ("chain_point", point("arn:x:without", completed_at=None)),
    ("chain_point", point("arn:x:before", created_at=at(5, 8), initiated_at=at(5, 8), completed_at=at(5, 6))),
    ("chain_point", point("arn:x:always", continuous=True, status="AVAILABLE", completed_at=at(5, 4))),
]  # fmt: skip


def test_whatever_else_is_there_what_is_plain_is_as_judged(engine: Engine, rows: Rows) -> None:
    gaps = [
        ("coverage", gap(table, account, **more))
        for table in sorted({row["table_name"] for row in rows["coverage"]})
        for account in ("111111111111", "data")
        for more in (
            {},
            {"resource": BUCKET},
            {"region": "us-east-1"},
            {"from_at": at(5, 4), "until_at": at(5, 6)},
        )
    ]
    gaps += [("coverage", gap(table, "*")) for table in ("s3_data_event", "s3_object_version", "sts_session")]
    worlds, everywhere, tables = [], [], []
    for table, values in (*ADDED, *gaps):
        kinds = engine._kinds(table)
        added = [
            (table, dict.fromkeys(kinds) | {name: value for name, value in values.items() if name in kinds})
        ]
        if table == "chain_point":
            job_of = {**rows["chain_backup_job"][0], "point_arn": values["arn"]}
            added.append(("chain_backup_job", job_of))
        for more in (added[:1], added)[: len(added)]:
            number = len(worlds)
            world = _world(rows, number)
            for name, each in more:
                world[name].append(_named(each, number))
            if values.get("account") == "*":
                everywhere.append(world)
            else:
                worlds.append(world)
                tables.append(table)
    now = {"as_of": rows["as_of"]}
    counted = _all_compared(engine, now, worlds)
    felt = {table for table, count in zip(tables, counted, strict=True) if count < 3}
    for world in everywhere:
        assert _all_compared(engine, now, [world]) == [0]
    assert felt >= {table for table, _ in ADDED} - {"config_automation", "config_duty"} | {"coverage"}


def test_account_that_no_session_may_be_taken_by_is_never_plain(engine: Engine, rows: Rows) -> None:
    others = [way | {"subject_of": f"other-{SA}"} for way in rows["config_federation"]]
    assert _compared(engine, {**rows, "config_federation": others})[1] == set()


def test_what_hides_a_link_is_told_alike_whichever_export_was_asked_for_before(rows: Rows) -> None:
    times = [{}, {"from_at": at(5, 1, 30), "until_at": at(5, 1, 40)}, {"from_at": at(3), "until_at": at(4)}]
    gaps = [
        gap(table, "*", **more) for table in ("s3_data_event", "sts_session", "aws_change") for more in times
    ]
    cut = [
        row | {"from_at": at(5, 1), "until_at": at(12, 5, 59) + timedelta(seconds=second)}
        for row in rows["coverage"]
        for second in (59, 60)
    ]
    told = set()
    for coverage in (rows["coverage"], *([*rows["coverage"], each] for each in gaps), cut[::2], cut[1::2]):
        evidence = Evidence({"plain_asked": (), "plain_run": (), **rows, "coverage": coverage})
        cases = [case_of(evidence, *each) for each in parts(evidence)]
        for hours in (0, 30, -40, 5, 100, -1, 172, 173, 174):
            later = timedelta(hours=hours)
            for case in cases:
                job = {
                    name: each + later if isinstance(each, datetime) else each
                    for name, each in case.job.items()
                }
                assert case.first_write_at and case.ended_at
                moved = replace(
                    case, job=job, first_write_at=case.first_write_at + later, ended_at=case.ended_at + later
                )
                for link in LINKS:
                    found = hiding.hiding(evidence, moved, link)
                    assert found == hiding._hiding(evidence, moved, link)
                    told.add(bool(found))
    assert told == {True, False}
