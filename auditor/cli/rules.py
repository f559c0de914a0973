"""List, check, test and document the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditor.cli._app import App, answering, app, shared
from auditor.errors import INCOMPLETE, RuleError

if TYPE_CHECKING:
    from auditor.rulepack import Pack, Rule
    from auditor.trial import Change


@click.group("rules", invoke_without_command=True)
@answering
def command() -> None:
    """List, check, test and document the rules. Without a word after it: list."""
    if click.get_current_context().invoked_subcommand is None:
        _list(app())


@command.command("list")
@click.option(
    "--answers",
    type=click.Choice(("bam", "config")),
    help="Only what answers controls of AWS Backup Audit Manager (bam) or managed rules of AWS Config.",
)
@answering
def list_(answers: str | None) -> None:
    """List every rule with its subject and its controls."""
    _list(app(), answers)


def _list(this: App, answers: str | None = None) -> None:
    pack = this.pack()
    if answers:
        pack = replace(
            pack, rules=tuple(rule for rule in pack.rules if answers in {one.peer for one in rule.answers})
        )
    if this.json:
        from auditor.cli._answer import envelope

        off = [
            {
                "id": each.rule.id,
                "code": each.rule.code,
                "approved_by": each.approved_by,
                "reason": each.reason,
            }
            for each in pack.off
        ]
        envelope("rules", [row_of(rule) for rule in _ordered(pack)], complete=not pack.broken, off=off)
        return
    from auditor.cli._text import plural, table, write

    if answers:
        from auditor.cli._rules import answers_of

        write([*answers_of(_ordered(pack), answers), *_broken(pack)])
        return
    rows = [(rule.code, rule.id, rule.severity, rule.entity, rule.title) for rule in _ordered(pack)]
    lines = table(
        ("CODE", "RULE", "SEVERITY", "JUDGES", "TITLE"), rows, fixed=("CODE", "SEVERITY"), paints="SEVERITY"
    )
    write(
        [
            *lines,
            "",
            f"{plural(len(rows), 'rule')}. `auditor rules show RULE` has everything about one.",
            *_changed(pack),
            *_broken(pack),
        ]
    )


def _ordered(pack: Pack) -> list[Rule]:
    return sorted(pack.rules, key=lambda rule: rule.code)


def _changed(pack: Pack) -> list[str]:
    """Return what packs of one's own changed of other rules."""
    from auditor.cli._text import safe

    lines = [f"  {rule.code} {rule.id}: {safe(rule.override)}" for rule in _ordered(pack) if rule.override]
    lines += [
        f"  {each.rule.code} {each.rule.id}: switched off by {safe(each.approved_by)}: {safe(each.reason)}"
        for each in sorted(pack.off, key=lambda each: each.rule.code)
    ]
    return ["", "Changed by packs of your own:", *lines] if lines else []


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
        "answers": [
            {"control": one.control, "params": {b.name: b.param for b in one.borrowed}}
            for one in rule.answers
        ],
        "params": {
            name: {"default": param.default, "zones": dict(param.zones), "duration": param.duration}
            for name, param in rule.params.items()
        },
        "when": rule.when.text if rule.when else None,
        "due": rule.due.text if rule.due else None,
        "checks": [{"name": check.name, "expr": check.text} for check in rule.checks],
        "remedy": rule.remedy,
        "pack": rule.pack,
        "override": rule.override or None,
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


def _of(this: App, paths: Iterable[Path], *, shipped: bool = False, beside: bool = False) -> Pack:
    """Load the rules that are asked for; `beside`: files in place of the active rules whose ids they bear."""
    from auditor.builtin import builtin
    from auditor.rulepack import load

    if shipped:
        return load([builtin("rules")], [builtin("rules") / "frameworks"])
    files = list(paths)
    if not files:
        return this.pack(prove=True, anew=True)
    given = load(files, this.rule_paths()[1])
    if not beside or not this.path.exists():
        return given
    named = {rule.id for rule in given.rules} | {rule.code for rule in given.rules}
    standing = [rule for rule in this.pack().rules if not named & {rule.id, rule.code}]
    return replace(given, rules=tuple(sorted((*given.rules, *standing), key=lambda rule: rule.id)))


@command.command("test")
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--shipped", is_flag=True, help="Only the rules that ship; no configuration and no scan is read."
)
@answering
def test(paths: tuple[Path, ...], shipped: bool) -> None:
    """Judge every rule by its own examples, and tell what PATHS would change of the last scan.

    The rules of PATHS take the place of active ones of the same id; the last scan's evidence is judged by them, nothing is
    recorded. Without PATHS: the rules as they stand now. Exit 2 when an example does not hold.
    """
    this = app()
    pack = _of(this, paths, shipped=shipped, beside=True)
    counts = {rule.id: Counter(example.verdict for example in rule.examples) for rule in pack.rules}
    trial = None if shipped or pack.broken else _trial(this, pack)
    if this.json:
        from auditor.cli._answer import envelope

        rows = [
            {"id": rule.id, "code": rule.code, "examples": dict(counts[rule.id]), "hold": True}
            for rule in _ordered(pack)
        ]
        failed = [
            {"id": one.id, "code": one.code, "examples": {}, "hold": False} for one in pack.broken_rules
        ]
        changes = None if trial is None else [asdict(change) for change in trial[1]]
        against = None if trial is None else trial[0]
        envelope("rules.test", [*rows, *failed], complete=not pack.broken, against=against, changes=changes)
    else:
        from auditor.cli._rules import examples_of, trial_of
        from auditor.cli._text import write

        write([*examples_of(_ordered(pack), counts, len(pack.broken)), *(() if shipped else trial_of(trial))])
    if pack.broken:
        raise RuleError(
            "\n".join(pack.broken),
            remedy="An example is what a rule promises: mend the rule, or the example.",
        )


def _trial(this: App, pack: Pack) -> tuple[str, list[Change]] | None:
    """Judge the last scan's evidence by a pack; None where there is no scan to look at."""
    from auditor.cli._reading import standing
    from auditor.trial import tried

    if not this.path.exists():
        return None
    now = standing(this)
    if now.scan is None:
        return None
    return now.scan.slot, tried(
        now.snapshot(), pack, now.judgement(), memory_mb=this.config().limits.memory_mb
    )


@command.command("show")
@click.argument("rule")
@answering
def show(rule: str) -> None:
    """Show everything about one rule, by id or code."""
    this = app()
    pack = this.pack()
    found = pack.find(rule)
    if this.json:
        from auditor.cli._answer import envelope

        envelope("rules", [row_of(found)])
        return
    from auditor.cli._rules import document
    from auditor.cli._text import write

    write(document(found, pack))


@command.command("docs")
@click.option("--tables", is_flag=True, help="The tables that rules read, instead.")
@click.option(
    "--into", type=click.Path(file_okay=False, path_type=Path), help="Write a page a rule into this folder."
)
@shared
def docs(tables: bool, into: Path | None) -> None:
    """Print the reference of all rules, or of all tables, as Markdown; with --into, a page a rule and an index."""
    from auditor.cli._text import write

    if tables:
        from auditor.cli._tables import reference

        write(reference())
        return
    from auditor.cli._rules import document, index

    pack = app().pack()
    rules = _ordered(pack)
    if into is None:
        write(
            ["# Rules", "", *(line for rule in rules for line in (*document(rule, pack, heading="## "), ""))]
        )
        return
    into.mkdir(parents=True, exist_ok=True)
    for rule in rules:
        _page(into / f"{rule.code}.md", document(rule, pack, heading="# "))
    _page(into / "README.md", index(rules))
    app().tell(f"{len(rules)} pages and an index in {into}")


def _page(path: Path, lines: Iterable[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


@command.command("schema")
@shared
def schema() -> None:
    """Print a JSON Schema of rule files, for editors.

    With the YAML extension of most editors: `# yaml-language-server: $schema=PATH` as the first line of a pack.
    """
    import json

    from auditor.rulelang.editor import json_schema
    from auditor.schema import tables

    controls = [control.name for each in app().pack().frameworks for control in each.controls]
    click.echo(json.dumps(json_schema(tables().values(), controls), indent=1, sort_keys=True))


@command.command("approve")
@click.option("--by", required=True, metavar="E-MAIL", help="Who approves.")
@click.option("--reason", required=True, help="What was looked at, or the change's number.")
@click.option("--withdraw", is_flag=True, help="Take the approval of these very rules back.")
@answering
def approve(by: str, reason: str, withdraw: bool) -> None:
    """Approve the rules as they are now, with every parameter and every limit of a zone; SCN-008 holds scans to it."""
    from auditor.rulelang.looser import looser

    this = app()
    pack = this.pack()
    if pack.broken and not withdraw:
        raise RuleError(
            f"{len(pack.broken)} rules do not load", remedy="`auditor rules check` names each mistake."
        )
    tables = this.config().tables((*pack.rules, *pack.broken_rules))
    details = {
        "params": [[row["rule"], row["zone"], row["name"], row["value"]] for row in tables["params"]],
        "looser": {
            f"{rule.id}/{name}": way for rule in pack.rules for name, way in looser(rule).items() if way
        },
        "zones": tables["config_zone"],
    }
    with this.ledger(create=True) as ledger:
        signed = ledger.sign(
            "rules",
            pack.digest,
            by=by,
            now=this.now(),
            decision="withdrawn" if withdraw else "approved",
            reason=reason,
            details={} if withdraw else details,
        )
    if this.json:
        from auditor.cli._answer import envelope

        row = {"digest": pack.digest, "rules": len(pack.rules), "decision": signed.decision, "by": signed.by}
        envelope("approvals", [row | {"at": signed.at, "sign_off_id": signed.sign_off_id}])
        return
    click.echo(
        f"{len(pack.rules)} rules ({pack.digest[:12]}) are {signed.decision} by {signed.by}: {signed.sign_off_id}"
    )
