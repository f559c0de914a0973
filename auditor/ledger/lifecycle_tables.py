"""Tables of an alert's life: who works on it, who silenced it, what is held back, and what time alone made due."""

from __future__ import annotations


def _never(table: str, event: str, name: str, when: str = "") -> str:
    clause = f" WHEN {when}" if when else ""
    return (
        f"CREATE TRIGGER {table}_never_{name} BEFORE {event} ON {table}{clause} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    )


LIFECYCLE = (
    # An empty text: whatever it is.
    """CREATE TABLE silence (
        silence_id TEXT PRIMARY KEY, rule TEXT NOT NULL, resource TEXT NOT NULL, zone TEXT NOT NULL,
        owner TEXT NOT NULL, reason TEXT NOT NULL, author TEXT NOT NULL, created_at TEXT NOT NULL,
        until TEXT NOT NULL, ended_at TEXT, ended_by TEXT, ended_reason TEXT) STRICT""",
    """CREATE TABLE acknowledgement (
        ack_id TEXT PRIMARY KEY, dedup_key TEXT NOT NULL, resource TEXT NOT NULL, reason TEXT NOT NULL,
        author TEXT NOT NULL, at TEXT NOT NULL) STRICT""",
    "CREATE INDEX acknowledgement_key ON acknowledgement (dedup_key, at)",
    # What is not sent by itself: the silence, or the message that said that it flaps. NULL: sent.
    "ALTER TABLE outbox ADD COLUMN held TEXT",
    "CREATE INDEX outbox_held ON outbox (held) WHERE held IS NOT NULL",
    "CREATE INDEX outbox_created ON outbox (created_at)",
    # The matters of what is held, each in short: canonical JSON.
    """CREATE TABLE holding (
        alert_id TEXT NOT NULL, dedup_key TEXT NOT NULL, said TEXT NOT NULL,
        PRIMARY KEY (alert_id, dedup_key)) STRICT, WITHOUT ROWID""",
    # What a channel was told of and not yet told the end of: in short, when it last got worse, when it was last told.
    "ALTER TABLE alerting ADD COLUMN said TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE alerting ADD COLUMN raised_at TEXT",
    "ALTER TABLE alerting ADD COLUMN told_at TEXT",
    "ALTER TABLE alerting ADD COLUMN told INTEGER NOT NULL DEFAULT 1",
    "ALTER TABLE alerting ADD COLUMN flapping TEXT",
    # Ends that were looked at, whether or not anything was left to tell.
    """CREATE TABLE notice (
        notice TEXT PRIMARY KEY, at TEXT NOT NULL) STRICT, WITHOUT ROWID""",
    _never("silence", "DELETE", "delete"),
    _never(
        "silence",
        "UPDATE OF silence_id, rule, resource, zone, owner, reason, author, created_at, until",
        "update_of",
    ),
    _never("silence", "UPDATE", "update", "OLD.ended_at IS NOT NULL"),
    _never("acknowledgement", "UPDATE", "update"),
    _never("acknowledgement", "DELETE", "delete"),
)
