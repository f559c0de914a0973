"""People, automations and other principals: whether their access ended, whether they acted after it, and what they sign.

An activity is a call that was let through, counted when it starts: the closing entry of a long operation is none.
What an automation triggers counts for its owner apart, as a recurring trigger that outlives its owner.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.callers import bare, succeeded
from auditor.correlate.duties import covers, directory_of, of_pool, shared_groups, workforce
from auditor.correlate.sight import read_back
from auditor.correlate.waiving import covers as waives
from auditor.correlate.zoning import Row, parsed, seconds, strictest_declared
from auditor.persons import folded

TABLE = "identity_facts"
READS = (
    "directory_user",
    "directory_membership",
    "gcp_audit_entry",
    "dataproc_job",
    "job_trigger",
    "export",
    "config_automation",
    "config_duty",
    "config_workforce_pool",
    "config_zone",
    "coverage",
    "history_finding",
    "history_membership",
    "history_waiver",
    "as_of",
)


_NOBODY: frozenset[str] = frozenset()


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a person, automation or triggering principal."""
    (scan,) = tables["as_of"]
    now = scan["as_of"]
    users: dict[str, list[Row]] = defaultdict(list)
    for user in tables["directory_user"]:
        users[bare(user["email"] or user["subject"] or user["id"])].append(user)
    acts = _Acts(tables)
    owned: dict[str, list[str]] = defaultdict(list)
    for automation in tables["config_automation"]:
        owned[bare(automation["owner"] or "")].append(bare(automation["principal"]))
    groups = _Groups(tables, now)
    waivers = _Waivers(tables)
    zone = strictest_declared(tables["config_zone"])
    seen = seconds(now, read_back(tables["coverage"], "gcp_audit_entry", now)) or 0
    named = {key: names for key, mine in users.items() if (names := acts.names(key, mine))}
    known = {name for names in named.values() for name in names}
    for key in sorted({*users, *(acts.triggering() - known)}):
        mine = users.get(key, [])
        names = named.get(key, _NOBODY) if mine else acts.names(key, mine)
        times = acts.of(names)
        theirs = sorted(at for name in set(owned[key]) for at in acts.by_name[name])
        end = _end(mine, now)
        yield {
            "subject_key": key,
            "zone": zone,
            "account": None,
            "project": None,
            "owner": next((user["owner"] for user in mine if user["owner"]), None),
            "region": None,
            "in_directory": bool(mine) if tables["directory_user"] else None,
            "status": _status(mine),
            "directories": sorted({directory_of(user["id"]) for user in mine}),
            "ended": end.ended,
            "ended_at": end.at,
            "ended_by": end.by,
            "ended_words": end.words,
            "end_says": end.says,
            "ended_since_s": seconds(now, end.at),
            "ended_at_least_s": seconds(now, end.at or end.by),
            **groups.of(mine),
            "triggers_jobs": bool(acts.jobs(names)),
            "last_use_at": times[-1] if times else None,
            "last_use_age_s": seconds(now, times[-1]) if times else None,
            "use_seen_s": seen,
            **_after("uses_after_end", "latest_use_after_end_s", times, end),
            "surely_after_end_s": _surely(times, end),
            **_after("owned_after_end", "latest_owned_after_end_s", theirs, end),
            "waivers_of_own": waivers.of(key, mine, acts.jobs(names)),
        }


class _Acts:
    """What each principal did, by the names that audit entries and jobs give it."""

    def __init__(self, tables: Tables) -> None:
        self.by_name: dict[str, list[datetime]] = defaultdict(list)
        self._jobs: dict[str, set[str]] = defaultdict(set)
        self._pools = {row["pool"]: row for row in tables["config_workforce_pool"]}
        for row in tables["job_trigger"]:
            if row["principal"]:
                self._jobs[row["principal"]].add(row["job_uuid"])
        for entry in tables["gcp_audit_entry"]:
            closing = entry["operation_last"] and not entry["operation_first"]
            if closing or not succeeded(entry) or entry["at"] is None:
                continue
            chain = [
                entry["principal_email"],
                entry["principal_subject"],
                *(parsed(entry["delegation"]) or ()),
            ]
            for name in {bare(who) for who in chain if isinstance(who, str) and who}:
                self.by_name[name].append(entry["at"])
        for job in tables["dataproc_job"]:
            if job["creator"] and job["submitted_at"] is not None:
                self.by_name[bare(job["creator"])].append(job["submitted_at"])
        self._acting = {*self.by_name, *self._jobs}
        self._of_pool: dict[tuple[str, str], set[str]] = defaultdict(set)
        for name in self._acting:
            found = workforce(name)
            if found:
                self._of_pool[found[1].lower(), found[0]].add(name)

    def names(self, key: str, users: list[Row]) -> frozenset[str]:
        """Return the names under which an identity acted: its key, its subject, and that in the pools of its own directory.

        Of 200,000 users most never act: they share one empty answer.
        """
        found = {key, *(bare(user["subject"]) for user in users if user["subject"])} & self._acting
        for user in users if self._of_pool else ():
            for text in {str(user[column]).lower() for column in ("subject", "email") if user[column]}:
                for pool in self._pools.values():
                    for name in self._of_pool.get((text, pool["pool"]), ()):
                        said = workforce(name)
                        if said and of_pool([user], pool, said[1]):
                            found.add(name)
        return frozenset(found) if found else _NOBODY

    def of(self, names: frozenset[str]) -> list[datetime]:
        """Return when somebody acted under any of their names, in order."""
        return sorted(at for name in names for at in self.by_name.get(name, ()))

    def jobs(self, names: frozenset[str]) -> set[str]:
        """Return the jobs that somebody triggered."""
        return {job for name in names for job in self._jobs.get(name, ())}

    def triggering(self) -> set[str]:
        """Return the principals that triggered jobs."""
        return set(self._jobs)


class _Groups:
    """Who is in which group now, which of these a duty means, and for how long that is known."""

    def __init__(self, tables: Tables, now: datetime) -> None:
        self._now = now
        self._duties = list(tables["config_duty"])
        self._meant = {row["group_name"] for row in self._duties}
        self._shared = shared_groups(tables["directory_membership"])
        self._now_in: dict[str, dict[str, datetime | None]] = defaultdict(dict)
        for row in tables["directory_membership"]:
            if row["until_at"] is None or row["until_at"] > now:
                begun = row["from_at"] is None or row["from_at"] <= now
                if begun:
                    self._now_in[row["user_id"]][row["group_name"]] = row["from_at"]
        self._seen: dict[tuple[str, str], datetime] = {}
        (scan,) = tables["as_of"]
        for row in tables["history_membership"]:
            if scan["previous_at"] is None or row["until_seen_at"] < scan["previous_at"]:
                continue  # that run of scans ended before the present membership
            if row["group_name"] in self._meant:
                self._seen[row["user_id"], row["group_name"]] = row["from_seen_at"]

    def of(self, users: list[Row]) -> dict[str, Any]:
        """Return the facts of one identity's groups."""
        names: set[str] = set()
        duty: set[str] = set()
        since: list[datetime] = []
        unclear = False
        for user in users:
            for group, begun in self._now_in.get(user["id"], {}).items():
                names.add(group)
                told = self._means(group, directory_of(user["id"]))
                unclear = unclear or told is None
                if told:
                    duty.add(group)
                    first = begun or self._seen.get((user["id"], group))
                    since += [first] if first else []
        return {
            "groups_now": sorted(names),
            "duty_groups": None if unclear else sorted(duty),
            "duty_since_s": seconds(self._now, min(since)) if since else None,
        }

    def _means(self, group: str, directory: str) -> bool | None:
        if group not in self._meant:
            return False
        told = [covers(duty, group, directory, self._shared) for duty in self._duties]
        return True if True in told else None if None in told else False


class _Waivers:
    """Who approved waivers of findings about what they triggered."""

    def __init__(self, tables: Tables) -> None:
        exports: dict[str, str] = {row["export_id"]: row["job_uuid"] for row in tables["export"]}
        self._approved: list[tuple[str, str, frozenset[str]]] = []
        findings = list(tables["history_finding"])
        for waiver in tables["history_waiver"]:
            about = (str(finding["subject_key"]) for finding in findings if waives(waiver, finding))
            jobs = {exports.get(key, key) for key in about}
            self._approved.append((waiver["waiver_id"], waiver["approver"] or "", frozenset(jobs)))

    def of(self, key: str, users: list[Row], jobs: set[str]) -> list[str] | None:
        """Return the waivers of an identity's own; None when who approved one of them cannot be told."""
        own = [(waiver, approver) for waiver, approver, about in self._approved if about & jobs]
        if not own:
            return []
        names = {folded(name) for name in (key, *(user["email"] for user in users if user["email"]))}
        found = sorted(waiver for waiver, approver in own if folded(approver) in names)
        if not found and any("@" not in approver for _, approver in own):
            return None  # a name in words may be anybody's
        return found


def _words(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _status(users: list[Row]) -> str | None:
    states = {user["status"] for user in users}
    return "active" if "active" in states else min((s for s in states if s), default=None)


@dataclass(frozen=True, slots=True)
class _Ending:
    ended: bool | None = None
    at: datetime | None = None
    by: datetime | None = None
    says: str = ""

    @property
    def words(self) -> str:
        """Return when access ended, as exactly as is known."""
        if self.ended is not True:
            return "not at all" if self.ended is False else "at a time that is not known"
        if self.at is not None:
            return f"at {_words(self.at)}"
        return (
            f"by {_words(self.by)} at the latest"
            if self.by is not None
            else "at a time that no directory tells"
        )


def _end(users: list[Row], now: datetime) -> _Ending:
    """Return whether access has ended and when: an e-mail given to a second person ends with the last of them.

    Two directories that disagree are not weighed against each other: then it is not known.
    """
    if not users:
        return _Ending(says="no directory lists it")
    open_ = [
        u for u in users if u["status"] == "active" and (u["disabled_at"] is None or u["disabled_at"] > now)
    ]
    homes = {directory_of(user["id"]) for user in users}
    still = {directory_of(user["id"]) for user in open_}
    if still and still != homes:
        over = ", ".join(sorted(homes - still))
        return _Ending(says=f"{over} ended it and {', '.join(sorted(still))} did not")
    if open_:
        return _Ending(ended=False)
    if any(user["status"] is None and user["disabled_at"] is None for user in users):
        return _Ending(says="the directory does not tell its status")
    ends = [user["disabled_at"] for user in users]
    at = None if None in ends else max(ends)
    latest = [user["disabled_at"] or user["disabled_by"] for user in users]
    by = None if at is not None or None in latest else max(latest)
    return _Ending(True, at, by, "" if at is not None else "the directory does not say when it ended")


def _after(count: str, latest: str, times: list[datetime], end: _Ending) -> dict[str, int | None]:
    if end.ended is False or (end.ended and not times):
        return {count: 0, latest: None}
    if end.at is None:
        sure = [at for at in times if end.by is not None and at > end.by]
        return {count: len(sure) or None, latest: None}
    late = [at for at in times if at > end.at]
    return {count: len(late), latest: seconds(late[-1], end.at) if late else None}


def _surely(times: list[datetime], end: _Ending) -> int:
    """Return how long after the time by which access had ended the latest call was; 0 when none, or that is not told."""
    bound = end.at or end.by
    late = [at for at in times if bound is not None and at > bound]
    return (seconds(late[-1], bound) or 0) if late else 0
