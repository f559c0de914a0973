"""Method, completeness and accuracy: what an auditor asks of evidence that a system made of itself.

Each source gets a card: which system, asked by whom, with which calls and parameters, over which time, how many pages
and rows came, and what they hash to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from auditor.report_controls import Controls
from auditor.report_read import Counts, Past
from auditor.report_words import counted, number, size, span, when
from auditor.schema import tables as schema_tables

if TYPE_CHECKING:
    from auditor.config import Config


@dataclass(frozen=True, slots=True)
class Operation:
    """One call a source makes, over all places."""

    name: str
    places: int
    pages: str
    rows: str
    size: str
    refused: str
    params: str
    """Parameters of one of the calls."""
    digest: str
    """Over the digests of all its pages."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One table as it was stored."""

    name: str
    rows: str
    digest: str
    meaning: str


@dataclass(frozen=True, slots=True)
class SourceCard:
    """One source as an auditor examines it."""

    source: str
    system: str
    endpoint: str
    callers: tuple[str, ...]
    operations: tuple[Operation, ...]
    tables: tuple[TableRow, ...]
    complete: str
    accounts: str


@dataclass(frozen=True, slots=True)
class Reading:
    """By which way the objects of one bucket were read."""

    bucket: str
    way: str
    delivery: str
    """Configuration, format, time and age of the inventory."""
    beside: str
    """What was listed beside it."""
    objects: str
    whole: bool
    because: str


@dataclass(frozen=True, slots=True)
class Population:
    """From what was collected to what was said of it; the parts add up."""

    entity: str
    collected: str
    subjects: int
    scopes: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class Method:
    """Part eight."""

    cards: tuple[SourceCard, ...]
    readings: tuple[Reading, ...]
    window: str
    populations: tuple[Population, ...]
    total: Counts
    recorded: int
    """Outcomes the ledger says the scan had."""
    exclusions: tuple[tuple[str, str, str, str], ...]
    """Kind, glob, reason and approver of what is out of scope."""
    scope: tuple[tuple[str, str], ...]
    zones: tuple[tuple[str, str, str, str], ...]
    """Name, what it demands, policy, approver, strictest first."""
    changes: tuple[tuple[str, str], ...]
    """When the rules or the configuration changed, and to what."""
    commands: tuple[tuple[str, str], ...]
    """What to re-perform, and how."""


_STATES = 20
"""Approved states that are named; `auditor baseline list` has all."""
_SYSTEMS = {"aws": "Amazon Web Services", "gcp": "Google Cloud"}


def method(past: Past, found: Controls, config: Config) -> Method:
    """Gather part eight."""
    judged = past.last
    snapshot = judged.snapshot if judged else None
    manifest: Mapping[str, Any] = snapshot.manifest if snapshot else {}
    verdicts = judged.scan.tally.get("verdicts", {}) if judged else {}
    return Method(
        cards=_cards(manifest, past) if manifest else (),
        readings=tuple(_readings(past)),
        window=f"{when(snapshot.window.from_at)} to {when(snapshot.window.until_at)}" if snapshot else "–",
        populations=_populations(past, manifest),
        total=found.total,
        recorded=sum(verdicts.values()),
        exclusions=tuple(
            (row["kind"], row["match"], row["reason"], row["approved_by"])
            for row in _configured(past, "config_exclusion")
        ),
        scope=_scope(past),
        zones=_zones(past, config),
        changes=_changes(past),
        commands=_commands(past),
    )


def _cards(manifest: Mapping[str, Any], past: Past) -> tuple[SourceCard, ...]:
    queries: dict[str, list[Mapping[str, Any]]] = {}
    for each in manifest.get("queries", ()):
        queries.setdefault(each["source"], []).append(each)
    tables: dict[str, list[TableRow]] = {}
    described = schema_tables()
    owner: dict[str, str] = {}
    assert past.last is not None and past.last.snapshot is not None
    gaps: dict[str, int] = {}
    listings: dict[str, int] = {}
    for row in past.last.snapshot.rows("coverage"):
        owner.setdefault(row["table_name"], row["source"])
        count = listings if row["complete"] else gaps
        count[row["source"]] = count.get(row["source"], 0) + 1
    for name, entry in sorted(manifest["tables"].items()):
        if described[name].kind != "source":
            continue
        source = (entry["sources"] or [owner.get(name, "")])[0]
        tables.setdefault(source, []).append(
            TableRow(name, number(entry["rows"]), entry["digest"], described[name].meaning)
        )
    return tuple(
        _card(source, queries.get(source, []), tables.get(source, []), manifest, listings, gaps)
        for source in sorted({*queries, *tables} - {""})
    )


_WAYS = {"inventory": "S3 Inventory", "prefixes": "listed by prefix", "listing": "listed whole"}


def _readings(past: Past) -> Iterator[Reading]:
    """Yield how the objects of each bucket were read, by bucket."""
    for row in sorted(_configured(past, "s3_listing"), key=lambda row: str(row["bucket"])):
        inventory = row["way"] == "inventory"
        prefixes = counted(len(row["prefixes"] or ()), "prefix", "prefixes")
        yield Reading(
            bucket=row["bucket"],
            way=_WAYS[row["way"]],
            delivery=(
                f"{row['configuration']}, {row['format']}, {counted(row['files'], 'file')}, of "
                f"{when(row['delivered_at'])}, {span(row['age_s'])} before the scan"
                if inventory
                else "–"
            ),
            beside=f"{prefixes} written since {when(row['settled_at'])}"
            if inventory
            else (prefixes if row["way"] == "prefixes" else "–"),
            objects=number(row["objects"]),
            whole=bool(row["whole"]),
            because=row["because"] or "",
        )


def _card(
    source: str,
    queries: Sequence[Mapping[str, Any]],
    tables: Sequence[TableRow],
    manifest: Mapping[str, Any],
    listings: Mapping[str, int],
    gaps: Mapping[str, int],
) -> SourceCard:
    clouds = sorted({each["cloud"] for each in queries})
    cloud = clouds[0] if clouds else ""
    endpoint = manifest.get("endpoints", {}).get(cloud, "")
    accounts = sorted({each["account"] for each in queries if each["account"]})
    callers = [
        f"{each['account']}: {each['caller']}"
        for each in manifest.get("identities", ())
        if each["account"] in accounts
    ]
    read, missing = listings.get(source, 0), gaps.get(source, 0)
    return SourceCard(
        source=source,
        system=_SYSTEMS.get(cloud, "Files of the configuration"),
        endpoint=(endpoint or "the vendor's own endpoints") if cloud else "read from disk",
        callers=tuple(callers) or (("the credentials of the machine",) if cloud else ("–",)),
        operations=_operations(queries, manifest.get("refused", {})),
        tables=tuple(tables),
        complete=f"{counted(read, 'listing')} read to the end, {counted(missing, 'gap')}",
        accounts=", ".join(accounts) or "–",
    )


def _operations(queries: Sequence[Mapping[str, Any]], refused: Mapping[str, int]) -> tuple[Operation, ...]:
    from auditor.ledger.values import digest

    by: dict[str, list[Mapping[str, Any]]] = {}
    for each in queries:
        by.setdefault(f"{each['service']}:{each['operation']}", []).append(each)
    found: list[Operation] = []
    for name, group in sorted(by.items()):
        rows = [each["rows"] for each in group]
        found.append(
            Operation(
                name=name.replace("google.cloud.", "").replace("google.", ""),
                places=len(group),
                pages=number(sum(each["pages"] for each in group)),
                rows="–" if None in rows else number(sum(rows)),
                size=size(sum(each["bytes"] for each in group)),
                refused=number(refused.get(name, 0)),
                params=min(each.get("example", "") for each in group),
                digest=group[0]["sha256"]
                if len(group) == 1
                else digest(sorted(each["sha256"] for each in group)),
            )
        )
    return tuple(found)


def _populations(past: Past, manifest: Mapping[str, Any]) -> tuple[Population, ...]:
    if past.last is None:
        return ()
    listed = {
        table.entity: [name for name, _ in table.listed_by]
        for table in schema_tables().values()
        if table.entity
    }
    rows = {name: entry["rows"] for name, entry in manifest.get("tables", {}).items()}
    return tuple(
        Population(
            entity=entity,
            collected=", ".join(f"{name} {rows.get(name, 0):,}" for name in listed.get(entity, ()))
            or "derived",
            subjects=subjects,
            scopes=scopes,
            counts=counts,
        )
        for entity, (subjects, scopes, counts) in past.last.entities.items()
    )


def _scope(past: Past) -> tuple[tuple[str, str], ...]:
    """Return the places the scan looked at, as its snapshot keeps the configuration."""
    found: dict[str, set[str]] = {}
    for row in _configured(past, "config_place"):
        account = "AWS accounts" if row["cloud"] == "aws" else "Google Cloud projects"
        region = "AWS regions" if row["cloud"] == "aws" else "Google Cloud regions"
        found.setdefault(account, set()).add(row["account"])
        found.setdefault(region, set()).add(row["region"])
    places = [(words, ", ".join(sorted(found[words]))) for words in sorted(found)]
    return (*places, *_approved(past))


def _approved(past: Past) -> Iterator[tuple[str, str]]:
    """Yield what drift is judged against in place of the scan before: each approved state, since when and by whom."""
    states: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in _configured(past, "history_baseline"):
        states.setdefault((row["subject_table"], row["subject_key"]), []).append(row)
    told = [
        f"{key} since {when(min(row['approved_at'] for row in rows))[:10]} "
        f"({', '.join(sorted({row['approver'] for row in rows}))})"
        for (_, key), rows in sorted(states.items())
    ]
    if told:
        more = f"; and {len(told) - _STATES} more" if len(told) > _STATES else ""
        yield "Approved states", f"{'; '.join(told[:_STATES])}{more}"


def _configured(past: Past, table: str) -> Iterator[dict[str, Any]]:
    if past.last is not None and past.last.snapshot is not None:
        yield from past.last.snapshot.rows(table)


def _zones(past: Past, config: Config) -> tuple[tuple[str, str, str, str], ...]:
    named = {zone.name: zone for zone in config.zones}
    found: list[tuple[str, str, str, str]] = []
    for row in sorted(_configured(past, "config_zone"), key=lambda row: (row["rank"], row["zone"])):
        zone = named.get(row["zone"])
        policy = (zone.policy_ref, zone.approved_by) if zone else ("not in the configuration at hand", "–")
        found.append((row["zone"], _demands(row), *policy))
    return tuple(found)


def _demands(zone: Mapping[str, Any]) -> str:
    def limit(value: int | None, words: str, shown: Callable[[int], str]) -> str:
        return (
            f"{words} not stated"
            if value is None
            else f"{words} not demanded"
            if value == -1
            else shown(value)
        )

    copies = zone["copy_to"]
    told = (
        "copies not stated"
        if copies is None
        else counted(len(copies), "copy", "copies")
        if copies
        else "no copy"
    )
    return "; ".join(
        (
            limit(zone["capture_s"], "capture", lambda value: f"captured within {span(value)}"),
            limit(zone["retention_d"], "retention", lambda value: f"kept {value} days"),
            told,
            limit(zone["copy_lag_s"], "copy time", lambda value: f"copied within {span(value)}"),
        )
    )


def _changes(past: Past) -> tuple[tuple[str, str], ...]:
    """Return each change of the rules or the configuration between scans of the period."""
    scans = [*([past.before.scan] if past.before else []), *past.scans]
    found: list[tuple[str, str]] = []
    for sooner, later in pairwise(scans):
        for words, old, new in (
            ("rules", sooner.rule_digest, later.rule_digest),
            ("configuration", sooner.config_digest, later.config_digest),
        ):
            if old != new:
                found.append((when(later.at), f"{words}: {old[:16]} → {new[:16]}"))
    return tuple(found)


def _commands(past: Past) -> tuple[tuple[str, str], ...]:
    period = f"--from {past.from_at:%Y-%m-%dT%H:%M:%SZ} --to {past.to_at:%Y-%m-%dT%H:%M:%SZ}"
    found = [("Make this report again: the same bytes", f"auditor report weekly {period}")]
    if past.last is not None and past.last.snapshot is not None:
        place = f"snapshots/{past.last.scan.snapshot_id}"
        found.append(
            ("Judge the stored evidence again: the same outcome digest", f"auditor scan --snapshot {place}")
        )
    found += [
        ("Write a bundle that holds all of it", f"auditor bundle create {period}"),
        ("Check a bundle offline, with the key you were given", "auditor bundle verify BUNDLE --key KEY"),
        ("Judge a bundle's evidence again, offline", "auditor replay BUNDLE"),
        (
            "Walk one transaction from the trigger to the retention",
            "auditor exports show EXPORT --walkthrough",
        ),
    ]
    return tuple(found)
