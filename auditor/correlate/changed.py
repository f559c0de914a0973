"""Whether a change was approved: by an entry of [[changes]] that names it, in its days, made by whom it names."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from auditor.correlate.zoning import Row, matches, parsed


def approved(
    changes: Iterable[Row], subject: str, actor: str | None, since: datetime, until: datetime
) -> tuple[bool | None, str | None, str | None]:
    """Return whether some entry fits, its id, and who approved it.

    `since` and `until` are between when it happened. None: an entry fits but for the actor, and who that was is not known.
    """
    open_ = False
    for change in sorted(changes, key=lambda row: str(row["id"])):
        if not (change["from_at"] <= until and since < change["until_at"]):
            continue
        if not any(matches(subject, glob) for glob in parsed(change["subjects"])):
            continue
        actors = parsed(change["actors"])
        if "*" in actors or (actor is not None and any(matches(actor, glob) for glob in actors)):
            return True, change["id"], change["approved_by"]
        open_ = open_ or actor is None
    return (None if open_ else False), None, None
