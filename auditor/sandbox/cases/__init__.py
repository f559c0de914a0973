"""A second story of six weeks: what each rule of the catalogue is seen to pass, to fail and to leave open.

Every `*.yaml` of this folder is one chapter of the same scenario: maps are merged by their keys, lists are appended. What that
form cannot say stands in a module of the same name, a `Part`. In the sixth week both clouds refuse every listing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from auditor.sandbox.estate import Estate
    from auditor.sandbox.estate_stage import Step
    from auditor.sandbox.estate_story import Story
    from auditor.sandbox.estate_world import World

FOLDER = Path(__file__).parent


class Part(Protocol):
    """What a module of this folder may offer; each of the two may be missing."""

    def steps(self, world: World) -> Iterator[Step]:
        """Yield what happens at its moment, through `world.stage.aws` and `world.stage.gcp`."""

    def config(self, story: Story) -> Mapping[str, Any]:
        """Return settings that are merged into config.toml."""


def parts() -> tuple[Part, ...]:
    """Return the modules of this folder, in the order of their names."""
    names = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
    return tuple(cast("Part", import_module(f"{__name__}.{name}")) for name in names)


def open_estate(*, judged: bool = True) -> Estate:
    """Start both clouds for this story; `judged` as of `AwsCloud`."""
    from auditor.sandbox.estate import Estate
    from auditor.sandbox.estate_story import Story

    return Estate.open(Story.read(FOLDER), judged=judged, parts=parts())
