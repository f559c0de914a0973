"""The command `auditor` itself: which commands there are, and how every one of them may end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

import click

from auditor import __version__
from auditor.cli._app import App, shared
from auditor.errors import AuditorError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells count it."""
SECTIONS = {
    "First steps": ("demo", "init", "config", "permissions", "doctor"),
    "Scan": ("scan", "status", "serve", "watch"),
    "What was found": ("exports", "findings", "outcomes", "drift", "explain", "orphans", "protection"),
    "Rules and controls": ("rules", "controls", "waivers", "baseline"),
    "People": ("offboarding", "access-review", "reviews"),
    "Trust policies": ("trust",),
    "Evidence": ("report", "bundle", "receipts", "replay", "sample"),
    "Upkeep": ("snapshots", "alerts", "db", "key"),
}
"""The order of `auditor --help`; a command that is in no section stands under `Others`."""


class Commands(click.Group):
    """Every module beside this one is a command, imported when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return every command in the order of the sections."""
        found = {path.stem.replace("_", "-") for path in Path(__file__).parent.glob("[a-z]*.py")}
        ordered = [name for names in SECTIONS.values() for name in names if name in found]
        return [*ordered, *sorted(found.difference(ordered))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"auditor.cli.{cmd_name.replace('-', '_')}").command
        for each in getattr(command, "commands", {}).values():  # click would cut a longer sentence off
            each.short_help = each.short_help or " ".join((each.help or "").partition("\n\n")[0].split())
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was typed, or the nearest there is."""
        from auditor.cli._text import safe

        if args and args[0] not in (known := self.list_commands(ctx)) and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], known, 1)
            hint = f"Did you mean `auditor {close[0]}`?" if close else "`auditor --help` lists them."
            raise click.UsageError(f"There is no command {safe(args[0])!r}. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section, each with the first line of its module."""
        known = self.list_commands(ctx)
        sections = dict(SECTIONS)
        placed = {name for names in SECTIONS.values() for name in names}
        sections["Others"] = tuple(name for name in known if name not in placed)
        for title, names in sections.items():
            rows = [(name, _first_line(name)) for name in names if name in known]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        """Run, and end with the exit code of what happened: a sentence and a remedy, never a traceback."""
        _prepare_streams()
        extra["standalone_mode"] = False
        _end(lambda: super(Commands, self).main(args, *more, **extra))


def _first_line(name: str) -> str:
    """Return a command's help without importing it."""
    with (Path(__file__).parent / f"{name.replace('-', '_')}.py").open(encoding="utf-8") as file:
        return file.readline().strip().strip('"').rstrip(".")


def _prepare_streams() -> None:
    """Let no character that the terminal cannot write end a command; keep tracebacks for those who ask."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    sys.excepthook = _unforeseen


def _unforeseen(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say what nobody foresaw in one line; the interpreter ends with exit code 1."""
    if issubclass(kind, KeyboardInterrupt):
        return
    if _debugging():
        sys.__excepthook__(kind, error, trace)
        return
    _say(
        f"{kind.__name__}: {error}",
        "This is a fault of auditor. AUDITOR_DEBUG=1 shows where; please report it.",
    )


def _debugging() -> bool:
    return bool(os.environ.get("AUDITOR_DEBUG")) or (App.last is not None and App.last.verbosity > 1)


def _end(run: Callable[[], Any]) -> None:
    """Run a command and exit with its code."""
    try:
        code = _code(run())
        sys.stdout.flush()
    except AuditorError as error:
        if _debugging():
            sys.__excepthook__(type(error), error, error.__traceback__)
        _say(str(error.args[0]), error.remedy)
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        code = INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough: nothing is wrong, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _say(f"{where}{error.strerror or error}", "")
        code = 1
    sys.exit(code)


def _code(returned: object) -> int:
    return returned if isinstance(returned, int) and not isinstance(returned, bool) else 0


def _say(message: str, remedy: str) -> None:
    from auditor.cli._text import safe

    for line in message.splitlines() or [""]:
        click.echo(safe(line), err=True)
    for line in remedy.splitlines():
        click.echo(f"  {safe(line)}", err=True)


@click.group(cls=Commands, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="auditor %(version)s")
@shared
def cli() -> None:
    """Prove, link by link, that every data set a Dataproc job exports to S3 is protected as it must be.

    A chain is: trigger, job, session, objects, recovery point, copy, retention. Each link is proven, broken,
    unknown, pending or not required; what could not be seen is never a pass.
    """


cli.epilog = (
    "Exit codes: 0 done, 1 unexpected, 2 usage or configuration, 3 failing at or above --fail-on, "
    "4 incomplete, 5 verification failed, 6 busy. Manual: docs/cli.md"
)
