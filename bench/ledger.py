"""What it costs to take a million outcomes into the ledger: `make` writes two judgements, `record` takes one in.

Counted is what a scan does between its judgement and the end of its transaction: both indexes of what is open hashed
and compared, the outcomes that differ read, what may have moved read from the ledger, drift told, alerts made, all of
it recorded and on disk. The index is a part of judging, made there of the table at hand; made of the file it takes
0.4 s at 5 percent open.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.figures import Figure

if TYPE_CHECKING:
    from auditor.judge import Judgement

OUTCOMES = 1_000_000
CHANGED = 10_000
RULES = 50
AT = datetime(2026, 2, 2, 3, 0, tzinfo=UTC)
_DIGEST = "r" * 64


def ledger() -> Iterator[Figure]:
    """A scan of a million outcomes after one of as many: 10,000 changed, few or many findings open."""
    for share in (5, 20):
        with tempfile.TemporaryDirectory() as folder:
            for n in (1, 2, 3):
                _child("make", folder, str(n), str(share))
            first, changed, quiet = (_child("record", folder, str(n)) for n in (1, 2, 3))
        open_ = f"{first['open']:,} of {OUTCOMES:,} findings open"
        judged = share == 5
        yield Figure(
            f"first recording, {open_}: CPU of diff, drift and record",
            f"{first['cpu_s']:.1f} s",
            "",
            met=True,
        )
        cpu = changed["cpu_s"]
        moved = f"{CHANGED:,} outcomes changed, {changed['drift']:,} of them drift"
        what = f"the next, {moved}, {changed['open']:,} findings open: CPU"
        yield Figure(what, f"{cpu:.2f} s", "2 s" if judged else "", cpu <= 2 or not judged)
        peak = changed["peak_mb"]
        what = f"its peak memory above the interpreter with all imports ({changed['base_mb']:.0f} MB)"
        yield Figure(what, f"{peak:.0f} MB", "150 MB", peak <= 150)
        what = f"the one after, nothing changed, {quiet['open']:,} findings open: CPU"
        yield Figure(what, f"{quiet['cpu_s']:.2f} s", "2 s", quiet["cpu_s"] <= 2)
        what = "reading what the ledger knows before that scan, its chain verified: CPU"
        yield Figure(what, f"{quiet['state_s']:.1f} s", "", met=True)


def _child(*words: str) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.ledger", *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def make(folder: Path, n: int, share: int) -> None:
    """Write the judgement of scan `n` with `share` percent of its outcomes open; after the first 10,000 differ.

    A tenth of the changes is words alone; the others open and end findings.
    """
    from auditor.canonical import connect, quoted
    from auditor.judge import Judgement

    where = folder / "judged" / f"snapshot-{n}-{_DIGEST[:12]}"
    where.mkdir(parents=True)
    path = where / "outcome.parquet"
    every = OUTCOMES // CHANGED
    with connect(memory_limit="1GB", threads=2, spill=folder / "spill") as connection:
        connection.execute(
            f"""COPY (
            WITH numbered AS (
              SELECT n % {RULES} AS r, n // {RULES} AS k, hash(n) % 100 < {share} AS opens,
                {n} > 1 AND n % {every} = 7 AS changed, hash(n + 1) % 10 AS kind, md5(n::VARCHAR) AS m
              FROM range({OUTCOMES}) AS t(n)),
            judged AS (
              SELECT *, CASE WHEN opens <> (changed AND kind > 0) THEN
                CASE WHEN kind % 2 = 0 THEN 'fail' ELSE 'unknown' END ELSE 'pass' END AS v FROM numbered)
            SELECT printf('rule-%03d-of-an-export', r) AS rule, printf('CHN-%03d', r) AS code, 'high' AS severity,
              'export' AS subject_table, printf('%s/s3://exports-%d/daily/run-%05d/', md5(k::VARCHAR), k // 100, k)
              AS subject_key, 'phi' AS zone, '111111111111' AS account, 'data' AS project,
              printf('team-%d@example.com', k % 30) AS owner, '{{"capture_within":43200}}' AS params, v AS verdict,
              '' AS reason, printf('job %s ended 2026-02-%02dT%02d:%02d:00Z; %d of %d objects are in no recovery point',
                m, k % 28 + 1, k % 24, k % 60, k % 997 + (changed AND kind = 0)::INT, 1000 + k % 997) AS because,
              CASE v WHEN 'fail' THEN printf('[{{"name":"captured in time","values":{{"unprotected":%d}}}}]', k % 997)
                ELSE '[]' END AS failed_checks,
              CASE v WHEN 'unknown' THEN '[{{"name":"captured in time","values":{{"lag":null}}}}]' ELSE '[]' END
                AS unknown_checks,
              CASE v WHEN 'unknown' THEN '["backup_recovery_point in 111111111111/eu-west-1: denied"]' ELSE '[]' END
                AS gaps,
              printf('[["dataproc_job","%s"],["backup_recovery_point","arn:aws:backup:eu-west-1:111111111111:'
                || 'recovery-point:%s"]]', md5(k::VARCHAR), m) AS refs
            FROM judged ORDER BY because, code)
            TO {quoted(str(path))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480)"""
        )
    body = {"snapshot": f"snapshot-{n}", "rules": _DIGEST, "digests": {"outcome": "o" * 64}, "tally": {}}
    (where / "judgement.json").write_text(json.dumps(body))
    begun = _cpu_s()
    Judgement.open(where).index()
    print(json.dumps({"index_s": _cpu_s() - begun}))


def record(folder: Path, n: int) -> None:
    """Record scan `n` as a scan does; print what that used."""
    from auditor.alerts import Route
    from auditor.engines.duckdb import Engine
    from auditor.judge import Judgement
    from auditor.ledger import Ledger, RuleNote

    with Engine(threads=1) as engine:
        engine.rows("SELECT 1 AS one")  # what the engine itself takes to start
    notes = {
        f"rule-{r:03}-of-an-export": RuleNote(("soc2/A1.2",), "Add the bucket to a plan.")
        for r in range(RULES)
    }
    judgement = Judgement.open(folder / "judged" / f"snapshot-{n}-{_DIGEST[:12]}")
    with Ledger.open(folder / "ledger.sqlite3") as opened:
        base = _resident_mb()
        begun = _cpu_s()
        drift = _taken_in(opened, judgement, n, notes, [Route("hook", severity="critical")])
        cpu = _cpu_s() - begun
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        begun = _cpu_s()
        opened.state(AT + timedelta(days=n, hours=1), findings=False)
        state = _cpu_s() - begun
        last = opened.judged()
    found = {
        "cpu_s": cpu,
        "base_mb": base,
        "peak_mb": peak - base,
        "open": last.open if last else 0,
        "drift": drift,
        "state_s": state,
    }
    print(json.dumps(found))


def _taken_in(opened: Any, judgement: Judgement, n: int, notes: Any, routes: Any) -> int:
    from auditor.alerts import compose
    from auditor.drift import Present, compare
    from auditor.ledger import ScanRecord
    from auditor.moving import index_digest, what_may_move

    now = AT + timedelta(days=n)
    moving = what_may_move(opened, judgement.dir.parent, judgement, now)
    drift = compare(moving.past, Present(moving.outcomes, judged=notes), now=now)
    alerts = compose(drift, moving.outcomes, (), routes, now=now, rules=notes)
    row = ScanRecord(
        slot=f"day-{n}",
        snapshot_id=judgement.snapshot_id,
        snapshot_dir="",
        rule_digest=_DIGEST,
        config_digest="c" * 64,
        outcome_digest=judgement.digests["outcome"],
        open_index=index_digest(judgement),
        compared_with=moving.compared_with,
        tally={},
        rules=notes,
    )
    opened.record(row, moving.outcomes, drift, alerts=alerts, only=moving.only, at=now)
    return len(drift)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    what, place, *rest = sys.argv[1:]
    {"make": make, "record": record}[what](Path(place), *map(int, rest))
