"""Drift made into messages: grouped by cause, one a channel, small enough to read. Pure.

Unknown never closes and never re-opens: a failure that could not be seen for a while and fails again
says nothing new, and only those who were told of a failure are told of its end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime
from typing import Any

from auditor.alerts.fresh import FIRST, NOTHING, Fresh, title
from auditor.alerts.inhibit import blinded, orphaned, with_settings_of_the_gone
from auditor.alerts.items import ENDS, Item, drifted, hidden, rank, sight
from auditor.alerts.message import Affected, message
from auditor.alerts.restrain import Held, restrained
from auditor.alerts.routes import Route
from auditor.ledger import Alert, RuleNote
from auditor.ledger.matters import Restraints
from auditor.model import Drift, Gap, Outcome, Seen
from auditor.spool import uncollected

_ONE = ("regressed", "opened", "worsened", "changed")
"""What one hand did goes into one message, under the first of these that is in it."""
SUMMARY = "summary"
"""In the place of openings of which nothing happened but that somebody began to look."""


@uncollected()
def compose(
    drift: Collection[Drift],
    outcomes: Iterable[Outcome] = (),
    exports: Iterable[Mapping[str, Any]] = (),
    routes: Sequence[Route] = (),
    *,
    now: datetime,
    rules: Mapping[str, RuleNote] | None = None,
    coverage: Sequence[Seen | Gap] = (),
    alerting: AbstractSet[tuple[str, str]] = frozenset(),
    previous_at: datetime | None = None,
    restraints: Restraints | None = None,
    parents: Mapping[str, str] | None = None,
    fresh: Fresh = NOTHING,
) -> list[Alert]:
    """Return the messages each route is due, in a fixed order; those that something keeps from being sent say what.

    `exports` are rows of the table `export`; `alerting` is `Before.alerting`: what each channel was
    told of and not yet told the end of; `previous_at` is when the scan before this one looked; `parents` names
    the vault of a recovery point, where its own key does not; what is `fresh` goes into one summary a route.
    """
    if not routes:
        return []
    restraints = restraints or Restraints()
    wanted = _Wanted(routes, alerting, restraints)

    def homes() -> dict[str, str]:
        return {str(row.get("export_id")): str(row.get("bucket_arn")) for row in exports}

    moved = drifted(drift, outcomes, rules or {}, wanted.by_any, previous_at, homes, fresh)
    sights = (replace(item, fresh=FIRST) if fresh.first else item for item in sight(coverage))
    found = (*with_settings_of_the_gone(moved, drift, restraints), *sights)
    items = [item for item in found if wanted.by_any_of(item)]
    blind = [item for item in items if item.event == "scanner_blind"]
    lost = hidden(drift, outcomes) if blind else []
    reached = Affected(exports, {item.resource for item in items})
    alerts: list[Alert] = []
    for route in routes:
        groups: dict[tuple[Any, ...], list[Item]] = {}
        mine = [item for item in items if wanted.of(route, item)]
        mine, hides = blinded(mine, lost)
        mine, under = orphaned(mine, drift, parents or {})
        for item in mine:
            for told, held in restrained(route.channel, item, restraints, now):
                groups.setdefault(_together(told, held), []).append(told)
        for (event, *_, held), group in sorted(groups.items(), key=lambda each: _order(each[0])):
            alerts.append(
                message(
                    route.channel,
                    event if event == SUMMARY else _event(group),
                    group,
                    now,
                    title=_summed_up(group) if event == SUMMARY else "",
                    exports=reached,
                    held=held.said() if held else None,
                    also_closes={key for item in group for key in under.closing(item)},
                    more={**hides.said(group), **under.said(group)},
                )
            )
    return alerts


def _together(item: Item, held: Held | None) -> tuple[Any, ...]:
    """Return what a message holds one of: a cause, and an event where it is not one that a hand did."""
    if item.fresh and item.event not in {*ENDS, "flapping"}:
        return SUMMARY, (item.fresh,), held
    one = item.event in _ONE and item.group[0] == "by"
    return ("" if one else item.event, item.group, held)


def _summed_up(group: Sequence[Item]) -> str:
    told = [(str(item.said.get("rule") or ""), str(item.said.get("resource_type"))) for item in group]
    return title(group[0].fresh, told)


def _order(name: tuple[Any, ...]) -> tuple[Any, ...]:
    event, group, held = name
    return event, group, held.by if held else ""


def _event(group: Sequence[Item]) -> str:
    events = {item.event for item in group}
    return next((each for each in _ONE if each in events), group[0].event)


class _Wanted:
    """What the routes want to hear, asked before a message is made of it: most of what moves nobody asked for."""

    def __init__(
        self, routes: Sequence[Route], alerting: AbstractSet[tuple[str, str]], restraints: Restraints
    ) -> None:
        self._routes = routes
        self._alerting = alerting
        self._flapping = restraints.flapping

    def by_any(self, event: str, key: str, severity: str) -> bool:
        return any(self.by(route, event, key, severity) for route in self._routes)

    def by_any_of(self, item: Item) -> bool:
        return any(self.of(route, item) for route in self._routes)

    def of(self, route: Route, item: Item) -> bool:
        if not self.by(route, item.event, item.key, item.severity):
            return False
        said = item.said
        concerned = route.concerns(said.get("zone"), tuple(said.get("controls") or ()), said.get("owner"))
        return concerned or item.event in ENDS

    def by(self, route: Route, event: str, key: str, severity: str) -> bool:
        told = (route.channel, key) in self._alerting
        if event in ENDS:
            return told  # whoever heard of it hears of its end, whatever else they want
        if told and event in {"opened", "scanner_blind"} and (route.channel, key) not in self._flapping:
            return False
        return event in route.events and rank(severity) <= rank(route.severity)
