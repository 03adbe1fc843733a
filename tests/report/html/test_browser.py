"""The report in a real browser, which is started once."""

import json
import re
import shutil

import pytest

from kdtune.report.html.page import write_report
from kdtune.tasks.classification.documents import confusion_csv
from tests.report.html.browser import CHROMIUM, Browser
from tests.report.inference_documents import inference_document
from tests.results.several import ran
from tests.results.test_earlier_results import EARLIER

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine, such as Debian's 'chromium'")

#: Texts whose colour differs too little from what is behind them: less than 4.5 to 1 (WCAG 2.2, AA).
PALE = """
(() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), pale = [];
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || /^(script|style|title|desc)$/i.test(one.tagName)) continue;
    const style = getComputedStyle(one);
    const front = parse(one.closest("svg") ? style.fill : style.color);
    const [a, b] = [light(front), light(behind(one))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) pale.push(one.tagName + ": " + walker.currentNode.textContent.trim());
  }
  return [...new Set(pale)];
})()
"""

#: Controls and regions without a name for screen readers.
NAMELESS = """
[...document.querySelectorAll("button, a[href], summary, [role=region], [role=img], nav")].filter((one) =>
  !(one.textContent.trim() || one.getAttribute("aria-label"))).map((one) => one.outerHTML)
"""

#: Values of a column of the table of trials.
COLUMN = '[...document.querySelector("table.sortable.trials").tBodies[0].rows].map((row) => row.cells[4].dataset.key)'
HEAD = 'document.querySelector("table.sortable.trials").tHead.rows[0].cells[4]'


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A page of one study with the paper's figures, and one of two studies."""
    place = tmp_path_factory.mktemp("results")
    values = [[0.55, 0.60, 0.58], [0.56, 0.61, 0.62], [0.54, 0.60, 0.57]]
    taus = [{"tau": tau} for tau in (2, 4, 6)]
    ran(place, "grid", [0.62, 0.64, None], points=taus, val=values, trial_s=[4.0, 4.5, 4.2])
    folder = ran(place, "stochastic", [0.6, 0.61, 0.6], points=[{"temperature": "stochastic"}], trial_s=[4.0, 4.5, 4.2])
    (folder.path / "confusion.csv").write_text(confusion_csv([[3, 1], [0, 2]], ["cat", "dog"]))
    folder.inference.write_text(json.dumps(inference_document() | {"study": "small", "strategy": "stochastic"}))
    shutil.copytree(EARLIER, place / "flat-points")
    write_report(place / "small", place / "one.html", paper=True)
    drawn = re.findall(r'"s1-([a-z0-9-]+)-title"', (place / "one.html").read_text())
    assert {"confusion", "inference", "training-co2"} <= {*drawn}
    write_report(place, place / "two.html")
    return [place / "one.html", place / "two.html"]


@pytest.fixture(scope="module")
def browser():
    one = Browser()
    yield one
    one.close()


@pytest.mark.parametrize("width", [390, 1600])
@pytest.mark.parametrize("dark", [False, True])
def test_pages_are_quiet_fit_the_window_and_can_be_read(browser, pages, width, dark):
    for page in pages:
        browser.open(page, width=width, dark=dark)
        assert browser.errors == []
        assert [one for one in browser.requests if one != page.as_uri() and not one.startswith("data:")] == []
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.run(PALE) == []
        assert browser.run(NAMELESS) == []


def test_tables_sort_by_click_and_by_key(browser, pages):
    browser.open(pages[0], width=1600)
    browser.run(f'{HEAD}.querySelector("button").click()')
    rising = browser.run(COLUMN)
    assert rising == sorted(rising, key=float) and len(set(rising)) > 2
    assert browser.run(f'{HEAD}.getAttribute("aria-sort")') == "ascending"
    browser.run(f'{HEAD}.querySelector("button").focus()')
    browser.press("Enter")
    assert browser.run(COLUMN) == rising[::-1]
    assert browser.run(f'{HEAD}.getAttribute("aria-sort")') == "descending"
    assert browser.errors == []
