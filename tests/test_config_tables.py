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


# Presets ------------------------------------------------------------------------------------------------------------


def _shipped_params(tmp_path: Path, text: str) -> dict[tuple[str, str, str], object]:
    from auditor.builtin import builtin
    from auditor.rulepack import load as load_rules

    pack = load_rules([builtin("rules")], [builtin("rules") / "frameworks"], prove=False)
    codes = {rule.id: rule.code for rule in pack.rules}
    rows = read(tmp_path, text).tables(pack.rules)["params"]
    return {(codes[row["rule"]], row["zone"], row["name"]): row["value"] for row in rows}


def test_a_preset_is_off_until_a_zone_asks_and_then_holds_in_that_zone_alone(tmp_path: Path) -> None:
    without = _shipped_params(tmp_path, ZONES)
    asked = ZONES.replace("[zones.phi]", '[zones.phi]\npreset = "hipaa-proposed"')
    given = _shipped_params(tmp_path, asked)
    differs = {key: value for key, value in given.items() if without.get(key) != value}
    assert differs[("RPT-001", "phi", "max_age")] == 48 * 3600
    assert differs[("RST-002", "phi", "max_time")] == 72 * 3600
    assert {zone for _, zone, _ in differs} <= {"phi", "default"}
    assert given[("RPT-001", "default", "max_age")] == without[("RPT-001", "default", "max_age")]


def test_a_preset_for_people_who_have_no_zone_holds_everywhere_and_what_the_file_says_goes_before(
    tmp_path: Path,
) -> None:
    asked = ZONES.replace("[zones.phi]", '[zones.phi]\npreset = "hipaa-proposed"')
    assert _shipped_params(tmp_path, asked)[("IDN-004", "default", "grace")] == 3600
    said = asked + '[params.IDN-004]\ngrace = "2h"\n[zones.phi.rules.RPT-001]\nmax_age = "10h"\n'
    found = _shipped_params(tmp_path, said)
    assert found[("IDN-004", "default", "grace")] == 7200
    assert found[("RPT-001", "phi", "max_age")] == 36000


def test_every_parameter_of_every_preset_is_one_of_a_shipped_rule(tmp_path: Path) -> None:
    from auditor.config_presets import preset, presets

    for name in presets():
        asked = ZONES.replace("[zones.phi]", f'[zones.phi]\npreset = "{name}"')
        codes = {(code, param) for code, _, param in _shipped_params(tmp_path, asked)}
        given = {
            (code, param)
            for part in preset(name).values()
            for code, params in part.items()
            for param in params
        }
        assert given
        assert given <= codes


def test_a_preset_nobody_knows_is_named_with_the_one_that_was_meant(tmp_path: Path) -> None:
    asked = ZONES.replace("[zones.phi]", '[zones.phi]\npreset = "hipaa-proposd"')
    with pytest.raises(ConfigError, match="is no preset; did you mean 'hipaa-proposed'"):
        read(tmp_path, asked)
