"""A rule as a value: what a block of YAML became after every name and type in it was checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from auditor.rulelang.answers import Answer, own_words
from auditor.rulelang.compile import Clause, Read, all_reads
from auditor.rulelang.template import Template
from auditor.rulelang.terms import Kind
from auditor.schema import Table

ParamValue = int | str | bool | tuple[int | str, ...] | None
"""Durations in seconds; None is not set."""


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter with its default and what zones set instead."""

    name: str
    kind: Kind
    duration: bool
    default: ParamValue
    zones: Mapping[str, ParamValue] = field(default_factory=dict)

    def value(self, zone: str | None) -> ParamValue:
        """Return what the rule itself says for a zone; None for an unknown zone where zones differ."""
        if zone is None and self.zones:
            return None
        return self.zones.get(zone, self.default) if zone else self.default


@dataclass(frozen=True, slots=True)
class Example:
    """Facts and the verdict they must give: a rule's test and its documentation."""

    given: Mapping[str, Any]
    verdict: str
    zone: str | None = ""
    """Empty: a declared zone that no parameter names. None: no zone is known."""
    params: Mapping[str, ParamValue] = field(default_factory=dict)
    not_collected: tuple[str, ...] = ()
    at: int = 0
    """Its place in the list."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, ready to be judged."""

    id: str
    code: str
    title: str
    severity: str
    supports: tuple[str, ...]
    """Controls, as framework/control."""
    evidences: tuple[str, ...]
    """The controls among them that it may make *evidenced*."""
    table: Table
    when: Clause | None
    due: Clause | None
    checks: tuple[Clause, ...]
    params: Mapping[str, Param]
    because: Template
    because_pass: Template | None
    remedy: str
    needs_history_s: int | None
    cannot: Mapping[str, str]
    examples: tuple[Example, ...]
    pack: str
    path: str
    line: int
    answers: tuple[Answer, ...] = ()
    """The controls of other products that it answers."""
    canonical: str = ""
    """The block as canonical JSON: what its digest is over."""
    override: str = ""
    """What a pack of one's own changed of it, who approved that and why; empty when nothing."""

    @property
    def entity(self) -> str:
        """The catalogue's word for its subject."""
        return self.table.entity

    @property
    def controls(self) -> tuple[str, ...]:
        """Every control it supports or evidences, sorted."""
        return tuple(sorted({*self.supports, *self.evidences}))

    def own_words(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], set[str], list[tuple[str, str]]]:
        """Turn parameters in the words of products that it answers for into its own; see `answers.own_words`."""
        return own_words(self.answers, given, {name: str(param.kind) for name, param in self.params.items()})

    @property
    def clauses(self) -> tuple[Clause, ...]:
        """Return when, due and the checks, as far as there are any."""
        return tuple(clause for clause in (self.when, self.due, *self.checks) if clause is not None)

    @property
    def templates(self) -> tuple[Template, ...]:
        """Return the sentences it tells."""
        return tuple(said for said in (self.because, self.because_pass) if said is not None)

    @property
    def reads(self) -> tuple[Read, ...]:
        """Every source whose gaps can make it unknown."""
        return all_reads(self.clauses)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical block."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class OffRule:
    """A rule that a pack switched off: nobody is judged by it, and it says so."""

    rule: Rule
    approved_by: str
    reason: str

    @property
    def canonical(self) -> str:
        """What the pack's digest is over in its place."""
        return canonical({"off": self.rule.id, "reason": self.reason, "approved_by": self.approved_by})


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A rule that does not load: its controls become unknown."""

    text: str
    """Every mistake, one a line, each as `file:line:column: what`."""
    id: str = ""
    code: str = ""
    title: str = ""
    severity: str = "high"
    entity: str = ""
    controls: tuple[str, ...] = ()
    path: str = ""
    line: int = 0

    def __str__(self) -> str:
        return self.text


def canonical(value: Any) -> str:
    """Return canonical JSON: sorted keys, no spaces, as it is."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
