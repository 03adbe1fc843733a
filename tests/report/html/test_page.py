"""The report of hand-written and of kept results: everything but what needs a browser."""

import re
import shlex
import shutil
from dataclasses import fields, replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from kdtune.analysis.study_commands import beside
from kdtune.energy.ledger import read_folder
from kdtune.report.html.drawing import Series
from kdtune.report.html.energy_figures import charge_by_part
from kdtune.report.html.page import report_page
from kdtune.report.html.study_tables import commands, trials_table
from kdtune.report.reported_study import read_study
from kdtune.results.cost_document import SharedEnergy
from kdtune.results.folder import StudyFolder
from kdtune.results.shared_document import CHARGED_KINDS
from kdtune.storage.records import as_record
from tests.results.several import ran
from tests.results.test_earlier_results import EARLIER
from tests.studies import here

TAUS = [{"tau": tau} for tau in (2, 4, 6, 8)]
GRID = [0.62, 0.64, 0.61]
SECONDS = [4.0, 4.5, 4.2]


class Page(HTMLParser):
    """What a page contains: its tags with their attributes, its ids and its text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def ids(self):
        return [attributes["id"] for _, attributes in self.tags if "id" in attributes]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two studies: one with searches and repeats, and one that an earlier release kept, with epochs."""
    place = tmp_path_factory.mktemp("results")
    values = [[0.55, 0.60, 0.58, 0.50], [0.56, 0.61, 0.62, 0.5], [0.54, 0.60, 0.57, 0.51]]
    ran(place, "grid", GRID, points=TAUS, val=values, trial_s=SECONDS)
    ran(place, "stochastic", [0.60, 0.61, 0.60], points=[{"temperature": "stochastic"}], trial_s=SECONDS)
    ran(place, "none", [0.55, 0.56, None], points=[{"loss": "ce"}], trial_s=SECONDS)
    shutil.copytree(EARLIER, place / "flat-points")
    return place


@pytest.fixture(scope="module")
def html(results):
    return report_page(results)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def reported(place):
    folder = StudyFolder(place)
    return read_study(folder, folder.strategies())


def test_a_page_names_nothing_outside_itself_and_is_small(html, page):
    addresses = [attributes.get(key, "") for _, attributes in page.tags for key in ("src", "href", "xlink:href")]
    assert all(one in ("", "data:,") or one.startswith("#") for one in addresses)
    assert "url(http" not in html and "@import" not in html
    assert len(html.encode()) < 1_000_000


def test_every_figure_has_a_role_a_title_a_description_and_its_data(page):
    drawings = [svg for svg in page.all("svg") if "aria-hidden" not in svg]
    ids, links = page.ids(), [svg[key] for svg in drawings for key in ("aria-labelledby", "aria-describedby")]
    assert len(drawings) >= 10 and {svg["role"] for svg in drawings} == {"img"}
    assert set(links) <= set(ids) and len(ids) == len(set(ids))
    assert len(page.all("figure")) == len(drawings)
    assert sum("Data of this figure" in text for text in page.text) == len(drawings)


def test_references_inside_drawings_exist(html, page):
    ids = set(page.ids())
    assert set(re.findall(r"url\(#([^)]+)\)", html)) <= ids
    assert {link[1:] for svg in page.all("use") if (link := svg.get("xlink:href") or svg["href"])} <= ids


def test_the_first_screen_has_the_verdict_and_the_cost_of_each_strategy(page):
    text = " ".join(page.text)
    assert "There is no answer yet; until then, use" in text
    assert "stochastic" in text and "none (incomplete)" in text
    assert "energy (Wh)" in text or "energy (J)" in text


def test_drawings_follow_the_colours_of_the_page(html):
    drawn = re.findall(r"<svg role.*?</svg>", html, re.DOTALL)
    assert all("var(--ink)" in svg for svg in drawn)
    assert not any(re.search(r"(fill|stroke): #", svg) for svg in drawn)


def test_parts_of_the_energy_sum_to_the_charge(results):
    for place in ("small", "flat-points"):
        for one in reported(results / place).strategies:
            cost = one.result.cost
            parts = charge_by_part(one.result)
            assert cost.carbon.kwh(sum(parts.values())) == pytest.approx(cost.charged_kwh, rel=1e-12)


def test_every_kind_of_shared_input_is_a_part_of_the_charge(results):
    assert {one.name for one in fields(SharedEnergy)} == set(CHARGED_KINDS)
    result = reported(results / "flat-points").strategies[0].result
    known = as_record(result.cost.shared_uj)
    added = {kind: 1_000_000 * (1 + number) for number, kind in enumerate(CHARGED_KINDS)}
    shared = SharedEnergy(**{kind: (known.get(kind) or 0) + uj for kind, uj in added.items()})
    charged_uj = sum(charge_by_part(result).values()) + sum(added.values())
    parts = charge_by_part(replace(result, cost=replace(result.cost, shared_uj=shared)))
    assert set(CHARGED_KINDS) <= set(parts) and sum(parts.values()) == charged_uj


def test_the_commands_repeat_the_study_as_it_ran(tmp_path, monkeypatch):
    for label, repeats in (("grid", 2), ("fixed", 2), ("none", 1)):
        ran(tmp_path / "the results", label, [0.6] * repeats)
    run = {"strategies": ["grid"], "carbon": {"pue": 1.0, "intensity_g_per_kwh": 475.0, "source": "a test"}}
    options = {"inline": True, "cpus_per_trial": 0.5, "gpus_per_trial": 0.0, "teacher": "/weights.pt"}
    study = StudyFolder(tmp_path / "the results" / "small")
    study.write_run(run | {"options": options})
    repeating = [shlex.split(line) for line in commands(reported(study.path)) if line.startswith("kdtune study")]
    rest = ["--out", str(tmp_path / "the results-again"), "--inline", "--cpus-per-trial", "0.5"]
    rest += ["--teacher", "/weights.pt"]
    labels = [{label for option, label in pairwise(line) if option == "-s"} for line in repeating]
    assert len(labels) == 2 and {"fixed", "grid"} in labels and {"none"} in labels  # one repeat is another study
    for line in repeating:
        assert line[:3] == ["kdtune", "study", str(study.strategy(line[4]).study_toml)]
        assert line[line.index("--out") :] == rest
    monkeypatch.chdir(study.path.parent)
    assert beside(StudyFolder(Path("small")), "again") == tmp_path / "the results-again"


def test_energy_over_time_ends_at_what_the_ledgers_charge(results):
    for one in reported(results / "flat-points").strategies:
        cost = one.result.cost
        own = sum(uj for bucket, uj in cost.energy_uj.items() if bucket not in ("other", "node_total"))
        seconds, uj = one.over_time[-1]
        assert (seconds, uj) == (pytest.approx(cost.wall_s), own)
        assert len(one.over_time) == sum(map(len, read_folder(one.folder.ledger).values()))


def test_a_study_without_energy_and_with_one_strategy_has_a_page_that_says_what_is_missing(tmp_path):
    ran(tmp_path, "fixed", [0.6], points=[{"tau": 4}])
    text = " ".join(Page(report_page(tmp_path)).text)
    assert "Accuracy against energy is not shown" in text and "Energy over time is not shown" in text
    assert "Paired differences are not shown" in text and "Add it with: kdtune study" in text


def test_a_study_without_any_tested_model_has_a_page(tmp_path):
    ran(tmp_path, "grid", [None], points=TAUS)
    text = " ".join(Page(report_page(tmp_path)).text)
    assert "There is no answer: no strategy has a tested model." in text and "grid (incomplete)" in text


def test_names_are_escaped(tmp_path):
    ran(tmp_path, "fixed", [0.6], points=[{"tau": 4}], trial_s=[1.0], description="<script>alert(1)</script>")
    assert "<script>alert" not in report_page(tmp_path)


def test_a_page_shows_no_more_trials_than_a_browser_likes(tmp_path):
    ran(tmp_path, "grid", [0.6], points=TAUS, trial_s=[1.0])
    table = trials_table(reported(tmp_path / "small"), {"grid": Series("grid", 0)}, 3)
    assert (len(table.rows), table.caption) == (3, "The first 3 of 4 trials")
    assert table.note == "Trials that are not shown: 1. They are in the files trials.jsonl of the strategies."


def test_a_page_of_a_dozen_studies_stays_small(results, tmp_path):
    shutil.copytree(results / "small", tmp_path / "another")
    one, two = len(report_page(results / "small")), len(report_page([results / "small", tmp_path / "another"]))
    assert one + 11 * (two - one) < 1_000_000


def test_the_command_writes_the_page_and_names_it(results, tmp_path):
    shutil.copytree(results, tmp_path / "results")
    done = here("report", "results/small", cwd=tmp_path)
    assert (done.returncode, done.stdout.strip().rpartition(" ")[2][-24:]) == (0, "esults/small/report.html")
    assert (tmp_path / "results" / "small" / "report.html").is_file()
    done = here("report", "results/small/grid", "-o", "no/such/folder.html", cwd=tmp_path)
    assert done.returncode == 2 or done.returncode == 1
    assert "no/such/folder.html: cannot be written" in done.stderr
    assert here("report", "elsewhere", cwd=tmp_path).returncode == 2


def test_pictures_of_the_first_repeat_are_part_of_the_page(tmp_path):
    folder = ran(tmp_path, "fixed", [0.5, 0.6])
    assert "<img" not in report_page(tmp_path)
    for name in ("detections.png", "detections-1.png"):
        (folder.path / name).write_bytes(b"\x89PNG " + name.encode())
    [picture] = Page(report_page(tmp_path)).all("img")
    assert picture["src"] == "data:image/png;base64,iVBORyBkZXRlY3Rpb25zLnBuZw=="
    assert picture["alt"] == "Detections of fixed on test images, seed 0"
    assert [path.name for path in folder.pictures(1, 0)] == ["detections-1.png"]
