"""Draw a sample of a population that anyone can draw again."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from auditor.cli._app import answering, app
from auditor.cli._reading import Standing, standing, with_as_of
from auditor.errors import UsageError

_GUARDED = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the begin of a formula (OWASP, CSV injection)."""


@click.command("sample")
@click.argument("population")
@click.option(
    "--n", "count", type=click.IntRange(min=1), default=25, show_default=True, help="How many to draw."
)
@click.option("--seed", required=True, help="Any text; the same seed draws the same rows, anywhere.")
@with_as_of
@answering
def command(population: str, count: int, seed: str, as_of: datetime | None) -> None:
    """Draw a sample of a population that anyone can draw again.

    POPULATION is a table: `export`, `outcome`, or one of the snapshot's such as `dataproc_job`, `backup_recovery_point`.
    Each row has its number in the population; drawn are the rows with the lowest SHA-256 of `SEED/NUMBER`. CSV goes to
    stdout; what it was drawn from is said beside it.
    """
    this = app()
    now = standing(this, as_of)
    rows = _population(now, population)
    drawn = draw(len(rows), count, seed)
    digest = hashlib.sha256("".join(_line(row) for row in rows).encode()).hexdigest()
    about = {"population": population, "size": len(rows), "digest": digest, "seed": seed, "drawn": len(drawn)}
    if this.json:
        from auditor.cli._answer import answer

        answer("sample", now, [{"row": number, "values": rows[number - 1]} for number in drawn], about=about)
        return
    this.tell(f"{len(drawn)} of {len(rows)} rows of {population}, seed {seed}, population sha256 {digest}")
    click.echo(_csv(rows, drawn), nl=False)


def draw(size: int, count: int, seed: str) -> list[int]:
    """Return the numbers of the rows drawn, counted from 1, in their order."""
    ranked = sorted(
        range(1, size + 1), key=lambda number: hashlib.sha256(f"{seed}/{number}".encode()).digest()
    )
    return sorted(ranked[:count])


def _population(now: Standing, name: str) -> list[Mapping[str, Any]]:
    from auditor.config_read import did_you_mean
    from auditor.judge import FACTS
    from auditor.schema import tables

    name = {"exports": "export", "outcomes": "outcome"}.get(name, name)
    known = [*FACTS, *(table.name for table in tables().values() if table.kind == "source")]
    if name not in known:
        raise UsageError(
            f"there is no population {name!r}{did_you_mean(name, known)}",
            remedy=f"There are {', '.join(known)}.",
        )
    now.found  # noqa: B018  # says so when there is no scan
    return list(now.rows(name) if name in FACTS else now.snapshot().rows(name))


def _line(row: Mapping[str, Any]) -> str:
    return (
        json.dumps({key: _plain(value) for key, value in row.items()}, sort_keys=True, separators=(",", ":"))
        + "\n"
    )


def _plain(value: Any) -> Any:
    from auditor.cli._answer import stamp

    return stamp(value) if isinstance(value, datetime) else value


def _csv(rows: list[Mapping[str, Any]], drawn: list[int]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = list(rows[0]) if rows else []
    writer.writerow(["row", *names])
    for number in drawn:
        writer.writerow([number, *(_cell(rows[number - 1][name]) for name in names)])
    return file.getvalue()


def _cell(value: Any) -> Any:
    """Return a value as a cell that no spreadsheet runs and no terminal obeys."""
    from auditor.cli._text import safe

    if value is None or isinstance(value, bool | int):
        return "" if value is None else value
    text = (
        str(_plain(value))
        if isinstance(value, str | datetime)
        else json.dumps(value, sort_keys=True, ensure_ascii=False)
    )
    guarded = f"'{text}" if text.startswith(_GUARDED) else text
    return safe(guarded)
