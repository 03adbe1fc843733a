"""Table of statistics below the cost table: intervals over repeats, and comparisons with the baseline in words."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from kdtune.analysis.baseline_comparisons import StrategySummary, TableStatistics
from kdtune.analysis.difference_verdicts import BaselineComparison
from kdtune.analysis.paired_tests import ALPHA, MOST_REPEATS, POWER, fewest_for_exact_test, repeats_needed
from kdtune.analysis.verdicts import FEWEST, Interval
from kdtune.catalog.metric import Metric
from kdtune.report.csv_and_markdown import markdown_list, markdown_row
from kdtune.report.number_formats import NOTHING, significant
from kdtune.report.split_table import SplitTable
from kdtune.storage.wording import counted

#: Columns about each strategy; ``{}`` is the metric.
STRATEGY_COLUMNS = ("strategy", "test {}", "val. - test", "ECE %", "NLL")

#: Columns about each comparison with the baseline.
COMPARISON_COLUMNS = (
    "strategy",
    "difference",
    "noise",
    "p (t)",
    "p (signs)",
    "P(better)",
    "energy as run",
    "training only",
    "verdict",
)

_LEFT = ("strategy", "verdict")

_WITHOUT_SPREAD = (
    "No intervals or comparisons: no strategy was tested in two repeats; a study with --repeats 6 or more allows both."
)


def statistics_table(found: TableStatistics) -> RenderableType:
    """Return tables of strategies and comparisons, with notes; one line if no strategy was tested in two repeats."""
    if not _has_spread(found):
        return Text(_WITHOUT_SPREAD, style="dim")
    shown: list[RenderableType] = []
    for title, (names, *rows) in _tables(found):
        splits = [names.index(name) for name in ("p (t)", "energy as run", "verdict") if name in names]
        table = SplitTable(title, names, _LEFT, *splits)
        for row in rows:
            table.add_row(row)
        shown += [Text(), table]
    return Group(*shown, *(Text(line, style="dim") for line in statistics_notes(found)))


def statistics_markdown(found: TableStatistics) -> str:
    """Return the tables and their notes as Markdown."""
    if not _has_spread(found):
        return markdown_list([_WITHOUT_SPREAD])
    parts = []
    for _, (names, *rows) in _tables(found):
        rule = [":--" if name in _LEFT else "--:" for name in names]
        parts.append("\n".join(markdown_row(row) for row in [names, rule, *rows]))
    return "\n\n".join([*parts, markdown_list(statistics_notes(found))])


def _has_spread(found: TableStatistics) -> bool:
    return any(one.test is not None and one.test.n > 1 for one in found.strategies)


def _tables(found: TableStatistics) -> list[tuple[str, list[list[str]]]]:
    """Return title and rows of each table; the first row has the names of the columns."""
    studies = ", ".join(found.studies)
    names = [name.format(found.metric_info.heading) for name in STRATEGY_COLUMNS]
    strategies = [names, *(_strategy_cells(one, found.metric_info) for one in found.strategies)]
    tables = [(f"{studies}: means over repeats, with 95 % intervals", strategies)]
    if found.comparisons:
        comparisons = [[*COMPARISON_COLUMNS], *(_comparison_cells(one, found) for one in found.comparisons)]
        tables.append((f"{studies}: compared with {found.baseline}, paired by seed", comparisons))
    return tables


def _strategy_cells(one: StrategySummary, metric: Metric) -> list[str]:
    return [
        one.strategy,
        points(one.test, metric),
        points(one.gap, metric, signed=True),
        NOTHING if one.ece is None else f"{100 * one.ece.mean:.1f}",
        NOTHING if one.nll is None else f"{one.nll.mean:.3f}",
    ]


def _comparison_cells(one: BaselineComparison, found: TableStatistics) -> list[str]:
    return [
        one.strategy,
        points(one.difference, found.metric_info, signed=True),
        _noise(one, found.metric_info),
        _p(one.t_p_holm),
        _p(one.sign_flip_p),
        NOTHING if one.better_share is None else f"{one.better_share.mean:.2f}",
        _ratio(one.energy_as_run),
        _ratio(one.energy_training),
        in_words(one, found.margin, found.metric_info),
    ]


def _noise(one: BaselineComparison, metric: Metric) -> str:
    """Format the standard errors of a difference over repeats and over test images."""
    if one.seed_error is None:
        return NOTHING
    images = NOTHING if one.image_error is None else f"{metric.scale * one.image_error:.{metric.decimals + 1}f}"
    return f"{metric.scale * one.seed_error:.{metric.decimals + 1}f} / {images}"


def points(interval: Interval | None, metric: Metric, *, signed: bool = False) -> str:
    """Format the mean of a metric and its interval, fractions in points: ``+0.3 (-0.1 to +0.7)``."""
    if interval is None:
        return NOTHING

    def form(value: float) -> str:
        rounded = round(metric.scale * value, metric.decimals) + 0.0  # without the sign of a negative zero
        return f"{rounded:{'+' if signed else ''}.{metric.decimals}f}"

    text = form(interval.mean)
    if not interval.is_bounded:
        return text
    return f"{text} ({form(interval.low)} to {form(interval.high)})"


def _p(value: float | None) -> str:
    if value is None:
        return NOTHING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _ratio(interval: Interval | None) -> str:
    if interval is None:
        return NOTHING
    text = f"{significant(interval.mean)} x"
    return f"{text} ({significant(interval.low)} to {significant(interval.high)})" if interval.is_bounded else text


def in_words(one: BaselineComparison, margin: float, metric: Metric) -> str:
    """Return the verdict of a comparison in words."""
    within = f"within {margin_in_words(margin, metric)}"
    if one.verdict == "equivalent":
        return f"equivalent {within}"
    if one.verdict != "open":
        return f"{one.verdict}, but {within}" if one.within_margin else one.verdict
    if one.difference is None:
        return "open: no seed in common"
    needed = repeats_needed(one.difference.n, one.repeats_to_settle)
    if one.difference.n < FEWEST:
        return f"open: {needed} repeats are needed"
    if one.repeats_to_settle is None:
        return f"open: more than {MOST_REPEATS} repeats" if one.difference_std else "open"
    return f"open: about {needed} repeats"


def margin_in_words(margin: float, metric: Metric) -> str:
    """Return a margin with its unit, such as ``0.5 points``."""
    return f"{significant(metric.scale * margin)} {metric.difference_unit}".rstrip()


def statistics_notes(found: TableStatistics) -> list[str]:
    """Return notes on the table."""
    lines = [
        f"In parentheses: 95 % intervals over repeats by Student's t. They cover what varied between repeats: "
        f"{sources_in_words(found.vary)}; not the choice of the test images.",
        "Val. - test is the chosen model's value on the validation images minus that on the test images; searches "
        "choose by the former, so it is too good.",
    ]
    if any(one.ece for one in found.strategies):
        lines.append("ECE: expected calibration error; NLL: negative log-likelihood in nats; both on the test images.")
    if not found.comparisons:
        return lines
    n = len(found.comparisons)
    lines.append(
        f"Verdicts: paired by seed. A difference is claimed only where the t test (with Holm's correction for "
        f"{counted(n, 'comparison')}), the test of random signs and the BCa bootstrap interval agree at {ALPHA:.0%}; "
        "equivalence by two one-sided t tests, corrected likewise, and the bootstrap interval within the margin "
        f"of {margin_in_words(found.margin, found.metric_info)}, which the study fixed. P(better) is the share of "
        "repeats won, ties counting half."
    )
    unit = f", in {found.metric_info.difference_unit}" if found.metric_info.difference_unit else ""
    lines.append(
        f"Noise: standard error of the difference over repeats / over test images{unit}"
        + ("." if any(one.image_error is not None for one in found.comparisons) else "; the latter is not known here.")
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


def sources_in_words(vary: Sequence[str]) -> str:
    """Return what differs between repeats, in words; another split needs another teacher too."""
    split, teacher = "split" in vary, bool(vary)
    sources = ["the seeds of the trainings"]
    sources += ["the split into training and validation images"] if split else []
    sources += ["the teacher"] if teacher else []
    return " and ".join(filter(None, [", ".join(sources[:-1]), sources[-1]]))


def _too_few(comparisons: Sequence[BaselineComparison]) -> list[str]:
    """Return a note if so few repeats cannot be significant in an exact test."""
    smallest = [one.smallest_sign_flip_p for one in comparisons if one.smallest_sign_flip_p is not None]
    if not smallest or max(smallest) <= ALPHA:
        return []
    n = min(one.difference.n for one in comparisons if one.difference is not None)
    return [
        f"With {counted(n, 'repeat')}, the smallest p value of an exact test is {max(smallest):.3g}, so no "
        f"difference can be significant; {fewest_for_exact_test()} repeats or more can."
    ]
