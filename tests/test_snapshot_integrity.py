"""A snapshot keeps what it was given, whole or not at all, and shows every change."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from auditor.canonical import LONGEST, canonical, cut, safe_text, stamp
from auditor.engines.duckdb import Engine
from auditor.errors import VerificationError
from auditor.model import Window
from auditor.snapshot import Snapshot, Writer, head, sweep, write

NOW = datetime(2026, 1, 5, 6, tzinfo=UTC)
WINDOW = Window(NOW - timedelta(days=7), NOW)
HOSTILE = (
    "".join(map(chr, range(0x20)))
    + '\x7f"\\/é\u2028\u202e<b>=1+1\U0001f600\ufffe\ufdd0\x1b[31m\r\n'
    + "\ud800x\udfff"
    + r"\u000B \u0000"
)


def vaults(count: int = 5) -> list[dict[str, object]]:
    return [
        {
            "arn": f"arn:{index}",
            "name": f"v{index}",
            "account": "111111111111",
            "region": "eu-west-1",
            "locked": index % 2 == 0,
            "points": index,
            "created_at": NOW - timedelta(hours=index),
        }
        for index in range(count)
    ]


def kept(into: Path, **tables: list[dict[str, object]]) -> Snapshot:
    return write(into, tables, as_of=NOW, window=WINDOW)


def test_hostile_text_survives_the_way_to_disk_and_back(tmp_path: Path) -> None:
    rows = [{"arn": "a", "bucket": HOSTILE, "tags": {HOSTILE: [HOSTILE]}, "policy": "x" * 10}]
    snapshot = kept(tmp_path, s3_bucket=rows)
    snapshot.verify()
    (row,) = snapshot.rows("s3_bucket")
    safe = safe_text(HOSTILE)
    assert row["bucket"] == safe
    assert row["tags"] == {safe: [safe]}
    assert "\0" not in safe
    assert "\\u0000" in safe
    assert "\\ud800x\\udfff" in safe
    assert safe.encode()


def test_digest_is_what_the_standard_library_computes_from_the_jsonl(tmp_path: Path) -> None:
    rows = [{"arn": f"a{i}{HOSTILE}", "bucket": HOSTILE, "tags": {"k": i}} for i in range(50)]
    snapshot = kept(tmp_path, s3_bucket=rows)
    with Engine.open(snapshot) as engine:
        engine.jsonl("s3_bucket", tmp_path / "s3_bucket.jsonl")
    lines = (tmp_path / "s3_bucket.jsonl").read_bytes().decode().split("\n")[:-1]
    again = [
        json.dumps(json.loads(line), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        for line in lines
    ]
    assert again == lines == sorted(lines)
    digest = hashlib.sha256("".join(line + "\n" for line in again).encode()).hexdigest()
    assert digest == snapshot.manifest["tables"]["s3_bucket"]["digest"]


def test_integers_at_the_bounds_of_64_bits_survive_and_beyond_are_refused(tmp_path: Path) -> None:
    rows = [{"arn": "a", "points": 2**63 - 1}, {"arn": "b", "points": -(2**63)}]
    found = list(kept(tmp_path, backup_vault=rows).rows("backup_vault"))
    assert [row["points"] for row in found] == [2**63 - 1, -(2**63)]
    for beyond in (2**63, -(2**63) - 1):
        with pytest.raises(ValueError, match=r"backup_vault\.points"):
            kept(tmp_path, backup_vault=[{"arn": "a", "points": beyond}])


@pytest.mark.parametrize(
    "row",
    [
        {"arn": 1},
        {"arn": "a", "locked": "yes"},
        {"arn": "a", "points": True},
        {"arn": "a", "points": 1.5},
        {"arn": "a", "created_at": NOW.replace(tzinfo=None)},
        {"arn": "a", "no_such_column": 1},
    ],
)
def test_a_value_of_the_wrong_type_is_refused(tmp_path: Path, row: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"backup_vault|time zone"):
        kept(tmp_path, backup_vault=[row])


def test_times_are_utc_to_the_microsecond(tmp_path: Path) -> None:
    at = datetime(2026, 3, 29, 2, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    snapshot = kept(tmp_path, backup_vault=[{"arn": "a", "created_at": at}])
    (row,) = snapshot.rows("backup_vault")
    assert row["created_at"] == at
    assert row["created_at"].tzinfo is UTC
    assert stamp(at) == "2026-03-29T00:30:00.123456Z"


def test_long_text_is_cut_and_says_so(tmp_path: Path) -> None:
    long = "ä" * LONGEST
    (row,) = kept(tmp_path, s3_bucket=[{"arn": "a", "policy": long, "tags": {"k": long}}]).rows("s3_bucket")
    digest = hashlib.sha256(long.encode()).hexdigest()
    assert row["policy"].endswith(f" …[cut: {2 * LONGEST} bytes, sha256 {digest}]")
    assert row["tags"]["k"] == row["policy"] == cut(long)
    assert LONGEST - 4 < len(row["policy"].encode()) <= LONGEST
    assert cut(row["policy"]) == row["policy"]


def test_row_order_and_thread_timing_never_change_the_id(tmp_path: Path) -> None:
    rows = vaults(200)
    rows += [dict(row, name="other") for row in rows[:20]]
    first = kept(tmp_path / "a", backup_vault=rows)
    shuffled = rows[:]
    random.Random(7).shuffle(shuffled)
    with Writer(tmp_path / "b") as writer:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda row: writer.add("backup_vault", row), shuffled))
        second = writer.seal(head(as_of=NOW, window=WINDOW))
    assert first.id == second.id
    assert first.manifest["tables"]["backup_vault"]["rows"] == 200
    parquet = [each.tables("backup_vault") for each in (first, second)]
    assert parquet[0] is not None
    assert parquet[1] is not None
    assert parquet[0].read_bytes() == parquet[1].read_bytes()


def test_one_changed_byte_in_a_table_is_found_and_the_table_named(tmp_path: Path) -> None:
    snapshot = kept(tmp_path, backup_vault=vaults(), s3_bucket=[{"arn": "a"}])
    path = snapshot.tables("backup_vault")
    assert path is not None
    whole = path.read_bytes()
    for at in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(VerificationError, match="table backup_vault has changed"):
            snapshot.verify()
    path.write_bytes(whole)
    snapshot.verify()


def test_a_changed_value_is_found_and_the_table_named(tmp_path: Path) -> None:
    snapshot = kept(tmp_path / "a", backup_vault=vaults())
    forged = vaults()
    forged[3]["points"] = 4
    path, other = (
        each.tables("backup_vault") for each in (snapshot, kept(tmp_path / "b", backup_vault=forged))
    )
    assert path is not None
    assert other is not None
    path.write_bytes(other.read_bytes())
    for sums in (False, True):  # the second time the forger thought of the sums as well
        if sums:
            theirs = next((tmp_path / "b").glob("*/SHA256SUMS"))
            (snapshot.dir / "SHA256SUMS").write_bytes(theirs.read_bytes())
        with pytest.raises(VerificationError, match="table backup_vault has changed"):
            snapshot.verify()


def test_a_missing_or_an_added_table_is_found(tmp_path: Path) -> None:
    snapshot = kept(tmp_path, backup_vault=vaults())
    path = snapshot.tables("backup_vault")
    assert path is not None
    added = path.with_name("iam_role.parquet")
    added.write_bytes(path.read_bytes())
    with pytest.raises(VerificationError, match=r"iam_role\.parquet is not in the manifest"):
        snapshot.verify()
    added.unlink()
    path.unlink()
    with pytest.raises(VerificationError, match="table backup_vault has changed"):
        snapshot.verify()


def test_a_changed_manifest_is_not_opened(tmp_path: Path) -> None:
    snapshot = kept(tmp_path, backup_vault=vaults())
    manifest = snapshot.dir / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"rows":5', b'"rows":4'))
    with pytest.raises(VerificationError, match=r"manifest\.json has changed"):
        Snapshot.open(snapshot.dir)


def test_joining_adds_tables_under_a_new_id_and_ends_the_draft(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer:
        writer.add("backup_vault", vaults()[0])
        draft = writer.seal(head(as_of=NOW, window=WINDOW), draft=True)
    assert draft.dir.name.startswith(".draft-")
    joined = draft.joined({"as_of": [{"as_of": NOW, "slot": "2026-W02"}]})
    assert [path.name for path in tmp_path.iterdir()] == [joined.id]
    assert joined.id != draft.id
    joined.verify()
    assert [row["slot"] for row in joined.rows("as_of")] == ["2026-W02"]
    assert len(list(joined.rows("backup_vault"))) == 1
    assert joined.as_of == NOW
    assert joined.window == WINDOW
    assert joined.joined({"as_of": [{"as_of": NOW, "slot": "2026-W02"}]}).id == joined.id


def test_the_same_evidence_twice_is_one_snapshot(tmp_path: Path) -> None:
    first, second = (kept(tmp_path, backup_vault=vaults()) for _ in range(2))
    assert first == second
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("moment", ["first row", "one table", "manifest", "synced"])
def test_a_kill_during_the_write_leaves_no_snapshot(tmp_path: Path, moment: str) -> None:
    script = f"""
import os, signal
from datetime import UTC, datetime
from pathlib import Path
import auditor.snapshot as snapshot
from auditor.model import Window

def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)

moment = {moment!r}
if moment == "one table": snapshot.digest_of_blocks = die
if moment == "manifest": snapshot._publish = die
if moment == "synced": Path.rename = die
if moment == "first row":
    add = snapshot.Writer.add
    def added(self, *args, **more): add(self, *args, **more); die()
    snapshot.Writer.add = added
now = datetime(2026, 1, 5, tzinfo=UTC)
snapshot.write(Path({str(tmp_path)!r}), {{"backup_vault": [{{"arn": "a"}}]}}, as_of=now,
               window=Window(now, now))
"""
    done = subprocess.run([sys.executable, "-c", script], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".partial-")]
    with pytest.raises(VerificationError):
        Snapshot.open(next(tmp_path.iterdir()))
    identity = kept(tmp_path, backup_vault=[{"arn": "a"}]).id
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [identity]


def test_canonical_json_refuses_what_is_not_json() -> None:
    for value in (float("nan"), {1, 2}, object()):
        with pytest.raises((ValueError, TypeError)):
            canonical(value)


def test_a_table_that_stays_as_it_was_is_the_same_file_and_verifies(tmp_path: Path) -> None:
    first = kept(tmp_path / "a", backup_vault=vaults(), s3_bucket=[{"arn": "b", "bucket": "b"}])
    again = kept(tmp_path / "b", backup_vault=vaults(), s3_bucket=[{"arn": "b", "bucket": "c"}])
    for snapshot in (first, again):
        snapshot.verify()
    old, new = (Path(str(each.tables("backup_vault"))) for each in (first, again))
    assert old.read_bytes() == new.read_bytes()
    assert old.stat().st_ino != new.stat().st_ino  # a change of one is no change of the other
    assert [row["bucket"] for each in (first, again) for row in each.rows("s3_bucket")] == ["b", "c"]


def test_tables_that_share_rows_and_not_columns_are_not_taken_for_each_other(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"arn": "a", "name": "n", "account": "1"}]
    snapshot = kept(tmp_path, iam_role=rows, iam_user=rows)
    again = kept(tmp_path / "again", iam_user=rows, iam_role=rows)
    assert snapshot.id == again.id
    again.verify()
    assert {*next(iter(again.rows("iam_role")))} != {*next(iter(again.rows("iam_user")))}


def test_a_table_that_was_read_and_then_replaced_is_read_again(tmp_path: Path) -> None:
    snapshot = kept(tmp_path / "a", backup_vault=vaults(2))
    other = kept(tmp_path / "b", backup_vault=vaults(3))
    assert len(list(snapshot.rows("backup_vault"))) == 2
    Path(str(other.tables("backup_vault"))).replace(Path(str(snapshot.tables("backup_vault"))))
    assert len(list(snapshot.rows("backup_vault"))) == 3
    assert list(other.rows("backup_vault")) == []


def test_what_a_reader_does_to_a_row_the_next_reader_does_not_see(tmp_path: Path) -> None:
    snapshot = kept(tmp_path, s3_bucket=[{"arn": "b", "bucket": "b", "tags": {"data-zone": ["phi"]}}])
    for _ in range(2):
        (row,) = snapshot.rows("s3_bucket")
        assert row["tags"] == {"data-zone": ["phi"]}
        row["tags"]["data-zone"].append("public")
        row["bucket"] = "other"


def test_only_the_columns_asked_for_are_read_of_carried_rows_and_the_newest_row_wins(tmp_path: Path) -> None:
    before = kept(tmp_path / "a", sts_session=[{"session_key": "1", "role_arn": "old"}, {"session_key": "2"}])
    with Writer(tmp_path / "b") as writer:
        writer.carry("sts_session", Path(str(before.tables("sts_session"))))
        writer.add("sts_session", {"session_key": "1", "role_arn": "new"})
        found = {row["session_key"]: row for row in writer.rows("sts_session", ("role_arn",))}
        whole = {row["session_key"]: row for row in writer.rows("sts_session")}
    assert {key: row["role_arn"] for key, row in found.items()} == {"1": "new", "2": None}
    assert found["1"] == whole["1"]
    assert set(found["2"]) < set(whole["2"])


def test_a_table_larger_than_what_is_remembered_is_read_whole_each_time(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"arn": f"a{n:02}", "policy": str(n) * 60_000} for n in range(10, 40)]
    snapshot = kept(tmp_path, s3_bucket=rows)
    for _ in range(2):
        found = snapshot.rows("s3_bucket")
        assert next(found)["arn"] == "a10"
        assert [row["policy"][:2] for row in found] == [str(n) for n in range(11, 40)]
    assert [row["arn"] for row in snapshot.rows("s3_bucket")] == [row["arn"] for row in rows]
