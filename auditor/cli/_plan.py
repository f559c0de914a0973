"""What a scan would ask, without asking."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from auditor.cli._app import App


def plan(this: App, now: datetime) -> None:
    """Print each source with its places, window and operations."""
    from auditor.reach import places
    from auditor.scan import OVERLAP
    from auditor.sources import NAMES, running, source

    config = this.config()
    last = None
    if this.ledger_path.exists():
        with this.ledger() as ledger:
            last = ledger.latest_scan()
    since = now - timedelta(seconds=config.scan.lookback)
    since = max(since, last.at - OVERLAP) if last else since
    rows: list[dict[str, Any]] = []
    asked = running({name: source(name) for name in NAMES}, config.sources)
    for name in NAMES:
        module, cloud = source(name), name.partition("_")[0]
        rows.append(
            {
                "source": name,
                "on": name in asked,
                "places": [
                    {"account": place.account, "region": place.region}
                    for place in places(config)
                    if place.cloud == cloud
                ],
                "from": since,
                "until": now,
                "tables": module.TABLES,
                "actions": sorted(module.ACTIONS),
            }
        )
    if this.json:
        from auditor.cli._answer import envelope

        envelope("plan", rows, as_of=now)
        return
    from auditor.cli._text import write

    write(_lines(rows, since, now))


def _lines(rows: list[dict[str, Any]], since: datetime, now: datetime) -> list[str]:
    from auditor.cli._text import bold, safe, when

    lines = [
        f"A scan now would read events from {when(since)} until {when(now)}. Nothing was asked, nothing was written."
    ]
    for row in rows:
        lines += [
            "",
            bold(row["source"])
            + ("" if row["on"] else ": off; a table that no other source writes would be a gap"),
        ]
        if not row["on"]:
            continue
        accounts: dict[str, list[str]] = {}
        for place in row["places"]:
            accounts.setdefault(place["account"], []).append(place["region"])
        lines += [
            f"  in    {safe(account)}: {', '.join(map(safe, regions))}"
            for account, regions in accounts.items()
        ]
        lines += _list("reads", row["tables"]) + _list("calls", row["actions"])
        if not row["places"] and not row["actions"]:
            remote = "_" in row["source"]
            lines.append("  the directory's own API" if remote else "  files on this machine; no call")
    return lines


def _list(word: str, names: Sequence[str]) -> list[str]:
    from auditor.cli._text import wrapped

    if not names:
        return []
    lines = wrapped(", ".join(names), indent="        ")
    return [f"  {word:<6}{lines[0].lstrip()}", *lines[1:]]
