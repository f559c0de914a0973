"""Exports of which nothing is in doubt: what the seven judges would say of them, found without asking each of them anew.

Most exports of an estate are alike: nobody else wrote, one session, one marker, a recovery point in time that is copied and
kept. Here every condition of that is asked for by name, and what two such exports of one bucket and point share is judged
once. Whoever misses one condition is nobody's here: the judges decide, and tests hold both to the same words.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from auditor.correlate.links import copy, job, objects, periodic, retention, session, trigger
from auditor.correlate.links.calls import Triggers
from auditor.correlate.links.evidence import Case, Evidence, Parts, Row, arn_of, case_of, zone_of
from auditor.correlate.links.judgement import Judgement, Refs, proven, weakest
from auditor.correlate.links.points import start_of
from auditor.correlate.links.recovery_point import Capture
from auditor.correlate.links.row import row_of
from auditor.correlate.links.settings import sights_of
from auditor.model import State, Strength
from auditor.outputs import inputs

_GOOD = (State.PROVEN, State.NOT_REQUIRED)
_SURE = (Strength.EXACT, Strength.STRONG)
Spans = Sequence[tuple[datetime, datetime]]


@dataclass(frozen=True, slots=True)
class Found:
    """An export that is plain: its row, and what other runs of it need to know."""

    row: Mapping[str, Any]
    capture: Capture
    zone: str | None


@dataclass(frozen=True, slots=True)
class _Held:
    """What exports that one recovery point proves have in common."""

    row: Mapping[str, Any]
    """The row of the first of them."""
    capture: Capture
    strength: Strength
    """The weakest of the point, its copies and what keeps them."""
    kept: retention.Kept | None
    """How long all of it is kept; None where none of it must be."""


@dataclass(frozen=True, slots=True)
class _Home:
    """What exports of one bucket and one label have in common."""

    zone: str
    within: timedelta
    events: Spans
    """When data events of the bucket were read without a gap."""
    starts: Sequence[datetime]
    first: Sequence[Row]
    """Of the points that started at each of `starts` or later the one that was complete first."""
    held: dict[str, _Held | None] = field(default_factory=dict)

    def proof(self, since: datetime, due: datetime, writes: Row) -> tuple[datetime, Row] | None:
        """Return the first point that was complete by `due` and started after a time, and before anything went, and when."""
        place = bisect_left(self.starts, since)
        if place == len(self.starts):
            return None
        point = self.first[place]
        start = start_of(point)
        if start is None or point["completed_at"] > due:
            return None
        for gone in (writes["taken_at"], writes["deleted_at"], writes["superseded_at"]):
            if gone is not None and gone <= start:
                return None
        return start, point


class Plain:
    """Judges exports that leave no doubt, and tells which they are."""

    def __init__(self, evidence: Evidence, triggers: Triggers) -> None:
        self._evidence = evidence
        self._triggers = triggers
        self._homes: dict[tuple[Any, ...], _Home | None] = {}
        self._bucket = ""
        self._issues: dict[tuple[str, str], Sequence[Spans]] = {}
        self._declared: dict[tuple[Any, ...], bool] = {}

    def of(self, parts: Parts) -> Found | None:
        """Return an export of which every link but the trigger is proven or not required; None: the judges decide."""
        output, run, writes, markers, lost, history = parts
        evidence = self._evidence
        now, skew = evidence.now, evidence.skew
        if writes is None or lost or len(markers) != 1 or (history is not None and history["final"]):
            return None
        home = self._home(output["bucket"], run["zone_label"], run["labels_known"])
        account, started, finished = run["service_account"], run["started_at"], run["finished_at"]
        if home is None or not account or not run["subject"] or started is None or finished is None:
            return None
        if run["ending"] != "well" or output["found_by"] == "session" or _may_read(output, run):
            return None
        count, first, last = writes["objects"], writes["first_write_at"], writes["last_write_at"]
        if not count or first is None or last is None:
            return None
        if writes["rivals"] or writes["unsupported"] or writes["unversioned"]:
            return None
        ended = max(finished, last)
        before = history["capture_due_at"] if history is not None else None
        due = ended + home.within if before is None else before
        if now < ended + evidence.cloudtrail:
            return None
        proof = home.proof(ended + skew, due, writes)
        if proof is None:
            return None
        start, point = proof
        arn = point["arn"]
        if not _covered(home.events, first - skew, min(start + skew, now)):
            return None
        mine = self._session(output, run, ended)
        if mine is None:
            return None
        attested = _attested(evidence, output, writes, markers[0])
        if attested is None:
            return None
        started_by = trigger.judge(evidence, trigger.Run(run, home.zone), self._triggers)
        if started_by.state not in (State.PROVEN, State.BROKEN):
            return None
        ran = job.well(run)
        said = periodic.holds(point, start, due, int(count))
        if arn not in home.held:
            holds = proven(said, Strength.STRONG, (("backup_recovery_point", arn),), due)
            capture = Capture(holds, point, None, due, False, start, point["completed_at"])
            links = {"trigger": started_by, "job": ran, "session": mine, "objects": attested}
            home.held[arn] = _held(evidence, case_of(evidence, *parts), capture, links)
        held = home.held[arn]
        if held is None or (held.kept is not None and ended > held.kept.latest):
            return None
        sure = weakest((ran.strength, mine.strength, attested.strength, held.strength))
        row = {
            **held.row,
            "export_id": output["export_id"],
            "export_key": output["export_key"],
            "job_uuid": output["job_uuid"],
            "prefix": output["prefix"],
            "found_by": output["found_by"],
            "declared": output["declared"],
            "job_id": run["job_id"],
            "kind": run["kind"],
            "project": run["project"],
            "region": run["region"],
            "service_account": account,
            "started_at": started,
            "finished_at": finished,
            "state_of_job": run["state"],
            "owner": evidence.owner(output, run),
            "marker": markers[0]["form"],
            "ended_at": ended,
            "first_write_at": first,
            "last_write_at": last,
            "objects": int(count),
            "bytes": int(writes["bytes"] or 0),
            "attributed_by": "exact" if writes["witnessed_objects"] == count else "inferred",
            "capture_due_at": due,
            "trigger_because": started_by.because,
            "trigger_refs": started_by.refs,
            "job_because": ran.because,
            "job_refs": ran.refs,
            "session_strength": str(mine.strength),
            "session_because": mine.because,
            "session_refs": mine.refs,
            "objects_strength": str(attested.strength),
            "objects_because": attested.because,
            "objects_refs": attested.refs,
            "recovery_point_due_at": due,
            "recovery_point_because": said,
        }
        if held.kept is not None:
            row["retention_because"] = held.kept.because(ended)
        if started_by.state == State.PROVEN:
            row["state"], row["first_problem"] = "proven", ""
            row["strength"] = str(weakest((sure, started_by.strength)))
            row["trigger_broken"] = False
        else:
            row["state"], row["first_problem"] = "broken", "trigger"
            row["strength"] = str(Strength.NONE)
            row["trigger_broken"] = True
        row["trigger_state"], row["trigger_strength"] = str(started_by.state), str(started_by.strength)
        return Found(row, held.capture, home.zone)

    def _home(self, bucket: str, label: str | None, known: bool | None) -> _Home | None:
        asked = (bucket, label, known)
        if asked not in self._homes:
            if bucket != self._bucket:  # exports come bucket by bucket
                self._homes.clear()
                self._bucket = bucket
            self._homes[asked] = _home(self._evidence, bucket, label, known)
        return self._homes[asked]

    def _session(self, output: Row, run: Row, ended: datetime) -> Judgement | None:
        """Return the session link proven by the one session of a job, whose issue and writes were all seen."""
        evidence = self._evidence
        matches = evidence.matches.get(run["job_uuid"], ())
        if len(matches) != 1:
            return None
        key, strength, because = matches[0]
        issue = evidence.issued[key]
        issued, expires, skew = issue["issued_at"], issue["expires_at"], evidence.skew
        if strength not in _SURE or issued is None:
            return None
        for write in evidence.session_writes.get(key, ()):
            if expires is None or write["last_at"] > expires + skew or write["first_at"] < issued - skew:
                return None
        asked = (run["service_account"], issue["role_arn"], issue["provider"], issue["audience"])
        if asked not in self._declared:
            self._declared[asked] = session.undeclared(evidence, issue, asked[0]) is None
        first = run["started_at"] - session.BEFORE_START
        last = min(ended + skew, evidence.now)
        if not self._declared[asked] or not self._issues_seen(asked[0], output["bucket"], first, last):
            return None
        said = session.issued_to(asked[0], issue["role_arn"], issued, because)
        return proven(said, Strength(strength), (("sts_session", key),))

    def _issues_seen(self, account: str, bucket: str, first: datetime, last: datetime) -> bool:
        """Tell whether every issue of a session of an account was seen between two times."""
        asked = (account, bucket)
        if asked not in self._issues:
            evidence = self._evidence
            home = (evidence.buckets[bucket]["account"],)
            self._issues[asked] = [
                evidence.sight.whole("sts_session", owner, region=region)
                for owner, region in session.issued_in(evidence, account, home)
            ]
        return all(_covered(spans, first, last) for spans in self._issues[asked])


def _may_read(output: Row, run: Row) -> bool:
    """Tell whether a job names a bucket that it reads from: not if all it names is the one place that it writes to."""
    named = "".join(map(str, run["arguments"] or ())).count("://")
    if not run["properties"] and (not named or (named == 1 and output["found_by"] == "arguments")):
        return False
    return bool(inputs(run))


def _covered(spans: Spans, first: datetime, last: datetime) -> bool:
    """Tell whether one stretch that was read takes in all the time between two moments."""
    if first > last:
        return False
    place = bisect_right(spans, first, key=lambda span: span[0]) - 1
    return place >= 0 and last <= spans[place][1]


def _home(evidence: Evidence, name: str, label: str | None, known: bool | None) -> _Home | None:
    """Return what exports to a bucket have in common; None where any of them would leave a doubt."""
    bucket = evidence.buckets.get(name)
    zone = zone_of(evidence, name, label, known)[2]
    limits = evidence.zones.get(zone) if zone else None
    listing = evidence.listings.get(name)
    if bucket is None or zone is None or limits is None or not known or name in evidence.stray:
        return None
    within = limits["capture_s"]
    if within is None or within < 0 or (listing is not None and listing["way"] == "inventory"):
        return None
    if bucket["versioning"] is None or not all(sight.on for sight in sights_of(evidence, name, "versioning")):
        return None
    account, region, arn = bucket["account"], bucket["region"], arn_of(name)
    if evidence.sight.gaps("s3_object_version", account, region=region, resource=arn):
        return None
    points = _sound(evidence, arn, account, region)
    if points is None:
        return None
    starts = [start for start, _, _ in points]
    first: list[Row] = []
    for _, _, point in reversed(points):
        first.append(min([point, *first[-1:]], key=lambda one: (one["completed_at"], one["arn"])))
    events = evidence.sight.whole("s3_data_event", account, region=region, resource=arn)
    return _Home(zone, timedelta(seconds=within), events, starts, first[::-1])


def _sound(
    evidence: Evidence, arn: str, account: str, region: str | None
) -> list[tuple[datetime, str, Row]] | None:
    """Return the points of a bucket that hold what was there when they started, in that order: no other point proves.

    None: one of them is not to be told by its times alone.
    """
    held = evidence.points.get(arn)
    found = []
    for point in held.every() if held else ():
        start, completed = start_of(point), point["completed_at"]
        if point["continuous"] or (start is not None and completed is not None and completed < start):
            return None
        if start is None or completed is None or point["account"] != account:
            continue
        if region in (None, point["region"]) and not periodic.flaw(evidence, point["arn"]):
            found.append((start, point["arn"], point))
    return sorted(found, key=lambda item: item[:2])


def _attested(evidence: Evidence, output: Row, writes: Row, marker: Row) -> Judgement | None:
    """Return the objects link proven by one marker that all of them are there; None otherwise."""
    if marker["missing"] or marker["cut"] or marker["elsewhere"]:
        return None
    refs: Refs = (("s3_manifest", f"{marker['bucket']}/{marker['key']}@{marker['version_id']}"),)
    if marker["form"] == "empty":
        marked, last = marker["last_modified"], writes["last_part_at"]
        export = evidence.exports.get(output["export_name"] or "")
        if (
            marked is None
            or (last is not None and marked < last)
            or (export and export["complete"] == "manifest")
        ):
            return None
        return objects.by_marker(int(writes["objects"]), refs)
    if marker["form"] != "json" or marker["files"] is None or marker["lost"] is None:
        return None
    there = int(writes["objects"]) - int(writes["rewritten"] or 0) + marker["lost"]
    if marker["files"] != there:
        return None
    witnessed = writes["witnessed_objects"] == writes["objects"]
    return objects.by_manifest(marker["files"], refs, witnessed=witnessed)


def _held(evidence: Evidence, case: Case, capture: Capture, links: dict[str, Judgement]) -> _Held | None:
    """Judge what a recovery point's exports have in common by the first of them; None where they may differ in more."""
    copied, places = copy.judge(evidence, case, capture)
    kept = retention.judge(evidence, case, capture, copied, places)
    if copied.state not in _GOOD or kept.state not in _GOOD or any(p.point is None for p in places):
        return None
    how = None
    if kept.state == State.PROVEN:
        how = retention.kept(case, capture, places, kept)
        if how is None:
            return None
    links = {**links, "recovery_point": capture.judgement, "copy": copied, "retention": kept}
    row = row_of(evidence, case, capture, links, None)
    strengths = [j.strength for j in (capture.judgement, copied, kept) if j.state == State.PROVEN]
    return _Held(row, capture, weakest(strengths), how)
