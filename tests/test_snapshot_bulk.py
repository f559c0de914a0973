"""A table that comes as files becomes one file of the snapshot: one row a key, and every change of it is noticed."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bundle_world import as_file, packed, unpacked, world

from auditor import bundle, verify
from auditor.canonical import connect
from auditor.errors import VerificationError
from auditor.model import Window
from auditor.snapshot import Snapshot, Writer, head

NOW = datetime(2026, 1, 5, 6, tzinfo=UTC)
HEAD = head(as_of=NOW, window=Window(NOW - timedelta(days=7), NOW))
TABLE = "s3_object_version"


def version(key: str, version_id: str = "v1", **more: Any) -> dict[str, Any]:
    return {
        "bucket": "b",
        "key": key,
        "version_id": version_id,
        "account": "111111111111",
        "region": "eu-west-1",
        "dir": "",
        "last_modified": NOW,
        "bytes": 1,
        "is_latest": True,
        "is_delete_marker": False,
    } | more


def sealed(into: Path, *parts: list[dict[str, Any]], rows: list[dict[str, Any]] | None = None) -> Snapshot:
    with Writer(into / "snapshots") as writer:
        for number, part in enumerate(parts):
            writer.bulk(TABLE, as_file(TABLE, part, into / f"part-{number}"), source="aws_s3")
        for row in rows or ():
            writer.add(TABLE, row, source="aws_s3")
        return writer.seal(HEAD)


def told(snapshot: Snapshot) -> list[tuple[str, str, int]]:
    return sorted((row["key"], row["version_id"], row["bytes"]) for row in snapshot.rows(TABLE))


def test_files_and_rows_become_one_table_whose_digest_is_that_of_its_file(tmp_path: Path) -> None:
    snapshot = sealed(tmp_path, [version("a"), version("b")], [version("c")], rows=[version("d")])
    assert told(snapshot) == [(key, "v1", 1) for key in "abcd"]
    path = snapshot.tables(TABLE)
    assert path is not None
    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    entry = {"rows": 4, "digest": f"parquet:{sha}", "sha256": sha, "sources": ["aws_s3"]}
    assert snapshot.manifest["tables"][TABLE] == entry
    snapshot.verify()


def test_a_table_of_rows_keeps_the_digest_it_always_had(tmp_path: Path) -> None:
    entry = sealed(tmp_path, rows=[version("a")]).manifest["tables"][TABLE]
    assert "sha256" not in entry
    assert len(entry["digest"]) == 64


def test_a_row_that_a_listing_took_replaces_the_one_in_bulk(tmp_path: Path) -> None:
    snapshot = sealed(tmp_path, [version("a"), version("b")], rows=[version("a", bytes=7)])
    assert told(snapshot) == [("a", "v1", 7), ("b", "v1", 1)]


def test_a_row_that_came_twice_is_there_once_the_same_in_any_order(tmp_path: Path) -> None:
    parts = {"2": version("a", bytes=2), "3": version("a", bytes=3), "b": version("b")}
    orders = sorted(set(itertools.permutations("233b")))
    found = [
        told(sealed(tmp_path / str(n), *([parts[part]] for part in order))) for n, order in enumerate(orders)
    ]
    assert len(found) == 12
    assert all(each == [("a", "v1", 3), ("b", "v1", 1)] for each in found)


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    part = [version(f"k{n}") for n in range(500)]
    assert (
        sealed(tmp_path / "a", part, rows=[version("x")]).id
        == sealed(tmp_path / "b", part, rows=[version("x")]).id
    )


def test_a_file_that_lacks_a_column_or_a_key_is_refused(tmp_path: Path) -> None:
    lacks, keyless = tmp_path / "lacks.parquet", tmp_path / "keyless.parquet"
    whole = as_file(TABLE, [version("a")], tmp_path / "whole")
    with connect() as connection:
        connection.execute(f"COPY (SELECT * EXCLUDE (etag) FROM '{whole}') TO '{lacks}' (FORMAT parquet)")
        connection.execute(
            f"COPY (SELECT * REPLACE (NULL::VARCHAR AS key) FROM '{whole}') TO '{keyless}' (FORMAT parquet)"
        )
    (tmp_path / "torn.parquet").write_bytes(whole.read_bytes()[:-9])
    with Writer(tmp_path / "snapshots") as writer:
        for path, why in (
            (lacks, "etag"),
            (keyless, "without a key"),
            (tmp_path / "torn.parquet", "cannot be read"),
        ):
            with pytest.raises(ValueError, match=why):
                writer.bulk(TABLE, path)
        assert writer.seal(HEAD).manifest["tables"][TABLE]["rows"] == 0


def test_a_changed_byte_in_a_bulk_table_is_found(tmp_path: Path) -> None:
    snapshot = sealed(tmp_path, [version("a")])
    path = snapshot.tables(TABLE)
    assert path is not None
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    sums = snapshot.dir / "SHA256SUMS"
    sums.write_text(f"{hashlib.sha256(content).hexdigest()}  tables/{TABLE}.parquet\n")
    with pytest.raises(VerificationError, match=f"table {TABLE} has changed"):
        snapshot.verify()


def test_carried_events_that_came_in_bulk_stay_and_newer_ones_join_them(tmp_path: Path) -> None:
    def event(name: str, code: str = "") -> dict[str, Any]:
        return {"event_id": name, "account": "1", "region": "r", "at": NOW, "error_code": code}

    with Writer(tmp_path / "one") as writer:
        writer.bulk("s3_data_event", as_file("s3_data_event", [event("a"), event("b")], tmp_path / "part"))
        first = writer.seal(HEAD)
    assert first.bulk("s3_data_event")
    with Writer(tmp_path / "two") as writer:
        path = first.tables("s3_data_event")
        assert path is not None
        writer.carry("s3_data_event", path, bulk=True)
        writer.add("s3_data_event", event("b", "AccessDenied"))
        writer.add("s3_data_event", event("c"))
        assert [row["event_id"] for row in writer.rows("s3_data_event")] == ["b", "c", "a"]
        second = writer.seal(HEAD)
    second.verify()
    assert {(row["event_id"], row["error_code"]) for row in second.rows("s3_data_event")} == {
        ("a", ""),
        ("b", "AccessDenied"),
        ("c", ""),
    }


def test_a_bundle_holds_a_bulk_table_as_its_file_and_is_judged_again_from_it(tmp_path: Path) -> None:
    made = world(tmp_path / "world", bulk=[TABLE])
    path = made.made(tmp_path / "bundles")
    root, files = unpacked(path)
    (name, *_) = [each for each in files if each.endswith(f"{TABLE}.parquet")]
    assert not any(each.endswith(f"{TABLE}.jsonl") for each in files)
    assert verify.verify(path, pinned=[made.pin]).exit_code == 0
    assert bundle.replay(path, into=tmp_path / "replay").equal
    changed = tmp_path / "changed.zip"
    changed.write_bytes(packed(root, files | {name: files[name][:-1] + b"!"}))
    assert verify.verify(changed, pinned=[made.pin]).exit_code == 5


def test_a_bulk_table_swapped_with_every_list_made_to_fit_is_still_noticed(tmp_path: Path) -> None:
    from bundle_world import resealed

    made = world(tmp_path / "world", bulk=[TABLE])
    root, files = unpacked(made.made(tmp_path / "bundles"))
    (name, *_) = [each for each in files if each.endswith(f"{TABLE}.parquet")]
    other = as_file(TABLE, [version("forged")], tmp_path / "forged").read_bytes()
    changed = tmp_path / "changed.zip"
    changed.write_bytes(packed(root, resealed(files | {name: other}, made.key)))
    result = verify.verify(changed, pinned=[made.pin])
    assert result.exit_code == 5
    assert "is not the table that was scanned" in json.dumps([check.said for check in result.checks])
    shutil.rmtree(tmp_path / "world")


def test_a_population_in_bulk_that_vanished_is_noticed_as_one_of_rows_is(tmp_path: Path) -> None:
    from auditor.coverage import Observed, suspicious
    from auditor.model import Seen

    before = sealed(tmp_path, [version(f"k{number}") for number in range(30)])
    seen = [Observed("aws_s3", Seen(TABLE, "111111111111", "eu-west-1"), NOW)]
    (found,) = suspicious(before, {}, seen, lambda _table: [], NOW)
    assert (found.what.account, found.what.region) == ("111111111111", "eu-west-1")
    assert "30 rows in the scan before, 0 now" in getattr(found.what, "detail", "")
    counts = {(TABLE, "111111111111", "eu-west-1"): 29}
    assert suspicious(before, counts, seen, lambda _table: [], NOW) == []
