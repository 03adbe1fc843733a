import io
from dataclasses import replace

import pytest
from rich.console import Console

from kdtune.analysis.baseline_comparisons import StrategySummary, TableStatistics
from kdtune.analysis.difference_verdicts import paired_comparison, with_verdicts
from kdtune.analysis.verdicts import Interval
from kdtune.catalog.metric import Metric
from kdtune.report.statistics_table import in_words, statistics_markdown, statistics_table

METRIC, MARGIN = Metric("accuracy"), 0.005

DIFFERENCES = {
    "grid": [0.030, 0.020, 0.025, 0.031, 0.022, 0.028],
    "worse-but-little": [-0.0012, -0.0010, -0.0011, -0.0012, -0.0010, -0.0011],
    "fixed": [0.001, -0.001, 0.0, 0.0, 0.001, 0.0],
    "none": [0.062, -0.060, 0.060, 0.0, -0.060, 0.020],
}


def statistics(differences=DIFFERENCES, **changes):
    compared = [paired_comparison(name, one, METRIC, MARGIN, 1e-4) for name, one in differences.items()]
    n = len(next(iter(differences.values())))
    test = Interval(0.6, 0.59, 0.61, n) if n > 1 else Interval.unbounded(0.6, n)
    gap, ece = Interval(-0.0004, -0.004, 0.003, n), Interval(0.021, 0.02, 0.022, n)
    summaries = [StrategySummary(name, test, 0.01, test, gap, ece, None) for name in differences]
    summaries.append(StrategySummary("stochastic", test, 0.01, test, None, None, Interval(0.41, 0.4, 0.42, n)))
    found = TableStatistics(
        ("small",), "accuracy", METRIC, MARGIN, "stochastic", tuple(summaries), with_verdicts(compared, METRIC, MARGIN)
    )
    return replace(found, **changes)


def shown(found, width=200):
    console = Console(width=width, file=io.StringIO())
    console.print(statistics_table(found))
    return console.file.getvalue()


def row_of(text, strategy):
    return next(line for line in text.splitlines() if line.strip().startswith(strategy))


def comparison_row(text, strategy):
    return row_of(text[text.index("compared with") :], strategy)


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ("grid", "better"),
        ("worse-but-little", "worse, but within 0.5 points"),
        ("fixed", "equivalent within 0.5 points"),
        ("none", "open: more than 1000 repeats"),
    ],
)
def test_a_verdict_is_in_words(strategy, words):
    assert comparison_row(shown(statistics()), strategy).rstrip().endswith(words)


def test_figures_are_points_with_intervals():
    text = shown(statistics())
    assert "+2.6 (+2.1 to +3.1)" in comparison_row(text, "grid") and "60.0 (59.0 to 61.0)" in row_of(text, "grid")
    assert " 0.0 (-0.4 to +0.3)" in row_of(text, "grid").replace("+0.0", "0.0"), "no minus zero"
    assert "with Holm's correction for 4 comparisons" in text.replace("\n", " ")


def test_noise_of_seeds_and_images_and_calibration_are_shown_where_known():
    found = statistics()
    assert row_of(shown(found), "grid").split()[-2:] == ["2.1", "-"]
    assert row_of(shown(found), "stochastic").split()[-2:] == ["-", "0.410"]
    assert "0.18 / -" in shown(found) and "the latter is not known here" in shown(found)
    known = replace(found, comparisons=tuple(replace(one, image_error=0.0021) for one in found.comparisons))
    assert "0.18 / 0.21" in shown(known) and "not known here" not in shown(known)


def test_an_open_comparison_names_the_repeats_that_would_settle_it():
    [one] = statistics({"none": [0.010, -0.002, 0.012, 0.001, 0.004, 0.003]}).comparisons
    assert in_words(one, MARGIN, METRIC) == f"open: about {one.repeats_to_settle} repeats" and one.repeats_to_settle > 6


@pytest.mark.parametrize(("n", "p"), [(3, "0.25"), (5, "0.0625")])
def test_few_repeats_say_that_an_exact_test_cannot_be_significant(n, p):
    text = shown(statistics({"grid": DIFFERENCES["grid"][:n]}))
    assert f"With {n} repeats, the smallest p value of an exact test is {p}, so no difference can be" in text
    assert "smallest p value" not in shown(statistics())


@pytest.mark.parametrize(("n", "settling", "named"), [(3, 4, 6), (3, 9, 9), (7, 8, 8)])
def test_an_open_verdict_names_as_many_repeats_as_an_exact_test_needs(n, settling, named):
    [one] = statistics({"none": [0.010, -0.002, 0.012, 0.001, 0.004, 0.003, 0.005][:n]}).comparisons
    open_one = replace(one, verdict="open", repeats_to_settle=settling)
    assert in_words(open_one, MARGIN, METRIC) == f"open: about {named} repeats"
    assert "; 6 repeats or more can." in shown(statistics({"none": [0.01, 0.02, 0.03]}))


def test_two_repeats_or_none_in_common_are_open_with_the_reason():
    [two] = statistics({"grid": [0.1, 0.2]}).comparisons
    assert in_words(two, MARGIN, METRIC) == "open: 6 repeats are needed"
    assert in_words(replace(two, difference=None), MARGIN, METRIC) == "open: no seed in common"


def test_one_repeat_gives_a_line_instead_of_a_table():
    one = statistics({"grid": [0.1]})
    assert shown(one).startswith("No intervals or comparisons: no strategy was tested in two repeats")
    assert statistics_markdown(one).startswith("- No intervals")


def test_without_a_baseline_there_are_no_columns_about_it():
    found = statistics(comparisons=(), baseline=None)
    assert "verdict" not in shown(found).lower() and "60.0 (59.0 to 61.0)" in row_of(shown(found), "grid")


def test_every_figure_is_whole_in_a_narrow_terminal():
    text = shown(statistics(), width=80)
    assert all(len(line.rstrip()) <= 80 for line in text.splitlines()) and "\u2026" not in text
    assert "+2.6 (+2.1 to +3.1)" in text and "equivalent within 0.5 points" in text


def test_markdown_has_the_same_rows():
    lines = statistics_markdown(statistics()).splitlines()
    assert lines[0].startswith("| strategy | test acc. % |") and lines[0].endswith("| NLL |")
    assert any(line.startswith("| grid") and line.endswith("| better |") for line in lines)
