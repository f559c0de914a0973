"""From the tables of config.toml to the sections of `Config`, each mistake noted where it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from auditor.config_alerts import alerts_of
from auditor.config_engine import Engine, check_engine
from auditor.config_lines import Path
from auditor.config_presets import presets
from auditor.config_read import Reading, did_you_mean
from auditor.config_sections import (
    ApprovedJob,
    Automation,
    Aws,
    Bucket,
    Buckets,
    Change,
    Duty,
    Export,
    ExportFile,
    Federation,
    Gcp,
    Horizons,
    Limits,
    Provider,
    Report,
    Scan,
    Scope,
    ScopeFile,
    Signing,
    Snapshots,
    State,
    WorkforcePool,
    Writer,
    Zone,
    ZoneFile,
)
from auditor.config_service import Delivery, Schedule, Service, check_service

SECTIONS: dict[str, type[Any]] = {
    "state": State,
    "limits": Limits,
    "engine": Engine,
    "aws": Aws,
    "gcp": Gcp,
    "scan": Scan,
    "snapshots": Snapshots,
    "horizons": Horizons,
    "report": Report,
    "signing": Signing,
    "schedule": Schedule,
    "service": Service,
    "delivery": Delivery,
}
"""Tables that are one value each."""
LISTS: dict[str, type[Any]] = {
    "buckets": Bucket,
    "federation": Federation,
    "writers": Writer,
    "duties": Duty,
    "automations": Automation,
    "workforce_pools": WorkforcePool,
    "providers": Provider,
    "approved_jobs": ApprovedJob,
    "changes": Change,
}
"""Arrays of tables."""
_OTHERS = ("organisation", "scope", "zones", "params", "exports", "subjects", "sources", "alerts")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


def sections_of(
    reading: Reading, raw: dict[str, Any], sections: Mapping[str, type[Any]]
) -> dict[str, Any] | None:
    """Return the fields of `Config`, or None when there are mistakes."""
    reading.unknown(raw, (*SECTIONS, *LISTS, *_OTHERS), ())
    given: dict[str, Any] = {}
    organisation = raw.get("organisation", "")
    if not isinstance(organisation, str):
        reading.wrong(("organisation",), "must be text")
    given["organisation"] = organisation
    for name, form in SECTIONS.items():
        given[name] = reading.dataclass(sections.get(name, form), raw.get(name, {}), (name,))
    for name, form in LISTS.items():
        given[name] = _each(reading, form, raw.get(name, []), name)
    given |= _zones(reading, raw) | _exports(reading, raw)
    given["scope"] = _scope(reading, raw)
    given["params"] = _params(reading, raw.get("params", {}), ("params",))
    given["subjects"] = _subjects(reading, raw)
    given["sources"] = _sources(reading, raw, sections)
    given["outgoing"], given["alerts"] = alerts_of(reading, raw, sections)
    given["scan"] = check_service(reading, given, raw)
    _cross_check(reading, given)
    if reading.problems:
        return None
    given["aws"] = _with_regions(given["aws"])
    return given


def _each(reading: Reading, form: type[Any], value: object, name: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        reading.wrong((name,), f"must be a list of tables: [[{name}]]")
        return ()
    found = [reading.dataclass(form, item, (name, at)) for at, item in enumerate(value)]
    return tuple(item for item in found if item is not None)


def _zones(reading: Reading, raw: Mapping[str, Any]) -> dict[str, Any]:
    table = reading.table(raw.get("zones", {}), ("zones",))
    own = {"order", "bucket_tag", "job_label"}
    order: Any = table.get("order", [])
    if not isinstance(order, list) or not all(isinstance(name, str) for name in order):
        reading.wrong(("zones", "order"), "must be a list of zones, strictest first")
        order = []
    names: dict[str, str] = {}
    for key, default in (("bucket_tag", "compliance-zone"), ("job_label", "zone")):
        names[key] = table.get(key, default)
        if not isinstance(names[key], str) or not names[key]:
            reading.wrong(("zones", key), "must be text")
    files: dict[str, ZoneFile] = {}
    defined = {name: value for name, value in table.items() if name not in own}
    for name, value in defined.items():
        if name == "default" or not _NAME.match(name):
            reading.wrong(("zones", name), "cannot be the name of a zone")
        if not isinstance(value, dict):
            reading.wrong(("zones", name), f"unknown key{did_you_mean(name, own)}; a zone is a table")
            continue
        zone = reading.dataclass(ZoneFile, value, ("zones", name))
        _params(reading, value.get("rules", {}), ("zones", name, "rules"))
        if zone is not None:
            files[name] = zone
        if zone is not None and zone.preset and zone.preset not in presets():
            known = presets()
            what = f"{zone.preset!r} is no preset{did_you_mean(zone.preset, known)}"
            reading.wrong(("zones", name, "preset"), f"{what}; there is {', '.join(known)}")
    for at, name in enumerate(order):
        if name not in defined or name in order[:at]:
            what = "named twice" if name in order[:at] else "is no zone"
            reading.wrong(("zones", "order", at), f"{name!r} {what}{did_you_mean(name, defined)}")
    for name in defined.keys() - set(order):
        reading.wrong(("zones", name), "is not in zones.order, which lists all zones, strictest first")
    zones = tuple(
        Zone(
            **{each.name: getattr(files[name], each.name) for each in fields(ZoneFile)}, name=name, rank=rank
        )
        for rank, name in enumerate(order)
        if name in files
    )
    return {"zones": zones, "zone_tag": names["bucket_tag"], "zone_label": names["job_label"]}


def _exports(reading: Reading, raw: Mapping[str, Any]) -> dict[str, Any]:
    table = reading.table(raw.get("exports", {}), ("exports",))
    label = table.get("label", "export")
    if not isinstance(label, str) or not label:
        reading.wrong(("exports", "label"), "must be text: the job label that names an export")
    found: list[Export] = []
    for name, value in table.items():
        if name == "label":
            continue
        export = reading.dataclass(ExportFile, value, ("exports", name))
        if export is not None:
            given = {each.name: getattr(export, each.name) for each in fields(ExportFile)}
            found.append(Export(**given, name=name))
    return {"exports": tuple(sorted(found, key=lambda export: export.name)), "export_label": label}


def _scope(reading: Reading, raw: Mapping[str, Any]) -> Scope:
    read = reading.dataclass(ScopeFile, raw.get("scope", {}), ("scope",)) or ScopeFile()
    buckets = tuple(each for each in read.exclude if each.kind == "bucket")
    return Scope(Buckets(read.buckets, buckets), read.exclude)


def _params(reading: Reading, value: object, path: Path) -> dict[str, dict[str, Any]]:
    """Read parameters of rules; whether the rules have them is seen when the rules are loaded."""
    found: dict[str, dict[str, Any]] = {}
    for rule, params in reading.table(value, path).items():
        found[rule] = reading.table(params, (*path, rule))
        for name, given in found[rule].items():
            items = given if isinstance(given, list) else [given]
            if not all(isinstance(item, str | int) for item in items):
                what = "must be a number, a text, a duration, true or false, or a list of texts"
                reading.wrong((*path, rule, name), what)
    return found


def _subjects(reading: Reading, raw: Mapping[str, Any]) -> dict[str, str]:
    table: dict[str, Any] = reading.table(raw.get("subjects", {}), ("subjects",))
    for account, subject in table.items():
        if "@" not in account:
            reading.wrong(("subjects", account), "is not the e-mail of a service account")
        if not isinstance(subject, str) or not re.fullmatch(r"[0-9]{6,30}", subject):
            reading.wrong(("subjects", account), "must be the numeric unique id, in quotes")
    return dict(sorted(table.items()))


def _sources(reading: Reading, raw: Mapping[str, Any], sections: Mapping[str, type[Any]]) -> dict[str, Any]:
    """Read `[sources.NAME]`; returns the settings of those that are on."""
    known = {name.partition(".")[2]: form for name, form in sections.items() if name.startswith("sources.")}
    table = reading.table(raw.get("sources", {}), ("sources",))
    reading.unknown(table, known, ("sources",))
    found: dict[str, Any] = {}
    for name, form in sorted(known.items()):
        path: Path = ("sources", name)
        value = reading.table(table.get(name, {}), path)
        enabled = value.get("enabled", True)
        if not isinstance(enabled, bool):
            reading.wrong((*path, "enabled"), "must be true or false")
        given = {k: v for k, v in value.items() if k != "enabled"}
        settings = reading.dataclass(form, given, path, ("enabled",))
        if settings is not None and enabled:
            found[name] = settings
    return found


def _cross_check(reading: Reading, given: Mapping[str, Any]) -> None:
    """See that names agree: accounts and buckets once, zones that exist."""
    aws, zones = given["aws"], {zone.name for zone in given["zones"]}
    accounts = aws.accounts if aws else ()
    for at, account in enumerate(accounts):
        if account.id in [earlier.id for earlier in accounts[:at]]:
            reading.wrong(("aws", "accounts", at, "id"), f"{account.id} is listed twice")
        if account.role_arn and account.role_arn.split(":")[4] != account.id:
            reading.wrong(
                ("aws", "accounts", at, "role_arn"), f"is a role of another account than {account.id}"
            )
        if not account.regions and not aws.regions:
            reading.wrong(("aws", "accounts", at), "has no regions, and [aws] names none")
    check_engine(reading, given["engine"])
    gcp = given["gcp"]
    if gcp and gcp.projects and not gcp.regions:
        reading.wrong(("gcp",), "'regions' is missing: projects are read region by region")
    for at, way in enumerate(given["federation"]):
        if not way.role_arn:
            reading.wrong(("federation", at, "role_arn"), "must not be empty")
    for at, bucket in enumerate(given["buckets"]):
        if bucket.name in [earlier.name for earlier in given["buckets"][:at]]:
            reading.wrong(("buckets", at, "name"), f"{bucket.name!r} is listed twice")
        if bucket.zone and bucket.zone not in zones:
            reading.wrong(
                ("buckets", at, "zone"), f"{bucket.zone!r} is no zone{did_you_mean(bucket.zone, zones)}"
            )
    for at, job in enumerate(given["approved_jobs"]):
        if bool(job.digest) == bool(job.template):
            reading.wrong(("approved_jobs", at), "is named either by its digest or by a template")
        if job.digest and not re.fullmatch(r"[0-9a-f]{64}", job.digest):
            reading.wrong(("approved_jobs", at, "digest"), "must be 64 hexadecimal digits")
        if job.since and job.until and job.since >= job.until:
            reading.wrong(("approved_jobs", at, "until"), f"is not after {job.since}")
    for at, change in enumerate(given["changes"]):
        if change.id in [earlier.id for earlier in given["changes"][:at]]:
            reading.wrong(("changes", at, "id"), f"{change.id!r} is listed twice")
        if not change.since or not change.until or change.since >= change.until:
            reading.wrong(
                ("changes", at, "until"), "a change has a first day, and a later one on which it is over"
            )
    for name in ("duties", "automations"):
        for at, each in enumerate(given[name]):
            for zone in each.zones:
                if zone != "*" and zone not in zones:
                    reading.wrong((name, at, "zones"), f"{zone!r} is no zone{did_you_mean(zone, zones)}")
    for at, pool in enumerate(given["workforce_pools"]):
        if pool.pool in [earlier.pool for earlier in given["workforce_pools"][:at]]:
            reading.wrong(("workforce_pools", at, "pool"), f"{pool.pool!r} is declared twice")


def _with_regions(aws: Aws) -> Aws:
    """Give each account its regions: its own, else those of [aws]."""
    return replace(aws, accounts=tuple(replace(a, regions=a.regions or aws.regions) for a in aws.accounts))
