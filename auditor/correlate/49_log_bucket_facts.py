"""How long each log bucket keeps its entries, and whether another place keeps all logs of its project longer.

A sink takes everything only when it has no filter and no exclusion, and nothing else is routed to the bucket it stands
in for. What a bucket of Cloud Storage, a data set or a topic keeps is not read, so it is not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.zoning import Row, strictest_declared

TABLE = "log_bucket_facts"
READS = ("gcp_log_bucket", "gcp_log_sink", "config_zone")

_LOGGING = "logging.googleapis.com/"


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a log bucket."""
    zone = strictest_declared(tables["config_zone"])
    buckets = {row["name"]: row for row in tables["gcp_log_bucket"]}
    sinks = [row for row in tables["gcp_log_sink"] if row["disabled"] is False]
    for name, bucket in sorted(buckets.items()):
        fed_by = {sink["project"] for sink in sinks if _target(sink) == name}
        whole = [
            sink
            for sink in sinks
            if sink["project"] == bucket["project"]
            and sink["filter"] == ""
            and sink["own_exclusions"] == 0
            and _target(sink) != name
            and fed_by <= {bucket["project"]}
        ]
        yield {
            "subject_key": name,
            "zone": zone,
            "account": None,
            "project": bucket["project"],
            "owner": None,
            "region": "*",
            "state": bucket["state"],
            "retention_d": bucket["retention_d"],
            "locked": bucket["locked"],
            "archive_d": _kept(whole, buckets),
            "archive_says": ", ".join(
                f"{sink['name'].rpartition('/')[2]} to {sink['destination']}" for sink in whole
            ),
        }


def _target(sink: Row) -> str:
    return str(sink["destination"]).removeprefix(_LOGGING)


def _kept(whole: list[Row], buckets: Mapping[str, Row]) -> int | None:
    """Return how long the best of the sinks' destinations keeps entries; None when one is not read."""
    days = [buckets[_target(sink)]["retention_d"] if _target(sink) in buckets else None for sink in whole]
    if None in days:
        return None
    return max((each for each in days if each is not None), default=-1)
