"""What stands between an operator and a good scan: every check with what it found and what to do.

A check that could not be made is `unknown`, never `ok`. `off` is what nobody asked for: a key that is not configured, an action
that nothing is there to try on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from auditor.errors import INCOMPLETE

STATES = ("ok", "off", "warning", "unknown", "failed")
"""Best first."""
GROUPS = (
    "versions",
    "configuration",
    "rules",
    "database",
    "disk",
    "clock",
    "identity",
    "permissions",
    "routes",
    "signing",
)
"""The order they are told in."""
CANNOT_WORK = 2
"""Exit code when a scan cannot run at all."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    group: str
    name: str
    state: str
    said: str
    remedy: str = ""
    cloud: str = ""
    account: str = ""
    """Account or project."""
    region: str = ""
    action: str = ""
    statements: tuple[Mapping[str, Any], ...] = ()
    """The IAM statements to add where an action is denied on AWS."""


def ordered(checks: Iterable[Check]) -> list[Check]:
    """Return checks by group, then by place and name; in a group otherwise as they came."""
    return sorted(
        checks, key=lambda one: (GROUPS.index(one.group), one.cloud, one.account, one.region, one.action)
    )


def tally(checks: Iterable[Check]) -> dict[str, int]:
    """Return how many checks have each state."""
    counted = Counter(one.state for one in checks)
    return {state: counted[state] for state in STATES}


def exit_code(checks: Iterable[Check]) -> int:
    """Return 0, 4 where something is amiss or could not be told, 2 where a scan cannot work."""
    counted = tally(checks)
    if counted["failed"]:
        return CANNOT_WORK
    return INCOMPLETE if counted["warning"] or counted["unknown"] else 0
