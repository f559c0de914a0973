"""What people read in a bundle: findings, populations, exports, and where each table comes from (IPE cards)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from auditor.bundle_bag import told_of
from auditor.model import LINKS
from auditor.verify import DRIFT, VERDICTS

if TYPE_CHECKING:
    from auditor.bundle_bag import Bag
    from auditor.bundle_scans import Carried
    from auditor.ledger import Entry, FindingRow

FINDING = (
    "finding_id", "state", "verdict", "severity", "rule", "code", "subject_table", "subject_key", "zone", "account",
    "project", "owner", "opened_at", "closed_at", "since_at", "until_at", "waiver", "because", "remedy", "controls",
)  # fmt: skip
"""Columns of findings.csv."""
SUBJECT = ("row", "subject_key", "account", "project", "zone", "owner", *VERDICTS, "failing", "undecided")
"""Columns of a population's table."""


def findings(bag: Bag, rows: Iterable[FindingRow], numbers: Mapping[str, int]) -> None:
    """Add every interval of every finding; `numbers` gives each scan's place in the ledger."""
    told = [
        {**told_of(row), "since_n": numbers[row.since_scan], "until_n": numbers.get(row.until_scan or "")}
        for row in rows
    ]
    bag.rows("data/findings.jsonl", told)
    bag.csv("data/findings.csv", FINDING, told)


def drift(bag: Bag, records: Mapping[int, Mapping[str, Sequence[Sequence[Any]]]]) -> None:
    """Add what changed from scan to scan, as the ledger's entries digest it."""
    rows = [
        {"n": n, **dict(zip(DRIFT, row, strict=True))}
        for n in sorted(records)
        for row in records[n].get("drift", ())
    ]
    bag.rows("data/drift.jsonl", rows)


def decisions(entries: Sequence[Entry], kind: str, until: str) -> Iterator[dict[str, Any]]:
    """Yield waivers or sign-offs by a time, each with the entry that records it; a waiver with how it was revoked."""
    ended = {e.body["waiver_id"]: e for e in entries if e.kind == "waiver_revoked" and _by(e, until)}
    for entry in entries:
        if entry.kind == kind and _by(entry, until):
            end = ended.get(entry.body.get("waiver_id", ""))
            yield {**entry.body, **(end.body if end else {}), "entry": entry.seq}


def _by(entry: Entry, until: str) -> bool:
    from auditor.ledger.values import stamp

    return stamp(entry.at) <= until


def populations(bag: Bag, scan: Carried) -> dict[str, Any]:
    """Add every subject that was judged, passes too, in a stable order; returns the counts by entity."""
    subjects: dict[str, dict[str, dict[str, Any]]] = {}
    path = bag.folder / f"data/outcomes/{scan.row.scan}.jsonl"
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            row = json.loads(line)
            known = subjects.setdefault(row["subject_table"], {}).setdefault(
                row["subject_key"], {"verdicts": {}}
            )
            known["verdicts"][row["rule"]] = row["verdict"]
            for column in ("account", "project", "zone", "owner"):
                known[column] = known.get(column) or row[column]
    counts: dict[str, Any] = {}
    for entity, found in sorted(subjects.items()):
        rows = [_subject(number, key, found[key]) for number, key in enumerate(sorted(found), 1)]
        bag.rows(f"data/populations/{entity}.jsonl", rows)
        bag.csv(f"data/populations/{entity}.csv", SUBJECT, rows)
        counts[entity] = {
            "rows": len(rows),
            "subjects": sum(not row["subject_key"].startswith("*") for row in rows),
            "not_listed": sum(row["subject_key"].startswith("*") for row in rows),
            **{verdict: sum(row[verdict] for row in rows) for verdict in VERDICTS},
        }
    return counts


def _subject(number: int, key: str, subject: Mapping[str, Any]) -> dict[str, Any]:
    verdicts: Mapping[str, str] = subject["verdicts"]
    tally = Counter(verdicts.values())
    return {
        "row": number,
        "subject_key": key,
        **{column: subject[column] for column in ("account", "project", "zone", "owner")},
        **{verdict: tally[verdict] for verdict in VERDICTS},
        "verdicts": verdicts,
        "failing": sorted(rule for rule, verdict in verdicts.items() if verdict == "fail"),
        "undecided": sorted(rule for rule, verdict in verdicts.items() if verdict == "unknown"),
    }


def exports(bag: Bag, scan: Carried) -> int:
    """Add every export with its seven links, each link's reason and the records behind it."""
    rows = sorted(scan.judgement.rows("export"), key=lambda row: str(row["export_id"]))
    bag.rows("data/exports.jsonl", rows)
    columns = (
        "export_id",
        "state",
        "strength",
        "zone",
        "owner",
        "started_at",
        "finished_at",
        "objects",
        "bytes",
    )
    links = tuple(f"{link}_{what}" for link in LINKS for what in ("state", "because"))
    bag.csv("data/exports.csv", (*columns, *links), rows)
    return len(rows)


def cards(scan: Carried, populations: Mapping[str, Any], exports: int) -> dict[str, Any]:
    """Return where the tables come from: for each source what was asked, as whom, when, and whether to the end."""
    manifest = scan.snapshot.manifest
    coverage = list(scan.snapshot.rows("coverage"))
    asked: dict[str, list[Mapping[str, Any]]] = {}
    for query in manifest.get("queries", ()):
        asked.setdefault(str(query.get("source")), []).append(query)
    written: dict[str, dict[str, Any]] = {}
    for table, said in sorted(manifest["tables"].items()):
        for source in said.get("sources", ()):
            written.setdefault(source, {})[table] = {"rows": said["rows"], "digest": said["digest"]}
    sources = sorted({*asked, *written, *(str(row["source"]) for row in coverage if row["source"])})
    return {
        "schema": "auditor.ipe/1",
        "scan": scan.row.scan,
        "as_of": manifest["as_of"],
        "window": manifest["window"],
        "snapshot": scan.snapshot.id,
        "product": manifest.get("product"),
        "rules": scan.row.rule_digest,
        "configuration": scan.row.config_digest,
        "callers": manifest.get("identities", []),
        "endpoints": manifest.get("endpoints", {}),
        "sources": [
            {
                "source": source,
                "operations": asked.get(source, []),
                "pages": sum(query.get("pages") or 0 for query in asked.get(source, ())),
                "rows_received": sum(query.get("rows") or 0 for query in asked.get(source, ())),
                "tables": written.get(source, {}),
                "read_to_the_end": sum(bool(row["complete"]) for row in coverage if row["source"] == source),
                "gaps": [_gap(row) for row in coverage if row["source"] == source and not row["complete"]],
            }
            for source in sources
        ],
        "exclusions": list(scan.snapshot.rows("config_exclusion")),
        "populations": populations,
        "exports": exports,
        "perform_again": "auditor replay BUNDLE",
    }


def _gap(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("table_name", "account", "region", "resource", "reason", "detail")}
