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

from auditor.config_alerts import Outgoing
from auditor.config_build import sections_of
from auditor.config_engine import Engine
from auditor.config_lines import Path, left_open, lines_of
from auditor.config_read import Reading
from auditor.config_sections import (
    ApprovedJob,
    Automation,
    Aws,
    Bucket,
    Change,
    Duty,
    Export,
    Federation,
    Gcp,
    Horizons,
    Limits,
    Provider,
    Report,
    Scan,
    Scope,
    Signing,
    Snapshots,
    State,
    WorkforcePool,
    Writer,
    Zone,
)
from auditor.config_service import Delivery, Schedule, Service
from auditor.errors import ConfigError

_NOT_JUDGED_BY = ("state", "limits", "engine", "report", "outgoing", "schedule", "service", "delivery")
"""Fields that no verdict depends on: where and when it runs, and where things go."""


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, resolved."""

    organisation: str = ""
    state: State = field(default_factory=State)
    limits: Limits = field(default_factory=Limits)
    engine: Engine = field(default_factory=Engine)
    aws: Aws = field(default_factory=Aws)
    gcp: Gcp = field(default_factory=Gcp)
    scope: Scope = field(default_factory=Scope)
    scan: Scan = field(default_factory=Scan)
    snapshots: Snapshots = field(default_factory=Snapshots)
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
    workforce_pools: tuple[WorkforcePool, ...] = ()
    providers: tuple[Provider, ...] = ()
    approved_jobs: tuple[ApprovedJob, ...] = ()
    changes: tuple[Change, ...] = ()
    sources: Mapping[str, Any] = field(default_factory=dict)
    """Settings of each source that is switched on."""
    alerts: Mapping[str, Any] = field(default_factory=dict)
    """Settings of each route that is switched on, by its name."""
    outgoing: Outgoing = field(default_factory=Outgoing)
    """What alerts may reach, and by what way."""
    report: Any = field(default_factory=Report)
    signing: Signing = field(default_factory=Signing)
    schedule: Schedule = field(default_factory=Schedule)
    service: Service = field(default_factory=Service)
    delivery: Delivery = field(default_factory=Delivery)
    path: str = field(default="config.toml", compare=False)
    lines: Mapping[Path, int] = field(default_factory=dict, repr=False, compare=False)
    """Where each key stands in the file."""

    @property
    def digest(self) -> str:
        """SHA-256 of the resolved values; where state is kept, how much is used and where it runs are not part of it.

        Of an endpoint only counts whether it is set: a sandbox picks another port each time.
        """
        resolved = {
            each.name: _plain(getattr(self, each.name))
            for each in fields(self)
            if each.compare and each.name not in _NOT_JUDGED_BY
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
                name = "alerts" if each.name == "outgoing" else each.name  # both stand in one section
                _rows(name, getattr(self, each.name), self.lines, rows)
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
    given = sections_of(reading, raw, sections or {})
    if given is None:
        raise ConfigError("\n".join(reading.told()))
    return Config(**given, path=reading.file, lines=reading.lines)


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
    opened = left_open(text)
    if opened is not None:
        return f"{path}:{opened}: syntax: a bracket opened here is not closed ({what}, line {line})"
    return f"{path}:{line}: syntax: {what}"


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
