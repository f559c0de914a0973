"""Say for each control what evidence there is: populations that add up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from auditor.cli._app import App, answering, app
from auditor.cli._reading import NO_SCAN, Standing, standing, with_as_of
from auditor.errors import UsageError

if TYPE_CHECKING:
    from auditor.rulepack import Control, Pack

_WORDS = ("pass", "fail", "unknown", "waived", "not_applicable")
_SYMBOLS = {
    "evidenced": "✓",
    "failing": "✗",
    "unknown": "?",
    "supported": "–",
    "manual": "–",
    "no evidence": "?",
}


@click.command("controls")
@click.argument("framework", required=False)
@with_as_of
@answering
def command(framework: str | None, as_of: datetime | None) -> None:
    """Say for each control what evidence there is: populations that add up.

    population = pass + fail + unknown + waived + not applicable, over all rules that support the control. A control is
    `evidenced` only by passes of a rule that evidences it; `supported` when rules pass that only help; `manual` when a
    person has to show it.
    """
    this = app()
    pack = this.pack()
    names = [each.name for each in pack.frameworks]
    if framework is not None and framework not in names:
        from auditor.config_read import did_you_mean

        raise UsageError(
            f"there is no framework {framework!r}{did_you_mean(framework, names)}",
            remedy=f"There are {', '.join(names)}.",
        )
    now = standing(this, as_of)
    counts = _counts(this, now)
    rows = [
        _row(control, pack, counts)
        for each in pack.frameworks
        if framework in (None, each.name)
        for control in each.controls
    ]
    if this.json:
        from auditor.cli._answer import answer

        answer("controls", now, rows)
        return
    from auditor.cli._text import write

    write(_lines(rows, now))


def _counts(this: App, now: Standing) -> dict[str, Counter[str]]:
    """Return the outcomes of each rule by verdict, the waived apart."""
    from auditor.cli._filters import Wanted, findings

    counts: dict[str, Counter[str]] = defaultdict(Counter)
    if now.scan is None:
        return counts
    waived = {(row.rule, row.subject_key) for row in findings(this, Wanted(state="waived"), now.at)}
    for row in now.rows("outcome"):
        is_waived = row["verdict"] in ("fail", "unknown") and (row["rule"], row["subject_key"]) in waived
        counts[row["rule"]]["waived" if is_waived else row["verdict"]] += 1
    return counts


def _row(control: Control, pack: Pack, counts: dict[str, Counter[str]]) -> dict[str, Any]:
    rules = [rule for rule in pack.rules if control.name in rule.controls]
    broken = sorted(
        one.code or one.id or one.path for one in pack.broken_rules if control.name in one.controls
    )
    total = sum((counts.get(rule.id, Counter()) for rule in rules), Counter[str]())
    evidenced = any(
        counts.get(rule.id, Counter())["pass"] for rule in rules if control.name in rule.evidences
    )
    return {
        "control": control.name,
        "framework": control.framework,
        "id": control.id,
        "paraphrase": control.paraphrase,
        "manual": control.manual,
        "state": _state(total, control, evidenced=evidenced, broken=broken),
        "rules": sorted(rule.code for rule in rules),
        "not_loaded": broken,
        "population": total.total(),
        **{word: total[word] for word in _WORDS},
    }


def _state(total: Counter[str], control: Control, *, evidenced: bool, broken: Iterable[str]) -> str:
    """Return what may be said of a control; without evidence it is never well."""
    if total["fail"]:
        return "failing"
    if total["unknown"] or broken:
        return "unknown"
    if control.manual:
        return "manual"
    if evidenced:
        return "evidenced"
    return "supported" if total["pass"] else "no evidence"


def _lines(rows: list[dict[str, Any]], now: Standing) -> list[str]:
    from auditor.cli._text import plural, table

    said = [
        (
            f"{_SYMBOLS[row['state']]} {row['state']}",
            row["control"],
            len(row["rules"]),
            row["population"],
            *(row[word] for word in _WORDS),
            row["paraphrase"],
        )
        for row in rows
    ]
    headers = ("STATE", "CONTROL", "RULES", "POP.", "PASS", "FAIL", "UNKN.", "WAIVED", "N.A.", "IN OUR WORDS")
    lines = table(headers, said, right=headers[2:9], fixed=("STATE", "CONTROL"), paints="STATE")
    states = Counter(row["state"] for row in rows)
    counted = ", ".join(f"{states[state]} {state}" for state in _SYMBOLS if states[state])
    manual = [row["control"] for row in rows if row["manual"]]
    ending = [f"Shown by a person, not by rules: {', '.join(manual)}."] if manual else []
    empty = [NO_SCAN, ""] if now.scan is None else []
    return [*empty, *lines, "", f"{plural(len(rows), 'control')}: {counted}.", *_wrap(ending)]


def _wrap(lines: list[str]) -> list[str]:
    from auditor.cli._text import wrapped

    return [part for line in lines for part in wrapped(line)]
