"""`scan --only`: one subject checked again, and what became of it in ten seconds of reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from auditor.cli._app import App
from auditor.errors import FAILING, INCOMPLETE
from auditor.model import SEVERITIES

if TYPE_CHECKING:
    from auditor.recheck import Rechecked, Told


def again(this: App, word: str, now: datetime, fail_on: str | None, *, join: bool, no_send: bool) -> int:
    """Check a subject again and tell; return the exit code: that of a scan, by this subject alone."""
    from auditor.alerts import Delivery
    from auditor.cli._channels import check_controls, told
    from auditor.cli._join import wait
    from auditor.cli._scanning import progressing
    from auditor.ledger import Filters, local_owner
    from auditor.recheck import recheck, subject

    config = this.config()
    pack = this.pack(prove=True)
    config.tables((*pack.rules, *pack.broken_rules))
    check_controls(config, pack)
    with this.ledger() as ledger:
        key = subject(ledger, this.state(), word)
    if join:
        wait(this)
        now = max(now, this.now())
    with this.ledger() as ledger:
        with progressing(this) as progress:
            done = recheck(config, ledger, pack, key, now=now, owner=local_owner(), progress=progress)
        sent = Delivery() if no_send else told(config, ledger, this.now)
        counted = SEVERITIES[: SEVERITIES.index(fail_on) + 1] if fail_on else ()
        open_ = ledger.findings(Filters(verdict="fail", waived=False, subject_key=key), as_of=done.row.at)
    failing = sum(row.severity in counted for row in open_)
    row = _row(done, fail_on, failing) | {
        "sent": {"delivered": sent.delivered, "retried": sent.retried, "dead": sent.dead}
    }
    if this.json:
        from auditor.cli._answer import envelope

        gaps = [
            {"table": gap.table, "account": gap.account, "region": gap.region, "resource": gap.resource,
             "reason": gap.reason, "detail": gap.detail} for gap in done.gaps
        ]  # fmt: skip
        envelope(
            "recheck", [row], scan=done.row.scan, as_of=done.row.at, complete=done.row.complete, gaps=gaps
        )
    else:
        from auditor.cli._text import write

        write(list(_lines(done, fail_on, failing)))
    return FAILING if failing else 0 if done.row.complete else INCOMPLETE


def _row(done: Rechecked, fail_on: str | None, failing: int) -> dict[str, Any]:
    return {
        "subject_key": done.subject_key,
        "compared_with": done.compared_with.scan,
        "rules": [
            {
                "rule": one.rule, "code": one.code, "subject_table": one.subject_table, "severity": one.severity,
                "before": one.before or None, "after": one.after, "moved": one.moved or None, "because": one.because,
                "finding_id": one.finding_id or None,
            }
            for one in done.told
        ],
        "drift": dict(sorted(Counter(one.kind for one in done.drift).items())),
        "broken_rules": list(done.broken_rules),
        "fail_on": fail_on,
        "failing": failing if fail_on else None,
        "snapshot": done.row.snapshot_id,
    }  # fmt: skip


def _lines(done: Rechecked, fail_on: str | None, failing: int) -> Iterator[str]:
    from auditor.cli._scanning import unseen
    from auditor.cli._text import bold, columns, cut, marked, paint, plural, safe, when

    yield f"{bold('Re-checked')}  {safe(done.subject_key)}"
    yield f"            at {when(done.row.at)}, against scan {done.compared_with.scan} of {when(done.compared_with.at)}"
    yield ""
    shown = [one for one in done.told if one.moved or one.after in ("fail", "unknown", "absent")]
    for one in sorted(shown, key=_first):
        before = marked(one.before) if one.before else "–"
        word = one.moved or "as it was"
        yield f"  {word:<10} {one.code or one.rule}  {before} → {marked(one.after)}  {safe(one.rule)}"
        if one.because:
            yield cut(f"             {safe(one.because)}", columns())
    counts = Counter(one.after for one in done.told if one not in shown)
    if counts:
        rest = ", ".join(f"{count} {verdict.replace('_', ' ')}" for verdict, count in sorted(counts.items()))
        yield f"  as before: {rest}"
    if not done.told:
        yield "  no rule says anything of it"
    if fail_on:
        said = f"{plural(failing, 'finding')} of it at or above {fail_on} failing"
        yield paint(said, "fail" if failing else "pass")
    yield from unseen(done.gaps)
    if done.broken_rules:
        yield ""
        yield bold(f"{plural(len(done.broken_rules), 'rule')} did not load; what they say of it is not known")
    yield ""
    yield "No other subject was judged, and no scan was counted: the next one looks at all."


def _first(one: Told) -> tuple[int, int, str]:
    level = SEVERITIES.index(one.severity) if one.severity in SEVERITIES else len(SEVERITIES)
    return 0 if one.moved else 1, level, one.code
