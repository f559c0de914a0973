"""Every channel against a real server on this machine: what arrives, what hostile text becomes, what is never said."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alert_case import NOW, Receiver, out, receiving
from ledger_case import RULES, T0, day, outcome

from auditor.alerts import routes
from auditor.alerts.channels import pagerduty, pubsub, slack, teams, webhook
from auditor.alerts.compose import compose
from auditor.alerts.deliver import Answer, Way, deliver
from auditor.alerts.notices import digest, undelivered
from auditor.alerts.routes import Route
from auditor.alerts.text import LARGEST_BYTES, wire
from auditor.drift import Past, Present, compare
from auditor.ledger import Alert, Ledger, Sending

HOSTILE = (
    "<!channel> <@U1> @here @all [click](https://evil.example/x) ![i](https://evil.example/p.png) <https://evil.example|x> "
    "*b* `c` {{DATE(2017-02-14T06:00:00Z,SHORT)}} <script>alert(1)</script> &amp; \r\nBcc: victim@example.com\r\n\r\n"
    "\u202egpj.exe\u2066 \x1b[31m javascript:alert(1) password=hunter22"
)
PATH = "/services/T0/B0/hunter2hunter2"


def sending(alert: Alert, **more: Any) -> Sending:
    return Sending(alert, "sending", T0, 1, T0, "", None, **more)


def told(count: int = 1, text: str = HOSTILE, channel: str = "r") -> Alert:
    """Return the message of so many findings, all of whose texts are hostile."""
    found = [outcome("fail", f"arn:aws:s3:::b{n} {text}", because=f"{n} {text}") for n in range(count)]
    drift = compare(Past(previous_at=T0), Present(found), now=day(1))
    (alert,) = compose(drift, found, routes=[Route(channel, "low")], now=day(1), rules=RULES)
    return alert


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


@pytest.fixture
def url(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("URL", f"https://127.0.0.1:{receiver.port}{PATH}")
    monkeypatch.setenv("KEY", "0123456789abcdef0123456789abcdef")
    return "env:URL"


def strings(value: object) -> Iterator[str]:
    """Yield every text of a JSON value, keys too."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)
    elif isinstance(value, str):
        yield value


def no_harm(text: str) -> None:
    """See that no markup of any reader is left in a text that people read."""
    for never in (
        "](",
        "https://evil",
        "javascript:a",
        "\r",
        "\u202e",
        "\u2066",
        "\x1b",
        "hunter22",
        "{{",
        " @here",
    ):
        assert never not in text, never
    assert not text.startswith("@")


def test_every_channel_is_found_by_the_name_of_its_module() -> None:
    assert {"webhook", "slack", "teams", "pagerduty", "mail", "sns", "eventbridge", "pubsub"} <= set(
        routes.CHANNELS
    )
    for name in routes.CHANNELS:
        settings = routes.channel(name).Settings()
        assert not settings.on, name  # nothing is sent before somebody gives it an address
        assert list(settings.mistakes()) == []
        assert routes.channel_of(settings).__name__.endswith(name)


def test_slack_is_told_in_plain_blocks_that_no_markup_escapes_from(receiver: Receiver, url: str) -> None:
    send = slack.channel(slack.Settings(url=url), out())
    receiver.reply = lambda _: (200, {}, b"ok")
    assert send(sending(told(30)), NOW).ended == "delivered"
    ((path, headers, body),) = receiver.got
    assert path == PATH
    assert headers["content-type"].startswith("application/json")
    message = json.loads(body)
    assert len(body) <= 20_000 and len(body[body.index(b'"blocks"') :]) <= 12_000
    assert len(message["blocks"]) <= 50
    assert message["blocks"][0]["type"] == "header"
    for block in message["blocks"]:
        assert block["text"]["type"] == "plain_text"
        assert block["text"]["emoji"] is False
        assert 0 < len(block["text"]["text"]) <= (150 if block["type"] == "header" else 3000)
        assert "<" not in block["text"]["text"]
        no_harm(block["text"]["text"])
    assert "<" not in message["text"]
    assert "&lt;!channel&gt;" in message["text"]
    no_harm(message["text"])
    assert "and " in message["text"] and " more: " in message["text"]
    assert (message["unfurl_links"], message["mrkdwn"]) == (False, False)


def test_a_slack_webhooks_address_is_not_repeated_when_it_fails(receiver: Receiver, url: str) -> None:
    receiver.reply = lambda _: (404, {}, f"no_service at {PATH}".encode())
    answer = slack.channel(slack.Settings(url=url), out())(sending(told()), NOW)
    assert answer.ended == "dead"
    assert "hunter2" not in answer.detail
    receiver.reply = lambda _: None
    answer = slack.channel(slack.Settings(url=url), out())(sending(told()), NOW)
    assert answer.ended == "retry"
    assert "hunter2" not in answer.detail


def test_teams_is_told_in_one_card_whose_texts_are_runs(receiver: Receiver, url: str) -> None:
    receiver.reply = lambda _: (202, {}, b"")
    assert teams.channel(teams.Settings(url=url), out())(sending(told(30)), NOW).ended == "delivered"
    ((_, _, body),) = receiver.got
    message = json.loads(body)
    assert len(body) <= LARGEST_BYTES
    (attachment,) = message["attachments"]
    assert message["type"] == "message"
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    for block in card["body"]:
        assert block["type"] == "RichTextBlock"
        for run in block["inlines"]:
            assert run["type"] == "TextRun"
            no_harm(run["text"])


def alert(
    event: str, channel: str = "r", n: int = 0, *, at: int = 1, keys: int = 2, severity: str = "high"
) -> Alert:
    data = {"title": f"[HIGH] {event} {n}", "event": event, "severity": severity, "count": keys, "items": []}
    names = tuple(f"key-{n}-{k}" for k in range(keys))
    return Alert(
        f"msg_{event}_{n}_{at}",
        channel,
        event,
        names,
        {"type": "t", "timestamp": "2026-01-01T00:00:00Z", "data": data},
    )


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite3") as opened:
        yield opened


class PagerDuty:
    """What PagerDuty does with events: an incident is open from its trigger to its resolve."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        receiver.reply = lambda _: (202, {}, b'{"status":"success"}')

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for path, _, body in self.receiver.got if path == "/v2/enqueue"]

    def open(self) -> set[str]:
        found: set[str] = set()
        for event in self.events():
            if event["event_action"] == "trigger":
                found.add(event["dedup_key"])
            elif event["event_action"] == "resolve":
                found.discard(event["dedup_key"])
        return found


@pytest.fixture
def pager(receiver: Receiver, url: str, ledger: Ledger) -> tuple[PagerDuty, Callable[..., None]]:
    settings = pagerduty.Settings(routing_key="env:KEY", url=f"https://127.0.0.1:{receiver.port}")

    def run(at: int = 1, per_minute: int = 0) -> None:
        way = Way(pagerduty.channel(settings, out()), per_minute)
        deliver(ledger, {"r": way}, lambda: T0 + timedelta(hours=at))

    return PagerDuty(receiver), run


def test_an_incident_of_pagerduty_ends_when_the_last_of_its_matters_is_over(
    ledger: Ledger, pager: tuple[PagerDuty, Callable[..., None]]
) -> None:
    duty, run = pager
    opened, recovered = alert("opened", keys=2), alert("recovered", at=2, keys=1)
    ledger.post([opened], T0)
    run()
    assert duty.open() == {opened.alert_id}
    event = duty.events()[0]
    assert event["routing_key"] == "0123456789abcdef0123456789abcdef"
    assert event["payload"]["severity"] == "error"
    assert event["payload"]["summary"] == "[HIGH] opened 0"
    assert {"summary", "source", "severity"} <= set(event["payload"])
    ledger.post([recovered], T0 + timedelta(hours=1))
    run(2)
    assert duty.open() == {opened.alert_id}  # one of two is well again
    last = Alert("msg_last", "r", "recovered", ("key-0-1",), recovered.body)
    ledger.post([last], T0 + timedelta(hours=2))
    run(3)
    assert duty.open() == set()
    assert {sent.state for sent in ledger.outbox()} == {"delivered"}


def test_pagerduty_hears_of_the_end_after_the_beginning_though_the_beginning_failed_at_first(
    ledger: Ledger, pager: tuple[PagerDuty, Callable[..., None]]
) -> None:
    duty, run = pager
    duty.receiver.reply = lambda n: (503, {}, b"") if n == 0 else (202, {}, b"")
    ledger.post([alert("opened")], T0)
    run(0)
    ledger.post([alert("recovered")], T0 + timedelta(seconds=1))
    deliver(ledger, {"r": Way(lambda *_: pytest.fail("it overtook"))}, lambda: T0 + timedelta(seconds=2))
    run(1)
    assert [event["event_action"] for event in duty.events()] == ["trigger", "trigger", "resolve"]
    assert duty.open() == set()


def test_what_opens_nothing_wakes_nobody(
    ledger: Ledger, pager: tuple[PagerDuty, Callable[..., None]]
) -> None:
    duty, run = pager
    ledger.post([alert("changed")], T0)
    run()
    ((path, _, body),) = duty.receiver.got
    assert path == "/v2/change/enqueue"
    assert "event_action" not in json.loads(body)


def test_a_test_of_pagerduty_leaves_no_incident_open(
    ledger: Ledger, pager: tuple[PagerDuty, Callable[..., None]]
) -> None:
    duty, run = pager
    ledger.post([alert("test", keys=0)], T0)
    run()
    assert [event["event_action"] for event in duty.events()] == ["trigger", "resolve"]
    assert duty.open() == set()


def test_an_acknowledgement_names_the_incident(ledger: Ledger) -> None:
    found = pagerduty.events(sending(alert("acknowledged"), incidents=("msg_a",)))
    assert found == [("/v2/enqueue", {"event_action": "acknowledge", "dedup_key": "msg_a"})]


def test_incidents_within_a_digest_are_one_and_end_when_all_of_it_is_over(
    ledger: Ledger, pager: tuple[PagerDuty, Callable[..., None]]
) -> None:
    duty, run = pager
    ledger.post([alert("opened", n=n) for n in range(20)], T0)
    run(1, 3)
    assert len(duty.open()) == 3
    ledger.post([alert("recovered", n=n) for n in range(20)], T0 + timedelta(hours=1))
    run(2, 3)
    assert duty.open() == set()
    assert {sent.state for sent in ledger.outbox()} == {"delivered"}


def test_pubsub_gets_the_message_whole_with_attributes_to_filter_by(receiver: Receiver, url: str) -> None:
    settings = pubsub.Settings(
        topic="projects/p-1/topics/alerts", token="env:KEY", endpoint=f"https://127.0.0.1:{receiver.port}"
    )
    receiver.reply = lambda _: (200, {}, b'{"messageIds":["1"]}')
    message = told(3)
    assert pubsub.channel(settings, out())(sending(message), NOW).ended == "delivered"
    ((path, headers, body),) = receiver.got
    assert path == "/v1/projects/p-1/topics/alerts:publish"
    assert headers["authorization"] == "Bearer 0123456789abcdef0123456789abcdef"
    (one,) = json.loads(body)["messages"]
    assert json.loads(base64.b64decode(one["data"], validate=True)) == message.body
    assert one["attributes"] == {"alert_id": message.alert_id, "event": "opened", "severity": "high"}
    receiver.reply = lambda _: (401, {}, b"")
    assert pubsub.channel(settings, out())(sending(message), NOW).ended == "retry"


def test_without_credentials_of_google_the_message_waits_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    answer = pubsub.channel(pubsub.Settings(topic="projects/p-1/topics/alerts"), out())(sending(told()), NOW)
    assert answer.ended == "retry"
    assert "DefaultCredentialsError" in answer.detail


@pytest.mark.parametrize("count", [1, 25, 300])
def test_a_message_for_people_is_small_and_says_how_much_it_leaves_out(count: int) -> None:
    from auditor.alerts.words import said

    many = said(sending(told(count, "x" * 400)))
    assert len(many.parts) + many.left_out == count
    for made in (slack.message, teams.message):
        from auditor.alerts.words import fitted

        assert len(fitted(many, made, len)) <= LARGEST_BYTES


def test_a_digest_and_a_dead_letter_read_like_any_other_message(receiver: Receiver, url: str) -> None:
    many = digest([sending(told(2, f"{n} {HOSTILE}")) for n in range(150)], NOW)
    lost = undelivered(sending(told(40)), "r", f"HTTP 404 {HOSTILE}", NOW)
    for each in (many, lost):
        assert len(wire(each.body)) <= LARGEST_BYTES
        slack.channel(slack.Settings(url=url), out())(sending(each), NOW)
    first, second = (json.loads(body) for _, _, body in receiver.got)
    assert first["blocks"][0]["text"]["text"] == "[HIGH] 150 alerts in one message: 150 opened"
    assert f"auditor alerts list --within {many.alert_id}" in first["text"]
    assert "Not delivered by r" in second["text"]
    for text in strings([first, second]):
        no_harm(text)


def test_no_channel_repeats_a_secret(receiver: Receiver, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", "whsec_" + base64.b64encode(b"k" * 32).decode())
    receiver.reply = lambda n: (400, {}, receiver.got[n][2][:50_000] + str(receiver.got[n][1]).encode())
    base = f"https://127.0.0.1:{receiver.port}"
    sends = [
        pagerduty.channel(pagerduty.Settings(routing_key="env:KEY", url=base), out()),
        pubsub.channel(
            pubsub.Settings(topic="projects/p-1/topics/abc", token="env:KEY", endpoint=base), out()
        ),
        webhook.channel(webhook.Settings(url=base, secret="env:HOOK"), out()),
    ]
    for send in sends:
        answer: Answer = send(sending(told()), NOW)
        assert answer.ended == "dead"
        assert "0123456789abcdef" not in answer.detail
