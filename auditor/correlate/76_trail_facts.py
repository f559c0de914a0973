"""What rules judge of a trail, beside the other trails of its account; an account without any is a row too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.zoning import Row, listed, strictest_declared

TABLE = "trail_facts"
READS = (
    "cloudtrail_trail",
    "aws_account",
    "bucket_facts",
    "digest_chain",
    "config_place",
    "config_zone",
    "coverage",
)

_GUARDS = ("logging", "multi_region", "global_events", "validated")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a trail, and one for each account that was read to its end and has none."""
    trails: dict[str, Row] = {}
    for trail in tables["cloudtrail_trail"]:  # a multi-region trail is listed in every region
        if trail["arn"] not in trails or trail["logging"] is not None:
            trails[trail["arn"]] = trail
    whole: dict[str, set[str]] = defaultdict(set)
    for arn, trail in trails.items():
        if all(trail[guard] for guard in _GUARDS) and trail["management_events"] == "All":
            whole[trail["account"]].add(arn)
    zone = strictest_declared(tables["config_zone"])
    buckets = {row["name"]: row for row in tables["bucket_facts"]}
    chains: dict[str, list[Row]] = defaultdict(list)
    for chain in tables["digest_chain"]:
        chains[chain["trail_arn"]].append(chain)
    for arn, trail in trails.items():
        yield {
            **_digests(chains[arn]),
            **_subject(arn, trail["account"], trail["region"], zone),
            "name": trail["name"],
            **{guard: trail[guard] for guard in _GUARDS},
            "management_events": trail["management_events"],
            "delivery_error": trail["delivery_error"],
            **_delivered(trail["bucket"], buckets),
            "covered_by_another": bool(whole[trail["account"]] - {arn}),
        }
    accounts = {row["account"] for row in tables["aws_account"]}
    accounts |= {row["account"] for row in tables["config_place"] if row["cloud"] == "aws"}
    for account in sorted(accounts - {trail["account"] for trail in trails.values()}):
        if listed(tables["coverage"], "cloudtrail_trail", account):
            yield {
                **_subject(f"arn:aws:cloudtrail:*:{account}:trail/*", account, "*", zone),
                "name": "(the account has no trail)",
                **dict.fromkeys(_GUARDS, False),
                "management_events": "None",
                "delivery_error": "",
                "bucket": "none",
                "covered_by_another": False,
            }


def _digests(chains: list[Row]) -> dict[str, Any]:
    """Return whether the digests of all regions hold; None when none was read."""
    troubles = [f"{chain['region']}: {said}" for chain in chains for said in chain["troubles"]]
    unread = sum(chain["files_unread"] for chain in chains)
    return {
        "digests": sum(chain["digests"] for chain in chains),
        "digest_troubles": troubles,
        "digests_hold": not troubles if chains else None,
        "files_compared": sum(chain["files"] for chain in chains) - unread,
    }


def _delivered(name: str | None, buckets: Mapping[str, Row]) -> dict[str, Any]:
    """Return how the bucket that a trail delivers to is guarded."""
    bucket = buckets.get(name or "")
    if bucket is None:
        says = (
            f"{name} is no bucket of the accounts in scope, or was not listed"
            if name
            else "its bucket was not read"
        )
        return {"bucket": name, "bucket_says": says}
    doors = (
        bucket["public_access_blocked"],
        bucket["acls_disabled"],
        None if bucket["policy_public"] is None else not bucket["policy_public"],
    )
    closed = False if False in doors else None if None in doors else True
    encryption = bucket["encryption"]
    unread = [
        word
        for word, known in (
            ("who may come in", closed),
            ("encryption", encryption),
            ("logging", bucket["access_logs"]),
        )
        if known is None
    ]
    return {
        "bucket": name,
        "bucket_closed": closed,
        "bucket_encrypted": None if encryption is None else encryption != "none",
        "bucket_logged": bucket["access_logs"],
        "bucket_says": f"not known of {name}: {', '.join(unread)}" if unread else "",
    }


def _subject(key: str, account: str, region: str, zone: str | None) -> dict[str, Any]:
    return {
        "subject_key": key,
        "zone": zone,
        "account": account,
        "project": None,
        "owner": None,
        "region": region,
    }
