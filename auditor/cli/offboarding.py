"""Show for everybody who left what of their access is left, and how long it outlived them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from auditor.cli._app import TIME, answering, app
from auditor.cli._reading import NO_SCAN, standing, with_as_of

NOT_READ = "not collected"


@click.command("offboarding")
@click.argument("person", required=False)
@click.option("--from", "from_at", type=TIME, help="Only whose access ended then or later.")
@click.option("--to", "until_at", type=TIME, help="Only whose access ended before then.")
@with_as_of
@answering
def command(
    person: str | None, from_at: datetime | None, until_at: datetime | None, as_of: datetime | None
) -> None:
    """Show for everybody who left what of their access is left, and how long it outlived them.

    PERSON is an e-mail. Who left at a time that no directory tells is in every window, for they may have left in it.
    """
    this = app()
    now = standing(this, as_of)
    rows = [row for row in now.rows("offboarding") if _fits(row, person, from_at, until_at)]
    if this.json:
        from auditor.cli._answer import answer

        answer("offboarding", now, rows)
        return
    from auditor.cli._text import write

    write(lines(rows, detail=person is not None) if now.scan else [NO_SCAN])


def _fits(
    row: dict[str, Any], person: str | None, from_at: datetime | None, until_at: datetime | None
) -> bool:
    if person is not None and row["person"] != (person.lower() if "@" in person else person):
        return False
    ended = row["ended_at"]
    if ended is None:
        # All that is known is that it had ended by then: a window that ends before says nothing against it.
        return not (from_at and row["ended_by"] and row["ended_by"] < from_at)
    return (from_at is None or ended >= from_at) and (until_at is None or ended < until_at)


def lines(rows: list[dict[str, Any]], *, detail: bool = False) -> list[str]:
    """Return the rows as a table, and each part by name where one person is asked for."""
    from auditor.cli._text import plural, table, when

    if not rows:
        return ["Nobody's access ended in that time."]
    said = [
        (
            mark(row),
            row["person"],
            ended(row, when),
            when(row["last_use_at"]) or "–",
            outlived(row),
            left(row),
        )
        for row in rows
    ]
    headers = ("STATE", "PERSON", "ENDED", "LAST USE", "OUTLIVED BY", "LEFT OF IT")
    open_ = sum(row["open"] is True for row in rows)
    unknown = sum(row["open"] is None for row in rows)
    found = [
        *table(headers, said, keys=("PERSON",), fixed=("STATE", "ENDED", "LAST USE", "OUTLIVED BY")),
        "",
        f"{plural(len(rows), 'person', 'people')} left: something is left of {open_}, of {unknown} it is not known.",
    ]
    return [*found, *(line for row in rows for line in _parts(row))] if detail else found


def mark(row: dict[str, Any]) -> str:
    """Return whether something is left, in a word and a sign."""
    return {True: "✗ open", False: "✓ ended", None: "? unknown"}[row["open"]]


def ended(row: dict[str, Any], when: Any) -> str:
    """Return when access ended, as exactly as is known."""
    if row["ended_at"] is not None:
        return str(when(row["ended_at"]))
    return f"by {when(row['ended_by'])}" if row["ended_by"] is not None else "not known"


def outlived(row: dict[str, Any]) -> str:
    """Return how long access outlived the person."""
    from datetime import timedelta

    from auditor.cli._text import span

    if row["outlived_s"] is None:
        return "not known"
    words = span(timedelta(seconds=row["outlived_s"])) if row["outlived_s"] else "0"
    return f"{words}, goes on" if row["open"] else words


def left(row: dict[str, Any]) -> str:
    """Return what is left, counted, and what was not collected."""
    names = {
        "groups": "group",
        "bindings": "binding",
        "sessions": "session",
        "keys": "key",
        "owns": "automation",
    }
    counted = [
        f"{len(row[name])} {word}{'s' * (len(row[name]) != 1)}" for name, word in names.items() if row[name]
    ]
    unread = [name for name in names if row[name] is None]
    if unread:
        counted.append(f"{len(unread)} {NOT_READ}")
    return "; ".join(counted) or "nothing"


def _parts(row: dict[str, Any]) -> list[str]:
    from auditor.cli._text import bold, safe, wrapped

    found = ["", bold(safe(row["person"]))]
    parts = {
        "groups": [
            f"{each['group']} ({each['duty']})" if each["duty"] else each["group"]
            for each in row["groups"] or ()
        ],
        "bindings": [f"{each['role']} on {each['resource']}" for each in row["bindings"] or ()],
        "sessions": row["sessions"] or [],
        "keys": row["keys"] or [],
        "owns": row["owns"] or [],
    }
    for name, values in parts.items():
        words = NOT_READ if row[name] is None else "; ".join(values) or "none"
        text = wrapped(safe(words), indent="            ")
        found += [f"  {name:<10}{text[0].lstrip()}", *text[1:]]
    for gap in row["not_seen"] or ():
        found += wrapped(safe(f"not seen: {gap}"), indent="  ")
    return found
