"""What other rules would have said of a scan's evidence: the same snapshot, judged twice, verdict against verdict.

Nothing is recorded: it is how a rule is looked at before it is made active.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.judge import judge

if TYPE_CHECKING:
    from auditor.judge import Judgement
    from auditor.rulepack import Pack
    from auditor.snapshot import Snapshot

NONE = "none"
"""The verdict of a rule that did not judge the subject."""


@dataclass(frozen=True, slots=True)
class Change:
    """How many subjects of a rule would go from one verdict to another, with one of them for example."""

    code: str
    rule: str
    severity: str
    before: str
    after: str
    subjects: int
    example: str
    because: str


_CHANGES = """
WITH one AS (SELECT rule, code, severity, subject_table, subject_key, verdict, because FROM standing),
other AS (SELECT rule, code, severity, subject_table, subject_key, verdict, because FROM tried),
joint AS (
  SELECT coalesce(one.code, other.code) AS code, coalesce(one.rule, other.rule) AS rule,
    coalesce(other.severity, one.severity) AS severity,
    coalesce(one.verdict, 'none') AS before, coalesce(other.verdict, 'none') AS after,
    coalesce(one.subject_key, other.subject_key) AS subject_key,
    coalesce(other.because, one.because) AS because
  FROM one FULL JOIN other
    ON one.rule = other.rule AND one.subject_table = other.subject_table AND one.subject_key = other.subject_key
)
SELECT code, rule, min(severity) AS severity, before, after, count(*) AS subjects,
  min(subject_key) AS example, arg_min(because, subject_key) AS because
FROM joint WHERE before <> after
GROUP BY code, rule, before, after ORDER BY code, rule, before, after
"""


def tried(snapshot: Snapshot, pack: Pack, standing: Judgement, *, memory_mb: int = 1024) -> list[Change]:
    """Judge a snapshot by other rules and tell what differs from how it stands; sorted by code."""
    with tempfile.TemporaryDirectory(prefix="auditor-trial-") as into:
        judged = judge(snapshot, pack, into=Path(into), memory_mb=memory_mb)
        return list(_changes(standing, judged))


def _changes(standing: Judgement, judged: Judgement) -> Iterator[Change]:
    from auditor.engines.duckdb import Engine

    with Engine() as engine:
        engine.attach("standing", standing.dir / "outcome.parquet")
        engine.attach("tried", judged.dir / "outcome.parquet")
        for row in engine.rows(_CHANGES):
            yield Change(**row)
