"""What rules judge of a log stream: how long it was silent, beside how often it is bound to speak.

A trail's digests come every hour even without events. Cloud Logging has no such heartbeat: there a declared export that
runs at an interval is one, for each of its runs leaves an audit entry; without one nobody can tell silence from health.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.zoning import matches, seconds, strictest_declared

TABLE = "log_stream_facts"
READS = (
    "digest_chain",
    "cloudtrail_trail",
    "log_pulse",
    "config_place",
    "config_export",
    "config_zone",
    "as_of",
)

HOUR = 3600


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a trail and region, and one a project."""
    (now,) = tables["as_of"]
    zone = strictest_declared(tables["config_zone"])
    chains: dict[str, list[Mapping[str, Any]]] = {}
    for chain in tables["digest_chain"]:
        chains.setdefault(chain["trail_arn"], []).append(chain)
    trails = {row["arn"]: row for row in tables["cloudtrail_trail"]}
    trails |= {row["arn"]: row for row in tables["cloudtrail_trail"] if row["logging"] is not None}
    for arn, trail in sorted(trails.items()):
        for chain in chains.get(arn) or [{"region": trail["region"]}]:
            yield {
                "subject_key": f"{arn}/{chain['region']}",
                "zone": zone,
                "account": trail["account"],
                "project": None,
                "owner": None,
                "region": chain["region"],
                "kind": "cloudtrail",
                "expected_s": HOUR if trail["validated"] else None,
                "last_at": chain.get("last_at"),
                "longest_silence_s": chain.get("longest_silence_s"),
                "delivery_error": trail["delivery_error"],
                "heartbeat": "hourly digests" if trail["validated"] else "none: it writes no digests",
            }
    pulses = {row["project"]: row for row in tables["log_pulse"]}
    for project in sorted({row["account"] for row in tables["config_place"] if row["cloud"] == "gcp"}):
        pulse = pulses.get(project)
        due = [
            (export["every_s"], export["name"])
            for export in tables["config_export"]
            if (export["every_s"] or -1) > 0 and matches(project, export["project"] or "*")
        ]
        every, name = min(due, default=(None, ""))
        since = seconds(now["as_of"], pulse["last_at"] if pulse else now["previous_at"])
        silence = (
            None
            if since is None
            else max(since - now["horizon_logging_s"], pulse["longest_pause_s"] if pulse else 0)
        )
        yield {
            "subject_key": f"projects/{project}/logs/cloudaudit.googleapis.com%2Factivity",
            "zone": zone,
            "account": None,
            "project": project,
            "owner": None,
            "region": None,
            "kind": "cloud_logging",
            "expected_s": every,
            "last_at": pulse["last_at"] if pulse else None,
            "longest_silence_s": silence,
            "delivery_error": "",
            "heartbeat": f"export {name}" if due else "none: no declared export of it has an interval",
        }
