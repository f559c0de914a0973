"""What a bundle holds, that the same evidence gives the same bytes, and when none is made."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from bundle_world import FROM, HOSTILE, NOW, RULES, TO, at, files, judged, rows, shared, unpacked

from auditor import verify
from auditor.bundle_bag import cell
from auditor.errors import UsageError, VerificationError
from auditor.ledger import Ledger, ScanRecord
from auditor.model import Outcome, Verdict


def test_two_builds_are_byte_for_byte_equal(tmp_path: Path) -> None:
    world, path = shared()
    assert world.made(tmp_path).read_bytes() == path.read_bytes()


def test_another_time_zone_locale_and_hash_seed_give_the_same_bytes(tmp_path: Path) -> None:
    world, path = shared()
    shutil.copy(world.ledger, tmp_path / "ledger.sqlite3")
    code = f"""if True:
        import sys; sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}
        from pathlib import Path
        from bundle_world import *
        folder = Path({str(world.folder)!r})
        config = Config(organisation={world.config.organisation!a}, state=State(dir=str(folder / "state")))
        with Ledger.open(Path("ledger.sqlite3")) as ledger:
            bundle.create(ledger, config, World(folder, config, None).pack(), from_at=FROM, to_at=TO, now=at(40),
                into=Path("out"), key=keys.load(folder / "key"))
    """
    env = os.environ | {"TZ": "Pacific/Apia", "LC_ALL": "C", "PYTHONHASHSEED": "99", "PYTHONUTF8": "0"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, check=True, umask=0o077)
    (other,) = (tmp_path / "out").iterdir()
    assert other.read_bytes() == path.read_bytes()


def test_everything_in_the_zip_is_listed_or_is_a_signature() -> None:
    _, path = shared()
    root, content = unpacked(path)
    assert path.name == f"{root}.zip" == "evidence-acme-health-sohne-20260110-20260126.zip"
    listed = {
        line[66:]
        for line in (content["manifest-sha256.txt"] + content["tagmanifest-sha256.txt"]).decode().splitlines()
    }
    unlisted = set(content) - listed - {"tagmanifest-sha256.txt"}
    assert unlisted == {f"signatures/{name}" for name in verify.SIGNATURES}
    assert all(name.startswith("data/") for name in listed if "/" in name)


def test_the_tools_of_any_machine_verify_it_by_hand(tmp_path: Path) -> None:
    """The shell of VERIFY.txt, as it stands there."""
    if not all(map(shutil.which, ("bash", "ssh-keygen", "openssl", "sha256sum"))):
        pytest.skip("needs bash, ssh-keygen, openssl and sha256sum")
    world, path = shared()
    shutil.unpack_archive(path, tmp_path)
    (folder,) = tmp_path.iterdir()
    text = (folder / "VERIFY.txt").read_text()
    shell = [line.strip() for line in text.partition("By hand")[2].splitlines() if line.startswith("    ")]
    assert len(shell) == 7  # six commands and the receipt
    said = [
        subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=True).stdout
        for line in shell[:6]
    ]
    assert all(line.endswith(": OK") for line in said[0].splitlines())
    assert said[1] == ""
    assert world.pin in said[2]
    assert "Good" in said[3]
    assert "Success" in said[4]
    assert said[5].split()[0] == verify.verify(path).bundle_id
    (folder / "data/more").write_text("x")
    added = subprocess.run(["bash", "-c", shell[1]], cwd=folder, capture_output=True, text=True, check=False)
    assert "data/more" in added.stdout
    assert world.pin in text


def test_findings_and_populations_hold_the_passes_too() -> None:
    content = files()
    found = rows(content["data/findings.jsonl"])
    assert [(row["rule"], row["verdict"], row["state"]) for row in found] == [
        ("bucket-versioned", "fail", "open")
    ] * 2
    assert [row["waiver"] is not None for row in found] == [False, True]
    (export,) = rows(content["data/populations/export.jsonl"])
    assert (export["row"], export["verdicts"], export["pass"]) == (1, {"export-small": "pass"}, 1)
    assert rows(content["data/exports.jsonl"])[0]["state"] == "proven"
    runs = rows(content["data/runs.jsonl"])
    assert [(run["state"], run["included"], run["why"]) for run in runs] == [
        ("finished", True, "last scan of its week")
    ] * 2
    assert all("/" not in str(run) for run in runs)


def test_the_card_says_where_a_table_comes_from_and_what_was_counted() -> None:
    card = json.loads(files()["data/ipe.json"])
    (source,) = card["sources"]
    assert source["operations"][0]["operation"] == "ListBuckets"
    assert card["callers"] == [{"account": "1", "caller": "arn:me"}]
    assert card["populations"]["bucket"] == {
        "rows": 2, "subjects": 2, "not_listed": 0, "pass": 0, "fail": 2, "unknown": 0, "not_applicable": 0,
    }  # fmt: skip


def test_no_cell_is_a_formula_and_none_hides_what_it_says() -> None:
    for text in ("=1+1", "+1", "-1", "@x", " =1", "\t=1", "\r=1", "\n=1", "=\u202e"):
        assert not cell(text).lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert cell("a\u202eb\0\ud800") == "a\\u202eb\\x00\\ud800"
    table = files()["data/populations/bucket.csv"].decode()
    assert "\u202e" not in table
    for row in csv.reader(io.StringIO(table)):
        assert not any(value.startswith(("=", "+", "-", "@")) for value in row)
    (waiver,) = rows(files()["data/waivers.jsonl"])
    assert waiver["reason"] == HOSTILE


def test_the_next_bundle_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    world = shared()[0].copied(tmp_path / "world")
    first = world.made(tmp_path / "out", entered=True, to_at=at(13), from_at=at(10))
    second = world.made(tmp_path / "out", entered=True, from_at=at(13))
    result = verify.verify(second, pinned=[world.pin], previous=first)
    assert result.exit_code == 0, result.text
    assert f"go on where {first.name} ended" in result.text
    about = json.loads(unpacked(second)[1]["data/about.json"])
    assert about["previous_bundle"] == verify.verify(first).bundle_id
    assert verify.verify(second, pinned=[world.pin], previous=second).exit_code == 5
    with Ledger.open(world.ledger) as ledger:
        assert ledger.verify().intact
        assert [entry.body["file"] for entry in ledger.entries(kind="bundle")] == [first.name, second.name]


def test_a_bundle_never_replaces_another_of_its_name(tmp_path: Path) -> None:
    world = shared()[0].copied(tmp_path / "world")
    first = world.made(tmp_path / "out", entered=True)
    kept = first.read_bytes()
    second = world.made(tmp_path / "out", entered=True)  # the ledger has gone on: another bundle
    assert second != first
    assert first.read_bytes() == kept
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted((first.name, second.name))


def test_raw_pages_come_along_only_when_asked_for(tmp_path: Path) -> None:
    world, _ = shared()
    assert not any("/raw/" in name for name in files())
    path = world.made(tmp_path, raw=True)
    content = unpacked(path)[1]
    pages = [name for name in content if "/raw/" in name]
    assert len(pages) == 2
    assert verify.verify(path, pinned=[world.pin]).exit_code == 0
    assert judged(tmp_path, content | {pages[0]: content[pages[1]]}).exit_code == 5


def test_a_report_is_carried_with_its_digest(tmp_path: Path) -> None:
    (tmp_path / "r.html").write_text("<p>report")
    content = unpacked(shared()[0].made(tmp_path, report=tmp_path / "r.html"))[1]
    assert (
        json.loads(content["data/about.json"])["report"]
        == hashlib.sha256(content["data/report.html"]).hexdigest()
    )


def test_no_bundle_is_made_of_a_ledger_that_was_changed(tmp_path: Path) -> None:
    world = shared()[0].copied(tmp_path / "world")
    with closing(sqlite3.connect(world.ledger)) as conn, conn:
        conn.execute("DROP TRIGGER finding_never_update_of")
        conn.execute("UPDATE finding SET severity = 'low'")
    with pytest.raises(VerificationError, match="entry 2"):
        world.made(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["copy.sqlite3"]


def test_no_bundle_is_made_of_a_snapshot_or_a_judgement_that_was_changed(tmp_path: Path) -> None:
    for number, pattern in enumerate(("snapshots/*/tables/dataproc_job.parquet", "judged/*/outcome.parquet")):
        world = shared()[0].copied(tmp_path / str(number))
        target, *_ = sorted((world.folder / "state").glob(pattern))
        other, *_ = sorted((world.folder / "state").glob("snapshots/*/tables/s3_bucket.parquet"))
        shutil.copyfile(other, target)
        with pytest.raises(VerificationError, match=r"\.parquet is not what"):
            world.made(tmp_path / "out")
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["copy.sqlite3"]


def test_no_bundle_is_made_of_a_page_that_was_changed(tmp_path: Path) -> None:
    world = shared()[0].copied(tmp_path / "world")
    first, second = sorted((world.folder / "state").glob("snapshots/*/raw/*.gz"))
    first.write_bytes(second.read_bytes())
    with pytest.raises(VerificationError, match="is not the page its name says"):
        world.made(tmp_path / "out", raw=True)


def test_what_is_no_longer_kept_is_said_and_the_rest_is_carried(tmp_path: Path) -> None:
    world = shared()[0].copied(tmp_path / "world")
    with Ledger.open(world.ledger) as ledger:
        first = ledger.scans()[0]
    shutil.rmtree(world.folder / "state/snapshots" / first.snapshot_id)
    path = world.made(tmp_path / "out")
    content = unpacked(path)[1]
    assert json.loads(content["data/about.json"])["not_carried"] == {
        first.scan: "its snapshot is not kept any more"
    }
    assert rows(content["data/runs.jsonl"])[0]["included"] is False
    assert verify.verify(path, pinned=[world.pin]).exit_code == 0


def test_a_window_without_scans_or_without_length_gives_no_bundle(tmp_path: Path) -> None:
    world, _ = shared()
    for times in (
        {"from_at": at(1), "to_at": at(2)},
        {"from_at": TO, "to_at": FROM},
        {"from_at": NOW, "to_at": at(40)},
    ):
        with pytest.raises(UsageError):
            world.made(tmp_path, **times)
    assert [path.name for path in tmp_path.iterdir()] == ["copy.sqlite3"]


def test_the_rules_that_judged_are_carried_though_others_have_come_since(tmp_path: Path) -> None:
    world = shared()[0].copied(tmp_path / "world")
    (world.folder / "rules.yaml").write_text(RULES.replace("{most: {default: 5}}", "{most: {default: 50}}"))
    content = unpacked(world.made(tmp_path / "out"))[1]
    (name,) = [name for name in content if name.startswith("data/rules/")]
    assert content[name].decode() == RULES


def test_what_a_re_check_moved_is_bound_as_what_a_scan_moved_and_no_population_is_its_own(
    tmp_path: Path,
) -> None:
    world = shared()[0].copied(tmp_path / "world")
    with Ledger.open(world.ledger) as ledger:
        last = ledger.scans(FROM, TO, state="finished")[-1]
        finding = next(one for one in ledger.findings(as_of=TO) if not one.subject_key.startswith("*"))
        key = finding.subject_key
        again = ScanRecord(
            slot="recheck/1",
            snapshot_id="0" * 64,
            snapshot_dir="snapshots/0",
            rule_digest=last.rule_digest,
            config_digest=last.config_digest,
            outcome_digest=last.outcome_digest,
            tally={**last.tally, "only": {"subject": key}},
        )
        mended = Outcome(
            finding.rule, finding.code, finding.subject_table, key, Verdict.PASS, finding.severity, "mended"
        )
        row = ledger.recheck(again, key, [mended], only=ledger.keys_of(key), at=at(22))
    path = world.made(tmp_path / "bundles")
    checked = verify.verify(path, pinned=[world.pin])
    assert checked.exit_code == 0, checked.text
    _, content = unpacked(path)
    runs = {one["scan"]: one for one in rows(content["data/runs.jsonl"])}
    about = json.loads(content["data/about.json"])
    assert (
        runs[row.scan]["state"] == "rechecked" and row.scan in about["not_carried"]
    )  # it would be, were it kept
    assert about["populations_of"] == last.scan
    (ended,) = [one for one in rows(content["data/findings.jsonl"]) if one["until_scan"] == row.scan]
    assert (ended["finding_id"], ended["ended"]) == (finding.finding_id, "resolved")
