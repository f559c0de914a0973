"""What is already known of Dataproc in a place: from earlier scans and from the audit log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditor.model import Place
    from auditor.sources.ask import Ask

Values = Mapping[str, Any]

_CREATION = {
    "job": ("SubmitJob", "SubmitJobAsOperation"),
    "batch": ("CreateBatch",),
    "session": ("CreateSession",),
}
_DELETION = {"job": "DeleteJob", "batch": "DeleteBatch", "session": "DeleteSession"}
_SETTLED = timedelta(minutes=10)
"""Work submitted less than this before the scan may not be listed yet."""

_STAND_IN = "@"
"""Between name and time in the key of a cluster whose uuid nothing tells; no uuid holds it."""


def telling(kinds: Iterable[str]) -> bool:
    """Return whether work is enough to doubt a log that holds nothing of it.

    Only the log tells who submitted a job. One batch or session alone, which names its creator, is
    a missing entry; two are a missing log.
    """
    found = list(kinds)
    return "job" in found or len(found) > 1


class History:
    """Carried rows and audit entries, by place; read once in each scan."""

    def __init__(self, ask: Ask) -> None:
        self._work: dict[tuple[str, str, str], list[Values]] = {}
        for row in ask.rows("dataproc_job"):
            v = row.values
            self._work.setdefault((v["project"], v["region"], v["kind"]), []).append(v)
        self._clusters: dict[tuple[str, str], list[Values]] = {}
        for row in ask.rows("dataproc_cluster"):
            v = row.values
            self._clusters.setdefault((v["project"], v["region"]), []).append(v)
        self._entries: dict[tuple[str, str], list[Values]] = {}
        self._heard: dict[str, datetime] = {}
        for row in ask.rows("gcp_audit_entry"):
            v = row.values
            if v.get("at") is None:
                continue
            self._heard[v["project"]] = max(self._heard.get(v["project"], v["at"]), v["at"])
            if v.get("method") and v.get("status_code") == 0:
                self._entries.setdefault((v["project"], v.get("region") or ""), []).append(v)
        for entries in self._entries.values():
            entries.sort(key=lambda v: (v["at"], v["entry_id"]))

    def heard(self, project: str, since: datetime) -> bool:
        """Return whether any audit entry of a project is known from `since` on."""
        return project in self._heard and self._heard[project] >= since

    def unheard_since(self, project: str, before: Iterable[Values]) -> datetime | None:
        """Return since when earlier scans saw work of which the log `before` held not one entry."""
        heard = max((v["at"] for v in before if v["project"] == project and v["at"]), default=None)
        unheard = [
            v["submitted_at"]
            for (account, _, _), every in self._work.items()
            for v in every
            if account == project
            and v.get("submitted_at")
            and (heard is None or v["submitted_at"] - _SETTLED > heard)
        ]
        return min(unheard, default=None)

    def work(self, place: Place, kind: str) -> list[Values]:
        """Return the work of one kind that earlier scans saw, by time."""
        found = self._work.get((place.account, place.region, kind), [])
        return sorted(found, key=lambda v: (str(v.get("submitted_at")), v["job_uuid"]))

    def newest(self, known: Iterable[Values], *, default: datetime) -> datetime:
        """Return when the newest of `known` was submitted."""
        return max((v["submitted_at"] for v in known if v.get("submitted_at")), default=default)

    def expected(self, place: Place, kind: str, since: datetime, until: datetime) -> set[str]:
        """Return the ids that a listing from `since` must show: known, logged, not deleted."""
        begun: dict[str, datetime] = {}
        for v in self.work(place, kind):
            if v.get("submitted_at") and v["submitted_at"] >= since:
                begun[str(v["job_id"])] = v["submitted_at"]
        for v in self._named(place, *_CREATION[kind]):
            first = not v.get("operation_last") or v.get("operation_first")
            if v.get("job_id") and first and since + _SETTLED <= v["at"] < until - _SETTLED:
                begun[str(v["job_id"])] = max(v["at"], begun.get(str(v["job_id"]), v["at"]))
        for v in self._named(place, _DELETION[kind]):
            job_id = str(v.get("job_id"))
            if job_id in begun and v["at"] >= begun[job_id]:
                del begun[job_id]
        return set(begun)

    def deleted(self, place: Place, kind: str, values: Values) -> bool:
        """Return whether the audit log tells that a piece of work was deleted after it began."""
        return any(
            v.get("job_id") == values.get("job_id") and v["at"] >= values["submitted_at"]
            for v in self._named(place, _DELETION[kind])
            if values.get("submitted_at")
        )

    def alive(self, place: Place) -> list[str]:
        """Return the clusters that a listing must show: known or logged, and not deleted."""
        lives = self._lives(place)
        return sorted({str(name) for name, _, deleted in lives if deleted is None})

    def clusters(
        self, place: Place, listed: Mapping[str, Values], jobs: Sequence[Values]
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows of listed clusters, then of those that are gone, by uuid.

        A creation entry whose uuid is not told gets it from the one cluster that its jobs ran on;
        failing that its key is name and time, which no job names.
        """
        known = {str(v["cluster_uuid"]): v for v in self._clusters.get(_key(place), [])}
        rows: dict[str, dict[str, Any]] = {uuid: {**v} for uuid, v in listed.items()}
        near = [*listed.values(), *known.values(), *jobs, *self.work(place, "job")]
        for name, created, deleted in self._lives(place):
            uuid = _uuid_of(created) or _guessed(created, name, deleted, near)
            if uuid in rows and rows[uuid].get("origin") == "api":
                rows[uuid]["created_at"] = rows[uuid].get("created_at") or _at(created)
                continue
            row = {**known.get(uuid, {})} or _rebuilt(place, uuid, name, created)
            if row["origin"] == "audit":
                account = row.get("service_account") or created.get("cluster_service_account")
                row["service_account"] = account
                told = created.get("cluster_config") or {}
                row.update((column, value) for column, value in told.items() if row.get(column) is None)
            row["deleted_at"] = row.get("deleted_at") or deleted
            if row != known.get(uuid):
                rows[uuid] = row
        for uuid in sorted(rows):
            yield rows[uuid]

    def _named(self, place: Place, *methods: str) -> list[Values]:
        entries = self._entries.get((place.account, place.region), [])
        return [v for v in entries if str(v["method"]).rpartition(".")[2] in methods]

    def _lives(self, place: Place) -> list[tuple[str, Values, datetime | None]]:
        """Return name, first record and end of each cluster that ever was, in order.

        A long-running pair is one creation: the second entry of an operation is merged in.
        """
        lives: list[list[Any]] = [
            [v["cluster_name"], v, v.get("deleted_at")]
            for v in sorted(self._clusters.get(_key(place), []), key=_birth)
        ]
        for v in self._named(place, "CreateCluster", "DeleteCluster"):
            name = v.get("cluster_name")
            if not name:
                continue
            mine = [life for life in lives if life[0] == name]
            if str(v["method"]).endswith("CreateCluster"):
                same = next((life for life in mine if _one(life[1], v)), None)
                if same is None:
                    lives.append([name, v, None])
                elif _uuid_of(v) and not _uuid_of(same[1]) and "entry_id" not in same[1]:
                    same[1] = {**v, "at": _at(same[1])}
                elif "entry_id" in same[1]:
                    same[1] = {**same[1], **{k: x for k, x in v.items() if same[1].get(k) is None}}
            else:
                open_ = [life for life in mine if life[2] is None and _before(life[1], v)]
                if open_:
                    open_[-1][2] = v["at"]
        return [(name, record, deleted) for name, record, deleted in lives]


def _guessed(record: Values, name: str, deleted: datetime | None, near: Sequence[Values]) -> str:
    """Return the uuid that jobs and clusters of this name and time agree on, or a stand-in."""
    born = _at(record)
    told = {
        str(v["cluster_uuid"])
        for v in near
        if v.get("cluster_name") == name
        and _uuid_of(v)
        and _during(v.get("submitted_at") or v.get("created_at"), born, deleted)
    }
    return told.pop() if len(told) == 1 else f"{name}{_STAND_IN}{born:%Y-%m-%dT%H:%M:%SZ}"


def _uuid_of(record: Values) -> str | None:
    """Return a uuid that Dataproc gave; a stand-in is none."""
    uuid = record.get("cluster_uuid")
    return str(uuid) if uuid and _STAND_IN not in str(uuid) else None


def _key(place: Place) -> tuple[str, str]:
    return place.account, place.region


def _birth(record: Values) -> tuple[str, str]:
    return str(record.get("created_at")), str(record["cluster_uuid"])


def _at(record: Values) -> Any:
    """Return when a cluster began: an audit entry's time, or a carried row's."""
    return record["at"] if "entry_id" in record else record.get("created_at")


def _one(record: Values, entry: Values) -> bool:
    """Return whether a creation entry tells of the cluster in `record`."""
    mine, other = _uuid_of(record), _uuid_of(entry)
    if mine and other:
        return mine == other
    if "entry_id" in record:
        return bool(entry.get("operation_id") and record.get("operation_id") == entry["operation_id"])
    born = record.get("created_at")
    return born is not None and abs(born - entry["at"]) <= _SETTLED


def _before(record: Values, entry: Values) -> bool:
    born = _at(record)
    mine, other = _uuid_of(record), _uuid_of(entry)
    return (born is None or born <= entry["at"]) and (not mine or not other or mine == other)


def _during(at: datetime | None, born: datetime | None, deleted: datetime | None) -> bool:
    if at is None or born is None:
        return False
    return born - _SETTLED <= at and (deleted is None or at <= deleted)


def _rebuilt(place: Place, uuid: str, name: str, entry: Values) -> dict[str, Any]:
    return {
        "cluster_uuid": uuid,
        "cluster_name": name,
        "project": place.account,
        "region": place.region,
        "origin": "audit",
        "service_account": entry.get("cluster_service_account"),
        "created_at": _at(entry),
    }
