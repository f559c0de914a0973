"""The same comparison as questions to cvc5: SMT-LIB strings, straight from the documents, sharing no code with the product.

It says `unsupported` of what it does not encode (variables other than plain equality, IPv6, sets); the pairs leave those out.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

KINDS = ("aws", "service", "oidc", "saml")
ACTIONS = {
    "aws": ("sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity", "sts:SetContext"),
    "service": ("sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity", "sts:SetContext"),
    "oidc": ("sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"),
    "saml": ("sts:AssumeRoleWithSAML", "sts:TagSession", "sts:SetSourceIdentity"),
}
EVERY_ACTION = sorted({action for actions in ACTIONS.values() for action in actions})
SORTS = {"string": "String", "bool": "String", "ip": "Int", "numeric": "Real", "date": "Real"}
_NO_COLON = '(re.union (re.range "\\u{1}" "9") (re.range ";" "\\u{ffff}"))'
_DIGITS = " ".join(['(re.range "0" "9")'] * 12)
_DOMAIN = f"""(re.++ (str.to_re "arn:aws:iam::") {_DIGITS} (str.to_re ":") (re.union (str.to_re "root")
 (re.++ (str.to_re "user/") re.allchar re.all) (re.++ (str.to_re "role/") re.allchar re.all)))"""
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
Document = dict[str, Any]


class Unsupported(Exception):  # noqa: N818 - what it is, not what went wrong
    """The encoding has no words for this."""


def verdict(a: Document, b: Document, milliseconds: int = 5000) -> str:
    """Say what B is against A, `unknown` or `unsupported`."""
    try:
        script = _Script(a, b)
    except Unsupported:
        return "unsupported"
    wider, narrower = (_satisfiable(script.text(*order), milliseconds) for order in (("b", "a"), ("a", "b")))
    if None in (wider, narrower):
        return "unknown"
    return {(False, False): "equivalent", (False, True): "narrower", (True, False): "wider"}.get(
        (bool(wider), bool(narrower)), "incomparable"
    )


def _satisfiable(text: str, milliseconds: int) -> bool | None:
    import cvc5

    terms = cvc5.TermManager()
    solver = cvc5.Solver(terms)
    solver.setOption("tlimit-per", str(milliseconds))
    solver.setOption("strings-exp", "true")
    parser = cvc5.InputParser(solver)
    symbols = parser.getSymbolManager()
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, "pair")
    while not (command := parser.nextCommand()).isNull():
        command.invoke(solver, symbols)
    result = solver.checkSat()
    return True if result.isSat() else False if result.isUnsat() else None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _and(parts: Iterable[str]) -> str:
    held = list(parts)
    return f"(and {' '.join(held)})" if len(held) > 1 else held[0] if held else "true"


def _or(parts: Iterable[str]) -> str:
    held = list(parts)
    return f"(or {' '.join(held)})" if len(held) > 1 else held[0] if held else "false"


def _text(value: str) -> str:
    return (
        '"' + "".join(c if " " <= c <= "~" and c not in '"\\' else f"\\u{{{ord(c):x}}}" for c in value) + '"'
    )


def _language(pattern: str, *, arn: bool = False) -> str:
    """Regular expression of a pattern with `*` and `?`; of an ARN part by part."""
    parts, colons = [], 0
    for piece in re.findall(r"[*?:]|[^*?:]+", pattern):
        colons += piece == ":"
        inside = arn and colons < 5
        if piece == "*":
            parts.append(f"(re.* {_NO_COLON})" if inside else "re.all")
        elif piece == "?":
            parts.append(_NO_COLON if inside else "re.allchar")
        else:
            parts.append(f"(str.to_re {_text(piece)})")
    if arn and colons < 5:
        return "re.none"
    return f"(re.++ {' '.join(parts)})" if len(parts) > 1 else parts[0] if parts else '(str.to_re "")'


class _Script:
    """Two documents as assertions over one request."""

    def __init__(self, a: Document, b: Document) -> None:
        self.keys: dict[str, tuple[int, str]] = {}
        for document in (a, b):
            for statement in document["Statement"]:
                self._declare(statement.get("Condition", {}))
        self.admits = {"a": self._policy(a), "b": self._policy(b)}

    def text(self, admits: str, refuses: str) -> str:
        lines = [
            "(set-logic ALL)",
            "(declare-const kind Int)",
            "(declare-const act Int)",
            "(declare-const P String)",
        ]
        feasible = _or(
            _and([f"(= kind {i})", _or(f"(= act {EVERY_ACTION.index(action)})" for action in ACTIONS[kind])])
            for i, kind in enumerate(KINDS)
        )
        lines += [f"(assert {feasible})", f"(assert (=> (= kind 0) (str.in_re P {_DOMAIN})))"]
        lines.append("(assert (>= (str.len P) 1))")
        for number, type_ in self.keys.values():
            name = f"k{number}"
            lines += [f"(declare-const {name} {SORTS[type_]})", f"(declare-const p{number} Bool)"]
            if type_ == "string":
                lines.append(f"(assert (>= (str.len {name}) 1))")
            elif type_ == "bool":
                lines.append(f'(assert (or (= {name} "true") (= {name} "false")))')
            elif type_ == "ip":
                lines.append(f"(assert (and (>= {name} 0) (<= {name} 4294967295)))")
        lines.append(f"(assert (and {self.admits[admits]} (not {self.admits[refuses]})))")
        return "\n".join(lines)

    def _declare(self, condition: Document) -> None:
        for operator, keys in condition.items():
            type_ = _type(operator)
            for key, values in keys.items():
                name = key.lower()
                if name in ("aws:principalarn", "aws:principalaccount"):
                    continue
                used = self.keys.get(name)
                if used is None:
                    self.keys[name] = (len(self.keys), type_ or "string")
                elif type_ and used[1] != type_:
                    if used[1] != "string":
                        raise Unsupported(name)
                    self.keys[name] = (used[0], type_)
                for value in map(str, _listed(values)):
                    for variable in _VARIABLE.findall(value):
                        self.keys.setdefault(variable.lower(), (len(self.keys), "string"))

    def _policy(self, document: Document) -> str:
        allow = [self._statement(each) for each in document["Statement"] if each["Effect"] == "Allow"]
        deny = [self._statement(each) for each in document["Statement"] if each["Effect"] == "Deny"]
        return _and([_or(allow), *([f"(not {_or(deny)})"] if deny else [])])

    def _statement(self, statement: Document) -> str:
        patterns = [_glob(each) for each in _listed(statement["Action"])]
        actions = [
            i for i, action in enumerate(EVERY_ACTION) if any(each.fullmatch(action) for each in patterns)
        ]
        tests = [
            self._test(operator, key.lower(), [str(value) for value in _listed(values)])
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        ]
        return _and([_or(f"(= act {i})" for i in actions), self._principal(statement["Principal"]), *tests])

    def _principal(self, element: Any) -> str:
        if element == "*" or (isinstance(element, dict) and element.get("AWS") == "*"):
            return "true"
        found = []
        for type_, values in element.items():
            for value in _listed(values):
                account = re.fullmatch(r"(?:arn:aws:iam::)?(\d{12})(?::root)?", value)
                if type_ == "AWS":
                    body = (
                        f"(str.prefixof {_text(f'arn:aws:iam::{account[1]}:')} P)"
                        if account
                        else f"(= P {_text(value)})"
                    )
                    found.append(f"(and (= kind 0) {body})")
                else:
                    kind = 1 if type_ == "Service" else 3 if ":saml-provider/" in value else 2
                    found.append(f"(and (= kind {kind}) (= P {_text(value)}))")
        return _or(found)

    def _test(self, operator: str, key: str, values: list[str]) -> str:
        base, modifier, if_exists = _operator(operator)
        derived = {"aws:principalarn": "P", "aws:principalaccount": "(str.substr P 13 12)"}.get(key)
        present = "(= kind 0)" if derived else f"p{self.keys[key][0]}"
        if base == "Null":
            return _or(f"(not {present})" if value == "true" else present for value in values)
        subject = derived or f"k{self.keys[key][0]}"
        body = _or(self._match(base.replace("Not", ""), subject, value) for value in values)
        negated = "Not" in base
        passes = modifier == "ForAllValues" if modifier else if_exists or negated
        body = f"(not {body})" if negated else body
        return f"(ite {present} {body} {'true' if passes else 'false'})"

    def _match(self, base: str, subject: str, value: str) -> str:
        if base == "IpAddress":
            block = ipaddress.ip_network(value, strict=False)
            if block.version == 6:
                raise Unsupported(value)
            first, last = int(block.network_address), int(block.broadcast_address)
            return f"(and (>= {subject} {first}) (<= {subject} {last}))"
        if base.startswith(("Numeric", "Date")):
            relation = {
                "Equals": "=",
                "LessThan": "<",
                "LessThanEquals": "<=",
                "GreaterThan": ">",
                "GreaterThanEquals": ">=",
            }
            return f"({relation[re.sub('Numeric|Date', '', base)]} {subject} {_number(value)})"
        if base == "Bool":
            return f"(= {subject} {_text(value.lower())})"
        if variable := _VARIABLE.fullmatch(value):
            number = self.keys[variable[1].lower()][0]
            return f"(and p{number} (= {subject} k{number}))"
        if "${" in value:
            raise Unsupported(value)
        if base == "StringEquals":
            return f"(= {subject} {_text(value)})"
        if base not in ("StringLike", "ArnLike", "ArnEquals"):
            raise Unsupported(base)
        return f"(str.in_re {subject} {_language(value, arn=base.startswith('Arn'))})"


def _operator(operator: str) -> tuple[str, str, bool]:
    modifier, _, base = operator.rpartition(":")
    return base.removesuffix("IfExists"), modifier, base.endswith("IfExists")


def _type(operator: str) -> str | None:
    base = _operator(operator)[0]
    if base == "Null":
        return None
    for begin, type_ in (("Numeric", "numeric"), ("Date", "date"), ("Bool", "bool")):
        if base.startswith(begin):
            return type_
    return "ip" if "IpAddress" in base else "string"


def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(
        "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern), re.IGNORECASE
    )


def _number(value: str) -> str:
    try:
        number = float(value)
    except ValueError:
        read = datetime.fromisoformat(value)
        number = (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    return f"{number:.6f}" if number >= 0 else f"(- {-number:.6f})"
