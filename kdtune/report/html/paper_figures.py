"""The paper's figures that a report does not show by itself: PLOS ONE 2023, e0285668, Figures 1, 3b and 4.

Every report has Figure 3a, see :func:`kdtune.report.html.training_figures.accuracy_over_tau`. Figure 2 is a drawing of
the method.
"""

import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from kdtune.analysis.network_figures import network_figures
from kdtune.analysis.study_commands import beside, command_for
from kdtune.report.html.accuracy_figures import value_with_spread
from kdtune.report.html.drawing import (
    ReportFigure,
    Series,
    canvas,
    draw_curve,
    finished,
    margin_for,
    names_on_y,
    panels,
    plain_log_axis,
    thinned,
    whole_numbers,
)
from kdtune.report.html.model_drawings import drawn_or_named, models_to_show, teachers_name
from kdtune.report.html.svg import INK
from kdtune.report.reported_study import ReportedStrategy, ReportedStudy
from kdtune.report.row_names import network_name
from kdtune.report.units import co2_unit, time_unit

#: Figures, and sentences about those that cannot be drawn.
Drawn = list[ReportFigure | str]


def paper_figures(
    study: ReportedStudy,
    studies: Sequence[ReportedStudy],
    series: Mapping[str, Series],
    data_dir: str | Path | None = None,
) -> Drawn:
    """Draw the paper's figures from a study's kept results and weights.

    Args:
        study: The study.
        studies: All studies of the report, in which others with further batch sizes may be.
        series: How the study's strategies look.
        data_dir: Folder of the data sets; by default the one that the study used.
    """
    batch_sizes = accuracy_over_batch_size(study, studies, series)
    return [
        training_co2(study, series),
        inference_cost(study),
        *([] if batch_sizes is None else [batch_sizes]),
        *_of_networks(study, series, data_dir),
    ]


def _of_networks(study: ReportedStudy, series: Mapping[str, Series], data_dir: str | Path | None) -> Drawn:
    """Draw Figure 4: what the teacher, a tuned student and the baseline's student do with test images."""
    students = {one.name: one.folder for one in study.strategies if one.name in models_to_show(study)}
    found, task = network_figures(students, teachers_name(study), data_dir), study.study.task.name
    return [*(drawn_or_named(one, task, series) for one in found.figures), *found.missing]


def training_co2(study: ReportedStudy, series: Mapping[str, Series]) -> ReportFigure | str:
    """Draw Figure 1a: the CO2 of the trainings behind one model over their epochs, on a logarithmic axis."""
    curves = {one.name: curve for one in study.strategies if (curve := _co2_by_epoch(one))}
    if not curves:
        return (
            "Training CO2 over epochs (the paper's Figure 1a) is not shown, since no strategy has a model whose "
            "trainings were metered."
        )
    styles = {name: series[name] for name in curves}
    teacher, carbon = study.comparison.teacher, study.strategies[0].result.cost.carbon
    if teacher and teacher.training and teacher.epochs:
        name, whole = teachers_name(study), carbon.co2_g(teacher.training.charged_uj)
        curves[name] = [whole * (epoch + 1) / teacher.epochs for epoch in range(teacher.epochs)]
        styles[name] = Series(name, 7)
    unit = co2_unit([curve[-1] for curve in curves.values()])
    longest = max(map(len, curves.values()))
    with canvas() as (figure, axes):
        for name, curve in curves.items():
            draw_curve(axes, styles[name], range(1, len(curve) + 1), [unit.of(value) for value in curve])
        plain_log_axis(axes, "y", [unit.of(value) for curve in curves.values() for value in curve if value])
        whole_numbers(axes)
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"CO2 of one model ({unit.name}), logarithmic")
        epochs = thinned(range(longest), 30)
        return finished(
            figure,
            "training-co2",
            "Training CO2 over epochs (the paper's Figure 1a)",
            "The CO2 of all trainings behind one model up to an epoch: those of a search run side by side, so its "
            "curve is that of all its trials together. The energy of a training is spread over its epochs as the "
            "meter recorded it, or evenly where it was not read in every epoch, as in the teacher's training. "
            "Evaluation, workers and idle power are not included.",
            ("epoch", *(f"{name} ({unit.name})" for name in curves)),
            [
                [
                    str(epoch + 1),
                    *(unit.number(curve[epoch] if epoch < len(curve) else None) for curve in curves.values()),
                ]
                for epoch in epochs
            ],
            list(styles.values()),
        )


def _co2_by_epoch(one: ReportedStrategy) -> list[float]:
    """Return the CO2 in grams of one model's trainings up to each epoch; empty if they were not metered."""
    cost = one.result.cost
    if not cost.models or not one.trial_uj:
        return []
    by_epoch = [0.0] * max((trial.epochs for trial in one.trials), default=0)
    for trial in one.trials:
        read = [epoch.energy_uj for epoch in one.epochs.get(trial.id, [])]
        known = [uj for uj in read if uj]
        shares = [uj / sum(known) for uj in known] if len(known) == trial.epochs else [1 / trial.epochs] * trial.epochs
        for epoch, share in enumerate(shares if trial.epochs else []):
            by_epoch[epoch] += share * one.trial_uj.get(trial.id, 0)
    total, curve = 0.0, []
    for uj in by_epoch:
        total += cost.carbon.co2_g(uj) / cost.models
        curve.append(total)
    return curve if total else []


def inference_cost(study: ReportedStudy) -> ReportFigure | str:
    """Draw Figures 1b and 1c: the time and CO2 of a pass of teacher and student over the test images."""
    if not study.comparison.inference:
        path = shlex.quote(str(study.folder.path))
        return (
            "Inference time and CO2 (the paper's Figures 1b and 1c) are not shown, since they were not measured; "
            f"measure them with: kdtune inference {path}"
        )
    measured = study.comparison.inference
    found = next((one for one in measured if one.int8), measured[0])
    networks = {teachers_name(study): found.teacher, network_name("student", found.student.model): found.student}
    if found.int8:
        networks["student, int8"] = found.int8
    times_s = {name: one.ms_per_pass / 1e3 for name, one in networks.items()}
    grams = {name: one.co2_g_per_million * found.test_images / 1e6 for name, one in networks.items()}
    of_time, of_co2 = time_unit(times_s.values()), co2_unit(grams.values())
    height = 1.0 + 0.34 * len(networks)
    names = list(networks)
    with panels(1, 2, height, (margin_for(names), 0.6 / height, 0.96, 0.96), gap=0.06) as (figure, ((left, right),)):
        for axes, values, unit, what in ((left, times_s, of_time, "time"), (right, grams, of_co2, "CO2")):
            for row, value in enumerate(values.values()):
                shown = unit.of(value)
                axes.barh(row, shown, height=0.62, color=Series("", 7 if row == 0 else row - 1).colour, linewidth=0)
                axes.annotate(unit.number(value), (shown, row), (4, 0), textcoords="offset points", va="center")
            axes.set_xlim(0, 1.3 * max(map(unit.of, values.values())) or 1)
            names_on_y(axes, names if axes is left else [""] * len(names))
            axes.set_xlabel(f"{what} of a pass ({unit.name})")
        return finished(
            figure,
            "inference",
            "Inference time and CO2 (the paper's Figures 1b and 1c)",
            f"A pass classifies {found.test_images:,} test images, {found.batch_size} at a time, on "
            f"{found.device_name}. All students of the study are one network, of which that of {found.timed_student} "
            "was timed."
            + (f" The int8 network is the student of {found.strategy}; all were compiled." if found.int8 else ""),
            ("network", f"time of a pass ({of_time.name})", f"CO2 of a pass ({of_co2.name})"),
            [[name, of_time.number(times_s[name]), of_co2.number(grams[name])] for name in networks],
        )


def accuracy_over_batch_size(
    study: ReportedStudy, studies: Sequence[ReportedStudy], series: Mapping[str, Series]
) -> ReportFigure | str | None:
    """Draw Figure 3b: the baseline's test value over the batch size of studies that differ in it.

    Returns:
        The figure; a sentence if there is no other batch size; None if an earlier study of the report shows it.
    """
    alike = [one for one in studies if _but_for_batch_size(one) == _but_for_batch_size(study)]
    at: dict[int, list[float]] = {}
    for one in alike:
        values = [list(each.figures.test.values()) for each in one.strategies if each.name == study.baseline]
        if values and values[0]:
            at.setdefault(one.study.training.batch_size, []).extend(values[0])
    if len(at) < 2:
        other = 2 * study.study.training.batch_size
        options, out = ("--set", f"training.batch_size={other}"), beside(study.folder, f"batch-{other}")
        command = command_for(study.strategies[0].folder, [study.baseline], *options, out=out)
        return (
            f"Accuracy over batch sizes (the paper's Figure 3b) is not shown, since {study.baseline} has results for "
            f"one batch size only; run another one, and name both results folders: {command}"
        )
    if alike[0].folder.path != study.folder.path:
        return None
    scale, style, sizes = study.metric.scale, series[study.baseline], sorted(at)
    with canvas() as (figure, axes):
        places = range(len(sizes))
        for place, size in zip(places, sizes, strict=True):
            axes.plot(
                [place] * len(at[size]), [scale * value for value in at[size]], ".", color=style.colour, alpha=0.6
            )
        means = [scale * statistics.fmean(at[size]) for size in sizes]
        axes.plot(places, means, color=INK, marker=style.mark, markersize=6, linewidth=1.6)
        axes.set_xticks(places, map(str, sizes))
        axes.set_xlim(-0.5, len(sizes) - 0.5)
        axes.set_xlabel("batch size")
        axes.set_ylabel(f"test {study.metric.heading}")
        return finished(
            figure,
            "batch-size",
            f"Test {study.metric.title} of {study.baseline} over batch sizes (the paper's Figure 3b)",
            "Each dot is a repeat, the line is the mean. The studies differ in nothing but the batch size of the "
            "students' trainings and the name.",
            ("batch size", f"test {study.metric.heading}", "repeats"),
            [[str(size), value_with_spread(study.metric, at[size]), str(len(at[size]))] for size in sizes],
        )


def _but_for_batch_size(study: ReportedStudy) -> tuple[object, ...]:
    """Return what studies have in common that Figure 3b compares."""
    one = study.study
    training = one.training.model_copy(update={"batch_size": 0})
    return one.dataset, one.teacher, one.student, one.loss, training, study.baseline, study.metric
