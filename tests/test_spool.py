"""Values that are too many for memory come back the same, in order."""

from __future__ import annotations

import random

import pytest

from auditor.model import Outcome, Ref, Verdict
from auditor.spool import Spool, ordered, spooled


@pytest.mark.parametrize("count", [0, 1, 4095, 4096, 4097, 20_000])
def test_values_come_back_as_often_as_they_are_asked_for(count: int) -> None:
    kept = spooled({"n": number, "text": "ü\ud800"} for number in range(count))
    assert len(kept) == count
    assert [each["n"] for each in kept] == list(range(count)) == [each["n"] for each in kept]


@pytest.mark.parametrize("count", [0, 7, 4096, 20_000])
def test_sorting_is_stable_whether_it_fits_or_not(count: int) -> None:
    dice = random.Random(1)
    values = [(dice.randrange(50), number) for number in range(count)]
    assert list(ordered(iter(values), key=lambda value: value[0])) == sorted(
        values, key=lambda value: value[0]
    )


def test_two_readers_at_once_do_not_disturb_each_other() -> None:
    kept = spooled(range(10_000))
    assert isinstance(kept, Spool)
    assert all(a == b for a, b in zip(kept, kept, strict=True))
    assert 9_999 in kept
    assert -1 not in kept


def test_nouns_come_back_equal() -> None:
    outcome = Outcome(
        "r", "C-1", "bucket", "b", Verdict.UNKNOWN, "high", "because", refs=(Ref("s3_bucket", "b"),)
    )
    kept = spooled([outcome] * 5000)
    assert isinstance(kept, Spool)
    assert all(each == outcome for each in kept)
