"""A bundle is judged again from itself alone, to the same bytes; what differs is named."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from bundle_world import RULES, files, foreign, packed, resealed, rows, shared, unpacked

from auditor import bundle
from auditor.errors import UsageError, VerificationError


def written(folder: Path, content: dict[str, bytes]) -> Path:
    path = folder / "changed.zip"
    path.write_bytes(packed("evidence", content))
    return path


def test_a_bundle_judged_again_offline_gives_the_same_outcomes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("replay asked for a network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.chdir(tmp_path)
    result = bundle.replay(shared()[1], into=tmp_path / "replay")
    assert result.equal
    recorded = {run["scan"]: run for run in rows(files()["data/runs.jsonl"])}
    assert [row.scan for row in result.rows] == list(recorded)
    for row in result.rows:
        run = recorded[row.scan]
        assert (row.snapshot, row.rules_now, row.got) == (
            run["snapshot_id"],
            run["rule_digest"],
            run["outcome_digest"],
        )
        assert row.difference == ""


def test_a_threshold_changed_in_a_bundled_rule_is_noticed_and_the_outcome_named(tmp_path: Path) -> None:
    (name,) = [name for name in files() if name.startswith("data/rules/")]
    changed = RULES.replace("most: {default: 5}", "most: {default: 2}").replace("objects: 5", "objects: 2")
    path = written(tmp_path, resealed(files() | {name: changed.encode()}, foreign()))
    result = bundle.replay(path, into=tmp_path / "replay")
    assert not result.equal
    for row in result.rows:
        assert row.difference.startswith("TST-002 export-small claims/daily/dt=2026-01-05/#u-1: pass")
        assert "fail" in row.difference
        assert row.rules != row.rules_now


def test_a_rule_changed_without_effect_is_noticed_too(tmp_path: Path) -> None:
    (name,) = [name for name in files() if name.startswith("data/rules/")]
    changed = RULES.replace("title: An export is small", "title: An export is tiny")
    path = written(tmp_path, resealed(files() | {name: changed.encode()}, foreign()))
    result = bundle.replay(path, into=tmp_path / "replay")
    assert not result.equal
    assert all("not those that judged then" in row.difference for row in result.rows)


def test_outcomes_changed_in_the_ledger_segment_do_not_come_out_again(tmp_path: Path) -> None:
    changed = files()["data/ledger.jsonl"].replace(b'"outcome_digest":"', b'"outcome_digest":"00')
    path = written(tmp_path, resealed(files() | {"data/ledger.jsonl": changed}, foreign()))
    assert not bundle.replay(path, into=tmp_path / "replay").equal


def test_what_is_altered_or_no_bundle_is_not_judged(tmp_path: Path) -> None:
    content = dict(files())
    content["data/findings.jsonl"] += b"{}\n"
    with pytest.raises(VerificationError, match=r"data/findings\.jsonl was altered"):
        bundle.replay(written(tmp_path, content), into=tmp_path / "one")
    with pytest.raises(UsageError):
        bundle.replay(tmp_path / "nowhere.zip", into=tmp_path / "two")
    for name in ("data/about.json", "data/runs.jsonl"):
        odd = resealed(files() | {name: b'{"included":true,"rules":[]}\n'}, None)
        with pytest.raises(VerificationError):
            bundle.replay(written(tmp_path, odd), into=tmp_path / "three")


def test_a_bundle_without_snapshots_is_not_called_equal(tmp_path: Path) -> None:
    world = shared()[0].copied(tmp_path / "world")
    for folder in (world.folder / "state/snapshots").iterdir():
        folder.rename(tmp_path / folder.name)
    path = world.made(tmp_path / "out")
    result = bundle.replay(path, into=tmp_path / "replay")
    assert not result.equal
    assert len(result.not_carried) == 2
    assert "data/ipe.json" not in unpacked(path)[1]


def test_steps_of_another_version_are_named(tmp_path: Path) -> None:
    name = "data/steps/40_export.py"
    changed = resealed(files() | {name: files()[name] + b"# older\n"}, foreign())
    assert name in bundle.replay(written(tmp_path, changed), into=tmp_path / "replay").steps_differ
