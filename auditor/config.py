"""config.toml as one frozen value; every mistake in it is named at once, with its line."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path as FilePath
from typing import Any

from auditor.config_lines import Path, lines_of
from auditor.config_read import Reading, Wrong, did_you_mean, line_of
from auditor.config_sections import (
    Automation,
    Aws,
    Bucket,
    Buckets,
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
    State,
    Writer,
    Zone,
    ZoneFile,
)
from auditor.errors import ConfigError

SECTIONS: dict[str, type[Any]] = {
    "state": State,
    "limits": Limits,
    "aws": Aws,
    "gcp": Gcp,
    "scan": Scan,
    "horizons": Horizons,
    "report": Report,
    "signing": Signing,
}
"""Tables that are one value each."""
LISTS: dict[str, type[Any]] = {
    "buckets": Bucket,
    "federation": Federation,
    "writers": Writer,
    "duties": Duty,
    "automations": Automation,
    "providers": Provider,
}
"""Arrays of tables."""
_OTHERS = ("organisation", "scope", "zones", "params", "exports", "subjects", "sources", "alerts")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, resolved."""

    organisation: str = ""
    state: State = field(default_factory=State)
    limits: Limits = field(default_factory=Limits)
    aws: Aws = field(default_factory=Aws)
    gcp: Gcp = field(default_factory=Gcp)
    scope: Scope = field(default_factory=Scope)
    scan: Scan = field(default_factory=Scan)
    horizons: Horizons = field(default_factory=Horizons)
    zones: tuple[Zone, ...] = ()
    """Strictest first."""
    zone_tag: str = "compliance-zone"
    """Bucket tag that holds the zone."""
    zone_label: str = "zone"
    """Job label that holds the zone."""
    export_label: str = "export"
    """Job label that names a declared export."""
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Rule id or code to parameter to value, as written."""
    exports: tuple[Export, ...] = ()
    buckets: tuple[Bucket, ...] = ()
    federation: tuple[Federation, ...] = ()
    subjects: Mapping[str, str] = field(default_factory=dict)
    """Service account to numeric unique id."""
    writers: tuple[Writer, ...] = ()
    duties: tuple[Duty, ...] = ()
    automations: tuple[Automation, ...] = ()
    providers: tuple[Provider, ...] = ()
    sources: Mapping[str, Any] = field(default_factory=dict)
    """Settings of each source that is switched on."""
    alerts: Mapping[str, Any] = field(default_factory=dict)
    """Settings of each channel that is configured."""
    report: Any = field(default_factory=Report)
    signing: Signing = field(default_factory=Signing)
    path: str = field(default="config.toml", compare=False)
    lines: Mapping[Path, int] = field(default_factory=dict, repr=False, compare=False)
    """Where each key stands in the file."""

    @property
    def digest(self) -> str:
        """SHA-256 of the resolved values; where state is kept and how much is used are not part of it.

        Of an endpoint only counts whether it is set: a sandbox picks another port each time.
        """
        resolved = {
            each.name: _plain(getattr(self, each.name))
            for each in fields(self)
            if each.compare and each.name not in ("state", "limits", "report")
        }
        for cloud in ("aws", "gcp"):
            resolved[cloud]["endpoint"] = bool(resolved[cloud]["endpoint"])
        said = json.dumps(resolved, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(said.encode()).hexdigest()

    def tables(self, rules: Iterable[Any] = ()) -> dict[str, list[dict[str, Any]]]:
        """Return the config_* and params tables of a snapshot, and the part of `as_of` that is configured.

        `rules` are the loaded rules. Raises ConfigError for parameters of rules that do not exist.
        """
        from auditor.config_tables import tables

        return tables(self, rules)

    def show(self) -> list[dict[str, Any]]:
        """Return every setting as {key, value, set}: secrets are references, as in the file."""
        rows: list[dict[str, Any]] = []
        for each in fields(self):
            if each.compare:
                _rows(each.name, getattr(self, each.name), self.lines, rows)
        return rows

    def problem(self, path: Path, message: str) -> str:
        """Return a mistake found later, at the key it is about."""
        reading = Reading(self.path, self.lines)
        reading.wrong(path, message)
        return reading.told()[0]


def load(path: FilePath, sections: Mapping[str, type[Any]] | None = None) -> Config:
    """Read a configuration; `sections` maps `sources.NAME` and `alerts.NAME` to their Settings.

    Raises ConfigError with every mistake at once, one a line, as `file:line: key: what`.
    """
    text = _text(path)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax(path, str(error), text)) from None
    reading = Reading(str(path), lines_of(text))
    config = _config(reading, raw, sections or {})
    if config is None:
        raise ConfigError("\n".join(reading.told()))
    return config


def secret(reference: str) -> str:
    """Resolve `env:NAME` or `file:PATH`; raises ConfigError, also for a file that everybody may read."""
    kind, _, name = reference.partition(":")
    if kind == "env":
        value = os.environ.get(name)
        if not value:
            raise ConfigError(f"{reference}: the environment variable {name} is not set")
        return value
    if kind != "file" or not name:
        raise ConfigError(f"{reference[:8]}…: a secret is env:NAME or file:PATH")
    path = FilePath(name).expanduser()
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IROTH | stat.S_IWOTH):
            raise ConfigError(
                f"{reference}: everybody on this machine may read or change it",
                remedy=f"chmod 600 {path}",
            )
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{reference}: cannot be read: {error}") from None


def _text(path: FilePath) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}", remedy="`auditor init` writes one."
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}:1: the file is not UTF-8") from None


def _syntax(path: FilePath, message: str, text: str) -> str:
    found = re.search(r"\(at (?:line ([0-9]+), column [0-9]+|end of document)\)", message)
    line = int(found[1]) if found and found[1] else text.count("\n") + 1
    what = message[: found.start()].strip() if found else message
    return f"{path}:{line}: syntax: {what}"


def _config(reading: Reading, raw: dict[str, Any], sections: Mapping[str, type[Any]]) -> Config | None:
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
    given["sources"] = _parts(reading, raw, sections, "sources", default_on=True)
    given["alerts"] = _parts(reading, raw, sections, "alerts", default_on=False)
    _cross_check(reading, given)
    if reading.problems:
        return None
    given["aws"] = _with_regions(given["aws"])
    return Config(**given, path=reading.file, lines=reading.lines)


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


def _parts(
    reading: Reading,
    raw: Mapping[str, Any],
    sections: Mapping[str, type[Any]],
    kind: str,
    *,
    default_on: bool,
) -> dict[str, Any]:
    """Read `[sources.NAME]` or `[alerts.NAME]`; returns the settings of those that are on."""
    known = {name.partition(".")[2]: form for name, form in sections.items() if name.startswith(f"{kind}.")}
    table = reading.table(raw.get(kind, {}), (kind,))
    reading.unknown(table, known, (kind,))
    found: dict[str, Any] = {}
    for name, form in sorted(known.items()):
        if name not in table and not default_on:
            continue
        value = reading.table(table.get(name, {}), (kind, name))
        enabled = value.get("enabled", True)
        if not isinstance(enabled, bool):
            reading.wrong((kind, name, "enabled"), "must be true or false")
        settings = reading.dataclass(
            form, {k: v for k, v in value.items() if k != "enabled"}, (kind, name), ("enabled",)
        )
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
    for at, duty in enumerate(given["duties"]):
        for zone in duty.zones:
            if zone != "*" and zone not in zones:
                reading.wrong(("duties", at, "zones"), f"{zone!r} is no zone{did_you_mean(zone, zones)}")


def _with_regions(aws: Aws) -> Aws:
    """Give each account its regions: its own, else those of [aws]."""
    from dataclasses import replace

    return replace(aws, accounts=tuple(replace(a, regions=a.regions or aws.regions) for a in aws.accounts))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {key: _plain(item) for key, item in asdict(value).items()}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _rows(key: str, value: Any, lines: Mapping[Path, int], rows: list[dict[str, Any]]) -> None:
    members = _plain(value)
    if isinstance(members, dict) and members:
        for name, item in members.items():
            _rows(f"{key}.{name}", item, lines, rows)
    else:
        path: Path = tuple(key.split("."))
        rows.append({"key": key, "value": members, "set": path in lines})


__all__ = ["Config", "Wrong", "line_of", "load", "secret"]
