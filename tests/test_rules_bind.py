"""Every sentence a shipped rule may have to say can be said: its whole statement fits the facts, whatever it finds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product

import pytest

from auditor.builtin import builtin
from auditor.correlate import correlate
from auditor.engines.duckdb import Engine
from auditor.evaluate import _Estate
from auditor.rulelang.judge import Lot, create_outcome, judge
from auditor.rulelang.rule import Rule
from auditor.rulelang.saying import Applied, Part, Saying
from auditor.rulelang.subjects import coverage_sql, subjects_sql
from auditor.rulelang.truths import relation_columns
from auditor.rulepack import load
from auditor.schema import tables

PACK = load([builtin("rules")], [builtin("rules") / "frameworks"], prove=False)


@pytest.fixture(scope="module")
def facts() -> Iterator[Engine]:
    """An estate without a row, correlated: every table of the facts is there."""
    values = {"TEXT": "", "INT": 0, "BOOL": False, "TIME": datetime(2026, 1, 1, tzinfo=UTC), "JSON": []}
    with Engine.open(None) as engine:
        engine.insert("as_of", [{column.name: values[column.type] for column in tables()["as_of"].columns}])
        correlate(engine)
        yield engine


@pytest.mark.parametrize("rule", PACK.rules, ids=lambda rule: rule.id)
def test_every_verdict_of_a_rule_can_be_worded(rule: Rule, facts: Engine) -> None:
    sources = {read[0] for read in rule.reads}
    for sql in coverage_sql(sources):
        facts.execute(sql)
    columns = relation_columns(rule)
    relation = subjects_sql(rule.table, columns, rule.reads, [], sources)
    for history in (True, False):
        applied = Applied(rule, _Estate(facts).values(rule), history=history)
        create_outcome(facts)
        assert list(judge(facts, [Lot(rule.table, relation, (applied,), columns, rule.reads)])) == []
        for truths in product((True, False, None), repeat=len(applied.clauses)):
            for part in _parts(applied.say(truths, None)):
                assert isinstance(part, str) or part[1] in columns
        for column in {column for clause in rule.clauses for column in clause.columns}:
            assert set(applied.reasons(column)) <= set(columns)


def _parts(saying: Saying) -> Iterator[Part]:
    yield from (*saying.because, *saying.failed, *saying.unknown, *(saying.doubts or ()))
    yield from (("", column) for column in (*saying.link_gaps, *saying.refs))
