"""What rules judge of a place: an account in one region, with the vaults it has and who audits them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.zoning import Row, ranks

TABLE = "account_facts"
READS = (
    "config_place",
    "config_zone",
    "zone_destination",
    "bucket_zone",
    "backup_vault",
    "vault_facts",
    "backup_report_plan",
    "backup_framework",
)

Place = tuple[str, str]
_NOT_YET = ("CREATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "FAILED")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a place: those in scope, and those in which a zone wants points held."""
    demands = _demands(tables)
    scope = {(row["account"], row["region"]) for row in tables["config_place"] if row["cloud"] == "aws"}
    used = Counter(
        (row["account"], row["region"]) for row in tables["vault_facts"] if (row["serves"] or 0) > 0
    )
    rank = ranks(tables["config_zone"])
    for place in sorted(scope | demands.keys()):
        asked = demands.get(place, set())
        zones = {zone for zone, _ in asked}
        yield {
            "subject_key": "/".join(place),
            "zone": min(zones, key=lambda zone: (rank[zone], zone), default=None),
            "account": place[0],
            "project": None,
            "owner": None,
            "region": place[1],
            "in_scope": place in scope,
            "vaults": _vaults(place, tables["backup_vault"]),
            "vaults_used": used[place],
            "report_plans": _working(place, tables["backup_report_plan"]),
            "frameworks": _working(place, tables["backup_framework"]),
            "required": bool(asked),
            "required_by": sorted({why for _, why in asked}),
        }


def _demands(tables: Tables) -> dict[Place, set[tuple[str, str]]]:
    """Return where points must be held, with the zone and the reason: a bucket's own place, and where its copies go."""
    found: dict[Place, set[tuple[str, str]]] = defaultdict(set)
    demanded = {
        row["zone"] for row in tables["config_zone"] if row["capture_s"] is not None and row["capture_s"] >= 0
    }
    copies: dict[str, list[Row]] = defaultdict(list)
    for row in tables["zone_destination"]:
        copies[row["zone"]].append(row)
    for bucket in tables["bucket_zone"]:
        zone, home = bucket["zone"], (bucket["account"], bucket["region"])
        if zone not in demanded or None in home:
            continue
        found[home].add((zone, f"buckets of zone {zone} in {home[1]}"))
        for row in copies[zone]:
            there = (row["account"] or home[0], row["region"] or home[1])
            if there != home:
                found[there].add((zone, f"copies of zone {zone}"))
    return found


def _vaults(place: Place, vaults: Collection[Row]) -> int | None:
    """Count the vaults that can take points; None when only the types that are not known could make one."""
    kinds = [vault["type"] for vault in vaults if (vault["account"], vault["region"]) == place]
    count = sum(kind in ("BACKUP_VAULT", "LOGICALLY_AIR_GAPPED_BACKUP_VAULT") for kind in kinds)
    return count or (None if None in kinds else 0)


def _working(place: Place, rows: Collection[Row]) -> int | None:
    """Count what is deployed; None when only the state of deployment that is not known could make one."""
    states = [row["status"] for row in rows if (row["account"], row["region"]) == place]
    count = sum(state is not None and state not in _NOT_YET for state in states)
    return count or (None if None in states else 0)
