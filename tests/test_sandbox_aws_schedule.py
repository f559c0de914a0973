"""When a backup plan runs next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from auditor.sandbox.aws.schedule import next_runs

FRIDAY = datetime(2026, 1, 2, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "expression",
    [
        "cron(0 5 L * ? *)",
        "cron(0 5 ? * 6#3 *)",
        "cron(0 5 15W * ? *)",
        "cron(0 5 * * * *)",
        "cron(0 5 ? * *)",
        "cron(0 25 ? * * *)",
        "cron(0 5 ? * FOO *)",
        "rate(0 hours)",
        "every day",
    ],
)
def test_a_schedule_that_is_not_understood_is_refused_rather_than_guessed(expression: str) -> None:
    with pytest.raises(ValueError, match=r"cron|rate"):
        next_runs(expression, after=FRIDAY, count=1)


@pytest.mark.parametrize(
    ("expression", "first"),
    [
        ("cron(0 5 ? * * *)", datetime(2026, 1, 3, 5, tzinfo=UTC)),
        ("cron(0 5/6 * * ? *)", datetime(2026, 1, 2, 11, tzinfo=UTC)),
        ("cron(15,45 5 ? * * *)", datetime(2026, 1, 2, 5, 15, tzinfo=UTC)),
        ("cron(0 0 ? * MON-FRI *)", datetime(2026, 1, 5, tzinfo=UTC)),
        ("cron(0 0 ? * 1 *)", datetime(2026, 1, 4, tzinfo=UTC)),
        ("cron(0 0 1 * ? *)", datetime(2026, 2, 1, tzinfo=UTC)),
        ("cron(0 0 29 FEB ? *)", datetime(2028, 2, 29, tzinfo=UTC)),
        ("rate(12 hours)", datetime(2026, 1, 2, 17, tzinfo=UTC)),
    ],
)
def test_the_next_run_is_the_one_aws_documents(expression: str, first: datetime) -> None:
    assert next_runs(expression, after=FRIDAY, count=1) == [first]


def test_a_schedule_keeps_its_local_hour_over_the_change_of_the_clocks() -> None:
    before = datetime(2026, 3, 28, 12, tzinfo=UTC)
    runs = next_runs("cron(0 5 ? * * *)", after=before, count=2, zone="Europe/Berlin")
    assert runs[0] == datetime(2026, 3, 29, 3, tzinfo=UTC)
    assert next_runs("cron(0 5 ? * * *)", after=before - timedelta(1), count=1, zone="Europe/Berlin") == [
        datetime(2026, 3, 28, 4, tzinfo=UTC)
    ]


def test_a_schedule_of_a_year_gone_by_never_runs_again() -> None:
    assert next_runs("cron(0 5 ? * * 2025)", after=FRIDAY, count=3) == []
