"""The scenario itself: it holds every case that the specification of the chain knows."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from auditor.errors import ConfigError
from auditor.model import LINKS, State, Strength
from auditor.sandbox.estate_story import Story, words

STORY = Story.read()
JUDGED = [
    (export_id, link, state, strength)
    for week in range(1, STORY.weeks + 1)
    for export_id, links in STORY.expectations(week).items()
    for link, (state, strength) in links.items()
]


def test_at_least_sixty_exports_over_three_projects_two_accounts_and_two_regions() -> None:
    assert len(STORY.exports) >= 60
    assert len({export.get("project") for export in STORY.exports}) == 3
    assert len(STORY["aws"]["accounts"]) == len(STORY["aws"]["regions"]) == 2
    assert len({STORY.bucket(export.bucket)[1] for export in STORY.exports}) == 2


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("state", [State.BROKEN, State.UNKNOWN, State.PENDING])
def test_every_link_is_in_every_bad_state_at_least_twice(link: str, state: State) -> None:
    assert sum(one[1] == link and one[2] == state for one in JUDGED) >= 2


def test_every_strength_is_proven_somewhere() -> None:
    proven = Counter(strength for _, _, state, strength in JUDGED if state is State.PROVEN)
    assert min(proven[each] for each in (Strength.EXACT, Strength.STRONG, Strength.INFERRED)) >= 10


def test_every_export_is_judged_in_some_week() -> None:
    judged = {export_id for export_id, *_ in JUDGED}
    assert judged == {export.export_id for export in STORY.exports}


def test_ids_are_unique_and_job_ids_are_reused_once_on_purpose() -> None:
    assert len({export.export_id for export in STORY.exports}) == len(STORY.exports)
    reused = Counter((export.get("project"), export.job_id) for export in STORY.exports)
    assert {job_id for (_, job_id), times in reused.items() if times > 1} == {"adhoc-export"}


def test_an_unusual_chain_says_why_or_its_pipeline_does() -> None:
    silent = [
        export.id
        for export in STORY.exports
        if export.expect != STORY["pipelines"][export.pipeline]["expect"] and not export.get("why")
    ]
    told = {"eligibility-w04", "central-w07", "stats-w07"}  # the comment above their week says it
    assert set(silent) <= told


def test_moments_lie_in_the_seven_days_before_their_scan() -> None:
    assert STORY.now(1) == datetime(2026, 1, 5, 6, tzinfo=UTC)
    assert STORY.now(12) == datetime(2026, 3, 23, 6, tzinfo=UTC)
    assert STORY.moment("W01 Mon 05:59") == datetime(2026, 1, 5, 5, 59, tzinfo=UTC)
    assert STORY.moment("W01 Mon 06:00") == datetime(2025, 12, 29, 6, tzinfo=UTC)
    assert STORY.moment("W02 Sun 12:00") == datetime(2026, 1, 11, 12, tzinfo=UTC)
    assert all(STORY.week_of(export.at) == int(export.said["at"][1:3]) for export in STORY.exports)


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ("expect: {session: brokn}", "no link can be 'brokn'"),
        ("expect: {sesion: broken}", "no link 'sesion'"),
        ("at: W01 Tuesday", "is no moment"),
    ],
)
def test_a_mistake_in_the_scenario_is_named(tmp_path: Path, told: str, wrong: str) -> None:
    text = (Path(__file__).parent.parent / "auditor/sandbox/scenario.yaml").read_text()
    entry = "  - {id: claims-w01, at: W01 Tue 01:00}"
    assert entry in text
    at = "at: W01 Tue 01:00, " if told.startswith("expect") else ""
    path = tmp_path / "scenario.yaml"
    path.write_text(text.replace(entry, f"  - {{id: claims-w01, {at}{told}}}"))
    with pytest.raises(ConfigError, match=wrong):
        assert Story.read(path).exports


def test_words_of_an_expectation() -> None:
    assert words("strong") == (State.PROVEN, Strength.STRONG)
    assert words("broken") == (State.BROKEN, Strength.NONE)
    assert words("open") is None
