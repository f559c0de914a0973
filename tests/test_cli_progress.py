"""What a person sees of a scan while it runs."""

from __future__ import annotations

import io
from pathlib import Path

from cli_case import CONFIG, process

from auditor.cli._progress import Bar


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def bar(width: int = 200) -> tuple[Bar, io.StringIO, Clock]:
    out, clock = io.StringIO(), Clock()
    return Bar(out, clock, lambda: width), out, clock


def screen(text: str) -> list[str]:
    """Return the lines a terminal would show: moving up and wiping is all that is done to them."""
    shown: list[str] = []
    for part in text.split("\x1b["):
        rest = part
        if part[:1].isdigit():
            up, _, rest = part.partition("A")
            shown = shown[: len(shown) - int(up)]
        elif part.startswith("J"):
            rest = part[1:]
        shown += rest.splitlines()
    return shown


def test_each_source_tells_what_is_read_how_much_is_left_by_the_scan_before_and_how_fast() -> None:
    told, out, clock = bar()
    told.tell("started", {"source": "aws_backup", "of": 4, "about": 1000})
    clock.now += 2
    told.tell("read", {"source": "aws_backup", "table": "backup_recovery_point", "rows": 600})
    assert screen(out.getvalue()) == [
        "[--------------------] 0 of 4 sources read",
        "  aws_backup: 600 rows, about 400 left by the scan before, 300 rows/s, at backup_recovery_point",
    ]


def test_what_has_no_scan_before_it_is_given_no_end() -> None:
    told, out, _ = bar()
    told.tell("started", {"source": "gcp_logging", "of": 1, "about": None})
    assert screen(out.getvalue())[1] == "  gcp_logging: 0 rows"


def test_a_wait_for_a_quota_is_shown_until_rows_come_again() -> None:
    told, out, clock = bar()
    told.tell("started", {"source": "gcp_logging", "of": 1, "about": None})
    clock.now += 1
    told.tell("waiting", {"source": "gcp_logging", "seconds": 40, "for": "ListLogEntries"})
    assert screen(out.getvalue())[1].endswith("; waiting: 40, ListLogEntries")
    clock.now += 1
    told.tell("read", {"source": "gcp_logging", "table": "audit_entry", "rows": 1})
    assert "waiting" not in screen(out.getvalue())[1]


def test_nothing_is_drawn_more_than_four_times_a_second_whatever_is_told() -> None:
    told, out, clock = bar()
    told.tell("started", {"source": "aws_s3", "of": 1, "about": 10**6})
    for rows in range(10_000):
        clock.now += 0.001
        told.tell("read", {"source": "aws_s3", "table": "s3_object_version", "rows": rows})
    assert out.getvalue().count("\x1b[J") <= 4 * 10


def test_one_line_stays_at_the_end_and_no_line_is_wider_than_the_terminal() -> None:
    told, out, clock = bar(width=40)
    told.tell("started", {"source": "a" * 60 + "\x1b[31m", "of": 1, "about": None})
    assert all(len(line) < 40 for line in screen(out.getvalue()))
    clock.now += 5
    told.tell("collected", {"source": "a" * 60 + "\x1b[31m", "rows": 1234, "gaps": 2})
    told.tell("judging", {"snapshot": "x"})
    assert screen(out.getvalue()) == ["[####################] 1 of 1 sources re"[:39]]
    told.end()
    assert screen(out.getvalue()) == ["1,234 rows read from 1 sources in 5 s; 2 gaps"]


def test_a_scan_whose_output_goes_into_a_pipe_draws_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG.format(state=tmp_path / "state"))
    done = process("scan", "--json", cwd=tmp_path)
    assert done.stdout.startswith("{")
    assert done.stderr == ""
