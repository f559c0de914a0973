"""A two-cloud estate that changes for twelve weeks, seeded from a readable scenario.

Nothing here reads a clock: every time comes from the scenario, every id from its words, so that two estates are
equal to the byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.sandbox.estate_backup import Backups
from auditor.sandbox.estate_changes import Changes
from auditor.sandbox.estate_config import write_config, write_directory
from auditor.sandbox.estate_stage import Stage, Step
from auditor.sandbox.estate_story import Expectation, Story
from auditor.sandbox.estate_work import Work
from auditor.sandbox.estate_world import World
from auditor.sandbox.estate_writes import Writes

if TYPE_CHECKING:
    from auditor.sandbox.aws import AwsCloud
    from auditor.sandbox.cases import Part
    from auditor.sandbox.gcp import GcpCloud


class Estate:
    """Both clouds, and the story that is played on them week by week."""

    def __init__(
        self, aws: AwsCloud, gcp: GcpCloud, story: Story | None = None, parts: Sequence[Part] = ()
    ) -> None:
        self.aws = aws
        self.gcp = gcp
        self.story = story or Story.read()
        self.parts = parts
        """Modules that say what the form of a scenario cannot."""
        self.endpoints = ("", "")
        self._stage = Stage(aws, gcp, self.story)
        self._steps: list[Step] | None = None
        self._folders: list[Path] = []
        self.week = 0
        """The last week that was played."""

    @classmethod
    def open(cls, story: Story | None = None, *, judged: bool = True, parts: Sequence[Part] = ()) -> Estate:
        """Start both clouds on loopback with nothing in them yet; `judged` as of `AwsCloud`."""
        from auditor.sandbox.aws import AwsCloud
        from auditor.sandbox.faults import Faults
        from auditor.sandbox.gcp import GcpCloud

        faults = Faults()
        estate = cls(AwsCloud(faults, judged=judged), GcpCloud(faults), story, parts)
        estate.endpoints = (estate.aws.start(), estate.gcp.start())
        return estate

    def close(self) -> None:
        """Stop both clouds."""
        self.gcp.stop()
        self.aws.stop()

    @property
    def weeks(self) -> int:
        """How many weekly scans the story has."""
        return self.story.weeks

    def now(self, week: int) -> datetime:
        """Return the time of a week's scan."""
        return self.story.now(week)

    def advance(self, week: int) -> None:
        """Make everything happen that happened by a week's scan; weeks that were played stay as they are."""
        if self._steps is None:
            self._steps = self._plan()
        now = self.now(week)
        while self._steps and self._steps[-1].at <= now:
            step = self._steps.pop()
            if step.needs_trail:
                self._stage.tell()
            step.act()
        self._stage.tell()
        self.week = max(self.week, week)
        self.aws.clock(self.now(self.week))
        for folder in self._folders:
            write_directory(self.story, self.now(self.week), folder)

    def apply_faults(self, week: int) -> None:
        """Let what refuses to answer in a week's scan refuse, and everything else answer."""
        self.aws.faults.clear()
        for fault in self.story["faults"].get(f"W{week:02d}", ()):
            account = fault.get("account")
            self.aws.faults.set(
                fault["service"],
                fault["operation"],
                fault["kind"],
                account=self.story.account(account) if account else None,
                region=fault.get("region"),
            )

    def config(self, into: Path) -> Path:
        """Write config.toml and the directory's CSV files; later weeks write the directory anew."""
        into.mkdir(parents=True, exist_ok=True)
        self._folders.append(into)
        write_directory(self.story, self.now(max(1, self.week)), into)
        more = [part.config(self.story) for part in self.parts if hasattr(part, "config")]
        return write_config(self.story, self.endpoints, into, more)

    def expectations(self, week: int) -> dict[str, dict[str, Expectation]]:
        """Return what each export's links must be at a week's scan: export id, link, (state, strength)."""
        return self.story.expectations(week)

    def _plan(self) -> list[Step]:
        """Build what stands, and return every step, the next one last."""
        world = World(self._stage)
        world.build()
        steps = [*self._all(world)]
        order = sorted(range(len(steps)), key=lambda n: (steps[n].at, n), reverse=True)
        return [steps[n] for n in order]

    def _all(self, world: World) -> Iterator[Step]:
        yield from Changes(world).steps()
        for export in self.story.exports:
            yield from Work(self._stage, export).steps()
            yield from Writes(self._stage, export).steps()
        yield from Backups(self._stage, world.plan_ids).steps()
        for part in self.parts:
            if hasattr(part, "steps"):
                yield from part.steps(world)
