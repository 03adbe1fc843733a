"""Table of statistics below the cost table: intervals over repeats, and comparisons with the baseline in words."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from kdtune.analysis.baseline_comparisons import BaselineComparison, TableStatistics
from kdtune.analysis.paired_tests import ALPHA, MOST_REPEATS, POWER
from kdtune.analysis.verdicts import FEWEST, Interval
from kdtune.catalog.metric import Metric
from kdtune.report.csv_and_markdown import markdown_list, markdown_row
from kdtune.report.number_formats import NOTHING, significant
from kdtune.report.split_table import SplitTable

#: A further column names the baseline, and ``{}`` is the metric.
COLUMNS = (
    "strategy",
    "test {} %",
    "val. - test",
    "difference",
    "p (t)",
    "p (signs)",
    "P(better)",
    "energy as run",
    "training only",
    "verdict",
)


def statistics_table(found: TableStatistics) -> RenderableType:
    """Return the table with its notes; empty text if no strategy was tested in two repeats."""
    if not _has_spread(found):
        return Text(_WITHOUT_SPREAD, style="dim")
    names = _columns(found)
    splits = [names.index(name) for name in ("difference", "energy as run", "verdict") if name in names]
    table = SplitTable(_title(found), names, ("strategy", "verdict"), *splits)
    for row in statistics_rows(found):
        table.add_row(row)
    return Group(Text(), table, *(Text(line, style="dim") for line in statistics_notes(found)))


def statistics_markdown(found: TableStatistics) -> str:
    """Return the table and its notes as Markdown."""
    if not _has_spread(found):
        return markdown_list([_WITHOUT_SPREAD])
    names = list(_columns(found))
    rule = [":--" if name in ("strategy", "verdict") else "--:" for name in names]
    table = "\n".join(markdown_row(row) for row in [names, rule, *statistics_rows(found)])
    return f"{table}\n\n{markdown_list(statistics_notes(found))}"


_WITHOUT_SPREAD = "No intervals or comparisons: no strategy was tested in two repeats; --repeats 6 or more allows both."


def _has_spread(found: TableStatistics) -> bool:
    return any(one.test is not None and one.test.n > 1 for one in found.strategies)


def _columns(found: TableStatistics) -> tuple[str, ...]:
    named = tuple(name.format(Metric(found.metric).title) for name in COLUMNS)
    return named if found.comparisons else named[: named.index("difference")]


def _title(found: TableStatistics) -> str:
    text = f"{', '.join(found.studies)}: mean and 95 % interval over repeats"
    return f"{text}, and comparison with {found.baseline}" if found.comparisons else text


def statistics_rows(found: TableStatistics) -> list[list[str]]:
    """Return one row per strategy."""
    compared = {one.strategy: one for one in found.comparisons}
    rows = []
    for summary in found.strategies:
        own = [summary.strategy, points(summary.test), points(summary.gap, signed=True)]
        if found.comparisons:
            one = compared.get(summary.strategy)
            own += _comparison_cells(one, found.margin) if one else [NOTHING] * (len(COLUMNS) - 4) + ["baseline"]
        rows.append(own)
    return rows


def _comparison_cells(one: BaselineComparison, margin: float) -> list[str]:
    return [
        points(one.difference, signed=True),
        _p(one.t_p_holm),
        _p(one.sign_flip_p),
        NOTHING if one.better_share is None else f"{one.better_share.mean:.2f}",
        _ratio(one.energy_as_run),
        _ratio(one.energy_training),
        in_words(one, margin),
    ]


def points(interval: Interval | None, *, signed: bool = False) -> str:
    """Format a mean fraction and its interval in points: ``+0.3 (-0.1 to +0.7)``."""
    if interval is None:
        return NOTHING
    form = "{:+.1f}" if signed else "{:.1f}"
    text = form.format(_no_minus_zero(100 * interval.mean))
    if not interval.is_bounded:
        return text
    low, high = (form.format(_no_minus_zero(100 * end)) for end in (interval.low, interval.high))
    return f"{text} ({low} to {high})"


def _no_minus_zero(value: float) -> float:
    return round(value, 1) + 0.0


def _p(value: float | None) -> str:
    if value is None:
        return NOTHING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _ratio(interval: Interval | None) -> str:
    if interval is None:
        return NOTHING
    text = f"{significant(interval.mean)} x"
    return f"{text} ({significant(interval.low)} to {significant(interval.high)})" if interval.is_bounded else text


def in_words(one: BaselineComparison, margin: float) -> str:
    """Return the verdict of a comparison in words."""
    within = f"within {significant(100 * margin)} points"
    if one.verdict == "equivalent":
        return f"equivalent {within}"
    if one.verdict != "open":
        return f"{one.verdict}, but {within}" if one.within_margin else one.verdict
    if one.difference is None:
        return "open: no seed in common"
    if one.difference.n < FEWEST:
        return f"open: {FEWEST} repeats are needed"
    if one.repeats_to_settle is None:
        return f"open: more than {MOST_REPEATS} repeats" if one.difference_std else "open"
    return f"open: about {one.repeats_to_settle} repeats"


def statistics_notes(found: TableStatistics) -> list[str]:
    """Return notes on the table."""
    lines = [
        "In parentheses: 95 % intervals over repeats by Student's t. They cover what varied between repeats, the seeds "
        "of the trainings, and not the choice of the test images."
    ]
    lines.append(
        "Val. - test is the chosen model's value on the validation images minus that on the test images; searches "
        "choose by the former, so it is too good."
    )
    if not found.comparisons:
        return lines
    n = len(found.comparisons)
    lines.append(
        f"Verdicts: paired by seed. A difference is claimed only where the t test (with Holm's correction for {n} "
        f"comparison{'s' * (n > 1)}), the test of random signs and the BCa bootstrap interval agree at {ALPHA:.0%}; "
        "equivalence by two one-sided t tests, corrected likewise, and the bootstrap interval within the margin "
        f"of {significant(100 * found.margin)} points, which the study fixed. P(better) is the share of repeats won, "
        "ties counting half."
    )
    lines += _too_few(found.comparisons)
    if any(one.repeats_to_settle for one in found.comparisons):
        lines.append(
            f"The number of repeats of an open comparison is that which settles it with a probability of {POWER:.0%} "
            "if mean and deviation stay as they are."
        )
    if any(
        ratio and not ratio.is_bounded
        for one in found.comparisons
        for ratio in (one.energy_as_run, one.energy_training)
    ):
        lines.append(
            "A ratio of energies has no interval if it has one repeat, or if the repeats have more than 10 % of their "
            "energy in common."
        )
    return lines


def _too_few(comparisons: Sequence[BaselineComparison]) -> list[str]:
    """Return a note if so few repeats cannot be significant in an exact test."""
    smallest = [one.smallest_sign_flip_p for one in comparisons if one.smallest_sign_flip_p is not None]
    if not smallest or max(smallest) <= ALPHA:
        return []
    n = min(one.difference.n for one in comparisons if one.difference is not None)
    return [
        f"With {n} repeat{'s' * (n > 1)}, the smallest p value of an exact test is {max(smallest):.3g}, so no "
        "difference can be significant; 6 repeats or more can."
    ]
