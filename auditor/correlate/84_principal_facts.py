"""What rules judge of an IAM user: its active keys, and the export prefixes that it could write with them.

A user of the bucket's account is let in by its own policies or by the bucket's; one of another account needs both. A bucket whose
policy was not read may let it in or shut it out, so there the answer is open.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.permitting import glob, unlisted
from auditor.correlate.zoning import Row, parsed, strictest_declared
from auditor.policy.carried import LONGEST, carried, documents, user
from auditor.policy.effective import Guard
from auditor.policy.model import NEW_VERSION, Policy
from auditor.policy.narrowed import Holder
from auditor.policy.parse import PolicyError, parse
from auditor.policy.powers import object_writes

TABLE = "principal_facts"
READS = (
    "iam_user",
    "iam_policy",
    "iam_access_key",
    "config_federation",
    "config_export",
    "s3_bucket",
    "config_zone",
)


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a user."""
    zone = strictest_declared(tables["config_zone"])
    managed = documents(tables["iam_policy"])
    keys: dict[str, int] = defaultdict(int)
    for key in tables["iam_access_key"]:
        keys[key["user_arn"]] += key["status"] == "Active"
    places: dict[str, set[str]] = defaultdict(set)
    for row in (*tables["config_federation"], *tables["config_export"]):
        if row["bucket"]:
            places[row["bucket"]].add(glob(row["prefix"] or ""))
    buckets = {row["bucket"]: row for row in tables["s3_bucket"]}
    for one in sorted(tables["iam_user"], key=lambda row: str(row["arn"])):
        yield {
            "subject_key": one["arn"],
            "zone": zone,
            "account": one["account"],
            "project": None,
            "owner": (parsed(one["tags"]) or {}).get("owner"),
            "region": "*",
            "name": one["name"],
            "groups": parsed(one["groups"]),
            "active_keys": keys[one["arn"]],
            **_may_write(one, managed, places, buckets),
        }


def _may_write(
    one: Row, managed: Mapping[str, str | None], places: Mapping[str, set[str]], buckets: Mapping[str, Row]
) -> dict[str, Any]:
    held = carried(one["inline_policies"], one["attached_policies"], one["boundary_arn"], managed)
    if held.why or not places:
        return unlisted("may_write", held.why or "no export prefix is declared")
    holder = user(one["arn"], one["name"], held)
    may, says, doubts = [], [], []
    for bucket, prefixes in sorted(places.items()):
        names = _outermost(frozenset(prefixes))
        row = buckets.get(bucket)
        guard, why = _guard(row, one["account"])
        home = (
            (("aws:resourceaccount", row["account"]), ("s3:resourceaccount", row["account"])) if row else ()
        )
        here: Holder = replace(holder, context=(*holder.context, *home))
        for prefix in names:
            found = object_writes(here, bucket, [prefix], guard)
            if why and (found.may or found.open or row is None or row["account"] == one["account"]):
                doubts.append(why)
            elif found.may:
                may.append(f"{bucket}/{prefix}")
                says.append(found.says)
            elif found.open:
                doubts.append(found.doubts)
    return {
        "may_write": may,
        "may_write_decided": None if doubts else True,
        "may_write_says": "; ".join(dict.fromkeys(says))[:LONGEST],
        "may_write_open": "; ".join(dict.fromkeys(doubts))[:LONGEST],
    }


def _guard(bucket: Row | None, account: str) -> tuple[Guard | None, str]:
    """Return the bucket's policy as a guard, or why it is not known what it says."""
    if bucket is None:
        return None, "a declared bucket was not found, so whose it is and what its policy says is not known"
    text, name = bucket["policy"], bucket["bucket"]
    if text is None:
        return None, f"the policy of bucket {name} was not read"
    try:
        policy = _parsed(text)
    except PolicyError as error:
        return None, f"the policy of bucket {name} cannot be read: {error.args[0]}"
    return Guard(policy, bucket["account"] == account), ""


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Policy:
    return Policy(NEW_VERSION, None, ()) if text == "none" else parse(text, strict=False)


def _outermost(prefixes: frozenset[str]) -> list[str]:
    """Return the prefixes that lie under no other."""
    return sorted(
        each for each in prefixes if not any(each != other and each.startswith(other) for other in prefixes)
    )
