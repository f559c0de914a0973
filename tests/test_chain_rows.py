"""What SQL says of jobs, sessions and exports is what Python says: no value can be changed so that the two differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from json import loads
from typing import Any

import pytest
from chain_world import ROLE, entry, event, job, proven, session

from auditor import correlate
from auditor.canonical import canonical
from auditor.engines.duckdb import Engine

Tables = dict[str, list[dict[str, Any]]]
STEPS = [
    step for step in correlate.steps() if step.name[:2] in {"10", "11", "12", "13", "14", "15", "27", "41"}
]
SAID = ("certain_job", "named_session", "declared_output", "matched_session")
HOSTILE = (
    "",
    "other",
    'a"b',
    "a\\b",
    "a\nb",
    "É",
    "K\u212a",
    "UPPER@X",
    "x" * 66000,
    "u-1",
    "dataproc-u-1",
    "\u2028'",
)


class Steps:
    """An engine kept between estates: only the tables that another estate has otherwise are loaded again."""

    def __init__(self) -> None:
        self._engine = Engine.open(None, threads=1, planned=False)
        self._loaded: Tables = {}

    def made(self, tables: Tables, *, sql: bool, parts: bool = True) -> dict[str, Any]:
        """Return the digests of what the steps make, and how many rows of it SQL said; `parts`: tables count as long."""
        for name in {*tables, *self._loaded}:
            if tables.get(name) is not self._loaded.get(name):
                self._engine.execute(f"DELETE FROM {name}")
                self._engine.insert(name, tables.get(name, []))
        self._loaded = tables
        made = [step.table for step in STEPS if step.language == "py"]
        for name in made:
            self._engine.execute(f"DROP TABLE IF EXISTS {name}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(correlate, "_SPARED", -1 if sql else 10**9)
            patch.setattr(correlate, "_HELD", -1 if parts else 10**9)
            for step in STEPS:
                correlate.run_step(self._engine, step)
        (said,) = self._engine.rows(
            f"SELECT {', '.join(f'(SELECT count(*) FROM {name}) AS {name}' for name in SAID)}"
        )
        assert sql or not any(said.values())
        return {name: self._engine.digest(name) for name in made} | {"said": said}

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return the rows of a table as they are now."""
        return self._engine.table(table)


@cache
def _steps() -> Steps:
    return Steps()


def _same(tables: Tables) -> dict[str, int]:
    """Compare both ways; return how many rows SQL said."""
    spared, judged = _steps().made(tables, sql=True), _steps().made(tables, sql=False, parts=False)
    said: dict[str, int] = spared.pop("said")
    del judged["said"]
    if other := sorted(name for name in judged if spared[name] != judged[name]):
        right = _steps().rows(other[0])
        _steps().made(tables, sql=True)
        assert _steps().rows(other[0]) == right, other
    assert spared == judged
    return said


def _others(value: Any) -> Iterator[Any]:
    """Yield what a value may be instead."""
    yield None
    if isinstance(value, datetime):
        for seconds in (-86400 * 3, -301, -300, -299, 3299, 3420, 3421, 86400 * 3):
            yield value + timedelta(seconds=seconds, microseconds=seconds % 2)
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, str):
        yield from HOSTILE
    elif isinstance(value, list):
        yield from (
            [],
            ["--output", 's3a://b/É"\\x/'],
            ["s3://one/a/", "s3://two/b/"],
            ["--to=s3://a/*", 5, None, 1.5],
        )
    elif isinstance(value, dict):
        yield from (
            {},
            {"zone": "", "owner": "É\\n"},
            {"zone": None, "export": "x", "owner": 'a"b'},
            {"a": "s3://q/w"},
            {"zone": "a\0b", "owner": "\ud800", "export": "\U0001f600"},
        )


class Estate:
    """Jobs on a day of their own, each with an account, a cluster and a session of its own."""

    def __init__(self) -> None:
        self.tables: Tables = {**proven(), "s3_object_version": [], "s3_data_event": [], "s3_manifest": []}
        for name in ("dataproc_job", "dataproc_cluster", "sts_session", "gcp_audit_entry", "config_subject"):
            self.tables[name] = []
        self.tables["as_of"][0]["as_of"] = datetime(2031, 1, 1, tzinfo=UTC)
        self._number = 0

    @property
    def next(self) -> str:
        """The uuid of the next job."""
        return f"u-{self._number + 1}"

    def add(self, *, own: bool = True, **changed: dict[str, Any]) -> str:
        """Add a job, and what else there is of it, with some values changed; return its uuid."""
        number = self._number = self._number + 1
        uuid, account, cluster = f"u-{number}", f"sa-{number}@x.iam", f"c-{number}"
        rows = {
            "job": job(uuid, cluster_uuid=cluster, service_account=account if own else None, labels={"zone": "phi", "owner": "o"},
                       arguments=["--output", f"s3a://claims/day/run={number}/"]),
            "cluster": {**proven()["dataproc_cluster"][0], "cluster_uuid": cluster, "service_account": account},
            "session": session(f"ASIA{number}", session_name=uuid, subject=f"{number}", source_ip="10.0.0.1"),
            "subject": {"service_account": account, "subject": f"{number}"},
            "entry": entry(uuid, cluster_uuid=cluster),
            "twin": {}, "delete": {}, "event": {},
        }  # fmt: skip
        rows["twin"] = {**rows["job"], "job_uuid": f"t-{number}", "job_id": "twin"}
        rows["delete"] = {
            **entry(uuid),
            "entry_id": f"gone-{uuid}",
            "method": "google.DeleteJob",
            "job_uuid": None,
        }
        rows["event"] = event(
            number, access_key_id=f"ASIA{number}", session_name=uuid, key=f"day/run={number}/x"
        )
        tables = {"job": "dataproc_job", "cluster": "dataproc_cluster", "session": "sts_session", "twin": "dataproc_job",
                  "entry": "gcp_audit_entry", "delete": "gcp_audit_entry", "event": "s3_data_event", "subject": "config_subject"}  # fmt: skip
        for name, row in rows.items():
            if name in {"twin", "delete", "event"} and name not in changed:
                continue
            if changed.get(name, {}).get("gone"):
                continue
            later = {column: value + timedelta(days=3 * number) for column, value in row.items() if isinstance(value, datetime)}  # fmt: skip
            values = changed.get(name, {})
            moved = {
                c: v + timedelta(days=3 * number) if isinstance(v, datetime) else v for c, v in values.items()
            }
            self.tables[tables[name]].append({**row, **later, **moved})
        return uuid


def _told(name: str, row: dict[str, Any], key: str, *, own: bool = True) -> Estate:
    """An estate with a job for every other value of a row."""
    estate = Estate()
    estate.add()
    for column, value in row.items():
        for other in _others(value) if column != key else ():
            estate.add(own=own, **{name: {column: other}})
    return estate


def _clusters() -> dict[str, Any]:
    return {**proven()["dataproc_cluster"][0], "user_service_accounts": {}}


@pytest.mark.parametrize(
    ("name", "row", "key", "own"),
    [
        ("job", {**job(), "service_account": "a", "creator": "c"}, "job_uuid", True),
        ("job", {**job(), "cluster_name": "c", "state": "RUNNING"}, "job_uuid", False),
        ("session", {**session(), "source_ip": "1"}, "session_key", True),
        ("cluster", _clusters(), "cluster_uuid", False),
    ],
    ids=["job with its account", "job of a cluster", "session", "cluster"],
)
def test_whatever_one_value_is_instead_sql_says_what_python_says(
    name: str, row: dict[str, Any], key: str, own: bool
) -> None:
    said = _same(_told(name, row, key, own=own).tables)
    assert min(said.values()) > 10, said


def _odd() -> Estate:
    """Jobs and sessions that meet each other, one pair a day."""
    estate = Estate()
    for state, kinds in {"DONE": ("job", "batch"), "SUCCEEDED": ("batch", "job"), "TERMINATED": ("session", "job"), "ERROR": ("job",),
                         "CANCELLED": ("batch",), "FAILED": ("session",), "DELETED": ("job",), "PENDING": ("odd",), None: ("job",)}.items():  # fmt: skip
        for kind in kinds:
            for done in (True, False, None):
                estate.add(job={"state": state, "kind": kind, "done": done})
    start, end = job()["started_at"], job()["finished_at"]
    late = {"started_at": start + timedelta(hours=22), "finished_at": end + timedelta(hours=23)}
    for issued in (start - timedelta(minutes=5), end + timedelta(seconds=120), end + timedelta(seconds=120, microseconds=1),
                   start - timedelta(minutes=5, microseconds=1)):  # fmt: skip
        for finished in (end, None):
            estate.add(job={"finished_at": finished}, session={"issued_at": issued})
    for words in ("other", "", None, "dataproc-u-1"):
        named = {"session_name": words}
        estate.add(twin={}, session=named)
        estate.add(twin={"service_account": None, "cluster_uuid": "unseen"}, session=named)
        estate.add(twin={"service_account": "nobody@x"}, session=named)
        estate.add(
            job={"finished_at": end + timedelta(days=2)},
            session=named | {"issued_at": end + timedelta(days=1)},
        )
        for hours in (22, 23):
            estate.add(job=late, session=named | {"issued_at": start + timedelta(hours=hours, minutes=1)})
    estate.add(session={"session_name": f"dataproc-{estate.next}"})
    estate.add(
        twin={"job_uuid": f"dataproc-{estate.next}"}, session={"session_name": f"dataproc-{estate.next}"}
    )
    estate.add(subject={"subject": ""}, session={"subject": ""})
    estate.add(job={"service_account": "SA-Up@X"}, subject={"service_account": "sa-up@x"})
    estate.add(job={"service_account": "sa-\u212a@x"}, subject={"service_account": "sa-k@x"})
    estate.add(own=False, cluster={"gone": True})
    estate.add(own=False, cluster={"cluster_uuid": ""}, job={"cluster_uuid": ""})
    estate.add(job={"job_uuid": ""}, session={"session_name": ""})
    estate.add(own=False, cluster={"gone": True}, job={"cluster_name": None})
    estate.add(job={"gone": True}, delete={"at": end})
    estate.add(job={"gone": True}, delete={"at": start - timedelta(hours=3)})
    estate.add(delete={"at": end})
    estate.add(job={"gone": True}, entry={"job_uuid": "u-1"}, delete={"at": end})
    return estate


def _written() -> Estate:
    """Jobs whose sessions wrote, and others."""
    estate = Estate()
    estate.add()
    for more in ({}, {"key": "elsewhere/x"}, {"bucket": "other"}, {"key": "x"}):
        for named in ({}, {"session_name": "other"}, {"session_name": "other", "subject": "999"}):
            estate.add(event=more, session=named)
            estate.add(event=more, session=named, twin={"service_account": "nobody@x"})
        estate.add(event=more, job={"arguments": ["s3://claims/one/", "s3://claims/elsewhere/"]})
        estate.add(event=more, job={"arguments": []})
    estate.add(job={"arguments": ["s3://claims/one/", "s3://claims/two/"]})
    estate.add(job={"arguments": ["--output", "s3://claims/one/", "--out", f"s3://claims/{'x' * 65524}"]})
    estate.add(event={"access_key_id": ""}, session={"access_key_id": ""})
    return estate


@pytest.mark.parametrize("estate", [_odd, _written])
def test_jobs_and_sessions_that_meet_each_other_are_said_as_judged(estate: Callable[[], Estate]) -> None:
    tables = estate().tables
    said = _same(tables)
    read, judged = (_steps().made(tables, sql=False, parts=parts) for parts in (True, False))
    assert read == judged
    assert said["named_session"] >= (estate is _odd), said
    assert min(said["certain_job"], said["declared_output"], said["matched_session"]) > 3, said


def test_with_people_mapped_to_accounts_the_rest_is_judged_with_the_same_entries() -> None:
    estate = _odd()
    for people in ({"ANA@example.org": "mapped@x"}, {"eve@example.org": "mapped@x"}):
        estate.add(own=False, cluster={"user_service_accounts": people})
        estate.add(
            own=False,
            cluster={"user_service_accounts": people},
            entry={"gone": True},
            delete={"at": job()["finished_at"]},
        )
    assert min(_same(estate.tables).values()) > 10


AS_OF: Sequence[dict[str, Any]] = [
    {"zone_label": None}, {"zone_label": ""}, {"zone_label": 'zo"ne'}, {"zone_label": "owner"}, {"export_label": "a.b"}, {"export_label": 'ex"port'},
    {"skew_s": 0}, {"skew_s": 86400 * 5}, {"as_of": datetime(2026, 1, 20, tzinfo=UTC)},
]  # fmt: skip


def test_under_whatever_configuration_sql_says_what_python_says() -> None:
    few = Estate()
    few.add()
    few.add(own=False, twin={})
    few.add(
        job={"labels": {"owner": "o", "a.b": "x", "zone": "z", 'zo"ne': "y", "": "w"}},
        session={"session_name": "other"},
    )
    few.add(job={"finished_at": None}, session={"issued_at": job()["finished_at"] + timedelta(seconds=100)})
    estate = few.tables
    subjects = estate["config_subject"]
    base = _same(estate)
    assert min(base.values()) > 2, base
    changed = [{**estate, "as_of": [estate["as_of"][0] | more]} for more in AS_OF]
    for account in ("SA-1@X.iam", "sa-1@x.iam\u212a"):
        more = {"service_account": account, "subject": "7"}
        changed.append({**estate, "config_subject": [*subjects, more]})
    changed.append({**estate, "config_subject": [row | {"subject": None} for row in subjects]})
    changed.append(
        {
            **estate,
            "config_subject": [r | {"service_account": r["service_account"].upper()} for r in subjects],
        }
    )
    changed.append({**estate, "config_subject": []})
    changed.append({**estate, "config_federation": []})
    changed.append({**estate, "config_federation": [*estate["config_federation"], {"role_arn": ROLE + "2"}]})
    changed.append(
        {
            **estate,
            "config_export": [{"name": "x", "bucket": "claims", "prefix": "day/{job_uuid}", "job_id": "*"}],
        }
    )
    assert sum(_same(tables) != base for tables in changed) > 5


def test_json_that_is_copied_as_it_stands_is_what_reading_and_writing_it_again_gives() -> None:
    for value in (
        {"b": 1, "a": ["É", "\n", "\x7f", "\0", "\ud800", "x" * 70000]},
        [1.5, 1e22, 2**70, True, None],
        "\ufdd0",
    ):
        text = canonical(value)
        assert canonical(loads(text)) == text
