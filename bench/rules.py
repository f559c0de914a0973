"""The shipped rules: to load them, to judge a small snapshot, and to judge twenty thousand exports among ten thousand others.

Run as `python -m bench.rules WHAT FOLDER` in a process of its own; the folder holds a demo.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.figures import Figure

if TYPE_CHECKING:
    from auditor.rulepack import Pack
    from auditor.snapshot import Snapshot

WEEKS = 4
RUNS = 5
MANY = {
    "export": 20_000,
    "bucket_facts": 1_500,
    "role_facts": 2_500,
    "recovery_point_facts": 4_500,
    "vault_facts": 500,
    "plan_rule_facts": 1_000,
    "object_facts": 5_000,
}
"""Rows of each table, those of the demo over and over; a row of objects is a directory of a thousand."""
RESOURCES = sum(MANY.values()) - MANY["export"] - MANY["object_facts"]
EACH = 1_000


def rules() -> Iterator[Figure]:
    """CPU and memory of loading, of one small judgement, and of a large one."""
    with tempfile.TemporaryDirectory() as folder:
        into = str(Path(folder) / "demo")
        play = [sys.executable, "-m", "auditor", "demo", "--weeks", str(WEEKS), "--into", into]
        subprocess.run(play, check=True, capture_output=True)
        loaded, small, large = (_child(what, into) for what in ("loaded", "small", "large"))
    said = f"{loaded['rules']} rules"
    yield _seconds(f"loading and checking {said} beyond imports, CPU", loaded["load_s"], 1)
    yield _seconds(f"their {loaded['examples']:,} examples besides, CPU", loaded["prove_s"], 2)
    yield _seconds("both where they are known to have proven themselves, CPU", loaded["known_s"], 1)
    what = f"judging the demo's snapshot of week {WEEKS} by {said}, {small['outcomes']:,} outcomes, CPU"
    yield _seconds(what, small["cpu_s"], 1)
    each = small["each_ms"]
    what = f"of that, each of the {small['further']} rules beyond the first {small['first']}"
    yield Figure(what, f"{each:.1f} ms", "4 ms", each < 4)
    objects = MANY["object_facts"] * EACH
    what = (
        f"{said} over {MANY['export']:,} exports, {objects / 1e6:.0f} million objects in cells and "
        f"{RESOURCES:,} resources, {large['outcomes']:,} outcomes"
    )
    yield _seconds(f"{what}, CPU", large["cpu_s"], 4)
    yield Figure(f"peak memory of it ({large['before_mb']:.0f} MB before it began)", f"{large['peak_mb']:.0f} MB",
                 "400 MB", large["peak_mb"] <= 400)  # fmt: skip


def _seconds(what: str, cpu_s: float, limit_s: int) -> Figure:
    return Figure(what, f"{cpu_s:.2f} s", f"{limit_s} s", cpu_s <= limit_s)


def _child(what: str, into: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.rules", what, into]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _cpu(done: Callable[[], object], runs: int = RUNS) -> float:
    """Return the CPU seconds of the cheapest of some runs."""
    import time

    taken = []
    for _ in range(runs):
        before = time.process_time()
        done()
        taken.append(time.process_time() - before)
    return min(taken)


def _shipped(**how: Any) -> Pack:
    from auditor.builtin import builtin
    from auditor.rulepack import load

    return load([builtin("rules")], [builtin("rules") / "frameworks"], **how)


def _last(into: str) -> Snapshot:
    from auditor.snapshot import Snapshot

    manifests = Path(into).glob("state/snapshots/*/manifest.json")
    return max((Snapshot.open(path.parent) for path in manifests), key=lambda each: each.as_of)


def loaded(into: str) -> dict[str, Any]:
    """Load and check the rules without their examples, with them, and where they are known to hold."""
    import duckdb  # noqa: F401
    import sqlglot  # noqa: F401
    import yaml  # noqa: F401

    proofs = Path(into) / "proofs"
    checked = _cpu(lambda: _shipped(prove=False))
    whole = _cpu(_shipped)
    pack = _shipped(proofs=proofs)
    known = _cpu(lambda: _shipped(proofs=proofs))
    examples = sum(len(rule.examples) for rule in pack.rules)
    told = {"rules": len(pack.rules), "examples": examples, "load_s": checked, "known_s": known}
    return told | {"prove_s": whole - checked}


def small(into: str) -> dict[str, Any]:
    """Judge the demo's last snapshot as a scan does, by all rules and by every other one."""
    from auditor.judge import judge

    snapshot, pack = _last(into), _shipped(prove=False)
    fewer = replace(pack, rules=pack.rules[::2])
    with tempfile.TemporaryDirectory() as folder:
        few = _cpu(lambda: judge(snapshot, fewer, into=Path(folder)))
        cpu = _cpu(lambda: judge(snapshot, pack, into=Path(folder)))
        outcomes = sum(judge(snapshot, pack, into=Path(folder)).tally["verdicts"].values())
    further = len(pack.rules) - len(fewer.rules)
    told = {"cpu_s": cpu, "outcomes": outcomes, "first": len(fewer.rules), "further": further}
    return told | {"each_ms": 1000 * (cpu - few) / further}


def large(into: str) -> dict[str, Any]:
    """Derive the facts of the demo's last snapshot, multiply them, and judge with a quarter of the usual memory."""
    import resource

    from auditor.correlate import correlate
    from auditor.engines.duckdb import Engine
    from auditor.evaluate import evaluate
    from auditor.schema import tables

    def peak_mb() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    pack = _shipped(prove=False)
    with Engine.open(_last(into), memory_limit="256MB") as engine:
        correlate(engine)
        for table, rows in MANY.items():
            (key,) = tables()[table].key
            cells = f", {EACH} AS objects_there" if table == "object_facts" else ""
            engine.execute(
                f"""CREATE OR REPLACE TABLE {table} AS
                SELECT * REPLACE ({key} || '-' || n AS {key}{cells}) FROM {table}, range({rows}) AS r(n) LIMIT {rows}"""
            )
        before = peak_mb()
        cpu = _cpu(lambda: evaluate(engine, pack), runs=1)
        outcomes = engine.rows("SELECT count(*) AS n FROM outcome")[0]["n"]
    return {"cpu_s": cpu, "outcomes": outcomes, "before_mb": before, "peak_mb": peak_mb()}


if __name__ == "__main__":
    print(json.dumps({"loaded": loaded, "small": small, "large": large}[sys.argv[1]](sys.argv[2])))
