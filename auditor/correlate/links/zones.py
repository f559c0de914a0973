"""Whether data falls to a lesser zone on its way: from what a job reads and is labelled with, to its bucket and its copies.

A vault has no zone of its own. Where a copy is held decides: in a region that the stricter zone does not allow, or in an account
that is neither in scope nor a destination of that zone, the data is out of it.
"""

from __future__ import annotations

from typing import Any

from auditor.correlate.links.copy import place_of
from auditor.correlate.links.evidence import Case, Evidence
from auditor.correlate.links.recovery_point import Capture
from auditor.outputs import inputs


def fall(evidence: Evidence, case: Case, capture: Capture) -> dict[str, Any]:
    """Return the columns that say whether the zone falls along the chain, and where."""
    stated = [(f"the job is labelled {case.job_zone}", case.job_zone)] if case.job_zone else []
    unknown = [] if case.job["labels_known"] else ["the job's labels were not read"]
    for name in inputs(case.job):
        if name != case.output["bucket"]:
            of_input, why = _bucket_zone(evidence, name)
            if of_input:
                stated.append((f"its input {name} is {of_input}", of_input))
            elif why:
                unknown.append(why)
    known = sorted(
        (evidence.zones[zone]["rank"], said, zone) for said, zone in stated if zone in evidence.zones
    )
    unknown += [f"{said}, which is no declared zone" for said, zone in stated if zone not in evidence.zones]
    falls: list[str] = []
    if known:
        rank, said, zone = known[0]
        target = case.bucket_zone
        if case.bucket is None or case.bucket["tags"] is None:
            unknown.append(f"the tags of {case.output['bucket']} were not read")
        elif target not in evidence.zones:
            unknown.append(f"{case.output['bucket']} has no declared zone")
        elif evidence.zones[target]["rank"] > rank:
            falls.append(f"{said}, its bucket {case.output['bucket']} {target}")
        for place, out in evidence.once((_places, capture.arn, zone), _places):
            if out is None:
                unknown.append(f"whether {zone} may be held in {place} is not stated")
            else:
                falls.append(f"{said}, and a copy is held in {place}, which {out}")
    return {
        "zone_stated": True if stated else None if unknown else False,
        "zone_falls": True if falls else None if unknown else False,
        "zone_says": "; ".join((*falls, *unknown)) or (known[0][1] if known else ""),
    }


def _bucket_zone(evidence: Evidence, name: str) -> tuple[str | None, str]:
    """Return the zone of a bucket that a job reads; without one, why it is not known. One out of sight states nothing."""
    bucket = evidence.buckets.get(name)
    declared = evidence.bucket_config.get(name)
    if bucket is not None and bucket["tags"] is None:
        return None, f"the tags of its input {name} were not read"
    tag = (bucket["tags"] or {}).get(evidence.zone_tag) if bucket else None
    zone = tag or (declared["zone"] if declared else None)
    if zone is None and bucket is None:
        return None, f"its input {name} is no bucket in sight"
    return zone, ""


def _places(evidence: Evidence, point: str | None, zone: str) -> list[tuple[str, str | None]]:
    """Return where copies of the proving point are held that the zone does not allow, or does not speak of."""
    limits = evidence.zones[zone]
    allowed = {str(place.get("account")) for place in limits["copy_to"] or ()}
    allowed |= {row["account"] for row in evidence.tables["config_place"] if row["cloud"] == "aws"}
    found: dict[str, str | None] = {}
    for job in evidence.copy_jobs.get(point or "", ()):
        if job["state"] != "COMPLETED" or not job["dest_vault_arn"]:
            continue
        account, region = place_of(job["dest_vault_arn"])
        place = f"{account}/{region}"
        if account not in allowed:
            found[place] = f"is an account out of the scope of {zone}"
        elif limits["regions"] is None:
            found[place] = None
        elif region not in limits["regions"]:
            found[place] = f"is a region that {zone} does not allow"
    return sorted(found.items())
