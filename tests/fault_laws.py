"""What a fault may do to a scan, as laws: each function yields every way in which one is broken."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fault_world import FULL_WALK, Fault, FaultWorld, Operation

from auditor.model import LINKS
from auditor.schema import tables as schema_tables
from auditor.snapshot import Snapshot

if TYPE_CHECKING:
    from fault_judge import Judged

STRENGTHS = ("none", "inferred", "strong", "exact")
Scope = tuple[str, str, str, str]
"""Table, account, region and resource."""


class Sight:
    """A snapshot's rows by their keys, and its gaps: each read once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._rows: dict[str, Mapping[str, Mapping[str, Any]]] = {}

    @cached_property
    def gaps(self) -> set[tuple[Any, ...]]:
        """Their scopes and times, without their reasons."""
        return {
            (
                row["table_name"],
                row["account"],
                row["region"],
                row["resource"],
                row["from_at"],
                row["until_at"],
            )
            for row in self.snapshot.rows("coverage")
            if not row["complete"]
        }

    def rows(self, table: str) -> Mapping[str, Mapping[str, Any]]:
        if table not in self._rows:
            key = schema_tables()[table].key
            self._rows[table] = {_key(key, row): row for row in self.snapshot.rows(table)}
        return self._rows[table]

    def digest(self, table: str) -> str:
        """Return what tells a table's rows from others."""
        return str(self.snapshot.manifest["tables"][table]["digest"])

    def look(self, tables: Iterable[str]) -> tuple[Any, ...]:
        """Return what judging depends on: rows by their digest, and where the gaps are, whatever their reasons."""
        of = frozenset(tables)
        digests = tuple(sorted((name, self.digest(name)) for name in of))
        return digests, frozenset(gap for gap in self.gaps if gap[0] in of)

    def fewer(self, truth: Sight, tables: Iterable[str]) -> bool:
        """Tell whether rows are missing: then the sources that read them have to be asked again too."""
        held, whole = (each.snapshot.manifest["tables"] for each in (self, truth))
        return any(held[name]["rows"] < whole[name]["rows"] for name in tables)


# What is collected ----------------------------------------------------------------------------------------------------


_OWN = {"s3_listing", "carried_difference"}
"""Tables that tell what the scan itself did, as coverage does: under a fault it does something else, and says so."""


def untrue(case: Sight, truth: Sight, tables: Iterable[str]) -> Iterator[str]:
    """Nothing is told that is not so, and what is missing lies under a gap."""
    for name in sorted(set(tables) - _OWN):
        if case.digest(name) == truth.digest(name):
            continue  # the same rows: all are true and none is missing
        real, found = truth.rows(name), case.rows(name)
        hidden = [scope for scope in case.gaps if scope[0] == name]
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


def silent(case: Sight, truth: Sight, tables: Iterable[str]) -> Iterator[str]:
    """A fault shows as a gap, unless all that was wanted was collected all the same."""
    told = set(tables) - _OWN
    if not case.gaps - truth.gaps and case.look(told) != truth.look(told):
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


class Walk:
    """Faults put to one world: each is judged unless another of its operation looked the same to the judge."""

    def __init__(self, world: FaultWorld) -> None:
        self.world = world
        self.truth = Sight(world.snapshot)
        self._judged: dict[Operation, set[tuple[Any, ...]]] = defaultdict(set)

    def broken(self, fault: Fault) -> list[str]:
        """Return every law that a fault breaks."""
        world = self.world
        operation = (fault["service"], fault["operation"])
        callers, concerned = world.operations[operation], world.concerned(fault)
        tables = {table for name in callers for table in world.heard[name].TABLES}
        draft, owners = world.disturbed(fault, callers)
        seen = Sight(draft)
        said = [*untrue(seen, self.truth, tables), *silent(seen, self.truth, tables)]
        look = seen.look(tables)
        if look not in self._judged[operation] and look != self.truth.look(tables):
            self._judged[operation].add(look)
            if concerned != callers and (FULL_WALK or seen.fewer(self.truth, tables)):
                shutil.rmtree(draft.dir)
                draft, owners = world.disturbed(fault, concerned)
            said += better(world.judged(draft, owners), world.undisturbed)
        shutil.rmtree(draft.dir, ignore_errors=True)
        return said

    def over(self, faults: Iterable[Fault]) -> dict[str, list[str]]:
        """Return the broken laws of many faults, by fault; empty when all of them hold."""
        said = {" ".join(map(str, fault.values())): self.broken(fault) for fault in faults}
        return {fault: lines for fault, lines in said.items() if lines}
