"""The rules that ship, read and proven once a process: each command of a test would do so again, for seconds in all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from auditor import rulepack
from auditor.builtin import builtin
from auditor.rulelang.marks import Marked
from auditor.rulelang.rule import BrokenRule, Rule
from auditor.schema import Table, tables

_JUDGING = ("judge_examples", "withheld", "connect")
"""What a test that looks on, or in between, puts something else in the place of."""


@contextmanager
def once() -> Iterator[None]:
    """Remember what came of a file that ships, as long as the file and all that its rules depend on are the same."""
    read, pack, prove = rulepack.read_yaml, rulepack._pack, rulepack._wrong_examples
    shipped, by = builtin("rules"), [getattr(rulepack, name) for name in _JUDGING]
    marked: dict[tuple[Path, bytes], Marked] = {}
    packs: dict[tuple[Any, ...], list[Rule | BrokenRule]] = {}
    proven: set[tuple[str, int, str]] = set()

    def read_once(path: Path, *name: str) -> Marked:
        if name or not path.is_relative_to(shipped):
            return read(path, *name)
        key = (path, path.read_bytes())
        if key not in marked:
            marked[key] = read(path)
        return marked[key]

    def pack_once(
        said: Marked, entities: Mapping[str, Table], controls: Mapping[str, frozenset[str]], raw: str
    ) -> list[Rule | BrokenRule]:
        own = {table.entity: table for table in tables().values() if table.entity}
        if not any(said is each for each in marked.values()) or entities != own:
            return list(pack(said, entities, controls, raw))
        key = (said.path, raw, *sorted(controls.items()))
        if key not in packs:
            packs[key] = list(pack(said, entities, controls, raw))
        return packs[key]

    def prove_once(rules: Iterable[Rule]) -> list[tuple[Rule, str]]:
        if [getattr(rulepack, name) for name in _JUDGING] != by:
            return prove(rules)
        new = [rule for rule in rules if _known(rule, shipped) not in proven]
        wrong = prove(new)
        failed = {rule.id for rule, _ in wrong}
        proven.update(key for rule in new if rule.id not in failed and (key := _known(rule, shipped)))
        return wrong

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rulepack, "read_yaml", read_once)
        patch.setattr(rulepack, "_pack", pack_once)
        patch.setattr(rulepack, "_wrong_examples", prove_once)
        yield


def _known(rule: Rule, shipped: Path) -> tuple[str, int, str] | None:
    """Return all that the verdicts of a rule's examples depend on; None for a rule of a test's own."""
    own = Path(rule.path).is_relative_to(shipped) and tables().get(rule.table.name) is rule.table
    return (rule.path, rule.line, rule.canonical) if own else None
