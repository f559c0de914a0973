"""The words of reports: strangers' text made visible, amounts and times in words."""

from __future__ import annotations

from datetime import timedelta

import pytest
from chain_world import at
from hypothesis import given
from hypothesis import strategies as st

from auditor.report_words import (
    LONGEST,
    after,
    change,
    counted,
    cut,
    lower_first,
    short,
    shown,
    size,
    span,
    when,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\u202eb", "a\\u202eb"),
        ("a\x00b\r\n", "a\\u0000b\\u000d\\u000a"),
        ("\ud800", "\\ud800"),
        ("\u200b\ufeff\u00ad", "\\u200b\\ufeff\\u00ad"),
        ("\U000e0041", "\\U000e0041"),
        ("Zoë 株式会社 “x” – …", "Zoë 株式会社 “x” – …"),
    ],
)
def test_what_is_invisible_or_reorders_text_is_shown_as_an_escape(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_a_megabyte_of_text_is_cut_and_says_so() -> None:
    assert shown("x" * 1_000_000) == "x" * LONGEST + " … (cut: 1,000,000 characters)"


@given(st.text(alphabet=st.characters()))
def test_shown_text_is_encodable_and_prints_on_one_line(text: str) -> None:
    said = shown(text)
    said.encode("utf-8")
    assert len(said.splitlines()) <= 1


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (86_400 * 2 + 61, "2 d"),
        (-90, "1 min 30 s"),
    ],
)
def test_durations_have_at_most_two_units_and_no_sign(length: int, expected: str) -> None:
    assert span(length) == span(timedelta(seconds=length)) == expected


def test_steps_of_a_chain_say_how_long_after_each_other_they_came() -> None:
    assert after(at(5), at(5, 2)) == "2 h later"
    assert after(at(5, 2), at(5)) == "2 h earlier"
    assert after(at(5), at(5)) == "at once"
    assert after(None, at(5)) == after(at(5), None) == ""


def test_amounts_changes_and_names_in_words() -> None:
    assert (size(None), size(1500), size(12_345_678), size(3 * 10**15)) == (
        "–",
        "1,500 B",
        "12 MB",
        "3,000 TB",
    )
    assert (counted(1, "copy", "copies"), counted(2, "copy", "copies"), counted(1000, "gap")) == (
        "1 copy", "2 copies", "1,000 gaps",
    )  # fmt: skip
    assert (change(3, 1), change(1, 3), change(2, 2), change(2, None)) == (
        "+2 since the week before", "−2 since the week before", "as the week before", "no week before",
    )  # fmt: skip
    assert short("a" * 50 + "b" * 50, 21) == "a" * 10 + "…" + "b" * 10
    assert (cut("one two three", 9), cut("one", 9), cut("x" * 20, 5)) == ("one two…", "one", "xxxxx…")
    assert (lower_first("A thing"), lower_first("AWS thing")) == ("a thing", "AWS thing")
    assert (when(None), when(at(5, 1, 2))) == ("–", "2026-01-05 01:02")
