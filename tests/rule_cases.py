"""The cases of each rule: which subject is seen, through the real clients, to pass, to fail and to be unknown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from auditor.model import Outcome
from auditor.sandbox.estate_story import Story


def weeks(said: Mapping[str, Any]) -> dict[int, str]:
    """Return the verdicts that an expectation names, by week."""
    return {
        int(name[1:]): verdict for name, verdict in said.items() if name[:1] == "W" and name[1:].isdigit()
    }


def wrong(story: Story, week: int, outcomes: list[Outcome]) -> Iterator[str]:
    """Yield what the outcomes of a week's scan say otherwise than the story."""
    by_rule: dict[str, list[Outcome]] = {}
    for one in outcomes:
        by_rule.setdefault(one.code, []).append(one)
    for said in story["expect_rules"]:
        expected = weeks(said).get(week)
        if expected is None:
            continue
        subject = story.subject(said["of"])
        meant = [
            one for one in by_rule.get(said["rule"], ()) if fnmatchcase(one.subject_key, _pattern(subject))
        ]
        got = sorted(
            {f"{one.subject_key}: {one.verdict}, {one.because}" for one in meant if one.verdict != expected}
        )
        if got or not meant:
            yield f"W{week:02d} {said['rule']} of {said['of']}: {expected} expected, got {got or 'no such subject'}"


def _pattern(subject: str) -> str:
    """Return a glob in which `*` alone is special: subject keys hold brackets and question marks of their own."""
    return subject.replace("[", "[[]").replace("?", "[?]")
