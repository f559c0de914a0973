"""The shipped rules over 20,000 exports: those of the demo, many times over.

Run as `python -m bench.rules FOLDER EXPORTS` in a process of its own; the folder holds a demo.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure

EXPORTS = 20_000
WEEKS = 4


def rules() -> Iterator[Figure]:
    """CPU and memory of judging every subject by every rule."""
    with tempfile.TemporaryDirectory() as folder:
        into = str(Path(folder) / "demo")
        play = [sys.executable, "-m", "auditor", "demo", "--weeks", str(WEEKS), "--into", into]
        subprocess.run(play, check=True, capture_output=True)
        few, many = _child(into, 0), _child(into, EXPORTS)
    what = f"judging {many['exports']:,} exports and all else by {many['rules']} rules, {many['outcomes']:,} outcomes"
    yield Figure(f"{what}, CPU", f"{many['cpu_s']:.1f} s", "", met=True)
    what = f"the same of the demo's {few['exports']} exports, {few['outcomes']:,} outcomes, CPU"
    yield Figure(what, f"{few['cpu_s']:.2f} s", "", met=True)
    yield Figure(
        f"peak memory of judging {many['exports']:,} exports", f"{many['peak_mb']:.0f} MB", "", met=True
    )


def _child(into: str, exports: int) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.rules", into, str(exports)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main(into: str, exports: str) -> None:
    """Derive the facts of the demo's last snapshot, multiply its exports, and judge."""
    import resource

    from auditor.builtin import builtin
    from auditor.correlate import correlate
    from auditor.engines.duckdb import Engine
    from auditor.evaluate import evaluate
    from auditor.rulepack import load
    from auditor.snapshot import Snapshot

    def seconds() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    pack = load([builtin("rules")], [builtin("rules") / "frameworks"])
    manifests = Path(into).glob("state/snapshots/*/manifest.json")
    last = max((Snapshot.open(path.parent) for path in manifests), key=lambda each: each.as_of)
    with Engine.open(last) as engine:
        correlate(engine)
        if int(exports):
            engine.execute(
                f"""CREATE OR REPLACE TABLE export AS
                SELECT * REPLACE (export_id || '-' || n AS export_id) FROM export, range({exports}) AS r(n)
                LIMIT {exports}"""
            )
        before = seconds()
        evaluate(engine, pack)
        cpu = seconds() - before
        counts = {
            name: engine.rows(f"SELECT count(*) AS n FROM {name}")[0]["n"] for name in ("export", "outcome")
        }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {"cpu_s": round(cpu, 2), "peak_mb": round(peak), "rules": len(pack.rules)}
    print(json.dumps(told | {"exports": counts["export"], "outcomes": counts["outcome"]}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
