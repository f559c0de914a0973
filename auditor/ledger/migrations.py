"""The ledger's schema, as numbered steps; all that are due run in one transaction, after a backup."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from auditor.ledger.agenda_tables import AGENDA
from auditor.ledger.lifecycle_tables import LIFECYCLE
from auditor.ledger.posted_tables import GUARDED, bind
from auditor.ledger.recheck_tables import RECHECKS

if TYPE_CHECKING:
    import sqlite3

    from sqlite_utils import Database

APPLICATION_ID = 0x41554454
"""`AUDT`: what makes an SQLite file a ledger."""


def create(conn: sqlite3.Connection) -> None:
    """Make the tables of the present version in an empty database; plain SQL, for every first scan waits for it."""
    first = (*_CHAIN, *_SCANS, *_FINDINGS, *_MEMORY, *_OUTBOX, *_DECISIONS, *_GUARDS)
    for statement in (
        *first,
        *_SIGNED,
        *_CURSORS,
        *_UNJUDGED,
        *_DIGESTS,
        *AGENDA,
        *LIFECYCLE,
        *RECHECKS,
        *GUARDED,
    ):
        conn.execute(statement)


_CHAIN = (
    """CREATE TABLE entry (
        seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, at TEXT NOT NULL, body TEXT NOT NULL,
        prev TEXT NOT NULL, hash TEXT NOT NULL UNIQUE) STRICT""",
    "CREATE INDEX entry_at ON entry (at)",
)

_SCANS = (
    """CREATE TABLE scan (
        n INTEGER PRIMARY KEY, scan TEXT NOT NULL UNIQUE, slot TEXT NOT NULL, at TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('finished', 'interrupted', 'missed')),
        complete INTEGER NOT NULL, interval_s INTEGER NOT NULL, snapshot_id TEXT NOT NULL,
        snapshot_dir TEXT NOT NULL, rule_digest TEXT NOT NULL, config_digest TEXT NOT NULL,
        outcome_digest TEXT NOT NULL, tally TEXT NOT NULL, head TEXT NOT NULL,
        entry INTEGER NOT NULL REFERENCES entry (seq)) STRICT""",
    "CREATE UNIQUE INDEX scan_slot ON scan (slot) WHERE state = 'finished'",
    "CREATE INDEX scan_at ON scan (at)",
    """CREATE TABLE lease (
        slot TEXT PRIMARY KEY, token INTEGER NOT NULL UNIQUE, owner TEXT NOT NULL,
        begun_at TEXT NOT NULL, until TEXT NOT NULL) STRICT""",
    "CREATE TABLE token (last INTEGER NOT NULL) STRICT",
    "INSERT INTO token VALUES (0)",
)

_REFERS = "REFERENCES scan (n) DEFERRABLE INITIALLY DEFERRED"

_FINDINGS = (
    f"""CREATE TABLE finding (
        finding_id TEXT NOT NULL, since_scan INTEGER NOT NULL {_REFERS},
        until_scan INTEGER {_REFERS}, rule TEXT NOT NULL, code TEXT NOT NULL,
        subject_table TEXT NOT NULL, subject_key TEXT NOT NULL,
        verdict TEXT NOT NULL CHECK (verdict IN ('fail', 'unknown')), severity TEXT NOT NULL,
        owner TEXT, zone TEXT, account TEXT, project TEXT, because TEXT NOT NULL,
        reason TEXT NOT NULL, params TEXT NOT NULL, failed_checks TEXT NOT NULL,
        unknown_checks TEXT NOT NULL, gaps TEXT NOT NULL, refs TEXT NOT NULL,
        controls TEXT NOT NULL, remedy TEXT NOT NULL, opened_at TEXT NOT NULL,
        last_fail_at TEXT, seen_before INTEGER NOT NULL, closed_at TEXT,
        ended TEXT NOT NULL DEFAULT '', ended_because TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (finding_id, since_scan)) STRICT, WITHOUT ROWID""",
    "CREATE UNIQUE INDEX finding_open ON finding (finding_id) WHERE until_scan IS NULL",
    "CREATE INDEX finding_since ON finding (since_scan)",
    "CREATE INDEX finding_until ON finding (until_scan) WHERE until_scan IS NOT NULL",
    "CREATE INDEX finding_closed ON finding (closed_at) WHERE closed_at IS NOT NULL",
    # The words of an open finding where they are no longer those its interval began with.
    """CREATE TABLE wording (
        finding_id TEXT PRIMARY KEY, because TEXT NOT NULL, reason TEXT NOT NULL,
        params TEXT NOT NULL, failed_checks TEXT NOT NULL, unknown_checks TEXT NOT NULL,
        gaps TEXT NOT NULL, refs TEXT NOT NULL) STRICT, WITHOUT ROWID""",
    f"""CREATE TABLE drift (
        scan INTEGER NOT NULL {_REFERS}, drift_id TEXT NOT NULL, kind TEXT NOT NULL,
        rule TEXT, subject_table TEXT NOT NULL, subject_key TEXT NOT NULL, field TEXT,
        before TEXT, after TEXT, direction TEXT NOT NULL, changed_at TEXT,
        detected_at TEXT NOT NULL, actor TEXT, actor_reason TEXT NOT NULL,
        severity TEXT NOT NULL, because TEXT NOT NULL,
        PRIMARY KEY (scan, drift_id)) STRICT, WITHOUT ROWID""",
)

_MEMORY = (
    """CREATE TABLE export_memory (
        export_id TEXT PRIMARY KEY, first_scan INTEGER NOT NULL, zone TEXT,
        first_seen_at TEXT NOT NULL, capture_due_at TEXT, later_due_at TEXT, retention_state TEXT,
        proving_point TEXT, final_scan INTEGER, links TEXT) STRICT, WITHOUT ROWID""",
    "CREATE INDEX export_first ON export_memory (first_scan)",
    "CREATE INDEX export_final ON export_memory (final_scan) WHERE final_scan IS NOT NULL",
    # until_at NULL: still so in the last scan.
    """CREATE TABLE bucket_memory (
        arn TEXT NOT NULL, since_at TEXT NOT NULL, until_at TEXT, versioning TEXT,
        eventbridge INTEGER, PRIMARY KEY (arn, since_at)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX bucket_open ON bucket_memory (arn) WHERE until_at IS NULL",
    """CREATE TABLE point_memory (
        arn TEXT PRIMARY KEY, account TEXT, region TEXT, vault_arn TEXT, resource_arn TEXT,
        status TEXT, delete_at TEXT, deletes_after_copy INTEGER, first_seen_at TEXT NOT NULL,
        last_seen_at TEXT) STRICT, WITHOUT ROWID""",
    """CREATE TABLE membership_memory (
        user_id TEXT NOT NULL, group_name TEXT NOT NULL, since_at TEXT NOT NULL, until_at TEXT,
        PRIMARY KEY (user_id, group_name, since_at)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE watch_memory (
        table_name TEXT NOT NULL, key TEXT NOT NULL, field TEXT NOT NULL, value TEXT,
        account TEXT NOT NULL, region TEXT NOT NULL, known_at TEXT,
        PRIMARY KEY (table_name, key, field)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE watch_scope (
        table_name TEXT NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL,
        PRIMARY KEY (table_name, account, region)) STRICT, WITHOUT ROWID""",
)

_OUTBOX = (
    """CREATE TABLE outbox (
        alert_id TEXT PRIMARY KEY, scan INTEGER, channel TEXT NOT NULL, event TEXT NOT NULL,
        keys TEXT NOT NULL, body TEXT NOT NULL, created_at TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('pending', 'sending', 'delivered', 'dead')),
        attempts INTEGER NOT NULL DEFAULT 0, next_at TEXT NOT NULL, lease_until TEXT,
        last_error TEXT NOT NULL DEFAULT '', delivered_at TEXT) STRICT""",
    "CREATE INDEX outbox_due ON outbox (next_at) WHERE state IN ('pending', 'sending')",
    "CREATE INDEX outbox_scan ON outbox (scan)",
    """CREATE TABLE alerting (
        channel TEXT NOT NULL, dedup_key TEXT NOT NULL, since TEXT NOT NULL,
        PRIMARY KEY (channel, dedup_key)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE channel_off (
        channel TEXT PRIMARY KEY, at TEXT NOT NULL, because TEXT NOT NULL) STRICT""",
)

# Quoted and broken as sqlite-utils wrote them into the first ledgers: a fresh one is equal to these to the byte.
_DECISIONS = (
    """CREATE TABLE "waiver" (
   "waiver_id" TEXT PRIMARY KEY,
   "rule" TEXT NOT NULL,
   "subject" TEXT NOT NULL,
   "finding_id" TEXT,
   "reason" TEXT NOT NULL,
   "requester" TEXT NOT NULL,
   "approver" TEXT NOT NULL,
   "created_at" TEXT NOT NULL,
   "expires_at" TEXT NOT NULL,
   "revoked_at" TEXT,
   "revoked_by" TEXT,
   "revoked_reason" TEXT
) STRICT""",
    """CREATE TABLE "sign_off" (
   "sign_off_id" TEXT PRIMARY KEY,
   "topic" TEXT NOT NULL,
   "subject" TEXT NOT NULL,
   "signer" TEXT NOT NULL,
   "at" TEXT NOT NULL,
   "note" TEXT
) STRICT""",
    """CREATE TABLE "baseline" (
   "name" TEXT PRIMARY KEY,
   "at" TEXT NOT NULL,
   "body" TEXT NOT NULL
) STRICT""",
)

_CONTENT = (
    "finding_id, since_scan, rule, code, subject_table, subject_key, verdict, severity, owner, "
    "zone, account, project, because, reason, params, failed_checks, unknown_checks, gaps, refs, "
    "controls, remedy, opened_at, last_fail_at, seen_before"
)


def _never(table: str, event: str, when: str = "") -> str:
    name = f"{table}_never_{event.partition(' ')[0].lower()}{'_of' if ' OF ' in event else ''}"
    clause = f" WHEN {when}" if when else ""
    return (
        f"CREATE TRIGGER {name} BEFORE {event} ON {table}{clause} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    )


_GUARDS = (
    *(_never(name, "UPDATE") for name in ("entry", "scan", "drift", "sign_off")),
    *(
        _never(name, "DELETE")
        for name in ("entry", "scan", "drift", "sign_off", "finding", "waiver", "export_memory")
    ),
    _never("entry", "INSERT", "NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM entry)"),
    _never("finding", f"UPDATE OF {_CONTENT}"),
    _never("finding", "UPDATE", "OLD.until_scan IS NOT NULL"),
    _never(
        "waiver",
        "UPDATE OF waiver_id, rule, subject, finding_id, reason, requester, approver, created_at, expires_at",
    ),
    _never("waiver", "UPDATE", "OLD.revoked_at IS NOT NULL"),
    _never("export_memory", "UPDATE OF first_scan, zone, first_seen_at, capture_due_at"),
)

_SIGNED = (
    # What was decided, and what else a sign-off of its kind states (canonical JSON); NULL in those of the first version.
    "ALTER TABLE sign_off ADD COLUMN decision TEXT",
    "ALTER TABLE sign_off ADD COLUMN details TEXT",
    "CREATE INDEX sign_off_topic ON sign_off (topic, subject)",
)

_CURSORS = (
    """CREATE TABLE cursor (
        source TEXT NOT NULL, scope TEXT NOT NULL, position TEXT NOT NULL, scan INTEGER NOT NULL,
        PRIMARY KEY (source, scope)) STRICT, WITHOUT ROWID""",
)

_UNJUDGED = (
    # Open findings that the last scan said nothing of, for their subjects were out of sight.
    """CREATE TABLE unjudged (
        finding_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID""",
)

_DIGESTS = (
    # The digest an alert goes out within; NULL: by itself.
    "ALTER TABLE outbox ADD COLUMN within TEXT",
    # What is known to the receiver as one matter: alerts that opened it, of those still open and of those that end here.
    "ALTER TABLE outbox ADD COLUMN incidents TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE outbox ADD COLUMN closes TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE alerting ADD COLUMN incident TEXT",
    "CREATE INDEX alerting_incident ON alerting (channel, incident)",
    "CREATE INDEX outbox_within ON outbox (within) WHERE within IS NOT NULL",
)


def _steps(*statements: str) -> Callable[[Database], None]:
    def step(database: Database) -> None:
        for statement in statements:
            database.execute(statement)

    return step


def _bound(database: Database) -> None:
    bind(database.conn)
    _steps(*GUARDED)(database)


MIGRATIONS: tuple[Callable[[Database], None], ...] = (
    _steps(*_SIGNED),
    _steps(*_CURSORS),
    _steps(*_UNJUDGED),
    _steps(*_DIGESTS),
    _steps(*AGENDA),
    _steps(*LIFECYCLE),
    _steps(*RECHECKS),
    _bound,
)
"""One step from each version to the next, the first of them from 1; a released step never changes."""
VERSION = 1 + len(MIGRATIONS)
CREATED = VERSION
"""The version that `create` makes."""
