"""A snapshot, judged: from its tables alone to facts and outcomes. No ledger, no configuration file, no clock.

    <into>/<snapshot id>-<rule digest>/facts/<table>.parquet   what was derived
                                       outcome.parquet         what the rules say
                                       open.parquet            what of it is open, in few bytes
                                       judgement.json          digests of both, counts, and the gaps in words

The same snapshot and the same rules give the same digests on any machine: this is what a replay compares.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.canonical import quoted
from auditor.model import LINKS, Outcome, Ref, State, Verdict
from auditor.spool import CHANGES, spooled

if TYPE_CHECKING:
    from auditor.config_engine import Engine as Settings
    from auditor.engines.duckdb import Engine
    from auditor.rulepack import Pack
    from auditor.snapshot import Snapshot

FACTS = (
    "export",
    "session_match",
    "orphan_session",
    "unattributed_object",
    "protection",
    "access",
    "offboarding",
    "audit_entry_facts",
    "outcome",
)
"""Tables that are kept beside a snapshot: what people ask for after a scan."""


Key = tuple[str, str, str]
"""Rule, subject table and subject key: what a finding is known by."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What differs between two judgements, as far as findings go."""

    keys: Collection[Key]
    """Every finding that may move: where an open outcome came, went or differs, and what was not judged before."""
    outcomes: Collection[Outcome]
    """All that the later one says of these, and every outcome that stands for subjects nobody could list."""
    stood: int
    """Findings that the earlier one says are open."""


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

    @classmethod
    def beside(cls, folder: Path, snapshot_id: str, rule_digest: str) -> Judgement | None:
        """Open what was judged of a snapshot by a rule set; None when it is not kept any more, or not whole."""
        directory = folder / f"{snapshot_id}-{rule_digest[:12]}"
        if not all((directory / name).is_file() for name in ("judgement.json", "outcome.parquet")):
            return None
        return cls.open(directory)

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a kept table in their order, times aware and JSON decoded."""
        from auditor.engines.duckdb import Engine

        with Engine() as engine:
            engine.attach(table, self.dir / f"{table}.parquet")
            yield from engine.each(table)

    def outcomes(self) -> Iterator[Outcome]:
        """Yield every outcome, in the order of code, rule and subject."""
        return (outcome_of(row) for row in self.rows("outcome"))

    def index(self) -> Path:
        """Return the file of what is open in few bytes: key, verdict, digest of the words; made when it is not there."""
        path = self.dir / _INDEX
        if not path.exists():
            import duckdb

            part = self.dir / f".partial-{_INDEX}"
            *fewer, most = _INDEXING
            for memory in fewer:
                try:
                    self._index(part, memory)
                    break
                except duckdb.OutOfMemoryException:
                    part.unlink(missing_ok=True)
            else:
                self._index(part, most)
            part.replace(path)
        return path

    def _index(self, path: Path, memory: str) -> None:
        from auditor.engines.duckdb import Engine

        with Engine(memory_limit=memory, threads=1) as engine:
            engine.attach("outcome", self.dir / "outcome.parquet")
            engine.execute(_indexing(path))

    def changed(self, before: Path, unjudged: Iterable[Key]) -> Changed:
        """Return what a finding may move by since the judgement whose `index` is `before`.

        `unjudged` are keys of open findings that the earlier one said nothing of. What both say alike stays on disk.
        """
        from auditor.engines.duckdb import Engine

        with Engine(memory_limit=_ASKING, threads=1) as engine:
            engine.attach("was", before)
            engine.attach("now", self.index())
            outcomes = quoted(str(self.dir / "outcome.parquet"))
            numbered = f"SELECT * FROM read_parquet({outcomes}, file_row_number = TRUE)"
            engine.execute(f"CREATE VIEW judged AS {numbered}")
            engine.attach("outcome", self.dir / "outcome.parquet")
            (found,) = engine.rows(f"SELECT count(*) AS stood FROM (SELECT DISTINCT {_KEYED} FROM was)")
            engine.insert("unjudged", map(_columns, unjudged), columns=dict.fromkeys(_KEY, "TEXT"))
            engine.run("moved", _MOVED)
            engine.run("places", _PLACES)
            rows = engine.stream(f"SELECT {_KEYED} FROM moved ORDER BY {_KEYED}")
            keys = spooled(map(_key_of, rows), held=CHANGES)
            listed = engine.each("outcome", _TOLD)
            return Changed(keys, spooled(map(outcome_of, listed), held=CHANGES), found["stood"])

    def moving(self, standing: Iterable[tuple[str, str, str]]) -> Iterator[Outcome]:
        """Yield the outcomes that open, keep or end findings: all that fail or cannot be told, and those of `standing`.

        `standing` are (rule, subject table, subject key) of open findings. What passes and passed stays on disk.
        """
        from auditor.engines.duckdb import Engine

        with Engine(memory_limit=_ASKING, threads=1) as engine:
            engine.attach("outcome", self.dir / "outcome.parquet")
            keys = ({"mark": _mark(*key)} for key in standing)
            engine.insert("standing", keys, columns={"mark": "INT"})
            mark = (
                "CAST(md5_number_lower(concat_ws(chr(31), rule, subject_table, subject_key)) >> 1 AS BIGINT)"
            )
            moving = (
                "SELECT * FROM outcome WHERE verdict IN ('fail', 'unknown') "
                f"OR {mark} IN (SELECT mark FROM standing)"
            )
            yield from map(outcome_of, engine.each("outcome", moving))


_INDEX = "open.parquet"
_KEY = ("rule", "subject_table", "subject_key")
_KEYED = ", ".join(_KEY)
_IS_OPEN = "(verdict IN ('fail', 'unknown'))"
_SAID = (
    "code", "zone", "account", "project", "owner", "params", "reason", "because", "failed_checks",
    "unknown_checks", "gaps", "refs",
)  # fmt: skip
# Verdict and severity are compared as they are; of the words 128 bits are, for they need not fit into memory.
_SAME = f"md5(concat_ws(chr(31), {', '.join(f'coalesce({name}, chr(30))' for name in _SAID)}))"
_MOVED = f"""
    SELECT DISTINCT {_KEYED} FROM (
      SELECT {_KEYED} FROM was FULL JOIN now USING ({_KEYED})
      WHERE was.verdict IS NULL OR now.verdict IS NULL OR was.verdict <> now.verdict
        OR was.severity IS DISTINCT FROM now.severity OR was.said <> now.said
        OR (now.verdict = 'unknown' AND starts_with(now.subject_key, '*'))
      UNION ALL SELECT {_KEYED} FROM unjudged)"""
_PLACES = f"SELECT file_row_number AS place FROM judged SEMI JOIN moved USING ({_KEYED})"
_TOLD = f"""
    SELECT * EXCLUDE (file_row_number) FROM judged WHERE file_row_number IN (SELECT place FROM places)
    ORDER BY {_KEYED}, code"""


def _indexing(path: Path) -> str:
    """Return the statement that writes the index of the table `outcome`: the same rows, the same bytes."""
    return (
        f"COPY (SELECT {_KEYED}, verdict, severity, unhex({_SAME}) AS said FROM outcome WHERE {_IS_OPEN} ORDER BY ALL) "
        f"TO {quoted(str(path))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480)"
    )


def _columns(key: Key) -> dict[str, str]:
    return dict(zip(_KEY, key, strict=True))


def _key_of(row: Mapping[str, Any]) -> Key:
    return row["rule"], row["subject_table"], row["subject_key"]


def _mark(rule: str, subject_table: str, subject_key: str) -> int:
    """Return 63 bits that stand for a finding; two that share them only bring one outcome too many."""
    text = "\x1f".join((rule, subject_table, subject_key))
    return int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[8:], "little") >> 1


_INDEXING = ("48MB", "256MB", "1GB")
"""What the engine may hold while it sorts what is open, the next where that does not do: the rest is put aside."""
_ASKING = "96MB"
"""What the engine may hold while it looks through what was judged."""


def judge(
    snapshot: Snapshot,
    pack: Pack,
    *,
    into: Path,
    memory_mb: int = 1024,
    spill_mb: int = 0,
    engine: Settings | None = None,
) -> Judgement:
    """Correlate and evaluate a joined snapshot; a judgement that is there already is made again and replaced.

    The engine begins with little memory and is given more, up to `memory_mb`, where that does not do; `spill_mb`
    is the most it may put aside on disk, 0: no limit. `engine` says
    where the steps run, here when it is None; EngineError when it names a cluster that cannot be used.
    """
    import duckdb

    into.mkdir(parents=True, exist_ok=True)
    if engine is not None and engine.name != "duckdb":
        return _judged(snapshot, pack, into, memory_mb, spill_mb, engine)  # what is large is not here
    *fewer, most = _rungs(snapshot, memory_mb)
    planned = not _is_few(snapshot)
    for held_mb in fewer:
        try:
            return _judged(snapshot, pack, into, held_mb, spill_mb, planned=planned)
        except duckdb.OutOfMemoryException:
            planned = True
    return _judged(snapshot, pack, into, most, spill_mb)


_SMALL_MB, _MEDIUM_MB = 64, 256
_SMALL_BYTES, _MEDIUM_BYTES = 24_000_000, 64_000_000
_TINY_MB, _TINY_BYTES = 80, 500_000
"""What is tiny leaves room: little is spilled that the next step reads back, which was a seventh of judging it."""


def _rungs(snapshot: Snapshot, memory_mb: int) -> list[int]:
    """Return how much memory to try, in MB: by the size of the evidence, then more, then all that is allowed."""
    size = sum(path.stat().st_size for path in (snapshot.dir / "tables").iterdir())
    small = _TINY_MB if size <= _TINY_BYTES else _SMALL_MB
    first = (small, _SMALL_BYTES), (_MEDIUM_MB, _MEDIUM_BYTES)
    return [*(mb for mb, largest in first if mb < memory_mb and size <= largest), memory_mb]


_FEW_ROWS = 6_000
"""Up to so many rows of evidence no better plan is looked for than what is written: to look takes a fifth of judging them.

Every join of the steps says what it joins on, so that as written none is larger than its answer.
"""


_FEW_OUTCOMES = 8_192
"""With more of them all that only led to them goes before they are written: fewer are not worth the statements."""


def _is_few(snapshot: Snapshot) -> bool:
    rows: int = sum(entry["rows"] for entry in snapshot.manifest["tables"].values())
    return rows <= _FEW_ROWS


def _judged(
    snapshot: Snapshot,
    pack: Pack,
    into: Path,
    held_mb: int,
    spill_mb: int,
    settings: Settings | None = None,
    *,
    planned: bool = True,
) -> Judgement:
    import duckdb

    from auditor.correlate import correlate
    from auditor.engines import opened
    from auditor.evaluate import evaluate

    work = Path(tempfile.mkdtemp(prefix=".partial-", dir=into))
    threads = 1 if held_mb < _MEDIUM_MB else 2
    try:
        with opened(
            settings,
            snapshot,
            memory_limit=f"{held_mb}MB",
            threads=threads,
            spill_mb=spill_mb,
            planned=planned,
        ) as engine:
            correlate(engine)
            evaluate(engine, pack)
            # A plan writes other bytes of Parquet for the same rows, and the ledger knows the index by its digest.
            engine.execute("PRAGMA enable_optimizer")
            try:
                engine.execute(_indexing(work / _INDEX))
            except (
                duckdb.OutOfMemoryException
            ):  # of all that was judged it is made below, where nothing else is held
                (work / _INDEX).unlink(missing_ok=True)
            tally = _tally(engine)
            gaps = engine.rows(_GAPS)
            if sum(tally["verdicts"].values()) > _FEW_OUTCOMES:
                engine.keep_only(FACTS)
            digests = {table: engine.export(table, work / f"{table}.parquet", last=True) for table in FACTS}
        Judgement(work, snapshot.id, pack.digest, digests, tally, gaps).index()
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
