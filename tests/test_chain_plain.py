"""What SQL says of exports that leave no doubt is what the judges say: no value of the evidence can make the two differ."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from chain_together import ADDED, JOB, LONG, OUTPUT, TOGETHER, Change
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
Judged = list[Mapping[str, Any]]


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
    """The evidence, its names those of one world of many: no duty is for some job ids alone, in any of them."""
    found = _world(
        {
            name: [dict(row) for row in table]
            for name, table in _read(engine).items()
            if table or name[:6] != "plain_"
        }
    )
    return {**found, "config_duty": [row | {"job_id": "*"} for row in found["config_duty"]]}


def _read(engine: Engine) -> Mapping[str, Any]:
    return correlate.read(engine, STEP, {}, whole=True)


_TYPES = {"VARCHAR": "TEXT", "BOOLEAN": "BOOL", "TIMESTAMP": "TIME"}
_HELD: Rows = {}
"""What the engine holds: only what differs is put there anew."""
_KINDS: dict[str, dict[str, str]] = {}
"""The types of tables that the schema lacks, as their first rows have them."""


def _kinds(engine: Engine, table: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, str] | None:
    if table in schema_tables() or not rows:
        return None
    if table not in _KINDS:
        kinds = {name: _TYPES.get(kind, "INT") for name, kind in engine._kinds(table).items()}
        json = {name: "JSON" for row in rows for name, value in row.items() if isinstance(value, list | dict)}
        _KINDS[table] = kinds | json
    return _KINDS[table]


def _put(engine: Engine, rows: Rows) -> None:
    """Hold these rows in place of those that are there."""
    for table, each in rows.items():
        if _HELD.get(table) == each:
            continue
        _HELD[table] = each
        engine.execute(f"DELETE FROM {table}")
        if each:
            engine.insert(table, each, columns=_kinds(engine, table, each))  # type: ignore[arg-type]


def _compared(engine: Engine, rows: Rows, alone: Judged | None = None) -> set[str]:
    """Compare what SQL and the judges say with what the judges say of all; return the jobs that SQL tells.

    `alone` is what they say of each world alone: that of all, unless a world leaves a doubt in others.
    """
    _put(engine, rows)
    found = by_id(told(engine, {name: rows[name] for name in rows.keys() - _OF_EXPORTS}))
    if found != alone:
        judged = _judged(rows)
        assert judged is not None
        assert [row["export_id"] for row in found] == [row["export_id"] for row in judged]
        for row, other in zip(found, judged, strict=True):  # one at a time: thousands are too many to show
            assert row == other
    return {row["job_uuid"] for row in plain(engine)}


def test_exports_that_leave_no_doubt_are_plain_whoever_started_them(engine: Engine, rows: Rows) -> None:
    judged = _judged(rows)
    assert judged is not None
    assert _compared(engine, rows) == {_named("u-1"), _named("u-2"), _named("u-3")}
    states = {row["job_uuid"]: row["state"] for row in judged}
    assert [states[_named(name)] for name in ("u-1", "u-2", "u-3")] == ["proven", "proven", "broken"]


_NAMES = re.compile(
    r"claims|u-[123]|ASIA(?:ONE|2|3)|recovery-point:\w+|copy-1|arn:x:\w+|1{12}|2{12}|ana@|eve@|\bdata\b|\bphi|\bpublic|\be-[23]"
)
_OWN = "x00000"
"""In each name: other worlds have another number there, as long."""


def _named(value: Any) -> Any:
    """Return a value with names that are of one world."""
    if isinstance(value, str):
        return _NAMES.sub(lambda name: f"{name[0].rstrip('@')}{_OWN}{'@' * name[0].endswith('@')}", value)
    if isinstance(value, dict):
        return {key: _named(each) for key, each in value.items()}
    return [_named(each) for each in value] if isinstance(value, list) else value


def _world(rows: Rows) -> Rows:
    """Return the evidence with names that are of one world: of accounts, buckets, zones, projects and people."""
    found = {table: [_named(row) for row in each] for table, each in rows.items()}
    for table, column in (("directory_user", "id"), ("directory_membership", "user_id")):
        for row in found[table]:
            row[column] = f"{row[column]}-{_OWN}"
    for row in found["config_federation"]:
        row["subject_of"] = _named(SA)  # no role is for those of other worlds
    return found


def _moved(value: Any, number: str) -> Any:
    """Return a value with the names of another world."""
    kind = type(value)
    if kind is str:
        return value.replace(_OWN, number)
    if kind is dict:
        return {key: _moved(each, number) for key, each in value.items()}
    return [_moved(each, number) for each in value] if kind is list else value


_OF_EXPORTS = {"export_output", "export_write", "marker", "lost_version", "history_export"}
"""Tables that are read in the order of their exports."""


def _judged(rows: Rows) -> Judged | None:
    """Return what the judges say; None where they cannot read the evidence: no snapshot is like that."""
    try:
        if any(row["candidates"] > 1 for row in rows["session_match"]):
            pass  # looked at for some exports alone
        ordered = {name: sorted(rows[name], key=lambda row: row["export_id"]) for name in _OF_EXPORTS}
        return by_id(EXPORTS.derive({"plain_asked": (), "plain_run": (), **rows, **ordered}))
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError):
        return None


_AT_ONCE = 200
"""Worlds that are told by SQL together."""


class _Worlds:
    """Many worlds, each the same but for its names and what was changed in it: told by SQL together, judged alone."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._rows: Rows = {}
        self._judged: Judged = []
        self._jobs: list[set[str]] = []
        self.counted: list[int] = []
        """How many exports SQL says of each."""

    def add(self, rows: Rows, judged: Judged | None) -> None:
        assert judged is not None
        number = f"x{len(self.counted) + len(self._jobs) + 1:05}"
        for table, each in rows.items():
            if table == "as_of":
                self._rows[table] = each
            else:
                self._rows.setdefault(table, []).extend([_moved(row, number) for row in each])
        self._judged += _moved(judged, number)
        self._jobs.append({_moved(row["job_uuid"], number) for row in rows["export_output"]})
        if len(self._jobs) == _AT_ONCE:
            self.compare()

    def compare(self) -> list[int]:
        """Compare those that were not yet; return how many exports SQL says of each of all."""
        if self._jobs:
            found = _compared(self._engine, self._rows, by_id(self._judged))
            self.counted += [len(jobs & found) for jobs in self._jobs]
        self._rows, self._judged, self._jobs = {}, [], []
        return self.counted


_WRITTEN = {"job_uuid", "session_key", "key", "version_id", "entry_id", "export_id"}
"""Columns whose values SQL writes into JSON."""
_ELSEWHERE = {"iam_role", "backup_plan", "backup_selection", "backup_job", "dataproc_cluster", "s3_manifest"}
"""Tables whose coverage decides nothing of these exports."""
_NAMING = {"creator", "operation_id", "principal_subject", "export_name", "owner_label"}
"""Columns that name something in some rows, and nothing in those here."""
_WORDS = {"source", "detail", "observed_at"}
"""Columns of coverage that decide nothing."""
_LIKE_THE_FIRST = {_named(name) for name in ("u-2", "ASIA2", "claims/daily/dt=2026-01-05-2/#u-2")}
"""Of the second run, which nothing but its names and times tells from the first."""
_NEVER_NONE = {("chain_point", "arn"), ("config_zone", "rank"), ("coverage", "account")}
"""All points that are nameless would be one, zones are ranked in all worlds together, and what is read of no account is of all."""
_DIRECTORY = {"directory_user", "directory_membership"}
"""What is not read of them leaves a doubt in all worlds, where it would hide what is looked for: they are changed apart."""
_WORKFLOWS = "google.cloud.dataproc.v1.WorkflowTemplateService"
_SAID = {
    "ending": ("failed", "running", "deleted", "unknown"),
    "found_by": ("session",),
    "strength": ("inferred",),
    "method": (
        f"{_WORKFLOWS}.InstantiateWorkflowTemplate",
        f"{_WORKFLOWS}.InstantiateInlineWorkflowTemplate",
    ),
}
"""Other words that some columns have."""


def _others(column: str, value: Any, number: int) -> Iterator[Any]:
    """Yield what a value may be instead."""
    yield None
    yield from _SAID.get(column, ())
    if value is None and column.endswith("_at"):
        yield from (at(4, 20), at(5, 1, 30), at(5, 5), at(5, 12))
    elif value is None and column in _NAMING:
        yield f"other{number}"
    if isinstance(value, datetime):
        yield from (value - timedelta(hours=3), value + timedelta(days=1))
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, 0)
    elif isinstance(value, str):
        yield f"other{number}"
        if column in _WRITTEN:
            yield f'{value}"\\\u00e9\n'
    elif isinstance(value, list):
        yield from ([], [*value, f"s3n://other{number}/in/"])
    elif isinstance(value, dict):
        yield from ({}, {**value, "in": f"s3://other{number}/in/"})


def _changed(rows: Rows, of: Rows | None = None) -> Iterator[Judged]:
    """Yield what the judges say, where they can, while one value of `rows` is another; `of` has the tables beside them."""
    number = 0
    for table in sorted(rows.keys() - {"as_of"}):
        for row in rows[table]:
            if not _LIKE_THE_FIRST.isdisjoint(each for each in row.values() if isinstance(each, str)):
                continue
            for column, value in list(row.items()):
                if table == "coverage" and (column in _WORDS or row["table_name"] in _ELSEWHERE | _DIRECTORY):
                    continue
                if (table, column) == ("config_duty", "job_id"):
                    continue  # a duty for some job ids makes each call of all worlds one to be asked for
                for other in _others(column, value, number):
                    if other is None and (table, column) in _NEVER_NONE:
                        continue
                    number += 1
                    row[column] = other
                    judged = _judged(of or rows)
                    if judged is not None:
                        yield judged
                    row[column] = value


def test_whatever_one_value_is_instead_what_is_plain_is_as_judged(engine: Engine, rows: Rows) -> None:
    before, felt, worlds = _judged(rows), 0, _Worlds(engine)
    for judged in _changed(rows):
        felt += judged != before
        worlds.add(rows, judged)
    counted = worlds.compare()
    assert felt > 300, "hardly any change was felt"
    assert sum(each < 3 for each in counted) > 200, "hardly any change left a doubt"
    assert sum(each == 3 for each in counted) > 300, "whatever is changed leaves a doubt"


def test_whatever_of_the_scan_is_other_what_is_plain_is_as_judged(engine: Engine, rows: Rows) -> None:
    before, together = _judged(rows), (dict[str, Any](), dict[str, Any]())
    (scan,) = rows["as_of"]
    for column, value in scan.items():
        for others, other in zip(together, _others(column, value, 0), strict=False):
            judged = _judged({**rows, "as_of": [{**scan, column: other}]})
            if judged == before:
                others[column] = other
            elif judged is not None:
                _compared(engine, {**rows, "as_of": [{**scan, column: other}]}, judged)
    assert all(together)
    for other in ({"horizon_cloudtrail_s": 8 * 86400}, {"skew_s": 86400}):
        _compared(engine, {**rows, "as_of": [{**scan, **other}]})
    for others in together:
        _compared(engine, {**rows, "as_of": [{**scan, **others}]})


def test_whatever_row_is_not_there_what_is_plain_is_as_judged(engine: Engine, rows: Rows) -> None:
    worlds = _Worlds(engine)
    for table in sorted(rows.keys() - {"as_of"}):
        for place in range(len(rows[table])):
            less = {**rows, table: rows[table][:place] + rows[table][place + 1 :]}
            if (judged := _judged(less)) is not None:
                worlds.add(less, judged)
    assert min(worlds.compare()) == 0


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
    gaps += [
        ("coverage", gap(table, "*"))
        for table in ("s3_data_event", "s3_object_version", "sts_session", *sorted(_DIRECTORY))
    ]
    worlds, tables = _Worlds(engine), []
    kinds_of = {table: engine._kinds(table) for table in {table for table, _ in (*ADDED, *gaps)}}
    for table, values in (*ADDED, *gaps):
        kinds = kinds_of[table]
        added = [
            (table, dict.fromkeys(kinds) | {name: value for name, value in values.items() if name in kinds})
        ]
        if table == "chain_point":
            job_of = {**rows["chain_backup_job"][0], "point_arn": values["arn"]}
            added.append(("chain_backup_job", job_of))
        for more in (added[:1], added)[: len(added)]:
            world = {**rows}
            for name, each in more:
                world[name] = [*rows[name], _named(each)]
            if values.get("account") == "*":
                assert bool(_compared(engine, world)) == (values["table_name"] in _DIRECTORY)
            else:
                worlds.add(world, _judged(world))
                tables.append(table)
    felt = {table for table, count in zip(tables, worlds.compare(), strict=True) if count < 3}
    assert felt >= {table for table, _ in ADDED} - {"config_automation", "config_duty"} | {"coverage"}


def _with(rows: Rows, *changes: Change) -> Rows:
    """Return the evidence with some rows otherwise."""
    world = {**rows}
    for table, which, values in changes:
        if which is None:
            like = dict.fromkeys(rows[table][0] if rows[table] else values)
            world[table] = [*world[table], {name: _named(values.get(name)) for name in like}]
            continue
        said = [_named(which) in row.values() for row in world[table]]
        assert sum(said) == 1, (table, which)
        world[table] = [
            row if not found else {**row, **_named(values)}
            for row, found in zip(world[table], said, strict=True)
            if not found or values is not None
        ]
    return world


def test_whatever_is_other_together_what_is_plain_is_as_judged(engine: Engine, rows: Rows) -> None:
    worlds = _Worlds(engine)
    for changes in TOGETHER:
        world = _with(rows, *changes)
        worlds.add(world, _judged(world))
    for change in LONG:  # with its sentence it may be longer than what is kept of a text
        world = _with(rows, change)
        worlds.add(world, _judged(world))
    counted = worlds.compare()
    assert sum(each < 3 for each in counted) > 15
    assert counted[-len(LONG) :] == [2] * len(LONG)
    by_writes = _with(
        rows,
        ("export_output", OUTPUT, {"found_by": "session"}),
        ("chain_job", JOB, {"arguments": []}),
        ("sts_session", JOB, {"session_name": "spark"}),
    )
    for hidden in ([], [gap("dataproc_job", "data")]):
        _compared(engine, {**by_writes, "coverage": [*rows["coverage"], *map(_named, hidden)]})


def test_account_that_no_session_may_be_taken_by_is_never_plain(engine: Engine, rows: Rows) -> None:
    others = [way | {"subject_of": f"other-{SA}"} for way in rows["config_federation"]]
    assert _compared(engine, {**rows, "config_federation": others}) == set()


def _rivalled(rows: Rows) -> Rows:
    """Return the evidence where other exports fit the objects of the first and the third as well."""
    rivals = {_named(f"claims/{PREFIX}#u-1"): 1, _named("claims/daily/dt=2026-01-05-3/#u-3"): 2}
    writes = [{**row, "rivals": rivals.pop(row["export_id"], 0)} for row in rows["export_write"]]
    assert not rivals
    return {**rows, "export_write": writes}


def test_exports_that_only_rivals_leave_in_doubt_are_told_by_sql_as_unknown(
    engine: Engine, rows: Rows
) -> None:
    disputed = _rivalled(rows)
    judged = _judged(disputed)
    assert judged is not None
    assert _compared(engine, disputed, judged) == {_named("u-1"), _named("u-2"), _named("u-3")}
    states = {row["job_uuid"]: (row["state"], row["objects_state"]) for row in judged}
    assert states == {
        _named("u-1"): ("unknown", "unknown"),
        _named("u-2"): ("proven", "proven"),
        _named("u-3"): ("broken", "unknown"),
    }
    for markers in ([], rows["marker"][1:], [*rows["marker"], {**rows["marker"][0], "form": "unreadable"}]):
        assert _named("u-1") in _compared(engine, {**disputed, "marker": markers})


def test_whatever_one_value_is_instead_a_rival_is_told_as_judged(engine: Engine, rows: Rows) -> None:
    worlds = _Worlds(engine)
    told = ("export_write", "export_output", "chain_job", "marker", "sts_session")
    for table in told:
        world = _rivalled(rows)
        world[table] = [{**row} for row in world[table]]
        for judged in _changed({name: world[name] for name in told if name == table}, world):
            worlds.add(world, judged)
    counted = worlds.compare()
    assert sum(each < 3 for each in counted) > 30
    assert sum(each == 3 for each in counted) > 30


_TIMES: list[dict[str, Any]] = [{}, {"from_at": at(5, 1), "until_at": at(5, 1, 1)}, {"from_at": at(6)}]


@pytest.mark.parametrize("table", ["dataproc_job", "dataproc_cluster", "gcp_audit_entry", "sts_session",
                                   "s3_data_event", "s3_bucket", "s3_manifest", "s3_object_version"])  # fmt: skip
def test_what_hides_the_rivals_of_an_export_leaves_it_to_the_judges(
    engine: Engine, rows: Rows, table: str
) -> None:
    disputed = _rivalled(rows)
    for more in _TIMES:
        hidden = {**disputed, "coverage": [*rows["coverage"], gap(table, "*", **more)]}
        told = _compared(engine, hidden)
        if not more:
            assert told & {_named("u-1"), _named("u-3")} == set()


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
