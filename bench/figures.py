"""Each figure of bench/README.md: what is measured, its limit, and how."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from bench.clients import SETTINGS, used
from bench.cloud import PLANS, REGIONS, SELECTIONS, VAULTS, served

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number beside its limit."""

    what: str
    value: str
    limit: str
    met: bool


def _cpu(*command: str, cwd: Path = ROOT) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop(
        "PYTHONDONTWRITEBYTECODE", None
    )  # an installed program is compiled once, not at each start
    subprocess.run(
        command, check=True, cwd=cwd, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _least(runs: int, *command: str, cwd: Path = ROOT) -> float:
    return min(_cpu(*command, cwd=cwd) for _ in range(runs))


def start() -> Iterator[Figure]:
    """Start-up against the bare interpreter, least of nine runs each; `status` of a ledger that holds a scan."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder) / "demo"
        _cpu(sys.executable, "-m", "auditor", "demo", "--weeks", "1", "--into", str(here))
        bare = _least(9, sys.executable, "-c", "pass", cwd=here)
        for words in (["--help"], ["status"]):
            ratio = _least(9, sys.executable, "-m", "auditor", *words, cwd=here) / bare
            yield Figure(
                f"`auditor {words[0]}` against `python -c pass`, CPU", f"{ratio:.1f} x", "12 x", ratio <= 12
            )


def fewest(roles: int, buckets: int, points: int) -> int:
    """Return the fewest calls that fetch the facts of the seeded account; bench/README.md says why each."""
    iam = ceil((roles) / 1000) + ceil(roles / 1000) + 3  # providers of two kinds, and the second count
    s3 = 1 + 1 + 1 + len(SETTINGS) * buckets + len(REGIONS) * ceil(buckets / len(REGIONS) / 100)
    per_region = 1 + 1 + 3 + 1 + 2 + 1
    backup = (
        len(REGIONS) * per_region
        + 2 * PLANS
        + SELECTIONS
        + 2 * VAULTS
        + VAULTS * ceil(points / VAULTS / 1000)
    )
    cloudtrail = (
        len(REGIONS) * 2
    )  # DescribeTrails, and one LookupEvents a region, for no trail is there to read
    kms = 2 * len(
        REGIONS
    )  # DescribeKey of S3's own key and of AWS Backup's, which all buckets and vaults name
    return iam + s3 + backup + cloudtrail + kms


def collect() -> Iterator[Figure]:
    """Calls and CPU of collecting one account, against the fewest calls and a bare client that makes them."""
    size = (2000, 300, 20000)
    with served(*size) as there:
        there.calls()
        ours = used("collected", there.endpoint)
        calls = sum(there.calls().values())
        bare = used("bare", there.endpoint)
        theirs = sum(there.calls().values())
    least = fewest(*size)
    what = f"API calls of a full AWS scan ({calls}) against the fewest ({least})"
    yield Figure(what, f"{calls / least:.3f} x", "1.1 x", calls <= 1.1 * least)
    ratio = ours["cpu_s"] / bare["cpu_s"]
    what = f"CPU of `collect` ({ours['cpu_s']} s) against bare boto3 ({bare['cpu_s']} s, {theirs} calls)"
    yield Figure(what, f"{ratio:.2f} x", "2 x", ratio <= 2)


def memory() -> Iterator[Figure]:
    """Peak memory of a whole scan, over roles and over recovery points."""
    peaks = {}
    for size in ((200, 30, 1000), (2000, 30, 1000), (200, 30, 100_000)):
        with served(*size) as there:
            peaks[size] = used("scanned", there.endpoint)["peak_mb"]
    for (roles, _, points), peak in peaks.items():
        what = f"peak memory of a scan at {roles:,} roles, {points:,} recovery points"
        yield Figure(what, f"{peak:.0f} MB", "250 MB", peak < 250)


def demo() -> Iterator[Figure]:
    """CPU of the demo after installation, and the size of its report."""
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "demo"
        _cpu(sys.executable, "-m", "auditor", "demo", "--weeks", "1", "--into", str(Path(folder) / "first"))
        cpu = _cpu(sys.executable, "-m", "auditor", "demo", "--into", str(into))
        report = next((into / "reports").glob("*.html")).stat().st_size
    yield Figure("CPU of `auditor demo`, twelve weeks", f"{cpu:.1f} s", "30 s", cpu <= 30)
    yield Figure("size of its report", f"{report / 1e6:.2f} MB", "2 MB", report <= 2_000_000)


FIGURES: dict[str, Callable[[], Iterator[Figure]]] = {
    "start": start,
    "collect": collect,
    "memory": memory,
    "demo": demo,
}
