"""What a step may say: one text, and the same meaning on every engine. Needs no Java."""

from __future__ import annotations

import pytest

from auditor import correlate
from auditor.engines import portable
from auditor.engines.spark import far

STEPS = {step.name: step for step in correlate.steps() if step.language == "sql"}
HERE = {
    "10_certain_job.sql": "reads a label by a path that is computed",
    "42_unattributed_object.sql": "writes lists as JSON",
    "52_job_template.sql": "unnests a list of job ids in JSON",
    "65_point.sql": "reads a tag by a path that is computed",
    "67_point_size.sql": "takes a quantile over a window",
    "67_point_tags.sql": "compares two maps in JSON",
    "84_watched_change.sql": "names the columns of a table by VALUES",
    "91_object_group_facts.sql": "writes lists as JSON",
}
"""Steps that another engine would not understand; they read small tables alone, so only DuckDB ever runs them."""
IN_WORK = {
    "90_object_place.sql",
}


def test_the_steps_that_run_on_spark_are_those_that_read_what_grows_with_objects() -> None:
    found = far((step.table, step.text) for step in STEPS.values())
    assert {"followed", "cell", "burst", "export_write", "credential_write", "first_version"} <= set(found)
    assert not {"export", "point", "recovery_point_facts", "bucket_facts", "vault_facts"} & set(found)


@pytest.mark.parametrize("name", sorted(STEPS.keys() - HERE.keys() - IN_WORK))
def test_a_step_says_only_what_was_compared_on_every_engine(name: str) -> None:
    assert portable.problems(STEPS[name].text) == []
    assert portable.spark(STEPS[name].text)


@pytest.mark.parametrize("name", sorted(HERE))
def test_a_step_that_only_duckdb_understands_never_runs_on_spark(name: str) -> None:
    assert portable.problems(STEPS[name].text), "it could stand without an exception"
    assert STEPS[name].table not in far((step.table, step.text) for step in STEPS.values())


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("SELECT a.x FROM a ASOF JOIN b ON a.x = b.x AND a.t >= b.t", "ASOF JOIN"),
        ("SELECT x FROM a POSITIONAL JOIN b", "POSITIONAL JOIN"),
        ("SELECT x FROM a NATURAL JOIN b", "NATURAL JOIN"),
        ("SELECT x FROM a JOIN b USING (x)", "USING"),
        ("SELECT extract(epoch FROM t) AS s FROM a", "EXTRACT"),
        ("SELECT extract(second FROM t) AS s FROM a", "EXTRACT"),
        ("SELECT epoch(t) AS s FROM a", "not on the list|no function"),
        ("SELECT unnest([1, 2]) AS n", "unnest"),
        ("SELECT x FROM a, unnest(a.list) AS u(x)", "unnest|not on the list|name of a table"),
        ("SELECT x FROM a QUALIFY row_number() OVER (ORDER BY x) = 1", "QUALIFY"),
        ("SELECT parse_dirpath(key) AS dir FROM a", "parse_dirpath"),
        ("SELECT list(x ORDER BY x) AS xs FROM a", "loses its order"),
        ("SELECT string_agg(x, ',' ORDER BY x) AS xs FROM a", "Spark 4 alone"),
        ("SELECT to_json(x) AS j FROM a", "to_json"),
        ("SELECT min_by(k, t) AS k FROM a", "tie to chance"),
        ("SELECT arg_max(k, t) AS k FROM a", "tie to chance"),
        ("SELECT any_value(k) AS k FROM a", "chance"),
        ("SELECT quantile_disc(x, 0.5) AS m FROM a", "quantiles"),
        ("SELECT x / 2 AS h FROM a", "float"),
        ("SELECT x // 2 AS h FROM a", "negative"),
        ("SELECT x * 1.5 AS h FROM a", "no whole number"),
        ("SELECT CAST(x AS DOUBLE) AS d FROM a", "cast to DOUBLE"),
        ("SELECT CAST(x AS INTEGER) AS d FROM a", "cast to INT"),
        ("SELECT TRY_CAST(x AS BIGINT) AS d FROM a", "not on the list"),
        ("SELECT x FROM a WHERE x LIKE y", "ESCAPE"),
        ("SELECT x FROM a WHERE x LIKE 'a\\_b'", "ESCAPE"),
        ("SELECT x FROM a WHERE x ILIKE 'a'", "not on the list"),
        ("SELECT x FROM a WHERE regexp_matches(x, 'a')", "not on the list"),
        ("SELECT regexp_replace(x, 'a', 'b') AS x FROM a", "first match"),
        ("SELECT regexp_replace(x, 'a$', '', 'g') AS x FROM a", "first match"),
        ("SELECT regexp_extract(x, 'a(.)') AS x FROM a", "regexp_extract"),
        ("SELECT substr(x, -3) AS x FROM a", "substr"),
        ("SELECT substr(x, y, 3) AS x FROM a", "substr"),
        ("SELECT date_diff('day', s, t) AS d FROM a", "count seconds"),
        ("SELECT date_trunc('week', t) AS w FROM a", "WEEK"),
        ("SELECT t + INTERVAL 1 MONTH AS t FROM a", "MONTH"),
        ("SELECT row_number() OVER (PARTITION BY x) AS n FROM a", "without ORDER BY"),
        ("SELECT x FROM a LIMIT 1", "LIMIT without"),
        ("SELECT x, count(*) AS n FROM a GROUP BY ALL", "GROUP BY ALL"),
        ("SELECT * EXCLUDE (x) FROM a", "EXCLUDE"),
        ("SELECT x FROM a USING SAMPLE 10", "not on the list"),
        ("SELECT x FROM read_parquet('a')", "name of a table"),
        ("SELECT x FROM 'a.parquet'", "name of a table"),
        ("SELECT x FROM other.a", "name of a table"),
        ("WITH RECURSIVE r AS (SELECT 1 AS n) SELECT n FROM r", "RECURSIVE"),
        ("SELECT random() AS r", "another one each time"),
        ("SELECT now() AS t", "not on the list|no function"),
        ("SELECT current_date AS t", "not on the list"),
        ("SELECT hash(x) AS h FROM a", "hash"),
        ("SELECT x FROM a; SELECT x FROM b", "one SELECT"),
        ("DROP TABLE a", "one SELECT"),
        ("SELECT FROM WHERE", "one SELECT"),
    ],
)  # fmt: skip
def test_what_engines_do_not_share_is_refused_with_the_reason(said: str, why: str) -> None:
    assert portable.problems(said)
    with pytest.raises(ValueError, match=why):
        portable.spark(said)


def test_seconds_are_counted_as_duckdb_counts_them_and_hours_have_no_zone() -> None:
    said = portable.spark("SELECT date_diff('second', a, b) AS s, date_trunc('hour', a) AS h FROM t")
    assert "UNIX_SECONDS(CAST(`b` AS TIMESTAMP_LTZ)) - UNIX_SECONDS(CAST(`a` AS TIMESTAMP_LTZ))" in said
    assert "CAST(DATE_TRUNC('HOUR', `a`) AS TIMESTAMP_NTZ)" in said


def test_a_null_is_sorted_to_the_end_on_every_engine() -> None:
    said = portable.spark("SELECT row_number() OVER (ORDER BY a, b DESC) AS n FROM t")
    assert "`a` NULLS LAST" in said
    assert "`b` DESC NULLS LAST" in said or "`b` DESC)" in said  # Spark's own order of a descending key
