"""Two policies laid side by side: their statements as bits, and the classes of every dimension of a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from auditor.policy import keys
from auditor.policy.classes import Asked, Value, key_classes, patterns_of, type_of, variables_of
from auditor.policy.classes_callers import (
    Caller,
    Stated,
    any_actions,
    aws_callers,
    other_callers,
    partitions,
    resources,
    sts_actions,
    told_callers,
)
from auditor.policy.classes_linked import linked_classes
from auditor.policy.globs import STATES, Pattern, TooComplex, Work
from auditor.policy.meaning import asks, meaning
from auditor.policy.model import DERIVED, KINDS, Policy, Principal
from auditor.policy.search import Goal, Option, Scene, Spent

Assigned = Mapping[str, Value]
_SERVICE_NAME = "aws:principalservicename"


class Pair:
    """Statements that say the same in both policies share a bit."""

    def __init__(
        self,
        a: Policy,
        b: Policy,
        *,
        feasible: bool,
        work: Work | None = None,
        among: Sequence[Principal] | None = None,
    ) -> None:
        self.feasible = feasible
        self.work = work or Work()
        self.spent = Spent(self.work)
        self.among = among
        self.stated: list[Stated] = []
        self.bits: dict[object, int] = {}
        """By what a statement says."""
        self.a = self._masks(a)
        self.b = self._masks(b)
        self.same = self.a == self.b
        self.any_action = any(
            each.statement.resources is not None or each.statement.not_resources is not None
            for each in self.stated
        )
        self._classes: dict[object, Sequence[tuple[Assigned, int]]] = {}
        self._callers: dict[str, list[Option]] = {}

    def _masks(self, policy: Policy) -> tuple[int, int]:
        """Give each statement a bit; return the masks of the Allow and the Deny statements."""
        masks = {"Allow": 0, "Deny": 0}
        for statement in policy.statements:
            said = meaning(statement, policy.version)
            bit = self.bits.get(said)
            if bit is None:
                bit = self.bits[said] = 1 << len(self.bits)
                asked = tuple(
                    Asked(bit, test, policy.version, variables_of(test, policy.version))
                    for test in statement.tests
                )
                self.stated.append(Stated(bit, statement, policy.version, asked))
            masks[statement.effect] |= bit
        return masks["Allow"], masks["Deny"]

    @cached_property
    def by_key(self) -> dict[str, list[Asked]]:
        """Tests by the key they are about; derived keys belong to the caller."""
        found: dict[str, list[Asked]] = {}
        for each in self.stated:
            for asked in each.asked:
                if asked.test.key not in DERIVED:
                    found.setdefault(asked.test.key, []).append(asked)
        return found

    @cached_property
    def groups(self) -> list[tuple[str, ...]]:
        """Keys, and keys that variables link, together."""
        home: dict[str, set[str]] = {}
        for key, asked in sorted(self.by_key.items()):
            joined = {key}.union(*(each.names for each in asked))
            for other in list(joined):
                joined |= home.get(other, set())
            for other in joined:
                home[other] = joined
        return [tuple(each) for each in dict.fromkeys(tuple(sorted(each)) for each in home.values())]

    @cached_property
    def doubts(self) -> dict[object, str]:
        """What cannot be decided exactly: by key (or a group of keys, or `principal` and so on) the cause."""
        found: dict[object, str] = {}
        for key, asked in sorted(self.by_key.items()):
            types = sorted({type_ for each in asked if (type_ := type_of(each.test))})
            if len(types) > 1:
                found[key] = f"mixed types: {key} is tested as {' and as '.join(types)}"
        for asked_once in (
            asked for each in self.stated for asked in each.asked if asked.test.key in DERIVED
        ):
            key, type_ = asked_once.test.key, type_of(asked_once.test)
            if type_ not in (None, "string"):
                found[key] = f"mixed types: {key} is a text and tested as {type_}"
            elif asked_once.names:
                found[key] = f"variables beyond equality and prefix: {key} is tested with a variable"
        return found

    def _too_complex(self, what: str) -> None:
        self.doubts.setdefault(what, f"too complex: the patterns on {what} have more than {STATES:,} states")

    def doubt(self, goal: Goal) -> str:
        """Name the first doubt that touches a goal; empty when none does."""
        involved: set[object] = {"principal", "action", "resource"}
        for group in self.groups:
            if any(each.bit & (goal.keep | goal.bad) for key in group for each in self.by_key.get(key, ())):
                involved |= {group, *group}
        for each in self.stated:
            if each.bit & (goal.keep | goal.bad):
                involved |= {asked.test.key for asked in each.asked if asked.test.key in DERIVED}
        return next((cause for what, cause in self.doubts.items() if what in involved), "")

    @cached_property
    def _names_aws_alone(self) -> bool:
        """Whether every statement is about users, roles and accounts that it names: nobody else can match it."""
        return all(
            each.statement.principals is not None
            and all(named.kind in ("aws", "canonical") for named in each.statement.principals)
            for each in self.stated
        )

    @cached_property
    def _partitions(self) -> tuple[str, ...]:
        return partitions(self.stated)

    def callers(self, kind: str) -> list[Option]:
        """Classes of callers of a kind."""
        if kind not in self._callers and self.among is not None:
            known_ones = told_callers(kind, self.stated, self.among)
            self._callers[kind] = [(caller, caller.fails) for caller in known_ones]
        elif kind not in self._callers:
            if kind == "aws":
                found, complete = aws_callers(
                    self.stated, self._partitions, self._telling(), self._extra(), self.work
                )
                if not complete:
                    self._too_complex("principal")
            else:
                found = other_callers(kind, self.stated, self._partitions[0], self._more(kind))
            self._callers[kind] = [(caller, caller.fails) for caller in found]
        return self._callers[kind]

    def _telling(self) -> list[tuple[str, Pattern]]:
        """Patterns of the keys that are linked to the caller: `StringEquals aws:SourceAccount ${aws:PrincipalAccount}`."""
        return [
            (derived, pattern)
            for group in self.groups
            for derived in DERIVED
            if derived in group
            for key in group
            for each in self.by_key.get(key, ())
            if type_of(each.test) == "string"
            for pattern in patterns_of(each.test, each.version, {})
        ]

    def _extra(self) -> list[str]:
        """Principals of other shapes than users, roles and roots; none of these calls STS but the federated user."""
        return sorted(
            {
                named.value
                for each in self.stated
                for named in each.named or ()
                if (
                    named.kind == "aws"
                    and (":federated-user/" in named.value or "::cloudfront:" in named.value)
                )
                or (named.kind == "canonical" and self.any_action)
            }
        )

    def _more(self, kind: str) -> list[str]:
        """Callers that no statement names, but whose keys it tests: to be tried where everyone is admitted."""
        if not self.feasible:
            return []
        found = [name for key in self.by_key for of, name in keys.homes(key) if of == kind]
        if kind == "service":
            found += [
                value for asked in self.by_key.get(_SERVICE_NAME, ()) for value in asked.test.values if value
            ]
        return found

    def actions(self, kind: str) -> list[Option]:
        """Actions that callers of a kind can ask for."""
        found = self._callers.get(f"actions of {kind}")
        if found is None:
            if self.any_action and kind in ("aws", "service"):
                try:
                    found = [*any_actions(self.stated, self.work)]
                except TooComplex as error:
                    self._too_complex("action")
                    found = list(error.found)
            else:
                found = [*sts_actions(kind, self.stated)]
            self._callers[f"actions of {kind}"] = found
        return found

    def resources(self) -> list[Option]:
        """Resources that statements can tell apart."""
        found = self._callers.get("resources")
        if found is None:
            try:
                found = [*resources(self.stated, work=self.work)]
            except TooComplex as error:
                self._too_complex("resource")
                found = list(error.found)
            texts = [
                text
                for each in self.stated
                for text in each.statement.resources or each.statement.not_resources or ()
            ]
            if any("${" in text for text in texts):
                self.doubts["resource"] = "variables beyond equality and prefix: in a Resource"
            self._callers["resources"] = found
        return found

    def scenes(self, goal: Goal, *, hopeful: bool = False) -> Iterator[Scene]:
        """Yield the dimensions of a goal's requests; `hopeful` adds to those in doubt what would suit it best."""
        relevant = goal.keep | goal.bad
        groups = [
            group
            for group in self.groups
            if any(each.bit & relevant for key in group for each in self.by_key.get(key, ()))
        ]
        by_caller = self.feasible or any(key in DERIVED for group in groups for key in group)
        sure = by_caller and not hopeful and not self.any_action
        for kind in KINDS:
            if sure and kind != "aws" and self._names_aws_alone:
                continue
            callers = self.callers(kind)
            if not callers and self.among is not None:
                continue
            if sure and all(fails & goal.keep for _, fails in callers):
                continue
            actions, held = self.actions(kind), self.resources()
            if hopeful:
                callers, actions, held = self._hopeful(goal, kind)
            if not by_caller:
                shared = [
                    each for group in groups for each in self._dimensions(group, goal, hopeful, {}, {}, ())
                ]
                yield Scene(kind, (callers, actions, held, *shared))
                continue
            yield from self._by_caller(kind, goal, groups, hopeful, (callers, actions, held))

    def _by_caller(
        self,
        kind: str,
        goal: Goal,
        groups: list[tuple[str, ...]],
        hopeful: bool,
        fixed: tuple[list[Option], ...],
    ) -> Iterator[Scene]:
        """Yield a scene for the callers that can present the same keys, for each action."""
        callers, actions, held = fixed
        callers = [each for each in callers if not each[1] & goal.keep]
        callers.sort(key=lambda each: -(each[1] & goal.bad).bit_count())
        by_principal = any(key in DERIVED for group in groups for key in group)
        met: dict[object, list[int]] = {}
        for action, unasked in actions:
            if unasked & goal.keep:
                continue
            for caller, unnamed in callers:
                fails = unasked | unnamed
                known: dict[str, str] = {}
                if by_principal and kind == "aws" and caller.principal.count(":") > 4:
                    known = dict(
                        zip(DERIVED, (caller.principal, caller.principal.split(":")[4]), strict=True)
                    )
                there, forms = self._presence(kind, caller.principal, action, groups)
                earlier = met.setdefault(
                    (tuple(there.items()), tuple(forms.items()), tuple(known.values())), []
                )
                if any(fails & goal.bad & ~other == 0 for other in earlier):
                    continue
                earlier.append(fails & goal.bad)
                shared = [
                    each
                    for group in groups
                    for each in self._dimensions(group, goal, hopeful, known, there, tuple(forms.items()))
                ]
                yield Scene(kind, ([(caller, unnamed)], [(action, unasked)], held, *shared))

    def _presence(
        self, kind: str, principal: str, action: str, groups: list[tuple[str, ...]]
    ) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
        """Return of each key whether such a call carries it, and which forms its values have."""
        if not self.feasible or not action.lower().startswith("sts:"):
            return {}, {}
        named = [key for group in groups for key in group if key not in DERIVED]
        there = {key: str(keys.presence(kind, principal, action, key)) for key in named}
        forms = {key: found for key in named if (found := keys.forms(kind, principal, key))}
        return there, forms

    def _dimensions(
        self,
        group: tuple[str, ...],
        goal: Goal,
        hopeful: bool,
        known: Mapping[str, str],
        there: Mapping[str, str],
        forms: tuple[tuple[str, tuple[str, ...]], ...],
    ) -> list[list[Option]]:
        """Dimensions of a group of keys; several only when hopeful."""
        if len(group) == 1 and there.get(group[0]) == "never":
            return [
                [({group[0]: None}, sum({e.bit for e in self.by_key[group[0]] if not e.test.passes_absent}))]
            ]
        found = self._group(group, known, tuple(each for each in forms if each[0] in group))
        possible: list[Option] = [
            (assigned, fails)
            for assigned, fails in found
            if all(
                there.get(key) != ("always" if value is None else "never") for key, value in assigned.items()
            )
        ]
        if not hopeful or not (group in self.doubts or any(key in self.doubts for key in group)):
            return [possible]
        return [each for key in group if key in self.by_key for each in self._free(key, goal, there.get(key))]

    def _free(self, key: str, goal: Goal, there: str | None) -> Iterator[list[Option]]:
        """What is at most possible for one key in doubt: its plain tests as they are, the others as one likes."""
        asked = self.by_key[key]
        if there == "never":
            yield [({key: None}, sum({each.bit for each in asked if not each.test.passes_absent}))]
            return
        doubtful = asked if key in self.doubts else [each for each in asked if each.names]
        if len(doubtful) < len(asked):
            plain = [each for each in asked if not each.names]
            try:
                yield [({key: value}, fails) for value, fails in key_classes(key, plain, work=self.work)]
            except TooComplex:
                doubtful = asked
        kept = {asks(each.test) for each in doubtful if each.bit & goal.keep}
        fails = 0
        for each in doubtful:
            if each.bit & goal.bad and asks(each.test) not in kept:
                fails |= each.bit
        yield [({}, fails)]

    def _group(
        self, group: tuple[str, ...], known: Mapping[str, str], forms: tuple[tuple[str, tuple[str, ...]], ...]
    ) -> Sequence[tuple[Assigned, int]]:
        """Classes of one key, or of keys that variables link; what they leave open goes to `doubts`."""
        cached = (group, tuple(known.items()), forms)
        if cached not in self._classes:
            self._classes[cached] = self._classed(group, known, dict(forms))
        return self._classes[cached]

    def _classed(
        self, group: tuple[str, ...], known: Mapping[str, str], forms: Mapping[str, tuple[str, ...]]
    ) -> Sequence[tuple[Assigned, int]]:
        key = group[0]
        if len(group) > 1 or any(each.names for each in self.by_key[key]):
            found, complete = linked_classes(group, self.by_key, known, self.work)
            if not complete or forms:
                self.doubts[group] = f"variables beyond equality and prefix: between {' and '.join(group)}"
            return found
        asked = self.by_key[key]
        if key in self.doubts:  # of mixed types: only its absence is sure
            return [({key: None}, sum({each.bit for each in asked if not each.test.passes_absent}))]
        try:
            return [
                ({key: value}, fails)
                for value, fails in key_classes(key, asked, forms=forms.get(key, ()), work=self.work)
            ]
        except TooComplex as error:
            self._too_complex(key)
            return [({key: value}, fails) for value, fails in error.found]

    def _hopeful(self, goal: Goal, kind: str) -> tuple[list[Option], list[Option], list[Option]]:
        """Add to callers, actions and resources in doubt one class that fails all that is not kept word by word."""
        callers, actions, held = self.callers(kind), self.actions(kind), self.resources()
        kept = [each for each in self.stated if each.bit & goal.keep]
        bad = [each for each in self.stated if each.bit & goal.bad]
        if kind == "aws" and any(what in self.doubts for what in ("principal", *DERIVED)):
            same = {(each.statement.principals, each.statement.not_principals) for each in kept}
            tests = {asks(each.test) for stated in kept for each in stated.asked}
            fails = 0
            for each in bad:
                derived = [asked for asked in each.asked if asked.test.key in DERIVED]
                named = (each.statement.principals, each.statement.not_principals)
                if named not in same or any(asks(asked.test) not in tests for asked in derived):
                    fails |= each.bit
            callers = [*callers, (Caller("aws", "", None, fails), fails)]
        if "action" in self.doubts:
            same_actions = {(each.statement.actions, each.statement.not_actions) for each in kept}
            fails = sum(
                each.bit
                for each in bad
                if (each.statement.actions, each.statement.not_actions) not in same_actions
            )
            actions = [*actions, ("", fails)]
        if "resource" in self.doubts:
            same_held = {(each.statement.resources, each.statement.not_resources) for each in kept}
            fails = sum(
                each.bit
                for each in bad
                if (each.statement.resources, each.statement.not_resources) not in same_held
            )
            held = [*held, ("", fails)]
        return callers, actions, held
