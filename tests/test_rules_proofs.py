"""That rules proved themselves is remembered for these very rules and this very product, and for nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auditor import rulepack
from auditor.rulelang import proofs
from auditor.rulepack import load
from tests.rule_world import THING, block, pack_of

HOLDS = block(examples=[{"given": {"size": 1}, "verdict": "pass"}])
LIES = block(examples=[{"given": {"size": 0}, "verdict": "pass"}])


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the ids of the rules whose examples were judged."""
    seen: list[str] = []
    real = rulepack.judge_examples

    def watched(connection: Any, rule: rulepack.Rule, **more: Any) -> Any:
        seen.append(rule.id)
        return real(connection, rule, **more)

    monkeypatch.setattr(rulepack, "judge_examples", watched)
    return seen


def again(folder: Path, file: Path | None, **more: Any) -> rulepack.Pack:
    """Load the pack in a folder once more."""
    return load(
        [folder / "tests.yaml"], [folder / "frameworks"], schema={THING.name: THING}, proofs=file, **more
    )


def test_rules_prove_themselves_once_and_anew_where_no_file_is_given(
    tmp_path: Path, judged: list[str]
) -> None:
    pack_of(tmp_path, HOLDS)
    judged.clear()
    file = tmp_path / "proofs"
    assert [again(tmp_path, file).broken for _ in range(3)] == [()] * 3
    assert judged == ["a-rule"]
    again(tmp_path, None)
    assert judged == ["a-rule"] * 2


def test_rule_that_lies_is_never_taken_for_proven(tmp_path: Path, judged: list[str]) -> None:
    file = tmp_path / "proofs"
    pack_of(tmp_path, HOLDS)
    assert again(tmp_path, file).broken == ()
    pack_of(tmp_path, LIES)
    for _ in range(2):
        assert "says pass, but the rule judges fail" in again(tmp_path, file).broken[0]
    assert judged[-2:] == ["a-rule", "a-rule"]


@pytest.mark.parametrize("content", [b"", b"\xff\0", b"0" * 64 + b"\n", b"proven\n"])
def test_file_that_says_something_else_proves_nothing(
    tmp_path: Path, judged: list[str], content: bytes
) -> None:
    pack_of(tmp_path, HOLDS)
    judged.clear()
    file = tmp_path / "proofs"
    file.write_bytes(content)
    again(tmp_path, file)
    again(tmp_path, file)
    assert judged == ["a-rule"]


def test_another_version_of_product_or_language_or_table_asks_for_a_new_proof(
    tmp_path: Path, judged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack_of(tmp_path, HOLDS)
    file = tmp_path / "proofs"
    again(tmp_path, file)
    judged.clear()
    monkeypatch.setattr(proofs, "__version__", "another")
    again(tmp_path, file)
    monkeypatch.setattr(proofs, "_language", lambda: "another")
    again(tmp_path, file)
    other = rulepack.Table(THING.name, "Other things.", THING.key, THING.columns, kind="fact", entity="thing")
    load([tmp_path / "tests.yaml"], [tmp_path / "frameworks"], schema={THING.name: other}, proofs=file)
    assert judged == ["a-rule"] * 3


@pytest.mark.parametrize("where", ["no/such/folder/proofs", "folder", "a-file/proofs"])
def test_file_that_cannot_be_written_only_costs_time(tmp_path: Path, judged: list[str], where: str) -> None:
    pack_of(tmp_path, HOLDS)
    judged.clear()
    (tmp_path / "folder").mkdir()
    (tmp_path / "a-file").write_text("")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    assert [again(tmp_path, tmp_path / where).broken for _ in range(2)] == [(), ()]
    assert judged == ["a-rule"] * 2
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
