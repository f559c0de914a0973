"""What a test and a statement say, whatever the order and the place of their parts."""

from __future__ import annotations

from auditor.policy.model import Statement, Test
from auditor.policy.values import folded


def asks(test: Test) -> object:
    """What a test asks, whatever the order of its values."""
    if_exists = test.if_exists and not test.modifier
    base = {"ArnEquals": "ArnLike", "ArnNotEquals": "ArnNotLike"}.get(test.base, test.base)
    return base, test.modifier, if_exists, test.key, frozenset(test.values)


def meaning(statement: Statement, version: str) -> object:
    """What a statement says, whatever its sid, its place and the order of its parts."""
    texts = [value for test in statement.tests for value in test.values]
    texts += [*(statement.resources or ()), *(statement.not_resources or ())]
    variables = any("${" in text for text in texts) and version
    asked = [
        None if each is None else frozenset(map(folded, each))
        for each in (statement.actions, statement.not_actions)
    ]
    others = (statement.principals, statement.not_principals, statement.resources, statement.not_resources)
    return (
        statement.effect,
        *asked,
        *(None if each is None else frozenset(each) for each in others),
        frozenset(map(asks, statement.tests)),
        variables,
    )
