"""The commands for authors of rules: what a rule would change, a page a rule, and a schema for editors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fault_world import small_story
from jsonschema import Draft202012Validator

from auditor.builtin import builtin
from auditor.rulelang.editor import json_schema
from auditor.rulepack import load
from auditor.sandbox.estate import Estate
from tests.cli_case import answer, run

OWN = """
pack: own
rules:
  - id: {id}
    code: {code}
    title: A bucket is one we know
    severity: low
    supports: [soc2/CC6.1]
    for: bucket
    checks:
      - {{name: it is known, expr: "name = 'acme-hr-internal'"}}
    because: "{{name}} is not known"
    remedy: Ask.
    examples:
      - {{given: {{name: acme-hr-internal}}, verdict: pass}}
      - {{given: {{name: x}}, verdict: fail}}
      - {{given: {{name: null}}, verdict: unknown}}
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state that holds one scan of a small estate."""
    folder = tmp_path_factory.mktemp("rules")
    estate = Estate.open(small_story())
    try:
        estate.advance(1)
        path = estate.config(folder)
        done = run("scan", "--at", estate.now(1).isoformat(), "--slot", "W01", config=path)
        assert done.exit_code in (0, 4), done.output
    finally:
        estate.close()
    return path


def pack(folder: Path, **words: str) -> Path:
    path = folder / "own.yaml"
    path.write_text(OWN.format(**{"id": "bucket-known", "code": "OWN-001"} | words), encoding="utf-8")
    return path


def test_rules_as_they_stand_change_nothing_of_the_last_scan(config: Path) -> None:
    assert answer("rules", "test", config=config)["changes"] == []
    assert "they would change no verdict" in run("rules", "test", config=config).stdout


def test_a_new_rule_is_tried_on_the_last_scan_and_nothing_is_recorded(config: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in config.parent.rglob("*") if path.is_file()}
    said = answer("rules", "test", str(pack(tmp_path)), config=config)
    assert said["against"] == "W01"
    told = {(one["code"], one["before"], one["after"]) for one in said["changes"]}
    assert ("OWN-001", "none", "fail") in told
    assert {code for code, *_ in told} == {"OWN-001"}
    assert {path: path.read_bytes() for path in config.parent.rglob("*") if path.is_file()} == before


def test_a_rule_of_the_same_code_is_tried_in_place_of_the_active_one(config: Path, tmp_path: Path) -> None:
    path = pack(tmp_path, id="bucket-versioned", code="BKT-005")
    changes = answer("rules", "test", str(path), config=config)["changes"]
    assert {(one["code"], one["before"], one["after"]) for one in changes} == {("BKT-005", "pass", "fail")}
    text = run("rules", "test", str(path), config=config).stdout
    assert "STANDS" in text
    assert "WOULD BE" in text


def test_without_a_scan_a_rule_is_judged_by_its_examples_alone(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[state]\ndir = "{tmp_path / "state"}"\n', encoding="utf-8")
    done = run("rules", "test", str(pack(tmp_path)), config=config)
    assert done.exit_code == 0
    assert "No scan yet to try them on." in done.stdout


def test_docs_write_a_page_for_every_rule_and_an_index_that_leads_to_each(tmp_path: Path) -> None:
    into = tmp_path / "pages"
    assert run("rules", "docs", "--into", str(into)).exit_code == 0
    rules = load([builtin("rules")], [builtin("rules") / "frameworks"], prove=False).rules
    pages = {path.name for path in into.iterdir()}
    assert pages == {f"{rule.code}.md" for rule in rules} | {"README.md"}
    index = (into / "README.md").read_text(encoding="utf-8")
    assert all(f"]({rule.code}.md)" in index for rule in rules)
    page = (into / "CHN-001.md").read_text(encoding="utf-8")
    assert "Retrievable exact copies" in page
    assert "None" not in page


def _validator() -> Draft202012Validator:
    from auditor.schema import tables

    shipped = load([], [builtin("rules") / "frameworks"], prove=False)
    controls = [control.name for each in shipped.frameworks for control in each.controls]
    schema = json_schema(tables().values(), controls)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_every_shipped_pack_is_fine_by_the_schema_that_editors_get() -> None:
    validator = _validator()
    for path in sorted(builtin("rules").glob("*.yaml")):
        said = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
        wrong = [
            (path.name, list(error.path), error.message)
            for error in validator.iter_errors(said)
            if "is not of type 'object'" not in error.message
        ]
        assert wrong == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"severity": "urgent"}, ["rules", 0, "severity"]),
        ({"for": "buckett"}, ["rules", 0, "for"]),
        ({"supports": ["soc2/CC99"]}, ["rules", 0, "supports", 0]),
        ({"remedie": "x"}, ["rules", 0]),
        ({"examples": [{"given": {"nme": 1}, "verdict": "pass"}]}, ["rules", 0, "examples", 0, "given"]),
        ({"examples": [{"given": {}, "verdict": "good"}]}, ["rules", 0, "examples", 0, "verdict"]),
    ],
)
def test_an_editor_is_told_of_a_mistake_where_it_stands(change: dict[str, Any], where: list[Any]) -> None:
    said = yaml.safe_load(OWN.format(id="bucket-known", code="OWN-001"))
    assert list(_validator().iter_errors(said)) == []
    said["rules"][0] |= change
    assert [list(error.path) for error in _validator().iter_errors(said)] == [where]


def test_the_schema_is_printed_as_json() -> None:
    assert json.loads(run("rules", "schema").stdout)["title"] == "A pack of rules"
