"""Which S3 prefixes a Dataproc job speaks of, and which of them it declares as its output.

Pure. Used by correlation to find exports, and by collection to know which buckets' objects to list.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

_URI = re.compile(r"""s3[an]?://([a-z0-9][a-z0-9.\-]{1,62})(/[^\s'",;)]*)?""")
_WILD = re.compile(r"[*?{\[]")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_OUT = {"out", "output", "outputs", "dest", "destination", "target", "sink", "export", "to", "write"}
_IN = {"in", "input", "inputs", "source", "src", "from", "read", "checkpoint", "log", "logs"} | {
    "tmp", "temp", "staging", "jar", "jars", "conf", "config", "lib", "libs", "warehouse", "event",
}  # fmt: skip
_SOURCES = {"in", "input", "inputs", "source", "src", "from", "read"}
"""Of these the words that name data which is read, not a place to work in."""
_EITHER = frozenset(_OUT | _IN)
_UNNAMED: frozenset[str] = frozenset()
_CONF = frozenset(("conf",))
_NAMED_RUN = re.compile(
    r"(?<![a-z])(dt|ds|date|day|week|month|year|hour|hr|minute|ts|time|timestamp|run|runid|run_id|attempt|job|jobid"
    r"|job_id|batch|batchid|batch_id|execution|exec)(?:=[^/]*|[_-]\d[^/]*)",
    re.IGNORECASE,
)
_RUN = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?<![a-zA-Z0-9])\d{2,}[\dT:_Z.+-]*(?![a-zA-Z])",
    re.IGNORECASE,
)
"""A UUID, or a date, a time or a number that stands by itself: what belongs to one run and not to the export."""


@dataclass(frozen=True, slots=True, order=True)
class Output:
    """One prefix a job writes, or may write, to."""

    bucket: str
    prefix: str
    """Ends in `/`, so that `run=1/` never matches `run=17/`; empty at the bucket's root."""
    found_by: str
    """`label`, `arguments` or `config`."""
    declared: bool
    """FALSE: the job mentions the prefix, but nothing says that it is written."""
    name: str | None
    """The configured export it belongs to."""


def prefix_of(path: str | None) -> str:
    """Return a URI's path as a prefix: no leading slash, cut before a wildcard, a slash at the end."""
    prefix = (path or "").lstrip("/")
    wild = _WILD.search(prefix)
    if wild:
        prefix = prefix[: wild.start()].rpartition("/")[0]
    if "//" in prefix:
        prefix = re.sub(r"/{2,}", "/", prefix)
    return prefix if not prefix or prefix.endswith("/") else prefix + "/"


def outputs(job: Mapping[str, Any], exports: Collection[Mapping[str, Any]], label: str) -> list[Output]:
    """Return the outputs of one job (a row of `dataproc_job`), found in the order of links.md.

    `exports` are rows of `config_export`; `label` is the job label that names one of them.
    """
    named = (job["labels"] or {}).get(label) if job.get("labels") else None
    found: dict[tuple[str, str], Output] = {}
    for export in exports:
        if named is not None and export["name"] == named:
            prefix = _filled(export["prefix"], job)
            found[export["bucket"], prefix] = Output(export["bucket"], prefix, "label", True, export["name"])
    for bucket, prefix, declared in _mentioned(job):
        name = _configured(bucket, prefix, job, exports) if exports else None
        found.setdefault((bucket, prefix), Output(bucket, prefix, "arguments", declared, name))
    if exports and not any(output.declared for output in found.values()):
        for export in exports:
            if _fits(export, job):
                prefix = _filled(export["prefix"], job)
                found[export["bucket"], prefix] = Output(
                    export["bucket"], prefix, "config", True, export["name"]
                )
    return sorted(found.values())


def export_key(bucket: str, prefix: str, name: str | None) -> str:
    """Return what runs of the same export share: its configured name, or its prefix without a run's own part."""
    if name:
        return name
    return f"{bucket}/{'/'.join(map(_without_run, prefix.split('/')))}"


@lru_cache(maxsize=4096)
def _without_run(part: str) -> str:
    """Return one part of a prefix without what belongs to a run; neither pattern reaches over a slash."""
    return _RUN.sub("#", _NAMED_RUN.sub(r"\1=#", part))


def _mentioned(job: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Yield bucket, prefix and whether the words round it declare it as an output; inputs are left out."""
    outs: list[tuple[str, str]] = []
    bare: list[tuple[str, str]] = []
    for words, text in _texts(job):
        for match in _URI.finditer(text):
            place = (match[1], prefix_of(match[2]))
            if words & _OUT:
                outs.append(place)
            elif not words & _IN:
                bare.append(place)
    for place in dict.fromkeys(outs):
        yield *place, True
    if not bare:
        return
    sole = not outs and len(set(bare)) == 1
    for place in dict.fromkeys(bare):
        if place not in outs:
            yield *place, sole


def inputs(job: Mapping[str, Any]) -> list[str]:
    """Return the S3 buckets that a job's words declare as an input: `--source s3a://...`; sorted."""
    found = {
        match[1]
        for words, text in _texts(job)
        if words & _SOURCES and not words & _OUT
        for match in _URI.finditer(text)
    }
    return sorted(found)


def _texts(job: Mapping[str, Any]) -> Iterator[tuple[frozenset[str], str]]:
    """Yield each argument and property value that may hold a URI with the words that name it."""
    before = ""
    for argument in job["arguments"] or ():
        text = str(argument)
        key, equals, value = text.partition("=")
        if equals and "://" not in key:
            if "://" in value:
                yield _words(key), value
        elif "://" in text:
            yield _words(before) if before.startswith("-") else _UNNAMED, text
        before = "" if equals else text
    for key, value in sorted((job["properties"] or {}).items()):
        if "://" in (text := str(value)):
            words = _words(key)
            yield words if words & _EITHER else _CONF, text


@lru_cache(maxsize=4096)
def _words(key: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _WORD.findall(key))


def _fits(export: Mapping[str, Any], job: Mapping[str, Any]) -> bool:
    return bool(export["job_id"]) and (
        fnmatchcase(job["job_id"] or "", export["job_id"])
        and fnmatchcase(job["project"] or "", export["project"] or "*")
    )


def _configured(
    bucket: str, prefix: str, job: Mapping[str, Any], exports: Collection[Mapping[str, Any]]
) -> str | None:
    """Return the configured export whose bucket and prefix this is; the one that names the job first."""
    fitting = [e for e in exports if e["bucket"] == bucket and _pattern(e["prefix"]).fullmatch(prefix)]
    fitting.sort(key=lambda export: (not _fits(export, job), export["name"]))
    return fitting[0]["name"] if fitting else None


@lru_cache(maxsize=4096)
def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\}|\*)", template)
    return re.compile("".join("[^/]*" if i % 2 else re.escape(part) for i, part in enumerate(parts)))


def _filled(template: str, job: Mapping[str, Any]) -> str:
    """Return a configured prefix for one run; what cannot be filled in cuts it there."""
    at: datetime | None = job["submitted_at"]
    values = {"job_id": job["job_id"], "job_uuid": job["job_uuid"]}
    if at is not None:
        values |= {"date": f"{at:%Y-%m-%d}", "hour": f"{at:%H}"}
    filled = re.sub(r"\{(\w+)\}", lambda match: values.get(match[1]) or "*", template)
    return prefix_of(filled)
