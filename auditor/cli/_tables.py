"""The reference of every table, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.schema import tables

_KINDS = {
    "source": "What the sources collect",
    "joined": "What a snapshot is joined with",
    "fact": "What is derived",
}


def reference() -> Iterator[str]:
    """Yield docs/tables.md."""
    yield "# Tables"
    yield ""
    yield "Written by `auditor rules docs --tables`. NULL always means not known, never none. Times are UTC;"
    yield "units stand in names (`_s` seconds, `_d` days). The key is what refs and `subject_key` name a row by."
    for kind, title in _KINDS.items():
        yield ""
        yield f"## {title}"
        for table in tables().values():
            if table.kind != kind:
                continue
            entity = f" Rules judge it as `{table.entity}`." if table.entity else ""
            yield ""
            yield f"### {table.name}"
            yield ""
            yield f"{table.meaning}{entity} Key: {', '.join(f'`{name}`' for name in table.key)}."
            yield ""
            yield "| column | type | meaning |"
            yield "| --- | --- | --- |"
            for column in table.columns:
                yield f"| `{column.name}` | {column.type} | {column.meaning.replace('|', chr(92) + '|')} |"
