"""Where the shipped rules, templates and example configuration are: in the wheel, or in the checkout."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def builtin(name: str) -> Path:
    """Return `rules`, `reports` or `config.example.toml` as shipped."""
    packed = _HERE / "_builtin" / name
    return packed if packed.exists() else _HERE.parent / name
