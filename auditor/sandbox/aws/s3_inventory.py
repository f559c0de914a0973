"""S3's answers about inventory configurations: a hundred a page, as S3 gives them."""

from __future__ import annotations

from auditor.sandbox.aws.books import Here, Params, Record, Refused
from auditor.sandbox.aws.buckets import bucket_of, settings_of
from auditor.sandbox.aws.paging import offset, token

PAGE = 100
"""Configurations a page (ListBucketInventoryConfigurations, Amazon S3 API Reference)."""


def list_bucket_inventory_configurations(here: Here, asked: Params) -> Record:
    """List the configurations of a bucket, by id."""
    kept = settings_of(bucket_of(here, asked["Bucket"])).get("inventories", {})
    rows, start = [kept[name] for name in sorted(kept)], offset(asked.get("ContinuationToken"))
    reply: Record = {"IsTruncated": start + PAGE < len(rows)}
    if rows:
        reply["InventoryConfigurationList"] = rows[start : start + PAGE]
    if reply["IsTruncated"]:
        reply["NextContinuationToken"] = token(start + PAGE)
    return reply


def get_bucket_inventory_configuration(here: Here, asked: Params) -> Record:
    """Give one configuration."""
    kept = settings_of(bucket_of(here, asked["Bucket"])).get("inventories", {})
    if asked["Id"] not in kept:
        raise Refused("NoSuchConfiguration", "The specified configuration does not exist.", 404)
    return {"InventoryConfiguration": kept[asked["Id"]]}


def put_bucket_inventory_configuration(here: Here, asked: Params) -> Record:
    """Set one configuration."""
    kept = settings_of(bucket_of(here, asked["Bucket"])).setdefault("inventories", {})
    kept[asked["Id"]] = asked["InventoryConfiguration"]
    return {}


def delete_bucket_inventory_configuration(here: Here, asked: Params) -> Record:
    """Take one configuration away."""
    kept = settings_of(bucket_of(here, asked["Bucket"])).get("inventories", {})
    if kept.pop(asked["Id"], None) is None:
        raise Refused("NoSuchConfiguration", "The specified configuration does not exist.", 404)
    return {}
