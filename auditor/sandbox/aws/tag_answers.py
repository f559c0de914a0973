"""The tagging API's answer: tagged buckets, vaults, plans and recovery points, a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor.sandbox.aws.buckets import settings_of
from auditor.sandbox.aws.moto_world import moto
from auditor.sandbox.aws.paging import page

if TYPE_CHECKING:
    from auditor.sandbox.aws.books import Here, Params, Record


def get_resources(here: Here, asked: Params) -> Record:
    """List tagged resources of the region by ARN: only the tagged, as the real API does."""
    tags = {
        f"arn:aws:s3:::{name}": settings_of(bucket).get("tags", {})
        for name, bucket in moto("s3.models").s3_backends[here.account]["aws"].buckets.items()
        if bucket.region_name == here.region
    }
    tags |= here.backup.tags
    arns = asked.get("ResourceARNList")
    rows = [
        {
            "ResourceARN": arn,
            "Tags": [{"Key": key, "Value": value} for key, value in sorted(held.items())],
        }
        for arn, held in sorted(tags.items())
        if held and (not arns or arn in arns) and _typed(arn, asked) and _tagged(held, asked)
    ]
    return {
        "PaginationToken": "",
        **page("resourcegroupstaggingapi", "GetResources", asked, rows, most=100),
    }


def _typed(arn: str, asked: Params) -> bool:
    """Say whether an ARN is of a wanted type: `s3`, `s3:bucket`, `backup:recovery-point` ..."""
    wanted = asked.get("ResourceTypeFilters") or []
    service, kind = arn.split(":")[2], arn.split(":")[5]
    names = {service, f"{service}:{'bucket' if service == 's3' else kind}"}
    return not wanted or bool(names & set(wanted)) or (service == "s3" and "s3" in wanted)


def _tagged(held: dict[str, str], asked: Params) -> bool:
    """Say whether tags meet every filter; a filter without values asks for the key alone."""
    return all(
        tag["Key"] in held and (not tag.get("Values") or held[tag["Key"]] in tag["Values"])
        for tag in asked.get("TagFilters") or []
    )
