"""Say for each control what evidence there is: populations that add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from auditor.cli._app import TIME, App, answering, app
from auditor.cli._reading import NO_SCAN, Standing, standing, with_as_of
from auditor.errors import UsageError

if TYPE_CHECKING:
    from auditor.controls import Standing as Control
    from auditor.controls_window import RuleWindow
    from auditor.report_read import Counts
    from auditor.rulepack import Pack

_SYMBOLS = {
    "failing": "✗",
    "unknown": "?",
    "waived": "~",
    "evidenced": "✓",
    "partly": "–",
    "not_due": "…",
    "nothing": "–",
    "manual": "–",
}
_COVERAGE = {"evidenced": "evidenced", "partly": "partly", "manual": "manual", "not_in_scope": "no scope"}


@click.command("controls")
@click.argument("framework", required=False)
@click.option(
    "--from", "from_at", type=TIME, help="Begin of a window: then every answer is about the window."
)
@click.option("--to", "to_at", type=TIME, help="End of the window; default: the last scan.")
@with_as_of
@answering
def command(
    framework: str | None, from_at: datetime | None, to_at: datetime | None, as_of: datetime | None
) -> None:
    """Say for each control what evidence there is: populations that add up.

    population = pass + fail + unknown + waived + not applicable, over all rules that support the control. A control is
    `evidenced` only by passes of a rule that evidences it, `partly` when rules pass that only help, `manual` when a person
    has to show it, `not in scope` when there is nothing for its rules to judge.

    With --from it is about a window, as a SOC 2 Type II asks: each subject counts once, by the worst that was said of it; each
    exception has its treatment; time that no good scan vouches for is unknown.
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
    if from_at is None and to_at is not None:
        raise UsageError("--to needs --from", remedy="`--as-of` answers as things stood at one time.")
    if from_at is not None:
        _window(this, pack, framework or "", from_at, to_at)
        return
    from auditor.controls import standings

    now = standing(this, as_of)
    rows = [
        _row(one, pack)
        for one in standings(pack, _counts(this, now), judged=now.scan is not None, framework=framework or "")
    ]
    if this.json:
        from auditor.cli._answer import answer

        answer("controls", now, rows)
        return
    from auditor.cli._text import write

    write([*([NO_SCAN, ""] if now.scan is None else []), *_lines(rows), "", *_ending(rows)])


def _counts(this: App, now: Standing) -> Mapping[str, Counts]:
    """Return the outcomes of each rule by what became of them; UsageError when they are not kept any more."""
    if now.scan is None:
        return {}
    from auditor.report_read import judged

    with this.ledger() as ledger:
        found = judged(now.scan, now.state, ledger.findings(as_of=now.at))
    if found.judgement is None:
        now.judgement()  # says what is missing
    return found.rules


def _row(one: Control, pack: Pack) -> dict[str, Any]:
    codes = {rule.id: rule.code for rule in pack.rules}
    control, counts = one.control, one.counts
    return {
        "control": control.name,
        "framework": control.framework,
        "id": control.id,
        "paraphrase": control.paraphrase,
        "manual": control.manual,
        "state": one.status,
        "coverage": one.coverage,
        "rules": sorted(codes[rule] for rule in one.rules),
        "not_loaded": list(one.not_loaded),
        "population": counts.population,
        "pass": counts.passed,
        "fail": counts.failed,
        "unknown": counts.unknown,
        "waived": counts.waived,
        "not_applicable": counts.not_applicable + counts.not_due,
    }


_WORDS = ("pass", "fail", "unknown", "waived", "not_applicable")


def _lines(rows: list[dict[str, Any]], *more: str) -> list[str]:
    from auditor.cli._text import table

    said = [
        (
            f"{_SYMBOLS[row['state']]} {row['state'].replace('_', ' ')}",
            row["control"],
            *((row[name] for name in more) if more else (_COVERAGE[row["coverage"]],)),
            row["population"],
            *(row[word] for word in _WORDS),
            row["paraphrase"],
        )
        for row in rows
    ]
    numbers = ("POP.", "PASS", "FAIL", "UNKN.", "WAIVED", "N.A.")
    middle = tuple(_HEADERS[name] for name in more) or ("EVIDENCE",)
    right = (*(middle if more else ()), *numbers)
    headers = ("STATE", "CONTROL", *middle, *numbers, "IN OUR WORDS")
    return table(headers, said, right=right, fixed=("STATE", "CONTROL", *middle), paints="STATE")


_HEADERS = {"covered_percent": "SEEN %", "exceptions": "EXC.", "untreated": "OPEN"}


def _ending(rows: list[dict[str, Any]]) -> Iterator[str]:
    from auditor.cli._text import plural, wrapped

    states = Counter(row["state"] for row in rows)
    counted = ", ".join(f"{states[state]} {state.replace('_', ' ')}" for state in _SYMBOLS if states[state])
    manual = [row["control"] for row in rows if row["manual"]]
    yield f"{plural(len(rows), 'control')}: {counted}."
    if manual:
        yield from wrapped(f"Shown by a person, not by rules: {', '.join(manual)}.")


def _window(this: App, pack: Pack, framework: str, from_at: datetime, to_at: datetime | None) -> None:
    from auditor.controls import standings
    from auditor.controls_window import over

    if not this.ledger_path.exists():
        raise UsageError("no scan yet", remedy="`auditor scan` makes one.")
    with this.ledger() as ledger:
        last = ledger.latest_scan(to_at)
        end = to_at or (last.at if last else this.now())
        found = over(
            ledger,
            pack,
            this.state(),
            from_at=from_at,
            to_at=end,
            now=max(this.now(), last.at if last else end),
        )
    counts = {rule: one.counts for rule, one in found.items()}
    rows = []
    for one in standings(pack, counts, judged=True, framework=framework):
        mine = [found[rule] for rule in one.rules]
        least = min((each.covered_percent for each in mine), default=0)
        row = _row(one, pack) | {
            "covered_percent": least,
            "exceptions": sum(len(each.exceptions) for each in mine),
            "untreated": sum(each.treatment == "open" for one_rule in mine for each in one_rule.exceptions),
            "over": [_rule(each) for each in mine],
        }
        if row["state"] in ("evidenced", "partly") and least < 100:
            # "No failure" may be claimed only of time that was covered.
            row |= {"state": "unknown", "coverage": "partly"}
        rows.append(row)
    whole = all(row["covered_percent"] == 100 for row in rows if row["rules"])
    if this.json:
        from auditor.cli._answer import envelope

        window = {"from": from_at, "to": end}
        envelope("controls-window", rows, as_of=end, complete=whole, window=window)
        return
    from auditor.cli._text import bold, write

    said = [bold(f"{from_at:%Y-%m-%d %H:%MZ} to {end:%Y-%m-%d %H:%MZ}"), ""]
    write(
        [
            *said,
            *_lines(rows, "covered_percent", "exceptions", "untreated"),
            "",
            *_ending(rows),
            *_gaps(found),
        ]
    )


def _rule(one: RuleWindow) -> dict[str, Any]:
    from dataclasses import asdict

    counts = one.counts
    return {
        "rule": one.rule,
        "code": one.code,
        "window_s": one.window_s,
        "covered_s": one.covered_s,
        "covered_percent": one.covered_percent,
        "uncovered": [asdict(each) for each in one.uncovered],
        "population": counts.population,
        "pass": counts.passed,
        "fail": counts.failed,
        "unknown": counts.unknown,
        "waived": counts.waived,
        "not_applicable": counts.not_applicable + counts.not_due,
        "exceptions": [asdict(each) for each in one.exceptions],
    }


def _gaps(found: Mapping[str, RuleWindow]) -> Iterator[str]:
    """Say which time is not covered, each stretch once with how many rules it concerns."""
    from auditor.cli._text import plural, wrapped

    stretches = Counter(
        (each.from_at, each.until_at, each.because) for one in found.values() for each in one.uncovered
    )
    if stretches:
        yield ""
        yield "Not covered, and so unknown:"
    for (since, until, because), rules in sorted(stretches.items())[:20]:
        yield from wrapped(
            f"{since:%Y-%m-%d %H:%MZ} to {until:%Y-%m-%d %H:%MZ}: {because} ({plural(rules, 'rule')})",
            indent="  ",
        )
