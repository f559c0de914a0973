"""The filters that the reading commands share; one that nobody knows is answered with the nearest word."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import click

from auditor.cli._app import TIME, App, F
from auditor.errors import UsageError
from auditor.model import SEVERITIES

if TYPE_CHECKING:
    from auditor.ledger import FindingRow
    from auditor.rulepack import Pack

T = TypeVar("T")
WHERE = ("severity", "zone", "owner", "account", "project")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for; an empty field asks for all."""

    severity: str = ""
    zone: str = ""
    owner: str = ""
    account: str = ""
    project: str = ""
    control: str = ""
    rule: str = ""
    state: str = ""
    since: datetime | None = None
    limit: int = 0

    @property
    def words(self) -> list[str]:
        """What is filtered by, in words, for an empty answer."""
        said = {
            name: getattr(self, name) for name in (*WHERE, "control", "rule", "state") if getattr(self, name)
        }
        if self.since:
            said["since"] = f"{self.since:%Y-%m-%dT%H:%MZ}"
        return [f"{name} {value}" for name, value in said.items()]

    @property
    def of_findings(self) -> bool:
        """Whether an export is asked for by what was found about it."""
        return bool(self.severity or self.rule or self.control)

    def fits(self, row: Mapping[str, Any], names: Iterable[str] = WHERE) -> bool:
        """Say whether a row has what was asked for in these columns."""
        return all(not getattr(self, name) or row[name] == getattr(self, name) for name in names)

    def first(self, rows: Iterable[T]) -> Iterator[T]:
        """Yield as many rows as were asked for."""
        return islice(rows, self.limit) if self.limit else iter(rows)

    def check(self, app: App) -> None:
        """Raise UsageError or RuleError for a zone, a rule or a control that does not exist."""
        from auditor.config_read import did_you_mean

        zones = [zone.name for zone in app.config().zones]
        if self.zone and self.zone not in zones:
            raise UsageError(
                f"there is no zone {self.zone!r}{did_you_mean(self.zone, zones)}",
                remedy=f"The configuration declares {', '.join(zones) or 'none'}.",
            )
        if self.rule or self.control:
            check_names(app.pack(), self.rule, self.control)


def check_names(pack: Pack, rule: str = "", control: str = "") -> None:
    """Raise RuleError for a rule or a control that does not exist; a rule that did not load exists."""
    if rule and all(rule not in (broken.id, broken.code) for broken in pack.broken_rules):
        pack.find(rule)
    if control:
        pack.control(control)


def filtered(states: Iterable[str], state_help: str, *, since_help: str) -> Callable[[F], F]:
    """Add every filter to a command, which takes them as one `wanted`."""

    def decorate(command: F) -> F:
        from functools import wraps

        @wraps(command)
        def gathered(**given: Any) -> Any:
            names = Wanted.__dataclass_fields__
            mine = {name: given.pop(name) for name in names if name in given}
            wanted = Wanted(**{name: value for name, value in mine.items() if value is not None})
            return command(wanted=wanted, **given)

        choice = click.Choice(list(states))
        for option in (
            click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Print the first N."),
            click.option("--since", type=TIME, help=since_help),
            click.option(
                "--state", type=choice, metavar="STATE", help=f"{state_help}: {', '.join(choice.choices)}."
            ),
            click.option("--rule", metavar="RULE", help="Rule, by id or code."),
            click.option("--control", metavar="CONTROL", help="Control, such as soc2/A1.2."),
            click.option("--project", help="Google Cloud project."),
            click.option("--account", help="AWS account id."),
            click.option("--owner", help="Owner's e-mail."),
            click.option("--zone", help="Zone."),
            click.option("--severity", type=click.Choice(SEVERITIES), metavar="LEVEL", help="Severity."),
        ):
            gathered = option(gathered)
        return gathered  # type: ignore[return-value]

    return decorate


def findings(app: App, wanted: Wanted, at: datetime) -> list[FindingRow]:
    """Return the findings that fit, read from the ledger; the worst first."""
    from auditor.cli._answer import finding_state
    from auditor.ledger import Filters

    if not app.ledger_path.exists():
        return []
    state = {"closed": "closed", "all": "all"}.get(wanted.state, "open")
    filters = Filters(
        state=state,
        severity=wanted.severity,
        rule=wanted.rule,
        control=wanted.control,
        zone=wanted.zone,
        owner=wanted.owner,
        account=wanted.account,
        project=wanted.project,
        since=wanted.since,
    )
    with app.ledger() as ledger:
        found = ledger.findings(filters, as_of=at)
    if wanted.state in ("open", "waived"):
        found = [row for row in found if finding_state(row) == wanted.state]
    elif wanted.state in ("fail", "unknown"):
        found = [row for row in found if row.verdict == wanted.state]
    return sorted(found, key=worst_first)


def worst_first(row: FindingRow) -> tuple[int, bool, str, str]:
    """Order findings: severity, failures before unknowns, rule, subject."""
    return SEVERITIES.index(row.severity), row.verdict != "fail", row.code, row.subject_key


def nothing(what: str, wanted: Wanted, hint: str) -> list[str]:
    """Say that nothing fits, and by what was looked for."""
    if wanted.words:
        return [f"No {what} with {', '.join(wanted.words)}.", f"  {hint}" if hint else ""][: 2 if hint else 1]
    return [f"No {what}."]
