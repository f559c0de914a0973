"""The configuration and the directory export that the organisation of the scenario would have written."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import reduce
from pathlib import Path
from typing import Any

from auditor.sandbox.estate_records import AUDIENCE, GOOGLE, role_arn, stamp
from auditor.sandbox.estate_story import Story, merged
from auditor.sandbox.estate_world import READER, World

USERS = "users.csv"
MEMBERSHIPS = "memberships.csv"
KEY = "signing.key"


def write_directory(story: Story, now: datetime, into: Path) -> None:
    """Write the directory's export as it stands at a moment: it knows nothing of later leavers."""
    _write(into / USERS, ("id", "email", "status", "disabled_at", "subject", "owner"), _users(story, now))
    _write(into / MEMBERSHIPS, ("user", "group", "from", "until"), _memberships(story, now))


def _write(path: Path, columns: Sequence[str], rows: Iterator[tuple[str, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _users(story: Story, now: datetime) -> Iterator[tuple[str, ...]]:
    for number, (name, said) in enumerate(story["people"].items(), 1001):
        ended = story.moment(said["disabled"]) if "disabled" in said else None
        gone = ended is not None and ended <= now
        yield (
            f"u-{number}",
            story.email(name),
            "disabled" if gone else "active",
            stamp(ended) if ended and gone else "",
            f"idp|{number}",
            "",
        )
    for number, (name, said) in enumerate(story["automations"].items(), 9001):
        yield f"a-{number}", story.email(name), "active", "", said["subject"], story.email(said["owner"])


def _memberships(story: Story, now: datetime) -> Iterator[tuple[str, ...]]:
    for number, said in enumerate(story["people"].values(), 1001):
        for group, span in said["groups"].items():
            since, until = span if isinstance(span, list) else (span, None)
            ended = None if until is None else story.moment(until)
            begun = "" if since is None else _day(story, since)
            yield f"u-{number}", group, begun, "" if ended is None or ended > now else stamp(ended)


def _day(story: Story, said: str | date) -> str:
    return stamp(story.moment(said))


def write_config(
    story: Story, endpoints: tuple[str, str], into: Path, more: Sequence[Mapping[str, Any]] = ()
) -> Path:
    """Write config.toml for both running clouds and return its path; `more` is merged into it."""
    path = into / "config.toml"
    text = "\n".join(_lines(story, endpoints, into)) + "\n"
    if more:
        text = "\n".join(_again(reduce(merged, more, tomllib.loads(text)))) + "\n"
    path.write_text(text, encoding="utf-8")
    return path


def _again(said: Mapping[str, Any]) -> Iterator[str]:
    """Yield a configuration that was read, settings before tables; what is nested stays in one line."""
    tables = {key for key, value in said.items() if isinstance(value, Mapping)}
    several = {key for key, value in said.items() if isinstance(value, list) and value and key not in tables}
    for key in sorted(said.keys() - tables - several):
        yield f"{_key(key)} = {_value(said[key])}"
    for key in sorted(tables):
        yield from _table(key, said[key])
    for key in sorted(several):
        for each in said[key]:
            yield from _table(f"[{key}]", each)


def _lines(story: Story, endpoints: tuple[str, str], into: Path) -> Iterator[str]:
    aws, gcp = endpoints
    yield "# Written by the demo from its scenario; the endpoints are this machine's."
    yield 'organisation = "Acme Health"'
    yield from _table("state", {"dir": str(into / "state")})
    yield from _table("aws", {"endpoint": aws, "regions": story["aws"]["regions"]})
    for number in story["aws"]["accounts"].values():
        yield from _table(
            "[aws.accounts]",
            {"id": number, "role_arn": role_arn(number, READER), "external_id": "acme-audit"},
        )
    yield from _table("gcp", {"endpoint": gcp, **_picked(story["gcp"], "projects", "regions")})
    yield from _zones(story)
    yield from _exports(story)
    yield from _federation(story)
    yield from _people(story)
    yield from _table(
        "sources.directory", {"users": str(into / USERS), "memberships": str(into / MEMBERSHIPS)}
    )
    # Trails are validated in name alone, unless the story says so: nobody signs digests for twelve weeks of hours.
    yield from _table("sources.aws_cloudtrail", {"digests": bool(story.said.get("digests"))})
    yield from _table("signing", {"key": f"file:{into / KEY}", "bundles": str(into / "bundles")})


def _zones(story: Story) -> Iterator[str]:
    yield from _table("zones", {"order": list(story["zones"])})
    for name, said in story["zones"].items():
        kept = {"copy_lag": "none", "bucket_min_d": "none", **said}
        kept["copy_to"] = [
            {**each, "account": story.account(each["account"])} for each in said.get("copy_to", ())
        ]
        yield from _table(f"zones.{name}", kept)


def _exports(story: Story) -> Iterator[str]:
    yield from _table("exports", {"label": "export"})
    for name, said in story["pipelines"].items():
        if not said.get("declared", True):
            continue
        bucket, _, prefix = said["to"].partition("/")
        yield from _table(
            f"exports.{name}",
            {
                "project": said["project"],
                "job_id": said.get("job_id", f"{name}-w*"),
                "bucket": bucket,
                "prefix": prefix.replace("{run}", "*"),
                "retry": "6h",
                "complete": "marker" if said.get("marker") == "empty" else "manifest",
                "owner": story.email(story["buckets"][bucket]["owner"]),
            },
        )


def _federation(story: Story) -> Iterator[str]:
    account = story.account("production")
    for name in story["service_accounts"]:
        places = {_place(said["to"]) for said in story["pipelines"].values() if said["account"] == name}
        entry = {
            "role_arn": role_arn(account, World.role_of(name)),
            "provider": GOOGLE,
            "audiences": [AUDIENCE],
            "subject_of": story.email(name),
        }
        if len(places) == 1:
            entry["bucket"], entry["prefix"] = next(iter(places))
        yield from _table("[federation]", entry)
    subjects = {story.email(name): said["subject"] for name, said in story["service_accounts"].items()}
    yield from _table("subjects", subjects)
    writer = f"arn:aws:sts::{account}:assumed-role/s3-replication/*"
    yield from _table("[writers]", {"match": writer, "bucket": "acme-*", "reason": "S3 replication"})
    url = "token.actions.githubusercontent.com"
    yield from _table("[providers]", {"url": url, "client_ids": ["sts.amazonaws.com"], "thumbprints": []})


def _place(target: str) -> tuple[str, str]:
    """Return the bucket and the fixed folder of a pipeline's target."""
    bucket, _, prefix = target.partition("{")[0].partition("/")
    folder, slash, _ = prefix.rpartition("/")
    return bucket, folder + slash


def _people(story: Story) -> Iterator[str]:
    for duty in story["duties"]:
        several = {"projects": [duty["project"]], "job_ids": [duty["job_id"]], "zones": [duty["zone"]]}
        yield from _table("[duties]", {"group": duty["group"], **several})
    for name, said in story["automations"].items():
        project, job_id = said["may"]
        yield from _table(
            "[automations]",
            {
                "principal": story.email(name),
                "owner": story.email(said["owner"]),
                "projects": [project],
                "job_ids": [job_id],
            },
        )


def _picked(said: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: said[name] for name in names}


def _table(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    """Yield one table of TOML; a name in brackets is one of many."""
    yield ""
    yield f"[{name}]"
    for key, value in values.items():
        yield f"{_key(key)} = {_value(value)}"


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
