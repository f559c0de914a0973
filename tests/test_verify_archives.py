"""Archives that are not what a bundle's is: refused, named, never unpacked, never a traceback."""

from __future__ import annotations

import ast
import io
import json
import random
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest
from bundle_world import files, judged, packed, resealed, shared
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditor import verify


@pytest.mark.parametrize(
    "name",
    [
        "../x", "data/../../x", "/etc/passwd", "data//x", "./x", "data/.", "C:/x", "data\\..\\x", "data/x\0y",
        "data/x\ny", "data/ x", "data/\u202ex", "data/a:b",
    ],
)  # fmt: skip
def test_a_name_that_could_leave_its_folder_or_hide_is_refused(name: str, tmp_path: Path) -> None:
    for root in ("evidence", ""):
        result = judged(tmp_path, packed(root, {**files(), name: b"x"}))
        assert result.exit_code == 5
        assert "may hold" in result.first or "is not in the bundle's one folder" in result.first


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    twice = [*files().items(), ("data/findings.jsonl", b"")]
    result = judged(tmp_path, packed("evidence", twice))
    assert (result.exit_code, result.first) == (5, "data/findings.jsonl stands in the zip twice")


def test_two_folders_are_refused(tmp_path: Path) -> None:
    pairs = [(f"one/{name}", content) for name, content in files().items()] + [("two/data/x", b"")]
    result = judged(tmp_path, packed("", pairs))
    assert "is not in the bundle's one folder one/" in result.first


def test_links_encryption_and_whatever_other_zips_hold_are_refused(tmp_path: Path) -> None:
    good = packed("evidence", files())
    listed = struct.unpack_from("<L", good, len(good) - 6)[0]

    def central(offset: int, kind: str, value: int) -> bytes:
        raw = bytearray(good)
        struct.pack_into(f"<{kind}", raw, listed + offset, value)
        return bytes(raw)

    for raw in (
        central(38, "L", 0o120777 << 16),  # a symbolic link
        central(8, "H", 1),  # encrypted
        central(10, "H", 14),  # another method
        central(12, "H", 99),  # another date
        central(20, "L", 5),  # another size
    ):
        result = judged(tmp_path, raw)
        assert result.exit_code == 5
        assert "is not as a bundle's is" in result.first or "its header was altered" in result.first


def test_a_bundle_packed_anew_says_what_to_do(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
        for name, content in files().items():
            archive.writestr(f"evidence/{name}", content)
    result = verify.verify(tmp_path / "new.zip", pinned=[shared()[0].pin])
    assert result.exit_code == 5
    assert "unpack it and verify the folder" in result.first


def test_bytes_before_between_or_behind_the_files_are_found(tmp_path: Path) -> None:
    good = packed("evidence", files())
    assert judged(tmp_path, good).exit_code == 0
    assert judged(tmp_path, good + b"PK").exit_code == 5
    assert judged(tmp_path, b"#!/bin/sh\n" + good).exit_code in (2, 5)
    one = packed("evidence", {"data/x": b"x"})
    assert judged(tmp_path, one[:-22] + one).exit_code in (2, 5)


def test_what_is_no_bundle_is_unusable(tmp_path: Path) -> None:
    good = packed("evidence", files())
    for content in (b"", b"hello", good[: len(good) // 2], good[:-1], b"PK\3\4" + bytes(100)):
        result = judged(tmp_path, content)
        assert result.exit_code == 2
        assert "zip" in result.sentence
    assert verify.verify(tmp_path / "nowhere.zip").exit_code == 2
    assert verify.main([str(tmp_path / "nowhere.zip"), "--key", "hello"]) == 2


def test_a_zip_without_files_is_refused(tmp_path: Path) -> None:
    assert judged(tmp_path, struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0, 0, 0, 0, 0)).exit_code == 5
    (tmp_path / "empty").mkdir()
    assert verify.verify(tmp_path / "empty").exit_code == 5


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    raw = squeeze.compress(bytes(1 << 20)) + squeeze.flush()
    for size in (0xFFFF_FFF0, len(raw) * 900):  # too much for so few bytes; more than it says
        name = b"evidence/data/x"
        told = (name, 0, len(raw), size)
        body = struct.pack("<4s5H3L2H", *verify.local(*told)) + name + raw
        listed = struct.pack("<4s6H3L5H2L", *verify.central(*told, 0)) + name
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(listed), len(body), 0)
        result = judged(tmp_path, body + listed + end)
        assert result.exit_code == 5


def test_all_files_together_may_not_be_larger_than_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "LARGEST", 10_000)
    assert "larger than a bundle may be" in judged(tmp_path, files()).first
    monkeypatch.setattr(verify, "MOST_FILES", 3)
    assert "more than the 3 files" in judged(tmp_path, files()).first


def test_a_folder_with_a_link_in_it_is_refused(tmp_path: Path) -> None:
    for name, content in files().items():
        path = tmp_path / "evidence" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "evidence/data/findings.csv").unlink()
    (tmp_path / "evidence/data/findings.csv").symlink_to("/etc/passwd")
    result = verify.verify(tmp_path / "evidence", pinned=[shared()[0].pin])
    assert result.exit_code == 5
    assert "data/findings.csv is a link" in result.first


def _contents(raw: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_no_changed_byte_anywhere_in_the_zip_verifies_unless_it_changes_nothing(tmp_path: Path) -> None:
    """The last bits of a deflate stream mean nothing: a flip there leaves every file as it was."""
    good, chance = shared()[1].read_bytes(), random.Random(7)
    places = [chance.randrange(len(good)) for _ in range(120)]
    places += [len(good) - back for back in range(1, 60)]  # the end, and the last name of the list
    for at in places:
        raw = bytearray(good)
        raw[at] ^= 1 << chance.randrange(8)
        if judged(tmp_path, bytes(raw)).exit_code not in (2, 5):
            assert _contents(bytes(raw)) == _contents(good), at


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_no_bytes_make_the_verifier_fail(tmp_path: Path, data: st.DataObject) -> None:
    good = shared()[1].read_bytes()
    start, size = data.draw(st.integers(0, len(good))), data.draw(st.integers(0, 4000))
    changed = good[:start] + data.draw(st.binary(max_size=300)) + good[start + size :]
    result = judged(tmp_path, changed)
    assert result.exit_code in ((0,) if changed == good else (2, 5))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["at", "body", "hash", "kind", "prev", "seq", "n", "what", "row", "scan", "entry", "included", "state", "old"]
    ), inner, max_size=6),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_no_document_signed_or_not_makes_the_verifier_fail(tmp_path: Path, data: st.DataObject) -> None:
    name = data.draw(
        st.sampled_from(sorted(n for n in files() if n.endswith((".jsonl", ".json")) and "about" not in n))
    )
    lines = files()[name].splitlines() or [b"{}"]
    at = data.draw(st.integers(0, len(lines) - 1))
    if data.draw(st.booleans()):
        try:
            row = json.loads(lines[at])
        except ValueError:
            row = {}
        if row and isinstance(row, dict):
            row[data.draw(st.sampled_from(sorted(row)))] = data.draw(_JSON)
        lines[at] = json.dumps(row).encode()
    else:
        lines[at] = json.dumps(data.draw(_JSON)).encode()
    changed = resealed(files() | {name: b"\n".join(lines) + b"\n"}, shared()[0].key)
    assert judged(tmp_path, changed).exit_code in (0, 5)


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b'{"a":1,"a":2}', b'{"a":1.5}', b'{"a":NaN}', b"null",
        b'{"a":' + b"9" * 5000 + b"}", b'{"a":"\\ud800"}', b"", b"[]",
    ],
)  # fmt: skip
def test_json_that_no_bundle_holds_is_refused_wherever_it_stands(content: bytes, tmp_path: Path) -> None:
    for name in (
        "data/about.json",
        "data/ledger.jsonl",
        "data/runs.jsonl",
        "data/keys.jsonl",
        "data/records.jsonl",
    ):
        changed = files() | {name: content + b"\n"}
        if name != "data/about.json":
            changed = resealed(changed, shared()[0].key)
        result = judged(tmp_path, changed)
        assert result.exit_code == 5, name
        result.text.encode()


def test_the_verifier_imports_nothing_of_the_product() -> None:
    tree = ast.parse(Path(verify.__file__).read_text())
    names = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    roots = {name.partition(".")[0] for name in names}
    assert roots <= {*sys.stdlib_module_names, "cryptography"}


def test_the_verifier_in_the_bundle_runs_alone(tmp_path: Path) -> None:
    world, path = shared()
    alone = tmp_path / "alone.py"
    alone.write_bytes(files()["verify.py"])

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-I", str(alone), *args],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    done = run(str(path), "--key", world.pin)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Verified" in done.stdout
    assert run(str(path)).returncode == 5
    by_file = run(str(path), "--key", str(world.folder / "key.pub"), "--json")
    assert json.loads(by_file.stdout)["verified"] is True
