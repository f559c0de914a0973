"""Each source fails on its own; what was not seen is a gap, and time and people add up over scans."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from auditor.collect import collect
from auditor.coverage import Observed, merged
from auditor.model import Cursor, Gap, Row, Seen, Window
from auditor.reach import places, waves
from auditor.snapshot import Snapshot
from auditor.sources.ask import Ask, BudgetSpent

NOW = datetime(2026, 1, 5, 6, tzinfo=UTC)
WEEK = timedelta(days=7)
ACCOUNT, REGION = "111111111111", "eu-west-1"
Yields = Iterator[Row | Seen | Gap | Cursor]


@dataclass(frozen=True, slots=True)
class NoSettings:
    """Nothing to set."""


@dataclass
class Fake:
    """A source that does what a test says."""

    collect: Callable[[Ask], Yields]
    TABLES: tuple[str, ...] = ("backup_vault",)
    AFTER: tuple[str, ...] = ()
    ACTIONS: tuple[str, ...] = ()
    Settings: type[Any] = field(default=NoSettings)


def config(*sources: str, **limits: Any) -> Any:
    account = SimpleNamespace(id=ACCOUNT, role_arn="", regions=(REGION,))
    return SimpleNamespace(
        aws=SimpleNamespace(endpoint="http://127.0.0.1:9", accounts=(account,)),
        gcp=SimpleNamespace(endpoint="", projects=("p",), regions=("europe-west1",)),
        sources={name: NoSettings() for name in sources},
        exports=(SimpleNamespace(bucket="declared"),),
        limits=SimpleNamespace(**limits),
    )


def scan(
    into: Path,
    *,
    now: datetime = NOW,
    carried: Snapshot | None = None,
    known: dict[str, Fake] | None = None,
    progress: Any = None,
    **sources: Callable[[Ask], Yields],
) -> Snapshot:
    every: dict[str, Any] = known or {name: Fake(reads) for name, reads in sources.items()}
    return collect(
        config(*every),
        now=now,
        window=Window(now - WEEK, now),
        carried=carried,
        into=into,
        sources=every,
        progress=progress,
    )


def vault(arn: str, **more: Any) -> Row:
    return Row("backup_vault", {"arn": arn, "account": ACCOUNT, "region": REGION, **more})


def job(job_id: str, at: datetime, state: str = "COMPLETED") -> Row:
    values = {"job_id": job_id, "account": ACCOUNT, "region": REGION, "created_at": at}
    return Row("backup_job", {**values, "state": state})


def coverage(snapshot: Snapshot, table: str) -> list[dict[str, Any]]:
    return [row for row in snapshot.rows("coverage") if row["table_name"] == table]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("boom"),
        KeyError("x"),
        RecursionError(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        MemoryError(),
        BudgetSpent("spent"),
        AssertionError(),
    ],
)
def test_a_source_that_raises_anything_leaves_gaps_for_its_tables_and_the_others_run(
    tmp_path: Path, error: Exception
) -> None:
    def bad(_: Ask) -> Yields:
        yield vault("before")
        raise error

    def good(_: Ask) -> Yields:
        yield Row("iam_role", {"arn": "r", "account": ACCOUNT})
        yield Seen("iam_role", ACCOUNT)

    known = {
        "bad": Fake(bad, TABLES=("backup_vault", "backup_plan")),
        "good": Fake(good, TABLES=("iam_role",)),
    }
    snapshot = scan(tmp_path, known=known)
    for table in ("backup_vault", "backup_plan"):
        (row,) = coverage(snapshot, table)
        assert not row["complete"]
        assert row["reason"] in {"failed", "malformed", "hung"}
        assert "bad stopped" in row["detail"]
    assert [row["arn"] for row in snapshot.rows("backup_vault")] == ["before"]
    assert [row["complete"] for row in coverage(snapshot, "iam_role")] == [True]
    assert snapshot.manifest["gaps"] == 2


def test_a_source_that_the_configuration_does_not_name_is_a_gap(tmp_path: Path) -> None:
    def never(_: Ask) -> Yields:
        raise AssertionError("asked")
        yield

    snapshot = collect(
        config(), now=NOW, window=Window(NOW - WEEK, NOW), into=tmp_path, sources={"off": Fake(never)}
    )
    (row,) = coverage(snapshot, "backup_vault")
    assert row["reason"] == "not_configured"


def test_a_row_that_does_not_fit_is_a_gap_and_the_next_is_kept(tmp_path: Path) -> None:
    def odd(_: Ask) -> Yields:
        yield vault("big", points=2**63)
        yield vault("fine", points=1)
        yield Seen("backup_vault", ACCOUNT, REGION)

    snapshot = scan(tmp_path, odd=odd)
    assert [row["arn"] for row in snapshot.rows("backup_vault")] == ["fine"]
    gap, seen = coverage(snapshot, "backup_vault")
    assert (gap["reason"], seen["complete"]) == ("malformed", True)
    assert "backup_vault.points" in gap["detail"]


def test_half_a_pagination_keeps_its_rows_and_is_marked(tmp_path: Path) -> None:
    def whole(_: Ask) -> Yields:
        yield from (vault(f"v{index}") for index in range(40))
        yield Seen("backup_vault", ACCOUNT, REGION)

    def half(_: Ask) -> Yields:
        yield from (vault(f"v{index}") for index in range(15))
        yield Gap("backup_vault", ACCOUNT, REGION, reason="truncated", detail="after 1 page")

    before = scan(tmp_path, source=whole).joined({})
    after = scan(tmp_path, source=half, now=NOW + WEEK, carried=before)
    assert len(list(after.rows("backup_vault"))) == 15
    assert [row["reason"] for row in coverage(after, "backup_vault")] == ["truncated"]


@pytest.mark.parametrize(
    ("had", "have", "suspect"),
    [(40, 15, True), (40, 21, False), (18, 8, False), (3, 0, True), (12, 0, True), (0, 0, False)],
)
def test_a_population_that_drops_while_all_listings_succeed_is_suspect(
    tmp_path: Path, had: int, have: int, suspect: bool
) -> None:
    def source(count: int) -> Callable[[Ask], Yields]:
        def reads(_: Ask) -> Yields:
            yield from (vault(f"v{index}") for index in range(count))
            yield Seen("backup_vault", ACCOUNT, REGION)

        return reads

    before = scan(tmp_path, source=source(had)).joined({})
    after = scan(tmp_path, source=source(have), now=NOW + WEEK, carried=before)
    gaps = [row for row in coverage(after, "backup_vault") if not row["complete"]]
    assert bool(gaps) is suspect
    if gaps:
        assert gaps[0]["reason"] == "suspect"
        assert gaps[0]["region"] == REGION
        assert f"{had} rows in the scan before, {have} now" in gaps[0]["detail"]


def test_a_drop_that_the_change_feed_or_a_due_end_explains_is_believed(tmp_path: Path) -> None:
    def point(index: int) -> Row:
        at = NOW + timedelta(days=1)
        values = {"arn": f"p{index}", "account": ACCOUNT, "region": REGION, "delete_at": at}
        return Row("backup_recovery_point", values)

    def first(_: Ask) -> Yields:
        yield from (point(index) for index in range(30))
        yield vault("gone")
        yield Seen("backup_vault", ACCOUNT, REGION)
        yield Seen("backup_recovery_point", ACCOUNT, REGION)

    def second(_: Ask) -> Yields:
        values = {"event_id": "e", "account": ACCOUNT, "region": REGION, "error_code": ""}
        event = {"service": "backup", "event_name": "DeleteBackupVault", "at": NOW + WEEK / 2}
        yield Row("aws_change", {**values, **event})
        yield Seen("backup_vault", ACCOUNT, REGION)
        yield Seen("backup_recovery_point", ACCOUNT, REGION)

    before = scan(tmp_path, source=first).joined({})
    after = scan(tmp_path, source=second, now=NOW + WEEK, carried=before)
    assert after.manifest["gaps"] == 0


def test_events_are_carried_and_the_newest_observation_wins(tmp_path: Path) -> None:
    def first(ask: Ask) -> Yields:
        yield job("a", NOW - WEEK / 2, "RUNNING")
        yield job("b", NOW - WEEK / 2)
        yield vault("state is not carried")
        yield Seen("backup_vault", ACCOUNT, REGION)
        yield Seen("backup_job", ACCOUNT, REGION, "*", ask.window.from_at, ask.window.until_at)

    def second(ask: Ask) -> Yields:
        assert {row.values["job_id"] for row in ask.rows("backup_job")} == {"a", "b"}
        assert [seen.until_at for seen in ask.covered("backup_job")] == [NOW]
        yield job("a", NOW - WEEK / 2, "FAILED")
        yield job("c", NOW + WEEK / 2)
        yield vault("state is not carried")
        yield Seen("backup_vault", ACCOUNT, REGION)
        yield Seen("backup_job", ACCOUNT, REGION, "*", NOW - WEEK / 4, NOW + WEEK)

    before = scan(tmp_path, source=first).joined({})
    after = scan(tmp_path, source=second, now=NOW + WEEK, carried=before)
    states = {row["job_id"]: row["state"] for row in after.rows("backup_job")}
    assert states == {"a": "FAILED", "b": "COMPLETED", "c": "COMPLETED"}
    (row,) = coverage(after, "backup_job")
    assert (row["from_at"], row["until_at"]) == (NOW - WEEK, NOW + WEEK)
    assert after.manifest["gaps"] == 0
    assert after.manifest["carried"] == before.id


def test_a_gap_in_events_stays_until_that_time_was_read(tmp_path: Path) -> None:
    def denied(_: Ask) -> Yields:
        yield Gap("backup_job", ACCOUNT, REGION, reason="denied", detail="no")

    def reads(from_at: datetime) -> Callable[[Ask], Yields]:
        def source(ask: Ask) -> Yields:
            yield Seen("backup_job", ACCOUNT, REGION, "*", from_at, ask.window.until_at)

        return source

    first = scan(tmp_path, source=denied).joined({})
    second = scan(tmp_path, source=reads(NOW - WEEK / 7), now=NOW + WEEK, carried=first).joined({})
    gap, seen = coverage(second, "backup_job")
    assert (gap["from_at"], gap["until_at"]) == (NOW - WEEK, NOW - WEEK / 7)
    assert seen["complete"]
    third = scan(tmp_path, source=reads(NOW - WEEK), now=NOW + 2 * WEEK, carried=second)
    (row,) = coverage(third, "backup_job")
    assert (row["from_at"], row["until_at"]) == (NOW - WEEK, NOW + 2 * WEEK)


def seen(start: float, end: float, at: float) -> Observed:
    what = Seen("backup_job", "a", "r", "*", NOW + WEEK * start, NOW + WEEK * end)
    return Observed("s", what, NOW + WEEK * at)


def unseen(start: float, end: float, at: float, reason: str = "denied") -> Observed:
    what = Gap("backup_job", "a", "r", "*", reason, "", NOW + WEEK * start, NOW + WEEK * end)
    return Observed("s", what, NOW + WEEK * at)


def test_an_older_look_never_hides_a_newer_gap() -> None:
    assert unseen(0, 1, 2) in merged([seen(0, 1, 1), unseen(0, 1, 2)])
    assert merged([unseen(0, 1, 1), seen(0, 1, 2)]) == [seen(0, 1, 2)]
    assert merged([seen(0, 1, 1), unseen(0, 1, 2, "out_of_reach")]) == [seen(0, 1, 1)]


def test_coverage_adds_up_the_same_in_any_order() -> None:
    rng = random.Random(3)
    for _ in range(200):
        every = [
            rng.choice((seen, unseen))(start, start + rng.randint(1, 4), rng.randint(0, 5))
            for start in (rng.randint(0, 9) for _ in range(6))
        ]
        shuffled = rng.sample(every, len(every))
        assert merged(every) == merged(shuffled)
        spans = [each.what for each in merged(every) if isinstance(each.what, Seen)]
        for first, second in pairwise(spans):
            assert first.until_at is not None
            assert second.from_at is not None
            assert first.until_at < second.from_at


def test_row_order_and_thread_timing_never_change_the_id(tmp_path: Path) -> None:
    def source(seed: int) -> Callable[[Ask], Yields]:
        def reads(ask: Ask) -> Yields:
            rng = random.Random(seed)

            def one(index: int) -> Callable[[], Iterator[Row]]:
                def rows() -> Iterator[Row]:
                    time.sleep(rng.random() / 100)
                    yield from (vault(f"v{index}-{n}") for n in range(50))

                return rows

            yield from ask.merged(4, [one(index) for index in range(8)])
            yield Seen("backup_vault", ACCOUNT, REGION)

        return reads

    ids = {scan(tmp_path / str(seed), source=source(seed)).id for seed in range(4)}
    assert len(ids) == 1


def test_sources_run_after_those_they_need_and_see_their_rows(tmp_path: Path) -> None:
    order: list[str] = []

    def jobs(_: Ask) -> Yields:
        order.append("jobs")
        values = {"job_uuid": "u", "project": "p", "arguments": ["--out=s3a://from-args/x/", "y"]}
        yield Row("dataproc_job", {**values, "properties": {"o": "s3://In-Valid/ s3://from-props"}})

    def objects(ask: Ask) -> Yields:
        order.append("objects")
        assert ask.export_buckets() == {"declared", "from-args", "from-props"}
        assert [row.values["job_uuid"] for row in ask.rows("dataproc_job")] == ["u"]
        yield Seen("s3_object_version", ACCOUNT)

    known = {
        "aws_s3": Fake(objects, TABLES=("s3_object_version",), AFTER=("jobs", "not configured")),
        "jobs": Fake(jobs, TABLES=("dataproc_job",)),
    }
    snapshot = scan(tmp_path, known=known)
    assert order == ["jobs", "objects"]
    assert snapshot.manifest["tables"]["dataproc_job"]["sources"] == ["jobs"]


def test_sources_that_wait_for_each_other_are_refused() -> None:
    ring: dict[str, Any] = {
        "a": Fake(lambda _: iter(()), AFTER=("b",)),
        "b": Fake(lambda _: iter(()), AFTER=("a",)),
    }
    with pytest.raises(ValueError, match="wait for each other: a, b"):
        waves(ring, ("a", "b"))


def test_every_place_in_scope_is_asked() -> None:
    assert [(place.cloud, place.account, place.region) for place in places(config())] == [
        ("aws", ACCOUNT, REGION),
        ("gcp", "p", "europe-west1"),
    ]


def test_progress_is_told_with_what_is_read_and_now_and_then_how_much(tmp_path: Path) -> None:
    told: list[tuple[str, dict[str, Any]]] = []

    def source(_: Ask) -> Yields:
        yield from (vault(f"v{n}") for n in range(200))

    scan(tmp_path, source=source, progress=lambda event, fields: told.append((event, fields)))
    read = {"source": "source", "table": "backup_vault"}
    assert told == [
        ("started", {"source": "source", "of": 1, "about": None}),
        *(("read", {**read, "rows": rows}) for rows in (1, 65, 129, 193)),
        ("collected", {"source": "source", "rows": 200, "gaps": 0}),
    ]


def test_an_abandoned_reader_does_not_keep_its_threads() -> None:
    ask = Ask("s", None, (), Window(NOW, NOW), NOW, None)  # type: ignore[arg-type]

    def endless() -> Iterator[int]:
        number = 0
        while True:
            yield (number := number + 1)

    taken = ask.merged(2, [endless, endless, endless])
    assert next(taken) == 1
    taken.close()  # type: ignore[attr-defined]
