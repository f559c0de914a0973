"""The demonstration: what it leaves in its folder, and the one screen it ends with."""

from __future__ import annotations

import stat
from dataclasses import replace

import pytest

from auditor.errors import UsageError
from auditor.model import Drift, Gap
from auditor.sandbox.demo import DemoResult, Week, play, shown


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    return play(tmp_path_factory.mktemp("demo") / "here", weeks=1)


def test_everything_it_writes_lies_below_its_folder(played: DemoResult) -> None:
    assert played.config.parent == played.into
    assert played.ledger.is_relative_to(played.into)
    assert [path.name for path in played.into.parent.iterdir()] == ["here"]


def test_its_signing_key_is_its_own_and_private(played: DemoResult) -> None:
    assert stat.S_IMODE((played.into / "signing.key").stat().st_mode) == 0o600
    assert (played.into / "signing.key.pub").read_text().startswith("ssh-ed25519 ")
    assert played.fingerprint.startswith("SHA256:")


def test_the_summary_is_one_screen_and_says_what_is_proven_broken_unseen_and_not_due(
    played: DemoResult,
) -> None:
    lines = played.text.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 140
    assert lines[0] == "1 weekly scan of two clouds, 2026-01-05 to 2026-01-05"
    assert any("8 exports:" in line for line in lines)
    assert any("could not be seen" in line for line in lines)
    assert played.complete  # nothing refuses to answer in the first week


def test_what_was_hidden_is_told_with_its_weeks_what_still_is_first(played: DemoResult) -> None:
    def week(number: int, *tables: str) -> Week:
        return Week(
            number, played.weeks[0].at, (), tuple(Gap(table, "1", "*", "*", "denied", "") for table in tables)
        )

    weeks = (week(1, "past"), week(2, "brief", "again"), week(3, "still"), week(4, "still", "again"))
    lines = replace(played, weeks=weeks).text.splitlines()
    start = lines.index("  could not be seen")
    assert [" ".join(line.split()) for line in lines[start + 1 : start + 5]] == [
        "weeks 2, 4 1 *: again denied",
        "since week 3 1 *: still denied",
        "week 1 1 *: past denied",
        "week 2 1 *: brief denied",
    ]


def test_a_policy_that_changed_is_told_by_what_it_lets_in_and_always_by_whom(played: DemoResult) -> None:
    at = played.weeks[0].at
    setting = Drift("d1", "changed", None, "s3_bucket", "arn:aws:s3:::one", "versioning", "Enabled", "Suspended",
                    "worse", at, at, "arn:aws:iam::1:user/finn", "", because="arn:aws:s3:::one: versioning changed")  # fmt: skip
    says = "anyone may read; " * 20
    policy = replace(
        setting,
        field="policy",
        before="[]",
        after='[{"Effect": "Allow"}]',
        because=f"arn:aws:s3:::one: policy is wider: {says}",
    )
    weeks = (*played.weeks, Week(2, at, (setting, policy), ()))
    lines = replace(played, weeks=weeks).text.splitlines()
    assert "    one versioning: Enabled -> Suspended (finn)" in lines
    (line,) = [line for line in lines if "policy" in line and "one " in line]
    assert line.startswith("    one policy is wider: anyone may read; ")
    assert line.endswith("… (finn)")
    assert len(line) == 100


def test_a_folder_that_holds_a_demonstration_is_left_alone(played: DemoResult) -> None:
    before = sorted(path.name for path in played.into.iterdir())
    with pytest.raises(UsageError, match="holds an earlier demonstration"):
        play(played.into, weeks=1)
    assert sorted(path.name for path in played.into.iterdir()) == before


def test_names_that_want_to_move_the_cursor_are_shown_and_not_obeyed() -> None:
    assert shown("a\x1b[2Jb\u202ec\nd") == "a\\x1b[2Jb\\u202ec\\nd"
    assert len(shown("x" * 500)) == 100
