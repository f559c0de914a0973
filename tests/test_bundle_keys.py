"""Keys: made once, never overwritten, never printed, and changed only with the word of both."""

from __future__ import annotations

import base64
import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from bundle_world import NOW, World, files, foreign, jsonl, judged, resealed, rows, shared, unpacked

from auditor import keys, verify
from auditor.errors import ConfigError, UsageError, VerificationError
from auditor.ledger import Ledger


def test_a_new_key_is_for_its_owner_alone_and_ssh_keygen_prints_the_same_fingerprint(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told = keys.new(tmp_path / "deep/key")
    assert capfd.readouterr() == ("", "")
    assert stat.S_IMODE((tmp_path / "deep/key").stat().st_mode) == 0o600
    assert keys.load(tmp_path / "deep/key").fingerprint == told
    assert verify.pins([str(tmp_path / "deep/key.pub"), told]) == [told, told]
    if shutil.which("ssh-keygen"):
        for name in ("key", "key.pub"):
            printed = subprocess.check_output(["ssh-keygen", "-lf", str(tmp_path / "deep" / name)], text=True)
            assert printed.split()[1] == told


def test_a_key_is_never_overwritten_nor_written_through_a_link(tmp_path: Path) -> None:
    keys.new(tmp_path / "key")
    before = (tmp_path / "key").read_bytes()
    (tmp_path / "other.pub").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for name in ("key", "other", "link"):
        with pytest.raises(UsageError, match="is there already"):
            keys.new(tmp_path / name)
    assert (tmp_path / "key").read_bytes() == before
    assert not (tmp_path / "other").exists()
    assert not (tmp_path / "target").exists()


def test_a_key_is_loaded_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = keys.new(tmp_path / "key")
    monkeypatch.setenv("SIGNING", (tmp_path / "key").read_text())
    for ref in (tmp_path / "key", f"file:{tmp_path / 'key'}", "env:SIGNING"):
        assert keys.load(ref).fingerprint == told
    assert "PRIVATE" not in repr(keys.load(tmp_path / "key"))


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs ssh-keygen")
def test_what_is_no_key_for_us_is_refused_with_the_reason(tmp_path: Path) -> None:
    def made(name: str, *args: str) -> Path:
        subprocess.run(["ssh-keygen", "-q", "-f", str(tmp_path / name), *args], check=True)
        return tmp_path / name

    (tmp_path / "text").write_text("hello")
    (tmp_path / "text").chmod(0o600)
    cases = {
        made("locked", "-t", "ed25519", "-N", "secret"): "passphrase",
        made("rsa", "-t", "rsa", "-b", "2048", "-N", ""): "not an Ed25519 key",
        tmp_path / "text": "no private key",
        tmp_path / "nowhere": "cannot be read",
    }
    for path, reason in cases.items():
        with pytest.raises(ConfigError, match=reason):
            keys.load(path)
    own = made("own", "-t", "ed25519", "-N", "")
    keys.load(own)
    own.chmod(0o644)
    with pytest.raises(ConfigError, match="everybody"):
        keys.load(own)


def test_a_key_written_in_place_of_its_reference_is_not_repeated_in_the_message(tmp_path: Path) -> None:
    keys.new(tmp_path / "key")
    with pytest.raises((ConfigError, UsageError)) as caught:
        keys.load((tmp_path / "key").read_text())
    assert "AAAA" not in str(caught.value)


def rotated(folder: Path) -> tuple[World, keys.Key, Path]:
    """A state in which the key changed, and a bundle that the new one signed."""
    world = shared()[0].copied(folder / "world")
    keys.new(folder / "new")
    new = keys.load(folder / "new")
    with Ledger.open(world.ledger) as ledger:
        keys.rotate(ledger, world.key, new, NOW)
    return world, new, world.made(folder / "out", key=new)


def test_a_bundle_of_the_new_key_verifies_by_the_old_one_through_the_ledger(tmp_path: Path) -> None:
    world, new, path = rotated(tmp_path)
    for pinned in ([world.pin], [new.fingerprint], [world.pin, new.fingerprint]):
        result = verify.verify(path, pinned=pinned)
        assert (result.exit_code, result.signer) == (0, new.fingerprint), result.text
    assert "put in its place" in verify.verify(path, pinned=[world.pin]).text
    assert verify.verify(path, pinned=[foreign().fingerprint]).exit_code == 5


def test_a_bundle_from_before_the_change_still_verifies_by_the_old_key() -> None:
    world, path = shared()
    assert verify.verify(path, pinned=[world.pin]).exit_code == 0


def test_a_key_that_gave_its_place_away_signs_no_more(tmp_path: Path) -> None:
    world, new, path = rotated(tmp_path)
    with pytest.raises(VerificationError, match="given its place to another key"):
        world.made(tmp_path / "old", key=world.key)
    content = unpacked(path)[1]
    about = json.loads(content["data/about.json"]) | {"signer": world.pin}
    forged = resealed(content | {"data/about.json": json.dumps(about).encode()}, world.key)
    for pinned in ([world.pin], [world.pin, new.fingerprint]):
        result = judged(tmp_path, forged, *pinned)
        assert result.exit_code == 5
        assert "given its place to another key" in result.first
    with Ledger.open(world.ledger) as ledger:
        for old, other in ((world.key, foreign()), (foreign(), world.key), (new, new)):
            with pytest.raises(UsageError):
                keys.rotate(ledger, old, other, NOW)


def test_a_change_of_key_that_only_the_new_key_signed_is_worth_nothing(tmp_path: Path) -> None:
    world, path = shared()
    eve = foreign()
    at = "2026-01-28T00:00:00.000000Z"
    signature = base64.b64encode(eve.sign(verify.rotation(at, world.key.openssh, eve.openssh))).decode()
    body = {
        "at": at,
        "old": world.key.openssh,
        "new": eve.openssh,
        "signed_by_old": signature,
        "signed_by_new": signature,
    }
    entry = {"at": at, "body": body, "kind": "key", "prev": "0" * 64, "seq": 99}
    entry["hash"] = verify.hashlib.sha256(verify.canonical(entry).encode()).hexdigest()
    about = json.loads(files()["data/about.json"]) | {"signer": eve.fingerprint}
    forged = files() | {"data/keys.jsonl": jsonl([entry]), "data/about.json": json.dumps(about).encode()}
    result = judged(tmp_path, resealed(forged, eve))
    assert result.exit_code == 5
    assert "not signed by both keys" in result.first
    assert path.exists()


def test_a_change_of_key_in_the_ledger_cannot_be_left_out(tmp_path: Path) -> None:
    world, new, path = rotated(tmp_path)
    content = unpacked(path)[1]
    assert len(rows(content["data/keys.jsonl"])) == 1
    result = judged(tmp_path, resealed(content | {"data/keys.jsonl": b""}, new), new.fingerprint)
    assert "lacks a change of key" in result.first
    assert world.pin != new.fingerprint
