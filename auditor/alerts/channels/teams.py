"""A workflow of Microsoft Teams that posts what a webhook request brings: one Adaptive Card.

Text blocks and facts of a card are read as Markdown; runs of a rich text block are not
(learn.microsoft.com/adaptive-cards/authoring-cards/text-features), so what is not ours stands in runs alone.
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
from auditor.alerts.words import Words, fitted, said
from auditor.config_sections import Secret
from auditor.ledger import Sending

_COLOURS = {"critical": "Attention", "high": "Attention", "medium": "Warning"}
_MOST = 20_000
"""The documented limit is about 28 KB; others met it at 21."""


@dataclass(frozen=True, slots=True)
class Settings(Wants):
    """A workflow of Teams with the trigger "When a Teams webhook request is received"."""

    url: Secret = ""
    """The workflow's address, which is a secret, as env:NAME or file:PATH; empty switches the route off."""

    @property
    def on(self) -> bool:
        """Say whether it has an address."""
        return bool(self.url)


def channel(settings: Settings, out: Out) -> Send:
    """Return the function that sends to this workflow."""

    def send_one(sending: Sending, now: datetime) -> Answer:
        url = reveal(settings.url)
        body = fitted(said(sending), message, len, _MOST)
        query = url.partition("?")[2]
        return send(
            url,
            body,
            {"content-type": "application/json"},
            out,
            now,
            timeout_s=settings.timeout_s,
            secrets=[url, query],
        )

    return send_one


def message(words: Words) -> bytes:
    """Return the body of a request: a message with one card."""
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": list(_body(words)),
    }
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    body = {"type": "message", "attachments": [attachment]}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _body(words: Words) -> Iterator[dict[str, Any]]:
    over = words.event in {"recovered", "vanished"}
    colour = "Good" if over else _COLOURS.get(words.severity, "Default")
    yield _block(_run(words.title, weight="Bolder", size="Large", color=colour))
    yield from (_fact(*fact) for fact in words.facts)
    for part in words.parts:
        yield _block(_run(part.title, weight="Bolder"), separator=True, spacing="Medium")
        yield from (_fact(*fact) for fact in part.facts)
    if words.more:
        yield _block(_run(words.more), separator=True)


def _fact(label: str, text: str) -> dict[str, Any]:
    return _block(_run(f"{label}: ", isSubtle=True), _run(text), spacing="Small")


def _block(*runs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": list(runs), **more}


def _run(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "TextRun", "text": text, **more}
