"""Whatever is changed in a bundle, the verifier says so and names it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from bundle_world import (
    files,
    foreign,
    jsonl,
    judged,
    rechained,
    resealed,
    rows,
    shared,
    unpacked,
)

from auditor import verify

Files = dict[str, bytes]


def one(start: str, end: str = "") -> str:
    return next(name for name in sorted(files()) if name.startswith(start) and name.endswith(end))


def flipped(content: bytes, at: int | None = None) -> bytes:
    where = len(content) // 2 if at is None else at
    return content[:where] + bytes([content[where] ^ 1]) + content[where + 1 :]


def test_an_untouched_bundle_verifies_as_a_zip_and_as_a_folder(tmp_path: Path) -> None:
    world, path = shared()
    result = verify.verify(path, pinned=[world.pin])
    assert (result.exit_code, result.first, result.signer) == (0, "", world.pin)
    assert result.bundle_id == hashlib.sha256(files()["tagmanifest-sha256.txt"]).hexdigest()
    shutil.unpack_archive(path, tmp_path)
    (folder,) = tmp_path.iterdir()
    assert verify.verify(folder, pinned=[world.pin]).text == result.text
    assert result.text.splitlines()[-1].startswith("Verified: every byte")


@pytest.mark.parametrize(
    "kind",
    [
        "VERIFY.txt", "bag-info.txt", "bagit.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt", "verify.py",
        "data/about.json", "data/drift.jsonl", "data/exports.csv", "data/exports.jsonl", "data/findings.csv",
        "data/findings.jsonl", "data/ipe.json", "data/ledger.jsonl", "data/outcomes/", "data/populations/",
        "data/records.jsonl", "data/runs.jsonl", "data/signoffs.jsonl", "data/waivers.jsonl", "data/rules/",
        "data/frameworks/", "data/steps/", "data/snapshots/", "signatures/allowed_signers", "signatures/checkpoint",
        "signatures/pubkey.pem", "signatures/tagmanifest-sha256.txt.ed25519", "signatures/tagmanifest-sha256.txt.sig",
    ],
)  # fmt: skip
def test_one_changed_byte_in_any_file_is_named(kind: str, tmp_path: Path) -> None:
    name = one(kind)
    result = judged(tmp_path, files() | {name: flipped(files()[name])})
    assert result.exit_code == 5
    assert name in result.first
    assert result.sentence.startswith("Do not rely on this bundle")


def test_every_missing_file_is_named(tmp_path: Path) -> None:
    for name in files():
        result = judged(tmp_path, {each: content for each, content in files().items() if each != name})
        assert result.exit_code == 5
        assert f"{name} is missing" in result.first


def test_an_added_file_is_named_wherever_it_is(tmp_path: Path) -> None:
    for name in ("data/more.jsonl", "more.txt", "signatures/other.sig", "data/snapshots/x/raw/y.gz"):
        result = judged(tmp_path, files() | {name: b"x"})
        assert (result.exit_code, result.first) == (5, f"{name} was added")


def test_a_file_that_a_file_manager_left_gets_a_message_of_its_own(tmp_path: Path) -> None:
    result = judged(tmp_path, files() | {"data/.DS_Store": b"x"})
    assert result.exit_code == 5
    assert "by a file manager" in result.first


def test_a_renamed_file_is_named_with_both_names(tmp_path: Path) -> None:
    changed = dict(files())
    changed["data/found.jsonl"] = changed.pop("data/findings.jsonl")
    result = judged(tmp_path, changed)
    assert (result.exit_code, result.first) == (5, "data/findings.jsonl was renamed to data/found.jsonl")


def test_two_files_in_each_others_place_are_both_named(tmp_path: Path) -> None:
    first, second = "data/findings.jsonl", "data/drift.jsonl"
    result = judged(tmp_path, files() | {first: files()[second], second: files()[first]})
    assert result.exit_code == 5
    assert first in result.first
    assert second in result.first


def test_a_foreign_key_is_refused_though_the_bundles_own_key_files_vouch_for_it(tmp_path: Path) -> None:
    forged = resealed(files() | {"data/findings.csv": b"none\r\n"}, foreign())
    about = json.loads(forged["data/about.json"]) | {"signer": foreign().fingerprint}
    forged = resealed(forged | {"data/about.json": json.dumps(about).encode()}, foreign())
    result = judged(tmp_path, forged)
    assert result.exit_code == 5
    assert result.first.startswith("signed by a foreign key, " + foreign().fingerprint)
    # What makes the pinned key necessary: ssh-keygen believes the key file that came with the bundle.
    for name in ("allowed_signers", "tagmanifest-sha256.txt.sig"):
        (tmp_path / name).write_bytes(forged[f"signatures/{name}"])
    if shutil.which("ssh-keygen"):
        done = subprocess.run(
            ["ssh-keygen", "-Y", "verify", "-f", "allowed_signers", "-I", "auditor", "-n", verify.NAMESPACE,
             "-s", "tagmanifest-sha256.txt.sig"],
            input=forged["tagmanifest-sha256.txt"], cwd=tmp_path, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0


def test_a_bundle_without_a_pinned_key_is_not_verified_and_says_whose_it_is(tmp_path: Path) -> None:
    world, path = shared()
    result = verify.verify(path)
    assert result.exit_code == 5
    assert "UNPINNED" in result.first
    assert world.pin in result.first
    assert result.sentence.startswith("NOT VERIFIED")


def test_an_unsigned_bundle_says_so_loudly(tmp_path: Path) -> None:
    world, _ = shared()
    path = world.made(tmp_path, key=None)
    result = verify.verify(path, pinned=[world.pin])
    assert result.exit_code == 5
    assert result.first.startswith("UNSIGNED")
    assert [check.name for check in result.checks if not check.ok] == ["signature"]
    content = unpacked(path)[1]
    assert b"UNSIGNED" in content["bag-info.txt"]
    assert b"UNSIGNED" in content["VERIFY.txt"]


def test_signatures_that_were_cut_off_are_missed(tmp_path: Path) -> None:
    bare = {name: content for name, content in files().items() if not name.startswith("signatures/")}
    result = judged(tmp_path, bare)
    assert (result.exit_code, result.first) == (
        5,
        "UNSIGNED: nobody vouches for this bundle, though it says it was signed",
    )


# What somebody who holds the key could do: everything fits again but the ledger's chain -------------------------------


def edited(name: str, change: Callable[[list[dict[str, object]]], None]) -> Callable[[Files], None]:
    def apply(content: Files) -> None:
        found = rows(content[name])
        change(found)
        content[name] = jsonl(found)

    return apply


def _table(content: Files) -> None:
    name = one("data/snapshots/", "s3_bucket.jsonl")
    content[name] = content[name].replace(b'"Suspended"', b'"Enabled"').replace(b'"Enabled"', b'"Whatever"')
    manifest = str(Path(name).parent.parent / "manifest.json")
    said = json.loads(content[manifest])
    said["tables"]["s3_bucket"]["digest"] = hashlib.sha256(content[name]).hexdigest()
    content[manifest] = json.dumps(said).encode()


def _outcomes(content: Files) -> None:
    for name in content:
        if name.startswith("data/outcomes/"):
            content[name] = content[name].replace(b'"verdict":"fail"', b'"verdict":"pass"')


def _page(content: Files) -> None:
    content[one("data/snapshots/")[: len("data/snapshots/") + 64] + f"/raw/{'0' * 64}.gz"] = b"\x1f\x8bnot"


@pytest.mark.parametrize(
    ("attack", "named"),
    [
        (edited("data/ledger.jsonl", lambda found: found[1]["body"].update(slot="x")), "entry 2 was altered"),  # type: ignore[attr-defined]
        (edited("data/ledger.jsonl", lambda found: found.pop(1)), "entry 2 is missing"),  # type: ignore[arg-type]
        (edited("data/ledger.jsonl", lambda found: found.reverse()), "entry 1 is missing"),
        (edited("data/ledger.jsonl", lambda found: found.pop()), "ends with entry 3"),  # type: ignore[arg-type]
        (edited("data/runs.jsonl", lambda found: found.pop()), "lacks the scan of entry 2"),  # type: ignore[arg-type]
        (edited("data/runs.jsonl", lambda found: found[0].update(complete=False)), "complete is not what entry 1"),
        (edited("data/runs.jsonl", lambda found: found[0].update(included=False)), "belongs to no snapshot"),
        (edited("data/findings.jsonl", lambda found: found.pop()), "data/findings.jsonl lacks"),  # type: ignore[arg-type]
        (edited("data/findings.jsonl", lambda found: found[0].update(severity="low")), "severity is not what the ledger"),
        (edited("data/records.jsonl", lambda found: found.pop(0)), "the rows opened in scan"),  # type: ignore[arg-type]
        (edited("data/drift.jsonl", lambda found: found.pop()), "data/drift.jsonl lacks D-1"),  # type: ignore[arg-type]
        (edited("data/waivers.jsonl", lambda found: found[0].update(approver="eve")), "data/waivers.jsonl, line 1"),
        (edited("data/waivers.jsonl", lambda found: found.append(found[0])), "data/waivers.jsonl, line 2"),
        (edited("data/signoffs.jsonl", lambda found: found.pop()), "data/signoffs.jsonl lacks what entry 4"),  # type: ignore[arg-type]
        (edited("data/populations/bucket.jsonl", lambda found: found.pop()), "data/populations/bucket.jsonl lacks"),  # type: ignore[arg-type]
        (edited("data/populations/bucket.jsonl", lambda found: found[0].update(fail=0)), "counts do not add up"),
        (_table, "is not the one the ledger records"),
        (_outcomes, "data/outcomes/"),
        (_page, "cannot be unpacked"),
    ],
)  # fmt: skip
def test_evidence_changed_and_signed_again_does_not_fit_the_ledger(
    attack: Callable[[Files], None], named: str, tmp_path: Path
) -> None:
    world, _ = shared()
    changed = dict(files())
    attack(changed)
    result = judged(tmp_path, resealed(changed, world.key))
    assert result.exit_code == 5
    assert named in result.first, result.text


def test_a_table_changed_with_its_manifest_is_caught_by_the_snapshots_own_digest(tmp_path: Path) -> None:
    world, _ = shared()
    changed = dict(files())
    name = one("data/snapshots/", "s3_bucket.jsonl")
    changed[name] = changed[name].replace(b"claims", b"public")
    result = judged(tmp_path, resealed(changed, world.key))
    assert f"{name} is not the table that was scanned" in result.first


def test_a_ledger_written_anew_passes_alone_but_not_against_a_receipt_or_the_bundle_before(
    tmp_path: Path,
) -> None:
    """Who holds key and ledger can rewrite both; only what was kept outside tells."""
    world, path = shared()
    before = rows(files()["data/ledger.jsonl"])
    entries = rows(files()["data/ledger.jsonl"])
    entries[3]["body"]["signer"] = "somebody else"
    rechained(entries)
    about = json.loads(files()["data/about.json"])
    about["ledger"]["head"] = entries[-1]["hash"]
    signoffs = [{**entries[3]["body"], "entry": 4}]
    forged = resealed(
        files()
        | {
            "data/ledger.jsonl": jsonl(entries),
            "data/about.json": json.dumps(about).encode(),
            "data/signoffs.jsonl": jsonl(signoffs),
        },
        world.key,
    )
    assert judged(tmp_path, forged).exit_code == 0
    receipt = f"4 · {before[3]['hash'][:16]}"
    told = judged(tmp_path, forged, expect_head=receipt)
    assert told.exit_code == 5
    assert "rewritten" in told.first
    assert verify.verify(path, pinned=[world.pin], expect_head=receipt).exit_code == 0
    assert judged(tmp_path, forged, previous=path).exit_code == 5


def test_a_receipt_that_is_none_or_of_a_later_time_does_not_verify() -> None:
    world, path = shared()
    for receipt in ("hello", "9 · " + "0" * 16, "0" * 64):
        result = verify.verify(path, pinned=[world.pin], expect_head=receipt)
        assert result.exit_code == 5
