"""Every shipped rule loads, proves itself, and names controls that exist; the catalogue's groups are all served."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from auditor.rulepack import Pack, load
from auditor.schema import tables

ROOT = Path(__file__).parent.parent
CODES = [
    "IDN-001",
    "IDN-002",
    "IDN-003",
    "JOB-001",
    "JOB-002",
    "JOB-003",
    "JOB-009",
    "FED-001",
    "FED-002",
    "FED-003",
    "FED-004",
    "FED-005",
    "FED-006",
    "FED-007",
    "FED-008",
    "FED-010",
    "FED-014",
    "FED-015",
    "FED-016",
    "BKT-001",
    "BKT-002",
    "BKT-003",
    "BKT-004",
    "BKT-005",
    "BKT-007",
    "BKT-008",
    "BKT-009",
    "BKT-010",
    "BKT-011",
    "BKT-012",
    "OBJ-001",
    "PLN-001",
    "PLN-002",
    "PLN-003",
    "PLN-004",
    "PLN-005",
    "PLN-008",
    "RPT-001",
    "RPT-002",
    "RPT-003",
    "RPT-004",
    "RPT-005",
    "RPT-006",
    "CPY-001",
    "CPY-002",
    "CPY-004",
    "CPY-005",
    "VLT-001",
    "VLT-002",
    "VLT-003",
    "VLT-004",
    "RST-001",
    "RST-004",
    "CHN-001",
    "CHN-002",
    "CHN-003",
    "CHN-004",
    "CHN-005",
    "CHN-006",
    "CHN-007",
    "CHN-008",
    "CHN-009",
    "CHN-010",
    "CHN-015",
    "DRF-001",
    "DRF-005",
    "DRF-008",
    "LOG-001",
    "SCN-001",
    "SCN-002",
    "SCN-003",
    "SCN-007",
    "SCN-009",
]
MANUAL = {
    "soc2/PI1.2", "hipaa/164.308(a)(7)(ii)(C)", "hipaa/164.312(a)(2)(ii)", "hipaa/164.310(d)(2)(iv)",
}  # fmt: skip
"""What the catalogue says that no automated rule evidences."""


@pytest.fixture(scope="module")
def pack() -> Pack:
    return load([ROOT / "rules"], [ROOT / "rules" / "frameworks"])


def test_every_shipped_rule_loads_and_its_examples_hold(pack: Pack) -> None:
    assert pack.broken == ()


def test_every_rule_of_the_first_set_is_there(pack: Pack) -> None:
    assert {rule.code for rule in pack.rules} >= set(CODES)


def test_rules_that_fail_say_what_to_do_and_give_several_examples(pack: Pack) -> None:
    for rule in pack.rules:
        assert len(rule.remedy) > 20, rule.code
        assert len(rule.examples) >= 2, rule.code


def test_what_evidences_a_control_is_among_what_supports_it(pack: Pack) -> None:
    for rule in pack.rules:
        assert set(rule.evidences) <= set(rule.supports), rule.code


def test_no_rule_evidences_what_only_a_person_can() -> None:
    manual: set[str] = set()
    for path in sorted((ROOT / "rules" / "frameworks").glob("*.yaml")):
        listed = yaml.safe_load(path.read_text(encoding="utf-8"))
        manual |= {f"{listed['framework']}/{c['id']}" for c in listed["controls"] if c.get("manual")}
    loaded = load([ROOT / "rules"], [ROOT / "rules" / "frameworks"])
    evidenced = {control for rule in loaded.rules for control in rule.evidences}
    assert manual >= MANUAL
    assert not evidenced & manual


def test_controls_hold_an_id_a_paraphrase_and_nothing_a_comma_cut_off() -> None:
    for path in sorted((ROOT / "rules" / "frameworks").glob("*.yaml")):
        for control in yaml.safe_load(path.read_text(encoding="utf-8"))["controls"]:
            assert set(control) <= {"id", "paraphrase", "manual"}, control
            assert control.get("manual", True) is True


def test_controls_without_any_rule_are_flagged_as_manual(pack: Pack) -> None:
    served = {control for rule in pack.rules for control in rule.controls}
    for path in sorted((ROOT / "rules" / "frameworks").glob("*.yaml")):
        listed = yaml.safe_load(path.read_text(encoding="utf-8"))
        for control in listed["controls"]:
            name = f"{listed['framework']}/{control['id']}"
            assert name in served or control.get("manual"), f"{name} has no rule and is not flagged"


def test_every_entity_names_its_subject_alike() -> None:
    for table in tables().values():
        if table.entity and table.entity != "export":
            names = [column.name for column in table.columns]
            assert names[:6] == ["subject_key", "zone", "account", "project", "owner", "region"], table.name
            assert table.key == ("subject_key",)


def test_every_fact_that_gaps_can_change_names_real_tables() -> None:
    described = tables()
    for table in described.values():
        for source, _ in (*table.listed_by, *(read for c in table.columns for read in c.reads)):
            assert described[source].kind == "source", f"{table.name} depends on {source}"


def test_no_column_is_json_in_one_table_and_something_else_in_another_of_ours() -> None:
    """Engines decode by name: one name, one type."""
    kinds: dict[str, set[str]] = {}
    ours: set[str] = set()
    for table in tables().values():
        for column in table.columns:
            kinds.setdefault(column.name, set()).add("JSON" if column.type == "JSON" else "other")
            if table.name.endswith("_facts"):
                ours.add(column.name)
    assert [name for name in sorted(ours) if len(kinds[name]) > 1] == []
