"""IAM policies judged and compared by meaning: trust policies first of all. Pure; the standard library only."""

from __future__ import annotations
