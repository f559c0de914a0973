"""The configuration as tables of a snapshot: what evaluation and replay read instead of the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import product
from typing import TYPE_CHECKING, Any

from auditor.config_build import LISTS
from auditor.config_lines import Path
from auditor.config_presets import preset
from auditor.config_read import Wrong, did_you_mean, duration
from auditor.errors import ConfigError

if TYPE_CHECKING:
    from auditor.config import Config
    from auditor.config_sections import Automation, Duty

Rows = list[dict[str, Any]]


def tables(config: Config, rules: Iterable[Any]) -> dict[str, Rows]:
    """Return the config_* and params tables, and the configured part of `as_of`.

    Raises ConfigError naming every parameter that no rule has or that has another type.
    """
    horizons = config.horizons
    return {
        "as_of": [
            {
                "skew_s": horizons.skew,
                "horizon_cloudtrail_s": horizons.cloudtrail,
                "horizon_logging_s": horizons.logging,
                "horizon_listing_s": horizons.listing,
                "grace_s": horizons.grace,
                "zone_tag": config.zone_tag,
                "zone_label": config.zone_label,
                "export_label": config.export_label,
            }
        ],
        "config_zone": _zones(config),
        "params": _params(config, list(rules)),
        "config_place": _places(config),
        "config_exclusion": [
            {"kind": e.kind, "match": e.match, "reason": e.reason, "approved_by": e.approved_by}
            for e in config.scope.exclude
        ],
        "config_bucket": [
            {"bucket": b.name, "zone": b.zone or None, "owner": b.owner or None} for b in config.buckets
        ],
        "config_export": _exports(config),
        "config_federation": [
            {
                "role_arn": f.role_arn,
                "provider": f.provider,
                "audiences": list(f.audiences),
                "subject_of": f.subject_of,
                "bucket": f.bucket,
                "prefix": f.prefix,
            }
            for f in config.federation
        ],
        "config_subject": [
            {"service_account": account, "subject": subject} for account, subject in config.subjects.items()
        ],
        "config_writer": [{"match": w.match, "bucket": w.bucket, "reason": w.reason} for w in config.writers],
        "config_duty": _duties(config),
        "config_automation": _automations(config),
        "config_workforce_pool": [
            {"pool": p.pool, "directory": p.directory, "subject": p.subject} for p in config.workforce_pools
        ],
        "config_provider": [
            {"url": p.url, "client_ids": sorted(p.client_ids), "thumbprints": sorted(p.thumbprints)}
            for p in config.providers
        ],
        "config_approved_job": [
            {
                "digest": a.digest,
                "template": a.template,
                "from_at": _midnight(a.since),
                "until_at": _midnight(a.until),
                "approved_by": a.approved_by,
            }
            for a in config.approved_jobs
        ],
        "config_change": [
            {
                "id": c.id,
                "approved_by": c.approved_by,
                "subjects": list(c.subjects),
                "actors": list(c.actors),
                "from_at": _midnight(c.since),
                "until_at": _midnight(c.until),
            }
            for c in config.changes
        ],
    }


def _midnight(day: str) -> datetime | None:
    return datetime.fromisoformat(f"{day}T00:00:00+00:00") if day else None


def _duties(config: Config) -> Rows:
    return [
        {"group_name": d.group, "directory": d.directory, **limits}
        for d in config.duties
        for limits in _limits(d)
    ]


def _automations(config: Config) -> Rows:
    return [
        {"principal": a.principal, "owner": a.owner, "kind": a.kind, **limits}
        for a in config.automations
        for limits in _limits(a)
    ]


def _limits(given: Duty | Automation) -> Rows:
    """Return a row for each way in which a job may be within a duty or the limits of an automation."""
    names = ("project", "region", "job_id", "zone", "starts")
    ways = product(given.projects, given.regions, given.job_ids, given.zones, given.kinds)
    return [dict(zip(names, way, strict=True)) for way in ways]


def _zones(config: Config) -> Rows:
    rows: Rows = []
    for zone in config.zones:
        copies = zone.copy_to and [
            {
                "account": copy.account,
                "region": copy.region,
                "retention_d": zone.retention_d if copy.retention_d is None else copy.retention_d,
            }
            for copy in zone.copy_to
        ]
        rows.append(
            {
                "zone": zone.name,
                "rank": zone.rank,
                "capture_s": zone.capture,
                "retention_d": zone.retention_d,
                "copy_lag_s": zone.copy_lag,
                "copy_to": None if copies is None else list(copies),
                "bucket_min_d": zone.bucket_min_d,
                "regions": None if zone.regions is None else sorted(zone.regions),
                "supersede": zone.supersede,
            }
        )
    return rows


def _places(config: Config) -> Rows:
    aws = [("aws", account.id, region) for account in config.aws.accounts for region in account.regions]
    gcp = [("gcp", project, region) for project in config.gcp.projects for region in config.gcp.regions]
    return [{"cloud": c, "account": a, "region": r} for c, a, r in sorted({*aws, *gcp})]


def _exports(config: Config) -> Rows:
    return [
        {
            "name": e.name,
            "project": e.project,
            "job_id": e.job_id,
            "bucket": e.bucket,
            "prefix": e.prefix,
            "every_s": e.every,
            "retry_s": e.retry,
            "complete": e.complete,
            "owner": e.owner or None,
        }
        for e in config.exports
    ]


def _params(config: Config, rules: list[Any]) -> Rows:
    """Return the parameters of every rule: its own, then [params], then the zones'."""
    by_word = {word: rule for rule in rules for word in (rule.id, rule.code)}
    rules = [rule for rule in rules if hasattr(rule, "params")]
    found: dict[tuple[str, str, str], Any] = {}
    for rule in rules:
        for name, param in rule.params.items():
            found[rule.id, "default", name] = param.default
            if param.kind == "BOOL" and param.default is None and name in LISTS:
                # Of a list of the configuration a rule is told whether it has entries: unset is "not configured".
                found[rule.id, "default", name] = bool(getattr(config, name)) or None
            for zone, value in param.zones.items():
                found[rule.id, zone, name] = value
    for zone in config.zones:
        if zone.preset:
            found |= _preset(zone.name, zone.preset, by_word)
    problems: list[str] = []
    settings: list[tuple[Path, str, Mapping[str, Mapping[str, Any]]]] = [
        (("params",), "default", config.params)
    ]
    settings += [(("zones", zone.name, "rules"), zone.name, zone.rules) for zone in config.zones]
    for path, zone, given in settings:
        for word, params in given.items():
            rule = by_word.get(word)
            if rule is None:
                if by_word:
                    problems.append(config.problem((*path, word), f"is no rule{did_you_mean(word, by_word)}"))
                continue
            if rule not in rules:
                continue
            turned, used, wrong = rule.own_words(params) if hasattr(rule, "own_words") else ({}, set(), [])
            problems += [config.problem((*path, word, name), said) for name, said in wrong]
            found |= {(rule.id, zone, name): value for name, value in turned.items()}
            for name, value in params.items():
                if name in used:
                    continue
                try:
                    found[rule.id, zone, name] = _value(rule, name, value)
                except Wrong as error:
                    problems.append(config.problem((*path, word, name), str(error)))
    if problems:
        raise ConfigError("\n".join(problems))
    return [
        {
            "rule": rule,
            "zone": zone,
            "name": name,
            "value": list(value) if isinstance(value, tuple) else value,
        }
        for (rule, zone, name), value in sorted(found.items())
    ]


def _preset(zone: str, name: str, by_word: Mapping[str, Any]) -> dict[tuple[str, str, str], Any]:
    """Return what the preset of a zone gives, by rule, zone and parameter."""
    found: dict[tuple[str, str, str], Any] = {}
    for part, given in preset(name).items():
        for word, params in given.items():
            rule = by_word.get(word)
            if rule is not None and hasattr(
                rule, "params"
            ):  # a rule of another pack, or one that did not load
                where = zone if part == "zone" else "default"
                found |= {(rule.id, where, key): _value(rule, key, value) for key, value in params.items()}
    return found


_FITS = {"INT": int, "TEXT": str, "BOOL": bool, "LIST": list}


def _value(rule: Any, name: str, value: Any) -> Any:
    """Return a parameter as its rule types it; Wrong when it does not fit."""
    if name not in rule.params:
        raise Wrong(f"rule {rule.id!r} has no such parameter{did_you_mean(name, rule.params)}")
    param = rule.params[name]
    if param.kind == "INT" and isinstance(value, str):
        return duration(value)
    if param.duration:
        raise Wrong(f'must be a duration such as "26h", not {value!r}')
    wanted = _FITS[param.kind]
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        words = {"INT": "a number", "TEXT": "text", "BOOL": "true or false", "LIST": "a list"}
        raise Wrong(f"must be {words[param.kind]}, not {value!r}")
    return tuple(value) if isinstance(value, list) else value
