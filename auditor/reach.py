"""Where a scan looks, how it gets there, and in which order: from the parts of the configuration that say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from auditor.model import Place
from auditor.sources import Source
from auditor.sources.clients import Access


def limit(config: Any, key: str, default: Any) -> Any:
    """Return one of `[limits]`, or its default where the configuration does not say."""
    value = getattr(getattr(config, "limits", None), key, None)
    return default if value is None else value


def access(config: Any) -> Access:
    """Return how to reach the clouds, from the parts of the configuration that say so."""
    accounts = getattr(config.aws, "accounts", ())
    return Access(
        aws_endpoint=getattr(config.aws, "endpoint", None) or None,
        gcp_endpoint=getattr(config.gcp, "endpoint", None) or None,
        roles={each.id: each.role_arn for each in accounts if getattr(each, "role_arn", None)},
        external_ids={each.id: each.external_id for each in accounts if getattr(each, "external_id", None)},
        workers=limit(config, "workers", 16),
        connect_timeout_s=limit(config, "connect_timeout_s", 10),
        read_timeout_s=limit(config, "read_timeout_s", 60),
        attempts=limit(config, "attempts", 4),
    )


def places(config: Any) -> tuple[Place, ...]:
    """Return every account and region, project and region, in scope, sorted."""
    aws = (
        Place("aws", account.id, region)
        for account in getattr(config.aws, "accounts", ())
        for region in account.regions
    )
    gcp = (
        Place("gcp", project, region)
        for project in getattr(config.gcp, "projects", ())
        for region in getattr(config.gcp, "regions", ())
    )
    out = tuple(getattr(getattr(config, "scope", None), "exclude", ()))
    kept = {place for place in (*aws, *gcp) if not any(_excludes(each, place) for each in out)}
    return tuple(sorted(kept, key=lambda place: (place.cloud, place.account, place.region)))


def _excludes(exclusion: Any, place: Place) -> bool:
    kinds = {"region": place.region, "account" if place.cloud == "aws" else "project": place.account}
    return exclusion.kind in kinds and fnmatchcase(kinds[exclusion.kind], exclusion.match)


def waves(known: Mapping[str, Source], wanted: Iterable[str]) -> list[list[str]]:
    """Order sources so that each runs after those it names, where those are wanted too."""
    left = {each: set(known[each].AFTER) for each in wanted if each in known}
    ordered: list[list[str]] = []
    while left:
        ready = sorted(each for each, after in left.items() if after.isdisjoint(left.keys()))
        if not ready:
            raise ValueError(f"sources wait for each other: {', '.join(sorted(left))}")
        ordered.append(ready)
        for each in ready:
            del left[each]
    return ordered
