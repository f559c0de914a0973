"""YAML templates read without losing anything: every key as often as it stands, every value as it is written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from auditor.errors import UsageError

if TYPE_CHECKING:
    import yaml

_LARGEST = 500_000
"""Nodes of a template that are read: aliases can make a small file a large tree."""
_SHORT = {"Ref": "Ref", "Condition": "Condition"}
_OCTAL = re.compile(r"0[0-7]+")


def read(text: str, name: str) -> Any:
    """Return a YAML file as JSON objects with every key kept; UsageError says where it cannot be read."""
    import yaml

    from auditor.policy.documents import Entries

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or (
            "nested too deeply" if isinstance(error, RecursionError) else str(error)
        )
        raise UsageError(f"{name}{place}: not YAML: {problem}") from None
    left = [_LARGEST]

    def built(node: yaml.Node, depth: int) -> Any:
        left[0] -= 1
        if left[0] < 0 or depth > 200:
            raise UsageError(
                f"{name}, line {node.start_mark.line + 1}: the template is too large or nested too deeply"
            )
        value: Any
        if isinstance(node, yaml.MappingNode):
            value = Entries(tuple((str(key.value), built(held, depth + 1)) for key, held in node.value))
        elif isinstance(node, yaml.SequenceNode):
            value = [built(held, depth + 1) for held in node.value]
        else:
            value = _scalar(node, name)
        if node.tag.startswith("!") and len(node.tag) > 1:
            function = node.tag[1:]
            return Entries(((_SHORT.get(function, f"Fn::{function}"), value),))
        return value

    return None if node is None else built(node, 0)


def _scalar(node: yaml.Node, name: str) -> Any:
    """Return a value as written: a Version is a text though YAML takes it for a date, an account id though for a number."""
    kind, text = node.tag.rpartition(":")[2], str(node.value)
    if kind == "bool":
        return text.lower() in ("true", "yes", "on")
    if kind == "null":
        return None
    if kind == "int" and _OCTAL.fullmatch(text):
        place = f"{name}, line {node.start_mark.line + 1}"
        raise UsageError(
            f"{place}: {text} is an octal number in YAML", remedy="Put it in quotes if it is an account id."
        )
    return text
