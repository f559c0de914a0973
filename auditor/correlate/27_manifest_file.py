"""The files each `_SUCCESS` marker lists, as keys of its bucket, one row a file.

S3A committers list absolute paths (`/dir/part-0000`); some list full URIs, some bare names (apache/hadoop,
SuccessData.java).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables

TABLE = "manifest_file"
READS = ("s3_manifest",)
COLUMNS = {"s3_manifest": ("bucket", "key", "version_id", "dir", "filenames")}
WHERE = {"s3_manifest": "filenames <> '[]'"}


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a listed file."""
    for manifest in tables["s3_manifest"]:
        for name in sorted({_key(str(name), manifest) for name in manifest["filenames"] or ()}):
            yield {
                "bucket": manifest["bucket"],
                "marker": manifest["key"],
                "version_id": manifest["version_id"],
                "file": name,
            }


def _key(name: str, manifest: Mapping[str, Any]) -> str:
    path = re.sub(r"^s3[an]?://[^/]+/", "/", name)
    if path.startswith("/"):
        return path.lstrip("/")
    return path if path.startswith(manifest["dir"]) else manifest["dir"] + path
