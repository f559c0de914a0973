"""A full pass proves the increments before it: what they carried is compared with what is there."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aws_sources import A
from increments_world import BUCKETS, HOME, LETS_READ, World, carried_buckets, differences, world
from rule_table import shipped

from auditor.judge import Judgement
from auditor.ledger import Ledger
from auditor.scan import scan


@pytest.fixture
def there(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def outcomes(judged: Judgement) -> list[dict[str, Any]]:
    """Return every outcome; how many services told the time of a scan is no matter of the estate."""
    every = list(judged.rows("outcome"))
    assert len(every) > 100
    return [row | ({"because": ""} if row["code"] == "SCN-006" else {}) for row in every]


def told(there: World) -> list[tuple[str, str, str, bool]]:
    return [
        (row["resource"].rpartition(":")[2], row["field"], row["read"], row["confirmed"])
        for row in differences(there.last)
    ]


def test_a_write_that_no_event_tells_of_is_found_by_the_full_pass_with_what_differs_and_since_when(
    there: World,
) -> None:
    first = there.look()
    there.later(3)
    there.write("beta", versioning="Suspended", told=False)
    there.later(3)
    there.look()
    assert there.bucket("beta")["versioning"] == "Enabled"  # what was withheld cannot be known
    there.later()
    there.look(full=True)
    assert there.bucket("beta")["versioning"] == "Suspended"
    assert told(there) == [("beta", "versioning", "Suspended", False)]
    (row,) = differences(there.last)
    assert (row["carried"], row["observed_at"], row["found_at"]) == ("Enabled", first.as_of, there.now)
    there.later()
    there.look()
    assert told(there) == [("beta", "versioning", "Suspended", True)]  # nor did its event come late
    there.later()
    there.look()
    assert len(told(there)) == 1
    there.later()
    there.look(full=True)
    assert told(there) == []


def test_a_setting_that_got_old_is_compared_too_when_it_is_read_anew(there: World) -> None:
    there.scan = {"carry_max_age": 3 * 3600}
    there.look()
    there.later(3)
    there.write("beta", versioning="Suspended", told=False)
    there.later(3)
    there.look()
    assert told(there) == [("beta", "versioning", "Suspended", False)]


def test_a_difference_that_a_late_event_explains_is_none(there: World) -> None:
    there.look()
    there.later(5)
    late = there.write("beta", versioning="Suspended", told=False)
    there.later(1)
    there.look(full=True)
    assert len(told(there)) == 1
    there.cloud.put_events(A, HOME, [late])
    there.later()
    there.look()
    assert told(there) == []


def test_a_difference_stays_open_while_its_events_cannot_be_read(there: World) -> None:
    there.look()
    there.later(5)
    there.write("beta", versioning="Suspended", told=False)
    there.later(1)
    there.look(full=True)
    there.cloud.faults.set("cloudtrail", "LookupEvents", "deny")
    there.later(60)  # so long that what was read before does not reach it any more
    there.look()
    assert [confirmed for *_, confirmed in told(there)] == [False]


def test_a_write_that_its_event_tells_of_is_no_difference(there: World) -> None:
    there.look()
    there.later(3)
    there.write("beta", versioning="Suspended")
    there.later(3)
    there.look(full=True)
    assert told(there) == []
    assert there.last is not None
    assert there.last.manifest["pass"]["compared"] == 5


def test_what_could_not_be_read_anew_is_no_difference(there: World) -> None:
    there.look()
    there.later(3)
    there.write("beta", versioning="Suspended", told=False)
    there.cloud.faults.set("s3", "GetBucketVersioning", "deny", resource="beta")
    there.later(3)
    there.look(full=True)
    assert told(there) == []


def test_a_vault_a_key_and_a_selection_that_changed_unseen_are_found_by_the_full_pass(there: World) -> None:
    there.look()
    there.later(3)
    there.cloud.set_vault(there.vault, policy='{"Statement":[]}')
    there.cloud.set_key(there.key, rotation=False)
    there.cloud.put_selection(
        there.plan, "more", at=there.now, role="arn:aws:iam::111111111111:role/reader", resources=("*",)
    )
    there.later(3)
    there.look(full=True)
    assert [(row["table_name"], row["field"]) for row in differences(there.last)] == [
        ("backup_selection", "*"),
        ("backup_vault", "policy"),
        ("kms_key", "rotation"),
    ]


CHANGES: tuple[Mapping[str, Any], ...] = (
    {"versioning": "Suspended"},
    {"versioning": "Enabled"},
    {"policy": LETS_READ},
    {"policy": None},
    {"public_block": (True, False, True, True)},
    {"lifecycle": [{"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 9}}]},
    {"eventbridge": False},
)


@pytest.mark.parametrize("seed", range(4))
def test_scans_in_increments_come_to_the_same_outcomes_as_one_full_scan_to_the_last_byte(
    there: World, seed: int
) -> None:
    dice = random.Random(seed)
    there.look()
    carried_once = set()
    for _ in range(4):
        for _ in range(dice.randrange(3)):
            there.later(dice.choice((1.5, 2, 3)))
            there.write(dice.choice(BUCKETS), **dice.choice(CHANGES))
        if dice.random() < 0.3:
            there.cloud.set_vault(there.vault, policy=dice.choice(('{"Statement":[]}', None)))
            there.event("PutBackupVaultAccessPolicy", "backup", requestParameters={"backupVaultName": "main"})
        there.later(dice.choice((2, 4)))
        if dice.random() < 0.3:  # a scan that sees no events, or not everything, is one of them
            there.cloud.faults.set(
                *dice.choice((("cloudtrail", "LookupEvents"), ("s3", "GetBucketPolicy"))), "deny"
            )
        there.look()
        there.cloud.faults.clear()
        carried_once |= carried_buckets(there.last)
    there.later(2)
    before = there.last
    increment = there.look()
    split = there.judged()
    whole = there.look(full=True, before=before)
    assert differences(whole) == []
    assert carried_once | carried_buckets(increment)
    tables = increment.manifest["tables"].keys() - {"coverage", "api_clock"}  # who was not asked told no time
    for table in sorted(tables):
        assert increment.manifest["tables"][table] == whole.manifest["tables"][table], table
    assert outcomes(split) == outcomes(there.judged())


def test_the_full_pass_comes_by_itself_and_the_finding_with_it(there: World, tmp_path: Path) -> None:
    there.scan = {"full": 12 * 3600, "schedule": 6 * 3600}
    passes, verdicts, because = [], [], ""
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        for number in range(5):
            done = scan(there.config, ledger, shipped(), now=there.now)
            passes.append(done.row.tally["pass"]["full"])
            (row,) = (row for row in done.judgement.rows("outcome") if row["code"] == "SCN-003")
            verdicts.append(row["verdict"])
            because = because or (row["because"] if row["verdict"] == "fail" else "")
            assert done.snapshot.manifest["pass"]["full_at"] == (done.row.tally["pass"]["full_at"])
            if number == 0:
                there.later(3)
                there.write("beta", versioning="Suspended", told=False)
                there.later(3)
            else:
                there.later()
    assert passes == [True, False, True, False, True]
    assert verdicts == ["pass", "pass", "unknown", "fail", "pass"]
    for words in ("arn:aws:s3:::beta", "versioning", "Enabled", "Suspended", "2026-03-09T00:00Z"):
        assert words in because


def test_a_weekly_scan_is_a_full_pass(there: World, tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        for _ in range(2):
            done = scan(there.config, ledger, shipped(), now=there.now)
            assert done.row.tally["pass"] == {
                "full": True, "full_at": done.snapshot.manifest["as_of"], "scopes": 0, "oldest": None,
            }  # fmt: skip
            there.now += timedelta(days=7)
            there.cloud.clock(there.now)
