"""What rules judge of an OIDC provider: whether it, its audiences and its thumbprints are the declared ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from json import loads
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.zoning import Row, parsed, strictest_declared

TABLE = "provider_facts"
READS = ("iam_provider", "config_provider", "config_zone", "history_watch")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row an OIDC provider; without any declared provider nothing can be said of them."""
    declared = {_issuer(row["url"]): row for row in tables["config_provider"]}
    before = {
        row["key"]: row["value"]
        for row in tables["history_watch"]
        if row["table_name"] == "iam_provider" and row["field"] == "thumbprints"
    }
    for provider in tables["iam_provider"]:
        if provider["kind"] != "oidc":
            continue
        config = declared.get(_issuer(provider["url"]))
        yield {
            "subject_key": provider["arn"],
            "zone": strictest_declared(tables["config_zone"]),
            "account": provider["account"],
            "project": None,
            "owner": None,
            "region": "*",
            "url": provider["url"],
            "declared": None if not declared or provider["url"] is None else config is not None,
            "undeclared_client_ids": _beyond(provider["client_ids"], config),
            "thumbprints_as_declared": _thumbprints(provider, config, before),
        }


def _issuer(url: str | None) -> str:
    return (url or "").removeprefix("https://").rstrip("/").lower()


def _beyond(client_ids: Any, config: Row | None) -> list[str] | None:
    found = parsed(client_ids)
    if found is None or config is None:
        return None
    return sorted(set(found) - set(parsed(config["client_ids"]) or ()))


def _thumbprints(provider: Row, config: Row | None, before: Mapping[str, str | None]) -> bool | None:
    """Compare with the pinned ones, else with the scan before; nothing to compare with is no change."""
    found = parsed(provider["thumbprints"])
    if found is None:
        return None
    pinned = (parsed(config["thumbprints"]) or []) if config else []
    if not pinned:
        if provider["arn"] not in before:
            return True
        was = before[provider["arn"]]
        if was is None:
            return None
        pinned = loads(was)
    return sorted(x.lower() for x in found) == sorted(x.lower() for x in pinned)
