"""An inventory of five million versions on its way into the snapshot, against a bare scan of the same files.

Run as `python -m bench.inventory make|scan|read FOLDER VERSIONS`, each in a process of its own.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench.figures import Figure

NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)
VERSIONS, FILES = 5_000_000, 5
BUCKET, ACCOUNT, REGION = "exports", "111111111111", "eu-west-1"
LEFT_OUT = tuple(f"team={team}/pipe=7/" for team in range(0, 40, 4))
"""Prefixes that are listed beside the inventory: its rows of these are left out."""
MOST_MB = 700


def inventory() -> Iterator[Figure]:
    """CPU and memory from the files of a delivery to the sealed table."""
    with tempfile.TemporaryDirectory() as folder:
        _child("make", folder)
        bare, ours = _child("scan", folder), _child("read", folder)
    what = f"an inventory of {VERSIONS:,} versions (Parquet, {FILES} files) to the snapshot's table, CPU ({ours['cpu_s']:.1f} s)"
    yield Figure(
        f"{what} against a bare scan of its columns ({bare['cpu_s']:.2f} s)",
        f"{ours['cpu_s'] / bare['cpu_s']:.0f} x",
        "",
        met=True,
    )
    yield Figure(
        f"peak memory of it, {ours['rows']:,.0f} versions kept",
        f"{ours['peak_mb']:.0f} MB",
        f"{MOST_MB} MB",
        met=ours["peak_mb"] <= MOST_MB,
    )


def _child(what: str, folder: str) -> dict[str, float]:
    import subprocess

    command = [sys.executable, "-m", "bench.inventory", what, folder, str(VERSIONS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def make(folder: Path, versions: int) -> None:
    """Write data files as S3 delivers them, in the order of no key."""
    from auditor.canonical import connect, quoted

    each = versions // FILES
    with connect(memory_limit="1GB", spill=folder / "spill") as connection:
        for number in range(FILES):
            connection.execute(
                f"""COPY (SELECT '{BUCKET}' AS bucket,
                  printf('team=%d/pipe=%d/dt=2026-%02d-%02d/part-%08d.parquet', h % 40, h // 40 % 50, i // 500000 % 12 + 1,
                         i // 20000 % 28 + 1, i) AS key,
                  md5(i::VARCHAR) AS version_id, i % 10 <> 0 AS is_latest, i % 50 = 0 AS is_delete_marker,
                  CASE WHEN i % 50 <> 0 THEN (1000000 + h % 1000000)::BIGINT END AS size,
                  (TIMESTAMP '2026-01-01' + to_seconds(i // 2))::TIMESTAMP_MS AS last_modified_date,
                  md5((i + 1)::VARCHAR) AS e_tag, CASE WHEN i % 50 <> 0 THEN 'STANDARD' END AS storage_class,
                  'CRC64NVME' AS checksum_algorithm
                  FROM (SELECT i, (hash(i) % 100000000)::BIGINT AS h FROM range({number * each}, {(number + 1) * each}) AS r(i)))
                TO {quoted(str(folder / f"{number}.parquet"))} (FORMAT parquet, COMPRESSION snappy)"""
            )


def scan(folder: Path) -> int:
    """Read every column of the files, and nothing more."""
    from auditor.canonical import connect, quoted

    listed = ", ".join(quoted(str(folder / f"{number}.parquet")) for number in range(FILES))
    with connect(memory_limit="512MB") as connection:
        row = connection.execute(
            "SELECT count(*), max(hash(bucket)), max(hash(key)), max(hash(version_id)), bool_or(is_latest), "
            "bool_or(is_delete_marker), max(size), max(last_modified_date), max(hash(e_tag)), max(hash(storage_class)), "
            f"max(hash(checksum_algorithm)) FROM read_parquet([{listed}])"
        ).fetchone()
    assert row is not None
    return int(row[0])


def read(folder: Path) -> int:
    """Check and read the files as a scan does, and seal a snapshot of them; returns the rows it has."""
    from auditor.model import Window
    from auditor.snapshot import Writer, head
    from auditor.sources._s3_inventory import Configuration, Delivery, File
    from auditor.sources._s3_inventory_table import Home, written
    from auditor.sources._s3_objects import decoded

    config = Configuration("all", "inventories", "exports/all", "", "All", frozenset(), daily=True)
    files = [folder / f"{number}.parquet" for number in range(FILES)]
    listed = tuple(File(path.name, path.stat().st_size, "") for path in files)
    delivery = Delivery(config, NOW, "Parquet", (), listed)
    with Writer(folder / "snapshots") as writer:
        target = writer.spool / "versions.parquet"
        home = Home(BUCKET, ACCOUNT, REGION)
        written(
            delivery, files, home, target, left_out=LEFT_OUT, decode=decoded, spill=writer.spool / "inventory"
        )
        writer.bulk("s3_object_version", target, source="aws_s3")
        for number in range(1000):  # what was listed beside it
            key = f"{LEFT_OUT[0]}dt=2026-03-01/part-{number:08d}.parquet"
            writer.add("s3_object_version", _version(key))
        snapshot = writer.seal(head(as_of=NOW, window=Window(NOW, NOW)))
    return int(snapshot.manifest["tables"]["s3_object_version"]["rows"])


def _version(key: str) -> dict[str, object]:
    return {
        "bucket": BUCKET, "key": key, "version_id": "v", "account": ACCOUNT, "region": REGION,
        "dir": key[: key.rfind("/") + 1], "last_modified": NOW, "bytes": 1, "etag": "", "storage_class": "STANDARD",
        "checksums": "none", "is_latest": True, "is_delete_marker": False,
    }  # fmt: skip


if __name__ == "__main__":
    step, into, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    before = resource.getrusage(resource.RUSAGE_SELF)
    rows = make(into, count) if step == "make" else scan(into) if step == "scan" else read(into)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"cpu_s": cpu_s, "rows": rows or 0, "peak_mb": after.ru_maxrss / 1024}))
