"""The weekly report: safe to open, adds up, the same bytes every time, and never greener than the evidence."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
import report_world as world
from chain_world import at
from report_world import FIRST, HOSTILE, SECOND, WEEK, Place

from auditor import report
from auditor.errors import UsageError, VerificationError
from auditor.ledger import Ledger
from auditor.report_controls import controls
from auditor.report_muted import muted
from auditor.report_read import Counts, read

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Two scans of a hostile estate; tests only read it."""
    return world.shared(tmp_path_factory)


@pytest.fixture(scope="module")
def page(place: Place) -> str:
    return place.render()


class Elements(HTMLParser):
    """Every element with its attributes, and the text outside style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        self._inside = tag if tag in ("style", "script") else self._inside

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag == self._inside else self._inside

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def test_hostile_names_are_text_and_never_markup(page: str) -> None:
    elements = Elements(page)
    assert "<script>alert" not in page
    assert [tag for tag, _ in elements.found if tag == "img"] == []
    assert sum(tag == "script" for tag, _ in elements.found) == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    for _, attributes in elements.found:
        assert not [name for name in attributes if name.startswith("on")]
        assert not any("javascript:" in attributes.get(name, "") for name in ("href", "src", "xlink:href"))


def test_control_and_bidi_characters_are_shown_as_escapes(page: str) -> None:
    assert "\\u202e" in page
    assert "\\u0007\\u001b[31m" in page
    assert not set("\u202e\u2066\ufeff\x07\x1b\x00").intersection(page)


def test_nothing_is_fetched_from_anywhere(page: str) -> None:
    for tag, attributes in Elements(page).found:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert attributes.get(name, "#").startswith("#"), (tag, attributes)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_policy_allows_exactly_our_style_and_our_script(page: str) -> None:
    (policy,) = [
        a["content"] for t, a in Elements(page).found if a.get("http-equiv") == "Content-Security-Policy"
    ]
    for tag in ("style", "script"):
        body = page.split(f"<{tag}>")[1].split(f"</{tag}>", maxsplit=1)[0]
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "base-uri 'none'; form-action 'none'" in policy
    assert not [attributes for _, attributes in Elements(page).found if "style" in attributes]


def test_every_template_escapes_what_it_prints() -> None:
    canary = report.environment().from_string("{{ value }}").render(value="<b>&\u202e")
    assert canary == "&lt;b&gt;&amp;\\u202e"


def test_populations_of_every_control_and_rule_add_up(place: Place) -> None:
    past = read(place.ledger, place.config, from_at=FIRST, to_at=SECOND, now=SECOND)
    found = controls(past, world.pack())
    assert past.last is not None
    verdicts = past.last.scan.tally["verdicts"]
    assert found.total.population == sum(verdicts.values()) > 0
    assert (
        found.total.failed + found.total.unknown + found.total.waived
        == verdicts["fail"] + verdicts["unknown"]
    )
    assert sum((rule.counts for rule in found.rules), Counts()) == found.total
    assert sum((counts for _, _, counts in past.last.entities.values()), Counts()) == found.total
    for framework in found.frameworks:
        assert sum(framework.statuses.values()) == len(framework.controls)
        for control in framework.controls:
            assert control.counts == sum((rule.counts for rule in control.rules), Counts())
            c = control.counts
            parts = c.passed + c.failed + c.unknown + c.waived + c.not_applicable + c.not_due
            assert c.population == parts
            assert min(c.passed, c.failed, c.unknown, c.waived, c.not_applicable, c.not_due) >= 0


def test_printed_table_of_rules_adds_up_to_its_foot(page: str) -> None:
    table = page.split('<table id="all-rules"')[1].split("</table>", maxsplit=1)[0]
    rows = [
        [int(cell.replace(",", "")) for cell in re.findall(r'<td class="num[^"]*">([\d,]+)</td>', row)]
        for row in table.split("<tr")
    ]
    *body, foot = [row for row in rows if len(row) == 7]
    assert [sum(column) for column in zip(*body, strict=True)] == foot
    assert all(row[0] == sum(row[1:]) for row in (*body, foot))


def test_control_is_never_good_on_what_fails_or_was_not_seen_or_is_manual(place: Place) -> None:
    past = read(place.ledger, place.config, from_at=FIRST, to_at=SECOND, now=SECOND)
    statuses = set()
    for framework in controls(past, world.pack()).frameworks:
        for control, declared in zip(
            framework.controls,
            next(f for f in world.pack().frameworks if f.name == framework.name).controls,
            strict=True,
        ):
            statuses.add(control.status)
            if control.status in ("evidenced", "partly"):
                assert control.counts.passed
                assert not control.counts.failed + control.counts.unknown + control.counts.waived
                assert not declared.manual
            if not control.rules:
                assert control.status == "manual"
    assert {"failing", "manual", "unknown"} <= statuses


def test_rule_that_did_not_load_leaves_its_controls_unknown(place: Place) -> None:
    from auditor.rulelang.rule import BrokenRule

    past = read(place.ledger, place.config, from_at=FIRST, to_at=SECOND, now=SECOND)
    good = next(
        c for f in controls(past, world.pack()).frameworks for c in f.controls if c.status == "evidenced"
    )
    broken = BrokenRule(
        "rules/x.yaml:3:1: no such column", "x", "XXX-001", "X", controls=(good.name,), path="rules/x.yaml"
    )
    pack = replace(world.pack(), broken_rules=(broken,))
    again = {c.name: c for f in controls(past, pack).frameworks for c in f.controls}
    assert again[good.name].status == "unknown"
    text = Elements(place.render()).words
    assert "did not load; the controls" not in text


def test_verdict_leads_with_the_chain(page: str) -> None:
    words = Elements(page).words
    assert "1 of 2 exports fully proven; 1 broken at Trigger (1); 0 unknown; 0 not due yet." in words
    assert (
        words.index("Not protected as it must be") < words.index("1 of 2 exports") < words.index("Controls, ")
    )


def test_ten_parts_are_there_in_order(page: str) -> None:
    headings = re.findall(r"<h2[^>]*>(\d) ", page)
    assert headings == [str(n) for n in range(1, 10)]
    assert page.count("<h1") == 1


def test_card_of_a_broken_chain_says_seven_links_why_and_what_to_do(page: str) -> None:
    card = page.split('<article class="card"')[1].split("</article>", maxsplit=1)[0]
    assert card.count("<li>") == 7
    words = Elements(card).words
    assert "broken at: Trigger" in words
    assert "CHN-010:" in words
    assert "due –" not in words


def test_drift_says_before_after_who_or_why_nobody_is_known(page: str) -> None:
    drift = Elements(page.split('<section id="drift"')[1].split("</section>", maxsplit=1)[0]).words
    assert "2 changes of watched settings: 1 weaker, 0 stronger. Of 1 the author is not known." in drift
    assert "before 30 after none" in drift
    assert "before without: a after with: b" in drift
    assert "not known CloudTrail was not read" in drift


def test_gap_is_named_with_its_reason_and_dead_letters_are_listed(page: str) -> None:
    part = Elements(page.split('<section id="coverage"')[1].split("</section>", maxsplit=1)[0]).words
    assert "Could not read all of: backup_restore_job in 111111111111/*" in part
    assert "access denied" in part
    assert "Dead letters." in part
    assert "1 of 1 planned scan ran; 0 missed, 0 interrupted" in part


def test_what_was_kept_quiet_is_told_with_who_why_and_until_when(
    place: Place, page: str, tmp_path: Path
) -> None:
    def part(page: str) -> str:
        return Elements(page.split("<h3>Kept quiet</h3>")[1].split("</section>", maxsplit=1)[0]).words

    assert part(page) == "Nobody silenced or acknowledged anything in this period."
    place.ledger.backup(tmp_path / "ledger.sqlite3")
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        early, end, late = SECOND + timedelta(hours=3), SECOND + timedelta(days=1), SECOND + timedelta(days=3)
        one = ledger.silence(rule="BKT-*", reason=HOSTILE, by="ann", until=late, now=early)
        ledger.silence(zone="phi", reason="moving", by="bob", until=late, now=early + timedelta(hours=1))
        (alert, *_) = [each.alert for each in ledger.outbox()]
        more = {
            "keys": ("k1", "k2"),
            "held": one.silence_id,
            "body": {"data": {"held": {"by": one.silence_id}}},
        }
        ledger.post([replace(alert, alert_id="msg_held", **more)], early + timedelta(minutes=9))
        ledger.acknowledge(
            "x",
            [("k1", "b1"), ("k2", "b2")],
            reason="on it",
            by="cy",
            now=early + timedelta(hours=2),
            told=lambda *_: None,
        )
        before = replace(place, ledger=ledger).render(end)
        ledger.end_silence(one.silence_id, by="dan", reason="done", now=end + timedelta(hours=1))
        assert (
            replace(place, ledger=ledger).render(end) == before
        )  # what came after the period changes nothing of it
        told = part(before)
        past = read(ledger, place.config, from_at=FIRST + WEEK, to_at=late, now=late)
    assert "rule BKT-* silenced ann" in told
    assert "zone phi silenced bob moving" in told
    assert "b1 and 1 more matter acknowledged cy on it" in told
    assert "<script" not in before.split("<h3>Kept quiet</h3>")[1].split("</section>", maxsplit=1)[0]
    rows = muted(past)
    assert [(row.by, row.kept) for row in rows] == [("ann", 1), ("bob", 0), ("cy", None)]
    assert rows[0].until.endswith("ended by dan: done")


def test_same_state_and_period_give_the_same_bytes(place: Place, page: str) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; import report_world as w\n"
        "from auditor.config import Config; from auditor.config_sections import State; from auditor.ledger import Ledger\n"
        "folder = Path(sys.argv[2]); ledger = Ledger.open(folder / 'ledger.sqlite3')\n"
        "place = w.Place(folder, ledger, Config(organisation=w.HOSTILE, state=State(dir=str(folder / 'state'))))\n"
        "sys.stdout.buffer.write(place.render().encode())"
    )
    environment = os.environ | {
        "TZ": "Asia/Kathmandu",
        "PYTHONHASHSEED": "77",
        "PYTHONPATH": str(HERE.parent),
        "LC_ALL": "C",
    }
    told = subprocess.run(
        [sys.executable, "-c", code, str(HERE), str(place.dir)],
        env=environment,
        capture_output=True,
        check=True,
    )
    assert told.stdout.decode() == page == place.render()


def test_report_of_a_past_period_keeps_its_numbers(place: Place, tmp_path: Path) -> None:
    moved = tmp_path / "first"
    first = world.empty(moved)
    first.scan(world.hostile(), FIRST)
    then = Elements(first.render(FIRST)).words
    now = Elements(place.render(FIRST, now=SECOND)).words
    for part in ("exports fully proven", "Open findings, rule by rule", "All outcomes of the scan"):
        sentence = re.search(rf".{{40}}{part}.{{60}}", then)
        assert sentence and sentence[0] in now
    first.ledger.close()


def test_waived_finding_counts_as_waived_and_not_as_fail(place: Place, tmp_path: Path) -> None:
    copy = _copy(place, tmp_path)
    failing = [row for row in copy.ledger.findings() if row.verdict == "fail"]
    copy.ledger.waive(
        finding_id=failing[0].finding_id, reason=HOSTILE, requester="ana@example.org", approver="ben@example.org",
        expires_at=SECOND + timedelta(days=3), now=SECOND,
    )  # fmt: skip
    asked = {"from_at": FIRST, "to_at": SECOND + timedelta(days=1), "now": SECOND + timedelta(days=1)}
    before = controls(
        read(place.ledger, place.config, from_at=FIRST, to_at=SECOND, now=SECOND), world.pack()
    ).total
    after = controls(read(copy.ledger, copy.config, **asked), world.pack()).total
    assert (after.waived, after.failed, after.population) == (1, before.failed - 1, before.population)
    words = Elements(copy.render(**asked)).words
    assert "1 waiver in force" in words
    assert "in 2 d (2026-01-22 06:00): Waiver" in words
    expired = controls(
        read(copy.ledger, copy.config, from_at=SECOND, to_at=SECOND + WEEK, now=SECOND + WEEK), world.pack()
    ).total
    assert (expired.waived, expired.failed) == (0, before.failed)
    copy.ledger.close()


def test_changed_outcomes_are_refused_by_name(place: Place, tmp_path: Path) -> None:
    copy = _copy(place, tmp_path)
    folders = sorted((copy.dir / "state" / "judged").iterdir())
    last = copy.ledger.latest_scan()
    assert last is not None
    mine = next(f for f in folders if f.name.startswith(last.snapshot_id))
    other = next(f for f in folders if f != mine)
    shutil.copyfile(other / "outcome.parquet", mine / "outcome.parquet")
    with pytest.raises(VerificationError, match=r"outcome\.parquet is not what the ledger's scan"):
        copy.render()
    copy.ledger.close()


def test_evidence_that_is_gone_is_said_to_be_gone(place: Place, tmp_path: Path) -> None:
    copy = _copy(place, tmp_path)
    shutil.rmtree(copy.dir / "state")
    (place.dir / "state").rename(place.dir / "away")
    try:
        words = Elements(copy.render()).words
    finally:
        (place.dir / "away").rename(place.dir / "state")
    assert "What the last scan judged is not here any more, so nothing can be shown to be proven." in words
    assert "No verdict for this period" in words
    copy.ledger.close()


def test_period_without_a_scan_gives_no_verdict(place: Place) -> None:
    words = Elements(place.render(SECOND + 2 * WEEK)).words
    assert "No verdict for this period" in words
    assert "No scan finished in this period. As of 2026-01-19 06:00 UTC: 1 of 2 exports fully proven" in words
    assert "1 that the schedule asks for left no trace" in words


def test_ledger_without_a_scan_still_gives_a_report(tmp_path: Path) -> None:
    place = world.empty(tmp_path / "new")
    words = Elements(place.render()).words
    assert "No scan has finished yet, so nothing is proven." in words
    assert "No exception was ever granted: nothing that fails is hidden." in words
    assert "No finding is open." in words
    place.ledger.close()


def test_estate_without_exports_or_findings_still_gives_a_report(tmp_path: Path) -> None:
    place = world.empty(tmp_path / "bare")
    tables = world.hostile()
    kept = ("as_of", "config_zone", "config_place")
    place.scan({name: rows for name, rows in tables.items() if name in kept}, FIRST)
    words = Elements(place.render(FIRST)).words
    assert "No export was found, so nothing is proven of any." in words
    assert "Not everything could be proven" in words
    place.ledger.close()


def test_report_is_written_whole_and_replaces_the_old_one(place: Place, tmp_path: Path) -> None:
    into = tmp_path / "reports"
    asked = {"from_at": FIRST, "to_at": SECOND, "now": SECOND, "into": into}
    path = report.write(place.ledger, place.config, world.pack(), **asked)
    path.write_text("old")
    assert (
        report.write(place.ledger, place.config, world.pack(), **asked)
        == path
        == into / "weekly-2026-01-19.html"
    )
    assert [each.name for each in into.iterdir()] == ["weekly-2026-01-19.html"]
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert path.stat().st_size < 2_000_000


@pytest.mark.parametrize(
    ("from_at", "to_at", "wrong"), [(at(5), at(5), "ends at"), (at(25), at(26), "has not come yet")]
)
def test_period_that_is_empty_or_has_not_begun_is_refused(place: Place, from_at, to_at, wrong: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match=wrong):
        place.render(from_at=from_at, to_at=to_at, now=SECOND)


def _copy(place: Place, tmp_path: Path) -> Place:
    """The same state in another folder: what it says of itself still holds there."""
    from auditor.config_sections import State
    from auditor.ledger import Ledger

    folder = tmp_path / "copy"
    shutil.copytree(place.dir / "state", folder / "state")
    place.ledger.backup(folder / "ledger.sqlite3")
    config = replace(place.config, state=State(dir=str(folder / "state")))
    return Place(folder, Ledger.open(folder / "ledger.sqlite3"), config)
