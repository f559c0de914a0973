"""Scans in processes of their own, that die or run out of disk where they are told to.

python fault_child.py WORLD          reads a task a line from its input, forks for each, and says how it ended
python fault_child.py WORLD scratch  builds the estate anew, scans it once, and prints what came of it

WORLD is a pickled `Plan`. The process that forks never starts a thread, so each scan begins in a clean one.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from auditor import collect, correlate, scan, snapshot
from auditor import config as configuration
from auditor.errors import AuditorError
from auditor.ledger import Ledger
from auditor.rulepack import Pack

Die = Callable[[str], None]
SENTENCE, UNFORESEEN = 1, 70


@dataclass(frozen=True)
class Told:
    """A source as it was heard: what it yields, and when."""

    TABLES: tuple[str, ...]
    AFTER: tuple[str, ...]
    ACTIONS: tuple[str, ...]
    Settings: type[Any]
    yielded: tuple[Any, ...]


@dataclass(frozen=True)
class Plan:
    """All that a scan of week 2 needs beside its state folder."""

    config: Path
    pack: Pack
    now: datetime
    told: Mapping[str, Told]


class Telling:
    """A source that yields what was heard, and may die halfway."""

    def __init__(self, name: str, told: Told, die: Die) -> None:
        self.TABLES, self.AFTER, self.ACTIONS, self.Settings = (
            told.TABLES,
            told.AFTER,
            told.ACTIONS,
            told.Settings,
        )
        self._name, self._yielded, self._die = name, told.yielded, die

    def collect(self, _ask: Any) -> Iterator[Any]:
        half = len(self._yielded) // 2
        yield from self._yielded[:half]
        self._die(f"reading {self._name}")
        yield from self._yielded[half:]


def points(plan: Plan) -> list[str]:
    """Return where a scan can be killed, in the order in which it gets there."""
    return [
        *(f"reading {name}" for name in sorted(plan.told)),
        "all collected",
        *("draft on disk", "draft published", "snapshot on disk", "snapshot published"),
        *("correlated", "judgement on disk", "judgement published", "rules on disk"),
        *("begin", "memory", "entry"),  # the ledger's own tests die at each of its steps
    ]


def main(plan_file: str, *how: str) -> None:
    """Fork a scan for each task, one after the other."""
    from auditor.sources import NAMES, source

    plan: Plan = pickle.loads(Path(plan_file).read_bytes())
    if how:
        return scratch(plan)
    sections = {f"sources.{name}": source(name).Settings for name in NAMES}
    config = configuration.load(plan.config, sections)
    _import()
    for line in sys.stdin:
        task = json.loads(line)
        if not (child := os.fork()):
            os._exit(scanned(plan, config, task))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
    return None


def _import() -> None:
    """Import what a scan imports where it is used: each process that is forked would do so anew."""
    import duckdb  # noqa: F401
    import orjson  # noqa: F401

    import auditor.engines.duckdb
    import auditor.ledger.record
    import auditor.watch.compare  # noqa: F401

    for step in correlate.steps():
        if step.language == "py":
            correlate._module(step)


def scanned(plan: Plan, config: Any, task: Mapping[str, Any]) -> int:
    """Scan week 2 in this process; `said` is where an error goes."""
    try:
        if task.get("limit"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (task["limit"], task["limit"]))
        die = partial(_die, task.get("die"))
        _wait_at(plan, die)
        state = Path(task["state"])
        config = dataclasses.replace(config, state=dataclasses.replace(config.state, dir=str(state)))
        with Ledger.open(state / "ledger.sqlite3", checkpoint=die) as ledger:
            scan.scan(config, ledger, plan.pack, now=plan.now, slot=task.get("slot", "W02"))
    except AuditorError as error:
        Path(task["said"]).write_text(str(error))
        return SENTENCE
    except BaseException:  # noqa: BLE001 - the test shows it
        Path(task["said"]).write_text(traceback.format_exc())
        return UNFORESEEN
    return 0


def _die(at: str | None, here: str) -> None:
    if here == at:
        os.kill(os.getpid(), signal.SIGKILL)


def _wait_at(plan: Plan, die: Die) -> None:
    """Let death wait at each step that is no checkpoint of the ledger's."""
    sources = {name: Telling(name, told, die) for name, told in plan.told.items()}
    scan.collect = partial(collect.collect, sources=sources)  # type: ignore[attr-defined]
    _between(snapshot.Writer, "seal", ["all collected", ""], ["", ""], die)
    _between(
        snapshot,
        "_publish",
        ["draft on disk", "snapshot on disk"],
        ["draft published", "snapshot published"],
        die,
    )
    _between(correlate, "correlate", [""], ["correlated"], die)
    replace = Path.replace

    def replaced(path: Path, target: Any) -> Path:
        step = "judgement" if path.is_dir() else "rules"
        die(f"{step} on disk")
        found = replace(path, target)
        die(f"{step} published")
        return found

    Path.replace = replaced  # type: ignore[method-assign,assignment]


def _between(where: Any, name: str, before: list[str], after: list[str], die: Die) -> None:
    """Die before or after the first, second ... call of a function."""
    real, calls = getattr(where, name), iter(range(1 << 30))

    def called(*args: Any, **kwargs: Any) -> Any:
        call = next(calls)
        die(before[call] if call < len(before) else "")
        found = real(*args, **kwargs)
        die(after[call] if call < len(after) else "")
        return found

    setattr(where, name, called)


def scratch(plan: Plan) -> None:
    """Build the small estate anew and scan its second week as the first scan ever."""
    from fault_world import SECTIONS, small_story

    from auditor.sandbox.estate import Estate

    estate = Estate.open(small_story())
    try:
        estate.advance(2)
        with tempfile.TemporaryDirectory() as folder:
            config = configuration.load(estate.config(Path(folder)), SECTIONS)
            sys.stdout.write(json.dumps(from_nothing(config, plan.pack, plan.now, Path(folder) / "state")))
    finally:
        estate.close()


def from_nothing(config: Any, pack: Pack, now: datetime, state: Path) -> dict[str, Any]:
    """Scan with an empty ledger and return the ids and digests of what came of it."""
    config = dataclasses.replace(config, state=dataclasses.replace(config.state, dir=str(state)))
    with Ledger.open(state / "ledger.sqlite3", create=True) as ledger:
        done = scan.scan(config, ledger, pack, now=now, slot="first")
    tables = {name: entry["digest"] for name, entry in done.snapshot.manifest["tables"].items()}
    return {
        "tables": tables,
        "queries": done.snapshot.manifest["queries"],
        "snapshot": done.snapshot.id,
        "facts": dict(done.judgement.digests),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
