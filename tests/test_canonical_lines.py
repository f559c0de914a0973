"""The quick way to a line gives the very bytes of the plain way, and sorting on disk those of sorting in memory."""

from __future__ import annotations

import heapq
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auditor import runs
from auditor.canonical import LONGEST, Lines, _dumps, _safe, canonical, line
from auditor.runs import sorted_lines
from auditor.schema import Column, Table

TABLE = Table(
    "made",
    "",
    ("name", "number"),
    (
        Column("name", "TEXT", ""),
        Column("number", "INT", ""),
        Column("flag", "BOOL", ""),
        Column("at", "TIME", ""),
        Column("said", "JSON", ""),
        Column("another", "TEXT", ""),
    ),
)
HOSTILE = (
    "".join(map(chr, range(0x20)))
    + '\x7f"\\/é\u2028\ufdd0\ufdef\ufffe\U0001f600\ud800\udfff'
    + r"\u0000 \ud800"
)
TEXTS = st.one_of(
    st.text(st.characters(codec=None, exclude_categories=())),
    st.text(st.sampled_from(HOSTILE)),
    st.sampled_from(["", "x" * LONGEST, "ä" * (LONGEST // 4), HOSTILE, "\ufdd0", "\ud800"]),
)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=-11)), timezone(timedelta(minutes=331))])
TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.one_of(ZONES, st.none()))  # noqa: DTZ001
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS, TIMES)
JSON = st.recursive(
    LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3))
)
ROWS = st.fixed_dictionaries(
    {"name": TEXTS},
    optional={
        "number": st.one_of(st.none(), st.integers(-(2**65), 2**65), st.booleans(), st.floats()),
        "flag": st.one_of(st.none(), st.booleans(), st.integers(0, 1)),
        "at": st.one_of(st.none(), TIMES, TEXTS),
        "said": JSON,
        "another": st.one_of(TEXTS, st.integers()),
        "unknown": TEXTS,
    },
)


def _said(make: Any, row: dict[str, Any]) -> bytes | type[Exception]:
    try:
        made = make(row)
    except (TypeError, ValueError) as error:
        return type(error)
    return made if isinstance(made, bytes) else made.encode()


@given(ROWS)
@example({"name": "a", "said": {"b": 1e16, "a": 1.0}})
@example({"name": "a", "said": {"\ud800": "x", "é": 2**64}})
@example({"name": "a", "said": [HOSTILE, None, True, 2**63]})
@example({"name": "a\\u0000b", "said": "\0"})
def test_a_line_made_quickly_is_the_line(row: dict[str, Any]) -> None:
    plain = _said(lambda values: line(TABLE, values), row)
    assert _said(Lines(TABLE).line, row) == plain
    record = _said(Lines(TABLE).record, row)
    if isinstance(plain, bytes):
        assert isinstance(record, bytes)
        key, age, said = record.split(b"\t")
        assert (age, said) == (b"1", plain + b"\n")
        stored = json.loads(plain)
        assert json.loads(key) == [stored["name"], stored["number"]]
        assert Lines(TABLE).elder(plain.decode()) == b"\t".join((key, b"0", said))
    else:
        assert record is plain


@pytest.mark.parametrize(
    "text",
    [
        "x" * LONGEST,
        "x" * (LONGEST + 1),
        "ä" * LONGEST,
        '"' * (LONGEST + 1),
        '\\"' * LONGEST,
        "\\" * (LONGEST + 1),
        '"x' * LONGEST,
    ],
    ids=["no", "x", "ä", "quotes", "escaped quotes", "backslashes", "quoted"],
)
def test_what_is_too_long_is_cut_wherever_it_stands_and_whatever_is_in_it(text: str) -> None:
    for value in (text, [{"a\\": "b\\", "c": text}, "\\"], {f"a{text}": ["\\", '"']}):
        assert canonical(value) == _dumps(_safe(value))
    many = [{"a\\": 'b"\\', "at": str(n)} for n in range(LONGEST // 16)]
    assert canonical(many) == _dumps(_safe(many)) == _dumps(many)


LINES = st.lists(st.binary(max_size=12).map(lambda raw: raw.replace(b"\n", b"") + b"\n"), max_size=200)


@given(LINES, st.integers(100, 2000), st.booleans())
def test_lines_sorted_on_disk_are_sorted(lines: list[bytes], memory: int, nearly: bool) -> None:
    if nearly:
        lines = list(heapq.merge(sorted(lines[::2]), sorted(lines[1::2])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "BATCH", memory)
        patch.setattr(runs, "_LEAST", 16)
        patch.setattr(runs, "_LINES", 7)
        found = [each for block in sorted_lines(lines) for each in block]
    assert found == sorted(lines)
