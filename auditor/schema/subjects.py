"""How the subjects of rules are described: the columns all of them have, and what gaps do to a fact."""

from __future__ import annotations

from auditor.schema import Column, Table, Unseen, text

POINTS = "backup_recovery_point"


def seen(*reads: tuple[str, str], may: Unseen) -> dict[str, object]:
    """Return what makes a column depend on source tables: what their unseen rows may do to it."""
    return {"reads": reads, "unseen": may}


def _subject(key: str) -> tuple[Column, ...]:
    return (
        text("subject_key", key),
        text(
            "zone",
            "its own tag, else its bucket's, else the strictest zone it serves; NULL when there is none",
        ),
        text("account", "AWS account id; NULL where there is none"),
        text("project", "Google Cloud project; NULL where there is none"),
        text("owner", "owner's e-mail; NULL when nobody is named"),
        text("region", "region; * for global; NULL where there is none"),
    )


def facts(
    name: str, entity: str, meaning: str, key: str, listed_by: tuple[tuple[str, str], ...], *columns: Column
) -> Table:
    """Describe the facts of one entity; `key` says how a row names itself."""
    return Table(
        name,
        meaning,
        ("subject_key",),
        (*_subject(key), *columns),
        kind="fact",
        entity=entity,
        listed_by=listed_by,
    )


def step(name: str, meaning: str, key: tuple[str, ...], *columns: Column) -> Table:
    """Describe a table between the steps."""
    return Table(name, meaning, key, columns, kind="fact")
