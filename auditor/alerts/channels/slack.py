"""A Slack-compatible incoming webhook: Slack itself, and what takes its form, such as Mattermost.

Slack shows the blocks; what knows no blocks shows `text`, which therefore says all. No text of the evidence is
markup: blocks hold plain text alone, and of `text` the three characters that begin markup are escaped
(docs.slack.dev/messaging/formatting-message-text).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auditor.alerts.deliver import Answer, Send
from auditor.alerts.outgoing import Out, send
from auditor.alerts.routes import Wants
from auditor.alerts.secret import reveal
from auditor.alerts.text import LARGEST_BYTES
from auditor.alerts.words import Words, fitted, said
from auditor.config_sections import Secret
from auditor.ledger import Sending

_HEADER = 150
_SECTION = 3000
_BLOCKS = 50
_MOST = 12_000
"""Slack refuses blocks of some 13,200 characters in all, which its reference does not say (slackapi/bolt-js 2509)."""


@dataclass(frozen=True, slots=True)
class Settings(Wants):
    """A channel of Slack, or of what takes Slack's form."""

    url: Secret = ""
    """The webhook's address, which is a secret, as env:NAME or file:PATH; empty switches the route off."""

    @property
    def on(self) -> bool:
        """Say whether it has an address."""
        return bool(self.url)


def channel(settings: Settings, out: Out) -> Send:
    """Return the function that sends to this channel."""

    def send_one(sending: Sending, now: datetime) -> Answer:
        url = reveal(settings.url)
        headers = {"content-type": "application/json; charset=utf-8"}
        body = fitted(said(sending), message, _over, 0)
        return send(url, body, headers, out, now, timeout_s=settings.timeout_s, secrets=[url, _path(url)])

    return send_one


def message(words: Words) -> bytes:
    """Return the body of a message."""
    body = {
        "text": escaped("\n".join(words.lines())),
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": list(_blocks(words))[:_BLOCKS],
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _over(body: bytes) -> int:
    """Return by how many bytes a body is too long, for Slack's blocks or as a message."""
    blocks = body[body.index(b'"blocks":') :]
    return max(0, len(blocks) - _MOST, len(body) - LARGEST_BYTES)


def escaped(text: str) -> str:
    """Escape the three characters that begin Slack's markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _blocks(words: Words) -> Iterator[dict[str, Any]]:
    yield {"type": "header", "text": _plain(words.title, _HEADER)}
    yield {"type": "section", "text": _plain("\n".join(f"{k}: {v}" for k, v in words.facts), _SECTION)}
    for part in words.parts[: _BLOCKS - 3]:
        text = "\n".join((part.title, *(f"{k}: {v}" for k, v in part.facts)))
        yield {"type": "section", "text": _plain(text, _SECTION)}
    if words.more or len(words.parts) > _BLOCKS - 3:
        rest = words.more or f"and {len(words.parts) - _BLOCKS + 3} more"
        yield {"type": "section", "text": _plain(rest, _SECTION)}


def _plain(text: str, longest: int) -> dict[str, Any]:
    """Return a text that is shown as it is; escaping may make it longer, and a cut must not fall within an escape."""
    cut = text
    while len(escaped(cut)) > longest:
        cut = cut[: len(cut) - max(1, (len(escaped(cut)) - longest) // 5) - 1] + "…"
    return {"type": "plain_text", "text": escaped(cut) or " ", "emoji": False}


def _path(url: str) -> str:
    return url.partition("://")[2].partition("/")[2]
