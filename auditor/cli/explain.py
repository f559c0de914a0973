"""Say step by step why a rule judges a subject as it does, down to the records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from auditor.cli._app import App, answering, app
from auditor.cli._reading import Standing, standing, with_as_of
from auditor.errors import UsageError

if TYPE_CHECKING:
    from auditor.ledger import FindingRow
    from auditor.rulepack import Pack, Rule


@click.command("explain")
@click.argument("words", nargs=-1, required=True, metavar="FINDING | RULE SUBJECT")
@with_as_of
@answering
def command(words: tuple[str, ...], as_of: datetime | None) -> None:
    """Say step by step why a rule judges a subject as it does, down to the records.

    FINDING is a finding's id or the start of it. RULE is an id or code, SUBJECT the subject's key: this way passes are
    explained too.
    """
    if len(words) > 2:
        raise UsageError(
            "explain takes a finding, or a rule and a subject", remedy="Put a key with spaces in quotes."
        )
    this = app()
    now = standing(this, as_of)
    now.found  # noqa: B018  # says so when there is no scan
    pack = this.pack()
    finding, outcome = (
        _by_finding(this, now, words[0]) if len(words) == 1 else _by_rule(this, now, pack, *words)
    )
    history = _history(this, now, finding)
    rule = next((rule for rule in pack.rules if rule.id == outcome["rule"]), None)
    if this.json:
        from auditor.cli._answer import answer

        answer("explain", now, [_row(now, outcome, finding, history, rule)])
        return
    from auditor.cli._text import write

    write(_lines(this, now, outcome, finding, history, rule, pack))


def _by_finding(this: App, now: Standing, word: str) -> tuple[FindingRow, Mapping[str, Any]]:
    with this.ledger() as ledger:
        finding = ledger.finding(word, as_of=now.at)
    if finding is None:
        raise UsageError(
            f"there is no finding {word!r}", remedy="`auditor findings --state all` lists them all."
        )
    judged = next(
        (
            row
            for row in (now.rows("outcome") if finding.state == "open" else ())
            if (row["rule"], row["subject_key"]) == (finding.rule, finding.subject_key)
        ),
        None,
    )
    return finding, judged or _remembered(finding)


def _remembered(finding: FindingRow) -> dict[str, Any]:
    """Return the outcome that a finding holds, for one that is closed or whose subject is gone."""
    names = (
        "rule", "code", "severity", "subject_table", "subject_key", "zone", "account", "project", "owner", "params",
        "verdict", "because", "failed_checks", "unknown_checks", "gaps", "refs",
    )  # fmt: skip
    return {"reason": "", **{name: getattr(finding, name) for name in names}}


def _by_rule(
    this: App, now: Standing, pack: Pack, word: str, subject: str
) -> tuple[FindingRow | None, Mapping[str, Any]]:
    from auditor.cli._filters import Wanted, check_names, findings
    from auditor.config_read import did_you_mean

    check_names(pack, rule=word)
    rows = [row for row in now.rows("outcome") if word in (row["rule"], row["code"])]
    found = next((row for row in rows if row["subject_key"] == subject), None)
    if found is None:
        known = [row["subject_key"] for row in rows]
        raise UsageError(
            f"rule {word} judged no subject {subject!r}{did_you_mean(subject, known)}",
            remedy=f"`auditor outcomes --rule {word}` lists what it judged.",
        )
    about = findings(this, Wanted(rule=found["rule"], state="all"), now.at)
    return next((row for row in about if row.subject_key == subject), None), found


def _history(this: App, now: Standing, finding: FindingRow | None) -> list[FindingRow]:
    if finding is None:
        return []
    with this.ledger() as ledger:
        return ledger.history(finding.finding_id, as_of=now.at)


def _row(
    now: Standing,
    outcome: Mapping[str, Any],
    finding: FindingRow | None,
    history: list[FindingRow],
    rule: Rule | None,
) -> dict[str, Any]:
    from auditor.cli._answer import finding_row, outcome_row
    from auditor.cli._evidence import Evidence

    with Evidence(now.snapshot()) as evidence:
        records = [
            {
                "ref": [table, key],
                "rows": [{"table": name, "row": row} for name, row in evidence.rows(table, key)],
            }
            for table, key in outcome["refs"] or []
        ]
    return {
        "outcome": outcome_row(outcome),
        "finding": finding_row(finding) if finding else None,
        "rule": _rule(rule) if rule else None,
        "history": [
            {
                "verdict": one.verdict,
                "since": one.since_at,
                "until": one.until_at,
                "because": one.because,
                "ended": one.ended,
            }
            for one in history
        ],
        "records": records,
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "code": rule.code,
        "title": rule.title,
        "severity": rule.severity,
        "controls": rule.controls,
        "remedy": rule.remedy,
        "when": rule.when.text if rule.when else None,
        "due": rule.due.text if rule.due else None,
        "checks": [{"name": check.name, "expr": check.text} for check in rule.checks],
    }


def _lines(
    this: App,
    now: Standing,
    outcome: Mapping[str, Any],
    finding: FindingRow | None,
    history: list[FindingRow],
    rule: Rule | None,
    pack: Pack,
) -> list[str]:
    from auditor.cli._evidence import Evidence, lines
    from auditor.cli._text import bold, marked, paint, safe, wrapped

    verdict = paint(marked(outcome["verdict"]), outcome["verdict"])
    reason = f" ({outcome['reason'].replace('_', ' ')})" if outcome["reason"] else ""
    page = [
        f"{verdict}{reason}  {outcome['severity']}  {outcome['code']} {safe(outcome['rule'])}",
        f"  {safe(outcome['subject_table'])} {safe(outcome['subject_key'])}",
        *wrapped(outcome["because"], indent="  "),
        "",
        *_about(rule, pack, outcome, now),
        *_params(this, outcome, rule),
        bold("Steps"),
        *_steps(outcome, rule),
    ]
    if outcome["gaps"]:
        page += [
            "",
            bold("What hides the answer"),
            *(line for gap in outcome["gaps"] for line in wrapped(gap, indent="  ")),
        ]
    page += ["", bold("Records")]
    with Evidence(now.snapshot()) as evidence:
        page += lines(evidence, outcome["refs"] or []) or ["  none: no row stands behind it"]
    if rule or finding:
        controls = rule.controls if rule else tuple(finding.controls if finding else ())
        page += ["", f"{bold('Controls')}  {', '.join(controls) or 'none'}"]
        page += [
            bold("Remedy"),
            *wrapped(rule.remedy if rule else finding.remedy if finding else "", indent="  "),
        ]
    return [*page, *_told(finding, history)]


def _about(rule: Rule | None, pack: Pack, outcome: Mapping[str, Any], now: Standing) -> Iterator[str]:
    from auditor.cli._text import bold, safe

    if rule is None:
        broken = next((one for one in pack.broken_rules if one.id == outcome["rule"]), None)
        yield f"{bold('Rule')}    it did not load: {safe(broken.text) if broken else 'it is not among the rules any more'}"
    else:
        yield f"{bold('Rule')}    {safe(rule.title)}"
        yield f"        {safe(rule.path)}:{rule.line}"
    if pack.digest != now.found.rule_digest:
        yield "        The rules have changed since this scan: what follows is the rule of today, the values are of then."
    yield f"{bold('Zone')}    {safe(outcome['zone'] or 'none known')}"


def _params(this: App, outcome: Mapping[str, Any], rule: Rule | None) -> list[str]:
    """Return the parameters in force and where each was said."""
    from auditor.cli._text import bold, safe

    lines = [
        f"        {safe(name)} = {_value(value, rule, name)}  ({_source(this, outcome, name)})"
        for name, value in sorted((outcome["params"] or {}).items())
    ]
    return [bold("Params"), *lines, ""] if lines else [""]


def _value(value: Any, rule: Rule | None, name: str) -> str:
    from datetime import timedelta

    from auditor.cli._text import safe, span

    param = rule.params.get(name) if rule else None
    if param is not None and param.duration and isinstance(value, int):
        return span(timedelta(seconds=value))
    return "not known" if value is None else safe(value)


def _source(this: App, outcome: Mapping[str, Any], name: str) -> str:
    config, words = this.config(), (outcome["rule"], outcome["code"])
    for zone in config.zones:
        if zone.name == outcome["zone"] and any(name in zone.rules.get(word, {}) for word in words):
            return f"{config.path}, zone {zone.name}: {zone.policy_ref}, approved by {zone.approved_by}"
    if any(name in config.params.get(word, {}) for word in words):
        return f"{config.path}, [params]"
    return "the rule's own"


def _steps(outcome: Mapping[str, Any], rule: Rule | None) -> Iterator[str]:
    """Yield when, due and every check with its result and values, in the order they are judged."""
    from auditor.cli._text import paint, safe

    failed = {check["name"]: check["values"] for check in outcome["failed_checks"] or []}
    unknown = {check["name"]: check["values"] for check in outcome["unknown_checks"] or []}
    applies = outcome["verdict"] != "not_applicable"
    for word, clause in (("applies when", rule.when), ("due when", rule.due)) if rule else ():
        if clause is not None:
            held = applies or (word == "applies when" and outcome["reason"] == "not_due")
            hidden = word in unknown or clause.name in unknown
            yield f"  {'?' if hidden else '✓' if held else '–'} {word}: {safe(clause.text)}"
    if not applies:
        yield "  The checks were not judged."
        return
    named = (
        [(check.name, check.text) for check in rule.checks]
        if rule
        else [(name, "") for name in (*failed, *unknown)]
    )
    for name, text in named:
        word = "fail" if name in failed else "unknown" if name in unknown else "pass"
        if outcome["verdict"] == "unknown" and outcome["reason"] and word == "pass":
            word = "unknown"
        symbol = {"fail": "✗", "unknown": "?", "pass": "✓"}[word]
        yield f"  {paint(f'{symbol} {word}', word)}: {safe(name)}"
        if text:
            yield f"      {safe(text)}"
        for key, value in (failed.get(name) or unknown.get(name) or {}).items():
            yield f"      {safe(key)} = {'not known' if value is None else safe(value)}"


def _told(finding: FindingRow | None, history: list[FindingRow]) -> Iterator[str]:
    from auditor.cli._answer import finding_state
    from auditor.cli._text import bold, marked, safe, when

    if finding is None:
        yield ""
        yield "There is no finding about it."
        return
    yield ""
    yield f"{bold('Finding')} {finding.finding_id}"
    waived = f", waived by {finding.waiver}" if finding.waiver else ""
    yield f"  {finding_state(finding)} since {when(finding.opened_at)}{waived}; owner {safe(finding.owner or 'nobody named')}"
    for one in history:
        end = f"until {when(one.until_at)} ({one.ended})" if one.until_at else "until now"
        yield f"  {marked(one.verdict):<12} from {when(one.since_at)} {end}"
        if one.ended_because:
            yield f"      {safe(one.ended_because)}"
