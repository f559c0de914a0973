"""What a rule says of a subject, from the truth of its clauses: the verdict, its reason, and sentences with places.

A rule has few clauses and an estate few zones, so all subjects of a rule share a handful of sayings. Each is made once,
here; what differs from subject to subject is a place in it, which `judge` fills for all rules in one statement.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auditor.rulelang.compile import Clause, Read
from auditor.rulelang.rule import ParamValue, Rule, canonical
from auditor.rulelang.template import Template, said_value
from auditor.schema import Table

Truth = bool | None
"""None is NULL: not known."""
Values = Mapping[str | None, Mapping[str, ParamValue]]
"""Zone (None: unknown) to parameter to value; None is not set."""
Place = tuple[str, str]
"""How a subject's fact is told, and the column: `said` as people read it, `json`, or `doubt`, why it is not known."""
Part = str | Place

_TOO_SHORT = "Cannot tell: the collected history does not yet cover the period this rule concludes from."


@dataclass(frozen=True, slots=True)
class Saying:
    """One answer of a rule; sentences are texts and places in turn."""

    verdict: str
    reason: str
    because: tuple[Part, ...]
    params: str = "{}"
    failed: tuple[Part, ...] = ("[]",)
    unknown: tuple[Part, ...] = ("[]",)
    doubts: tuple[Part, ...] | None = None
    """What is not known, told after `because` together with the gaps; None where nothing is in doubt."""
    gaps: tuple[Read, ...] = ()
    """Sources whose gaps are behind it."""
    link_gaps: tuple[str, ...] = ()
    """Columns with the gap of a link."""
    refs: tuple[str, ...] = ()
    """Columns with rows that it rests on."""

    @property
    def gap_reason(self) -> str:
        """Return the reason where a gap is behind it."""
        return "not_seen" if self.reason == "not_known" else self.reason

    @property
    def filled(self) -> bool:
        """Return whether it differs from subject to subject."""
        sentences = (*self.because, *self.failed, *self.unknown)
        told = any(isinstance(part, tuple) for part in sentences)
        return told or self.doubts is not None or bool(self.gaps or self.link_gaps or self.refs)


def clauses_of(rule: Rule) -> dict[str, Clause]:
    """Return the rule's clauses in the order in which their truths come: `when`, `due`, its checks from `c0` on."""
    clauses = {"when": rule.when, "due": rule.due} | {f"c{at}": check for at, check in enumerate(rule.checks)}
    return {name: clause for name, clause in clauses.items() if clause is not None}


def verdict(truths: Mapping[str, Truth], *, proven: bool = True) -> tuple[str, str]:
    """Return the verdict and its reason from the truths of `clauses_of`.

    A condition that is false excuses, one that is not known never does; one false check fails whatever the others.
    `proven` says whether the collected history reaches as far back as a pass concludes.
    """
    for condition, excused in (("when", "when"), ("due", "not_due")):
        truth = truths.get(condition, True)
        if truth is None:
            return "unknown", condition
        if not truth:
            return "not_applicable", excused
    checks = [truth for name, truth in truths.items() if name not in ("when", "due")]
    if any(truth is False for truth in checks):
        return "fail", ""
    if any(truth is None for truth in checks):
        return "unknown", "not_known"
    return ("pass", "") if proven else ("unknown", "history")


def undecided(truths: Mapping[str, Truth]) -> tuple[str, ...]:
    """Return the clauses that are the ones that cannot be told: those before them hold."""
    for condition in ("when", "due"):
        truth = truths.get(condition, True)
        if not truth:
            return (condition,) if truth is None else ()
    return tuple(name for name, truth in truths.items() if truth is None)


class Applied:
    """A rule with the parameters of an estate."""

    def __init__(self, rule: Rule, values: Values, *, history: bool = True) -> None:
        self.rule = rule
        self.values = values
        self.proven = history or rule.needs_history_s is None
        """The collected history covers `needs_history`: without it a pass is unknown."""
        self.clauses = clauses_of(rule)
        self._links = links_of(rule.table)
        self._known = frozenset(column.name for column in rule.table.columns)
        self._refs = (*self._of_links(rule.clauses, "refs"), *({"refs"} & self._known))
        self.truths = ""
        """The SQL of its truths, once it was made."""
        self.rows: dict[Any, Mapping[str, Any]] = {}
        """What was said before, as `judge` hands it to the engine."""
        self._varying = frozenset(
            name for name in rule.params if len({repr(given.get(name)) for given in values.values()}) > 1
        )

    def not_set(self, zone: str | None) -> tuple[str, ...]:
        """Return the parameters that nobody set for a zone though the rule leaves them to the configuration."""
        given = self.values[zone]
        return tuple(
            name
            for name, param in sorted(self.rule.params.items())
            if param.default is None and not param.zones and given.get(name) is None
        )

    @property
    def unset(self) -> tuple[str, ...]:
        """Return those that are set for no zone at all: without them nothing can be judged."""
        return tuple(sorted(set.intersection(*(set(self.not_set(zone)) for zone in self.values))))

    def verdict(self, truths: Sequence[Truth]) -> str:
        """Return the verdict alone."""
        return verdict(dict(zip(self.clauses, truths, strict=True)), proven=self.proven)[0]

    def say(self, truths: Sequence[Truth], zone: str | None) -> Saying:
        """Return what the rule says in a zone where its clauses have these truths, in the order of `clauses_of`."""
        known = dict(zip(self.clauses, truths, strict=True))
        given = self.values.get(zone, {})
        answer, reason = verdict(known, proven=self.proven)
        params = canonical({name: given.get(name) for name in self.rule.params})
        if answer == "pass":
            return Saying(answer, reason, self._passed(given), params)
        if answer == "not_applicable":
            return Saying(answer, reason, (self._excused(reason),), params)
        doubtful = {name: self.clauses[name] for name in undecided(known)}
        failing = [self.clauses[name] for name, truth in known.items() if truth is False and answer == "fail"]
        return Saying(
            answer,
            self._reason(doubtful.values(), zone) if reason == "not_known" else reason,
            self._because(answer, doubtful, given),
            params,
            self._listed(failing, given),
            self._listed(doubtful.values(), given),
            self._doubts(doubtful.values(), given) if answer == "unknown" and doubtful else None,
            tuple(sorted({read for clause in doubtful.values() for read in clause.reads})),
            self._of_links(doubtful.values(), "gaps"),
            self._refs,
        )

    def _reason(self, doubtful: Iterable[Clause], zone: str | None) -> str:
        asked = {name for clause in doubtful for name in clause.params}
        if zone is None and asked & self._varying:
            return "zone"
        given = self.values.get(zone, {})
        return "not_configured" if any(given.get(name) is None for name in asked) else "not_known"

    # The sentences --------------------------------------------------------------------------------------------------

    def _passed(self, given: Mapping[str, ParamValue]) -> tuple[Part, ...]:
        if self.rule.because_pass:
            return self._told(self.rule.because_pass, given)
        return ("Holds: " + "; ".join(check.name for check in self.rule.checks) + ".",)

    def _excused(self, reason: str) -> str:
        clause, said = (
            (self.rule.when, "Does not apply") if reason == "when" else (self.rule.due, "Not due yet")
        )
        return f"{said}: {clause.text if clause else ''} is false."

    def _because(
        self, answer: str, doubtful: Mapping[str, Clause], given: Mapping[str, ParamValue]
    ) -> tuple[Part, ...]:
        if answer == "fail":
            return self._told(self.rule.because, given)
        if not doubtful:
            return (_TOO_SHORT,)
        return ("Cannot tell: " + "; ".join(_what(name, clause) for name, clause in doubtful.items()),)

    def _told(self, template: Template, given: Mapping[str, ParamValue]) -> tuple[Part, ...]:
        parts: list[Part] = []
        for kind, what in template.parts:
            if kind == "column":
                parts.append(("said", what))
            elif kind == "text":
                parts.append(what)
            else:
                said = said_value(given.get(what), duration=self.rule.params[what].duration)
                parts.append("not known" if said is None else said)
        return tuple(parts)

    def _doubts(self, doubtful: Iterable[Clause], given: Mapping[str, ParamValue]) -> tuple[Part, ...]:
        doubtful = list(doubtful)
        unset = [name for clause in doubtful for name in clause.params if given.get(name) is None]
        columns = sorted({column for clause in doubtful for column in clause.columns})
        return (
            *(f"{name} is not known for its zone" for name in unset),
            *(("doubt", column) for column in columns),
        )

    # The evidence ---------------------------------------------------------------------------------------------------

    def _listed(self, clauses: Iterable[Clause], given: Mapping[str, ParamValue]) -> tuple[Part, ...]:
        """Return the JSON list of some clauses with the values they read."""
        parts: list[Part] = []
        for clause in clauses:
            parts.append(f'{"," if parts else "["}{{"name":{json_text(clause.name)},"values":{{')
            pairs: list[Part] = []
            for name in clause.params:
                pairs += (f",{json_text(f':{name}')}:{json_text(_as_read(given.get(name)))}",)
            for column in clause.columns:
                pairs += (f",{json_text(column)}:", ("json", column))
            if pairs:
                parts += (str(pairs[0])[1:], *pairs[1:])
            parts.append("}}")
        return (*parts, "]") if parts else ("[]",)

    def _of_links(self, clauses: Iterable[Clause], told: str) -> tuple[str, ...]:
        columns = {column for clause in clauses for column in clause.columns}
        return tuple(name for name in told_of(self._links, columns, told) if name in self._known)

    def reasons(self, column: str) -> tuple[str, ...]:
        """Return the columns that may say why a column is not known, the first that does so first."""
        why = self.rule.table.column(column).why
        return (*([why] if why else []), *reversed(told_of(self._links, (column,), "because")))


def links_of(table: Table) -> tuple[str, ...]:
    """Return the links of a chain that a table tells of: `session` where there is `session_because`."""
    names = [column.name for column in table.columns if column.name.endswith("_because")]
    return tuple(sorted(name.removesuffix("_because") for name in names))


def told_of(links: Iterable[str], columns: Iterable[str], told: str) -> tuple[str, ...]:
    """Return the columns `LINK_told` of the links that some columns speak of, as `session_broken` does of `session`."""
    names = tuple(columns)
    return tuple(f"{link}_{told}" for link in links if any(name.startswith(f"{link}_") for name in names))


def _what(name: str, clause: Clause) -> str:
    conditions = {"when": "whether it applies", "due": "whether it is due"}
    return f"{conditions[name]}, {clause.text}" if name in conditions else clause.name


def _as_read(value: ParamValue) -> object:
    """Return a parameter as the expressions read it: a list holds texts."""
    return [str(entry) for entry in value] if isinstance(value, tuple) else value


_ESCAPE = re.compile(r"\\u([0-9a-f]{4})|\\.")


def json_text(value: object) -> str:
    r"""Return JSON as the database writes it, which has capitals in `\u001F`."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return _ESCAPE.sub(lambda found: f"\\u{found[1].upper()}" if found[1] else found[0], text)
