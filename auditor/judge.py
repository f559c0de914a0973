"""A snapshot, judged: from its tables alone to facts and outcomes. No ledger, no configuration file, no clock.

    <into>/<snapshot id>-<rule digest>/facts/<table>.parquet   what was derived
                                       outcome.parquet         what the rules say
                                       judgement.json          digests of both, counts, and the gaps in words

The same snapshot and the same rules give the same digests on any machine: this is what a replay compares.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.model import LINKS, Outcome, Ref, State, Verdict

if TYPE_CHECKING:
    from auditor.engines.duckdb import Engine
    from auditor.rulepack import Pack
    from auditor.schema import Type
    from auditor.snapshot import Snapshot

FACTS = ("export", "session_match", "orphan_session", "unattributed_object", "protection", "outcome")
"""Tables that are kept beside a snapshot: what people ask for after a scan."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was derived and judged of one snapshot."""

    dir: Path
    snapshot_id: str
    rule_digest: str
    digests: Mapping[str, str]
    """Digest of each kept table, as `canonical.py` defines it."""
    tally: Mapping[str, Any]
    """Counts: `verdicts`, `chains`, `links` by state, `gaps` of this scan; whole numbers."""
    gaps: Sequence[Mapping[str, Any]] = ()
    """What could not be seen: {table, account, region, resource, reason, detail}; read without a database engine."""

    @classmethod
    def open(cls, directory: Path) -> Judgement:
        """Open a judgement that was made before."""
        found = json.loads((directory / "judgement.json").read_text(encoding="utf-8"))
        return cls(
            directory,
            found["snapshot"],
            found["rules"],
            found["digests"],
            found["tally"],
            found.get("gaps", ()),
        )

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a kept table in their order, times aware and JSON decoded."""
        from auditor.engines.duckdb import Engine

        with Engine() as engine:
            engine.attach(table, self.dir / f"{table}.parquet")
            yield from engine.table(table)

    def outcomes(self) -> Iterator[Outcome]:
        """Yield every outcome, in the order of code, rule and subject."""
        return (outcome_of(row) for row in self.rows("outcome"))

    def moving(self, standing: Iterable[tuple[str, str, str]]) -> Iterator[Outcome]:
        """Yield the outcomes that open, keep or end findings: all that fail or cannot be told, and those of `standing`.

        `standing` are (rule, subject table, subject key) of open findings. What passes and passed stays on disk.
        """
        from auditor.engines.duckdb import Engine

        columns: dict[str, Type] = {"rule": "TEXT", "subject_table": "TEXT", "subject_key": "TEXT"}
        with Engine() as engine:
            engine.attach("every_outcome", self.dir / "outcome.parquet")
            keys = ({"rule": r, "subject_table": t, "subject_key": k} for r, t, k in sorted(set(standing)))
            engine.insert("standing", keys, columns=columns)
            engine.run(
                "outcome",
                "SELECT * FROM every_outcome o WHERE verdict IN ('fail', 'unknown') OR EXISTS (SELECT 1 FROM standing s "
                "WHERE s.rule = o.rule AND s.subject_table = o.subject_table AND s.subject_key = o.subject_key)",
            )
            yield from map(outcome_of, engine.table("outcome"))


def judge(snapshot: Snapshot, pack: Pack, *, into: Path, memory_mb: int = 1024) -> Judgement:
    """Correlate and evaluate a joined snapshot; a judgement that is there already is made again and replaced."""
    from auditor.correlate import correlate
    from auditor.engines.duckdb import Engine
    from auditor.evaluate import evaluate

    into.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".partial-", dir=into))
    try:
        with Engine.open(snapshot, memory_limit=f"{memory_mb}MB") as engine:
            correlate(engine)
            evaluate(engine, pack)
            for table in FACTS:
                engine.export(table, work / f"{table}.parquet")
            digests = {table: engine.digest(table) for table in FACTS}
            tally = _tally(engine)
            gaps = engine.rows(_GAPS)
        body = {
            "snapshot": snapshot.id,
            "rules": pack.digest,
            "digests": digests,
            "tally": tally,
            "gaps": gaps,
        }
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        (work / "judgement.json").write_text(text + "\n", encoding="utf-8")
        final = into / f"{snapshot.id}-{pack.digest[:12]}"
        shutil.rmtree(final, ignore_errors=True)
        work.replace(final)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Judgement(final, snapshot.id, pack.digest, digests, tally, gaps)


_GAPS = (
    'SELECT DISTINCT table_name AS "table", account, region, resource, reason, detail FROM coverage '
    "WHERE NOT complete ORDER BY ALL"
)


def _tally(engine: Engine) -> dict[str, Any]:
    verdicts: Counter[str] = Counter(dict.fromkeys(map(str, Verdict), 0))
    not_due = 0
    severities: dict[str, dict[str, int]] = {}
    for row in engine.rows(
        "SELECT verdict, reason, severity, count(*) AS n FROM outcome GROUP BY ALL ORDER BY ALL"
    ):
        verdicts[row["verdict"]] += row["n"]
        not_due += row["n"] if row["reason"] == "not_due" else 0
        by = severities.setdefault(row["severity"], {})
        by[row["verdict"]] = by.get(row["verdict"], 0) + row["n"]
    chains: Counter[str] = Counter(dict.fromkeys(map(str, State), 0))
    for row in engine.rows("SELECT state, count(*) AS n FROM export GROUP BY state ORDER BY state"):
        chains[row["state"]] = row["n"]
    links: dict[str, dict[str, int]] = {}
    for link in LINKS:
        rows = engine.rows(f"SELECT {link}_state AS state, count(*) AS n FROM export GROUP BY 1 ORDER BY 1")
        links[link] = {row["state"]: row["n"] for row in rows}
    # A gap of an earlier time is carried and judged, but it is not this scan's; what the estate does not record is
    # the estate's to switch on, and a rule's to tell.
    gaps = engine.rows(
        "SELECT count(*) AS n FROM coverage, as_of WHERE NOT complete AND reason <> 'not_enabled' "
        "AND observed_at = as_of.as_of"
    )[0]["n"]
    return {
        "verdicts": dict(verdicts),
        "not_due": not_due,
        "severities": severities,
        "chains": dict(chains),
        "links": links,
        "gaps": gaps,
    }


def outcome_of(row: Mapping[str, Any]) -> Outcome:
    """Return a row of the table `outcome` as the noun."""
    return Outcome(
        rule=row["rule"],
        code=row["code"],
        subject_table=row["subject_table"],
        subject_key=row["subject_key"],
        verdict=Verdict(row["verdict"]),
        severity=row["severity"],
        because=row["because"] or "",
        reason=row["reason"] or "",
        zone=row["zone"],
        account=row["account"],
        project=row["project"],
        owner=row["owner"],
        params=row["params"] or {},
        failed_checks=tuple(row["failed_checks"] or ()),
        unknown_checks=tuple(row["unknown_checks"] or ()),
        gaps=tuple(row["gaps"] or ()),
        refs=tuple(Ref(table, key) for table, key in row["refs"] or ()),
    )
