"""What was seen and what was not, asked in every way a link may ask."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from chain_world import at, gap, seen
from hypothesis import example, given
from hypothesis import strategies as st

from auditor.correlate.sight import Sight

ONE, TWO = "111111111111", "222222222222"
VAULT = "arn:vault"


def _vault(**more: Any) -> dict[str, Any]:
    return seen("backup_recovery_point", ONE, **({"region": "eu-west-1"} | more))


def _gap(**more: Any) -> dict[str, Any]:
    return gap("backup_recovery_point", ONE, **({"region": "eu-west-1"} | more))


CASES: list[tuple[str, bool, list[dict[str, Any]], dict[str, Any]]] = [
    # sentence, seen, coverage, question
    ("nothing asked is nothing seen", False, [], {}),
    ("a whole listing is seen", True, [_vault()], {}),
    ("a listing of one resource does not vouch for all", False, [_vault(resource=VAULT)], {}),
    ("a listing of one resource vouches for that one", True, [_vault(resource=VAULT)], {"resource": VAULT}),
    ("a listing of one resource does not vouch for another", False, [_vault(resource=VAULT)], {"resource": "arn:other"}),
    ("a whole listing vouches for each resource", True, [_vault()], {"resource": VAULT}),
    ("a gap of one resource hides that one", False, [_vault(), _gap(resource=VAULT)], {"resource": VAULT}),
    ("a gap of one resource hides no other", True, [_vault(), _gap(resource=VAULT)], {"resource": "arn:other"}),
    ("a gap of one resource hides something of all", False, [_vault(), _gap(resource=VAULT)], {}),
    ("a gap of one setting hides no row", True, [_vault(), _gap(resource=f"{VAULT}#tags")], {}),
    ("a gap of one setting hides that setting of its resource", False, [_vault(), _gap(resource=f"{VAULT}#tags")], {"resource": VAULT}),
    ("a gap of everything hides each resource", False, [_vault(resource=VAULT), _gap()], {"resource": VAULT}),
    ("a gap of another region hides nothing here", True, [_vault(), _gap(region="eu-central-1")], {"region": "eu-west-1"}),
    ("a gap of another region hides something everywhere", False, [_vault(), _gap(region="eu-central-1")], {}),
    ("a gap of every region hides this one", False, [_vault(), _gap(region="*")], {"region": "eu-west-1"}),
    ("another region's listing does not vouch here", False, [_vault()], {"region": "eu-central-1"}),
    ("another account's listing does not vouch here", False, [seen("backup_recovery_point", TWO)], {}),
    ("a source that stopped hides every account", False, [_vault(), gap("backup_recovery_point", "*")], {}),
    ("a resource nobody knows the account of hides no other", True, [_vault(), gap("backup_recovery_point", "*", resource="arn:other")], {"resource": VAULT}),
    ("a gap that ended before the question is past", True, [_vault(), _gap(until_at=at(4))], {"from_at": at(5), "until_at": at(6)}),
    ("a gap that ends as the question begins is past", True, [_vault(), _gap(until_at=at(5))], {"from_at": at(5), "until_at": at(6)}),
    ("a gap that begins as the question ends counts", False, [_vault(), _gap(from_at=at(6))], {"from_at": at(5), "until_at": at(6)}),
    ("a gap that begins after the question is to come", True, [_vault(), _gap(from_at=at(7))], {"from_at": at(5), "until_at": at(6)}),
    ("a gap of one instant counts at that instant", False, [_vault(), _gap(from_at=at(5), until_at=at(5))], {"from_at": at(5), "until_at": at(6)}),
    ("a gap without times always counts", False, [_vault(), _gap(from_at=None, until_at=None)], {"from_at": at(5), "until_at": at(6)}),
    ("an open-ended listing reaches every later time", True, [_vault(until_at=None)], {"from_at": at(5), "until_at": at(40)}),
    ("a listing that ends too early does not reach", False, [_vault(until_at=at(5))], {"from_at": at(4), "until_at": at(6)}),
    ("a listing that begins too late does not reach", False, [_vault(from_at=at(5))], {"from_at": at(4), "until_at": at(6)}),
    ("two scans that touch are one", True, [_vault(until_at=at(5)), _vault(from_at=at(5))], {"from_at": at(4), "until_at": at(6)}),
    ("two scans with a hole between are two", False, [_vault(until_at=at(5)), _vault(from_at=at(5, 1))], {"from_at": at(4), "until_at": at(6)}),
    ("two regions do not make up for each other's times", False, [_vault(until_at=at(5)), _vault(region="eu-central-1", from_at=at(5))], {"from_at": at(4), "until_at": at(6)}),
    ("a region that was read at other times only was not read", False, [_vault(), _vault(region="eu-central-1", from_at=at(8))], {"from_at": at(4), "until_at": at(6)}),
    ("a question without a start asks of its end", False, [_vault(until_at=at(5))], {"until_at": at(6)}),
    ("a gap the caller accounts for counts as read", True, [_gap() | {"reason": "not_enabled"}], {"but": ("not_enabled",)}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("sentence", "whole", "coverage", "question"), CASES, ids=[case[0] for case in CASES]
)
def test_sight(sentence: str, whole: bool, coverage: list[dict[str, Any]], question: dict[str, Any]) -> None:
    gaps = Sight(coverage).gaps("backup_recovery_point", ONE, **question)

    assert (gaps == []) is whole, gaps


def test_every_account_that_was_asked_must_have_been_read() -> None:
    one, two = seen("dataproc_job", "one"), gap("dataproc_job", "two")

    assert Sight([one]).gaps("dataproc_job", None) == []
    assert Sight([one, two]).gaps("dataproc_job", None)
    assert Sight([]).gaps("dataproc_job", None)


def test_a_bucket_that_is_nowhere_hides_no_other_bucket_of_every_account() -> None:
    nowhere = gap("s3_bucket", "*", resource="arn:aws:s3:::nowhere")

    assert (
        Sight([seen("s3_bucket", ONE), nowhere]).gaps("s3_bucket", None, resource="arn:aws:s3:::here") == []
    )


@given(
    hours=st.lists(st.tuples(st.integers(0, 48), st.integers(0, 48), st.booleans()), max_size=6),
    ask=st.tuples(st.integers(0, 48), st.integers(0, 48)),
    more=st.tuples(st.integers(0, 48), st.integers(0, 48)),
)
def test_another_gap_or_a_lost_listing_never_lets_more_be_seen(
    hours: list[tuple[int, int, bool]], ask: tuple[int, int], more: tuple[int, int]
) -> None:
    def reading(first: int, last: int, whole: bool) -> dict[str, Any]:
        times = {"from_at": at(5, min(first, last)), "until_at": at(5, max(first, last))}
        return _vault(**times) if whole else _gap(**times)

    coverage = [reading(*each) for each in hours]
    question = {"from_at": at(5, min(ask)), "until_at": at(5, max(ask))}

    def whole(rows: list[dict[str, Any]]) -> bool:
        return not Sight(rows).gaps("backup_recovery_point", ONE, **question)

    before = whole(coverage)
    assert whole([*reversed(coverage)]) == before
    assert before or not whole([*coverage, reading(*more, False)])
    for index in range(len(coverage)):
        if coverage[index]["complete"]:
            assert before or not whole(coverage[:index] + coverage[index + 1 :])
    moved = [
        row | {name: row[name] + timedelta(days=3) for name in ("from_at", "until_at")} for row in coverage
    ]
    question = {name: when + timedelta(days=3) for name, when in question.items()}
    assert whole(moved) == before


DAYS = st.one_of(st.none(), st.integers(1, 9).map(at))
READINGS = st.fixed_dictionaries(
    {
        "table_name": st.just("s3_data_event"),
        "account": st.sampled_from(["1", "2", "*"]),
        "region": st.sampled_from(["here", "there", "*"]),
        "resource": st.sampled_from(["arn:a", "arn:b", "*"]),
        "from_at": DAYS,
        "until_at": DAYS,
        "complete": st.sampled_from([True, True, True, False]),
        "reason": st.just("denied"),
        "detail": st.just("was denied"),
    }
)
_READ = {
    "table_name": "s3_data_event",
    "account": "1",
    "region": "here",
    "resource": "arn:a",
    "from_at": None,
    "until_at": None,
    "complete": True,
    "reason": "denied",
    "detail": "was denied",
}


@given(
    st.lists(READINGS, max_size=6),
    st.sampled_from(["1", "2"]),
    st.sampled_from(["here", "*"]),
    st.sampled_from(["arn:a", None]),
    DAYS,
    DAYS,
)
@example([{**_READ, "until_at": at(1)}], "1", "here", "arn:a", at(2), at(1))
@example([{**_READ, "from_at": at(2)}], "1", "here", "arn:a", at(2), at(1))
def test_what_is_seen_at_a_glance_is_seen_reading_by_reading_too(
    readings: list[dict[str, Any]],
    account: str,
    region: str,
    resource: str | None,
    from_at: datetime | None,
    until_at: datetime | None,
) -> None:
    sight = Sight(readings)
    told = sight._told("s3_data_event", account, region, resource, from_at or until_at, until_at, None, ())
    assert told == sight.gaps(
        "s3_data_event", account, region=region, resource=resource, from_at=from_at, until_at=until_at
    )
