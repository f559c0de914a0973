"""Secrets by reference: `env:NAME` or `file:PATH`. No value ever stands in the configuration."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from auditor.errors import ConfigError

_LONGEST = 65_536


def reveal(reference: str) -> str:
    """Return the secret a reference names; ConfigError says what is wrong, never the value."""
    kind, _, name = reference.partition(":")
    if kind == "env" and name:
        value = os.environ.get(name, "").strip()
        if not value:
            raise ConfigError(f"the environment has no {name}, which {reference} names")
        return value
    if kind == "file" and name:
        return _from_file(Path(name))
    raise ConfigError("a secret is given by reference only", remedy="Write env:NAME or file:/path/to/secret.")


def _from_file(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigError(
                    f"{path}: others on this machine can read this secret",
                    remedy=f"chmod 600 {path}",
                )
            value = file.read(_LONGEST).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the secret cannot be read: {error}") from error
    if not value:
        raise ConfigError(f"{path}: the secret is empty")
    return value
