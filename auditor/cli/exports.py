"""List every export with the state of its chain, or show one link by link."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from auditor.cli._app import App, answering, app
from auditor.cli._filters import Wanted, filtered, findings, nothing
from auditor.cli._reading import NO_SCAN, Standing, standing, with_as_of
from auditor.errors import UsageError
from auditor.model import LINKS, State

if TYPE_CHECKING:
    from auditor.cli._evidence import Evidence

Moments = Mapping[str, datetime | None]
_MOMENTS = {
    ("trigger", "gcp_audit_entry"): "at",
    ("session", "sts_session"): "issued_at",
    ("recovery_point", "backup_recovery_point"): "completed_at",
    ("copy", "backup_recovery_point"): "completed_at",
    ("retention", "backup_recovery_point"): "delete_at",
}
"""Which time of which record dates a link."""
_STATES = ("broken", "unknown", "pending", "proven", "not_required")


@click.group("exports", invoke_without_command=True)
@filtered(list(map(str, State)), "State of the chain", since_help="Job finished then or later.")
@with_as_of
@answering
def command(wanted: Wanted, as_of: datetime | None) -> None:
    """List every export with the state of its chain, or show one link by link.

    --severity, --rule and --control ask for exports with such a finding about the export or its job.
    """
    context = click.get_current_context()
    if context.invoked_subcommand:
        context.meta["as_of"] = as_of
        return
    this = app()
    wanted.check(this)
    now = standing(this, as_of)
    found = list(_select(this, wanted, now))
    shown = list(wanted.first(found))
    if this.json:
        from auditor.cli._answer import answer, export_row

        answer("exports", now, map(export_row, shown))
        return
    from auditor.cli._text import write

    if now.scan is None:
        write([NO_SCAN])
    elif not found:
        write(nothing("exports", wanted, "`auditor exports` lists them all."))
    else:
        write(_lines(shown, found))


def _select(this: App, wanted: Wanted, now: Standing) -> Iterator[Mapping[str, Any]]:
    keys: set[str] | None = None
    if wanted.of_findings and now.scan:
        asked = Wanted(severity=wanted.severity, rule=wanted.rule, control=wanted.control)
        keys = {
            row.subject_key for row in findings(this, asked, now.at) if row.subject_table in ("export", "job")
        }
    for row in now.rows("export"):
        if (
            wanted.fits(row, ("zone", "owner", "account", "project"))
            and wanted.state in ("", row["state"])
            and (
                wanted.since is None
                or (row["finished_at"] is not None and row["finished_at"] >= wanted.since)
            )
            and (keys is None or not keys.isdisjoint((row["export_id"], row["job_uuid"])))
        ):
            yield row


def _lines(shown: list[Mapping[str, Any]], found: list[Mapping[str, Any]]) -> list[str]:
    from auditor.cli._text import STATES, marked, plural, table, when

    rows = [
        (
            marked(row["state"]),
            "".join(STATES.get(row[f"{link}_state"], "?") for link in LINKS),
            row["strength"] if row["strength"] != "none" else "",
            row["zone"] or "–",
            f"{row['bucket']}/{row['prefix']}",
            row["job_id"] or row["job_uuid"],
            when(row["finished_at"])[:10] or "running",
        )
        for row in shown
    ]
    headers = ("CHAIN", "LINKS", "STRENGTH", "ZONE", "WHERE", "JOB", "FINISHED")
    fixed = ("CHAIN", "LINKS", "STRENGTH", "FINISHED")
    lines = table(headers, rows, keys=("WHERE", "JOB"), fixed=fixed, paints="CHAIN")
    counts = Counter(row["state"] for row in found)
    said = ", ".join(f"{counts[state]} {state.replace('_', ' ')}" for state in _STATES if counts[state])
    more = f"; the first {len(shown)} are shown" if len(shown) < len(found) else ""
    links = " ".join(link.replace("_", "-") for link in LINKS)
    return [
        *lines,
        "",
        f"{plural(len(found), 'export')}: {said}{more}.",
        f"Links: {links}.",
        "`auditor exports show JOB` says why, link by link.",
    ]


@command.command("show")
@click.argument("export", metavar="ID")
@click.option("--walkthrough", is_flag=True, help="One printable page with the raw record behind each link.")
@with_as_of
@answering
def show(export: str, walkthrough: bool, as_of: datetime | None) -> None:
    """Show one export link by link, with when and why.

    ID is an export's id, its job's uuid or id, or the start of one of them, as long as it names one export alone.
    """
    this = app()
    now = standing(this, as_of or click.get_current_context().meta.get("as_of"))
    row = _one(now, export)
    from auditor.cli._evidence import Evidence

    if this.json:
        from auditor.cli._answer import answer, export_row

        with Evidence(now.snapshot()) as evidence:
            answer("exports", now, [export_row(row) | {"definition": _definition(evidence, row)}])
        return
    from auditor.cli._text import write

    with Evidence(now.snapshot()) as evidence:
        moments = {link: _moment(evidence, row, link) for link in LINKS}
        if walkthrough:
            write(_page(now, row, moments, evidence))
        else:
            write([*_head(row), *_defined(evidence, row), "", *_chain(row, moments), "", _next(row)])


def _one(now: Standing, word: str) -> Mapping[str, Any]:
    now.found  # noqa: B018  # says so when there is no scan
    rows = list(now.rows("export"))
    names = ("export_id", "job_uuid", "job_id")
    for fits in (
        [row for row in rows if word in [row[name] for name in names]],
        [row for row in rows if any(str(row[name] or "").startswith(word) for name in names)],
    ):
        if len(fits) == 1:
            return fits[0]
        if fits:
            listed = "\n".join(row["export_id"] for row in fits[:10])
            raise UsageError(f"{word!r} names {len(fits)} exports", remedy=f"Name one by its id:\n{listed}")
    from auditor.config_read import did_you_mean

    known = [str(row[name]) for row in rows for name in names if row[name]]
    raise UsageError(
        f"there is no export {word!r}{did_you_mean(word, known)}", remedy="`auditor exports` lists them all."
    )


def _head(row: Mapping[str, Any]) -> list[str]:
    from auditor.cli._text import bold, bulk, marked, paint, plural, safe, when

    strength = f", {row['strength']}" if row["state"] == "proven" else ""
    due = f", due {when(row['due_at'])}" if row["state"] == "pending" else ""
    written = (
        "not listed"
        if row["objects"] is None
        else f"{plural(row['objects'], 'object')}, {bulk(row['bytes'])}"
    )
    facts = {
        "where": f"s3://{row['bucket']}/{row['prefix']} ({written})",
        "job": f"{row['job_id'] or '–'}, {row['job_uuid']}, {row['project']}/{row['region']}",
        "ran": f"{when(row['started_at'], seconds=True)} to {when(row['finished_at'], seconds=True) or 'now'}",
        "zone": f"{row['zone'] or 'none'}; owner {row['owner'] or 'nobody named'}; found by {row['found_by']}",
    }
    chain = paint(f"{marked(row['state'])}{strength}{due}", row["state"])
    return [f"{bold('Chain')} {chain}", *(f"  {name:<6}{safe(text)}" for name, text in facts.items())]


def _definition(evidence: Evidence, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the job is defined to do, as it is approved, with its digest; None when it was not read in full."""
    from auditor.correlate.defining import definition, digest_of

    for _, job in evidence.rows("dataproc_job", row["job_uuid"]):
        known = definition(job)
        return None if known is None else {"digest": digest_of(known), **known}
    return None


def _defined(evidence: Evidence, row: Mapping[str, Any]) -> list[str]:
    from auditor.cli._text import safe

    known = _definition(evidence, row)
    return [] if known is None else [f"  does  {safe(known['main'])}: definition {known['digest']}"]


def _chain(row: Mapping[str, Any], moments: Moments) -> list[str]:
    """Return the seven links, each with its symbol and word, and why below it."""
    lines: list[str] = []
    for link in LINKS:
        lines += [_link(row, link, moments), *_why(row, link)]
    return lines


def _link(row: Mapping[str, Any], link: str, moments: Moments) -> str:
    """Return one link on one line: state, name, strength or due time, when, and how long before or after the job's end."""
    from auditor.cli._text import marked, paint, span, when

    state, due, at, end = row[f"{link}_state"], row[f"{link}_due_at"], moments[link], row["finished_at"]
    said = row[f"{link}_strength"] if state == "proven" else ""
    if due and state in ("pending", "broken"):
        said = f"due {when(due)}"
    after = ""
    if at and end and at != end:
        after = f"{span(at - end)} after the end" if at > end else f"{span(end - at)} before the end"
    mark = paint(f"{marked(state):<16}", state)
    return f"{mark}{link.replace('_', ' '):<16}{said:<23}{when(at, seconds=True):<22}{after}".rstrip()


def _moment(evidence: Evidence, row: Mapping[str, Any], link: str) -> datetime | None:
    """Return the time a link is about: of the record behind it, or of the export's own row."""
    if link in ("job", "objects"):
        own: datetime | None = row["finished_at" if link == "job" else "last_write_at"]
        return own
    for table, key in row[f"{link}_refs"] or []:
        column = _MOMENTS.get((link, table))
        for _, record in evidence.rows(table, key) if column else ():
            at: datetime | None = record[str(column)]
            return at
    return None


def _why(row: Mapping[str, Any], link: str) -> list[str]:
    from auditor.cli._text import wrapped

    lines = wrapped(row[f"{link}_because"] or "nothing is known", indent="    ")
    gaps = row[f"{link}_gaps"]
    return lines + (wrapped(f"not seen: {gaps}", indent="    ") if gaps else [])


def _next(row: Mapping[str, Any]) -> str:
    return f"Raw records: auditor exports show {row['job_uuid']} --walkthrough"


def _page(now: Standing, row: Mapping[str, Any], moments: Moments, evidence: Evidence) -> list[str]:
    """Return the walkthrough: an auditor follows one transaction from its trigger to its retention."""
    from auditor.cli._evidence import lines
    from auditor.cli._text import bold, safe, when

    scan = now.found
    page = [
        bold(f"Walkthrough of {safe(row['export_id'])}"),
        f"Scan {scan.scan} as of {when(scan.at, seconds=True)}, snapshot {scan.snapshot_id[:16]}, rules {scan.rule_digest[:16]}",
        "",
        *_head(row),
    ]
    for number, link in enumerate(LINKS, 1):
        page += ["", f"{number}. {_link(row, link, moments)}", *_why(row, link)]
        page += lines(evidence, row[f"{link}_refs"] or [], indent="    ") or [
            "    (no record stands behind this state)"
        ]
    return page
