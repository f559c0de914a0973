"""The second unit: it only reads, tells what has stopped by a route of its own, repeats that rarely, and says when it is over."""

from __future__ import annotations

import re
import shutil
import sqlite3
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alert_case import certificates, receiving
from cli_case import answer as answered
from cli_case import run
from ledger_case import T0, day, outcome, scan
from service_case import World
from test_alerts_channels import alert

from auditor.alerts.channels import pagerduty
from auditor.alerts.deliver import Answer, Way
from auditor.alerts.words import said
from auditor.errors import UsageError
from auditor.ledger import Ledger, Sending
from auditor.ledger.agenda import Leader, Signs, Slot, Waiting
from auditor.service.watch import Limits, Trouble, Watcher, amiss, looked

HOUR = timedelta(hours=1)
LIMITS = Limits(interval_s=3600, stuck_s=3600, repeat_s=4 * 3600)
WELL = Signs(("scan-1", T0), T0, Leader("h/1/1", 1, 7, T0, T0 + timedelta(seconds=30)), 0, None)


def kinds(signs: Signs, now: datetime, limits: Limits = LIMITS) -> list[str]:
    return [each.kind for each in amiss(signs, limits, now)]


def test_two_intervals_without_a_scan_are_told_and_not_a_minute_less() -> None:
    signs = replace(WELL, leader=None)
    assert kinds(signs, T0 + 2 * HOUR) == []
    (trouble,) = amiss(signs, LIMITS, T0 + 2 * HOUR + timedelta(minutes=1))
    assert trouble.said == (
        "no scan was finished for 2.0 hours: the last looked at 2026-02-02 03:00Z, one is due every 1.0 hours"
    )
    assert kinds(signs, T0 + 100 * HOUR, replace(LIMITS, interval_s=0)) == []


def test_a_service_that_has_just_been_set_up_has_time_for_its_first_scan() -> None:
    none = Signs(None, T0, None, 0, None)
    assert kinds(none, T0 + HOUR) == []
    assert kinds(none, T0 + 3 * HOUR) == ["no scan"]
    assert kinds(replace(none, first_due_at=None), T0) == ["no scan"]


def test_a_leader_that_fell_silent_is_told_long_before_a_weekly_scan_is_overdue() -> None:
    weekly = replace(LIMITS, interval_s=7 * 86400)
    assert kinds(WELL, T0 + timedelta(minutes=15), weekly) == []
    assert kinds(WELL, T0 + timedelta(minutes=16), weekly) == ["no leader"]
    by_cron = replace(WELL, last_scan=("scan-2", T0 + HOUR))
    assert kinds(by_cron, T0 + 2 * HOUR, weekly) == []  # something else scans now


def test_a_scan_that_keeps_failing_is_told_within_minutes_though_the_next_is_due_in_a_week() -> None:
    weekly = replace(LIMITS, interval_s=7 * 86400)
    failing = Slot("scan", T0, "planned", failures=2, said="config.toml:3: scan.full: 'x' is not a duration")
    signs = replace(WELL, failing=(failing,))
    assert kinds(signs, T0, weekly) == []
    (trouble,) = amiss(replace(signs, failing=(replace(failing, failures=3),)), weekly, T0)
    assert trouble.kind == "scan fails"
    assert "the scan of 2026-02-02 03:00Z failed 3 times: config.toml:3: scan.full" in trouble.said


def test_what_fails_in_the_ledger_is_seen(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.ends = "no credentials"
    world.add("a")
    world.run(500)
    (trouble,) = looked(world.path, LIMITS, world.now)
    assert "failed 4 times: no credentials" in trouble.said
    world.close()


def test_an_alert_that_waits_too_long_is_told_with_its_route_and_error() -> None:
    signs = replace(WELL, leader=None, waiting=3, oldest=Waiting("msg_1", "pager", T0, 4, "HTTP 503"))
    assert kinds(signs, T0 + HOUR) == []
    (trouble,) = amiss(signs, LIMITS, T0 + HOUR + timedelta(seconds=1))
    assert (
        "3 alerts wait; the oldest, for pager, since 2026-02-02 03:00Z, tried 4 times; last error: HTTP 503"
        in trouble.said
    )


def test_a_scan_of_the_future_is_no_sign_of_life() -> None:
    assert kinds(replace(WELL, leader=None), T0 - 2 * HOUR) == ["clock"]


class Ear:
    def __init__(self, *answers: str) -> None:
        self.got: list[Sending] = []
        self.answers = list(answers)

    def __call__(self, sending: Sending, now: datetime) -> Answer:
        self.got.append(sending)
        return Answer(self.answers.pop(0) if self.answers else "delivered", "HTTP 503")  # type: ignore[arg-type]


def watched(ear: Ear, found: list[list[Trouble]], step_s: float = 60) -> list[str]:
    lines: list[str] = []
    watcher = Watcher("/var/lib/ledger", LIMITS, Way(ear), lambda event, fields: lines.append(event))
    for n, troubles in enumerate(found):
        watcher.turn(troubles, T0 + n * timedelta(seconds=step_s), n * step_s)
    return lines


QUIET = Trouble("no scan", "no scan was finished for 3 hours", "Look.", T0, "scan-1")
BLIND = Trouble("unreadable", "the ledger cannot be read: it is locked", "See to it.")


def test_what_lasts_is_repeated_at_a_sane_rate_and_its_end_is_told() -> None:
    ear = Ear()
    watched(ear, [[QUIET]] * (9 * 60) + [[], []])
    assert [each.alert.event for each in ear.got] == ["scanner_blind"] * 3 + ["recovered"]
    first = ear.got[0].alert.alert_id
    assert len({each.alert.alert_id for each in ear.got}) == 4
    assert [each.incidents for each in ear.got] == [(), (first,), (first,), ()]
    assert ear.got[-1].closes == (first,)
    actions = [
        (event["event_action"], event["dedup_key"]) for each in ear.got for _, event in pagerduty.events(each)
    ]
    assert actions == [("trigger", first)] * 3 + [("resolve", first)]


def test_a_watch_that_is_started_anew_is_known_to_receivers_by_the_same_id() -> None:
    one, two = Ear(), Ear()
    watched(one, [[QUIET]])
    watched(two, [[], [], [QUIET]])
    assert one.got[0].alert.alert_id == two.got[0].alert.alert_id


def test_a_route_that_fails_is_tried_again_and_ever_more_rarely() -> None:
    ear = Ear(*["retry"] * 4)
    lines = watched(ear, [[QUIET]] * 40)
    assert [round((each.created_at - T0).total_seconds() / 60) for each in ear.got] == [0, 1, 3, 7, 15]
    assert lines.count("not told") == 4
    assert lines.count("told") == 1


def test_a_ledger_that_could_not_be_read_once_is_no_news_and_twice_is() -> None:
    ear = Ear()
    watched(ear, [[BLIND], [], [BLIND], [BLIND]])
    assert len(ear.got) == 1


def test_what_cannot_be_read_ends_nothing() -> None:
    ear = Ear()
    watched(ear, [[QUIET], [BLIND], [BLIND], [QUIET], [QUIET]])
    assert [each.alert.event for each in ear.got] == ["scanner_blind", "scanner_blind", "recovered"]
    assert "unreadable" in ear.got[-1].alert.body["data"]["title"]


def test_people_read_what_is_amiss_since_when_and_what_to_do() -> None:
    ear = Ear()
    watched(ear, [[replace(QUIET, said="it is \x1b[31mred\u202e and quiet")]])
    text = "\n".join(said(ear.got[0]).lines())
    assert "[CRITICAL] auditor has gone quiet: it is \\u001b[31mred\\u202e and quiet" in text
    assert ": /var/lib/ledger" in text
    assert "Fix: Look." in text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    where = tmp_path / "state" / "ledger.sqlite3"
    with Ledger.open(where) as ledger:
        ledger.record(scan(1), [outcome("fail")], alerts=[alert("opened")], at=day(1))
    return where


def test_it_reads_a_ledger_of_any_schema_and_changes_nothing(tmp_path: Path) -> None:
    for old in sorted((Path(__file__).parent / "fixtures" / "ledger").glob("v*.sqlite3")):
        copy = tmp_path / old.name
        shutil.copy(old, copy)
        conn = sqlite3.connect(copy)
        (version,) = conn.execute("PRAGMA user_version").fetchone()
        conn.close()
        before = copy.read_bytes()
        assert next(each.kind for each in looked(copy, LIMITS, day(5000))) == "no scan"
        with Ledger.look(copy) as ledger, pytest.raises(sqlite3.OperationalError, match="readonly"):
            ledger._conn.execute("DELETE FROM scan")
        assert copy.read_bytes() == before
        assert old.stem == f"v{version}"
    assert {each.suffix for each in tmp_path.iterdir()} == {".sqlite3"}


def test_a_ledger_that_cannot_be_read_is_a_sentence(path: Path) -> None:
    def said_of() -> str:
        (trouble,) = looked(path, LIMITS, day(1))
        assert trouble.kind == "unreadable"
        return trouble.said

    conn = sqlite3.connect(path)
    conn.execute("PRAGMA user_version = 99")
    conn.close()
    assert "schema 99" in said_of()
    path.write_bytes(b"\xff" * 8192)
    assert "file is not a database" in said_of()
    path.unlink()
    assert "there is no ledger" in said_of()
    with pytest.raises(UsageError):
        Ledger.look(path)
    path.mkdir()
    assert re.search("unable to open|I/O error", said_of())


def test_a_look_from_a_timer_tells_exits_4_and_writes_nothing(path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("whsec_" + "A" * 43 + "=\n")
    secret.chmod(0o600)
    config = tmp_path / "config.toml"

    def written(url: str, scans: str) -> None:
        config.write_text(
            f'[state]\ndir = "{tmp_path}/state"\n[schedule]\nscan = "{scans}"\n[service]\nwatch = "hook"\n'
            f'[alerts]\nallow = ["127.0.0.1/32"]\nca_file = "{certificates()[0]}"\n'
            f'[alerts.hook]\nchannel = "webhook"\nurl = "{url}"\nsecret = "file:{secret}"\n'
        )

    with receiving() as receiver:
        written(receiver.url, "1h")
        before = path.read_bytes()
        done = run("watch", "--once", config=config)
        assert done.exit_code == 4, done.output
        assert "no scan was finished for" in done.stdout
        assert len(receiver.got) == 2  # the old alert that waits, too
        told: dict[str, Any] = answered("watch", "--once", config=config)
        assert [row["kind"] for row in told["rows"]] == ["no scan", "alerts stuck"]
        assert len(set(receiver.ids())) == 2  # another run repeats them under the same ids
        assert path.read_bytes() == before
        path.unlink()
        assert run("watch", "--once", config=config).exit_code == 4
        assert len(receiver.got) == 5
        with Ledger.open(path) as ledger:
            ledger.record(scan(1), [], at=day(1))
        written(receiver.url, "never")
        assert run("watch", "--once", config=config).stdout == "All is well.\n"
