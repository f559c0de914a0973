"""The weekly report in a browser: no request, no error, no script needed, accessible, narrow and on paper."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import report_world as world

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

_BROWSERS = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
_QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


_TWO_OF_EACH = """() => {
  const told = ["class", "style", "scope", "role"];
  const shape = (each) => [
    each.tagName, ...[...each.attributes].map((one) => told.includes(one.name) ? `${one.name}=${one.value}` : one.name),
    each.textContent.trim() === "", ...[...each.children].map(shape),
  ].join(" ");
  const place = (each) => each ? `${each.tagName}.${each.className} ${place(each.parentElement)}` : "";
  const seen = new Map();
  for (const each of document.querySelectorAll("tr, li, details")) {
    const key = `${place(each.parentElement)} ${shape(each)}`;
    seen.set(key, (seen.get(key) || 0) + 1);
    if (seen.get(key) > 2) each.remove();
  }
  return seen.size;
}"""
"""Leaves two of all rows that have the same elements with the same classes in the same place: a hundred say no more."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = next((each for each in _BROWSERS if Path(each).exists()), None)
    if path is None:
        pytest.skip("no browser is installed; apt-get install chromium")
    with playwright.sync_playwright() as tools:
        started = tools.chromium.launch(executable_path=path, args=_QUIET)
        yield started
        started.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("browser") / "report.html"
    path.write_text(world.shared(tmp_path_factory).render(), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    context = browser.new_context(**getattr(request, "param", {}))
    yield context.new_page()
    context.close()


def test_report_makes_no_request_and_no_error_and_runs_no_strange_script(page: Any, url: str) -> None:
    requests: list[str] = []
    errors: list[str] = []
    dialogs: list[Any] = []
    page.on("request", lambda each: requests.append(each.url))
    page.on("console", lambda each: errors.append(each.text))
    page.on("pageerror", lambda each: errors.append(str(each)))
    page.on("dialog", lambda each: (dialogs.append(each), each.dismiss()))
    page.goto(url)
    assert (requests, errors, dialogs) == ([url], [], [])
    assert page.evaluate("document.querySelectorAll('*').length") <= 15_000
    named = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(named) == len(set(named)) > 50


@pytest.mark.parametrize("page", [{"java_script_enabled": False}], indirect=True)
def test_report_reads_the_same_without_script(page: Any, url: str) -> None:
    page.goto(url)
    assert page.locator("h1").is_visible()
    assert "1 of 2 exports fully proven" in page.locator(".verdict").inner_text()
    assert page.locator("#exports-table").is_visible()
    assert page.locator(".filter").count() == 0
    page.locator("#controls details summary").first.click()
    assert page.locator("#controls details table").first.is_visible()


def test_filter_leaves_only_the_rows_that_fit(page: Any, url: str) -> None:
    page.goto(url)
    page.fill("#filter-exports-table", "dt=2026-01-05")
    assert page.locator("#exports-table tr[data-row]:visible").count() == 1
    page.fill("#filter-exports-table", "")
    assert page.locator("#exports-table tr[data-row]:visible").count() == 2


@pytest.mark.parametrize("page", [{"viewport": {"width": 320, "height": 800}}], indirect=True)
def test_report_fits_a_screen_of_320_pixels(page: Any, url: str) -> None:
    page.goto(url)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


@pytest.mark.parametrize(
    "page",
    [
        {"bypass_csp": True, "color_scheme": "light"},
        {"bypass_csp": True, "color_scheme": "dark"},
        {"bypass_csp": True, "viewport": {"width": 320, "height": 800}},
    ],
    indirect=True,
    ids=["light", "dark", "narrow"],
)
def test_report_has_no_known_barrier(page: Any, url: str) -> None:
    if find_spec("axe_playwright_python") is None:
        pytest.skip("axe-playwright-python is not installed")
    from axe_playwright_python.sync_playwright import Axe

    page.goto(url)
    assert page.evaluate(_TWO_OF_EACH) > 100
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    options: dict[str, Any] = {
        "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
        "resultTypes": ["violations"],  # to name every node that passed takes longer than to look at it
    }
    if page.viewport_size["width"] == 320:
        options["rules"] = {"color-contrast": {"enabled": False}}  # the colours are those of the wide page
    found = Axe().run(page, options=options).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found] == []


def test_paper_has_every_detail_open_and_pages_that_are_numbered(page: Any, url: str) -> None:
    page.goto(url)
    assert page.pdf(format="A4", tagged=True, outline=True).startswith(b"%PDF-")
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
    assert page.locator("#method details table").first.is_visible()
    assert page.evaluate(
        "[...document.styleSheets[0].cssRules].some((rule) => rule.cssText.includes('counter(page)'))"
    )
