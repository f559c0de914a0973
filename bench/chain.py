"""The whole chain of a generated estate against a bare scan of the columns it reads, and as others would write it.

`python -m bench chain` measures S and M, `make bench-large` L as well. Run as `python -m bench.chain WHAT FOLDER`, each
in a process of its own: `make`, `scan`, `chain`, `pandas`, `polars`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.estates import ESTATES, Estate, make
from bench.figures import Figure
from bench.growth import plotted

if TYPE_CHECKING:
    from auditor.engines.duckdb import Engine

COLUMNS = ("bucket", "key", "version_id", "account", "region", "dir", "last_modified", "bytes", "storage_class",
           "checksums", "is_latest", "is_delete_marker")  # fmt: skip
"""What the steps read of a version."""
FIRST, LAST = "10", "42"
"""The steps of the chain."""
GROWS = ("20", "21", "22", "23", "24", "25", "26", "28", "29", "30", "42")
"""Those of them that read versions, or what was grouped of them."""
ENGINE_MB = {"S": 256, "M": 450, "L": 2500}
"""What the engine is given: the rest of the limit is Python's, which holds the exports."""
LIMITS = {"S": (None, None), "M": (8, 700), "L": (9, 3000)}
"""Times the scan, and MB."""


def chain() -> Iterator[Figure]:
    """CPU and memory of the chain over S and M, and the same by pandas and Polars."""
    yield from _of(ESTATES["S"], ("pandas", "polars"))
    yield from _of(ESTATES["M"], ("pandas", "polars"))


def chain_large() -> Iterator[Figure]:
    """CPU and memory of the chain over L, and how it grows from S to L."""
    growth: list[tuple[Estate, dict[str, Any]]] = []
    for estate in ESTATES.values():
        with ready(estate) as folder:
            measured = _child("chain", folder, estate)
            growth.append((estate, measured))
            if estate.name == "L":
                yield from _figures(estate, _child("scan", folder, estate), measured)
    Path(__file__).with_name("growth.svg").write_text(plotted(growth), encoding="utf-8")
    large = growth[-1]
    for part, name in (("steps that grow with versions", "grows_s"), ("the whole chain", "cpu_s")):
        for smaller in growth[:-1]:
            ratio = (large[1][name] / large[0].objects) / (smaller[1][name] / smaller[0].objects)
            yield Figure(
                f"CPU of a version at L against {smaller[0].name}, {part}", f"{ratio:.2f} x", "", met=True
            )


@contextmanager
def ready(estate: Estate) -> Iterator[str]:
    """Give the folder of an estate: below the one that AUDITOR_BENCH_ESTATES names if it is there, else made and removed.

    To make L takes longer than to measure it.
    """
    kept = Path(os.environ.get("AUDITOR_BENCH_ESTATES") or os.devnull) / estate.name
    if kept.is_dir():
        yield str(kept)
        return
    with tempfile.TemporaryDirectory() as folder:
        _child("make", folder, estate)
        yield folder


def _of(estate: Estate, others: tuple[str, ...]) -> Iterator[Figure]:
    with ready(estate) as folder:
        ours = _child("chain", folder, estate)
        yield from _figures(estate, _child("scan", folder, estate), ours)
        for other in others:
            theirs = _child(other, folder, estate)
            same = theirs["totals"] == ours["totals"]
            yield Figure(
                f"{estate.name}: attribution, first point, copy and session in {other}, the same attribution: "
                f"{'yes' if same else 'NO'}",
                f"{theirs['cpu_s']:.1f} s, {theirs['peak_mb']:.0f} MB", "", met=same,
            )  # fmt: skip


def _figures(estate: Estate, bare: dict[str, Any], ours: dict[str, Any]) -> Iterator[Figure]:
    times, most = LIMITS[estate.name]
    what = f"{estate.name}: {estate.jobs:,} exports, {estate.objects:,} versions"
    for part, cpu in (
        ("what grows with versions", ours["grows_s"]),
        ("the whole chain, seven links of every export judged and said", ours["cpu_s"]),
    ):
        ratio = cpu / bare["cpu_s"]
        yield Figure(
            f"{what}, {part}: CPU ({cpu:.1f} s) against a bare scan ({bare['cpu_s']:.2f} s)",
            f"{ratio:.1f} x",
            f"{times} x" if times else "",
            met=times is None or ratio <= times,
        )
    limit = f"{most} MB" if most else ""
    met = most is None or ours["peak_mb"] <= most
    yield Figure(f"{estate.name}: peak memory of the chain", f"{ours['peak_mb']:.0f} MB", limit, met=met)


def _child(what: str, folder: str, estate: Estate) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.chain", what, folder, estate.name]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def opened(folder: Path, estate: Estate, engine: Engine | None = None) -> Engine:
    """Return an engine, a new one unless one is given, with the tables of an estate: versions as files, the rest in memory."""
    from auditor.engines.duckdb import Engine

    engine = engine or Engine.open(None, memory_limit=f"{ENGINE_MB[estate.name]}MB")
    for path in sorted(folder.iterdir()):
        if path.suffix == ".parquet":
            engine.execute(f"INSERT INTO {path.stem} BY NAME SELECT * FROM read_parquet('{path}')")
    engine.execute("DROP TABLE s3_object_version")
    engine.attach("s3_object_version", folder / "s3_object_version" / "*.parquet")
    return engine


def _scan(folder: Path, estate: Estate, cpu: Callable[[], float]) -> dict[str, Any]:
    with opened(folder, estate) as engine:
        before = cpu()
        # An aggregate of each, so that none is left out and none is kept.
        engine.rows(f"SELECT {', '.join(f'max({column})' for column in COLUMNS)} FROM s3_object_version")
        return {"cpu_s": cpu() - before}


def _chain(folder: Path, estate: Estate, cpu: Callable[[], float]) -> dict[str, Any]:
    from auditor import correlate

    grows = 0.0
    with opened(folder, estate) as engine:
        before = cpu()

        def timed(step: correlate.Step, run: Callable[[], None]) -> None:
            nonlocal grows
            begun = cpu()
            run()
            if step.name[:2] in GROWS:
                grows += cpu() - begun

        correlate.correlate(engine, until=LAST, around=timed)
        used = cpu() - before
        (totals,) = engine.rows(
            "SELECT count(*)::BIGINT AS exports, sum(objects)::BIGINT AS objects, sum(bytes)::BIGINT AS bytes, "
            "sum(epoch_us(last_part_at))::VARCHAR AS last FROM export_write WHERE objects > 0"
        )
        return {"cpu_s": used, "grows_s": grows, "totals": totals}


def _theirs(module: str) -> Callable[[Path, Estate, Callable[[], float]], dict[str, Any]]:
    def run(folder: Path, _estate: Estate, cpu: Callable[[], float]) -> dict[str, Any]:
        from importlib import import_module

        script = import_module(f"bench.chain_{module}")
        before = cpu()
        totals = script.totals(folder)
        return {"cpu_s": cpu() - before, "totals": totals}

    return run


def main(what: str, folder: str, name: str) -> None:
    """Do one part and print what it used."""
    import resource

    def cpu() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    estate = ESTATES[name]
    if what == "make":
        make(Path(folder), estate)
        print("{}")
        return
    parts = {"scan": _scan, "chain": _chain, "pandas": _theirs("pandas"), "polars": _theirs("polars")}
    found = parts[what](Path(folder), estate, cpu)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found | {"peak_mb": round(peak)}))


if __name__ == "__main__":
    main(*sys.argv[1:4])
