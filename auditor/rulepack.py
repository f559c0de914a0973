"""Load rule files and frameworks, check every name and type in them, and run each rule's own examples.

A rule with a mistake does not stop the others: it is in `Pack.broken_rules` with its controls, which become unknown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from auditor.canonical import connect
from auditor.errors import RuleError
from auditor.model import Verdict
from auditor.rulelang.block import BlockReader
from auditor.rulelang.examples import judge_examples, withheld
from auditor.rulelang.marks import Marked, Problem, did_you_mean, read_yaml
from auditor.rulelang.override import Override, overridden, read_overrides
from auditor.rulelang.parse import Refused
from auditor.rulelang.proofs import proven, remember
from auditor.rulelang.rule import BrokenRule, Example, OffRule, Param, Rule
from auditor.schema import Table, tables

__all__ = ["BrokenRule", "Control", "Example", "Framework", "Pack", "PackFile", "Param", "Rule", "load"]


@dataclass(frozen=True, slots=True)
class Control:
    """One control of a framework, in our own words."""

    framework: str
    id: str
    paraphrase: str
    manual: bool = False
    """No automated rule evidences it: a person has to."""

    @property
    def name(self) -> str:
        """As rules name it: framework/control."""
        return f"{self.framework}/{self.id}"


@dataclass(frozen=True, slots=True)
class Framework:
    """A catalogue of controls; it never lists rules."""

    name: str
    title: str
    controls: tuple[Control, ...]


@dataclass(frozen=True, slots=True)
class PackFile:
    """One file as it was read."""

    kind: str
    """`rules` or `frameworks`."""
    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pack:
    """Every rule that loads, every one that does not, and the frameworks."""

    rules: tuple[Rule, ...]
    broken_rules: tuple[BrokenRule, ...]
    frameworks: tuple[Framework, ...]
    files: tuple[PackFile, ...] = field(default=(), compare=False, repr=False)
    """Every file in the order it was read: what a bundle carries."""
    off: tuple[OffRule, ...] = ()
    """Rules that a pack of one's own switched off."""

    @property
    def broken(self) -> tuple[str, ...]:
        """The mistakes of each broken rule, as `file:line:column: what`."""
        return tuple(rule.text for rule in self.broken_rules)

    @property
    def digest(self) -> str:
        """SHA-256 over the canonical rules in order of their ids."""
        said = [*(rule.canonical for rule in self.rules), *(each.canonical for each in self.off)]
        return hashlib.sha256("\n".join(said).encode()).hexdigest()

    def find(self, word: str) -> Rule:
        """Return a rule by id or code; raises RuleError with the nearest name."""
        for rule in self.rules:
            if word in (rule.id, rule.code):
                return rule
        for off in self.off:
            if word in (off.rule.id, off.rule.code):
                return off.rule
        for broken in self.broken_rules:
            if word in (broken.id, broken.code):
                raise RuleError(f"rule {word!r} did not load:\n{broken.text}")
        known = [name for rule in self.rules for name in (rule.id, rule.code)]
        raise RuleError(
            f"there is no rule {word!r}{did_you_mean(word, known)}",
            remedy="`auditor rules list` has them all.",
        )

    def control(self, name: str) -> Control:
        """Return a control by framework/control; raises RuleError with the nearest name."""
        known = {control.name: control for framework in self.frameworks for control in framework.controls}
        if name not in known:
            raise RuleError(f"there is no control {name!r}{did_you_mean(name, known)}")
        return known[name]


def load(
    paths: Iterable[Path],
    frameworks: Iterable[Path],
    *,
    schema: Mapping[str, Table] | None = None,
    prove: bool = True,
    proofs: Path | None = None,
) -> Pack:
    """Load rule files (or folders of `*.yaml`, not deeper) against frameworks (the same).

    `schema` is every table by name; the product's own unless given. `prove` judges every rule's own examples, most
    of the time it takes: who only looks a rule up may do without. `proofs` is a file that remembers that these very
    rules did; without it they are judged anew. Raises nothing for a mistake in a file.
    """
    paths, frameworks = list(paths), list(frameworks)
    described = tables() if schema is None else schema
    entities = {table.entity: table for table in described.values() if table.entity}
    broken: list[BrokenRule] = []
    catalogues = _frameworks(frameworks, broken)
    controls = {f.name: frozenset(control.id for control in f.controls) for f in catalogues}
    rules: dict[str, Rule] = {}
    codes: dict[str, Rule] = {}
    overrides: list[Override] = []
    mistakes: list[tuple[str, Problem]] = []
    for path in _files(paths):
        marked = read_yaml(path)
        said, problems = read_overrides(marked)
        overrides += said
        mistakes += problems
        for rule in _pack(marked, entities, controls, _raw(path)):
            if isinstance(rule, Rule):
                twin = rules.get(rule.id) or codes.get(rule.code)
                if twin is not None:
                    what = f"id {rule.id!r}" if twin.id == rule.id else f"code {rule.code!r}"
                    text = f"{rule.path}:{rule.line}:1: {what} is already used at {twin.path}:{twin.line}"
                    broken.append(_broken_from(rule, text))
                    continue
                rules[rule.id] = codes[rule.code] = rule
            else:
                broken.append(rule)
    for rule, text in _unproven(list(rules.values()), proofs) if prove else ():
        broken.append(_broken_from(rule, text))
        del rules[rule.id]
    off = _override(rules, overrides, broken)
    _mistaken(rules, mistakes, broken)
    return Pack(
        tuple(rules[name] for name in sorted(rules)),
        tuple(sorted(broken, key=lambda rule: (rule.path, rule.line, rule.text))),
        catalogues,
        (*_contents("rules", paths), *_contents("frameworks", frameworks)),
        off,
    )


def _override(
    rules: dict[str, Rule], overrides: Iterable[Override], broken: list[BrokenRule]
) -> tuple[OffRule, ...]:
    """Do to the rules what packs say of them; return those switched off. A rule with a wrong override is broken."""
    off: dict[str, OffRule] = {}
    done: dict[str, Override] = {}
    for override in overrides:
        at = f"{override.path}:{override.line}:1"
        by_word = {word: rule for rule in rules.values() for word in (rule.id, rule.code)}
        rule = by_word.get(override.rule)
        twin = done.get(override.rule) or (rule and done.get(rule.id))
        if twin is not None:
            text = f"{at}: rule {override.rule!r} has an override already at {twin.path}:{twin.line}"
        elif rule is None:
            hint = did_you_mean(override.rule, by_word)
            text = f"{at}: there is no rule {override.rule!r} to override{hint}"
        else:
            done |= {override.rule: override, rule.id: override, rule.code: override}
            try:
                if override.off:
                    off[rule.id] = OffRule(rules.pop(rule.id), override.approved_by, override.reason)
                else:
                    rules[rule.id] = overridden(rule, override)
                continue
            except Refused as refused:
                text = f"{at}: {refused.message}"
        if rule is not None and rule.id in rules:
            broken.append(_broken_from(rules.pop(rule.id), text))
        else:
            broken.append(BrokenRule(text, path=override.path, line=override.line))
    return tuple(off[name] for name in sorted(off))


def _mistaken(
    rules: dict[str, Rule], mistakes: Iterable[tuple[str, Problem]], broken: list[BrokenRule]
) -> None:
    """Tell of overrides with a mistake in their form; the rule one is about does not run as if nothing were said of it."""
    told: dict[str, list[Problem]] = {}
    for word, problem in mistakes:
        told.setdefault(word, []).append(problem)
    by_word = {word: rule for rule in rules.values() for word in (rule.id, rule.code)}
    for word, problems in told.items():
        text = "\n".join(map(str, problems))
        rule = rules.pop(by_word[word].id, None) if word in by_word else None
        at = problems[0]
        broken.append(_broken_from(rule, text) if rule else BrokenRule(text, path=at.path, line=at.line))


def _contents(kind: str, paths: Iterable[Path]) -> Iterable[PackFile]:
    for path in _files(paths):
        with suppress(OSError):  # one that cannot be read is a broken rule
            yield PackFile(kind, path.name, path.read_bytes())


def _files(paths: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        found += sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    return found


def _raw(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _pack(
    marked: Marked, entities: Mapping[str, Table], controls: Mapping[str, frozenset[str]], raw: str
) -> Iterable[Rule | BrokenRule]:
    value = marked.value
    whole = [problem for where, problem in marked.problems if where[:1] != ("rules",) or len(where) < 2]
    alone = isinstance(value, dict) and "rules" not in value and "overrides" in value
    if (
        not marked.problems
        and not alone
        and (not isinstance(value, dict) or not isinstance(value.get("rules"), list))
    ):
        whole.append(marked.problem((), "a pack is {pack: name, rules: [...]}"))
    elif isinstance(value, dict):
        whole += [
            marked.problem((key,), f"unknown key {key!r}{did_you_mean(key, ('pack', 'rules', 'overrides'))}")
            for key in value
            if key not in ("pack", "rules", "overrides")
        ]
        if not isinstance(value.get("pack"), str):
            whole.append(marked.problem(("pack",), "the pack has no name (`pack: exports`)"))
    if whole:
        told = sorted(f"{f}/{control}" for f, ids in controls.items() for control in ids)
        named = tuple(name for name in told if name in raw) if not marked.marks else ()
        text = "\n".join(str(problem) for problem in whole)
        yield BrokenRule(text, path=marked.path, line=whole[0].line, controls=named)
    if not isinstance(value, dict) or not isinstance(value.get("rules"), list):
        return
    for at, block in enumerate(value["rules"]):
        own = [problem for where, problem in marked.problems if where[:2] == ("rules", at)]
        if not isinstance(block, dict):
            own.append(marked.problem(("rules", at), "a rule is a map that begins with `id:`"))
            yield _broken_block(marked, at, {}, own, controls)
            continue
        reader = BlockReader(marked, at, entities, controls, str(value.get("pack", "")))
        rule = reader.read()
        if rule is not None and not own:
            yield rule
        else:
            yield _broken_block(marked, at, block, [*own, *reader.problems], controls)


def _broken_block(
    marked: Marked,
    at: int,
    block: Mapping[str, Any],
    problems: list[Problem],
    controls: Mapping[str, frozenset[str]],
) -> BrokenRule:
    """Keep what can be known of a broken rule, above all the controls that it leaves unknown."""
    listed = [c for key in ("supports", "evidences") if isinstance(block.get(key), list) for c in block[key]]
    every = {f"{f}/{control}" for f, ids in controls.items() for control in ids}
    words = {key: block[key] for key in ("id", "code", "title") if isinstance(block.get(key), str)}
    severity = block.get("severity")
    named = f"rule {words['id']!r}: " if "id" in words else ""
    ordered = sorted(set(problems), key=lambda problem: (problem.line, problem.column, problem.message))
    lines = [f"{p.path}:{p.line}:{p.column}: {named}{p.message}" for p in ordered]
    return BrokenRule(
        "\n".join(lines),
        **words,
        severity=severity if severity in ("critical", "high", "medium", "low") else "high",
        entity=str(block.get("for") or ""),
        controls=tuple(sorted({str(control) for control in listed if control in every})),
        path=marked.path,
        line=marked.marks[("rules", at)].line,
    )


def _broken_from(rule: Rule, text: str) -> BrokenRule:
    return BrokenRule(
        text,
        rule.id,
        rule.code,
        rule.title,
        rule.severity,
        rule.entity,
        rule.controls,
        rule.path,
        rule.line,
    )


def _unproven(rules: Sequence[Rule], proofs: Path | None) -> list[tuple[Rule, str]]:
    if proofs is not None and proven(proofs, rules):
        return []
    wrong = _wrong_examples(rules)
    if proofs is not None and not wrong:
        remember(proofs, rules)
    return wrong


def _wrong_examples(rules: Iterable[Rule]) -> list[tuple[Rule, str]]:
    """Judge every example of every rule; returns the rules that do not prove themselves."""
    import duckdb

    wrong: list[tuple[Rule, str]] = []
    proving = [rule for rule in rules if rule.examples]
    if not proving:
        return wrong
    with connect() as connection:
        connection.execute("PRAGMA disable_optimizer")  # to plan for a handful of rows takes longest
        for rule in proving:
            at = f"{rule.path}:{rule.line}:1: rule {rule.id!r}"
            try:
                hidden = withheld(rule)
                both = replace(rule, examples=(*rule.examples, *(each for _, _, each in hidden)))
                judged = judge_examples(connection, both, tell=False)
                own, rest = judged[: len(rule.examples)], judged[len(rule.examples) :]
                if any(verdict != example.verdict for example, verdict, _ in own):
                    own = judge_examples(connection, rule)
            except duckdb.Error as error:
                wrong.append((rule, f"{at}: its examples cannot be judged: {str(error).splitlines()[0]}"))
                continue
            lines = [
                f"{at}: example {example.at + 1} says {example.verdict}, but the rule judges {verdict}: {because}"
                for example, verdict, because in own
                if verdict != example.verdict
            ]
            lines += [
                f"{at}: example {example.at + 1} becomes {verdict} where {source} was not collected: not seeing never "
                "makes a verdict better"
                for (example, source, _), (_, verdict, _) in zip(hidden, rest, strict=True)
                if verdict not in (example.verdict, Verdict.UNKNOWN)
            ]
            if lines:
                wrong.append((rule, "\n".join(lines)))
    return wrong


def _frameworks(paths: Iterable[Path], broken: list[BrokenRule]) -> tuple[Framework, ...]:
    found: list[Framework] = []
    for path in _files(paths):
        marked = read_yaml(path)
        problems = [problem for _, problem in marked.problems]
        value = marked.value if isinstance(marked.value, dict) else {}
        controls: dict[str, Control] = {}
        name = str(value.get("framework") or path.stem)
        listed = value.get("controls")
        if not problems and not isinstance(listed, list):
            problems.append(
                marked.problem((), "a framework is {framework, title, controls: [{id, paraphrase}]}")
            )
        for at, item in enumerate(listed if isinstance(listed, list) else []):
            if not isinstance(item, dict) or not isinstance(item.get("paraphrase"), str) or "id" not in item:
                problems.append(marked.problem(("controls", at), "a control is {id: ..., paraphrase: ...}"))
                continue
            control = Control(name, str(item["id"]), item["paraphrase"], item.get("manual") is True)
            if control.id in controls:
                problems.append(marked.problem(("controls", at), f"control {control.id!r} is listed twice"))
            controls[control.id] = control
        if problems:
            text = "\n".join(str(problem) for problem in problems)
            broken.append(BrokenRule(text, path=marked.path, line=problems[0].line))
        found.append(Framework(name, str(value.get("title") or name), tuple(controls.values())))
    return tuple(sorted(found, key=lambda framework: framework.name))
