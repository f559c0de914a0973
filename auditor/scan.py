"""One scan on one page: look, join, judge, remember, tell. Read this first."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.alerts import Route, compose
from auditor.alerts.fresh import fresh
from auditor.bundle_kept import looked_for
from auditor.collect import collect
from auditor.coverage import unread
from auditor.drift import Present, compare
from auditor.errors import EngineError
from auditor.increments import last_full
from auditor.judge import Judgement, judge
from auditor.ledger.holding import held
from auditor.ledger.recorded import BucketMemory, ExportMemory, Memories, PointMemory, RuleNote, ScanRecord
from auditor.model import Drift, Gap, Seen, State, Window
from auditor.moving import index_digest, rules_changed, what_may_move
from auditor.retention import Retention, after_a_scan
from auditor.rulestore import keep
from auditor.schema import tables as schema_tables
from auditor.snapshot import Snapshot, sweep
from auditor.spool import spooled
from auditor.watch import gcp, people
from auditor.watch.entries import COLUMNS as ENTRY_COLUMNS
from auditor.watch.entries import FEED as AUDIT_ENTRIES
from auditor.watch.values import watched

if TYPE_CHECKING:
    from auditor.config import Config
    from auditor.ledger import Before, Ledger, ScanRow
    from auditor.ledger.values import Lease
    from auditor.rulepack import Pack

Progress = Callable[[str, Mapping[str, Any]], None]

OVERLAP = timedelta(hours=48)
"""Tables of events are read again this far back: records arrive late, and what is read twice is kept once."""
EARLY = timedelta(hours=1)
"""A full pass may come this much before its time: the scan after it may be a whole interval away."""
LONGEST_SCAN_GAP = timedelta(days=7)
"""A longer stretch without a scan leaves the end of a retention unproven (links.md)."""
CONFIGURED = (Seen("config_duty", "*"),)
"""Tables of the configuration that are watched: always read to their end."""


@dataclass(frozen=True, slots=True)
class Scan:
    """One finished scan and where its evidence is."""

    row: ScanRow
    snapshot: Snapshot
    judgement: Judgement
    drift: Collection[Drift]
    gaps: tuple[Gap, ...]
    broken_rules: tuple[str, ...]


def scan(
    config: Config,
    ledger: Ledger,
    pack: Pack,
    *,
    now: datetime,
    slot: str = "",
    owner: str = "",
    full: bool = False,
    progress: Progress | None = None,
) -> Scan:
    """Look, join, judge, remember, tell: one scan, recorded in one transaction or not at all.

    A `full` pass carries nothing over; one comes by itself when `[scan] full` is over since the last.
    AuditorError when it cannot be written; then the ledger is as it was.
    """
    with held(ledger, slot or f"{now:%Y-%m-%dT%H:%M:%SZ}", owner, now) as lease:
        return _scanned(config, ledger, pack, lease, now=now, full=full, progress=progress)


def _scanned(
    config: Config,
    ledger: Ledger,
    pack: Pack,
    lease: Lease,
    *,
    now: datetime,
    full: bool,
    progress: Progress | None,
) -> Scan:
    """Make the scan of a slot that is held; nothing of it is in the ledger before its last line."""
    folder = Path(config.state.dir)
    before = ledger.state(now, findings=False)
    carried = _carried(ledger, folder)
    full = full or _full_is_due(carried, config, now)
    snapshot, judgement = looked(
        config, pack, before, carried, slot=lease.slot, now=now, full=full, progress=progress
    )
    if progress:
        progress("comparing", {})
    moving = what_may_move(ledger, folder / "judged", judgement, now)
    past = replace(before.past, findings=moving.past.findings, resolved=moving.past.resolved)
    exports = spooled(judgement.rows("export"))
    coverage = (*coverage_of(snapshot), *CONFIGURED)
    memories = _memories(snapshot, exports, before, now)
    present = Present(
        outcomes=moving.outcomes,
        watch=memories.watch,
        coverage=coverage,
        changes=snapshot.rows("aws_change"),
        buckets=snapshot.rows("s3_bucket", ("arn", "account", "region", "tags")),
        settles=settles(snapshot),
        audited=snapshot.rows(AUDIT_ENTRIES, ENTRY_COLUMNS),
        audited_settles=settles(snapshot, "logging"),
        judged=[rule.id for rule in pack.rules],
        broken=[rule.id or "*" for rule in pack.broken_rules],
        rules=rules_changed(ledger, folder / "judged", judgement, snapshot, pack),
    )
    drift = compare(past, present, now=now)
    notes = {rule.id: RuleNote(rule.controls, rule.remedy) for rule in pack.rules}
    alerts = compose(
        drift,
        moving.outcomes,
        exports,
        routes(config),
        now=now,
        rules=notes,
        coverage=coverage,
        alerting=before.alerting,
        previous_at=before.previous_at,
        restraints=before.restraints,
        parents=parents(before),
        fresh=fresh((*coverage_of(carried), *CONFIGURED) if carried else None, coverage, pack.rules),
    )
    if progress:
        progress("recording", {})
    passed = snapshot.manifest["pass"]
    row = ledger.record(
        ScanRecord(
            slot=lease.slot,
            snapshot_id=snapshot.id,
            snapshot_dir=f"snapshots/{snapshot.id}",  # in the state folder, wherever that is
            rule_digest=pack.digest,
            config_digest=config.digest,
            outcome_digest=judgement.digests["outcome"],
            open_index=index_digest(judgement),
            compared_with=moving.compared_with,
            tally={
                **judgement.tally,
                "pass": {name: passed[name] for name in ("full", "full_at", "scopes", "oldest")},
            },
            rules=notes,
            broken=tuple(present.broken),
            coverage=coverage,
            unseen=judgement.tally["gaps"],
            interval_s=config.scan.schedule,
            lease=lease,
            cursors={(source, scope): at for source, scope, at in snapshot.manifest["cursors"]},
        ),
        moving.outcomes,
        drift,
        memories,
        alerts,
        only=moving.only,
        at=now,
    )
    after_a_scan(ledger, folder, retention(config), now=now)
    gaps = tuple(part for part in coverage_of(snapshot, seen_at=now) if isinstance(part, Gap))
    return Scan(row, snapshot, judgement, drift, gaps, pack.broken)


def looked(
    config: Config,
    pack: Pack,
    before: Before,
    carried: Snapshot | None,
    *,
    slot: str,
    now: datetime,
    full: bool = False,
    anew: bool = False,
    progress: Progress | None = None,
) -> tuple[Snapshot, Judgement]:
    """Look, join and judge; `anew`: no setting is carried over, for it may just have been mended."""
    folder = Path(config.state.dir)
    for part in ("snapshots", "judged", "rules"):
        sweep(folder / part)
    draft = collect(
        replace(config, scan=replace(config.scan, carry_max_age=0)) if anew else config,
        now=now,
        window=Window(reading_from(carried, config, now, full=full), now),
        carried=carried,
        cursors=before.cursors,
        full=full,
        overlap=OVERLAP,
        into=folder / "snapshots",
        progress=progress,
    )
    snapshot = draft.joined(joins(config, pack, before, now=now, slot=slot))
    if progress:
        progress("judging", {"snapshot": snapshot.id[:12]})
    snapshot, judgement = judged(config, snapshot, pack, folder / "judged")
    keep(pack, folder / "rules", judgement.dir)
    return snapshot, judgement


def settles(snapshot: Snapshot, feed: str = "cloudtrail") -> timedelta:
    """Return how late events of the trail may come, or entries of Cloud Logging."""
    (row,) = snapshot.rows("as_of")
    return timedelta(seconds=row[f"horizon_{feed}_s"] or 0)


def judged(config: Config, snapshot: Snapshot, pack: Pack, into: Path) -> tuple[Snapshot, Judgement]:
    """Judge where the configuration says; what a cluster did not read is a gap, and all that needs it unknown."""
    here = partial(
        judge, pack=pack, into=into, memory_mb=config.limits.memory_mb, spill_mb=config.limits.spill_mb
    )
    try:
        return snapshot, here(snapshot, engine=config.engine)
    except EngineError as error:
        large = sorted(table.name for table in schema_tables().values() if not table.small)
        snapshot = unread(snapshot, large, error.what)
        return snapshot, here(snapshot)


def joins(
    config: Config, pack: Pack, before: Before, *, now: datetime, slot: str
) -> dict[str, Collection[dict[str, Any]]]:
    """Return every table a snapshot is joined with: the configuration, the history, and the scan itself."""
    tables: dict[str, Collection[dict[str, Any]]] = dict(config.tables((*pack.rules, *pack.broken_rules)))
    (scan_row,) = tables["as_of"]
    tables["as_of"] = [scan_row | {"as_of": now, "slot": slot, "previous_at": before.previous_at}]
    tables["rule_pack"] = [
        {"digest": pack.digest, "rules": len(pack.rules), "broken": len(pack.broken_rules)}
    ]
    described = schema_tables()
    for name, rows in before.tables.items():
        as_json = {column.name for column in described[name].columns if column.type == "JSON"}
        tables[name] = [_decoded(row, as_json) for row in rows] if as_json else rows
    if "history_bundle" in tables:
        tables["history_bundle"] = list(
            looked_for(tables["history_bundle"], Path(config.signing.bundles), now)
        )
    return tables


def _decoded(row: Mapping[str, Any], as_json: Collection[str]) -> dict[str, Any]:
    return {key: json.loads(value) if key in as_json and value else value for key, value in row.items()}


def retention(config: Config) -> Retention:
    """Return how long snapshots are kept."""
    kept = config.snapshots
    return Retention(timedelta(seconds=kept.keep), timedelta(seconds=kept.window))


def coverage_of(snapshot: Snapshot, *, seen_at: datetime | None = None) -> Iterator[Seen | Gap]:
    """Yield what a snapshot says was seen and what was not; with `seen_at` only what that scan itself looked at."""
    for row in snapshot.rows("coverage"):
        if seen_at is not None and row["observed_at"] != seen_at:
            continue
        scope = (row["table_name"], row["account"], row["region"], row["resource"])
        times = {"from_at": row["from_at"], "until_at": row["until_at"]}
        if row["complete"]:
            yield Seen(*scope, **times)
        else:
            yield Gap(*scope, reason=row["reason"] or "failed", detail=row["detail"] or "", **times)


def _carried(ledger: Ledger, folder: Path) -> Snapshot | None:
    last = ledger.latest_scan()
    return Snapshot.open(folder / "snapshots" / last.snapshot_id) if last else None


def _full_is_due(carried: Snapshot | None, config: Config, now: datetime) -> bool:
    """Say whether `[scan] full` is over since the last full pass; a slot may be rung a little early."""
    last = last_full(carried)
    return last is None or now - last >= timedelta(seconds=config.scan.full) - EARLY


def reading_from(carried: Snapshot | None, config: Config, now: datetime, *, full: bool) -> datetime:
    """Return from when events are asked for: since the last full pass or scan before, or the whole look-back."""
    start = now - timedelta(seconds=config.scan.lookback)
    last = last_full(carried) if full else carried.as_of if carried else None
    return max(start, last - OVERLAP) if last else start


def routes(config: Config) -> list[Route]:
    """Return what each route that has an address wants to hear."""
    return [settings.route(name) for name, settings in sorted(config.alerts.items()) if settings.on]


def parents(before: Before) -> Mapping[str, str]:
    """Return the vault of each recovery point that was there: its own key does not name it."""
    rows = before.tables.get("history_point", ())
    return {str(row["arn"]): str(row["vault_arn"]) for row in rows if row["vault_arn"]}


def _memories(
    snapshot: Snapshot, exports: Iterable[Mapping[str, Any]], before: Before, now: datetime
) -> Memories:
    """Return what later scans must know of this one."""
    described = schema_tables()
    chosen = {**people.watched_rows(snapshot.rows, now), **gcp.watched_rows(snapshot.rows)}
    watch = [
        value
        for table in described.values()
        if any(column.watch for column in table.columns)
        for row in (chosen[table.name] if table.name in chosen else snapshot.rows(table.name))
        for value in watched(table, row)
    ]
    buckets = [
        BucketMemory(row["arn"], row["versioning"], row["eventbridge"]) for row in snapshot.rows("s3_bucket")
    ]
    points = (
        PointMemory(*(row[name] for name in _POINT)) for row in snapshot.rows("backup_recovery_point", _POINT)
    )
    members = [
        (row["user_id"], row["group_name"])
        for row in snapshot.rows("directory_membership")
        if row["until_at"] is None or row["until_at"] > now
    ]
    zones = {row["zone"]: row for row in snapshot.rows("config_zone")}
    looks = sorted({*(row["at"] for row in before.tables["history_scan"] if row["state"] == "finished"), now})
    return Memories(
        exports=(_export_memory(row, zones, looks, now) for row in exports),
        buckets=buckets,
        points=points,
        watch=watch,
        memberships=members,
    )


_POINT = (
    "arn", "account", "region", "vault_arn", "resource_arn", "status", "delete_at", "deletes_after_copy",
)  # fmt: skip


def _export_memory(
    row: Mapping[str, Any], zones: Mapping[str, Mapping[str, Any]], looks: list[datetime], now: datetime
) -> ExportMemory:
    from auditor.model import LINKS

    return ExportMemory(
        export_id=row["export_id"],
        zone=row["zone"],
        capture_due_at=row["capture_due_at"],
        retention_state=row["retention_state"],
        proving_point=row["proving_point"],
        final=_final(row, zones.get(row["zone"] or ""), looks, now),
        links={name: [row[f"{name}_state"], row[f"{name}_strength"]] for name in LINKS},
    )


def _final(
    row: Mapping[str, Any], zone: Mapping[str, Any] | None, looks: list[datetime], now: datetime
) -> bool:
    """Say whether every holder kept the export to the end of its retention, with no long gap between scans."""
    if zone is None or row["retention_state"] != State.PROVEN or row["ended_at"] is None:
        return False
    copies = [copy.get("retention_d") for copy in zone["copy_to"] or ()]
    days = [zone["retention_d"], zone["bucket_min_d"], *copies]
    if any(each is None for each in days):
        return False
    end = row["ended_at"] + timedelta(days=max(days))
    if now < end:
        return False
    during = [row["ended_at"], *(at for at in looks if row["ended_at"] < at <= now)]
    return all(later - sooner <= LONGEST_SCAN_GAP for sooner, later in pairwise(during))
