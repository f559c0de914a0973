"""What a pack of one's own says of other rules: other parameters, or none of it; never without a reason and a name.

overrides:
  - {rule: CHN-001, params: {capture_within: 30h}, reason: the archive job takes longer, approved_by: ciso@acme.example}
  - {rule: BKT-014, off: true, reason: no zone asks for replication, approved_by: ciso@acme.example}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from auditor.rulelang.block import param_value
from auditor.rulelang.marks import Marked, Problem, did_you_mean
from auditor.rulelang.parse import Refused
from auditor.rulelang.rule import Param, ParamValue, Rule, canonical

_KEYS = ("rule", "params", "off", "reason", "approved_by")


@dataclass(frozen=True, slots=True)
class Override:
    """One thing a pack says of a rule, as it stands in the file."""

    rule: str
    """Id or code."""
    params: Mapping[str, Any]
    off: bool
    reason: str
    approved_by: str
    path: str
    line: int

    def __str__(self) -> str:
        what = "switched off" if self.off else f"other {', '.join(sorted(self.params))}"
        return f"{what} by {self.approved_by}: {self.reason}"


def read_overrides(marked: Marked) -> tuple[list[Override], list[tuple[str, Problem]]]:
    """Read the overrides of a pack, and every mistake of their form with the rule it is about, as far as one is named."""
    value = marked.value
    listed = value.get("overrides", []) if isinstance(value, dict) else []
    if not isinstance(listed, list):
        what = "'overrides' must be a list of {rule, params or off, reason, approved_by}"
        return [], [("", marked.problem(("overrides",), what))]
    found: list[Override] = []
    problems: list[tuple[str, Problem]] = []
    for at, item in enumerate(listed):
        wrong = _mistakes(marked, at, item)
        named = str(item.get("rule", "")) if isinstance(item, dict) else ""
        problems += [(named, problem) for problem in wrong]
        if not wrong:
            found.append(
                Override(
                    item["rule"],
                    item.get("params", {}),
                    item.get("off", False),
                    item["reason"],
                    item["approved_by"],
                    marked.path,
                    marked.marks[("overrides", at)].line,
                )
            )
    return found, problems


def _mistakes(marked: Marked, at: int, item: Any) -> list[Problem]:
    where = ("overrides", at)
    if not isinstance(item, dict):
        return [marked.problem(where, "an override is {rule, params or off, reason, approved_by}")]
    wrong = [
        marked.problem((*where, key), f"unknown key {key!r} in an override{did_you_mean(key, _KEYS)}")
        for key in item
        if key not in _KEYS
    ]
    wrong += [
        marked.problem((*where, key), f"an override needs {key!r}: {why}")
        for key, why in (
            ("rule", "the id or the code of the rule"),
            ("reason", "why"),
            ("approved_by", "who stands for it"),
        )
        if not (isinstance(item.get(key), str) and item[key].strip())
    ]
    if item.get("off") not in (None, True) or (item.get("off") is True) == ("params" in item):
        wrong.append(marked.problem(where, "an override gives `params`, or says `off: true`"))
    elif "params" in item and not (isinstance(item["params"], dict) and item["params"]):
        wrong.append(marked.problem((*where, "params"), "'params' must be a map of names to values"))
    return wrong


def overridden(rule: Rule, override: Override) -> Rule:
    """Return a rule with other parameters; raises Refused for one that it does not take."""
    params = dict(rule.params)
    for name, value in override.params.items():
        if name not in params:
            raise Refused(f"rule {rule.id!r} has no parameter {name!r}{did_you_mean(name, params)}")
        params[name] = _param(params[name], value)
    said = {"params": override.params, "reason": override.reason, "approved_by": override.approved_by}
    whole = canonical({"rule": json.loads(rule.canonical), "override": said})
    return replace(rule, params=params, override=str(override), canonical=whole)


def _param(param: Param, value: Any) -> Param:
    """Return a parameter with another default, or with other values for some zones."""
    by_zone = value if isinstance(value, dict) else {"default": value}
    read: dict[str, ParamValue] = {}
    for zone, given in by_zone.items():
        read[zone], kind = param_value(given)
        if kind not in ("ANY", param.kind):
            raise Refused(f":{param.name} is {param.kind}, and {given!r} is {kind}")
        if param.duration and isinstance(given, int):
            raise Refused(f":{param.name} is a duration such as 26h, and {given!r} has no unit")
    default = read.pop("default", param.default)
    return replace(param, default=default, zones={**param.zones, **read})
