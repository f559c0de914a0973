"""IAM policies judged and compared by meaning: trust policies first of all. Pure; the standard library only."""

from __future__ import annotations

CARRYING = ("inline_policies", "attached_policies", "boundary_arn")
"""The columns of an identity that say what hangs on it."""
