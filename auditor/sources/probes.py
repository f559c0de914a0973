"""Each action of a scan tried once, with the smallest call: what is allowed, what is refused, what could not be told.

A probe that needs something to ask about takes the first thing that another probe listed. Where there is nothing, a scan
would not ask either, so the action is neither allowed nor missed there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from auditor.canonical import safe_text
from auditor.model import Place
from auditor.sources._reasons import reason_of
from auditor.sources.clients import Clients

ALLOWED, NOTHING, UNREAD = "allowed", "nothing", "unread"
OFF, API_OFF = "region_off", "api_off"
IDENTITY = "sts:GetCallerIdentity"
_NO_CREDENTIALS = frozenset({"denied", "expired"})
_OFF_CODES = frozenset(
    {"UnrecognizedClientException", "InvalidClientTokenId", "InvalidToken", "AuthFailure", "OptInRequired"}
)
"""What services of a region answer that the account has not enabled, to credentials that are good elsewhere."""
_API_OFF = re.compile(r"SERVICE_DISABLED|has not been used in project|API .{0,80} is disabled", re.DOTALL)
_POLICY = r"((?:[a-z-]+ ){0,3}(?:policy|boundary))"
_BY_DENY = re.compile(rf"explicit deny in (?:an? |the )?{_POLICY}", re.IGNORECASE)
_NO_ALLOW = re.compile(rf"because no {_POLICY} allows", re.IGNORECASE)
"""The two forms of what AWS says of a refusal (IAM User Guide, "Troubleshoot access denied error messages")."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One action in one place."""

    cloud: str
    account: str
    """Account, or project."""
    region: str
    """`*` where the action has no region."""
    action: str
    reason: str
    """allowed; nothing: nothing is there to try it on; unread: what it needs was not answered; or the reason of a gap,
    region_off or api_off."""
    detail: str = ""
    refused_by: str = ""
    """The kind of policy that denies it or does not allow it, where the answer says so: `service control policy`."""
    by_deny: bool = False
    """It denies: no Allow anywhere helps."""


@dataclass(slots=True)
class Spot:
    """One place, and what was found there so far."""

    clients: Clients
    config: Any
    cloud: str
    account: str
    region: str
    now: datetime
    found: dict[str, Any] = field(default_factory=dict)
    over: Spot | None = None
    """The account or project that a region is of."""

    def get(self, name: str) -> Any:
        """Return what was found here or above; None when nothing was."""
        value = self.found.get(name)
        return self.over.get(name) if value is None and self.over is not None else value


@dataclass(frozen=True, slots=True)
class Probe:
    """The smallest call of one action."""

    action: str
    of: tuple[str, ...]
    """Sources that need it."""
    call: Callable[[Spot], Mapping[str, Any] | None]
    """Makes the call; returns what others may ask about, None when there is nothing to ask it of."""
    after: tuple[str, ...] = ()
    """Actions whose answers it needs."""
    regional: bool = False


def tried(
    clients: Clients,
    config: Any,
    places: Sequence[Place],
    probes: Mapping[str, Sequence[Probe]],
    *,
    now: datetime,
    budget_s: float,
    beside: Mapping[Place, frozenset[str]] | None = None,
    workers: int = 16,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Tried]:
    """Try every probe of `probes` (cloud to probes) in every place, side by side, within a time; sorted.

    `beside` are places that some sources alone are asked in, wherever the others are.
    """
    beside = beside or {}
    deadline = time.monotonic() + budget_s
    spots = _spots(clients, config, [*places, *beside], now)
    todo = [(spot, probe) for spot in spots for probe in _fitting(spot, probes, beside)]
    done: dict[tuple[int, str], list[Tried]] = {}
    out: list[Tried] = []
    pool = ThreadPoolExecutor(workers, thread_name_prefix="probe")
    try:
        for generation in _generations(todo):
            running: dict[Future[list[Tried]], tuple[Spot, Probe]] = {}
            for spot, probe in generation:
                why = _why_not(spot, probe, done)
                if why is not None:
                    _note(done, out, spot, probe, [why])
                else:
                    running[pool.submit(_try, spot, probe)] = (spot, probe)
            left = set(running)
            while left and (rest := deadline - time.monotonic()) > 0:
                ended, left = wait(left, timeout=min(rest, 0.2))
                for each in ended:
                    _note(done, out, *running[each], each.result())
                progress(len(out), len(todo))
            for each in left:
                late = "it was not answered in time"
                _note(done, out, *running[each], [_told(*running[each], "hung", late)])
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    progress(len(todo), len(todo))
    return sorted(set(out), key=lambda one: (one.cloud, one.account, one.region, one.action, one.reason))


def _spots(clients: Clients, config: Any, places: Sequence[Place], now: datetime) -> Iterator[Spot]:
    whole: dict[tuple[str, str], Spot] = {}
    for place in places:
        key = place.cloud, place.account
        if key not in whole:
            whole[key] = Spot(clients, config, *key, "*", now)
            yield whole[key]
        yield Spot(clients, config, *key, place.region, now, over=whole[key])


def _fitting(
    spot: Spot, probes: Mapping[str, Sequence[Probe]], beside: Mapping[Place, frozenset[str]]
) -> Iterator[Probe]:
    only = beside.get(Place(spot.cloud, spot.account, spot.region))
    for each in probes.get(spot.cloud, ()):
        if each.regional == (spot.region != "*") and (only is None or not only.isdisjoint(each.of)):
            yield each


def _generations(todo: Sequence[tuple[Spot, Probe]]) -> Iterator[list[tuple[Spot, Probe]]]:
    """Yield the probes so that each comes after those it needs; who we are before all else."""
    wants = {probe.action: set[str]() for _, probe in todo}
    for _, probe in todo:
        first = set() if probe.action == IDENTITY else {IDENTITY}
        wants[probe.action] |= {
            each for each in (*probe.after, *first) if each in wants and each != probe.action
        }
    left = list(todo)
    while left:
        waiting = {probe.action for _, probe in left}
        ready = [each for each in left if wants[each[1].action].isdisjoint(waiting)] or left
        yield ready
        left = [each for each in left if not any(each is one for one in ready)]


def _why_not(spot: Spot, probe: Probe, done: Mapping[tuple[int, str], list[Tried]]) -> Tried | None:
    """Return what stands in the place of a call that is not made."""
    who = next(iter(done.get((id(spot.over or spot), IDENTITY), ())), None)
    if who is not None and who.reason in _NO_CREDENTIALS and probe.action != IDENTITY:
        return _told(spot, probe, UNREAD, "the account let us in nowhere")
    for action in probe.after:
        for each in done.get((id(spot), action), ()) or done.get((id(spot.over), action), ()):
            if each.reason == OFF:
                return _told(spot, probe, OFF, each.detail)
            if each.reason not in (ALLOWED, NOTHING):
                return _told(spot, probe, UNREAD, f"it needs an answer to {action} first")
    return None


def _note(
    done: dict[tuple[int, str], list[Tried]], out: list[Tried], spot: Spot, probe: Probe, found: list[Tried]
) -> None:
    done.setdefault((id(spot), probe.action), []).extend(found)
    out.extend(found)


def _told(spot: Spot, probe: Probe, reason: str, detail: str = "") -> Tried:
    return Tried(spot.cloud, spot.account, spot.region, probe.action, reason, detail)


def _try(spot: Spot, probe: Probe) -> list[Tried]:
    try:
        found = probe.call(spot)
    # Whatever one call does, every other one is still tried; what it was is told.
    except Exception as error:  # noqa: BLE001
        return [_failed(spot, probe, error)]
    if found is None:
        return [_told(spot, probe, NOTHING, "nothing is there to try it on")]
    spot.found.update(found)
    return [_told(spot, probe, ALLOWED, str(found.get("caller", "")))]


def _failed(spot: Spot, probe: Probe, error: Exception) -> Tried:
    reason, detail = reason_of(error, action=probe.action) or ("failed", f"{type(error).__name__}: {error}")
    response = getattr(error, "response", None)
    said = response.get("Error", {}) if isinstance(response, dict) else {}
    message = str(said.get("Message", "")) if said else str(error)
    if spot.region != "*" and str(said.get("Code", "")) in _OFF_CODES:
        return _told(spot, probe, OFF, str(said["Code"]))
    if reason == "denied" and spot.cloud == "gcp" and _API_OFF.search(message):
        return _told(spot, probe, API_OFF, safe_text(detail))
    told = _told(spot, probe, reason, safe_text(detail))
    if reason == "denied" and (by := _BY_DENY.search(message) or _NO_ALLOW.search(message)):
        return replace(told, refused_by=by[1].lower(), by_deny=by.re is _BY_DENY)
    return told
