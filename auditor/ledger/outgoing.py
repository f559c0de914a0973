"""How alerts are sent, looked through: it changes with every attempt, so that no entry of the chain repeats it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator

from auditor.ledger.values import canonical


def troubles(conn: sqlite3.Connection) -> Iterator[str]:
    """Look through how alerts are sent: nothing is kept back that does not say so itself, or names what is not there.

    No entry repeats it, for it changes with every attempt: what was told, and to whom, is bound; when it arrived is not.
    """
    of: dict[str, str] = dict(conn.execute("SELECT alert_id, channel FROM outbox"))
    for alert_id, channel, within, held, said, *known in conn.execute(
        "SELECT alert_id, channel, within, held, "
        "CASE WHEN json_valid(body) THEN json_extract(body, '$.data.held.by') END, incidents, closes FROM outbox "
        "WHERE within IS NOT NULL OR held IS NOT NULL OR incidents <> '[]' OR closes <> '[]' ORDER BY alert_id"
    ):
        if held is not None and said is None:
            yield f"alert {alert_id} is kept from being sent, and does not say so itself (table outbox)"
        if within is not None and of.get(within) != channel:
            yield f"alert {alert_id} goes out within {within}, which is not there (table outbox)"
        for text in known:
            if text != canonical(_names(text)) or any(of.get(name) != channel for name in _names(text)):
                yield f"alert {alert_id} names alerts that are not there (table outbox)"
    yield from _unheard(conn)


def _names(text: str) -> list[str]:
    try:
        found = json.loads(text)
    except ValueError:
        return [""]
    return [str(each) for each in found] if isinstance(found, list) else [""]


def _unheard(conn: sqlite3.Connection) -> Iterator[str]:
    """Yield what a route is said to have heard of and no message of it told: its opening would never be sent."""
    for channel, key in conn.execute(
        "SELECT channel, dedup_key FROM alerting EXCEPT SELECT o.channel, k.value FROM outbox AS o, "
        "json_each(CASE WHEN json_valid(o.keys) THEN o.keys ELSE '[]' END) AS k ORDER BY 1, 2"
    ):
        yield f"the route {channel} was never told of the matter {key[:12]} that it is waiting for (table alerting)"
