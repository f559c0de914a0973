"""What changed permission policies come to: of each role by all that hangs on it, of a managed policy by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from auditor.policy import CARRYING
from auditor.watch.told import TORN, UNREADABLE, Told
from auditor.watch.values import Fields, Row

if TYPE_CHECKING:
    from auditor.policy.permitted import Permitted

VERSIONED = ("version", "document")
"""Columns of a managed policy that are told as one, `document`."""
_WORDS = {"wider": "worse", "incomparable": "worse", "narrower": "better"}
Rows = Mapping[Row, Fields]


class Documents:
    """The managed policies of both sides, and those whose text differs."""

    def __init__(self, old: Rows, new: Rows) -> None:
        self.then, self.now = _documents(old), _documents(new)
        self.rewritten = frozenset(
            arn
            for arn, text in self.now.items()
            if text is not None and self.then.get(arn) is not None and self.then[arn] != text
        )


def _documents(rows: Rows) -> dict[str, str | None]:
    return {
        key: fields["document"].value
        for (table, key), fields in rows.items()
        if table == "iam_policy" and "document" in fields
    }


def role(arn: str, old: Fields, new: Fields, documents: Documents) -> Told | None:
    """Tell of what a role may do; None when nothing is known to have changed, or it lets the same through."""
    was, has = ({name: side[name].value for name in CARRYING if name in side} for side in (old, new))
    if was == has and not (documents.rewritten and documents.rewritten & named(new)):
        return None
    from auditor.policy.permitted import permission_change  # who only reads the ledger needs no policies

    try:
        return _told(permission_change(arn, was, has, documents.then, documents.now))
    except TORN:
        return UNREADABLE


def behind(old: Fields, new: Fields, documents: Documents) -> frozenset[str]:
    """Return the managed policies that hang on a role and were rewritten: who did that changed the role."""
    if not documents.rewritten:
        return frozenset()
    return documents.rewritten & (named(old) | named(new))


def named(side: Fields) -> frozenset[str]:
    """Return the managed policies that hang on a role, its boundary too."""
    attached, boundary = (side[name].value if name in side else None for name in CARRYING[1:])
    try:
        found = json.loads(attached or "[]")
    except ValueError:
        found = []
    return frozenset(map(str, (*found, boundary) if isinstance(found, list) else (boundary,)))


def managed(arn: str, old: Fields, new: Fields) -> Told | None:
    """Tell of a managed policy by what it lets through by itself; by its version where its text was not read."""
    was, has = (side["document"].value if "document" in side else None for side in (old, new))
    if was is None or has is None:
        versions = [side["version"].value if "version" in side else None for side in (old, new)]
        if None in versions or versions[0] == versions[1]:
            return None
        return Told(says="undecided: its text was not read", before=versions[0], after=versions[1])
    if was == has:
        return None
    from auditor.policy.permitted import document_change

    return _told(document_change(arn, was, has))


def _told(change: Permitted | None) -> Told | None:
    if change is None or change.verdict == "equivalent":
        return None
    word = "changed" if change.verdict == "undecided" else f"is {change.verdict}"
    says = f"undecided: {change.because}" if change.verdict == "undecided" else change.because
    return Told(_WORDS.get(change.verdict, "neutral"), says, change.before, change.after, word=word)
