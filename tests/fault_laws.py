"""What a fault may do to a scan, as laws: each function yields every way in which one is broken."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fault_world import FULL_WALK, Fault, FaultWorld, Judged, Operation, judged

from auditor.model import LINKS
from auditor.schema import tables as schema_tables
from auditor.snapshot import Snapshot

STRENGTHS = ("none", "inferred", "strong", "exact")
Scope = tuple[str, str, str, str]
"""Table, account, region and resource."""


def gaps(snapshot: Snapshot) -> set[tuple[Any, ...]]:
    """Return the scopes and times of a snapshot's gaps, without their reasons."""
    return {
        (row["table_name"], row["account"], row["region"], row["resource"], row["from_at"], row["until_at"])
        for row in snapshot.rows("coverage")
        if not row["complete"]
    }


def look_of(snapshot: Snapshot, tables: Iterable[str]) -> tuple[Any, ...]:
    """Return what judging depends on: rows by their digest, and where the gaps are, whatever their reasons."""
    of = frozenset(tables)
    held = snapshot.manifest["tables"]
    return tuple(sorted((name, held[name]["digest"]) for name in of)), frozenset(
        g for g in gaps(snapshot) if g[0] in of
    )


# What is collected ----------------------------------------------------------------------------------------------------


def untrue(case: Snapshot, truth: Snapshot, tables: Iterable[str]) -> Iterator[str]:
    """Nothing is told that is not so, and what is missing lies under a gap."""
    for name in sorted(tables):
        table = schema_tables()[name]
        real = {_key(table.key, row): row for row in truth.rows(name)}
        found = {_key(table.key, row): row for row in case.rows(name)}
        hidden = [scope for scope in gaps(case) if scope[0] == name]
        for key, row in found.items():
            if key not in real:
                yield f"{name} {key} is told and is not there"
                continue
            for column, value in row.items():
                if value is not None and value != real[key][column]:
                    yield f"{name} {key}: {column} is told as {value!r} and is {real[key][column]!r}"
            lost = [
                column for column, value in row.items() if value is None and real[key][column] is not None
            ]
            if lost and not any(_meets(scope, row) for scope in hidden):
                yield f"{name} {key}: {', '.join(lost)} is not told, and no gap says so"
        for key in real.keys() - found.keys():
            if not any(_meets(scope, real[key]) for scope in hidden):
                yield f"{name} {key} is missing, and no gap says so"


def silent(case: Snapshot, truth: Snapshot, tables: Iterable[str]) -> Iterator[str]:
    """A fault shows as a gap, unless all that was wanted was collected all the same."""
    if not gaps(case) - gaps(truth) and look_of(case, tables) != look_of(truth, tables):
        yield "rows differ from the undisturbed ones, and there is no gap"


def _key(columns: Iterable[str], row: Mapping[str, Any]) -> str:
    return "/".join(str(row[column]) for column in columns)


def _meets(scope: tuple[Any, ...], row: Mapping[str, Any]) -> bool:
    """Tell whether a gap may hide a row, or a column of it."""
    account = row.get("account") or row.get("project") or "*"
    if not {scope[1], account} & {"*"} and scope[1] != account:
        return False
    region = row.get("region") or "*"
    return scope[2] in ("*", region) or region == "*" or scope[2] == ""


# What is judged -------------------------------------------------------------------------------------------------------


def better(case: Judged, truth: Judged) -> Iterator[str]:
    """No verdict, link or finding of a case is better, or surer, than the truth."""
    yield from _outcomes(case, truth)
    yield from _subjects(case, truth)
    yield from _links(case, truth)
    yield from _sessions(case, truth)


def _outcomes(case: Judged, truth: Judged) -> Iterator[str]:
    """A verdict stays, or becomes unknown: never pass, never not applicable, and never fail for want of sight."""
    for (rule, subject), now in case.outcomes.items():
        if now["verdict"] == "unknown" or (now["verdict"] == "fail" and now["subject_table"] == "scan"):
            continue  # rules about the scan itself do see the gap
        then = truth.outcomes.get((rule, subject))
        was = (then["verdict"], then["reason"]) if then else ("no subject", "")
        same = was[0] == now["verdict"]
        if not same or (now["verdict"] == "not_applicable" and was[1] != now["reason"]):
            yield f"{rule} {subject}: {was} became {now['verdict']} {now['reason']}: {now['because']}"


def _subjects(case: Judged, truth: Judged) -> Iterator[str]:
    """No subject disappears without a word."""
    hidden = {
        rule
        for (rule, subject), row in case.outcomes.items()
        if subject.startswith("*") and row["verdict"] == "unknown"
    }
    for (rule, subject), then in truth.outcomes.items():
        told = (rule, subject) in case.outcomes or rule in hidden or subject.startswith("*")
        if not told and case.outcomes.get((rule, _folder(subject)), {}).get("verdict") != "unknown":
            yield f"{rule} {subject}: {then['verdict']} is gone, and nothing says that it could not be seen"


def _folder(subject: str) -> str:
    """Return the directory that speaks for an object."""
    return subject.rpartition("@")[0].rpartition("/")[0] + "/"


def _links(case: Judged, truth: Judged) -> Iterator[str]:
    """A link stays, or becomes unknown; a chain is no better than its links."""
    for export_id, now in case.exports.items():
        then = truth.exports.get(export_id)
        for link in LINKS:
            state = now[f"{link}_state"]
            if state == "unknown":
                if not now[f"{link}_gaps"] and then and then[f"{link}_state"] != "unknown":
                    yield f"{export_id} {link}: unknown, and it names no gap: {now[f'{link}_because']}"
                continue
            was = then[f"{link}_state"] if then else "no export"
            if state != was:
                yield f"{export_id} {link}: {was} became {state}: {now[f'{link}_because']}"
            elif then and _sureness(now, link) > _sureness(then, link):
                yield f"{export_id} {link}: {then[f'{link}_strength']} became {now[f'{link}_strength']}"


def _sureness(export: Mapping[str, Any], link: str) -> int:
    return STRENGTHS.index(export[f"{link}_strength"])


def _sessions(case: Judged, truth: Judged) -> Iterator[str]:
    """A session is an orphan, or none, only where it was so."""
    for key, now in case.sessions.items():
        then = truth.sessions.get(key)
        if now["orphan"] is not None and (then is None or now["orphan"] != then["orphan"]):
            yield f"session {key}: orphan {then and then['orphan']} became {now['orphan']}: {now['because']}"
    for arn, row in case.protection.items():
        true = truth.protection.get(arn, {})
        for column, unsure in (("covered", "undecided"), ("observed", "unknown")):
            if row[column] not in (unsure, true.get(column)):
                yield f"protection of {arn}: {column} {true.get(column)} became {row[column]}"


# The walk -------------------------------------------------------------------------------------------------------------


def _fewer(case: Snapshot, truth: Snapshot, tables: Iterable[str]) -> bool:
    """Tell whether rows are missing: then the sources that read them have to be asked again too."""
    return any(
        case.manifest["tables"][name]["rows"] < truth.manifest["tables"][name]["rows"] for name in tables
    )


class Walk:
    """Faults put to one world: each is judged unless another of its operation looked the same to the judge."""

    def __init__(self, world: FaultWorld) -> None:
        self.world = world
        self._judged: dict[Operation, set[tuple[Any, ...]]] = defaultdict(set)

    def broken(self, fault: Fault) -> list[str]:
        """Return every law that a fault breaks."""
        world = self.world
        operation = (fault["service"], fault["operation"])
        callers = world.operations[operation]
        tables = {table for name in callers for table in world.heard[name].TABLES}
        whole: Snapshot | None = None
        if not self._judged[operation] and world.concerned(fault) == callers:
            seen = whole = world.disturbed(fault)
        else:
            seen, yielded = world.alone(fault)
        said = [*untrue(seen, world.snapshot, tables), *silent(seen, world.snapshot, tables)]
        look = look_of(seen, tables)
        if look not in self._judged[operation] and look != look_of(world.snapshot, tables):
            self._judged[operation].add(look)
            if whole is None:
                live = FULL_WALK or _fewer(seen, world.snapshot, tables)
                whole = world.disturbed(fault) if live else world.replayed(yielded)
            said += better(judged(whole), world.undisturbed)
        for each in {seen.dir} | ({whole.dir} if whole else set()):
            shutil.rmtree(each)
        return said

    def over(self, faults: Iterable[Fault]) -> dict[str, list[str]]:
        """Return the broken laws of many faults, by fault; empty when all of them hold."""
        said = {" ".join(map(str, fault.values())): self.broken(fault) for fault in faults}
        return {fault: lines for fault, lines in said.items() if lines}
