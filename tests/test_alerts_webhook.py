"""The webhook against a real receiver, and its signatures against an independent library."""

from __future__ import annotations

import base64
import json
import resource
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alert_case import NOW, Receiver, Reply, alerts, certificates, out, receiving
from ledger_case import day, scan
from standardwebhooks import Webhook
from test_ledger_survival import other

from auditor.alerts.channels import webhook
from auditor.alerts.channels.webhook import Settings
from auditor.alerts.deliver import LONGEST_WAIT_S, SCHEDULE_S, Answer, Way, deliver, wait_s
from auditor.alerts.text import wire
from auditor.errors import ConfigError
from auditor.ledger import Alert, Ledger

SECRETS = {name: "whsec_" + base64.b64encode(name.encode() * 8).decode() for name in ("HOOK", "OLDER")}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite3") as opened:
        yield opened


def settings(receiver: Receiver, **more: object) -> Settings:
    return Settings(**{"url": receiver.url, "secret": "env:HOOK", "timeout_s": 60, **more})  # type: ignore[arg-type]


def attempt(receiver: Receiver, ledger: Ledger, at: datetime = NOW, **more: object) -> None:
    deliver(ledger, {"hook": Way(webhook.channel(settings(receiver, **more), out()))}, lambda: at)


def test_an_independent_library_accepts_the_signature(receiver: Receiver, ledger: Ledger) -> None:
    now = datetime.now(UTC)  # noqa: TID251 - the library reads the clock, and refuses what is five minutes old
    ledger.post(alerts(), now)
    attempt(receiver, ledger, now)
    ((path, headers, body),) = receiver.got
    assert path == "/hook?team=a"
    assert Webhook(SECRETS["HOOK"]).verify(body, headers) == alerts()[0].body
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(SECRETS["OLDER"]).verify(body, headers)
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(SECRETS["HOOK"]).verify(body + b" ", headers)
    (sent,) = ledger.outbox()
    assert (sent.state, sent.delivered_at) == ("delivered", now)


def test_while_a_secret_is_changed_both_are_good(receiver: Receiver, ledger: Ledger) -> None:
    now = datetime.now(UTC)  # noqa: TID251 - as above
    ledger.post(alerts(), now)
    attempt(receiver, ledger, now, previous_secret="env:OLDER")
    ((_, headers, body),) = receiver.got
    for secret in SECRETS.values():
        Webhook(secret).verify(body, headers)


def test_our_signature_is_the_librarys_own() -> None:
    body = wire({"a": "é"})
    ours = webhook.sign(SECRETS["HOOK"], "msg_1", int(NOW.timestamp()), body)
    assert ours == Webhook(SECRETS["HOOK"]).sign("msg_1", NOW, body.decode())


def test_a_failed_attempt_is_repeated_under_the_same_id_with_a_new_time(
    receiver: Receiver, ledger: Ledger
) -> None:
    answers: list[Reply | None] = [(503, {}, b"later"), None, (204, {}, b"")]
    receiver.reply = lambda n: answers[n]
    ledger.post(alerts(), NOW)
    at = NOW
    for _ in answers:
        attempt(receiver, ledger, at)
        at = max(ledger.outbox()[0].next_at, at)
    assert receiver.ids() == ["msg_0"] * 3
    times = [int(headers["webhook-timestamp"]) for _, headers, _ in receiver.got]
    assert times[0] < times[1] < times[2]
    assert ledger.outbox()[0].state == "delivered"


def test_nothing_is_tried_before_its_time(receiver: Receiver, ledger: Ledger) -> None:
    receiver.reply = lambda _: (500, {}, b"")
    ledger.post(alerts(), NOW)
    attempt(receiver, ledger)
    attempt(receiver, ledger, ledger.outbox()[0].next_at - timedelta(seconds=1))
    assert len(receiver.got) == 1


def test_a_receiver_that_is_down_for_days_gets_it_in_the_end_or_leaves_a_dead_letter(
    receiver: Receiver, ledger: Ledger
) -> None:
    receiver.reply = lambda _: (500, {}, b"out of order")
    ledger.post(alerts(), NOW)
    at = NOW
    while (sending := ledger.outbox()[0]).state == "pending":
        at = max(at, sending.next_at)
        attempt(receiver, ledger, at)
    assert sending.state == "dead"
    assert len(receiver.got) == len(SCHEDULE_S) + 1
    assert timedelta(hours=70) < at - NOW < timedelta(hours=85)
    (letter,) = ledger.outbox(state="dead")
    assert "out of order" in letter.last_error
    ledger.replay_alert("msg_0", at)
    attempt(receiver, ledger, at)
    assert ledger.outbox()[0].state == "pending"  # it has all its attempts anew
    receiver.reply = lambda _: (200, {}, b"")
    ledger.replay_alert("msg_0", at)
    attempt(receiver, ledger, at)
    assert set(receiver.ids()) == {"msg_0"}
    assert ledger.outbox()[0].state == "delivered"


@pytest.mark.parametrize(
    ("value", "least"),
    [
        ("900", 900),
        ("Sat, 01 Jan 2000 00:00:00 GMT", 0),
        ("soon", 0),
        ("9" * 30, LONGEST_WAIT_S),
        ("-900", 0),
        ("315360000", LONGEST_WAIT_S),
        ("Fri, 31 Dec 9999 23:59:59 -2359", LONGEST_WAIT_S),
        ("Fri, 01 Jan 2038 00:00:00 +99999999999999999999", 0),
        ("1e9", 0),
        ("", 0),
    ],
)
def test_retry_after_is_honoured_within_reason(
    receiver: Receiver, ledger: Ledger, value: str, least: int
) -> None:
    receiver.reply = lambda _: (429, {"Retry-After": value}, b"")
    ledger.post(alerts(), NOW)
    attempt(receiver, ledger)
    assert ledger.outbox()[0].attempts == 1
    wait = (ledger.outbox()[0].next_at - NOW).total_seconds()
    assert wait == max(least, wait_s("msg_0", 1) or 0)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422])
def test_a_refusal_is_final(receiver: Receiver, ledger: Ledger, status: int) -> None:
    receiver.reply = lambda _: (status, {}, b"no")
    ledger.post(alerts(), NOW)
    attempt(receiver, ledger)
    assert ledger.outbox()[0].state == "dead"
    assert ledger.channels_off() == {}


def test_gone_switches_the_channel_off_and_says_so_in_the_chain(receiver: Receiver, ledger: Ledger) -> None:
    receiver.reply = lambda _: (410, {}, b"")
    ledger.post(alerts(3), NOW)
    attempt(receiver, ledger)
    assert len(receiver.got) == 1
    assert list(ledger.channels_off()) == ["hook"]
    assert [sending.state for sending in ledger.outbox()] == ["dead", "pending", "pending"]
    assert [entry.kind for entry in ledger.entries()] == ["posted", "channel_off"]
    receiver.reply = lambda _: (200, {}, b"")
    ledger.replay_alert("msg_0", NOW)
    attempt(receiver, ledger)
    assert {sending.state for sending in ledger.outbox()} == {"delivered"}
    assert ledger.verify().intact


def test_a_redirect_is_not_followed(receiver: Receiver, ledger: Ledger) -> None:
    receiver.reply = lambda _: (307, {"Location": "http://169.254.169.254/latest/meta-data"}, b"")
    ledger.post(alerts(), NOW)
    attempt(receiver, ledger)
    assert len(receiver.got) == 1
    (sending,) = ledger.outbox()
    assert sending.state == "dead"
    assert "redirect" in sending.last_error


def test_a_receiver_that_never_finishes_its_answer_is_cut_off(receiver: Receiver, ledger: Ledger) -> None:
    released = threading.Event()
    receiver.reply = lambda _: (released.wait(120) and None) or None
    ledger.post(alerts(), NOW)
    begun = time.monotonic()
    attempt(receiver, ledger, timeout_s=1)
    assert time.monotonic() - begun < 60  # a bound, no measure
    released.set()
    assert ledger.outbox()[0].state == "pending"


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_of_a_gigabyte_is_not_read(receiver: Receiver, ledger: Ledger, status: int) -> None:
    huge = bytes(1 << 30)  # pages of zeros that nobody touches: as little of it is held as is read
    receiver.reply = lambda _: (status, {"Content-Length": str(len(huge))}, huge)
    ledger.post(alerts(), NOW)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    attempt(receiver, ledger)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
    (sending,) = ledger.outbox()
    assert (sending.state, len(receiver.got)) == ("delivered" if status == 200 else "pending", 1)
    assert len(sending.last_error) < 500


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": ""}, {"secret": "whsec_AAAA"}, {"secret": "env:NOT_SET"}, {"secret": "env:SHORT"},
        {"url": "ftp://x/"}, {"url": "https://user:pw@example.com/"}, {"url": "https://example.com:99999/"},
    ],
)  # fmt: skip
def test_settings_that_cannot_work_wait_with_the_reason_and_hold_up_no_other_channel(
    receiver: Receiver, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str]
) -> None:
    monkeypatch.setenv("SHORT", "whsec_AAAA")
    ledger.post([*alerts(), Alert("msg_z", "other", "opened", ("k",), {})], NOW)
    hook = Way(webhook.channel(settings(receiver, **wrong), out()))
    deliver(ledger, {"hook": hook, "other": Way(lambda *_: Answer("delivered"))}, lambda: NOW)
    assert {s.alert.channel: s.state for s in ledger.outbox()} == {"hook": "pending", "other": "delivered"}
    assert "whsec_AAAA" not in ledger.outbox()[0].last_error


def test_a_secret_others_can_read_is_refused(tmp_path: Path) -> None:
    from auditor.alerts.secret import reveal

    path = tmp_path / "secret"
    path.write_text(SECRETS["HOOK"] + "\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="can read this secret"):
        reveal(f"file:{path}")
    path.chmod(0o600)
    assert reveal(f"file:{path}") == SECRETS["HOOK"]


def test_a_sender_killed_at_any_point_loses_no_alert_and_keeps_its_id(
    receiver: Receiver, tmp_path: Path
) -> None:
    path = tmp_path / "ledger"
    with Ledger.open(path) as ledger:
        ledger.record(scan(1), [], alerts=alerts(3), at=day(1))
        running = [other(path, "send", receiver.url, when, certificates()[0]) for when in ("before", "after")]
        assert [process.wait(60) for process in running] == [-9, -9]
        states = [sending.state for sending in ledger.outbox()]
        assert sorted(states) == ["pending", "sending", "sending"]
        attempt(receiver, ledger, day(51))
        assert {sending.state for sending in ledger.outbox()} == {"delivered"}
    assert set(receiver.ids()) == {"msg_0", "msg_1", "msg_2"}
    assert len(receiver.ids()) == 4  # one of them twice, under one id
    bodies = {headers["webhook-id"]: json.loads(body)["n"] for _, headers, body in receiver.got}
    assert bodies == {"msg_0": 0, "msg_1": 1, "msg_2": 2}


def test_waits_grow_spread_by_id_and_end() -> None:
    waits = [wait_s("msg_1", n) for n in range(1, len(SCHEDULE_S) + 2)]
    assert waits[-1] is None
    for wait, base in zip(waits, SCHEDULE_S, strict=False):
        assert wait is not None
        assert base <= wait <= base * 1.1
    assert wait_s("msg_1", 5) == wait_s("msg_1", 5) != wait_s("msg_2", 5)
