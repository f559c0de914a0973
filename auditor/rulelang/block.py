"""Read one block of a pack: every mistake in it is named where it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from auditor.model import SEVERITIES, Verdict
from auditor.rulelang.answers import Answer, clashes, read_answer
from auditor.rulelang.compile import Clause, compile_clause
from auditor.rulelang.durations import seconds
from auditor.rulelang.examples import read_examples
from auditor.rulelang.marks import Marked, Problem, Where, did_you_mean
from auditor.rulelang.parse import Refused, parse
from auditor.rulelang.rule import Param, ParamValue, Rule, canonical
from auditor.rulelang.template import Template, parse_template
from auditor.rulelang.terms import Kind
from auditor.schema import Table

REQUIRED = (
    "id",
    "code",
    "title",
    "severity",
    "supports",
    "for",
    "checks",
    "because",
    "remedy",
    "examples",
)
OPTIONAL = ("evidences", "answers", "when", "due", "params", "because_pass", "needs_history", "cannot")
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")
_CODE = re.compile(r"[A-Z]{2,5}-[0-9]{3}\Z")
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_KINDS: dict[type, Kind] = {bool: "BOOL", int: "INT", str: "TEXT"}


class BlockReader:
    """Reads one rule; `problems` holds every mistake found."""

    def __init__(
        self,
        marked: Marked,
        at: int,
        entities: Mapping[str, Table],
        controls: Mapping[str, frozenset[str]],
        pack: str,
    ) -> None:
        self.marked = marked
        self.root: Where = ("rules", at)
        self.block: dict[str, Any] = marked.value["rules"][at]
        self.entities = entities
        self.controls = controls
        self.pack = pack
        self.problems: list[Problem] = []

    def wrong(self, where: Where, message: str, offset: int | None = None) -> None:
        """Note one mistake."""
        self.problems.append(self.marked.problem((*self.root, *where), message, offset))

    def read(self) -> Rule | None:
        """Return the rule, or None when there are problems."""
        block = self.block
        for key in block:
            if key not in (*REQUIRED, *OPTIONAL):
                self.wrong((key,), f"unknown key {key!r}{did_you_mean(key, (*REQUIRED, *OPTIONAL))}")
        for key in REQUIRED:
            if key not in block:
                self.wrong((), f"{key!r} is missing")
        self._words()
        supports, evidences = self._controls("supports"), self._controls("evidences")
        params = self._params()
        table = self._table(params)
        if table is None:
            return None
        kinds: dict[str, Kind] = {name: param.kind for name, param in params.items()}
        when, due = self._clause("when", table, kinds), self._clause("due", table, kinds)
        checks = self._checks(table, kinds)
        because, because_pass = (
            self._template("because", table, params),
            self._template("because_pass", table, params),
        )
        self._unused(params, (when, due, *checks))
        settled = {
            name: Param(
                name,
                "TEXT" if kinds[name] == "ANY" else kinds[name],
                p.duration,
                p.default,
                p.zones,
            )
            for name, p in params.items()
        }
        answers = self._answers(settled)
        cannot = self._cannot()
        examples = read_examples(self, table, settled, has_condition=bool(when or due), cannot=cannot)
        if self.problems or because is None:
            return None
        path, line = self.marked.path, self.marked.marks[self.root].line
        return Rule(
            id=block["id"],
            code=block["code"],
            title=block["title"],
            severity=block["severity"],
            supports=supports,
            evidences=evidences,
            table=table,
            when=when,
            due=due,
            checks=checks,
            params=settled,
            because=because,
            because_pass=because_pass,
            remedy=block["remedy"],
            needs_history_s=seconds(block.get("needs_history")),
            cannot=cannot,
            examples=examples,
            pack=self.pack,
            path=path,
            line=line,
            answers=answers,
            canonical=canonical(block),
        )

    def _words(self) -> None:
        for key in ("id", "code", "title", "remedy", "because"):
            if key in self.block and not (isinstance(self.block[key], str) and self.block[key].strip()):
                self.wrong((key,), f"{key!r} must be a text")
        for key, form, words in (
            ("id", _ID, "small letters, digits and dashes, such as export-captured-in-time"),
            ("code", _CODE, "letters, a dash and three digits, such as CHN-001"),
        ):
            value = self.block.get(key)
            if isinstance(value, str) and value.strip() and not form.match(value):
                self.wrong((key,), f"{key} {value!r} must be {words}")
        severity = self.block.get("severity", "low")
        if severity not in SEVERITIES:
            hint = did_you_mean(str(severity), SEVERITIES)
            self.wrong(("severity",), f"severity {severity!r} is none of {', '.join(SEVERITIES)}{hint}")
        history = self.block.get("needs_history")
        if history is not None and seconds(history) is None:
            self.wrong(("needs_history",), f"needs_history {history!r} is no duration such as 90d")

    def _controls(self, key: str) -> tuple[str, ...]:
        listed = self.block.get(key, [])
        if not isinstance(listed, list) or (key == "supports" and not listed and key in self.block):
            self.wrong((key,), f"{key!r} must be a list of framework/control")
            return ()
        every = {f"{name}/{control}" for name, controls in self.controls.items() for control in controls}
        for at, control in enumerate(listed):
            framework = str(control).partition("/")[0]
            if control not in every and (framework not in self.controls or self.controls[framework]):
                hint = did_you_mean(str(control), every)
                self.wrong((key, at), f"{key} {control!r}, which no framework defines{hint}")
        return tuple(str(control) for control in listed)

    def _table(self, params: Mapping[str, Param]) -> Table | None:
        word = self.block.get("for")
        table = self.entities.get(str(word))
        if table is None:
            if "for" in self.block:
                hint = did_you_mean(str(word), self.entities)
                self.wrong(
                    ("for",),
                    f"for {word!r} is no subject; subjects are {', '.join(sorted(self.entities))}{hint}",
                )
            return None
        if all(column.name != "zone" for column in table.columns):
            for name, param in params.items():
                if param.zones:
                    self.wrong(("params", name), f":{name} differs by zone, and {word} has no zone")
        return table

    def _params(self) -> dict[str, Param]:
        given = self.block.get("params", {})
        if not isinstance(given, dict):
            self.wrong(("params",), "'params' must be a map of names to values")
            return {}
        found: dict[str, Param] = {}
        for name, value in given.items():
            if not _NAME.match(name):
                self.wrong(("params", name), f"parameter {name!r}: small letters, digits and _ only")
                continue
            by_zone = value if isinstance(value, dict) else {"default": value}
            if "default" not in by_zone:
                self.wrong(("params", name), f":{name} has no default; `default: null` leaves it unset")
                continue
            found[name] = self._param(name, by_zone)
        return found

    def _param(self, name: str, by_zone: Mapping[str, Any]) -> Param:
        kinds: dict[Kind, None] = {}
        read: dict[str, ParamValue] = {}
        duration = any(seconds(value) is not None for value in by_zone.values())
        for zone, value in by_zone.items():
            try:
                read[zone], kind = param_value(value)
            except Refused as refused:
                self.wrong(("params", name, zone), f":{name}: {refused.message}")
                continue
            if kind != "ANY":
                kinds[kind] = None
        if len(kinds) > 1:
            self.wrong(("params", name), f":{name} is of several types: {', '.join(kinds)}")
        zones = {zone: value for zone, value in read.items() if zone != "default"}
        return Param(name, next(iter(kinds), "ANY"), duration, read.get("default"), zones)

    def _unused(self, params: Mapping[str, Param], clauses: tuple[Clause | None, ...]) -> None:
        used = {name for clause in clauses if clause for name in clause.params}
        broken = any(isinstance(self.block.get(key), str) for key in ("when", "due")) and self.problems
        for name in params:
            if name not in used and not broken and not self.problems:
                self.wrong(("params", name), f":{name} is used by no expression")

    def _clause(self, key: str, table: Table, kinds: dict[str, Kind]) -> Clause | None:
        if key not in self.block:
            return None
        return self._expression(key, self.block[key], (key,), table, kinds)

    def _expression(
        self, name: str, text: object, where: Where, table: Table, kinds: dict[str, Kind]
    ) -> Clause | None:
        if not isinstance(text, str):
            if isinstance(text, bool):
                self.wrong(where, "an expression that is always the same decides nothing")
            else:
                self.wrong(where, "an expression must be a text")
            return None
        try:
            return compile_clause(name, " ".join(text.split()), parse(text, table, kinds), table)
        except Refused as refused:
            self.wrong(where, refused.message, refused.offset)
            return None

    def _checks(self, table: Table, kinds: dict[str, Kind]) -> tuple[Clause, ...]:
        listed = self.block.get("checks")
        if not isinstance(listed, list) or not listed:
            if "checks" in self.block:
                self.wrong(("checks",), "'checks' must be a list of {name, expr}")
            return ()
        found: list[Clause] = []
        for at, check in enumerate(listed):
            if not isinstance(check, dict) or not isinstance(check.get("name"), str) or "expr" not in check:
                self.wrong(("checks", at), "a check is {name: ..., expr: ...}")
                continue
            for key in set(check) - {"name", "expr"}:
                self.wrong(
                    ("checks", at, key),
                    f"unknown key {key!r} in a check{did_you_mean(key, ('name', 'expr'))}",
                )
            if check["name"] in [known.name for known in found]:
                self.wrong(("checks", at, "name"), f"two checks are named {check['name']!r}")
            clause = self._expression(check["name"], check["expr"], ("checks", at, "expr"), table, kinds)
            if clause is not None:
                found.append(clause)
        return tuple(found)

    def _template(self, key: str, table: Table, params: Mapping[str, Param]) -> Template | None:
        text = self.block.get(key)
        if not isinstance(text, str):
            if text is not None and key == "because_pass":
                self.wrong((key,), f"{key!r} must be a text")
            return None
        try:
            return parse_template(text, table, frozenset(params))
        except Refused as refused:
            self.wrong((key,), refused.message, refused.offset)
            return None

    def _answers(self, params: Mapping[str, Param]) -> tuple[Answer, ...]:
        given = self.block.get("answers", {})
        if not isinstance(given, dict):
            self.wrong(("answers",), "'answers' must be a map of controls to parameters")
            return ()
        durations = {name: param.duration for name, param in params.items()}
        found: list[Answer] = []
        for control, how in given.items():
            answer, problems = read_answer(str(control), how, durations)
            found.append(answer)
            for problem in problems:
                self.wrong(("answers", control), problem)
        for problem in clashes(found):
            self.wrong(("answers",), problem)
        return tuple(sorted(found, key=lambda answer: answer.control))

    def _cannot(self) -> dict[str, str]:
        given = self.block.get("cannot", {})
        verdicts = [verdict.value for verdict in Verdict]
        if not isinstance(given, dict):
            self.wrong(("cannot",), "'cannot' must be a map of verdicts to reasons")
            return {}
        for verdict, reason in given.items():
            if verdict not in verdicts:
                self.wrong(
                    ("cannot", verdict),
                    f"{verdict!r} is no verdict{did_you_mean(verdict, verdicts)}",
                )
            if not isinstance(reason, str) or not reason.strip():
                self.wrong(("cannot", verdict), "a reason is required")
        return {str(verdict): str(reason) for verdict, reason in given.items()}


def param_value(value: object) -> tuple[ParamValue, Kind]:
    """Return a parameter's value and kind; durations become seconds. Raises Refused for what no parameter can be."""
    if value is None:
        return None, "ANY"
    if isinstance(value, list):
        if not all(isinstance(item, str | int) and not isinstance(item, bool) for item in value):
            raise Refused("a list parameter holds texts or numbers")
        return tuple(value), "LIST"
    period = seconds(value)
    if period is not None:
        return period, "INT"
    kind = _KINDS.get(type(value))
    if kind is None:
        raise Refused("a parameter is a number, a text, a duration, true or false, or a list")
    return value, kind  # type: ignore[return-value]
