"""What a resource is compared with: its approved state where there is one, else what the scan before saw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC

from auditor.baselines import BEFORE, state_of
from auditor.correlate import Tables
from auditor.correlate.zoning import Row

READS = ("history_watch", "history_baseline")

Values = dict[str, str | None]


class Then:
    """Remembered settings, with the approved ones of a subject in their place."""

    def __init__(self, tables: Tables) -> None:
        self._watch: dict[str, dict[str, Values]] = {}
        for row in tables["history_watch"]:
            self._watch.setdefault(row["table_name"], {}).setdefault(row["key"], {})[row["field"]] = row[
                "value"
            ]
        self._approved: dict[tuple[str, str], list[Row]] = {}
        for row in tables["history_baseline"]:
            self._approved.setdefault((row["subject_table"], row["subject_key"]), []).append(row)

    def keys(self, table: str) -> set[str]:
        """Return the keys of a table that are remembered or approved."""
        return {*self._watch.get(table, ()), *(key for name, key in self._approved if name == table)}

    def row(self, table: str, key: str) -> Values | None:
        """Return the settings of a resource to compare with; None when it is neither remembered nor approved."""
        known = key in self._watch.get(table, ()) or self.approved(table, key)
        return self.other(table, key, table, key) if known else None

    def other(self, table: str, key: str, of: str, other: str) -> Values:
        """Return the settings of a row of a table `of`, as it was when the subject was approved."""
        found = dict(self._watch.get(of, {}).get(other, ()))
        for row in self._approved.get((table, key), ()):
            if (row["table_name"], row["key"]) == (of, other):
                found[row["field"]] = row["value"]
        return found

    def only_approved(self, table: str, key: str, of: str) -> dict[str, Values] | None:
        """Return the rows of a table `of` that were approved with a subject, and no others; None without a baseline."""
        if not self.approved(table, key):
            return None
        found: dict[str, Values] = {}
        for row in self._approved[table, key]:
            if row["table_name"] == of:
                found.setdefault(row["key"], {})[row["field"]] = row["value"]
        return found

    def approved(self, table: str, key: str) -> bool:
        """Say whether anything of a resource is approved."""
        return (table, key) in self._approved

    def remembered(self, table: str) -> Mapping[str, Values]:
        """Return the rows of a table as the scan before saw them."""
        return self._watch.get(table, {})

    def words(self, table: str, key: str, fields: Iterable[str] | None = None) -> str:
        """Name what these fields of a resource are compared with, as in `weaker than in ...`."""
        said: dict[str, set[str]] = {}
        mine = {row["field"]: row for row in self._approved.get((table, key), ()) if row["key"] == key}
        wanted = set(mine if fields is None else fields)
        for name in wanted & set(mine):
            row = mine[name]
            at = row["approved_at"]
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
            said.setdefault(state_of(row["approver"], at), set()).add(name)
        if not said:
            return BEFORE
        if len(said) == 1 and wanted <= set(mine):
            return next(iter(said))
        parts = [f"{state} ({', '.join(sorted(names))})" for state, names in sorted(said.items())]
        return " and ".join([*parts, *(() if wanted <= set(mine) else (f"{BEFORE} (all else)",))])
