import pandas

from kdtune.results.confusion import write_confusion

COUNTS = [[3, 1, 0], [1, 2, 0], [2, 0, 1]]


def read(path):
    return pandas.read_csv(path, index_col=0, dtype={0: str})


def test_rows_are_true_classes_and_columns_predicted_ones(tmp_path):
    write_confusion(tmp_path / "confusion.csv", COUNTS, ["cat", "dog, hound", "owl"])
    text = (tmp_path / "confusion.csv").read_text()
    assert text.splitlines()[:2] == ['true class \\ predicted,cat,"dog, hound",owl', "cat,3,1,0"]
    table = read(tmp_path / "confusion.csv")
    assert table.to_numpy().tolist() == COUNTS
    assert table.loc["owl", "cat"] == 2 and list(table.columns) == list(table.index)


def test_classes_without_a_name_have_a_number_and_equal_names_are_distinguished(tmp_path):
    write_confusion(tmp_path / "some.csv", COUNTS, ["cat"])
    assert list(read(tmp_path / "some.csv").columns) == ["cat", "1", "2"]
    write_confusion(tmp_path / "twice.csv", COUNTS, ["crane", "crane", "owl"])
    assert list(read(tmp_path / "twice.csv").index) == ["0 crane", "1 crane", "2 owl"]


def test_a_class_name_that_looks_like_a_formula_is_escaped(tmp_path):
    write_confusion(tmp_path / "confusion.csv", COUNTS, ["=1+1", "@x", "owl"])
    assert (tmp_path / "confusion.csv").read_text().splitlines()[:2] == [
        "true class \\ predicted,'=1+1,'@x,owl",
        "'=1+1,3,1,0",
    ]
