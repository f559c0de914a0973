"""A snapshot judged, and judged again with some of its rows behind a gap: what was not seen may only leave things open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from facts_again import Facts, sources_of
from fault_judge import pack

from auditor.canonical import name
from auditor.engines.duckdb import Engine
from auditor.evaluate import evaluate
from auditor.schema import tables as schema_tables
from auditor.snapshot import Snapshot

_PLACE = ("account", "project", "region")


@dataclass(frozen=True)
class Place:
    """The rows of a table in one account or project and region, and how its columns call these."""

    table: str
    columns: tuple[str, ...]
    values: tuple[Any, ...]

    def named(self, *columns: str) -> str:
        """Return what one of some columns holds; `*` when none does."""
        said = dict(zip(self.columns, self.values, strict=True))
        return next((str(said[column]) for column in columns if said.get(column)), "*")


class Hiding:
    """An engine that holds one snapshot judged; what is hidden is judged in a transaction that is taken back."""

    def __init__(self, truth: Snapshot) -> None:
        self.engine = Engine.open(truth, threads=1)
        self.engine.execute("PRAGMA disable_optimizer")  # of a few rows it costs more than it saves
        for view in sorted(self.engine._views):
            self.engine._writable(view)
        self._facts = Facts(self.engine)
        evaluate(self.engine, pack())
        self._truth = self._outcomes()

    def close(self) -> None:
        self.engine.close()

    def places(self) -> Iterator[Place]:
        """Yield, of each source table that has rows, the place that has most of them."""
        for table in schema_tables().values():
            if table.kind != "source" or table.name == "coverage" or not self._example(table.name):
                continue
            columns = tuple(each.name for each in table.columns if each.name in _PLACE)
            listed = ", ".join(map(name, columns)) or "1"
            rows = self.engine.rows(
                f"SELECT {listed}, count(*) AS n FROM {name(table.name)} GROUP BY ALL ORDER BY n DESC, {listed} LIMIT 1"
            )
            for row in rows:
                yield Place(table.name, columns, tuple(row[column] for column in columns))

    def changed(self, place: Place) -> Mapping[tuple[str, str], str]:
        """Return the verdicts, by code and subject, that become another one than unknown with the rows of a place hidden."""
        self.engine.execute("BEGIN TRANSACTION")
        try:
            where = " AND ".join(f"{name(column)} IS NOT DISTINCT FROM ?" for column in place.columns)
            self.engine.execute(f"DELETE FROM {name(place.table)} WHERE {where or 'TRUE'}", place.values)
            self.engine.insert("coverage", [self._gap(place)])
            stale = {place.table, "coverage"}
            self._facts.derive(stale)
            again = [
                rule for rule in pack().rules if rule.table.name in stale or place.table in sources_of(rule)
            ]
            evaluate(self.engine, replace(pack(), rules=tuple(again)))
            now = self._outcomes()
        finally:
            self.engine.execute("ROLLBACK")
        return {
            key: f"{before} -> {now[key]}"
            for key, before in sorted(self._truth.items())
            if key in now and now[key] not in (before, "unknown")
        }

    def _example(self, table: str) -> list[dict[str, Any]]:
        return self.engine.rows(
            "SELECT *, min(from_at) OVER () AS first, max(until_at) OVER () AS last FROM coverage WHERE table_name = ? LIMIT 1",
            [table],
        )

    def _gap(self, place: Place) -> dict[str, Any]:
        (example,) = self._example(place.table)
        first, last = example.pop("first"), example.pop("last")
        return example | {
            "account": place.named("account", "project"), "region": place.named("region"), "resource": "*", "complete": False,
            "reason": "denied", "detail": "hidden", "from_at": first, "until_at": last,
        }  # fmt: skip

    def _outcomes(self) -> dict[tuple[str, str], str]:
        rows = self.engine.rows("SELECT code, subject_key, verdict FROM outcome")
        return {(row["code"], row["subject_key"]): row["verdict"] for row in rows}
