"""The filter languages of the sandbox: what they mean, and that the rest is refused."""

from __future__ import annotations

from typing import Any

import pytest

from auditor.sandbox.gcp_logging import LogBook
from auditor.sandbox.gcp_query import CLAUSES, RESOURCES, FilterError, parse

LOG = "projects/p/logs/cloudaudit.googleapis.com%2Factivity"


def _entry(insert_id: str, **more: Any) -> dict[str, Any]:
    return {"logName": LOG, "insertId": insert_id, "timestamp": "2026-11-01T10:00:00Z", **more}


@pytest.fixture(scope="module")
def book() -> LogBook:
    book = LogBook()
    book.add(_entry("a", severity="ERROR", textPayload="The Robot fell", labels={"k.x/y": "v"}))
    book.add(_entry("b", severity="INFO", jsonPayload={"n": 5, "ok": True, "list": [{"v": "in"}]}))
    book.add(
        _entry(
            "c",
            timestamp="2026-11-01T10:00:00.000000001Z",
            resource={"type": "cloud_dataproc_cluster", "labels": {"region": "eu"}},
            operation={"id": "op", "first": True},
            jsonPayload={"n": 10, "say": 'a "quoted" \\ word'},
        )
    )
    return book


MEANT = [
    ("", "abc"),
    ("severity>=ERROR", "a"),
    ("severity>=NOTICE", "a"),
    ('severity="info"', "b"),
    ("insertId=a OR insertId=b AND severity=INFO", "b"),
    ("severity=INFO AND insertId=a OR insertId=b", "b"),
    ("insertId=(a OR c)", "ac"),
    ("NOT insertId=a", "bc"),
    ("-insertId=a", "bc"),
    ("NOT (insertId=a OR insertId=b)", "c"),
    ("textPayload:robot", "a"),
    ("robot", "a"),
    ('"quoted"', "c"),
    ("jsonPayload.n>=5", "bc"),
    ("jsonPayload.n<10", "b"),
    ("jsonPayload.n=5", "b"),
    ("jsonPayload.n!=5", "c"),
    ("jsonPayload.missing!=5", ""),
    ("NOT jsonPayload.missing=5", "abc"),
    ("jsonPayload.ok=true", "b"),
    ("jsonPayload.list.v=in", "b"),
    ("jsonPayload.n:*", "bc"),
    ('labels."k.x/y"=v', "a"),
    ("operation.first=true", "c"),
    ("operation.first=false", "ab"),
    ('timestamp>"2026-11-01T10:00:00Z"', "c"),
    ('timestamp>="2026-11-01T11:00:00+01:00" timestamp<"2026-11-02"', "abc"),
    ('timestamp<"2026-11-01T10:00:00.000000001Z"', "ab"),
    ('resource.type="cloud_dataproc_cluster"', "c"),
    ("resource.labels.region=eu -- a comment\nAND insertId=c", "c"),
    ('textPayload=~"^The [Rr]obot"', "a"),
    ('jsonPayload.say!~"nothing"', "c"),
    ('jsonPayload.say="a \\"quoted\\" \\\\ word"', "c"),
    ("log_name:activity", "abc"),
]


@pytest.mark.parametrize(("query", "found"), MEANT)
def test_a_documented_query_finds_what_the_documentation_says(book: LogBook, query: str, found: str) -> None:
    assert "".join(e.insert_id for e in book.find(["projects/p"], query, "")) == found


REFUSED = [
    "a = = b",
    "insertId=",
    "insertId=a AND",
    "AND insertId=a",
    "insertId=a OR OR insertId=b",
    "insertId=a OR",
    "(insertId=a",
    "insertId=a)",
    "()",
    "NOT",
    "insertId=abc:def",
    'insertId="open',
    "insertId=(a b)",
    "insertId=(a OR b AND c)",
    "insertId=(a OR )",
    'SEARCH("robot")',
    'SEARCH(textPayload, "robot")',
    "severity>=LOUD",
    'timestamp>="yesterday"',
    "timestamp>=2026",
    "nosuchfield=1",
    "resource.nosuch=1",
    "resource.type.deeper=1",
    "insertId=*",
    'textPayload=~"("',
    'textPayload=~"(?=look)"',
    "insertId='a'",
    "insertId=a; insertId=b",
    "insertId=a\x00",
    "insertId=AND",
    "a == b",
]


@pytest.mark.parametrize("query", REFUSED)
def test_any_other_query_is_refused_and_never_half_understood(book: LogBook, query: str) -> None:
    with pytest.raises(FilterError, match="Unparseable filter"):
        book.find(["projects/p"], query, "")


@pytest.mark.parametrize(
    "query",
    [
        "status.state = ACTIVE OR status.state = NON_ACTIVE",
        "NOT status.state = ACTIVE",
        "(status.state = ACTIVE)",
        "status.state != ACTIVE",
        "status.state = (ACTIVE OR NON_ACTIVE)",
        "insertTime",
        "labels.a : b",
        "-labels.a",
    ],
)
def test_the_job_filter_has_and_alone(query: str) -> None:
    with pytest.raises(FilterError):
        parse(query, CLAUSES)


def test_the_batch_filter_has_small_words_and_groups() -> None:
    small = parse('state = RUNNING and (create_time < "2023-01-01T00:00:00Z" or state = X)', RESOURCES)
    capital = parse('state = RUNNING AND (create_time < "2023-01-01T00:00:00Z" OR state = X)', RESOURCES)
    assert small == capital
    with pytest.raises(FilterError):
        parse("RUNNING", RESOURCES)
