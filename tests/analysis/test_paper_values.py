from decimal import Decimal

import pytest

from kdtune.analysis.paper_values import paper_values
from kdtune.specs import load_study
from kdtune.strategies import STRATEGIES

VALUES = paper_values()
BLOCKS = {(table.number, block.name): block for table in VALUES.tables for block in table.blocks}


def test_the_tables_that_are_there():
    names = [f"{number} {name}" for number, name in BLOCKS]
    assert names == [
        *("1 CIFAR-10", "1 CIFAR-100", "1 Tiny ImageNet"),
        *("4 CIFAR-10", "4 CIFAR-100", "4 Tiny ImageNet", "4 PASCAL VOC"),
        "5 CIFAR-10",
        *("7 ShuffleNetV2 to ShuffleNetV2", "7 ResNet18 to ShuffleNetV2"),
        *("7 ShuffleNetV2 to ResNet18", "7 ResNet18 to ResNet18"),
    ]


@pytest.mark.parametrize("name", sorted(VALUES.studies))
def test_each_study_of_the_papers_is_the_one_that_is_shipped(name):
    shipped, known = load_study(name), VALUES.studies[name]
    assert (shipped.dataset, shipped.teacher, shipped.student, shipped.loss) == (
        known.dataset,
        known.teacher,
        known.student,
        known.loss,
    )
    assert (shipped.training.batch_size, shipped.training.epochs) == (known.batch_size, VALUES.epochs)
    assert shipped.repeats == VALUES.repeats


def test_every_row_names_a_study_that_is_known_and_a_strategy():
    rows = [row for block in BLOCKS.values() for row in block.rows]
    assert {row.study for row in rows if row.study} <= set(VALUES.studies)
    assert {row.strategy for row in rows} - {"teacher"} <= set(STRATEGIES)
    assert len(rows) == 12 + 24 + 3 + 8


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


def test_the_slips_are_told_where_they_are():
    assert "CIFAR-100" in BLOCKS[1, "CIFAR-100"].footnotes[0]
    assert BLOCKS[5, "CIFAR-10"].rows[1].values["accuracy"] == Decimal("91.67")
    assert "other way round" in BLOCKS[5, "CIFAR-10"].rows[1].footnotes[0]
    assert "1.04" in BLOCKS[1, "Tiny ImageNet"].rows[3].footnotes[1]
