"""The paper's figures from hand-written results."""

import json
from xml.etree import ElementTree

import pytest

from kdtune.report.html.drawing import series_of
from kdtune.report.html.page import read_studies
from kdtune.report.html.paper_figures import accuracy_over_batch_size, inference_cost, training_co2
from tests.report.inference_documents import inference_document, network
from tests.results.several import CIFAR100_HKD, ran
from tests.studies import here, small_study

TAUS = [{"tau": tau} for tau in (2, 4, 6)]


def drawn_over_epochs(place):
    [study] = read_studies(place)
    return study, training_co2(study, series_of([one.name for one in study.strategies]))


def test_training_co2_is_that_of_all_trials_behind_one_model(tmp_path):
    ran(tmp_path, "grid", [0.6, 0.7], points=TAUS, trial_s=[3600.0, 3600.0])
    ran(tmp_path, "stochastic", [0.6, 0.7], points=[{"temperature": "stochastic"}], trial_s=[3600.0, 3600.0])
    study, figure = drawn_over_epochs(tmp_path)
    assert figure.columns == ("epoch", "grid (g)", "stochastic (g)")
    # 14 W for an hour at 475 g/kWh, in three epochs
    assert figure.rows == [["1", "6.65", "2.22"], ["2", "13.3", "4.43"], ["3", "20", "6.65"]]
    assert "logarithmic" in "".join(ElementTree.fromstring(figure.svg).itertext())


def test_without_a_meter_or_a_measurement_the_reader_learns_what_to_do(tmp_path):
    ran(tmp_path, "stochastic", [0.6, 0.7])
    study, sentence = drawn_over_epochs(tmp_path)
    assert sentence.endswith("no strategy has a model whose trainings were metered.")
    assert inference_cost(study).endswith(f"measure them with: kdtune inference {tmp_path / 'small'}")


@pytest.mark.parametrize("int8", [False, True])
def test_inference_is_drawn_from_its_measurement(tmp_path, int8):
    folder = ran(tmp_path, "stochastic", [0.6, 0.7])
    document = inference_document() | {"study": "small", "strategy": "stochastic", "timed_student": "stochastic"}
    if int8:
        document["int8"] = network("convnet_2_4_4", 0.5)
    folder.inference.write_text(json.dumps(document))
    figure = inference_cost(read_studies(tmp_path)[0])
    # a pass of 1,000 images; 0.02 g of CO2 per million images
    assert figure.columns == ("network", "time of a pass (ms)", "CO2 of a pass (mg)")
    rows = [["teacher (convnet_32)", "400", "0.08"], ["student (small)", "100", "0.02"]]
    assert figure.rows == [*rows, *([["student, int8", "50", "0.01"]] if int8 else [])]
    assert "1,000 test images, 128 at a time, on a CPU" in figure.description
    assert ("int8 network is the student of stochastic" in figure.description) == int8
    shown = [text for text in ElementTree.fromstring(figure.svg).itertext() if text.strip()]
    assert {"400", "100", "0.08", "0.02", "teacher (convnet_32)", "student (small)"} <= set(shown)
    assert {"time of a pass (ms)", "CO2 of a pass (mg)"} <= set(shown)


def test_batch_sizes_of_several_studies_are_one_figure(tmp_path):
    for size, values in ((32, [0.5, 0.6]), (64, [0.7, 0.8])):
        training = {**small_study()["training"], "batch_size": size}
        ran(tmp_path / f"b{size}", "stochastic", values, training=training)
    ran(tmp_path / "other", "stochastic", [0.1], **CIFAR100_HKD)
    studies = read_studies([tmp_path / "b32", tmp_path / "b64", tmp_path / "other"])
    series = series_of(["stochastic"])
    first, second, alone = (accuracy_over_batch_size(one, studies, series) for one in studies)
    assert [row[0] for row in first.rows] == ["32", "64"]
    assert [row[1].split()[0] for row in first.rows] == ["55.0", "75.0"]
    assert second is None
    assert "kdtune study" in alone and "--set training.batch_size=256" in alone


@pytest.mark.parametrize("form", ["svg", "pdf"])
def test_the_command_writes_files_and_names_what_is_missing(tmp_path, form):
    ran(tmp_path / "results", "grid", [0.6, 0.7], points=TAUS, trial_s=[2.0, 2.0])
    sheet = tmp_path / "results" / "small" / "synthetic-images.png"
    sheet.write_bytes(b"\x89PNG")
    done = here("figures", "results/small", "-o", "made", "--format", form, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = {path.name for path in (tmp_path / "made").iterdir()}
    assert {f"accuracy-energy.{form}", f"tau.{form}", f"training-co2.{form}", "synthetic-images.png"} <= written
    assert "kdtune inference" in done.stdout
    assert "Figure 4) are not shown" in done.stdout
    if form == "svg":
        whole = (tmp_path / "made" / "training-co2.svg").read_text()
        assert "Training CO2 over epochs" in "".join(ElementTree.fromstring(whole).itertext())
        assert "prefers-color-scheme: dark" in whole
    else:
        assert (tmp_path / "made" / "tau.pdf").read_bytes().startswith(b"%PDF")


def test_an_unknown_format_is_refused_before_anything_is_read(tmp_path):
    done = here("figures", "nowhere", "--format", "gif", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "error: --format: unknown format 'gif'; known: svg, png, pdf\n")


def test_a_report_has_the_papers_figures_on_request(tmp_path):
    ran(tmp_path / "results", "stochastic", [0.6, 0.7], trial_s=[2.0, 2.0])
    assert here("report", "results/small", "-o", "page.html", cwd=tmp_path).returncode == 0
    assert "The paper's figures" not in (tmp_path / "page.html").read_text()
    assert here("report", "results/small", "-o", "page.html", "--paper", cwd=tmp_path).returncode == 0
    page = (tmp_path / "page.html").read_text()
    assert "The paper's figures" in page.replace("&#39;", "'")
    assert "s1-training-co2" in page and "kdtune inference" in page
