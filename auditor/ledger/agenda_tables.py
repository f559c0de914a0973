"""The tables of the service: who leads, what is due, and when all was last well. Schema 6."""

from __future__ import annotations

AGENDA = (
    # One row: who leads. `term` is the fencing token, and grows with every new leader; `beat` with every sign of life.
    """CREATE TABLE leader (
        only INTEGER PRIMARY KEY CHECK (only = 1), holder TEXT NOT NULL, term INTEGER NOT NULL,
        beat INTEGER NOT NULL, since TEXT NOT NULL, until TEXT NOT NULL) STRICT""",
    """CREATE TABLE slot (
        job TEXT NOT NULL, due_at TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('planned', 'running', 'done', 'missed', 'failed')),
        term INTEGER, holder TEXT, started_at TEXT, ended_at TEXT, failures INTEGER NOT NULL DEFAULT 0,
        scan TEXT, covered_by TEXT, said TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (job, due_at)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX slot_open ON slot (job, due_at) WHERE state IN ('planned', 'running')",
    # One row a kind: the last good scan, and whether it was told outside.
    """CREATE TABLE heartbeat (
        kind TEXT PRIMARY KEY, at TEXT NOT NULL, scan TEXT, told_at TEXT,
        said TEXT NOT NULL DEFAULT '') STRICT""",
)
