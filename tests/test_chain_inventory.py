"""An inventory tells what was there some time ago: what may have happened since proves nothing and breaks nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from chain_world import ACCOUNT, BUCKET, PREFIX, Tables, at, chains, gap, proven, states

from auditor.model import LINKS


def from_inventory(settled_at: datetime, *prefixes: str, whole: bool = True) -> Tables:
    """The proven export, its objects read from an inventory that counts until `settled_at`."""
    tables = proven()
    tables["s3_listing"] = [
        {
            "bucket": "claims", "account": ACCOUNT, "region": "eu-west-1", "way": "inventory",
            "settled_at": settled_at, "prefixes": list(prefixes), "whole": whole,
        }
    ]  # fmt: skip
    if not whole:
        tables["coverage"] = [row for row in tables["coverage"] if row["table_name"] != "s3_object_version"]
        tables["coverage"].append(
            gap("s3_object_version", region="eu-west-1", resource=BUCKET) | {"reason": "not_enabled"}
        )
    return tables


def by_prefix(*prefixes: str) -> Tables:
    """The proven export, in a bucket of which only some prefixes were listed."""
    tables = from_inventory(at(11), *prefixes, whole=False)
    tables["s3_listing"][0] |= {"way": "prefixes", "settled_at": None}
    return tables


def judged(tables: Tables) -> dict[str, Any]:
    return chains(tables)["u-1"]


def test_an_inventory_of_after_the_capture_proves_what_a_listing_does() -> None:
    export = judged(from_inventory(at(11)))
    assert states(export) == dict.fromkeys(LINKS, "proven")


def test_versions_that_an_inventory_saw_before_the_capture_may_be_gone_when_it_started() -> None:
    export = judged(from_inventory(at(5, 2)))
    assert export["recovery_point_state"] == "unknown"
    assert "last seen in an inventory" in export["recovery_point_because"]
    assert export["objects_state"] == "unknown"
    assert export["state"] == "unknown"


def test_a_prefix_that_was_listed_beside_the_inventory_is_judged_as_listed() -> None:
    assert judged(from_inventory(at(5, 2), PREFIX))["state"] == "proven"
    assert judged(from_inventory(at(5, 2), "other/"))["state"] == "unknown"


def test_what_nobody_saw_elsewhere_in_the_bucket_hides_no_export_that_was_listed_or_had_ended() -> None:
    assert judged(from_inventory(at(5, 2), PREFIX, whole=False))["state"] == "proven"
    assert judged(from_inventory(at(11), whole=False))["state"] == "proven"


def test_an_export_that_ended_after_the_inventory_and_was_not_listed_is_unknown() -> None:
    export = judged(from_inventory(at(4), whole=False))
    assert export["objects_state"] == "unknown"
    assert export["recovery_point_state"] == "unknown"


def test_a_bucket_that_could_not_be_listed_stays_hidden_whatever_the_inventory_says() -> None:
    tables = from_inventory(at(11), PREFIX)
    tables["coverage"].append(gap("s3_object_version", region="eu-west-1", resource=BUCKET))
    assert judged(tables)["objects_state"] == "unknown"


def test_of_a_bucket_listed_by_prefix_an_export_is_judged_only_if_its_own_was_listed() -> None:
    assert judged(by_prefix(PREFIX))["state"] == "proven"
    assert judged(by_prefix(PREFIX[:-1]))["state"] == "proven"
    for prefixes in ((), ("other/",), (f"{PREFIX}deeper/",)):
        export = judged(by_prefix(*prefixes))
        assert (export["objects_state"], export["state"]) == ("unknown", "unknown"), prefixes


def test_a_prefix_that_could_not_be_listed_hides_every_export_of_its_bucket() -> None:
    tables = by_prefix(PREFIX)
    tables["coverage"][-1]["reason"] = "denied"
    assert judged(tables)["objects_state"] == "unknown"
