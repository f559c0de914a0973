"""The SQL steps that attribute objects to exports, against a reference that takes one object at a time."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

import pytest
from chain_world import at
from naive_chain import attributed

from auditor import correlate
from auditor.engines.duckdb import Engine

STEPS = range(20, 27)
DIRS = ("", "a/", "a/b/", "a/b/c/", "a/bb/", "run=1/", "run=17/", "a/_temporary/0/")
PREFIXES = ("", "a/", "a/b/", "a/b/c/", "run=1/", "run=17/", "a/b/")
NAMES = ("p0", "p1", "p2", "p3", "_SUCCESS")


def _estate(seed: int, objects: int, jobs: int) -> dict[str, list[dict[str, Any]]]:
    """A few hours of overlapping jobs on nested prefixes, with every time on the same coarse grid."""
    random = Random(seed)
    grid = random.choice((30, 300, 1200))

    def moment() -> Any:
        return at(5) + timedelta(seconds=grid * random.randrange(4 * 3600 // grid))

    exports = []
    for number in range(jobs):
        start = moment()
        until = start + timedelta(seconds=random.choice((0, grid, 3600, 7200)))
        prefix, found_by = random.choice(PREFIXES), random.choice(("arguments", "label", "session"))
        exports.append(
            {
                "export_id": f"one/{prefix}#u{number}", "job_uuid": f"u{number}", "bucket": random.choice(("one", "two")),
                "prefix": prefix, "plen": len(prefix), "found_by": found_by, "declared": True, "export_key": prefix,
                "from_at": start, "until_at": until,
            }
        )  # fmt: skip
    credentials = [
        {"access_key_id": f"K{number}", "principal_arn": "arn:p", "bucket": bucket, "kind": kind,
         "job_uuid": f"u{number % jobs}" if kind == "job" else None}
        for bucket in ("one", "two")
        for number, kind in enumerate(random.choices(("job", "job", "ambiguous", "no_issue", "declared", "foreign"), k=12))
    ]  # fmt: skip
    versions, events = [], []
    for number in range(objects):
        directory, bucket = random.choice(DIRS), random.choice(("one", "two"))
        key = directory + random.choice(NAMES) + str(random.randrange(objects // 20 + 1))
        key = key if "_SUCCESS" not in key else directory + "_SUCCESS"
        version = {
            "bucket": bucket, "key": key, "version_id": random.choice((f"v{number}", f"v{number}", f"v{number}", "null")),
            "account": "1", "region": "eu-west-1", "dir": directory, "last_modified": moment(),
            "bytes": random.randrange(1000), "storage_class": random.choice(("STANDARD", "STANDARD", "GLACIER")),
            "is_latest": False, "is_delete_marker": random.random() < 0.1,
        }  # fmt: skip
        if version["version_id"] == "null" and any(
            (v["bucket"], v["key"], v["version_id"]) == (bucket, key, "null") for v in versions
        ):
            continue
        versions.append(version)
        for copy in range(random.choice((0, 1, 1, 2))):
            events.append(  # noqa: PERF401 - one loop is enough to read
                {
                    "event_id": f"e{number}-{copy}", "at": version["last_modified"] + timedelta(seconds=random.choice((0, 1, 2, 3, 900))),
                    "event_name": "PutObject", "bucket": bucket, "key": key, "error_code": random.choice(("", "", "", "AccessDenied")),
                    "version_id": random.choice((version["version_id"], None)), "access_key_id": f"K{random.randrange(14)}",
                    "principal_arn": "arn:p",
                }
            )  # fmt: skip
    newest = {
        (row["bucket"], row["key"]): row for row in sorted(versions, key=lambda row: row["last_modified"])
    }
    for row in newest.values():
        row["is_latest"] = True
    return {
        "s3_object_version": versions, "s3_data_event": events, "credential": credentials, "export_output": exports,
    }  # fmt: skip


def _by_steps(estate: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    with Engine.open(None) as engine:
        for name, rows in estate.items():
            engine.insert(name, rows)
        engine.insert("object_home", ())
        for step in correlate.steps():
            if int(step.name[:2]) in STEPS:
                correlate.run_step(engine, step)
        rows = engine.rows("SELECT * FROM export_write")
    return {
        row.pop("export_id"): {
            name: value or 0 if name == "rewritten" else value for name, value in row.items()
        }
        for row in rows
    }


@pytest.mark.parametrize("seed", range(6))
def test_cells_attribute_as_single_objects_do(seed: int) -> None:
    estate = _estate(seed, objects=(60, 400, 1500)[seed % 3], jobs=(4, 12, 40)[seed % 3])

    expected = attributed(
        estate["s3_object_version"], estate["s3_data_event"], estate["credential"], estate["export_output"]
    )

    assert expected
    assert _by_steps(estate) == expected


def test_order_and_repetition_of_events_change_nothing() -> None:
    estate = _estate(7, objects=300, jobs=10)
    again = {name: list(reversed(rows)) for name, rows in estate.items()}
    again["s3_data_event"] += again["s3_data_event"][::3]

    assert _by_steps(again) == _by_steps(estate)


def test_another_bucket_changes_nothing() -> None:
    estate = _estate(8, objects=300, jobs=10)
    other = _estate(9, objects=300, jobs=10)
    more = {
        name: estate[name]
        + [
            row
            | ({"bucket": f"far-{row['bucket']}"})
            | ({"event_id": f"far-{row['event_id']}"} if name == "s3_data_event" else {})
            | ({"export_id": f"far-{row['export_id']}"} if name == "export_output" else {})
            for row in other[name]
        ]
        for name in estate
    }

    found = {name: row for name, row in _by_steps(more).items() if not name.startswith("far-")}
    assert found == _by_steps(estate)
