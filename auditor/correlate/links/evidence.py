"""The tables of a snapshot, indexed once, and one export with all that belongs to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from sys import intern
from typing import Any, TypeVar

from auditor.correlate import Rows, Tables
from auditor.correlate.beside import Beside
from auditor.correlate.links.points import Points
from auditor.correlate.links.strays import Strays
from auditor.correlate.sight import Sight

Row = Mapping[str, Any]
T = TypeVar("T")

RETRY = timedelta(hours=6)
"""A failed run must be repeated within this when no export of the configuration says otherwise (JOB-001)."""


class Evidence:
    """Everything the links are judged from."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        (scan,) = tables["as_of"]
        self.now: datetime = scan["as_of"]
        self.previous_at: datetime | None = scan["previous_at"]
        self.skew = timedelta(seconds=scan["skew_s"])
        self.grace = timedelta(seconds=scan["grace_s"])
        self.cloudtrail = timedelta(seconds=scan["horizon_cloudtrail_s"])
        self.logging = timedelta(seconds=scan["horizon_logging_s"])
        self.listing = timedelta(seconds=scan["horizon_listing_s"])
        self.zone_tag: str = scan["zone_tag"]
        self.sight = Sight(tables["coverage"])
        self._answers: dict[tuple[Any, ...], Any] = {}
        self.clear: dict[tuple[Any, ...], datetime] = {}
        """From when on nothing hides a link of exports that are alike (`hiding.py`)."""

    def once(self, asked: tuple[Any, ...], answer: Callable[..., T]) -> T:
        """Return what `answer` says of the evidence and what was asked, which it is told nothing beside.

        The first part of `asked` names the question. An answer rests on nothing but this scan's tables and those
        parts: so it is the same for every export that asks.
        """
        if asked not in self._answers:
            self._answers[asked] = answer(self, *asked[1:])
        return self._answers[asked]  # type: ignore[no-any-return]

    def _by(self, table: str, *columns: str) -> dict[Any, list[Row]]:
        return grouped(self.tables[table], lambda row: tuple(row[column] for column in columns))

    def _one(self, table: str, column: str) -> dict[str, Row]:
        return {row[column]: row for row in self.tables[table]}

    @cached_property
    def jobs(self) -> dict[str, Row]:
        return self._one("chain_job", "job_uuid")

    @cached_property
    def stray(self) -> dict[str, Strays]:
        return {bucket: Strays(rows) for bucket, rows in self._by("stray_write", "bucket").items()}

    @cached_property
    def session_writes(self) -> dict[str, list[Row]]:
        """Where the credentials of each session wrote, by directory and hour."""
        keys = {_who(row): row["session_key"] for row in self.tables["credential"] if row["session_key"]}
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.tables["credential_write"]:
            if _who(row) in keys:
                found[keys[_who(row)]].append(row)
        return found

    @cached_property
    def outputs(self) -> dict[Any, list[Row]]:
        return self._by("export_output", "bucket", "prefix")

    def outputs_over(self, bucket: str, directory: str) -> Iterator[Row]:
        """Yield the exports whose prefix a directory lies under."""
        parts = directory.split("/")
        for depth in range(len(parts)):
            yield from self.outputs.get((bucket, "".join(f"{part}/" for part in parts[:depth])), ())

    @cached_property
    def issued(self) -> dict[str, Row]:
        """Sessions by their key."""
        return self._one("sts_session", "session_key")

    def sessions(self, job_uuid: str) -> list[Row]:
        """Return the sessions matched with a job, with how they were matched."""
        return [
            {**self.issued[key], "match": strength, "match_because": because}
            for key, strength, because in self.matches.get(job_uuid, ())
        ]

    @cached_property
    def matches(self) -> dict[str, list[tuple[str, str, str]]]:
        """Return the keys of the sessions of each job, with how strongly and why they are its own."""
        found: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
        for row in self.tables["session_match"]:
            if row["job_uuid"]:
                found[row["job_uuid"]].append((row["session_key"], row["strength"], intern(row["because"])))
        return found

    @cached_property
    def ambiguous_sessions(self) -> dict[str, list[Row]]:
        """Sessions that fit several jobs, by their subject."""
        keys = {row["session_key"] for row in self.tables["session_match"] if row["candidates"] > 1}
        found: dict[str, list[Row]] = defaultdict(list)
        for key in sorted(keys):
            found[self.issued[key]["subject"] or ""].append(self.issued[key])
        return found

    def jobs_hidden(self, until: datetime) -> list[str]:
        """Return what hides jobs that may have run at a time."""
        return self.sight.jobs_gaps(min(until, self.now))

    @cached_property
    def buckets(self) -> dict[str, Row]:
        return self._one("s3_bucket", "bucket")

    @cached_property
    def listings(self) -> dict[str, Row]:
        """By which way the objects of each bucket were read."""
        return self._one("s3_listing", "bucket")

    @cached_property
    def bucket_config(self) -> dict[str, Row]:
        return self._one("config_bucket", "bucket")

    @cached_property
    def bucket_history(self) -> dict[Any, list[Row]]:
        return self._by("history_bucket", "arn")

    @cached_property
    def changes(self) -> dict[Any, list[Row]]:
        return self._by("aws_change", "resource")

    @cached_property
    def zones(self) -> dict[str, Row]:
        return self._one("config_zone", "zone")

    @cached_property
    def exports(self) -> dict[str, Row]:
        return self._one("config_export", "name")

    def owner(self, output: Row, job: Row) -> str | None:
        """Return who owns an export: as the configuration says, else the job's label."""
        declared = self.exports.get(output["export_name"] or "")
        owner: str | None = (declared["owner"] if declared else None) or job["owner_label"]
        return owner

    @cached_property
    def federation(self) -> dict[Any, list[Row]]:
        return self._by("config_federation", "role_arn")

    @cached_property
    def vaults(self) -> dict[str, Row]:
        return self._one("backup_vault", "arn")

    @cached_property
    def _every_point(self) -> list[Row]:
        return list(self.tables["chain_point"])

    @cached_property
    def points(self) -> dict[str, Points]:
        """Original recovery points (copies apart) of each bucket."""
        found = grouped(
            [row for row in self._every_point if not row["source_vault_arn"]],
            lambda row: (row["resource_arn"],),
        )
        return {arn: Points(rows) for arn, rows in found.items()}

    @cached_property
    def copies(self) -> dict[Any, list[Row]]:
        return grouped(
            [row for row in self._every_point if row["source_vault_arn"]],
            lambda row: (row["resource_arn"],),
        )

    @cached_property
    def point(self) -> dict[str, Row]:
        return {row["arn"]: row for row in self._every_point}

    @cached_property
    def known_points(self) -> dict[str, Row]:
        return self._one("chain_known_point", "arn")

    @cached_property
    def backup_jobs(self) -> dict[Any, list[Row]]:
        return self._by("chain_backup_job", "point_arn")

    @cached_property
    def copy_jobs(self) -> dict[Any, list[Row]]:
        return self._by("chain_copy_job", "source_point_arn")


def _who(row: Row) -> tuple[str, str, str]:
    return row["access_key_id"], row["principal_arn"], row["bucket"]


@dataclass(frozen=True, slots=True)
class Case:
    """One export with its job, zone and bucket: what every link is judged for."""

    output: Row
    job: Row
    zone: str | None
    job_zone: str | None
    bucket_zone: str | None
    limits: Row | None
    """The zone's row of config_zone; None when there is no zone."""
    bucket: Row | None
    writes: Row | None
    markers: Sequence[Row]
    lost: Sequence[Row]
    """Versions of it that are gone."""
    history: Row | None
    export_id: str
    bucket_arn: str
    objects: int
    """Object versions attributed to it, the marker apart."""
    first_write_at: datetime | None
    last_write_at: datetime | None
    ended_at: datetime | None
    """E of links.md: the later of job end and last write; None while the job runs."""

    def said(self, link: str) -> str | None:
        """The state of a link in the last scan; None when that is not known."""
        before = ((self.history or {}).get("links") or {}).get(link)
        return str(before[0]) if before else None

    @property
    def nothing_written(self) -> bool:
        return not self.objects


Parts = tuple[Row, Row, Row | None, Sequence[Row], Sequence[Row], Row | None]
"""An export, its job, writes, markers, lost versions and history."""


def parts(evidence: Evidence) -> Iterator[Parts]:
    """Yield what belongs to each export, in the order of its id: it is read beside it."""
    writes, markers, lost, history = (
        Beside(evidence.tables[table], "export_id")
        for table in ("export_write", "marker", "lost_version", "history_export")
    )
    for output in evidence.tables["export_output"]:
        name = output["export_id"]
        yield (
            output,
            evidence.jobs[output["job_uuid"]],
            next(iter(writes.of(name)), None),
            markers.of(name),
            lost.of(name),
            next(iter(history.of(name)), None),
        )


def case_of(
    evidence: Evidence,
    output: Row,
    job: Row,
    writes: Row | None,
    markers: Sequence[Row],
    lost: Sequence[Row],
    history: Row | None,
) -> Case:
    """Return an export as a case."""
    bucket = evidence.buckets.get(output["bucket"])
    job_zone, bucket_zone, zone = zone_of(evidence, output["bucket"], job["zone_label"], job["labels_known"])
    finished: datetime | None = job["finished_at"]
    last = writes["last_write_at"] if writes else None
    return Case(
        output=output,
        job=job,
        zone=zone,
        job_zone=job_zone,
        bucket_zone=bucket_zone,
        limits=evidence.zones.get(zone) if zone else None,
        bucket=bucket,
        writes=writes,
        markers=markers,
        lost=lost,
        history=history,
        export_id=output["export_id"],
        bucket_arn=arn_of(output["bucket"]),
        objects=int(writes["objects"] or 0) if writes else 0,
        first_write_at=writes["first_write_at"] if writes else None,
        last_write_at=last,
        ended_at=finished if finished is None or not last else max(finished, last),
    )


def unseen_since(evidence: Evidence, case: Case) -> datetime | None:
    """Return since when nobody saw what was deleted or overwritten of an export; None: its prefix was listed now.

    An inventory tells what was there some time ago. What it shows proves nothing of later.
    """
    row = evidence.listings.get(case.output["bucket"])
    if row is None or row["way"] != "inventory":
        return None
    if any(case.output["prefix"].startswith(prefix) for prefix in row["prefixes"] or ()):
        return None
    settled: datetime | None = row["settled_at"]
    return settled


def writes_hidden(evidence: Evidence, case: Case, until: datetime) -> list[str]:
    """Return what this scan failed to read of the data events of the export's bucket, from its first write on.

    A bucket whose data events nobody records has none to miss: the objects link tells of that.
    """
    start = case.first_write_at or case.job["started_at"]
    if case.bucket is None or start is None:
        return []
    return evidence.sight.gaps(
        "s3_data_event",
        case.bucket["account"],
        region=case.bucket["region"],
        resource=case.bucket_arn,
        from_at=start - evidence.skew,
        until_at=min(until, evidence.now),
        but=("not_enabled",),
    )


def zone_of(
    evidence: Evidence, name: str, label: str | None, known: bool | None
) -> tuple[str | None, str | None, str | None]:
    """Return the job's zone, that of the bucket of a name, and the stricter of both; None where it cannot be told.

    A label, tag or whole tag set that was not read, or that names no zone, may hide the strictest one: then the
    answer is None unless the other is the strictest already. `known`: the job's labels were read.
    """
    return evidence.once((_zone_of, name, label, known), _zone_of)


def _zone_of(
    evidence: Evidence, name: str, label: str | None, labels_known: bool | None
) -> tuple[str | None, str | None, str | None]:
    bucket = evidence.buckets.get(name)
    tags = bucket["tags"] if bucket else None
    tag = (tags or {}).get(evidence.zone_tag)
    if tag is None and name in evidence.bucket_config:
        tag = evidence.bucket_config[name]["zone"]
    stated = [zone for zone in (label, tag) if zone]
    known = [zone for zone in stated if zone in evidence.zones]
    if not known:
        return label, tag, None
    strictest = min(known, key=lambda zone: (evidence.zones[zone]["rank"], zone))
    hidden = len(known) < len(stated) or tags is None or not labels_known
    if hidden and evidence.zones[strictest]["rank"] > min(z["rank"] for z in evidence.zones.values()):
        return label, tag, None
    return label, tag, strictest


def arn_of(bucket: str) -> str:
    """Return the ARN of a bucket."""
    return f"arn:aws:s3:::{bucket}"


def grouped(rows: Rows, key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    """Return rows by key; a key of one part is that part."""
    found: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        name = key(row)
        found[name[0] if len(name) == 1 else name].append(row)
    return found


@lru_cache(maxsize=16_384)
def words(at: datetime | None) -> str:
    """Return a time as people read it in a sentence, to the second, UTC."""
    if not at:
        return "an unknown time"
    return (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat(" ")[:19] + "Z"


def duration(span: timedelta) -> str:
    """Return a length of time in its two largest units."""
    seconds = int(span.total_seconds())
    days, rest = divmod(abs(seconds), 86400)
    hours, rest = divmod(rest, 3600)
    minutes = rest // 60
    parts = [f"{days} d" if days else "", f"{hours} h" if hours else "", f"{minutes} min" if minutes else ""]
    return " ".join([part for part in parts if part][:2]) or f"{abs(seconds)} s"


def listed(values: Sequence[str], most: int = 3) -> str:
    """Return a few values in a sentence, and how many more there are."""
    shown = ", ".join(values[:most])
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"
