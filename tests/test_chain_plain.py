"""What is found plain is what the judges say: no value of the evidence can be changed so that the two differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    point,
    proven,
    session,
)

from auditor import correlate
from auditor.correlate.links.calls import Triggers
from auditor.correlate.links.evidence import Evidence, parts
from auditor.correlate.links.plain import Plain
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
def rows() -> Rows:
    with derived(_two(), upto=39) as engine:
        return {
            name: [dict(row) for row in table] for name, table in correlate.read(engine, STEP, {}).items()
        }


def _plain(rows: Rows) -> list[str]:
    evidence = Evidence(rows)
    plain = Plain(evidence, Triggers(evidence))
    return [each[0]["job_uuid"] for each in parts(evidence) if plain.of(each) is not None]


def test_exports_that_leave_no_doubt_are_plain_whoever_started_them(rows: Rows) -> None:
    assert sorted(_plain(rows)) == ["u-1", "u-2", "u-3"]
    states = {row["job_uuid"]: row["state"] for row in EXPORTS.derive(rows)}
    assert states == {"u-1": "proven", "u-2": "proven", "u-3": "broken"}


def _others(value: Any) -> Iterator[Any]:
    """Yield what a value may be instead."""
    yield None
    if isinstance(value, datetime):
        yield from (value - timedelta(hours=3), value + timedelta(days=1))
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value + 1
    elif isinstance(value, str):
        yield "other"
    elif isinstance(value, list | dict):
        yield type(value)()


def _either(rows: Rows) -> list[Mapping[str, Any]] | None:
    """Return what the judges say, None where they cannot read the evidence, and compare."""
    try:
        judged = by_id(EXPORTS.judged(rows))
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError):
        return None  # a table of a snapshot cannot be like this
    assert by_id(EXPORTS.derive(rows)) == judged
    return judged


def test_whatever_one_value_is_instead_what_is_plain_is_as_judged(rows: Rows) -> None:
    before, told = _either(rows), 0
    for table in rows:
        for row in rows[table]:
            for column, value in list(row.items()):
                for other in _others(value):
                    row[column] = other
                    told += _either(rows) not in (None, before)
                row[column] = value
    assert told > 300, "hardly any change was felt"


def test_whatever_row_is_not_there_what_is_plain_is_as_judged(rows: Rows) -> None:
    for table in rows.values():
        for place in range(len(table)):
            gone = table.pop(place)
            _either(rows)
            table.insert(place, gone)


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


def test_whatever_else_is_there_what_is_plain_is_as_judged(rows: Rows) -> None:
    gaps = [
        ("coverage", gap(table, account, **more))
        for table in sorted({row["table_name"] for row in rows["coverage"]})
        for account in ("111111111111", "data", "*")
        for more in (
            {},
            {"resource": BUCKET},
            {"region": "us-east-1"},
            {"from_at": at(5, 4), "until_at": at(5, 6)},
        )
    ]
    felt = set()
    for table, values in (*ADDED, *gaps):
        before = _plain(rows)
        known = schema_tables()[table].columns if table in schema_tables() else ()
        row = {column.name: None for column in known} | values
        for job_of in [{}] if table != "chain_point" else [{}, {"point_arn": values["arn"]}]:
            made = {**rows["chain_backup_job"][0], **job_of}
            changed = {
                **rows,
                "chain_backup_job": [*rows["chain_backup_job"], made] if job_of else rows["chain_backup_job"],
                table: sorted([*rows[table], row], key=lambda each: str(each.get("export_id"))),
            }
            assert _either(changed) is not None
            if _plain(changed) != before:
                felt.add(table)
    assert felt == {table for table, _ in ADDED} - {"config_automation", "config_duty"} | {"coverage"}


def test_account_that_no_session_may_be_taken_by_is_never_plain(rows: Rows) -> None:
    others = [way | {"subject_of": f"other-{SA}"} for way in rows["config_federation"]]
    assert _plain({**rows, "config_federation": others}) == []
