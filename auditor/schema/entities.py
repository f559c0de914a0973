"""The subjects of rules beside exports: each fact with the tables behind it and what unseen rows could do to it."""

from __future__ import annotations

from auditor.schema import Table

TABLES: tuple[Table, ...] = ()
