"""Log files of trails, read on from cursors, and what a bucket does to them in between."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from auditor.model import Cursor, Window
from auditor.sandbox.aws.cloud import AwsCloud
from auditor.sources import aws_cloudtrail
from auditor.sources.ask import Clients
from auditor.sources.clients import Access
from tests.aws_sources import FROM, MADE, NOW, A, look
from tests.test_sources_aws_cloudtrail import AT, packed, put_file, put_object, put_trail

pytestmark = pytest.mark.xdist_group("sources_aws_cloudtrail")
SCOPE = f"arn:aws:cloudtrail:us-east-1:{A}:trail/main {A} us-east-1"
NEXT = Window(NOW - timedelta(hours=6), NOW)


@pytest.fixture
def cloud() -> Iterator[AwsCloud]:
    cloud = AwsCloud()
    cloud.clock(NOW)
    cloud.put_bucket(A, "us-east-1", "trail-logs", at=MADE)
    put_trail(cloud)
    yield cloud
    cloud.faults.clear()
    cloud.stop()


def ids(found: Any) -> set[str]:
    return {row["event_id"] for row in found.of("s3_data_event")}


def cursor(at: datetime) -> dict[str, str]:
    return {SCOPE: at.isoformat()}


def test_a_scan_leaves_a_cursor_for_each_trail_account_and_region(cloud: AwsCloud) -> None:
    cloud.put_events(A, "us-east-1", [put_object()])
    cloud.put_events(A, "eu-west-1", [put_object(awsRegion="eu-west-1", eventID="b")])
    found = look(aws_cloudtrail, cloud.start())
    eu = SCOPE.replace(f"{A} us-east-1", f"{A} eu-west-1")
    assert found.cursors == [Cursor(eu, NOW.isoformat()), Cursor(SCOPE, NOW.isoformat())]


def test_a_file_delivered_two_days_ago_is_read_again_and_an_older_one_is_not(cloud: AwsCloud) -> None:
    for hours in (7, 20, 40, 60, 80, 120):
        at = NOW - timedelta(hours=hours)
        put_file(cloud, packed(put_object(at=at, eventID=f"h{hours}")), at=at)
    endpoint = cloud.start()
    found = look(aws_cloudtrail, endpoint, window=NEXT, cursors=cursor(NOW - timedelta(hours=6)))
    assert ids(found) == {"h7", "h20", "h40"}
    assert found.gaps == []
    assert {seen.from_at for seen in found.seen if seen.table == "sts_session"} == {NEXT.from_at}
    assert ids(look(aws_cloudtrail, endpoint, window=NEXT)) == {"h7"}


def test_a_file_whose_name_is_older_than_its_writing_is_read(cloud: AwsCloud) -> None:
    named = NOW - timedelta(hours=54, minutes=30)
    key = put_file(cloud, packed(put_object(at=named, eventID="late")), at=named)
    cloud.put_object(
        "trail-logs", key, packed(put_object(at=named, eventID="late")), at=NOW - timedelta(hours=1)
    )
    found = look(aws_cloudtrail, cloud.start(), window=NEXT, cursors=cursor(NOW - timedelta(hours=6)))
    assert ids(found) == {"late"}


def test_a_file_that_was_denied_holds_the_cursor_and_heals_when_it_can_be_read(cloud: AwsCloud) -> None:
    put_file(cloud, packed(put_object()))
    put_file(cloud, packed(put_object(eventID="b", at=AT + timedelta(days=1))), at=AT + timedelta(days=1))
    endpoint = cloud.start()
    cloud.faults.set("s3", "GetObject", "deny", times=1)
    first = look(aws_cloudtrail, endpoint)
    (left,) = first.cursors  # of which of the two, the threads decide
    assert left.position in {AT.isoformat(), (AT + timedelta(days=1)).isoformat()}
    later = Window(NOW - timedelta(hours=6), NOW + timedelta(hours=1))
    found = look(aws_cloudtrail, endpoint, window=later, cursors={SCOPE: left.position})
    assert len(ids(found)) == 2
    (start,) = {seen.from_at for seen in found.seen if seen.table == "sts_session"}
    assert start.isoformat() == left.position
    assert found.cursors == [Cursor(SCOPE, later.until_at.isoformat())]


def test_a_file_that_is_no_log_file_does_not_hold_the_cursor(cloud: AwsCloud) -> None:
    key = put_file(cloud, packed(put_object())[:-20])
    put_file(cloud, packed(put_object(eventID="b")), at=AT + timedelta(minutes=5))
    found = look(aws_cloudtrail, cloud.start())
    assert ids(found) == {"b"}
    assert {key in gap.detail for gap in found.gaps} == {True}
    assert found.cursors == [Cursor(SCOPE, NOW.isoformat())]


def test_a_cursor_is_held_back_a_week_at_most(cloud: AwsCloud) -> None:
    put_file(cloud, packed(put_object()))
    cloud.faults.set("s3", "GetObject", "deny")
    after = Window(FROM, AT + timedelta(days=30))
    found = look(aws_cloudtrail, cloud.start(), window=after)
    assert found.cursors == [Cursor(SCOPE, (AT + timedelta(days=23)).isoformat())]


@pytest.mark.parametrize(
    "left", ["soon", "", "2026-01-01T00:00:00", "0001-01-01T00:00:00+00:00", "9999-01-01T00:00:00+00:00"]
)
def test_a_cursor_that_says_nothing_leaves_the_window_to_be_read(cloud: AwsCloud, left: str) -> None:
    put_file(cloud, packed(put_object()))
    found = look(aws_cloudtrail, cloud.start(), cursors={SCOPE: left})
    assert len(ids(found)) == 1


def test_a_file_that_is_gone_when_it_is_read_is_a_gap_that_names_it(cloud: AwsCloud) -> None:
    key = put_file(cloud, packed(put_object()))
    put_file(cloud, packed(put_object(eventID="b")), at=AT + timedelta(minutes=5))
    clients = Clients(Access(aws_endpoint=cloud.start(), attempts=1))

    def gone(params: dict[str, Any], **_: Any) -> None:
        if key in params["url"]:
            params["url"] = params["url"].replace("_x.json", "_gone.json")

    clients.aws("s3", A, "us-east-1").meta.events.register("before-call.s3.GetObject", gone)
    found = look(aws_cloudtrail, "", clients=clients)
    assert ids(found) == {"b"}
    assert {key in gap.detail for gap in found.gaps} == {True}
    assert found.cursors == [Cursor(SCOPE, AT.isoformat())]


def test_many_events_delivered_twice_are_bounded_in_memory_and_the_snapshot_keeps_one_of_each(
    cloud: AwsCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditor.sources import _cloudtrail_files

    monkeypatch.setattr(_cloudtrail_files, "MARKS", 2)
    for minutes in (0, 5):
        put_file(
            cloud,
            packed(*(put_object(eventID=f"e{n}") for n in range(5))),
            at=AT + timedelta(minutes=minutes),
        )
    found = look(aws_cloudtrail, cloud.start())
    assert {row["event_id"] for row in found.of("s3_data_event")} == {f"e{n}" for n in range(5)}


def test_a_file_that_unpacks_to_more_than_cloudtrail_writes_is_a_gap(
    cloud: AwsCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditor.sources import _cloudtrail_files

    monkeypatch.setattr(_cloudtrail_files, "LARGEST", 1 << 20)
    put_file(cloud, gzip.compress(b'{"Records": [' + b" " * (1 << 21) + b"]}"))
    put_file(cloud, packed(put_object()), at=AT + timedelta(minutes=5))
    found = look(aws_cloudtrail, cloud.start())
    assert len(ids(found)) == 1
    assert all("when unpacked" in gap.detail for gap in found.gaps)
