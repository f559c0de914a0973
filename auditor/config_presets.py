"""Named limits that a zone may start from: `rules/presets/NAME.toml`, off until a zone asks for one."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from auditor.builtin import builtin

PARTS = ("zone", "everywhere")
"""Where parameters of a preset hold: in the zone that asks for it, or everywhere (people have no zone)."""


def presets() -> tuple[str, ...]:
    """Return the names of all presets, sorted."""
    return tuple(sorted(path.stem for path in (builtin("rules") / "presets").glob("*.toml")))


def preset(name: str) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """Return the parameters that a preset gives, by the code of a rule: under `zone` and under `everywhere`."""
    said = tomllib.loads((builtin("rules") / "presets" / f"{name}.toml").read_text(encoding="utf-8"))
    return {part: said.get(part, {}) for part in PARTS}
