"""The webhook against a real receiver, and its signatures against an independent library."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ledger_case import day, scan
from standardwebhooks import Webhook
from test_ledger_survival import other

from auditor.alerts import webhook
from auditor.alerts.address import Limits, refusal
from auditor.alerts.compose import wire
from auditor.alerts.deliver import LONGEST_WAIT_S, SCHEDULE_S, Answer, deliver, wait_s
from auditor.alerts.webhook import Settings
from auditor.errors import ConfigError
from auditor.ledger import Alert, Ledger

NOW = datetime.now(UTC).replace(microsecond=0)  # noqa: TID251 - the independent verifier reads the clock
SECRETS = {name: "whsec_" + base64.b64encode(name.encode() * 8).decode() for name in ("HOOK", "OLDER")}
Reply = tuple[int, dict[str, str], bytes]


class Receiver:
    """A receiver on this machine, that answers as it is told and keeps what it got."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.reply: Callable[[int], Reply | None] = lambda _: (204, {}, b"")
        """Told how many messages came before; None drops the connection without a word."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.got.append((self.path, headers, body))
                answer = receiver.reply(len(receiver.got) - 1)
                if answer is None:
                    self.connection.close()
                    return
                status, more, heard = answer
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(heard)

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?team=a"

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for _, headers, _ in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    started = Receiver()
    yield started
    started.server.shutdown()
    started.server.server_close()


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite3") as opened:
        yield opened


def settings(receiver: Receiver, **more: object) -> Settings:
    base: dict[str, object] = {"secret": "env:HOOK", "allow_loopback": True, "timeout_s": 5}
    return Settings(**{"url": receiver.url, **base, **more})  # type: ignore[arg-type]


def alerts(count: int = 1) -> list[Alert]:
    return [
        Alert(f"msg_{n}", "hook", "opened", (f"k{n}",), {"type": "auditor.opened", "n": n, "t": "é"})
        for n in range(count)
    ]


def attempt(receiver: Receiver, ledger: Ledger, at: datetime = NOW, **more: object) -> None:
    deliver(ledger, {"hook": webhook.channel(settings(receiver, **more))}, at)


def test_an_independent_library_accepts_the_signature(receiver: Receiver, ledger: Ledger) -> None:
    ledger.post(alerts(), NOW)
    attempt(receiver, ledger)
    ((path, headers, body),) = receiver.got
    assert path == "/hook?team=a"
    assert Webhook(SECRETS["HOOK"]).verify(body, headers) == alerts()[0].body
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(SECRETS["OLDER"]).verify(body, headers)
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(SECRETS["HOOK"]).verify(body + b" ", headers)
    (sent,) = ledger.outbox()
    assert (sent.state, sent.delivered_at) == ("delivered", NOW)


def test_while_a_secret_is_changed_both_are_good(receiver: Receiver, ledger: Ledger) -> None:
    ledger.post(alerts(), NOW)
    attempt(receiver, ledger, previous_secret="env:OLDER")
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
    receiver.reply = lambda _: (200, {}, b"")
    ledger.replay_alert("msg_0", at)
    attempt(receiver, ledger, at)
    assert set(receiver.ids()) == {"msg_0"}
    assert ledger.outbox()[0].state == "delivered"


@pytest.mark.parametrize(
    ("value", "least"),
    [("900", 900), ("Sat, 01 Jan 2000 00:00:00 GMT", 0), ("soon", 0), ("9" * 30, LONGEST_WAIT_S)],
)
def test_retry_after_is_honoured_within_reason(
    receiver: Receiver, ledger: Ledger, value: str, least: int
) -> None:
    receiver.reply = lambda _: (429, {"Retry-After": value}, b"")
    ledger.post(alerts(), NOW)
    attempt(receiver, ledger)
    wait = (ledger.outbox()[0].next_at - NOW).total_seconds()
    assert wait == max(least, wait_s("msg_0", 1) or 0)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
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
    assert [entry.kind for entry in ledger.entries()] == ["channel_off"]
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
    receiver.reply = lambda _: (released.wait(20) and None) or None
    ledger.post(alerts(), NOW)
    begun = time.monotonic()
    attempt(receiver, ledger, timeout_s=1)
    assert time.monotonic() - begun < 10
    released.set()
    assert ledger.outbox()[0].state == "pending"


def test_a_huge_answer_is_not_read(receiver: Receiver, ledger: Ledger) -> None:
    receiver.reply = lambda _: (500, {}, b"x" * 5_000_000)
    ledger.post(alerts(), NOW)
    attempt(receiver, ledger)
    assert len(ledger.outbox()[0].last_error) < 500


def test_this_machine_is_refused_unless_it_is_allowed(receiver: Receiver, ledger: Ledger) -> None:
    ledger.post(alerts(), NOW)
    attempt(receiver, ledger, allow_loopback=False)
    assert receiver.got == []
    assert "this machine itself" in ledger.outbox()[0].last_error


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "0.0.0.0", "10.0.0.1", "172.16.5.4", "192.168.1.1", "100.64.0.1", "169.254.169.254",
        "::1", "::", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "::ffff:169.254.169.254", "::ffff:127.0.0.1",
        "64:ff9b::a9fe:a9fe", "64:ff9b::0808:0808", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1", "224.0.0.1",
        "255.255.255.255", "ff02::1",
    ],
)  # fmt: skip
def test_an_inner_address_is_refused_in_every_disguise(address: str) -> None:
    assert refusal(address, Limits())


def test_metadata_services_are_refused_whatever_the_settings_say() -> None:
    open_ = Limits(("internal",), allow_loopback=True)
    for address in ("169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254"):
        assert refusal(address, open_, allowed=True)
    assert refusal("10.0.0.1", open_, allowed=True) == ""
    assert refusal("93.184.216.34", Limits()) == ""
    assert refusal("2606:2800:220:1::1", Limits()) == ""


def test_a_name_is_looked_up_once_and_that_address_is_used(receiver: Receiver, ledger: Ledger) -> None:
    asked = []

    def flipping(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    ledger.post(alerts(), NOW)
    url = receiver.url.replace("127.0.0.1", "hooks.example.com")
    through = webhook.channel(
        settings(receiver, url=url, allow_hosts=("hooks.example.com",)), lookup=flipping
    )
    deliver(ledger, {"hook": through}, NOW)
    assert asked == ["hooks.example.com"]
    assert receiver.got[0][1]["host"].startswith("hooks.example.com:")


def test_a_name_with_one_inner_address_is_refused_whole(receiver: Receiver, ledger: Ledger) -> None:
    ledger.post(alerts(), NOW)
    through = webhook.channel(
        Settings("https://hooks.example.com/", "env:HOOK"), lookup=lambda *_: ["93.184.216.34", "10.0.0.1"]
    )
    deliver(ledger, {"hook": through}, NOW)
    assert "10.0.0.1" in ledger.outbox()[0].last_error
    assert ledger.outbox()[0].state == "dead"


def test_plain_http_is_for_named_hosts_only(receiver: Receiver, ledger: Ledger) -> None:
    ledger.post(alerts(), NOW)
    through = webhook.channel(
        Settings("http://a.example.com/", "env:HOOK"), lookup=lambda *_: ["93.184.216.34"]
    )
    deliver(ledger, {"hook": through}, NOW)
    assert "plain http" in ledger.outbox()[0].last_error


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
    channels = {"hook": webhook.channel(settings(receiver, **wrong)), "other": lambda *_: Answer("delivered")}
    deliver(ledger, channels, NOW)
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


def test_an_unknown_event_in_the_settings_is_named() -> None:
    with pytest.raises(ConfigError, match="there is no event opend"):
        Settings(events=("opend",)).route()


def test_a_sender_killed_at_any_point_loses_no_alert_and_keeps_its_id(
    receiver: Receiver, tmp_path: Path
) -> None:
    path = tmp_path / "ledger"
    with Ledger.open(path) as ledger:
        ledger.record(scan(1), [], alerts=alerts(3), at=day(1))
        running = [other(path, "send", receiver.url, when) for when in ("before", "after")]
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
