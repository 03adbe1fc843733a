from decimal import Decimal

import pytest

from kdtune.catalog.builtin import MODELS, STRATEGIES
from kdtune.paper.printed_values import paper_values
from kdtune.specs import load_study

VALUES = paper_values()
BLOCKS = {(table.number, block.name): block for table in VALUES.tables for block in table.blocks}


def test_the_tables_that_are_there():
    names = [f"{number} {name}" for number, name in BLOCKS]
    assert names == [
        *("1 CIFAR-10", "1 CIFAR-100", "1 Tiny ImageNet"),
        "3 Networks",
        *("4 CIFAR-10", "4 CIFAR-100", "4 Tiny ImageNet", "4 PASCAL VOC"),
        "5 CIFAR-10",
        *("6 CIFAR-10", "6 CIFAR-100"),
        *("7 ShuffleNetV2 to ShuffleNetV2", "7 ResNet18 to ShuffleNetV2"),
        *("7 ShuffleNetV2 to ResNet18", "7 ResNet18 to ResNet18"),
        "8 MobileNetV2 on CIFAR-10",
    ]


@pytest.mark.parametrize("name", sorted(VALUES.studies))
def test_each_study_of_the_papers_is_the_one_that_is_shipped(name):
    shipped, known = load_study(name), VALUES.studies[name]
    assert (str(shipped.dataset), str(shipped.teacher), str(shipped.student), str(shipped.loss)) == (
        known.dataset,
        known.teacher,
        known.student,
        known.loss,
    )
    assert (shipped.training.batch_size, shipped.training.epochs) == (known.batch_size, VALUES.epochs_of(name))
    assert shipped.repeats == VALUES.repeats


def test_every_row_names_a_study_that_is_known_and_a_strategy():
    rows = [row for block in BLOCKS.values() for row in block.rows]
    assert {row.study for row in rows if row.study} <= set(VALUES.studies)
    assert {row.strategy for row in rows if not row.network} - {"teacher"} <= set(STRATEGIES)
    assert {row.network for row in rows if row.network} <= set(MODELS)
    assert len(rows) == 12 + 7 + 24 + 3 + 8 + 8 + 4


def test_printed_digits_are_kept():
    row = BLOCKS[4, "CIFAR-10"].rows[4]
    assert (str(row.values["accuracy"]), str(row.stds["accuracy"])) == ("91.00", "0.04")


@pytest.mark.parametrize(("block", "times"), [("CIFAR-10", 20), ("CIFAR-100", 20), ("Tiny ImageNet", 20)])
def test_tuned_counts_twenty_times_one_runs_flops(block, times):
    rows = BLOCKS[4, block].rows
    for tuned, ours in zip(rows[::2], rows[1::2], strict=True):
        assert (tuned.strategy, ours.strategy) == ("grid", "stochastic")
        assert float(tuned.values["gflops_millions"] / ours.values["gflops_millions"]) == pytest.approx(times, rel=2e-3)


def test_table_4_has_the_row_of_table_7_for_tiny_imagenet():
    for place in (0, 1):
        four, seven = BLOCKS[4, "Tiny ImageNet"].rows[place], BLOCKS[7, "ResNet18 to ShuffleNetV2"].rows[place]
        assert (four.study, four.stds) == (seven.study, seven.stds)
        assert all(four.values[key] == seven.values[key] for key in ("accuracy", "kwh", "co2_g"))


def test_errors_of_the_paper_have_footnotes():
    assert "CIFAR-100" in BLOCKS[1, "CIFAR-100"].footnotes[0]
    assert BLOCKS[5, "CIFAR-10"].rows[1].values["accuracy"] == Decimal("91.67")
    assert "other way round" in BLOCKS[5, "CIFAR-10"].rows[1].footnotes[0]
    rows = [row for block in BLOCKS.values() for row in block.rows]
    assert {"tau is fixed at 20" in " ".join(row.footnotes) for row in rows if row.strategy == "stochastic"} == {True}
    assert "1.04" in BLOCKS[1, "Tiny ImageNet"].rows[3].footnotes[1]


#: Rows of the tables as the article prints them (PLOS ONE 18(5): e0285668, CC BY 4.0), its blocks side by side.
PRINTED = """
1 CIFAR-10 | CIFAR-100 | Tiny ImageNet
95.04 0.28 74.25 76.03 0.25 65.55 63.39 1.43 413.60
90.52 0.16 45.02 67.80 0.16 44.23 59.64 0.68 182.53
91.78 3.99 1173.44 69.70 3.80 1170.40 60.46 19.09 5595.31
91.67 0.21 61.76 69.40 0.20 61.60 60.53 1.02 304.88

4 CIFAR-10 | CIFAR-100
91.78 ± 0.14 128.30 3.99 1173.44 69.70 ± 0.12 128.40 3.80 1170.40
91.67 ± 0.23 6.42 0.21 61.76 69.40 ± 0.37 6.42 0.20 61.60
92.35 ± 0.24 128.30 3.93 1192.81 73.56 ± 0.17 128.40 3.92 1164.7
91.65 ± 0.13 6.42 0.21 61.17 72.23 ± 0.24 6.42 0.21 61.30
91.00 ± 0.04 128.30 4.01 1161.00 72.90 ± 0.04 128.40 3.74 1109.40
91.05 ± 0.13 6.42 0.20 58.05 72.56 ± 0.15 6.42 0.19 58.04

4 Tiny ImageNet | PASCAL VOC
60.46 ± 0.07 975 19.09 5595.31 65.45 ± 0.07 1371 31.25 9235.39
60.53 ± 0.31 48.75 1.04 304.88 65.48 ± 0.15 72.17 1.69 499.21
62.76 ± 0.17 975 20.21 5949.93 64.87 ± 0.13 1371 32.27 9527.55
59.84 ± 0.11 48.75 1.00 293.10 64.67 ± 0.12 72.17 1.70 501.45
63.30 ± 0.11 975 19.38 5748.64 65.10 ± 0.09 1371 30.24 8903.52
63.35 ± 0.07 48.75 1.02 302.56 64.98 ± 0.24 72.17 1.68 494.64

5 CIFAR-10
94.80 0.95 0.95 0.95 0.94 0.09 0.95
91.67 0.92 0.92 0.92 0.90 0.09 0.92
91.78 0.92 0.92 0.92 0.91 0.09 0.92

6 CIFAR-10 | CIFAR-100
87.38 149.18 4.56 1353.66 57.91 149.18 4.94 1390.8
87.13 ± 0.21 7.85 0.24 71.24 57.60 ± 0.31 7.85 0.26 73.20
83.04 149.18 4.75 1369.46 61.34 149.18 4.75 1393.08
83.09 ± 0.14 7.85 0.25 72.07 61.24 ± 0.21 7.85 0.25 72.32

7 ShuffleNetV2 to ShuffleNetV2 | ResNet18 to ShuffleNetV2
60.32 ± 0.08 155.48 15.26 4489.89 60.46 ± 0.07 975.23 19.09 5595.31
60.38 ± 0.11 7.77 0.81 238.41 60.53 ± 0.31 48.75 1.04 304.88

7 ShuffleNetV2 to ResNet18 | ResNet18 to ResNet18
63.66 ± 0.12 1057 32.30 9503.34 63.69 ± 0.06 1877.63 34.47 10143.34
63.38 ± 0.23 52.85 1.58 466.17 63.45 ± 0.17 93.83 1.85 544.94
"""

#: Order of Table 5's columns.
METRICS = ["accuracy", "precision", "recall", "paper_specificity", "kappa", "paper_prevalence", "f1"]


def as_printed(row, columns):
    """Return a row's figures in the order of the columns, each deviation after its mean."""
    parts = [(row.values[name], row.stds.get(name)) for name in columns]
    return [str(value) if std is None else f"{value} ± {std}" for value, std in parts]


@pytest.mark.parametrize("piece", PRINTED.strip().split("\n\n"), ids=lambda piece: piece.splitlines()[0])
def test_every_figure_is_the_printed_one(piece):
    head, *lines = piece.splitlines()
    number, _, names = head.partition(" ")
    blocks = [BLOCKS[int(number), name] for name in names.split(" | ")]
    assert all(len(block.rows) == len(lines) for block in blocks)
    for place, line in enumerate(lines):
        found = [" ".join(as_printed(block.rows[place], block.columns)) for block in blocks]
        assert " ".join(found) == line


def test_the_columns_are_in_the_printed_order():
    assert list(BLOCKS[5, "CIFAR-10"].columns) == METRICS
    costs = ["gflops_millions", "kwh", "co2_g"]
    for (number, name), block in BLOCKS.items():
        if number in (4, 6, 7):
            assert list(block.columns) == ["map" if name == "PASCAL VOC" else "accuracy", *costs]
        elif number == 1:
            assert list(block.columns) == ["accuracy", "kwh", "co2_g"]
