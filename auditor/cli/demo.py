"""Play two clouds on this machine for twelve weeks, scan each week, and report."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from auditor.cli._app import App, app, shared
from auditor.errors import UsageError

MARKER = ".auditor-demo"


@click.command("demo")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("auditor-demo"),
    show_default=True,
    help="Folder.",
)
@click.option("--weeks", type=click.IntRange(1, 12), default=12, show_default=True, help="Weekly scans.")
@shared
def command(into: Path, weeks: int) -> None:
    """Play two clouds on this machine for twelve weeks, scan each week, and report.

    No account and no network is needed; nothing outside the folder is written. A folder that an earlier demo made is
    replaced.
    """
    this = app()
    _check_extra()
    _make_room(into)
    from auditor.sandbox.demo import run

    done = run(into, weeks=weeks, progress=_progress(this))
    click.echo(done.text)


def _check_extra() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("moto", "flask", "flask_cors") if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"the demo needs {', '.join(missing)}, which this installation lacks",
            remedy='pip install "auditor[demo]"',
        )


def _make_room(into: Path) -> None:
    """Empty the folder of an earlier demo; refuse one that is anybody else's."""
    if into.is_dir() and any(into.iterdir()):
        if not (into / MARKER).is_file():
            raise UsageError(
                f"{into} holds something that is no demo",
                remedy="Nothing was touched. Name another folder with --into.",
            )
        shutil.rmtree(into)
    into.mkdir(parents=True, exist_ok=True)
    (into / MARKER).write_text(
        "Made by `auditor demo`, which replaces this folder when it runs again.\n", encoding="utf-8"
    )


def _progress(this: App) -> Any:
    import sys

    if this.verbosity < 0 or not (this.verbosity or sys.stderr.isatty()):
        return None

    def say(event: str, fields: Mapping[str, Any]) -> None:
        if event == "week":
            this.tell(f"week {fields['week']} of {fields['of']}: {fields['at']}")
        elif event in ("reporting", "bundling"):
            this.tell(event)
        else:
            this.tell(f"  {event} {', '.join(str(value) for value in fields.values())}", least=1)

    return say
