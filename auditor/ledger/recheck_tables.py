"""The table of scans made anew with one more state: a re-check of one subject, which is no scan of the whole."""

from __future__ import annotations

RECHECKS = (
    # SQLite cannot alter a CHECK: a new table takes the rows and the name.
    """CREATE TABLE scan_with_rechecks (
        n INTEGER PRIMARY KEY, scan TEXT NOT NULL UNIQUE, slot TEXT NOT NULL, at TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('finished', 'rechecked', 'interrupted', 'missed')),
        complete INTEGER NOT NULL, interval_s INTEGER NOT NULL, snapshot_id TEXT NOT NULL,
        snapshot_dir TEXT NOT NULL, rule_digest TEXT NOT NULL, config_digest TEXT NOT NULL,
        outcome_digest TEXT NOT NULL, tally TEXT NOT NULL, head TEXT NOT NULL,
        entry INTEGER NOT NULL REFERENCES entry (seq)) STRICT""",
    """INSERT INTO scan_with_rechecks SELECT n, scan, slot, at, state, complete, interval_s, snapshot_id,
        snapshot_dir, rule_digest, config_digest, outcome_digest, tally, head, entry FROM scan ORDER BY n""",
    "DROP TABLE scan",
    "ALTER TABLE scan_with_rechecks RENAME TO scan",
    "CREATE UNIQUE INDEX scan_slot ON scan (slot) WHERE state = 'finished'",
    "CREATE INDEX scan_at ON scan (at)",
    "CREATE TRIGGER scan_never_update BEFORE UPDATE ON scan BEGIN SELECT RAISE(ABORT, 'scan is append-only'); END",
    "CREATE TRIGGER scan_never_delete BEFORE DELETE ON scan BEGIN SELECT RAISE(ABORT, 'scan is append-only'); END",
)
