"""What every command needs: the configuration, the ledger, the clock, and the options they all take."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import click

from auditor.errors import UsageError

if TYPE_CHECKING:
    from auditor.config import Config
    from auditor.ledger import Ledger
    from auditor.rulepack import Pack

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class App:
    """One run of the command line."""

    config_path: str = ""
    json: bool = False
    verbosity: int = 0
    """-1 quiet, 1 with `-v`, 2 with `-vv`."""
    _config: Config | None = field(default=None, repr=False)
    _state: Path | None = field(default=None, repr=False)

    last: ClassVar[App | None] = None

    @property
    def path(self) -> Path:
        """The configuration file."""
        return Path(self.config_path or os.environ.get("AUDITOR_CONFIG") or "config.toml")

    def now(self) -> datetime:
        """Read the clock: everything below is handed this time."""
        return datetime.now(UTC)  # noqa: TID251  # a front door reads the clock

    def config(self) -> Config:
        """Read the whole configuration; ConfigError names every mistake at once."""
        if self._config is None:
            from auditor.config import load

            self._config = load(self.path, sections())
        return self._config

    def state(self) -> Path:
        """Return the state folder; nothing but it is read of the configuration."""
        if self._config is not None:
            return Path(self._config.state.dir)
        if self._state is None:
            self._state = _state(self.path) or Path(
                self.config().state.dir
            )  # which says what is wrong, in full
        return self._state

    @property
    def ledger_path(self) -> Path:
        """The ledger's file."""
        return self.state() / "ledger.sqlite3"

    def ledger(self, *, create: bool = False) -> Ledger:
        """Open the ledger."""
        from auditor.ledger import Ledger

        return Ledger.open(self.ledger_path, create=create)

    def rule_paths(self) -> tuple[list[Path], list[Path]]:
        """Return the folders of rules and of frameworks: what ships, then `rules/` beside the configuration."""
        from auditor.builtin import builtin

        shipped, own = builtin("rules"), self.path.parent / "rules"
        packs = [shipped]
        if own.is_dir() and own.resolve() != shipped.resolve():
            packs.append(own)
        return packs, [path / "frameworks" for path in packs if (path / "frameworks").is_dir()]

    def pack(self, *, prove: bool = False, anew: bool = False) -> Pack:
        """Load every rule; `prove` judges their own examples too, `anew` also those that passed before."""
        from auditor.rulepack import load

        packs, frameworks = self.rule_paths()
        proofs = self.state() / "proofs" if prove and not anew else None
        return load(packs, frameworks, prove=prove, proofs=proofs)

    def tell(self, line: str, *, least: int = 0) -> None:
        """Say something to the person, not to the pipe."""
        from auditor.cli._text import safe

        if self.verbosity >= least:
            click.echo(safe(line), err=True)


def _state(path: Path) -> Path | None:
    """Read where a configuration keeps its state; None where it cannot be read so."""
    import tomllib

    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
        folder = said.get("state", {}).get("dir", "auditor-state")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError):
        return None
    return Path(folder) if isinstance(folder, str) else None


def sections() -> Mapping[str, type[Any]]:
    """Return the settings of every source and channel by their section of the configuration."""
    from auditor.alerts import routes
    from auditor.sources import NAMES, source

    found: dict[str, type[Any]] = {f"sources.{name}": source(name).Settings for name in NAMES}
    return found | routes.sections()


def app() -> App:
    """Return what the command line was started with."""
    context = click.get_current_context()
    App.last = context.ensure_object(App)
    return App.last


def shared(command: F) -> F:
    """Add the options that every command takes, before its name or after it."""
    for option in (
        click.option("-v", "--verbose", count=True, expose_value=False, callback=_louder, help="Say more; -vv shows tracebacks."),
        click.option("-q", "--quiet", is_flag=True, expose_value=False, callback=_quieter, help="Say nothing but errors."),
        click.option(
            "-c", "--config", metavar="PATH", expose_value=False, callback=_at,
            help="Configuration file; AUDITOR_CONFIG, else ./config.toml.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def answering(command: F) -> F:
    """Add the shared options and `--json`: for commands that print data."""
    option = click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=_as_json,
        help="Print JSON; docs/json.md has its form.",
    )
    return shared(option(command))


def _at(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(App).config_path = value


def _as_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(App).json = True


def _louder(context: click.Context, _: click.Parameter, value: int) -> None:
    if value:
        context.ensure_object(App).verbosity = value


def _quieter(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(App).verbosity = -1


class Time(click.ParamType):  # type: ignore[type-arg]
    """A time in UTC: `2026-02-09`, `2026-02-09T06:00Z`, or so long ago as `7d`, `26h`."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            at = datetime.fromisoformat(value)
            return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        except (ValueError, OverflowError):
            return self._ago(value, param, ctx)

    def _ago(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        from datetime import timedelta

        from auditor.config_read import Wrong, duration

        try:
            return App().now() - timedelta(seconds=duration(value))
        except (Wrong, OverflowError):
            self.fail(
                f"{value!r} is no time. Write 2026-02-09, 2026-02-09T06:00Z, or 7d for seven days ago.",
                param,
                ctx,
            )


TIME = Time()


def ahead(text: str, now: datetime) -> datetime:
    """Read an end that lies ahead: a date, or so long from now as `30d`."""
    from datetime import timedelta

    from auditor.config_read import Wrong, duration

    try:
        return now + timedelta(seconds=duration(text))
    except Wrong:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is no time", remedy="Write 2026-03-31, or 30d for thirty days from now."
        ) from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
