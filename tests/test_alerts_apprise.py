"""Apprise, whose own way out is judged connection by connection."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from alert_case import NOW, Receiver, out, receiving
from test_alerts_channels import no_harm, sending, told

from auditor.alerts.channels import apprise
from auditor.alerts.channels.apprise import Settings
from auditor.alerts.deliver import Answer
from auditor.errors import ConfigError

pytest.importorskip("apprise")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        started.reply = lambda _: (200, {}, b"ok")
        yield started


@pytest.fixture
def settings(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("URL", f"jsons://127.0.0.1:{receiver.port}/hunter22")
    return Settings(urls=("env:URL",), timeout_s=60)


def attempt(settings: Settings, **more: object) -> Answer:
    return apprise.channel(settings, out(**more))(sending(told(3)), NOW)  # type: ignore[arg-type]


def test_a_message_arrives_as_safe_text(receiver: Receiver, settings: Settings) -> None:
    assert attempt(settings) == Answer("delivered", "Apprise says that it was sent")
    ((path, _, body),) = receiver.got
    assert path == "/hunter22"
    message = json.loads(body)
    for line in (message["title"], *message["message"].splitlines()):
        no_harm(line)


def test_this_machine_is_refused_unless_it_is_allowed(receiver: Receiver, settings: Settings) -> None:
    answer = attempt(settings, allow=())
    assert (answer.ended, receiver.got) == ("dead", [])
    assert "this machine itself" in answer.detail
    assert "hunter22" not in answer.detail


def test_a_redirect_to_a_metadata_service_is_not_followed(receiver: Receiver, settings: Settings) -> None:
    receiver.reply = lambda _: (307, {"Location": "https://169.254.169.254/latest"}, b"")
    assert attempt(settings).ended == "retry"
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    "url", ["json://127.0.0.1:9/x", "jsons://169.254.169.254/x", "jsons://2852039166/x", "nothing://x"]
)
def test_what_is_plain_inner_or_unknown_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("URL", url)
    answer = attempt(settings)
    assert answer.ended == "dead"
    assert answer.detail.startswith("refused: ")


def test_a_failure_is_tried_again_and_a_proxy_is_a_mistake(receiver: Receiver, settings: Settings) -> None:
    receiver.reply = lambda _: (503, {}, b"hunter22")
    answer = attempt(settings)
    assert answer.ended == "retry"
    assert "503" in answer.detail
    with pytest.raises(ConfigError, match="proxy"):
        attempt(settings, proxy="http://127.0.0.1:3128")
