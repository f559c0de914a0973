"""The sheet of an access review: written as CSV, read back, and held to what was written.

Every row names itself by a digest of its own cells, and the ledger keeps the names of a sheet's rows: a cell that was changed, a
row that was not in the sheet, and a sheet that was never exported are each told apart.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from auditor.errors import UsageError

FACTS = ("period", "person", "directory", "group", "duty", "member_since", "status", "last_use")
COLUMNS = ("row", *FACTS, "decision", "reason")
DECISIONS = ("keep", "revoke")
_GUARDED = ("=", "+", "-", "@", "\t", "\r", "'")
"""How a cell begins that a spreadsheet would run, and the sign that guards it."""
_PERIOD = re.compile(r"(\d{4})(?:-(?:Q([1-4])|H([12])|(0[1-9]|1[0-2])))?\Z")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a sheet."""

    line: int
    cells: Mapping[str, str]
    """By column, as the sheet says it, guards taken off."""

    @property
    def name(self) -> str:
        """Return what the row calls itself."""
        return self.cells["row"]


def begins(period: str) -> tuple[int, int]:
    """Return year and month in which a period begins; UsageError when it is none."""
    found = _PERIOD.match(period)
    if not found:
        raise UsageError(f"{period!r} is no period", remedy="Write 2026, 2026-H1, 2026-Q1 or 2026-01.")
    year, quarter, half, month = found.groups()
    first = (int(quarter) - 1) * 3 + 1 if quarter else (int(half) - 1) * 6 + 1 if half else int(month or 1)
    return int(year), first


def rows_of(access: Iterable[Mapping[str, Any]], period: str) -> list[dict[str, str]]:
    """Return the rows of a period's sheet, each with its name and room for a decision."""
    found = []
    for row in access:
        cells = {
            "period": period,
            "person": row["person"],
            "directory": row["directory"],
            "group": row["group_name"],
            "duty": row["duty"],
            "member_since": _stamp(row["since_at"]) or "not known",
            "status": row["status"] or "not known",
            "last_use": _stamp(row["last_use_at"]) or "none known",
        }
        plain = {name: _plain(text) for name, text in cells.items()}
        found.append({"row": name_of(plain), **plain, "decision": "", "reason": ""})
    return found


def name_of(cells: Mapping[str, str]) -> str:
    """Return the name of a row: a digest of what it says, decision and reason apart."""
    text = "\x1f".join(cells[name] for name in FACTS)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest(names: Iterable[str]) -> str:
    """Return the digest of a sheet: of the names of its rows, whatever their order."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()


def text_of(rows: Sequence[Mapping[str, str]]) -> str:
    """Return a sheet as CSV; cells that a spreadsheet would run begin with a single quote."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(
            [f"'{row[name]}" if row[name].startswith(_GUARDED) else row[name] for name in COLUMNS]
        )
    return file.getvalue()


def read(path: Path) -> list[Row]:
    """Read a sheet that came back; UsageError names the line that cannot be one of it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    # Spreadsheets of some countries write semicolons.
    header = text.partition("\n")[0].strip()
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=";" if ";" in header else ",")
    found: list[Row] = []
    try:
        names = tuple(cell.strip().lower() for cell in next(reader, []))
        if names != COLUMNS:
            raise UsageError(f"{path}:1: the columns must be {', '.join(COLUMNS)}")
        for cells in reader:
            if not any(cells):
                continue
            if len(cells) != len(COLUMNS):
                raise UsageError(f"{path}:{reader.line_num}: {len(cells)} cells under {len(COLUMNS)} columns")
            values = (
                cell[1:] if cell[:1] == "'" and cell[1:].startswith(_GUARDED) else cell for cell in cells
            )
            found.append(Row(reader.line_num, dict(zip(COLUMNS, values, strict=True))))
    except csv.Error as error:
        raise UsageError(f"{path}:{reader.line_num}: {error}") from None
    return found


def held_to(path: Path, rows: Sequence[Row], sheets: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the exported sheet that all rows are of; UsageError names the first that is not, and why.

    A part of a sheet will do: whoever is not in it stays undecided.
    """
    if not rows:
        raise UsageError(f"{path}: the sheet has no rows")
    for row in rows:
        if name_of(row.cells) != row.name:
            raise UsageError(
                f"{path}:{row.line}: the row was changed since it was exported",
                remedy="Only the columns decision and reason may be filled in; export the sheet again.",
            )
    period = rows[0].cells["period"]
    same = [sheet for sheet in sheets if sheet["period"] == period]
    names = {row.name for row in rows}
    sheet = next((sheet for sheet in reversed(same) if names <= set(sheet["row_names"])), None)
    if sheet is None:
        if not same:
            raise UsageError(
                f"{path}: no sheet of {period} was exported",
                remedy="`auditor access-review export` makes one.",
            )
        known = set(same[-1]["row_names"])
        strange = next((row for row in rows if row.name not in known), rows[0])
        raise UsageError(f"{path}:{strange.line}: this row was not in the sheet of {period}")
    seen: dict[str, int] = {}
    for row in rows:
        if row.name in seen:
            raise UsageError(f"{path}:{row.line}: the same row stands on line {seen[row.name]} too")
        seen[row.name] = row.line
    return dict(sheet)


def decided(path: Path, rows: Sequence[Row], reviewer: str) -> list[Row]:
    """Return the rows with a decision; UsageError for one that cannot be signed: then none is."""
    from auditor.persons import same_person

    if "@" not in reviewer:
        raise UsageError(f"{reviewer!r} is no e-mail", remedy="Give the reviewer's e-mail.")
    found = []
    for row in rows:
        decision, reason = row.cells["decision"].strip().lower(), row.cells["reason"].strip()
        if not decision:
            if reason:
                raise UsageError(f"{path}:{row.line}: there is a reason and no decision")
            continue
        if decision not in DECISIONS:
            raise UsageError(
                f"{path}:{row.line}: the decision {decision!r} is none of {', '.join(DECISIONS)}"
            )
        if not reason and (decision == "revoke" or row.cells["status"] != "active"):
            why = "to revoke" if decision == "revoke" else f"to keep somebody who is {row.cells['status']}"
            raise UsageError(f"{path}:{row.line}: {why} needs a reason")
        if same_person(row.cells["person"], reviewer):
            raise UsageError(
                f"{path}:{row.line}: {reviewer} cannot review their own access",
                remedy="Leave that row undecided, and let somebody else sign it.",
            )
        found.append(Row(row.line, {**row.cells, "decision": decision, "reason": reason}))
    return found


def _plain(text: str) -> str:
    from auditor.cli._text import safe

    return safe(text)


def _stamp(at: datetime | None) -> str:
    from auditor.cli._answer import stamp

    return stamp(at) or ""
