"""A message in words for people, before a channel gives it its form; every text in it is safe to show on one line.

What comes from the clouds is a stranger's: a job's name may hold markup, a link, or letters that turn the line round.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from auditor.alerts.text import LARGEST_BYTES, clean, visible
from auditor.ledger import Sending
from auditor.watch.told import not_decided

_T = TypeVar("_T")
_LINK = re.compile(r"(?i)\b(https?|ftp|file|javascript|data|vbscript)(:)(?=/|[^\s/])")
_MENTION = re.compile(r"(?<![\w.+-])@(?=\w)")
_LONGEST = 600
_SHORT = 120


@dataclass(frozen=True, slots=True)
class Part:
    """One matter that a message tells of."""

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    """(label, text)."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a message says."""

    alert_id: str
    title: str
    event: str
    severity: str
    at: str
    facts: tuple[tuple[str, str], ...] = ()
    parts: tuple[Part, ...] = ()
    left_out: int = 0
    """Matters that are not told in full."""
    look: str = ""
    """The command that tells the rest."""

    @property
    def more(self) -> str:
        """Say how many matters are left out, and where they are; empty when none is."""
        if not self.left_out:
            return ""
        return f"and {self.left_out} more: {self.look or 'auditor drift'}"

    def lines(self) -> Iterator[str]:
        """Yield the message as plain text."""
        yield self.title
        yield ""
        yield from (f"{label}: {text}" for label, text in self.facts)
        for part in self.parts:
            yield ""
            yield part.title
            yield from (f"  {label}: {text}" for label, text in part.facts)
        if self.more:
            yield ""
            yield self.more


def said(sending: Sending) -> Words:
    """Return what an alert says, of the message that machines are sent."""
    body = sending.alert.body
    data: Mapping[str, Any] = body.get("data") or {}
    items = [*data.get("items", ()), *data.get("alerts", ())]
    return Words(
        alert_id=sending.alert.alert_id,
        title=safe(data.get("title") or sending.alert.event, 300),
        event=sending.alert.event,
        severity=str(data.get("severity") or "low"),
        at=str(body.get("timestamp") or ""),
        facts=tuple(_facts(sending, data)),
        parts=tuple(_part(item) for item in items),
        left_out=int(data.get("items_left_out") or 0) + int(data.get("alerts_left_out") or 0),
        look=safe(data.get("look") or "", 200),
    )


def fitted(
    words: Words, make: Callable[[Words], _T], size: Callable[[_T], int], most: int = LARGEST_BYTES
) -> _T:
    """Return what `make` makes of a message, with as much left out as brings it under a size; it says how much."""
    made = make(words)
    while size(made) > most:
        shorter = _shorter(words)
        if shorter == words:
            return made
        words = shorter
        made = make(words)
    return made


_MANY = 25
_WHOLE = 3
_NEEDED = ("Resource", "Setting", "Before", "After", "Because", "Who", "Fix", "Evidence")
"""What a matter is not told without, where only the first few are told with all there is to say."""


def _shorter(words: Words) -> Words:
    thin = tuple(
        part if at < _WHOLE else replace(part, facts=tuple((k, v) for k, v in part.facts if k in _NEEDED))
        for at, part in enumerate(words.parts)
    )
    if thin != words.parts:
        return replace(words, parts=thin)
    if len(words.parts) > 1:
        keep = len(words.parts) - 1 if len(words.parts) <= _MANY else len(words.parts) * 3 // 4
        return replace(words, parts=words.parts[:keep], left_out=words.left_out + len(words.parts) - keep)
    cut = tuple(
        Part(part.title[:_SHORT], tuple((k, v[:_SHORT]) for k, v in part.facts)) for part in words.parts
    )
    short = replace(
        words, title=words.title[:_SHORT], parts=cut, facts=tuple((k, v[:_SHORT]) for k, v in words.facts)
    )
    if short != words or not words.parts:
        return short
    return replace(words, parts=(), left_out=words.left_out + 1)


def safe(value: object, longest: int = _LONGEST) -> str:
    """Return a text as one line: hidden characters are written out, no link can be clicked, nobody is called."""
    text = visible(clean(str(value), longest * 2) or "")
    text = _LINK.sub(r"\1[\2]", text).replace("](", "] (").replace("{{", "{ {")
    text = _MENTION.sub("(at)", text)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _facts(sending: Sending, data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Event", f"{sending.alert.event.replace('_', ' ')}, {data.get('severity') or 'low'}"
    lost = data.get("undelivered")
    if isinstance(lost, Mapping):
        yield "Not delivered by", f"{safe(lost.get('route'), 100)}: {safe(lost.get('because'), 300)}"
        yield "Send it again", safe(lost.get("look"), 200)
    yield from _more(data)
    exports = data.get("exports")
    if isinstance(exports, Mapping) and exports.get("count"):
        top = ", ".join(safe(each, 150) for each in exports.get("top") or ())
        yield "Exports affected", f"{exports['count']}: {top}"
    yield "Alert", sending.alert.alert_id


def _more(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a message says beside its matters: what it stands for, who decided what, what to run."""
    if isinstance(data.get("events"), Mapping):
        yield "Of these", ", ".join(f"{count} {safe(name, 40)}" for name, count in data["events"].items())
    for key, label in (("hides", "Findings that cannot be judged"), ("inhibited", "Gone with it")):
        if isinstance(data.get(key), Mapping):
            yield label, f"{data[key].get('count')}: {safe(data[key].get('look'), 100)}"
    silence = data.get("silence")
    if isinstance(silence, Mapping):
        yield "Silence", f"{safe(silence.get('author'), 100)}: {safe(silence.get('reason'), 300)}"
        yield "It lasted", f"{safe(silence.get('from'), 40)} to {safe(silence.get('until'), 40)}"
        kept = ", ".join(f"{count} {safe(name, 40)}" for name, count in (silence.get("held") or {}).items())
        yield "It kept back", f"{kept or 'reminders'}: {safe(silence.get('look'), 100)}"
    waiver = data.get("waiver")
    if isinstance(waiver, Mapping):
        yield "Waiver", f"{safe(waiver.get('waiver_id'), 40)} until {safe(waiver.get('ends_at'), 40)}"
        who = f"{safe(waiver.get('approver'), 100)}, asked for by {safe(waiver.get('requester'), 100)}"
        yield "Approved by", f"{who}: {safe(waiver.get('reason'), 300)}"
        yield "To renew it", safe(waiver.get("renew"), 150)
    if data.get("acknowledge"):
        yield "Open since", f"{safe(data.get('since'), 40)}; told {data.get('told')} times at most"
        yield "Work on it", safe(data["acknowledge"], 150)


_LABELS = (
    ("resource", "Resource"),
    ("resource_type", "Kind"),
    ("account", "Account"),
    ("region", "Region"),
    ("zone", "Zone"),
    ("owner", "Owner"),
    ("code", "Rule"),
    ("field", "Setting"),
    ("before", "Before"),
    ("after", "After"),
    ("because", "Because"),
    ("since", "Since"),
    ("told", "Times told"),
    ("changed_at", "Changed"),
    ("detected_at", "Detected"),
    ("looked_before_at", "The scan before looked"),
)


_IS = {"worse": "weaker", "better": "stronger", "neutral": "neither weaker nor stronger, or undecided"}
"""Of a setting; a finding fails or does not."""
_UNSURE = "not decided: it may be weaker, and counts as such"


def _part(item: Mapping[str, Any]) -> Part:
    if "alert_id" in item:  # of a digest
        return Part(safe(item.get("title") or "", 300))
    change = item.get("change") or "changed"
    what = item.get("rule") or item.get("field") or item.get("resource_type") or ""
    title = safe(f"{what} {change}: {item.get('resource') or ''}".strip(), 300)
    told = {**item, "because": str(item.get("because") or "").removeprefix(f"{item.get('resource')}: ")}
    if title.endswith(safe(item.get("resource") or "")):
        told.pop("resource", None)  # the title has it whole
    facts = [(label, safe(told[key])) for key, label in _LABELS if told.get(key)]
    if item.get("direction") in _IS and not item.get("rule"):
        unsure = item["direction"] == "worse" and not_decided(str(item.get("because") or ""))
        facts.append(("Is now", _UNSURE if unsure else _IS[str(item["direction"])]))
    if item.get("who") or item.get("who_because"):
        facts.append(("Who", safe(item.get("who") or item["who_because"])))
        if item.get("who") and item.get("who_because"):
            facts.append(("Known by", safe(item["who_because"])))
    if item.get("controls"):
        facts.append(("Controls", safe(", ".join(map(str, item["controls"])), 300)))
    if item.get("remedy"):
        facts.append(("Fix", safe(item["remedy"])))
    evidence = item.get("evidence") or {}
    if evidence.get("finding_id"):
        facts.append(("Evidence", f"auditor explain {safe(evidence['finding_id'], 80)}"))
    elif evidence.get("drift_id"):
        facts.append(("Evidence", f"drift {safe(evidence['drift_id'], 80)}"))
    return Part(title, tuple(facts))
