"""Whatever Apprise sends to, as an extra: `pip install 'auditor[apprise]'`.

It has its own way out and answers yes or no, so it runs in a process of its own whose every connection is judged;
what it could not send is tried again, for it does not say whether that helps.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from typing import Any

from auditor.alerts.apprise_child import MISSING
from auditor.alerts.deliver import Answer, Send
from auditor.alerts.outgoing import Out, quoted
from auditor.alerts.routes import Wants
from auditor.alerts.secret import reveal
from auditor.alerts.words import Words, fitted, said
from auditor.config_alerts import Outgoing
from auditor.config_sections import Secret
from auditor.errors import ConfigError
from auditor.ledger import Sending

_MOST = 9_000


@dataclass(frozen=True, slots=True)
class Settings(Wants):
    """Receivers that Apprise knows."""

    urls: tuple[Secret, ...] = ()
    """Apprise's addresses, which are secrets, as env:NAME or file:PATH; empty switches the route off."""

    @property
    def on(self) -> bool:
        """Say whether it has an address."""
        return bool(self.urls)

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Yield what does not fit together."""
        yield from Wants.mistakes(self)
        if not all(self.urls):
            yield "urls", "holds an empty address"

    def ready(self, outgoing: Outgoing) -> None:
        """Raise ConfigError where a proxy is set, which it does not know, or where it is not installed."""
        if outgoing.proxy:
            raise ConfigError("Apprise cannot be sent through [alerts] proxy", remedy="Use another channel.")
        if find_spec("apprise") is None:
            raise _absent()


def channel(settings: Settings, out: Out) -> Send:
    """Return the function that sends by Apprise. `[alerts] proxy` has no meaning for it: it is refused."""

    def send_one(sending: Sending, _now: datetime) -> Answer:
        settings.ready(out.outgoing)
        urls = [reveal(reference) for reference in settings.urls]
        words = said(sending)
        asked = {
            "urls": urls,
            "title": words.title,
            "body": fitted(words, _text, lambda text: len(text.encode()), _MOST),
            "allow": out.outgoing.allow,
            "ca_file": out.outgoing.ca_file,
        }
        return _sent(asked, settings.timeout_s, urls)

    return send_one


def _absent() -> ConfigError:
    return ConfigError("Apprise is not installed", remedy="pip install 'auditor[apprise]'")


def _text(words: Words) -> str:
    return "\n".join(words.lines())


def _sent(asked: dict[str, Any], timeout_s: int, urls: list[str]) -> Answer:
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    command = [sys.executable, "-m", "auditor.alerts.apprise_child"]
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command,
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer("retry", f"Apprise took longer than {timeout_s} s")
    if done.returncode == MISSING:
        raise _absent()
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        return Answer("retry", quoted(f"Apprise failed: {last}", urls))
    told = json.loads(done.stdout)
    if told["sent"]:
        return Answer("delivered", "Apprise says that it was sent")
    if told["refused"]:
        return Answer("dead", quoted(f"refused: {told['because']}", urls))
    return Answer("retry", quoted(told["because"] or "Apprise says that it was not sent", urls))
