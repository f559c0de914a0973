"""What the objects of each bucket are held against: its default encryption, who else may write there, whether holds can be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.encrypting import Keys

TABLE = "object_home"
READS = ("s3_bucket", "kms_key", "config_writer")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a bucket."""
    keys = Keys(tables["kms_key"])
    for bucket in tables["s3_bucket"]:
        key = keys.of_bucket(bucket)
        yield {
            "bucket": bucket["bucket"],
            "encryption": bucket["encryption"],
            "kms_key": key.arn if key else None,
            "other_writers": any(
                fnmatchcase(bucket["bucket"], writer["bucket"]) for writer in tables["config_writer"]
            ),
            "holds_possible": None if bucket["lock_mode"] is None else bucket["lock_mode"] != "Off",
        }
