"""Drawing of what tasks show of models."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from kdtune.report.html.drawing import Series
from kdtune.report.html.model_drawings import drawn, drawn_or_named, from_documents, models_to_show
from kdtune.report.reported_study import read_study
from kdtune.results.folder import StudyFolder
from kdtune.tasks.classification.documents import confusion_csv
from kdtune.tasks.model_figures import Bars, Matrices, ModelFigure, PictureRows
from tests.results.several import ran

TEXTS = {"name": "shown", "title": "Title", "description": "What it shows."}
SERIES = {"grid": Series("grid", 2)}


def texts(figure):
    return " ".join(ElementTree.fromstring(figure.svg).itertext())


def test_bars_have_a_row_for_each_category_and_none_where_there_is_no_value():
    bars = Bars(
        **TEXTS, axis="AP (%)", categories=["cat", "dog"], values={"teacher": [60.0, None], "grid": [50.0, 40.0]}
    )
    figure = drawn(bars, SERIES)
    assert figure.columns == ("class", "teacher: AP (%)", "grid: AP (%)")
    assert figure.rows == [["cat", "60", "50"], ["dog", "-", "40"]]
    assert [one.number for one in figure.legend] == [7, 2]
    assert {"cat", "dog"} <= set(texts(figure).split())


def test_matrices_list_the_most_frequent_mistakes():
    counts = {"grid": [[8, 2, 0], [0, 9, 1], [0, 0, 10]], "none": [[10, 0, 0], [0, 10, 0], [0, 0, 10]]}
    figure = drawn(Matrices(**TEXTS, classes=["a", "b", "c"], counts=counts), SERIES)
    assert figure.rows == [
        ["grid", "a", "b", "2", "20"],
        ["grid", "b", "c", "1", "10"],
        ["none", "no mistakes", "-", "-", "-"],
    ]
    assert figure.svg.count("<image") == 2


def test_pictures_are_embedded_with_their_captions():
    image = np.full((8, 8, 3), 200, np.uint8)
    pictures = PictureRows(**TEXTS, columns=["7", "8"], images={"grid": [image] * 2}, captions={"grid": ["7", "3"]})
    figure = drawn(pictures, SERIES)
    assert figure.rows == [["grid", "7", "3"]]
    assert figure.svg.count("data:image/png;base64,") == 2
    assert "http" not in re.sub(r'xmlns(:xlink)?="[^"]*"', "", figure.svg)


@pytest.mark.parametrize(
    ("figure", "reason"),
    [
        (Bars(**TEXTS, axis="AP", categories=["a", "b"], values={"grid": [1.0]}), "of Bars 'shown' fails: IndexError"),
        (Matrices(**TEXTS, classes=["cat"], counts={}), "of Matrices 'shown' fails: ZeroDivisionError"),
        (ModelFigure(**TEXTS), "of ModelFigure 'shown' fails: TypeError: no drawing of ModelFigure"),
    ],
)
def test_what_a_task_of_ones_own_cannot_have_drawn_is_named_with_the_reason(figure, reason):
    sentence = drawn_or_named(figure, "./own.py:Task", SERIES)
    assert sentence.startswith(f"Title is not shown: task ./own.py:Task: the drawing {reason}")


@pytest.fixture
def reported(tmp_path):
    def read(*names):
        for name in names:
            point = {"loss": "ce"} if name == "none" else {"tau": 4}
            folder = ran(tmp_path, name, [0.5, 0.6], points=[point], trial_s=[1.0, 1.0])
            (folder.path / "confusion.csv").write_text(confusion_csv([[3, 1], [0, 2]], ["cat", "dog"]))
            (folder.path / "confusion-1.csv").write_text("not that of the first repeat")
        folder = StudyFolder(tmp_path / "small")
        return read_study(folder, folder.strategies())

    return read


def test_every_report_has_the_confusion_matrices_of_the_first_repeat(reported):
    study = reported("stochastic", "fixed", "none")
    [figure] = from_documents(study, SERIES)
    assert [row[0] for row in figure.rows] == ["stochastic", "fixed", "none"]


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["stochastic", "fixed", "none"], ["fixed", "stochastic"]),
        (["none"], ["none"]),
        (["stochastic", "none"], ["stochastic"]),
        (["fixed", "none"], ["fixed"]),
    ],
)
def test_a_figure_of_networks_shows_a_chosen_tau_and_the_baseline(reported, names, shown):
    assert models_to_show(reported(*names)) == shown
