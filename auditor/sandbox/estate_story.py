"""The readable scenario as values: its moments, its exports, and what each chain must come out as."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from auditor.errors import ConfigError
from auditor.model import LINKS, State, Strength

SCENARIO = Path(__file__).with_name("scenario.yaml")
"""The scenario that the demo plays."""
SPACE = UUID("6f0c1f6e-0a3f-5a53-9d4e-5d5f1f3f0f11")
"""Every id of the estate is a version 5 uuid in this space, so that two estates are equal."""
SKEW = timedelta(seconds=120)
OPEN = "open"
"""An expectation that the specification leaves to the reader."""

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MOMENT = re.compile(r"(?:W(\d\d) )?(Mon|Tue|Wed|Thu|Fri|Sat|Sun) (\d\d):(\d\d)")
_UNITS = {"m": 60, "h": 3600, "d": 86400}

Expectation = tuple[State, Strength]
"""State of a link, and how it was matched (`none` unless it is proven)."""


@dataclass(frozen=True, slots=True)
class Export:
    """One run of one pipeline, with everything its entry and its pipeline say of it."""

    id: str
    pipeline: str
    said: Mapping[str, Any]
    """The entry laid over its pipeline."""
    at: datetime
    """When it was submitted."""
    ended_at: datetime
    """When its job reached its last state."""
    bucket: str
    prefix: str
    zone: str | None
    job_id: str
    job_uuid: str
    expect: Mapping[str, str]
    """A word for each link, as the scenario writes it."""
    expect_at: Mapping[int, Mapping[str, str]]

    @property
    def export_id(self) -> str:
        """Name it as the product does."""
        return f"{self.bucket}/{self.prefix}#{self.job_uuid}"

    def get(self, *path: str, default: Any = None) -> Any:
        """Return what the scenario says under a path of keys."""
        value: Any = self.said
        for key in path:
            if not isinstance(value, Mapping) or key not in value:
                return default
            value = value[key]
        return value

    @property
    def last_write_at(self) -> datetime:
        """Return E of the specification: the later of job end and last write."""
        late = [self.ended_at]
        if self.get("multipart"):
            late.append(self.ended_at + duration(self.get("multipart")))
        if self.get("trailing"):
            late.append(self.ended_at + timedelta(minutes=2))
        late += [
            self.at + duration(extra["after"])
            for extra in self.get("also", default=())
            if extra["do"] in {"overwritten_by_key", "chained", "other_subject", "late_session"}
        ]
        return max(late)


def duration(text: str) -> timedelta:
    """Read `26h`, `40m` or `35d`."""
    return timedelta(seconds=int(text[:-1]) * _UNITS[text[-1]])


def ident(*parts: object) -> str:
    """Return the uuid that belongs to these words."""
    return str(uuid5(SPACE, "\n".join(map(str, parts))))


def words(expected: str) -> Expectation | None:
    """Turn one word of an expectation into state and strength; None when it is left open."""
    if expected == OPEN:
        return None
    if expected in set(Strength) - {Strength.NONE}:
        return State.PROVEN, Strength(expected)
    return State(expected), Strength.NONE


def merged(one: Any, other: Any) -> Any:
    """Return two scenarios, or two configurations, as one: maps by their keys, lists one after the other."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        both = dict(one)
        for key, value in other.items():
            both[key] = merged(both[key], value) if key in both else value
        return both
    if isinstance(one, list) and isinstance(other, list):
        return [*one, *other]
    if one == other:
        return one
    raise ConfigError(f"two chapters disagree: {one!r} and {other!r}")


class Story:
    """A scenario file, read and checked."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        self.said = said
        first = said["scans"]["first"]
        self.first: datetime = first if first.tzinfo else first.replace(tzinfo=UTC)
        self.weeks: int = said["scans"]["weeks"]

    @classmethod
    def read(cls, path: Path = SCENARIO) -> Story:
        """Read a scenario file, or every chapter of a folder: maps are merged by their keys, lists appended."""
        import yaml

        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, ten times faster
        said: Any = {}
        for chapter in sorted(path.glob("*.yaml")) if path.is_dir() else (path,):
            text = chapter.read_text(encoding="utf-8")
            said = merged(said, yaml.load(text, loader))  # noqa: S506 - both are safe loaders
        return cls(said)

    def __getitem__(self, section: str) -> Any:
        return self.said[section]

    def now(self, week: int) -> datetime:
        """Return the time of a week's scan."""
        return self.first + timedelta(weeks=week - 1)

    def week_of(self, at: datetime) -> int:
        """Return the first week whose scan is at or after a moment."""
        return 1 + max(0, -((self.first - at) // timedelta(weeks=1)))

    def moment(self, said: str | date | datetime) -> datetime:
        """Read `W03 Tue 01:00`: the one such moment in the seven days before that week's scan; or a date."""
        if isinstance(said, datetime):
            return said if said.tzinfo else said.replace(tzinfo=UTC)
        if isinstance(said, date):
            return datetime(said.year, said.month, said.day, tzinfo=UTC)
        match = _MOMENT.fullmatch(said)
        if not match or not match[1]:
            raise ConfigError(f"scenario.yaml: {said!r} is no moment", remedy="Write W03 Tue 01:00.")
        scan = self.now(int(match[1]))
        start = scan - timedelta(days=7)
        day = start.date() + timedelta(days=_DAYS.index(match[2]))
        at = datetime(day.year, day.month, day.day, int(match[3]), int(match[4]), tzinfo=UTC)
        return at if at >= start else at + timedelta(days=7)

    def email(self, name: str) -> str:
        """Return the address of a person, an automation or a service account; others are strangers."""
        for section in ("automations", "service_accounts"):
            if name in self.said[section]:
                return f"{name}@{self.said[section][name]['project']}.iam.gserviceaccount.com"
        if name in self.said["people"]:
            return f"{name}@acme.example"
        return f"{name}@acme-research.iam.gserviceaccount.com"

    def account(self, name: str | None) -> str:
        """Return the number of an AWS account; a GCP project is its own name."""
        accounts: Mapping[str, str] = self.said["aws"]["accounts"]
        name = name or "production"
        return accounts.get(name, name)

    def bucket(self, name: str) -> tuple[str, str]:
        """Return account and region of a bucket."""
        said = self.said["buckets"][name]
        return self.account(said.get("account")), said.get("region", "eu-west-1")

    def vault_arn(self, name: str) -> str:
        """Return the ARN of a vault."""
        said = self.said["vaults"][name]
        region = said.get("region", "eu-west-1")
        return f"arn:aws:backup:{region}:{self.account(said.get('account'))}:backup-vault:{name}"

    def arn(self, said: str) -> str:
        """Return the ARN of `role/NAME`, `bucket/NAME` or `vault/NAME`."""
        kind, _, name = said.partition("/")
        if kind == "vault":
            return self.vault_arn(name)
        return (
            f"arn:aws:s3:::{name}" if kind == "bucket" else f"arn:aws:iam::{self.account(None)}:role/{name}"
        )

    def subject(self, said: str) -> str:
        """Return the subject key that an expectation means, which may hold a `*`; one that is no short form stays."""
        kind, _, name = said.partition("/")
        if kind in {"role", "bucket"} or (kind == "vault" and name in self.said["vaults"]):
            return self.arn(said)
        if kind == "export":
            return self.export(name).export_id
        if kind == "job":
            return self.export(name).job_uuid
        if kind == "session":
            from auditor.sandbox.estate_records import mark

            export, _, why = name.partition(":")
            return mark("ASIA", why or "session", self.export(export).id)
        if kind == "selection":
            return self._selection(name)
        return self.email(name) if kind == "identity" else said

    def _selection(self, plan: str) -> str:
        """Return the key of a plan's first selection."""
        from auditor.sandbox.aws.books import derived_uuid

        _, _, _, region, account, *_ = self.vault_arn(self.said["plans"][plan]["vault"]).split(":")
        plan_id = derived_uuid("plan", account, region, plan)
        return f"{plan_id}/{derived_uuid('selection', plan_id, f'{plan}-1')}"

    def plan_of(self, bucket: str) -> str | None:
        """Return the plan that is meant to take a bucket."""
        for name, plan in self.said["plans"].items():
            if bucket in (*plan.get("buckets", ()), *plan.get("arns", ())):
                return str(name)
        return None

    @cached_property
    def exports(self) -> tuple[Export, ...]:
        """Every export, in the order of the file."""
        return tuple(self._exports())

    def export(self, name: str) -> Export:
        """Return one export by its id; KeyError if there is none."""
        for export in self.exports:
            if export.id == name:
                return export
        raise KeyError(name)

    def _exports(self) -> Iterator[Export]:
        for entry in self.said["exports"]:
            pipeline = entry.get("of") or entry["id"].partition("-w")[0]
            base = self.said["pipelines"].get(pipeline)
            if base is None:
                raise ConfigError(f"scenario.yaml: export {entry['id']} is of no pipeline")
            said = {**base, **entry}
            expect = {**base.get("expect", {}), **entry.get("expect", {})}
            at = self.moment(entry["at"])
            expect_at = {int(week[1:]): told for week, told in entry.get("expect_at", {}).items()}
            for told in (expect, *expect_at.values()):
                self._check(entry["id"], told)
            job_id = said.get("job_id") or f"{entry['id']}-{at:%Y%m%d}"
            bucket, _, path = said["to"].partition("/")
            yield Export(
                id=entry["id"],
                pipeline=pipeline,
                said=said,
                at=at,
                ended_at=at + timedelta(minutes=said.get("minutes", 16)),
                bucket=bucket,
                prefix=path.format(date=f"{at:%Y-%m-%d}", job_id=job_id, run=said.get("run", "")),
                zone=said.get("zone", self.said["buckets"][bucket].get("zone")),
                job_id=job_id,
                job_uuid=ident("job", entry["id"]),
                expect=expect,
                expect_at=expect_at,
            )

    def _check(self, name: str, told: Mapping[str, str]) -> None:
        for link, word in told.items():
            try:
                words(word)
            except ValueError:
                raise ConfigError(f"scenario.yaml: {name}: no link can be {word!r}") from None
            if link not in LINKS:
                raise ConfigError(f"scenario.yaml: {name}: there is no link {link!r}")

    def judged_at(self, export: Export) -> int:
        """Return the week of the first scan after an export's capture is due (unknown zone: after an hour)."""
        zone = self.said["zones"].get(export.zone)
        limit = duration(zone["capture"]) if zone else timedelta(hours=1)
        return self.week_of(export.last_write_at + limit)

    def expectations(self, week: int) -> dict[str, dict[str, Expectation]]:
        """Return what the links of each export must be at a week's scan, by export id."""
        told: dict[str, dict[str, str]] = {}
        for export in self.exports:
            here: dict[str, str] = {}
            if self.judged_at(export) == week:
                here |= export.expect
            here |= export.expect_at.get(week, {})
            if here:
                told[export.export_id] = here
        return {
            export_id: {
                link: expected
                for link in LINKS
                if link in here and (expected := words(here[link])) is not None
            }
            for export_id, here in sorted(told.items())
        }
