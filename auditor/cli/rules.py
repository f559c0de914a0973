"""List, check, test and document the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditor.cli._app import App, answering, app, shared
from auditor.errors import INCOMPLETE, RuleError
from auditor.model import SEVERITIES, Verdict

if TYPE_CHECKING:
    from auditor.rulepack import Pack, Rule


@click.group("rules", invoke_without_command=True)
@answering
def command() -> None:
    """List, check, test and document the rules. Without a word after it: list."""
    if click.get_current_context().invoked_subcommand is None:
        _list(app())


@command.command("list")
@answering
def list_() -> None:
    """List every rule with its subject and its controls."""
    _list(app())


def _list(this: App) -> None:
    pack = this.pack()
    if this.json:
        from auditor.cli._answer import envelope

        envelope("rules", [row_of(rule) for rule in _ordered(pack)], complete=not pack.broken)
        return
    from auditor.cli._text import plural, table, write

    rows = [(rule.code, rule.id, rule.severity, rule.entity, rule.title) for rule in _ordered(pack)]
    lines = table(
        ("CODE", "RULE", "SEVERITY", "JUDGES", "TITLE"), rows, fixed=("CODE", "SEVERITY"), paints="SEVERITY"
    )
    write(
        [
            *lines,
            "",
            f"{plural(len(rows), 'rule')}. `auditor rules show RULE` has everything about one.",
            *_broken(pack),
        ]
    )


def _ordered(pack: Pack) -> list[Rule]:
    return sorted(pack.rules, key=lambda rule: rule.code)


def _broken(pack: Pack) -> list[str]:
    from auditor.cli._text import bold, plural, safe

    lines = [f"  {safe(line)}" for text in pack.broken for line in text.splitlines()]
    return ["", bold(f"{plural(len(pack.broken), 'rule')} did not load"), *lines] if lines else []


def row_of(rule: Rule) -> dict[str, Any]:
    """Return a rule as `rules --json` gives it."""
    return {
        "id": rule.id,
        "code": rule.code,
        "title": rule.title,
        "severity": rule.severity,
        "subject_table": rule.entity,
        "supports": rule.supports,
        "evidences": rule.evidences,
        "params": {
            name: {"default": param.default, "zones": dict(param.zones), "duration": param.duration}
            for name, param in rule.params.items()
        },
        "when": rule.when.text if rule.when else None,
        "due": rule.due.text if rule.due else None,
        "checks": [{"name": check.name, "expr": check.text} for check in rule.checks],
        "remedy": rule.remedy,
        "pack": rule.pack,
        "digest": rule.digest,
    }


@command.command("check")
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@answering
def check(paths: tuple[Path, ...]) -> int:
    """Load every rule (or those of PATHS), judge its own examples, name every mistake.

    Exit code 4 when a rule does not load: the others would still run.
    """
    this = app()
    pack = _of(this, paths)
    if this.json:
        from auditor.cli._answer import envelope

        envelope("rules.check", [_mistakes(one) for one in pack.broken_rules], complete=not pack.broken)
    else:
        from auditor.cli._text import plural, write

        write(
            [
                f"{plural(len(pack.rules), 'rule')} of {len(pack.rules) + len(pack.broken)} fine.",
                *_broken(pack),
            ]
        )
    return INCOMPLETE if pack.broken else 0


def _mistakes(broken: Any) -> dict[str, Any]:
    return {
        "id": broken.id or None,
        "code": broken.code or None,
        "path": broken.path,
        "line": broken.line,
        "mistakes": broken.text.splitlines(),
        "controls": broken.controls,
    }


def _of(this: App, paths: Iterable[Path], *, shipped: bool = False) -> Pack:
    from auditor.builtin import builtin
    from auditor.rulepack import load

    if shipped:
        return load([builtin("rules")], [builtin("rules") / "frameworks"])
    if files := list(paths):
        return load(files, this.rule_paths()[1])
    return this.pack(prove=True)


@command.command("test")
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--shipped", is_flag=True, help="Only the rules that ship; no configuration is read.")
@answering
def test(paths: tuple[Path, ...], shipped: bool) -> None:
    """Judge every rule by its own examples; exit 2 when one does not hold."""
    this = app()
    pack = _of(this, paths, shipped=shipped)
    counts = {rule.id: Counter(example.verdict for example in rule.examples) for rule in pack.rules}
    if this.json:
        from auditor.cli._answer import envelope

        rows = [
            {"id": rule.id, "code": rule.code, "examples": dict(counts[rule.id]), "hold": True}
            for rule in _ordered(pack)
        ]
        failed = [
            {"id": one.id, "code": one.code, "examples": {}, "hold": False} for one in pack.broken_rules
        ]
        envelope("rules.test", [*rows, *failed], complete=not pack.broken)
    else:
        _tested(pack, counts)
    if pack.broken:
        raise RuleError(
            "\n".join(pack.broken),
            remedy="An example is what a rule promises: mend the rule, or the example.",
        )


def _tested(pack: Pack, counts: dict[str, Counter[str]]) -> None:
    from auditor.cli._text import plural, table, write

    words = list(map(str, Verdict))
    headers = ("CODE", "RULE", *(word.upper().replace("_", " ") for word in words))
    rows = [(rule.code, rule.id, *(counts[rule.id][word] or "" for word in words)) for rule in _ordered(pack)]
    total = sum(counts.values(), Counter())
    lines = table(headers, rows, right=headers[2:], fixed=("CODE",))
    held = f"{plural(total.total(), 'example')} of {plural(len(pack.rules), 'rule')} hold"
    write([*lines, "", f"{held}; {plural(len(pack.broken), 'rule')} did not load."])


@command.command("show")
@click.argument("rule")
@answering
def show(rule: str) -> None:
    """Show everything about one rule, by id or code."""
    this = app()
    found = this.pack().find(rule)
    if this.json:
        from auditor.cli._answer import envelope

        envelope("rules", [row_of(found)])
        return
    from auditor.cli._text import write

    write(_document(found))


@command.command("docs")
@click.option("--tables", is_flag=True, help="The tables that rules read, instead.")
@shared
def docs(tables: bool) -> None:
    """Print the reference of all rules, or of all tables, as Markdown."""
    from auditor.cli._text import write

    if tables:
        from auditor.cli._tables import reference

        write(reference())
        return
    pack = app().pack()
    lines = ["# Rules", ""]
    for severity in SEVERITIES:
        lines += [f"## {severity.capitalize()}", ""]
        for rule in _ordered(pack):
            if rule.severity == severity:
                lines += [*_document(rule, heading="### "), ""]
    write(lines)


def _document(rule: Rule, *, heading: str = "") -> list[str]:
    from datetime import timedelta

    from auditor.cli._text import safe, span

    def said(value: Any, duration: bool) -> str:
        return (
            span(timedelta(seconds=value))
            if duration and isinstance(value, int)
            else safe("not set" if value is None else value)
        )

    lines = [f"{heading}{rule.code} {rule.id}", "", f"{safe(rule.title)}.", ""]
    lines += [
        f"- Severity: {rule.severity}; judges each {rule.entity}",
        f"- Supports: {', '.join(rule.supports) or 'no control'}",
    ]
    if rule.evidences:
        lines.append(f"- Evidences: {', '.join(rule.evidences)}")
    for name, param in sorted(rule.params.items()):
        zones = "".join(f", {zone}: {said(value, param.duration)}" for zone, value in param.zones.items())
        lines.append(f"- Parameter `{name}`: {said(param.default, param.duration)}{zones}")
    for word, clause in (("Applies when", rule.when), ("Due when", rule.due)):
        if clause:
            lines.append(f"- {word}: `{safe(clause.text)}`")
    lines += [f"- Check: {safe(check.name)}: `{safe(check.text)}`" for check in rule.checks]
    lines += [f"- Remedy: {safe(rule.remedy)}", "", "Examples:", ""]
    for example in rule.examples:
        given = ", ".join(f"{name} {safe(value)}" for name, value in example.given.items()) or "nothing"
        hidden = f", not collected: {', '.join(example.not_collected)}" if example.not_collected else ""
        zone = f", zone {example.zone}" if example.zone else ""
        lines.append(f"- {safe(given)}{zone}{hidden}: **{example.verdict}**")
    return lines
