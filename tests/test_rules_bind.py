"""Every sentence a shipped rule may have to say can be said: its whole statement fits the facts, whatever it finds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from auditor.builtin import builtin
from auditor.correlate import correlate
from auditor.engines.duckdb import Engine
from auditor.evaluate import _Estate
from auditor.rulelang.judge import EVERY, relation_columns, statement
from auditor.rulelang.rule import Rule
from auditor.rulelang.subjects import coverage_sql, subjects_sql
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
    for sql in coverage_sql({read[0] for read in rule.reads}):
        facts.execute(sql)
    sources = {read[0] for read in rule.reads}
    for sql in subjects_sql(rule.table, relation_columns(rule), sorted(rule.reads), [], sources):
        facts.execute(sql)
    for history in (True, False):
        facts.execute(
            statement(rule, "_subject", _Estate(facts).values(rule), history=history, verdicts=EVERY)
        )
