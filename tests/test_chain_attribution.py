"""The SQL steps that attribute objects to exports, against a reference that takes one object at a time."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

from chain_world import at
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_chain import attributed, unattributed

from auditor import correlate
from auditor.engines.duckdb import Engine

STEPS = (*range(20, 27), 42)
DIRS = ("", "a/", "a/b/", "a/b/c/", "a/bb/", "run=1/", "run=17/", "a/_temporary/0/", "_temporary/0/", "a/.spark-staging-7/",
        "a/__magic_job-1/")  # fmt: skip
PREFIXES = ("", "a/", "a/b/", "a/b/c/", "run=1/", "run=17/", "a/b/")
EVENTS = (*["PutObject"] * 6, "PostObject", "CopyObject", "CompleteMultipartUpload", "DeleteObject")
NAMES = ("p0", "p1", "p2", "p3", "_SUCCESS")


def _estate(seed: int, objects: int, jobs: int) -> dict[str, list[dict[str, Any]]]:
    """A few hours around midnight of overlapping jobs on nested prefixes, with every time on the same coarse grid.

    Every fourth export is another one of the job before it, and of every tenth key an older version is the latest.
    """
    random = Random(seed)
    grid = random.choice((30, 300, 1200))

    def moment() -> Any:
        return at(4, 22) + timedelta(seconds=grid * random.randrange(4 * 3600 // grid))

    exports = []
    for number in range(jobs):
        start = moment()
        until = start + timedelta(seconds=random.choice((0, grid, 3600, 7200)))
        prefix, found_by = random.choice(PREFIXES), random.choice(("arguments", "label", "session"))
        exports.append(
            {
                "export_id": f"one/{prefix}#u{number}", "job_uuid": f"u{number - (number % 4 == 3)}", "bucket": random.choice(("one", "two")),
                "prefix": prefix, "plen": len(prefix), "found_by": found_by, "declared": True, "export_key": prefix,
                "from_at": start, "until_at": until,
            }
        )  # fmt: skip
    credentials = [
        {"access_key_id": f"K{number}" if number else "", "principal_arn": principal, "bucket": bucket, "kind": kind,
         "job_uuid": f"u{number % jobs}" if kind == "job" else None}
        for bucket in ("one", "two")
        for principal in ("arn:p", "arn:q", "")
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
            "bytes": random.randrange(1000), "storage_class": random.choice(("STANDARD", "STANDARD", "GLACIER", "DEEP_ARCHIVE")),
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
                    "event_id": f"e{number}-{copy}", "at": version["last_modified"] + timedelta(seconds=random.choice((-1, 0, 1, 2, 3, 900))),
                    "event_name": random.choice(EVENTS), "bucket": bucket, "key": key, "error_code": random.choice(("", "", None, "AccessDenied")),
                    "version_id": random.choice((version["version_id"], None)),
                    "access_key_id": f"K{signer}" if (signer := random.randrange(14)) else None,
                    "principal_arn": random.choice(("arn:p", "arn:p", "arn:q", None)),
                }
            )  # fmt: skip
    keys: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in versions:
        keys.setdefault((row["bucket"], row["key"]), []).append(row)
    for same in keys.values():
        newest = max(same, key=lambda row: row["last_modified"])
        (random.choice(same) if random.random() < 0.1 else newest)["is_latest"] = True
    return {
        "s3_object_version": versions, "s3_data_event": events, "credential": credentials, "export_output": exports,
    }  # fmt: skip


def _by_steps(estate: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    return _facts(estate)[0]


def _facts(estate: dict[str, list[dict[str, Any]]]) -> tuple[dict[str, Any], dict[Any, dict[str, Any]]]:
    """Return what was written, by export, and what belongs to none, by bucket and directory."""
    with Engine.open(None) as engine:
        for name, rows in estate.items():
            engine.insert(name, rows)
        engine.insert("object_home", ())
        for step in correlate.steps():
            if int(step.name[:2]) in STEPS:
                correlate.run_step(engine, step)
        rows = engine.rows("SELECT * FROM export_write")
        free = engine.table("unattributed_object")
    wrote = {
        row.pop("export_id"): {
            name: value or 0 if name == "rewritten" else value for name, value in row.items()
        }
        for row in rows
    }
    names = ("objects", "bytes", "first_at", "last_at", "under_export", "orphan", "samples")
    return wrote, {(row["bucket"], row["dir"]): {name: row[name] for name in names} for row in free}


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.sampled_from([(60, 4), (400, 12), (1500, 40)]), st.integers(0, 3))
def test_cells_attribute_as_single_objects_do(seed: int, size: tuple[int, int], told: int) -> None:
    estate = _estate(seed, objects=size[0], jobs=size[1])
    estate["s3_data_event"] = estate["s3_data_event"][: len(estate["s3_data_event"]) * told // 3]
    seen = (estate[name] for name in ("s3_object_version", "s3_data_event", "credential", "export_output"))
    given = tuple(seen)

    wrote, free = _facts(estate)

    assert wrote == attributed(*given)
    assert free == unattributed(*given)
    assert wrote or free


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


def test_of_a_version_and_a_delete_marker_of_one_second_the_marker_is_the_later() -> None:
    estate = _estate(3, objects=60, jobs=1) | {"s3_data_event": []}
    export = estate["export_output"][0] | {"bucket": "one", "prefix": "a/", "plen": 2, "found_by": "label",
                                           "from_at": at(5), "until_at": at(6)}  # fmt: skip
    here = estate["s3_object_version"][0] | {"bucket": "one", "key": "a/p", "dir": "a/", "is_latest": False}
    rows = [
        here | {"version_id": "1", "last_modified": at(5, 1), "is_delete_marker": True},
        here | {"version_id": "2", "last_modified": at(5, 1), "is_delete_marker": False},
        here | {"version_id": "0", "last_modified": at(5, 3), "is_delete_marker": False, "is_latest": True},
    ]

    told = [_written_by("K1", "a/p", "2", at(5, 1))]
    for seen in ({}, {"s3_data_event": told, "credential": [_JOB]}):
        wrote = _by_steps(estate | seen | {"s3_object_version": rows, "export_output": [export]})

        assert wrote[export["export_id"]]["deleted_at"] == at(5, 1)


_JOB = {"access_key_id": "K1", "principal_arn": "arn:p", "bucket": "one", "kind": "job", "job_uuid": "u0"}


def _written_by(key_id: str, key: str, version: str, when: Any) -> dict[str, Any]:
    return {
        "event_id": f"{key}@{version}", "at": when, "event_name": "PutObject", "bucket": "one", "key": key, "error_code": "",
        "version_id": version, "access_key_id": key_id, "principal_arn": "arn:p",
    }  # fmt: skip


def test_the_earliest_that_was_deleted_and_taken_is_told_whoever_is_seen_to_write() -> None:
    estate = _estate(3, objects=60, jobs=1)
    export = estate["export_output"][0] | {"bucket": "one", "prefix": "a/", "plen": 2, "found_by": "label",
                                           "from_at": at(5), "until_at": at(5, 1, 30)}  # fmt: skip
    here = estate["s3_object_version"][0] | {"bucket": "one", "dir": "a/"}
    rows, events = [], []
    for number, (deleted, hour) in enumerate([(True, 3), (True, 2), (True, 5), (False, 6), (False, 4)]):
        key, later = f"a/p{number}", at(5, hour)
        gone = {"key": key, "last_modified": at(5, 1), "is_latest": False, "is_delete_marker": False}
        rows.append(here | gone | {"version_id": "1"})
        rows.append(here | gone | {"version_id": "2", "last_modified": later, "is_latest": True, "is_delete_marker": deleted})  # fmt: skip
        if number:  # nobody is seen to write the first
            events.append(_written_by("K1", key, "1", at(5, 1)))
        if not deleted:
            events.append(_written_by("K2", key, "2", later))
    # What its own job writes again, over a delete marker, is neither deleted nor taken.
    for version, minute in (("1", 0), ("2", 10), ("3", 20)):
        when = {"version_id": version, "last_modified": at(5, 1, minute), "is_latest": version == "3"}
        rows.append(here | when | {"key": "a/again", "is_delete_marker": version == "2"})
        if version != "2":
            events.append(_written_by("K1", "a/again", version, at(5, 1, minute)))
    other = _JOB | {"access_key_id": "K2", "kind": "foreign", "job_uuid": None}
    given = {
        "s3_object_version": rows,
        "s3_data_event": events,
        "credential": [_JOB, other],
        "export_output": [export],
    }

    for table in (given, given | {"s3_object_version": rows[::-1]}):
        row = _by_steps(table)[export["export_id"]]
        assert (row["witnessed_objects"], row["objects"], row["rewritten"]) == (6, 7, 1)
        assert (row["deleted_at"], row["taken_at"], row["superseded_at"]) == (at(5, 2), at(5, 4), at(5, 2))


def test_at_the_instant_where_one_window_ends_and_the_next_begins_both_are_rivals() -> None:
    estate = _estate(3, objects=60, jobs=1) | {"s3_data_event": []}
    one = estate["export_output"][0] | {"bucket": "one", "prefix": "a/", "plen": 2, "found_by": "label"}
    exports = [
        one | {"export_id": "first", "from_at": at(5, 1), "until_at": at(5, 1, 30)},
        one | {"export_id": "next", "from_at": at(5, 1, 30), "until_at": at(5, 1, 50)},
    ]
    here = estate["s3_object_version"][0] | {
        "bucket": "one",
        "dir": "a/",
        "is_latest": True,
        "is_delete_marker": False,
    }
    times = [at(5, 1, 30) + timedelta(seconds=second) for second in (-1, 0, 1)] + [at(5, 1, 55)]
    rows = [
        here | {"key": f"a/p{number}", "version_id": f"v{number}", "last_modified": time}
        for number, time in enumerate(times)
    ]

    wrote, free = _facts(estate | {"s3_object_version": rows, "export_output": exports})

    assert {name: (row["objects"], row["rivals"]) for name, row in wrote.items()} == {
        "first": (1, 1),
        "next": (2, 1),
    }
    assert free["one", "a/"]["samples"] == ["a/p3"]
