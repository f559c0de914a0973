"""Not seeing is never a pass: what a gap does to each form of a check."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditor.rulepack import Pack
from tests.rule_world import SOURCES, block, gap, judge, pack_of, seen, verdict

ALL = seen(*SOURCES)
AT = datetime(2026, 1, 1, tzinfo=UTC)


CASES: list[tuple[str, dict[str, object], str, str]] = [
    # Unseen rows can only raise `points`.
    ("points >= 1", {"points": 1}, "pass", "pass"),
    ("points >= 1", {"points": 0}, "fail", "unknown"),
    ("points > 1", {"points": 2}, "pass", "pass"),
    ("1 <= points", {"points": 1}, "pass", "pass"),
    ("points = 0", {"points": 0}, "pass", "unknown"),
    ("points = 0", {"points": 3}, "fail", "fail"),
    ("points = 2", {"points": 1}, "fail", "unknown"),
    ("points <> 0", {"points": 3}, "pass", "pass"),
    ("points <= 2", {"points": 1}, "pass", "unknown"),
    ("points <= 2", {"points": 3}, "fail", "fail"),
    ("points < 2", {"points": 2}, "fail", "fail"),
    ("points BETWEEN 1 AND 3", {"points": 2}, "pass", "unknown"),
    ("points BETWEEN 1 AND 3", {"points": 4}, "fail", "fail"),
    ("points IN (1, 2)", {"points": 3}, "fail", "fail"),
    ("points IN (1, 2)", {"points": 2}, "pass", "unknown"),
    ("NOT points <= 2", {"points": 3}, "pass", "pass"),
    ("NOT points <= 2", {"points": 1}, "fail", "unknown"),
    ("NOT (points >= 1 AND size > 0)", {"points": 1, "size": 1}, "fail", "fail"),
    ("NOT (points >= 1 OR size > 0)", {"points": 0, "size": 0}, "pass", "unknown"),
    ("points >= 1 OR size > 0", {"points": 0, "size": 1}, "pass", "pass"),
    ("points >= 1 AND size > 0", {"points": 0, "size": 0}, "fail", "fail"),
    ("10 - points > 2", {"points": 1}, "pass", "unknown"),
    ("10 - points > 2", {"points": 9}, "fail", "fail"),
    ("points * -1 > -3", {"points": 4}, "fail", "fail"),
    ("points * 2 >= 2", {"points": 1}, "pass", "pass"),
    ("points - points = 0", {"points": 1}, "pass", "unknown"),
    ("found", {"found": True}, "pass", "pass"),
    ("found", {"found": False}, "fail", "unknown"),
    ("found = false", {"found": False}, "pass", "unknown"),
    ("NOT found", {"found": True}, "fail", "fail"),
    ("which IS NOT NULL", {"which": "p"}, "pass", "pass"),
    ("which IS NULL", {"which": None}, "pass", "unknown"),
    ("which IS NOT NULL", {"which": None}, "fail", "unknown"),
    ("which = 'p'", {"which": "p"}, "pass", "unknown"),
    ("newest_at >= from_at", {"newest_at": AT, "from_at": AT}, "pass", "pass"),
    ("newest_at - from_at <= hours(1)", {"newest_at": AT, "from_at": AT}, "pass", "unknown"),
    ("has(holders, 'a')", {"holders": ["a"]}, "pass", "pass"),
    ("has(holders, 'a')", {"holders": []}, "fail", "unknown"),
    ("length(holders) = 0", {"holders": []}, "pass", "unknown"),
    ("length(holders) > 0", {"holders": ["a"]}, "pass", "pass"),
    # ... only lower `fewest` and `clean` ...
    ("fewest >= 3", {"fewest": 3}, "pass", "unknown"),
    ("fewest >= 3", {"fewest": 2}, "fail", "fail"),
    ("fewest <= 3", {"fewest": 3}, "pass", "pass"),
    ("fewest = 3", {"fewest": 2}, "fail", "fail"),
    ("clean", {"clean": True}, "pass", "unknown"),
    ("clean", {"clean": False}, "fail", "fail"),
    # ... do anything to `mixed`, and nothing to `size`.
    ("mixed >= 3", {"mixed": 3}, "pass", "unknown"),
    ("mixed >= 3", {"mixed": 2}, "fail", "unknown"),
    ("size >= 3", {"size": 3}, "pass", "pass"),
    # Both columns of an atom must be safe in the direction it needs.
    ("points > fewest", {"points": 3, "fewest": 2}, "pass", "pass"),
    ("points > fewest", {"points": 2, "fewest": 2}, "fail", "unknown"),
    ("points > mixed", {"points": 3, "mixed": 2}, "pass", "unknown"),
]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[list[str], list[str]]]:
    """Every case as a rule and a thing of its own: the verdicts by expression, whole and with a gap."""
    folder = tmp_path_factory.mktemp("cases")
    exprs = sorted({expr for expr, *_ in CASES})
    blocks = [block(expr, id=f"rule-{at}", code=f"TST-{at:03}") for at, expr in enumerate(exprs)]
    pack = pack_of(folder, *blocks)
    assert pack.broken == ()
    things = [{"name": f"t{at:03}"} | thing for at, (_, thing, *_) in enumerate(CASES)]
    found: dict[str, tuple[list[str], list[str]]] = {expr: ([], []) for expr in exprs}
    for side, coverage in enumerate((ALL, [*ALL, gap("point")])):
        for row in judge(pack, things, coverage):
            found[exprs[int(row["rule"].removeprefix("rule-"))]][side].append(row["verdict"])
    return found


@pytest.mark.parametrize("at", range(len(CASES)), ids=[f"{expr} {thing}" for expr, thing, *_ in CASES])
def test_gap_leaves_only_the_answers_that_no_unseen_row_could_change(
    at: int, judged: dict[str, tuple[list[str], list[str]]]
) -> None:
    expr, _, whole, cut = CASES[at]
    assert (judged[expr][0][at], judged[expr][1][at]) == (whole, cut)


@pytest.mark.parametrize(
    ("coverage", "expected"),
    [
        (ALL, "fail"),
        (seen("thing", "copy", "setting"), "unknown"),
        ([*ALL, gap("point", region="*")], "unknown"),
        ([*ALL, gap("point", account="*", region="*")], "unknown"),
        ([*ALL, gap("point", resource="arn:aws:backup:v")], "unknown"),
        ([*ALL, gap("point", region="eu-central-1")], "fail"),
        ([*ALL, gap("point", account="222222222222")], "fail"),
        ([*ALL, gap("copy")], "fail"),
        (seen("thing") + seen("point", region="eu-central-1"), "unknown"),
        (seen("thing") + seen("point", account="222222222222"), "unknown"),
        (seen("thing") + seen("point", region="*"), "fail"),
    ],
)
def test_only_a_gap_that_touches_the_place_of_the_subject_counts(
    tmp_path: Path, coverage: list[dict[str, object]], expected: str
) -> None:
    assert verdict(tmp_path, "points >= 1", {"points": 0}, coverage) == expected


def test_subject_that_does_not_know_its_place_was_never_seen(tmp_path: Path) -> None:
    assert verdict(tmp_path, "points >= 1", {"points": 0, "account": None}) == "unknown"


def test_account_scope_is_touched_by_a_gap_in_any_region(tmp_path: Path) -> None:
    cut = [*ALL, gap("copy", region="us-east-1")]
    assert verdict(tmp_path, "copies >= 1", {"copies": 0}, cut) == "unknown"
    assert verdict(tmp_path, "copies >= 1", {"copies": 1}, cut) == "pass"


@pytest.mark.parametrize(
    ("resource", "expected"),
    [("t", "unknown"), ("t#versioning", "unknown"), ("other", "fail"), ("*", "unknown")],
)
def test_resource_scope_is_touched_by_a_gap_of_that_resource_only(
    tmp_path: Path, resource: str, expected: str
) -> None:
    cut = [*ALL, gap("setting", resource=resource)]
    assert verdict(tmp_path, "settings >= 1", {"settings": 0}, cut) == expected


def test_resource_is_seen_when_it_alone_was_read(tmp_path: Path) -> None:
    alone = seen("thing") + seen("setting", resource="t")
    assert verdict(tmp_path, "settings >= 1", {"settings": 0}, alone) == "fail"
    other = seen("thing") + seen("setting", resource="other")
    assert verdict(tmp_path, "settings >= 1", {"settings": 0}, other) == "unknown"


def test_unknown_names_the_gap_and_a_proven_failure_stays(tmp_path: Path) -> None:
    pack = pack_of(tmp_path, block("points >= 1"), block("points = 0", id="b-rule", code="TST-002"))
    first, second = judge(
        pack, [{"name": "t", "points": 0}, {"name": "u", "points": 2}], [*ALL, gap("point")]
    )[::3]
    assert (first["verdict"], first["reason"]) == ("unknown", "not_seen")
    assert first["gaps"] == ["point: access denied (111111111111/eu-west-1): no permission"]
    assert "access denied" in first["because"]
    assert (second["verdict"], second["failed_checks"]) == (
        "fail",
        [{"name": "it holds", "values": {"points": 2}}],
    )


def test_scopes_that_could_not_be_listed_are_unknown_one_each(tmp_path: Path) -> None:
    pack = pack_of(tmp_path, block("size > 0"))
    cut = [*seen("thing"), gap("thing", region="us-east-1"), gap("thing", account="p", region="*")]
    rows = judge(
        pack, [{"name": "t", "size": 1}], [*cut, gap("thing", resource="t"), gap("thing", resource="t#x")]
    )
    assert [(r["subject_key"], r["verdict"], r["reason"], r["account"], r["project"]) for r in rows] == [
        ("*:111111111111/us-east-1", "unknown", "not_listed", "111111111111", None),
        ("*:p/*", "unknown", "not_listed", None, "p"),
        ("t", "pass", "", "111111111111", None),
    ]


def test_subjects_that_nobody_listed_are_one_unknown(tmp_path: Path) -> None:
    rows = judge(pack_of(tmp_path, block("size > 0")), [], [])
    assert [(r["subject_key"], r["verdict"], r["because"]) for r in rows] == [
        ("*", "unknown", "Cannot tell: not every thing could be listed (thing was not collected)")
    ]


_ATOMS = st.sampled_from(
    [
        f"{column} {op} {number}"
        for column in (
            "points",
            "fewest",
            "mixed",
            "copies",
            "size",
            "points - fewest",
            "points * 2 - copies",
        )
        for op in ("=", "<>", "<", "<=", ">", ">=")
        for number in (0, 1, 2)
    ]
    + [
        "found",
        "clean",
        "flag",
        "which IS NULL",
        "which IS NOT NULL",
        "has(holders, 'a')",
        "length(holders) > 1",
    ]
)
_EXPRESSIONS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        inner.map(lambda e: f"NOT ({e})"),
        st.tuples(inner, st.sampled_from(("AND", "OR")), inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
    ),
    max_leaves=5,
)
_NUMBER = st.one_of(st.none(), st.integers(0, 3))
_TRUTH = st.one_of(st.none(), st.booleans())
_THINGS = st.fixed_dictionaries(
    dict.fromkeys(("points", "fewest", "mixed", "copies", "size"), _NUMBER)
    | dict.fromkeys(("found", "clean", "flag"), _TRUTH)
    | {
        "which": st.one_of(st.none(), st.just("p")),
        "holders": st.one_of(st.none(), st.lists(st.sampled_from("abc"))),
        "region": st.sampled_from(("eu-west-1", "eu-central-1", None)),
    }
)
_COVER = [
    *seen(*SOURCES), *seen("point", "copy", region="eu-central-1"), *seen("point", region="*"),
    *seen("thing", region="*"),
]  # fmt: skip
_GAPS = [gap("point"), gap("point", region="*"), gap("copy", region="x"), gap("copy", account="2" * 12)]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(_EXPRESSIONS, min_size=5, max_size=10),
    st.lists(_THINGS, min_size=4, max_size=12),
    st.sets(st.integers(0, len(_COVER) - 2)),
    st.sets(st.integers(0, len(_GAPS) - 1)),
)
def test_less_coverage_never_makes_a_verdict_better(
    tmp_path: Path, exprs: list[str], things: list[dict[str, object]], drop: set[int], gaps: set[int]
) -> None:
    pack = _pack(tmp_path, exprs)
    named = [{"name": f"t{at}"} | thing for at, thing in enumerate(things)]
    whole = judge(pack, named, _COVER)
    less = [row for at, row in enumerate(_COVER) if at not in drop]
    cut = judge(pack, named, [*less, *(_GAPS[at] for at in sorted(gaps))])
    for before, after in zip(whole, cut, strict=True):
        assert after["verdict"] in (before["verdict"], "unknown")


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(_EXPRESSIONS, min_size=5, max_size=10),
    st.lists(
        st.tuples(_THINGS, st.integers(0, 3), st.integers(0, 3), st.booleans(), st.booleans()), min_size=4
    ),
)
def test_what_stands_under_a_gap_stands_when_the_unseen_rows_come(
    tmp_path: Path, exprs: list[str], things: list[tuple[dict[str, object], int, int, bool, bool]]
) -> None:
    """The unseen rows of `point` come: what they may raise rises, what they may lower falls."""
    pack = _pack(tmp_path, exprs)
    now, then = [], []
    for at, (thing, more, less, up, down) in enumerate(things):
        place = {"name": f"t{at:03}", "region": "eu-west-1"}
        now.append(thing | place)
        then.append(_later(thing, more, less, up, down) | place)
    cut, whole = judge(pack, now, [*_COVER, gap("point")]), judge(pack, then, _COVER)
    for before, after in zip(cut, whole, strict=True):
        assert before["verdict"] in (after["verdict"], "unknown")


def _pack(folder: Path, exprs: list[str]) -> Pack:
    blocks = [block(expr, id=f"rule-{at}", code=f"TST-{at:03}") for at, expr in enumerate(exprs)]
    return pack_of(folder, *blocks)


def _later(thing: dict[str, object], more: int, less: int, up: bool, down: bool) -> dict[str, object]:
    later = dict(thing)
    for name, step in (("points", more), ("fewest", -less), ("mixed", more - less)):
        later[name] = None if thing[name] is None else int(str(thing[name])) + step
    later["found"] = None if thing["found"] is None else bool(thing["found"]) or up
    later["clean"] = None if thing["clean"] is None else bool(thing["clean"]) and not down
    later["which"] = thing["which"] or ("p" if up else None)
    holders = thing["holders"]
    later["holders"] = [*holders, "a"] if up and isinstance(holders, list) else holders
    return later
