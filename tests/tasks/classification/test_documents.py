from io import StringIO

import pandas

from kdtune.tasks.classification.documents import confusion_csv, per_class_csv

COUNTS = [[3, 1, 0], [1, 2, 0], [2, 0, 1]]


def read(text):
    return pandas.read_csv(StringIO(text), index_col=0, dtype={0: str})


def test_rows_are_true_classes_and_columns_predicted_ones():
    text = confusion_csv(COUNTS, ["cat", "dog, hound", "owl"])
    assert text.splitlines()[:2] == ['true class \\ predicted,cat,"dog, hound",owl', "cat,3,1,0"]
    table = read(text)
    assert table.to_numpy().tolist() == COUNTS
    assert table.loc["owl", "cat"] == 2 and list(table.columns) == list(table.index)


def test_classes_without_a_name_have_their_number_and_names_are_told_apart():
    assert list(read(confusion_csv(COUNTS, ["cat"])).columns) == ["cat", "1", "2"]
    assert list(read(confusion_csv(COUNTS, ["crane", "crane", "owl"])).index) == ["0 crane", "1 crane", "2 owl"]


def test_a_class_that_is_called_as_a_formula_is_none():
    assert confusion_csv(COUNTS, ["=1+1", "@x", "owl"]).splitlines()[:2] == [
        "true class \\ predicted,'=1+1,'@x,owl",
        "'=1+1,3,1,0",
    ]


def test_each_class_has_its_images_and_its_metrics():
    lines = per_class_csv(COUNTS, ["cat", "dog, hound"]).splitlines()
    assert lines[0] == "class,images,predicted,accuracy,precision,f1"
    table = pandas.read_csv(StringIO(per_class_csv(COUNTS, ["cat", "dog, hound"])), index_col=0)
    assert list(table.index) == ["cat", "dog, hound", "2"]
    assert table.loc["cat"].tolist() == [4, 6, 3 / 4, 3 / 6, 6 / 10]
    assert table.loc["dog, hound"].tolist() == [3, 3, 2 / 3, 2 / 3, 4 / 6]
    assert table.loc["2"].tolist() == [3, 1, 1 / 3, 1 / 1, 2 / 4]


def test_what_is_not_defined_of_a_class_is_empty():
    # The second class has images and is never predicted; the third has no image; the fourth has neither.
    counts = [[1, 0, 1, 0], [2, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert per_class_csv(counts, []).splitlines()[1:] == [
        "0,2,3,0.5,0.3333333333333333,0.4",
        "1,2,0,0.0,,0.0",
        "2,0,1,,0.0,0.0",
        "3,0,0,,,",
    ]
