import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from kdtune.energy.carbon import Carbon
from kdtune.forecast.strategy_estimate import SynthesisEstimate, TeacherEstimate, TimeAndEnergy
from kdtune.planning.estimates import SessionEstimate
from kdtune.planning.study_plan import StudyPlan
from kdtune.report.plan_table import plan_table
from kdtune.results.estimate_document import StrategyEstimate
from kdtune.specs import load_study
from kdtune.specs.suggestion import Suggestion
from tests.energy.simulated import J
from tests.studies import small_study

KWH = 3_600_000 * J


def estimate(strategy, trials=19, **changes):
    one = StrategyEstimate(strategy, trials, 6.0, 5, 125.0, 2 * KWH, complete=True, basis=("As before.",))
    return replace(one, **changes)


def suggested(points):
    return [Suggestion.from_point(point) for point in points]


def plan(*estimates, points=None, **changes):
    whole = StudyPlan(
        study=load_study(small_study()),
        folder=Path("results/small"),
        suggestions={one.strategy: [[Suggestion(values={"tau": tau}) for tau in range(2, 21)]] * 2 for one in estimates}
        | {name: repeats and [suggested(points) for points in repeats] for name, repeats in (points or {}).items()},
        estimates=list(estimates),
        teacher=TeacherEstimate("convnet_32", cached=False, gflops_millions=1.0, wall_s=60.0, charged_uj=KWH),
        session=SessionEstimate(TimeAndEnergy(10.0, KWH, 0.0), "A session.", complete=True),
        slots=2,
        carbon=Carbon(pue=1.0, intensity_g_per_kwh=475.0, source="world average"),
        remarks=("A remark.",),
    )
    return replace(whole, **changes)


def shown(planned):
    console = Console(width=200, file=io.StringIO(), no_color=True)
    console.print(plan_table(planned))
    return console.file.getvalue()


def line(text, start):
    return next(one for one in text.splitlines() if one.strip().startswith(start)).split()


def test_a_row_has_points_trials_flops_time_energy_and_co2():
    head = line(shown(plan(estimate("grid"))), "strategy ")
    assert head == ["strategy", "points", "trials", "PFLOPs", "time", "energy", "(kWh)", "CO2", "(kg)"]
    assert line(shown(plan(estimate("grid"))), "grid ") == ["grid", "19", "19", "6", "2:05", "2", "0.95"]


def test_the_whole_command_has_the_session_once_and_the_teacher_too():
    text = shown(plan(estimate("grid"), estimate("fixed", trials=1)))
    assert line(text, "the whole command") == [
        "the",
        "whole",
        "command",
        "20",
        "13",
        *[">", "5:20", ">", "4", ">", "1.9"],
    ]
    cached = TeacherEstimate("convnet_32", cached=True, gflops_millions=0.0, wall_s=0.0, charged_uj=0)
    assert ">" not in line(shown(plan(estimate("grid"), teacher=cached)), "the whole command")


def test_incomplete_figures_are_marked_and_unknown_ones_are_dashes():
    text = shown(plan(estimate("grid", complete=False), estimate("fixed", charged_uj=None)))
    assert line(text, "grid ")[-6:] == [">", "2:05", ">", "2", ">", "950"]
    assert line(text, "fixed ")[-3:] == ["2:05", "-", "-"]
    assert line(text, "the whole command")[-2:] == ["-", "-"]
    assert "marked >" in text and "marked >" not in shown(plan(estimate("grid"), teacher=None))


def test_a_teacher_in_the_cache_takes_nothing():
    cached = TeacherEstimate("convnet_32", cached=True, gflops_millions=0.0, wall_s=0.0, charged_uj=0)
    text = shown(plan(estimate("grid"), teacher=cached))
    assert "already in the cache" in text and "Teacher: from timed steps" not in text
    assert "teacher" not in shown(plan(estimate("none"), teacher=None)).lower()


def test_a_teacher_that_was_given_is_measured_once_and_never_trained():
    given = TeacherEstimate("t", cached=False, gflops_millions=0.0, wall_s=60.0, charged_uj=KWH, given=True)
    row = line(shown(plan(estimate("grid"), teacher=given)), "teacher (t), given: to be evaluated")
    assert row[-9:] == ["-", "-", "-", ">", "1:00", ">", "1", ">", "0.475"]
    text = shown(plan(estimate("grid"), teacher=replace(given, cached=True)))
    assert "teacher (t), given and already evaluated" in text


def test_points_are_listed_or_said_to_depend_on_outcomes():
    text = shown(
        plan(
            estimate("grid"),
            estimate("random"),
            estimate("optuna"),
            estimate("none"),
            points={
                "random": [[{"tau": 3}, {"tau": 9}], [{"tau": 5}, {"tau": 2}]],
                "optuna": None,
                "none": [[{"loss": "ce"}]] * 2,
            },
        )
    )
    assert "grid: tau 2..20" in text
    assert "random: seed 0: tau 3, 9" in text and "random: seed 1: tau 5, 2" in text
    assert "optuna: adaptive" in text and line(text, "optuna ")[1:5] == ["adaptive", "up", "to", "19"]
    assert "none: tau" not in text


def test_restarts_of_a_point_are_written_as_a_count():
    again = [{"temperature": "stochastic"}, *({"temperature": "stochastic", "restart": k} for k in (1, 2))]
    twice = [{"tau": 4}, {"tau": 4, "restart": 1}]
    found = shown(plan(estimate("best-of"), estimate("twice"), points={"best-of": [again] * 2, "twice": [twice] * 2}))
    assert "best-of: tau random and 2 restarts of it" in found
    assert "twice: tau 4 and 1 restart of it" in found


def test_what_compiling_took_already_is_in_the_rows_and_not_in_the_command():
    spent = plan(estimate("grid"), estimate("none"))
    assert replace(spent, compiled_uj={"grid": 5, "none": 3}).total_uj == spent.total_uj - 8


def test_images_that_are_made_already_are_in_every_row_and_not_in_the_command():
    spent = plan(estimate("grid"), estimate("fixed"), estimate("stochastic"))
    made = SynthesisEstimate(48, 10**12, 0.0, charged_uj=5, due_uj=0)
    assert replace(spent, images=made).total_uj == spent.total_uj - 3 * 5
    assert "48 images from the teacher, already in the cache" in shown(replace(spent, images=made))


def test_images_that_are_due_have_a_row_and_are_in_the_command_once():
    before = plan(estimate("grid"), estimate("fixed"))
    due = replace(before, images=SynthesisEstimate(48, 10**12, 60.0, charged_uj=5, due_uj=4))
    assert due.total_uj == before.total_uj - 2 * 5 + 4
    assert due.total_wall_s == before.total_wall_s + 60
    assert not due.complete
    text = shown(due)
    assert "48 images from the teacher, made once" in text
    assert "Making them takes 1 TFLOP" in text
    assert due.as_json()["plan"]["synthesis"]["synthesis_flops"] == 10**12


def test_a_basis_is_shown_once_with_its_strategies():
    text = shown(plan(estimate("grid", basis=("Timed.", "Both.")), estimate("none", basis=("Guessed.", "Both."))))
    assert "grid: Timed." in text and "none: Guessed." in text
    assert text.count("Both.") == 1
    assert "A remark." in text
