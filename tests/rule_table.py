"""The table of cases: for every rule, where it is seen to pass, to fail and to leave open."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from rule_cases import weeks

from auditor.builtin import builtin
from auditor.rulepack import Pack, load
from auditor.sandbox.cases import FOLDER
from auditor.sandbox.estate_story import Story

VERDICTS = ("pass", "fail", "unknown")


@cache
def shipped() -> Pack:
    """Return the rules that ship, their examples not judged."""
    return load([builtin("rules")], [builtin("rules") / "frameworks"], prove=False)


@cache
def cases() -> dict[str, dict[str, str]]:
    """Return one case of each verdict by the code of the rule: the week and the subject, or the test that plays it."""
    from test_people_cases import CASES as PEOPLE
    from test_permissions_cases import CASES as PERMISSIONS
    from test_rule_cases_product import CASES

    found: dict[str, dict[str, str]] = {}
    for name, story in (("demo", Story.read()), ("cases", Story.read(FOLDER))):
        for said in story["expect_rules"]:
            for week, verdict in weeks(said).items():
                where = f"{name} W{week:02d} {said['of']}"
                found.setdefault(said["rule"], {}).setdefault(verdict, where)
    for code, verdict, test in (*CASES, *PERMISSIONS, *((code, *told) for code, told in PEOPLE.items())):
        found.setdefault(code, {}).setdefault(verdict, test)
    return found


def missing() -> Iterator[str]:
    """Yield each rule and verdict without a case; one that the rule says it can never give needs none."""
    for rule in sorted(shipped().rules, key=lambda rule: rule.code):
        for verdict in VERDICTS:
            if verdict not in rule.cannot and verdict not in cases().get(rule.code, {}):
                yield f"{rule.code} {verdict}"


def lines(width: int = 38) -> Iterator[str]:
    """Yield the table for a terminal, a rule a line."""
    yield "rule     " + "".join(f"{verdict:<{width}}" for verdict in VERDICTS)
    for rule in sorted(shipped().rules, key=lambda rule: rule.code):
        told = [
            "(never)" if verdict in rule.cannot else cases().get(rule.code, {}).get(verdict, "MISSING")
            for verdict in VERDICTS
        ]
        yield f"{rule.code}  " + "".join(
            f"{one if len(one) < width else one[: width - 2] + '…':<{width}}" for one in told
        )
