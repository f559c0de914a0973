"""Two policies compared by the requests they admit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from auditor.policy.model import Policy, Request

Level = Literal["language", "feasible"]
"""`language`: what the texts admit, any key with any caller; `feasible`: only what a real caller can present."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What B is against A: `equivalent`, `narrower`, `wider`, `incomparable` or `undecided`."""

    verdict: str
    witness_a_only: Request | None
    """A request that A admits and B refuses."""
    witness_b_only: Request | None
    """A request that B admits and A refuses."""
    because: str


def compare(a: Policy, b: Policy, *, level: Level = "language") -> Comparison:
    """Say what B is against A, with a request for each side that has one; every request was checked by `allowed`."""
    raise NotImplementedError(level)
