"""List sessions that no job explains, and objects that belong to no export."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from auditor.cli._app import answering, app
from auditor.cli._reading import NO_SCAN, Standing, standing, with_as_of

_SESSION = ("session_key", "account", "role_arn", "subject", "issued_at", "source_ip", "orphan", "because")
_OBJECTS = (
    "bucket", "dir", "account", "region", "objects", "bytes", "first_at", "last_at", "under_export", "writers", "orphan",
    "samples", "because",
)  # fmt: skip


@click.command("orphans")
@click.option("--account", default="", help="AWS account id.")
@click.option(
    "--all", "everything", is_flag=True, help="Also those that a job or a declared writer explains."
)
@with_as_of
@answering
def command(account: str, everything: bool, as_of: datetime | None) -> None:
    """List sessions on export roles that no job explains, and objects that belong to no export.

    `orphan` is true, or null when what would tell could not be seen.
    """
    this = app()
    now = standing(this, as_of)
    rows = [
        row
        for row in _rows(now)
        if (everything or row["orphan"] is not False) and account in ("", row["account"])
    ]
    if this.json:
        from auditor.cli._answer import answer

        answer("orphans", now, rows)
        return
    from auditor.cli._text import write

    write(_lines(rows) if now.scan else [NO_SCAN])


def _rows(now: Standing) -> list[dict[str, Any]]:
    sessions = [
        {"kind": "session", **{name: row[name] for name in _SESSION}} for row in now.rows("orphan_session")
    ]
    objects = [
        {"kind": "objects", **{name: row[name] for name in _OBJECTS}}
        for row in now.rows("unattributed_object")
    ]
    return [*sessions, *objects]


def _lines(rows: list[dict[str, Any]]) -> list[str]:
    from auditor.cli._text import bold, bulk, plural, table, when

    if not rows:
        return [
            "No orphans: a job or a declared writer explains every session and every object that was seen."
        ]
    sessions = [row for row in rows if row["kind"] == "session"]
    objects = [row for row in rows if row["kind"] == "objects"]
    lines: list[str] = []
    if sessions:
        said = [
            (_is(row), row["session_key"], row["role_arn"], when(row["issued_at"]), row["because"])
            for row in sessions
        ]
        headers = ("ORPHAN", "SESSION", "ROLE", "ISSUED", "BECAUSE")
        lines += [
            bold(plural(len(sessions), "session")),
            *table(headers, said, keys=("ROLE",), fixed=("ORPHAN", "ISSUED")),
        ]
    if objects:
        places = [
            (
                _is(row),
                f"{row['bucket']}/{row['dir']}",
                f"{row['objects']:,}",
                bulk(row["bytes"]),
                row["because"],
            )
            for row in objects
        ]
        headers = ("ORPHAN", "WHERE", "OBJECTS", "SIZE", "BECAUSE")
        lines += [
            *([""] if lines else []),
            bold(f"Objects of no export, in {plural(len(objects), 'directory', 'directories')}"),
            *table(headers, places, right=("OBJECTS", "SIZE"), keys=("WHERE",), fixed=("ORPHAN",)),
        ]
    return lines


def _is(row: Mapping[str, Any]) -> str:
    return {True: "✗ yes", False: "✓ no", None: "? unknown"}[row["orphan"]]
