"""Every error the product raises on purpose, and the exit code each one ends with.

AuditorError                1  something went wrong that nobody foresaw
├── UsageError              2  a mistake on the command line
├── ConfigError             2  a mistake in config.toml
├── RuleError               2  a mistake in a rule file
├── VerificationError       5  a bundle, a ledger or a signature does not verify
├── EngineError             4  the cluster that steps run on cannot be used; nothing was judged
└── BusyError               6  somebody else holds the ledger or the slot
"""

from __future__ import annotations

FAILING = 3
"""Exit code of a run whose findings reach `--fail-on`."""
INCOMPLETE = 4
"""Exit code of a run with a gap or a rule that did not load."""


class AuditorError(Exception):
    """What happened and where; `remedy` says what to do about it."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.what = message
        self.remedy = remedy

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n  {self.remedy}" if self.remedy else message


class UsageError(AuditorError):
    """Raised when a command was asked for something that cannot be."""

    exit_code = 2


class ConfigError(AuditorError):
    """Raised with every mistake of a configuration at once, one a line."""

    exit_code = 2


class RuleError(AuditorError):
    """Raised for a rule that cannot be judged; the other rules still run."""

    exit_code = 2


class VerificationError(AuditorError):
    """Raised when evidence is not what it says it is; names the first thing that differs."""

    exit_code = 5


class BusyError(AuditorError):
    """Raised when the ledger or a slot is held by another process."""

    exit_code = 6


class EngineError(AuditorError):
    """Raised when the cluster that steps run on is away or fails: what only it reads was not seen."""

    exit_code = INCOMPLETE
