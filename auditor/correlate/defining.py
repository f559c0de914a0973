"""What a job is defined to do, as one digest that its runs share, and whether change management approved it.

The definition is type, main, arguments and properties; what belongs to one run alone is written as a word for it: a date as
`{date}`, the job's own id as `{job_id}`, a UUID as `{uuid}`. Nothing else is: a number may be a limit.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from auditor.correlate.zoning import Row, parsed

_UUID = re.compile(
    r"(?<![0-9a-zA-Z])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-zA-Z])", re.IGNORECASE
)
_DATE = re.compile(
    r"(?<!\d)20\d\d([-/]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])"
    r"(?:[T _-]?(?:[01]\d|2[0-3])(?::?[0-5]\d){0,2}(?:\.\d+)?Z?)?(?!\d)"
)
_CUT = re.compile(r"…\[cut: \d+ bytes")


def definition(job: Row) -> dict[str, Any] | None:
    """Return a job's definition without what is one run's own; None when a part of it was not read."""
    arguments, properties = parsed(job["arguments"]), parsed(job["properties"])
    if job["type"] is None or job["main"] is None or arguments is None or properties is None:
        return None

    def common(text: Any) -> str:
        said = text if isinstance(text, str) else json.dumps(text, sort_keys=True, ensure_ascii=False)
        for own in (job["job_uuid"], job["job_id"]):
            if own and len(own) >= 6:
                said = said.replace(own, "{job_id}")
        return _DATE.sub("{date}", _UUID.sub("{uuid}", said))

    found = {
        "type": job["type"],
        "main": common(job["main"]),
        "arguments": [common(argument) for argument in arguments],
        "properties": {str(key): common(value) for key, value in properties.items()},
    }
    return None if _CUT.search(json.dumps(found, ensure_ascii=False)) else found


def digest_of(found: Mapping[str, Any]) -> str:
    """Return the digest of a definition: sha256 of its canonical JSON."""
    said = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(said.encode("utf-8", "backslashreplace")).hexdigest()


def columns(job: Row, template: Row | None, approved: Sequence[Row]) -> dict[str, Any]:
    """Return the columns of job_facts that say what it is defined to do and whether that was approved when it started."""
    known = definition(job)
    digest = digest_of(known) if known else None
    name = f"{template['template']}@{version(template)}" if template and template["templates"] == 1 else None
    verdict, says = _approved(digest, name, job["started_at"], approved)
    return {
        "definition_digest": digest,
        "template": name,
        "definition_approved": verdict,
        "approval_says": says,
    }


def version(template: Row) -> str:
    """Return a template's version as text; a question mark when it was changed since."""
    return "?" if template["version"] is None else str(template["version"])


def _approved(
    digest: str | None, template: str | None, at: datetime | None, approved: Iterable[Row]
) -> tuple[bool | None, str]:
    """Say whether an approval names this definition or template and held when the job started, and why."""
    named = [
        row
        for row in approved
        if (row["digest"] and row["digest"] == digest)
        or (
            row["template"]
            and template
            and not template.endswith("@?")
            and fnmatchcase(template, row["template"])
        )
    ]
    if named and at is None:
        return None, "when it started is not known"
    for row in named:
        assert at is not None
        if (row["from_at"] is None or row["from_at"] <= at) and (
            row["until_at"] is None or at < row["until_at"]
        ):
            return True, f"approved by {row['approved_by']}"
    if named:
        return False, f"approved by {named[0]['approved_by']}, but not at the time it started"
    if digest is None:
        return None, "its definition was not read in full"
    if template and template.endswith("@?"):
        name = template[:-2]
        if any(row["template"] and fnmatchcase(name, row["template"].partition("@")[0]) for row in approved):
            return None, f"template {name} was changed since: which version made it is not known"
    return False, "no approval names its definition"
