"""The hash chain: whatever is edited, deleted or added behind the ledger's back is found."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner
from ledger_case import day, outcome, scan
from test_ledger_survival import FIXTURES

from auditor.cli._root import cli
from auditor.drift import Present, compare
from auditor.errors import UsageError, VerificationError
from auditor.ledger import (
    Alert,
    BucketMemory,
    Check,
    ExportMemory,
    Ledger,
    Memories,
    chain,
)
from auditor.ledger.matters import Told
from auditor.watch.values import Watched

BOUND = (
    "entry",
    "scan",
    "finding",
    "drift",
    "waiver",
    "sign_off",
    "export_memory",
    "outbox",
    "wording",
    "silence",
    "acknowledgement",
    "bucket_memory",
    "watch_memory",
)
"""Tables whose every row an entry of the chain vouches for."""


@pytest.fixture(scope="module")
def ledger_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chain") / "ledger"
    with Ledger.open(path) as ledger:
        for n, words in enumerate(["fail", "unknown", "fail", "pass", "fail", "fail"], start=1):
            outcomes = [outcome(words), outcome("fail", "arn:aws:s3:::c", because=f"day {n}")]
            drift = compare(ledger.state(day(n)).past, Present(outcomes), now=day(n))
            due = day(n + 1)
            export = ExportMemory(f"b/p/#{n}", "phi", due, "proven", "point", final=n == 2)
            watch = [
                Watched("s3_bucket", "b", name, "on", "1", "r")
                for name in ("versioning", "policy")[: n % 2 + 1]
            ]
            memories = Memories(exports=[export], buckets=[BucketMemory("b", "Enabled", True)], watch=watch)
            alerts = [Alert(f"msg_{n}", "hook", "opened", ("k",), {"n": n})]
            ledger.record(scan(n), outcomes, drift, memories, alerts, at=day(n))
        waived = {"reason": "agreed", "requester": "ann", "approver": "bob", "now": day(6)}
        ledger.waive(**waived, expires_at=day(9), rule="versioning-*", subject="*")  # type: ignore[arg-type]
        second = ledger.waive(**waived, expires_at=day(8), rule="*", subject="x")  # type: ignore[arg-type]
        ledger.revoke_waiver(second.waiver_id, by="bob", reason="done", now=day(7))
        ledger.sign("weekly", "2026-W07", by="ann", now=day(7), decision="reviewed", details={"sha256": "d"})
        ledger.silence(rule="x", reason="work", by="ann", until=day(9), now=day(7))
        ended = ledger.silence(resource="x*", reason="work", by="ann", until=day(9), now=day(7))
        ledger.end_silence(ended.silence_id, by="bob", reason="done", now=day(8))
        ledger.acknowledge(
            "msg_6",
            reason="on it",
            by="ann",
            now=day(8),
            told=lambda channel, _: Alert("msg_a", channel, "test", (), {}),
        )
        ledger.begin("lost", "elsewhere/1/1", 60, day(8), expected=[("never", day(7))])
        ledger.begin("day-9", "elsewhere/2/1", 60, day(9))
        assert ledger.verify().because == ""
        ledger._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def unguarded(path: Path) -> sqlite3.Connection:
    conn = sqlite3.connect(path, isolation_level=None)
    for (name,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        conn.execute(f"DROP TRIGGER {name}")
    conn.execute("PRAGMA ignore_check_constraints = ON")
    return conn


def check(path: Path) -> Check:
    with Ledger.open(path) as ledger:
        return ledger.verify()


def columns(path: Path) -> list[tuple[str, str]]:
    conn = sqlite3.connect(path)
    try:
        return [
            (table, name)
            for table in BOUND
            for (name,) in conn.execute("SELECT name FROM pragma_table_info(?)", (table,))
        ]
    finally:
        conn.close()


FREE = {
    ("outbox", name)
    for name in (
        "state",
        "attempts",
        "next_at",
        "lease_until",
        "last_error",
        "delivered_at",
    )
}
"""Columns that change without an entry: delivery."""


def test_every_single_edited_value_is_found(ledger_file: Path, tmp_path: Path) -> None:
    conn = unguarded(shutil.copy(ledger_file, tmp_path / "edited"))
    missed = []
    for table, column in columns(ledger_file):
        if (table, column) in FREE:
            continue
        (kind,) = conn.execute(
            "SELECT type FROM pragma_table_info(?) WHERE name = ?", (table, column)
        ).fetchone()
        new = f"coalesce({column}, 0) + 1000" if kind == "INTEGER" else f"coalesce({column}, '') || ' '"
        order = f"(SELECT min(rowid) FROM {table})"
        where = (
            f"rowid = {order}"
            if table not in {"finding", "drift", "wording", "export_memory", "bucket_memory", "watch_memory"}
            else (f"({column} IS NOT NULL) = (SELECT max({column} IS NOT NULL) FROM {table})")
        )
        conn.execute("BEGIN")
        conn.execute(f"UPDATE {table} SET {column} = {new} WHERE {where}")
        assert conn.execute("SELECT changes()").fetchone()[0]
        if chain.verify(conn).intact:
            missed.append((table, column))
        conn.execute("ROLLBACK")
    conn.close()
    assert missed == []


def test_the_outcome_of_a_settled_export_cannot_be_edited(ledger_file: Path, tmp_path: Path) -> None:
    path = shutil.copy(ledger_file, tmp_path / "edited")
    conn = unguarded(path)
    conn.execute("UPDATE export_memory SET proving_point = 'x' WHERE final_scan IS NOT NULL")
    conn.close()
    assert "settled exports" in check(path).because


def test_every_table_is_bound_or_is_named_here_as_what_only_works(ledger_file: Path) -> None:
    works = {"alerting", "channel_off", "heartbeat", "holding", "leader", "lease", "notice", "slot", "token"}
    conn = sqlite3.connect(ledger_file)
    tables = {name for (name,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    bound = {*BOUND, "baseline", *chain.remembered._TABLES}
    assert {name for name in tables if not name.startswith("sqlite_")} == bound | works
    for table, columns in chain.remembered._TABLES.items():
        assert [*columns] == [
            name for (name,) in conn.execute("SELECT name FROM pragma_table_info(?)", (table,))
        ]
    conn.close()


@pytest.mark.parametrize("table", ["wording", "watch_memory"])
def test_what_was_altered_before_a_scan_is_said_for_good_by_the_entry_of_the_scan_that_built_on_it(
    ledger_file: Path, tmp_path: Path, table: str
) -> None:
    path = Path(shutil.copy(ledger_file, tmp_path / "edited"))
    conn = unguarded(path)
    conn.execute(f"UPDATE {table} SET {'because' if table == 'wording' else 'value'} = 'all is well'")
    conn.close()
    with Ledger.open(path) as ledger:
        assert table in ledger.verify().because
        ledger.record(scan(10), [], only=[], at=day(10))
        ledger.record(scan(11), [], only=[], at=day(11))
        built, later = ledger.entries(kind="scan")[-2:]
        assert "altered" in built.body and "altered" not in later.body
        assert (ledger.verify().seq, "a scan was built on it" in ledger.verify().because) == (built.seq, True)


def test_a_matter_that_a_route_is_said_to_have_heard_of_and_was_never_told_is_found(
    ledger_file: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(ledger_file, tmp_path / "edited"))
    conn = unguarded(path)
    conn.execute(
        "INSERT INTO alerting (channel, dedup_key, since) VALUES ('hook', 'never', '2026-02-03T00:00:00.000000Z')"
    )
    conn.close()
    assert "hook was never told of the matter never" in check(path).because


@pytest.mark.parametrize("table", BOUND)
def test_a_deleted_row_is_found(ledger_file: Path, tmp_path: Path, table: str) -> None:
    path = shutil.copy(ledger_file, tmp_path / "edited")
    conn = unguarded(path)
    (first,) = conn.execute(f"SELECT name FROM pragma_table_info('{table}') ORDER BY cid").fetchone()
    conn.execute(f"DELETE FROM {table} WHERE {first} = (SELECT {first} FROM {table} LIMIT 1)")
    conn.close()
    assert not check(path).intact


def test_an_edited_finding_names_the_scan_that_recorded_it(ledger_file: Path, tmp_path: Path) -> None:
    path = shutil.copy(ledger_file, tmp_path / "edited")
    conn = unguarded(path)
    conn.execute("UPDATE finding SET severity = 'low' WHERE since_scan = 3")
    conn.close()
    found = check(path)
    assert found.seq == 3
    assert found.because.startswith("entry 3: the findings opened by scan scan-")


def test_the_first_bad_entry_is_the_one_named(ledger_file: Path, tmp_path: Path) -> None:
    path = shutil.copy(ledger_file, tmp_path / "edited")
    conn = unguarded(path)
    conn.execute("UPDATE entry SET body = replace(body, 'day-4', 'day-5') WHERE seq >= 4")
    conn.close()
    found = check(path)
    assert (found.intact, found.seq) == (False, 4)


def test_a_tail_cut_off_with_its_rows_is_found_by_a_receipt_kept_outside(
    ledger_file: Path, tmp_path: Path
) -> None:
    path = shutil.copy(ledger_file, tmp_path / "cut")
    with Ledger.open(path) as ledger:
        head = ledger.head()[1]
        assert ledger.verify(expect_head=head).intact
    conn = unguarded(path)
    for table in ("silence", "acknowledgement"):
        conn.execute(f"DELETE FROM {table}")
    conn.execute("DELETE FROM outbox WHERE scan IS NULL")
    conn.execute("DELETE FROM scan WHERE state <> 'finished'")
    conn.execute("DELETE FROM entry WHERE seq > (SELECT max(seq) FROM entry WHERE kind = 'sign_off')")
    conn.close()
    with Ledger.open(path) as ledger:
        assert ledger.verify().intact  # from inside it cannot be told
        assert "receipted" in ledger.verify(expect_head=head).because


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET kind = 'x'",
        "DELETE FROM entry",
        "INSERT OR REPLACE INTO entry SELECT seq, 'x', at, body, prev, hash FROM entry",
        "INSERT INTO entry VALUES (999, 'x', 'x', '{}', 'x', 'x')",
        "UPDATE scan SET tally = '{}'",
        "DELETE FROM scan",
        "DELETE FROM finding",
        "UPDATE finding SET because = 'x'",
        "UPDATE finding SET closed_at = NULL WHERE until_scan IS NOT NULL",
        "UPDATE drift SET actor = 'x'",
        "DELETE FROM drift",
        "UPDATE waiver SET expires_at = '2999'",
        "UPDATE waiver SET revoked_at = NULL WHERE revoked_at IS NOT NULL",
        "DELETE FROM waiver",
        "UPDATE export_memory SET capture_due_at = '2999'",
        "DELETE FROM sign_off",
        "DELETE FROM silence",
        "UPDATE silence SET until = '2999'",
        "UPDATE silence SET ended_at = NULL WHERE ended_at IS NOT NULL",
        "DELETE FROM acknowledgement",
        "UPDATE acknowledgement SET at = '2999'",
        "DELETE FROM outbox",
        "UPDATE outbox SET body = '{}'",
        "UPDATE outbox SET scan = NULL WHERE scan IS NOT NULL",
        (
            "REPLACE INTO outbox (alert_id, channel, event, keys, body, created_at, state, next_at) "
            "SELECT alert_id, channel, event, keys, '{}', created_at, state, next_at FROM outbox"
        ),
    ],
)
def test_accidents_are_stopped(ledger_file: Path, tmp_path: Path, statement: str) -> None:
    path = shutil.copy(ledger_file, tmp_path / "ledger")
    with Ledger.open(path) as ledger:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            ledger._conn.execute(statement)
        assert ledger.verify().intact


def test_a_broken_chain_is_told_to_the_rules(ledger_file: Path, tmp_path: Path) -> None:
    path = shutil.copy(ledger_file, tmp_path / "edited")
    conn = unguarded(path)
    conn.execute("UPDATE sign_off SET signer = 'eve'")
    conn.close()
    with Ledger.open(path) as ledger:
        (row,) = ledger.state(day(20)).tables["history_ledger"]
    assert row["intact"] is False
    assert "sign_off was changed in signer" in row["because"]


def test_ten_thousand_matters_are_acknowledged_by_one_entry_and_none_of_them_can_be_altered(
    tmp_path: Path,
) -> None:
    keys = tuple(f"k{n:05d}" for n in range(10_000))
    with Ledger.open(tmp_path / "ledger") as ledger:
        ledger.record(scan(1), [], alerts=[Alert("msg_1", "hook", "opened", keys, {"n": 1})], at=day(1))
        before, _ = ledger.head()
        done = ledger.acknowledge(
            "msg_1",
            reason="on it",
            by="ann",
            now=day(2),
            told=lambda channel, named: Alert("msg_a", channel, "test", (), {"n": len(named)}),
        )
        assert len(done) == 10_000
        assert [entry.kind for entry in ledger.entries(before + 1)] == ["acknowledgements", "posted"]
        assert {each.dedup_key for each in ledger.acknowledgements()} == set(keys)
        assert ledger.verify().because == ""
        ledger._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    spoilt = (
        "DELETE FROM acknowledgement WHERE dedup_key = 'k00007'",
        "UPDATE acknowledgement SET dedup_key = 'k77777' WHERE dedup_key = 'k00007'",
        "UPDATE acknowledgement SET author = 'bob' WHERE dedup_key = 'k00007'",
        "INSERT INTO acknowledgement SELECT ack_id || '0', 'k99999', resource, reason, author, at FROM acknowledgement LIMIT 1",
        "UPDATE acknowledgement SET ack_id = 'ACK-000000000000-' || substr(ack_id, 18)",
    )
    for statement in spoilt:
        path = shutil.copy(tmp_path / "ledger", tmp_path / "edited")
        conn = unguarded(path)
        assert conn.execute(statement).rowcount
        conn.close()
        assert "acknowledgement" in check(path).because


@pytest.fixture(scope="module")
def posted_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One message of a scan, and after it a test, a digest, a dead letter told elsewhere and an answer to an ack."""
    path = tmp_path_factory.mktemp("posted") / "ledger"
    with Ledger.open(path) as ledger:
        ledger.record(scan(1), [], alerts=[Alert("msg_1", "hook", "opened", ("k",), {"n": 1})], at=day(1))
        ledger.post([Alert("msg_test", "hook", "test", (), {"n": 2})], day(2))
        assert ledger.digest_alerts(
            Alert("msg_digest", "hook", "digest", ("k",), {}), ["msg_1", "msg_test"], day(3)
        )
        ledger.lease_alerts(day(4), lease_s=60, limit=9, channels=["hook"])
        instead = [Alert("msg_dead", "other", "undeliverable", (), {"n": 4})]
        ledger.alert_dead("msg_digest", "410", now=day(4), instead=instead)
        ledger.acknowledge(
            "msg_1", reason="on it", by="ann", now=day(5),
            told=lambda channel, _: Alert("msg_ack", channel, "acknowledged", ("k",), {}),
        )  # fmt: skip
        assert ledger.verify().because == ""
        ledger._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


POSTINGS = ("msg_test", "msg_digest", "msg_dead", "msg_ack")


def test_every_posting_is_one_entry_and_what_has_nothing_to_say_is_none(
    posted_file: Path, tmp_path: Path
) -> None:
    with Ledger.open(shutil.copy(posted_file, tmp_path / "ledger")) as ledger:
        posted = ledger.entries(kind="posted")
        assert [list(entry.body["messages"]) for entry in posted] == [[each] for each in POSTINGS]
        assert [entry.at for entry in posted] == [day(2), day(3), day(4), day(5)]
        before = ledger.head()
        ledger.post([], day(6))
        ledger.tell_due(lambda _: Told(notices=["silence/x"]), day(6))
        ledger.alert_failed("msg_dead", day(7), "503")
        ledger.replay_alert("msg_digest", day(8))  # how it is sent is no evidence
        assert ledger.head() == before
        assert ledger.verify().because == ""


@pytest.mark.parametrize("message", POSTINGS)
def test_a_message_that_no_scan_wrote_cannot_be_changed_or_removed_unseen(
    posted_file: Path, tmp_path: Path, message: str
) -> None:
    conn = unguarded(shutil.copy(posted_file, tmp_path / "edited"))
    at = 2 + POSTINGS.index(message) + (message == "msg_ack")
    spoilt = {
        **{
            f"UPDATE outbox SET {name} = {name} || ' '": f"entry {at}: message {message} is not what was posted"
            for name in ("channel", "event", "keys", "body", "created_at")
        },
        "DELETE FROM outbox": f"entry {at}: message {message} that was posted is missing",
        "UPDATE outbox SET alert_id = 'msg_other'": "message msg_other has no entry in the chain",
        "UPDATE outbox SET scan = 1": "the alerts written by scan",
        "UPDATE outbox SET scan = 7": "rows of a scan 7 that is not in the chain",
    }
    for statement, words in spoilt.items():
        conn.execute("BEGIN")
        assert conn.execute(f"{statement} WHERE alert_id = ?", (message,)).rowcount == 1
        assert not chain.verify(conn).intact, statement
        assert any(words in told for _, told in chain._troubles(conn, "")), statement
        conn.execute("ROLLBACK")
    conn.close()


def test_a_message_that_nobody_posted_is_seen(posted_file: Path, tmp_path: Path) -> None:
    path = shutil.copy(posted_file, tmp_path / "edited")
    conn = sqlite3.connect(path, isolation_level=None)
    columns = "channel, event, keys, body, created_at, state, next_at"
    conn.execute(f"INSERT INTO outbox (alert_id, {columns}) SELECT 'msg_x', {columns} FROM outbox LIMIT 1")
    conn.close()
    assert check(path).because == "message msg_x has no entry in the chain (table outbox)"


def test_a_message_of_an_old_ledger_is_bound_as_it_stands_when_the_ledger_is_opened(tmp_path: Path) -> None:
    old = FIXTURES / "v8.sqlite3"
    with Ledger.look(shutil.copy(old, tmp_path / "read")) as ledger:
        assert ledger.verify().because == ""  # it had none to bind them by
    path = shutil.copy(old, tmp_path / "old")
    with Ledger.open(path) as ledger:
        entry = ledger.entries()[-1]
        assert (entry.kind, sorted(entry.body["messages"])) == ("posted", ["msg_ack", "msg_held"])
        assert (entry.at, entry.body["schema"]) == (ledger.entries()[-2].at, 9)  # a migration reads no clock
    conn = unguarded(path)
    conn.execute("UPDATE outbox SET body = '{}' WHERE alert_id = 'msg_ack'")
    conn.execute(
        "PRAGMA user_version = 8"
    )  # a second migration does not make good what was changed after the first
    conn.close()
    assert "message msg_ack is not what was posted" in check(path).because


def test_a_message_that_is_no_json_any_more_is_named_and_asked_for_in_vain(tmp_path: Path) -> None:
    path = Path(shutil.copy(FIXTURES / "v9.sqlite3", tmp_path / "ledger"))
    conn = sqlite3.connect(path, isolation_level=None)
    conn.execute("DROP TRIGGER outbox_never_update_of")
    conn.execute("UPDATE outbox SET body = '{' || body WHERE alert_id = 'msg_held'")
    conn.close()
    with Ledger.open(path) as ledger:
        assert "alert msg_held" in ledger.verify().because
        with pytest.raises(VerificationError, match="alert msg_held"):
            ledger.outbox()


def test_verify_says_which_message_was_changed_and_what_is_to_be_done(
    posted_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "auditor-state").mkdir()
    (tmp_path / "config.toml").write_text(f'[state]\ndir = "{tmp_path}/auditor-state"\n')
    path = shutil.copy(posted_file, tmp_path / "auditor-state" / "ledger.sqlite3")
    conn = unguarded(path)
    conn.execute("UPDATE outbox SET body = '{}' WHERE alert_id = 'msg_test'")
    conn.close()
    told = CliRunner().invoke(cli, ["-c", str(tmp_path / "config.toml"), "db", "verify"])
    assert told.exit_code == 5
    assert "entry 2: message msg_test is not what was posted (table outbox)" in told.stderr
    assert "`auditor db restore FILE`" in told.stderr


def test_a_decision_is_not_refused_for_a_message_that_a_service_wrote_meanwhile(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger") as ledger:
        ledger.record(scan(1), [], at=day(1))
        ledger.post([Alert("msg_late", "hook", "test", (), {})], day(3))
        ledger.silence(rule="x", reason="work", by="ann", until=day(9), now=day(2))
        with pytest.raises(UsageError, match="before the ledger's last entry"):
            ledger.silence(rule="y", reason="work", by="ann", until=day(9), now=day(1))
        assert ledger.verify().because == ""
