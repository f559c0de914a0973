"""What the commands on rules print: a page a rule, the table of examples, and what other rules would change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from auditor.cli._text import cut, plural, safe, span, table
from auditor.model import Verdict
from auditor.rulelang.answers import PEERS

if TYPE_CHECKING:
    from auditor.rulepack import Pack, Rule
    from auditor.trial import Change


def document(rule: Rule, pack: Pack, *, heading: str = "") -> list[str]:
    """Return everything about one rule, as Markdown."""
    words = {control.name: control for each in pack.frameworks for control in each.controls}
    lines = [f"{heading}{rule.code} {rule.id}", "", f"{safe(rule.title)}.", ""]
    lines += [f"- Severity: {rule.severity}; judges each {rule.entity}; pack {safe(rule.pack)}"]
    lines += [f"- Changed here: {safe(rule.override)}"] if rule.override else []
    for name, param in sorted(rule.params.items()):
        zones = "".join(f", {zone}: {_said(value, param.duration)}" for zone, value in param.zones.items())
        lines.append(f"- Parameter `{name}`: {_said(param.default, param.duration)}{zones}")
    for word, clause in (("Applies when", rule.when), ("Due when", rule.due)):
        if clause:
            lines.append(f"- {word}: `{safe(clause.text)}`")
    lines += [f"- Check: {safe(check.name)}: `{safe(check.text)}`" for check in rule.checks]
    if rule.needs_history_s is not None:
        past = span(timedelta(seconds=rule.needs_history_s))
        lines.append(f"- Concludes from absence: passes only after {past} of scans without a gap")
    if rule.reads:
        sources = ", ".join(sorted({f"`{read[0]}`" for read in rule.reads}))
        lines.append(f"- Unknown where these were not seen: {sources}")
    for answer in rule.answers:
        accepts = f", and takes {', '.join(f'`{name}`' for name in answer.names)}" if answer.names else ""
        lines.append(f"- Answers {safe(answer.control)}{accepts}")
    lines += [f"- Never {verdict}: {safe(reason)}" for verdict, reason in rule.cannot.items()]
    lines += [f"- Remedy: {safe(rule.remedy)}", "", "Controls:", ""]
    for control in rule.controls:
        how = "evidences" if control in rule.evidences else "supports"
        said = f" {safe(words[control].paraphrase)}" if control in words else ""
        lines.append(f"- {safe(control)} ({how}){':' if said else ''}{said}")
    return [*lines, "", "Examples:", "", *_examples(rule)]


def _examples(rule: Rule) -> Iterator[str]:
    for example in rule.examples:
        given = ", ".join(f"{name} {_fact(value)}" for name, value in example.given.items()) or "nothing"
        params = "".join(f", :{name} {_fact(value)}" for name, value in example.params.items())
        hidden = f", not collected: {', '.join(example.not_collected)}" if example.not_collected else ""
        zone = f", zone {example.zone}" if example.zone else ""
        yield f"- {safe(given)}{params}{zone}{hidden}: **{example.verdict}**"


def _fact(value: Any) -> str:
    """Return a value as the author of the example wrote it."""
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else safe(value)


def _said(value: Any, duration: bool) -> str:
    if duration and isinstance(value, int):
        return span(timedelta(seconds=value))
    return safe("not set" if value is None else value)


def answers_of(rules: Sequence[Rule], peer: str) -> list[str]:
    """Return the table of which rule answers which control of another product, and the parameters it takes."""
    every = sorted(
        (answer.control.partition("/")[2], rule.code, ", ".join(answer.names))
        for rule in rules
        for answer in rule.answers
        if answer.peer == peer
    )
    lines = table(("CONTROL", "CODE", "TAKES"), every, fixed=("CONTROL", "CODE"))
    controls, answering = len({row[0] for row in every}), len({row[1] for row in every})
    said = f"{plural(controls, 'control')} of {PEERS[peer]}, answered by {plural(answering, 'rule')}."
    return [*lines, "", said]


def index(rules: Sequence[Rule]) -> list[str]:
    """Return the page that leads to the pages of all rules, as Markdown."""
    lines = ["# Rules", "", f"{plural(len(rules), 'rule')}, a page each.", ""]
    lines += ["| code | judges | severity | it holds when |", "| --- | --- | --- | --- |"]
    for rule in rules:
        title = safe(rule.title).replace("|", "\\|")
        lines.append(f"| [{rule.code}]({rule.code}.md) | {rule.entity} | {rule.severity} | {title} |")
    return lines


def examples_of(rules: Iterable[Rule], counts: Mapping[str, Counter[str]], broken: int) -> list[str]:
    """Return the table of how many examples of each verdict hold."""
    words = list(map(str, Verdict))
    headers = ("CODE", "RULE", *(word.upper().replace("_", " ") for word in words))
    rows = [(rule.code, rule.id, *(counts[rule.id][word] or "" for word in words)) for rule in rules]
    total = sum(counts.values(), Counter())
    lines = table(headers, rows, right=headers[2:], fixed=("CODE",))
    held = f"{plural(total.total(), 'example')} of {plural(len(rows), 'rule')} hold"
    return [*lines, "", f"{held}; {plural(broken, 'rule')} did not load."]


def trial_of(trial: tuple[str, list[Change]] | None) -> list[str]:
    """Return what these rules would change of the last scan."""
    if trial is None:
        return ["", "No scan yet to try them on."]
    slot, changes = trial
    if not changes:
        return ["", f"Of scan {safe(slot)} they would change no verdict."]
    rows = [
        (one.code, one.rule, one.before, one.after, one.subjects, cut(safe(one.example), 48))
        for one in changes
    ]
    headers = ("CODE", "RULE", "STANDS", "WOULD BE", "SUBJECTS", "SUCH AS")
    count = sum(one.subjects for one in changes)
    return [
        "",
        f"Of scan {safe(slot)} they would change {plural(count, 'verdict')}:",
        "",
        *table(headers, rows, right=("SUBJECTS",), fixed=("CODE",)),
    ]
