"""The configuration as tables: what evaluation and replay read instead of the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditor.config import load
from auditor.engines.duckdb import Engine
from auditor.errors import ConfigError
from auditor.schema import tables
from tests.rule_world import block, pack_of
from tests.test_config_load import ROOT, example_sections, read

ZONES = """\
[zones]
order = ["phi", "internal"]
[zones.phi]
policy_ref = "P"
approved_by = "x"
capture = "12h"
retention_d = "35d"
copy_to = [{ account = "111111111111", region = "r" }]
[zones.internal]
policy_ref = "P"
approved_by = "x"
capture = "none"
copy_to = []
bucket_min_d = "none"
"""
RULE = block("lag_s <= :most AND one_of(state, :words)", params={"most": {"default": "26h"}, "words": None})


def test_limit_that_nobody_stated_is_null_and_one_that_asks_nothing_is_minus_one(tmp_path: Path) -> None:
    phi, internal = read(tmp_path, ZONES).tables()["config_zone"]
    assert (phi["zone"], phi["rank"], phi["capture_s"], phi["retention_d"]) == ("phi", 0, 43200, 35)
    assert phi["copy_to"] == [{"account": "111111111111", "region": "r", "retention_d": 35}]
    assert (phi["copy_lag_s"], phi["bucket_min_d"], phi["regions"]) == (None, None, None)
    assert (internal["capture_s"], internal["copy_to"], internal["bucket_min_d"]) == (-1, [], -1)
    assert internal["retention_d"] is None


def test_parameters_come_from_the_rule_then_the_file_then_the_zone(tmp_path: Path) -> None:
    text = ZONES + '[params.TST-001]\nwords = ["a"]\n[zones.phi.rules.a-rule]\nmost = "1h"\n'
    rows = read(tmp_path, text).tables(pack_of(tmp_path, RULE).rules)["params"]
    assert [(row["rule"], row["zone"], row["name"], row["value"]) for row in rows] == [
        ("a-rule", "default", "most", 93600),
        ("a-rule", "default", "words", ["a"]),
        ("a-rule", "phi", "most", 3600),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[params.TST-002]\nmost = 1\n", ":1: params.TST-002: is no rule; did you mean 'TST-001'?"),
        ('[params.a-rule]\nmst = "1h"\n', ":2: params.a-rule.mst: rule 'a-rule' has no such parameter; did you mean 'most'?"),
        ("[params.a-rule]\nmost = 3600\n", ':2: params.a-rule.most: must be a duration such as "26h", not 3600'),
        ('[params.a-rule]\nmost = "soon"\n', ":2: params.a-rule.most: 'soon' is not a duration"),
        ('[params.a-rule]\nwords = "a"\n', ":2: params.a-rule.words: must be a list, not 'a'"),
    ],
)  # fmt: skip
def test_parameter_that_no_rule_takes_is_named_at_its_line(tmp_path: Path, text: str, said: str) -> None:
    config = read(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        config.tables(pack_of(tmp_path, RULE).rules)
    assert said in str(caught.value)


def test_parameter_of_a_rule_that_did_not_load_is_no_mistake(tmp_path: Path) -> None:
    pack = pack_of(tmp_path, block("sise > :most", params={"most": 1}))
    rows = read(tmp_path, "[params.a-rule]\nmost = 3\n").tables((*pack.rules, *pack.broken_rules))["params"]
    assert rows == []


def test_tables_of_the_example_fit_the_schema() -> None:
    made = load(ROOT / "config.example.toml", example_sections()).tables()
    described = tables()
    with Engine.open(None) as engine:
        for name, rows in made.items():
            columns = {column.name for column in described[name].columns}
            assert all(row.keys() <= columns for row in rows)
            engine.insert(name, rows)
            assert len(engine.table(name)) == len(rows)
    expected = {name for name in described if name.startswith("config_")} | {"params", "as_of"}
    assert made.keys() == expected
