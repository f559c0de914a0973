"""Which of many jobs a step that judges few sessions may have to look at: the others it need not read."""

from __future__ import annotations


def running(sessions: str, first: str, last: str) -> str:
    """Return the condition, in SQL, of jobs that a session names, or that run from `first` to `last` and may be its own.

    `sessions` is what follows FROM. A job of more than a day may always be one's own: the others are looked for among
    those of the session's subject, by the days on which they begin and end.
    """
    beside = "SELECT j.job_uuid FROM chain_job j JOIN s ON s.subject = j.subject AND s.issued_at BETWEEN"
    return f"""{last} > {first} + INTERVAL 1 DAY OR job_uuid IN (
        WITH s AS (SELECT subject, session_name, issued_at, date_trunc('day', issued_at) AS day FROM {sessions})
        SELECT session_name FROM s UNION ALL SELECT substr(session_name, 10) FROM s
        UNION ALL {beside} {first} AND {last} AND s.day = date_trunc('day', {first})
        UNION ALL {beside} {first} AND {last} AND s.day = date_trunc('day', {last}))"""
