"""Attribution told one object at a time in plain Python: what the SQL steps on cells must come to.

Witness first: a version whose data event was signed by a job's session is that job's, under its longest fitting
prefix. A stranger's or a declared writer's belongs to no job. Every other version goes by prefix and time: of the
exports whose prefix is an ancestor of its key and whose window holds its last_modified, the one with the longest
prefix, then the latest start, then the greatest id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

Row = Mapping[str, Any]
WRITES = ("PutObject", "PostObject", "CopyObject", "CompleteMultipartUpload")
NEAR = timedelta(seconds=2)


def attributed(
    versions: Sequence[Row], events: Sequence[Row], credentials: Sequence[Row], exports: Sequence[Row]
) -> dict[str, dict[str, Any]]:
    """Return what each export wrote, by its id; an export that neither wrote nor competes is left out."""
    found: dict[str, dict[str, Any]] = {}
    for version in _followed([_witnessed(version, events, credentials) for version in versions]):
        if version["is_delete_marker"]:
            continue
        winner, rivals = _owner(version, exports)
        for export in rivals:
            here = found.setdefault(export, _nothing())
            here["rivals"] = max(here["rivals"], len(rivals) - 1)
        if winner is not None:
            _add(found.setdefault(winner, _nothing()), version)
    return found


def unattributed(
    versions: Sequence[Row], events: Sequence[Row], credentials: Sequence[Row], exports: Sequence[Row]
) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what belongs to no export, by bucket and directory: markers and what is staged apart."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    free: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for version in _followed([_witnessed(version, events, credentials) for version in versions]):
        if version["is_delete_marker"] or _apart(version["key"]) or _owner(version, exports)[0]:
            continue
        free[version["bucket"], version["dir"]].append(version)
    for (bucket, directory), rows in free.items():
        kinds = [row["witness"] for row in rows]
        ordered = sorted(rows, key=lambda row: (row["key"], row["version_id"]))
        found[bucket, directory] = {
            "objects": len(rows),
            "bytes": sum(row["bytes"] for row in rows),
            "first_at": min(row["last_modified"] for row in rows),
            "last_at": max(row["last_modified"] for row in rows),
            "under_export": any(e["bucket"] == bucket and directory.startswith(e["prefix"]) for e in exports),
            "orphan": True
            if {"foreign", "job"} & set(kinds)
            else False
            if set(kinds) == {"declared"}
            else None,
            "samples": [row["key"] for row in ordered[:5]],
        }
    return found


def _apart(key: str) -> bool:
    staged = "/_temporary/" in f"/{key}" or ".spark-staging-" in key or "/__magic" in key
    return staged or key.rpartition("/")[2] == "_SUCCESS"


def _nothing() -> dict[str, Any]:
    return {
        "objects": 0, "bytes": 0, "witnessed_objects": 0, "rewritten": 0, "unsupported": 0, "unversioned": 0, "rivals": 0,
        "first_write_at": None, "last_write_at": None, "last_part_at": None, "superseded_at": None, "taken_at": None,
        "deleted_at": None,
    }  # fmt: skip


def _witnessed(version: Row, events: Iterable[Row], credentials: Iterable[Row]) -> dict[str, Any]:
    """Return a version with who wrote it: by its version id, else by its key and time when all agree."""
    same = [
        event
        for event in events
        if (event["bucket"], event["key"]) == (version["bucket"], version["key"])
        and event["event_name"] in WRITES
        and not event["error_code"]
    ]
    told = [event for event in same if event["version_id"] == version["version_id"]]
    if not told and not version["is_delete_marker"]:
        told = [
            event
            for event in same
            if event["version_id"] is None and abs(event["at"] - version["last_modified"]) <= NEAR
        ]
        if len({(event["access_key_id"], event["principal_arn"]) for event in told}) > 1:
            told = []
    event = max(told, key=lambda event: event["event_id"], default=None)
    who = next(
        (
            one
            for one in credentials
            if event is not None
            and (one["bucket"], one["access_key_id"], one["principal_arn"])
            == (event["bucket"], event["access_key_id"] or "", event["principal_arn"] or "")
        ),
        None,
    )
    event_at = event["at"] if event else None
    return {
        **version,
        "event_at": event_at,
        "exists_at": max(version["last_modified"], event_at or version["last_modified"]),
        "witness": who["kind"] if who else None,
        "job_uuid": who["job_uuid"] if who else None,
    }


def _followed(versions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return versions with what came after each on its key."""
    keys: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for version in versions:
        keys[version["bucket"], version["key"]].append(version)
    for same in keys.values():
        same.sort(
            key=lambda row: (
                bool(row["is_latest"]),
                row["last_modified"],
                row["is_delete_marker"],
                row["version_id"],
            )
        )
        for index, row in enumerate(same):
            after = same[index + 1] if index + 1 < len(same) else None
            again = next((later for later in same[index + 1 :] if not later["is_delete_marker"]), None)
            row["rewritten"] = bool(
                again
                and row["job_uuid"]
                and not row["is_delete_marker"]
                and again["job_uuid"] == row["job_uuid"]
            )
            left = after if after and not row["rewritten"] else None
            row["superseded_at"] = left["exists_at"] if left else None
            row["taken_at"] = left["exists_at"] if left and left["witness"] in ("foreign", "job") else None
            row["deleted_at"] = left["exists_at"] if left and left["is_delete_marker"] else None
    return versions


def _owner(version: Row, exports: Iterable[Row]) -> tuple[str | None, list[str]]:
    """Return the export a version belongs to, and all that fit it equally well when none is named by an event."""
    here = [
        export
        for export in exports
        if export["bucket"] == version["bucket"] and version["key"].startswith(export["prefix"])
    ]
    if version["witness"] == "job":
        own = [export for export in here if export["job_uuid"] == version["job_uuid"]]
        best = min(own, key=lambda export: (-len(export["prefix"]), export["export_id"]), default=None)
        return (best["export_id"] if best else None), []
    if version["witness"] in ("foreign", "declared"):
        return None, []
    fitting = [
        export
        for export in here
        if export["found_by"] != "session"
        and export["from_at"] <= version["last_modified"] <= export["until_at"]
    ]
    if not fitting:
        return None, []
    longest = max(len(export["prefix"]) for export in fitting)
    rivals = [export for export in fitting if len(export["prefix"]) == longest]
    best = max(rivals, key=lambda export: (export["from_at"], export["export_id"]))
    return best["export_id"], [export["export_id"] for export in rivals]


def _add(sums: dict[str, Any], version: Row) -> None:
    """Add one version to what its export wrote."""
    exact = version["witness"] == "job"
    began = min(version["last_modified"], version["event_at"]) if exact else version["last_modified"]
    sums["first_write_at"] = _least(sums["first_write_at"], began)
    sums["last_write_at"] = _most(sums["last_write_at"], version["exists_at"])
    sums["unsupported"] += version["storage_class"] in ("GLACIER", "DEEP_ARCHIVE")
    sums["unversioned"] += version["version_id"] == "null"
    if _apart(version["key"]):
        return
    sums["objects"] += 1
    sums["bytes"] += version["bytes"]
    sums["witnessed_objects"] += exact
    sums["rewritten"] += version["rewritten"]
    sums["last_part_at"] = _most(sums["last_part_at"], version["exists_at"])
    for column in ("superseded_at", "taken_at", "deleted_at"):
        sums[column] = _least(sums[column], version[column])


def _least(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((at for at in (one, other) if at is not None), default=None)


def _most(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((at for at in (one, other) if at is not None), default=None)
