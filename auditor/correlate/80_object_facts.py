"""What rules judge of objects, by directory: whether a job explains them, and whether the export role wrote them.

A directory in which all is well is one row that ends in a slash; where something is not, up to five of its objects
stand for it. Without data events of the bucket, for the time the directory was written in, nobody can say who wrote:
that stays unknown, and a gap of another time says nothing of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from auditor.correlate import Rows, Tables
from auditor.correlate.sight import Sight
from auditor.correlate.zoning import Row, matches, parsed

TABLE = "object_facts"
READS = (
    "writer",
    "unattributed_object",
    "export_dir",
    "bucket_facts",
    "config_federation",
    "config_writer",
    "coverage",
    "as_of",
)
EXAMPLES = 5


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of each directory that lies under an export."""
    buckets = {row["name"]: row for row in tables["bucket_facts"]}
    roles = {row["role_arn"] for row in tables["config_federation"]}
    stray = {(row["bucket"], row["dir"]): row for row in tables["unattributed_object"] if row["under_export"]}
    versions = {(row["bucket"], row["key"]): row["version_id"] for row in tables["writer"]}
    writers: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in tables["writer"]:
        writers[row["bucket"], row["dir"]].append(row)
    known = {(row["bucket"], row["dir"]): row for row in tables["export_dir"]}
    (now,) = tables["as_of"]
    sight = Sight(tables["coverage"])
    for place in sorted({*stray, *writers, *known}):
        bucket = buckets.get(place[0], {})
        hidden = _hidden(sight, bucket, _time(known.get(place), stray.get(place), writers[place]), now)
        events = not hidden
        ours = [(row, _ours(row, roles, tables["config_writer"])) for row in writers[place]]
        foreign = [row for row, own in ours if own is False]
        unsure = [row for row, own in ours if own is None]
        here = stray.get(place)
        base = {
            **_subject(bucket),
            "bucket": place[0],
            "bucket_arn": f"arn:aws:s3:::{place[0]}",
            "dir": place[1],
            "objects_there": here["objects"] if here else None,
            "hidden": hidden[0] if hidden else "",
        }
        yield from _rows(base, here, foreign, unsure, events, versions, judged_roles=bool(roles))


def _rows(
    base: dict[str, Any],
    stray: Row | None,
    foreign: list[Row],
    unsure: list[Row],
    events: bool,
    versions: Mapping[tuple[str, str], str | None],
    *,
    judged_roles: bool,
) -> Iterator[dict[str, Any]]:
    orphan = stray["orphan"] if stray else False
    if orphan is False and not events:
        orphan = None  # a job or a declared writer fits it, and whether anybody else wrote too is not known
    because = stray["because"] if stray else "its jobs explain it"
    hidden = base.pop("hidden")
    said = {
        "because": because if events else f"{because}; who else wrote could not be seen: {hidden}",
        "known_writers": stray["writers"] if stray else None,
    }
    examples: dict[tuple[str, str | None], dict[str, Any]] = {}
    if orphan is not False:
        for key in (parsed(stray["samples"]) or [])[:EXAMPLES] if stray else ():
            version = versions.get((base["bucket"], key))
            examples[key, version] = {"orphan": orphan, "foreign_writer": None, "writer": None}
    if judged_roles:
        for row in unsure[:EXAMPLES]:
            unknown = {"orphan": orphan or None, "foreign_writer": None, "writer": row["writer"] or None}
            examples.setdefault((row["key"], row["version_id"]), unknown)
        for row in foreign[:EXAMPLES]:
            found = examples.setdefault((row["key"], row["version_id"]), {"orphan": orphan or None})
            found |= {"foreign_writer": True, "writer": row["writer"] or row["principal_type"]}
    if not examples and (orphan is not False or (foreign and judged_roles)):
        examples["", None] = {"orphan": orphan, "foreign_writer": None, "writer": None}
    writer_known = bool(events) and judged_roles and not unsure
    for (key, version), facts in sorted(examples.items(), key=lambda item: (item[0][0], item[0][1] or "")):
        name = f"{base['bucket']}/{key}@{version or 'null'}" if key else f"{base['bucket']}/{base['dir']}"
        told = (
            False
            if facts["foreign_writer"] is None and writer_known and not foreign
            else facts["foreign_writer"]
        )
        yield {**base, **said, "subject_key": name, "key": key or None, **facts, "foreign_writer": told}
    if not examples:
        yield {
            **base,
            **said,
            "subject_key": f"{base['bucket']}/{base['dir']}",
            "key": None,
            "orphan": orphan,
            "foreign_writer": False if writer_known else None,
            "writer": None,
        }


def _time(known: Row | None, stray: Row | None, writers: Rows) -> tuple[datetime, datetime] | None:
    """Return the first and last time something was written into the directory."""
    times = [row[name] for row in (known, stray) if row for name in ("first_at", "last_at")]
    times = [at for at in (*times, *(row["written_at"] for row in writers)) if at is not None]
    return (min(times), max(times)) if times else None


def _hidden(sight: Sight, bucket: Row, time: tuple[datetime, datetime] | None, now: Row) -> list[str]:
    """Return what hides the data events of the bucket for the time the directory was written in."""
    if time is None or not bucket.get("name"):
        return ["the bucket, or when the directory was written, was not seen"]
    skew = timedelta(seconds=now["skew_s"])
    return sight.gaps(
        "s3_data_event",
        bucket["account"],
        region=bucket["region"] or "*",
        resource=f"arn:aws:s3:::{bucket['name']}",
        from_at=time[0] - skew,
        until_at=min(time[1] + skew, now["as_of"]),
    )


def _subject(bucket: Row) -> dict[str, Any]:
    names = ("zone", "account", "project", "owner", "region")
    return {name: bucket.get(name) for name in names}


def _ours(row: Row, roles: set[str], declared: Rows) -> bool | None:
    """Tell whether the export role or a declared writer wrote; None when the event does not say who did."""
    names = {row["writer"], row["principal"]}  # a role, and its session: people declare either
    if any(
        matches(row["bucket"], w["bucket"]) and any(matches(name, w["match"]) for name in names)
        for w in declared
    ):
        return True
    if not row["principal_type"]:
        return None
    if row["principal_type"] != "AssumedRole":
        return False
    if row["writer"] in roles:
        return True
    _, session, name = row["writer"].partition(":assumed-role/")
    if row["writer"] and not session:
        return False
    name = name.partition("/")[0]  # without the role's ARN, which alone holds its path
    return None if not name or any(role.endswith(f"/{name}") for role in roles) else False
