"""The weekly report: one self-contained HTML file, made from the ledger and the evidence of its scans alone.

No clock, no network, nothing random: the same state and period give the same bytes on any machine. The templates are
in `reports/weekly/`, the styles and the shared macros in `reports/_theme/`.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor import __version__
from auditor.builtin import builtin
from auditor.model import LINKS, State
from auditor.report_changes import Changes, changes
from auditor.report_controls import STATUS_MEANINGS, STATUSES, Controls, controls
from auditor.report_exports import Exports, exports, state_word, verdict
from auditor.report_health import Health, health
from auditor.report_method import Method, method
from auditor.report_people import PRINTED, People, people
from auditor.report_posture import Posture, posture
from auditor.report_read import Past, read
from auditor.report_summary import Summary, summary
from auditor.report_words import (
    LINK_CLAIMS,
    LINK_WORDS,
    STATE_MEANINGS,
    STATE_WORDS,
    STRENGTH_MEANINGS,
    counted,
    cut,
    day,
    lower_first,
    number,
    short,
    shown,
    span,
    when,
)

if TYPE_CHECKING:
    from jinja2 import Environment

    from auditor.config import Config
    from auditor.ledger import Ledger
    from auditor.rulepack import Pack

_PARTS = (
    ("summary", "Summary"),
    ("posture", "Posture over time"),
    ("controls", "Control by control"),
    ("exports", "Exports and chains"),
    ("drift", "Drift"),
    ("exceptions", "Exceptions and expiries"),
    ("coverage", "What we could not see"),
    ("method", "Method and accuracy"),
    ("appendix", "Appendix and sign-off"),
)
"""Anchor and title of the parts after the cover, numbered from 1."""


@dataclass(frozen=True, slots=True)
class Cover:
    """Part zero."""

    organisation: str
    title: str
    period: str
    report_id: str
    rules: str
    snapshot: str
    head: str
    seq: int
    product: str
    as_of: str
    scan: str


@dataclass(frozen=True, slots=True)
class Report:
    """All ten parts as values: what the templates print, and what the report's id is the digest of."""

    cover: Cover
    sentence: str
    """The verdict, the chain first."""
    summary: Summary
    posture: Posture
    controls: Controls
    exports: Exports
    changes: Changes
    people: People
    health: Health
    method: Method
    notes: tuple[str, ...]
    """What a reader must know before all else."""


def write(
    ledger: Ledger,
    config: Config,
    pack: Pack,
    *,
    from_at: datetime,
    to_at: datetime,
    now: datetime,
    into: Path,
) -> Path:
    """Write the report of a period to `<into>/weekly-<last day>.html`, whole or not at all; return its path."""
    text = render(ledger, config, pack, from_at=from_at, to_at=to_at, now=now)
    into.mkdir(parents=True, exist_ok=True)
    target = into / f"weekly-{day(to_at)}.html"
    handle, name = tempfile.mkstemp(dir=into, prefix=".weekly-", suffix=".part")
    partial_file = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial_file.chmod(0o644)
        partial_file.replace(target)
    finally:
        partial_file.unlink(missing_ok=True)
    folder = os.open(into, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return target


def render(
    ledger: Ledger, config: Config, pack: Pack, *, from_at: datetime, to_at: datetime, now: datetime
) -> str:
    """Return the report of a period as HTML.

    `now` only bounds what has happened by then. Raises UsageError for a period that has not begun, VerificationError
    when stored evidence is not what the ledger says it is.
    """
    past = read(ledger, config, from_at=from_at, to_at=to_at, now=now)
    report = gather(past, config, pack)
    return _page(report)


def gather(past: Past, config: Config, pack: Pack) -> Report:
    """Return the ten parts of a report as values."""
    from auditor.ledger.values import digest

    found = exports(past, pack)
    seen = controls(past, pack)
    moved = changes(past, pack, found)
    condition = health(past)
    report = Report(
        cover=_cover(past, config),
        sentence=_sentence(past, found),
        summary=summary(past, found, seen, moved, condition, pack),
        posture=posture(past),
        controls=seen,
        exports=found,
        changes=moved,
        people=people(past),
        health=condition,
        method=method(past, seen, config),
        notes=tuple(_notes(past, seen, pack, config)),
    )
    made_of = digest([asdict(report), _digest_of_theme()])
    return replace(report, cover=replace(report.cover, report_id=made_of))


def _cover(past: Past, config: Config) -> Cover:
    scan = past.last.scan if past.last else None
    return Cover(
        organisation=config.organisation or "An organisation without a name",
        title=config.report.title,
        period=f"{when(past.from_at)} to {when(past.to_at)} UTC",
        report_id="",
        rules=scan.rule_digest if scan else "",
        snapshot=scan.snapshot_id if scan else "",
        head=past.head[1][:16],
        seq=past.head[0],
        product=__version__,
        as_of=when(scan.at) if scan else "",
        scan=scan.scan if scan else "",
    )


def _sentence(past: Past, found: Exports) -> str:
    if past.last is None:
        return "No scan has finished yet, so nothing is proven."
    if past.last.judgement is None:
        return "What the last scan judged is not here any more, so nothing can be shown to be proven."
    if past.stale:
        return f"No scan finished in this period. As of {when(past.last.scan.at)} UTC: {verdict(found)}"
    return verdict(found)


def _notes(past: Past, seen: Controls, pack: Pack, config: Config) -> Iterable[str]:
    """Yield what a reader must know before all else, the gravest first."""
    if past.intact:
        yield f"The ledger's hash chain does not verify: {past.intact}. Nothing below can be relied upon."
    if past.last is None:
        yield "No scan has finished by the end of this period."
        return
    if past.stale:
        yield f"No scan finished in this period; everything below is as of {when(past.last.scan.at)} UTC."
    if past.last.snapshot is None:
        yield "The snapshot of the last scan is not here any more: parts 4, 7 and 8 show only what the ledger keeps."
    if pack.broken_rules:
        yield f"{counted(len(pack.broken_rules), 'rule')} did not load; the controls they support are unknown."
    if not seen.same_rules:
        yield "The rules at hand are not those of the last scan: titles and the map to controls are of the rules at hand."
    if past.last.scan.config_digest != config.digest:
        yield "The configuration at hand is not the one of the last scan; limits shown are those of the scan."
    if past.to_at > past.as_of:
        yield f"The period has not ended: this is how it stood on {when(past.as_of)} UTC."


def _sources() -> list[tuple[str, Path]]:
    """Return every file a report is printed with, by its name."""
    root = builtin("reports")
    return [
        (f"{part}/{path.name}", path)
        for part in ("_theme", "weekly")
        for path in sorted((root / part).iterdir())
    ]


def _digest_of_theme() -> str:
    sha = hashlib.sha256()
    for name, path in _sources():
        sha.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return sha.hexdigest()


def _page(report: Report) -> str:
    from markupsafe import Markup

    theme = builtin("reports") / "_theme"
    style = (theme / "theme.css").read_text(encoding="utf-8")
    script = (theme / "filter.js").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        environment()
        .get_template("weekly/report.html.j2")
        .render(
            report=report,
            parts=_PARTS,
            policy=policy,
            # Both are files of ours; their hashes in the policy are over exactly these bytes.
            style=Markup(style),  # noqa: S704
            script=Markup(script),  # noqa: S704
        )
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def environment() -> Environment:
    """Return the environment every report is printed in: everything is escaped, whatever the template is called."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(
        loader=FileSystemLoader(builtin("reports"), encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_safe,
    )
    found.filters |= {"short": short, "number": number, "when": when, "span": span, "state": state_word,
                      "cut": cut, "lower_first": lower_first}  # fmt: skip
    found.globals |= {
        "counted": counted,
        "people_printed": PRINTED,
        "LINKS": LINKS,
        "LINK_WORDS": LINK_WORDS,
        "LINK_CLAIMS": LINK_CLAIMS,
        "STATE_WORDS": {str(state): words for state, words in STATE_WORDS.items()},
        "STATE_MEANINGS": {str(state): STATE_MEANINGS[state] for state in State},
        "STRENGTHS": STRENGTH_MEANINGS,
        "STATUSES": STATUSES,
        "STATUS_MEANINGS": STATUS_MEANINGS,
    }
    return found


def _safe(value: Any) -> Any:
    """Make every printed text safe to show; what a macro printed is safe already."""
    return shown(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
