"""Cases of rules on people that the product's own commands make: a waiver of one's own, and a review of denied attempts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rule_cases import wrong

from auditor.cli._app import App
from auditor.ledger import Ledger
from auditor.sandbox.cases import FOLDER, people
from auditor.sandbox.estate import Estate
from auditor.sandbox.estate_story import Story
from tests.cli_case import answer, run

CASES = {
    "IDN-007": ("fail", "a waiver approved by whoever triggered the job"),
    "IDN-011": ("pass", "a review signed after the latest attempt"),
}
"""What the cases estate cannot show, since clouds hold no ledger."""
WEEKS = 4


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Any, Any]]:
    """Play four weeks of the chapters base and people; after the second, sign what the ledger is to hold."""
    from auditor import config, rulepack, sources
    from auditor.builtin import builtin
    from auditor.scan import scan

    into = tmp_path_factory.mktemp("people")
    chapters = into / "chapters"
    chapters.mkdir()
    for name in ("base", "people"):
        shutil.copy(FOLDER / f"{name}.yaml", chapters)
    sections = {f"sources.{name}": sources.source(name).Settings for name in sources.NAMES}
    rules = builtin("rules")
    pack = rulepack.load([rules], [rules / "frameworks"])
    labels = SimpleNamespace(
        config=lambda _story: {"params": {"JOB-003": {"labels": ["owner", "cost-centre"]}}}
    )
    parts: list[Any] = [people, labels]
    estate = Estate.open(Story.read(chapters), parts=parts)
    found: dict[Any, Any] = {"story": estate.story}
    try:
        path = estate.config(into)
        loaded = config.load(path, sections)
        ledger_path = Path(loaded.state.dir) / "ledger.sqlite3"
        for week in range(1, WEEKS + 1):
            estate.advance(week)
            with Ledger.open(ledger_path) as ledger:
                found[week] = scan(loaded, ledger, pack, now=estate.now(week), slot=f"W{week:02d}")
                if week == 2:
                    found["waived"] = _waive(ledger, found[week], estate)
            if week == 3:
                found["told"] = _sign(path, estate.now(week))
        yield found
    finally:
        estate.close()


def _waive(ledger: Ledger, scanned: Any, estate: Estate) -> str:
    """Let ana approve a waiver of a finding about a job that she triggered."""
    job = estate.story.export("base-claims-w02").job_uuid
    (about,) = [each for each in ledger.findings() if each.subject_key == job and each.code == "JOB-003"]
    row = ledger.waive(
        reason="known",
        requester="finn@acme.example",
        approver=estate.story.email("ana"),
        expires_at=scanned.row.at + timedelta(days=60),
        now=scanned.row.at,
        finding_id=about.finding_id,
    )
    return row.waiver_id


def _sign(path: Path, now: datetime) -> Any:
    """Review the denied attempts by the command line, an hour after the scan by its clock."""
    with pytest.MonkeyPatch.context() as clock:
        clock.setattr(App, "now", lambda _self: now + timedelta(hours=1))
        return _signed(path)


def _signed(path: Path) -> Any:
    rows = answer("reviews", "list", "--open", config=path)["rows"]
    (row,) = [row for row in rows if row["principal"] == people.STRANGER]
    note = "nobody of ours; the address is blocked"
    done = run(
        "reviews", "sign", row["subject"], "--reviewer", "finn@acme.example", "--note", note, config=path
    )
    assert done.exit_code == 0, done.output
    return row


def verdict(scanned: Any, code: str, key: str) -> str:
    (found,) = [one for one in scanned.judgement.outcomes() if one.code == code and one.subject_key == key]
    return str(found.verdict)


@pytest.mark.parametrize("week", range(1, WEEKS + 1))
def test_rules_on_people_say_what_their_chapter_says(played: dict[Any, Any], week: int) -> None:
    outcomes = [one for one in played[week].judgement.outcomes() if one.code in {"IDN-004", "IDN-006"}]
    story = played["story"]
    said = [each for each in story["expect_rules"] if each["rule"] in {"IDN-004", "IDN-006"}]
    assert said
    others = "\n".join(
        line for line in wrong(story, week, outcomes) if "IDN-004" in line or "IDN-006" in line
    )
    assert others == ""


def test_waiver_that_the_trigger_approved_himself_fails_in_the_next_scan(played: dict[Any, Any]) -> None:
    ana = played["story"].email("ana")
    assert verdict(played[2], "IDN-007", ana) == "pass"
    assert verdict(played[3], "IDN-007", ana) == "fail"


def test_review_that_was_signed_passes_in_the_next_scan(played: dict[Any, Any]) -> None:
    key = played["told"]["subject"]
    assert [verdict(played[week], "IDN-011", key) for week in (2, 3, 4)] == ["not_applicable", "fail", "pass"]


def test_offboarding_proof_names_who_was_forgotten_in_a_group(played: dict[Any, Any]) -> None:
    rows = {row["person"]: row for row in played[2].judgement.rows("offboarding")}
    stayer, leaver = (played["story"].email(name) for name in ("people-stayer", "people-leaver"))
    assert rows[stayer]["open"] is True
    assert [each["group"] for each in rows[stayer]["groups"]] == ["people-engineers"]
    assert (rows[leaver]["groups"], rows[leaver]["uses_after_end"]) == ([], 0)
