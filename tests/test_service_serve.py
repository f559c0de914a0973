"""The service as people and machines meet it: its port, its lines, its end, and what it says when the ledger cannot be used."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from alert_case import out, receiving
from cli_case import ROOT, run
from ledger_case import outcome, scan
from service_case import LEASE_S, START, World

from auditor.alerts.deliver import Answer, Way
from auditor.alerts.routes import Route
from auditor.errors import ConfigError
from auditor.ledger import Sending
from auditor.service import metrics
from auditor.service.condition import STUCK_S, Condition
from auditor.service.log import Log
from auditor.service.port import Port
from auditor.service.runs import ChildRun
from auditor.service.serve import Service, heartbeat


class Clocked:
    """A service on a world's clock, whose loops are called one by one."""

    def __init__(self, world: World, **more: Any) -> None:
        self.world = world
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.service = Service(
            path=world.path,
            instance=world.add("a"),
            condition=Condition("a", LEASE_S, 3600, world.now),
            ways=more.pop("ways", {}),
            tell=lambda event, fields: self.lines.append((event, dict(fields))),
            clock=lambda: world.now,
            mono=lambda: world.mono,
            **more,
        )

    def pass_(self, seconds: float, step: float = 10) -> None:
        for _ in range(round(seconds / step)):
            self.world.now += timedelta(seconds=step)
            self.world.mono += step
            self.service.ring()
            self.service.deliver()

    def page(self, path: str) -> tuple[int, str]:
        status, _, text = self.service.pages()[path]()
        return status, text

    def ready(self) -> tuple[bool, dict[str, str]]:
        status, text = self.page("/readyz")
        told = json.loads(text)
        assert told["ready"] == (status == 200)
        return told["ready"], {name: one["said"] for name, one in told["checks"].items() if not one["ok"]}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def test_it_is_ready_once_the_first_scan_is_there(world: World) -> None:
    world.takes_s = 30
    clocked = Clocked(world)
    assert clocked.ready() == (
        False,
        {"ledger": "not read yet", "leader": "nobody leads", "last_scan": "none yet"},
    )
    clocked.pass_(10)
    assert clocked.ready() == (False, {"last_scan": "none yet; the first is running"})
    clocked.pass_(60)
    assert clocked.ready() == (True, {})
    assert clocked.page("/healthz") == (200, "ok\n")


def test_it_is_not_ready_when_two_intervals_pass_without_a_scan(world: World) -> None:
    clocked = Clocked(world)
    clocked.pass_(60)
    world.ends = "no credentials"
    clocked.pass_(1.9 * 3600, 360)
    assert clocked.ready()[0]
    clocked.pass_(0.2 * 3600, 360)
    assert clocked.ready() == (
        False,
        {"last_scan": "overdue: the last good one looked at 2026-02-02T02:30:10Z"},
    )


def broken(path: Path, how: str) -> None:
    if how == "gone":
        path.rename(path.with_name("aside"))
        return
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    conn.execute("PRAGMA user_version = 99") if how == "newer" else None
    conn.close()
    if how == "damaged":
        path.with_name(path.name + "-wal").unlink(missing_ok=True)
        data = bytearray(path.read_bytes())
        data[100:4000] = b"\xff" * 3900
        path.write_bytes(data)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("newer", "the ledger has schema 99, and this auditor knows up to"),
        ("gone", "there is no ledger"),
        ("damaged", "auditor db verify"),
    ],
)
def test_a_ledger_that_cannot_be_used_is_a_sentence_and_the_service_goes_on_trying(
    world: World, how: str, said: str
) -> None:
    clocked = Clocked(world)
    clocked.pass_(60)
    world.close()
    whole = world.path.read_bytes()
    broken(world.path, how)
    clocked.pass_(60)
    ready, why = clocked.ready()
    assert not ready
    assert said in why["ledger"]
    assert [event for event, _ in clocked.lines] == ["trouble"]  # said once, not at every ring
    assert clocked.page("/healthz")[0] == 200
    for end in ("-wal", "-shm"):
        world.path.with_name(world.path.name + end).unlink(missing_ok=True)
    world.path.write_bytes(whole)
    clocked.pass_(60)
    assert clocked.ready() == (True, {})
    assert clocked.lines[-1][0] == "well again"


def test_a_ledger_that_another_writes_to_is_waited_for_and_only_then_said(
    world: World, monkeypatch: Any
) -> None:
    monkeypatch.setattr("auditor.service.serve.BUSY_S", 0.01)
    clocked = Clocked(world)
    clocked.pass_(60)
    world.ledger._conn.execute("BEGIN IMMEDIATE")
    clocked.pass_(LEASE_S - 10)
    assert clocked.ready() == (True, {})
    clocked.pass_(LEASE_S)
    assert "another process is writing" in clocked.ready()[1]["ledger"]
    world.ledger._conn.execute("ROLLBACK")
    clocked.pass_(LEASE_S)
    assert clocked.ready() == (True, {})
    assert world.leaders == ["a"]


def test_a_full_disk_is_said_and_the_slot_is_run_when_there_is_room(world: World, monkeypatch: Any) -> None:
    clocked = Clocked(world)
    clocked.pass_(60)

    class Full(sqlite3.Connection):
        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
            if sql.startswith(("UPDATE", "INSERT")):
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL  # type: ignore[misc]
                raise error
            return super().execute(sql, *args)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: connect(*args, **more, factory=Full))
    clocked.pass_(3600, 60)
    assert "could not be written: database or disk is full" in clocked.ready()[1]["ledger"]
    monkeypatch.undo()
    clocked.pass_(120)
    assert clocked.ready() == (True, {})
    assert set(world.slots().values()) == {"done", "planned"}


def test_a_disk_that_fills_up_when_an_alert_has_arrived_sends_it_again_under_its_id(
    world: World, monkeypatch: Any
) -> None:
    from test_alerts_channels import alert

    got: list[str] = []

    def receiver(sending: Sending, now: datetime) -> Answer:
        got.append(sending.alert.alert_id)
        return Answer("delivered")

    clocked = Clocked(world, ways={"r": Way(receiver)})
    clocked.pass_(60)
    world.ledger.record(scan(9), [], alerts=[alert("opened")], at=world.now)

    class Full(sqlite3.Connection):
        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
            if sql.startswith("UPDATE outbox SET state = 'delivered'"):
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL  # type: ignore[misc]
                raise error
            return super().execute(sql, *args)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: connect(*args, **more, factory=Full))
    clocked.pass_(30)
    (event, fields) = clocked.lines[-1]
    assert (event, len(got)) == ("trouble", 1)
    assert "disk is full" in fields["because"]
    assert "Free some space" in fields["because"]
    monkeypatch.undo()
    clocked.pass_(400)
    assert got == [got[0]] * 2
    assert [row.state for row in world.ledger.outbox()] == ["delivered"]


def test_a_log_that_is_full_or_gone_ends_no_scan_and_says_so_when_there_is_room(world: World) -> None:
    class Disk(io.StringIO):
        full = True

        def write(self, text: str) -> int:
            if self.full:
                raise OSError(28, "No space left on device")
            return super().write(text)

    disk = Disk()
    clocked = Clocked(world)
    clocked.service.tell = clocked.service.instance.tell = Log(lambda: world.now, "json", disk)
    clocked.pass_(60)
    assert clocked.ready() == (True, {})
    assert world.states()["done"] == 1
    disk.full = False
    world.ends = "no credentials"
    clocked.pass_(3600, 60)
    first, second, *_ = [json.loads(line) for line in disk.getvalue().splitlines()]
    assert first["event"] == "trouble"
    assert re.fullmatch("[0-9]+ lines could not be written", first["because"])
    assert second["event"] == "started"
    closed = io.StringIO()
    closed.close()
    Log(lambda: START, "text", closed)("done", {})  # nobody reads any more: no reason to end


def test_a_clock_that_steps_back_does_not_silence_the_alarm(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    offset, began = [timedelta(0)], time.monotonic()

    class Stepping(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return (START + timedelta(seconds=time.monotonic() - began) + offset[0]).astimezone(tz)

    monkeypatch.setattr("apscheduler.schedulers.base.datetime", Stepping)
    monkeypatch.setattr("auditor.service.serve.RING_S", 0.05)
    clocked = Clocked(world)
    service = clocked.service
    service.mono, service.clock = time.monotonic, Stepping.now
    thread = threading.Thread(target=service.run, args=(2,))
    thread.start()
    try:
        until(lambda: service.condition.rung_s > 0)
        offset[0] = timedelta(hours=-1)
        until(lambda: "clock stepped" in [event for event, _ in clocked.lines])
        last = service.condition.rung_s
        until(lambda: service.condition.rung_s > last + 1)  # many rings later, and no hour
    finally:
        service.stopping.set()
        thread.join(30)
    assert not thread.is_alive()
    assert world.ledger.agenda.leader().holder == ""  # type: ignore[union-attr]  # it resigned


def until(so: Callable[[], bool]) -> None:
    for _ in range(1500):
        if so():
            return
        time.sleep(0.02)
    raise AssertionError("it never was")


def test_a_loop_that_hangs_is_not_alive(world: World) -> None:
    clocked = Clocked(world)
    clocked.pass_(10)
    world.mono += STUCK_S + 1
    assert clocked.page("/healthz") == (503, f"the loop has not turned for {STUCK_S + 1} s\n")


def test_an_alert_of_a_scan_is_sent_by_the_leader_within_a_minute(world: World) -> None:
    from test_alerts_channels import alert

    got: list[datetime] = []

    def receiver(sending: Sending, now: datetime) -> Answer:
        got.append(now)
        return Answer("delivered")

    clocked = Clocked(world, ways={"r": Way(receiver)})
    clocked.pass_(60)
    world.ledger.record(scan(9), [], alerts=[alert("opened")], at=world.now)
    clocked.pass_(60)
    assert got[0] - world.now <= timedelta(seconds=60)
    assert ("alerts", {"delivered": 1, "retried": 0, "dead": 0}) in clocked.lines


def test_the_leader_reminds_of_what_is_still_open(world: World) -> None:
    from test_alerts_channels import alert

    got: list[str] = []

    def receiver(sending: Sending, now: datetime) -> Answer:
        got.append(sending.alert.event)
        return Answer("delivered")

    clocked = Clocked(world, ways={"r": Way(receiver)}, routes=[Route("r", "low", remind={"high": 100})])
    clocked.pass_(60)
    world.ledger.record(scan(9), [], alerts=[alert("opened", severity="high")], at=world.now)
    clocked.pass_(80)
    assert got == ["opened"]
    clocked.pass_(100)
    assert got == ["opened", "reminder"]


def test_a_monitor_outside_is_told_of_each_good_scan_once_and_of_a_failure_again(world: World) -> None:
    answers = ["HTTP 503", "", ""]
    told: list[datetime] = []

    def ping() -> str:
        told.append(world.now)
        return answers.pop(0)

    clocked = Clocked(world, ping=ping)
    clocked.pass_(300)
    assert len(told) == 2
    assert told[1] - told[0] >= timedelta(seconds=60)
    clocked.pass_(3600, 60)
    assert len(told) == 3
    assert [event for event, _ in clocked.lines] == ["not told", "heartbeat", "heartbeat"]


def test_a_good_scan_that_is_long_past_is_no_sign_that_all_is_well(world: World) -> None:
    told: list[datetime] = []

    def ping() -> str:
        told.append(world.now)
        return "HTTP 503"

    clocked = Clocked(world, ping=ping)
    clocked.pass_(60)
    world.ends = "no more"
    clocked.pass_(3 * 3600, 300)
    assert told and max(told) - START <= timedelta(hours=1, minutes=10)


def test_a_run_that_does_not_end_in_time_is_cut_off_and_its_slot_given_back(world: World) -> None:
    world.takes_s = 900
    clocked = Clocked(world)
    clocked.pass_(20)
    service = clocked.service
    assert service._stop(SimpleNamespace(shutdown=lambda wait: None), world.mono)  # type: ignore[arg-type]
    assert [event for event, _ in clocked.lines][-3:] == ["stopping", "cut off", "stopped"]
    assert world.scans[0].owner in world.dead
    assert [slot.state for slot in world.ledger.agenda.open_slots()] == ["planned", "planned"]
    leader = world.ledger.agenda.leader()
    assert leader is not None and leader.holder == ""


def test_a_heartbeat_leaves_by_the_guarded_way_and_never_quotes_its_address() -> None:
    with receiving() as receiver:
        assert heartbeat(lambda: f"{receiver.url}&token=s3cret", out())() == ""
        assert receiver.got[0][2] == b""
        receiver.reply = lambda _: (302, {"Location": "http://169.254.169.254/"}, b"")
        assert heartbeat(lambda: receiver.url, out())() == "127.0.0.1: HTTP 302"
        assert len(receiver.got) == 2
    refused = heartbeat(lambda: "https://169.254.169.254/s3cret", out())()
    assert "RefusedAddressError" in refused
    assert "s3cret" not in refused + heartbeat(lambda: "http://x/s3cret", out())()


# OpenMetrics 1.0: a line is a descriptor or a sample, families stand together, and the last line is # EOF.
_SAMPLE = re.compile(
    r'([a-z_]+)(?:\{([a-z_]+="(?:[^"\\\n]|\\[\\n"])*"(?:,[a-z_]+="(?:[^"\\\n]|\\[\\n"])*")*)\})? (-?[0-9.]+(?:e[+-]?[0-9]+)?)'
)


def families(text: str) -> dict[str, dict[str, float]]:
    lines = text.split("\n")
    assert lines[-2:] == ["# EOF", ""]
    found: dict[str, dict[str, float]] = {}
    name, kind = "", ""
    for line in lines[:-2]:
        if line.startswith("# TYPE "):
            name, kind = line.split(" ")[2:]
            assert name not in found
            assert kind in {"gauge", "info"}
            found[name] = {}
        elif line.startswith("# HELP "):
            assert line.split(" ")[2] == name
        else:
            match = _SAMPLE.fullmatch(line)
            assert match, line
            assert match[1] == name + ("_info" if kind == "info" else "")
            assert (match[2] or "") not in found[name]
            found[name][match[2] or ""] = float(match[3])
    return found


def test_metrics_are_openmetrics_and_tell_what_the_ledger_holds(world: World) -> None:
    world.says = lambda _: [outcome("fail"), outcome("unknown", "arn:aws:s3:::c")]
    clocked = Clocked(world)
    clocked.pass_(60)
    clocked.service.measure()
    status, text = clocked.page("/metrics")
    found = families(text)
    assert status == 200
    assert found["auditor_ready"] == {"": 1}
    assert found["auditor_leader"] == {"": 1}
    assert found["auditor_findings"] == {
        'verdict="fail",severity="high"': 1,
        'verdict="unknown",severity="high"': 1,
    }
    assert found["auditor_slots"] == {'job="scan",state="done"': 1, 'job="scan",state="planned"': 1}
    assert found["auditor_last_success_timestamp_seconds"][""] == world.scans[0].began.timestamp()
    assert 1e7 < found["process_resident_memory_bytes"][""] < 1e9
    assert "arn:" not in text


def test_a_label_cannot_end_its_line() -> None:
    family = metrics.Family("x", "gauge", "h\nelp", [({"a": 'q"\\\n'}, 1)])
    assert metrics.rendered([family]) == '# TYPE x gauge\n# HELP x h\\nelp\nx{a="q\\"\\\\\\n"} 1\n# EOF\n'


def test_the_port_shows_three_pages_and_nothing_else() -> None:
    port = Port(("127.0.0.1", 0), {"/healthz": lambda: (200, "text/plain", "ok\n")})
    try:
        url = f"http://127.0.0.1:{port.number}"
        with urllib.request.urlopen(f"{url}/healthz?x=1") as answer:
            assert (answer.status, answer.read()) == (200, b"ok\n")
            assert answer.headers["Cache-Control"] == "no-store"
        for path, method in (("/", "GET"), ("/../etc/passwd", "GET")):
            with pytest.raises(urllib.error.HTTPError) as raised:
                urllib.request.urlopen(urllib.request.Request(url + path, method=method))
            assert raised.value.code == 404
            raised.value.close()
        with pytest.raises(ConfigError, match="nothing can listen at"):
            Port(("127.0.0.1", port.number), {})
    finally:
        port.close()


def test_lines_are_words_for_people_and_json_for_machines_and_obey_nobody() -> None:
    said, told = io.StringIO(), io.StringIO()
    Log(lambda: START, "text", said)("failed", {"job": "scan", "because": "a b\x1b[2J\nc"})
    Log(lambda: START, "json", told)("failed", {"job": "scan", "because": "a b\x1b[2J\nc"})
    assert said.getvalue() == '2026-02-02T02:30:00Z ! failed  job=scan because="a b\\x1b[2J\\nc"\n'
    assert json.loads(told.getvalue())["because"] == "a b\x1b[2J\nc"
    assert told.getvalue().count("\n") == 1
    Log(lambda: START, "text", said, quiet=True)("done", {})
    assert said.getvalue().count("\n") == 1


def child(code: str) -> ChildRun:
    return ChildRun([sys.executable, "-S", "-c", code], os.environ).begin()


def ended(run_: ChildRun) -> Any:
    for _ in range(5000):
        if (found := run_.ended()) is not None:
            return found
        time.sleep(0.02)
    raise AssertionError("it does not end")


def test_how_a_child_ended_is_told_by_its_code_and_its_last_words() -> None:
    say = "import sys; sys.stderr.write('one\\ntwo\\n'); sys.exit({})"
    assert ended(child(say.format(0))).state == "done"
    assert ended(child(say.format(4))).said == "incomplete"
    assert ended(child(say.format(6))).state == "busy"
    failed = ended(child(say.format(2)))
    assert (failed.state, failed.said) == ("failed", "one two")
    killed = child("import os; os.kill(os.getpid(), 9)")
    assert "SIGKILL: the machine may be out of memory" in ended(killed).said
    nowhere = ChildRun(["/nowhere/at/all"], {}).begin()
    assert "could not be started" in ended(nowhere).said


def test_a_child_that_does_not_want_to_end_is_ended() -> None:
    stubborn = child(
        "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    )
    stubborn.stop()
    assert ended(stubborn).state == "failed"


def serving(folder: Path, *args: str, config: str) -> subprocess.Popen[str]:
    (folder / "config.toml").write_text(config)
    command = [sys.executable, "-m", "auditor", "serve", *args]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True)


def line_with(process: subprocess.Popen[str], event: str) -> dict[str, Any]:
    assert process.stderr is not None
    for line in process.stderr:
        told: dict[str, Any] = json.loads(line)
        if told["event"] == event:
            return told
    raise AssertionError(f"it never said {event!r}")


CONFIG = """
[state]
dir = "state"
[schedule]
scan = "never"
report = "0 6 * * 1"
[service]
listen = "127.0.0.1:0"
"""


def test_a_process_serves_stands_by_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    first = serving(tmp_path, config=CONFIG)
    url = line_with(first, "serving")["listen"]
    assert line_with(first, "leading")["term"] == 1
    second = serving(tmp_path, config=CONFIG)
    assert line_with(second, "standing by")["term"] == 1
    with urllib.request.urlopen(f"{url}/readyz") as answer:
        assert json.load(answer)["checks"]["last_scan"] == {"ok": True, "said": "none are scheduled"}
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        assert answer.headers["Content-Type"] == metrics.CONTENT_TYPE
        memory = families(answer.read().decode())["process_resident_memory_bytes"][""]
    assert memory < 200e6
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0
    assert line_with(second, "leading")["term"] == 2  # resigned: no lease is waited for
    second.send_signal(signal.SIGINT)
    assert second.wait(60) == 0
    for process in (first, second):
        assert process.stderr is not None
        process.stderr.close()


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ('[schedule]\nscan = "0 2 * *"\n', "config.toml:2: schedule.scan: '0 2 * *' is neither a duration"),
        (
            '[schedule]\nscan = "1h"\nreport = "never"\nzone = "Europe/Berlln"\n',
            "config.toml:4: schedule.zone: 'Europe/Berlln' is no time zone",
        ),
        (
            '[scan]\nschedule = "1d"\n[schedule]\nscan = "6h"\n',
            "config.toml:2: scan.schedule: [schedule] scan says",
        ),
        ('[service]\nlisten = "here"\n', "config.toml:2: service.listen: 'here' is not HOST:PORT"),
        ('[service]\nwatch = "pager"\n', "config.toml:2: service.watch: 'pager' is no route of [alerts]"),
        (
            '[service]\nwatch = "pager"\n[alerts.pager]\nchannel = "webhook"\nsecret = "env:X"\nurl = "http://x/"\n',
            "config.toml:6: alerts.pager.url: an address is https",  # and nothing else is wrong
        ),
        (
            '[service]\nheartbeat_url = "https://x/y"\n',
            "config.toml:2: service.heartbeat_url: a secret never stands",
        ),
        ('[delivery]\ns3 = "bucket/x"\n', "config.toml:2: delivery.s3: 'bucket/x' is not s3://BUCKET/PREFIX"),
        (
            '[delivery]\nto = ["a@example.com"]\n',
            "config.toml:2: delivery.to: names people, and `mail` no route",
        ),
    ],
)
def test_a_mistake_in_the_configuration_is_named_with_its_line(
    tmp_path: Path, section: str, said: str
) -> None:
    (tmp_path / "config.toml").write_text(section)
    done = run("config", "check", config=tmp_path / "config.toml")
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stderr.count("config.toml:") == 1


def test_the_interval_that_rules_judge_by_is_that_of_the_schedule(tmp_path: Path) -> None:
    from auditor.config import load

    path = tmp_path / "config.toml"
    path.write_text('[schedule]\nscan = "0 6 * * 1-5"\nzone = "Europe/Berlin"\n')
    assert load(path).scan.schedule == 3 * 86400 + 3600
    path.write_text("")
    plain = load(path)
    path.write_text('[schedule]\nreport = "never"\n[service]\nlisten = ""\n')
    assert load(path).digest == plain.digest  # no verdict depends on it
